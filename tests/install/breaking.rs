//! Breaks everything that the doctor checks, one thing at a time, and expects it to be named. What can
//! be repaired is broken in the whole story; the rest has its own tests.

use crate::management_api::REF;
use crate::program::{self, Cli, Run};
use crate::project::{Project, eventually, test};
use crate::states::{KEY, State};

/// Runs the doctor with the CLI, which shows it all of a hosted project.
fn hosted(project: &Project, cli: Cli) -> Run {
    project.supaqueue(cli, &format!("doctor --project-ref {REF}"))
}

/// Runs the doctor on the database alone, which is faster.
pub(crate) fn direct(project: &Project) -> Run {
    project.supaqueue(
        Cli::Missing,
        &format!("doctor --db-url {}", project.stack.db_url()),
    )
}

/// Runs the doctor on the database alone, without sending anything.
pub(crate) fn read_only(project: &Project) -> Run {
    let url = project.stack.db_url();
    project.supaqueue(Cli::Missing, &format!("doctor --db-url {url} --read-only"))
}

/// Runs the doctor on the database alone, where it waits in vain for something.
pub(crate) fn impatient(project: &Project) -> Run {
    let url = project.stack.db_url();
    project.supaqueue(Cli::Missing, &format!("doctor --db-url {url} --timeout 10"))
}

/// The doctor on the database alone fails with a line of these words.
fn assert_fails_with(project: &Project, words: &[&str]) {
    let run = direct(project).assert_status(1);
    run.assert_says(&[&["failed"], words].concat());
}

/// The doctor names what is broken in the database.
pub(crate) fn in_the_database(project: &Project) {
    let (key, url) = (&*project.secret(), project.stack.gateway_url());
    // What breaks it, what repairs it, the severity, and words of the doctor's line.
    #[rustfmt::skip]
    let cases = [
        (
            &*update_vault("supaqueue_secret", KEY),
            &*update_vault("supaqueue_secret", key),
            "failed", "SUPAQUEUE_SECRET does not match the Vault's",
        ),
        (
            &*update_vault("supaqueue_secret", "hello"),
            &*update_vault("supaqueue_secret", key),
            "failed", "not a key of the form",
        ),
        (
            &*update_vault("supaqueue_url", "http://127.0.0.1:1"),
            &*update_vault("supaqueue_url", url),
            "failed", "cannot reach the function",
        ),
        (
            &*update_vault("supaqueue_url", "http://127.0.0.1/path"),
            &*update_vault("supaqueue_url", url),
            "failed", "is not a URL of the form https://host",
        ),
    ];
    // What the doctor sees without the function.
    #[rustfmt::skip]
    let cases_at_rest = [
        (
            "update supaqueue.version set number = 0",
            "update supaqueue.version set number = 1",
            "failed", "installed version 0 is older",
        ),
        (
            "update supaqueue.version set finished_at = null",
            "update supaqueue.version set finished_at = now()",
            "warning", "an upgrade was interrupted",
        ),
        (
            "insert into supaqueue.version (part, number, name) values ('supaqueue', 1000, 'later')",
            "delete from supaqueue.version where number = 1000",
            "warning", "installed version 1000 is newer",
        ),
        (
            "select vault.create_secret('x', 'supaqueue_secret_previous')",
            "delete from vault.secrets where name = 'supaqueue_secret_previous'",
            "warning", "a rotation is unfinished",
        ),
    ];
    let at_rest = cases_at_rest.iter().map(|case| (true, case));
    for (is_at_rest, case) in cases.iter().map(|case| (false, case)).chain(at_rest) {
        let (breaking, repairing, level, words) = case;
        project.run(breaking);
        let run = match is_at_rest {
            true => read_only(project),
            false => direct(project),
        };
        run.assert_status(i32::from(*level == "failed"))
            .assert_says(&[level, words]);
        project.run(repairing);
    }
    direct(project).assert_status(0);
}

/// The statement that changes an entry of the Vault.
fn update_vault(name: &str, value: &str) -> String {
    format!(
        "select vault.update_secret((select id from vault.secrets where name = '{name}'), '{value}')"
    )
}

