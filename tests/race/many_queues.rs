//! Transactions that use several queues, in any order, do not deadlock.

use supaqueue_tests::protocol::{
    NONE, RUN, acknowledge, current_job_of, end_lease, next_number, pulse, server_is_old, succeed,
};
use supaqueue_tests::{Db, Session, TICK, get};

use crate::invariants::{Check, ensure, no_worker_idles_beside_a_due_job, state_is_consistent};
use crate::random::Random;

/// The request of a pulse that asks for calls of all queues.
const CLAIM_ALL: &str =
    "(select jsonb_build_object('queues', jsonb_agg(jsonb_build_object('id', q.id)),
  'limits', '{\"calls\": 2}'::jsonb) from supaqueue.queue q)";

#[tokio::test]
async fn inserts_into_many_queues_in_any_order_do_not_deadlock() {
    let db = Db::new().await;
    let queues = ["a", "b", "c", "d", "e"];
    for queue in queues {
        db.queue(queue, 2).await;
    }
    let (mut inserters, mut lanes, mut pulses) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..8 {
        inserters.push(Session::new(&db).await);
        lanes.push(Session::new(&db).await);
    }
    for number in 0..4 {
        let run = format!("00000000-0000-0000-0000-00000000000{number}");
        pulses.push((Session::new(&db).await, run));
    }
    let mut random = Random::new(7);
    for round in 0..12 {
        let inserts: Vec<_> = inserters
            .iter()
            .map(|session| {
                let inserts: Vec<_> = (0..4)
                    .map(|_| format!("select supaqueue.enqueue('{}')", random.pick(&queues)))
                    .collect();
                session.start(&format!("begin; {}; commit", inserts.join("; ")))
            })
            .collect();
        let calls = get(
            db.client(),
            "select id, coalesce(run, gen_random_uuid()), state from supaqueue.current_job",
        )
        .await;
        let reports: Vec<_> = calls
            .lines()
            .zip(&lanes)
            .map(|(call, lane)| {
                let columns: Vec<_> = call.split('|').collect();
                let (id, run) = (format!("'{}'", columns[0]), columns[1]);
                let report = succeed(&id, run, NONE);
                lane.start(&match columns[2] {
                    "sent" => format!("begin; {}; commit; {report}", acknowledge(&id, run)),
                    _ => report,
                })
            })
            .collect();
        let pulses: Vec<_> = pulses
            .iter()
            .map(|(session, run)| session.start(&pulse(run, next_number(run), CLAIM_ALL)))
            .collect();
        for statement in inserts.into_iter().chain(reports).chain(pulses) {
            statement
                .finish()
                .await
                .unwrap_or_else(|error| panic!("in round {round}: {error}"));
        }
        assert_eq!(no_worker_idles_beside_a_due_job(db.client()).await, Ok(()));
        assert_eq!(state_is_consistent(db.client()).await, Ok(()));
    }
}

/// A tick that takes back a lost call, and by that wakes another queue, beside an insert into both.
pub(crate) async fn a_tick_that_wakes_another_queue_causes_no_deadlock(db: &Db) -> Check {
    server_is_old(db).await;
    // The queue that is woken comes first by its id.
    db.run(
        "insert into supaqueue.queue (id, name, edge_function_name, max_attempts) values
           ('00000000-0000-7000-8000-00000000000a', 'woken', 'hello', 3),
           ('00000000-0000-7000-8000-00000000000b', 'lost', 'hello', 1);
         create function public.note_failure() returns trigger language plpgsql as $$
         begin perform supaqueue.enqueue('woken', '\"because\"'); return null; end $$;
         create trigger note_failure after update on supaqueue.job for each row
           when (new.status = 'failed') execute function public.note_failure();
         select supaqueue.set_workers('woken', 2), supaqueue.set_workers('lost', 2)",
    )
    .await;
    db.run("select supaqueue.enqueue('lost')").await;
    db.run(&acknowledge(&current_job_of("lost"), RUN)).await;
    db.run(&end_lease(RUN)).await;
    let insert = Session::new(db).await;
    insert
        .run("begin; select supaqueue.enqueue('woken'); set constraints all immediate")
        .await;
    let tick = Session::new(db).await.start(TICK);
    tick.blocks_on(db, &insert).await;
    insert
        .run("set constraints all deferred; select supaqueue.enqueue('lost')")
        .await;
    let commit = insert.start("commit");
    tick.finish().await?;
    commit.finish().await?;
    db.tick().await;
    let jobs = db
        .get("select payload, status from supaqueue.job order by position")
        .await;
    ensure!(
        jobs == "{}|failed\n{}|in_progress\n{}|in_progress\n\"because\"|in_progress"
            || jobs == "{}|failed\n{}|in_progress\n\"because\"|in_progress\n{}|in_progress",
        "the jobs are\n{jobs}"
    );
    state_is_consistent(db.client()).await
}

#[tokio::test]
async fn a_tick_that_wakes_another_queue_does_not_deadlock_with_an_insert() {
    assert_eq!(
        a_tick_that_wakes_another_queue_causes_no_deadlock(&Db::new().await).await,
        Ok(())
    );
}
