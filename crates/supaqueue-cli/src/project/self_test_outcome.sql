-- Returns the status of the self-test NAME; waits up to four seconds for its end.
create or replace function pg_temp.supaqueue_self_test() returns jsonb language plpgsql set search_path = '' as $$
declare
  outcome jsonb;
begin
  for attempt in 1..20 loop
    select jsonb_build_object(
      'status', j.status,
      'result', j.result,
      'error', j.errors -> -1,
      'dispatch', case when c.state = 'sent' then supaqueue.request_outcome(c.request_id, c.created_at) end,
      'problem', (select p.problem from supaqueue.dispatch_problem() p)
    )
    into outcome
    from supaqueue.job j
    join supaqueue.queue q on q.id = j.queue
    left join supaqueue.current_job c on c.job = j.id
    where q.name = 'NAME';
    exit when outcome is null or outcome ->> 'status' in ('successful', 'failed', 'cancelled');
    perform pg_sleep(0.2);
  end loop;
  return coalesce(outcome, '{"status": "gone"}');
end
$$;
select pg_temp.supaqueue_self_test() as result;
