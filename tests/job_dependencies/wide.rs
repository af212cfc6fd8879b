//! A statement propagates to a bounded number of targets, and the tick and later reports do the rest.

use supaqueue_tests::Session;

use crate::database::AddOnDb;

const COUNTS: &str = "select j.status, count(*) from supaqueue.job j group by 1 order by 1";

/// A database where job `s` has `targets` targets `t1`, `t2`, …, in a queue without workers.
async fn wide(targets: u32) -> AddOnDb {
    let db = AddOnDb::new(1).await;
    db.queue("targets", 0).await;
    db.run(&format!(
        "begin;
         select add_jobs('q', 's'), add_jobs('targets', variadic array(select 't' || i from generate_series(1, {targets}) i));
         insert into supaqueue.job_dependencies (source, target) select id('s'), id('t' || i) from generate_series(1, {targets}) i;
         commit"
    ))
    .await;
    db
}

/// Panics unless the number of jobs that a statement and the steps after it changed is bounded.
async fn check_steps(db: &AddOnDb, targets: usize, changed: &str) {
    let reached: usize = db
        .get(&format!(
            "select count(*) from supaqueue.job where status = '{changed}' and queue = supaqueue.queue_id('targets')"
        ))
        .await
        .parse()
        .unwrap();
    assert!(
        (1000..=1100).contains(&reached),
        "the statement reached {reached} targets"
    );
    assert!(db.propagate().await >= targets / 1000 - 2);
    assert_eq!(
        db.get(&format!(
            "select count(*) from supaqueue.job where status = '{changed}' and queue = supaqueue.queue_id('targets')"
        ))
        .await,
        targets.to_string()
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_report_releases_a_thousand_targets_and_the_tick_the_others() {
    let db = wide(20000).await;
    db.succeed("s").await;
    assert!(
        db.get("select supaqueue.explain_waiting(j.id) from supaqueue.job j where j.status = 'waiting' limit 1")
            .await
            .contains("has not reached it yet"),
    );
    check_steps(&db, 20000, "pending").await;
}

#[tokio::test]
async fn the_tick_goes_on_with_propagations_by_itself() {
    let db = wide(3000).await;
    db.succeed("s").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "pending|3000\nsuccessful|1");
}

#[tokio::test]
async fn later_reports_go_on_with_propagations() {
    let db = wide(2000).await;
    db.run("begin; select add_jobs('q', 'a', 'b'), wait_for('b', 'a'); commit")
        .await;
    db.succeed("s").await;
    db.succeed("a").await;
    assert_eq!(
        db.get("select count(*) >= 1100 from supaqueue.job where status = 'pending'")
            .await,
        "t"
    );
}

#[tokio::test]
async fn a_cancellation_and_a_retry_during_it_reach_all_targets_in_steps() {
    let db = wide(5000).await;
    db.fail("s").await;
    db.run("update supaqueue.job set status = 'pending' where id = id('s')")
        .await;
    assert_eq!(
        db.get("select count(*) from supaqueue.propagation where source = id('s')")
            .await,
        "2"
    );
    db.propagate().await;
    assert_eq!(db.get(COUNTS).await, "in_progress|1\nwaiting|5000");
    db.fail("s").await;
    check_steps(&db, 5000, "cancelled").await;
}

#[tokio::test]
async fn deleting_a_source_and_its_dependencies_takes_steps() {
    let db = wide(5000).await;
    db.run(
        "update supaqueue.queue set is_paused = true; delete from supaqueue.job where id = id('s')",
    )
    .await;
    check_steps(&db, 5000, "cancelled").await;
    db.run("delete from supaqueue.job").await;
    db.propagate().await;
    assert_eq!(
        db.get("select count(*) from supaqueue.job_dependencies union all select count(*) from supaqueue.dependent_job union all select count(*) from supaqueue.propagation").await,
        "0\n0\n0"
    );
}

#[tokio::test]
async fn a_dependency_changed_during_a_propagation_counts_once() {
    let db = wide(3000).await;
    db.run("select add_jobs('targets', 'new'); update supaqueue.queue set is_paused = true")
        .await;
    db.succeed("s").await;
    db.run(
        "delete from supaqueue.job_dependencies where target in (id('t1'), id('t2'), id('t3'), id('t4'), id('t5'), id('t6'));
         select wait_for('new', 's');
         update supaqueue.job_dependencies set on_failure = 'continue' where target in (id('t7'), id('t8'), id('t9'), id('t10'))",
    )
    .await;
    db.propagate().await;
    assert_eq!(db.get(COUNTS).await, "pending|3001\nsuccessful|1");
    db.assert_counts_match_sources().await;
}

/// A source that is retried must not be overtaken by the end of another source.
#[tokio::test]
async fn a_target_waits_for_a_retry_that_has_not_reached_it() {
    let db = wide(3000).await;
    db.run("update supaqueue.job_dependencies set on_failure = 'continue'")
        .await;
    db.run("begin; select add_jobs('q', 'other'); insert into supaqueue.job_dependencies (source, target) select id('other'), d.target from supaqueue.job_dependencies d; commit")
        .await;
    db.fail("s").await;
    db.propagate().await;
    db.run(
        "update supaqueue.job set status = 'pending' where id = id('s');
         update supaqueue.propagation set retry_at = 'infinity';
         update supaqueue.job set status = 'successful' where id = id('other')",
    )
    .await;
    db.propagate().await;
    let waiting = "select count(*) from supaqueue.job where status = 'waiting'";
    assert_eq!(db.get(waiting).await, "3000");
    db.run("update supaqueue.propagation set retry_at = now()")
        .await;
    db.propagate().await;
    assert_eq!(db.get(waiting).await, "3000");
    db.run("update supaqueue.job set status = 'successful' where id = id('s')")
        .await;
    db.propagate().await;
    assert_eq!(db.get(COUNTS).await, "pending|3000\nsuccessful|2");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_chain_is_cancelled_in_steps() {
    let db = AddOnDb::new(0).await;
    db.run(
        "begin; select add_jobs('q', variadic array(select 'j' || i from generate_series(0, 3000) i));
         insert into supaqueue.job_dependencies (source, target) select id('j' || i - 1), id('j' || i) from generate_series(1, 3000) i;
         commit; update supaqueue.job set status = 'cancelled' where id = id('j0')",
    )
    .await;
    assert_eq!(db.get(COUNTS).await, "cancelled|1001\nwaiting|2000");
    assert_eq!(db.propagate().await, 2);
    assert_eq!(db.get(COUNTS).await, "cancelled|3001");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_trigger_that_raises_for_one_target_does_not_keep_others_waiting() {
    let db = wide(1500).await;
    db.run(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'not this one'; end $$;
         create trigger refuse before update on supaqueue.job for each row
         when (new.status = 'pending' and new.payload ->> 'name' in ('t1', 't2')) execute function public.refuse()",
    )
    .await;
    db.succeed("s").await;
    db.propagate().await;
    assert_eq!(
        db.get(COUNTS).await,
        "pending|1498\nsuccessful|1\nwaiting|2"
    );
    assert_eq!(
        db.get("select job, problem ~ 'not this one' from supaqueue.problem where job is not null order by problem, job").await,
        db.get("select j.id, true from supaqueue.job j where j.status = 'waiting' order by j.id").await
    );
    db.run(
        "drop trigger refuse on supaqueue.job; update supaqueue.propagation set retry_at = now()",
    )
    .await;
    db.propagate().await;
    assert_eq!(db.get(COUNTS).await, "pending|1500\nsuccessful|1");
    assert_eq!(
        db.get("select * from supaqueue.problem where job is not null")
            .await,
        ""
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_target_that_a_transaction_holds_does_not_keep_others_waiting() {
    let db = wide(2500).await;
    db.succeed("s").await;
    let held = db
        .get("select id from supaqueue.job where status = 'waiting' order by id limit 1 offset 700")
        .await;
    let holder = Session::new(&db).await;
    holder
        .run(&format!(
            "begin; select from supaqueue.job where id = '{held}' for update"
        ))
        .await;
    db.propagate().await;
    assert_eq!(
        db.get(COUNTS).await,
        "pending|2499\nsuccessful|1\nwaiting|1"
    );
    holder.run("commit").await;
    db.run("update supaqueue.propagation set retry_at = now()")
        .await;
    db.propagate().await;
    assert_eq!(db.get(COUNTS).await, "pending|2500\nsuccessful|1");
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_repeatable_read_transaction_leaves_the_targets_to_the_tick() {
    let db = AddOnDb::new(1).await;
    db.run("select add_jobs('q', 'a')").await;
    let old = Session::new(&db).await;
    old.run("begin isolation level repeatable read; select from supaqueue.job")
        .await;
    db.run("begin; select add_jobs('q', 't'), wait_for('t', 'a'); commit")
        .await;
    old.run("update supaqueue.job set status = 'successful' where id = id('a'); commit")
        .await;
    db.propagate().await;
    assert_eq!(
        db.get("select status from supaqueue.job where id = id('t')")
            .await,
        "pending",
        "the transaction did not see the dependency"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_trigger_of_the_user_sees_none_of_the_settings() {
    let db = AddOnDb::new(3).await;
    db.run(
        "create table public.seen (enable_seqscan text, plan_cache_mode text, search_path text);
         create function public.see() returns trigger language plpgsql as $$ begin
           insert into public.seen select current_setting('enable_seqscan'), current_setting('plan_cache_mode'), current_setting('search_path');
           return new; end $$;
         begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('b', 'a'), wait_for('c', 'b'); commit;
         create trigger see before update on supaqueue.job for each row execute function public.see();
         create trigger see_all after update on supaqueue.job for each statement execute function public.see()",
    )
    .await;
    db.fail("a").await;
    db.run(
        "update supaqueue.job set status = 'pending' where id = id('a'); delete from supaqueue.job",
    )
    .await;
    assert_eq!(
        db.get("select distinct s.enable_seqscan, s.plan_cache_mode, s.search_path ~ 'public' from public.seen s")
            .await,
        "on|auto|t"
    );
}

#[tokio::test]
async fn a_dependency_added_during_a_step_counts_once() {
    let db = wide(3000).await;
    db.run("update supaqueue.queue set is_paused = true").await;
    db.succeed("s").await;
    let (step, user) = (Session::new(&db).await, Session::new(&db).await);
    assert_eq!(
        step.get("begin; select supaqueue.tick_job_dependencies()")
            .await,
        "t"
    );
    assert_eq!(
        db.get("select supaqueue.tick_job_dependencies()").await,
        "f",
        "another step waits for nothing"
    );
    user.run("begin; select add_jobs('targets', 'n'); select wait_for('n', 's')")
        .await;
    let commit = user.start("commit");
    assert!(
        commit.blocks_on(&db, &step).await,
        "the counting must know what the step has reached"
    );
    step.run("commit").await;
    commit.finish().await.unwrap();
    db.propagate().await;
    assert_eq!(db.get(COUNTS).await, "pending|3001\nsuccessful|1");
    db.assert_counts_match_sources().await;
}
