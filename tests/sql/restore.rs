//! Rows that were loaded without triggers, as a restore or a seed file loads them.

use supaqueue_tests::{Db, get, refusal, run};
use tokio_postgres::Client;

/// The tables of the schema, each with the columns that a dump names.
const TABLES: &str = "
    select format('supaqueue.%I (%s)', c.relname,
      (select string_agg(quote_ident(a.attname), ', ' order by a.attnum) from pg_attribute a
       where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''))
    from pg_class c
    where c.relnamespace = 'supaqueue'::regnamespace and c.relkind = 'r'
    order by c.relname";
const SEQUENCES: &str = "
    select format('select setval(%L, %s)', 'supaqueue.' || sequencename, coalesce(last_value, 1))
    from pg_sequences where schemaname = 'supaqueue'";

/// Loads all rows of one database into another, without triggers: what `pg_dump --data-only` and
/// `session_replication_role = replica` do.
async fn copy_data(from: &Client, to: &Client) {
    run(to, "set session_replication_role = replica").await;
    let file = format!(
        "{}/{}",
        get(from, "show data_directory").await,
        get(from, "select current_database()").await
    );
    for table in get(from, TABLES).await.lines() {
        run(from, &format!("copy {table} to '{file}'")).await;
        run(to, &format!("copy {table} from '{file}'")).await;
    }
    for statement in get(from, SEQUENCES).await.lines() {
        get(to, statement).await;
    }
    run(to, "set session_replication_role = origin").await;
}

async fn tick_until(db: &Db, sql: &str, want: &str) {
    for _ in 0..20 {
        if db.get(sql).await == want {
            return;
        }
        db.tick().await;
    }
    assert_eq!(db.get(sql).await, want, "after 20 ticks: {sql}");
}

#[tokio::test]
async fn a_data_only_dump_loads_into_a_database_with_the_schema() {
    let old = Db::new().await;
    old.queue("q", 2).await;
    old.run("update supaqueue.setting set jobs_per_request = 7")
        .await;
    old.run("select supaqueue.enqueue_many('q', '{1,2,3,4}'); select supaqueue.enqueue('q', '5', run_at => now() + interval '1 day')").await;
    old.run(
        "insert into supaqueue.job (queue, status) values (supaqueue.queue_id('q'), 'waiting')",
    )
    .await;
    old.run("select supaqueue.schedule('s', 'q', '30 3 * * mon', timezone => 'Europe/Berlin')")
        .await;
    old.run("select public.end_current_job((select min(id::text)::uuid from supaqueue.current_job), true, true)").await;
    old.tick().await;

    let new = Db::new().await;
    // The same migrations made the queue in both, and a project that was in use has its own rows of configuration.
    new.queue("q", 1).await;
    new.run("select supaqueue.settings()").await;
    new.tick().await;
    let from = old.database().connect_as_admin().await.unwrap();
    let to = new.database().connect_as_admin().await.unwrap();
    copy_data(&from, &to).await;
    for rows in [
        "select jobs_per_request from supaqueue.setting",
        "select * from supaqueue.version order by part, number",
        "select * from supaqueue.job order by id",
        "select * from supaqueue.queue",
        "select * from supaqueue.worker order by id",
        "select * from supaqueue.schedule",
    ] {
        assert_eq!(new.get(rows).await, old.get(rows).await, "{rows}");
    }
    // The calls went on elsewhere, or nowhere: their leases end.
    new.run("update supaqueue.current_job set lease_until = '-infinity', dispatches = 5")
        .await;
    new.run("update supaqueue.queue set backoff_base_ms = 0, backoff_max_ms = 0")
        .await;
    new.tick().await;
    new.run("update supaqueue.job set run_at = now() - interval '1 hour' where status = 'pending' and payload <> '5'").await;
    tick_until(&new, "select count(*) from supaqueue.current_job", "2").await;
    let id = new.get("select supaqueue.enqueue('q', '6')").await;
    assert_eq!(new.get(&format!("select max(position) = (select position from supaqueue.job where id = '{id}') from supaqueue.job")).await, "t");
}

/// A queue that was used is not replaced by one of the same name, and a name is not taken twice outside of a restore.
#[tokio::test]
async fn a_queue_with_jobs_is_not_replaced() {
    let db = Db::new().await;
    db.queue("used", 1).await;
    db.queue("unused", 1).await;
    db.run("select supaqueue.enqueue('used')").await;
    let loader = db.database().connect_as_admin().await.unwrap();
    let insert = |name: &str| {
        format!("insert into supaqueue.queue (name, edge_function_name) values ('{name}', 'hello')")
    };
    for name in ["used", "unused"] {
        assert_eq!(
            db.refusal(&insert(name)).await,
            "queue_name_is_unique",
            "{name}"
        );
    }
    run(&loader, "set session_replication_role = replica").await;
    assert_eq!(
        refusal(&loader, &insert("used")).await,
        "queue_name_is_unique"
    );
    run(&loader, &insert("unused")).await;
    assert_eq!(
        db.get("select name, (select count(*) from supaqueue.worker w where w.queue = q.id) from supaqueue.queue q order by name")
            .await,
        "unused|0\nused|1"
    );
}

#[tokio::test]
async fn a_job_loaded_without_triggers_is_started_by_the_tick() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    let loader = db.database().connect_as_admin().await.unwrap();
    run(
        &loader,
        "set session_replication_role = replica;
         insert into supaqueue.job (queue, payload, run_at) values
           (supaqueue.queue_id('q'), '1', now()), (supaqueue.queue_id('q'), '2', now() + interval '1 day')",
    )
    .await;
    tick_until(
        &db,
        "select status from supaqueue.job where payload = '1'",
        "in_progress",
    )
    .await;
    assert_eq!(
        db.get("select status from supaqueue.job where payload = '2'")
            .await,
        "pending"
    );
    assert_eq!(
        db.get("select pending, in_progress from supaqueue.queue_status")
            .await,
        "1|1",
        "the counts are true"
    );
}

#[tokio::test]
async fn a_job_changed_or_deleted_without_triggers_blocks_no_other() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3,4}')")
        .await;
    let loader = db.database().connect_as_admin().await.unwrap();
    run(
        &loader,
        "set session_replication_role = replica;
         delete from supaqueue.job where payload = '1';
         update supaqueue.job set status = 'cancelled', finished_at = now() where payload = '2';
         update supaqueue.job set run_at = now() + interval '1 day' where payload = '3'",
    )
    .await;
    db.run("select supaqueue.set_workers('q', 3)").await;
    tick_until(
        &db,
        "select payload, status from supaqueue.job order by payload",
        "2|cancelled\n3|pending\n4|in_progress",
    )
    .await;
    assert_eq!(db.get("select problem from supaqueue.problem").await, "");
}

#[tokio::test]
async fn a_job_set_to_in_progress_without_triggers_gets_a_call_again() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let loader = db.database().connect_as_admin().await.unwrap();
    run(
        &loader,
        "set session_replication_role = replica;
         insert into supaqueue.job (queue, status, attempts, started_at) values (supaqueue.queue_id('q'), 'in_progress', 1, now())",
    )
    .await;
    tick_until(
        &db,
        "select status, attempts, errors #>> '{0,message}' like 'lost:%' from supaqueue.job",
        "pending|1|t",
    )
    .await;
}
