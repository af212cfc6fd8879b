//! Adding and removing add-ons.

use crate::program::Cli;
use crate::project::test;

#[test]
fn job_dependencies_are_added_and_removed_without_a_trace() {
    test(|project| {
        let url = project.stack.db_url();
        let add = format!("add-on add job_dependencies --db-url {url} --yes");
        let remove = format!("add-on remove job_dependencies --db-url {url} --yes");
        let run = project.fails(Cli::Missing, &add);
        run.assert_says(&["Supaqueue is not installed"]);
        project.install_unreachable();
        let before = project.contents();

        let run = project.succeeds(Cli::Missing, &add);
        run.assert_says(&["✓ add-on", "job_dependencies added"]);
        project.assert(
            "select to_regclass('supaqueue.job_dependencies') is not null",
            "t",
        );
        project.succeeds(Cli::Missing, &add);
        project.succeeds(Cli::Missing, &remove);
        assert_eq!(project.contents(), before);
        project.succeeds(Cli::Missing, &remove);

        let nothing = format!("add-on add nothing --db-url {url} --yes");
        project
            .fails(Cli::Missing, &nothing)
            .assert_says(&["there is no add-on nothing"])
            .assert_says(&["job_dependencies"]);
    });
}
