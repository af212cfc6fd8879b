//! A temporary Postgres cluster, set up like a hosted project's.

mod database;
mod program;
mod server;
mod server_log;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use postgres_protocol::escape::{escape_identifier, escape_literal};

pub use database::{Database, connect};
pub(crate) use database::{parse, server};
use program::Program;
pub(crate) use program::major_of_postgres;
use server::{initdb, launch, start_on_free_port};
use server_log::ServerLog;

use crate::extension::Kind;
use crate::folder::Folder;
use crate::process::Process;
use crate::{Error, Result, lock};

/// The database that new ones are cloned from.
const TEMPLATE: &str = "supaqueue_template";
const START_LIMIT: Duration = Duration::from_secs(30);

/// Options of a cluster; see [`Postgres::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "nothing starts until `start` is called"]
pub struct PostgresBuilder {
    bin: Option<PathBuf>,
    fsync: bool,
    settings: Vec<(String, String)>,
    migrations: Vec<String>,
}

impl PostgresBuilder {
    /// Uses the programs in this folder instead of the embedded ones, as `SUPAQUEUE_POSTGRES_BIN`
    /// does. It must contain `postgres` and `initdb`.
    pub fn bin(mut self, folder: impl Into<PathBuf>) -> Self {
        self.bin = Some(folder.into());
        self
    }

    /// Whether commits wait for the disk. Off by default: the data is temporary, and a `kill -9` of
    /// Postgres loses nothing without it. Benchmarks turn it on.
    pub fn fsync(mut self, on: bool) -> Self {
        self.fsync = on;
        self
    }

    /// Adds a server setting, as in `postgresql.conf`.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    /// Adds SQL that is applied to the template as role `postgres`, in one transaction, so every
    /// database created from it includes it.
    pub fn migration(mut self, sql: impl Into<String>) -> Self {
        self.migrations.push(sql.into());
        self
    }

    /// Creates the cluster and starts it.
    ///
    /// # Errors
    /// [`Error::NoPostgres`] if no usable Postgres is found; the error of the program, the file or
    /// the statement that failed otherwise.
    pub async fn start(self) -> Result<Postgres> {
        Postgres::start(self).await
    }
}

/// A running cluster. It stops and its files are removed when this is dropped or the program dies.
///
/// It is not tied to an async runtime, so tests that each have their own can share one in a `static`.
#[derive(Debug)]
pub struct Postgres {
    program: Program,
    folder: Folder,
    settings: Vec<String>,
    port: u16,
    password: String,
    process: Mutex<Arc<Process>>,
    log: ServerLog,
    /// The extensions that Postgres has; the others are emulated.
    real: Vec<Kind>,
    version: u32,
}

