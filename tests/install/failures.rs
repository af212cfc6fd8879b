//! Whatever fails on the way: a clear message, and running again succeeds.

use axum::http::Method;

use crate::management_api::{Fault, Trap};
use crate::program::{Cli, Run};
use crate::project::{Project, test};

/// All kinds of faults.
const KINDS: [Fault; 8] = [
    Fault::Status(401),
    Fault::Status(403),
    Fault::Status(404),
    Fault::Status(409),
    Fault::Status(429),
    Fault::Status(500),
    Fault::Hang,
    Fault::Cut,
];

/// The calls of an installation in their order, with the step that each belongs to, and the kinds
/// of faults that are tried on it. `SUPAQUEUE_EVERY_FAULT` has every kind tried on every call.
const CALLS: [(Method, &str, &str, &[usize]); 6] = [
    (
        Method::GET,
        "/v1/projects",
        "tools and login",
        &[0, 5, 6, 7],
    ),
    (
        Method::POST,
        "/database/query",
        "secret",
        &[0, 1, 2, 4, 5, 6, 7],
    ),
    (Method::GET, "/secrets", "functions' secret", &[1, 5]),
    (Method::POST, "/secrets", "functions' secret", &[3, 6, 7]),
    (Method::GET, "/functions", "function", &[2, 7]),
    (Method::POST, "/functions/deploy", "function", &[3, 5, 7]),
];

#[test]
fn every_failure_of_an_installation_is_told_and_running_again_goes_on() {
    test(async |project| {
        let every = std::env::var_os("SUPAQUEUE_EVERY_FAULT").is_some();
        for (method, path, step, kinds) in CALLS {
            for (at, fault) in KINDS.into_iter().enumerate() {
                if every || kinds.contains(&at) {
                    let run = install_with(project, method.clone(), path, fault).await;
                    assert_is_clear(&run, step, fault);
                }
            }
        }
        project.platform.set_trap(None);
        project.install(Cli::Three).await.assert_ok();
        project.queue("hello", "succeed", 1).await;
        project.run("select supaqueue.enqueue('hello')").await;
        project
            .eventually("select status from supaqueue.job", "successful")
            .await;
    });
}

/// The statements of an installation after the first, by words of theirs, and the step of each.
const STATEMENTS: [(&str, &str); 5] = [
    ("cannot apply migration 1 of", "migrations"),
    ("cannot apply migration 2 of", "migrations"),
    ("new_name => 'supaqueue_secret_previous'", "Vault"),
    ("supaqueue.schedule_tick()) as result", "tick"),
    ("delete from supaqueue.queue where name", "verification"),
];

#[test]
fn a_change_whose_answer_was_lost_is_found_in_place_by_the_next_run() {
    test(async |project| {
        let every = std::env::var_os("SUPAQUEUE_EVERY_FAULT").is_some();
        for (words, step) in STATEMENTS {
            let kinds: &[Fault] = if every { &KINDS } else { &[] };
            for fault in kinds.iter().copied().chain([Fault::Lost]) {
                let (method, path) = (Method::POST, "/database/query");
                let trap = Trap {
                    method,
                    path,
                    words,
                    fault,
                };
                assert_is_clear(&install_trapped(project, trap).await, step, fault);
            }
        }
        project.platform.set_trap(None);
        project.install(Cli::Three).await.assert_ok();
        for (path, step) in [
            ("/secrets", "functions' secret"),
            ("/functions/deploy", "function"),
        ] {
            project.platform.set_secret("SUPAQUEUE_SECRET", None);
            project.platform.set_verify_jwt("supaqueue", true);
            let run = install_with(project, Method::POST, path, Fault::Lost).await;
            assert_is_clear(&run, step, Fault::Lost);
            project.platform.set_trap(None);
            project.install(Cli::Three).await.assert_ok();
        }
    });
}

#[test]
fn a_cli_that_says_all_is_well_and_did_nothing_is_found_out() {
    test(async |project| {
        let run = install_with(project, Method::POST, "/secrets", Fault::Lie).await;
        assert_is_clear(&run, "functions' secret", Fault::Lie);
        run.assert_says(&["✗ functions' secret", "does not list it"]);
        let run = install_with(project, Method::POST, "/functions/deploy", Fault::Lie).await;
        assert_is_clear(&run, "function", Fault::Lie);
        run.assert_says(&["✗ function", "does not list"]);
        project.platform.set_trap(None);
        project.install(Cli::Three).await.assert_ok();
    });
}

