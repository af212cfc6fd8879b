//! Operations: what they do to which jobs, exactly once, at which pace, and what they refuse.

use supaqueue_tests::protocol::{RUN, acknowledge_all};
use supaqueue_tests::{Db, Session, break_function};

const COUNTS: &str = "select status, matched, done, refused from supaqueue.operation";
const PIECE: &str = "select supaqueue.operate()";

async fn start(db: &Db, action: &str, filter: &str) {
    db.run(&format!(
        "insert into supaqueue.operation (action, filter) values ('{action}', '{filter}')"
    ))
    .await;
}

/// Failed jobs in a queue without workers, with payloads 1, 2, 3 and so on.
async fn failed_jobs(db: &Db, number: u32) {
    db.queue("q", 0).await;
    db.run(&format!(
        "insert into supaqueue.job (queue, status, attempts, payload)
         select q.id, 'failed', 3, to_jsonb(i) from supaqueue.queue q, generate_series(1, {number}) i"
    ))
    .await;
}

/// Counts the updates of each job.
const COUNT_UPDATES: &str = "
    create table public.updates (job uuid, transaction xid8 default pg_current_xact_id());
    create function public.count_updates() returns trigger language plpgsql as $$
    begin insert into public.updates values (new.id); return null; end $$;
    create trigger count_updates after update on supaqueue.job for each row execute function public.count_updates()";

#[tokio::test]
async fn retry_gives_failed_and_cancelled_jobs_all_their_attempts() {
    let db = Db::new().await;
    failed_jobs(&db, 3).await;
    db.run("insert into supaqueue.job (queue, status) select id, unnest('{cancelled, successful, waiting}'::text[]) from supaqueue.queue").await;
    start(&db, "retry", "{}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|4|4|0");
    let statuses = "select status, attempts, count(*) from supaqueue.job group by 1, 2 order by 1";
    assert_eq!(
        db.get(statuses).await,
        "pending|0|4\nsuccessful|0|1\nwaiting|0|1"
    );
    db.run("delete from supaqueue.operation").await;
    start(&db, "retry", "{\"status\": \"successful\"}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|1|1|0");
}

#[tokio::test]
async fn cancel_takes_what_has_not_ended_and_delete_refuses_what_is_in_progress() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}'); insert into supaqueue.job (queue, status) select id, unnest('{waiting, failed}'::text[]) from supaqueue.queue").await;
    start(&db, "delete", "{}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|4|3|1");
    let refusal = db.get("select last_refusal from supaqueue.operation").await;
    let job = db.get("select id from supaqueue.job").await;
    assert_eq!(
        refusal,
        format!("job {job}: it is in progress; cancel it first")
    );
    db.run("delete from supaqueue.operation").await;
    db.run("insert into supaqueue.job (queue, status) select id, unnest('{waiting, failed, pending}'::text[]) from supaqueue.queue").await;
    start(&db, "cancel", "{}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|3|3|0");
    assert_eq!(
        db.get("select string_agg(status, ' ' order by status) from supaqueue.job")
            .await,
        "cancelled cancelled cancelled failed"
    );
}

#[tokio::test]
async fn a_change_sets_each_of_its_columns() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.queue("other", 0).await;
    db.run("select supaqueue.enqueue('q'); insert into supaqueue.job (queue, status) select id, unnest('{waiting, failed}'::text[]) from supaqueue.queue where name = 'q'").await;
    db.run(
        r#"insert into supaqueue.operation (action, filter, changes) values ('change', '{"queue": "q"}', '{"priority": -5,
           "run_at": "2100-01-01T00:00:00Z", "max_attempts": 7, "timeout_ms": 1234, "headers": {"a": "b"}, "path": "x/y", "tenant": "t",
           "payload": {"new": "it''s"}, "queue": "other"}')"#,
    )
    .await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|2|2|0");
    assert_eq!(
        db.get("select distinct j.priority, j.run_at = '2100-01-01Z', j.max_attempts, j.timeout_ms, j.headers, j.path, j.tenant, j.payload, q.name
                from supaqueue.job j join supaqueue.queue q on q.id = j.queue where status <> 'failed'").await,
        "-5|t|7|1234|{\"a\": \"b\"}|x/y|t|{\"new\": \"it's\"}|other"
    );
    db.run(
        r#"delete from supaqueue.operation; insert into supaqueue.operation (action, filter, changes) values ('change', '{"queue": "other"}',
           '{"max_attempts": null, "timeout_ms": null, "headers": null, "path": null, "tenant": null}')"#,
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select distinct max_attempts, timeout_ms, headers, path, tenant from supaqueue.job where status <> 'failed'").await,
        "null|null|null|null|null"
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.held_job h join supaqueue.queue q on q.id = h.queue where q.name = 'other'")
            .await,
        "2"
    );
}

