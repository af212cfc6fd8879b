//! Applies the migrations and seeds of a project, as the Supabase CLI does, and again whenever a file is new or has changed.

mod files;
mod script;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use tokio_postgres::error::{DbError, ErrorPosition};
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::postgres::Database;
use crate::{Error, ExtensionKind, Result};
use files::{Files, Migration, Stamp};

/// How often the folder is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// The tables of the Supabase CLI, which skips what they have.
const HISTORY: &str = "
    create schema if not exists supabase_migrations;
    create table if not exists supabase_migrations.schema_migrations (version text primary key);
    alter table supabase_migrations.schema_migrations
      add column if not exists statements text[], add column if not exists name text;
    create table if not exists supabase_migrations.seed_files (path text primary key, hash text not null);";

/// As on the platform, where what an earlier file has set does not last.
const NEW_SESSION: &str =
    "rollback; reset all; set search_path = \"$user\", public, extensions; begin";

/// The schemas of a hosted project that a local stack lacks.
const ABSENT_SCHEMAS: [&str; 8] = [
    "realtime",
    "_realtime",
    "graphql",
    "graphql_public",
    "pgmq",
    "pgsodium",
    "supabase_functions",
    "etl",
];

/// The migrations and seeds of a project, and how far they are applied. Seeds are applied after all migrations, and only to a
/// database that had neither.
#[derive(Debug)]
pub struct Migrations {
    supabase: PathBuf,
    database: Database,
    /// What the folder had when it was last looked at.
    stamp: Option<Stamp>,
    is_new_database: Option<bool>,
    /// The texts of the files that were applied here.
    applied: HashMap<PathBuf, String>,
    /// What was said before.
    said: BTreeSet<String>,
}

/// What became of a project's migrations and seeds since the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    /// The names of the files that were applied.
    pub applied: Vec<String>,
    /// What the user should know about them.
    pub notes: Vec<String>,
    /// Why no more could be applied, and what to do.
    pub failure: Option<String>,
}

impl Migrations {
    /// The migrations in a `supabase` folder, for a database.
    #[must_use]
    pub fn new(supabase: impl Into<PathBuf>, database: &Database) -> Self {
        Self {
            supabase: supabase.into(),
            database: database.clone(),
            stamp: None,
            is_new_database: None,
            applied: HashMap::new(),
            said: BTreeSet::new(),
        }
    }

    /// Applies what the database lacks; `None` if nothing has changed since the last time. The first file that fails is rolled
    /// back, and no other after it is applied.
    pub async fn advance(&mut self) -> Option<Progress> {
        let mut progress = Progress::default();
        let files = match Files::of(&self.supabase) {
            Ok(files) => files,
            Err(error) => {
                self.stamp = None;
                let error = error.to_string();
                progress.failure = self.said.insert(error.clone()).then_some(error);
                return progress.failure.is_some().then_some(progress);
            }
        };
        let stamp = files.stamp();
        if self.stamp.as_ref() == Some(&stamp) {
            return None;
        }
        self.stamp = Some(stamp);
        if let Err(error) = self.apply(&files, &mut progress).await {
            progress.failure = Some(error.to_string());
            // Postgres may be restarting.
            self.stamp = None;
            if !self.said.insert(error.to_string()) {
                return None;
            }
        }
        progress.notes.retain(|note| self.said.insert(note.clone()));
        Some(progress)
    }

