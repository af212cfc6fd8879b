
--- end

insert into supaqueue.version (part, number, name, finished_at) values (':part', :number, ':name', :finished_at);

end
$supaqueue$;
