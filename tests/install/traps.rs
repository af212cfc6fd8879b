//! Breaks the database as its users and the platform do. The doctor names what is wrong, and what it says
//! to do about it repairs it.

use tokio_postgres::Client;

use crate::breaking::{direct, impatient, read_only};
use crate::management_api::REF;
use crate::program::{Cli, Run};
use crate::project::{Project, RUNTIME, test};
use crate::states::State;

/// Another session of the user's.
fn session(project: &Project) -> Client {
    RUNTIME
        .block_on(project.stack.database().connect())
        .unwrap()
}

fn run(session: &Client, sql: &str) {
    RUNTIME.block_on(supaqueue_tests::run(session, sql));
}

/// The statements below the line with these words.
#[track_caller]
fn remedy(run: &Run, words: &[&str]) -> String {
    run.assert_says(words);
    let mut lines = run.text.lines();
    lines.find(|line| words.iter().all(|word| line.contains(word)));
    let remedy = lines.next().unwrap();
    let statements = remedy.split_once("un: ").and_then(|(_, sql)| {
        let (sql, _) = sql.rsplit_once(';')?;
        Some(format!("{sql};"))
    });
    statements.unwrap_or_else(|| panic!("no statement to run: {remedy}"))
}

/// Panics unless the doctor finds nothing.
#[track_caller]
fn assert_well(project: &Project, after: &str) {
    let run = read_only(project);
    let is_problem = |line: &str| line.starts_with("failed") || line.starts_with("warning");
    assert!(
        run.status == 0 && !run.text.lines().any(is_problem),
        "after {after}: {}",
        run.text
    );
}

/// Who breaks and repairs it: a superuser where the platform lets `postgres` do more than an ordinary role
/// may.
#[derive(Clone, Copy, PartialEq)]
enum Who {
    Postgres,
    Admin,
}

#[test]
fn the_remedies_of_the_doctor_repair_the_database() {
    use Who::{Admin, Postgres};
    test(|project| {
        project.bring_to(State::Installed);
        let ticks = "select count(*) from supaqueue.last_tick where finished_at is not null";
        project.eventually(ticks, "1");
        assert_well(project, "the installation");
        let database = project.get("select quote_ident(current_database())");
        let of_database = |setting: &str| format!("alter database {database} set {setting}");
        let isolation = of_database("default_transaction_isolation = 'repeatable read'");
        let lock_timeout = of_database("lock_timeout = '50ms'");
        let read_only_default = of_database("default_transaction_read_only = on");
        // What breaks it, the severity, and words of the doctor's line.
        #[rustfmt::skip]
        let cases: [(Who, &str, &str, &[&str]); 20] = [
            (Postgres, "select cron.unschedule('supaqueue_tick')", "failed", &["problem", "the tick is not scheduled"]),
            (Postgres, "select cron.alter_job(jobid, active => false) from cron.job", "failed", &["problem", "inactive"]),
            (Postgres, "select cron.alter_job(jobid, command => 'select 1') from cron.job", "failed", &["problem", "runs something else (select 1)"]),
            (Postgres, "insert into supaqueue.queue (name, edge_function_name) values ('it''s', 'succeed'); select supaqueue.enqueue('it''s', run_at => now() - interval '1 s')", "failed", &["queue it's: the queue has no workers"]),
            (Admin, "alter extension pgcrypto set schema public", "failed", &["problem", "pgcrypto is not in the schema extensions"]),
            (Postgres, "grant execute on function public.end_current_job to anon", "failed", &["privileges", "anon may execute public.end_current_job"]),
            (Postgres, "grant execute on function public.supaqueue_pulse to public", "failed", &["privileges", "authenticated may execute public.supaqueue_pulse"]),
            (Postgres, "revoke execute on function public.supaqueue_pulse from service_role", "failed", &["privileges", "service_role may not execute public.supaqueue_pulse"]),
            (Postgres, "alter table supaqueue.job disable row level security", "failed", &["privileges", "row level security is off for supaqueue.job"]),
            (Postgres, "grant usage on schema supaqueue to anon; grant select on supaqueue.setting to anon", "warning", &["privileges", "anon may use supaqueue.setting"]),
            (Postgres, "create table public.plain (job uuid references supaqueue.job)", "warning", &["foreign keys", "plain_job_fkey of public.plain"]),
            (Postgres, "create table public.\"Deferred\" (job uuid not null references supaqueue.job on delete restrict deferrable initially deferred)", "warning", &["foreign keys", "Deferred_job_fkey of public.\"Deferred\""]),
            (Postgres, "alter table public.plain add constraint later foreign key (job) references supaqueue.job on delete set default not valid", "warning", &["foreign keys", "later of public.plain"]),
            (Postgres, &isolation, "warning", &["settings", "default_transaction_isolation of database", "repeatable read"]),
            (Postgres, &lock_timeout, "warning", &["settings", "lock_timeout of database", "50ms"]),
            (Postgres, &read_only_default, "failed", &["problem", "default_transaction_read_only of database"]),
            (Admin, "alter role service_role set statement_timeout = 900", "warning", &["settings", "statement_timeout of role service_role is 900"]),
            (Admin, "alter role authenticator set session_replication_role = 'replica'", "failed", &["problem", "no trigger fires"]),
            (Admin, "alter role authenticator set pgrst.db_schemas = 'api, graphql_public'", "failed", &["API", "the schema public is not exposed"]),
            (Admin, "alter role authenticator set default_transaction_read_only = 'true'", "failed", &["problem", "default_transaction_read_only of role authenticator"]),
        ];
        for (who, breaking, severity, words) in cases {
            // The settings of a database hold for new sessions.
            let run_as = |sql: &str| match who {
                Postgres => run(&session(project), sql),
                Admin => project.run_as_admin(sql),
            };
            run_as(breaking);
            let doctor = read_only(project).assert_status(i32::from(severity == "failed"));
            let remedy = remedy(&doctor, &[&[severity], words].concat());
            run_as(&remedy);
            if breaking.contains("it''s") {
                project.run("delete from supaqueue.queue");
            }
            assert_well(project, &remedy);
        }

        // What has no statement as its remedy.
        project.run_as_admin("alter role authenticator set pgrst.db_pre_request = 'public.check'");
        read_only(project).assert_says(&["ok", "API", "it calls public.check"]);
        project.run_as_admin("insert into pg_extension (oid, extname, extowner, extnamespace, extrelocatable, extversion) values (99999, 'pg_net', 10, 'public'::regnamespace, false, '0.20.4')");
        let doctor = read_only(project);
        doctor.assert_says(&["warning", "pg_net is in the schema public", "0014"]);
        project.run_as_admin("update pg_extension set extnamespace = 'extensions'::regnamespace where extname = 'pg_net'");
        assert_well(project, "it was moved");
    });
}

