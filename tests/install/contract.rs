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
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::failures;
use crate::management_api::{Fault, Platform, REF, Trap};
use crate::program::{self, Cli, Environment, Major};
use crate::project::{Project, test};
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
    test(async |project| check(project, Major::Two).await);
}

#[test]
fn the_double_does_what_version_3_does() {
    test(async |project| check(project, Major::Three).await);
}

/// A call of the CLI and the request that decides how it ends.
struct Invocation {
    words: &'static [&'static str],
    method: &'static str,
    /// The end of the request's path.
    path: &'static str,
}

const VERSION: Invocation = invocation(&["--version"], "", "");

/// Every call that the program makes.
const INVOCATIONS: [Invocation; 10] = [
    VERSION,
    invocation(&["projects", "list"], "GET", "/v1/projects"),
    invocation(&["projects", "api-keys"], "GET", "/api-keys"),
    invocation(&["db", "query"], "POST", "/database/query"),
    invocation(&["secrets", "list"], "GET", "/secrets"),
    invocation(
        &["secrets", "set", "--env-file", "supaqueue.env"],
        "POST",
        "/secrets",
    ),
    invocation(
        &["secrets", "unset", "SUPAQUEUE_SECRET"],
        "DELETE",
        "/secrets",
    ),
    invocation(&["functions", "list"], "GET", "/functions"),
    invocation(
        &[
            "functions",
            "deploy",
            "supaqueue",
            "--use-api",
            "--no-verify-jwt",
        ],
        "POST",
        "/functions/deploy",
    ),
    invocation(
        &["functions", "delete", "supaqueue"],
        "DELETE",
        "/functions/supaqueue",
    ),
];

const fn invocation(
    words: &'static [&'static str],
    method: &'static str,
    path: &'static str,
) -> Invocation {
    Invocation {
        words,
        method,
        path,
    }
}

impl Invocation {
    /// The arguments that the program gives, with the name of a variable for the folder.
    fn arguments(&self, major: Major) -> Vec<String> {
        let mut arguments: Vec<String> = self.words.iter().map(|&word| word.to_owned()).collect();
        if self.words == VERSION.words {
            return arguments;
        }
        if self.words[0] == "db" && major == Major::Two {
            arguments.push("--linked".into());
        }
        match major {
            _ if self.words == ["projects", "list"] => {}
            Major::Two => arguments.extend(["--project-ref".into(), REF.into()]),
            Major::Three => arguments.push(format!("--remote={REF}")),
        }
        let common = [
            "--output-format",
            "json",
            "--agent",
            "no",
            "--yes",
            "--workdir",
            "{{folder}}",
        ];
        arguments.extend(common.map(String::from));
        arguments
    }

    /// What stdin has, and what goes wrong, for each answer to compare.
    fn trials(&self, every: bool) -> Vec<(&'static str, Option<Fault>)> {
        let mut trials = match self.path {
            "/database/query" => vec![(QUERY, None), (NO_ROWS, None), (REFUSED, None)],
            _ => vec![("", None)],
        };
        let stdin = trials[0].0;
        if self.words != VERSION.words {
            let faults = failures::answers(self.method, self.path, every);
            trials.extend(faults.into_iter().map(|fault| (stdin, Some(fault))));
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
    tries: u32,
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
                let real = Cli::Real(major);
                let want = bench.run(real, invocation, stdin, fault).await;
                if is_recording {
                    bench.record(&mut call, invocation, (real, want), stdin);
                    continue;
                }
                let got = bench
                    .run(Cli::Double(major), invocation, stdin, fault)
                    .await;
                assert_eq!(
                    got, want,
                    "the double (left) differs from the real CLI: {:?} {fault:?} {stdin}",
                    invocation.words
                );
            }
            (at, call)
        });
    }
    let mut calls = checks.join_all().await;
    if is_recording {
        calls.sort_by_key(|(at, _)| *at);
        let calls = calls.into_iter().filter_map(|(_, call)| call).collect();
        write(major.number(), calls);
    }
}

impl Bench {
    async fn new(project: &Project, at: usize) -> Self {
        let folder = project.environment.home.join(format!("contract-{at}"));
        let platform = Platform::new(project.stack.database().clone(), folder.join("platform"));
        let url = platform.serve().await;
        let environment = Environment::new(&folder, &url);
        let files = environment.folder.join("supabase/functions/supaqueue");
        std::fs::create_dir_all(&files).unwrap();
        for (name, bytes) in supaqueue_files::function_files() {
            std::fs::write(files.join(name), bytes).unwrap();
        }
        std::fs::write(
            environment.folder.join("supabase/config.toml"),
            "[functions.supaqueue]\nverify_jwt = false\n",
        )
        .unwrap();
        std::fs::write(
            environment.folder.join("supaqueue.env"),
            "SUPAQUEUE_SECRET=\"whsec_one= whsec_two=\"\n",
        )
        .unwrap();
        Self {
            platform,
            environment,
            url,
        }
    }
}

