//! What can be missing in the database.

use super::finding::Finding;
use crate::install::newest_version;
use crate::project::add_ons::{self, Standing};
use crate::project::state::{State, check_address, is_key};

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
    findings.extend(supaqueue_files::add_ons().iter().filter_map(|add_on| {
        let name = add_on.name;
        match add_ons::standing(add_on, state) {
            Standing::Absent => None,
            Standing::Same => Some(Finding::ok("add-on", format!("{name}, as this program's"))),
            Standing::Other => Some(Finding::warning(
                "add-on",
                format!("{name} is not known to be this program's"),
                install.clone(),
            )),
        }
    }));
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
    let newest = newest_version();
    match state.version {
        None => Finding::failed(
            "schema",
            "Supaqueue is not installed in this database",
            install,
        ),
        Some(version) if version < newest => Finding::failed(
            "schema",
            format!("it is at version {version}, this program is for {newest}"),
            install,
        ),
        Some(version) if version > newest => Finding::warning(
            "schema",
            format!("it is at version {version}, this program is for {newest}"),
            "Update the program supaqueue.",
        ),
        Some(version) => Finding::ok("schema", format!("version {version}, as this program's")),
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
