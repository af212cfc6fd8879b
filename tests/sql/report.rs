//! `public.end_current_job`: reports of runs, and calls that are settled by hand.

use supaqueue_tests::Db;
use supaqueue_tests::protocol::{
    ANY, Answer, LOSE_CALLS, NONE, OTHER_RUN, Pulse, RUN, acknowledge, acknowledge_all, fail,
    next_pulse, succeed, within,
};

/// The id of the oldest current job.
async fn current_job(db: &Db) -> String {
    db.get("select id from supaqueue.current_job order by created_at, id limit 1")
        .await
}

/// A run reports success of a current job; returns the answer.
async fn report(db: &Db, current_job: &str, next: &str) -> String {
    db.get(&succeed(&format!("'{current_job}'"), RUN, next))
        .await
}

/// A queue with a worker that makes a call for a run, and jobs with these payloads that wait.
async fn busy_queue(db: &Db, payloads: &str) -> String {
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', '1')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(&format!(
        "select supaqueue.enqueue_many('q', '{{{payloads}}}')"
    ))
    .await;
    current_job(db).await
}

#[tokio::test]
async fn an_unknown_id_is_refused_without_effect() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let before = db
        .get("select status, attempts, updated_at from supaqueue.job")
        .await;
    for call in ["false, false", "true, true", "true, false"] {
        assert_eq!(
            db.get(&format!(
                "select public.end_current_job('{OTHER_RUN}', {call}) -> 'accepted'"
            ))
            .await,
            "false"
        );
    }
    assert_eq!(
        db.get("select status, attempts, updated_at from supaqueue.job")
            .await,
        before
    );
}

#[tokio::test]
async fn a_report_of_a_call_that_the_run_does_not_have_changes_nothing() {
    let db = Db::new().await;
    let call = busy_queue(&db, "").await;
    db.run(&next_pulse(OTHER_RUN, "'{}'")).await;
    let state = "select status, attempts, state, run from supaqueue.job, supaqueue.current_job";
    let before = db.get(state).await;
    let answer = db.get(&succeed(&format!("'{call}'"), OTHER_RUN, ANY)).await;
    assert_eq!(
        Answer::parse(&answer),
        Answer {
            held: None,
            state: "settled".into(),
            next: None
        },
        "refused would tell the run that it is over"
    );
    assert_eq!(db.get(state).await, before);
}

#[tokio::test]
async fn a_report_of_a_run_that_is_over_or_unknown_is_refused() {
    let db = Db::new().await;
    let call = busy_queue(&db, "2").await;
    for broken in [LOSE_CALLS, "delete from supaqueue.run"] {
        db.run(broken).await;
        let answer = report(&db, &call, ANY).await;
        assert!(
            answer.contains(r#""state": "refused""#) && answer.contains("this run is over"),
            "{answer}"
        );
        assert_eq!(
            db.get("select string_agg(status, ' ' order by position) from supaqueue.job")
                .await,
            "in_progress pending"
        );
    }
}

#[tokio::test]
async fn a_report_returns_the_workers_next_job_already_started() {
    let db = Db::new().await;
    let first = busy_queue(&db, "2").await;
    let sent = db.get("select count(*) from net.http_request_queue").await;
    let answer = report(&db, &first, ANY).await;
    let next = current_job(&db).await;
    assert!(
        answer.contains(&next) && answer.contains(r#""payload": 2"#),
        "{answer}"
    );
    assert_eq!(
        db.get(
            "select c.previous, c.run, c.state, c.lease_until, j.status, j.attempts
                from supaqueue.current_job c join supaqueue.job j on j.id = c.job"
        )
        .await,
        format!("{first}|{RUN}|started|null|in_progress|1")
    );
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        sent,
        "nothing is sent through pg_net"
    );
    let other = Pulse::parse(&db.get(&acknowledge(&format!("'{next}'"), OTHER_RUN)).await);
    assert!(!other.has_started(), "it belongs to the reporting run");
}

#[tokio::test]
async fn a_repeated_report_returns_the_same_next_job() {
    let db = Db::new().await;
    let first = busy_queue(&db, "2,3").await;
    let answer = report(&db, &first, ANY).await;
    let again = report(&db, &first, ANY).await;
    assert_eq!(again, answer);
    assert_eq!(
        db.get("select count(*) from supaqueue.job where status = 'in_progress'")
            .await,
        "1"
    );
}

#[tokio::test]
async fn a_repeated_last_report_returns_no_next_job_again() {
    let db = Db::new().await;
    let id = busy_queue(&db, "").await;
    let answer = Answer::parse(&report(&db, &id, ANY).await);
    assert_eq!((answer.state.as_str(), &answer.next), ("settled", &None));
    db.run("select supaqueue.enqueue('q')").await;
    assert_eq!(Answer::parse(&report(&db, &id, ANY).await), answer);
    assert_eq!(
        db.get("select string_agg(attempts || status, ' ' order by position) from supaqueue.job")
            .await,
        "1successful 1in_progress"
    );
}

/// `_next` bounds the timeout and the size of the next job.
#[tokio::test]
async fn a_next_job_that_does_not_fit_is_dispatched_instead() {
    for (next, job, fits) in [
        (within(60_000), "'2'", true),
        (within(59_999), "'2'", false),
        (within(5), "'2', timeout_ms => 5", true),
        (within(5), "'2', timeout_ms => 6", false),
        (
            "'{\"bytes\": 5002}'".into(),
            "to_jsonb(repeat('x', 5000))",
            true,
        ),
        (
            "'{\"bytes\": 5001}'".into(),
            "to_jsonb(repeat('x', 5000))",
            false,
        ),
    ] {
        let db = Db::new().await;
        let first = busy_queue(&db, "").await;
        db.run(&format!("select supaqueue.enqueue('q', {job})"))
            .await;
        let answer = Answer::parse(&report(&db, &first, &next).await);
        assert_eq!(answer.next.is_some(), fits, "{next} {job}");
        assert_eq!(
            db.get("select state, request_id is not null from supaqueue.current_job")
                .await,
            if fits { "started|f" } else { "sent|t" },
            "{next} {job}"
        );
    }
}

#[tokio::test]
async fn a_report_that_accepts_no_next_job_leaves_it_to_a_dispatch() {
    let db = Db::new().await;
    let first = busy_queue(&db, "2").await;
    assert_eq!(Answer::parse(&report(&db, &first, NONE).await).next, None);
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        "2"
    );
}

