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

pub(crate) mod calls;
mod message;

use crate::management_api::{Fault, Pattern, REF};
use crate::program::{Cli, Major, Run};
use crate::project::{Project, test};
use calls::*;

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
    test(|project| {
        check(project, &INSTALL);
        check(project, &INSTALL_WITH_ANON_KEY);
    });
}

#[test]
fn a_failed_removal_says_why_and_resumes() {
    test(|project| check(project, &REMOVE));
}

#[test]
fn a_failed_rotation_says_why_and_resumes() {
    test(|project| check(project, &ROTATE_SECRET));
}

#[test]
fn a_failed_change_of_an_add_on_says_why_and_resumes() {
    test(|project| {
        check(project, &ADD);
        check(project, &REMOVE_ADD_ON);
    });
}

#[test]
fn the_doctor_reports_each_failed_check_in_its_own_line() {
    test(|project| check(project, &DOCTOR));
}

#[test]
fn without_a_cli_every_command_fails_with_a_fix_and_sends_nothing() {
    test(|project| {
        for command in COMMANDS {
            run(project, Cli::Missing, command, "")
                .assert_status(1)
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
pub(crate) fn answers(request: Pattern, every: bool) -> Vec<Fault> {
    let calls = COMMANDS.into_iter().flat_map(|command| command.calls);
    let same =
        calls.filter(|call| (call.like.method, call.like.path) == (request.method, request.path));
    let tried = same
        .flat_map(|call| call.tried)
        .filter_map(|fault| match fault {
            // The same as what its answer looks like.
            Fault::Lost => Some(Fault::Cut),
            Fault::Lie => None,
            fault => Some(*fault),
        });
    let kinds = message::KINDS.into_iter().filter(|_| every);
    let mut answers = Vec::new();
    for fault in tried.chain(kinds) {
        if !answers.contains(&fault) {
            answers.push(fault);
        }
    }
    answers
}

/// Makes the calls of a command fail.
fn check(project: &Project, command: &'static Command) {
    project.bring_to(command.to);
    let done = project.contents();
    let trials = trials(command);
    assert!(!trials.is_empty());
    for (at, (call, cli, fault)) in trials.iter().enumerate() {
        let like = call.like;
        let failed = fail(project, *cli, command, call, *fault).assert_status(1);
        let message = match command.name {
            "doctor" => message::in_a_line(&failed, call.step, *fault),
            name => message::in_a_step(&failed, name, call.step, *fault),
        };
        println!("{} {cli:?} {like:?} {fault:?}: {message}", command.name);
        if call.step == "self-test" && like.skip == 0 {
            let queues = project.get("select count(*) from supaqueue.queue");
            assert_eq!(
                queues, "0",
                "the self-test leaves its queue: {like:?} {fault:?}"
            );
        }
        let next = trials.get(at + 1);
        let is_last_of_call = next.is_none_or(|(next, ..)| next.like != like);
        if *fault == Fault::Lost || is_last_of_call && is_every().is_some() || next.is_none() {
            let again = run(project, *cli, command, "").assert_status(0);
            let contents = project.contents();
            assert_eq!(contents, done, "{like:?} {fault:?}:\n{}", again.text);
            assert_one_secret_is_in_force(project);
        }
    }
}

/// Runs a command one of whose calls fails. If that call hangs, the calls before it must end within
/// the timeout, and a busy machine needs a longer one for that.
fn fail(project: &Project, cli: Cli, command: &Command, call: &Call, fault: Fault) -> Run {
    let timeouts = match (fault, cli) {
        (Fault::Hang, Cli::Double(_)) => &[5, 20, 80, 320][..],
        (Fault::Hang, _) => &[20, 80, 320],
        _ => &[120],
    };
    let mut texts = String::new();
    for timeout in timeouts {
        project.bring_to(call.from);
        project.platform.set_trap(call.like, fault);
        let failed = run(project, cli, command, &format!("--timeout {timeout}"));
        if project.platform.is_sprung() {
            project.platform.remove_trap();
            return failed;
        }
        texts += &failed.text;
    }
    panic!(
        "{} does not come to {:?}:\n{texts}",
        command.name, call.like
    );
}

/// The calls, with the ways in which they fail.
fn trials(command: &'static Command) -> Vec<(&'static Call, Cli, Fault)> {
    let cli = match is_every().as_deref() {
        None => {
            let all = |call: &'static Call| call.tried.iter().map(move |fault| (call, *fault));
            let majors = [Major::Three, Major::Two].into_iter().cycle();
            let tried = command.calls.iter().flat_map(all).zip(majors);
            return tried
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
        let lost = (call.like.method != "GET").then_some(Fault::Lost);
        let lie = call.tried.contains(&Fault::Lie).then_some(Fault::Lie);
        let faults = message::KINDS.into_iter().chain(lie).chain(lost);
        faults.map(move |fault| (call, cli, fault))
    };
    command.calls.iter().flat_map(of_call).collect()
}

fn is_every() -> Option<String> {
    std::env::var("SUPAQUEUE_EVERY_FAULT").ok()
}

fn run(project: &Project, cli: Cli, command: &Command, more: &str) -> Run {
    let Command { name, options, .. } = command;
    let url = match *name {
        "install" => format!("--project-url {}", project.stack.gateway_url()),
        _ => String::new(),
    };
    project.supaqueue(
        cli,
        &format!("{name} {options} --project-ref {REF} {url} {more}"),
    )
}

/// The functions have the secret that signs and no other, or there is no secret at all.
fn assert_one_secret_is_in_force(project: &Project) {
    let secrets = "select coalesce(string_agg(decrypted_secret, ' '), '') from vault.decrypted_secrets where name ~ 'supaqueue_secret'";
    let of_functions = project.platform.secret("SUPAQUEUE_SECRET");
    project.assert(secrets, &of_functions.unwrap_or_default());
}
