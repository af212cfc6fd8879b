use std::time::{Duration, Instant};

use supaqueue_local::{Database, StandIns};

use crate::server::Server;
use crate::{database, one, until};

struct Net {
    database: Database,
    client: tokio_postgres::Client,
    server: Server,
    stand_ins: StandIns,
}

impl Net {
    async fn start() -> Self {
        let database = database().await;
        let stand_ins = StandIns::start(&database).await.unwrap();
        let net = Self {
            client: database.connect().await.unwrap(),
            database,
            server: Server::start().await,
            stand_ins,
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

    /// Sends a request, waits until it has arrived, and for the pause after it to be over: the
    /// worker waits for a wake.
    async fn settle(&self) {
        self.post(&self.client, "/settle").await;
        self.arrived("/settle").await;
        let state = "select string_agg(state, ',') from pg_stat_activity
                     where application_name = 'pg_net stand-in' and datname = current_database()
                       and clock_timestamp() - state_change > '1.2 s'";
        until("the worker rests", async || {
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
            self.server.paths().iter().any(|seen| seen == path)
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
    // Another request goes the whole way while the first waits for its commit.
    let id = net.post(&net.client, "/committed").await;
    net.response(id).await;
    assert_eq!(net.server.paths(), ["/committed"]);
    transaction.commit().await.unwrap();
    net.arrived("/uncommitted").await;
}

#[tokio::test]
async fn a_request_that_is_rolled_back_is_not_sent() {
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
async fn an_idle_worker_sends_at_once() {
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
    until("the request", async || !net.server.seen().is_empty()).await;
    let seen = &net.server.seen()[0];
    let stored: String = net
        .client
        .query_one("select $1::text::jsonb::text", &[&body])
        .await
        .unwrap()
        .get(0);
    assert_eq!(seen.method, "POST");
    assert_eq!(seen.path, "/body?x=1&e=%C3%A9&a%20b=c%26d");
    assert_eq!(std::str::from_utf8(&seen.body).unwrap(), stored);
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(seen.headers["x-mine"], "yes");
    assert_eq!(seen.headers["user-agent"], "pg_net/0.20.4");
}

#[tokio::test]
async fn get_and_delete_are_sent_too() {
    let net = Net::start().await;
    net.client
        .batch_execute(&format!(
            "select net.http_get('{0}/get', '{{\"a\": \"1\"}}'), net.http_delete('{0}/delete', body => '[1]')",
            net.server.url
        ))
        .await
        .unwrap();
    until("both", async || net.server.seen().len() == 2).await;
    let mut seen: Vec<_> = net
        .server
        .seen()
        .iter()
        .map(|seen| {
            format!(
                "{} {} {}",
                seen.method,
                seen.path,
                std::str::from_utf8(&seen.body).unwrap()
            )
        })
        .collect();
    seen.sort();
    assert_eq!(seen, ["DELETE /delete [1]", "GET /get?a=1 "]);
}

#[tokio::test]
async fn a_response_row_says_what_was_answered() {
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
async fn nobody_listening_is_recorded() {
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
async fn a_request_that_times_out_is_recorded_and_not_repeated() {
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
    // The next batch would repeat it, if anything did.
    let id = net.post(&net.client, "/next").await;
    net.response(id).await;
    assert_eq!(net.server.paths(), ["/held", "/next"]);
}

#[tokio::test]
async fn a_request_may_take_five_seconds_unless_it_says_otherwise() {
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
async fn a_batch_has_two_hundred_requests_at_most() {
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
    // The last one has been asked for longer than the pause, and does not come.
    let held = Instant::now();
    until("more than a pause", async || {
        held.elapsed() > Duration::from_millis(1500)
    })
    .await;
    assert_eq!(arrived(), 200);
    net.server.open();
    until("the second batch", async || arrived() == 201).await;
    assert_eq!(
        net.server.paths().last().unwrap(),
        "/held/201",
        "the oldest go first"
    );
}

#[tokio::test]
async fn the_slowest_of_a_batch_holds_the_next_and_the_answers_of_its_own() {
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
    let held = Instant::now();
    until("more than a pause", async || {
        held.elapsed() > Duration::from_millis(1500)
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
        "no answer is committed before the slowest"
    );
    net.server.open();
    net.arrived("/next").await;
    until("all answers", async || {
        one(&net.client, answered).await == "3"
    })
    .await;
    let together = "select count(distinct xmin::text) from net._http_response
                    where content in ('answer to /held', 'answer to /quick')";
    assert_eq!(
        one(&net.client, together).await,
        "1",
        "the answers of a batch are one commit"
    );
}

#[tokio::test]
async fn a_second_passes_between_two_batches() {
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
    let seen: Vec<_> = net
        .server
        .seen()
        .into_iter()
        .filter(|seen| seen.path.starts_with("/many"))
        .collect();
    let pause = seen[200].at - seen[199].at;
    assert!(pause >= Duration::from_millis(900), "only {pause:?}");
}

#[tokio::test]
async fn what_is_left_by_a_worker_that_stopped_is_sent_by_the_next() {
    let net = Net::start().await;
    net.stand_ins.stop_net();
    until("the worker is gone", async || {
        net.client
            .batch_execute("select net.check_worker_is_up()")
            .await
            .is_err()
    })
    .await;
    net.post(&net.client, "/later").await;
    net.stand_ins.start_net();
    net.arrived("/later").await;
}

#[tokio::test]
async fn a_worker_that_is_killed_leaves_empty_tables() {
    let net = Net::start().await;
    let id = net.post(&net.client, "/answered").await;
    net.response(id).await;
    net.post(&net.client, "/held").await;
    net.arrived("/held").await;
    net.post(&net.client, "/lost").await;
    net.stand_ins.kill_net().await.unwrap();
    let rows = "select (select count(*) from net.http_request_queue) + (select count(*) from net._http_response)";
    assert_eq!(one(&net.client, rows).await, "0");
    net.stand_ins.start_net();
    let id = net.post(&net.client, "/after").await;
    net.response(id).await;
    assert_eq!(net.server.paths(), ["/answered", "/held", "/after"]);
}

#[tokio::test]
async fn anybody_who_runs_sql_can_send_and_read() {
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
async fn another_content_type_than_json_is_refused() {
    let client = database().await.connect().await.unwrap();
    let post = "select net.http_post('http://x', headers => '{\"content-type\": \"text/plain\"}')";
    let refused = client.batch_execute(post).await.unwrap_err();
    assert_eq!(
        refused.as_db_error().unwrap().message(),
        "Content-Type header must be \"application/json\""
    );
}
