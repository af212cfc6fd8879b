//! The view `queue_status`.

use supaqueue_tests::protocol::{NONE, RUN, acknowledge_all, current_job_of, succeed};
use supaqueue_tests::{Db, TICK, run};

/// The counts in `queue_status`, and those of a full count.
async fn counts(db: &Db) -> (String, String) {
    let statuses = [
        "pending",
        "waiting",
        "in_progress",
        "successful",
        "failed",
        "cancelled",
    ];
    let counted: Vec<_> = statuses
        .map(|status| format!("(select count(*) from supaqueue.job j where j.queue = q.id and j.status = '{status}')"))
        .into();
    (
        db.get(&format!(
            "select name, {} from supaqueue.queue_status order by name",
            statuses.join(", ")
        ))
        .await,
        db.get(&format!(
            "select name, {} from supaqueue.queue q order by name",
            counted.join(", ")
        ))
        .await,
    )
}

#[tokio::test]
async fn counts_equal_a_full_count_after_every_kind_of_change() {
    check_counts_after_every_change(&Db::new().await).await;
}

/// Such a publication rejects changes to tables without a replica identity.
#[tokio::test]
async fn a_publication_for_all_tables_rejects_no_change() {
    let db = Db::new().await;
    let admin = db.database().connect_as_admin().await.unwrap();
    run(&admin, "create publication everything for all tables").await;
    check_counts_after_every_change(&db).await;
}

async fn check_counts_after_every_change(db: &Db) {
    db.queue("a", 3).await;
    db.queue("b", 1).await;
    db.queue("empty", 1).await;
    for change in [
        "select supaqueue.enqueue_many('a', array_fill('{}'::jsonb, array[20]))",
        "select supaqueue.enqueue('b', max_attempts => 1)",
        "insert into supaqueue.job (queue, status) select id, 'waiting' from supaqueue.queue",
        "select public.end_current_job(id, true, true) from supaqueue.current_job",
        "select public.end_current_job(id, true, false) from supaqueue.current_job",
        "update supaqueue.job set status = 'cancelled' where status = 'waiting'",
        "update supaqueue.job set status = 'pending' where status = 'failed'",
        TICK,
        "update supaqueue.job set queue = (select id from supaqueue.queue where name = 'b') where status = 'pending'",
        "delete from supaqueue.job where status = 'cancelled'",
        "begin; delete from supaqueue.job; rollback",
        "delete from supaqueue.queue where name = 'b'",
        TICK,
        TICK,
    ] {
        db.run(change).await;
        let (status, counted) = counts(db).await;
        assert_eq!(status, counted, "after {change}");
    }
}

#[tokio::test]
async fn counting_reads_indexes_and_no_more_than_100_001_entries() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run(
        "insert into supaqueue.job (queue, status)
         select q.id, s.status from supaqueue.queue q, unnest(array['pending', 'waiting', 'successful', 'failed', 'cancelled']) s (status), generate_series(1, 500)",
    )
    .await;
    db.run("set enable_seqscan = off").await;
    let plan = db.get("explain select * from supaqueue.queue_status").await;
    for index in ["ready_job_pkey", "held_job_queue", "job_finished"] {
        assert!(
            plan.contains(&format!(" {index} ")),
            "{index} is not used: {plan}"
        );
    }
    assert_eq!(plan.matches("Limit").count(), 5, "{plan}");
    assert!(!plan.contains("Seq Scan on job "), "{plan}");
}

#[tokio::test]
async fn the_view_counts_all_workers_and_busy_ones() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue('q')").await;
    assert_eq!(
        db.get("select workers, busy_workers from supaqueue.queue_status")
            .await,
        "3|1"
    );
}

#[tokio::test]
async fn a_job_that_waits_to_be_settled_is_in_progress() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(
        "create function public.refuse() returns trigger language plpgsql as $$
           begin raise exception 'not now'; end $$;
         create trigger refuse before update on supaqueue.job
         for each row when (new.status = 'successful') execute function public.refuse()",
    )
    .await;
    db.run(&succeed(&current_job_of("q"), RUN, NONE)).await;
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "0"
    );
    let (got, want) = counts(&db).await;
    assert_eq!(want, "q|0|0|1|0|0|0");
    assert_eq!(got, want);
    run(db.client(), "set role service_role").await;
    assert_eq!(counts(&db).await.0, want, "service_role may see it");
}
