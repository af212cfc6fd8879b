//! What a removal drops, and what can stay.

use crate::management_api::REF;
use crate::program::Cli;
use crate::project::test;

#[test]
fn objects_that_depend_on_supaqueue_are_named_before_they_are_dropped() {
    test(|project| {
        project.install_unreachable();
        project.run(
            "create table public.parcel (id int primary key, job uuid constraint parcel_job references supaqueue.job);
             create view public.failed_job as select * from supaqueue.job where status = 'failed';
             create view public.failed_count as select count(*) from public.failed_job;
             create function public.noted() returns trigger language plpgsql as 'begin return new; end';
             create trigger note after insert on supaqueue.job for each row execute function public.noted();
             create table public.other (id int)",
        );
        let remove = format!("remove --db-url {}", project.stack.db_url());
        project
            .fails(Cli::Missing, &remove)
            .assert_says(&["stdin is not a terminal"])
            .assert_says(&["also dropped", "foreign key parcel_job of parcel"])
            .assert_says(&["also dropped", "view failed_job"])
            .assert_says(&["also dropped", "view failed_count"])
            .assert_says(&["also dropped", "trigger note on supaqueue.job"]);
        // Nothing was removed.
        project.assert("select to_regclass('supaqueue.version') is not null", "t");

        let run = project.succeeds(Cli::Missing, &format!("{remove} --yes"));
        run.assert_says(&["also dropped", "view failed_job"]);
        project.assert("select to_regnamespace('supaqueue') is null", "t");
        project.assert("select to_regclass('public.failed_job') is null", "t");
        // The tables themselves stay.
        project.assert("select count(*) from public.parcel, public.other", "0");
    });
}

#[test]
fn an_installation_reuses_kept_tables() {
    test(|project| {
        let successful = "select count(*) from supaqueue.job where status = 'successful'";
        project.install(Cli::DOUBLE);
        project.queue("hello", "succeed", 1);
        project.run("select supaqueue.enqueue_many('hello', array_fill('{}'::jsonb, array[3]))");
        project.eventually(successful, "3");
        let dump = project.dump();

        let remove = format!("remove --project-ref {REF} --keep-data --yes");
        let run = project.succeeds(Cli::DOUBLE, &remove);
        run.assert_says(&["✓ database", "tables kept"]);
        assert_eq!(project.platform.holdings(), Vec::<String>::new());
        project.assert("select count(*) from supaqueue.job", "3");
        project.assert("select count(*) from vault.secrets", "0");
        project.assert("select count(*) from cron.job", "0");
        // Nothing runs or counts by itself any more.
        project.run(
            "delete from supaqueue.job where id = (select min(id::text)::uuid from supaqueue.job)",
        );
        project.run("insert into supaqueue.job (queue) select id from supaqueue.queue");

        project.install(Cli::DOUBLE);
        assert_eq!(project.dump(), dump, "the schema is the same as before");
        project.eventually(successful, "3");
        let counts = "select successful || ' ' || pending || ' ' || in_progress from supaqueue.queue_status where name = 'hello'";
        project.eventually(counts, "3 0 0");
    });
}
