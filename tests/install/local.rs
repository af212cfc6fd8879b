//! `--local`: the stack that `supabase start` starts. That needs Docker, so the CLI is a stub whose
//! `status` has the shape of version 3.1.0 (from its source), with the database and gateway of our own
//! local stack.

use crate::program::Cli;
use crate::project::test;

#[test]
fn the_local_stack_is_installed_through_the_users_files() {
    test(async |project| {
        let folder = &project.environment.folder;
        let install = ["install", "--local", "--yes"];
        project
            .supaqueue(Cli::Stub, &install)
            .await
            .assert_failed()
            .assert_says(&["✗ tools and login", "no supabase folder"]);
        std::fs::create_dir_all(folder.join("supabase")).unwrap();
        std::fs::write(folder.join("supabase/config.toml"), "project_id = \"x\"\n").unwrap();
        status(
            project,
            r#"{"linked_project":null,"_tag":"Error","error":{"code":"StatusDbInspectError","message":"failed to inspect container health: Cannot connect to the Docker daemon"}}"#,
        );
        project
            .supaqueue(Cli::Stub, &install)
            .await
            .assert_failed()
            .assert_says(&["✗ tools and login", "the local stack is not running"])
            .assert_says(&["supabase start"]);

        let (database, gateway) = (project.stack.db_url(), project.stack.gateway_url());
        status(
            project,
            &format!(
                r#"{{"linked_project":null,"API_URL":"{gateway}","DB_URL":"{database}","ANON_KEY":"a"}}"#
            ),
        );
        let run = project.supaqueue(Cli::Stub, &install).await;
        run.assert_ok()
            .assert_says(&["✓ URL", "http://kong:8000"])
            .assert_says(&["✓ functions' secret", "supabase/.temp/supaqueue.env"])
            .assert_says(&["Next step: ", "supabase functions serve --env-file"]);

        // Do what `supabase functions serve` does with the files. Then only the address differs.
        let env = std::fs::read_to_string(folder.join("supabase/.temp/supaqueue.env")).unwrap();
        let secret = env.trim().strip_prefix("SUPAQUEUE_SECRET=").unwrap();
        let served = project.platform.function_folder("supaqueue");
        std::fs::create_dir_all(&served).unwrap();
        for file in std::fs::read_dir(folder.join("supabase/functions/supaqueue")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), served.join(file.file_name())).unwrap();
        }
        project.platform.serve_without_jwt("supaqueue");
        project
            .platform
            .set_secret("SUPAQUEUE_SECRET", Some(secret.trim_matches('"')));
        let reachable = [&install[..], &["--project-url", gateway]].concat();
        let run = project.supaqueue(Cli::Stub, &reachable).await;
        run.assert_ok()
            .assert_says(&["✓ functions' secret", "already has it"])
            .assert_says(&["✓ verification", "round trip"]);
        project
            .supaqueue(Cli::Stub, &["doctor", "--local"])
            .await
            .assert_ok();

        project
            .supaqueue(Cli::Stub, &["remove", "--local", "--yes"])
            .await
            .assert_ok();
        assert!(!folder.join("supabase/.temp/supaqueue.env").exists());
        assert_eq!(
            project
                .get("select to_regnamespace('supaqueue') is null")
                .await,
            "t"
        );
    });
}

/// Sets the stub's answer.
fn status(project: &crate::project::Project, json: &str) {
    std::fs::write(
        project.environment.home.join("status.json"),
        format!("{json}\n"),
    )
    .unwrap();
}
