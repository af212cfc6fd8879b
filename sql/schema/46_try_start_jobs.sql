-- Starts what can be started in queues whose locks are held, those of _exclusive
-- exclusively. Never fails: what it cannot start stays pending, with a warning, and
-- is started by a later dispatch of the queue or by the tick.
create or replace function supaqueue.try_start_jobs(_queues uuid[], _exclusive uuid[])
returns integer
language plpgsql
set search_path = ''
as $$
declare
  problem record;
begin
  if not exists (
    select from supaqueue.worker w
    join supaqueue.queue q on q.id = w.queue
    where w.queue = any (_queues) and not w.locked and not q.is_paused
  ) then
    return 0;
  end if;

  problem := supaqueue.dispatch_problem();
  if problem.problem is not null then
    raise warning 'supaqueue cannot start jobs: %', problem.problem
      using hint = problem.remedy || ' The jobs stay pending and start by themselves then.';
    return 0;
  end if;
  return supaqueue.start_jobs(_queues, _exclusive);
exception
  when others then
    raise warning 'supaqueue could not start jobs now: %', sqlerrm
      using hint = 'They stay pending; the tick tries again.', errcode = sqlstate;
    return 0;
end
$$;
