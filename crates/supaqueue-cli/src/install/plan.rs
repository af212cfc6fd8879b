//! The steps of an installation: their names, and what `--dry-run` prints.

use supaqueue_files::{core, function_files};

use super::Arguments;
use crate::output::outln;
use crate::project::local::GATEWAY_URL;

/// The names of the steps, in order.
pub(super) const STEPS: [&str; 10] = [
    "tools and login",
    "project",
    "secret",
    "functions' secret",
    "URL",
    "migrations",
    "Vault",
    "function",
    "tick",
    "verification",
];

/// Prints what would be done. It does not look at the project, so it lists every step that may be
/// necessary.
pub(super) fn print(arguments: &Arguments) {
    let migrations: Vec<_> = core()
        .versions
        .iter()
        .map(|version| format!("{}.sql", version.name))
        .collect();
    let migrations = migrations.join(", ");
    let function: Vec<_> = function_files().map(|(name, _)| name).collect();
    let function = function.join(", ");
    if arguments.write_migration || arguments.write_function {
        print_files(arguments, &migrations, &function);
    } else {
        print_steps(arguments, &migrations, &function);
    }
}

fn print_files(arguments: &Arguments, migrations: &str, function: &str) {
    if arguments.write_migration {
        outln!("write to supabase/migrations, if missing: {migrations}");
    }
    if arguments.write_function {
        outln!("write to supabase/functions/supaqueue: {function}");
        outln!(
            "write to supabase/config.toml, if missing: [functions.supaqueue] verify_jwt = false"
        );
    }
    outln!("\nDry run: nothing was written.");
}

fn print_steps(arguments: &Arguments, migrations: &str, function: &str) {
    let options = &arguments.project;
    let (tools, project, functions_secret, url, function) = if options.local {
        (
            "find the Supabase CLI",
            "read `supabase status`".to_owned(),
            "write SUPAQUEUE_SECRET to supabase/.temp/supaqueue.env",
            GATEWAY_URL,
            format!("write to supabase/functions/supaqueue: {function}"),
        )
    } else if options.db_url.is_some() {
        (
            "connect",
            "use the database of --db-url".to_owned(),
            "left to you",
            "the one in the Vault",
            "left to you; --write-function writes its files".to_owned(),
        )
    } else {
        (
            "find the Supabase CLI, list the account's projects",
            match &options.project_ref {
                Some(reference) => format!(
                    "verify that the account has the project {reference} and that it is running"
                ),
                None => "use the linked project, or ask; verify that it is running".to_owned(),
            },
            "`supabase secrets set` SUPAQUEUE_SECRET, from a temporary file, unless it is up to date",
            "https://<project>.supabase.co",
            format!("`supabase functions deploy supaqueue`, unless it is up to date: {function}"),
        )
    };
    let url = arguments.project_url.as_deref().unwrap_or(url);
    let anon_key = match arguments.anon_key.as_deref() {
        None => "",
        Some("") => "; read the project's anon key",
        Some(_) => "; use the given anon key",
    };
    let details = [
        tools.to_owned(),
        project,
        "create the extensions supabase_vault, pg_net and pg_cron if missing; generate a secret in the Vault, unless it has one".to_owned(),
        functions_secret.to_owned(),
        format!("{url}{anon_key}"),
        format!("apply those of these that are missing: {migrations}; update installed add-ons"),
        match arguments.anon_key {
            Some(_) => "store the secret, the URL and the anon key: supaqueue_secret, supaqueue_url, supaqueue_anon_key",
            None => "store the secret and the URL: supaqueue_secret, supaqueue_url",
        }
        .to_owned(),
        function,
        "select supaqueue.schedule_tick()".to_owned(),
        "read back version, secret and function; run a self-test job end to end".to_owned(),
    ];
    for (name, detail) in STEPS.iter().zip(details) {
        outln!("{name}: {detail}");
    }
    outln!("\nDry run: nothing was sent.");
}
