//! An emulated hosted project: the local stack without Supaqueue, behind a Management API.
//!
//! A test is a sequence of commands and queries, so it blocks; the stack and the Management API run on
//! the threads of the runtime.

use std::process::Command;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use supaqueue_local::Stack;
use supaqueue_tests::{break_function, get, repository, run};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use crate::management_api::{Platform, REF};
use crate::program::{self, Cli, Environment, Run};

/// One runtime for all tests, because a task must outlive the test that started it.
pub(crate) static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A project, and a connection to its database as `postgres`.
pub(crate) struct Project {
    pub(crate) platform: Arc<Platform>,
    pub(crate) stack: Stack,
    pub(crate) environment: Environment,
    client: Client,
    _folder: TempDir,
}

/// Runs a test on a project of its own, without Supaqueue.
pub(crate) fn test(body: impl FnOnce(&Project)) {
    // The net worker, which a test can restart, is a task.
    let _runtime = RUNTIME.enter();
    let project = RUNTIME.block_on(Project::new());
    body(&project);
    RUNTIME.block_on(project.stack.stop());
}

/// Tries until it succeeds, and returns the value. Panics with the last error after two minutes.
#[track_caller]
pub(crate) fn eventually<T, E: FnOnce() -> String>(mut attempt: impl FnMut() -> Result<T, E>) -> T {
    let begin = Instant::now();
    loop {
        match attempt() {
            Ok(value) => return value,
            Err(error) => assert!(begin.elapsed() < Duration::from_secs(120), "{}", error()),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Project {
    async fn new() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("supaqueue-install-")
            .tempdir()
            .unwrap();
        let supabase = folder.path().join("platform");
        std::fs::create_dir_all(supabase.join("functions")).unwrap();
        let stack = Stack::builder()
            .functions(supabase.join("functions"))
            .functions(repository().join("tests/functions"))
            .install(false)
            .start()
            .await
            .expect("the stack starts");
        let client = stack.database().connect().await.unwrap();
        let platform = Platform::new(stack.database().clone(), supabase);
        let api = platform.serve().await;
        let environment = Environment::new(folder.path(), &api);
        Self {
            platform,
            stack,
            environment,
            client,
            _folder: folder,
        }
    }

    /// The program with the arguments of a command line.
    pub(crate) fn command(&self, cli: Cli, line: &str) -> Command {
        program::command(&self.environment, cli, line)
    }

    /// Runs the program.
    pub(crate) fn supaqueue(&self, cli: Cli, line: &str) -> Run {
        program::run(&mut self.command(cli, line))
    }

    /// Runs the program; panics with its output unless it succeeds.
    pub(crate) fn succeeds(&self, cli: Cli, line: &str) -> Run {
        self.supaqueue(cli, line).assert_status(0)
    }

    /// Runs the program; panics with its output unless it fails.
    pub(crate) fn fails(&self, cli: Cli, line: &str) -> Run {
        self.supaqueue(cli, line).assert_status(1)
    }

    /// Runs `supaqueue install`, which must succeed.
    pub(crate) fn install(&self, cli: Cli) -> Run {
        self.succeeds(cli, &self.install_line())
    }

    /// Installs into the database alone, which cannot reach the function.
    pub(crate) fn install_unreachable(&self) {
        let url = self.stack.db_url();
        let line = format!("install --db-url {url} --project-url http://127.0.0.1:9 --yes");
        self.succeeds(Cli::Missing, &line);
    }

    /// The command line of [`Self::install`], with the address that the program would know of a
    /// project at the platform.
    pub(crate) fn install_line(&self) -> String {
        let url = self.stack.gateway_url();
        format!("install --project-ref {REF} --yes --project-url {url}")
    }

    pub(crate) fn run(&self, sql: &str) {
        RUNTIME.block_on(run(&self.client, sql));
    }

    pub(crate) fn get(&self, sql: &str) -> String {
        RUNTIME.block_on(get(&self.client, sql))
    }

    /// Runs statements as a superuser.
    pub(crate) fn run_as_admin(&self, sql: &str) {
        RUNTIME.block_on(async {
            let admin = self.stack.database().connect_as_admin().await.unwrap();
            run(&admin, sql).await;
        });
    }

    /// See [`supaqueue_tests::break_function`].
    pub(crate) fn break_function(&self, function: &str, from: &str, to: &str) -> String {
        RUNTIME.block_on(break_function(&self.client, function, from, to))
    }

    /// Panics unless a query returns the wanted value.
    #[track_caller]
    pub(crate) fn assert(&self, sql: &str, want: &str) {
        assert_eq!(self.get(sql), want, "{sql}");
    }

    /// Waits until a query returns the wanted value. Panics with the actual one, and some jobs.
    pub(crate) fn eventually(&self, sql: &str, want: &str) {
        let jobs = "select jsonb_pretty(jsonb_agg(jsonb_build_object('status', j.status, 'errors', j.errors))) from (select * from supaqueue.job limit 3) j";
        eventually(|| {
            let got = self.get(sql);
            (got == want).then_some(()).ok_or(move || {
                let jobs = self.get(jobs);
                format!("{sql}\n  returns {got:?}, not {want:?}; jobs: {jobs}")
            })
        });
    }

    /// The secret that the database signs with.
    pub(crate) fn secret(&self) -> String {
        self.get(
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'",
        )
    }

    /// Creates a queue for a function, with this many workers.
    pub(crate) fn queue(&self, name: &str, function: &str, workers: u32) {
        self.run(&format!(
            "insert into supaqueue.queue (name, edge_function_name, backoff_base_ms, backoff_max_ms)
             values ('{name}', '{function}', 100, 1000);
             select supaqueue.set_workers('{name}', {workers})"
        ));
    }

    /// Waits until the program's temporary folders are gone. A CLI that outlives the killed program
    /// may write into its folder until it ends.
    pub(crate) fn eventually_no_temporary_files(&self) {
        eventually(|| {
            let left: Vec<_> = std::fs::read_dir(&self.environment.home)
                .unwrap()
                .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
                .filter(|name| name.starts_with("supaqueue-"))
                .collect();
            let is_gone = left.is_empty();
            is_gone.then_some(()).ok_or(move || format!("{left:?}"))
        });
    }

    /// Everything in the project, as lines: every database object outside the system schemas, secrets,
    /// scheduled jobs, functions and their secrets.
    pub(crate) fn contents(&self) -> String {
        let database = self.get(
            "select string_agg(line, E'\\n' order by line) from (
               select 'schema ' || n.nspname from pg_namespace n where n.nspname !~ '^pg_(toast_)?temp_'
               union all
               select 'secret ' || s.name from vault.secrets s
               union all
               select 'cron ' || j.jobname from cron.job j
               union all
               select 'type ' || t.oid::regtype from pg_type t where t.typnamespace = 'public'::regnamespace
               union all
               select 'extension ' || e.extname from pg_extension e
             ) lines (line)",
        );
        let (dump, holdings) = (self.dump(), self.platform.holdings().join("\n"));
        format!("{database}\n{dump}\n{holdings}")
    }

    /// The schema's objects.
    pub(crate) fn dump(&self) -> String {
        self.get(include_str!("../sql/dump.sql"))
    }
}
