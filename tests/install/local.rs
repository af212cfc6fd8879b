//! `--local`: the stack that `supabase start` starts. That needs Docker, so the CLI is a stub whose
//! `status` has the shape of version 3.1.0 (from its source), with the database and gateway of our own
//! local stack.

use crate::program::Cli;
use crate::project::test;

#[test]
fn the_local_stack_is_installed_through_the_users_files() {
    test(|project| {
        let folder = project.environment.folder.join("supabase");
        let install = "install --local --yes";
        let run = project.fails(Cli::Stub, install);
        run.assert_says(&["✗ tools and login", "no supabase folder"]);
        std::fs::create_dir_all(&folder).unwrap();
        let config = "project_id = \"x\"\n[edge_runtime]\npolicy = \"oneshot\"\n";
        std::fs::write(folder.join("config.toml"), config).unwrap();
        let status = project.environment.home.join("status.json");
        let stopped = r#"{"linked_project":null,"_tag":"Error","error":{"code":"StatusDbInspectError","message":"failed to inspect container health: Cannot connect to the Docker daemon"}}"#;
        std::fs::write(&status, format!("{stopped}\n")).unwrap();
        project
            .fails(Cli::Stub, install)
            .assert_says(&["✗ tools and login", "the local stack is not running"])
            .assert_says(&["supabase start"]);

        let (database, gateway) = (project.stack.db_url(), project.stack.gateway_url());
        let running = format!(
            r#"{{"linked_project":null,"API_URL":"{gateway}","DB_URL":"{database}","ANON_KEY":"a"}}"#
        );
        std::fs::write(&status, format!("{running}\n")).unwrap();
        project
            .succeeds(Cli::Stub, install)
            .assert_says(&["✓ URL", "http://kong:8000"])
            .assert_says(&["✓ functions' secret", "supabase/.temp/supaqueue.env"])
            .assert_says(&["Next step: correct", "config.toml:3", "per_worker"])
            .assert_says(&["Next step: ", "supabase functions serve --env-file"]);
        let run = project.fails(Cli::Stub, "doctor --local");
        run.assert_says(&["failed", "edge runtime", "oneshot", "config.toml:3"]);
        let config = std::fs::read_to_string(folder.join("config.toml")).unwrap();
        let config = config.replace("oneshot", "per_worker");
        std::fs::write(folder.join("config.toml"), config).unwrap();

        // Do what `supabase functions serve` does with the files. Then only the address differs.
        let env = std::fs::read_to_string(folder.join(".temp/supaqueue.env")).unwrap();
        let secret = env.trim().strip_prefix("SUPAQUEUE_SECRET=").unwrap();
        let served = project.platform.function_folder("supaqueue");
        std::fs::create_dir_all(&served).unwrap();
        for file in std::fs::read_dir(folder.join("functions/supaqueue")).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), served.join(file.file_name())).unwrap();
        }
        project.platform.serve_supaqueue();
        let secret = secret.trim_matches('"');
        project
            .platform
            .set_secret("SUPAQUEUE_SECRET", Some(secret));
        project
            .succeeds(Cli::Stub, &format!("{install} --project-url {gateway}"))
            .assert_says(&["✓ functions' secret", "already has it"])
            .assert_says(&["✓ verification", "round trip"]);
        project.succeeds(Cli::Stub, "doctor --local");

        project.succeeds(Cli::Stub, "remove --local --yes");
        assert!(!folder.join(".temp/supaqueue.env").exists());
        project.assert("select to_regnamespace('supaqueue') is null", "t");
    });
}
