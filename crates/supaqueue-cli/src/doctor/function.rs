//! Checks the function, and whether the database reaches it.

use std::collections::BTreeSet;

use serde::Deserialize;
use supaqueue_files::DatabaseState;

use super::finding::Finding;
use crate::command_line::CommandLine;
use crate::install::embedded_function;
use crate::project::hosted::{self, FUNCTION, Hosted, ListedFunction};
use crate::project::local::{Local, ONESHOT, PER_WORKER};
use crate::project::probe::{self, Response};
use crate::project::{Deployment, Project, ProjectOptions};

/// Checks what the platform lists. Also returns the functions whose calls need a JWT.
pub(super) async fn listed(
    hosted: &Hosted,
    state: &DatabaseState,
    options: &ProjectOptions,
) -> (Vec<Finding>, BTreeSet<String>) {
    let install = format!("Run `{}`.", options.command("install"));
    let mut findings = Vec::new();
    let functions = hosted.functions().await;
    findings.push(match &functions {
        Err(error) => Finding::error("function", error),
        Ok(functions) => deployed(functions, &install),
    });
    findings.push(match hosted.secret_digest().await {
        Err(error) => Finding::error("functions' secret", &error),
        Ok(None) => Finding::failed(
            "functions' secret",
            "the functions have no SUPAQUEUE_SECRET",
            install,
        ),
        Ok(Some(digest)) if digest == hosted::digest(&state.functions_secret()) => {
            Finding::ok("functions' secret", "SUPAQUEUE_SECRET matches the Vault")
        }
        // Only a warning, as a value set by hand may still contain the right key. The probe decides.
        Ok(Some(_)) => Finding::warning(
            "functions' secret",
            "SUPAQUEUE_SECRET differs from the value that this program sets",
            install,
        ),
    });
    let functions = functions.unwrap_or_default().into_iter();
    let with_jwt = functions.filter(|function| function.verify_jwt == Some(true));
    (findings, with_jwt.map(|function| function.slug).collect())
}

/// Checks that `supabase functions serve` lets jobs run after the response.
pub(super) fn policy(local: &Local) -> Option<Finding> {
    let place = local.supabase_dir.oneshot_policy()?;
    Some(Finding::failed(
        "edge runtime",
        format!("{ONESHOT} ({place})"),
        PER_WORKER,
    ))
}

fn deployed(functions: &[ListedFunction], install: &str) -> Finding {
    let subject = "function";
    match functions.iter().find(|function| function.slug == FUNCTION) {
        None => Finding::failed(subject, "not deployed", install),
        Some(function) if function.verify_jwt == Some(true) => Finding::failed(
            subject,
            "the platform requires a JWT (verify_jwt), which the database does not send",
            install,
        ),
        Some(function) => Finding::ok(
            subject,
            format!("version {} is deployed and needs no JWT", function.version),
        ),
    }
}

/// A queue whose calls carry no `authorization` header of its own.
#[derive(Deserialize)]
pub(super) struct Queue {
    name: String,
    function: String,
    auth: String,
}

/// Names the queues whose target functions need a JWT that their calls do not carry.
pub(super) async fn without_jwt(
    deployment: &Deployment,
    queues: Vec<Queue>,
    with_jwt: &BTreeSet<String>,
) -> Vec<Finding> {
    let (without_key, with_key): (Vec<_>, Vec<_>) = queues
        .into_iter()
        .filter(|queue| with_jwt.contains(&queue.function))
        .partition(|queue| queue.auth == "none");
    let mut findings: Vec<_> = without_key
        .iter()
        .map(|queue| no_jwt(queue, "auth 'none' sends none"))
        .collect();
    if let (Deployment::Hosted(hosted), false) = (deployment, with_key.is_empty()) {
        match hosted.has_jwt_keys().await {
            Ok(true) => {}
            Ok(false) => findings.extend(with_key.iter().map(|queue| {
                no_jwt(
                    queue,
                    "the project's keys are of the form sb_…, which are no JWTs",
                )
            })),
            Err(error) => findings.push(Finding::error("targets", &error)),
        }
    }
    findings
}

fn no_jwt(queue: &Queue, why: &str) -> Finding {
    let Queue { name, function, .. } = queue;
    Finding::warning(
        "targets",
        format!(
            "queue {name}: the gateway answers 401, since the function {function} needs a JWT (verify_jwt) and {why}"
        ),
        format!(
            "Set verify_jwt = false for [functions.{function}] in supabase/config.toml, and deploy it with --no-verify-jwt. The function can check the signature instead."
        ),
    )
}

/// Probes the function from the database. Also returns whether the function accepts its signature.
pub(super) async fn probed(project: &Project) -> (Vec<Finding>, bool) {
    let command = project.command("install");
    let install = match project.deployment {
        Deployment::Hosted(_) | Deployment::Local(_) => format!("Run `{command}`."),
        Deployment::DatabaseOnly => format!(
            "Deploy the files that `{}` writes.",
            CommandLine::supaqueue("install --write-function")
        ),
    };
    let probes = match probe::probe(&project.database).await {
        Ok(probes) => probes,
        Err(error) => return (vec![Finding::error("pg_net", &error)], false),
    };
    let (Some(health), Some(signed)) = (probes.health, probes.signed) else {
        let stuck = Finding::failed(
            "pg_net",
            "the doctor's requests were not sent within 30 s: pg_net's worker is down, or busy with slow requests",
            "Run: select net.worker_restart(); and look at net.http_request_queue. If the error persists, restart the database.",
        );
        return (vec![stuck], false);
    };
    let mut findings = vec![Finding::ok("pg_net", "requests are sent")];
    findings.extend(reached(&health, &command, &install));
    findings.push(accepted(&signed, &command));
    (findings, signed.is_accepted())
}

