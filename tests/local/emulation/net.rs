use std::time::{Duration, Instant};

use supaqueue_local::{Database, EmulatedExtensions};

use crate::server::Server;
use crate::{database, one, until};

struct Net {
    database: Database,
    client: tokio_postgres::Client,
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
        until("the worker is up", async || {
            net.client
                .batch_execute("select net.check_worker_is_up()")
                .await
                .is_ok()
        })
        .await;
        net
    }

    /// Sends a request and waits until the pause after it is over and the worker is idle.
    async fn settle(&self) {
        self.post(&self.client, "/settle").await;
        self.arrived("/settle").await;
        let state = "select string_agg(state, ',') from pg_stat_activity
                     where application_name = 'pg_net (emulated)' and datname = current_database()
                       and clock_timestamp() - state_change > '1.2 s'";
        until("an idle worker", async || {
            one(&self.client, state).await == "idle"
        })
        .await;
    }

    async fn post(&self, client: &tokio_postgres::Client, path: &str) -> i64 {
        let url = format!("{}{path}", self.server.url);
        client
            .query_one("select net.http_post($1, '{}')", &[&url])
            .await
            .unwrap()
            .get(0)
    }

    async fn arrived(&self, path: &str) {
        until(path, async || {
            self.server.paths().iter().any(|received| received == path)
        })
        .await;
    }

    async fn response(&self, id: i64) -> (String, String) {
        let row = format!("from net._http_response where id = {id}");
        until("the response", async || {
            one(&self.client, &format!("select count(*) {row}")).await == "1"
        })
        .await;
        let text = format!(
            "select concat_ws('|', status_code, content_type, content, timed_out, error_msg) {row}"
        );
        (
            one(&self.client, &text).await,
            one(
                &self.client,
                &format!("select headers ->> 'x-answer' {row}"),
            )
            .await,
        )
    }
}

#[tokio::test]
async fn a_request_is_sent_when_its_transaction_commits() {
    let net = Net::start().await;
    let mut other = net.database.connect().await.unwrap();
    let transaction = other.transaction().await.unwrap();
    let url = format!("{}/uncommitted", net.server.url);
    transaction
        .execute("select net.http_post($1)", &[&url])
        .await
        .unwrap();
    // Another request is sent and answered while the first is uncommitted.
    let id = net.post(&net.client, "/committed").await;
    net.response(id).await;
    assert_eq!(net.server.paths(), ["/committed"]);
    transaction.commit().await.unwrap();
    net.arrived("/uncommitted").await;
}

#[tokio::test]
async fn a_rolled_back_request_is_not_sent() {
    let net = Net::start().await;
    let mut other = net.database.connect().await.unwrap();
    let transaction = other.transaction().await.unwrap();
    let url = format!("{}/rolled-back", net.server.url);
    transaction
        .execute("select net.http_post($1)", &[&url])
        .await
        .unwrap();
    transaction.rollback().await.unwrap();
    let id = net.post(&net.client, "/committed").await;
    net.response(id).await;
    assert_eq!(net.server.paths(), ["/committed"]);
}

#[tokio::test]
async fn an_idle_worker_sends_immediately() {
    let net = Net::start().await;
    net.settle().await;
    let start = Instant::now();
    net.post(&net.client, "/now").await;
    net.arrived("/now").await;
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "it took {:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn the_body_on_the_wire_is_the_jsonb_as_text() {
    let net = Net::start().await;
    let body =
        r#"{"z": 1, "a": [123456789012345678901234567890.12345678901234567890, "é\u0001 😀 \" "]}"#;
    net.client
        .execute(
            "select net.http_post($1, $2::text::jsonb, '{\"a b\": \"c&d\", \"e\": \"é\"}', '{\"X-Mine\": \"yes\"}')",
            &[&format!("{}/body?x=1", net.server.url), &body],
        )
        .await
        .unwrap();
    until("the request", async || !net.server.requests().is_empty()).await;
    let request = &net.server.requests()[0];
    let stored: String = net
        .client
        .query_one("select $1::text::jsonb::text", &[&body])
        .await
        .unwrap()
        .get(0);
    assert_eq!(request.method, "POST");
    assert_eq!(request.path, "/body?x=1&e=%C3%A9&a%20b=c%26d");
    assert_eq!(std::str::from_utf8(&request.body).unwrap(), stored);
    assert_eq!(request.headers["content-type"], "application/json");
    assert_eq!(request.headers["x-mine"], "yes");
    assert_eq!(request.headers["user-agent"], "pg_net/0.20.4");
}

