//! The pages of operations.

use crate::actions::act;
use crate::client::{Client, database};

#[tokio::test]
async fn an_operation_shows_how_far_it_is_and_is_stopped_and_resumed() {
    let db = database().await;
    db.run("select supaqueue.enqueue('emails') from generate_series(1, 5)")
        .await;
    let id = db
        .get(
            r#"insert into supaqueue.operation (action, filter, per_second)
               values ('cancel', '{"queue": "emails", "payload": {"a<b": 1.00}}', 1) returning id"#,
        )
        .await;
    let client = Client::new(&db).await;
    let page = client.get("/operations").await;
    page.says("queue:emails payload:{&quot;a&lt;b&quot;: 1.00}");
    let found = client.get(&page.link("queue:emails")).await;
    found.says("No job matches.");
    let path = format!("/operations/{id}");
    let page = client.get(&path).await;
    page.says("Cancel jobs");
    page.says("at most 1");
    act(&client, "stop-operation", &page.form("stop-operation")).await;
    assert_eq!(
        db.get("select status from supaqueue.operation").await,
        "stopped"
    );
    act(
        &client,
        "resume-operation",
        &client.get(&path).await.form("resume-operation"),
    )
    .await;
    assert_eq!(
        db.get("select status from supaqueue.operation").await,
        "running"
    );
    for id in ["00000000-0000-0000-0000-000000000000", "7", "%3Cscript%3E"] {
        assert_eq!(
            client.get(&format!("/operations/{id}")).await.status,
            404,
            "{id}"
        );
    }
}

#[tokio::test]
async fn refusals_are_shown() {
    let db = database().await;
    db.run(
        "insert into supaqueue.job (queue, key) values (supaqueue.queue_id('emails'), 'one');
         update supaqueue.job set status = 'cancelled';
         insert into supaqueue.job (queue, key) values (supaqueue.queue_id('emails'), 'one')",
    )
    .await;
    let id = db.get("insert into supaqueue.operation (action, filter) values ('retry', '{\"status\": \"cancelled\"}') returning id").await;
    db.tick().await;
    let page = Client::new(&db)
        .await
        .get(&format!("/operations/{id}"))
        .await;
    page.says("Last refusal");
    page.says("<dt>Refused</dt><dd>1</dd>");
}
