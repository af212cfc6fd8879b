//! `supaqueue replay`: sends a stored job to a function on the developer's machine. Changes nothing in the queue.

use std::net::IpAddr;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use console::Style;
use jiff::Timestamp;
use serde::Deserialize;
use supaqueue_core::config::ProjectKey;
use supaqueue_core::fetch::{BodyEnd, Failure, Request, Response};
use supaqueue_core::replay::{Replay, Verdict};
use supaqueue_core::signature::Keys;
use supaqueue_core::time;
use supaqueue_files::is_loopback;
use supaqueue_files::vault::LOCAL_SECRET;
use url::Url;

use crate::command;
use crate::job::{id, no_job};
use crate::output::{errln, outln};
use crate::project::hosted::SECRET;
use crate::project::local;
use crate::project::{Deployment, Project, ProjectOptions, literal};
use crate::text::{cut, duration, printable, printable_lines};
use crate::user_error::user_error;

/// How much of an answer's body is shown, in characters.
const EXCERPT: usize = 10_000;

/// Sends a stored job's payload and headers to a function on this machine, signed, and shows the answer.
///
/// Nothing changes in the queue: the job keeps its status, and the answer is only judged as Supaqueue would. The
/// exit status is 0 if that is a success, else 1.
///
/// The call is signed with SUPAQUEUE_SECRET from the environment; else with the secret of the local stack that
/// the function belongs to (supabase/.temp/supaqueue.env in this folder, or that of `supaqueue dev`); else it is not
/// signed.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The job's id
    #[arg(value_parser = id)]
    id: String,
    /// The function's address, such as http://127.0.0.1:54321/functions/v1/hello; the job's path is added
    #[arg(long, value_name = "URL")]
    to: Url,
    /// Send to another machine than this one, too
    #[arg(long)]
    allow_remote: bool,
    /// Send the key in this environment variable as the project's; without it, none is sent
    #[arg(long, value_name = "VARIABLE")]
    key: Option<String>,
    #[command(flatten)]
    project: ProjectOptions,
}

/// Runs the command until it ends or is interrupted.
pub(crate) async fn run(arguments: Arguments) -> ExitCode {
    command::run("replay", replay(&arguments)).await
}

/// A job as the database knows it.
#[derive(Deserialize)]
struct Stored {
    /// As a run gets it, as text: a JSON parser on the way could change digits of numbers.
    record: String,
    status: String,
    attempts: u32,
    max_attempts: u32,
}

async fn replay(arguments: &Arguments) -> Result<ExitCode> {
    let address = address(&arguments.to, arguments.allow_remote)?;
    let key = arguments.key.as_deref().map(project_key).transpose()?;
    let project = arguments.project.pick().await?;
    let uuid = literal(Some(&arguments.id));
    // A job that was never called is sent as its first attempt.
    let stored: Option<Stored> = project
        .read(&format!(
            "select jsonb_build_object(
               'record', supaqueue.record_of(j.id, supaqueue.job_record(j) || jsonb_build_object('attempts', greatest(j.attempts, 1)), q)::text,
               'status', j.status, 'attempts', j.attempts, 'max_attempts', coalesce(j.max_attempts, q.max_attempts)) as result
             from supaqueue.job j join supaqueue.queue q on q.id = j.queue where j.id = {uuid}"
        ))
        .await?;
    let stored = stored.ok_or_else(|| no_job(&project, &arguments.id))?;
    let (keys, signed) = keys(arguments, &project).await?.unzip();
    drop(project);

    let replay = Replay::read(&stored.record).map_err(|error| {
        anyhow!("cannot read the job as the database describes it ({error}); is this program as new as the schema?")
    })?;
    let request = replay
        .request(&address, keys.as_ref(), key.as_ref(), rand::random(), now())
        .map_err(|reason| {
            user_error(
                format!("cannot make this call: {reason}"),
                "Correct the job or its queue.",
            )
        })?;
    errln!(
        "POST {}: {} bytes, attempt {} of {}, the job is {}; {}",
        printable(&request.url),
        request.body.len(),
        stored.attempts.max(1),
        stored.max_attempts,
        printable(&stored.status),
        signed.unwrap_or("not signed: if the function checks that, set SUPAQUEUE_SECRET to the secret that it has"),
    );
    if replay.has_project_key() && key.is_none() {
        errln!(
            "Without the project's key, which Supaqueue would send: --key names a variable that has one."
        );
    }
    let begin = Instant::now();
    let (end, headers) = send(&request).await?;
    let took = duration(begin.elapsed().as_secs_f64() * 1000.0);
    match &end {
        Ok(response) => show(response, &headers, &took),
        Err(_) => outln!("no answer after {took}"),
    }
    Ok(judge(&replay.verdict(end, now()), &stored))
}

