use std::future::Future;
use std::time::{Duration, Instant};

use supaqueue_local::{Database, EmulatedExtensions};
use supaqueue_tests::{assert_rows, eventually, get, refusal, run, try_get};
use tokio_postgres::Client;

use crate::server::{Recorded, Server};
use crate::{connect, database, stays};

/// Longer than the worker's pause between two batches.
const MORE_THAN_A_PAUSE: Duration = Duration::from_millis(1500);

struct Net {
    database: Database,
    client: Client,
    server: Server,
    workers: EmulatedExtensions,
}

impl Net {
    async fn start() -> Self {
        let database = database().await;
        let workers = EmulatedExtensions::start(&database).await.unwrap();
        let net = Self {
            client: database.connect().await.unwrap(),
            database,
            server: Server::start().await,
            workers,
        };
        until("the worker is up", async || net.is_up().await).await;
        net
    }

    async fn is_up(&self) -> bool {
        let check = "select net.check_worker_is_up()";
        try_get(&self.client, check).await.is_ok()
    }

    /// Sends a request and waits until the pause after it is over and the worker is idle.
    async fn settle(&self) {
        self.post("/settle").await;
        self.arrived("/settle").await;
        let state = "select string_agg(state, ',') from pg_stat_activity
                     where application_name = 'pg_net (emulated)' and datname = current_database()
                       and clock_timestamp() - state_change > '1.2 s'";
        eventually(&self.client, state, "idle").await;
    }

    /// Sends a request; returns its id.
    async fn post(&self, path: &str) -> String {
        self.post_by(&self.client, path).await
    }

    async fn post_by(&self, client: &Client, path: &str) -> String {
        let url = format!("{}{path}", self.server.url);
        get(client, &format!("select net.http_post('{url}')")).await
    }

    /// Selects calls of pg_net's functions, with the server's address for `URL`.
    async fn select(&self, calls: &str) -> String {
        let calls = calls.replace("URL", &self.server.url);
        get(&self.client, &format!("select {calls}")).await
    }

    async fn arrived(&self, path: &str) {
        until(path, async || {
            self.server.paths().iter().any(|received| received == path)
        })
        .await;
    }

    /// Waits for a response; returns its columns and its header `x-answer`.
    async fn response(&self, id: &str) -> String {
        let row = format!("from net._http_response where id = {id}");
        eventually(&self.client, &format!("select count(*) {row}"), "1").await;
        let columns =
            "status_code, content_type, content, headers ->> 'x-answer', timed_out, error_msg";
        get(&self.client, &format!("select {columns} {row}")).await
    }

    /// Sends a request and waits for its response.
    async fn post_and_wait(&self, path: &str) -> String {
        self.response(&self.post(path).await).await
    }
}

