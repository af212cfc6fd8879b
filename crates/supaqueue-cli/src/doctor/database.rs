//! What can be missing in the database.

use std::cmp::Ordering;

use super::finding::Finding;
use crate::project::state::check_address;
use supaqueue_files::vault::is_key;
use supaqueue_files::{Part, State};

/// What is installed, from what was read already.
pub(super) fn installed(state: &State, options: &str) -> Vec<Finding> {
    let mut findings = vec![Finding::ok(
        "database",
        format!("Postgres {}", state.postgres),
    )];
    let install = format!("Run `supaqueue install{options}`.");
    for (name, is_there) in [
        ("pg_net", state.has_net),
        ("supabase_vault", state.has_vault),
        ("pg_cron", state.has_cron),
    ] {
        let version = state.extensions.get(name);
        findings.push(match (is_there, version) {
            (true, Some(version)) => Finding::ok("extension", format!("{name} {version}")),
            (true, None) => Finding::ok("extension", format!("a stand-in for {name}")),
            (false, _) if name == "pg_cron" => Finding::warning(
                "extension",
                "pg_cron is missing: jobs that wait go on only when their queue is next used",
                format!("Run: create extension pg_cron; then: {install}"),
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
        Some(compare(
            "add-on",
            &format!("{} ", add_on.name),
            add_on,
            version,
            &install,
        ))
    }));
    if !state.unfinished.is_empty() {
        findings.push(Finding::warning(
            "schema",
            "an upgrade has not finished the work that follows its transaction",
            install.clone(),
        ));
    }
    if !state.has_vault {
        return findings;
    }
    findings.push(match &state.secret {
        Some(secret) if is_key(secret) => Finding::ok("secret", "the Vault has one"),
        Some(_) => Finding::failed(
            "secret",
            "the Vault's supaqueue_secret is not a key of the form whsec_<base64>",
            format!("Run `supaqueue rotate-secret{options}`."),
        ),
        None => Finding::failed(
            "secret",
            "the Vault has no supaqueue_secret",
            install.clone(),
        ),
    });
    if state.is_rotating() {
        findings.push(Finding::warning(
            "secret",
            "a rotation was begun and not finished",
            format!("Run `supaqueue rotate-secret{options}`: it goes on where it stopped."),
        ));
    }
    findings.push(match &state.url {
        Some(url) if check_address(url).is_ok() => {
            Finding::ok("address", format!("the Vault has {url}"))
        }
        Some(url) => Finding::failed(
            "address",
            format!("the Vault's supaqueue_url is not an address: {url}"),
            install.clone(),
        ),
        None => Finding::failed("address", "the Vault has no supaqueue_url", install.clone()),
    });
    findings
}

fn schema(state: &State, install: &str) -> Finding {
    let refusal = match state.version() {
        None => "Supaqueue is not installed in this database",
        Some(_) if !state.has_code => {
            "the tables were kept by `supaqueue remove`, the rest is gone"
        }
        Some(version) => return compare("schema", "", &supaqueue_files::core(), version, install),
    };
    Finding::failed("schema", refusal, install)
}

/// How the version of a part in the database compares to that of this program.
fn compare(subject: &'static str, name: &str, part: &Part, version: i32, install: &str) -> Finding {
    let newest = part.newest();
    let both = format!(
        "{}is at version {version}, this program is for {newest}",
        if name.is_empty() { "it " } else { name }
    );
    match version.cmp(&newest) {
        Ordering::Less => Finding::failed(subject, both, install),
        Ordering::Greater => Finding::warning(subject, both, "Update the program supaqueue."),
        Ordering::Equal => Finding::ok(
            subject,
            format!("{name}version {version}, as this program's"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    #[test]
    fn an_empty_database_is_named_for_what_it_is() {
        let findings = installed(
            &State {
                has_vault: true,
                has_net: true,
                ..State::default()
            },
            "",
        );
        let failed: Vec<&str> = findings
            .iter()
            .filter(|finding| finding.level == Level::Failed)
            .map(|finding| finding.subject)
            .collect();
        assert_eq!(failed, ["schema", "secret", "address"]);
    }
}
