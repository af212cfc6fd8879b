//! A call of a function with routes.

use supaqueue_tests::run;

use crate::stack::test;

#[test]
fn a_job_reaches_the_route_of_its_path() {
    test(async |project| {
        let settings = "path = 'welcome?lang=de', max_attempts = 1";
        project.queue("routes", "mailer", 1, settings).await;
        for path in ["null", "'goodbye/Zoë%3F?lang=fr'", "'?lang=fr'", "''"] {
            let enqueue = format!("select supaqueue.enqueue('routes', path => {path})");
            project.get(&enqueue).await;
        }
        let columns = "status, result, errors -> 0 ->> 'body'";
        let want = r#"successful|{"lang": "de", "welcome": "everybody"}|null
successful|{"lang": "fr", "goodbye": "Zoë?"}|null
failed|null|no route /mailer?lang=fr
failed|null|no route /mailer"#;
        project.finish_as("routes", columns, want).await;
    });
}

#[test]
fn a_path_that_leads_elsewhere_fails_the_job_if_it_is_in_the_table_anyway() {
    test(async |project| {
        project.queue("stray", "mailer", 1, "").await;
        // As after a restore, which checks nothing: a superuser loads it without triggers.
        let admin = project.stack.database().connect_as_admin().await.unwrap();
        let load = "set session_replication_role = replica;
             insert into supaqueue.job (queue, path, status) values (supaqueue.queue_id('stray'), '../../../rest/v1/rpc/x', 'waiting')";
        run(&admin, load).await;
        project
            .get("update supaqueue.job set status = 'pending' where path ~ 'rest'")
            .await;
        let columns = "status, attempts, http_status, errors -> 0 ->> 'message'";
        let want = r#"failed|1|null|cannot call "mailer": not a path like users/welcome?lang=de: "../../../rest/v1/rpc/x""#;
        project.finish_as("stray", columns, want).await;
    });
}
