//! An action runs the statement that its page has shown.

use supaqueue_tests::Db;

use crate::client::{Client, database, unescape};

/// The statement that a page shows.
pub(crate) fn shown(page: &str) -> String {
    let (_, rest) = page.split_once("<pre class=\"sql\"><code><bdi>").unwrap();
    let (sql, _) = rest.split_once("</bdi>").unwrap();
    unescape(sql)
}

/// Asks for an action and does it; returns the statement and where it leads.
pub(crate) async fn act(client: &Client, action: &str, form: &str) -> (String, String) {
    let page = client
        .get(&format!("/actions/{action}/confirm?{form}"))
        .await;
    assert_eq!(page.status, 200, "{}", page.body);
    page.says("a &lt;test&gt;");
    let answer = client.post(&format!("/actions/{action}"), form).await;
    assert_eq!(answer.status, 303, "{action}: {}", answer.body);
    (shown(&page.body), answer.header("location").to_owned())
}

#[tokio::test]
async fn a_queue_is_paused_resumed_and_given_workers() {
    let db = database().await;
    let client = Client::new(&db).await;
    let (sql, to) = act(&client, "pause-queue", "queue=emails").await;
    assert_eq!(
        sql,
        "update supaqueue.queue set is_paused = true where name = 'emails' returning name;"
    );
    client.get(&to).await.says("The queue is paused.");
    let is_paused = "select is_paused from supaqueue.queue";
    assert_eq!(db.get(is_paused).await, "t");
    act(&client, "resume-queue", "queue=emails").await;
    assert_eq!(db.get(is_paused).await, "f");
    let (sql, _) = act(&client, "set-workers", "queue=emails&workers=4").await;
    assert_eq!(sql, "select supaqueue.set_workers('emails', 4);");
    assert_eq!(db.get("select count(*) from supaqueue.worker").await, "4");
    for workers in ["-1", "x", "1.5", "", "4);drop"] {
        let path = format!("/actions/set-workers/confirm?queue=emails&workers={workers}");
        assert_eq!(client.get(&path).await.status, 400, "{workers}");
    }
}

/// Whatever a name is, the statement is about it alone, and the page shows it as text.
#[tokio::test]
async fn names_are_only_names() {
    let db = Db::new().await;
    let client = Client::new(&db).await;
    for (name, encoded) in [
        ("it's", "it%27s"),
        (
            "'; drop table supaqueue.job; --",
            "%27%3B+drop+table+supaqueue.job%3B+--",
        ),
        ("\\'", "%5C%27"),
        (
            "<img src=x onerror=alert(1)>",
            "%3Cimg+src%3Dx+onerror%3Dalert%281%29%3E",
        ),
        ("a/b?c#d%e", "a%2Fb%3Fc%23d%25e"),
        ("\u{202e}txt\n", "%E2%80%AEtxt%0A"),
        ("..", ".."),
        ("~", "~"),
    ] {
        db.client()
            .execute(
                "insert into supaqueue.queue (name, edge_function_name) values ($1, 'send')",
                &[&name],
            )
            .await
            .unwrap();
        let (_, to) = act(&client, "pause-queue", &format!("queue={encoded}")).await;
        let page = client.get(&to).await;
        assert_eq!(page.status, 200, "{name} at {to}");
        page.says("The queue is paused.");
        assert!(!page.body.contains("<img"), "{name}");
        // Fields hold names as they are.
        let shown = page.body.replace("value=\"\u{202e}", "");
        assert!(!shown.contains('\u{202e}'), "{name}");
        let is_paused = "select count(*) from supaqueue.queue where is_paused";
        assert_eq!(db.get(is_paused).await, "1", "{name}");
        db.run("delete from supaqueue.queue").await;
    }
}

#[tokio::test]
async fn only_the_settings_that_were_changed_are_written() {
    let db = database().await;
    let client = Client::new(&db).await;
    client
        .get("/queues/emails/settings")
        .await
        .says("name=\"was.max_attempts\" value=\"3\"");
    let form = "queue=emails&max_attempts=5&was.max_attempts=3&timeout_ms=60000&was.timeout_ms=60000\
        &keep_failed_for=30+days&was.keep_failed_for=&path=&was.path=&final_statuses=400%2C+422&was.final_statuses=\
        &default_headers=%7B%22a%22%3A%22b%22%7D&was.default_headers=&name=x&was.name=emails";
    let (sql, _) = act(&client, "change-queue", form).await;
    assert_eq!(
        sql,
        "update supaqueue.queue\nset default_headers = '{\"a\":\"b\"}',\n    max_attempts = 5,\n    final_statuses = '{400, 422}',\n    \
         keep_failed_for = '30 days'\nwhere name = 'emails'\nreturning name;"
    );
    let settings = "select name, max_attempts, timeout_ms, keep_failed_for, final_statuses, default_headers from supaqueue.queue";
    let want = r#"emails|5|60000|30 days|{400,422}|{"a": "b"}"#;
    assert_eq!(db.get(settings).await, want);
    let same = "/actions/change-queue/confirm?queue=emails&max_attempts=5&was.max_attempts=5";
    assert_eq!(client.get(same).await.status, 400);
}