#[test]
fn failures_with_version_2_of_the_cli_are_told_as_well() {
    test(async |project| {
        for (method, path, step, fault) in [
            (
                Method::GET,
                "/v1/projects",
                "tools and login",
                Fault::Status(401),
            ),
            (
                Method::POST,
                "/database/query",
                "secret",
                Fault::Status(403),
            ),
            (Method::POST, "/secrets", "functions' secret", Fault::Cut),
            (
                Method::POST,
                "/functions/deploy",
                "function",
                Fault::Status(500),
            ),
        ] {
            project.platform.set_trap(Some(Trap {
                method,
                path,
                words: "",
                fault,
            }));
            let run = project.install(Cli::Two).await;
            assert_is_clear(&run, step, fault);
        }
        project.platform.set_trap(None);
        project.install(Cli::Two).await.assert_ok();
    });
}

#[test]
fn failures_of_a_removal_are_told_and_running_again_goes_on() {
    test(async |project| {
        let before = project.contents().await;
        project.install(Cli::Three).await.assert_ok();
        let remove = [
            "remove",
            "--project-ref",
            crate::management_api::REF,
            "--yes",
        ];
        for (method, path, step, fault) in [
            (
                Method::POST,
                "/database/query",
                "what depends on it",
                Fault::Status(500),
            ),
            (
                Method::DELETE,
                "/functions/supaqueue",
                "function",
                Fault::Status(403),
            ),
            (
                Method::DELETE,
                "/functions/supaqueue",
                "function",
                Fault::Lie,
            ),
            (Method::DELETE, "/secrets", "functions' secret", Fault::Cut),
            (Method::DELETE, "/secrets", "functions' secret", Fault::Lie),
        ] {
            project.platform.set_trap(Some(Trap {
                method,
                path,
                words: "",
                fault,
            }));
            let run = project.supaqueue(Cli::Three, &remove).await;
            run.assert_failed()
                .assert_says(&[&format!("✗ {step}:")])
                .assert_says(&["Go on with: supaqueue remove"]);
        }
        project.platform.set_trap(None);
        project.supaqueue(Cli::Three, &remove).await.assert_ok();
        assert_eq!(project.contents().await, before, "nothing is left");
    });
}

#[test]
fn without_a_cli_nothing_is_done_and_the_remedy_is_named() {
    test(async |project| {
        let run = project.install(Cli::Missing).await;
        run.assert_failed()
            .assert_says(&["✗ tools and login", "there is no Supabase CLI"])
            .assert_says(&["Install it"]);
        assert_eq!(project.platform.take_calls(), Vec::<String>::new());
    });
}

async fn install_with(project: &Project, method: Method, path: &'static str, fault: Fault) -> Run {
    install_trapped(
        project,
        Trap {
            method,
            path,
            words: "",
            fault,
        },
    )
    .await
}

async fn install_trapped(project: &Project, trap: Trap) -> Run {
    let fault = trap.fault;
    project.platform.set_trap(Some(trap));
    let mut arguments = project.install_arguments().to_vec();
    if fault == Fault::Hang {
        // Long enough for the calls before it on a busy machine.
        arguments.extend(["--timeout", "20"]);
    }
    project.supaqueue(Cli::Three, &arguments).await
}

/// A run that failed says where, why, what to do, what was done and how to go on.
fn assert_is_clear(run: &Run, step: &str, fault: Fault) {
    run.assert_failed()
        .assert_says(&[&format!("✗ {step}:")])
        .assert_says(&["Go on with: supaqueue install"])
        .assert_says(&["Not done: ", step]);
    let words = match fault {
        // Some commands of the CLI keep the status to themselves.
        Fault::Status(_) if run.text.contains("Unexpected error") => "does not tell which status",
        Fault::Status(401) => "Log in",
        Fault::Status(403) => "may not do this",
        Fault::Status(404) => "Check the project's reference",
        Fault::Status(409) => "Another change",
        // The CLI repeats a deployment for longer than we wait for it.
        Fault::Status(429) if run.text.contains("did not end") => "--timeout allows more time",
        Fault::Status(429) => "wait a minute",
        Fault::Hang => "did not end within 20 s",
        Fault::Status(_) => "status.supabase.com",
        Fault::Cut | Fault::Lost => "network",
        Fault::Lie => "Run this again",
    };
    assert!(
        run.text.contains(words),
        "{fault:?} at {step} is not told as {words:?}:\n{}",
        run.text
    );
}
