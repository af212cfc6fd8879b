//! Which Supabase CLI and which login the program uses.

use std::os::unix::fs::symlink;
use std::process::Command;

use supaqueue_tests::repository;

use crate::management_api::REF;
use crate::program::{self, Cli, Major, Run, TOKEN};
use crate::project::{Project, test};

#[test]
fn the_cli_of_the_users_project_comes_before_npx() {
    test(|project| {
        let work = &project.environment.folder;
        let modules = work.join("node_modules/.bin");
        std::fs::create_dir_all(&modules).unwrap();
        symlink(program::real(Major::Two), modules.join("supabase")).unwrap();
        std::fs::create_dir(work.join("below")).unwrap();
        let from_elsewhere = format!("{} --workdir work/below", ask());
        for (line, folder) in [
            (ask(), work.join("below")),
            (from_elsewhere, work.join("..")),
        ] {
            program::run(project.command(Cli::Npx, &line).current_dir(folder))
                .assert_says(&["✓ tools and login", "Supabase CLI 2.122.1"]);
        }
    });
}

#[test]
fn without_a_cli_the_program_runs_it_with_npx() {
    test(|project| {
        // npx needs no registry for a package above the empty folder that it runs in.
        let modules = project.environment.home.join("node_modules");
        symlink(repository().join("scripts/node_modules"), &modules).unwrap();
        let line = format!("add-on add job_dependencies --project-ref {REF}");
        let run = project.supaqueue(Cli::Npx, &line);
        run.assert_says(&["✓ tools and login", "Supabase CLI 3.1.0, 1 project"]);

        // The double, for what npx passes on: arguments, stdin, the folder, and output. npx takes no
        // other version than the pinned one.
        std::fs::remove_file(&modules).unwrap();
        for folder in [".bin", "supabase"] {
            std::fs::create_dir_all(modules.join(folder)).unwrap();
        }
        let tools = std::fs::read_to_string(repository().join("scripts/package.json")).unwrap();
        let tools: serde_json::Value = serde_json::from_str(&tools).unwrap();
        let package = serde_json::json!({
            "name": "supabase",
            "version": tools["devDependencies"]["supabase"],
            "bin": "supabase",
        });
        std::fs::write(modules.join("supabase/package.json"), package.to_string()).unwrap();
        symlink(program::double(), modules.join("supabase/supabase")).unwrap();
        symlink("../supabase/supabase", modules.join(".bin/supabase")).unwrap();
        project
            .install(Cli::Npx)
            .assert_says(&["✓ tools and login", "Supabase CLI 3.1.0, 1 project"])
            .assert_says(&["✓ verification", "round trip"]);
    });
}

#[test]
fn both_versions_use_a_stored_login() {
    test(|project| {
        for (cli, version) in [(Cli::REAL_3, "3.1.0"), (Cli::REAL_2, "2.122.1")] {
            ask_without_token(project, cli)
                .assert_says(&["✗ tools and login"])
                .assert_says(&["supabase login"]);
            login(project, cli);
            ask_without_token(project, cli)
                .assert_says(&["✓ tools and login", version, "1 project"])
                .assert_says(&["cannot prompt"]);
            std::fs::remove_dir_all(project.environment.home.join(".supabase")).unwrap();
        }
    });
}

/// An installation that changes nothing, because it cannot prompt.
fn ask() -> String {
    format!("install --project-ref {REF}")
}

fn ask_without_token(project: &Project, cli: Cli) -> Run {
    program::run(
        project
            .command(cli, &ask())
            .env_remove("SUPABASE_ACCESS_TOKEN"),
    )
}

/// Runs `supabase login` as on a machine without a keyring.
fn login(project: &Project, cli: Cli) {
    let environment = &project.environment;
    let path = program::path(&environment.home, cli);
    let output = Command::new(path.join("supabase"))
        .args(["login", "--token", TOKEN])
        .env_clear()
        .env("PATH", path)
        .env("HOME", &environment.home)
        .env("SUPABASE_PROFILE", &environment.profile)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