/// A queue with two calls: a run makes the first, the second is still with pg_net.
async fn one_of_two_started(db: &Db) -> [String; 2] {
    let first = busy_queue(db, "").await;
    db.run("select supaqueue.set_workers('q', 2); select supaqueue.enqueue('q', '2')")
        .await;
    let second = db
        .get("select id from supaqueue.current_job where state = 'sent'")
        .await;
    [first, second]
}

#[tokio::test]
async fn a_report_with_no_job_due_takes_over_a_call_still_with_pg_net() {
    let db = Db::new().await;
    let [first, second] = one_of_two_started(&db).await;
    let sent = db.get("select count(*) from net.http_request_queue").await;
    let answer = report(&db, &first, &within(60_000)).await;
    assert!(
        answer.contains(&second) && answer.contains(r#""payload": 2"#),
        "{answer}"
    );
    let call = "select c.id, c.previous, c.run, c.state, c.lease_until, j.attempts
         from supaqueue.current_job c join supaqueue.job j on j.id = c.job";
    let own = format!("{second}|{first}|{RUN}|started|null|1");
    assert_eq!(db.get(call).await, own);
    assert_eq!(
        db.get("select locked, count(*) from supaqueue.worker group by locked order by locked")
            .await,
        "f|1\nt|1",
        "the call keeps its worker, and the reporter's is freed"
    );
    assert_eq!(
        report(&db, &first, ANY).await,
        answer,
        "a repeated report returns the same call"
    );
    assert!(
        !Pulse::parse(
            &db.get(&acknowledge(&format!("'{second}'"), OTHER_RUN))
                .await
        )
        .has_started(),
        "its dispatch arrives too late"
    );
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        sent
    );
    report(&db, &second, ANY).await;
    assert_eq!(
        db.get("select status, count(*) from supaqueue.job group by status")
            .await,
        "successful|2"
    );
}