    /// Applies them again and again, and sends what became of them.
    pub fn watch(mut self) -> mpsc::Receiver<Progress> {
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut interval = tokio::time::interval(INTERVAL);
            while !sender.is_closed() {
                interval.tick().await;
                if let Some(progress) = self.advance().await {
                    let _ = sender.send(progress).await;
                }
            }
        });
        receiver
    }

    async fn apply(&mut self, files: &Files, progress: &mut Progress) -> Result<()> {
        if files.migrations.is_empty() && files.seeds.is_empty() {
            return Ok(());
        }
        let client = self.database.connect().await?;
        if self.is_new_database.is_none() {
            prepare(&self.database, &client).await?;
        }
        let migrations = column(
            &client,
            "select version from supabase_migrations.schema_migrations",
        )
        .await?;
        let seeds = column(&client, "select path from supabase_migrations.seed_files").await?;
        let is_new = *self
            .is_new_database
            .get_or_insert(migrations.is_empty() && seeds.is_empty());
        let absent = Absent::of(&client).await?;

        for path in &files.misnamed {
            progress.notes.push(format!(
                "{}: skipped, as its name is not of the form <time stamp>_name.sql",
                path.display()
            ));
        }
        let mut waiting = Vec::new();
        for migration in &files.migrations {
            match migrations.contains(&migration.version) {
                true => self.compare(&migration.path, progress)?,
                false => waiting.push((&migration.path, Some(migration))),
            }
        }
        for path in &files.seeds {
            let is_applied = seeds.contains(&relative(&self.supabase, path));
            if is_new && !is_applied {
                waiting.push((path, None));
            }
        }
        for (number, (path, migration)) in waiting.iter().enumerate() {
            let text = read(path)?;
            // One that `supabase migration new` has just made.
            if script::is_empty(&text) && migration.is_some() {
                continue;
            }
            let (script, left_out) = script::without_extensions(&text, |name| absent.has(name));
            for name in left_out.iter().filter(|name| !absent.is_emulated(name)) {
                progress.notes.push(format!(
                    "{}: left out `create extension {name}`, which this Postgres does not have",
                    path.display()
                ));
            }
            if let Err(error) = run(&client, &script).await {
                let tried_again = match waiting.len() - number - 1 {
                    0 => "It was rolled back, and is tried again when it changes.".to_owned(),
                    1 => "It was rolled back. It and the file after it are tried again when it changes.".to_owned(),
                    more => format!("It was rolled back. It and the {more} files after it are tried again when it changes."),
                };
                let why = error.describe(&script);
                progress.failure = Some(format!("{}{why}\n  {tried_again}", path.display()));
                return Ok(());
            }
            self.record(&client, path, *migration, &text)
                .await
                .map_err(Error::database(format!("cannot record {}", path.display())))?;
            progress.applied.push(relative(&self.supabase, path));
            self.applied.insert(path.to_path_buf(), text);
        }
        Ok(())
    }

    /// Records a migration, or a seed, and commits.
    async fn record(
        &self,
        client: &Client,
        path: &Path,
        migration: Option<&Migration>,
        text: &str,
    ) -> Result<(), tokio_postgres::Error> {
        match migration {
            Some(migration) => {
                let insert = "insert into supabase_migrations.schema_migrations (version, name, statements) values ($1, $2, array[$3])";
                client
                    .execute(insert, &[&migration.version, &migration.name, &text])
                    .await?;
            }
            None => {
                let insert =
                    "insert into supabase_migrations.seed_files (path, hash) values ($1, $2)";
                let path = relative(&self.supabase, path);
                client.execute(insert, &[&path, &hash(text)]).await?;
            }
        }
        client.batch_execute("commit").await
    }

    /// Notes that a file has changed after it was applied.
    fn compare(&mut self, path: &Path, progress: &mut Progress) -> Result<()> {
        let Some(applied) = self.applied.get_mut(path) else {
            return Ok(());
        };
        let text = read(path)?;
        if *applied != text {
            progress.notes.push(format!(
                "{}: has changed after it was applied; restart `supaqueue dev` for a new database, or write another migration",
                path.display()
            ));
            *applied = text;
        }
        Ok(())
    }
}

/// The extensions that a database cannot create.
struct Absent {
    available: BTreeSet<String>,
}

impl Absent {
    async fn of(client: &Client) -> Result<Self> {
        let names = "select name::text from pg_catalog.pg_available_extensions";
        let available = column(client, names).await?;
        Ok(Self { available })
    }

    fn has(&self, name: &str) -> bool {
        !self.available.contains(name)
    }

    /// Whether the stack emulates it, so that it counts as created.
    fn is_emulated(&self, name: &str) -> bool {
        let mut kinds = ExtensionKind::ALL.into_iter();
        self.has(name) && kinds.any(|kind| kind.extension() == name)
    }
}

