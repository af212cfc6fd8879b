//! What a session plans while the tables are small, or their statistics are those of emptied
//! tables, still serves it when they are full: plans are kept.

use supaqueue_tests::{rows_read, run};

use crate::house::House;

/// Two jobs that nothing starts, one of which waits for the other, so many times.
fn pairs(how_many: u32) -> String {
    format!(
        "insert into supaqueue.job (queue, run_at, payload)
         select q.id, 'infinity', jsonb_build_object('number', i)
         from supaqueue.queue q, generate_series(1, 2 * {how_many}) i;
         insert into supaqueue.job_dependencies (source, target)
         select s.id, t.id
         from supaqueue.job s join supaqueue.job t on (t.payload ->> 'number')::int = (s.payload ->> 'number')::int + 1
         where (s.payload ->> 'number')::int % 2 = 1"
    )
}

/// A pipeline of three, and what becomes of it: a source succeeds, one fails, one waits.
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

/// What is counted: the add-on's tables, and the jobs.
const TABLES: &str = "'job', 'job_dependencies', 'dependent_job', 'dependency_change'";

#[tokio::test]
async fn a_small_pipeline_reads_no_more_than_it_needs_whatever_it_was_planned_for() {
    for (from, rows, are_deleted) in [
        ("no rows", String::new(), false),
        ("a few rows", pairs(3), false),
        ("tables that were emptied", pairs(1000), true),
    ] {
        let house = House::new(1).await;
        house.run(&format!("begin; {rows}; commit")).await;
        if !rows.is_empty() {
            house.run(ANALYZE).await;
        }
        if are_deleted {
            house.run("delete from supaqueue.job").await;
            house.run(ANALYZE).await;
        }
        let session = house.connect().await;
        for _ in 0..7 {
            for step in STEPS {
                run(&session, step).await;
            }
        }
        house.run("delete from supaqueue.job").await;
        house.run(&pairs(3000)).await;
        for step in STEPS {
            let read = rows_read(&session, TABLES, step).await;
            assert!(
                read <= 200,
                "planned for {from}, this reads {read} rows: {step}"
            );
        }
    }
}

#[tokio::test]
async fn one_source_of_many_targets_does_not_make_postgres_expect_as_many_of_each() {
    let house = House::new(1).await;
    house
        .run(
            "begin;
             insert into supaqueue.job (id, queue, run_at) select id('source'), q.id, 'infinity' from supaqueue.queue q;
             insert into supaqueue.job (queue, payload) select q.id, '{\"waits\": true}' from supaqueue.queue q, generate_series(1, 1000);
             insert into supaqueue.job_dependencies (source, target)
             select id('source'), j.id from supaqueue.job j where j.payload = '{\"waits\": true}';
             commit",
        )
        .await;
    house.run("analyze supaqueue.job_dependencies").await;
    // As pass_on_updated_jobs_tg_fn and pass_on_deleted_jobs_tg_fn ask, of any job.
    house
        .run(
            "set plan_cache_mode = force_generic_plan;
             prepare is_source (uuid) as select exists (
               select from supaqueue.job_dependencies e where e.source = $1 order by e.target offset 0)",
        )
        .await;
    let plan = house.get("explain execute is_source (id('source'))").await;
    assert!(!plan.contains("rows=1000 "), "{plan}");
}