#[tokio::test]
async fn what_was_inserted_or_ended_afterwards_is_not_touched() {
    let db = Db::new().await;
    failed_jobs(&db, 2).await;
    db.run("select supaqueue.enqueue('q', '\"before\"')").await;
    start(&db, "retry", "{}").await;
    start(&db, "delete", "{}").await;
    db.run("update supaqueue.job set status = 'failed' where payload = '\"before\"'; select supaqueue.enqueue('q', '\"after\"')").await;
    db.tick().await;
    assert_eq!(
        db.get("select payload, status from supaqueue.job order by payload")
            .await,
        "\"after\"|pending\n\"before\"|failed"
    );
}

#[tokio::test]
async fn one_bad_row_is_refused_alone() {
    let db = Db::new().await;
    failed_jobs(&db, 50).await;
    db.run(
        "create function public.refuse() returns trigger language plpgsql as $$
         begin
           if new.payload = '7' then raise exception 'seven is out of stock'; end if;
           if new.payload = '8' then return null; end if;
           return new;
         end $$;
         create trigger refuse before update on supaqueue.job for each row execute function public.refuse()",
    )
    .await;
    start(&db, "retry", "{}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|50|48|2");
    assert_eq!(
        db.get("select string_agg(payload::text, ' ' order by payload) from supaqueue.job where status = 'failed'")
            .await,
        "7 8"
    );
    let refusal = db.get("select last_refusal from supaqueue.operation").await;
    assert!(
        refusal.ends_with(": a trigger on supaqueue.job skipped it (its function returned null), or changed it back")
            || refusal.ends_with(": seven is out of stock"),
        "{refusal}"
    );
}

/// A foreign key that is checked at the commit must not keep the piece from being committed.
#[tokio::test]
async fn a_deferred_constraint_refuses_its_job_alone() {
    let db = Db::new().await;
    failed_jobs(&db, 5).await;
    db.run(
        "create table public.invoice (job uuid references supaqueue.job deferrable initially deferred);
         insert into public.invoice select id from supaqueue.job where payload = '3'",
    )
    .await;
    start(&db, "delete", "{}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|5|4|1");
    let refusal = db.get("select last_refusal from supaqueue.operation").await;
    assert!(refusal.contains("foreign key"), "{refusal}");
    assert_eq!(db.get("select payload from supaqueue.job").await, "3");
}

#[tokio::test]
async fn queues_that_come_and_go_do_not_matter() {
    let db = Db::new().await;
    failed_jobs(&db, 1500).await;
    start(&db, "retry", "{}").await;
    db.run(PIECE).await;
    db.run("insert into supaqueue.queue (name, edge_function_name) select 'q' || i, 'hello' from generate_series(1, 200) i").await;
    db.tick().await;
    db.run("insert into supaqueue.operation (action, filter) values ('cancel', '{}')")
        .await;
    db.tick().await;
    assert_eq!(
        db.get("select action, matched, done from supaqueue.operation order by id")
            .await,
        "retry|1500|1500\ncancel|1500|1500"
    );
}

