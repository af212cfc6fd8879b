//! What must hold after every race, as queries.

use supaqueue_tests::get;
use tokio_postgres::Client;

/// `Ok`, or what is wrong.
pub(crate) type Check = Result<(), String>;

/// Returns an error with a message unless a condition holds.
macro_rules! ensure {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use ensure;

/// No job is due beside a free worker, unless the tick has been told: whoever does not get a lock within
/// a moment, as on a busy machine, leaves it a note.
pub(crate) async fn no_worker_idles_beside_a_due_job(client: &Client) -> Check {
    let lost = get(
        client,
        "select q.name
         from supaqueue.queue q
         where not q.is_paused
           and exists (select from supaqueue.worker w where w.queue = q.id and not w.locked)
           and exists (
             select from supaqueue.job j
             where j.queue = q.id and j.status = 'pending' and j.run_at <= clock_timestamp()
           )
           and not exists (
             select from supaqueue.unfinished u
             where u.queue = q.id and u.step = 'start' and u.retry_at <= clock_timestamp()
           )",
    )
    .await;
    ensure!(
        lost.is_empty(),
        "a job is due beside a free worker in {lost}"
    );
    Ok(())
}

/// Workers, jobs, current jobs and counters agree; this holds at any moment.
pub(crate) async fn state_is_consistent(client: &Client) -> Check {
    let wrong = get(
        client,
        "select 'worker ' || w.id || ' is locked without a current job'
         from (
           select o.id from supaqueue.worker o
           where o.locked and not exists (select from supaqueue.current_job c where c.worker = o.id)
             -- The tick has been told: see lock_with_others.
             and not exists (select from supaqueue.unfinished u where u.queue = o.queue and u.step = 'start')
           -- One that somebody is deleting just now is not unlocked any more: see set_locked.
           for key share skip locked
         ) w
         union all
         select 'worker ' || w.id || ' is free beside its current job'
         from supaqueue.worker w
         join supaqueue.current_job c on c.worker = w.id
         where not w.locked
         union all
         select 'worker ' || c.worker || ' has ' || count(*) || ' current jobs that are not held'
         from supaqueue.current_job c
         where c.state <> 'held'
         group by c.worker
         having count(*) > 1
         union all
         select 'worker ' || c.worker || ' has ' || count(*) || ' current jobs that are held'
         from supaqueue.current_job c
         where c.state = 'held'
         group by c.worker
         having count(*) > 1
         union all
         select 'job ' || j.id || ' has a current job and is ' || j.status
         from supaqueue.job j
         join supaqueue.current_job c on c.job = j.id
         where j.status not in ('in_progress', 'cancelled') and not c.is_complete
         union all
         select 'job ' || j.id || ' is ' || j.status || ' and is in ' || coalesce(place.names, 'none of the tables')
         from supaqueue.job j
         cross join lateral (
           select string_agg(at.name, ' ') as names, count(at.name) as number
           from (
             select 'ready_job' from supaqueue.ready_job r
             where r.job = j.id and (r.queue, r.priority, r.run_at, r.position) = (j.queue, j.priority, j.run_at, j.position)
             union all select 'held_job' from supaqueue.held_job h where h.job = j.id
             union all select 'current_job' from supaqueue.current_job c where c.job = j.id
             -- Its call has ended, and the tick settles it: see drop_call.
             union all select 'unfinished' from supaqueue.unfinished u
             where u.job = j.id and u.step = 'settle' and j.status = 'in_progress'
               and not exists (select from supaqueue.current_job c where c.job = j.id)
           ) at (name)
         ) place
         where place.number <> case when j.status in ('pending', 'waiting', 'in_progress') then 1 else 0 end
           and not (j.status in ('cancelled', 'successful', 'failed') and place.names = 'current_job')
         union all
         select 'ready_job ' || r.job || ' is of no pending job'
         from supaqueue.ready_job r
         where not exists (select from supaqueue.job j where j.id = r.job and j.status = 'pending')
         union all
         select 'held_job ' || h.job || ' is of no pending or waiting job'
         from supaqueue.held_job h
         where not exists (select from supaqueue.job j where j.id = h.job and j.status in ('pending', 'waiting'))
         union all
         select 'queue ' || s.name || ' is counted as ' || counted || ', not as ' || count
         from supaqueue.queue_status s
         cross join lateral concat_ws(
           '|', s.pending, s.waiting, s.in_progress, s.successful, s.failed, s.cancelled) as counted
         cross join lateral (
           select concat_ws('|',
             count(*) filter (where j.status = 'pending'), count(*) filter (where j.status = 'waiting'),
             count(*) filter (where j.status = 'in_progress'), count(*) filter (where j.status = 'successful'),
             count(*) filter (where j.status = 'failed'), count(*) filter (where j.status = 'cancelled'))
           from supaqueue.job j
           where j.queue = s.id
         ) as counted_in_full (count)
         where counted <> count",
    )
    .await;
    ensure!(wrong.is_empty(), "{wrong}");
    Ok(())
}
