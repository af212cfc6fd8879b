//! How `supaqueue doctor` behaves, whatever it finds.

use std::os::fd::AsRawFd;
use std::process::{Command, Stdio};

use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::management_api::{Fault, Pattern, REF};
use crate::program::{self, Cli};
use crate::project::{Project, eventually, test};
use crate::states::State;

const QUEUES: &str = "select count(*) from supaqueue.queue";

/// The doctor on the database alone.
fn direct(project: &Project, options: &str) -> Command {
    let line = format!("doctor --db-url {} {options}", project.stack.db_url());
    project.command(Cli::Missing, &line)
}

#[test]
fn two_doctors_at_once_do_not_disturb_each_other() {
    test(|project| {
        project.bring_to(State::Installed);
        let doctors: Vec<_> = (0..3)
            .map(|_| direct(project, "").spawn().unwrap())
            .collect();
        for doctor in doctors {
            let run = program::ended(&doctor.wait_with_output().unwrap()).assert_status(0);
            run.assert_says(&["ok", "self-test: a job completed the round trip"]);
        }
        project.assert(QUEUES, "0");
    });
}

#[test]
fn an_interrupted_doctor_leaves_nothing_behind() {
    test(|project| {
        project.bring_to(State::Installed);
        let outcome = Pattern::query("pg_temp.supaqueue_self_test()");
        project.platform.set_trap(outcome, Fault::Hang);
        let line = format!("doctor --project-ref {REF}");
        let doctor = project.command(Cli::DOUBLE, &line).spawn().unwrap();
        eventually(|| {
            let is_sprung = project.platform.is_sprung();
            is_sprung.then_some(()).ok_or(|| "no self-test".into())
        });
        project.assert(QUEUES, "1");
        let id = Pid::from_raw(doctor.id().cast_signed());
        kill(id, Signal::SIGINT).unwrap();
        let run = program::ended(&doctor.wait_with_output().unwrap()).assert_status(130);
        run.assert_says(&[
            "the next checks write to the database",
            "supaqueue_self_test_",
        ]);
        project.assert(QUEUES, "0");

        // One that was killed: the next one deletes its queue, but not that of one that runs.
        project.platform.remove_trap();
        project.run(
            "insert into supaqueue.queue (name, edge_function_name, created_at) values
               ('supaqueue_self_test_1_1', 'supaqueue', now() - interval '11 minutes'),
               ('supaqueue_self_test_2_2', 'supaqueue', now() - interval '9 minutes')",
        );
        program::run(&mut direct(project, "")).assert_status(0);
        project.assert(
            "select string_agg(name, ' ') from supaqueue.queue",
            "supaqueue_self_test_2_2",
        );
    });
}

#[test]
fn a_read_only_doctor_writes_nothing_and_says_what_it_leaves_out() {
    test(|project| {
        project.bring_to(State::Installed);
        let requests = "select last_value, is_called from net.http_request_queue_id_seq";
        let before = (project.get(requests), project.contents());
        let run = program::run(&mut direct(project, "--read-only")).assert_status(0);
        run.assert_says(&["skipped", "self-test: left out with --read-only"]);
        run.assert_says(&[
            "skipped",
            "the function's answers: left out with --read-only",
        ]);
        assert!(!run.text.contains("write to the database"), "{}", run.text);
        assert_eq!((project.get(requests), project.contents()), before);
    });
}

#[test]
fn json_has_every_finding_and_nothing_else_is_on_stdout() {
    test(|project| {
        project.bring_to(State::Installed);
        project.run("create table public.parcel (job uuid references supaqueue.job)");
        let check = |options: &str, status: i32| -> Value {
            let output = direct(project, options).output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            assert_eq!(output.status.code(), Some(status), "{text}");
            let document: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
            let keys = |value: &Value| -> Vec<String> {
                value.as_object().unwrap().keys().cloned().collect()
            };
            assert_eq!(keys(&document), ["findings", "summary"]);
            let findings = document["findings"].as_array().unwrap();
            for finding in findings {
                assert_eq!(keys(finding), ["message", "remedy", "severity", "subject"]);
                let severity = finding["severity"].as_str().unwrap();
                let is_problem = matches!(severity, "warning" | "failed");
                assert_eq!(finding["remedy"].is_string(), is_problem, "{finding}");
            }
            for severity in ["ok", "skipped", "warning", "failed"] {
                let same = findings
                    .iter()
                    .filter(|finding| finding["severity"] == severity);
                assert_eq!(document["summary"][severity], same.count(), "{text}");
            }
            document
        };
        // Warnings are no failure.
        let document = check("--json", 0);
        assert_eq!(document["summary"]["warning"], 1);
        let of_foreign_keys = |finding: &&Value| finding["subject"] == "foreign keys";
        let findings = document["findings"].as_array().unwrap();
        let remedy = findings.iter().find(of_foreign_keys).unwrap()["remedy"].as_str();
        assert!(remedy.unwrap().contains("on delete set null"), "{remedy:?}");
        project.run("select cron.unschedule('supaqueue_tick')");
        assert_eq!(check("--json --read-only", 1)["summary"]["failed"], 1);

        let mut without_cli = project.command(Cli::Missing, "doctor --json");
        let output = without_cli.output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        serde_json::from_slice::<Value>(&output.stdout).unwrap();
        let mut wrong = project.command(Cli::Missing, "doctor --timeout never");
        assert_eq!(wrong.output().unwrap().status.code(), Some(2));
    });
}

#[test]
fn the_output_fits_a_terminal_of_80_columns() {
    test(|project| {
        project.bring_to(State::Installed);
        project.run(
            "create table public.parcel (job uuid references supaqueue.job);
             select cron.unschedule('supaqueue_tick')",
        );
        let at_a_terminal = |no_color: bool| {
            let size = Winsize {
                ws_row: 24,
                ws_col: 80,
                ws_xpixel: 0,
                ws_ypixel: 0,
            };
            let terminal = openpty(&size, None).unwrap();
            let mut command = direct(project, "--read-only");
            command.env("TERM", "xterm").stderr(Stdio::null());
            if no_color {
                command.env("NO_COLOR", "1");
            }
            let side = || terminal.slave.try_clone().unwrap();
            let mut doctor = command.stdout(side()).spawn().unwrap();
            drop(command);
            drop(terminal.slave);
            let master = std::fs::File::from(terminal.master);
            assert!(master.as_raw_fd() > 0);
            let mut text = String::new();
            // Reading fails once the program has exited.
            let _ = std::io::Read::read_to_string(&mut &master, &mut text);
            doctor.wait().unwrap();
            text
        };
        let plain = at_a_terminal(true);
        println!("{plain}");
        assert!(
            plain.contains("failed   problem: the tick is not scheduled"),
            "{plain}"
        );
        assert!(!plain.contains('\x1b'), "{plain}");
        for line in plain.lines() {
            assert!(line.trim_end().chars().count() <= 80, "{line}");
        }
        // Problems come last.
        let (_, end) = plain.split_once("\r\n\r\n").unwrap();
        assert!(
            !plain.contains("ok      ") || !end.contains("\nok      "),
            "{plain}"
        );
        assert!(
            plain
                .trim_end()
                .lines()
                .last()
                .unwrap()
                .starts_with("1 failed, 1 warning, "),
            "{plain}"
        );
        assert!(at_a_terminal(false).contains("\x1b[31mfailed"));
    });
}
