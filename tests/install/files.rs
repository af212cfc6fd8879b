//! What the program writes, what it sends, and what it must not.

use std::collections::BTreeSet;
use std::time::Duration;

use supaqueue_files::{core, function_files};

use crate::program::{self, Cli, Run};
use crate::project::{Project, eventually, test};

#[test]
fn a_dry_run_prints_every_step_and_sends_nothing() {
    test(|project| {
        let line = format!("{} --dry-run", project.install_line());
        project
            .succeeds(Cli::DOUBLE, &line)
            .assert_says(&["migrations: ", "0001_supaqueue.sql"])
            .assert_says(&["verification: "])
            .assert_says(&["nothing was sent"])
            .assert_says(&["URL: ", project.stack.gateway_url()]);
        assert_eq!(project.platform.take_calls(), Vec::<String>::new());
    });
}

#[test]
fn nothing_is_changed_without_consent() {
    test(|project| {
        let before = project.contents();
        let without_yes = project.install_line().replace("--yes", "");
        let run = project.fails(Cli::DOUBLE, &without_yes);
        run.assert_says(&["cannot prompt"]);
        assert_eq!(project.contents(), before);
        project
            .fails(Cli::DOUBLE, "install --yes")
            .assert_says(&["no project selected"])
            .assert_says(&["--project-ref"]);
    });
}

/// Installs; no statement and no command line of any process may contain the secret.
pub(crate) fn install_without_showing_the_secret(project: &Project, cli: Cli) -> Run {
    let mut running = project
        .command(cli, &project.install_line())
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
        std::thread::sleep(Duration::from_millis(50));
    }
    let run = program::ended(&running.wait_with_output().unwrap()).assert_status(0);
    let secret = project.platform.secret("SUPAQUEUE_SECRET").unwrap();
    let is_seen = |word: &str| command_lines.iter().any(|line| line.contains(word));
    assert!(is_seen("secrets set"), "the command lines were seen");
    assert!(!is_seen(&secret));
    let queries = project.platform.queries();
    let is_sent = |word: &str| queries.iter().any(|query| query.contains(word));
    assert!(is_sent("create_secret"), "the statements were seen");
    assert!(!is_sent(&secret[6..]));
    project.eventually_no_temporary_files();
    run
}

#[test]
fn migration_and_function_are_written_into_the_users_folder() {
    test(|project| {
        let folder = project.environment.folder.join("supabase");
        let run = project.fails(Cli::Missing, "install --write-function");
        run.assert_says(&["no supabase folder"]);
        let config = "# ours\nproject_id = \"x\"\n\n[functions.hello]\nverify_jwt = true # keep\n";
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let both = "install --write-migration --write-function";
        let run = project.succeeds(Cli::Missing, both);
        run.assert_says(&["Next: ", "supabase db push"]);
        assert_eq!(
            std::fs::read_to_string(folder.join("config.toml")).unwrap(),
            format!("{config}\n[functions.supaqueue]\nverify_jwt = false\n")
        );
        for (name, bytes) in function_files() {
            let written = std::fs::read(folder.join("functions/supaqueue").join(name));
            assert_eq!(written.unwrap(), bytes);
        }
        let mut written: Vec<_> = std::fs::read_dir(folder.join("migrations"))
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(written.len(), core().versions.len());
        let run = project.succeeds(Cli::Missing, both);
        run.assert_says(&["All files are up to date"]);

        // As `supabase db push` does. The rest of the installation then finds the schema in place.
        written.sort();
        for path in written {
            let sql = std::fs::read_to_string(path).unwrap();
            project.run(&format!("begin; {sql}; commit"));
        }
        let run = project.install(Cli::DOUBLE);
        run.assert_says(&["migrations", "already"]);
    });
}

#[test]
fn a_self_hosted_project_is_installed_through_its_database() {
    test(|project| {
        let (url, address) = (project.stack.db_url(), project.stack.gateway_url());
        let install = format!("install --db-url {url} --yes");
        project
            .fails(Cli::Missing, &install)
            .assert_says(&["✗ URL"])
            .assert_says(&["--project-url"]);
        let install = format!("{install} --project-url {address}");
        let run = project.succeeds(Cli::Missing, &install);
        run.assert_says(&["Next step: ", "SUPAQUEUE_SECRET"])
            .assert_says(&["Next step: ", "deploy the supaqueue function"]);

        // The next steps, as the program lists them for the user.
        let secret =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_secret'";
        run.assert_says(&[secret]);
        let secret = project.get(secret);
        project.platform.deploy_supaqueue();
        project
            .platform
            .set_secret("SUPAQUEUE_SECRET", Some(&secret));
        let run = project.succeeds(Cli::Missing, &install);
        run.assert_says(&["✓ verification", "round trip"]);
        project.succeeds(Cli::Missing, &format!("doctor --db-url {url}"));

        // A rotation takes two runs, with the user's step in between.
        let rotate = format!("rotate-secret --db-url {url} --yes");
        project
            .fails(Cli::Missing, &rotate)
            .assert_says(&["✗ functions accept both secrets"])
            .assert_says(&["select string_agg(decrypted_secret"]);
        let both = project.get("select string_agg(decrypted_secret, ' ' order by name) from vault.decrypted_secrets where name in ('supaqueue_secret', 'supaqueue_secret_next')");
        project.platform.set_secret("SUPAQUEUE_SECRET", Some(&both));
        // The functions pick up a new environment within a second.
        eventually(|| {
            let run = project.supaqueue(Cli::Missing, &rotate);
            (run.status == 0).then_some(()).ok_or(|| run.text)
        });
        assert_ne!(project.secret(), secret);
    });
}
