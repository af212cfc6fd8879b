//! Adding and removing add-ons.

use crate::program::Cli;
use crate::project::test;

#[test]
fn job_dependencies_are_added_and_removed_without_a_trace() {
    test(async |project| {
        let url = project.stack.db_url();
        let change = |verb| ["add-on", verb, "job_dependencies", "--db-url", url, "--yes"];
        project
            .supaqueue(Cli::Missing, &change("add"))
            .await
            .assert_failed()
            .assert_says(&["Supaqueue is not installed"]);
        project
            .supaqueue(
                Cli::Missing,
                &[
                    "install",
                    "--db-url",
                    url,
                    "--project-url",
                    "http://127.0.0.1:9",
                    "--yes",
                ],
            )
            .await
            .assert_ok();
        let before = project.contents().await;

        project
            .supaqueue(Cli::Missing, &change("add"))
            .await
            .assert_ok()
            .assert_says(&["✓ add-on", "job_dependencies added"]);
        assert_eq!(
            project
                .get("select to_regclass('supaqueue.job_dependencies') is not null")
                .await,
            "t"
        );
        project
            .supaqueue(Cli::Missing, &change("add"))
            .await
            .assert_ok();
        project
            .supaqueue(Cli::Missing, &change("remove"))
            .await
            .assert_ok();
        assert_eq!(project.contents().await, before);
        project
            .supaqueue(Cli::Missing, &change("remove"))
            .await
            .assert_ok();

        let run = project
            .supaqueue(
                Cli::Missing,
                &["add-on", "add", "nothing", "--db-url", url, "--yes"],
            )
            .await;
        run.assert_failed()
            .assert_says(&["there is no add-on nothing"])
            .assert_says(&["job_dependencies"]);
    });
}
