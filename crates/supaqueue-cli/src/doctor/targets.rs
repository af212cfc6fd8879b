//! Checks whether the functions that queues call can be called at all.

use std::collections::BTreeSet;

use serde::Deserialize;

use super::finding::Finding;
use super::platform::Platform;
use crate::project::Deployment;

/// The longest timeout that fits a fresh isolate of the supaqueue function, by default: the default of
/// `SUPAQUEUE_TIME_BUDGET_MS`, less what is reserved for the report.
const LONGEST_TIMEOUT_MS: u32 = 135_000;

/// A queue.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Queue {
    name: String,
    function: String,
    auth: String,
    /// Whether it has an `authorization` header of its own.
    has_header: bool,
    /// The longest timeout of it and its waiting jobs.
    timeout_ms: u32,
}

/// Names the queues whose calls the gateway rejects, and those whose timeout fits no isolate.
pub(super) async fn examine(
    deployment: &Deployment,
    queues: &[Queue],
    platform: &Platform,
) -> Vec<Finding> {
    let mut findings = timeouts(queues, platform);
    findings.extend(match &platform.with_jwt {
        Some(with_jwt) => without_jwt(deployment, queues, with_jwt).await,
        None => vec![Finding::skipped(
            "targets",
            "it is unknown which of them need a JWT; the view problem names those that answer with 401",
        )],
    });
    if findings.is_empty() {
        findings.push(Finding::ok(
            "targets",
            "the gateway lets the calls of all queues through, and their timeouts fit",
        ));
    }
    findings
}

fn timeouts(queues: &[Queue], platform: &Platform) -> Vec<Finding> {
    let long = queues
        .iter()
        .filter(|queue| queue.timeout_ms > LONGEST_TIMEOUT_MS);
    let finding = |queue: &Queue| {
        let Queue {
            name, timeout_ms, ..
        } = queue;
        match platform.has_default_budget {
            Some(true) => Finding::failed(
                "targets",
                format!(
                    "queue {name}: a timeout of {timeout_ms} ms fits no isolate of the supaqueue function, which has {LONGEST_TIMEOUT_MS} ms for a call"
                ),
                format!(
                    "Lower timeout_ms of the queue or its jobs to {LONGEST_TIMEOUT_MS}. On a paid plan you can run instead: `supabase secrets set SUPAQUEUE_TIME_BUDGET_MS=390000`"
                ),
            ),
            _ => Finding::skipped(
                "targets",
                format!(
                    "queue {name}: whether a timeout of {timeout_ms} ms fits an isolate depends on SUPAQUEUE_TIME_BUDGET_MS, whose value is not visible here; a job that does not fit is named by problem"
                ),
            ),
        }
    };
    long.map(finding).collect()
}

/// Names the queues whose target functions need a JWT that their calls do not carry.
async fn without_jwt(
    deployment: &Deployment,
    queues: &[Queue],
    with_jwt: &BTreeSet<String>,
) -> Vec<Finding> {
    let (without_key, with_key): (Vec<_>, Vec<_>) = queues
        .iter()
        .filter(|queue| with_jwt.contains(&queue.function))
        .partition(|queue| queue.auth == "none");
    let mut findings: Vec<_> = without_key
        .iter()
        .filter(|queue| !queue.has_header)
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
    Finding::failed(
        "targets",
        format!(
            "queue {name}: the gateway answers 401, since the function {function} needs a JWT (verify_jwt) and {why}"
        ),
        format!(
            "Set verify_jwt = false for [functions.{function}] in supabase/config.toml, and run `supabase functions deploy {function} --no-verify-jwt`. The function can check the signature instead."
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::super::finding::Severity;
    use super::*;

    #[test]
    fn a_timeout_that_fits_no_isolate_is_named() {
        let queue = |timeout_ms| Queue {
            name: "slow".into(),
            function: "slow".into(),
            auth: "none".into(),
            has_header: false,
            timeout_ms,
        };
        let check = |timeout_ms, has_default_budget, want: Option<Severity>| {
            let platform = Platform {
                has_default_budget,
                ..Platform::default()
            };
            let findings = timeouts(&[queue(timeout_ms)], &platform);
            assert_eq!(findings.first().map(|finding| finding.severity), want);
        };
        check(135_000, Some(true), None);
        check(135_001, Some(true), Some(Severity::Failed));
        check(150_000, Some(false), Some(Severity::Skipped));
        check(150_000, None, Some(Severity::Skipped));
    }
}
