//! Checks what the platform, or the local stack, says about the functions.

use std::collections::BTreeSet;

use supaqueue_files::DatabaseState;

use super::finding::Finding;
use crate::project::Deployment;
use crate::project::hosted::{self, FUNCTION, Hosted, ListedFunction, SECRET};
use crate::project::local::{Local, ONESHOT, PER_WORKER};

/// What is known of the functions apart from the requests that they answer.
#[derive(Debug, Default)]
pub(super) struct Platform {
    /// The functions whose calls need a JWT.
    pub(super) with_jwt: Option<BTreeSet<String>>,
    /// Whether the supaqueue function has the default of `SUPAQUEUE_TIME_BUDGET_MS`.
    pub(super) has_default_budget: Option<bool>,
}

const INSTALL: &str = "Run `supaqueue install`.";

/// Runs the checks. Without `state`, the functions' secret cannot be compared.
pub(super) async fn examine(
    deployment: &Deployment,
    state: Option<&DatabaseState>,
) -> (Vec<Finding>, Platform) {
    match deployment {
        Deployment::Hosted(hosted) => listed(hosted, state).await,
        Deployment::Local(local) => {
            let platform = Platform {
                with_jwt: Some(local.supabase_dir.functions_with_jwt()),
                has_default_budget: None,
            };
            (policy(local), platform)
        }
        Deployment::DatabaseOnly => {
            let skipped = Finding::skipped(
                "function",
                "what the platform lists cannot be seen with --db-url; only the answers of the function are checked",
            );
            (vec![skipped], Platform::default())
        }
    }
}

async fn listed(hosted: &Hosted, state: Option<&DatabaseState>) -> (Vec<Finding>, Platform) {
    let mut findings = Vec::new();
    let mut platform = Platform::default();
    match hosted.functions().await {
        Err(error) => findings.push(Finding::error("function", &error)),
        Ok(functions) => {
            findings.push(deployed(&functions));
            let with_jwt = functions
                .into_iter()
                .filter(|function| function.verify_jwt == Some(true));
            platform.with_jwt = Some(with_jwt.map(|function| function.slug).collect());
        }
    }
    let subject = "functions' secret";
    match hosted.secrets().await {
        Err(error) => findings.push(Finding::error(subject, &error)),
        Ok(secrets) => {
            let is_default = !secrets.contains_key("SUPAQUEUE_TIME_BUDGET_MS");
            platform.has_default_budget = Some(is_default);
            findings.push(match (secrets.get(SECRET), state) {
                (None, _) => Finding::failed(
                    subject,
                    "the functions have no SUPAQUEUE_SECRET",
                    INSTALL,
                ),
                (Some(_), None) => Finding::skipped(
                    subject,
                    "there is a SUPAQUEUE_SECRET; it cannot be compared, since the Vault could not be read",
                ),
                (Some(digest), Some(state))
                    if *digest == hosted::digest(&state.functions_secret()) =>
                {
                    Finding::ok(subject, "SUPAQUEUE_SECRET matches the Vault")
                }
                // Only a warning, as a value set by hand may still contain the right key. The probe decides.
                (Some(_), Some(_)) => Finding::warning(
                    subject,
                    "SUPAQUEUE_SECRET differs from the value that this program sets",
                    INSTALL,
                ),
            });
        }
    }
    (findings, platform)
}

fn deployed(functions: &[ListedFunction]) -> Finding {
    let subject = "function";
    match functions.iter().find(|function| function.slug == FUNCTION) {
        None => Finding::failed(
            subject,
            "not deployed; a deployment with --prune deletes functions that are not in the folder",
            format!("{INSTALL} To keep it in the folder: `supaqueue install --write-function`"),
        ),
        Some(function) if function.verify_jwt == Some(true) => Finding::failed(
            subject,
            "the platform requires a JWT (verify_jwt), which the database does not send",
            INSTALL,
        ),
        Some(function) => Finding::ok(
            subject,
            format!("version {} is deployed and needs no JWT", function.version),
        ),
    }
}

/// Checks that `supabase functions serve` lets jobs run after the response.
fn policy(local: &Local) -> Vec<Finding> {
    let subject = "edge runtime";
    vec![match local.supabase_dir.oneshot_policy() {
        Some(place) => Finding::failed(subject, format!("{ONESHOT} ({place})"), PER_WORKER),
        None => Finding::ok(subject, "its policy lets jobs run after the response"),
    }]
}
