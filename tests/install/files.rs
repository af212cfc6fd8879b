//! What the program writes, what it sends, and what it must not.

use std::collections::BTreeSet;
use std::time::Duration;

use supaqueue_files::{core, function_files};

use crate::program::{self, Cli, Run};
use crate::project::{Project, test};

#[test]
fn a_dry_run_prints_every_step_and_sends_nothing() {
    test(async |project| {
        let mut arguments = project.install_arguments().to_vec();
        arguments.push("--dry-run");
        let run = project.supaqueue(Cli::DOUBLE, &arguments).await;
        run.assert_ok()
            .assert_says(&["migrations: ", "0001_supaqueue.sql"])
            .assert_says(&["verification: "])
            .assert_says(&["nothing was sent"]);
        run.assert_says(&["URL: ", project.stack.gateway_url()]);
        assert_eq!(project.platform.take_calls(), Vec::<String>::new());
    });
}

#[test]
fn nothing_is_changed_without_consent() {
    test(async |project| {
        let before = project.contents().await;
        let arguments: Vec<_> = project
            .install_arguments()
            .into_iter()
            .filter(|argument| *argument != "--yes")
            .collect();
        project
            .supaqueue(Cli::DOUBLE, &arguments)
            .await
            .assert_failed()
            .assert_says(&["cannot prompt"]);
        assert_eq!(project.contents().await, before);
        let run = project.supaqueue(Cli::DOUBLE, &["install", "--yes"]).await;
        run.assert_failed()
            .assert_says(&["no project selected"])
            .assert_says(&["--project-ref"]);
    });
}

/// Installs; no statement and no command line of any process may contain the secret.
pub(crate) async fn install_without_showing_the_secret(project: &Project, cli: Cli) -> Run {
    let arguments = project.install_arguments();
    let mut running = program::command(&project.environment, cli, &arguments)
        .spawn()
        .unwrap();
    let mut command_lines = BTreeSet::new();
    while running.try_wait().unwrap().is_none() {
        for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
            if let Ok(line) = std::fs::read(process.path().join("cmdline")) {
                command_lines.insert(String::from_utf8_lossy(&line).replace('\0', " "));
            }
        }
        // Several times in each run of the CLI, which takes a second.
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let run = program::ended(&running.wait_with_output().await.unwrap());
    run.assert_ok();
    let secret = project.platform.secret("SUPAQUEUE_SECRET").unwrap();
    assert!(
        command_lines
            .iter()
            .any(|line| line.contains("secrets set")),
        "the command lines were seen"
    );
    assert!(!command_lines.iter().any(|line| line.contains(&secret)));
    let queries = project.platform.queries();
    assert!(
        queries.iter().any(|query| query.contains("create_secret")),
        "the statements were seen"
    );
    assert!(!queries.iter().any(|query| query.contains(&secret[6..])));
    project.eventually_no_temporary_files().await;
    run
}

#[test]
fn migration_and_function_are_written_into_the_users_folder() {
    test(async |project| {
        let folder = &project.environment.folder;
        project
            .supaqueue(Cli::Missing, &["install", "--write-function"])
            .await
            .assert_failed()
            .assert_says(&["no supabase folder"]);
        let config = "# ours\nproject_id = \"x\"\n\n[functions.hello]\nverify_jwt = true # keep\n";
        std::fs::create_dir_all(folder.join("supabase")).unwrap();
        std::fs::write(folder.join("supabase/config.toml"), config).unwrap();
        let both = ["install", "--write-migration", "--write-function"];
        project
            .supaqueue(Cli::Missing, &both)
            .await
            .assert_ok()
            .assert_says(&["Next: ", "supabase db push"]);
        assert_eq!(
            std::fs::read_to_string(folder.join("supabase/config.toml")).unwrap(),
            format!("{config}\n[functions.supaqueue]\nverify_jwt = false\n")
        );
        for (name, bytes) in function_files() {
            assert_eq!(
                std::fs::read(folder.join("supabase/functions/supaqueue").join(name)).unwrap(),
                bytes
            );
        }
        let mut written: Vec<_> = std::fs::read_dir(folder.join("supabase/migrations"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(written.len(), core().versions.len());
        project
            .supaqueue(Cli::Missing, &both)
            .await
            .assert_ok()
            .assert_says(&["All files are up to date"]);

        // As `supabase db push` does. The rest of the installation then finds the schema in place.
        written.sort();
        for path in written {
            let sql = std::fs::read_to_string(path).unwrap();
            project.run(&format!("begin; {sql}; commit")).await;
        }
        project
            .install(Cli::DOUBLE)
            .await
            .assert_ok()
            .assert_says(&["migrations", "already"]);
    });
}

#[test]
fn a_self_hosted_project_is_installed_through_its_database() {
    test(async |project| {
        let (url, address) = (project.stack.db_url(), project.stack.gateway_url());
        let run = project
            .supaqueue(Cli::Missing, &["install", "--db-url", url, "--yes"])
            .await;
        run.assert_failed()
            .assert_says(&["✗ URL"])
            .assert_says(&["--project-url"]);
        let install = [
            "install",
            "--db-url",
            url,
            "--project-url",
            address,
            "--yes",
        ];
        let run = project.supaqueue(Cli::Missing, &install).await;
        run.assert_ok()
            .assert_says(&["Next step: ", "SUPAQUEUE_SECRET"])
            .assert_says(&["Next step: ", "deploy the supaqueue function"]);

        // The next steps, as the program lists them for the user.
        let secret =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'";
        run.assert_says(&[secret]);
        let secret = project.get(secret).await;
        for (name, bytes) in function_files() {
            let folder = project.platform.function_folder("supaqueue");
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        project.platform.serve_without_jwt("supaqueue");
        project
            .platform
            .set_secret("SUPAQUEUE_SECRET", Some(&secret));
        project
            .supaqueue(Cli::Missing, &install)
            .await
            .assert_ok()
            .assert_says(&["✓ verification", "round trip"]);
        project
            .supaqueue(Cli::Missing, &["doctor", "--db-url", url])
            .await
            .assert_ok();

        // A rotation takes two runs, with the user's step in between.
        let rotate = ["rotate-secret", "--db-url", url, "--yes"];
        let run = project.supaqueue(Cli::Missing, &rotate).await;
        run.assert_failed()
            .assert_says(&["✗ functions accept both secrets"])
            .assert_says(&["select string_agg(decrypted_secret"]);
        let both = project.get("select string_agg(decrypted_secret, ' ' order by name) from vault.decrypted_secrets where name in ('supaqueue_secret', 'supaqueue_secret_next')").await;
        project.platform.set_secret("SUPAQUEUE_SECRET", Some(&both));
        project.eventually_accepts(&rotate).await;
        assert_ne!(project.get("select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'").await, secret);
    });
}
