do $$
begin
  if current_setting('supaqueue.applying', true) is distinct from ':part :number' then
    raise exception 'cannot record version :number of :part: it was not applied in one transaction'
      using errcode = 'no_active_sql_transaction',
        hint = 'Remove what was made with sql/remove.sql, then apply the migration as a whole: psql -v ON_ERROR_STOP=1 -1 -f <file>.';
  end if;
  insert into supaqueue.version (part, number, name, finished_at) values (':part', :number, ':name', :finished_at);
end
$$;
