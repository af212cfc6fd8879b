//! The view `problem` and `explain` name whatever keeps jobs from running, in the database's own words,
//! and fail in no state of the project.

use supaqueue_tests::protocol::{LOSE_CALLS, RUN, acknowledge, current_job_of};
use supaqueue_tests::{Db, SECRET, TICK, break_function, eventually, get, run};
use tokio_postgres::Client;

const PROBLEM: &str = "select problem from supaqueue.problem where queue is null order by 1";
const STATUS: &str = "select status from supaqueue.job order by position desc limit 1";

/// A database with one queue, and a superuser who can break it.
async fn project() -> (Db, Client) {
    let db = Db::new().await;
    db.queue("q", 2).await;
    let admin = db.database().connect_as_admin().await.unwrap();
    (db, admin)
}

/// A job is inserted and stays pending; problem and explain say why. Returns what problem says.
async fn says_why(db: &Db, words: &str) -> String {
    db.run("select supaqueue.enqueue('q')").await;
    db.tick().await;
    assert_eq!(db.get(STATUS).await, "pending");
    let problem = db
        .get("select problem || ' / ' || remedy from supaqueue.problem")
        .await;
    assert!(
        problem.contains(words),
        "{words:?} is missing in: {problem}"
    );
    let explanation = db
        .get("select supaqueue.explain(id) from supaqueue.job order by position desc limit 1")
        .await;
    assert!(
        explanation.contains(words),
        "{words:?} is missing in: {explanation}"
    );
    problem
}

async fn starts_again(db: &Db) {
    let admin = db.database().connect_as_admin().await.unwrap();
    run(
        &admin,
        "update supaqueue.unfinished set retry_at = '-infinity'",
    )
    .await;
    db.tick().await;
    assert_eq!(db.get(STATUS).await, "in_progress");
    assert_eq!(db.get(PROBLEM).await, "");
}

/// After a restore, on a branch, with another root key.
#[tokio::test]
async fn a_vault_that_cannot_be_decrypted_is_named_and_a_new_secret_replaces_the_old() {
    let (db, admin) = project().await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(&acknowledge(&current_job_of("q"), RUN)).await;
    db.run(LOSE_CALLS).await;
    run(
        &admin,
        "update vault.emulation_key set key = extensions.gen_random_bytes(32)",
    )
    .await;
    let words = db
        .refusal("select decrypted_secret from vault.decrypted_secrets")
        .await;
    says_why(&db, &words).await;
    assert_eq!(
        db.get("select errors #>> '{0,message}' like 'lost:%' from supaqueue.job order by position limit 1").await,
        "t",
        "what needs no secret goes on"
    );
    for (name, value) in [("secret", SECRET), ("url", "http://127.0.0.1:9")] {
        db.run(&format!(
            "delete from vault.secrets where name = 'supaqueue_{name}'; select vault.create_secret('{value}', 'supaqueue_{name}')"
        ))
        .await;
    }
    starts_again(&db).await;
}

#[tokio::test]
async fn an_overloaded_http_post_is_not_taken_for_a_missing_extension() {
    let (db, admin) = project().await;
    run(&admin, "create function net.http_post(url text, body jsonb) returns bigint language sql as 'select 1::bigint'").await;
    db.run("select supaqueue.enqueue('q')").await;
    assert_eq!(db.get(STATUS).await, "in_progress");
    assert_eq!(db.get(PROBLEM).await, "");
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        "1"
    );
}

#[tokio::test]
async fn an_ambiguous_http_post_is_named_in_the_words_of_postgres() {
    let (db, admin) = project().await;
    run(
        &admin,
        "create function net.http_post(
           url text, body jsonb, headers jsonb, timeout_milliseconds int, params jsonb default '{}', more text default '')
         returns bigint language sql as 'select 1::bigint'",
    )
    .await;
    says_why(&db, "net.http_post").await;
    run(
        &admin,
        "drop function net.http_post(text, jsonb, jsonb, int, jsonb, text)",
    )
    .await;
    starts_again(&db).await;
}

