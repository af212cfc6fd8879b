//! Breaks everything that the doctor checks, one thing at a time, and expects it to be named. What can
//! be repaired is broken in the whole story; the rest has its own tests.

use crate::management_api::REF;
use crate::program::{Cli, Run};
use crate::project::{Project, test};
use crate::states::State;

/// Runs the doctor with the CLI, which shows it all of a hosted project.
async fn hosted(project: &Project, cli: Cli) -> Run {
    project
        .supaqueue(cli, &["doctor", "--project-ref", REF])
        .await
}

/// Runs the doctor on the database alone, which is faster.
pub(crate) async fn direct(project: &Project) -> Run {
    project
        .supaqueue(
            Cli::Missing,
            &["doctor", "--db-url", project.stack.db_url()],
        )
        .await
}

/// The doctor names what is broken in the database.
pub(crate) async fn in_the_database(project: &Project) {
    let vault = |name: &str, value: &str| {
        format!(
            "select vault.update_secret((select id from vault.secrets where name = '{name}'), {value})"
        )
    };
    let key = project.secret().await;
    let other = "'whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='";
    let url = format!("'{}'", project.stack.gateway_url());
    let cases = [
            (vault("supaqueue_secret", other), vault("supaqueue_secret", &format!("'{key}'")), "failed", "SUPAQUEUE_SECRET does not match the Vault's"),
            (vault("supaqueue_secret", "'hello'"), vault("supaqueue_secret", &format!("'{key}'")), "failed", "not a key of the form"),
            (vault("supaqueue_url", "'http://127.0.0.1:1'"), vault("supaqueue_url", &url), "failed", "cannot reach the function"),
            (vault("supaqueue_url", "'http://127.0.0.1/path'"), vault("supaqueue_url", &url), "failed", "is not a project URL"),
            (
                "update supaqueue.version set number = 0".into(),
                "update supaqueue.version set number = 1".into(),
                "failed",
                "installed version 0 is older",
            ),
            (
                "update supaqueue.version set finished_at = null".into(),
                "update supaqueue.version set finished_at = now()".into(),
                "warning",
                "an upgrade was interrupted",
            ),
            (
                "insert into supaqueue.version (part, number, name) values ('supaqueue', 1000, 'later')".into(),
                "delete from supaqueue.version where number = 1000".into(),
                "warning",
                "installed version 1000 is newer",
            ),
            (
                "grant execute on function public.end_current_job to anon".into(),
                "revoke execute on function public.end_current_job from anon".into(),
                "failed",
                "anon may execute public.end_current_job",
            ),
            (
                "alter table supaqueue.job disable row level security".into(),
                "alter table supaqueue.job enable row level security".into(),
                "failed",
                "row level security is off for supaqueue.job",
            ),
            (
                "select cron.alter_job(jobid, active => false) from cron.job".into(),
                "select cron.alter_job(jobid, active => true) from cron.job".into(),
                "failed",
                "not scheduled",
            ),
            (
                "select cron.alter_job(jobid, command => 'select 1') from cron.job".into(),
                "select supaqueue.schedule_tick()".into(),
                "failed",
                "runs something else: select 1",
            ),
            (
                "insert into supaqueue.queue (edge_function_name) values ('succeed'); select supaqueue.enqueue('succeed')".into(),
                "delete from supaqueue.queue where name = 'succeed'".into(),
                "failed",
                "queue succeed: the queue has no workers",
            ),
            (
                "select vault.create_secret('x', 'supaqueue_secret_previous')".into(),
                "delete from vault.secrets where name = 'supaqueue_secret_previous'".into(),
                "warning",
                "a rotation is unfinished",
            ),
        ];
    for (breaking, repairing, level, words) in &cases {
        project.run(breaking).await;
        let run = direct(project).await;
        run.assert_says(&[level, words]);
        assert_eq!(run.status, i32::from(*level == "failed"), "{}", run.text);
        project.run(repairing).await;
    }
    direct(project).await.assert_ok();
}