#[tokio::test]
async fn a_retry_refuses_jobs_whose_key_is_held_or_whose_call_has_not_ended() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', '\"called\"')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run("update supaqueue.job set status = 'cancelled'")
        .await;
    // Two failed jobs want the key, and one of another key that a new job holds.
    db.run("insert into supaqueue.job (queue, status, key) select id, 'failed', unnest('{a, a, b}'::text[]) from supaqueue.queue; select supaqueue.enqueue('q', key => 'b')").await;
    start(&db, "retry", "{\"key\": \"b\"}").await;
    db.tick().await;
    let holder = db
        .get("select id from supaqueue.job where key = 'b' and status = 'pending'")
        .await;
    let refusal = db
        .get("select matched, done, refused, last_refusal from supaqueue.operation")
        .await;
    assert!(refusal.starts_with("1|0|1|job "), "{refusal}");
    assert!(
        refusal.ends_with(&format!("its key 'b' is held by job {holder}")),
        "{refusal}"
    );
    db.run("delete from supaqueue.operation").await;
    start(&db, "retry", "{\"key\": \"a\"}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|2|1|1");
    db.run("delete from supaqueue.operation").await;
    start(&db, "retry", "{\"status\": \"cancelled\"}").await;
    db.tick().await;
    let refusal = db
        .get("select matched, done, refused, last_refusal from supaqueue.operation")
        .await;
    assert!(
        refusal.starts_with("1|0|1|job ") && refusal.ends_with("its call has not ended yet"),
        "{refusal}"
    );
}

#[tokio::test]
async fn a_job_that_another_transaction_has_locked_is_refused_and_the_others_are_done() {
    let db = Db::new().await;
    failed_jobs(&db, 5).await;
    let other = Session::new(&db).await;
    other
        .run("begin; update supaqueue.job set priority = 1 where payload = '3'")
        .await;
    start(&db, "retry", "{}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|5|4|1");
    let refusal = db.get("select last_refusal from supaqueue.operation").await;
    assert!(
        refusal.ends_with("another transaction has locked it"),
        "{refusal}"
    );
    other.run("commit").await;
    assert_eq!(
        db.get("select payload from supaqueue.job where status = 'failed'")
            .await,
        "3"
    );
}

#[tokio::test]
async fn each_piece_has_1000_jobs_and_is_committed() {
    let db = Db::new().await;
    failed_jobs(&db, 2500).await;
    db.run(COUNT_UPDATES).await;
    start(&db, "retry", "{}").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|2500|2500|0");
    assert_eq!(
        db.get("select count(*) from public.updates group by transaction order by min(transaction::text::bigint)")
            .await,
        "1000\n1000\n500"
    );
}

#[tokio::test]
async fn it_stops_before_the_next_piece_and_goes_on_where_it_was() {
    let db = Db::new().await;
    failed_jobs(&db, 2500).await;
    db.run(COUNT_UPDATES).await;
    start(&db, "retry", "{}").await;
    assert_eq!(db.get(PIECE).await, "t");
    db.run("update supaqueue.operation set status = 'stopped'")
        .await;
    assert_eq!(db.get(PIECE).await, "f");
    assert_eq!(db.get(COUNTS).await, "stopped|1000|1000|0");
    db.run("update supaqueue.operation set status = 'running'")
        .await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|2500|2500|0");
    assert_eq!(
        db.get("select count(*), count(distinct job) from public.updates")
            .await,
        "2500|2500"
    );
    let error = db
        .refusal("update supaqueue.operation set status = 'running'")
        .await;
    assert!(error.contains("it is done; Insert another one."), "{error}");
}

#[tokio::test]
async fn a_crash_and_a_second_tick_neither_repeat_nor_lose_a_piece() {
    let db = Db::new().await;
    failed_jobs(&db, 2500).await;
    db.run(COUNT_UPDATES).await;
    start(&db, "retry", "{}").await;
    let (crashing, second) = (Session::new(&db).await, Session::new(&db).await);
    crashing.run("begin").await;
    crashing.run(PIECE).await;
    // The row is locked: the second does nothing, and does not wait.
    second.run(PIECE).await;
    assert_eq!(db.get(COUNTS).await, "running|0|0|0");
    crashing.run("rollback").await;
    second.run("begin").await;
    second.run(PIECE).await;
    db.run(PIECE).await;
    second.run("commit").await;
    assert_eq!(db.get(COUNTS).await, "running|1000|1000|0");
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|2500|2500|0");
    assert_eq!(
        db.get("select count(*), count(distinct job) from public.updates")
            .await,
        "2500|2500"
    );
}

