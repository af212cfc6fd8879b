//! Two transactions at once, with the interleaving forced.

use crate::house::{House, report};
use crate::session::Session;

/// A session with a transaction open.
async fn transaction(house: &House) -> Session {
    let session = Session::new(house).await;
    session.run("begin").await;
    session
}

#[tokio::test]
async fn two_sources_that_end_at_the_same_moment_release_the_target_once() {
    for is_successful in [true, false] {
        let house = House::new(5).await;
        house
            .run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a', 'continue'), wait_for('c', 'b', 'continue'); commit")
            .await;
        house.acknowledge_all().await;
        let (one, other) = (transaction(&house).await, transaction(&house).await);
        assert_eq!(one.get(&report("a", is_successful)).await, "");
        let second = other.start(&report("b", true));
        assert!(
            second.waits(&house).await,
            "the second sees what the first did"
        );
        one.run("commit").await;
        assert_eq!(second.end().await.unwrap(), "c");
        other.run("commit").await;
        assert_eq!(
            house
                .get("select attempts, status from supaqueue.job where id = id('c')")
                .await,
            "1|in_progress"
        );
        house.counts_are_right().await;
    }
}

#[tokio::test]
async fn a_report_that_is_rolled_back_has_released_nothing() {
    let house = House::new(5).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 'c'), wait_for('c', 'a'), wait_for('c', 'b'); commit").await;
    house.acknowledge_all().await;
    let (one, other) = (transaction(&house).await, transaction(&house).await);
    one.run(&report("a", true)).await;
    let second = other.start(&report("b", true));
    assert!(second.waits(&house).await);
    one.run("rollback").await;
    assert_eq!(second.end().await.unwrap(), "");
    other.run("commit").await;
    assert_eq!(
        house.statuses().await,
        "a in_progress, b successful, c waiting"
    );
    assert_eq!(house.succeed("a").await, "c");
    house.counts_are_right().await;
}

#[tokio::test]
async fn one_source_fails_while_the_other_succeeds() {
    for first in ["a", "b"] {
        let house = House::new(5).await;
        house
            .run(
                "begin; select add_jobs('q', 'a', 'b', 'c', 'd');
                 select wait_for('c', 'a'), wait_for('c', 'b'), wait_for('d', 'c'), wait_for('d', 'b'); commit",
            )
            .await;
        let (one, other) = (transaction(&house).await, transaction(&house).await);
        let second = if first == "a" { "b" } else { "a" };
        one.run(&report(first, first == "b")).await;
        let second = other.start(&report(second, second == "b"));
        assert!(second.waits(&house).await);
        one.run("commit").await;
        second.end().await.unwrap();
        other.run("commit").await;
        assert_eq!(
            house.statuses().await,
            "a failed, b successful, c cancelled, d cancelled"
        );
        house.counts_are_right().await;
    }
}

#[tokio::test]
async fn a_dependency_added_while_its_source_ends_sees_the_end() {
    for (is_successful, want) in [
        (true, "a successful, t in_progress"),
        (false, "a failed, t cancelled"),
    ] {
        let house = House::new(5).await;
        house.run("select add_jobs('q', 'a')").await;
        let (lane, user) = (transaction(&house).await, transaction(&house).await);
        lane.run(&report("a", is_successful)).await;
        user.run("select add_jobs('q', 't'); select wait_for('t', 'a')")
            .await;
        let commit = user.start("commit");
        assert!(
            commit.waits(&house).await,
            "it waits for the end of the report"
        );
        lane.run("commit").await;
        commit.end().await.unwrap();
        assert_eq!(house.statuses().await, want);
        house.counts_are_right().await;
    }
}

#[tokio::test]
async fn a_long_transaction_that_adds_a_dependency_holds_no_report_up() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 'b', 't'), wait_for('t', 'b'); commit")
        .await;
    let user = transaction(&house).await;
    user.run("select add_jobs('q', 'n'); select wait_for('n', 'a'), wait_for('t', 'a')")
        .await;
    house.succeed("a").await;
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, t waiting"
    );
    user.run("commit").await;
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, n in_progress, t waiting"
    );
    house.counts_are_right().await;
    assert_eq!(house.succeed("b").await, "t");
}

