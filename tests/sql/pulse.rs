//! `public.supaqueue_pulse`: what a run gets, and what it is told.

use serde_json::{Value, json};
use supaqueue_tests::Db;
use supaqueue_tests::protocol::{ANY, OTHER_RUN, RUN, acknowledge_all, next_pulse, succeed};

/// The next pulse of a run.
async fn beat(db: &Db, run: &str, request: &Value) -> Value {
    serde_json::from_str(&db.get(&next_pulse(run, &format!("'{request}'"))).await).unwrap()
}

/// A pulse with a number of its own.
async fn numbered(db: &Db, number: u32, request: &Value) -> Value {
    let statement = format!("select public.supaqueue_pulse('{RUN}', {number}, '{request}')");
    serde_json::from_str(&db.get(&statement).await).unwrap()
}

/// The payloads of the calls that a pulse has started.
fn payloads(answer: &Value) -> String {
    let started = answer["started"].as_array().unwrap();
    let payloads = started
        .iter()
        .map(|record| match &record["job"]["payload"] {
            Value::String(text) => text.chars().take(3).collect(),
            payload => payload.to_string(),
        });
    payloads.collect::<Vec<_>>().join(" ")
}

/// The ids of all current jobs, in the order in which they were sent.
async fn ids(db: &Db) -> Vec<String> {
    let ids = db
        .get("select id from supaqueue.current_job order by created_at, id")
        .await;
    ids.lines().map(str::to_owned).collect()
}

/// A request that waits for work of the queue q.
async fn waiting(db: &Db, idle_ms: u32) -> Value {
    let queue = db.get("select supaqueue.queue_id('q')").await;
    json!({"queues": [{"id": queue, "idle_ms": idle_ms}]})
}

/// A request with further keys.
fn with(mut request: Value, more: &Value) -> Value {
    let more = more.as_object().unwrap().clone();
    request.as_object_mut().unwrap().extend(more);
    request
}

#[tokio::test]
async fn an_acknowledgement_starts_what_is_still_sent_and_returns_its_records() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run(r#"insert into supaqueue.job (queue, payload, headers, timeout_ms) values (supaqueue.queue_id('q'), '{"n": 1.5}', '{"a": "b"}', 5)"#).await;
    let [id] = &ids(&db).await[..] else {
        panic!("one call")
    };
    let answer = beat(
        &db,
        RUN,
        &json!({"protocol": 2, "acknowledge": [id, OTHER_RUN]}),
    )
    .await;
    let job = db.get("select id from supaqueue.job").await;
    let queue = db.get("select id from supaqueue.queue").await;
    assert_eq!(
        answer,
        json!({
            "accepted": true, "lease_ms": 60000, "cancelled": [], "gone": [], "unwanted": [], "queues": [],
            "started": [{
                "current_job": {"id": id},
                "job": {"id": job, "payload": {"n": 1.5}, "headers": {"a": "b"}, "path": null, "attempts": 1, "timeout_ms": 5},
                "queue": {
                    "id": queue, "name": "q", "edge_function_name": "hello", "path": null, "auth": "service_role",
                    "default_headers": null, "timeout_ms": 60000, "final_statuses": []
                }
            }]
        })
    );
    assert_eq!(
        db.get("select state, run, claimed_in, dispatches, lease_until, previous from supaqueue.current_job").await,
        format!("started|{RUN}|1|1|null|null")
    );
    assert_eq!(
        db.get("select lease_until between now() + interval '55 s' and now() + interval '60 s', number, is_over from supaqueue.run").await,
        "t|1|f"
    );
    for run in [RUN, OTHER_RUN] {
        let again = beat(&db, run, &json!({"acknowledge": [id]})).await;
        assert_eq!(payloads(&again), "", "what is no longer sent is not taken");
    }
    assert_eq!(
        db.get("select run, claimed_in from supaqueue.current_job")
            .await,
        format!("{RUN}|1")
    );
}

#[tokio::test]
async fn a_dispatch_carries_no_payload_and_no_headers() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("insert into supaqueue.job (queue, payload, headers) values (supaqueue.queue_id('q'), '\"secret\"', '{\"a\": \"secret\"}')").await;
    let body = db
        .get("select convert_from(body, 'UTF8') from net.http_request_queue")
        .await;
    let [id] = &ids(&db).await[..] else {
        panic!("one call")
    };
    let job = db.get("select id from supaqueue.job").await;
    let queue = db.get("select id from supaqueue.queue").await;
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        json!({"protocol": 2, "current_jobs": [{
            "current_job": {"id": id}, "job": {"id": job, "attempts": 1}, "queue": {"id": queue, "name": "q"}
        }]})
    );
}

