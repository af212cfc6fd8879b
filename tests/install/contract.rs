//! The contract of the double: for each call that the program makes, and each answer that the
//! failure matrix gives, the real CLI and the double send the same requests, exit with the same
//! status and write the same JSON.
//!
//! With `SUPAQUEUE_RECORD` set, the real CLI is asked about every answer and `recording.json` is
//! written anew: run it after an update of the CLI, or after a change of the program's calls.
//! With `SUPAQUEUE_EVERY_FAULT` set, every answer is compared.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::failures::{self, calls};
use crate::management_api::{Fault, Pattern, Platform, REF, write_function};
use crate::program::{self, Cli, Environment, Major};
use crate::project::{Project, RUNTIME, test};
use crate::recording::{self, Call, Outcome, Request, Variable};

/// The real CLI is mostly waiting, for its next retry or for a fault to last.
const AT_ONCE: usize = 3;

/// Longer than the CLI retries; deploying is the exception.
const PATIENCE: Duration = Duration::from_secs(60);

/// After this long without an end, a call counts as hanging.
const HANGING: Duration = Duration::from_secs(5);

const QUERY: &str = "\n  select 1 as a, jsonb_build_object('b', 'ü') as result\n";
const NO_ROWS: &str = "do $$ begin end $$";
const REFUSED: &str = "do $$ begin raise exception 'no' using hint = 'Do this.'; end $$";

#[test]
fn the_double_does_what_version_2_does() {
    test(|project| RUNTIME.block_on(check(project, Major::Two)));
}

#[test]
fn the_double_does_what_version_3_does() {
    test(|project| RUNTIME.block_on(check(project, Major::Three)));
}

/// A call of the CLI and the request that decides how it ends.
struct Invocation {
    line: &'static str,
    request: Pattern,
}

const VERSION: &str = "--version";

/// Every call that the program makes.
#[rustfmt::skip]
const INVOCATIONS: [Invocation; 10] = [
    invocation(VERSION, Pattern::new("", "")),
    invocation("projects list", calls::PROJECTS),
    invocation("projects api-keys", calls::API_KEYS),
    invocation("db query", Pattern::query("")),
    invocation("secrets list", calls::SECRETS),
    invocation("secrets set --env-file supaqueue.env", calls::SET_SECRETS),
    invocation("secrets unset SUPAQUEUE_SECRET", calls::UNSET_SECRETS),
    invocation("functions list", calls::FUNCTIONS),
    invocation("functions deploy supaqueue --use-api --no-verify-jwt", calls::DEPLOY),
    invocation("functions delete supaqueue", calls::DELETE),
];

const fn invocation(line: &'static str, request: Pattern) -> Invocation {
    Invocation { line, request }
}

impl Invocation {
    /// The arguments that the program gives, with the name of a variable for the folder.
    fn arguments(&self, major: Major) -> Vec<String> {
        let project = match (self.line, major) {
            (VERSION, _) => return vec![VERSION.into()],
            ("projects list", _) => String::new(),
            ("db query", Major::Two) => format!("--linked --project-ref {REF}"),
            (_, Major::Two) => format!("--project-ref {REF}"),
            (_, Major::Three) => format!("--remote={REF}"),
        };
        let common = "--output-format json --agent no --yes --workdir {{folder}}";
        let line = format!("{} {project} {common}", self.line);
        line.split_whitespace().map(str::to_owned).collect()
    }

    /// What stdin has, and what goes wrong, for each answer to compare.
    fn trials(&self, every: bool) -> Vec<(&'static str, Option<Fault>)> {
        let mut trials = match self.line {
            "db query" => vec![(QUERY, None), (NO_ROWS, None), (REFUSED, None)],
            _ => vec![("", None)],
        };
        let stdin = trials[0].0;
        if self.line != VERSION {
            let faults = failures::answers(self.request, every).into_iter();
            trials.extend(faults.map(|fault| (stdin, Some(fault))));
        }
        trials
    }
}

/// How a run of the CLI ended, with what it sent.
#[derive(Debug, PartialEq)]
struct Ended {
    /// Repeated requests once.
    requests: Vec<Request>,
    /// How often the last was sent.
    tries: usize,
    /// Nothing if it had to be killed.
    status: Option<i32>,
    stdout: Value,
}

/// A project of its own for each invocation, as a trap is set for all calls of a project.
struct Bench {
    platform: Arc<Platform>,
    environment: Environment,
    url: String,
}

async fn check(project: &Project, major: Major) {
    let is_recording = std::env::var_os("SUPAQUEUE_RECORD").is_some();
    let every = is_recording || std::env::var_os("SUPAQUEUE_EVERY_FAULT").is_some();
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut checks = JoinSet::new();
    for (at, invocation) in INVOCATIONS.iter().enumerate() {
        let bench = Bench::new(project, at).await;
        let places = places.clone();
        checks.spawn(async move {
            let mut call = None;
            for (stdin, fault) in invocation.trials(every) {
                let _place = places.acquire().await.unwrap();
                let want = bench.run(Cli::Real(major), invocation, stdin, fault).await;
                if is_recording {
                    bench.record(&mut call, invocation, major, want, stdin);
                    continue;
                }
                let got = bench
                    .run(Cli::Double(major), invocation, stdin, fault)
                    .await;
                assert_eq!(
                    got, want,
                    "the double (left) differs from the real CLI: {} {fault:?} {stdin}",
                    invocation.line
                );
            }
            (at, call)
        });
    }
    let mut calls = checks.join_all().await;
    if is_recording {
        calls.sort_by_key(|(at, _)| *at);
        write(major, calls.into_iter().filter_map(|(_, call)| call));
    }
}

