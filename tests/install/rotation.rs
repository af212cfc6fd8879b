//! Rotating the secret while jobs run, and after every interruption.

use std::time::{Duration, Instant};

use supaqueue_tests::{get, run};

use crate::management_api::{Fault, REF, Trap};
use crate::program::{self, Cli};
use crate::project::{Project, test};
use crate::states::State;

const ROTATE: [&str; 4] = ["rotate-secret", "--project-ref", REF, "--yes"];

/// No job is lost while the secret is rotated.
pub(crate) async fn under_load(project: &Project, cli: Cli) {
    project.queue("load", "succeed", 5).await;
    // With the default lease of 15 s, the retry of a late dispatch would come after the test.
    project
        .run("update supaqueue.setting set dispatch_lease_ms = 2000")
        .await;
    let old = project.secret().await;

    let load = project.stack.database().connect().await.unwrap();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let inserter = tokio::spawn(async move {
        let mut inserted = 0_u64;
        while stopped.try_recv().is_err() {
            // Keeps the workers busy without a backlog that outlasts the test.
            if get(
                &load,
                "select count(*) from supaqueue.job where status = 'pending'",
            )
            .await
            .parse::<u32>()
            .unwrap()
                < 50
            {
                run(
                    &load,
                    "select supaqueue.enqueue_many('load', array_fill('{}'::jsonb, array[10]))",
                )
                .await;
                inserted += 10;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        inserted
    });
    let rotated = project.supaqueue(cli, &ROTATE).await;
    stop.send(()).unwrap();
    let inserted = inserter.await.unwrap();

    rotated.assert_ok();
    assert!(inserted >= 100, "there was load: {inserted} jobs");
    project
            .eventually(
                "select count(*) from supaqueue.job where status = 'successful' and queue = supaqueue.queue_id('load')",
                &inserted.to_string(),
            )
            .await;
    assert_eq!(
            project
                .get("select count(*), max(attempts) from supaqueue.job where queue = supaqueue.queue_id('load')")
                .await,
            format!("{inserted}|1"),
            "no attempt was lost"
        );
    assert_ne!(project.secret().await, old);
    assert_is_finished(project).await;
    project
        .run("update supaqueue.setting set dispatch_lease_ms = default")
        .await;
}

#[test]
fn a_rotation_killed_at_any_step_is_finished_by_the_next() {
    test(async |project| {
        project.bring_to(State::Installed).await;
        // Once the new secret is made; the functions accept both; the database signs with the new
        // one; the functions have the new one first; the new one alone.
        for (cli, method, path, words, skip) in [
            (
                Cli::DOUBLE,
                "POST",
                "/database/query",
                "the key that will sign",
                0,
            ),
            (Cli::REAL_3, "POST", "/secrets", "", 0),
            (
                Cli::DOUBLE,
                "POST",
                "/database/query",
                "new_name => 'supaqueue_secret_previous'",
                0,
            ),
            (Cli::DOUBLE, "POST", "/secrets", "", 1),
            (Cli::DOUBLE, "POST", "/secrets", "", 2),
        ] {
            let before = project.secret().await;
            project.platform.set_trap(Some(Trap {
                method,
                path,
                words,
                skip,
                fault: Fault::Stall,
                is_sprung: false,
            }));
            let mut running = program::command(&project.environment, cli, &ROTATE)
                .spawn()
                .unwrap();
            let begin = Instant::now();
            while !project.platform.is_sprung() {
                assert_eq!(running.try_wait().unwrap(), None, "it ended too early");
                assert!(
                    begin.elapsed() < Duration::from_secs(120),
                    "{:?}",
                    project.platform.take_calls()
                );
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            running.kill().await.unwrap();
            project.platform.set_trap(None);

            project.supaqueue(Cli::DOUBLE, &ROTATE).await.assert_ok();
            assert_ne!(project.secret().await, before, "{path} {words} {skip}");
            assert_is_finished(project).await;
            project.eventually_no_temporary_files().await;
        }
    });
}

async fn assert_is_finished(project: &Project) {
    assert_eq!(
        project.platform.secret("SUPAQUEUE_SECRET").unwrap(),
        project.secret().await,
        "the functions have only the new secret"
    );
    let names = "select string_agg(name, ' ' order by name) from vault.secrets";
    assert_eq!(project.get(names).await, "supaqueue_secret supaqueue_url");
}
