-- Starts the self-test NAME: a job whose target is the supaqueue function itself, which then responds as
-- to a health check. Returns the job. Deletes those that were killed.
delete from supaqueue.queue where name like 'supaqueue\_self\_test\_%' and created_at < now() - interval '10 minutes';
insert into supaqueue.queue (name, edge_function_name, timeout_ms, backoff_base_ms, backoff_max_ms)
values ('NAME', 'supaqueue', 10000, 500, 500);
select supaqueue.set_workers('NAME', 1);
select to_jsonb(supaqueue.enqueue('NAME', '{"self_test": true}')) as result;
