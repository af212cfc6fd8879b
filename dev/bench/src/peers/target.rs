//! The target, which counts its calls for the benchmark.

use std::collections::HashMap;
use std::time::Duration;

use reqwest::Client;
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::Result;
use crate::project::Project;

/// How long the last calls may take to come.
const PATIENCE: Duration = Duration::from_secs(60);

/// The function `wait`.
pub(super) struct Target {
    http: Client,
    pub(super) url: String,
    pub(super) key: String,
}

/// What the target counted since it was started.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Collected {
    /// In milliseconds since 1970, as the times of the probes.
    pub(super) now: f64,
    /// The number of answered calls.
    pub(super) calls: u32,
    in_flight: u32,
    pub(super) most_in_flight: u32,
    /// When each probe came.
    pub(super) probes: HashMap<u32, f64>,
}

impl Target {
    pub(super) fn of(project: &Project) -> Result<Self> {
        // Fails if the stack has installed a provider already, which is fine too.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Ok(Self {
            http: Client::builder().no_proxy().build()?,
            url: format!("{}/functions/v1/wait", project.stack.gateway_url()),
            key: project.stack.service_role_key().to_owned(),
        })
    }

    pub(super) async fn collect(&self) -> Result<Collected> {
        let request = self.http.post(&self.url).bearer_auth(&self.key);
        let response = request.body(r#"{"collect": true}"#).send().await?;
        Ok(serde_json::from_slice(&response.bytes().await?)?)
    }

    /// Waits until so many probes have come and every call is answered.
    pub(super) async fn until(&self, probes: usize) -> Result<Collected> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let collected = self.collect().await?;
            if collected.probes.len() >= probes && collected.in_flight == 0 {
                return Ok(collected);
            }
            if Instant::now() > deadline {
                let came = collected.probes.len();
                return Err(format!("only {came} of {probes} jobs reached the target").into());
            }
            sleep(Duration::from_millis(100)).await;
        }
    }
}
