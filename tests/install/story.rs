//! The life of one project, once with each major version of the CLI.
//!
//! Supaqueue is installed, used and removed. Then the project has Supaqueue and the add-on again: its
//! secret is rotated, things break, and Supaqueue is removed again. Neither removal may leave anything behind. The doctor sees faults of the database
//! without the CLI, so those are covered once.
//!
//! Each command succeeds once with the real CLI. Where a command runs again in another state of the
//! project, its calls of the CLI are the same, and its double serves.

use crate::management_api::REF;
use crate::program::{Cli, Major};
use crate::project::{Project, test};
use crate::states::State;
use crate::{breaking, files, rotation};

#[test]
fn the_whole_story_with_version_3() {
    test(async |project| story(project, Major::Three).await);
}

#[test]
fn the_whole_story_with_version_2() {
    test(async |project| story(project, Major::Two).await);
}

async fn story(project: &Project, major: Major) {
    let (real, double) = (Cli::Real(major), Cli::Double(major));
    let before = project.contents().await;
    install(project, real).await;
    install_again(project, double).await;
    replace_the_function(project, double).await;
    remove(project, double, &before).await;

    project.bring_to(State::WithAddOn).await;
    rotation::under_load(project, real).await;
    assert_healthy(project, real).await;
    if major == Major::Three {
        breaking::in_the_database(project).await;
        breaking::while_it_runs(project).await;
    }
    breaking::at_the_platform(project, double).await;
    for verb in ["remove", "add"] {
        project
            .supaqueue(
                real,
                &[
                    "add-on",
                    verb,
                    "job_dependencies",
                    "--project-ref",
                    REF,
                    "--yes",
                ],
            )
            .await
            .assert_ok();
    }
    remove(project, real, &before).await;
    project
        .supaqueue(double, &["remove", "--project-ref", REF, "--yes"])
        .await
        .assert_ok()
        .assert_says(&["there was none"]);
}

/// Installs into an empty project. Then a job runs.
async fn install(project: &Project, cli: Cli) {
    let first = files::install_without_showing_the_secret(project, cli).await;
    first
        .assert_ok()
        .assert_says(&["✓ verification", "round trip"]);
    assert_eq!(
        project.platform.secret("SUPAQUEUE_SECRET").unwrap(),
        project.secret().await,
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
}

/// Installing again while jobs are in flight does nothing twice and disturbs no job.
async fn install_again(project: &Project, cli: Cli) {
    let (had, calls) = (project.secret().await, changes(project));
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
        .assert_says(&["function", "already up to date"]);
    assert_eq!(
        changes(project),
        Vec::<String>::new(),
        "nothing was changed outside the database"
    );
    assert_eq!(project.secret().await, had);
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
}

/// An outdated function is replaced, and jobs inserted meanwhile run.
async fn replace_the_function(project: &Project, cli: Cli) {
    let module = project
        .platform
        .function_folder("supaqueue")
        .join("supaqueue.js");
    let text = std::fs::read_to_string(&module).unwrap();
    let (head, tail) = text.split_once("sourceHash = \"").unwrap();
    std::fs::write(&module, format!("{head}sourceHash = \"old{}", &tail[3..])).unwrap();
    project.eventually_health(&["old"]).await;
    breaking::direct(project)
        .await
        .assert_says(&["warning", "another version than in this program"]);
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
}

/// The doctor finds no problem and recognizes the add-on.
async fn assert_healthy(project: &Project, cli: Cli) {
    let healthy = project
        .supaqueue(cli, &["doctor", "--project-ref", REF])
        .await;
    healthy
        .assert_ok()
        .assert_says(&["ok", "self-test"])
        .assert_says(&["ok", "job_dependencies version 1, up to date"]);
    for line in healthy.text.lines() {
        assert!(
            line.starts_with("ok"),
            "the doctor finds nothing:\n{}",
            healthy.text
        );
    }
}

async fn remove(project: &Project, cli: Cli, before: &str) {
    project
        .supaqueue(cli, &["remove", "--project-ref", REF, "--yes"])
        .await
        .assert_ok();
    assert_eq!(project.contents().await, before, "nothing is left");
}

/// The calls since the last time that changed something outside the database.
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
    /// Waits until the function's answer to a health check contains all of these words.
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