/// Before it hurts, and after: a job that a user's table refers to cannot be deleted.
#[test]
fn a_foreign_key_that_blocks_retention_is_named_and_its_remedy_lets_the_job_go() {
    test(|project| {
        project.bring_to(State::Installed);
        project.queue("hello", "succeed", 1);
        project.run("select supaqueue.enqueue('hello')");
        let jobs = "select count(*) from supaqueue.job";
        let status = "select status from supaqueue.job";
        project.eventually(status, "successful");
        project.run(
            "create table public.parcel (job uuid references supaqueue.job);
             insert into public.parcel select id from supaqueue.job;
             update supaqueue.queue set keep_successful_for = '0'",
        );
        project.eventually(
            "select count(*) from supaqueue.problem where problem like 'cannot delete this job: %'",
            "1",
        );
        let doctor = read_only(project).assert_status(1);
        doctor.assert_says(&[
            "failed",
            "cannot delete this job",
            "parcel_job_fkey",
            "\"parcel\"",
        ]);
        let remedy = remedy(&doctor, &["warning", "parcel_job_fkey of public.parcel"]);
        project.run(&remedy);
        project.run("update supaqueue.unfinished set retry_at = '-infinity'");
        project.eventually(jobs, "0");
        project.eventually("select count(*) from supaqueue.problem", "0");
        assert_well(project, &remedy);
    });
}

/// A session that holds locks and does nothing, and one that keeps vacuum from its work.
#[test]
fn sessions_that_are_in_the_way_are_named_and_can_be_ended() {
    test(|project| {
        project.bring_to(State::Installed);
        let ticks = "select count(*) from supaqueue.last_tick where finished_at is not null";
        project.eventually(ticks, "1");
        project.queue("hello", "succeed", 1);
        project.break_function("lock_problems", "interval '30 seconds'", "interval '0'");
        for (statement, locks) in [
            (
                "select supaqueue.set_workers('hello', 2); set constraints all immediate",
                "queue hello",
            ),
            ("lock table supaqueue.queue", "supaqueue.queue"),
            // Without it, the doctor does not even know what is installed.
            ("lock table supaqueue.version", "supaqueue.version"),
        ] {
            let idle = session(project);
            run(&idle, "begin");
            run(&idle, statement);
            let doctor = read_only(project).assert_status(1);
            let remedy = remedy(&doctor, &["failed", "a transaction open and idle", locks]);
            assert!(remedy.contains("pg_terminate_backend"), "{remedy}");
            project.run(&remedy);
            assert_well(project, &remedy);
        }

        let idle = session(project);
        run(&idle, "begin isolation level repeatable read; select 1");
        let checks = include_str!("../../crates/supaqueue-cli/src/doctor/checks.sql");
        assert!(checks.contains("interval '1 hour'"));
        let checks = checks.replace("interval '1 hour'", "interval '0'");
        let pid = RUNTIME.block_on(supaqueue_tests::get(&idle, "select pg_backend_pid()"));
        let named = format!("the transaction of process {pid} (postgres");
        let found = project.get(&checks);
        assert!(found.contains(&named), "{found}");
        assert!(
            found.contains(&format!("pg_terminate_backend({pid})")),
            "{found}"
        );
        project.run(&format!("select pg_terminate_backend({pid})"));
        let found = project.get(&checks);
        assert!(!found.contains(&named), "{found}");
    });
}