#[tokio::test]
async fn get_and_delete_are_supported() {
    let net = Net::start().await;
    net.client
        .batch_execute(&format!(
            "select net.http_get('{0}/get', '{{\"a\": \"1\"}}'), net.http_delete('{0}/delete', body => '[1]')",
            net.server.url
        ))
        .await
        .unwrap();
    until("both", async || net.server.requests().len() == 2).await;
    let mut requests: Vec<_> = net
        .server
        .requests()
        .iter()
        .map(|request| {
            format!(
                "{} {} {}",
                request.method,
                request.path,
                std::str::from_utf8(&request.body).unwrap()
            )
        })
        .collect();
    requests.sort();
    assert_eq!(requests, ["DELETE /delete [1]", "GET /get?a=1 "]);
}

#[tokio::test]
async fn the_response_is_stored() {
    let net = Net::start().await;
    let id = net.post(&net.client, "/answered").await;
    let (text, header) = net.response(id).await;
    assert_eq!(text, "201|text/plain; charset=utf-8|answer to /answered|f");
    assert_eq!(header, "yes");
    assert_eq!(
        one(&net.client, "select count(*) from net.http_request_queue").await,
        "0"
    );
}

#[tokio::test]
async fn a_refused_connection_is_recorded() {
    let net = Net::start().await;
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let id: i64 = net
        .client
        .query_one(
            "select net.http_get($1)",
            &[&format!("http://127.0.0.1:{port}/")],
        )
        .await
        .unwrap()
        .get(0);
    assert_eq!(net.response(id).await.0, "f|Couldn't connect to server");
}

#[tokio::test]
async fn a_timeout_is_recorded_and_not_retried() {
    let net = Net::start().await;
    let id: i64 = net
        .client
        .query_one(
            "select net.http_post($1, timeout_milliseconds => 300)",
            &[&format!("{}/held", net.server.url)],
        )
        .await
        .unwrap()
        .get(0);
    let (text, _) = net.response(id).await;
    assert!(text.starts_with("t|Timeout of 300 ms reached."), "{text}");
    // A retry would come with the next batch.
    let id = net.post(&net.client, "/next").await;
    net.response(id).await;
    assert_eq!(net.server.paths(), ["/held", "/next"]);
}

#[tokio::test]
async fn the_default_timeout_is_five_seconds() {
    let database = database().await;
    let client = database.connect().await.unwrap();
    client
        .batch_execute("select net.http_post('http://x'), net.http_get('http://x'), net.http_delete('http://x')")
        .await
        .unwrap();
    let timeouts =
        "select string_agg(distinct timeout_milliseconds::text, ',') from net.http_request_queue";
    assert_eq!(one(&client, timeouts).await, "5000");
}

#[tokio::test]
async fn a_batch_has_at_most_two_hundred_requests() {
    let net = Net::start().await;
    net.settle().await;
    net.client
        .batch_execute(&format!(
            "select net.http_post('{}/held/' || n, timeout_milliseconds => 60000) from generate_series(1, 201) n",
            net.server.url
        ))
        .await
        .unwrap();
    let arrived = || {
        net.server
            .paths()
            .iter()
            .filter(|path| path.starts_with("/held"))
            .count()
    };
    until("the first batch", async || arrived() == 200).await;
    // The last request is not sent, even after the pause.
    let start = Instant::now();
    until("more than a pause", async || {
        start.elapsed() > Duration::from_millis(1500)
    })
    .await;
    assert_eq!(arrived(), 200);
    net.server.release();
    until("the second batch", async || arrived() == 201).await;
    assert_eq!(
        net.server.paths().last().unwrap(),
        "/held/201",
        "the oldest requests go first"
    );
}

