//! `public.end_current_jobs`: several reports of a run in one request.

use serde_json::{Value, json};
use supaqueue_tests::protocol::{LOSE_CALLS, RUN, acknowledge_all, report};
use supaqueue_tests::{Db, Session};

/// What a run has: the calls in flight, each with the one that is held ready behind it.
const LANES: &str = "select jsonb_agg(jsonb_build_array(c.id, c.held) order by j.position)
     from supaqueue.current_job c join supaqueue.job j on j.id = c.job where c.held is not null";
/// The jobs, and the calls of those that have one, with whose behind each is held.
const STATE: &str =
    "select j.payload, j.status, j.attempts, j.unstarted, j.http_status, j.duration_ms, j.result,
       c.state, w.locked, p.payload as previous, b.payload as behind, h.payload as held,
       exists (select from supaqueue.ready_job r where r.job = j.id) as is_ready
     from supaqueue.job j
     left join supaqueue.current_job c on c.job = j.id
     left join supaqueue.worker w on w.id = c.worker
     left join known p on p.call = c.previous
     left join known b on b.call = c.behind
     left join known h on h.call = c.held
     order by j.queue, j.position";

/// Keeps the payloads of calls that may be gone by the time that they are asked for.
async fn know_calls(db: &Db) {
    db.run(
        "create table if not exists known (call uuid primary key, payload jsonb);
         grant select on known to public;
         insert into known select c.id, j.payload from supaqueue.current_job c join supaqueue.job j on j.id = c.job
         on conflict do nothing",
    )
    .await;
}

async fn state(db: &Db) -> String {
    know_calls(db).await;
    db.get(STATE).await
}

async fn lanes(db: &Db) -> Vec<[String; 2]> {
    know_calls(db).await;
    serde_json::from_str(&db.get(LANES).await).unwrap()
}

/// A queue with three workers, each with a call in flight and one that is held ready, and jobs that wait.
async fn busy(db: &Db, jobs: u32) -> Vec<[String; 2]> {
    db.queue("q", 3).await;
    db.run(&format!(
        "select supaqueue.enqueue('q', to_jsonb(g)) from generate_series(1, {jobs}) g"
    ))
    .await;
    hold(db).await;
    lanes(db).await
}

/// Lets a run begin all calls, and end each, with one to begin and one to hold.
async fn hold(db: &Db) {
    db.run(&acknowledge_all(RUN)).await;
    know_calls(db).await;
    let calls = db
        .get("select c.id from supaqueue.current_job c join supaqueue.job j on j.id = c.job order by j.position")
        .await;
    for call in calls.lines() {
        let next = "'{\"prefetch\": true}'";
        db.run(&report(&format!("'{call}'"), RUN, true, "{}", next))
            .await;
    }
}

/// The report of a success whose lane has begun the held call.
fn success([call, held]: &[String; 2]) -> Value {
    json!({
        "cur_job_id": call,
        "_is_complete": true,
        "_is_successful": true,
        "_report": {
            "run": RUN, "http_status": 200, "duration_ms": 7, "result": {"of": "it"}, "started": [held],
        },
        "_next": {"within_ms": 100_000, "bytes": 1000, "prefetch": true},
    })
}

fn successes(lanes: &[[String; 2]]) -> Vec<Value> {
    lanes.iter().map(success).collect()
}

fn together(reports: &[Value]) -> String {
    format!(
        "select public.end_current_jobs('{RUN}', '{}')",
        json!(reports)
    )
}

/// Sends reports in one request; returns, for each, the payload of the job to hold ready, or why it was
/// not settled.
async fn send(db: &Db, reports: &[Value]) -> Vec<Value> {
    let answers: Vec<Value> = serde_json::from_str(&db.get(&together(reports)).await).unwrap();
    answers.into_iter().map(held).collect()
}

/// Sends a report by itself.
async fn send_alone(db: &Db, report: &Value) -> Value {
    let answer = db
        .get(&format!(
            "select public.end_current_job(r.cur_job_id, r._is_complete, r._is_successful, r._report, r._next)
             from jsonb_to_record('{report}') as r
               (cur_job_id uuid, _is_complete boolean, _is_successful boolean, _report jsonb, _next jsonb)"
        ))
        .await;
    held(serde_json::from_str(&answer).unwrap())
}

