//! What a removal drops, and what can stay.

use crate::management_api::REF;
use crate::program::Cli;
use crate::project::test;

#[test]
fn objects_that_depend_on_supaqueue_are_named_before_they_are_dropped() {
    test(async |project| {
        let url = project.stack.db_url();
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
        project
            .run(
                "create table public.parcel (id int primary key, job uuid constraint parcel_job references supaqueue.job);
                 create view public.failed_job as select * from supaqueue.job where status = 'failed';
                 create view public.failed_count as select count(*) from public.failed_job;
                 create function public.noted() returns trigger language plpgsql as 'begin return new; end';
                 create trigger note after insert on supaqueue.job for each row execute function public.noted();
                 create table public.other (id int)",
            )
            .await;
        let without_yes = project
            .supaqueue(Cli::Missing, &["remove", "--db-url", url])
            .await;
        without_yes
            .assert_failed()
            .assert_says(&["stdin is not a terminal"]);
        without_yes
            .assert_says(&["also dropped", "foreign key parcel_job of parcel"])
            .assert_says(&["also dropped", "view failed_job"])
            .assert_says(&["also dropped", "view failed_count"])
            .assert_says(&["also dropped", "trigger note on supaqueue.job"]);
        assert_eq!(
            project
                .get("select to_regclass('supaqueue.version') is not null")
                .await,
            "t",
            "nothing was removed"
        );

        project
            .supaqueue(Cli::Missing, &["remove", "--db-url", url, "--yes"])
            .await
            .assert_ok()
            .assert_says(&["also dropped", "view failed_job"]);
        assert_eq!(project.get("select to_regnamespace('supaqueue') is null and to_regclass('public.failed_job') is null").await, "t");
        assert_eq!(
            project
                .get("select count(*) from public.parcel, public.other")
                .await,
            "0",
            "the tables themselves stay"
        );
    });
}

#[test]
fn an_installation_reuses_kept_tables() {
    test(async |project| {
        project.install(Cli::DOUBLE).await.assert_ok();
        project.queue("hello", "succeed", 1).await;
        project
            .run("select supaqueue.enqueue_many('hello', array_fill('{}'::jsonb, array[3]))")
            .await;
        project
            .eventually(
                "select count(*) from supaqueue.job where status = 'successful'",
                "3",
            )
            .await;
        let dump = project.get(include_str!("../sql/dump.sql")).await;

        project
            .supaqueue(
                Cli::DOUBLE,
                &["remove", "--project-ref", REF, "--keep-data", "--yes"],
            )
            .await
            .assert_ok()
            .assert_says(&["✓ database", "tables kept"]);
        assert_eq!(project.platform.holdings(), Vec::<String>::new());
        assert_eq!(project.get("select count(*) from supaqueue.job").await, "3");
        assert_eq!(
            project
                .get(
                    "select (select count(*) from vault.secrets) + (select count(*) from cron.job)"
                )
                .await,
            "0"
        );
        // Nothing runs or counts by itself any more.
        project.run("delete from supaqueue.job where id = (select min(id::text)::uuid from supaqueue.job)").await;
        project
            .run("insert into supaqueue.job (queue) select id from supaqueue.queue")
            .await;

        project.install(Cli::DOUBLE).await.assert_ok();
        assert_eq!(
            project.get(include_str!("../sql/dump.sql")).await,
            dump,
            "the schema is the same as before"
        );
        project
            .eventually(
                "select count(*) from supaqueue.job where status = 'successful'",
                "3",
            )
            .await;
        let counts = "select successful || ' ' || pending || ' ' || in_progress from supaqueue.queue_status where name = 'hello'";
        project.eventually(counts, "3 0 0").await;
    });
}
