//! `supaqueue dashboard` says what it needs before it serves anything.

use crate::management_api::REF;
use crate::program::{Cli, Major};
use crate::project::test;

#[test]
fn it_serves_nothing_without_a_password_for_a_team_or_a_connection() {
    test(|project| {
        let url = project.stack.db_url();
        let fails = |line: &str, password: Option<&str>, words: &[&str]| {
            let line = format!("dashboard {line}");
            let mut command = project.command(Cli::Double(Major::Three), &line);
            command.env_remove("PGPASSWORD");
            command.envs(password.map(|password| ("SUPAQUEUE_DASHBOARD_PASSWORD", password)));
            let run = crate::program::run(&mut command).assert_status(1);
            for word in words {
                run.assert_says(&[word]);
            }
            assert!(!run.text.contains("http://127"), "it serves:\n{}", run.text);
        };
        let listen = format!("--db-url {url} --listen 127.0.0.1:0");
        let missing = [
            "SUPAQUEUE_DASHBOARD_PASSWORD is not set",
            "at least 12 characters",
        ];
        fails(&listen, None, &missing);
        fails(&listen, Some("eleven char"), &["less than 12 characters"]);
        let everywhere = format!("--db-url {url} --listen 0.0.0.0:0");
        fails(&everywhere, Some("twelve chars"), &["Pass --host"]);

        // A hosted project: nobody has linked it, then it is linked and has no password.
        let hosted = format!("--project-ref {REF}");
        fails(&hosted, None, &["its address is unknown", "--db-url"]);
        let saved = project.environment.folder.join("supabase/.temp");
        std::fs::create_dir_all(&saved).unwrap();
        let pooler = format!(
            "postgresql://postgres.{REF}:[YOUR-PASSWORD]@pooler.supabase.test:6543/postgres"
        );
        std::fs::write(saved.join("pooler-url"), pooler).unwrap();
        std::fs::write(saved.join("../config.toml"), "").unwrap();
        let address = format!("postgresql://postgres.{REF}@pooler.supabase.test:5432/postgres");
        fails(&hosted, None, &[&address, "Set PGPASSWORD"]);
    });
}
