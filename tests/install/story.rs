//! The life of one project, once with each major version of the CLI.
//!
//! Supaqueue is installed, used and removed. Then the project has Supaqueue and the add-on again: its
//! secret is rotated, things break, and Supaqueue is removed again. Neither removal may leave anything
//! behind. The doctor sees faults of the database without the CLI, so those are covered once.
//!
//! The first installation and the last removal run with the real version 2; `npm.rs` has the same with version 3. The other
//! commands call the CLI in no other way, so they run with its double.

use crate::management_api::REF;
use crate::program::{Cli, Major};
use crate::project::{Project, eventually, test};
use crate::states::State;
use crate::{breaking, files, rotation};

#[test]
fn the_whole_story_with_version_3() {
    test(|project| story(project, Major::Three));
}

#[test]
fn the_whole_story_with_version_2() {
    test(|project| story(project, Major::Two));
}

fn story(project: &Project, major: Major) {
    let double = Cli::Double(major);
    let real = match major {
        Major::Two => Cli::Real(major),
        Major::Three => double,
    };
    let before = project.contents();
    install(project, real);
    install_again(project, double);
    replace_the_function(project, double);
    project.succeeds(double, &remove());
    assert_eq!(project.contents(), before, "nothing is left");

    project.bring_to(State::WithAddOn);
    rotation::under_load(project, double);
    assert_healthy(project, double);
    if major == Major::Three {
        breaking::in_the_database(project);
        breaking::while_it_runs(project);
    }
    breaking::at_the_platform(project, double);
    for verb in ["remove", "add"] {
        let line = format!("add-on {verb} job_dependencies --project-ref {REF} --yes");
        project.succeeds(double, &line);
    }
    project.succeeds(real, &remove());
    assert_eq!(project.contents(), before, "nothing is left");
    let run = project.succeeds(double, &remove());
    run.assert_says(&["there was none"]);
}

fn remove() -> String {
    format!("remove --project-ref {REF} --yes")
}

const SUCCESSFUL: &str = "select count(*) from supaqueue.job where status = 'successful'";
const ENQUEUE_200: &str =
    "select supaqueue.enqueue_many('hello', array_fill('{}'::jsonb, array[200]))";

/// Installs into an empty project. Then a job runs.
fn install(project: &Project, cli: Cli) {
    let first = match cli {
        Cli::Real(_) => files::install_without_showing_the_secret(project, cli),
        _ => project.install(cli),
    };
    first.assert_says(&["✓ verification", "round trip"]);
    let of_functions = project.platform.secret("SUPAQUEUE_SECRET").unwrap();
    assert_eq!(
        of_functions,
        project.secret(),
        "function and database share a secret"
    );
    // The self-test leaves nothing behind.
    project.assert("select count(*) from supaqueue.queue", "0");

    project.queue("hello", "succeed", 2);
    project.run("select supaqueue.enqueue('hello', '{\"n\": 1}')");
    let statuses = "select string_agg(distinct status, ',') from supaqueue.job";
    project.eventually(statuses, "successful");
}

/// Installing again while jobs are in flight does nothing twice and disturbs no job.
fn install_again(project: &Project, cli: Cli) {
    let (had, calls) = (project.secret(), changes(project));
    assert!(
        calls.contains(&"POST /functions/deploy".to_owned()),
        "{calls:?}"
    );
    project.run(ENQUEUE_200);
    project
        .install(cli)
        .assert_says(&["functions' secret", "already"])
        .assert_says(&["function", "already up to date"]);
    // Nothing was changed outside the database.
    assert_eq!(changes(project), Vec::<String>::new());
    assert_eq!(project.secret(), had);
    project.eventually(SUCCESSFUL, "201");
    // No job was run twice.
    project.assert("select max(attempts) from supaqueue.job", "1");
}

/// An outdated function is replaced, and jobs inserted meanwhile run.
fn replace_the_function(project: &Project, cli: Cli) {
    let module = project
        .platform
        .function_folder("supaqueue")
        .join("supaqueue.js");
    let text = std::fs::read_to_string(&module).unwrap();
    let (head, tail) = text.split_once("sourceHash = \"").unwrap();
    std::fs::write(&module, format!("{head}sourceHash = \"old{}", &tail[3..])).unwrap();
    eventually_health(project, "old");
    let run = breaking::direct(project);
    run.assert_says(&["warning", "another version than in this program"]);
    project.run(ENQUEUE_200);
    let upgrade = project.install(cli);
    upgrade.assert_says(&["✓ function", "deployed"]);
    assert_eq!(
        changes(project),
        ["POST /functions/deploy"],
        "only what differs is done"
    );
    project.eventually(SUCCESSFUL, "401");
}

/// The doctor finds no problem and recognizes the add-on.
fn assert_healthy(project: &Project, cli: Cli) {
    let healthy = project.succeeds(cli, &format!("doctor --project-ref {REF}"));
    healthy
        .assert_says(&["ok", "self-test"])
        .assert_says(&["ok", "job_dependencies version 1, up to date"]);
    let is_ok = |line: &str| {
        !["failed", "warning", "skipped"]
            .iter()
            .any(|word| line.starts_with(word))
    };
    assert!(
        healthy.text.lines().all(is_ok),
        "the doctor finds nothing:\n{}",
        healthy.text
    );
}

/// The calls since the last time that changed something outside the database.
fn changes(project: &Project) -> Vec<String> {
    let mut calls = project.platform.take_calls();
    calls.retain(|call| !call.starts_with("GET") && !call.contains("/database/query"));
    calls
}

/// Waits until the function's answer to a health check contains a word.
fn eventually_health(project: &Project, word: &str) {
    eventually(|| {
        let id = project.get(
            "select net.http_get(decrypted_secret || '/functions/v1/supaqueue')
             from vault.decrypted_secrets where name = 'supaqueue_url'",
        );
        let of_answer = format!("from net._http_response where id = {id}");
        project.eventually(&format!("select count(*) {of_answer}"), "1");
        let content = project.get(&format!("select content {of_answer}"));
        content.contains(word).then_some(()).ok_or(|| content)
    });
}
