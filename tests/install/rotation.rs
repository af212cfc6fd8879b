//! Rotating the secret while jobs run, and after every interruption.

use std::time::Duration;

use supaqueue_tests::{get, run};

use crate::failures::calls::{MAKE_SECRET, PROMOTE_SECRET, SET_SECRETS};
use crate::management_api::{Fault, REF};
use crate::program::Cli;
use crate::project::{Project, RUNTIME, eventually, test};
use crate::states::State;

/// No job is lost while the secret is rotated.
pub(crate) fn under_load(project: &Project, cli: Cli) {
    project.queue("load", "succeed", 5);
    // With the default lease of 15 s, the retry of a late dispatch would come after the test.
    project.run("update supaqueue.setting set dispatch_lease_ms = 2000");
    let old = project.secret();

    let load = RUNTIME
        .block_on(project.stack.database().connect())
        .unwrap();
    let (stop, mut stopped) = tokio::sync::oneshot::channel::<()>();
    let inserter = RUNTIME.spawn(async move {
        let pending = "select count(*) from supaqueue.job where status = 'pending'";
        let insert = "select supaqueue.enqueue_many('load', array_fill('{}'::jsonb, array[10]))";
        let mut inserted = 0_u64;
        while stopped.try_recv().is_err() {
            // Keeps the workers busy without a backlog that outlasts the test.
            if get(&load, pending).await.parse::<u32>().unwrap() < 50 {
                run(&load, insert).await;
                inserted += 10;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        inserted
    });
    let rotated = project.supaqueue(cli, &rotate());
    stop.send(()).unwrap();
    let inserted = RUNTIME.block_on(inserter).unwrap();

    rotated.assert_status(0);
    assert!(inserted >= 100, "there was load: {inserted} jobs");
    let of_load = "from supaqueue.job where queue = supaqueue.queue_id('load')";
    let successful = format!("select count(*) {of_load} and status = 'successful'");
    project.eventually(&successful, &inserted.to_string());
    // No attempt was lost.
    let attempts = format!("select count(*), max(attempts) {of_load}");
    project.assert(&attempts, &format!("{inserted}|1"));
    assert_ne!(project.secret(), old);
    assert_is_finished(project);
    project.run("update supaqueue.setting set dispatch_lease_ms = default");
}

#[test]
fn a_rotation_killed_at_any_step_is_finished_by_the_next() {
    test(|project| {
        project.bring_to(State::Installed);
        #[rustfmt::skip]
        let steps = [
            (Cli::DOUBLE, MAKE_SECRET), // the new secret is made
            (Cli::REAL_3, SET_SECRETS), // the functions accept both
            (Cli::DOUBLE, PROMOTE_SECRET), // the database signs with the new one
            (Cli::DOUBLE, SET_SECRETS.after(1)), // the functions have the new one first
            (Cli::DOUBLE, SET_SECRETS.after(2)), // the new one alone
        ];
        for (cli, step) in steps {
            let before = project.secret();
            project.platform.set_trap(step, Fault::Stall);
            let mut running = project.command(cli, &rotate()).spawn().unwrap();
            eventually(|| {
                assert_eq!(running.try_wait().unwrap(), None, "it ended too early");
                let calls = || format!("{:?}", project.platform.take_calls());
                project.platform.is_sprung().then_some(()).ok_or(calls)
            });
            running.kill().unwrap();
            running.wait().unwrap();
            project.platform.remove_trap();

            project.succeeds(Cli::DOUBLE, &rotate());
            assert_ne!(project.secret(), before, "{step:?}");
            assert_is_finished(project);
            project.eventually_no_temporary_files();
        }
    });
}

fn rotate() -> String {
    format!("rotate-secret --project-ref {REF} --yes")
}

/// The functions have only the new secret.
fn assert_is_finished(project: &Project) {
    let of_functions = project.platform.secret("SUPAQUEUE_SECRET");
    assert_eq!(of_functions.unwrap(), project.secret());
    let names = "select string_agg(name, ' ' order by name) from vault.secrets";
    project.assert(names, "supaqueue_secret supaqueue_url");
}