/// The doctor names jobs that do not run, and why.
pub(crate) fn while_it_runs(project: &Project) {
    project.queue("hello", "succeed", 1);

    // Dispatches are refused.
    project.run("update supaqueue.setting set dispatch_lease_ms = 1000, max_dispatches = 100");
    let key = project.platform.secret("SUPAQUEUE_SECRET");
    project.platform.set_secret("SUPAQUEUE_SECRET", Some(KEY));
    project.run("select supaqueue.enqueue('hello')");
    let refused =
        "select count(*) from supaqueue.problem where problem like '%it was answered with 401%'";
    project.eventually(refused, "1");
    assert_fails_with(
        project,
        &["without being acknowledged", "it was answered with 401"],
    );
    project
        .platform
        .set_secret("SUPAQUEUE_SECRET", key.as_deref());
    let status = "select status from supaqueue.job where queue = supaqueue.queue_id('hello')";
    project.eventually(status, "successful");

    // A worker stays locked without a call, and no tick frees it.
    project.run("select cron.unschedule('supaqueue_tick')");
    project
        .run("update supaqueue.worker set locked = true where queue = supaqueue.queue_id('hello')");
    assert_fails_with(project, &["workers locked without a call: 1"]);

    assert_fails_with(project, &["problem", "the tick is not scheduled"]);

    // It is scheduled, but has not run for a while. Postgres has been running for longer.
    project.run("update supaqueue.last_tick set started_at = now() - interval '10 minutes'");
    project.run("select cron.schedule('supaqueue_tick', '0 0 1 1 *', supaqueue.tick_command())");
    let alive = "pg_postmaster_start_time(), (select max(v.applied_at) from supaqueue.version v)";
    let tick_problem = project.break_function("tick_problem", alive, "'-infinity'");
    assert_fails_with(project, &["does not run: it last ran at"]);
    project.run(&tick_problem);
    project.run("select cron.schedule('supaqueue_tick', '1 second', supaqueue.tick_command())");
    project.eventually("select count(*) from supaqueue.worker where locked", "0");
    direct(project).assert_status(0);

    project
        .run("update supaqueue.setting set dispatch_lease_ms = default, max_dispatches = default");
}

/// The doctor names what is broken at the platform, and installing again repairs it.
pub(crate) fn at_the_platform(project: &Project, cli: Cli) {
    // The database sees one at a time, as each hides the next.
    let secret = project.platform.secret("SUPAQUEUE_SECRET");
    project.platform.set_secret("SUPAQUEUE_SECRET", None);
    let run = eventually_says(project, "SUPAQUEUE_SECRET is not set");
    run.assert_says(&["failed", "lacks a setting"]);
    project.platform.set_verify_jwt("supaqueue", true);
    eventually_says(project, "a gateway in front of the function");
    project.run(&update_vault("supaqueue_url", "https://other.supabase.co"));
    hosted(project, cli)
        .assert_status(1)
        .assert_says(&["failed", "the platform requires a JWT"])
        .assert_says(&["failed", "the functions have no SUPAQUEUE_SECRET"])
        .assert_says(&["failed", "the URL of another project"])
        .assert_says(&["failed", "cannot reach the function"]);
    let repaired = project.install(cli);
    repaired
        .assert_says(&["migrations", "already"])
        .assert_says(&["functions' secret", "stored"])
        .assert_says(&["Vault", "secret and URL are active"])
        .assert_says(&["✓ function", "deployed"]);
    assert!(!repaired.text.contains("add-on"), "{}", repaired.text);
    assert_eq!(project.platform.secret("SUPAQUEUE_SECRET"), secret);
}

#[test]
fn the_doctor_names_a_missing_installation_and_missing_extensions() {
    test(|project| {
        let run = hosted(project, Cli::DOUBLE).assert_status(1);
        run.assert_says(&["failed", "Supaqueue is not installed"]);
        project.bring_to(State::Installed);
        let other = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHhg=";
        project.platform.set_secret("SUPAQUEUE_SECRET", Some(other));
        let differs = "SUPAQUEUE_SECRET differs from the value that this program sets";
        hosted(project, Cli::DOUBLE).assert_says(&["warning", differs]);
        project.run_as_admin("drop schema cron cascade");
        direct(project).assert_says(&["warning", "tick", "pg_cron is missing"]);
        project.run_as_admin("drop schema net cascade");
        assert_fails_with(project, &["problem", "pg_net is not installed"]);
    });
}

