//! The commands that look at queues and act on jobs, through the Supabase CLI.

use crate::management_api::REF;
use crate::program::Cli;
use crate::project::test;

#[test]
fn a_hosted_project_is_looked_at_and_acted_on_through_the_supabase_cli() {
    test(|project| {
        project.install_unreachable();
        project.queue("emails", "send-email", 0);
        project.run("select supaqueue.enqueue('emails', '{\"n\": 12345678901234567890.10}')");
        let id = project.get("select id from supaqueue.job");
        let run = |line: &str, status: i32, words: &[&str]| {
            let line = format!("{line} --project-ref {REF}");
            let run = project.supaqueue(Cli::DOUBLE, &line).assert_status(status);
            run.assert_says(words);
        };
        run("status", 1, &["queue emails: the queue has no workers"]);
        run("status emails", 1, &["oldest due", &id]);
        run(&format!("job {id}"), 0, &["Its queue has no workers"]);
        run(
            &format!("job {id} --payload"),
            0,
            &["{\"n\": 12345678901234567890.10}"],
        );
        run("pause emails", 0, &["Queue emails is paused"]);
        run("pause nope", 2, &["has no queue nope"]);
        project.assert("select is_paused from supaqueue.queue", "t");
        run(&format!("cancel {id}"), 0, &["cancelled (was pending)"]);
        run(
            "retry --queue emails --status cancelled --finished-after 1h",
            1,
            &["Jobs:", "1 job"],
        );
        project.assert("select count(*) from supaqueue.operation", "0");
    });
}
