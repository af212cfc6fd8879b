//! Sessions cache their query plans: one made while the tables are small, or with the statistics of
//! tables that were emptied, must stay cheap when they are full.

use supaqueue_tests::{rows_read, run};

use crate::database::AddOnDb;

/// Inserts pairs of jobs that never become due, the second of which waits for the first.
fn pairs(count: u32) -> String {
    format!(
        "insert into supaqueue.job (queue, run_at, payload)
         select q.id, 'infinity', jsonb_build_object('number', i)
         from supaqueue.queue q, generate_series(1, 2 * {count}) i;
         insert into supaqueue.job_dependencies (source, target)
         select s.id, t.id
         from supaqueue.job s join supaqueue.job t on (t.payload ->> 'number')::int = (s.payload ->> 'number')::int + 1
         where (s.payload ->> 'number')::int % 2 = 1"
    )
}

/// The life of a pipeline of three jobs: the first succeeds, the second fails, all are deleted.
const STEPS: [&str; 4] = [
    r#"select supaqueue.enqueue_pipeline('[
         {"name": "a", "queue": "q"}, {"name": "b", "queue": "q", "depends_on": ["a"]},
         {"name": "c", "queue": "q", "depends_on": ["b"]}]')"#,
    "select public.end_current_job((select id from supaqueue.current_job), true, true)",
    r#"select public.end_current_job((select id from supaqueue.current_job), true, false, '{"is_final": true}')"#,
    "delete from supaqueue.job where id = any (array(
       select j.id from supaqueue.job j
       where j.queue = supaqueue.queue_id('q') and j.status in ('successful', 'failed', 'cancelled') and j.finished_at is not null))",
];

const ANALYZE: &str =
    "analyze supaqueue.job, supaqueue.current_job, supaqueue.worker, supaqueue.queue,
     supaqueue.job_dependencies, supaqueue.dependent_job, supaqueue.dependency_change";

/// The tables whose rows are counted.
const TABLES: &str = "'job', 'job_dependencies', 'dependent_job', 'dependency_change'";

#[tokio::test]
async fn the_cost_does_not_depend_on_the_number_of_dependencies_even_with_a_stale_plan() {
    for (from, rows, are_deleted) in [
        ("no rows", String::new(), false),
        ("a few rows", pairs(3), false),
        ("tables that were emptied", pairs(1000), true),
    ] {
        let db = AddOnDb::new(1).await;
        db.run(&format!("begin; {rows}; commit")).await;
        if !rows.is_empty() {
            db.run(ANALYZE).await;
        }
        if are_deleted {
            db.run("delete from supaqueue.job").await;
            db.run(ANALYZE).await;
        }
        let session = db.connect().await;
        for _ in 0..7 {
            for step in STEPS {
                run(&session, step).await;
            }
        }
        db.run("delete from supaqueue.job").await;
        db.run(&pairs(3000)).await;
        for step in STEPS {
            let read = rows_read(&session, TABLES, step).await;
            assert!(
                read <= 200,
                "with a plan made for {from}, this reads {read} rows: {step}"
            );
        }
    }
}

#[tokio::test]
async fn a_source_with_many_targets_does_not_raise_the_estimate_for_others() {
    let db = AddOnDb::new(1).await;
    db.run(
        "begin;
         insert into supaqueue.job (id, queue, run_at) select id('source'), q.id, 'infinity' from supaqueue.queue q;
         insert into supaqueue.job (queue, payload) select q.id, '{\"waits\": true}' from supaqueue.queue q, generate_series(1, 1000);
         insert into supaqueue.job_dependencies (source, target)
         select id('source'), j.id from supaqueue.job j where j.payload = '{\"waits\": true}';
         commit",
    )
    .await;
    db.run("analyze supaqueue.job_dependencies").await;
    // The query of propagate_updated_jobs_tg_fn and propagate_deleted_jobs_tg_fn.
    db.run(
        "set plan_cache_mode = force_generic_plan;
         prepare is_source (uuid) as select exists (
           select from supaqueue.job_dependencies e where e.source = $1 order by e.target offset 0)",
    )
    .await;
    let plan = db.get("explain execute is_source (id('source'))").await;
    assert!(!plan.contains("rows=1000 "), "{plan}");
}

#[tokio::test]
async fn a_page_of_pipelines_reads_what_it_shows_even_with_a_stale_plan() {
    const PAGES: [&str; 2] = [
        "select supaqueue.list_pipelines(20)",
        "select supaqueue.show_pipeline((select e.source from supaqueue.job_dependencies e limit 1))",
    ];
    let db = AddOnDb::new(1).await;
    let session = db.connect().await;
    for _ in 0..7 {
        for page in PAGES {
            run(&session, page).await;
        }
    }
    db.run(&format!("begin; {}; commit", pairs(3000))).await;
    for page in PAGES {
        let read = rows_read(&session, TABLES, page).await;
        assert!(read <= 300, "this reads {read} rows: {page}");
    }
}
