//! The examples of the pages run, or are parts of files that do.

use std::fs;

use supaqueue_files::add_on;
use supaqueue_tests::{Db, repository};
use walkdir::{DirEntry, WalkDir};

use crate::page::Page;

#[tokio::test]
async fn the_statements_of_the_guide_run_in_order() {
    let db = Db::new().await;
    let guide = Page::read("docs/guide.md");
    let mut statements = 0;
    for block in guide.blocks("sql") {
        if block.contains("depends_on") && statements > 0 {
            add_job_dependencies(&db).await;
        }
        db.run(block).await;
        statements += 1;
    }
    assert!(statements >= 10, "it has only {statements} examples");

    // A user of the API reaches the queue through the trigger and the function, and not directly.
    db.run("set role authenticated").await;
    let insert = "insert into public.customer (email) values ('new@example.com')";
    db.run(insert).await;
    db.run("select public.request_report(7)").await;
    let refusal = db.refusal("select supaqueue.enqueue('report')").await;
    assert!(refusal.contains("permission denied"), "{refusal}");
    db.run("reset role").await;
    let jobs = db
        .get(
            r#"select q.name, j.payload from supaqueue.job j join supaqueue.queue q on q.id = j.queue
               where j.payload @> '{"to": "new@example.com"}' or j.payload @> '{"report": 7}' order by 1"#,
        )
        .await;
    let want = "report|{\"report\": 7}\nsend-email|{\"to\": \"new@example.com\"}";
    assert_eq!(jobs, want);
}

#[tokio::test]
async fn the_statements_about_many_jobs_run() {
    let db = Db::new().await;
    db.queue("emails", 1).await;
    db.queue("bulk", 1).await;
    db.run("insert into supaqueue.job (queue, status) select id, unnest('{failed, waiting}'::text[]) from supaqueue.queue where name = 'emails'").await;
    db.run("update supaqueue.job set http_status = 503").await;
    let page = Page::read("docs/operations.md");
    let section = page.section("## Acting on many jobs");
    let section = Page::parse("docs/operations.md".into(), section);
    for block in section.blocks("sql") {
        let id = "(select id from supaqueue.operation order by id limit 1)";
        db.run(&block.replace("'…'", id)).await;
    }
    db.run("update supaqueue.operation set per_second = null")
        .await;
    db.tick().await;
    let done = "select action, status, done from supaqueue.operation order by id";
    assert_eq!(db.get(done).await, "retry|done|1\nchange|done|1");
}

/// A seed file also runs on preview branches.
#[tokio::test]
async fn the_seed_file_gives_a_secret_and_a_url_to_a_local_stack_alone() {
    let db = Db::without_secrets().await;
    let operations = Page::read("docs/operations.md");
    let mut blocks = operations.blocks("sql");
    let seed = blocks
        .find(|block| block.contains("app.settings.jwt_secret"))
        .unwrap();
    let secrets = "select count(*) from vault.secrets";
    for secret in ["", "set app.settings.jwt_secret = 'another'"] {
        db.run(secret).await;
        db.run(seed).await;
        assert_eq!(db.get(secrets).await, "0", "{secret}");
    }
    let (_, secret) = seed
        .split_once("app.settings.jwt_secret', true) = ")
        .unwrap();
    db.run(&format!("set app.settings.jwt_secret = {secret}"))
        .await;
    db.run(seed).await;
    let problem = db
        .get("select problem from supaqueue.dispatch_problem()")
        .await;
    assert_eq!(problem, "null");
    let environment = operations
        .blocks("sh")
        .find_map(|block| block.strip_prefix("SUPAQUEUE_SECRET="));
    let stored = db
        .get("select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'")
        .await;
    assert_eq!(environment.unwrap().trim(), stored);
}

/// Installs the add-on that the pages describe.
pub(crate) async fn add_job_dependencies(db: &Db) {
    let add_on = add_on("job_dependencies").unwrap();
    db.run(&add_on.from_scratch()).await;
}

#[test]
fn typescript_is_taken_from_programs_that_are_tested() {
    let functions: Vec<String> = ["tests/functions", "tests/api"]
        .into_iter()
        .flat_map(|folder| {
            let is_ours = |entry: &DirEntry| entry.file_name() != "node_modules";
            WalkDir::new(repository().join(folder))
                .into_iter()
                .filter_entry(is_ours)
        })
        .map(|entry| entry.unwrap().into_path())
        .filter(|path| path.is_file())
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    let mut examples = 0;
    for page in Page::all() {
        for block in page.blocks("ts").chain(page.blocks("js")) {
            let is_tested = functions.iter().any(|text| text.contains(block));
            let path = page.path.display();
            assert!(
                is_tested,
                "{path}: no file in tests/functions or tests/api has\n{block}"
            );
            examples += 1;
        }
    }
    assert!(examples >= 3, "the pages have only {examples} examples");
}
