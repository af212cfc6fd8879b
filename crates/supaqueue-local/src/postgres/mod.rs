//! A Postgres cluster for one run, set up as a hosted project's is.

mod database;
mod log;
mod program;
mod server;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

pub use database::{Database, connect};
pub(crate) use database::{quote_identifier, quote_literal};
use log::Log;
use program::Program;
use server::{initdb, launch, start_somewhere};

use crate::extension::Kind;
use crate::process::{Folder, Process};
use crate::{Error, Result};

/// The database that new ones are cloned from.
const TEMPLATE: &str = "supaqueue_template";
const START_LIMIT: Duration = Duration::from_secs(30);

/// What a cluster is to be like; see [`Postgres::builder`].
#[derive(Debug, Clone, Default)]
pub struct PostgresBuilder {
    bin: Option<PathBuf>,
    fsync: bool,
    settings: Vec<(String, String)>,
    migrations: Vec<String>,
}

impl PostgresBuilder {
    /// Takes the programs in this folder in place of the embedded ones (which
    /// `SUPAQUEUE_POSTGRES_BIN` also does). It must hold `postgres` and `initdb`.
    pub fn bin(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin = Some(folder.into());
        self
    }

    /// Whether commits wait for the disk. Off by default: the data is thrown away at the end, and a
    /// `kill -9` of Postgres loses nothing without it. Benchmarks turn it on.
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// A setting of the server, as in `postgresql.conf`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// SQL that the template gets as role `postgres` in one transaction, so that every database
    /// made from it has it. Called again, adds another.
    pub fn migration(mut self, sql: impl Into<String>) -> Self {
        self.migrations.push(sql.into());
        self
    }

    /// Makes the cluster and starts it.
    pub async fn start(self) -> Result<Postgres> {
        Postgres::start(self).await
    }
}

/// A running cluster. It ends, and its files go, when this is dropped or the program is gone.
///
/// It is not tied to an async runtime, so that tests with a runtime each can share one in a `static`.
#[derive(Debug)]
pub struct Postgres {
    program: Program,
    folder: Folder,
    settings: Vec<String>,
    port: u16,
    password: String,
    process: Mutex<Arc<Process>>,
    log: Log,
    preloaded: Vec<&'static str>,
    version: u32,
}

impl Postgres {
    /// Starts with the defaults: the embedded Postgres, no migration.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    async fn start(builder: PostgresBuilder) -> Result<Self> {
        let program = Program::find(builder.bin.as_deref())?;
        let folder = Folder::create(program.user)?;
        let password = crate::random_hex(16);
        initdb(&program, &folder, &password).await?;