impl Bench {
    async fn new(project: &Project, at: usize) -> Self {
        let folder = project.environment.home.join(format!("contract-{at}"));
        let platform = Platform::new(project.stack.database().clone(), folder.join("platform"));
        let url = platform.serve().await;
        let environment = Environment::new(&folder, &url);
        let work = &environment.folder;
        write_function(&work.join("supabase/functions/supaqueue"));
        let write = |name: &str, content: &str| std::fs::write(work.join(name), content).unwrap();
        write(
            "supabase/config.toml",
            "[functions.supaqueue]\nverify_jwt = false\n",
        );
        write(
            "supaqueue.env",
            "SUPAQUEUE_SECRET=\"whsec_one= whsec_two=\"\n",
        );
        Self {
            platform,
            environment,
            url,
        }
    }

    /// Runs the CLI as the program does.
    async fn run(
        &self,
        cli: Cli,
        invocation: &Invocation,
        stdin: &str,
        fault: Option<Fault>,
    ) -> Ended {
        let platform = &self.platform;
        platform.clear();
        platform.serve_supaqueue();
        platform.set_secret("SUPAQUEUE_SECRET", Some("whsec_old="));
        platform.take_requests();
        platform.take_answer();
        match fault {
            Some(fault) => platform.set_trap(invocation.request, fault),
            None => platform.remove_trap(),
        }

        let folder = self.environment.folder.to_str().unwrap();
        let arguments = invocation.arguments(cli.major()).into_iter();
        let mut child = Command::from(program::supabase(&self.environment, cli))
            .args(arguments.map(|word| word.replace("{{folder}}", folder)))
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let (status, stdout) = tokio::select! {
            output = child.wait_with_output() => {
                let output = output.unwrap();
                (output.status.code(), read(&output.stdout))
            }
            () = self.hangs(invocation, fault) => {
                // The first process is killed when it is dropped; the real one has another.
                let _ = killpg(group, Signal::SIGKILL);
                (None, Value::Null)
            }
        };

        let mut requests = platform.take_requests();
        let sent = requests.len();
        requests.dedup();
        let mut tries = sent - requests.len() + 1;
        if status.is_none() {
            // How often depends on when it is killed.
            tries = tries.min(2);
        }
        Ended {
            requests,
            tries,
            status,
            stdout,
        }
    }

    /// Returns when the CLI can be taken not to end.
    async fn hangs(&self, invocation: &Invocation, fault: Option<Fault>) {
        let is_endless = match fault {
            Some(Fault::Hang) => true,
            Some(Fault::Status(429)) => invocation.request == calls::DEPLOY,
            _ => false,
        };
        if !is_endless {
            return tokio::time::sleep(PATIENCE).await;
        }
        while !self.platform.is_sprung() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(HANGING).await;
    }

    /// Adds a run of the real CLI to the recording of a call.
    fn record(
        &self,
        call: &mut Option<Call>,
        invocation: &Invocation,
        major: Major,
        ended: Ended,
        stdin: &str,
    ) {
        let inputs = recording::inputs(stdin, self.environment.folder.to_str().unwrap());
        let requests = ended
            .requests
            .iter()
            .map(|request| abstracted(request, &inputs));
        let call = call.get_or_insert_with(|| Call {
            version: major as u32,
            arguments: invocation.arguments(major),
            requests: requests.collect(),
            outcomes: Vec::new(),
        });
        let (answers, tries, variables) = match self.platform.take_answer() {
            Some((answer, body)) => {
                let mut variables = recording::of_answer(&answer, &body, &self.url);
                variables.extend(inputs);
                (vec![answer], ended.status.map(|_| ended.tries), variables)
            }
            // The double needs no recording to wait for an answer.
            None if ended.status.is_none() => return,
            None => (Vec::new(), None, inputs),
        };
        let (status, stdout) = (ended.status, abstracted(&ended.stdout, &variables));
        let mut outcomes = call.outcomes.iter_mut();
        match outcomes.find(|o| (o.tries, o.status, &o.stdout) == (tries, status, &stdout)) {
            Some(same) if answers.iter().all(|answer| same.answers.contains(answer)) => {}
            Some(same) => same.answers.extend(answers),
            None => call.outcomes.push(Outcome {
                answers,
                tries,
                status,
                stdout,
            }),
        }
    }
}

/// What the program reads of stdout. Version 3 adds the target of the call, which it does not read.
fn read(stdout: &[u8]) -> Value {
    let text = String::from_utf8_lossy(stdout);
    let mut json = serde_json::from_str(text.trim()).unwrap_or_else(|_| text.trim().into());
    if let Value::Object(fields) = &mut json {
        fields.remove("target");
    }
    json
}

/// Replaces values with their names.
fn abstracted<T: Serialize + DeserializeOwned>(of: &T, variables: &[Variable]) -> T {
    let replace = |value: &Value| {
        if let Some(variable) = variables.iter().find(|v| v.value == *value) {
            return Some(variable.name.clone().into());
        }
        let named = variables.iter().filter(|v| !v.text.is_empty());
        let replace = |text: String, v: &Variable| text.replace(&v.text, &v.name);
        Some(named.fold(value.as_str()?.to_owned(), replace).into())
    };
    recording::map(of, &replace)
}

/// Replaces one version's part of the recording.
fn write(major: Major, calls: impl Iterator<Item = Call>) {
    static FILE: Mutex<()> = Mutex::new(());
    let _alone = FILE.lock().unwrap();
    let mut all = recording::read();
    all.retain(|call| call.version != major as u32);
    all.extend(calls);
    all.sort_by_key(|call| call.version);
    let text = serde_json::to_string_pretty(&all).unwrap();
    std::fs::write(recording::path(), text + "\n").unwrap();
}
