//! The page Jobs: its search, its pages, and what acts on all that match.

use supaqueue_tests::Db;

use crate::actions::act;
use crate::client::{Client, database};

/// Selects jobs that never start.
async fn add(db: &Db, queue: &str, count: u32) {
    db.run(&format!(
        "insert into supaqueue.job (queue, key, tenant, payload)
         select supaqueue.queue_id('{queue}'), '{queue}-' || i, 'tenant ' || i, jsonb_build_object('user', i) from generate_series(1, {count}) i"
    ))
    .await;
}

#[tokio::test]
async fn an_empty_project_says_how_to_begin() {
    let client = Client::new(&Db::new().await).await;
    let page = client.get("/jobs").await;
    assert_eq!(page.status, 200);
    page.says("There are no jobs yet.");
    for (path, text) in [
        ("/failures", "No job has failed."),
        ("/operations", "There are no operations."),
        ("/pipelines", "supaqueue add-on add job_dependencies"),
    ] {
        let page = client.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        page.says(text);
    }
}

#[tokio::test]
async fn search_words_find_jobs_and_links_narrow_the_search() {
    let db = database().await;
    db.run("insert into supaqueue.queue (name, edge_function_name) values ('a b', 'send')")
        .await;
    add(&db, "emails", 3).await;
    add(&db, "a b", 2).await;
    db.run("update supaqueue.job set status = 'cancelled' where key = 'emails-1'")
        .await;
    let client = Client::new(&db).await;
    let id = db
        .get("select id from supaqueue.job where key = 'a b-2'")
        .await;
    for (query, found) in [
        ("", 5),
        ("?q=queue%3Aemails", 3),
        ("?q=queue%3Aemails+status%3Apending", 2),
        ("?queue=emails&status=cancelled", 1),
        ("?queue=a+b", 2),
        ("?q=queue%3A%22a+b%22", 2),
        ("?q=key%3Aemails-2", 1),
        ("?q=tenant%3A%22tenant+2%22", 2),
        ("?q=payload%3A%7B%22user%22%3A2%7D", 2),
        ("?q=created-after%3A2000-01-01", 5),
        ("?q=created-before%3A2000-01-01", 0),
        (&format!("?q={id}"), 1),
    ] {
        let page = client.get(&format!("/jobs{query}")).await;
        assert_eq!(page.status, 200, "{query}: {}", page.body);
        assert_eq!(page.count("<tr id=\"job-"), found, "{query}");
    }
    let page = client.get("/jobs?queue=emails").await;
    page.says("value=\"queue:emails\"");
    let page = client.get(&page.link(">cancelled")).await;
    assert_eq!(page.count("<tr id=\"job-"), 1);
    page.says("value=\"queue:emails status:cancelled\"");
}

#[tokio::test]
async fn a_search_that_cannot_be_made_stays_in_the_field() {
    let db = database().await;
    let client = Client::new(&db).await;
    for (query, why) in [
        ("q=owner%3Aa%3Cb", "is not a search word"),
        ("q=status%3Adone", "No job has the status"),
        ("q=queue%3Anobody", "nobody"),
        ("status=%3Cscript%3E", "No job has the status"),
        ("cursor=nothing", "cursor"),
    ] {
        let page = client.get(&format!("/jobs?{query}")).await;
        assert_eq!(page.status, 422, "{query}: {}", page.body);
        page.says("Cannot search for this");
        page.says(why);
        assert!(!page.body.contains("<script>"), "{query}");
    }
    client
        .get("/jobs?q=owner%3Aa%3Cb")
        .await
        .says("value=\"owner:a&lt;b\"");
}

#[tokio::test]
async fn pages_have_each_job_once() {
    let db = database().await;
    add(&db, "emails", 120).await;
    let client = Client::new(&db).await;
    let mut path = "/jobs?q=queue%3Aemails".to_owned();
    let mut found = Vec::new();
    loop {
        let page = client.get(&path).await;
        let rows = page.body.split("<tr id=\"job-").skip(1);
        found.extend(rows.map(|row| row.split('"').next().unwrap().to_owned()));
        if !page.body.contains("rel=\"next\"") {
            break;
        }
        path = page.link("rel=\"next\"");
        assert!(found.len() < 1000, "the pages have no end");
    }
    let count = found.len();
    found.sort();
    found.dedup();
    assert_eq!((count, found.len()), (120, 120));
}

