//! Adding and removing the add-on, and its privileges.

use supaqueue_files::add_on;
use supaqueue_tests::{Db, get, refusal};

use crate::database::{AddOnDb, add};

const DUMP: &str = include_str!("../sql/dump.sql");
const ROWS: &str = "select (select string_agg(j::text, e'\n' order by j.id) from supaqueue.job j),
    (select string_agg(c::text, e'\n' order by c.id) from supaqueue.current_job c),
    (select string_agg(w::text, e'\n' order by w.id) from supaqueue.worker w)";

/// The SQL that removes the add-on.
fn remove() -> &'static str {
    add_on("job_dependencies").unwrap().remove
}

#[tokio::test]
async fn adding_and_removing_it_with_calls_in_flight_changes_nothing_else() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[5])); update supaqueue.job set status = 'waiting' where id = (select id from supaqueue.job where status = 'pending' limit 1)").await;
    let before = (db.get(DUMP).await, db.get(ROWS).await);
    db.run(&add()).await;
    assert_eq!(db.get(ROWS).await, before.1);
    db.run(remove()).await;
    assert_eq!((db.get(DUMP).await, db.get(ROWS).await), before);
    db.run(remove()).await;
    assert_eq!(
        (db.get(DUMP).await, db.get(ROWS).await),
        before,
        "removing it twice changes nothing"
    );
    db.run(&add()).await;
    db.run(remove()).await;
    db.run("select public.end_current_job(c.id, true, true) from supaqueue.current_job c")
        .await;
    assert_eq!(
        db.get("select count(*) from supaqueue.job where status = 'successful'")
            .await,
        "2"
    );
}

#[tokio::test]
async fn adding_it_again_changes_nothing() {
    let db = AddOnDb::new(1).await;
    let before = db.get(DUMP).await;
    db.run(&add()).await;
    assert_eq!(db.get(DUMP).await, before);
}

#[tokio::test]
async fn removing_it_is_refused_while_jobs_wait_for_others() {
    let db = AddOnDb::new(1).await;
    db.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a'), wait_for('c', 'a'); commit").await;
    let refusal = db.refusal(remove()).await;
    db.run("rollback").await;
    assert!(
        refusal.starts_with("cannot remove job dependencies: 2 jobs wait for others; "),
        "{refusal}"
    );
    db.run("delete from supaqueue.job_dependencies").await;
    db.run(remove()).await;
    assert_eq!(db.statuses().await, "a in_progress, b pending, c pending");
}

#[tokio::test]
async fn adding_it_is_refused_where_supaqueue_is_not_installed() {
    let db = Db::new().await;
    db.run("drop schema supaqueue cascade").await;
    let refusal = db.refusal(&add()).await;
    db.run("rollback").await;
    assert!(
        refusal
            .starts_with("cannot apply version 1 of job_dependencies: Supaqueue is not installed"),
        "{refusal}"
    );
    db.run(remove()).await;
}

#[tokio::test]
async fn service_role_can_use_it() {
    let db = AddOnDb::new(9).await;
    db.run("grant execute on function id, add_jobs, wait_for to service_role")
        .await;
    let client = db.database().connect_as("service_role").await.unwrap();
    supaqueue_tests::run(
        &client,
        "begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit;
         select supaqueue.enqueue('q', depends_on => array[id('a')]);
         select supaqueue.enqueue_pipeline('[{\"name\": \"x\", \"queue\": \"q\"}, {\"name\": \"y\", \"queue\": \"q\", \"depends_on\": [\"x\"]}]');
         delete from supaqueue.job_dependencies where target <> id('b')",
    )
    .await;
    assert_eq!(
        get(&client, "select status from supaqueue.pipeline(id('a'))").await,
        "in_progress\nwaiting"
    );
    db.acknowledge_all().await;
    assert_eq!(get(&client, &crate::database::report("a", true)).await, "b");
    for statement in [
        "update supaqueue.dependent_job set unfinished = 0",
        "delete from supaqueue.dependency_turn",
        "truncate supaqueue.job_dependencies",
    ] {
        let error = refusal(&client, statement).await;
        assert!(error.contains("permission denied"), "{statement}: {error}");
    }
}

#[tokio::test]
async fn no_other_role_has_access() {
    let db = AddOnDb::new(1).await;
    assert_eq!(
        db.get(
            "select p.oid::regprocedure from pg_proc p
             where p.pronamespace = 'supaqueue'::regnamespace
               and p.prokind = 'f' and p.proname <> 'new_id'
               and (p.proconfig is null
                 or not p.proconfig && array['search_path=\"\"', 'search_path=public, extensions']
                 or has_function_privilege('anon', p.oid, 'execute')
                 or has_function_privilege('authenticated', p.oid, 'execute')
                 or exists (select from aclexplode(p.proacl) a where a.grantee = 0))"
        )
        .await,
        ""
    );
    let relations = db.get("select c.oid::regclass from pg_class c where c.relnamespace = 'supaqueue'::regnamespace and c.relname ~ 'depend|propag' and c.relkind in ('r', 'v')").await;
    assert_eq!(relations.lines().count(), 6);
    for role in ["anon", "authenticated"] {
        let client = db.database().connect_as(role).await.unwrap();
        for relation in relations.lines() {
            for statement in [
                format!("select * from {relation}"),
                format!("insert into {relation} default values"),
                format!("delete from {relation}"),
            ] {
                let error = refusal(&client, &statement).await;
                assert!(
                    error.contains("permission denied"),
                    "{role}: {statement}: {error}"
                );
            }
        }
        let error = refusal(&client, "select supaqueue.enqueue_pipeline('[]')").await;
        assert!(error.contains("permission denied"), "{role}: {error}");
    }
    assert_eq!(
        db.get("select c.oid::regclass from pg_class c where c.relnamespace = 'supaqueue'::regnamespace and c.relkind = 'r' and not c.relrowsecurity").await,
        ""
    );
}