#[test]
fn a_full_queue_of_pg_net_and_its_dead_worker_are_named() {
    test(|project| {
        project.bring_to(State::Installed);
        project.stack.stop_net_worker();
        project
            .run("select count(net.http_get('http://127.0.0.1:9')) from generate_series(1, 5001)");
        read_only(project)
            .assert_status(1)
            .assert_says(&["warning", "pg_net", "5001 requests wait in its queue"])
            .assert_says(&["failed", "pg_net", "worker is not up"])
            .assert_says(&["→", "select net.worker_restart();"]);
        impatient(project)
            .assert_status(1)
            .assert_says(&["failed", "the doctor's requests were not sent within 10 s"]);
        project.stack.start_net_worker();
        project.eventually("select count(*) from net.http_request_queue", "0");
        direct(project).assert_status(0);
    });
}

/// A closed Data API, or a function before each request: what the API says, and what to do.
#[test]
fn an_api_that_refuses_the_reports_is_quoted() {
    test(|project| {
        project.bring_to(State::Installed);
        let pulse = project.get("select pg_get_functiondef('public.supaqueue_pulse'::regproc)");
        project.run(
            "create or replace function public.supaqueue_pulse(_run uuid, _number integer, _request jsonb default '{}')
             returns jsonb language plpgsql as $$ begin raise exception 'closed on Sundays'; end $$",
        );
        impatient(project)
            .assert_status(1)
            .assert_says(&["failed", "API: it refuses the reports", "closed on Sundays"])
            .assert_says(&["→", "pgrst.db_pre_request"]);
        project.run(&pulse);
        direct(project).assert_status(0);
        project.assert("select count(*) from supaqueue.queue", "0");
    });
}

#[test]
fn a_trigger_that_raises_is_named() {
    test(|project| {
        project.bring_to(State::Installed);
        project.queue("hello", "succeed", 1);
        project.run(
            "create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'not on Sundays'; end $$;
             create trigger refuse before update on supaqueue.job for each row execute function public.refuse();
             select supaqueue.enqueue('hello')",
        );
        impatient(project).assert_status(1).assert_says(&[
            "failed",
            "queue hello: job ",
            "cannot start this job: not on Sundays",
        ]);
        project.run(
            "drop trigger refuse on supaqueue.job; update supaqueue.unfinished set retry_at = '-infinity'",
        );
        project.eventually("select status from supaqueue.job", "successful");
        direct(project).assert_status(0);
    });
}

/// What is known of the functions at the platform.
#[test]
fn targets_that_cannot_be_called_are_named() {
    let hosted = |project: &Project| {
        project.supaqueue(
            Cli::DOUBLE,
            &format!("doctor --read-only --project-ref {REF}"),
        )
    };
    test(|project| {
        project.bring_to(State::Installed);
        project.run(
            "insert into supaqueue.queue (name, edge_function_name, timeout_ms) values ('slow', 'succeed', 140000)",
        );
        let run = hosted(project).assert_status(1);
        run.assert_says(&[
            "failed",
            "queue slow: a timeout of 140000 ms fits no isolate",
            "135000 ms",
        ]);
        project
            .platform
            .set_secret("SUPAQUEUE_TIME_BUDGET_MS", Some("390000"));
        let run = hosted(project).assert_status(0);
        run.assert_says(&["skipped", "queue slow", "SUPAQUEUE_TIME_BUDGET_MS"]);
        project
            .platform
            .set_secret("SUPAQUEUE_TIME_BUDGET_MS", None);
        project.run("update supaqueue.queue set timeout_ms = 135000");
        hosted(project)
            .assert_status(0)
            .assert_says(&["ok", "targets"]);
        project.run("select supaqueue.set_workers('slow', 1); select supaqueue.enqueue('slow', timeout_ms => 150000, run_at => now() + interval '1 hour')");
        let run = hosted(project).assert_status(1);
        run.assert_says(&["failed", "queue slow: a timeout of 150000 ms"]);
        project.run("delete from supaqueue.job");

        // With the legacy keys turned off, no call carries a JWT, with whichever headers.
        project.platform.set_verify_jwt("succeed", true);
        hosted(project).assert_status(0);
        project.platform.turn_off_legacy_keys();
        project.run(
            "update supaqueue.queue set default_headers = '{\"authorization\": \"Bearer x\"}'",
        );
        let run = hosted(project).assert_status(1);
        run.assert_says(&["failed", "queue slow: the gateway answers 401", "sb_"]);
        run.assert_says(&["→", "supabase functions deploy succeed --no-verify-jwt"]);
        project.platform.set_verify_jwt("succeed", false);
        hosted(project).assert_status(0);
    });
}
