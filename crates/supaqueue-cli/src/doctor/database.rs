//! Checks what is installed in the database.

use std::cmp::Ordering;

use supaqueue_files::vault::is_signing_key;
use supaqueue_files::{DatabaseState, Part};

use super::finding::Finding;
use crate::command_line::CommandLine;
use crate::project::ProjectOptions;
use crate::project::vault::check_project_url;

/// Checks what is installed. Reads nothing more than `state`.
pub(super) fn installed(state: &DatabaseState, options: &ProjectOptions) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(
        "database",
        format!("Postgres {}", state.postgres),
    )];
    let install = format!("Run `{}`.", options.command("install"));
    let rotate = options.command("rotate-secret");
    for (name, is_installed) in [
        ("pg_net", state.has_net),
        ("supabase_vault", state.has_vault),
        ("pg_cron", state.has_cron),
    ] {
        let version = state.extensions.get(name);
        findings.push(match (is_installed, version) {
            (true, Some(version)) => Finding::ok("extension", format!("{name} {version}")),
            (true, None) => Finding::ok("extension", format!("{name}, emulated")),
            (false, _) if name == "pg_cron" => Finding::warning(
                "extension",
                "pg_cron is missing: retries and scheduled jobs start only when their queue is next used",
                format!("Run: create extension pg_cron; and then `{}`.", options.command("install")),
            ),
            (false, _) => {
                Finding::failed("extension", format!("{name} is missing"), install.clone())
            }
        });
    }
    findings.push(schema(state, &install));
    let add_ons = supaqueue_files::add_ons();
    findings.extend(add_ons.iter().filter_map(|add_on| {
        let version = *state.versions.get(add_on.name)?;
        Some(compare("add-on", add_on, version, &install))
    }));
    if !state.unfinished.is_empty() {
        findings.push(Finding::warning(
            "schema",
            "an upgrade was interrupted before it had built indexes or filled columns",
            install.clone(),
        ));
    }
    if !state.has_vault {
        return findings;
    }
    for (name, error) in &state.unreadable {
        findings.push(Finding::failed(
            "Vault",
            format!("it cannot decrypt {name}: {error}"),
            format!(
                "This happens when a database was restored with another root key. {install} It stores new entries over those that cannot be decrypted."
            ),
        ));
    }
    findings.extend(secret(state, &rotate, &install));
    if state.is_rotating() {
        findings.push(Finding::warning(
            "secret",
            "a rotation is unfinished",
            format!("Run `{rotate}` to resume it."),
        ));
    }
    findings.extend(url(state, install));
    findings
}

/// `None` if it cannot be decrypted.
fn secret(state: &DatabaseState, rotate: &CommandLine, install: &str) -> Option<Finding> {
    let failed = |message: &str, remedy: String| Finding::failed("secret", message, remedy);
    Some(match &state.secret {
        Some(secret) if is_signing_key(secret) => {
            Finding::ok("secret", "the Vault has supaqueue_secret")
        }
        Some(_) => failed(
            "the Vault's supaqueue_secret is not a key of the form whsec_<base64>",
            format!("Run `{rotate}`."),
        ),
        None if state.unreadable.contains_key("supaqueue_secret") => return None,
        None => failed("the Vault has no supaqueue_secret", install.into()),
    })
}

/// `None` if it cannot be decrypted.
fn url(state: &DatabaseState, install: String) -> Option<Finding> {
    let failed = |message: String| Finding::failed("URL", message, install);
    Some(match &state.url {
        Some(url) if check_project_url(url).is_ok() => {
            Finding::ok("URL", format!("the Vault has supaqueue_url: {url}"))
        }
        Some(url) => failed(format!(
            "the Vault's supaqueue_url is not a project URL: {url}"
        )),
        None if state.unreadable.contains_key("supaqueue_url") => return None,
        None => failed("the Vault has no supaqueue_url".into()),
    })
}

fn schema(state: &DatabaseState, install: &str) -> Finding {
    let problem = match state.version() {
        None => "Supaqueue is not installed in this database",
        Some(_) if !state.has_code => {
            "only the tables are left, as after `supaqueue remove --keep-data`"
        }
        Some(version) => return compare("schema", &supaqueue_files::core(), version, install),
    };
    Finding::failed("schema", problem, install)
}

/// Compares the installed version of a part with this program's.
fn compare(subject: &'static str, part: &Part, version: i32, install: &str) -> Finding {
    let newest = part.newest();
    let name = match subject {
        "add-on" => format!("{} ", part.name),
        _ => String::new(),
    };
    match version.cmp(&newest) {
        Ordering::Less => Finding::failed(
            subject,
            format!("{name}installed version {version} is older than this program's ({newest})"),
            install,
        ),
        Ordering::Greater => Finding::warning(
            subject,
            format!("{name}installed version {version} is newer than this program's ({newest})"),
            "Update `supaqueue`.",
        ),
        Ordering::Equal => Finding::ok(subject, format!("{name}version {version}, up to date")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn an_empty_database_has_no_schema_secret_or_url() {
        let options = ProjectOptions::default();
        let findings = installed(
            &DatabaseState {
                has_vault: true,
                has_net: true,
                ..DatabaseState::default()
            },
            &options,
        );
        let failed: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.severity == Severity::Failed)
            .map(|finding| finding.subject)
            .collect();
        assert_eq!(failed, ["schema", "secret", "URL"]);
    }
}
