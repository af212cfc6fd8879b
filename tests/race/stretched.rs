//! With every commit stretched, an insert and a last report overlap nearly always.
//! No tick runs, so what is lost stays lost, and is counted.

use supaqueue_local::Database;
use supaqueue_tests::{Db, get, run};
use tokio::task::JoinSet;

use crate::broken::without_locks;
use crate::change::one_busy_worker;
use crate::lane::{ANY, LANE, NONE, only_call, succeed};
use crate::random::Random;

/// Lets each commit that ends a call or inserts a job take 30 ms more, after all else that it does.
const STRETCH: &str = "
    create function public.stretch() returns trigger language plpgsql as
      'begin perform pg_sleep(0.03); return null; end';
    create constraint trigger zz_stretch_tg after insert on supaqueue.job
      deferrable initially deferred for each row execute function public.stretch();
    create constraint trigger zz_stretch_tg after delete on supaqueue.current_job
      deferrable initially deferred for each row execute function public.stretch()";

/// Queues that race at the same time.
const QUEUES: u64 = 8;

/// How many of `QUEUES` × `rounds` wake-ups are lost.
async fn lost(db: &Db, rounds: u64) -> u64 {
    db.run(STRETCH).await;
    let mut queues = JoinSet::new();
    for number in 0..QUEUES {
        let database = db.database().clone();
        queues.spawn(async move { lost_in_queue(&database, number, rounds).await });
    }
    queues.join_all().await.into_iter().sum()
}

/// One queue with one worker and one call, which ends while a job is inserted.
async fn lost_in_queue(database: &Database, number: u64, rounds: u64) -> u64 {
    let mut random = Random::new(number);
    let queue = format!("queue {number}");
    let lane = database.connect().await.unwrap();
    let inserter = database.connect().await.unwrap();
    run(&lane, &one_busy_worker(&queue)).await;
    let mut lost = 0;
    for _ in 0..rounds {
        let next = if random.percent(50) { ANY } else { NONE };
        let report = succeed(&only_call(&queue), LANE, next);
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
        let is_lost = format!("select not exists {}", only_call(&queue));
        if get(&lane, &is_lost).await == "t" {
            lost += 1;
            let start = format!("select supaqueue.dispatch(array[supaqueue.queue_id('{queue}')])");
            run(&lane, &start).await;
        }
    }
    lost
}

#[tokio::test]
async fn of_hundreds_of_wake_ups_none_is_lost_when_commits_are_stretched() {
    assert_eq!(
        lost(&Db::new().await, 50).await,
        0,
        "wake-ups are lost, of 400"
    );
}

#[tokio::test]
async fn stretched_commits_show_that_the_lock_is_needed() {
    let db = Db::new().await;
    without_locks(&db).await;
    assert_ne!(
        lost(&db, 10).await,
        0,
        "without the queue's lock some of 80 wake-ups are lost"
    );
}
