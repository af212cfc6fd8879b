use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;
use tokio::sync::broadcast;

use crate::extension::Extensions;
use crate::functions::{Changed, Environment, Functions, find_deno};
use crate::gateway::{Behind, Gateway, Keys, Port};
use crate::log::{LogLine, LogSink};
use crate::postgres::{Database, Postgres};
use crate::process::Folder;
use crate::stand_in::StandIns;
use crate::{Error, Result, foreign, install, own_function};

/// Which Postgres a stack uses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum PostgresSource {
    /// The one that `./scripts/setup` installs, started for this run.
    #[default]
    Embedded,
    /// The programs in this folder, started for this run.
    Bin(PathBuf),
    /// One that runs already, at this address. What the stack makes in it stays there.
    Url(String),
}

/// What a stack is to be like; see [`Stack::builder`].
#[derive(Debug, Clone)]
pub struct StackBuilder {
    functions: Vec<PathBuf>,
    postgres: PostgresSource,
    secret: Option<String>,
    env: Vec<(String, String)>,
    port: u16,
    public_url: Option<String>,
    fsync: bool,
    settings: Vec<(String, String)>,
    connections: usize,
    deno: Option<PathBuf>,
    wall_clock: Duration,
    install: bool,
}

impl Default for StackBuilder {
    fn default() -> Self {
        Self {
            functions: Vec::new(),
            postgres: PostgresSource::default(),
            secret: None,
            env: Vec::new(),
            port: 0,
            public_url: None,
            fsync: false,
            settings: Vec::new(),
            connections: 20,
            deno: None,
            wall_clock: Duration::from_secs(150),
            install: true,
        }
    }
}

impl StackBuilder {
    /// A folder of functions, each `<folder>/<name>/index.ts`, with its `config.toml` beside it.
    /// Called again, adds another; the first that has a function wins. The supaqueue function
    /// comes with the stack, behind all of them.
    pub fn functions(mut self, folder: impl Into<PathBuf>) -> Self {
        self.functions.push(folder.into());
        self
    }

    /// Which Postgres to use.
    pub fn postgres(mut self, source: PostgresSource) -> Self {
        self.postgres = source;
        self
    }

    /// The secret that database and function share, as `whsec_` and base64. Otherwise a new one.
    pub fn secret(mut self, secret: impl Into<String>) -> Self {
        self.secret = Some(secret.into());
        self
    }

    /// A variable for the environment of every function.
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// The gateway's port. Otherwise a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The address that database and functions are told in place of the gateway's: of something
    /// that stands before it, such as a proxy. It has no slash at its end.
    pub fn public_url(mut self, url: impl Into<String>) -> Self {
        self.public_url = Some(url.into());
        self
    }

    /// Whether commits wait for the disk; see [`crate::PostgresBuilder::fsync`].
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// A setting of Postgres, where the stack starts it.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// How many connections the gateway has to Postgres at most. 20 by default.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// The Deno that runs the functions. Otherwise that of `SUPAQUEUE_DENO`, the version that the
    /// platform is compatible with, from `./scripts/setup`, or the one on PATH.
    pub fn deno(mut self, program: impl Into<PathBuf>) -> Self {
        self.deno = Some(program.into());
        self
    }

    /// How long a process of a function may live, as an isolate of the platform: 150 s by default,
    /// the free plan's.
    pub fn wall_clock(mut self, limit: Duration) -> Self {
        self.wall_clock = limit;
        self
    }

    /// Whether Supaqueue is installed, as `supaqueue install` does. On by default; without it there
    /// is nothing of it, neither in the database nor among the functions and their secrets.
    pub fn install(mut self, on: bool) -> Self {
        self.install = on;
        self
    }

    /// Starts the stack. Nothing is left running if that fails.
    pub async fn start(self) -> Result<Stack> {
        Stack::start(self).await
    }
}

/// A running stack. It ends when this is stopped or dropped, or the program is gone, and leaves
/// nothing on disk. [`Self::stop`] ends it in order: functions first, while they can still report.
#[derive(Debug)]
pub struct Stack {
    gateway: Gateway,
    stand_ins: StandIns,
    behind: Arc<Behind>,
    url: String,
    secret: String,
    logs: LogSink,
    database: Database,
    folder: Folder,
    postgres: Option<Postgres>,
    postgres_version: String,
}