/// Checks that a job completes its round trip.
pub(super) async fn self_test(project: &Project) -> Finding {
    let subject = "self-test";
    match probe::self_test(&project.database).await {
        Err(error) => Finding::error(subject, &error),
        Ok(outcome) if outcome.is_successful() => {
            Finding::ok(subject, "a job completed the round trip")
        }
        Ok(outcome) => Finding::failed(
            subject,
            outcome.reason(),
            "Check the logs of the function supaqueue.",
        ),
    }
}

/// Checks whether our function responds at the project's URL, and in which version.
fn reached(response: &Response, command: &CommandLine, install: &str) -> Vec<Finding> {
    let failed = |message: String, remedy: &str| vec![Finding::failed("URL", message, remedy)];
    match (response.status, response.health()) {
        (_, Some(health)) => {
            let ours = embedded_function();
            let version = match health == ours {
                true => Finding::ok(
                    "function",
                    format!("version {}, up to date", health.version),
                ),
                false => Finding::warning(
                    "function",
                    format!(
                        "another version than in this program is deployed: {}, hash {}",
                        health.version, health.hash
                    ),
                    install,
                ),
            };
            vec![
                Finding::ok("URL", "the database reaches the function"),
                version,
            ]
        }
        (None, _) => failed(
            format!(
                "the database cannot reach the function: {}",
                response.describe()
            ),
            &format!("Correct the URL in the Vault: `{command} --project-url URL`."),
        ),
        (Some(401 | 403), _) => failed(
            format!(
                "a gateway in front of the function rejects the database: {}",
                response.describe()
            ),
            &format!(
                "Turn off verify_jwt for the function. If the gateway requires an apikey: `{command} --anon-key`."
            ),
        ),
        (Some(404), _) => failed(
            format!(
                "no function supaqueue at the Vault's supaqueue_url: {}",
                response.describe()
            ),
            install,
        ),
        (Some(500), _) if response.code().as_deref() == Some("misconfigured") => failed(
            format!("the function lacks a setting: {}", response.describe()),
            install,
        ),
        (Some(_), _) => failed(
            format!("unexpected response: {}", response.describe()),
            "Check the logs of the function supaqueue, and the Vault's supaqueue_url.",
        ),
    }
}

/// Checks whether the function has the Vault's secret.
fn accepted(response: &Response, install: &CommandLine) -> Finding {
    let subject = "secret";
    match response.status {
        Some(202) => Finding::ok(subject, "the function accepts the database's signature"),
        Some(401) if response.code().as_deref() == Some("not_signed") => Finding::failed(
            subject,
            "the function rejects the database's signature: SUPAQUEUE_SECRET does not match the Vault's supaqueue_secret, or a clock is off by more than five minutes",
            format!("Run `{install}`, which gives the functions the Vault's secret."),
        ),
        _ => Finding::failed(
            subject,
            format!(
                "cannot check whether the function has the Vault's secret: {}",
                response.describe()
            ),
            "Fix the finding above first.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    fn response(status: Option<u16>, content: &str) -> Response {
        Response {
            status,
            content: Some(content.into()),
            ..Response::default()
        }
    }

    #[test]
    fn each_response_to_the_signed_probe_is_explained() {
        let install = CommandLine::supaqueue("install");
        assert_eq!(
            accepted(&response(Some(202), ""), &install).severity,
            Severity::Ok
        );
        let refused = accepted(&response(Some(401), r#"{"code":"not_signed"}"#), &install);
        assert!(
            refused.message.contains("SUPAQUEUE_SECRET does not match"),
            "{}",
            refused.message
        );
        let gateway = accepted(
            &response(Some(401), r#"{"message":"Missing authorization header"}"#),
            &install,
        );
        assert!(
            gateway.message.contains("cannot check"),
            "{}",
            gateway.message
        );
    }

    #[test]
    fn each_response_to_the_health_check_is_explained() {
        let ours = embedded_function();
        let health = format!(
            r#"{{"name":"supaqueue","version":"{}","hash":"{}"}}"#,
            ours.version, ours.hash
        );
        let check = |response: Response, severity, want: &str| {
            let install = CommandLine::supaqueue("install");
            let finding = reached(&response, &install, "").pop().unwrap();
            assert_eq!(finding.severity, severity, "{}", finding.message);
            assert!(finding.message.contains(want), "{}", finding.message);
        };
        check(response(Some(200), &health), Severity::Ok, "up to date");
        check(
            response(Some(200), r#"{"version":"0.0.1","hash":"x"}"#),
            Severity::Warning,
            "another version",
        );
        check(
            response(Some(200), "hello"),
            Severity::Failed,
            "unexpected response",
        );
        check(response(Some(401), ""), Severity::Failed, "gateway");
        check(response(Some(404), ""), Severity::Failed, "no function");
        check(
            response(Some(500), r#"{"code":"misconfigured","message":"x"}"#),
            Severity::Failed,
            "lacks a setting",
        );
        check(response(None, ""), Severity::Failed, "cannot reach");
    }
}
