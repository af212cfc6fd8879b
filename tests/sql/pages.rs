//! What is listed, counted, shown and acted on reads its page only, however many jobs there are.

use std::fs;

use supaqueue_tests::{Db, repository, rows_read};

/// A twentieth of the million jobs that the bench measures with.
async fn many_jobs() -> Db {
    let db = Db::new().await;
    let path = repository().join("dev/bench/sql/million.sql");
    let all = fs::read_to_string(path).unwrap();
    let few = all.replace("generate_series(1, 1000000)", "generate_series(1, 50000)");
    assert_ne!(all, few);
    let some = few.replace("interval '30 days'", "interval '1 day'");
    assert_ne!(few, some, "what is charted");
    db.run(&format!("begin; {some}; commit")).await;
    db
}

#[tokio::test]
async fn the_million_jobs_of_the_bench_are_where_they_belong() {
    let db = many_jobs().await;
    let misplaced = "select supaqueue.misplaced_jobs(array(select id from supaqueue.job))";
    assert_eq!(db.get(misplaced).await, "{}");
    let count = "select (select count(*) from supaqueue.job where status in ('pending', 'waiting'))
        = (select count(*) from supaqueue.ready_job) + (select count(*) from supaqueue.held_job)";
    assert_eq!(db.get(count).await, "t");
    let indexes =
        "select count(*) from pg_indexes where tablename = 'job' and schemaname = 'supaqueue'";
    let other = Db::new().await;
    assert_eq!(db.get(indexes).await, other.get(indexes).await);
    assert_eq!(
        db.get("select count(*) from pg_trigger where tgenabled <> 'O' and tgrelid in ('supaqueue.job'::regclass, 'supaqueue.ready_job'::regclass)").await,
        "0"
    );
    db.tick().await;
    assert_eq!(db.get("select * from supaqueue.problem").await, "");
    assert_eq!(
        db.get("select count(*) from supaqueue.job where status = 'in_progress'")
            .await,
        "0"
    );
}

#[tokio::test]
async fn a_page_reads_no_more_jobs_than_it_has() {
    let db = many_jobs().await;
    let group = db
        .get("select quote_literal(error_group) from supaqueue.job where status = 'failed' limit 1")
        .await;
    let ids = db
        .get("select json_agg(id) from (select id from supaqueue.job order by random() limit 30) j")
        .await;
    let key = db
        .get("select key from supaqueue.job where key is not null limit 1")
        .await;
    let id = "(select job from supaqueue.held_job limit 1)";
    // Each job is read once to find it and once to show it, and the first one of each range is read to
    // merge them. A page of jobs that have not ended looks at the places of all that are as few as here.
    let places = 1200;
    for (statement, most) in [
        ("select supaqueue.list_jobs()".to_owned(), 120),
        ("select supaqueue.list_jobs('{\"status\": \"failed\"}')".into(), 120),
        ("select supaqueue.list_jobs('{\"status\": [\"successful\", \"cancelled\"], \"queue\": \"emails\"}')".into(), 120),
        ("select supaqueue.list_jobs('{\"finished_before\": \"2099-01-01\", \"finished_after\": \"2020-01-01\"}')".into(), 120),
        (format!("select supaqueue.list_jobs(jsonb_build_object('error_group', {group}))"), 120),
        (format!("select supaqueue.list_jobs('{{\"ids\": {ids}}}')"), 60),
        (format!("select supaqueue.list_jobs('{{\"key\": \"{key}\"}}')"), 4),
        ("select supaqueue.list_jobs('{\"tenant\": \"customer-7\"}')".into(), 30),
        ("select supaqueue.list_jobs('{\"tenant\": \"customer-7\", \"status\": \"failed\"}')".into(), 30),
        ("select supaqueue.list_jobs('{\"status\": \"waiting\"}')".into(), 600),
        ("select supaqueue.list_jobs('{\"status\": \"pending\"}')".into(), 2 * places + 200),
        ("select supaqueue.list_jobs('{\"queue\": \"reports\"}')".into(), 2 * places + 200),
        // A condition that is in no index: the jobs that were looked at, which a page bounds.
        ("select supaqueue.list_jobs('{\"http_status\": 418}')".into(), 10_000),
        ("select supaqueue.list_jobs('{\"payload\": {\"customer\": 1}, \"status\": \"failed\"}')".into(), 4000),
        ("select supaqueue.preview('retry', '{}')".into(), 4200),
        ("select supaqueue.preview('cancel', '{\"queue\": \"reports\"}')".into(), 3 * places),
        // held_job is small enough here to be read as a whole.
        (format!("select supaqueue.show_job({id})"), 300),
        (format!("select supaqueue.run_now({id})"), 320),
    ] {
        let read = rows_read(db.client(), "'job', 'ready_job', 'held_job'", &statement).await;
        assert!(read <= most, "{statement} reads {read} rows, not {most}");
    }
    let read = rows_read(
        db.client(),
        "'job'",
        "select supaqueue.list_jobs('{\"queue\": \"reports\"}')",
    )
    .await;
    assert!(read <= 150, "{read}");
    // A job is found, locked, looked at, changed and looked at again.
    db.run("insert into supaqueue.operation (action, filter) values ('retry', '{\"status\": \"failed\"}')").await;
    let read = rows_read(
        db.client(),
        "'job', 'ready_job', 'held_job'",
        "select supaqueue.operate()",
    )
    .await;
    assert_eq!(db.get("select done from supaqueue.operation").await, "1000");
    assert!((3000..9000).contains(&read), "a piece reads {read} rows");
    db.run("update supaqueue.operation set status = 'stopped'")
        .await;
    // A piece that matches nothing looks at 10,000 jobs.
    db.run("insert into supaqueue.operation (action, filter) values ('delete', '{\"http_status\": 418}')").await;
    let read = rows_read(
        db.client(),
        "'job', 'ready_job', 'held_job'",
        "select supaqueue.operate()",
    )
    .await;
    assert!(read <= 10_000 + 5 * places, "a piece reads {read} rows");
}
