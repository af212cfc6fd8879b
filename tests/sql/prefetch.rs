//! Calls that a run holds ready, so that its lanes need not wait for the database.

use serde_json::{Value, json};
use supaqueue_tests::Db;
use supaqueue_tests::protocol::{ANY, LOSE_CALLS, NONE, RUN, acknowledge_all, next_pulse, report};

const PREFETCH: &str = "'{\"prefetch\": true}'";
/// The calls with their jobs, in the order of insertion.
const CALLS: &str = "select coalesce(string_agg(format('%s %s %s', j.payload, c.state, j.attempts), ', ' order by j.position), '')
     from supaqueue.current_job c join supaqueue.job j on j.id = c.job";

/// A run makes the call of the job "1" of a queue with one worker; the jobs "2" to "6" wait.
async fn busy(db: &Db) {
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3,4,5,6}')")
        .await;
    db.run(&acknowledge_all(RUN)).await;
}

/// The id of the call of a job.
async fn call(db: &Db, payload: u32) -> String {
    db.get(&format!(
        "select c.id from supaqueue.current_job c join supaqueue.job j on j.id = c.job where j.payload = '{payload}'"
    ))
    .await
}

/// Reports a success; returns the payloads of the next job and of the one to hold ready.
async fn succeed(db: &Db, call: &str, details: &Value, next: &str) -> (Value, Value) {
    let statement = report(&format!("'{call}'"), RUN, true, &details.to_string(), next);
    let answer: Value = serde_json::from_str(&db.get(&statement).await).unwrap();
    assert_eq!(answer["state"], "settled", "{answer}");
    let payload = |name: &str| answer[name]["job"]["payload"].clone();
    (payload("next"), payload("held"))
}

async fn beat(db: &Db, request: &Value) -> Value {
    serde_json::from_str(&db.get(&next_pulse(RUN, &format!("'{request}'"))).await).unwrap()
}

/// The call of the job "2" was begun, and that of "3" is held ready.
async fn holding(db: &Db) -> [String; 2] {
    busy(db).await;
    let first = call(db, 1).await;
    assert_eq!(
        succeed(db, &first, &json!({}), PREFETCH).await,
        (json!(2), json!(3))
    );
    assert_eq!(db.get(CALLS).await, "2 started 1, 3 held 1");
    [call(db, 2).await, call(db, 3).await]
}

#[tokio::test]
async fn a_report_hands_out_one_job_to_begin_and_one_to_hold_ready() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    assert_eq!(
        db.get("select count(*) from supaqueue.worker").await,
        "1",
        "both have the same worker"
    );
    let begun = json!({"started": [third]});
    assert_eq!(
        succeed(&db, &second, &begun, PREFETCH).await,
        (Value::Null, json!(4)),
        "the held one is begun, and one is held behind it"
    );
    assert_eq!(db.get(CALLS).await, "3 started 1, 4 held 1");
    assert_eq!(
        succeed(&db, &second, &begun, PREFETCH).await,
        (Value::Null, json!(4)),
        "a repeated report gets the same answer"
    );
    assert_eq!(db.get(CALLS).await, "3 started 1, 4 held 1");
    assert_eq!(db.get("select locked from supaqueue.worker").await, "t");
}

#[tokio::test]
async fn a_repeated_report_returns_the_next_and_the_held_job_again() {
    let db = Db::new().await;
    busy(&db).await;
    let first = call(&db, 1).await;
    for _ in 0..3 {
        assert_eq!(
            succeed(&db, &first, &json!({}), PREFETCH).await,
            (json!(2), json!(3))
        );
    }
    assert_eq!(db.get(CALLS).await, "2 started 1, 3 held 1");
}

#[tokio::test]
async fn a_report_without_prefetch_holds_nothing_ready() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    let answer = succeed(&db, &second, &json!({"started": [third]}), ANY).await;
    assert_eq!(answer, (Value::Null, Value::Null), "its worker has a call");
    assert_eq!(db.get(CALLS).await, "3 started 1");
    let answer = succeed(&db, &third, &json!({}), ANY).await;
    assert_eq!(answer, (json!(4), Value::Null));
}

