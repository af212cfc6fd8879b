//! Jobs with keys among sources and targets.

use crate::database::AddOnDb;

/// Adds a job with a name and the key `k`.
fn add(name: &str) -> String {
    format!(
        r#"insert into supaqueue.job (id, queue, payload, key)
           values (id('{name}'), supaqueue.queue_id('q'), '{{"name": "{name}"}}', 'k')"#
    )
}

/// A statement that sets the status of a job.
fn set(name: &str, status: &str) -> String {
    format!("update supaqueue.job set status = '{status}' where id = id('{name}')")
}

#[tokio::test]
async fn enqueue_returns_the_holder_which_waits_if_it_was_changed() {
    let db = AddOnDb::new(0).await;
    db.run("select add_jobs('q', 'a', 'b')").await;
    let enqueue = |on_conflict: &str, name: &str, source: &str| {
        format!(
            r#"select supaqueue.enqueue('q', '{{"name": "{name}"}}', key => 'k', on_conflict => '{on_conflict}', depends_on => array[id('{source}')])"#
        )
    };
    let first = db.get(&enqueue("keep", "c", "a")).await;
    assert_eq!(db.statuses().await, "a pending, b pending, c waiting");
    assert_eq!(db.get(&enqueue("keep", "d", "b")).await, first);
    let sources = "select string_agg(s.payload ->> 'name', ' ' order by 1) from supaqueue.job_dependencies e join supaqueue.job s on s.id = e.source";
    let sources = sources.replace("order by 1", "order by s.payload ->> 'name'");
    assert_eq!(db.get(&sources).await, "a");
    assert_eq!(db.get(&enqueue("replace", "d", "b")).await, first);
    assert_eq!(db.get(&enqueue("merge", "e", "a")).await, first);
    assert_eq!(db.get(&sources).await, "a b");
    assert_eq!(db.statuses().await, "a pending, b pending, e waiting");
    assert_eq!(
        db.get("select supaqueue.enqueue('q', key => 'k')").await,
        first,
        "without depends_on"
    );
    db.assert_counts_match_sources().await;
}

#[tokio::test]
async fn a_pipeline_whose_key_is_held_is_not_inserted() {
    let db = AddOnDb::new(0).await;
    let pipeline = r#"select supaqueue.enqueue_pipeline('[
        {"name": "a", "queue": "q", "payload": {"name": "a"}},
        {"name": "b", "queue": "q", "payload": {"name": "b"}, "key": "k", "depends_on": ["a"]}]')"#;
    db.run(pipeline).await;
    assert_eq!(db.refusal(pipeline).await, "a_key_is_held_by_one_job");
    assert_eq!(db.statuses().await, "a pending, b waiting");
}

#[tokio::test]
async fn a_source_that_cannot_be_retried_for_its_key_counts_as_before() {
    for (on_failure, before, after) in [
        (
            "wait",
            "s1 failed, s2 failed, t waiting",
            "s1 pending, s2 failed, t waiting",
        ),
        (
            "continue",
            "s1 failed, s2 failed, t pending",
            "s1 pending, s2 failed, t waiting",
        ),
    ] {
        let db = AddOnDb::new(0).await;
        db.run("select add_jobs('q', 't')").await;
        for source in ["s1", "s2"] {
            db.run(&add(source)).await;
            db.run(&format!("select wait_for('t', '{source}', '{on_failure}')"))
                .await;
            db.run(&set(source, "failed")).await;
        }
        assert_eq!(db.statuses().await, before, "{on_failure}");
        db.run("update supaqueue.job set status = 'pending' where status = 'failed'")
            .await;
        assert_eq!(db.statuses().await, after, "{on_failure}");
        db.assert_counts_match_sources().await;
        db.run(&set("s1", "successful")).await;
        db.run("update supaqueue.job set status = 'pending' where status = 'failed'")
            .await;
        db.run(&set("s2", "successful")).await;
        assert_eq!(
            db.statuses().await,
            "s1 successful, s2 successful, t pending",
            "{on_failure}"
        );
        db.assert_counts_match_sources().await;
    }
}

#[tokio::test]
async fn a_target_whose_key_another_job_holds_stays_cancelled_when_its_source_is_retried() {
    let db = AddOnDb::new(0).await;
    db.run("select add_jobs('q', 's')").await;
    db.run(&add("t")).await;
    db.run("select wait_for('t', 's')").await;
    db.run(&set("s", "failed")).await;
    db.run(&set("s", "pending")).await;
    assert_eq!(db.statuses().await, "s pending, t waiting");
    db.run(&set("s", "failed")).await;
    db.run(&add("u")).await;
    db.run(&set("s", "pending")).await;
    assert_eq!(db.statuses().await, "s pending, t cancelled, u pending");
    db.run(&set("s", "successful")).await;
    assert_eq!(db.statuses().await, "s successful, t cancelled, u pending");
    db.assert_counts_match_sources().await;
    db.tick().await;
    assert_eq!(
        db.get("select count(*) from supaqueue.problem where job is not null")
            .await,
        "0"
    );
}