#[tokio::test]
async fn a_request_that_pg_net_refuses_is_named_in_its_words() {
    let (db, admin) = project().await;
    run(&admin, "create function net.refuse() returns trigger language plpgsql as $$ begin raise exception 'the disk is full'; end $$;
                 create trigger refuse before insert on net.http_request_queue for each row execute function net.refuse()").await;
    says_why(&db, "the disk is full").await;
    assert_eq!(
        db.get(
            "select attempts from supaqueue.job; select count(*) from supaqueue.worker where locked"
        )
        .await,
        "0\n0",
        "no attempt is spent and no worker is taken"
    );
    run(&admin, "drop trigger refuse on net.http_request_queue").await;
    starts_again(&db).await;
}

#[tokio::test]
async fn a_right_that_was_taken_away_is_named_in_the_words_of_postgres() {
    let (db, admin) = project().await;
    run(&admin, "revoke usage on schema net from public").await;
    says_why(&db, "permission denied for schema net").await;
    run(&admin, "grant usage on schema net to public").await;
    starts_again(&db).await;
}

#[tokio::test]
async fn pgcrypto_in_another_schema_is_named() {
    let (db, admin) = project().await;
    run(&admin, "alter extension pgcrypto set schema public").await;
    says_why(&db, "pgcrypto is not in the schema extensions").await;
    run(&admin, "alter extension pgcrypto set schema extensions").await;
    starts_again(&db).await;
}

/// Settings that hold for the next session.
#[tokio::test]
async fn settings_under_which_nothing_runs_are_named() {
    let (db, admin) = project().await;
    let database = db.get("select quote_ident(current_database())").await;
    for (setting, words) in [
        (
            "session_replication_role = 'replica'",
            "no trigger fires, so no job starts",
        ),
        (
            "default_transaction_read_only = on",
            "no job can start or end",
        ),
    ] {
        run(&admin, &format!("alter database {database} set {setting}")).await;
        let problem = db.get(PROBLEM).await;
        assert!(
            problem.contains(words) && problem.contains(&database),
            "{problem}"
        );
        let remedy = db
            .get("select substring(remedy from 'Run: (.*;)') from supaqueue.problem")
            .await;
        let another = db.connect().await;
        assert_eq!(
            get(&another, PROBLEM).await,
            problem,
            "in a session that has it"
        );
        // On the platform, postgres may do it, too.
        run(&db.database().connect_as_admin().await.unwrap(), &remedy).await;
        assert_eq!(db.get(PROBLEM).await, "");
    }
    run(
        &admin,
        &format!("alter role anon in database {database} set default_transaction_read_only = on"),
    )
    .await;
    assert_eq!(db.get(PROBLEM).await, "", "a role of others");
    let own_wish = "'client', 'session'";
    let set = "set default_transaction_read_only = on";
    break_function(db.client(), "setting_problems", own_wish, "'client'").await;
    db.run(set).await;
    assert!(
        db.get(PROBLEM)
            .await
            .starts_with("the database is read-only")
    );
    db.run("set default_transaction_read_only = off").await;
    break_function(db.client(), "setting_problems", "'client'", own_wish).await;
    db.run(set).await;
    assert_eq!(db.get(PROBLEM).await, "", "a session that reads only");
}

/// A session that has taken a lock and does nothing, as a debugger or a forgotten editor.
#[tokio::test]
async fn an_idle_session_that_holds_locks_is_named_and_can_be_ended() {
    let (db, _) = project().await;
    let original = "interval '30 seconds'";
    assert_eq!(db.get("select count(*) from supaqueue.problem").await, "0");
    let holder = db.connect().await;
    run(
        &holder,
        "begin; update supaqueue.queue set max_attempts = 4; set constraints all immediate",
    )
    .await;
    assert_eq!(db.get(PROBLEM).await, "", "a moment is normal");
    break_function(db.client(), "lock_problems", original, "interval '0'").await;
    let pid = get(&holder, "select pg_backend_pid()").await;
    let problem = db
        .get("select problem || ' / ' || remedy from supaqueue.problem")
        .await;
    for words in [
        "supaqueue.queue",
        &format!("process {pid}"),
        "last statement: select pg_backend_pid()",
        &format!("pg_terminate_backend({pid})"),
    ] {
        assert!(problem.contains(words), "{words} is missing in: {problem}");
    }
    // One that only reads, and one that uses no table of ours.
    run(
        &holder,
        "rollback; begin; select count(*) from supaqueue.job; create temp table mine ()",
    )
    .await;
    assert_eq!(db.get(PROBLEM).await, "");

    run(
        &holder,
        "rollback; begin; select supaqueue.set_workers('q', 3); set constraints all immediate",
    )
    .await;
    let remedy = db.get("select substring(remedy from 'run: (.*;)') from supaqueue.problem where problem like '%queue q%'").await;
    db.run(&remedy).await;
    eventually(db.client(), PROBLEM, "").await;
}

#[tokio::test]
async fn requests_that_pg_net_does_not_send_are_named() {
    let (db, admin) = project().await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(LOSE_CALLS).await;
    db.tick().await;
    let problem = "select problem || ' / ' || remedy from supaqueue.problem";
    let unsent = db.get(problem).await;
    assert!(
        unsent.contains("pg_net has not sent it / ") && unsent.contains("net.worker_restart()"),
        "{unsent}"
    );
    run(&admin, "delete from net.http_request_queue").await;
    let unanswered = db.get(problem).await;
    assert!(
        unanswered.contains("pg_net has no answer to it / "),
        "{unanswered}"
    );
}

/// Tables and extensions that are gone, renamed, or closed to us.
const BROKEN: [&str; 11] = [
    "drop schema cron cascade",
    "drop schema net cascade",
    "drop schema vault cascade",
    "alter table cron.job rename to gone",
    "alter table cron.job rename column active to is_active",
    "alter table net._http_response rename to gone",
    "alter table net._http_response rename column status_code to status",
    "revoke all on schema cron, net, vault from postgres, public",
    "alter extension pgcrypto set schema public",
    "delete from supaqueue.setting; delete from supaqueue.version; delete from supaqueue.last_tick",
    "update vault.emulation_key set key = ''",
];

#[tokio::test]
async fn neither_problem_nor_explain_nor_the_tick_fails_whatever_is_broken() {
    for broken in BROKEN {
        let (db, admin) = project().await;
        db.run("select supaqueue.schedule_tick()").await;
        db.run("select supaqueue.enqueue_many('q', '{1,2,3}')")
            .await;
        db.run("update supaqueue.current_job set dispatches = 2")
            .await;
        run(&admin, broken).await;
        db.run("update supaqueue.current_job set lease_until = '-infinity'")
            .await;
        for statement in [
            "select * from supaqueue.problem",
            "select supaqueue.explain(id) from supaqueue.job",
            "select * from supaqueue.queue_status",
            TICK,
            "select supaqueue.enqueue('q')",
            "select * from supaqueue.problem",
            "select supaqueue.explain(id) from supaqueue.job",
        ] {
            let outcome = supaqueue_tests::try_get(db.client(), statement).await;
            assert!(outcome.is_ok(), "{statement} after {broken}: {outcome:?}");
        }
        let api = db.database().connect_as("service_role").await.unwrap();
        get(&api, "select * from supaqueue.problem").await;
    }
}

/// pg_net keeps answers for hours and pg_cron its log for ever, both without an index that helps.
#[tokio::test]
async fn nothing_scans_the_tables_of_pg_net_and_pg_cron() {
    let (db, admin) = project().await;
    db.run("select supaqueue.schedule_tick(); select supaqueue.enqueue_many('q', '{1,2}')")
        .await;
    run(
        &admin,
        "insert into net._http_response (id, status_code, content, timed_out, created)
         select i, 200, 'x', false, now() - interval '5 hours' from generate_series(1000, 20000) i;
         insert into cron.job_run_details (jobid, status, start_time, end_time)
         select 7, 'succeeded', now() - interval '1 day', now() - interval '1 day' from generate_series(1, 20000);
         update supaqueue.current_job set lease_until = '-infinity', dispatches = 5",
    )
    .await;
    let read = "select coalesce(sum(seq_tup_read + coalesce(idx_tup_fetch, 0)), 0)
                from pg_stat_xact_all_tables where relid in ('net._http_response'::regclass, 'cron.job_run_details'::regclass)";
    for statement in [
        "select * from supaqueue.problem",
        "select supaqueue.explain(id) from supaqueue.job",
        supaqueue_tests::TICK_IN_TRANSACTION,
        "select supaqueue.enqueue('q'); set constraints all immediate",
    ] {
        let session = db.connect().await;
        run(&session, "begin").await;
        run(&session, statement).await;
        let rows: u64 = get(&session, read).await.parse().unwrap();
        assert!(rows <= 300, "{statement} reads {rows} rows");
        run(&session, "commit").await;
    }
    assert_eq!(
        db.get("select bool_and(errors #>> '{0,message}' like 'not acknowledged%') from supaqueue.job where payload in ('1', '2')").await,
        "t"
    );
}

#[tokio::test]
async fn the_answer_of_a_lost_request_is_still_found_among_many() {
    let (db, admin) = project().await;
    db.run("select supaqueue.enqueue('q')").await;
    run(
        &admin,
        "insert into net._http_response (id, status_code, content, timed_out, created)
         select i, 200, 'x', false, now() - interval '5 hours' from generate_series(1000, 20000) i;
         insert into net._http_response (id, status_code, content, timed_out)
         select request_id, 404, 'no such function', false from supaqueue.current_job;
         update supaqueue.current_job set lease_until = '-infinity', dispatches = 5",
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select errors #>> '{0,message}' like '%it was answered with 404: no such function' from supaqueue.job").await,
        "t"
    );
}
