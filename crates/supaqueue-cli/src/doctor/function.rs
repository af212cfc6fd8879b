//! What can be wrong with the function, and on the way to it.

use super::finding::Finding;
use crate::install::embedded_function;
use crate::project::hosted::{self, Hosted};
use crate::project::probe::{self, Answer};
use crate::project::{Place, Project};
use supaqueue_files::State;

/// What the platform lists.
pub(super) async fn listed(hosted: &Hosted, state: &State, options: &str) -> Vec<Finding> {
    let install = format!("Run `supaqueue install{options}`.");
    let mut findings = Vec::new();
    if let Some(url) = state.url.as_ref().filter(|url| hosted.is_of_another(url)) {
        let what = format!("the Vault has the address of another project: {url}");
        findings.push(Finding::failed("address", what, install.clone()));
    }
    findings.push(match hosted.function().await {
        Err(error) => Finding::error("function", &error),
        Ok(None) => Finding::failed("function", "it is not deployed", install.clone()),
        Ok(Some(function)) if function.verify_jwt == Some(true) => Finding::failed(
            "function",
            "the platform asks its callers for a JWT (verify_jwt), which the database does not send",
            install.clone(),
        ),
        Ok(Some(function)) => Finding::ok("function", format!("version {} is deployed, callable without a JWT", function.version)),
    });
    findings.push(match hosted.secret_digest().await {
        Err(error) => Finding::error("functions' secret", &error),
        Ok(None) => Finding::failed(
            "functions' secret",
            "the functions have no SUPAQUEUE_SECRET",
            install,
        ),
        Ok(Some(digest)) if digest == hosted::digest(&state.environment()) => {
            Finding::ok("functions' secret", "SUPAQUEUE_SECRET is the Vault's")
        }
        // The platform's digest says only whether it is the same; whether it is good, the signed probe says.
        Ok(Some(_)) => Finding::warning(
            "functions' secret",
            "SUPAQUEUE_SECRET is not what this program stored",
            install,
        ),
    });
    findings
}

/// What the database sees of the function; whether it accepts what the database signs.
pub(super) async fn seen(project: &Project, options: &str) -> (Vec<Finding>, bool) {
    let install = match project.place {
        Place::Hosted(_) | Place::Local(_) => format!("Run `supaqueue install{options}`."),
        Place::Direct => "Deploy the files of `supaqueue install --write-function`.".to_owned(),
    };
    let probes = match probe::probe(&project.database).await {
        Ok(probes) => probes,
        Err(error) => return (vec![Finding::error("pg_net", &error)], false),
    };
    let (Some(health), Some(signed)) = (probes.health, probes.signed) else {
        let stuck = Finding::failed(
            "pg_net",
            "it did not send the doctor's requests within 30 s: its worker is down, or stuck behind slow requests",
            "Run: select net.worker_restart(); and look at net.http_request_queue. If it stays so, restart the database.",
        );
        return (vec![stuck], false);
    };
    let mut findings = vec![Finding::ok("pg_net", "it sends requests")];
    findings.extend(reached(&health, &install));
    findings.push(accepted(&signed, options));
    (findings, signed.is_accepted())
}

/// Whether a job makes the round trip.
pub(super) async fn self_test(project: &Project) -> Finding {
    let subject = "self-test";
    match probe::self_test(&project.database).await {
        Err(error) => Finding::error(subject, &error),
        Ok(outcome) if outcome.is_successful() => {
            Finding::ok(subject, "a job went through all of it and came back")
        }
        Ok(outcome) => Finding::failed(
            subject,
            outcome.reason(),
            "See the logs of the function supaqueue for the reason.",
        ),
    }
}