#[tokio::test]
async fn a_source_that_ends_while_the_dependency_is_counted_releases_the_target() {
    let house = House::new(5).await;
    house.run("select add_jobs('q', 'a')").await;
    let user = transaction(&house).await;
    user.run("select add_jobs('q', 't'); select wait_for('t', 'a'); set constraints all immediate")
        .await;
    let lane = Session::new(&house).await;
    let ended = lane.start(&report("a", true));
    assert!(
        ended.waits(&house).await,
        "the counting has locked the source"
    );
    user.run("commit").await;
    assert_eq!(ended.end().await.unwrap(), "t");
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_dependency_on_a_target_that_starts_meanwhile_is_refused() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 't'), wait_for('t', 'a'); commit")
        .await;
    let user = transaction(&house).await;
    user.run("select add_jobs('q', 'n'); select wait_for('t', 'n')")
        .await;
    assert_eq!(house.succeed("a").await, "t");
    let refusal = user.ask("commit").await.unwrap_err();
    assert!(
        refusal.contains("it has started or ended already (in_progress)"),
        "{refusal}"
    );
    assert_eq!(house.statuses().await, "a successful, t in_progress");
    house.counts_are_right().await;
}

/// The dispatch of a transaction holds locks of queues. It must not wait for a job
/// whose report waits for those.
#[tokio::test]
async fn adding_jobs_and_a_dependency_on_a_job_whose_worker_becomes_free_is_no_deadlock() {
    let house = House::new(5).await;
    house
        .run("begin; select add_jobs('q', 'a', 't'), wait_for('t', 'a'); commit")
        .await;
    let (holder, user, lane) = (
        transaction(&house).await,
        transaction(&house).await,
        Session::new(&house).await,
    );
    // The report is held between the end of its job and the freeing of its worker.
    holder
        .run("select from supaqueue.dependent_job where id = id('t') for update")
        .await;
    let ended = lane.start(&report("a", false));
    assert!(ended.waits(&house).await);
    user.run("select add_jobs('q', 'm', 'n'); select wait_for('n', 'a', 'continue')")
        .await;
    let commit = user.start("commit");
    assert!(commit.waits(&house).await);
    holder.run("commit").await;
    ended.end().await.unwrap();
    commit.end().await.unwrap();
    assert_eq!(
        house.statuses().await,
        "a failed, m in_progress, n in_progress, t cancelled"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_dependency_between_two_targets_of_a_job_that_ends_is_no_deadlock() {
    for (source, target) in [("t", "u"), ("u", "t")] {
        let house = House::new(5).await;
        house.run("begin; select add_jobs('q', 'a', 't', 'u'), wait_for('t', 'a'), wait_for('u', 'a'); commit").await;
        let (holder, user, lane) = (
            transaction(&house).await,
            Session::new(&house).await,
            Session::new(&house).await,
        );
        // The report has the counts and waits for one of the targets.
        holder
            .run("select from supaqueue.job where id = id('u') for update")
            .await;
        let ended = lane.start(&report("a", true));
        assert!(ended.waits(&house).await);
        let added = user.start(&format!("select wait_for('{target}', '{source}')"));
        assert!(added.waits(&house).await);
        holder.run("commit").await;
        ended.end().await.unwrap();
        let refusal = added.end().await.unwrap_err();
        assert!(
            refusal.contains("has started or ended already"),
            "{refusal}"
        );
        assert_eq!(
            house.statuses().await,
            "a successful, t in_progress, u in_progress"
        );
        house.counts_are_right().await;
    }
}

/// Who waited for a target keeps no lock of it: the report that it waits for next needs it.
#[tokio::test]
async fn a_dependency_on_a_target_that_another_makes_wait_is_no_deadlock() {
    let house = House::new(2).await;
    house.run("select add_jobs('q', 'a', 'b', 't')").await;
    let (one, other, holder) = (
        transaction(&house).await,
        transaction(&house).await,
        transaction(&house).await,
    );
    one.run("select wait_for('t', 'a')").await;
    let added = other.start("select wait_for('t', 'b')");
    assert!(added.waits(&house).await, "the target was pending");
    one.run("commit").await;
    added.end().await.unwrap();
    // Now the report of b is under way, and that of a releases the target.
    holder
        .run("select from supaqueue.job where id = id('b') for update")
        .await;
    let commit = other.start("commit");
    assert!(commit.waits(&house).await);
    assert_eq!(house.succeed("a").await, "t");
    holder.run("commit").await;
    let refusal = commit.end().await.unwrap_err();
    assert!(
        refusal.contains("has started or ended already (in_progress)"),
        "{refusal}"
    );
    house.counts_are_right().await;
}

/// A job that waits when the counting begins may be called before it comes to that job: the report of
/// that call needs the counts that are locked by then.
#[tokio::test]
async fn a_job_that_starts_while_its_dependencies_are_counted_is_no_deadlock() {
    for (dependencies, refused) in [
        ("select wait_for('t', 'n'), wait_for('w', 'n')", true),
        (
            "select wait_for('n', 't', 'continue'), wait_for('w', 'n')",
            false,
        ),
    ] {
        let house = House::new(5).await;
        house
            .run("begin; select add_jobs('q', 'a', 't', 'w'), wait_for('t', 'a'), wait_for('w', 't', 'wait'); commit")
            .await;
        assert_eq!(
            house.get("select id('t') < id('w')").await,
            "t",
            "the count of t is locked first"
        );
        house.acknowledge_all().await;
        let (first, holder, user, lane) = (
            transaction(&house).await,
            transaction(&house).await,
            transaction(&house).await,
            Session::new(&house).await,
        );
        // The report of a starts t; the user, who sees it wait, comes to its count.
        assert_eq!(first.get(&report("a", true)).await, "t");
        holder
            .run("select from supaqueue.dependent_job where id = id('w') for update")
            .await;
        user.run(&format!("select add_jobs('q', 'n'); {dependencies}"))
            .await;
        let commit = user.start("commit");
        assert!(commit.waits(&house).await, "for the count of t");
        first.run("commit").await;
        assert!(commit.waits_for(&house, &holder).await, "for that of w");
        // It fails, which w would have to know.
        let ended = lane.start(&report("t", false));
        assert!(ended.waits_for(&house, &user).await);
        holder.run("commit").await;
        ended.end().await.unwrap();
        match (commit.end().await, refused) {
            (Err(refusal), true) => assert!(
                refusal.contains("has started or ended already"),
                "{refusal}"
            ),
            (Ok(_), false) => {}
            (other, _) => panic!("{dependencies}: {other:?}"),
        }
        house.counts_are_right().await;
    }
}

#[tokio::test]
async fn two_transactions_cannot_close_a_cycle() {
    let house = House::new(1).await;
    house
        .run(
            "begin; select add_jobs('q', 'first', 'a', 'b', 'c', 'd');
             select wait_for(t, 'first') from unnest(array['a', 'b', 'c', 'd']) t;
             select wait_for('b', 'a'), wait_for('d', 'c'); commit",
        )
        .await;
    let (one, other) = (transaction(&house).await, transaction(&house).await);
    one.run("select wait_for('c', 'b')").await;
    other.run("select wait_for('a', 'd')").await;
    one.run("set constraints all immediate").await;
    let second = other.start("commit");
    assert!(second.waits(&house).await, "they take turns");
    one.run("commit").await;
    let refusal = second.end().await.unwrap_err();
    assert!(
        refusal.contains("they would wait for each other"),
        "{refusal}"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn two_transactions_with_an_old_snapshot_cannot_close_a_cycle() {
    let house = House::new(1).await;
    house
        .run("begin; select add_jobs('q', 'first', 'a', 'b'), wait_for('a', 'first'), wait_for('b', 'first'); commit")
        .await;
    let old = Session::new(&house).await;
    old.run("begin isolation level repeatable read; select wait_for('b', 'a')")
        .await;
    house.run("select wait_for('a', 'b')").await;
    let refusal = old.ask("commit").await.unwrap_err();
    assert!(
        refusal.starts_with("40001"),
        "a serialization failure, to be tried again: {refusal}"
    );
    assert_eq!(
        house
            .get("select count(*) from supaqueue.job_dependencies")
            .await,
        "3"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn two_transactions_cannot_close_a_cycle_of_jobs_that_were_pending() {
    let house = House::new(1).await;
    house.run("select add_jobs('q', 'first', 'a', 'b')").await;
    let (one, other) = (transaction(&house).await, transaction(&house).await);
    one.run("select wait_for('b', 'a')").await;
    other.run("select wait_for('a', 'b')").await;
    let (first, second) = (one.start("commit"), other.start("commit"));
    let (first, second) = (first.end().await, second.end().await);
    assert!(first.is_ok() != second.is_ok(), "{first:?}, {second:?}");
    assert_eq!(
        house
            .get("select count(*) from supaqueue.job_dependencies")
            .await,
        "1"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn a_dependency_on_a_source_that_is_being_deleted_is_refused() {
    let house = House::new(1).await;
    house.run("select add_jobs('q', 'first', 'a')").await;
    let (one, other) = (transaction(&house).await, transaction(&house).await);
    one.run("delete from supaqueue.job where id = id('a')")
        .await;
    other
        .run("select add_jobs('q', 't'); select wait_for('t', 'a')")
        .await;
    let commit = other.start("commit");
    assert!(commit.waits(&house).await);
    one.run("commit").await;
    let refusal = commit.end().await.unwrap_err();
    assert!(refusal.contains("there is no job"), "{refusal}");
    assert_eq!(house.statuses().await, "first in_progress");
}

#[tokio::test]
async fn a_target_deleted_while_its_last_source_ends_is_no_deadlock() {
    let house = House::new(5).await;
    house.run("begin; select add_jobs('q', 'a', 'b', 't', 'u'), wait_for('t', 'a'), wait_for('u', 't', 'continue'), wait_for('u', 'b'); commit").await;
    let (user, lane) = (transaction(&house).await, Session::new(&house).await);
    user.run("select from supaqueue.job where id = id('t') for update")
        .await;
    let ended = lane.start(&report("a", true));
    assert!(ended.waits(&house).await);
    user.run("delete from supaqueue.job where id = id('t'); commit")
        .await;
    ended.end().await.unwrap();
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, u waiting"
    );
    // The id is free again, whatever was left of the deleted job's count.
    house
        .run("begin; select add_jobs('q', 't'), wait_for('t', 'b'); commit")
        .await;
    assert_eq!(
        house.statuses().await,
        "a successful, b in_progress, t waiting, u waiting"
    );
    house.succeed("b").await;
    assert_eq!(
        house.statuses().await,
        "a successful, b successful, t in_progress, u in_progress"
    );
    house.counts_are_right().await;
}

#[tokio::test]
async fn reports_that_release_the_same_targets_are_no_deadlock() {
    let house = House::new(40).await;
    house
        .run(
            "begin; select add_jobs('q', variadic array(select 's' || i from generate_series(1, 40) i));
             select add_jobs('q', variadic array(select 't' || i from generate_series(1, 40) i));
             insert into supaqueue.job_dependencies (source, target)
             select id('s' || i), id('t' || j) from generate_series(1, 40) i, generate_series(1, 40) j order by random(); commit",
        )
        .await;
    let mut lanes = Vec::new();
    for lane in 0..8 {
        let session = Session::new(&house).await;
        lanes.push(tokio::spawn(async move {
            for job in 0..5 {
                session
                    .ask(&report(&format!("s{}", lane * 5 + job + 1), true))
                    .await?;
            }
            Ok::<_, String>(())
        }));
    }
    for lane in lanes {
        lane.await.unwrap().unwrap();
    }
    assert_eq!(
        house.get("select status, attempts, count(*) from supaqueue.job where payload ->> 'name' like 't%' group by 1, 2").await,
        "in_progress|1|40"
    );
    house.counts_are_right().await;
}