#[tokio::test]
async fn an_equal_number_gets_the_same_calls_and_a_lower_one_nothing() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3}')")
        .await;
    let ids = ids(&db).await;
    let first = json!({"acknowledge": [ids[0], ids[1]]});
    let answer = numbered(&db, 7, &first).await;
    assert_eq!(answer["accepted"], false, "it begins with 1");
    let answer = numbered(&db, 1, &first).await;
    assert_eq!(payloads(&answer), "1 2");
    db.run("update supaqueue.run set lease_until = now() + interval '9 s'")
        .await;
    let lease = "select lease_until > now() + interval '50 s' from supaqueue.run";
    assert_eq!(db.get(lease).await, "f");
    assert_eq!(numbered(&db, 1, &first).await, answer, "repeated");
    assert_eq!(db.get(lease).await, "t", "and renewed");

    let second = json!({"acknowledge": [ids[2]]});
    assert_eq!(
        payloads(&numbered(&db, 1, &second).await),
        "1 2",
        "it takes nothing"
    );
    assert_eq!(payloads(&numbered(&db, 5, &second).await), "3");
    db.run("update supaqueue.run set lease_until = now() + interval '9 s'")
        .await;
    let state = "select string_agg(r::text, '') || (select string_agg(c::text, '') from supaqueue.current_job c) from supaqueue.run r";
    let before = db.get(state).await;
    assert_eq!(
        numbered(&db, 4, &first).await,
        json!({"accepted": true, "started": [], "cancelled": [], "gone": [], "unwanted": [], "queues": []}),
        "a late one"
    );
    assert_eq!(db.get(state).await, before, "changes nothing");
}

#[tokio::test]
async fn a_repeated_pulse_claims_nothing_more() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run(&next_pulse(RUN, "'{}'")).await;
    db.run("select supaqueue.enqueue('q', '1')").await;
    let request = waiting(&db, 0).await;
    assert_eq!(payloads(&numbered(&db, 2, &request).await), "1");
    db.run("select supaqueue.enqueue('q', '2')").await;
    assert_eq!(payloads(&numbered(&db, 2, &request).await), "1");
    assert_eq!(payloads(&numbered(&db, 3, &request).await), "2");
}

#[tokio::test]
async fn what_there_is_no_room_for_stays_sent_with_a_new_lease() {
    for (limits, want) in [
        (json!({}), "1 2 xxx 4"),
        (json!({"calls": 2}), "1 2"),
        (json!({"calls": 0}), ""),
        (json!({"bytes": 4000}), "1 2 4"),
        (json!({"bytes": 5010}), "1 2 4"),
        (json!({"within_ms": 59999}), "2"),
        (json!({"within_ms": 10, "calls": 1}), "2"),
    ] {
        let db = Db::new().await;
        db.queue("q", 4).await;
        db.run(
            "insert into supaqueue.job (queue, payload, timeout_ms)
             select supaqueue.queue_id('q'), p, t
             from (values ('1'::jsonb, null), ('2', 10), (to_jsonb(repeat('x', 5000)), null), ('4', null)) as j (p, t)",
        )
        .await;
        let ids = ids(&db).await;
        db.run("update supaqueue.current_job set lease_until = now() + interval '2 s'")
            .await;
        let answer = beat(&db, RUN, &json!({"acknowledge": ids, "limits": limits})).await;
        assert_eq!(payloads(&answer), want, "{limits}");
        assert_eq!(
            db.get(
                "select count(*), coalesce(bool_and(lease_until > now() + interval '12 s' and dispatches = 1), true)
                 from supaqueue.current_job where state = 'sent'"
            )
            .await,
            format!("{}|t", 4 - want.split_whitespace().count()),
            "{limits}"
        );
        let later = beat(&db, RUN, &waiting(&db, 0).await).await;
        let all = format!("{want} {}", payloads(&later));
        let mut all: Vec<_> = all.split_whitespace().collect();
        all.sort_unstable();
        assert_eq!(all, ["1", "2", "4", "xxx"], "a later pulse takes the rest");
    }
}

