//! Every failure is reported with its cause and a fix, and re-running the command resumes where it
//! stopped.
//!
//! Each call of each command fails in a few ways. The real CLI meets each kind of failure, and a
//! failure in each command; the other failures go through its double, of either version in turn.
//! `SUPAQUEUE_EVERY_FAULT` makes each call fail in every way: `=3` and `=2` with that version of the
//! real CLI (for hours), `=double` with the double.
//!
//! A call that was not carried out leaves the project unchanged, whichever way it failed: so the
//! command is run again after the last of these, and after each call that was carried out.

mod calls;
mod message;

use crate::management_api::{Fault, Trap};
use crate::program::{Cli, Major, Run};
use crate::project::{Project, test};
use calls::{
    ADD, Call, Command, DOCTOR, INSTALL, INSTALL_WITH_ANON_KEY, REMOVE, REMOVE_ADD_ON,
    ROTATE_SECRET,
};

const COMMANDS: [&Command; 7] = [
    &INSTALL,
    &INSTALL_WITH_ANON_KEY,
    &REMOVE,
    &ROTATE_SECRET,
    &ADD,
    &REMOVE_ADD_ON,
    &DOCTOR,
];

#[test]
fn a_failed_installation_says_why_and_resumes() {
    test(async |project| {
        check(project, &INSTALL).await;
        check(project, &INSTALL_WITH_ANON_KEY).await;
    });
}

#[test]
fn a_failed_removal_says_why_and_resumes() {
    test(async |project| check(project, &REMOVE).await);
}

#[test]
fn a_failed_rotation_says_why_and_resumes() {
    test(async |project| check(project, &ROTATE_SECRET).await);
}

#[test]
fn a_failed_change_of_an_add_on_says_why_and_resumes() {
    test(async |project| {
        check(project, &ADD).await;
        check(project, &REMOVE_ADD_ON).await;
    });
}

#[test]
fn the_doctor_reports_each_failed_check_in_its_own_line() {
    test(async |project| check(project, &DOCTOR).await);
}

#[test]
fn without_a_cli_every_command_fails_with_a_fix_and_sends_nothing() {
    test(async |project| {
        for command in COMMANDS {
            run(project, Cli::Missing, command, &[])
                .await
                .assert_failed()
                .assert_says(&["tools and login: the Supabase CLI is not installed"])
                .assert_says(&["Install it"]);
        }
        assert_eq!(project.platform.take_calls(), Vec::<String>::new());
    });
}

#[test]
fn the_real_cli_meets_every_kind_of_failure() {
    let real = |command: &Command| -> Vec<Fault> {
        command.calls.iter().filter_map(|call| call.real).collect()
    };
    let met: Vec<Fault> = COMMANDS.into_iter().flat_map(real).collect();
    for fault in message::KINDS.into_iter().chain([Fault::Lost, Fault::Lie]) {
        assert!(met.contains(&fault), "{fault:?}");
    }
    for name in COMMANDS.map(|command| command.name) {
        let mut same = COMMANDS.into_iter().filter(|command| command.name == name);
        assert!(same.any(|command| !real(command).is_empty()), "{name}");
    }
}

/// The answers that a request gets here, for the contract of the double.
pub(crate) fn answers(method: &str, path: &str, every: bool) -> Vec<Fault> {
    let mut answers = Vec::new();
    let calls = COMMANDS.into_iter().flat_map(|command| command.calls);
    for call in calls.filter(|call| (call.method, call.path) == (method, path)) {
        for fault in call.tried {
            match fault {
                // The same as what its answer looks like.
                Fault::Lost => answers.push(Fault::Cut),
                Fault::Lie => {}
                fault => answers.push(*fault),
            }
        }
    }
    if every {
        answers.extend(message::KINDS);
    }
    let mut seen = Vec::new();
    answers.retain(|fault| {
        let is_new = !seen.contains(fault);
        seen.push(*fault);
        is_new
    });
    answers
}

/// Makes the calls of a command fail.
async fn check(project: &Project, command: &'static Command) {
    project.bring_to(command.to).await;
    let done = project.contents().await;
    let trials = trials(command);
    assert!(!trials.is_empty());
    for (at, (call, cli, fault)) in trials.iter().enumerate() {
        let failed = fail(project, *cli, command, call, *fault).await;
        let message = match command.name {
            "doctor" => message::in_a_line(&failed, call.step, *fault),
            name => message::in_a_step(&failed, name, call.step, *fault),
        };
        println!("{} {cli:?} {call} {fault:?}: {message}", command.name);
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

/// Runs a command one of whose calls fails. If that call hangs, the calls before it must end within
/// the timeout, and a busy machine needs a longer one for that.
async fn fail(project: &Project, cli: Cli, command: &Command, call: &Call, fault: Fault) -> Run {
    let timeouts = match (fault, cli) {
        (Fault::Hang, Cli::Double(_)) => &["5", "20", "80", "320"][..],
        (Fault::Hang, _) => &["20", "80", "320"],
        _ => &["120"],
    };
    let mut texts = String::new();
    for timeout in timeouts {
        project.bring_to(call.from).await;
        project.platform.set_trap(Some(Trap {
            method: call.method,
            path: call.path,
            words: call.words,
            skip: call.skip,
            fault,
            is_sprung: false,
        }));
        let failed = run(project, cli, command, &["--timeout", timeout]).await;
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
            let majors = [Major::Three, Major::Two].into_iter().cycle();
            return tried
                .zip(majors)
                .map(|((call, fault), major)| match call.real == Some(fault) {
                    true => (call, Cli::Real(major), fault),
                    false => (call, Cli::Double(major), fault),
                })
                .collect();
        }
        Some("3") => Cli::REAL_3,
        Some("2") => Cli::REAL_2,
        Some("double") => Cli::DOUBLE,
        Some(other) => panic!("SUPAQUEUE_EVERY_FAULT is {other}, not 2, 3 or double"),
    };
    let of_call = |call: &'static Call| {
        let lost = (call.method != "GET").then_some(Fault::Lost);
        let lie = call.tried.contains(&Fault::Lie).then_some(Fault::Lie);
        let faults = message::KINDS.into_iter().chain(lie).chain(lost);
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

/// The functions have the secret that signs and no other, or there is no secret at all.
async fn assert_one_secret_is_in_force(project: &Project) {
    let secrets = "select coalesce(string_agg(decrypted_secret, ' '), '') from vault.decrypted_secrets where name ~ 'supaqueue_secret'";
    let of_functions = project.platform.secret("SUPAQUEUE_SECRET");
    assert_eq!(of_functions.unwrap_or_default(), project.get(secrets).await);
}