/// Of an answer: the payload of the job to hold ready, "none", or "alone" if the report is to be sent by itself.
fn held(answer: Value) -> Value {
    if answer.is_null() {
        return json!("alone");
    }
    assert_eq!(answer["state"], "settled", "{answer}");
    assert_eq!(answer["next"], Value::Null, "its worker has a call");
    match &answer["held"] {
        Value::Null => json!("none"),
        record => record["job"]["payload"].clone(),
    }
}

/// What the reports of a queue with so many jobs are answered, and its state after them.
async fn outcome(jobs: u32, prepare: &str, are_together: bool) -> (Vec<Value>, String) {
    let db = Db::new().await;
    let reports = successes(&busy(&db, jobs).await);
    db.run(prepare).await;
    let mut answers = Vec::new();
    if are_together {
        answers = send(&db, &reports).await;
    } else {
        for report in &reports {
            answers.push(send_alone(&db, report).await);
        }
    }
    (answers, state(&db).await)
}

#[tokio::test]
async fn reports_that_go_together_do_what_they_do_one_by_one() {
    for (jobs, prepare, want) in [
        (15, "", json!([10, 11, 12])),
        (11, "", json!([10, 11, "none"])),
        (9, "", json!(["none", "none", "none"])),
        (
            15,
            "update supaqueue.queue set is_paused = true",
            json!(["none", "none", "none"]),
        ),
        (
            15,
            "update supaqueue.job set unstarted = 3 where payload = '11'",
            json!([10, "none", "none"]),
        ),
        (
            15,
            "update supaqueue.job set timeout_ms = 100001 where payload = '11'",
            json!([10, "none", "none"]),
        ),
    ] {
        let together = outcome(jobs, prepare, true).await;
        assert_eq!(json!(together.0), want, "{jobs} jobs, {prepare}");
        let alone = outcome(jobs, prepare, false).await;
        assert_eq!(together, alone, "{jobs} jobs, {prepare}");
    }
}

#[tokio::test]
async fn a_repeated_request_changes_nothing_and_each_report_gets_the_same_answer() {
    let db = Db::new().await;
    let reports = successes(&busy(&db, 15).await);
    assert_eq!(send(&db, &reports).await, [10, 11, 12]);
    let before = state(&db).await;
    assert_eq!(send(&db, &reports).await, ["alone", "alone", "alone"]);
    for (report, want) in reports.iter().zip([10, 11, 12]) {
        assert_eq!(send_alone(&db, report).await, json!(want));
    }
    assert_eq!(state(&db).await, before);
}

#[tokio::test]
async fn what_is_not_an_ordinary_success_is_left_to_be_sent_alone() {
    let db = Db::new().await;
    let lanes = busy(&db, 15).await;
    db.run("update supaqueue.job set status = 'cancelled' where payload = '8'")
        .await;
    assert_eq!(
        send(&db, &[success(&lanes[2])]).await,
        ["alone"],
        "cancelled"
    );
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 5] = [
        ("a failure", |report| {
            report["_is_successful"] = json!(false);
        }),
        ("it has not begun the held call", |report| {
            report["_report"]["started"] = Value::Null;
        }),
        ("it wants no other job", |report| {
            report["_next"] = Value::Null;
        }),
        ("it wants none to hold", |report| {
            report["_next"]["prefetch"] = json!(false);
        }),
        ("of another run", |report| {
            report["cur_job_id"] = json!("99999999-9999-9999-9999-999999999999");
        }),
    ];
    for (name, change) in changes {
        let mut report = success(&lanes[1]);
        change(&mut report);
        let before = state(&db).await;
        assert_eq!(send(&db, &[report]).await, ["alone"], "{name}");
        assert_eq!(state(&db).await, before, "{name}");
    }
    let mut reports = successes(&lanes);
    reports[1]["_is_successful"] = json!(false);
    assert_eq!(
        send(&db, &reports).await,
        [json!(10), json!("alone"), json!("alone")]
    );
}

#[tokio::test]
async fn a_job_that_somebody_has_locked_holds_no_other_one_up() {
    let db = Db::new().await;
    let lanes = busy(&db, 15).await;
    let holder = Session::new(&db).await;
    holder
        .run("begin; update supaqueue.job set priority = 1 where payload = '6'")
        .await;
    let reports = successes(&lanes);
    assert_eq!(
        send(&db, &reports).await,
        [json!(10), json!("alone"), json!(11)]
    );
    holder.run("commit").await;
    assert_eq!(send_alone(&db, &reports[1]).await, json!(12));
}