#[tokio::test]
async fn a_call_that_fits_no_isolate_is_given_back_and_named() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', '1', timeout_ms => 150000)")
        .await;
    db.run("select supaqueue.enqueue('q', '2')").await;
    let limits = json!({"within_ms": 100_000, "whole_ms": 135_000});
    let request = json!({"acknowledge": ids(&db).await, "limits": limits});
    assert_eq!(payloads(&beat(&db, RUN, &request).await), "");
    assert_eq!(
        db.get("select status, attempts, errors from supaqueue.job where payload = '1'")
            .await,
        "pending|0|[]"
    );
    assert_eq!(
        db.get("select j.payload, c.state from supaqueue.current_job c join supaqueue.job j on j.id = c.job").await,
        "2|sent",
        "its worker goes on"
    );
    let words = "its timeout of 150000 ms fits no isolate, which has 135000 ms";
    let problem = db.get("select problem from supaqueue.problem").await;
    assert!(problem.contains(words), "{problem}");
    assert!(problem.contains("SUPAQUEUE_TIME_BUDGET_MS"), "{problem}");
    let explanation = db
        .get("select supaqueue.explain(id) from supaqueue.job where payload = '1'")
        .await;
    assert!(explanation.contains(words), "{explanation}");

    db.run("select public.end_current_job(id, true, true) from supaqueue.current_job")
        .await;
    db.run("update supaqueue.job set timeout_ms = 1000, run_at = now() where payload = '1'")
        .await;
    let request = json!({"acknowledge": ids(&db).await, "limits": limits});
    assert_eq!(payloads(&beat(&db, RUN, &request).await), "1");
    let call = "(select id from supaqueue.current_job)";
    db.run(&succeed(call, RUN, ANY)).await;
    db.tick().await;
    assert_eq!(db.get("select problem from supaqueue.problem").await, "");
    assert_eq!(
        db.get("select count(*) from supaqueue.unfinished").await,
        "0"
    );
}

#[tokio::test]
async fn a_sent_call_whose_job_was_cancelled_or_deleted_frees_its_worker() {
    for change in [
        "update supaqueue.job set status = 'cancelled' where payload = '1'",
        "delete from supaqueue.job where payload = '1'",
    ] {
        let db = Db::new().await;
        db.queue("q", 2).await;
        db.run("select supaqueue.enqueue_many('q', '{1,2,3}')")
            .await;
        let ids = ids(&db).await;
        db.run(change).await;
        let answer = beat(&db, RUN, &json!({"acknowledge": ids})).await;
        assert_eq!(payloads(&answer), "2", "{change}");
        assert_eq!(
            db.get("select j.payload, c.state from supaqueue.current_job c join supaqueue.job j on j.id = c.job order by 1").await,
            "2|started\n3|sent",
            "{change}: the next job gets the worker"
        );
    }
}

/// A user's open transaction keeps no run waiting.
#[tokio::test]
async fn a_job_that_somebody_is_changing_keeps_no_worker_busy() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    let ids = ids(&db).await;
    db.run("update supaqueue.job set status = 'cancelled' where payload = '1'")
        .await;
    let user = db.connect().await;
    supaqueue_tests::run(
        &user,
        "begin; update supaqueue.job set headers = '{}' where true",
    )
    .await;
    let answer = beat(&db, RUN, &json!({"acknowledge": ids})).await;
    assert_eq!(payloads(&answer), "2");
    assert_eq!(
        db.get("select count(*) from supaqueue.worker where not locked")
            .await,
        "1"
    );
    supaqueue_tests::run(&user, "commit").await;
    db.tick().await;
    assert_eq!(
        db.get("select status from supaqueue.job where payload = '1'")
            .await,
        "cancelled"
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.unfinished").await,
        "0"
    );
}

#[tokio::test]
async fn a_run_that_waits_gets_sent_calls_and_the_next_jobs_of_free_workers() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run(&next_pulse(OTHER_RUN, "'{}'")).await;
    db.run("select supaqueue.enqueue('q', '1'); select supaqueue.enqueue('q', '2', run_at => clock_timestamp() + interval '30 ms')").await;
    db.run("select pg_sleep(0.05)").await;
    let sent = db.get("select count(*) from net.http_request_queue").await;
    let answer = beat(&db, RUN, &waiting(&db, 0).await).await;
    assert_eq!(payloads(&answer), "1 2");
    assert_eq!(
        answer["queues"][0]["again_in_ms"],
        Value::Null,
        "no worker is free"
    );
    assert_eq!(
        db.get("select state, run, claimed_in, lease_until, previous, request_id is not null from supaqueue.current_job order by created_at").await,
        format!("started|{RUN}|1|null|null|t\nstarted|{RUN}|1|null|null|f")
    );
    assert_eq!(
        db.get("select string_agg(status || attempts, ' ') from supaqueue.job")
            .await,
        "in_progress1 in_progress1"
    );
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        sent,
        "nothing is sent for it"
    );
}

