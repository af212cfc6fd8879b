-- Starts due jobs of queues on their free workers: worker locked, job in
-- progress with one attempt more, a current job for both. Returns how many.
--
-- Call it with the queues' locks held, shared or, those of _exclusive, exclusively
-- (lock_queues). It takes jobs first and then no more workers than it has jobs: rows
-- that it locks, and that others therefore skip, are rows that it uses.
create or replace function supaqueue.start_jobs(_queues uuid[], _exclusive uuid[])
returns integer
language plpgsql
set search_path = ''
as $$
declare
  _queue uuid;
  free_workers uuid[];
  due uuid[];
  queues uuid[] := '{}';
  workers uuid[] := '{}';
  jobs uuid[] := '{}';
begin
  for _queue in
    select q.id from supaqueue.queue q where q.id = any (_queues) and not q.is_paused order by q.id
  loop
    if _queue = any (_exclusive) then
      perform supaqueue.adopt_calls(_queue);
    end if;
    continue when not exists (select from supaqueue.worker w where w.queue = _queue and not w.locked)
      or supaqueue.has_calls_to_adopt(_queue);
    due := supaqueue.due_jobs(
      _queue, (select count(*)::integer from supaqueue.worker w where w.queue = _queue and not w.locked));
    free_workers := array(
      select w.id from supaqueue.worker w
      where w.queue = _queue and not w.locked
      order by w.id
      limit cardinality(due)
      for no key update skip locked
    );
    queues := queues || array_fill(_queue, array[cardinality(free_workers)]);
    workers := workers || free_workers;
    jobs := jobs || due[1:cardinality(free_workers)];
  end loop;
  if cardinality(jobs) = 0 then
    return 0;
  end if;

  update supaqueue.worker w set locked = true where w.id = any (workers);
  update supaqueue.job j
  set status = 'in_progress', attempts = j.attempts + 1, started_at = clock_timestamp()
  where j.id = any (jobs);
  insert into supaqueue.current_job (queue, worker, job, lease_until)
  select call.queue, call.worker, call.job, clock_timestamp() + supaqueue.ms(s.dispatch_lease_ms)
  from unnest(queues, workers, jobs) with ordinality as call (queue, worker, job, number)
  cross join supaqueue.setting s
  order by call.number;
  return cardinality(jobs);
end
$$;