impl Bench {
    /// Runs the CLI as the program does.
    async fn run(
        &self,
        cli: Cli,
        invocation: &Invocation,
        stdin: &str,
        fault: Option<Fault>,
    ) -> Ended {
        self.platform.clear();
        self.platform.serve_without_jwt("supaqueue");
        self.platform
            .set_secret("SUPAQUEUE_SECRET", Some("whsec_old="));
        self.platform.take_requests();
        self.platform.take_answer();
        self.platform.set_trap(fault.map(|fault| Trap {
            method: invocation.method,
            path: invocation.path,
            words: "",
            skip: 0,
            fault,
            is_sprung: false,
        }));

        let mut command = program::supabase(&self.environment, cli);
        let folder = self.environment.folder.to_str().unwrap();
        let arguments = invocation.arguments(cli.major());
        let mut child = command
            .args(
                arguments
                    .iter()
                    .map(|word| word.replace("{{folder}}", folder)),
            )
            .process_group(0)
            .spawn()
            .unwrap();
        let group = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap());
        let mut input = child.stdin.take().unwrap();
        input.write_all(stdin.as_bytes()).await.unwrap();
        drop(input);
        let output = tokio::select! {
            output = child.wait_with_output() => Some(output.unwrap()),
            () = self.hangs(invocation, fault) => None,
        };
        if output.is_none() {
            // The first process is killed when it is dropped; the real one has another.
            let _ = killpg(group, Signal::SIGKILL);
        }

        let mut requests = self.platform.take_requests();
        let sent = requests.len();
        requests.dedup();
        let tries = u32::try_from(sent - requests.len() + 1).unwrap();
        match output {
            Some(output) => Ended {
                requests,
                tries,
                status: output.status.code(),
                stdout: read(&output.stdout),
            },
            None => Ended {
                requests,
                // How often depends on when it is killed.
                tries: tries.min(2),
                status: None,
                stdout: Value::Null,
            },
        }
    }

    /// Returns when the CLI can be taken not to end.
    async fn hangs(&self, invocation: &Invocation, fault: Option<Fault>) {
        let is_endless = match fault {
            Some(Fault::Hang) => true,
            Some(Fault::Status(429)) => invocation.path == "/functions/deploy",
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
        run: (Cli, Ended),
        stdin: &str,
    ) {
        let (cli, ended) = run;
        let inputs = recording::inputs(stdin, self.environment.folder.to_str().unwrap());
        let call = call.get_or_insert_with(|| Call {
            version: cli.major().number(),
            arguments: invocation.arguments(cli.major()),
            requests: ended
                .requests
                .iter()
                .map(|request| Request {
                    body: request.body.map(|value| abstracted(value, &inputs)),
                    ..request.clone()
                })
                .collect(),
            outcomes: Vec::new(),
        });
        // The double needs no recording to wait for an answer.
        let Some((answer, body)) = self.platform.take_answer() else {
            if ended.status.is_some() {
                call.outcomes.push(Outcome {
                    answers: Vec::new(),
                    tries: None,
                    status: ended.status,
                    stdout: ended.stdout,
                });
            }
            return;
        };
        let mut variables = recording::of_answer(&answer, &body, &self.url);
        variables.extend(inputs);
        let outcome = Outcome {
            answers: Vec::new(),
            tries: ended.status.map(|_| ended.tries),
            status: ended.status,
            stdout: abstracted(&ended.stdout, &variables),
        };
        let same = call.outcomes.iter_mut().find(|other| {
            Outcome {
                answers: Vec::new(),
                ..(*other).clone()
            } == outcome
        });
        match same {
            Some(same) if same.answers.contains(&answer) => {}
            Some(same) => same.answers.push(answer),
            None => call.outcomes.push(Outcome {
                answers: vec![answer],
                ..outcome
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
fn abstracted(value: &Value, variables: &[Variable]) -> Value {
    let replace = |value: &Value| match variables.iter().find(|v| v.value == *value) {
        Some(variable) => Some(variable.name.clone().into()),
        None => value.as_str().map(|text| {
            let named = variables.iter().filter(|v| !v.text.is_empty());
            named
                .fold(text.to_owned(), |text, v| text.replace(&v.text, &v.name))
                .into()
        }),
    };
    recording::map(value, &replace)
}

/// Replaces one version's part of the recording.
fn write(version: u32, calls: Vec<Call>) {
    static FILE: Mutex<()> = Mutex::new(());
    let _alone = FILE.lock().unwrap();
    let mut all = if recording::path().exists() {
        recording::read()
    } else {
        Vec::new()
    };
    all.retain(|call| call.version != version);
    all.extend(calls);
    all.sort_by_key(|call| call.version);
    let text = serde_json::to_string_pretty(&all).unwrap();
    std::fs::write(recording::path(), text + "\n").unwrap();
}