        let mut settings: Vec<String> = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "timezone=UTC",
            "log_timezone=UTC",
            // Stored so, a password costs a connection microseconds; it never leaves this machine.
            "password_encryption=md5",
        ]
        .map(str::to_owned)
        .into();
        if !builder.fsync {
            // Commits still reach the operating system, so that a kill of Postgres loses none.
            settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        }
        settings.extend(
            builder
                .settings
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );

        let log = Log::default();
        let (port, process) = start_somewhere(&program, &folder, &settings, &log).await?;
        let mut postgres = Self {
            program,
            folder,
            settings,
            port,
            password,
            process: Mutex::new(Arc::new(process)),
            log,
            preloaded: Vec::new(),
            version: 0,
        };
        postgres.wait_until_ready().await?;
        postgres.set_up(&builder.migrations).await?;
        Ok(postgres)
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The version as Postgres counts it, such as 170009.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The process id of the postmaster, for tests that kill it.
    pub fn pid(&self) -> i32 {
        self.process().pid()
    }

    /// The end of the server's log.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The folder that holds the data, until the cluster ends.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A database of this name, whether it exists or not.
    pub fn database(&self, name: &str) -> Database {
        let url = |role: &str| {
            format!(
                "postgresql://{role}:{}@127.0.0.1:{}/{name}",
                self.password, self.port
            )
        };
        Database::new(
            name.to_owned(),
            url("postgres"),
            url("supabase_admin"),
            url("authenticator"),
        )
    }

    /// Makes a database from the template: roles' privileges, extensions or their stand-ins, and the
    /// migrations of the builder. Takes some tens of milliseconds.
    ///
    /// The workers of stand-ins are not started: see [`crate::StandIns`].
    pub async fn create_database(&self) -> Result<Database> {
        let name = format!("test_{}", crate::random_hex(6));
        self.create_database_named(&name).await
    }

    /// As [`Self::create_database`], with a name of your choice.
    pub async fn create_database_named(&self, name: &str) -> Result<Database> {
        let admin = self.database("postgres").connect_as_admin().await?;
        admin
            .batch_execute(&format!(
                "create database {} template {TEMPLATE} owner postgres",
                quote_identifier(name)
            ))
            .await
            .map_err(Error::database(format!("cannot make the database {name}")))?;
        Ok(self.database(name))
    }

    /// Drops a database, with the sessions that are still in it.
    pub async fn drop_database(&self, database: &Database) -> Result<()> {
        let admin = self.database("postgres").connect_as_admin().await?;
        admin
            .batch_execute(&format!(
                "drop database if exists {} with (force)",
                quote_identifier(database.name())
            ))
            .await
            .map_err(Error::database(format!(
                "cannot drop the database {}",
                database.name()
            )))
    }

    /// Stops the server and starts it again on the same port and data.
    ///
    /// With `kill`, as by a crash: the postmaster is killed, and the start recovers the data, which
    /// empties unlogged tables. Without it, sessions are ended in order first.
    pub async fn restart(&self, kill: bool) -> Result<()> {
        self.halt(kill).await;
        self.resume().await
    }

    /// The first half of [`Self::restart`]: ends the server, and keeps its data.
    pub async fn halt(&self, kill: bool) {
        let process = self.process();
        // SIGINT is Postgres' "fast shutdown": rolls back what is open, ends sessions, checkpoints.
        process.signal(if kill {
            Signal::SIGKILL
        } else {
            Signal::SIGINT
        });
        process.wait().await;
    }

    /// The second half of [`Self::restart`]: starts the server on the data that it left.
    pub async fn resume(&self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            // Backends of a killed postmaster need a moment to notice; until then the new one
            // refuses to start on their shared memory.
            let process = launch(
                &self.program,
                &self.folder,
                &self.settings,
                self.port,
                &self.log,
            )?;
            *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(process);
            match self.wait_until_ready().await {
                Err(Error::PostgresFailed { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => return other,
            }
        }
    }

    /// Ends the server and removes its files.
    pub async fn stop(self) {
        self.shut_down().await;
    }

    pub(crate) async fn shut_down(&self) {
        self.process().stop().await;
        self.folder.remove().await;
    }

    fn process(&self) -> Arc<Process> {
        self.process
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let process = self.process();
        loop {
            // The superuser's password is random, so only our own server lets us in.
            match connect(self.database("postgres").admin_url()).await {
                Ok(_) => return Ok(()),
                Err(_) if process.exit_status().is_some() => {
                    return Err(self.log.failure("postgres"));
                }
                Err(error) if Instant::now() > deadline => {
                    return Err(Error::TooSlow(
                        format!("cannot connect to Postgres ({error})"),
                        START_LIMIT.as_secs(),
                    ));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    }

    /// Roles, the template, and the database `postgres`, which is the project's own.
    async fn set_up(&mut self, migrations: &[String]) -> Result<()> {
        let main = self.database("postgres");
        let admin = main.connect_as_admin().await?;
        let row = admin
            .query_one(
                "select current_setting('server_version_num')::int, array(select name::text from pg_available_extensions)",
                &[],
            )
            .await
            .map_err(Error::database("cannot read the version of Postgres"))?;
        self.version = row.get::<_, i32>(0).unsigned_abs();
        let available: Vec<String> = row.get(1);
        let available = |name: &str| available.iter().any(|one| one == name);

        let preload: Vec<_> = [
            ("pg_net", "pg_net"),
            ("pg_cron", "pg_cron"),
            ("supabase_vault", "supabase_vault"),
        ]
        .into_iter()
        .filter(|(extension, _)| available(extension))
        .map(|(_, library)| library)
        .collect();
        if !preload.is_empty() {
            self.settings
                .push(format!("shared_preload_libraries={}", preload.join(",")));
            self.preloaded = preload;
            drop(admin);
            self.restart(false).await?;
        }
        let admin = main.connect_as_admin().await?;
        admin
            .batch_execute(include_str!("../platform/roles.sql"))
            .await
            .map_err(Error::database("cannot make the roles"))?;
        for role in ["postgres", "authenticator"] {
            admin
                .batch_execute(&format!(
                    "alter role {role} password {}",
                    quote_literal(&self.password)
                ))
                .await
                .map_err(Error::database("cannot set a password"))?;
        }
        admin
            .batch_execute(&format!("create database {TEMPLATE} owner postgres"))
            .await
            .map_err(Error::database("cannot make the template"))?;

        let template = self.database(TEMPLATE);
        {
            let admin = template.connect_as_admin().await?;
            admin
                .batch_execute(include_str!("../platform/database.sql"))
                .await
                .map_err(Error::database("cannot set up the template"))?;
            // The workers of the real pg_net and pg_cron serve one database of the cluster, the
            // project's; what is cloned gets stand-ins.
            crate::extension::set_up(&admin, |kind| kind == Kind::Vault && self.has(kind)).await?;
        }
        for (number, sql) in (1..).zip(migrations) {
            let client = template.connect().await?;
            client
                .batch_execute(sql)
                .await
                .map_err(Error::database(format!("cannot apply migration {number}")))?;
        }
        Ok(())
    }

    fn has(&self, kind: Kind) -> bool {
        self.preloaded.contains(&kind.extension())
    }

    /// Makes the database `postgres` the project's own, with the real extensions where there are any.
    pub(crate) async fn set_up_project(&self) -> Result<Database> {
        let database = self.database("postgres");
        let admin = database.connect_as_admin().await?;
        admin
            .batch_execute("alter database postgres owner to postgres")
            .await
            .map_err(Error::database("cannot give the database to postgres"))?;
        admin
            .batch_execute(include_str!("../platform/database.sql"))
            .await
            .map_err(Error::database("cannot set up the database"))?;
        crate::extension::set_up(&admin, |kind| self.has(kind)).await?;
        Ok(database)
    }
}