impl Stack {
    /// Starts with the defaults: the embedded Postgres, the supaqueue function alone, free ports.
    pub fn builder() -> StackBuilder {
        StackBuilder::default()
    }

    async fn start(builder: StackBuilder) -> Result<Self> {
        let deno = find_deno(builder.deno)?;
        let mut roots = Vec::new();
        for folder in builder.functions {
            let folder = folder
                .canonicalize()
                .map_err(Error::file("cannot find the functions in", &folder))?;
            if !folder.is_dir() {
                return Err(Error::Invalid(format!(
                    "{} is not a folder of functions",
                    folder.display()
                )));
            }
            roots.push(folder);
        }
        let folder = Folder::create(None)?;
        if builder.install {
            own_function::write(folder.path())?;
            roots.push(folder.path().join("functions"));
        }

        let port = Port::bind(builder.port).await?;
        let url = port.url();
        let (postgres, database) = match builder.postgres {
            PostgresSource::Url(url) => (None, foreign::set_up(url).await?),
            source => {
                let mut postgres = Postgres::builder().fsync(builder.fsync);
                if let PostgresSource::Bin(bin) = source {
                    postgres = postgres.bin(bin);
                }
                for (name, value) in builder.settings {
                    postgres = postgres.setting(name, value);
                }
                let postgres = postgres.start().await?;
                let database = postgres.set_up_project().await?;
                (Some(postgres), database)
            }
        };

        let secret = builder.secret.unwrap_or_else(new_secret);
        let public_url = builder.public_url.unwrap_or_else(|| url.clone());
        let client = database.connect().await?;
        let postgres_version = client
            .query_one("select current_setting('server_version')", &[])
            .await
            .map_err(Error::database("cannot read the version of Postgres"))?
            .get(0);
        if builder.install {
            install::install(&client, &secret, &public_url).await?;
        }

        let keys = Keys::generate();
        let logs = LogSink::default();
        let mut environment = Environment {
            deno,
            wall_clock: builder.wall_clock,
            platform: [
                ("SUPABASE_URL", public_url),
                ("SUPABASE_ANON_KEY", keys.anon().into()),
                ("SUPABASE_SERVICE_ROLE_KEY", keys.service_role().into()),
                (
                    "SUPABASE_PUBLISHABLE_KEYS",
                    json!({"default": keys.publishable()}).to_string(),
                ),
                (
                    "SUPABASE_SECRET_KEYS",
                    json!({"default": keys.secret()}).to_string(),
                ),
                ("SUPABASE_DB_URL", database.url().into()),
            ]
            .map(|(name, value)| (name.to_owned(), value))
            .into(),
            added: builder.env,
            changed: Mutex::default(),
        };
        if builder.install {
            environment
                .platform
                .push(("SUPAQUEUE_SECRET".into(), secret.clone()));
        }
        let functions = Functions::new(roots, environment, logs.clone())?;
        let behind = Arc::new(Behind::new(
            keys,
            functions,
            &database,
            builder.connections,
        )?);
        let gateway = Gateway::start(port, behind.clone());
        let stand_ins = StandIns::start_with_log(&database, logs.clone()).await?;
        if builder.install {
            // Last: from now on the database calls the gateway.
            install::schedule_tick(&client).await?;
        }
        Ok(Self {
            gateway,
            stand_ins,
            behind,
            url,
            secret,
            logs,
            database,
            folder,
            postgres,
            postgres_version,
        })
    }

    /// The project's address, such as `http://127.0.0.1:40123`.
    pub fn gateway_url(&self) -> &str {
        &self.url
    }

    /// The project's database.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// The database's address for role `postgres`, which is not a superuser.
    pub fn db_url(&self) -> &str {
        self.database.url()
    }

    /// The database's address for the superuser: for tests and stand-ins only.
    pub fn admin_url(&self) -> &str {
        self.database.admin_url()
    }

    /// The cluster, unless it is somebody else's.
    pub fn postgres(&self) -> Option<&Postgres> {
        self.postgres.as_ref()
    }

    /// The version of Postgres, such as `17.9`.
    pub fn postgres_version(&self) -> &str {
        &self.postgres_version
    }

    /// All keys of the project.
    pub fn keys(&self) -> &Keys {
        &self.behind.keys
    }

