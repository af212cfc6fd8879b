//! An operation beside ticks, reports, inserts, and somebody who stops it and lets it go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use supaqueue_tests::{Db, Session, TICK, eventually};

const JOBS: u32 = 3000;

#[tokio::test]
async fn each_job_that_matched_is_retried_once_and_no_other_is() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.queue("busy", 5).await;
    db.run(
        "create table public.retried (job uuid);
         create function public.note_retry() returns trigger language plpgsql as $$
         begin insert into public.retried values (new.id); return null; end $$;
         create trigger note_retry after update on supaqueue.job for each row when (old.ended_as is not null and new.ended_as is null)
           execute function public.note_retry()",
    )
    .await;
    db.run(&format!(
        "insert into supaqueue.job (queue, status) select q.id, 'failed' from supaqueue.queue q, generate_series(1, {JOBS}) where q.name = 'q'"
    ))
    .await;
    db.run("insert into supaqueue.operation (action, filter) values ('retry', '{\"status\": \"failed\"}')").await;

    let is_over = Arc::new(AtomicBool::new(false));
    let mut others = Vec::new();
    for statement in [
        TICK,
        TICK,
        // Each fails at once, after the operation was inserted.
        "select supaqueue.enqueue('busy', max_attempts => 1); insert into supaqueue.job (queue, status) select id, 'failed' from supaqueue.queue where name = 'q'",
        "select public.end_current_job(c.id, true, false) from supaqueue.current_job c order by c.id limit 3",
        "update supaqueue.operation set status = 'stopped' where status = 'running'",
        "update supaqueue.operation set status = 'running' where status = 'stopped'",
    ] {
        let session = Session::new(&db).await;
        let is_over = is_over.clone();
        others.push(tokio::spawn(async move {
            let mut times = 0;
            while !is_over.load(Ordering::Relaxed) {
                if let Err(error) = session.try_get(statement).await {
                    // It was done between the look at it and the update.
                    assert!(error.contains("it is done"), "{statement}: {error}");
                }
                times += 1;
            }
            times
        }));
    }
    eventually(
        db.client(),
        "select status from supaqueue.operation",
        "done",
    )
    .await;
    is_over.store(true, Ordering::Relaxed);
    for other in others {
        assert!(other.await.unwrap() > 0);
    }
    assert_eq!(
        db.get("select matched = done + refused, done > 2500 from supaqueue.operation")
            .await,
        "t|t"
    );
    assert_eq!(
        db.get("select (select done from supaqueue.operation) = count(*), count(*) = count(distinct r.job),
                  bool_and(j.created_at <= (select created_at from supaqueue.operation))
                from public.retried r join supaqueue.job j on j.id = r.job").await,
        "t|t|t"
    );
    let refusals = db
        .get("select refused, last_refusal from supaqueue.operation")
        .await;
    assert_eq!(
        db.get("select count(*) from supaqueue.job j, supaqueue.operation o where j.status = 'failed' and j.finished_at <= o.created_at").await,
        db.get("select refused from supaqueue.operation").await,
        "{refusals}"
    );
    assert_eq!(
        db.get("select * from supaqueue.problem where problem like '%operation%'")
            .await,
        ""
    );
}