#[tokio::test]
async fn all_that_match_are_acted_on_and_no_others() {
    let db = database().await;
    db.run("insert into supaqueue.queue (name, edge_function_name) values ('other', 'send')")
        .await;
    add(&db, "emails", 70).await;
    add(&db, "other", 2).await;
    db.run("update supaqueue.job set status = 'cancelled' where key <> 'emails-70'")
        .await;
    let client = Client::new(&db).await;
    let page = client
        .get("/jobs?q=queue%3Aemails+status%3Acancelled")
        .await;
    assert_eq!(page.count("<tr id=\"job-"), 50, "a page does not show all");
    let form = page.form("retry-jobs");
    client
        .get(&format!("/actions/retry-jobs/confirm?{form}"))
        .await
        .says("<strong>69</strong>");
    let (sql, to) = act(&client, "retry-jobs", &form).await;
    assert!(
        sql.contains(r#"'{"queue":"emails","status":"cancelled"}'"#),
        "{sql}"
    );
    db.tick().await;
    assert_eq!(
        db.get(
            "select q.name, j.status, count(*) from supaqueue.job j join supaqueue.queue q on q.id = j.queue group by 1, 2 order by 1, 2"
        )
        .await,
        "emails|pending|70\nother|cancelled|2"
    );
    let page = client.get(&to).await;
    page.says("queue:emails status:cancelled");
    page.says(">69<");
}

#[tokio::test]
async fn a_number_in_a_filter_keeps_its_digits() {
    let client = Client::new(&database().await).await;
    let page = client
        .get("/jobs?q=payload%3A%7B%22a%22%3A1.0000000000000000000000001%7D")
        .await;
    page.says("payload:{&quot;a&quot;:1.0000000000000000000000001}");
    let filter = "filter=%7B%22payload%22%3A%7B%22a%22%3A1.0000000000000000000000001%7D%7D";
    let page = client
        .get(&format!("/actions/cancel-jobs/confirm?{filter}"))
        .await;
    page.says("1.0000000000000000000000001}}");
}

#[tokio::test]
async fn those_that_were_selected_get_another_priority() {
    let db = database().await;
    add(&db, "emails", 3).await;
    let client = Client::new(&db).await;
    let page = client.get("/jobs").await;
    assert_eq!(page.count("type=\"checkbox\" name=\"id\""), 3);
    let ids = db
        .get("select string_agg('id=' || id, '&') from supaqueue.job where key <> 'emails-3'")
        .await;
    let (sql, _) = act(
        &client,
        "change-jobs",
        &format!("back=%2Fjobs&{ids}&priority=-5"),
    )
    .await;
    assert!(sql.contains(r#"'{"priority":-5}'"#), "{sql}");
    db.tick().await;
    let priorities =
        "select string_agg(key || ' ' || priority, ', ' order by key) from supaqueue.job";
    assert_eq!(
        db.get(priorities).await,
        "emails-1 -5, emails-2 -5, emails-3 0"
    );
    for priority in ["x", "1.5", ""] {
        let path = format!("/actions/change-jobs/confirm?{ids}&priority={priority}");
        assert_eq!(client.get(&path).await.status, 400, "{priority}");
    }
}

#[tokio::test]
async fn a_dashboard_that_only_reads_offers_nothing() {
    let db = database().await;
    add(&db, "emails", 1).await;
    let client = Client::read_only(&db).await;
    let id = db.get("select id from supaqueue.job").await;
    for path in ["/jobs", &format!("/jobs/{id}")] {
        let page = client.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.body);
        assert!(!page.body.contains("/actions/"), "{path}");
        assert!(!page.body.contains("type=\"checkbox\" name"), "{path}");
    }
}