    /// The legacy key of role `service_role`, a JWT.
    pub fn service_role_key(&self) -> &str {
        self.keys().service_role()
    }

    /// The legacy key of role `anon`, a JWT.
    pub fn anon_key(&self) -> &str {
        self.keys().anon()
    }

    /// What database and supaqueue function share.
    pub fn secret(&self) -> &str {
        &self.secret
    }

    /// The names of the functions that can be called.
    pub fn functions(&self) -> Vec<String> {
        self.behind.functions.names()
    }

    /// The lines that functions write from now on, and what goes wrong in the stand-ins.
    pub fn logs(&self) -> broadcast::Receiver<LogLine> {
        self.logs.subscribe()
    }

    /// Which extensions are real; the others are stand-ins.
    pub fn extensions(&self) -> &Extensions {
        self.stand_ins.extensions()
    }

    /// The workers of the stand-ins, to stop and start.
    pub fn stand_ins(&self) -> &StandIns {
        &self.stand_ins
    }

    /// Restarts Postgres on the same port; with `kill`, as by a crash.
    ///
    /// # Errors
    /// Also if Postgres is not the stack's own.
    pub async fn restart_postgres(&self, kill: bool) -> Result<()> {
        match &self.postgres {
            Some(postgres) => postgres.restart(kill).await,
            None => Err(Error::Invalid(
                "cannot restart a Postgres that somebody else started".into(),
            )),
        }
    }

    /// Kills a function's processes, if there are any. The next request starts another.
    pub async fn kill_function(&self, name: &str) {
        self.behind.functions.kill(name).await;
    }

    /// Ends a function's processes in order: they hear `beforeunload` and have five seconds. The next
    /// request starts another, with the code as it is then.
    pub async fn stop_function(&self, name: &str) {
        self.behind.functions.stop(name).await;
    }

    /// Changes a variable in the environment of every function, one of the platform's own too: for
    /// processes started from now on, see [`Self::stop_function`].
    pub fn set_env(&self, name: &str, value: &str) {
        self.behind.functions.change(|changed| {
            changed.variables.retain(|(known, _)| known != name);
            changed.variables.push((name.to_owned(), value.to_owned()));
        });
    }

    /// Sets the functions' clock that many milliseconds ahead of ours (behind it, where negative): for
    /// processes started from now on, see [`Self::stop_function`].
    pub fn set_clock_offset(&self, milliseconds: i64) {
        let set = |changed: &mut Changed| changed.clock_offset_ms = milliseconds;
        self.behind.functions.change(set);
    }

    /// The id of the process that takes a function's requests, if it runs.
    pub async fn function_pid(&self, name: &str) -> Option<i32> {
        self.behind.functions.pid(name).await
    }

    /// The ids of all processes of a function that run: beside the one that takes its requests there
    /// may be some that only end what they have begun.
    pub async fn function_pids(&self, name: &str) -> Vec<i32> {
        self.behind.functions.pids(name).await
    }

    /// Kills the worker of `net`, real or not, as a crash does: its tables are emptied.
    pub async fn kill_net_worker(&self) -> Result<()> {
        self.stand_ins.kill_net().await
    }

    /// Ends the stand-in's worker of `net` until [`Self::start_net_worker`]; requests wait.
    pub fn stop_net_worker(&self) {
        self.stand_ins.stop_net();
    }

    /// Starts the stand-in's worker of `net` again.
    pub fn start_net_worker(&self) {
        self.stand_ins.start_net();
    }

    /// Ends the gateway as a crash does: nothing listens, and what was under way is cut.
    pub async fn stop_gateway(&self) {
        self.gateway.stop().await;
    }

    /// Starts the gateway again, on the same port.
    pub async fn start_gateway(&self) -> Result<()> {
        self.gateway.restart().await
    }

    /// Ends everything, in order.
    pub async fn stop(self) {
        self.stand_ins.stop_cron();
        self.stand_ins.stop_net();
        self.behind.functions.stop_all().await;
        self.gateway.stop().await;
        self.behind.close();
        if let Some(postgres) = &self.postgres {
            postgres.shut_down().await;
        }
        self.folder.remove().await;
    }
}

/// 32 random bytes, as Standard Webhooks writes a key.
fn new_secret() -> String {
    format!(
        "whsec_{}",
        BASE64_STANDARD.encode(rand::random::<[u8; 32]>())
    )
}
