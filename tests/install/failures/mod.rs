//! Whatever fails on the way: a clear message, and running again succeeds.
//!
//! Each call of each command fails in a few ways, with either version of the CLI in turn. With
//! `SUPAQUEUE_EVERY_FAULT` it fails in all of them: `=3` and `=2` name the version.
//!
//! A call that was not carried out leaves what was there before it, whichever way it failed: so the
//! command is run again after the last of these, and after each that was carried out.

mod calls;
mod told;

use crate::management_api::{Fault, Trap};
use crate::program::{Cli, Run};
use crate::project::{Project, test};
use calls::{
    ADD, Call, Command, DOCTOR, INSTALL, INSTALL_WITH_ANON_KEY, REMOVE, REMOVE_ADD_ON,
    ROTATE_SECRET,
};

#[test]
fn every_failure_of_an_installation_is_told_and_running_again_goes_on() {
    test(async |project| {
        check(project, &INSTALL).await;
        check(project, &INSTALL_WITH_ANON_KEY).await;
    });
}

#[test]
fn every_failure_of_a_removal_is_told_and_running_again_goes_on() {
    test(async |project| check(project, &REMOVE).await);
}

#[test]
fn every_failure_of_a_rotation_is_told_and_running_again_finishes() {
    test(async |project| check(project, &ROTATE_SECRET).await);
}

#[test]
fn every_failure_of_adding_or_removing_an_add_on_is_told_and_running_again_goes_on() {
    test(async |project| {
        check(project, &ADD).await;
        check(project, &REMOVE_ADD_ON).await;
    });
}

#[test]
fn every_failure_of_the_doctor_is_told_in_a_line_of_its_own() {
    test(async |project| check(project, &DOCTOR).await);
}

#[test]
fn without_a_cli_nothing_is_done_and_the_remedy_is_named() {
    test(async |project| {
        for command in [
            &INSTALL,
            &REMOVE,
            &ROTATE_SECRET,
            &ADD,
            &REMOVE_ADD_ON,
            &DOCTOR,
        ] {
            run(project, Cli::Missing, command, &[])
                .await
                .assert_failed()
                .assert_says(&["tools and login: the Supabase CLI is not installed"])
                .assert_says(&["Install it"]);
        }
        assert_eq!(project.platform.take_calls(), Vec::<String>::new());
    });
}

/// Has the calls of a command fail.
async fn check(project: &Project, command: &'static Command) {
    project.bring_to(command.to).await;
    let done = project.contents().await;
    let trials = trials(command);
    assert!(!trials.is_empty());
    for (at, (call, cli, fault)) in trials.iter().enumerate() {
        let failed = fail(project, *cli, command, call, *fault).await;
        let told = match command.name {
            "doctor" => told::in_a_line(&failed, call.step, *fault),
            name => told::in_a_step(&failed, name, call.step, *fault),
        };
        println!("{} {cli:?} {call} {fault:?}: {told}", command.name);
        if call.step == "self-test" && call.skip == 0 {
            let queues = project.get("select count(*) from supaqueue.queue").await;
            assert_eq!(
                queues, "0",
                "the self-test leaves its queue: {call} {fault:?}"
            );
        }
        let is_next_another = trials
            .get(at + 1)
            .is_none_or(|(next, ..)| next.to_string() != call.to_string());
        if *fault == Fault::Lost
            || is_next_another && is_every().is_some()
            || at + 1 == trials.len()
        {
            let again = run(project, *cli, command, &[]).await;
            again.assert_ok();
            let contents = project.contents().await;
            assert_eq!(contents, done, "{call} {fault:?}:\n{}", again.text);
            assert_one_secret_is_in_force(project).await;
        }
    }
}

/// Runs a command of which a call fails. Where that call is to hang, the calls before it have to end
/// in time, for which a busy machine needs longer.
async fn fail(project: &Project, cli: Cli, command: &Command, call: &Call, fault: Fault) -> Run {
    let limits = match fault {
        Fault::Hang => &["20", "80", "320"][..],
        _ => &["120"],
    };
    let mut texts = String::new();
    for limit in limits {
        project.bring_to(call.from).await;
        project.platform.set_trap(Some(Trap {
            method: call.method,
            path: call.path,
            words: call.words,
            skip: call.skip,
            fault,
            is_sprung: false,
        }));
        let failed = run(project, cli, command, &["--timeout", limit]).await;
        if project.platform.is_sprung() {
            project.platform.set_trap(None);
            return failed;
        }
        texts += &failed.text;
    }
    panic!("{} does not come to {call}:\n{texts}", command.name);
}

/// The calls, with the ways in which they fail.
fn trials(command: &'static Command) -> Vec<(&'static Call, Cli, Fault)> {
    let cli = match is_every().as_deref() {
        None => {
            let tried = command.calls.iter().flat_map(|call| {
                let faults = call.tried.iter();
                faults.map(move |fault| (call, *fault))
            });
            let clis = [Cli::Three, Cli::Two].into_iter().cycle();
            return tried
                .zip(clis)
                .map(|((call, fault), cli)| (call, cli, fault))
                .collect();
        }
        Some("3") => Cli::Three,
        Some("2") => Cli::Two,
        Some(other) => panic!("SUPAQUEUE_EVERY_FAULT is {other}, not 2 or 3"),
    };
    let of_call = |call: &'static Call| {
        let lost = (call.method != "GET").then_some(Fault::Lost);
        let lie = call.tried.contains(&Fault::Lie).then_some(Fault::Lie);
        let faults = told::KINDS.into_iter().chain(lie).chain(lost);
        faults.map(move |fault| (call, cli, fault))
    };
    command.calls.iter().flat_map(of_call).collect()
}

fn is_every() -> Option<String> {
    std::env::var("SUPAQUEUE_EVERY_FAULT").ok()
}

async fn run(project: &Project, cli: Cli, command: &Command, options: &[&str]) -> Run {
    let mut arguments: Vec<&str> = command.name.split(' ').collect();
    arguments.extend(command.options);
    if command.name == "install" {
        arguments.extend(["--project-url", project.stack.gateway_url()]);
    }
    arguments.extend(options);
    project.supaqueue(cli, &arguments).await
}

/// The functions have the secret that signs, and there is no other; or there is none at all.
async fn assert_one_secret_is_in_force(project: &Project) {
    let secrets = "select coalesce(string_agg(decrypted_secret, ' '), '') from vault.decrypted_secrets where name ~ 'supaqueue_secret'";
    let of_functions = project.platform.secret("SUPAQUEUE_SECRET");
    assert_eq!(of_functions.unwrap_or_default(), project.get(secrets).await);
}