/// The doctor names jobs that do not run, and why.
pub(crate) async fn while_it_runs(project: &Project) {
    project.queue("hello", "succeed", 1).await;

    // Dispatches are refused.
    project
        .run("update supaqueue.setting set dispatch_lease_ms = 1000, max_dispatches = 100")
        .await;
    let key = project.platform.secret("SUPAQUEUE_SECRET");
    project.platform.set_secret(
        "SUPAQUEUE_SECRET",
        Some("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    );
    project.run("select supaqueue.enqueue('hello')").await;
    project
        .eventually(
            "select count(*) from supaqueue.problem where problem like '%it answered 401%'",
            "1",
        )
        .await;
    direct(project).await.assert_failed().assert_says(&[
        "failed",
        "without being acknowledged",
        "it answered 401",
    ]);
    project
        .platform
        .set_secret("SUPAQUEUE_SECRET", key.as_deref());
    project
        .eventually(
            "select status from supaqueue.job where queue = supaqueue.queue_id('hello')",
            "successful",
        )
        .await;

    // A worker stays locked without a call, and no tick frees it.
    project.run("select cron.unschedule('supaqueue_tick'); update supaqueue.worker set locked = true where queue = supaqueue.queue_id('hello')").await;
    direct(project)
        .await
        .assert_failed()
        .assert_says(&["failed", "workers locked without a call: 1"]);

    // The tick fails.
    project.run("alter function supaqueue.tick() rename to old_tick; select cron.schedule('supaqueue_tick', '1 second', 'select supaqueue.tick()')").await;
    project
        .eventually(
            "select count(*) > 0 from cron.job_run_details d join cron.job j using (jobid) where d.status = 'failed'",
            "t",
        )
        .await;
    direct(project).await.assert_failed().assert_says(&[
        "failed",
        "its last run failed",
        "supaqueue.tick",
    ]);
    project
        .run("alter function supaqueue.old_tick() rename to tick")
        .await;
    project
        .eventually("select count(*) from supaqueue.worker where locked", "0")
        .await;
    direct(project).await.assert_ok();

    // pg_net sends nothing.
    project.stack.stop_net_worker();
    direct(project)
        .await
        .assert_failed()
        .assert_says(&["failed", "the doctor's requests were not sent"]);
    project.stack.start_net_worker();

    project
        .run("update supaqueue.setting set dispatch_lease_ms = default, max_dispatches = default")
        .await;
}

/// The doctor names what is broken at the platform, and installing again repairs it.
pub(crate) async fn at_the_platform(project: &Project, cli: Cli) {
    // The database sees one at a time, as each hides the next.
    let secret = project.platform.secret("SUPAQUEUE_SECRET");
    project.platform.set_secret("SUPAQUEUE_SECRET", None);
    project
        .eventually_answers("SUPAQUEUE_SECRET is not set")
        .await
        .assert_says(&["failed", "lacks a setting"]);
    project.platform.set_verify_jwt("supaqueue", true);
    project
        .eventually_answers("a gateway in front of the function")
        .await;
    let address = |url: &str| {
        format!(
            "select vault.update_secret((select id from vault.secrets where name = 'supaqueue_url'), '{url}')"
        )
    };
    project.run(&address("https://other.supabase.co")).await;
    hosted(project, cli)
        .await
        .assert_failed()
        .assert_says(&["failed", "the platform requires a JWT"])
        .assert_says(&["failed", "the functions have no SUPAQUEUE_SECRET"])
        .assert_says(&["failed", "the URL of another project"])
        .assert_says(&["failed", "cannot reach the function"]);
    let repaired = project.install(cli).await;
    repaired
        .assert_ok()
        .assert_says(&["migrations", "already"])
        .assert_says(&["functions' secret", "stored"])
        .assert_says(&["Vault", "secret and URL are active"])
        .assert_says(&["✓ function", "deployed"]);
    assert!(!repaired.text.contains("add-on"), "{}", repaired.text);
    assert_eq!(project.platform.secret("SUPAQUEUE_SECRET"), secret);
}

#[test]
fn the_doctor_names_a_missing_installation_and_missing_extensions() {
    test(async |project| {
        hosted(project, Cli::DOUBLE)
            .await
            .assert_failed()
            .assert_says(&["failed", "Supaqueue is not installed"]);
        project.bring_to(State::Installed).await;
        project.platform.set_secret(
            "SUPAQUEUE_SECRET",
            Some("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHhg="),
        );
        hosted(project, Cli::DOUBLE).await.assert_says(&[
            "warning",
            "SUPAQUEUE_SECRET differs from the value that this program sets",
        ]);
        let admin = project.stack.database().connect_as_admin().await.unwrap();
        admin
            .batch_execute("drop schema cron cascade")
            .await
            .unwrap();
        direct(project)
            .await
            .assert_says(&["warning", "pg_cron is missing"]);
        admin
            .batch_execute("drop schema net cascade")
            .await
            .unwrap();
        direct(project)
            .await
            .assert_failed()
            .assert_says(&["failed", "pg_net is missing"]);
    });
}

#[test]
fn the_doctor_names_a_missing_login_cli_or_project() {
    test(async |project| {
        let mut command = crate::program::command(
            &project.environment,
            Cli::REAL_3,
            &["doctor", "--project-ref", REF],
        );
        let output = command
            .env(
                "SUPABASE_ACCESS_TOKEN",
                "sbp_ffffffffffffffffffffffffffffffffffffffff",
            )
            .output()
            .await
            .unwrap();
        crate::program::ended(&output)
            .assert_failed()
            .assert_says(&["failed", "Unauthorized"])
            .assert_says(&["→", "supabase login"]);
        let mut command = crate::program::command(&project.environment, Cli::REAL_3, &["doctor"]);
        let output = command
            .env_remove("SUPABASE_ACCESS_TOKEN")
            .output()
            .await
            .unwrap();
        crate::program::ended(&output)
            .assert_failed()
            .assert_says(&["failed", "Access token not provided"])
            .assert_says(&["→", "supabase login"]);
        project
            .supaqueue(Cli::Missing, &["doctor"])
            .await
            .assert_failed()
            .assert_says(&["failed", "the Supabase CLI is not installed"]);
        project
            .supaqueue(
                Cli::DOUBLE,
                &["doctor", "--project-ref", "zzzzzzzzzzzzzzzzzzzz"],
            )
            .await
            .assert_failed()
            .assert_says(&["failed", "has no project zzzz"]);
    });
}

impl Project {
    /// Runs the doctor until its output has these words: a changed file is noticed within a second.
    async fn eventually_answers(&self, words: &str) -> Run {
        let begin = std::time::Instant::now();
        loop {
            let run = direct(self).await;
            if run.text.contains(words) {
                return run;
            }
            assert!(
                begin.elapsed() < std::time::Duration::from_secs(30),
                "{}",
                run.text
            );
        }
    }
}