impl Postgres {
    /// The defaults: the embedded Postgres, no migrations.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder::default()
    }

    async fn start(builder: PostgresBuilder) -> Result<Self> {
        let program = Program::find(builder.bin.as_deref())?;
        let folder = Folder::create(program.user)?;
        // Short, so that an address fits on a line of a terminal.
        let password = crate::random_hex(8);
        initdb(&program, &folder, &password).await?;

        let mut settings: Vec<String> = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=300",
            "timezone=UTC",
            "log_timezone=UTC",
            // Checking an MD5 password takes microseconds, and it never leaves this machine.
            "password_encryption=md5",
        ]
        .map(str::to_owned)
        .into();
        if !builder.fsync {
            // Commits still reach the operating system, so killing Postgres loses none.
            settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
        }
        settings.extend(
            builder
                .settings
                .iter()
                .map(|(name, value)| format!("{name}={value}")),
        );

        let log = ServerLog::default();
        let (port, process) = start_on_free_port(&program, &folder, &settings, &log).await?;
        let mut postgres = Self {
            program,
            folder,
            settings,
            port,
            password,
            process: Mutex::new(Arc::new(process)),
            log,
            real: Vec::new(),
            version: 0,
        };
        postgres.wait_until_ready().await?;
        postgres.set_up(&builder.migrations).await?;
        Ok(postgres)
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `server_version_num`, such as 170009.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// The process id of the postmaster, for tests that kill it.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.process().pid()
    }

    /// The last lines of the server log.
    #[must_use]
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// The folder of the data, until the cluster stops.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The database of this name, whether it exists or not.
    #[must_use]
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

    /// Creates a database from the template, with the platform's privileges, real or emulated
    /// extensions, and the builder's migrations. Takes some tens of milliseconds.
    ///
    /// The workers of emulated extensions are not started; see [`crate::EmulatedExtensions`].
    ///
    /// # Errors
    /// [`Error::Database`] if Postgres is unreachable or refuses.
    pub async fn create_database(&self) -> Result<Database> {
        let name = format!("test_{}", crate::random_hex(6));
        self.create_database_named(&name).await
    }

    /// Like [`Self::create_database`], with a name.
    ///
    /// # Errors
    /// Those of [`Self::create_database`]; also if the name is taken.
    pub async fn create_database_named(&self, name: &str) -> Result<Database> {
        let admin = self.database("postgres").connect_as_admin().await?;
        admin
            .batch_execute(&format!(
                "create database {} template {TEMPLATE} owner postgres",
                escape_identifier(name)
            ))
            .await
            .map_err(Error::database(format!(
                "cannot create the database {name}"
            )))?;
        Ok(self.database(name))
    }

    /// Drops a database and disconnects its sessions.
    ///
    /// # Errors
    /// [`Error::Database`] if Postgres is unreachable or refuses.
    pub async fn drop_database(&self, database: &Database) -> Result<()> {
        let admin = self.database("postgres").connect_as_admin().await?;
        admin
            .batch_execute(&format!(
                "drop database if exists {} with (force)",
                escape_identifier(database.name())
            ))
            .await
            .map_err(Error::database(format!(
                "cannot drop the database {}",
                database.name()
            )))
    }

    /// Stops the server and starts it again with the same port and data.
    ///
    /// With `kill` it simulates a crash: the postmaster is killed, and recovery empties unlogged
    /// tables. Without it, sessions are terminated in an orderly shutdown.
    ///
    /// # Errors
    /// Those of [`Self::resume`].
    pub async fn restart(&self, kill: bool) -> Result<()> {
        self.halt(kill).await;
        self.resume().await
    }

    /// The first half of [`Self::restart`]: stops the server and keeps its data.
    pub async fn halt(&self, kill: bool) {
        let process = self.process();
        // SIGINT requests a fast shutdown: it aborts open transactions, ends sessions, checkpoints.
        process.signal(if kill {
            Signal::SIGKILL
        } else {
            Signal::SIGINT
        });
        process.wait().await;
    }

    /// The second half of [`Self::restart`]: starts the server on the existing data.
    ///
    /// # Errors
    /// [`Error::PostgresFailed`] or [`Error::TooSlow`] if it does not accept connections in time.
    pub async fn resume(&self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        loop {
            // The backends of a killed postmaster take a moment to exit. Until then a new one
            // refuses to start because their shared memory is in use.
            let process = launch(
                &self.program,
                &self.folder,
                &self.settings,
                self.port,
                &self.log,
            )?;
            *lock(&self.process) = Arc::new(process);
            match self.wait_until_ready().await {
                Err(Error::PostgresFailed { .. })
                    if self.log.contains("in use") && Instant::now() < deadline =>
                {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                other => return other,
            }
        }
    }

    /// Stops the server and removes its files.
    pub async fn stop(self) {
        self.shut_down().await;
    }

    pub(crate) async fn shut_down(&self) {
        self.process().stop().await;
        self.folder.remove().await;
    }

    fn process(&self) -> Arc<Process> {
        lock(&self.process).clone()
    }

    async fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + START_LIMIT;
        let process = self.process();
        loop {
            // The superuser's password is random, so only our own server accepts it.
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

    /// Loads the available extensions, and creates the roles and the template.
    async fn set_up(&mut self, migrations: &[String]) -> Result<()> {
        let main = self.database("postgres");
        let admin = main.connect_as_admin().await?;
        self.version = admin
            .query_one("select current_setting('server_version_num')::int", &[])
            .await
            .map_err(Error::database("cannot read the version of Postgres"))?
            .get::<_, i32>(0)
            .unsigned_abs();
        self.real = crate::extension::available(&admin).await?;
        if !self.real.is_empty() {
            drop(admin);
            self.preload()?;
            self.restart(false).await?;
        }
        let admin = main.connect_as_admin().await?;
        admin
            .batch_execute(include_str!("../platform/roles.sql"))
            .await
            .map_err(Error::database("cannot create the roles"))?;
        for role in ["postgres", "authenticator"] {
            admin
                .batch_execute(&format!(
                    "alter role {role} password {}",
                    escape_literal(&self.password)
                ))
                .await
                .map_err(Error::database("cannot set a password"))?;
        }
        admin
            .batch_execute(&format!("create database {TEMPLATE} owner postgres"))
            .await
            .map_err(Error::database("cannot create the template"))?;

        let template = self.database(TEMPLATE);
        {
            let admin = template.connect_as_admin().await?;
            admin
                .batch_execute(include_str!("../platform/database.sql"))
                .await
                .map_err(Error::database("cannot set up the template"))?;
            // The workers of the real pg_net and pg_cron serve only one database of a cluster, the
            // project's. In clones of the template these extensions are emulated.
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
        self.real.contains(&kind)
    }

    /// Makes the server load the real extensions when it starts again.
    fn preload(&mut self) -> Result<()> {
        let libraries: Vec<_> = self.real.iter().map(|kind| kind.extension()).collect();
        let libraries = libraries.join(",");
        self.settings
            .push(format!("shared_preload_libraries={libraries}"));
        if self.has(Kind::Vault) {
            // The Vault's root key is what this script prints.
            let script = self.folder.path().join("vault_key");
            let text = format!("#!/bin/sh\necho {}\n", crate::random_hex(32));
            server::write(&self.program, &script, 0o700, &text)?;
            self.settings
                .push(format!("vault.getkey_script={}", script.display()));
        }
        if self.has(Kind::Cron) {
            // Otherwise pg_cron runs jobs through connections, for which it has no password.
            self.settings.extend(
                ["cron.use_background_workers=on", "max_worker_processes=32"].map(str::to_owned),
            );
        }
        Ok(())
    }

    /// Sets up the database `postgres` as the project's, with real extensions where available.
    pub(crate) async fn set_up_project(&self) -> Result<Database> {
        let database = self.database("postgres");
        let admin = database.connect_as_admin().await?;
        admin
            .batch_execute("alter database postgres owner to postgres")
            .await
            .map_err(Error::database("cannot change the owner of the database"))?;
        admin
            .batch_execute(include_str!("../platform/database.sql"))
            .await
            .map_err(Error::database("cannot set up the database"))?;
        crate::extension::set_up(&admin, |kind| self.has(kind)).await?;
        Ok(database)
    }
}
