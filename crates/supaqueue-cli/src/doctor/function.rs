//! Checks the function through the requests that it answers.

use super::finding::Finding;
use crate::command_line::CommandLine;
use crate::install::embedded_function;
use crate::project::probe::{self, Response, SelfTest};
use crate::project::{Deployment, Project};

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
            format!(
                "the doctor's requests were not sent within {} s: pg_net's worker is down, or busy with slow requests",
                probe::patience(&project.database).as_secs()
            ),
            "Run: select net.worker_restart(); and look at net.http_request_queue. If the error persists, restart the database.",
        );
        return (vec![stuck], false);
    };
    let mut findings = vec![Finding::ok("pg_net", "requests are sent")];
    findings.extend(reached(&health, &command, &install));
    findings.push(accepted(&signed, &command, &install));
    (findings, signed.is_accepted())
}

/// Checks that a job completes its round trip.
pub(super) async fn round_trip(project: &Project, self_test: &SelfTest) -> Finding {
    let subject = "self-test";
    let outcome = match self_test.run(&project.database).await {
        Err(error) => return Finding::error(subject, &error),
        Ok(outcome) if outcome.is_successful() => {
            return Finding::ok(subject, "a job completed the round trip");
        }
        Ok(outcome) => outcome,
    };
    // The function says why with its next answer.
    let probes = probe::probe(&project.database).await.unwrap_or_default();
    match probes.signed.and_then(|response| response.last_refusal()) {
        Some(refusal) => Finding::failed(
            "API",
            format!("it refuses the reports of the function: {refusal}"),
            remedy_of(&refusal),
        ),
        None => Finding::failed(
            subject,
            outcome.reason(),
            "Look at the logs of the function supaqueue, in the dashboard or where it is served.",
        ),
    }
}

/// What to do when the API refuses a report.
fn remedy_of(refusal: &str) -> &'static str {
    if refusal.contains("PGRST106") {
        "Turn the Data API on, and put public among its exposed schemas, in any place: in the dashboard under Settings → Data API."
    } else if refusal.contains("PGRST202") {
        "The API does not know our functions yet. Run: notify pgrst, 'reload schema';"
    } else if refusal.contains("42501") {
        "Grant service_role what the message names, on schema, function or both; `supaqueue remove --keep-data` and then `supaqueue install` set the privileges anew."
    } else if refusal.contains("status 401") {
        "The API does not accept the key of the function: compare SUPABASE_SERVICE_ROLE_KEY and SUPABASE_SECRET_KEYS in its environment with Settings → API keys in the dashboard."
    } else {
        "Turn the Data API on, if it is off: in the dashboard under Settings → Data API. If a function runs before each request (pgrst.db_pre_request), it must let service_role call public.supaqueue_pulse, public.end_current_job and public.end_current_jobs."
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
fn accepted(response: &Response, command: &CommandLine, install: &str) -> Finding {
    let subject = "secret";
    match response.status {
        Some(202) => Finding::ok(subject, "the function accepts the database's signature"),
        Some(401) if response.code().as_deref() == Some("not_signed") => Finding::failed(
            subject,
            "the function rejects the database's signature: SUPAQUEUE_SECRET does not match the Vault's supaqueue_secret, or a clock is off by more than five minutes",
            format!("Run `{command}`, which gives the functions the Vault's secret."),
        ),
        Some(400) if response.code().as_deref() == Some("not_understood") => Finding::failed(
            "function",
            format!(
                "it does not understand this version of the schema: {}",
                response.describe()
            ),
            install,
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
            accepted(&response(Some(202), ""), &install, "").severity,
            Severity::Ok
        );
        let refused = accepted(
            &response(Some(401), r#"{"code":"not_signed"}"#),
            &install,
            "",
        );
        assert!(
            refused.message.contains("SUPAQUEUE_SECRET does not match"),
            "{}",
            refused.message
        );
        let gateway = accepted(
            &response(Some(401), r#"{"message":"Missing authorization header"}"#),
            &install,
            "",
        );
        let other = response(
            Some(400),
            r#"{"code":"not_understood","message":"protocol 3"}"#,
        );
        let other = accepted(&other, &install, "install");
        assert!(other.message.contains("does not understand"), "{other:?}");
        assert!(
            gateway.message.contains("cannot check"),
            "{}",
            gateway.message
        );
    }

    #[test]
    fn each_refusal_of_the_api_has_its_remedy() {
        for (refusal, want) in [
            (
                "status 406 PGRST106 Invalid schema: public",
                "exposed schemas",
            ),
            (
                "status 404 PGRST202 Could not find the function",
                "reload schema",
            ),
            (
                "status 403 42501 permission denied for function",
                "Grant service_role",
            ),
            ("status 401  Invalid API key", "SUPABASE_SERVICE_ROLE_KEY"),
            ("status 400 P0001 not on Sundays", "db_pre_request"),
            ("status 503 name resolution failed", "Turn the Data API on"),
        ] {
            let remedy = remedy_of(refusal);
            assert!(remedy.contains(want), "{refusal}: {remedy}");
        }
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
