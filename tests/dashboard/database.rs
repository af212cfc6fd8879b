//! What happens when the database does not answer as it should.

use supaqueue_tests::{Db, postgres};

use crate::client::{Client, database};

#[tokio::test]
async fn a_database_that_cannot_be_reached_is_named_on_the_page() {
    let unreachable = "postgresql://postgres:secret@127.0.0.1:1/postgres";
    let db = database().await;
    let client = Client::new(&db).await;
    let other = Client::serve(unreachable, false).await;
    let path = other.link.split_once(&other.address).unwrap().1;
    assert_eq!(other.get(path).await.status, 303);
    assert_eq!(client.get("/").await.status, 200);

    let mut other = Client::serve(unreachable, false).await;
    let path = other.link.split_once(&other.address).unwrap().1.to_owned();
    let answer = other.get(&path).await;
    other.keep_cookie(&answer);
    let page = other.get("/").await;
    assert_eq!(page.status, 503);
    page.says("Cannot reach the database");
    page.says("data-refresh=");
    assert!(!page.body.contains("secret"));
}

#[tokio::test]
async fn it_reconnects_by_itself() {
    let db = database().await;
    let client = Client::new(&db).await;
    assert_eq!(client.get("/").await.status, 200);
    for _ in 0..3 {
        db.run(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity
             where datname = current_database() and application_name = 'supaqueue dashboard'",
        )
        .await;
        assert_eq!(client.get("/").await.status, 200);
    }
}

#[tokio::test]
async fn a_database_without_supaqueue_is_told_what_to_do() {
    let database = postgres().await.create_database().await.unwrap();
    database
        .connect()
        .await
        .unwrap()
        .batch_execute("drop schema supaqueue cascade")
        .await
        .unwrap();
    let mut client = Client::serve(database.url(), false).await;
    let path = client
        .link
        .split_once(&client.address)
        .unwrap()
        .1
        .to_owned();
    let answer = client.get(&path).await;
    client.keep_cookie(&answer);
    let page = client.get("/").await;
    assert_eq!(page.status, 503);
    page.says("supaqueue install");
}

#[tokio::test]
async fn an_empty_project_has_pages() {
    let db = Db::new().await;
    let client = Client::new(&db).await;
    client.get("/").await.says("There are no queues yet");
    client
        .get("/schedules")
        .await
        .says("There are no schedules yet");
}

#[tokio::test]
async fn problems_come_first_with_their_remedies() {
    let db = database().await;
    db.run("delete from supaqueue.worker; select supaqueue.enqueue('emails')")
        .await;
    let client = Client::new(&db).await;
    for path in ["/", "/queues/emails"] {
        let page = client.get(path).await;
        page.says("the queue has no workers");
        page.says("select supaqueue.set_workers('emails', 1);");
    }
}

/// The queues' small charts have the same numbers as the large ones.
#[tokio::test]
async fn the_overview_counts_what_the_charts_count() {
    let db = database().await;
    db.run(
        "insert into supaqueue.minute (queue, at, started, succeeded, failed, cancelled, retried, wait, run)
         select q.id, date_trunc('minute', now()) - m.age * interval '1 minute', 9, 3, 1, 0, 0, array_fill(0, array[14]), array_fill(0, array[14])
         from (values (supaqueue.queue_id('emails')), ('00000000-0000-0000-0000-000000000000')) as q (id)
         cross join (values (0), (30), (100), (5000)) as m (age)",
    )
    .await;
    let client = Client::new(&db).await;
    for (period, since, step) in [
        ("1h", "1 hour", "1 minute"),
        ("24h", "1 day", "30 minutes"),
        ("30d", "1 day", "30 minutes"),
    ] {
        let want = db
            .get(&format!(
                "select sum(c.succeeded + c.failed) || ' jobs ended, ' || sum(c.failed) || ' of them failed'
                 from supaqueue.chart('emails', '{since}', '{step}') c"
            ))
            .await;
        let page = client.get(&format!("/?period={period}")).await;
        page.says(&format!("<title>{want}</title>"));
    }
}