#[tokio::test]
async fn a_held_call_that_the_report_does_not_name_stays_held_and_keeps_its_worker() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    for next in [PREFETCH, ANY] {
        assert_eq!(
            succeed(&db, &second, &json!({}), next).await,
            (Value::Null, Value::Null)
        );
        assert_eq!(db.get(CALLS).await, "3 held 1");
        assert_eq!(db.get("select locked from supaqueue.worker").await, "t");
    }
    let answer = succeed(&db, &third, &json!({}), PREFETCH).await;
    assert_eq!(
        answer,
        (json!(4), json!(5)),
        "reported while held, it counts as begun"
    );
    assert_eq!(
        db.get("select status, attempts from supaqueue.job where payload = '3'")
            .await,
        "successful|1"
    );
}

#[tokio::test]
async fn a_held_call_that_is_given_back_costs_no_attempt_and_keeps_its_place() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    let given_back = json!({"given_back": [third]});
    let answer = succeed(&db, &second, &given_back, NONE).await;
    assert_eq!(answer, (Value::Null, Value::Null));
    assert_eq!(
        db.get("select attempts, unstarted, errors from supaqueue.job where payload = '3'")
            .await,
        "1|0|[]"
    );
    assert_eq!(
        db.get(CALLS).await,
        "3 sent 1",
        "it is the first one that the worker starts"
    );
}

#[tokio::test]
async fn a_pulse_that_gives_back_a_held_call_leaves_its_worker_to_the_other() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    let answer = beat(&db, &json!({"calls": [second], "give_back": [third]})).await;
    assert_eq!(answer["gone"], json!([]));
    assert_eq!(db.get(CALLS).await, "2 started 1");
    assert_eq!(db.get("select locked from supaqueue.worker").await, "t");
    assert_eq!(
        db.get("select status, attempts, unstarted from supaqueue.job where payload = '3'")
            .await,
        "pending|0|0"
    );
    let answer = succeed(&db, &second, &json!({}), PREFETCH).await;
    assert_eq!(answer, (json!(3), json!(4)));
}

#[tokio::test]
async fn a_pulse_can_give_back_all_that_was_not_begun() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    let other = json!({"give_back": [second, third]});
    let stranger = next_pulse(supaqueue_tests::protocol::OTHER_RUN, &format!("'{other}'"));
    db.run(&stranger).await;
    assert_eq!(
        db.get(CALLS).await,
        "2 started 1, 3 held 1",
        "not another's"
    );
    beat(&db, &other).await;
    assert_eq!(
        db.get(CALLS).await,
        "2 sent 1",
        "its worker starts the same job again"
    );
    assert_eq!(
        db.get("select string_agg(status || attempts, ' ' order by position) from supaqueue.job where payload in ('2', '3')").await,
        "in_progress1 pending0"
    );
}

