//! Sessions cache their query plans: one made while the tables are small, or with the statistics of a
//! table that was emptied, must stay cheap when they are full.

use supaqueue_tests::{Db, TICK_IN_TRANSACTION, rows_read, run};

/// Where the statistics come from while the tables are almost empty.
const STATISTICS: [(&str, &str); 4] = [
    ("no statistics", ""),
    (
        "a few rows",
        "insert into supaqueue.job (queue, run_at) select q.id, 'infinity' from supaqueue.queue q, generate_series(1, 3);
         analyze supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.queue, supaqueue.ready_job, supaqueue.held_job",
    ),
    (
        "a table that was emptied",
        "insert into supaqueue.job (queue, run_at) select q.id, 'infinity' from supaqueue.queue q, generate_series(1, 3000);
         analyze supaqueue.job;
         delete from supaqueue.job;
         analyze supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.queue, supaqueue.ready_job, supaqueue.held_job",
    ),
    (
        "a table that was emptied and cleaned up",
        "insert into supaqueue.job (queue, run_at) select q.id, 'infinity' from supaqueue.queue q, generate_series(1, 3000);
         delete from supaqueue.job;
         vacuum analyze supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.queue, supaqueue.ready_job, supaqueue.held_job",
    ),
];

/// A run that takes the call and reports it; it gets the next job.
const REPORT: &str = "select public.supaqueue_pulse('11111111-1111-1111-1111-111111111111',
       (select coalesce(max(number), 0) + 1 from supaqueue.run),
       jsonb_build_object('acknowledge', (select jsonb_agg(id) from supaqueue.current_job)));
     select public.end_current_job((select id from supaqueue.current_job), true, true,
       '{\"run\": \"11111111-1111-1111-1111-111111111111\"}', '{}')";
/// A run that takes the call and reports it, begins one call and holds another one, and then reports as one of many.
const REPORT_TOGETHER: &str = "select public.supaqueue_pulse('33333333-3333-3333-3333-333333333333',
       (select coalesce(max(number), 0) + 1 from supaqueue.run where id = '33333333-3333-3333-3333-333333333333'),
       jsonb_build_object('acknowledge', (select jsonb_agg(id) from supaqueue.current_job)));
     select public.end_current_job(c.id, true, true,
       '{\"run\": \"33333333-3333-3333-3333-333333333333\"}', '{\"prefetch\": true}')
     from supaqueue.current_job c where c.held is null and c.state = 'started';
     select public.end_current_jobs('33333333-3333-3333-3333-333333333333', jsonb_agg(jsonb_build_object(
       'cur_job_id', c.id, '_is_successful', true, '_report', jsonb_build_object('started', jsonb_build_array(c.held)),
       '_next', '{\"prefetch\": true}'::jsonb)))
     from supaqueue.current_job c where c.held is not null";
/// A run that waits takes a call after it was settled by hand.
const PULSE: &str = "update supaqueue.current_job set is_complete = true, is_successful = true;
     select public.supaqueue_pulse('22222222-2222-2222-2222-222222222222',
       (select count(*)::integer + 1 from supaqueue.run r where r.id = '22222222-2222-2222-2222-222222222222'),
       jsonb_build_object('calls', (select jsonb_agg(id) from supaqueue.current_job),
         'queues', (select jsonb_agg(jsonb_build_object('id', id)) from supaqueue.queue)))";
const BY_HAND: &str = "update supaqueue.current_job set is_complete = true, is_successful = true";
const INSERT: &str = "select supaqueue.enqueue('q', '1')";
/// It is inserted, and then replaced.
const INSERT_WITH_KEY: &str = "select supaqueue.enqueue('q', '1', key => 'a', on_conflict => 'replace') from generate_series(1, 2)";
const STATEMENTS: [(&str, &str); 7] = [
    ("a report", REPORT),
    ("a pulse", PULSE),
    ("a current job completed by hand", BY_HAND),
    ("an insert", INSERT),
    ("an insert with a key", INSERT_WITH_KEY),
    ("a tick", TICK_IN_TRANSACTION),
    ("reports that go together", REPORT_TOGETHER),
];
/// Frees the worker without starting the next job: triggers do not fire.
const FREE_WORKER: &str = "set session_replication_role = replica;
     delete from supaqueue.current_job; update supaqueue.worker set locked = false";

#[tokio::test]
async fn the_cost_does_not_depend_on_the_number_of_jobs_even_with_a_stale_plan() {
    for (from, statistics) in STATISTICS {
        let db = Db::new().await;
        let admin = db.database().connect_as_admin().await.unwrap();
        db.queue("q", 1).await;
        db.queue("alerts", 0).await;
        db.run("update supaqueue.queue set on_end = supaqueue.queue_id('alerts'), on_end_of = 'all' where name = 'q'")
            .await;
        for sql in statistics.split(';') {
            db.run(sql).await;
        }
        let mut sessions = Vec::new();
        for (name, statement) in STATEMENTS {
            let session = db.connect().await;
            // Work for the statement, so that it plans every query.
            db.run("select supaqueue.enqueue_many('q', '{1,2,3,4,5,6,7,8}')")
                .await;
            for _ in 0..2 {
                run(&session, statement).await;
            }
            db.run("delete from supaqueue.current_job; delete from supaqueue.job; update supaqueue.worker set locked = false").await;
            sessions.push((name, statement, session));
        }

        db.run("insert into supaqueue.job (queue) select q.id from supaqueue.queue q, generate_series(1, 5000)").await;
        db.tick().await;
        for (name, statement, session) in sessions {
            if [INSERT, INSERT_WITH_KEY, TICK_IN_TRANSACTION].contains(&statement) {
                run(&admin, FREE_WORKER).await;
            }
            // A tick also checks some hundreds of jobs, however many there are.
            let most = match statement {
                TICK_IN_TRANSACTION => 2000,
                // Two calls are reported, and the first report returns two jobs.
                REPORT_TOGETHER => 30,
                _ => 20,
            };
            let read = rows_read(&session, "'job', 'ready_job', 'held_job'", statement).await;
            assert!(
                read <= most,
                "{name} reads {read} rows with a plan made for {from}"
            );
            let calls = "select string_agg(state, ' ' order by state) from supaqueue.current_job";
            let (calls, is_held) = (db.get(calls).await, statement == REPORT_TOGETHER);
            assert_eq!(
                (calls.split(' ').count(), calls.contains("held")),
                (1 + usize::from(is_held), is_held),
                "{name} starts the next job: {calls}"
            );
        }
    }
}

#[tokio::test]
async fn after_a_large_insert_the_next_job_is_found_with_stale_statistics() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    let insert = |status: &str, number: u32| {
        format!(
            "insert into supaqueue.job (queue, status) select q.id, '{status}' from supaqueue.queue q, generate_series(1, {number})"
        )
    };
    db.run(&insert("successful", 20_000)).await;
    db.run(&insert("pending", 50)).await;
    db.run("vacuum analyze supaqueue.job, supaqueue.ready_job")
        .await;
    // All of these are due at the same moment.
    db.run(&insert("pending", 5000)).await;
    let session = db.connect().await;
    let read = rows_read(
        &session,
        "'job', 'ready_job'",
        "select supaqueue.set_workers('q', 1)",
    )
    .await;
    assert!(read <= 20, "{read} rows were read");
    let started = "select count(*) from supaqueue.current_job";
    assert_eq!(db.get(started).await, "1");
}