#[tokio::test]
async fn a_call_that_does_not_fit_does_not_hide_the_one_behind_it() {
    let db = Db::new().await;
    let first = busy_queue(&db, "").await;
    db.run("select supaqueue.set_workers('q', 3)").await;
    db.run("select supaqueue.enqueue('q', '2', timeout_ms => 60001)")
        .await;
    db.run("select supaqueue.enqueue('q', '3')").await;
    let answer = report(&db, &first, &within(60_000)).await;
    assert!(answer.contains(r#""payload": 3"#), "{answer}");
    assert_eq!(
        db.get(
            "select j.payload from supaqueue.current_job c join supaqueue.job j on j.id = c.job
             where c.state = 'sent'"
        )
        .await,
        "2",
        "the call that does not fit is left to pg_net"
    );
}

#[tokio::test]
async fn a_due_job_is_preferred_to_a_call_still_with_pg_net() {
    let db = Db::new().await;
    let [first, second] = one_of_two_started(&db).await;
    db.run("select supaqueue.enqueue('q', '3')").await;
    let answer = report(&db, &first, ANY).await;
    assert!(
        answer.contains(r#""payload": 3"#) && !answer.contains(&second),
        "{answer}"
    );
}

#[tokio::test]
async fn a_call_still_with_pg_net_is_left_there_when_the_run_may_not_take_it() {
    let obstacles = [
        ("null", ""),
        ("'{\"within_ms\": 59999}'", ""),
        ("'{}'", "update supaqueue.job set status = 'cancelled' where payload = '2'"),
        (
            "'{}'",
            "insert into supaqueue.queue (name, edge_function_name) values ('other', 'f');
             update supaqueue.worker w set queue = supaqueue.queue_id('other')
             from supaqueue.current_job c where c.worker = w.id and c.state = 'sent';
             update supaqueue.job set queue = supaqueue.queue_id('other') where payload = '2';
             update supaqueue.current_job set queue = supaqueue.queue_id('other') where state = 'sent'",
        ),
        (
            "'{}'",
            "update supaqueue.current_job set created_at = created_at - interval '30 seconds'
             where state = 'sent'",
        ),
    ];
    for (next, obstacle) in obstacles {
        let db = Db::new().await;
        let [first, _] = one_of_two_started(&db).await;
        db.run(obstacle).await;
        let answer = report(&db, &first, next).await;
        assert_eq!(
            Answer::parse(&answer).next,
            None,
            "{next} {obstacle}: {answer}"
        );
        assert_eq!(
            db.get("select count(*) from supaqueue.current_job where state = 'sent'")
                .await,
            "1"
        );
    }
}

#[tokio::test]
async fn the_last_report_says_when_to_ask_again() {
    for (setup, next, want) in [
        ("", ANY, "50"),
        ("update supaqueue.setting set poll_ms = 700", ANY, "700"),
        ("update supaqueue.setting set linger_ms = 0", ANY, "null"),
        ("update supaqueue.queue set is_paused = true", ANY, "null"),
        ("select supaqueue.set_workers('q', 0)", ANY, "null"),
        ("", NONE, "null"),
    ] {
        let db = Db::new().await;
        let call = busy_queue(&db, "").await;
        db.run(setup).await;
        let statement = succeed(&format!("'{call}'"), RUN, next);
        assert_eq!(
            db.get(&format!("{statement} -> 'again_in_ms'")).await,
            want,
            "{setup:?} {next}"
        );
    }
}

/// The project is misconfigured, so the target was not called: that is not the job's fault.
#[tokio::test]
async fn a_problem_of_the_project_costs_no_attempt_and_is_shown_until_the_target_is_called() {
    let db = Db::new().await;
    let call = busy_queue(&db, "2").await;
    let report = |call: &str| {
        supaqueue_tests::protocol::report(
            &format!("'{call}'"),
            RUN,
            false,
            r#"{"is_attempt": false, "problem": "SUPABASE_ANON_KEY is not set"}"#,
            ANY,
        )
    };
    let answer = db.get(&report(&call)).await;
    assert_eq!(
        Answer::parse(&answer).next,
        None,
        "the next job would have the same: {answer}"
    );
    let job =
        "select status, attempts, errors, run_at > now() from supaqueue.job where payload = '1'";
    assert_eq!(db.get(job).await, "pending|0|[]|t");
    let shown = "select count(*) from supaqueue.problem p join supaqueue.job j on j.id = p.job
         where j.payload = '1' and p.problem like '%SUPABASE_ANON_KEY is not set%' and p.remedy <> ''";
    assert_eq!(db.get(shown).await, "1");
    let explanation = db
        .get("select supaqueue.explain(id) from supaqueue.job where payload = '1'")
        .await;
    assert!(
        explanation.contains("SUPABASE_ANON_KEY is not set"),
        "{explanation}"
    );

    // Each try is later than the one before, whatever a tick does between them.
    db.run("update supaqueue.queue set backoff_max_ms = 0, backoff_base_ms = 0; select supaqueue.set_workers('q', 2)").await;
    let mut pauses = Vec::new();
    for _ in 0..3 {
        db.run("update supaqueue.unfinished set since = since - interval '1 minute', retry_at = '-infinity'").await;
        db.run(
            "update supaqueue.job set run_at = now() where payload = '1'; call supaqueue.tick()",
        )
        .await;
        db.run(&acknowledge_all(RUN)).await;
        db.tick().await;
        let call = db.get("select c.id from supaqueue.current_job c join supaqueue.job j on j.id = c.job where j.payload = '1'").await;
        assert_eq!(db.get(shown).await, "0", "while the target is called");
        db.run(&report(&call)).await;
        assert_eq!(db.get(shown).await, "1");
        let pause = "select extract(epoch from run_at - clock_timestamp()) from supaqueue.job where payload = '1'";
        pauses.push(db.get(pause).await.parse::<f64>().unwrap());
    }
    assert!(pauses.is_sorted() && pauses[0] > 30.0, "{pauses:?}");

    db.run("update supaqueue.queue set backoff_max_ms = 300000, backoff_base_ms = 300000")
        .await;
    db.run("update supaqueue.job set run_at = now() where payload = '1'")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    let call = "(select c.id from supaqueue.current_job c join supaqueue.job j on j.id = c.job where j.payload = '1')";
    db.run(&fail(call, RUN, NONE)).await;
    assert_eq!(
        db.get("select status, attempts from supaqueue.job where payload = '1'")
            .await,
        "pending|1"
    );
    assert_eq!(db.get(shown).await, "0", "the target was called");
    assert_eq!(
        db.get("select count(*) from supaqueue.unfinished where step = 'call'")
            .await,
        "0"
    );
}

#[tokio::test]
async fn a_report_to_a_paused_queue_returns_no_next_job() {
    let db = Db::new().await;
    let first = busy_queue(&db, "2").await;
    db.run("update supaqueue.queue set is_paused = true").await;
    assert_eq!(Answer::parse(&report(&db, &first, ANY).await).next, None);
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "0"
    );
    db.run("update supaqueue.queue set is_paused = false").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.current_job").await,
        "1",
        "it continues when unpaused"
    );
}

/// By hand, in both ways: what settles a call that was sent, or that a run makes.
const BY_HAND: [&str; 2] = [
    "select public.end_current_job(id, true, %) from supaqueue.current_job",
    "update supaqueue.current_job set is_complete = true, is_successful = %",
];

#[tokio::test]
async fn settling_a_sent_call_by_hand_ends_it() {
    for by_hand in BY_HAND {
        for (is_successful, status) in [("true", "successful"), ("false", "pending")] {
            let db = Db::new().await;
            db.queue("q", 1).await;
            db.run("select supaqueue.enqueue('q')").await;
            db.run(&by_hand.replace('%', is_successful)).await;
            assert_eq!(
                db.get("select status, locked, (select count(*) from supaqueue.current_job) from supaqueue.job, supaqueue.worker").await,
                format!("{status}|f|0"),
                "{by_hand}"
            );
        }
    }
}

#[tokio::test]
async fn settling_a_runs_call_by_hand_leaves_its_worker_to_the_run() {
    for by_hand in BY_HAND {
        for (is_successful, at_once, in_the_end) in [
            ("true", "successful", "successful|1"),
            // It must not start again before the run has let go of it.
            ("false", "in_progress", "pending|1"),
        ] {
            let db = Db::new().await;
            let call = busy_queue(&db, "2").await;
            let state = "select j.status, w.locked, c.state from supaqueue.job j, supaqueue.worker w, supaqueue.current_job c where j.payload = '1'";
            for _ in 0..2 {
                db.run(&by_hand.replace('%', is_successful)).await;
                assert_eq!(db.get(state).await, format!("{at_once}|t|started"));
            }
            db.tick().await;
            assert_eq!(db.get(state).await, format!("{at_once}|t|started"));
            assert_eq!(db.get("select problem from supaqueue.problem").await, "");

            let told = next_pulse(
                RUN,
                &format!("jsonb_build_object('calls', '[\"{call}\"]'::jsonb)"),
            );
            assert_eq!(
                db.get(&format!("{told} -> 'cancelled' ->> 0")).await,
                call,
                "{by_hand}"
            );
            let answer = db.get(&fail(&format!("'{call}'"), RUN, ANY)).await;
            assert!(answer.contains(r#""payload": 2"#), "{answer}");
            let job = "select status, attempts, coalesce(errors #>> '{0,message}', 'none') <> 'no' from supaqueue.job where payload = '1'";
            assert_eq!(
                db.get(job).await,
                format!("{in_the_end}|t"),
                "{by_hand}: as it was settled by hand, not as the run reports"
            );
            assert_eq!(
                db.get("select count(*) from supaqueue.unfinished").await,
                "0"
            );
        }
    }
}

#[tokio::test]
async fn a_call_that_was_settled_by_hand_and_then_lost_keeps_its_outcome() {
    for (is_successful, want) in [("true", "successful|[]"), ("false", "pending|by hand")] {
        let db = Db::new().await;
        let call = busy_queue(&db, "").await;
        db.run(&format!(
            "select public.end_current_job('{call}', true, {is_successful}, '{{\"error\": {{\"message\": \"by hand\"}}}}')"
        ))
        .await;
        db.run(LOSE_CALLS).await;
        db.tick().await;
        let job =
            "select status, coalesce(errors #>> '{0,message}', errors::text) from supaqueue.job";
        assert_eq!(db.get(job).await, want);
        assert_eq!(db.get("select locked from supaqueue.worker").await, "f");
    }
}

#[tokio::test]
async fn asking_where_a_call_stands_changes_nothing() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let row = "select c::text from supaqueue.current_job c";
    let ask =
        "select public.end_current_job(id, false, false) ->> 'state' from supaqueue.current_job";
    for state in ["sent", "started"] {
        let before = db.get(row).await;
        assert_eq!(db.get(ask).await, state);
        assert_eq!(db.get(row).await, before);
        db.run(&acknowledge_all(RUN)).await;
    }
}

#[tokio::test]
async fn a_malformed_report_still_settles_its_job() {
    for report in [
        "null",
        "[]",
        "3",
        "\"text\"",
        r#"{"http_status": "x", "duration_ms": -5, "error": 3, "retry_after_ms": "soon", "is_final": "no"}"#,
        r#"{"http_status": 1e999, "duration_ms": 1e300, "error": {"message": {"a": 1}}, "retry_after_ms": -1e99}"#,
        r#"{"http_status": 500.4, "duration_ms": 99.6, "retry_after_ms": 0.5}"#,
        r#"{"http_status": [500, 501], "duration_ms": {"ms": 5}, "retry_after_ms": null}"#,
        r#"{"error": {"message": null}, "is_attempt": 0, "problem": {"a": 1}, "unknown": true}"#,
    ] {
        let db = Db::new().await;
        db.queue("q", 1).await;
        db.run("select supaqueue.enqueue('q')").await;
        assert_eq!(
            db.get(&format!(
                "select public.end_current_job((select id from supaqueue.current_job), true, false, '{report}') ->> 'state'"
            ))
            .await,
            "settled",
            "{report}"
        );
        assert_eq!(
            db.get("select status, attempts from supaqueue.job").await,
            "pending|1",
            "{report}"
        );
    }
}

#[tokio::test]
async fn missing_arguments_are_refused() {
    let db = Db::new().await;
    assert_eq!(
        db.refusal("select public.end_current_job(null, true, true)")
            .await,
        "cannot end a current job: cur_job_id, _is_complete and _is_successful must not be null"
    );
}

#[tokio::test]
async fn the_service_role_can_take_a_pulse_and_report() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let api = db.database().connect_as("service_role").await.unwrap();
    supaqueue_tests::run(&api, "select supaqueue.enqueue_many('q', '{1,2}')").await;
    let id = current_job(&db).await;
    for (statement, want) in [
        (acknowledge_all(RUN), r#""payload": 1"#),
        (succeed(&format!("'{id}'"), RUN, ANY), r#""payload": 2"#),
    ] {
        let answer = supaqueue_tests::get(&api, &statement).await;
        assert!(answer.contains(want), "{answer}");
    }
}

#[tokio::test]
async fn every_update_and_delete_has_a_where_clause() {
    // API sessions load safeupdate, which rejects statements without one, even inside functions.
    let db = Db::new().await;
    let functions = db
        .get(
            "select replace(p.prosrc, chr(10), ' ') from pg_proc p
         where p.pronamespace in ('supaqueue'::regnamespace, 'public'::regnamespace)",
        )
        .await;
    let mut statements = 0;
    for statement in functions.to_lowercase().split(';') {
        for (verb, words) in [("update supaqueue.", 2), ("delete from ", 2)] {
            for part in statement.split(verb).skip(1) {
                statements += words / 2;
                assert!(part.contains(" where "), "{verb}{part}");
            }
        }
    }
    assert!(statements > 15, "only {statements} statements were found");
}