fn now() -> time::Timestamp {
    time::Timestamp::from_ms(Timestamp::now().as_millisecond().max(0).unsigned_abs())
}

/// The address of a function on this machine, or on any if that is allowed.
fn address(url: &Url, allow_remote: bool) -> Result<String> {
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    if !is_plain {
        return Err(user_error(
            format!("{url} is not the address of a function"),
            "Use the form http://127.0.0.1:54321/functions/v1/hello. A query comes with the job's path.",
        ));
    }
    if !allow_remote && !is_on_this_machine(url) {
        return Err(user_error(
            format!(
                "{url} is not on this machine: the payload and the headers of the job would leave it"
            ),
            "If that is meant, add --allow-remote.",
        ));
    }
    Ok(url.as_str().trim_end_matches('/').to_owned())
}

fn is_on_this_machine(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    is_loopback([host], &[] as &[IpAddr])
}

/// The project's key in an environment variable.
fn project_key(variable: &str) -> Result<ProjectKey> {
    let is_key = ["eyJ", "sb_"]
        .iter()
        .any(|prefix| variable.starts_with(prefix));
    if is_key {
        return Err(user_error(
            "--key names the environment variable that has the key, not the key: others can see a command's arguments",
            "Consider the key as known, and use: --key SUPABASE_SERVICE_ROLE_KEY",
        ));
    }
    let value = std::env::var(variable).unwrap_or_default();
    if value.is_empty() {
        return Err(user_error(
            format!(
                "the environment variable {} has no key",
                printable(variable)
            ),
            "Set it, or leave --key out.",
        ));
    }
    Ok(match value.starts_with("sb_") {
        true => ProjectKey {
            jwt: None,
            sb: Some(value),
        },
        false => ProjectKey {
            jwt: Some(value),
            sb: None,
        },
    })
}

/// The keys to sign with, and where they come from, in words. Never a hosted project's: what it takes to sign as
/// production has no business on this machine.
async fn keys(arguments: &Arguments, project: &Project) -> Result<Option<(Keys, &'static str)>> {
    if let Some(secret) = std::env::var(SECRET)
        .ok()
        .filter(|value| !value.trim().is_empty())
    {
        let keys = Keys::parse(&secret).ok_or_else(|| {
            user_error(
                format!("{SECRET} in the environment is not a secret"),
                "It has the form whsec_<base64>. Set it to the function's, or unset it.",
            )
        })?;
        return Ok(Some((keys, "signed with SUPAQUEUE_SECRET")));
    }
    if !is_on_this_machine(&arguments.to) {
        return Ok(None);
    }
    if let Deployment::DatabaseOnly = project.deployment {
        // A database without a Vault has none. The description marks what `supaqueue dev` has made.
        let sql = format!(
            "select to_jsonb((select s.decrypted_secret from vault.decrypted_secrets s where s.name = 'supaqueue_secret' and s.description = {})) as result",
            literal(Some(LOCAL_SECRET))
        );
        let secret: Option<String> = project.read(&sql).await.unwrap_or_default();
        if let Some(keys) = secret.and_then(|secret| Keys::parse(&secret)) {
            return Ok(Some((keys, "signed with the secret of `supaqueue dev`")));
        }
    }
    let dir = project.options.supabase_dir();
    let secret = dir.and_then(|dir| local::secret(&dir));
    let keys = secret.and_then(|secret| Keys::parse(&secret));
    Ok(keys.map(|keys| {
        (
            keys,
            "signed with the secret in supabase/.temp/supaqueue.env",
        )
    }))
}

type Headers = Vec<(String, String)>;

