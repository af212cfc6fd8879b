//! What is released, and how it goes away.

use sha2::{Digest, Sha256};
use supaqueue_tests::{Db, SECRET, migrations, postgres, repository, run};

/// All that a dump would show of the schemas supaqueue and public, as text.
const DUMP: &str = include_str!("dump.sql");

#[tokio::test]
async fn the_schema_and_the_migrations_give_the_same_dump() {
    let migrated = Db::without_secrets().await;
    let assembled = Db::without_secrets().await;
    assembled
        .run("drop schema supaqueue cascade; drop function public.end_current_job")
        .await;
    let mut files: Vec<_> = std::fs::read_dir(repository().join("sql/schema"))
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
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

/// As `supaqueue install` applies one.
fn transaction(migration: &str) -> String {
    format!("begin; {migration}; commit")
}

#[test]
fn released_migrations_are_what_they_were() {
    let released = include_str!("../../sql/migrations/released.sha256");
    let migrations = migrations();
    assert!(released.lines().count() >= 1, "version 1 is released");
    assert!(
        migrations.len() - released.lines().count() <= 1,
        "all but the last are released"
    );
    for (line, migration) in released.lines().zip(&migrations) {
        let digest: String = Sha256::digest(migration.as_bytes())
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert!(line.starts_with(&digest), "{line} has changed");
    }
}

#[tokio::test]
async fn each_migration_counts_one_version() {
    let db = Db::new().await;
    let migrations = migrations().len();
    assert_eq!(
        db.get("select count(*), max(number) from supaqueue.version")
            .await,
        format!("{migrations}|{migrations}")
    );
}

#[tokio::test]
async fn an_upgrade_keeps_jobs_settings_and_calls_under_way() {
    let db = Db::without_secrets().await;
    db.run("drop schema supaqueue cascade; drop function public.end_current_job")
        .await;
    let migrations = migrations();
    db.run(&transaction(&migrations[0])).await;
    db.run(&format!(
        "select vault.create_secret('{SECRET}', 'supaqueue_secret'); select vault.create_secret('http://127.0.0.1:9', 'supaqueue_url')"
    ))
    .await;
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[5])); update supaqueue.setting set jobs_per_request = 7").await;
    let rows = "select (select string_agg(j::text, '') from supaqueue.job j), (select string_agg(c::text, '') from supaqueue.current_job c), (select s::text from supaqueue.setting s)";
    let before = db.get(rows).await;
    for migration in &migrations[1..] {
        db.run(&transaction(migration)).await;
    }
    assert_eq!(db.get(rows).await, before);
    // The calls under way are reported to the new version, and the queue goes on to its end.
    for _ in 0..5 {
        db.run("select public.end_current_job(c.id, true, true, '{}', 60000) from supaqueue.current_job c limit 1").await;
    }
    assert_eq!(
        db.get("select string_agg(distinct status, ' '), max(attempts) from supaqueue.job")
            .await,
        "successful|1"
    );
}

#[tokio::test]
async fn a_migration_run_again_changes_nothing() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[5])); update supaqueue.setting set jobs_per_request = 7").await;
    let rows = "select (select string_agg(j::text, '') from supaqueue.job j), (select string_agg(c::text, '') from supaqueue.current_job c), (select s::text from supaqueue.setting s)";
    let before = (db.get(DUMP).await, db.get(rows).await);
    let newest = migrations().pop().unwrap();
    db.run(&transaction(&newest)).await;
    assert_eq!((db.get(DUMP).await, db.get(rows).await), before);
}

#[tokio::test]
async fn an_old_migration_does_not_replace_a_newer_one() {
    let db = Db::new().await;
    db.run("insert into supaqueue.version (number) values (1000)")
        .await;
    for (number, migration) in (1..).zip(migrations()) {
        let refusal = db.refusal(&transaction(&migration)).await;
        let wanted = format!(
            "cannot apply migration {number} of supaqueue: this database is at version 1000 already"
        );
        assert!(refusal.starts_with(&wanted), "{refusal}");
        db.run("rollback").await;
    }
}

#[tokio::test]
async fn remove_leaves_nothing_behind() {
    let remove = std::fs::read_to_string(repository().join("sql/remove.sql")).unwrap();
    let all = "select (select string_agg(nspname, ' ' order by nspname) from pg_namespace where nspname not like 'pg\\_%'),
      (select string_agg(oid::regprocedure::text, ' ' order by oid) from pg_proc where pronamespace = 'public'::regnamespace),
      (select count(*) from vault.secrets), (select count(*) from cron.job)";
    let db = Db::without_secrets().await;
    db.run("drop schema supaqueue cascade; drop function public.end_current_job")
        .await;
    let untouched = (db.get(all).await, db.get(DUMP).await);

    for migration in migrations() {
        db.run(&migration).await;
    }
    db.run("select vault.create_secret('whsec_AAAA', 'supaqueue_secret'); select vault.create_secret('https://x', 'supaqueue_url'); select supaqueue.schedule_tick()").await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(&remove).await;
    assert_eq!((db.get(all).await, db.get(DUMP).await), untouched);
    db.run(&remove).await;
    assert_eq!(
        (db.get(all).await, db.get(DUMP).await),
        untouched,
        "twice is fine"
    );
}

#[tokio::test]
async fn remove_keeps_what_is_not_ours() {
    let remove = std::fs::read_to_string(repository().join("sql/remove.sql")).unwrap();
    let db = Db::new().await;
    db.run(
        "select vault.create_secret('mine', 'my_secret');
            create table public.mine (job uuid references supaqueue.job);
            select cron.schedule('my_job', '* * * * *', 'select 1')",
    )
    .await;
    db.run(&remove).await;
    assert_eq!(
        db.get("select (select string_agg(name, ' ') from vault.secrets), (select string_agg(jobname, ' ') from cron.job), to_regclass('public.mine')").await,
        "my_secret|my_job|mine"
    );
}

#[tokio::test]
async fn it_installs_on_a_postgres_without_the_extensions() {
    let db = postgres().await.create_database().await.unwrap();
    let admin = db.connect_as_admin().await.unwrap();
    run(&admin, "drop schema supaqueue cascade; drop function public.end_current_job; drop schema net cascade; drop schema vault cascade; drop schema cron cascade").await;
    let client = db.connect().await.unwrap();
    for migration in migrations() {
        run(&client, &migration).await;
    }
    run(&client, "insert into supaqueue.queue (edge_function_name) values ('hello'); select supaqueue.set_workers('hello', 1);
                  select supaqueue.enqueue('hello'); select supaqueue.tick()").await;
    assert_eq!(
        supaqueue_tests::get(&client, "select j.status, p.problem, supaqueue.schedule_tick() is null from supaqueue.job j, supaqueue.problem p").await,
        "pending|the extension pg_net is not installed|t"
    );
    run(
        &client,
        &std::fs::read_to_string(repository().join("sql/remove.sql")).unwrap(),
    )
    .await;
}