/// A copy has the original's jobs, secret and URL.
#[test]
fn a_copy_runs_no_job_of_its_original_without_a_yes() {
    test(|project| {
        project.bring_to(State::Installed);
        project.run(&update_vault(
            "supaqueue_url",
            "https://original.supabase.co",
        ));
        project.queue("hello", "succeed", 1);
        project.run("select supaqueue.enqueue('hello', run_at => now() + interval '1 hour')");
        let before = project.contents();
        project
            .fails(Cli::DOUBLE, &project.install_line())
            .assert_says(&[
                "has a job that has not ended",
                "https://original.supabase.co",
            ])
            .assert_says(&["set status = 'cancelled'", "--take-over-jobs"])
            .assert_says(&["Done: tools and login, project."]);
        assert_eq!(project.contents(), before);
        let url =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'";
        project.assert(url, "https://original.supabase.co");
        hosted(project, Cli::DOUBLE).assert_says(&["failed", "the URL of another project"]);

        let take_over = format!("{} --take-over-jobs", project.install_line());
        project.succeeds(Cli::DOUBLE, &take_over);
        project.assert(url, project.stack.gateway_url());

        project.run(&update_vault(
            "supaqueue_url",
            "https://original.supabase.co",
        ));
        project.run("update supaqueue.job set status = 'cancelled'; select supaqueue.schedule('s', 'hello', '@daily')");
        project
            .fails(Cli::DOUBLE, &project.install_line())
            .assert_says(&["has a schedule", "https://original.supabase.co"])
            .assert_says(&["set is_paused = true", "--take-over-jobs"]);
        project.run("update supaqueue.schedule set is_paused = true");
        project.install(Cli::DOUBLE);
    });
}

#[test]
fn the_doctor_names_queues_whose_calls_the_gateway_rejects() {
    test(|project| {
        project.bring_to(State::Installed);
        project.platform.set_verify_jwt("succeed", true);
        project.run(
            "insert into supaqueue.queue (name, edge_function_name, auth, default_headers)
             values ('none', 'succeed', 'none', null), ('anon', 'succeed', 'anon', null),
               ('own', 'succeed', 'none', '{\"Authorization\": \"Bearer x\"}')",
        );
        let run = hosted(project, Cli::DOUBLE);
        run.assert_says(&[
            "failed",
            "queue none: the gateway answers 401",
            "verify_jwt",
        ]);
        assert_eq!(
            run.text.matches("the gateway answers 401").count(),
            1,
            "{}",
            run.text
        );
    });
}

/// A restore with another root key. The functions still have the old secret.
#[test]
fn a_vault_that_cannot_be_decrypted_is_named_and_filled_anew() {
    test(|project| {
        project.bring_to(State::Installed);
        let ticks = "select count(*) from supaqueue.last_tick where finished_at is not null";
        project.eventually(ticks, "1");
        project
            .run_as_admin("update vault.emulation_key set key = extensions.gen_random_bytes(32)");
        direct(project)
            .assert_status(1)
            .assert_says(&[
                "failed",
                "the secrets in the Vault cannot be read: ",
                "invalid ciphertext",
            ])
            .assert_says(&["skipped", "self-test: nothing can be sent"])
            .assert_says(&[
                "→",
                "`supaqueue install --db-url postgresql://postgres@127.0.0.1:",
            ]);
        project
            .install(Cli::DOUBLE)
            .assert_says(&["✓ secret", "to replace what it cannot decrypt"])
            .assert_says(&["✓ verification", "round trip"]);
        assert_ne!(project.secret(), KEY);
        direct(project).assert_status(0);

        project.run_as_admin(
            "update vault.secrets set nonce = extensions.gen_random_bytes(16) where name = 'supaqueue_secret'",
        );
        assert_fails_with(project, &["the secrets in the Vault cannot be read: "]);
        project
            .succeeds(
                Cli::DOUBLE,
                &format!("rotate-secret --project-ref {REF} --yes"),
            )
            .assert_says(&["✓ new secret", "to replace what the Vault cannot decrypt"]);
        direct(project).assert_status(0);
    });
}

#[test]
fn the_doctor_names_a_missing_login_cli_or_project() {
    test(|project| {
        let mut with_wrong_token =
            project.command(Cli::REAL_3, &format!("doctor --project-ref {REF}"));
        let wrong = "sbp_ffffffffffffffffffffffffffffffffffffffff";
        program::run(with_wrong_token.env("SUPABASE_ACCESS_TOKEN", wrong))
            .assert_status(1)
            .assert_says(&["failed", "Unauthorized"])
            .assert_says(&["→", "supabase login"]);
        let mut without_token = project.command(Cli::REAL_3, "doctor");
        program::run(without_token.env_remove("SUPABASE_ACCESS_TOKEN"))
            .assert_status(1)
            .assert_says(&["failed", "Access token not provided"])
            .assert_says(&["→", "supabase login"]);
        let run = project.fails(Cli::Missing, "doctor");
        run.assert_says(&["failed", "the Supabase CLI is not installed"]);
        let run = project.fails(Cli::DOUBLE, "doctor --project-ref zzzzzzzzzzzzzzzzzzzz");
        run.assert_says(&["failed", "has no project zzzz"]);
    });
}

/// Runs the doctor until its output has these words: a changed file is noticed within a second.
fn eventually_says(project: &Project, words: &str) -> Run {
    eventually(|| {
        let run = direct(project);
        if run.text.contains(words) {
            Ok(run)
        } else {
            Err(|| run.text)
        }
    })
}
