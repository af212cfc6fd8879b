-- Starts the self-test: a job whose target is the supaqueue function itself, which then responds as
-- to a health check. Returns the job.
delete from supaqueue.queue where name = 'supaqueue_self_test';
insert into supaqueue.queue (name, edge_function_name, timeout_ms, backoff_base_ms, backoff_max_ms)
values ('supaqueue_self_test', 'supaqueue', 10000, 500, 500);
select supaqueue.set_workers('supaqueue_self_test', 1);
select to_jsonb(supaqueue.enqueue('supaqueue_self_test', '{"self_test": true}')) as result;
