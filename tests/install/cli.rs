//! Which Supabase CLI is used, and whose login.

use std::os::unix::fs::symlink;

use supaqueue_tests::repository;

use crate::program::{self, Cli, TOKEN};
use crate::project::{Project, test};

#[test]
fn the_cli_of_the_users_project_comes_before_npx() {
    test(async |project| {
        let modules = project.environment.folder.join("node_modules/.bin");
        std::fs::create_dir_all(&modules).unwrap();
        let cli = repository().join("scripts/node_modules/supabase-2/dist/supabase.js");
        symlink(cli, modules.join("supabase")).unwrap();
        let below = project.environment.folder.join("below");
        std::fs::create_dir(&below).unwrap();
        let mut command = program::command(&project.environment, Cli::Npx, &ASK);
        let output = command.current_dir(below).output().await.unwrap();
        program::ended(&output).assert_says(&["✓ tools and login", "Supabase CLI 2.122.1"]);
        let from_elsewhere = [&ASK[..], &["--workdir", "work/below"]].concat();
        let mut command = program::command(&project.environment, Cli::Npx, &from_elsewhere);
        let above = project.environment.folder.parent().unwrap();
        let output = command.current_dir(above).output().await.unwrap();
        program::ended(&output).assert_says(&["✓ tools and login", "Supabase CLI 2.122.1"]);
    });
}

#[test]
fn npx_brings_the_cli_where_there_is_none() {
    test(async |project| {
        // What npx finds without a registry: a package above the empty folders that it is run in.
        let modules = repository().join("scripts/node_modules");
        symlink(modules, project.environment.home.join("node_modules")).unwrap();
        project
            .install(Cli::Npx)
            .await
            .assert_ok()
            .assert_says(&["✓ tools and login", "Supabase CLI 3.1.0, 1 project"])
            .assert_says(&["✓ verification", "round trip"]);
    });
}

#[test]
fn a_stored_login_is_used_with_both_versions() {
    test(async |project| {
        for (cli, version) in [(Cli::Three, "3.1.0"), (Cli::Two, "2.122.1")] {
            let run = ask_without_token(project, cli).await;
            run.assert_says(&["✗ tools and login"])
                .assert_says(&["supabase login"]);
            login(project, cli).await;
            let run = ask_without_token(project, cli).await;
            run.assert_says(&["✓ tools and login", version, "1 project"])
                .assert_says(&["cannot prompt"]);
            std::fs::remove_dir_all(project.environment.home.join(".supabase")).unwrap();
        }
    });
}

/// An installation that ends before it changes anything: it may not ask.
const ASK: [&str; 3] = ["install", "--project-ref", crate::management_api::REF];

async fn ask_without_token(project: &Project, cli: Cli) -> program::Run {
    let mut command = program::command(&project.environment, cli, &ASK);
    command.env_remove("SUPABASE_ACCESS_TOKEN");
    program::ended(&command.output().await.unwrap())
}

/// `supabase login`, as a user runs it on a machine without a keyring.
async fn login(project: &Project, cli: Cli) {
    let environment = &project.environment;
    let path = program::path(&environment.home, cli);
    let output = tokio::process::Command::new(path.join("supabase"))
        .args(["login", "--token", TOKEN])
        .env_clear()
        .env("PATH", path)
        .env("HOME", &environment.home)
        .env("SUPABASE_PROFILE", &environment.profile)
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
