//! Sends what is in `net.http_request_queue`, in the rhythm of pg_net's own worker.
//!
//! That rhythm, read in the source of pg_net 0.20.4: woken by a commit, it takes up to 200 requests,
//! sends them all, and waits for the slowest; the answers are committed together with the
//! disappearance of the requests. Then it waits for one second, which the first commit that wakes it
//! cuts short, and goes on until a batch is empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Notify;
use tokio_postgres::{Client, Row};

use super::{Trouble, connect};
use crate::error::describe;
use crate::postgres::Database;

const BATCH_SIZE: i64 = 200;
const PAUSE: Duration = Duration::from_secs(1);
/// How soon a lost connection is tried again; pg_net's worker is started again after a second.
const RECONNECT: Duration = Duration::from_millis(200);

pub(super) async fn serve(database: Database, mut trouble: Trouble) {
    let http = match client() {
        Ok(http) => http,
        Err(error) => {
            trouble.tell(format!("cannot make an HTTP client: {error}"));
            return;
        }
    };
    loop {
        if let Err(error) = work(&database, &http).await {
            trouble.tell(format!("sends nothing: {}", describe(&error)));
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    // Another part of the program may have chosen a provider before us: then it is that one.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent("pg_net/0.20.4")
        .redirect(reqwest::redirect::Policy::limited(30))
        .no_proxy()
        .build()
}

/// pg_net's two flags: that there is work, and the latch that interrupts a wait.
#[derive(Default)]
struct Wake {
    wanted: AtomicBool,
    latch: Notify,
}

impl Wake {
    fn wake(&self) {
        // Only the first wake sets the latch, so that many commits interrupt one wait once.
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.latch.notify_one();
        }
    }
}

/// Works until the connection is lost.
async fn work(database: &Database, http: &reqwest::Client) -> Result<(), tokio_postgres::Error> {
    let wake = Arc::new(Wake::default());
    let on_notify = {
        let wake = wake.clone();
        move || wake.wake()
    };
    let mut client = connect(database, "pg_net stand-in", on_notify).await?;
    client.batch_execute("listen supaqueue_net_wake").await?;
    // What was committed while nobody listened.
    wake.wanted.store(true, Ordering::Release);
    loop {
        while !wake.wanted.swap(false, Ordering::AcqRel) {
            tokio::select! {
                () = wake.latch.notified() => {}
                () = closed(&client) => return Ok(()),
            }
        }
        loop {
            let worked = batch(&mut client, http).await?;
            let _ = tokio::time::timeout(PAUSE, wake.latch.notified()).await;
            if !worked {
                break;
            }
        }
    }
}

/// Resolves when the connection is lost, which no notification tells.
async fn closed(client: &Client) {
    while !client.is_closed() {
        tokio::time::sleep(RECONNECT).await;
    }
}

/// One transaction of the worker. Says whether there was anything to do.
async fn batch(client: &mut Client, http: &reqwest::Client) -> Result<bool, tokio_postgres::Error> {
    let transaction = client.transaction().await?;
    let expired = transaction
        .execute(
            "delete from net._http_response r using (
               select ctid from net._http_response
               where created < now() - interval '6 hours' order by created limit $1
             ) as old
             where r.ctid = old.ctid",
            &[&BATCH_SIZE],
        )
        .await?;
    let requests = transaction
        .query(
            "with taken as (
               delete from net.http_request_queue q
               using (select id from net.http_request_queue order by id limit $1) as first
               where q.id = first.id
               returning q.*
             )
             select id, method::text, url, timeout_milliseconds, body,
               array(select key from jsonb_each_text(headers)),
               array(select coalesce(value, '') from jsonb_each_text(headers))
             from taken order by id",
            &[&BATCH_SIZE],
        )
        .await?;
    let answers = join_all(requests.iter().map(|request| send(http, request))).await;
    if !answers.is_empty() {
        let insert = transaction
            .prepare(
                "insert into net._http_response
                   (id, status_code, content, headers, content_type, timed_out, error_msg)
                 values ($1, $2, $3, $4, $5, $6, $7)",
            )
            .await?;
        for answer in &answers {
            transaction
                .execute(
                    &insert,
                    &[
                        &answer.id,
                        &answer.status,
                        &answer.content,
                        &answer.headers,
                        &answer.content_type,
                        &answer.timed_out,
                        &answer.error,
                    ],
                )
                .await?;
        }
    }
    transaction.commit().await?;
    Ok(expired > 0 || !requests.is_empty())
}

/// A row of `net._http_response`.
#[derive(Default)]
struct Answer {
    id: i64,
    status: Option<i32>,
    content: Option<String>,
    headers: Option<serde_json::Value>,
    content_type: Option<String>,
    timed_out: bool,
    error: Option<String>,
}

async fn send(http: &reqwest::Client, request: &Row) -> Answer {
    let id = request.get(0);
    let timeout = u64::try_from(request.get::<_, i32>(3)).unwrap_or(0);
    let started = Instant::now();
    // To the last byte of the answer, as curl counts.
    let answer =
        tokio::time::timeout(Duration::from_millis(timeout), exchange(http, request)).await;
    match answer {
        Ok(Ok(answer)) => Answer { id, ..answer },
        Ok(Err(error)) => Answer {
            id,
            error: Some(error),
            ..Answer::default()
        },
        Err(_) => Answer {
            id,
            timed_out: true,
            error: Some(format!(
                "Timeout of {timeout} ms reached. Total time: {:.6} ms",
                started.elapsed().as_secs_f64() * 1000.0
            )),
            ..Answer::default()
        },
    }
}

async fn exchange(http: &reqwest::Client, request: &Row) -> Result<Answer, String> {
    let method = request.get::<_, &str>(1).to_uppercase();
    let method = method
        .parse()
        .map_err(|_| "Unsupported method".to_owned())?;
    let names: Vec<&str> = request.get(5);
    let values: Vec<&str> = request.get(6);
    let mut headers = HeaderMap::new();
    for (name, value) in names.iter().zip(values) {
        // curl sends what cannot be a header as it is, or drops it; it fails no request.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let mut sending = http
        .request(method, request.get::<_, &str>(2))
        .headers(headers);
    if let Some(body) = request.get::<_, Option<Vec<u8>>>(4) {
        sending = sending.body(body);
    }
    let response = sending.send().await.map_err(|error| message(&error))?;
    let status = i32::from(response.status().as_u16());
    let headers: serde_json::Map<_, _> = response
        .headers()
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into(),
            )
        })
        .collect();
    let content_type = headers
        .get("content-type")
        .and_then(|value| value.as_str())
        .map(str::to_owned);
    let body = response.bytes().await.map_err(|error| message(&error))?;
    // pg_net reads the body as a C string, and an empty one as none.
    let body = body.split(|byte| *byte == 0).next().unwrap_or_default();
    let content = (!body.is_empty()).then(|| String::from_utf8_lossy(body).into_owned());
    Ok(Answer {
        status: Some(status),
        content,
        headers: Some(headers.into()),
        content_type,
        ..Answer::default()
    })
}

/// curl's words where pg_net's users look for them, else the whole story.
fn message(error: &reqwest::Error) -> String {
    if error.is_connect() {
        return "Couldn't connect to server".into();
    }
    if error.is_builder() {
        return "URL using bad/illegal format or missing URL".into();
    }
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(inner) = source {
        text.push_str(&format!(": {inner}"));
        source = inner.source();
    }
    text
}
