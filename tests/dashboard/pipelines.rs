//! The pages of pipelines.

use supaqueue_files::add_on;
use supaqueue_tests::Db;

use crate::client::{Client, database};

async fn with_add_on() -> Db {
    let db = database().await;
    db.run(&add_on("job_dependencies").unwrap().from_scratch())
        .await;
    db
}

#[tokio::test]
async fn a_pipeline_is_drawn_and_listed() {
    let db = with_add_on().await;
    let client = Client::new(&db).await;
    client
        .get("/pipelines")
        .await
        .says("There are no pipelines yet.");
    db.run(
        r#"select supaqueue.enqueue_pipeline('[
             {"name": "a", "queue": "emails"}, {"name": "b", "queue": "emails", "depends_on": ["a"], "on_failure": "wait"},
             {"name": "c", "queue": "emails", "depends_on": ["b", "a"]}]')"#,
    )
    .await;
    let list = client.get("/pipelines").await;
    assert_eq!(list.count("<tr id=\"pipeline-"), 1);
    let page = client.get(&list.link("data-row")).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(page.count("<tr id=\"job-"), 3);
    assert_eq!(page.count("<g class=\"node "), 3);
    assert_eq!(
        (
            page.count("class=\"edge"),
            page.count("class=\"edge soft\"")
        ),
        (3, 1)
    );
    assert!(
        !page.body.contains("style="),
        "the page needs no inline style"
    );
    let id = db
        .get("select id from supaqueue.job order by position desc limit 1")
        .await;
    let job = client.get(&format!("/jobs/{id}")).await;
    job.says("Waits for");
    assert_eq!(job.link("Show the pipeline"), format!("/pipelines/{id}"));
}

#[tokio::test]
async fn many_alike_are_one_node_until_each_is_asked_for() {
    let db = with_add_on().await;
    db.run(
        "select supaqueue.enqueue_pipeline((
           select jsonb_agg(d) from (
             select jsonb_build_object('name', 's', 'queue', 'emails') as d
             union all
             select jsonb_build_object('name', 'p' || i, 'queue', 'emails', 'depends_on', '[\"s\"]'::jsonb) from generate_series(1, 250) i
           ) d))",
    )
    .await;
    let client = Client::new(&db).await;
    let id = db
        .get("select id from supaqueue.job order by position limit 1")
        .await;
    let page = client.get(&format!("/pipelines/{id}")).await;
    page.says("it shows the 200 jobs nearest to");
    page.says("emails × 199");
    assert_eq!(
        (page.count("<g class=\"node "), page.count("<tr id=\"job-")),
        (2, 200)
    );
    let page = client.get(&page.link("Draw each job")).await;
    assert_eq!(page.count("<g class=\"node "), 200);
}

#[tokio::test]
async fn what_is_no_pipeline_is_not_found() {
    let client = Client::new(&with_add_on().await).await;
    for id in ["00000000-0000-0000-0000-000000000000", "7", "%3Cscript%3E"] {
        assert_eq!(
            client.get(&format!("/pipelines/{id}")).await.status,
            404,
            "{id}"
        );
    }
}

#[tokio::test]
async fn without_the_add_on_a_page_says_how_to_add_it() {
    let client = Client::new(&database().await).await;
    for path in [
        "/pipelines",
        "/pipelines/00000000-0000-0000-0000-000000000000",
    ] {
        client
            .get(path)
            .await
            .says("supaqueue add-on add job_dependencies");
    }
}