#[tokio::test]
async fn a_lost_run_costs_its_held_calls_no_attempt() {
    let db = Db::new().await;
    holding(&db).await;
    db.run("update supaqueue.queue set is_paused = true").await;
    db.run(LOSE_CALLS).await;
    db.tick().await;
    assert_eq!(
        db.get("select string_agg(concat_ws(' ', payload, status, attempts, unstarted, jsonb_array_length(errors)), ', ' order by position)
                from supaqueue.job where payload in ('2', '3')").await,
        "2 pending 1 0 1, 3 pending 0 1 0"
    );
    assert_eq!(
        db.get("select locked, (select count(*) from supaqueue.current_job) from supaqueue.worker")
            .await,
        "f|0"
    );
    assert_eq!(
        db.get("select is_check_urgent from supaqueue.last_tick")
            .await,
        "f",
        "nobody has deleted a call"
    );
}

#[tokio::test]
async fn a_job_that_was_held_by_three_lost_runs_is_not_held_ready_again() {
    for (unstarted, held) in [(2, json!(3)), (3, Value::Null)] {
        let db = Db::new().await;
        busy(&db).await;
        db.run(&format!(
            "update supaqueue.job set unstarted = {unstarted} where payload = '3'"
        ))
        .await;
        let first = call(&db, 1).await;
        let answer = succeed(&db, &first, &json!({}), PREFETCH).await;
        assert_eq!(answer, (json!(2), held));
        let second = call(&db, 2).await;
        if unstarted == 3 {
            let answer = succeed(&db, &second, &json!({}), PREFETCH).await;
            assert_eq!(answer, (json!(3), json!(4)), "only handed out to be begun");
        }
    }
}

#[tokio::test]
async fn the_next_and_the_held_job_share_the_room_of_a_report() {
    for (bytes, held) in [(9000, Value::Null), (11_000, json!(true))] {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.run("select supaqueue.enqueue('q', '1')").await;
        db.run(&acknowledge_all(RUN)).await;
        db.run("insert into supaqueue.job (queue, payload) select supaqueue.queue_id('q'), to_jsonb(repeat('x', 5000)) from generate_series(1, 2)").await;
        let first = call(&db, 1).await;
        let next = format!("'{{\"prefetch\": true, \"bytes\": {bytes}}}'");
        let (next, got) = succeed(&db, &first, &json!({}), &next).await;
        assert!(next.is_string(), "{bytes}");
        assert_eq!(got.is_string(), held == json!(true), "{bytes}");
    }
}

#[tokio::test]
async fn what_should_not_be_held_any_more_is_told_as_unwanted() {
    for change in [
        "update supaqueue.queue set is_paused = true",
        "delete from supaqueue.worker",
    ] {
        let db = Db::new().await;
        let [second, third] = holding(&db).await;
        let request = json!({"calls": [second, third]});
        assert_eq!(beat(&db, &request).await["unwanted"], json!([]));
        db.run(change).await;
        let answer = beat(&db, &request).await;
        assert_eq!(answer["unwanted"], json!([third]), "{change}");
        let answer = succeed(&db, &second, &json!({"started": [third]}), PREFETCH).await;
        assert_eq!(answer, (Value::Null, Value::Null), "{change}: none is held");
    }
}

#[tokio::test]
async fn a_held_call_whose_job_is_cancelled_is_told_and_given_back() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    db.run("update supaqueue.job set status = 'cancelled' where payload = '3'")
        .await;
    let answer = beat(&db, &json!({"calls": [second, third]})).await;
    assert_eq!(answer["cancelled"], json!([third]));
    beat(&db, &json!({"calls": [second], "give_back": [third]})).await;
    assert_eq!(db.get(CALLS).await, "2 started 1");
    assert_eq!(
        db.get("select status from supaqueue.job where payload = '3'")
            .await,
        "cancelled"
    );
}

#[tokio::test]
async fn both_calls_of_a_deleted_worker_are_adopted_together() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    db.run("delete from supaqueue.worker; select supaqueue.set_workers('q', 1)")
        .await;
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job c join supaqueue.worker w on w.id = c.worker and w.locked").await,
        "2"
    );
    assert_eq!(db.get(CALLS).await, "2 started 1, 3 held 1");
    let answer = succeed(&db, &second, &json!({"started": [third]}), PREFETCH).await;
    assert_eq!(answer, (Value::Null, json!(4)));
}

#[tokio::test]
async fn a_held_job_is_explained() {
    let db = Db::new().await;
    holding(&db).await;
    let explanation = db
        .get("select supaqueue.explain(id) from supaqueue.job where payload = '3'")
        .await;
    assert!(
        explanation.contains("holds it ready, as the next call of worker"),
        "{explanation}"
    );
}

/// A job that cannot be held ready does not fail the report.
#[tokio::test]
async fn a_job_that_cannot_be_held_ready_harms_only_itself() {
    let db = Db::new().await;
    let [second, third] = holding(&db).await;
    db.run(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger refuse before update on supaqueue.job for each row
         when (new.status = 'in_progress' and new.payload = '4') execute function public.refuse()",
    )
    .await;
    let begun = json!({"started": [third]});
    let answer = succeed(&db, &second, &begun, PREFETCH).await;
    assert_eq!(answer, (Value::Null, Value::Null));
    assert_eq!(db.get(CALLS).await, "3 started 1");
    assert_eq!(
        db.get("select status from supaqueue.job where payload = '2'")
            .await,
        "successful"
    );
}
