//! How long finished jobs are kept.

use supaqueue_tests::Db;

#[tokio::test]
async fn finished_jobs_are_kept_as_long_as_the_queue_says() {
    let db = Db::new().await;
    db.queue("kept", 0).await;
    db.queue("short", 0).await;
    db.run("update supaqueue.queue set keep_successful_for = '1 hour', keep_failed_for = '2 hours' where name = 'short'").await;
    db.run(
        "insert into supaqueue.job (queue, status, finished_at, payload)
         select q.id, s.status, case when s.status <> 'pending' then now() - a.age end, to_jsonb(q.name || ' ' || s.status || ' ' || a.age)
         from supaqueue.queue q,
           (values ('pending'), ('successful'), ('failed'), ('cancelled')) as s (status),
           (values (interval '90 min'), ('6 days'), ('8 days')) as a (age)",
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select split_part(payload #>> '{}', ' ', 1), status, count(*) from supaqueue.job group by 1, 2 order by 1, 2").await,
        "kept|cancelled|2\nkept|failed|3\nkept|pending|3\nkept|successful|2\nshort|failed|1\nshort|pending|3",
        "by default successful and cancelled jobs are kept for 7 days, failed ones for ever"
    );
}

#[tokio::test]
async fn a_tick_deletes_one_batch_oldest_first() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("update supaqueue.setting set retention_batch = 2")
        .await;
    db.run("insert into supaqueue.job (queue, status, finished_at, payload)
            select q.id, 'successful', now() - i * interval '10 days', to_jsonb(i) from supaqueue.queue q, generate_series(1, 5) i").await;
    db.tick().await;
    assert_eq!(
        db.get("select string_agg(payload::text, ' ' order by payload) from supaqueue.job")
            .await,
        "1 2 3"
    );
}
