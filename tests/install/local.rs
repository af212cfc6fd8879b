//! `--local`: the stack that `supabase start` starts. That needs Docker, so the CLI is a stub whose
//! `status` has the shape of version 3.1.0 (from its source), with the database and gateway of our own
//! local stack.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use crate::program::Cli;
use crate::project::test;

fn mode(path: &Path) -> u32 {
    let metadata = std::fs::symlink_metadata(path).unwrap();
    metadata.permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

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
        set_mode(&folder.join("config.toml"), 0o640);
        // Left by someone who wants to read the secret.
        let env_file = folder.join(".temp/supaqueue.env");
        let elsewhere = project.environment.home.join("elsewhere");
        std::fs::create_dir(folder.join(".temp")).unwrap();
        std::fs::write(&elsewhere, "").unwrap();
        symlink(&elsewhere, &env_file).unwrap();
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
        assert_eq!(std::fs::read_to_string(&elsewhere).unwrap(), "");
        assert_eq!(mode(&env_file), 0o600);
        assert_eq!(mode(&folder.join("config.toml")), 0o640);
        set_mode(&env_file, 0o644);
        let run = project.fails(Cli::Stub, "doctor --local");
        run.assert_says(&["failed", "edge runtime", "oneshot", "config.toml:3"]);
        let config = std::fs::read_to_string(folder.join("config.toml")).unwrap();
        let config = config.replace("oneshot", "per_worker");
        std::fs::write(folder.join("config.toml"), config).unwrap();

        // Do what `supabase functions serve` does with the files. Then only the address differs.
        let env = std::fs::read_to_string(&env_file).unwrap();
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
        assert_eq!(mode(&env_file), 0o600);
        project.succeeds(Cli::Stub, "doctor --local");

        project.succeeds(Cli::Stub, "remove --local --yes");
        assert!(!env_file.exists());
        project.assert("select to_regnamespace('supaqueue') is null", "t");
    });
}
