//! An emulated hosted project: the local stack without Supaqueue, behind a Management API.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use supaqueue_local::Stack;
use supaqueue_tests::{get, repository, run};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio_postgres::Client;

use crate::management_api::{Platform, REF};
use crate::program::{self, Cli, Environment, Run};

/// One runtime for all tests, because a task must outlive the test that started it.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().unwrap());

/// A project, and a connection to its database as `postgres`.
pub(crate) struct Project {
    pub(crate) platform: Arc<Platform>,
    pub(crate) stack: Stack,
    pub(crate) client: Client,
    pub(crate) environment: Environment,
    _folder: TempDir,
}

/// Runs a test on a project of its own, without Supaqueue.
pub(crate) fn test(body: impl AsyncFnOnce(&Project)) {
    RUNTIME.block_on(async {
        let project = Project::new().await;
        body(&project).await;
        project.stack.stop().await;
    });
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
            client,
            environment,
            _folder: folder,
        }
    }

    /// Runs the program on this project.
    pub(crate) async fn supaqueue(&self, cli: Cli, arguments: &[&str]) -> Run {
        program::run(&self.environment, cli, arguments).await
    }

    /// Runs `supaqueue install`, with the address that it would know of a project at the platform.
    pub(crate) async fn install(&self, cli: Cli) -> Run {
        self.supaqueue(cli, &self.install_arguments()).await
    }

    /// The arguments of [`Self::install`].
    pub(crate) fn install_arguments(&self) -> [&str; 6] {
        [
            "install",
            "--project-ref",
            REF,
            "--yes",
            "--project-url",
            self.stack.gateway_url(),
        ]
    }

    pub(crate) async fn run(&self, sql: &str) {
        run(&self.client, sql).await;
    }

    pub(crate) async fn get(&self, sql: &str) -> String {
        get(&self.client, sql).await
    }

    /// The secret that the database signs with.
    pub(crate) async fn secret(&self) -> String {
        self.get(
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'",
        )
        .await
    }

    /// Creates a queue for a function, with this many workers.
    pub(crate) async fn queue(&self, name: &str, function: &str, workers: u32) {
        self.run(&format!(
            "insert into supaqueue.queue (name, edge_function_name, backoff_base_ms, backoff_max_ms)
             values ('{name}', '{function}', 100, 1000);
             select supaqueue.set_workers('{name}', {workers})"
        ))
        .await;
    }

    /// Waits until a query returns the wanted value. Panics with the actual one after a minute.
    pub(crate) async fn eventually(&self, sql: &str, want: &str) {
        let begin = Instant::now();
        loop {
            let got = self.get(sql).await;
            if got == want {
                return;
            }
            let jobs = "select jsonb_pretty(jsonb_agg(jsonb_build_object('status', j.status, 'errors', j.errors))) from (select * from supaqueue.job limit 3) j";
            if begin.elapsed() > Duration::from_secs(60) {
                panic!(
                    "{sql}\n  returns {got:?}, not {want:?}, after a minute; jobs: {}",
                    self.get(jobs).await
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the program's temporary folders are gone: the last are removed after it ends.
    pub(crate) async fn eventually_no_temporary_files(&self) {
        let begin = Instant::now();
        loop {
            let left: Vec<_> = std::fs::read_dir(&self.environment.home)
                .unwrap()
                .filter_map(|entry| entry.unwrap().file_name().into_string().ok())
                .filter(|name| name.starts_with("supaqueue-"))
                .collect();
            if left.is_empty() {
                return;
            }
            // A CLI that outlives the killed program may write into its folder until it ends.
            assert!(begin.elapsed() < Duration::from_secs(60), "{left:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Runs the program until it succeeds: the functions pick up a new environment within a second.
    pub(crate) async fn eventually_accepts(&self, arguments: &[&str]) {
        let begin = Instant::now();
        loop {
            let run = self.supaqueue(Cli::Missing, arguments).await;
            if run.status == 0 {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{}", run.text);
        }
    }

    /// Everything in the project, as lines: every database object outside the system schemas, secrets,
    /// scheduled jobs, functions and their secrets.
    pub(crate) async fn contents(&self) -> String {
        let database = self
            .get(
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
            )
            .await;
        let dump = self.get(include_str!("../sql/dump.sql")).await;
        format!(
            "{database}\n{dump}\n{}",
            self.platform.holdings().join("\n")
        )
    }
}
