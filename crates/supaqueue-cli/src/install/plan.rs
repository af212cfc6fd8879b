//! The steps of an installation, as they are shown and as `--dry-run` prints them.

use std::time::{SystemTime, UNIX_EPOCH};

use supaqueue_files::{core, function_files};

use super::Arguments;
use crate::output::say;

/// The names of the steps, in order.
pub(super) const STEPS: [&str; 10] = [
    "tools and login",
    "project",
    "secret",
    "functions' secret",
    "address",
    "migrations",
    "Vault",
    "function",
    "tick",
    "verification",
];

/// Prints what would be done. Nothing is sent, so that it holds whatever the project has.
pub(super) fn print(arguments: &Arguments) {
    let target = &arguments.target;
    if arguments.write_migration || arguments.write_function {
        if arguments.write_migration {
            let names: Vec<_> = core()
                .versions
                .iter()
                .map(|version| format!("{}.sql", version.name))
                .collect();
            say!(
                "write into supabase/migrations, where missing: {}",
                names.join(", ")
            );
        }
        if arguments.write_function {
            say!(
                "write into supabase/functions/supaqueue: {}",
                function_names()
            );
            say!(
                "write into supabase/config.toml, where missing: [functions.supaqueue] verify_jwt = false"
            );
        }
        say!("\nThis was a dry run: nothing was written.");
        return;
    }
    let hosted = target.db_url.is_none() && !target.local;
    let project = match (&target.project_ref, &target.db_url) {
        (Some(reference), _) => {
            format!("verify that the account has the project {reference} and that it is up")
        }
        (None, Some(_)) => "use the database of --db-url".to_owned(),
        (None, None) if target.local => "read `supabase status`".to_owned(),
        (None, None) => "use the linked project, or ask; verify that it is up".to_owned(),
    };
    let address = match (&arguments.project_url, hosted) {
        (Some(url), _) => url.clone(),
        (None, true) => "https://<project>.supabase.co".to_owned(),
        (None, false) if target.local => crate::project::local::ADDRESS.to_owned(),
        (None, false) => "the one in the Vault, or else --project-url".to_owned(),
    };
    let anon_key = match &arguments.anon_key {
        Some(key) if !key.is_empty() => "; the anon key that was given",
        Some(_) => "; read the project's anon key",
        None => "",
    };
    let address = address + anon_key;
    let migrations: Vec<_> = core()
        .versions
        .iter()
        .map(|version| format!("{}.sql", version.name))
        .collect();
    let functions_secret = match (hosted, target.local) {
        (true, _) => {
            "`supabase secrets set` SUPAQUEUE_SECRET, from a temporary file, unless it is the same"
        }
        (_, true) => "write SUPAQUEUE_SECRET to supabase/.temp/supaqueue.env",
        _ => "left to you",
    };
    let function = match (hosted, target.local) {
        (true, _) => format!(
            "`supabase functions deploy supaqueue`, unless it is the same: {}",
            function_names()
        ),
        (_, true) => format!(
            "write into supabase/functions/supaqueue: {}",
            function_names()
        ),
        _ => "left to you; --write-function writes its files".to_owned(),
    };
    let works = [
        match (hosted, target.local) {
            (true, _) => "find the Supabase CLI, list the account's projects",
            (_, true) => "find the Supabase CLI",
            _ => "connect",
        }
        .to_owned(),
        project,
        "create the extensions supabase_vault, pg_net and pg_cron where missing; make a secret in the Vault, or keep the one that is there".to_owned(),
        functions_secret.to_owned(),
        address,
        format!("apply those that the database lacks of: {}; bring the add-ons that it has up to date", migrations.join(", ")),
        match arguments.anon_key {
            Some(_) => "put secret, address and anon key in force: supaqueue_secret, supaqueue_url, supaqueue_anon_key",
            None => "put secret and address in force: supaqueue_secret, supaqueue_url",
        }
        .to_owned(),
        function,
        "select supaqueue.schedule_tick()".to_owned(),
        "read back version, secret and function; run a job through all of it".to_owned(),
    ];
    for (name, work) in STEPS.iter().zip(works) {
        say!("{name}: {work}");
    }
    say!("\nThis was a dry run: nothing was sent.");
}

fn function_names() -> String {
    function_files()
        .map(|(name, _)| name)
        .collect::<Vec<_>>()
        .join(", ")
}

/// A time as `supabase migration new` writes it: YYYYMMDDhhmmss, in UTC.
pub(super) fn stamp(time: SystemTime) -> u64 {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    // From days to a date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days.
    let days = seconds / 86_400 + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    let of_day = seconds % 86_400;
    let time = of_day / 3600 * 10_000 + of_day % 3600 / 60 * 100 + of_day % 60;
    (year * 10_000 + month * 100 + day) * 1_000_000 + time
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stamp_is_a_time_in_utc() {
        for (seconds, want) in [
            (0, 19700101000000),
            (951_782_399, 20000228235959),
            (951_782_400, 20000229000000),
            (1_795_421_471, 20261123081111),
            (4_102_444_799, 20991231235959),
        ] {
            assert_eq!(stamp(UNIX_EPOCH + Duration::from_secs(seconds)), want);
        }
    }
}
