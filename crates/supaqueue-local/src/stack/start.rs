use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::json;

use super::{PostgresSource, Stack, StackBuilder};
use crate::emulation::EmulatedExtensions;
use crate::folder::Folder;
use crate::functions::{Environment, Functions, find_deno};
use crate::gateway::{Backend, Gateway, Keys, Port};
use crate::log::LogSink;
use crate::postgres::{Database, Postgres};
use crate::{Error, Result, external_database, install, supaqueue_function};

pub(super) async fn start(builder: StackBuilder) -> Result<Stack> {
    let deno = find_deno(builder.deno)?;
    let mut roots = function_folders(builder.functions)?;
    let folder = Folder::create(None)?;
    if builder.install {
        supaqueue_function::write(folder.path())?;
        roots.push(folder.path().join("functions"));
    }

    let port = Port::bind(builder.port).await?;
    let url = port.url();
    let (postgres, database, secret) =
        start_postgres(builder.postgres, builder.fsync, builder.settings).await?;

    let secret = secret.or(builder.secret).unwrap_or_else(new_secret);
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
    let mut platform = platform_variables(&public_url, &keys, &database);
    if builder.install {
        platform.push(("SUPAQUEUE_SECRET".into(), secret.clone()));
    }
    let environment = Environment {
        deno,
        wall_clock: builder.wall_clock,
        platform,
        added: builder.env,
        overrides: Mutex::default(),
    };
    let functions = Functions::new(roots, environment, logs.clone())?;
    let backend = Arc::new(Backend::new(
        keys,
        functions,
        &database,
        builder.connections,
        builder.hop,
    )?);
    let gateway = Gateway::start(port, backend.clone());
    let emulated = EmulatedExtensions::start_with_log(&database, logs.clone()).await?;
    if builder.install {
        // Last: from now on the database calls the gateway.
        install::schedule_tick(&client).await?;
    }
    Ok(Stack {
        gateway,
        emulated,
        backend,
        url,
        secret,
        logs,
        database,
        folder,
        postgres,
        postgres_version,
    })
}

fn function_folders(folders: Vec<PathBuf>) -> Result<Vec<PathBuf>> {
    let check = |folder: PathBuf| {
        let folder = folder
            .canonicalize()
            .map_err(Error::file("cannot find the functions in", &folder))?;
        match folder.is_dir() {
            true => Ok(folder),
            false => Err(Error::Invalid(format!(
                "{} is not a folder of functions",
                folder.display()
            ))),
        }
    };
    folders.into_iter().map(check).collect()
}

/// Returns the project's database, with the cluster if it is the stack's own, or with the secret
/// that an earlier stack left in it.
async fn start_postgres(
    source: PostgresSource,
    fsync: bool,
    settings: Vec<(String, String)>,
) -> Result<(Option<Postgres>, Database, Option<String>)> {
    let mut builder = Postgres::builder().fsync(fsync);
    match source {
        PostgresSource::Url(url) => {
            let (database, secret) = external_database::set_up(url).await?;
            return Ok((None, database, secret));
        }
        PostgresSource::Bin(bin) => builder = builder.bin(bin),
        PostgresSource::Embedded => {}
    }
    for (name, value) in settings {
        builder = builder.setting(name, value);
    }
    let postgres = builder.start().await?;
    let database = postgres.set_up_project().await?;
    Ok((Some(postgres), database, None))
}

/// The environment variables that the platform sets for every function.
fn platform_variables(url: &str, keys: &Keys, database: &Database) -> Vec<(String, String)> {
    let default = |key: &str| json!({ "default": key }).to_string();
    [
        ("SUPABASE_URL", url.to_owned()),
        ("SUPABASE_ANON_KEY", keys.anon().into()),
        ("SUPABASE_SERVICE_ROLE_KEY", keys.service_role().into()),
        ("SUPABASE_PUBLISHABLE_KEYS", default(keys.publishable())),
        ("SUPABASE_SECRET_KEYS", default(keys.secret())),
        ("SUPABASE_DB_URL", database.url().into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

/// 32 random bytes in the key format of Standard Webhooks.
fn new_secret() -> String {
    format!(
        "whsec_{}",
        BASE64_STANDARD.encode(rand::random::<[u8; 32]>())
    )
}
