//! The tick: it commits queue by queue, leaves a sign of life, and its silence is a problem.

use supaqueue_tests::{Db, TICK, TICK_IN_TRANSACTION, break_function, eventually, run, try_get};

async fn problem_and_remedy(db: &Db) -> String {
    db.get("select problem || ' / ' || remedy from supaqueue.problem")
        .await
}

/// Counts, when a job changes, the advisory locks that its transaction holds.
const WATCH_LOCKS: &str = "
    create table public.held (locks bigint);
    create function public.watch_locks() returns trigger language plpgsql as $$
    begin
      insert into public.held
      select count(*) from pg_locks where pid = pg_backend_pid() and locktype = 'advisory';
      return null;
    end $$;
    create trigger zz_watch_locks after update on supaqueue.job
      for each statement execute function public.watch_locks()";

/// Many queues with a worker and a due job each, inserted by one statement.
async fn due_jobs_in_many_queues(db: &Db, queues: u32) {
    db.run(&format!(
        "insert into supaqueue.queue (name, edge_function_name) select 'q' || i, 'hello' from generate_series(1, {queues}) i;
         insert into supaqueue.worker (queue) select id from supaqueue.queue"
    ))
    .await;
    db.run("insert into supaqueue.job (queue) select id from supaqueue.queue")
        .await;
}

async fn most_locks(db: &Db) -> u32 {
    db.get("select coalesce(max(locks), 0) from public.held")
        .await
        .parse()
        .unwrap()
}

const UNSTARTED: &str = "select count(*) from supaqueue.job where status <> 'in_progress'";

#[tokio::test]
async fn an_insert_into_thousands_of_queues_starts_some_and_the_tick_the_rest() {
    let db = Db::new().await;
    db.run(WATCH_LOCKS).await;
    due_jobs_in_many_queues(&db, 2000).await;
    let left: u32 = db.get(UNSTARTED).await.parse().unwrap();
    assert!(left > 0 && left < 2000, "{left} jobs are left to the tick");
    assert!(
        most_locks(&db).await < 200,
        "an insert holds {} locks",
        most_locks(&db).await
    );
    db.tick().await;
    assert_eq!(db.get(UNSTARTED).await, "0", "one tick starts them all");
    assert!(
        most_locks(&db).await < 200,
        "a tick holds {} locks",
        most_locks(&db).await
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.unfinished").await,
        "0"
    );
}

#[tokio::test]
async fn the_tick_commits_a_queue_before_it_goes_on_to_the_next() {
    let db = Db::new().await;
    db.run(
        "create table public.started (transaction xid8);
         create function public.note() returns trigger language plpgsql as $$
         begin insert into public.started values (pg_current_xact_id()); return null; end $$;
         create trigger note after update on supaqueue.job for each row when (new.status = 'in_progress')
           execute function public.note()",
    )
    .await;
    for queue in ["a", "b", "c"] {
        db.queue(queue, 1).await;
    }
    db.run("insert into supaqueue.job (queue, run_at) select id, clock_timestamp() + interval '50 ms' from supaqueue.queue").await;
    eventually(
        db.client(),
        "select bool_and(run_at < clock_timestamp()) from supaqueue.job",
        "t",
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select count(*), count(distinct transaction) from public.started")
            .await,
        "3|3"
    );
}

#[tokio::test]
async fn the_tick_can_be_called_anywhere() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', run_at => now() + interval '1 hour'); update supaqueue.job set run_at = clock_timestamp()").await;
    for statements in [
        format!("begin; {TICK_IN_TRANSACTION}; commit"),
        format!("{TICK_IN_TRANSACTION}; select 1"),
        format!("do $$ begin {TICK_IN_TRANSACTION}; end $$"),
    ] {
        db.run("update supaqueue.last_tick set finished_at = null")
            .await;
        db.run(&statements).await;
        assert_eq!(
            db.get("select finished_at is not null from supaqueue.last_tick")
                .await,
            "t",
            "{statements}"
        );
    }
}

#[tokio::test]
async fn a_tick_that_is_not_scheduled_is_a_problem() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', run_at => now() + interval '1 minute')")
        .await;
    db.run("delete from cron.job").await;
    let problem = problem_and_remedy(&db).await;
    assert!(
        problem.contains("not scheduled") && problem.contains("select supaqueue.schedule_tick()"),
        "{problem}"
    );
    let explanation = db
        .get("select supaqueue.explain(id) from supaqueue.job")
        .await;
    assert!(explanation.contains("not scheduled"), "{explanation}");

    db.run("select supaqueue.schedule_tick()").await;
    db.tick().await;
    assert_eq!(problem_and_remedy(&db).await, "");
}

#[tokio::test]
async fn an_inactive_tick_is_a_problem_until_it_is_scheduled_again() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.schedule_tick()").await;
    db.tick().await;
    assert_eq!(problem_and_remedy(&db).await, "");
    db.run("select cron.alter_job(jobid, active => false) from cron.job")
        .await;
    let problem = problem_and_remedy(&db).await;
    assert!(
        problem.contains("inactive") && problem.contains("select supaqueue.schedule_tick()"),
        "{problem}"
    );
    db.run("select supaqueue.schedule_tick()").await;
    assert_eq!(db.get("select active from cron.job").await, "t");
    assert_eq!(problem_and_remedy(&db).await, "");
}

#[tokio::test]
async fn a_tick_that_runs_no_more_is_a_problem_that_says_since_when() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.schedule_tick()").await;
    db.tick().await;
    // As on a server that has run for long: the first tick is given some time.
    let started = "pg_postmaster_start_time()";
    break_function(db.client(), "tick_problem", started, "'-infinity'").await;
    db.run("update supaqueue.version set applied_at = '-infinity'")
        .await;
    db.run("update supaqueue.last_tick set started_at = now() - interval '1 hour', finished_at = now() - interval '1 hour'").await;
    let problem = problem_and_remedy(&db).await;
    assert!(problem.contains("last ran"), "{problem}");
    db.run("select supaqueue.enqueue('q', run_at => now() + interval '1 minute')")
        .await;
    let explanation = db
        .get("select supaqueue.explain(id) from supaqueue.job")
        .await;
    assert!(explanation.contains("last ran"), "{explanation}");
    db.tick().await;
    assert_eq!(problem_and_remedy(&db).await, "");
}

/// pg_cron's log may be switched off, and may hold millions of rows.
#[tokio::test]
async fn the_sign_of_life_does_not_depend_on_the_log_of_pg_cron() {
    let db = Db::new().await;
    let admin = db.database().connect_as_admin().await.unwrap();
    db.run("select supaqueue.schedule_tick()").await;
    run(&admin, "alter table cron.job_run_details rename to gone").await;
    db.tick().await;
    assert_eq!(problem_and_remedy(&db).await, "");
}

#[tokio::test]
async fn a_tick_whose_steps_all_fail_still_says_that_it_ran() {
    let db = Db::new().await;
    let admin = db.database().connect_as_admin().await.unwrap();
    db.queue("q", 1).await;
    run(
        &admin,
        "drop schema net cascade; drop schema vault cascade; drop schema cron cascade",
    )
    .await;
    db.run("select supaqueue.enqueue('q')").await;
    let result = try_get(db.client(), TICK).await;
    assert_eq!(result, Ok(String::new()));
    assert_eq!(
        db.get("select finished_at > now() - interval '1 minute' from supaqueue.last_tick")
            .await,
        "t"
    );
}