/// Sends the request, and reads the answer within the request's limits.
async fn send(request: &Request) -> Result<(Result<Response, Failure>, Headers)> {
    // reqwest has no default provider of its own. It fails if there is one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let url = Url::parse(&request.url).context("the job's path does not fit the address")?;
    if is_on_this_machine(&url) {
        client = client.no_proxy();
    }
    let client = client.build().context("cannot set up HTTP")?;
    let mut call = client.post(url).body(request.body.to_string());
    for (name, value) in &request.headers {
        // One byte per character, as `fetch` sends them.
        let bytes: Vec<u8> = value.chars().map(|c| c as u8).collect();
        call = call.header(name, bytes);
    }
    let deadline = tokio::time::Instant::now() + Duration::from_millis(request.within_ms);
    let mut answer = match tokio::time::timeout_at(deadline, call.send()).await {
        Err(_) => return Ok((Err(Failure::Aborted), Vec::new())),
        Ok(Err(error)) => return Ok((Err(Failure::Network(root_cause(&error))), Vec::new())),
        Ok(Ok(answer)) => answer,
    };
    let text = |value: &[u8]| {
        value
            .iter()
            .map(|byte| char::from(*byte))
            .collect::<String>()
    };
    let headers: Headers = answer
        .headers()
        .iter()
        .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
        .collect();
    let header = |name: &str| {
        let values = headers.iter().filter(|(known, _)| known == name);
        let values: Vec<_> = values.map(|(_, value)| value.as_str()).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let mut response = Response {
        status: answer.status().as_u16(),
        retry_after: header("retry-after"),
        supaqueue_retry: header("supaqueue-retry"),
        content_type: header("content-type"),
        ..Response::default()
    };
    loop {
        match tokio::time::timeout_at(deadline, answer.chunk()).await {
            Err(_) => response.body_end = BodyEnd::Aborted,
            Ok(Err(error)) => response.body_end = BodyEnd::Failed(root_cause(&error)),
            Ok(Ok(None)) => {}
            Ok(Ok(Some(chunk))) => {
                let room = request.limit - response.body.len();
                response
                    .body
                    .extend_from_slice(chunk.get(..room).unwrap_or(&chunk));
                if chunk.len() <= room {
                    continue;
                }
                response.body_end = BodyEnd::Truncated;
            }
        }
        return Ok((Ok(response), headers));
    }
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        message = cause.to_string();
        source = cause.source();
    }
    message
}

fn show(response: &Response, headers: &Headers, took: &str) {
    let dim = Style::new().dim();
    outln!("HTTP {} after {took}", response.status);
    for (name, value) in headers {
        outln!("{}", dim.apply_to(format!("{name}: {}", printable(value))));
    }
    let body = String::from_utf8_lossy(&response.body);
    let shown = cut(&body, EXCERPT);
    outln!("\n{}", printable_lines(&shown));
    let more = match &response.body_end {
        BodyEnd::Failed(why) => format!("(the body ended early: {})", printable(why)),
        BodyEnd::Aborted => "(the timeout came before the end of the body)".into(),
        BodyEnd::Truncated => format!(
            "(longer than {} bytes; Supaqueue keeps no more of an answer)",
            response.body.len()
        ),
        BodyEnd::Complete if shown != body => {
            format!("(the beginning of {} bytes)", response.body.len())
        }
        BodyEnd::Complete => return outln!(),
    };
    outln!("{more}\n");
}

/// Says what the answer would mean for the job.
fn judge(verdict: &Verdict, stored: &Stored) -> ExitCode {
    match verdict {
        Verdict::Successful => {
            outln!(
                "{}",
                Style::new()
                    .green()
                    .apply_to("Supaqueue would call this a success.")
            );
            return ExitCode::SUCCESS;
        }
        Verdict::Failed {
            message,
            is_final,
            retry_after_ms,
        } => {
            let attempt = stored.attempts.max(1);
            let next = match retry_after_ms {
                _ if *is_final => "the job would fail at once, without a retry".to_owned(),
                _ if attempt >= stored.max_attempts => format!(
                    "the job would fail: this was attempt {attempt} of {}",
                    stored.max_attempts
                ),
                Some(ms) => format!(
                    "the job would be retried, after {} at the earliest",
                    duration((*ms).into())
                ),
                None => "the job would be retried".to_owned(),
            };
            let text = format!(
                "Supaqueue would call this a failure ({}); {next}.",
                printable(message)
            );
            outln!("{}", Style::new().red().apply_to(text));
        }
    }
    ExitCode::FAILURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_gets_a_job_unless_another_is_allowed() {
        for (url, is_local) in [
            ("http://127.0.0.1:54321/functions/v1/hello", true),
            ("http://localhost:8000/", true),
            ("http://[::1]:8000", true),
            ("https://x.supabase.co/functions/v1/hello", false),
            ("http://127.0.0.1.example.com", false),
            ("http://0.0.0.0:8000", false),
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(address(&url, false).is_ok(), is_local, "{url}");
            assert!(address(&url, true).is_ok(), "{url}");
        }
        for wrong in [
            "ftp://localhost/x",
            "http://me:pw@localhost",
            "http://localhost/?a",
            "http://localhost/#a",
        ] {
            assert!(
                address(&Url::parse(wrong).unwrap(), true).is_err(),
                "{wrong}"
            );
        }
    }
}