#[tokio::test]
async fn jobs_of_several_queues_are_followed_by_jobs_of_their_own() {
    let db = Db::new().await;
    for queue in ["a", "b"] {
        db.queue(queue, 2).await;
        db.run(&format!(
            "select supaqueue.enqueue('{queue}', to_jsonb('{queue}' || g)) from generate_series(1, 7) g"
        ))
        .await;
    }
    hold(&db).await;
    let lanes = lanes(&db).await;
    let mut got = send(&db, &successes(&lanes)).await;
    got.sort_by_key(ToString::to_string);
    assert_eq!(got, ["a7", "b7", "none", "none"]);
}

#[tokio::test]
async fn a_worker_that_is_gone_gets_no_other_job() {
    let db = Db::new().await;
    let lanes = busy(&db, 15).await;
    db.run(&format!(
        "delete from supaqueue.worker w using supaqueue.current_job c where c.id = '{}' and w.id = c.worker",
        lanes[0][0]
    ))
    .await;
    assert_eq!(
        send(&db, &successes(&lanes)).await,
        [json!("none"), json!(10), json!(11)]
    );
}

#[tokio::test]
async fn a_run_that_is_over_has_to_send_each_report_and_is_told() {
    let db = Db::new().await;
    let reports = successes(&busy(&db, 15).await);
    db.run(LOSE_CALLS).await;
    assert_eq!(send(&db, &reports).await, ["alone", "alone", "alone"]);
    let alone = report(
        &format!("'{}'", reports[0]["cur_job_id"].as_str().unwrap()),
        RUN,
        true,
        "{}",
        "null",
    );
    assert!(db.get(&alone).await.contains("this run is over"));
}

#[tokio::test]
async fn payloads_are_handed_out_as_long_as_there_is_room_for_all_together() {
    let db = Db::new().await;
    let lanes = busy(&db, 9).await;
    db.run("select supaqueue.enqueue('q', to_jsonb(repeat('x', 1400))), supaqueue.enqueue('q', to_jsonb(repeat('y', 1400))), supaqueue.enqueue('q', to_jsonb(repeat('z', 1400)))")
        .await;
    // Room for 3,000 bytes.
    let held: Vec<_> = send(&db, &successes(&lanes)).await;
    let lengths: Vec<_> = held
        .iter()
        .map(|held| held.as_str().unwrap().len())
        .collect();
    assert_eq!(lengths, [1400, 1400, "none".len()]);
}

#[tokio::test]
async fn if_a_trigger_of_the_users_fails_nothing_is_settled() {
    for (when, body) in [
        ("new.status = 'successful'", "raise exception 'no'"),
        ("new.status = 'successful'", "return null"),
        (
            "new.payload = '11' and new.status = 'in_progress'",
            "raise exception 'no'",
        ),
        (
            "new.payload = '11' and new.status = 'in_progress'",
            "return null",
        ),
    ] {
        let db = Db::new().await;
        let lanes = busy(&db, 15).await;
        let before = state(&db).await;
        db.run(&format!(
            "create function refuse() returns trigger language plpgsql as $$ begin {body}; return new; end $$;
             create trigger refuse before update on supaqueue.job for each row when ({when}) execute function refuse()"
        ))
        .await;
        let reports = successes(&lanes);
        db.refusal(&together(&reports)).await;
        assert_eq!(state(&db).await, before, "{when}: {body}");
        // By itself, each is settled, or noted.
        send_alone(&db, &reports[0]).await;
    }
}

#[tokio::test]
async fn a_users_trigger_sees_its_own_settings_and_search_path() {
    let db = Db::new().await;
    let lanes = busy(&db, 15).await;
    db.run(
        "create table seen (setting text);
         create function see() returns trigger language plpgsql as $$ begin
           insert into seen values (current_setting('enable_seqscan') || ' ' || current_setting('lock_timeout'));
           return new;
         end $$;
         create trigger see after update on supaqueue.job for each row execute function see()",
    )
    .await;
    send(&db, &successes(&lanes)).await;
    assert_eq!(
        db.get("select distinct setting, count(*) from seen group by 1")
            .await,
        "on 0|6"
    );
}