/// Creates the tables that record what was applied, and what migrations find in every project.
async fn prepare(database: &Database, client: &Client) -> Result<()> {
    client
        .batch_execute(HISTORY)
        .await
        .map_err(Error::database(
            "cannot create the schema supabase_migrations",
        ))?;
    let admin = database.connect_as_admin().await?;
    let is_superuser =
        "select 1::text from pg_catalog.pg_roles where rolname = current_user and rolsuper";
    // A database given by its address is what its owner makes of it.
    if column(&admin, is_superuser).await?.is_empty() {
        return Ok(());
    }
    let schemas = column(&admin, "select nspname::text from pg_catalog.pg_namespace").await?;
    for (schema, sql) in [
        ("", include_str!("platform.sql")),
        ("auth", include_str!("auth.sql")),
        ("storage", include_str!("storage.sql")),
    ] {
        if !schemas.contains(schema) {
            admin
                .batch_execute(sql)
                .await
                .map_err(Error::database(format!(
                    "cannot create what migrations find in a project ({schema})"
                )))?;
        }
    }
    Ok(())
}

/// Why a script failed.
enum Failure {
    /// A statement of these, counted from 0, was refused.
    Refused(usize, Box<DbError>),
    Other(Error),
}

impl Failure {
    /// Where in the script, and why.
    fn describe(&self, script: &str) -> String {
        let (statement, error) = match self {
            Self::Other(error) => return format!(": {error}"),
            Self::Refused(statement, error) => (*statement, error),
        };
        let line = match error.position() {
            Some(ErrorPosition::Original(position)) => {
                Some(script::line_at(script, *position as usize))
            }
            _ => script::line_of_statement(script, statement),
        };
        let line = line.map_or(String::new(), |line| format!(":{line}"));
        let mut text = format!("{line}: {} ({})", error.message(), error.code().code());
        for (label, part) in [
            ("", error.detail()),
            ("hint: ", error.hint()),
            ("at ", error.where_()),
        ] {
            text.extend(part.map(|part| format!("\n  {label}{}", part.replace('\n', "\n  "))));
        }
        let is_named = |schema: &&&str| {
            let message = error.message();
            message.contains(&format!("\"{schema}\"")) || message.contains(&format!("{schema}."))
        };
        if let Some(schema) = ABSENT_SCHEMAS.iter().find(is_named) {
            text += &format!(
                "\n  The local stack has no schema {schema}: its service does not run here."
            );
        }
        text
    }
}

/// Runs a script in a transaction, which it leaves open.
async fn run(client: &Client, script: &str) -> Result<(), Failure> {
    let other = |doing: &'static str| move |error| Failure::Other(Error::database(doing)(error));
    client
        .batch_execute(NEW_SESSION)
        .await
        .map_err(other("cannot begin"))?;
    let mut done = 0;
    let refused = |error: tokio_postgres::Error, done| match error.as_db_error() {
        Some(refused) => Failure::Refused(done, Box::new(refused.clone())),
        None => other("cannot run it")(error),
    };
    let messages = client.simple_query_raw(script).await;
    let mut messages = std::pin::pin!(messages.map_err(|error| refused(error, 0))?);
    while let Some(message) = messages.next().await {
        match message {
            Ok(SimpleQueryMessage::CommandComplete(_)) => done += 1,
            Ok(_) => {}
            Err(error) => {
                let failure = refused(error, done);
                let _ = client.batch_execute("rollback").await;
                return Err(failure);
            }
        }
    }
    // What the script has changed of the session is not for the statements that follow.
    client
        .batch_execute("set constraints all immediate; reset role; reset session authorization")
        .await
        .map_err(|error| refused(error, done))
}

/// The texts of a query's only column.
async fn column(client: &Client, sql: &str) -> Result<BTreeSet<String>> {
    let rows = client
        .query(sql, &[])
        .await
        .map_err(Error::database("cannot read what the database has"))?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(Error::file("cannot read", path))
}

fn relative(supabase: &Path, path: &Path) -> String {
    path.strip_prefix(supabase.parent().unwrap_or(supabase))
        .unwrap_or(path)
        .display()
        .to_string()
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
