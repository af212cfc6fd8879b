//! Checks what is installed in the database, and how it runs.

use std::cmp::Ordering;

use serde::Deserialize;
use supaqueue_files::vault::is_signing_key;
use supaqueue_files::{DatabaseState, Part};

use super::finding::Finding;
use crate::project::vault::check_project_url;

/// What the database finds itself.
#[derive(Deserialize)]
pub(super) struct Checks {
    pub(super) findings: Vec<Finding>,
    pub(super) queues: Vec<super::targets::Queue>,
}

impl Checks {
    /// Selects them as `result`.
    pub(super) const QUERY: &str = include_str!("checks.sql");
}

const INSTALL: &str = "Run `supaqueue install`.";

/// Checks which versions are installed. Reads nothing more than `state`.
pub(super) fn installed(state: &DatabaseState) -> Vec<Finding> {
    let mut findings = vec![
        Finding::ok("database", format!("Postgres {}", state.postgres)),
        schema(state),
    ];
    let add_ons = supaqueue_files::add_ons();
    findings.extend(add_ons.iter().filter_map(|add_on| {
        let version = *state.versions.get(add_on.name)?;
        Some(compare("add-on", add_on, version))
    }));
    if !state.unfinished.is_empty() {
        findings.push(Finding::warning(
            "schema",
            "an upgrade was interrupted before it had built indexes or filled columns",
            INSTALL,
        ));
    }
    // What keeps the database from sending is a problem that it names itself.
    if state.secret.as_deref().is_some_and(is_signing_key) {
        findings.push(Finding::ok("secret", "the Vault has supaqueue_secret"));
    }
    if let Some(url) = state
        .url
        .as_ref()
        .filter(|url| check_project_url(url).is_ok())
    {
        findings.push(Finding::ok(
            "URL",
            format!("the Vault has supaqueue_url: {url}"),
        ));
    }
    if state.is_rotating() {
        findings.push(Finding::warning(
            "secret",
            "a rotation is unfinished",
            "Run `supaqueue rotate-secret` to resume it.",
        ));
    }
    findings
}

fn schema(state: &DatabaseState) -> Finding {
    let problem = match state.version() {
        None => "Supaqueue is not installed in this database",
        Some(_) if !state.has_code => {
            "only the tables are left, as after `supaqueue remove --keep-data`"
        }
        Some(version) => return compare("schema", &supaqueue_files::core(), version),
    };
    Finding::failed("schema", problem, INSTALL)
}

/// Compares the installed version of a part with this program's.
fn compare(subject: &'static str, part: &Part, version: i32) -> Finding {
    let newest = part.newest();
    let name = match subject {
        "add-on" => format!("{} ", part.name),
        _ => String::new(),
    };
    match version.cmp(&newest) {
        Ordering::Less => Finding::failed(
            subject,
            format!("{name}installed version {version} is older than this program's ({newest})"),
            INSTALL,
        ),
        Ordering::Greater => Finding::warning(
            subject,
            format!("{name}installed version {version} is newer than this program's ({newest})"),
            "Update the program.",
        ),
        Ordering::Equal => Finding::ok(subject, format!("{name}version {version}, up to date")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn an_empty_database_has_no_schema() {
        let failed: Vec<_> = installed(&DatabaseState::default())
            .into_iter()
            .filter(|finding| finding.severity == Severity::Failed)
            .collect();
        assert_eq!(failed, [schema(&DatabaseState::default())]);
        assert!(failed[0].message.contains("not installed"));
    }
}
