//! What is released, and how it goes away.

use supaqueue_files::{REMOVE, core};
use supaqueue_tests::{Db, TICK, postgres, repository, run};

/// All that a dump would show of the schemas supaqueue and public, as text.
const DUMP: &str = include_str!("dump.sql");

/// A database as the platform makes it.
async fn without_supaqueue() -> Db {
    let db = Db::without_secrets().await;
    db.run(REMOVE).await;
    db
}

#[tokio::test]
async fn the_schema_and_the_migrations_give_the_same_dump() {
    let migrated = Db::without_secrets().await;
    let assembled = Db::without_secrets().await;
    assembled
        .run("drop schema supaqueue cascade; drop function public.end_current_job, public.end_current_jobs, public.supaqueue_pulse, public.supaqueue_enqueue, public.supaqueue_enqueue_many")
        .await;
    let mut files: Vec<_> = ["sql/schema", "sql/schema/tables"]
        .into_iter()
        .flat_map(|folder| std::fs::read_dir(repository().join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    files.sort_by_key(|path| path.file_name().map(ToOwned::to_owned));
    for file in files {
        let sql = std::fs::read_to_string(&file).unwrap();
        assembled.run(&sql).await;
    }
    let dump = migrated.get(DUMP).await;
    assert!(
        dump.lines().count() > 300,
        "the dump has seen the schema:\n{dump}"
    );
    assert_eq!(assembled.get(DUMP).await, dump);
}

#[tokio::test]
async fn the_version_is_recorded_with_its_name() {
    let db = Db::new().await;
    assert_eq!(
        db.get("select part, number, name, finished_at is not null from supaqueue.version")
            .await,
        "supaqueue|1|0001_supaqueue|t"
    );
}

#[tokio::test]
async fn a_version_that_is_there_is_not_applied_again() {
    let db = Db::new().await;
    db.run("update supaqueue.setting set jobs_per_request = 7; select cron.unschedule('supaqueue_tick')")
        .await;
    let everything = "select (select string_agg(v::text, ' ') from supaqueue.version v), (select s::text from supaqueue.setting s),
        (select count(*) from cron.job)";
    let before = (db.get(DUMP).await, db.get(everything).await);
    db.run(&core().from_scratch()).await;
    assert_eq!((db.get(DUMP).await, db.get(everything).await), before);
}

/// As `psql -f` runs a file: each statement is a transaction, and an error ends only that.
#[tokio::test]
async fn a_migration_is_all_or_nothing_wherever_it_is_applied() {
    let db = without_supaqueue().await;
    for version in core().versions {
        let statement = db.client().prepare(version.sql).await;
        assert!(statement.is_ok(), "{} is one statement", version.name);
    }
    db.run("create function public.end_current_job(uuid, boolean, boolean, jsonb, jsonb) returns integer language sql return 1")
        .await;
    let before = db.get(DUMP).await;
    let refusal = db.refusal(&core().from_scratch()).await;
    assert!(
        refusal.starts_with("cannot change return type of existing function"),
        "{refusal}"
    );
    assert_eq!(db.get(DUMP).await, before);
    assert_eq!(
        db.get("select to_regnamespace('supaqueue') is null, count(*) from cron.job")
            .await,
        "t|0"
    );
}

/// As a preview branch or `supabase db reset` does it.
#[tokio::test]
async fn a_database_that_only_migrations_have_built_has_its_tick() {
    let db = without_supaqueue().await;
    let tick = "select string_agg(schedule || '|' || command || '|' || active, ', ') from cron.job";
    assert_eq!(db.get(tick).await, "null");
    db.run(&core().from_scratch()).await;
    assert_eq!(db.get(tick).await, format!("5 seconds|{TICK}|true"));
    // What its owner has changed stays, also when an upgrade replaces the code.
    db.run("select cron.alter_job(jobid, schedule => '* * * * *', active => false) from cron.job")
        .await;
    db.run(&format!(
        "select supaqueue.take_tables(); {}",
        core().code()
    ))
    .await;
    assert_eq!(db.get(tick).await, format!("* * * * *|{TICK}|false"));
}

#[tokio::test]
async fn remove_leaves_nothing_behind() {
    let all = "select (select string_agg(nspname, ' ' order by nspname) from pg_namespace where nspname not like 'pg\\_%'),
      (select string_agg(oid::regprocedure::text, ' ' order by oid) from pg_proc where pronamespace = 'public'::regnamespace),
      (select count(*) from vault.secrets), (select count(*) from cron.job)";
    let db = without_supaqueue().await;
    let untouched = (db.get(all).await, db.get(DUMP).await);

    db.run(&core().from_scratch()).await;
    db.run("select vault.create_secret('whsec_AAAA', 'supaqueue_secret'); select vault.create_secret('https://x', 'supaqueue_url'); select supaqueue.schedule_tick()").await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(REMOVE).await;
    assert_eq!((db.get(all).await, db.get(DUMP).await), untouched);
    db.run(REMOVE).await;
    assert_eq!(
        (db.get(all).await, db.get(DUMP).await),
        untouched,
        "twice is fine"
    );
}

#[tokio::test]
async fn remove_keeps_what_is_not_ours() {
    let db = Db::new().await;
    db.run(
        "select vault.create_secret('mine', 'my_secret');
            create table public.mine (job uuid references supaqueue.job);
            select cron.schedule('my_job', '* * * * *', 'select 1')",
    )
    .await;
    db.run(REMOVE).await;
    assert_eq!(
        db.get("select (select string_agg(name, ' ') from vault.secrets), (select string_agg(jobname, ' ') from cron.job), to_regclass('public.mine')").await,
        "my_secret|my_job|mine"
    );
}

#[tokio::test]
async fn it_installs_on_a_postgres_without_the_extensions() {
    let db = postgres().await.create_database().await.unwrap();
    let admin = db.connect_as_admin().await.unwrap();
    run(&admin, "drop schema supaqueue cascade; drop function public.end_current_job, public.end_current_jobs, public.supaqueue_pulse, public.supaqueue_enqueue, public.supaqueue_enqueue_many; drop schema net cascade; drop schema vault cascade; drop schema cron cascade").await;
    let client = db.connect().await.unwrap();
    run(&client, &core().from_scratch()).await;
    run(&client, "insert into supaqueue.queue (edge_function_name) values ('hello'); select supaqueue.set_workers('hello', 1);
                  select supaqueue.enqueue('hello'); call supaqueue.tick()").await;
    assert_eq!(
        supaqueue_tests::get(&client, "select j.status, p.problem, supaqueue.schedule_tick() is null from supaqueue.job j, supaqueue.problem p").await,
        "pending|the extension pg_net is not installed|t"
    );
    run(&client, REMOVE).await;
}