/// Whether the address leads to our function, and to which version of it.
fn reached(answer: &Answer, install: &str) -> Vec<Finding> {
    let address =
        |what: String, remedy: &str| vec![Finding::failed("address", what, remedy.to_owned())];
    match (answer.status, answer.health()) {
        (_, Some(health)) => {
            let ours = embedded_function();
            let version = match health == ours {
                true => Finding::ok(
                    "function",
                    format!("version {}, the same as in this program", health.version),
                ),
                false => Finding::warning(
                    "function",
                    format!(
                        "another one than in this program answers: version {}, hash {}",
                        health.version, health.hash
                    ),
                    install,
                ),
            };
            vec![
                Finding::ok("address", "the function answers the database"),
                version,
            ]
        }
        (None, _) => address(
            format!(
                "the database does not reach the function: {}",
                answer.describe()
            ),
            "Correct the Vault's supaqueue_url: `supaqueue install --project-url URL`.",
        ),
        (Some(401 | 403), _) => address(
            format!(
                "a gateway before the function refuses the database: {}",
                answer.describe()
            ),
            "Turn the function's verify_jwt off; where the gateway asks for an apikey: `supaqueue install --anon-key`.",
        ),
        (Some(404), _) => address(
            format!(
                "there is no function supaqueue at the Vault's supaqueue_url: {}",
                answer.describe()
            ),
            install,
        ),
        (Some(500), _) if answer.code().as_deref() == Some("misconfigured") => address(
            format!("the function lacks a setting: {}", answer.describe()),
            install,
        ),
        (Some(_), _) => address(
            format!(
                "something else than the function answers: {}",
                answer.describe()
            ),
            "See the logs of the function supaqueue; check the Vault's supaqueue_url.",
        ),
    }
}

/// Whether the Vault's secret is the functions' secret.
fn accepted(answer: &Answer, options: &str) -> Finding {
    let subject = "secret";
    match answer.status {
        Some(202) => Finding::ok(subject, "the function accepts what the database signs"),
        Some(401) if answer.code().as_deref() == Some("not_signed") => Finding::failed(
            subject,
            "the function refuses what the database signs: SUPAQUEUE_SECRET is not the Vault's supaqueue_secret, or a clock is wrong by more than five minutes",
            format!("Run `supaqueue install{options}`: it gives the functions the Vault's secret."),
        ),
        _ => Finding::failed(
            subject,
            format!(
                "whether the function has the Vault's secret is not known: {}",
                answer.describe()
            ),
            "Mend the line above first.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::Level;
    use super::*;

    fn answer(status: Option<u16>, content: &str) -> Answer {
        Answer {
            status,
            content: Some(content.into()),
            ..Answer::default()
        }
    }

    #[test]
    fn each_answer_to_the_signed_probe_is_named_for_what_it_is() {
        assert_eq!(accepted(&answer(Some(202), ""), "").level, Level::Ok);
        let refused = accepted(&answer(Some(401), r#"{"code":"not_signed"}"#), "");
        assert!(
            refused.what.contains("SUPAQUEUE_SECRET is not the Vault's"),
            "{}",
            refused.what
        );
        let gateway = accepted(
            &answer(Some(401), r#"{"message":"Missing authorization header"}"#),
            "",
        );
        assert!(gateway.what.contains("not known"), "{}", gateway.what);
    }

    #[test]
    fn each_answer_to_the_question_for_health_is_named_for_what_it_is() {
        let ours = embedded_function();
        let health = format!(
            r#"{{"name":"supaqueue","version":"{}","hash":"{}"}}"#,
            ours.version, ours.hash
        );
        let check = |answer: Answer, level, want: &str| {
            let finding = reached(&answer, "").pop().unwrap();
            assert_eq!(finding.level, level, "{}", finding.what);
            assert!(finding.what.contains(want), "{}", finding.what);
        };
        check(answer(Some(200), &health), Level::Ok, "the same");
        check(
            answer(Some(200), r#"{"version":"0.0.1","hash":"x"}"#),
            Level::Warning,
            "another one",
        );
        check(answer(Some(200), "hello"), Level::Failed, "something else");
        check(answer(Some(401), ""), Level::Failed, "gateway");
        check(answer(Some(404), ""), Level::Failed, "no function");
        check(
            answer(Some(500), r#"{"code":"misconfigured","message":"x"}"#),
            Level::Failed,
            "lacks a setting",
        );
        check(answer(None, ""), Level::Failed, "does not reach");
    }
}