#[tokio::test]
async fn what_the_database_refuses_is_shown_beside_what_was_entered() {
    let db = database().await;
    let client = Client::new(&db).await;
    let form = "queue=emails&timeout_ms=999999&was.timeout_ms=60000&path=my%2Fpath&was.path=";
    let answer = client.post("/actions/change-queue", form).await;
    assert_eq!(answer.status, 422);
    answer.says("timeout_is_at_most_150_seconds");
    answer.says("value=\"999999\"");
    answer.says("value=\"my/path\"");
    answer.says("name=\"was.timeout_ms\" value=\"60000\"");
    assert_eq!(db.get("select path from supaqueue.queue").await, "null");
    let page = client
        .get(&format!("/actions/change-queue/confirm?{form}"))
        .await;
    page.says("/queues/emails/settings?timeout_ms=999999");
}

#[tokio::test]
async fn what_is_gone_is_named() {
    let db = database().await;
    let client = Client::new(&db).await;
    let answer = client.post("/actions/pause-queue", "queue=nobody").await;
    assert_eq!(answer.status, 404);
    answer.says("There is no queue named nobody any more.");
    for path in ["/queues/nobody", "/schedules/nobody", "/nowhere"] {
        assert_eq!(client.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn a_schedule_is_paused_resumed_run_and_deleted() {
    let db = database().await;
    db.run("select supaqueue.schedule('nightly', 'emails', '0 3 * * *')")
        .await;
    let client = Client::new(&db).await;
    client.get("/schedules").await.says("0 3 * * *");
    act(&client, "pause-schedule", "schedule=nightly").await;
    let is_paused = "select is_paused from supaqueue.schedule";
    assert_eq!(db.get(is_paused).await, "t");
    act(&client, "resume-schedule", "schedule=nightly").await;
    assert_eq!(db.get(is_paused).await, "f");
    let (_, to) = act(&client, "run-schedule", "schedule=nightly").await;
    let job = db.get("select id from supaqueue.job").await;
    assert!(to.starts_with(&format!("/jobs/{job}?")), "{to}");
    let page = client.get("/schedules/nightly").await;
    page.says(&job);
    assert_eq!(page.body.matches("03:00:00 UTC <span").count(), 5, "times");
    let (_, to) = act(&client, "unschedule", "schedule=nightly").await;
    client.get(&to).await.says("The schedule is deleted.");
    assert_eq!(db.get("select count(*) from supaqueue.schedule").await, "0");
}

#[tokio::test]
async fn jobs_are_counted_before_they_are_acted_on() {
    let db = database().await;
    db.run("select supaqueue.enqueue('emails') from generate_series(1, 3)")
        .await;
    let client = Client::new(&db).await;
    let filter = "filter=%7B%22queue%22%3A%22emails%22%7D&per_second=5";
    let page = client
        .get(&format!("/actions/cancel-jobs/confirm?{filter}"))
        .await;
    page.says("<strong>3</strong>");
    let (sql, to) = act(&client, "cancel-jobs", filter).await;
    assert_eq!(
        sql,
        "insert into supaqueue.operation (action, filter, per_second, created_by)\n\
         values ('cancel', '{\"queue\":\"emails\"}', 5, 'dashboard')\nreturning id;"
    );
    let operation = "select id, action, per_second, created_by, filter from supaqueue.operation";
    let operation = db.get(operation).await;
    let id = to.split(['/', '?']).nth(2).unwrap();
    assert_eq!(
        operation,
        format!(r#"{id}|cancel|5|dashboard|{{"queue": "emails"}}"#)
    );
    let page = client
        .get("/actions/retry-jobs/confirm?filter=%7B%22nothing%22%3A1%7D")
        .await;
    assert_eq!(page.status, 422, "a filter that the database refuses");
    let page = client
        .get("/actions/retry-jobs/confirm?filter=%7B%22queue%22%3A%22emails%22%2C%22status%22%3A%22failed%22%7D")
        .await;
    page.says("No job matches");
    let one = db.get("select id from supaqueue.job limit 1").await;
    let form = format!("id={one}&filter=%7B%7D&back=//example.com");
    let page = client
        .get(&format!("/actions/cancel-jobs/confirm?{form}"))
        .await;
    page.says("<strong>1</strong>");
    assert!(!page.body.contains("href=\"//example.com"), "{}", page.body);
    let (sql, to) = act(&client, "cancel-job", &format!("job={one}")).await;
    assert!(sql.contains(&one) && to.contains(&one), "{sql} {to}");
    let status = format!("select status from supaqueue.job where id = '{one}'");
    assert_eq!(db.get(&status).await, "cancelled");
}
