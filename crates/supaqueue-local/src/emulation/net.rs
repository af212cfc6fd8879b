//! Sends the requests in `net.http_request_queue` with the timing of pg_net's own worker.
//!
//! According to the source of pg_net 0.20.4, a commit wakes the worker, which takes up to 200
//! requests, sends them all and waits for the slowest. One transaction stores the responses and
//! deletes the requests. Then the worker pauses for one second, which the first waking commit cuts
//! short, and continues until a batch is empty.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::sync::Notify;
use tokio_postgres::{Client, Row};

use super::{ErrorLog, connect};
use crate::error::describe;
use crate::postgres::Database;

const BATCH_SIZE: i64 = 200;
const PAUSE: Duration = Duration::from_secs(1);
/// The delay before reconnecting. Postgres restarts the real worker after a second.
const RECONNECT: Duration = Duration::from_millis(200);

pub(super) async fn run(database: Database, mut errors: ErrorLog) {
    let http = match client() {
        Ok(http) => http,
        Err(error) => {
            errors.write(format!("cannot create an HTTP client: {error}"));
            return;
        }
    };
    loop {
        if let Err(error) = work(&database, &http).await {
            errors.write(format!("cannot send requests: {}", describe(&error)));
        }
        tokio::time::sleep(RECONNECT).await;
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    // Fails if the program has installed a provider already, which is fine too.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .user_agent("pg_net/0.20.4")
        .redirect(reqwest::redirect::Policy::limited(30))
        .no_proxy()
        .build()
}

/// pg_net's two flags: one says that there is work, the latch interrupts a wait.
#[derive(Default)]
struct Wake {
    wanted: AtomicBool,
    latch: Notify,
}

impl Wake {
    fn wake(&self) {
        // Only the first wake sets the latch, so many commits interrupt one wait only once.
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
    let mut client = connect(database, "pg_net (emulated)", on_notify).await?;
    client.batch_execute("listen supaqueue_net_wake").await?;
    // Requests may have been committed before the listen.
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

/// Resolves when the connection is lost, which sends no notification.
async fn closed(client: &Client) {
    while !client.is_closed() {
        tokio::time::sleep(RECONNECT).await;
    }
}

/// One transaction of the worker. Returns whether there was work.
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
    let responses = join_all(requests.iter().map(|request| send(http, request))).await;
    if !responses.is_empty() {
        let insert = transaction
            .prepare(
                "insert into net._http_response
                   (id, status_code, content, headers, content_type, timed_out, error_msg)
                 values ($1, $2, $3, $4, $5, $6, $7)",
            )
            .await?;
        for response in &responses {
            transaction
                .execute(
                    &insert,
                    &[
                        &response.id,
                        &response.status,
                        &response.content,
                        &response.headers,
                        &response.content_type,
                        &response.timed_out,
                        &response.error,
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
struct ResponseRow {
    id: i64,
    status: Option<i32>,
    content: Option<String>,
    headers: Option<serde_json::Value>,
    content_type: Option<String>,
    timed_out: bool,
    error: Option<String>,
}

async fn send(http: &reqwest::Client, request: &Row) -> ResponseRow {
    let id = request.get(0);
    let timeout = u64::try_from(request.get::<_, i32>(3)).unwrap_or(0);
    let started = Instant::now();
    // Like curl's, the timeout covers the whole response.
    let response =
        tokio::time::timeout(Duration::from_millis(timeout), exchange(http, request)).await;
    match response {
        Ok(Ok(response)) => ResponseRow { id, ..response },
        Ok(Err(error)) => ResponseRow {
            id,
            error: Some(error),
            ..ResponseRow::default()
        },
        Err(_) => ResponseRow {
            id,
            timed_out: true,
            error: Some(format!(
                "Timeout of {timeout} ms reached. Total time: {:.6} ms",
                started.elapsed().as_secs_f64() * 1000.0
            )),
            ..ResponseRow::default()
        },
    }
}

async fn exchange(http: &reqwest::Client, request: &Row) -> Result<ResponseRow, String> {
    let method = request.get::<_, &str>(1).to_uppercase();
    let method = method
        .parse()
        .map_err(|_| "Unsupported method".to_owned())?;
    let names: Vec<&str> = request.get(5);
    let values: Vec<&str> = request.get(6);
    let mut headers = HeaderMap::new();
    for (name, value) in names.iter().zip(values) {
        // curl sends an invalid header as is or drops it; the request never fails because of one.
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    }
    let mut outbound = http
        .request(method, request.get::<_, &str>(2))
        .headers(headers);
    if let Some(body) = request.get::<_, Option<Vec<u8>>>(4) {
        outbound = outbound.body(body);
    }
    let response = outbound.send().await.map_err(|error| message(&error))?;
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
    // pg_net reads the body as a C string and stores an empty one as null.
    let body = body.split(|byte| *byte == 0).next().unwrap_or_default();
    let content = (!body.is_empty()).then(|| String::from_utf8_lossy(body).into_owned());
    Ok(ResponseRow {
        status: Some(status),
        content,
        headers: Some(headers.into()),
        content_type,
        ..ResponseRow::default()
    })
}

/// curl's message for the errors that users of pg_net look for, otherwise the full error chain.
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