#[tokio::test]
async fn claims_keep_within_the_limits() {
    for (limits, want) in [
        (json!({"calls": 1}), "1"),
        (json!({"calls": 0}), ""),
        (json!({"calls": 9, "within_ms": 59999}), "1"),
        (json!({"bytes": 4000}), "1"),
        (json!({}), "1 2 xxx 4"),
    ] {
        let db = Db::new().await;
        db.queue("q", 4).await;
        db.run(
            "insert into supaqueue.job (queue, payload, timeout_ms, run_at)
             select supaqueue.queue_id('q'), p, t, clock_timestamp() + interval '30 ms'
             from (values ('1'::jsonb, 10), ('2', 60000), (to_jsonb(repeat('x', 5000)), 10), ('4', 10)) as j (p, t)",
        )
        .await;
        if limits.get("bytes").is_some() {
            db.run("update supaqueue.job set priority = 1 where payload in ('2', '4')")
                .await;
        }
        db.run("select pg_sleep(0.05)").await;
        let request = with(waiting(&db, 0).await, &json!({"limits": limits}));
        let answer = beat(&db, RUN, &request).await;
        assert_eq!(payloads(&answer), want, "{limits}");
        let again = &answer["queues"][0]["again_in_ms"];
        assert_eq!(again.is_null(), want.len() > 1, "{limits}: {again}");
        db.tick().await;
        assert_eq!(
            db.get("select count(*) from supaqueue.current_job").await,
            "4",
            "the tick starts the rest"
        );
    }
}

#[tokio::test]
async fn a_run_that_waits_for_a_paused_queue_gets_nothing() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("update supaqueue.queue set is_paused = true; select supaqueue.enqueue('q')")
        .await;
    let answer = beat(&db, RUN, &waiting(&db, 0).await).await;
    assert_eq!(payloads(&answer), "");
    assert_eq!(answer["queues"][0]["again_in_ms"], Value::Null);
}

#[tokio::test]
async fn again_in_ms_follows_the_next_job_and_grows_while_there_is_none() {
    // How long the run was without a call, what is done first, and the least and the most answered.
    type Case = (u32, &'static str, Option<(u64, u64)>);
    let cases: [Case; 14] = [
        (0, "", Some((50, 50))),
        (100, "", Some((50, 50))),
        (400, "", Some((100, 100))),
        (5000, "", Some((1250, 1250))),
        (5001, "", None),
        (
            0,
            "update supaqueue.setting set poll_ms = 300",
            Some((300, 300)),
        ),
        (0, "update supaqueue.setting set linger_ms = 0", None),
        (400, "update supaqueue.setting set linger_ms = 399", None),
        (
            0,
            "select supaqueue.enqueue('q', run_at => now() + interval '1 day')",
            Some((50, 50)),
        ),
        (
            4000,
            "select supaqueue.enqueue('q', run_at => clock_timestamp() + interval '500 ms')",
            Some((100, 500)),
        ),
        (
            9000,
            "select supaqueue.enqueue('q', run_at => clock_timestamp() + interval '4 s')",
            Some((3000, 4000)),
        ),
        (
            9000,
            "select supaqueue.enqueue('q', run_at => clock_timestamp() + interval '6 s')",
            None,
        ),
        (
            0,
            "update supaqueue.setting set linger_ms = 0;
             select supaqueue.enqueue('q', run_at => clock_timestamp() + interval '500 ms')",
            None,
        ),
        (0, "select supaqueue.set_workers('q', 0)", None),
    ];
    for (idle_ms, setup, want) in cases {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.run(setup).await;
        let answer = beat(&db, RUN, &waiting(&db, idle_ms).await).await;
        let again = answer["queues"][0]["again_in_ms"].as_u64();
        match want {
            None => assert_eq!(again, None, "{idle_ms} {setup}"),
            Some((least, most)) => {
                let again = again.expect(setup);
                assert!(
                    (least..=most).contains(&again),
                    "{again} after {idle_ms} {setup}"
                );
            }
        }
    }
}

#[tokio::test]
async fn again_in_ms_is_not_null_while_a_sent_call_waits() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let request = with(waiting(&db, 0).await, &json!({"limits": {"calls": 0}}));
    let answer = beat(&db, RUN, &request).await;
    assert_eq!(answer["queues"][0]["again_in_ms"], 50);
}

