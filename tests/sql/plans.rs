//! What a session plans while the tables are small, or their statistics are those of an emptied
//! table, still serves it when they are full: plans are kept.

use supaqueue_tests::{Db, rows_read, run};

/// What the statistics may come from, while the tables are all but empty.
const STATISTICS: [(&str, &str); 4] = [
    ("none", ""),
    (
        "a few rows",
        "insert into supaqueue.job (queue, run_at) select q.id, 'infinity' from supaqueue.queue q, generate_series(1, 3);
         analyze supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.queue, supaqueue.queue_front",
    ),
    (
        "a table that was emptied",
        "insert into supaqueue.job (queue, run_at) select q.id, 'infinity' from supaqueue.queue q, generate_series(1, 3000);
         analyze supaqueue.job;
         delete from supaqueue.job;
         analyze supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.queue, supaqueue.queue_front",
    ),
    (
        "a table that was emptied and cleaned up",
        "insert into supaqueue.job (queue, run_at) select q.id, 'infinity' from supaqueue.queue q, generate_series(1, 3000);
         delete from supaqueue.job;
         vacuum analyze supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.queue, supaqueue.queue_front",
    ),
];

const REPORT: &str = "select public.end_current_job((select id from supaqueue.current_job), true, true, '{}', 60000)";
const BY_HAND: &str = "update supaqueue.current_job set is_complete = true, is_successful = true";
const INSERT: &str = "select supaqueue.enqueue('q', '1')";
const TICK: &str = "select supaqueue.tick()";
const WAYS_IN: [(&str, &str); 4] = [
    ("a report", REPORT),
    ("a report by hand", BY_HAND),
    ("an insert", INSERT),
    ("a tick", TICK),
];
/// Gives the call up, and nothing starts yet: triggers do not run.
const GIVE_UP: &str = "set session_replication_role = replica;
     delete from supaqueue.current_job; update supaqueue.worker set locked = false";

#[tokio::test]
async fn nothing_reads_more_of_the_jobs_than_it_needs_whatever_it_was_planned_for() {
    for (from, statistics) in STATISTICS {
        let db = Db::new().await;
        let admin = db.database().connect_as_admin().await.unwrap();
        db.queue("q", 1).await;
        for statement in statistics.split(';') {
            db.run(statement).await;
        }
        let mut sessions = Vec::new();
        for (name, way_in) in WAYS_IN {
            let session = db.connect().await;
            // Something to do for each, so that it plans all.
            db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
            for _ in 0..2 {
                run(&session, way_in).await;
            }
            db.run("delete from supaqueue.current_job; delete from supaqueue.job; update supaqueue.worker set locked = false").await;
            sessions.push((name, way_in, session));
        }

        db.run("insert into supaqueue.job (queue) select q.id from supaqueue.queue q, generate_series(1, 3000)").await;
        for (name, way_in, session) in sessions {
            if way_in == INSERT || way_in == TICK {
                run(&admin, GIVE_UP).await;
            }
            let read = rows_read(&session, "'job'", way_in).await;
            assert!(read <= 20, "{name}, planned for {from}, reads {read} rows");
            assert_eq!(
                db.get("select count(*) from supaqueue.current_job").await,
                "1",
                "{name} starts the next job"
            );
        }
    }
}
