//! The whole story, once with each major version of the CLI.

use crate::management_api::REF;
use crate::program::Cli;
use crate::project::{Project, test};

#[test]
fn install_run_upgrade_and_remove_with_version_3() {
    test(async |project| story(project, Cli::Three).await);
}

#[test]
fn install_run_upgrade_and_remove_with_version_2() {
    test(async |project| story(project, Cli::Two).await);
}

async fn story(project: &Project, cli: Cli) {
    let before = project.contents().await;

    let first = project.install(cli).await;
    first
        .assert_ok()
        .assert_says(&["✓ verification", "round trip"]);
    assert_eq!(
        project.platform.secret("SUPAQUEUE_SECRET").unwrap(),
        secret(project).await,
        "function and database share a secret"
    );
    assert_eq!(
        project.get("select count(*) from supaqueue.queue").await,
        "0",
        "the self-test leaves nothing behind"
    );

    project.queue("hello", "succeed", 2).await;
    project
        .run("select supaqueue.enqueue('hello', '{\"n\": 1}')")
        .await;
    project
        .eventually(
            "select string_agg(distinct status, ',') from supaqueue.job",
            "successful",
        )
        .await;

    // Again, with jobs in flight: nothing is done twice, and no job notices.
    let (had, calls) = (secret(project).await, changes(project));
    assert!(
        calls.contains(&"POST /functions/deploy".to_owned()),
        "{calls:?}"
    );
    project
        .run("select supaqueue.enqueue_many('hello', array_fill('{}'::jsonb, array[200]))")
        .await;
    let again = project.install(cli).await;
    again
        .assert_ok()
        .assert_says(&["functions' secret", "already"])
        .assert_says(&["function", "the same is deployed already"]);
    assert_eq!(
        changes(project),
        Vec::<String>::new(),
        "nothing was changed outside the database"
    );
    assert_eq!(secret(project).await, had);
    project
        .eventually(
            "select count(*) from supaqueue.job where status = 'successful'",
            "201",
        )
        .await;
    assert_eq!(
        project.get("select max(attempts) from supaqueue.job").await,
        "1",
        "no job was run twice"
    );

    // The function of an older version: it is replaced, and a job in the meantime waits for it.
    let module = project
        .platform
        .function_folder("supaqueue")
        .join("supaqueue.js");
    let text = std::fs::read_to_string(&module).unwrap();
    let (head, tail) = text.split_once("sourceHash = \"").unwrap();
    std::fs::write(&module, format!("{head}sourceHash = \"old{}", &tail[3..])).unwrap();
    project.eventually_health(&["old"]).await;
    project
        .run("select supaqueue.enqueue_many('hello', array_fill('{}'::jsonb, array[200]))")
        .await;
    let upgrade = project.install(cli).await;
    upgrade.assert_ok().assert_says(&["✓ function", "deployed"]);
    assert_eq!(
        changes(project),
        ["POST /functions/deploy"],
        "only what differs is done"
    );
    project
        .eventually(
            "select count(*) from supaqueue.job where status = 'successful'",
            "401",
        )
        .await;

    let healthy = project
        .supaqueue(cli, &["doctor", "--project-ref", REF])
        .await;
    healthy.assert_ok().assert_says(&["ok", "self-test"]);
    for line in healthy.text.lines() {
        assert!(
            line.starts_with("ok"),
            "the doctor finds nothing:\n{}",
            healthy.text
        );
    }

    let removed = project
        .supaqueue(cli, &["remove", "--project-ref", REF, "--yes"])
        .await;
    removed.assert_ok();
    assert_eq!(project.contents().await, before, "nothing is left");
    project
        .supaqueue(cli, &["remove", "--project-ref", REF, "--yes"])
        .await
        .assert_ok()
        .assert_says(&["there was none"]);
}

/// The secret that the database signs with.
async fn secret(project: &Project) -> String {
    project
        .get("select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'")
        .await
}

/// The calls that changed something outside the database, since the last time.
fn changes(project: &Project) -> Vec<String> {
    let is_change = |call: &String| !call.starts_with("GET") && !call.contains("/database/query");
    project
        .platform
        .take_calls()
        .into_iter()
        .filter(is_change)
        .collect()
}

impl Project {
    /// Waits until the function's health answer has all of these words.
    async fn eventually_health(&self, words: &[&str]) {
        self.run(
            "create or replace function pg_temp.ask() returns bigint language sql as
             $$ select net.http_get((select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url') || '/functions/v1/supaqueue') $$",
        )
        .await;
        let begin = std::time::Instant::now();
        loop {
            let id = self.get("select pg_temp.ask()").await;
            let answer = format!("select count(*) from net._http_response where id = {id}");
            self.eventually(&answer, "1").await;
            let content = self
                .get(&format!(
                    "select content from net._http_response where id = {id}"
                ))
                .await;
            if words.iter().all(|word| content.contains(word)) {
                return;
            }
            assert!(
                begin.elapsed() < std::time::Duration::from_secs(30),
                "{content}"
            );
        }
    }
}