#[tokio::test]
async fn the_slowest_request_delays_the_next_batch_and_the_responses_of_its_own() {
    let net = Net::start().await;
    net.settle().await;
    net.client
        .batch_execute(&format!(
            "select net.http_post('{0}/held'), net.http_post('{0}/quick')",
            net.server.url
        ))
        .await
        .unwrap();
    net.arrived("/quick").await;
    net.post(&net.client, "/next").await;
    let start = Instant::now();
    until("more than a pause", async || {
        start.elapsed() > Duration::from_millis(1500)
    })
    .await;
    let answered = "select count(*) from net._http_response where content <> 'answer to /settle'";
    assert!(
        !net.server.paths().contains(&"/next".to_owned()),
        "the next batch waits"
    );
    assert_eq!(
        one(&net.client, answered).await,
        "0",
        "no response is committed before the slowest"
    );
    net.server.release();
    net.arrived("/next").await;
    until("all responses", async || {
        one(&net.client, answered).await == "3"
    })
    .await;
    let together = "select count(distinct xmin::text) from net._http_response
                    where content in ('answer to /held', 'answer to /quick')";
    assert_eq!(
        one(&net.client, together).await,
        "1",
        "the responses of a batch are one commit"
    );
}

#[tokio::test]
async fn batches_are_a_second_apart() {
    let net = Net::start().await;
    net.settle().await;
    net.client
        .batch_execute(&format!(
            "select net.http_post('{}/many/' || n) from generate_series(1, 201) n",
            net.server.url
        ))
        .await
        .unwrap();
    net.arrived("/many/201").await;
    let requests: Vec<_> = net
        .server
        .requests()
        .into_iter()
        .filter(|request| request.path.starts_with("/many"))
        .collect();
    let pause = requests[200].at - requests[199].at;
    assert!(pause >= Duration::from_millis(900), "only {pause:?}");
}

#[tokio::test]
async fn requests_left_by_a_stopped_worker_are_sent_by_the_next() {
    let net = Net::start().await;
    net.workers.stop_net();
    until("the worker is gone", async || {
        net.client
            .batch_execute("select net.check_worker_is_up()")
            .await
            .is_err()
    })
    .await;
    net.post(&net.client, "/later").await;
    net.workers.start_net();
    net.arrived("/later").await;
}

#[tokio::test]
async fn a_killed_worker_leaves_empty_tables() {
    let net = Net::start().await;
    let id = net.post(&net.client, "/answered").await;
    net.response(id).await;
    net.post(&net.client, "/held").await;
    net.arrived("/held").await;
    net.post(&net.client, "/lost").await;
    net.workers.kill_net().await.unwrap();
    let rows = "select (select count(*) from net.http_request_queue) + (select count(*) from net._http_response)";
    assert_eq!(one(&net.client, rows).await, "0");
    net.workers.start_net();
    let id = net.post(&net.client, "/after").await;
    net.response(id).await;
    assert_eq!(net.server.paths(), ["/answered", "/held", "/after"]);
}

#[tokio::test]
async fn every_role_can_send_and_read() {
    let net = Net::start().await;
    let anon = net.database.connect_as("anon").await.unwrap();
    let id = net.post(&anon, "/anon").await;
    net.response(id).await;
    assert_eq!(
        one(&anon, "select count(*) from net._http_response").await,
        "1"
    );
}

#[tokio::test]
async fn content_types_other_than_json_are_refused() {
    let client = database().await.connect().await.unwrap();
    let post = "select net.http_post('http://x', headers => '{\"content-type\": \"text/plain\"}')";
    let error = client.batch_execute(post).await.unwrap_err();
    assert_eq!(
        error.as_db_error().unwrap().message(),
        "Content-Type header must be \"application/json\""
    );
}
