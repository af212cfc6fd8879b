//! A project at version 1 of the schema, with jobs in flight, is brought to that of the program:
//! a part of the whole story.

use supaqueue_files::migrations;
use supaqueue_tests::job_dependencies_of_version_1;

use crate::breaking::direct;
use crate::program::Cli;
use crate::project::Project;
use crate::states::State;

/// Version 1 as its own program left it; jobs in flight survive, and none runs twice.
pub(crate) async fn from_version_1(project: &Project, cli: Cli) {
    project.bring_to(State::Version(1)).await;
    let add = job_dependencies_of_version_1();
    // An older version of the add-on, which lacks a function of today's.
    project
        .run(&format!(
            "begin; {add}; drop function supaqueue.pipeline_mermaid(uuid, integer); commit"
        ))
        .await;
    project
            .run(
                "create table public.call (job uuid);
                 create table public.answer (may boolean);
                 create function public.note_call(job uuid) returns void language sql as 'insert into public.call values (job)';
                 create function public.may_answer() returns boolean language sql as 'select exists (select from public.answer where may)';
                 grant all on public.call, public.answer to service_role",
            )
            .await;
    project.queue("slow", "answer-when-told", 3).await;
    // Nor does a call end before it is told to, however long the upgrade takes.
    project
        .run("update supaqueue.queue set timeout_ms = 120000 where name = 'slow'")
        .await;
    project
            .run(
                "select supaqueue.enqueue_many('slow', array_fill('{}'::jsonb, array[20]));
                 begin;
                 with last as (insert into supaqueue.job (queue, payload) values (supaqueue.queue_id('slow'), '{\"last\": true}') returning id)
                 insert into supaqueue.job_dependencies (source, target)
                 select j.id, last.id from supaqueue.job j, last where j.payload = '{}';
                 commit",
            )
            .await;
    // Three calls are running, and have been acknowledged; the others wait.
    project
        .eventually("select count(*) from public.call", "3")
        .await;
    let dependencies = project.get(DEPENDENCIES).await;
    direct(project)
        .await
        .assert_failed()
        .assert_says(&["failed", "installed version 1 is older than this program's"])
        .assert_says(&[
            "warning",
            "job_dependencies is not the version in this program",
        ]);

    let newest = migrations().len();
    let run = project.install(cli).await;
    run.assert_ok()
        .assert_says(&[&format!("upgraded the schema from version 1 to {newest}")])
        .assert_says(&["updated the add-on job_dependencies"])
        .assert_says(&["kept the one in the Vault"])
        .assert_says(&["function", "already up to date"]);
    assert_eq!(
            project
                .get("select (select max(number) from supaqueue.version), to_regprocedure('supaqueue.pipeline_mermaid(uuid, integer)') is not null")
                .await,
            format!("{newest}|t")
        );
    assert_eq!(project.get(DEPENDENCIES).await, dependencies);
    assert_eq!(
            project
                .get("select status, supaqueue.explain(id) like 'It is held%' from supaqueue.job where payload <> '{}'")
                .await,
            "waiting|t"
        );
    assert_eq!(
        project
            .get("select count(*), count(distinct job) from public.call")
            .await,
        "3|3",
        "the calls under way are still under way"
    );

    project.run("insert into public.answer values (true)").await;
    project
        .eventually(
            "select count(*) from supaqueue.job where status = 'successful'",
            "21",
        )
        .await;
    assert_eq!(
            project
                .get("select (select max(attempts) from supaqueue.job), count(*), count(distinct job) from public.call")
                .await,
            "1|21|21",
            "no job ran twice"
        );
    project
        .run(
            "drop function public.note_call, public.may_answer;
                 drop table public.call, public.answer",
        )
        .await;
}

const DEPENDENCIES: &str = "select
  (select string_agg(d::text, ' ' order by source) from supaqueue.job_dependencies d),
  (select d::text from supaqueue.dependent_job d)";