#[tokio::test]
async fn per_second_limits_the_pace() {
    let db = Db::new().await;
    failed_jobs(&db, 500).await;
    db.run(
        "insert into supaqueue.operation (action, filter, per_second) values ('retry', '{}', 10)",
    )
    .await;
    db.run(PIECE).await;
    let done = "select done from supaqueue.operation";
    let at_once: u32 = db.get(done).await.parse().unwrap();
    assert!(at_once < 50, "{at_once} jobs at once");
    // As after three seconds.
    db.run("update supaqueue.operation set paced_at = clock_timestamp() - interval '3 seconds'")
        .await;
    db.tick().await;
    let later: u32 = db.get(done).await.parse().unwrap();
    assert!(
        (30..80).contains(&(later - at_once)),
        "{} jobs in three seconds",
        later - at_once
    );
    // What was not used for long is not caught up.
    db.run("update supaqueue.operation set status = 'stopped', paced_at = '-infinity'")
        .await;
    db.run("update supaqueue.operation set status = 'running'")
        .await;
    db.run(PIECE).await;
    let resumed: u32 = db.get(done).await.parse().unwrap();
    assert!(resumed - later < 50, "{} jobs at once", resumed - later);
    db.run("update supaqueue.operation set per_second = null")
        .await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|500|500|0");
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_when_it_is_inserted() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    for (columns, values, want) in [
        (
            "",
            "'restart', '{}'",
            "there is no action 'restart'; The actions are",
        ),
        (
            "",
            "'retry', '{\"status\": \"pending\"}'",
            "cannot retry jobs that are pending; The action retry is for jobs that are failed",
        ),
        (
            "",
            "'cancel', '{\"status\": [\"failed\", \"successful\"]}'",
            "cannot cancel jobs that are failed or successful",
        ),
        (
            ", changes",
            "'retry', '{}', '{\"priority\": 1}'",
            "changes are for the action change",
        ),
        (
            ", changes",
            "'change', '{}', null",
            "changes is not an object with new values; An example",
        ),
        (
            ", changes",
            "'change', '{}', '{}'",
            "changes is not an object with new values",
        ),
        (
            ", changes",
            "'change', '{}', '{\"status\": \"failed\"}'",
            "cannot change status: it is not a column that an operation can change; Those are",
        ),
        (
            ", changes",
            "'change', '{}', '{\"priority\": \"high\"}'",
            "cannot change priority: its new value is not a whole number",
        ),
        (
            ", changes",
            "'change', '{}', '{\"priority\": null}'",
            "cannot change priority",
        ),
        (
            ", changes",
            "'change', '{}', '{\"run_at\": \"tomorrow\"}'",
            "cannot change run_at: its new value is not an ISO 8601 time",
        ),
        (
            ", changes",
            "'change', '{}', '{\"payload\": null}'",
            "cannot change payload",
        ),
        (
            ", changes",
            "'change', '{}', '{\"queue\": \"nope\"}'",
            "there is no queue named 'nope'",
        ),
        (
            ", changes",
            "'change', '{}', '{\"timeout_ms\": 1000000}'",
            "timeout_is_at_most_150_seconds",
        ),
        (
            ", changes",
            "'change', '{}', '{\"max_attempts\": 0}'",
            "max_attempts_is_between_1_and_1000000",
        ),
        (
            ", changes",
            "'change', '{}', '{\"headers\": {\"a b\": \"c\"}}'",
            "headers_are_an_object_of_strings",
        ),
        (
            ", changes",
            "'change', '{}', '{\"path\": \"../x\"}'",
            "path_has_no_leading_slash_and_no_empty_or_dot_segments",
        ),
        (", per_second", "'retry', '{}', 0", "per_second_is_positive"),
    ] {
        let statement =
            format!("insert into supaqueue.operation (action, filter{columns}) values ({values})");
        let error = db.refusal(&statement).await;
        assert!(error.contains(want), "{statement}: {error}");
    }
    assert_eq!(
        db.get("select count(*) from supaqueue.operation").await,
        "0"
    );
}

