//! Which Supabase CLI and which login the program uses.

use std::os::unix::fs::symlink;

use supaqueue_tests::repository;

use crate::management_api::REF;
use crate::program::{self, Cli, Major, TOKEN};
use crate::project::{Project, test};

#[test]
fn the_cli_of_the_users_project_comes_before_npx() {
    test(async |project| {
        let modules = project.environment.folder.join("node_modules/.bin");
        std::fs::create_dir_all(&modules).unwrap();
        symlink(program::real(Major::Two), modules.join("supabase")).unwrap();
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
fn without_a_cli_the_program_runs_it_with_npx() {
    test(async |project| {
        // npx needs no registry for a package above the empty folder that it runs in.
        let modules = project.environment.home.join("node_modules");
        symlink(repository().join("scripts/node_modules"), &modules).unwrap();
        let arguments = ["add-on", "add", "job_dependencies", "--project-ref", REF];
        project
            .supaqueue(Cli::Npx, &arguments)
            .await
            .assert_says(&["✓ tools and login", "Supabase CLI 3.1.0, 1 project"]);

        // The double, for what npx passes on: arguments, stdin, the folder, and output.
        std::fs::remove_file(&modules).unwrap();
        std::fs::create_dir_all(modules.join(".bin")).unwrap();
        symlink(program::double(), modules.join(".bin/supabase")).unwrap();
        project
            .install(Cli::Npx)
            .await
            .assert_ok()
            .assert_says(&["✓ tools and login", "Supabase CLI 3.1.0, 1 project"])
            .assert_says(&["✓ verification", "round trip"]);
    });
}

#[test]
fn both_versions_use_a_stored_login() {
    test(async |project| {
        for (cli, version) in [(Cli::REAL_3, "3.1.0"), (Cli::REAL_2, "2.122.1")] {
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

/// An installation that changes nothing, because it cannot prompt.
const ASK: [&str; 3] = ["install", "--project-ref", REF];

async fn ask_without_token(project: &Project, cli: Cli) -> program::Run {
    let mut command = program::command(&project.environment, cli, &ASK);
    command.env_remove("SUPABASE_ACCESS_TOKEN");
    program::ended(&command.output().await.unwrap())
}

/// Runs `supabase login` as on a machine without a keyring.
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