/// Polls `condition` for up to ten seconds.
async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition().await {
        assert!(Instant::now() < deadline, "timed out: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_request_is_sent_when_its_transaction_commits() {
    let net = Net::start().await;
    let other = net.database.connect().await.unwrap();
    run(&other, "begin").await;
    net.post_by(&other, "/uncommitted").await;
    // Another request is sent and answered while the first is uncommitted.
    net.post_and_wait("/committed").await;
    assert_eq!(net.server.paths(), ["/committed"]);
    run(&other, "commit").await;
    net.arrived("/uncommitted").await;
}

#[tokio::test]
async fn a_rolled_back_request_is_not_sent() {
    let net = Net::start().await;
    let other = net.database.connect().await.unwrap();
    run(&other, "begin").await;
    net.post_by(&other, "/rolled-back").await;
    run(&other, "rollback").await;
    net.post_and_wait("/committed").await;
    assert_eq!(net.server.paths(), ["/committed"]);
}

#[tokio::test]
async fn an_idle_worker_sends_immediately() {
    let net = Net::start().await;
    net.settle().await;
    let start = Instant::now();
    net.post("/now").await;
    net.arrived("/now").await;
    let duration = start.elapsed();
    assert!(
        duration < Duration::from_millis(500),
        "it took {duration:?}"
    );
}

#[tokio::test]
async fn the_body_on_the_wire_is_the_jsonb_as_text() {
    let net = Net::start().await;
    let body = r#"$${"z": 1, "a": [123456789012345678901234567890.12345678901234567890, "é\u0001 😀 \" "]}$$::jsonb"#;
    let (parameters, headers) = (r#"{"a b": "c&d", "e": "é"}"#, r#"{"X-Mine": "yes"}"#);
    let post = format!("net.http_post('URL/body?x=1', {body}, '{parameters}', '{headers}')");
    net.select(&post).await;
    until("the request", async || !net.server.requests().is_empty()).await;
    let request = &net.server.requests()[0];
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/body?x=1&e=%C3%A9&a%20b=c%26d");
    assert_rows(&net.client, &format!("select {body}"), &request.body).await;
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["x-mine"], "yes");
    assert_eq!(request.headers["user-agent"], "pg_net/0.20.4");
}

#[tokio::test]
async fn get_and_delete_are_supported() {
    let net = Net::start().await;
    net.select(r#"net.http_get('URL/get', '{"a": "1"}')"#).await;
    net.select("net.http_delete('URL/delete', body => '[1]')")
        .await;
    until("both", async || net.server.requests().len() == 2).await;
    let line = |r: Recorded| format!("{} {} {}", r.method, r.path, r.body);
    let mut requests: Vec<_> = net.server.requests().into_iter().map(line).collect();
    requests.sort();
    assert_eq!(requests, ["DELETE /delete [1]", "GET /get?a=1 "]);
}

#[tokio::test]
async fn the_response_is_stored() {
    let net = Net::start().await;
    assert_eq!(
        net.post_and_wait("/answered").await,
        "201|text/plain; charset=utf-8|answer to /answered|yes|f|null"
    );
    let queued = "select count(*) from net.http_request_queue";
    assert_rows(&net.client, queued, "0").await;
}

#[tokio::test]
async fn a_refused_connection_is_recorded() {
    let net = Net::start().await;
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let id = net
        .select(&format!("net.http_get('http://{address}/')"))
        .await;
    assert_eq!(
        net.response(&id).await,
        "null|null|null|null|f|Couldn't connect to server"
    );
}

#[tokio::test]
async fn a_timeout_is_recorded_and_not_retried() {
    let net = Net::start().await;
    let post = "net.http_post('URL/held', timeout_milliseconds => 300)";
    let response = net.response(&net.select(post).await).await;
    let want = "null|null|null|null|t|Timeout of 300 ms reached.";
    assert!(response.starts_with(want), "{response}");
    // A retry would come with the next batch.
    net.post_and_wait("/next").await;
    assert_eq!(net.server.paths(), ["/held", "/next"]);
}

#[tokio::test]
async fn the_default_timeout_is_five_seconds() {
    let client = connect().await;
    for function in ["post", "get", "delete"] {
        run(&client, &format!("select net.http_{function}('http://x')")).await;
    }
    let timeouts = "select distinct timeout_milliseconds from net.http_request_queue";
    assert_rows(&client, timeouts, "5000").await;
}

#[tokio::test]
async fn a_batch_has_at_most_two_hundred_requests() {
    let net = Net::start().await;
    net.settle().await;
    net.select(
        "net.http_post('URL/held/' || n, timeout_milliseconds => 60000)
         from generate_series(1, 201) n",
    )
    .await;
    let arrived = || {
        let paths = net.server.paths().into_iter();
        paths.filter(|path| path.starts_with("/held")).count()
    };
    until("the first batch", async || arrived() == 200).await;
    // The last request is not sent, even after the pause.
    stays(MORE_THAN_A_PAUSE, async || arrived() == 200).await;
    net.server.release();
    until("the second batch", async || arrived() == 201).await;
    // The oldest requests go first.
    assert_eq!(net.server.paths().last().unwrap(), "/held/201");
}

#[tokio::test]
async fn the_slowest_request_delays_the_next_batch_and_the_responses_of_its_own() {
    let net = Net::start().await;
    net.settle().await;
    let both = "net.http_post('URL/held'), net.http_post('URL/quick')";
    net.select(both).await;
    net.arrived("/quick").await;
    net.post("/next").await;
    // The next batch waits.
    let waits = async || !net.server.paths().contains(&"/next".to_owned());
    stays(MORE_THAN_A_PAUSE, waits).await;
    // No response is committed before the slowest.
    let answered = "select count(*) from net._http_response where content <> 'answer to /settle'";
    assert_rows(&net.client, answered, "0").await;
    net.server.release();
    net.arrived("/next").await;
    eventually(&net.client, answered, "3").await;
    // The responses of a batch are one commit.
    let commits = "select count(distinct xmin::text) from net._http_response
                   where content in ('answer to /held', 'answer to /quick')";
    assert_rows(&net.client, commits, "1").await;
}

#[tokio::test]
async fn batches_are_a_second_apart() {
    let net = Net::start().await;
    net.settle().await;
    let many = "net.http_post('URL/many/' || n) from generate_series(1, 201) n";
    net.select(many).await;
    net.arrived("/many/201").await;
    let mut requests = net.server.requests();
    requests.retain(|request| request.path.starts_with("/many"));
    let pause = requests[200].at - requests[199].at;
    assert!(pause >= Duration::from_millis(900), "only {pause:?}");
}

#[tokio::test]
async fn requests_left_by_a_stopped_worker_are_sent_by_the_next() {
    let net = Net::start().await;
    net.workers.stop_net();
    until("the worker is gone", async || !net.is_up().await).await;
    net.post("/later").await;
    net.workers.start_net();
    net.arrived("/later").await;
}

#[tokio::test]
async fn a_killed_worker_leaves_empty_tables() {
    let net = Net::start().await;
    net.post_and_wait("/answered").await;
    net.post("/held").await;
    net.arrived("/held").await;
    net.post("/lost").await;
    net.workers.kill_net().await.unwrap();
    let rows = "select (select count(*) from net.http_request_queue),
                       (select count(*) from net._http_response)";
    assert_rows(&net.client, rows, "0|0").await;
    net.workers.start_net();
    net.post_and_wait("/after").await;
    assert_eq!(net.server.paths(), ["/answered", "/held", "/after"]);
}

#[tokio::test]
async fn every_role_can_send_and_read() {
    let net = Net::start().await;
    let anon = net.database.connect_as("anon").await.unwrap();
    let id = net.post_by(&anon, "/anon").await;
    net.response(&id).await;
    assert_rows(&anon, "select count(*) from net._http_response", "1").await;
}

#[tokio::test]
async fn content_types_other_than_json_are_refused() {
    let post = r#"select net.http_post('http://x', headers => '{"content-type": "text/plain"}')"#;
    let want = r#"Content-Type header must be "application/json""#;
    assert_eq!(refusal(&connect().await, post).await, want);
}