#[tokio::test]
async fn a_run_is_told_what_was_cancelled_deleted_or_is_not_its_own() {
    let db = Db::new().await;
    db.queue("q", 4).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3,4}')")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    let ids = ids(&db).await;
    let request = json!({"calls": [ids[0], ids[1], ids[2], OTHER_RUN]});
    let answer = beat(&db, RUN, &request).await;
    assert_eq!(
        (&answer["cancelled"], &answer["gone"]),
        (&json!([]), &json!([OTHER_RUN]))
    );
    db.run("update supaqueue.job set status = 'cancelled' where payload = '1'; delete from supaqueue.job where payload = '2'")
        .await;
    let answer = beat(&db, RUN, &request).await;
    let mut cancelled: Vec<_> = answer["cancelled"].as_array().unwrap().clone();
    cancelled.sort_unstable_by_key(ToString::to_string);
    let mut want = vec![json!(ids[0]), json!(ids[1])];
    want.sort_unstable_by_key(ToString::to_string);
    assert_eq!(cancelled, want);
    assert_eq!(
        db.get("select count(*) from supaqueue.worker where locked")
            .await,
        "4",
        "until the run reports"
    );
    for id in &ids[..2] {
        db.run(&succeed(&format!("'{id}'"), RUN, ANY)).await;
    }
    assert_eq!(
        db.get("select count(*) from supaqueue.worker where locked")
            .await,
        "2"
    );
    let other = beat(&db, OTHER_RUN, &json!({"calls": [ids[3]]})).await;
    assert_eq!(other["gone"], json!([ids[3]]), "another's call");
}

#[tokio::test]
async fn a_claim_that_was_cancelled_before_its_pulse_is_repeated_is_told_as_cancelled() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    let ids = ids(&db).await;
    let request = json!({"acknowledge": ids});
    assert_eq!(payloads(&numbered(&db, 1, &request).await), "1 2");
    db.run("delete from supaqueue.job where payload = '1'")
        .await;
    let answer = numbered(&db, 1, &request).await;
    assert_eq!(payloads(&answer), "2");
    assert_eq!(answer["cancelled"], json!([ids[0]]));
}

#[tokio::test]
async fn another_protocol_is_refused_with_the_side_to_upgrade() {
    let db = Db::new().await;
    for (protocol, side) in [
        (json!(1), "function"),
        (json!(3), "schema"),
        (json!("x"), "function"),
    ] {
        let answer = beat(&db, RUN, &json!({"protocol": protocol})).await;
        assert_eq!(answer["accepted"], false);
        let reason = answer["reason"].as_str().unwrap();
        let upgrade = format!("upgrade the {side} with `supaqueue install --project-ref <ref>`");
        assert!(reason.contains(&upgrade), "{reason}");
    }
    assert_eq!(db.get("select count(*) from supaqueue.run").await, "0");
}

#[tokio::test]
async fn a_pulse_without_a_run_or_a_number_is_refused() {
    let db = Db::new().await;
    for arguments in ["null, 1", "gen_random_uuid(), null", "gen_random_uuid(), 0"] {
        assert_eq!(
            db.refusal(&format!("select public.supaqueue_pulse({arguments})"))
                .await,
            "cannot take a pulse: _run must not be null, and _number counts from 1"
        );
    }
}

/// A run that waits asks many times a second.
#[tokio::test]
async fn a_pulse_that_finds_nothing_writes_one_heap_only_update() {
    let db = Db::new().await;
    db.queue("q", 50).await;
    let request = waiting(&db, 0).await;
    db.run(&next_pulse(RUN, &format!("'{request}'"))).await;
    let client = db.connect().await;
    supaqueue_tests::run(&client, "begin").await;
    for _ in 0..3 {
        supaqueue_tests::run(&client, &next_pulse(RUN, &format!("'{request}'"))).await;
    }
    let written = "select relname, n_tup_ins, n_tup_upd, n_tup_hot_upd, n_tup_del from pg_stat_xact_user_tables
         where schemaname = 'supaqueue' and n_tup_ins + n_tup_upd + n_tup_del > 0";
    assert_eq!(supaqueue_tests::get(&client, written).await, "run|0|3|3|0");
}

#[tokio::test]
async fn a_job_that_cannot_be_claimed_fails_alone() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.run(
        "create function public.refuse() returns trigger language plpgsql as $$ begin raise exception 'no'; end $$;
         create trigger refuse before update on supaqueue.job for each row
         when (new.status = 'in_progress' and new.payload = '1') execute function public.refuse()",
    )
    .await;
    db.run("insert into supaqueue.job (queue, payload, run_at) select supaqueue.queue_id('q'), to_jsonb(i), clock_timestamp() + interval '30 ms' from generate_series(1, 2) i").await;
    db.run("select pg_sleep(0.05)").await;
    let answer = beat(&db, RUN, &waiting(&db, 0).await).await;
    assert_eq!(payloads(&answer), "2");
    let problem = "select count(*) from supaqueue.problem p join supaqueue.job j on j.id = p.job where j.payload = '1'";
    assert_eq!(db.get(problem).await, "1");
}