#[tokio::test]
async fn what_it_does_cannot_be_changed_later() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    start(&db, "retry", "{}").await;
    for change in [
        "action = 'delete'",
        "filter = '{\"queue\": \"q\"}'",
        "created_at = now()",
        "plan = '{}'",
    ] {
        let error = db
            .refusal(&format!("update supaqueue.operation set {change}"))
            .await;
        assert!(error.contains("cannot change what operation"), "{error}");
    }
    let api = db.database().connect_as("service_role").await.unwrap();
    for (statement, want) in [
        (
            "insert into supaqueue.operation (action, filter, per_second) values ('retry', '{}', 5)",
            "",
        ),
        (
            "update supaqueue.operation set per_second = 7, status = 'stopped'",
            "",
        ),
        (
            "update supaqueue.operation set matched = 7, done = 7",
            "permission denied",
        ),
        (
            "insert into supaqueue.operation (action, filter, done) values ('retry', '{}', 5)",
            "permission denied",
        ),
        ("delete from supaqueue.operation", "permission denied"),
    ] {
        match supaqueue_tests::try_get(&api, statement).await {
            Ok(_) => assert_eq!(want, "", "{statement}"),
            Err(error) => assert!(
                !want.is_empty() && error.contains(want),
                "{statement}: {error}"
            ),
        }
    }
    assert_eq!(
        db.get("select created_by from supaqueue.operation order by id")
            .await,
        "postgres\nservice_role"
    );
}

#[tokio::test]
async fn one_that_cannot_go_on_is_a_problem_with_a_remedy_and_does_not_stop_others() {
    let db = Db::new().await;
    failed_jobs(&db, 3).await;
    db.queue("r", 0).await;
    db.run("insert into supaqueue.operation (action, filter, changes) values ('change', '{}', '{\"queue\": \"r\"}')").await;
    db.run("select supaqueue.enqueue('q'); delete from supaqueue.queue where name = 'r'")
        .await;
    break_function(
        db.client(),
        "act_on_jobs",
        "begin",
        "begin if operation.action = 'change' then raise exception 'out of paper'; end if;",
    )
    .await;
    start(&db, "retry", "{}").await;
    db.tick().await;
    assert_eq!(
        db.get("select action, status from supaqueue.operation order by id")
            .await,
        "change|running\nretry|done"
    );
    let id = db
        .get("select id from supaqueue.operation where action = 'change'")
        .await;
    let problem = db
        .get("select problem, remedy from supaqueue.problem where problem like '%operation%'")
        .await;
    let (problem, remedy) = problem.split_once('|').unwrap();
    assert!(
        problem.starts_with(&format!(
            "cannot go on with operation {id} (change): out of paper"
        )),
        "{problem}"
    );
    let explanation = db
        .get("select supaqueue.explain(id) from supaqueue.job where status = 'pending' limit 1")
        .await;
    assert!(!explanation.contains("operation"), "{explanation}");
    db.run(remedy.split_once("stop it: ").unwrap().1).await;
    assert_eq!(
        db.get("select count(*) from supaqueue.problem where problem like '%operation%'")
            .await,
        "0"
    );
    db.tick().await;
    assert_eq!(
        db.get("select count(*) from supaqueue.unfinished where step = 'operation'")
            .await,
        "0"
    );
}

#[tokio::test]
async fn those_that_ended_a_month_ago_are_deleted() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    for _ in 0..3 {
        start(&db, "retry", "{}").await;
    }
    db.run("update supaqueue.operation set status = 'stopped' where id = (select max(id::text)::uuid from supaqueue.operation)").await;
    db.tick().await;
    db.run("update supaqueue.operation set finished_at = finished_at - interval '31 days' where id <> (select min(id::text)::uuid from supaqueue.operation)").await;
    db.tick().await;
    assert_eq!(db.get(COUNTS).await, "done|0|0|0");
}
