//! With every commit slowed down, an insert and a last report almost always overlap. No tick runs, so
//! lost wake-ups stay lost and can be counted.

use supaqueue_local::Database;
use supaqueue_tests::protocol::{ANY, NONE, RUN, current_job_of, succeed};
use supaqueue_tests::{Db, get, run};
use tokio::task::JoinSet;

use crate::broken_engine::without_locks;
use crate::random::Random;
use crate::transactions::one_busy_worker;

/// Makes each commit that ends a call or inserts a job take 30 ms longer, after all its other work.
const SLOW_COMMITS: &str = "
    create function public.slow_commit() returns trigger language plpgsql as
      'begin perform pg_sleep(0.03); return null; end';
    create constraint trigger zz_slow_commit_tg after insert on supaqueue.job
      deferrable initially deferred for each row execute function public.slow_commit();
    create constraint trigger zz_slow_commit_tg after delete on supaqueue.current_job
      deferrable initially deferred for each row execute function public.slow_commit()";

/// Number of queues that race at the same time.
const QUEUES: u64 = 8;

fn name(number: u64) -> String {
    format!("queue {number}")
}

/// How many of `QUEUES` × `rounds` wake-ups are lost.
async fn lost(db: &Db, rounds: u64) -> u64 {
    db.run(SLOW_COMMITS).await;
    let mut queues = JoinSet::new();
    for number in 0..QUEUES {
        db.run(&one_busy_worker(&name(number))).await;
        let database = db.database().clone();
        queues.spawn(async move { lost_in_queue(&database, number, rounds).await });
    }
    queues.join_all().await.into_iter().sum()
}

/// One queue with one worker and one call, which ends while a job is inserted.
async fn lost_in_queue(database: &Database, number: u64, rounds: u64) -> u64 {
    let mut random = Random::new(number);
    let queue = name(number);
    let lane = database.connect().await.unwrap();
    let inserter = database.connect().await.unwrap();
    let mut lost = 0;
    for _ in 0..rounds {
        let next = if random.percent(50) { ANY } else { NONE };
        let report = succeed(&current_job_of(&queue), RUN, next);
        let (early, late) = (random.below(40), random.below(40));
        let report = async {
            run(&lane, &format!("select pg_sleep({early} / 1000.0)")).await;
            run(&lane, &report).await;
        };
        let insert = async {
            run(&inserter, &format!("select pg_sleep({late} / 1000.0)")).await;
            run(&inserter, &format!("select supaqueue.enqueue('{queue}')")).await;
        };
        tokio::join!(report, insert);
        let has_call = format!("select exists {}", current_job_of(&queue));
        if get(&lane, &has_call).await == "t" {
            continue;
        }
        // On a slow machine, a commit may give up waiting for the lock: the tick knows.
        let is_noted = format!(
            "select exists (select from supaqueue.unfinished where queue = supaqueue.queue_id('{queue}'))"
        );
        lost += u64::from(get(&lane, &is_noted).await == "f");
        let look_after =
            format!("select supaqueue.look_after(supaqueue.queue_id('{queue}'), true)");
        run(&lane, &look_after).await;
    }
    lost
}

#[tokio::test]
async fn no_wake_up_in_hundreds_is_lost_when_commits_are_slow() {
    assert_eq!(
        lost(&Db::new().await, 50).await,
        0,
        "some of 400 wake-ups are lost"
    );
}

#[tokio::test]
async fn slow_commits_lose_wake_ups_without_the_queues_lock() {
    let db = Db::new().await;
    without_locks(&db).await;
    assert_ne!(
        lost(&db, 10).await,
        0,
        "none of 80 wake-ups is lost without the queue's lock"
    );
}
