//! Leases, and how the engine recovers calls that were lost.

use supaqueue_tests::Db;
use supaqueue_tests::protocol::{
    ANY, Answer, LOSE_CALLS, Pulse, RUN, acknowledge, acknowledge_all, next_pulse, succeed,
};

/// Ends the leases of all runs; the tick marks them over.
const EXPIRE_RUNS: &str =
    "update supaqueue.run set lease_until = clock_timestamp() - interval '1 second'";

async fn start_job(db: &Db) {
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
}

#[tokio::test]
async fn an_unacknowledged_call_is_resent_under_a_new_id_and_spends_no_attempt() {
    let db = Db::new().await;
    start_job(&db).await;
    let first = db.get("select id from supaqueue.current_job").await;
    db.run(LOSE_CALLS).await;
    db.tick().await;
    assert_eq!(
        db.get(&format!("select id <> '{first}', dispatches, request_id = 2, lease_until > clock_timestamp() + interval '25 s' from supaqueue.current_job")).await,
        "t|2|t|t"
    );
    assert_eq!(
        db.get("select attempts, status from supaqueue.job").await,
        "1|in_progress",
        "resending spends no attempt"
    );
    assert!(
        !Pulse::parse(&db.get(&acknowledge(&format!("'{first}'"), RUN)).await).has_started(),
        "the first dispatch, arriving late, runs nothing"
    );
    assert_eq!(
        db.get("select convert_from(body, 'UTF8')::jsonb #>> '{current_jobs,0,current_job,id}' = (select id::text from supaqueue.current_job)
                from net.http_request_queue order by id desc limit 1").await,
        "t"
    );
}

#[tokio::test]
async fn a_call_is_resent_a_limited_number_of_times_then_the_reason_is_recorded() {
    let db = Db::new().await;
    start_job(&db).await;
    let admin = db.database().connect_as_admin().await.unwrap();
    for _ in 0..5 {
        supaqueue_tests::run(&admin, "delete from net._http_response; insert into net._http_response (id, status_code, content, timed_out)
            select max(id), 401, '{\"code\":\"signature_refused\"}', false from net.http_request_queue").await;
        db.run(LOSE_CALLS).await;
        db.tick().await;
    }
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        "5"
    );
    assert_eq!(
        db.get("select status, attempts, run_at > clock_timestamp(), errors #>> '{0,message}' from supaqueue.job").await,
        r#"pending|0|t|not acknowledged by the supaqueue function, sent 5 times; the last request: it was answered with 401: {"code":"signature_refused"}"#
    );
    assert_eq!(
        db.get("select locked from supaqueue.worker").await,
        "f",
        "the worker is freed"
    );
}

#[tokio::test]
async fn an_unacknowledged_call_is_a_problem() {
    let db = Db::new().await;
    start_job(&db).await;
    assert_eq!(db.get("select count(*) from supaqueue.problem").await, "0");
    db.run(LOSE_CALLS).await;
    db.tick().await;
    assert_eq!(
        db.get("select queue, problem from supaqueue.problem").await,
        "q|sent to the supaqueue function 2 times without being acknowledged; the last request: pg_net has not sent it"
    );
}

/// The server of the tests has not been up for the shortest lease.
async fn server_is_up(db: &Db) {
    let admin = db.database().connect_as_admin().await.unwrap();
    supaqueue_tests::break_function(
        &admin,
        "end_runs",
        "pg_postmaster_start_time() <",
        "pg_postmaster_start_time() - interval '1 day' <",
    )
    .await;
}

#[tokio::test]
async fn a_call_of_a_run_whose_lease_is_over_is_a_lost_attempt_and_due_at_once() {
    let db = Db::new().await;
    server_is_up(&db).await;
    start_job(&db).await;
    let id = db.get("select id from supaqueue.current_job").await;
    db.run(&acknowledge_all(RUN)).await;
    db.tick().await;
    assert_eq!(
        db.get("select c.state, r.is_over from supaqueue.current_job c join supaqueue.run r on r.id = c.run").await,
        "started|f",
        "within the lease it is left alone"
    );
    db.run(EXPIRE_RUNS).await;
    db.tick().await;
    assert_eq!(
        db.get("select status, attempts, errors #>> '{0,message}' from supaqueue.job")
            .await,
        "in_progress|2|lost: the run that made the call ended before it reported",
        "the queue's backoff is minutes"
    );
    let before = db.get("select status, attempts from supaqueue.job").await;
    let late = Answer::parse(&db.get(&succeed(&format!("'{id}'"), RUN, ANY)).await);
    assert_eq!(late.state, "refused", "a late report");
    let late = db.get(&next_pulse(RUN, "'{}'")).await;
    assert!(
        late.contains(r#""accepted": false"#) && late.contains("this run is over"),
        "{late}"
    );
    let first = format!("select public.supaqueue_pulse('{RUN}', 1, '{{}}') -> 'accepted'");
    assert_eq!(db.get(&first).await, "false", "over is final");
    assert_eq!(
        db.get("select status, attempts from supaqueue.job").await,
        before
    );
}

#[tokio::test]
async fn no_run_is_over_before_the_server_has_been_up_for_a_lease() {
    let db = Db::new().await;
    db.run("update supaqueue.setting set run_lease_ms = 600000")
        .await;
    start_job(&db).await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(EXPIRE_RUNS).await;
    db.tick().await;
    assert_eq!(
        db.get("select state, attempts from supaqueue.current_job, supaqueue.job")
            .await,
        "started|1"
    );
    let renewed = db.get(&next_pulse(RUN, "'{}'")).await;
    assert!(renewed.contains(r#""accepted": true"#), "{renewed}");
    server_is_up(&db).await;
    db.tick().await;
    assert_eq!(
        db.get("select is_over, lease_until > now() + interval '590 s' from supaqueue.run")
            .await,
        "f|t"
    );
}

#[tokio::test]
async fn a_call_of_a_run_that_is_unknown_is_lost() {
    let db = Db::new().await;
    start_job(&db).await;
    db.run(&acknowledge_all(RUN)).await;
    db.run("delete from supaqueue.run").await;
    db.tick().await;
    assert_eq!(
        db.get("select errors #>> '{0,message}' like 'lost:%' from supaqueue.job")
            .await,
        "t"
    );
}

#[tokio::test]
async fn runs_are_forgotten_ten_minutes_after_they_have_ended() {
    let db = Db::new().await;
    server_is_up(&db).await;
    db.run(
        "insert into supaqueue.run (id, number, lease_until)
         select gen_random_uuid(), minutes, now() - minutes * interval '1 minute' from generate_series(-1, 12) minutes",
    )
    .await;
    db.tick().await;
    let runs = "select count(*) filter (where is_over), count(*) filter (where not is_over), max(number) from supaqueue.run";
    assert_eq!(db.get(runs).await, "10|1|9");
}

#[tokio::test]
async fn lost_attempts_count_towards_max_attempts() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q', max_attempts => 1)")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(LOSE_CALLS).await;
    db.tick().await;
    assert_eq!(db.get("select status from supaqueue.job").await, "failed");
}

#[tokio::test]
async fn only_the_tick_takes_back_lost_calls() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(LOSE_CALLS).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run("select public.end_current_job(id, true, true) from supaqueue.current_job where state = 'sent'").await;
    let lost = "select count(*) from supaqueue.job where errors #>> '{0,message}' like 'lost:%'";
    assert_eq!(
        db.get(lost).await,
        "0",
        "neither an insert nor a report does another's work"
    );
    db.tick().await;
    assert_eq!(db.get(lost).await, "2");
}

#[tokio::test]
async fn a_current_job_deleted_by_hand_leaves_nothing_stuck() {
    let db = Db::new().await;
    start_job(&db).await;
    db.run("delete from supaqueue.current_job").await;
    db.tick().await;
    assert_eq!(
        db.get("select status, attempts, errors #>> '{0,message}', locked from supaqueue.job, supaqueue.worker").await,
        "pending|1|lost: the job was in progress without a current job|f"
    );
}

#[tokio::test]
async fn an_unacknowledged_call_that_cannot_be_resent_spends_no_attempt() {
    let db = Db::new().await;
    start_job(&db).await;
    db.run("delete from vault.secrets").await;
    db.run(LOSE_CALLS).await;
    db.tick().await;
    assert_eq!(
        db.get("select status, attempts, errors #>> '{0,message}' from supaqueue.job")
            .await,
        "pending|0|not acknowledged by the supaqueue function, sent 1 times; the last request: the Vault of this database has no secret named supaqueue_secret"
    );
}

#[tokio::test]
async fn the_tick_changes_nothing_when_nothing_is_due() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[3]))")
        .await;
    let state = "select string_agg(j::text, '') from supaqueue.job j";
    let before = db.get(state).await;
    db.tick().await;
    db.tick().await;
    assert_eq!(db.get(state).await, before);
    assert_eq!(
        db.get("select count(*) from net.http_request_queue").await,
        "1"
    );
}

#[tokio::test]
async fn the_tick_is_scheduled_once_and_its_history_is_purged() {
    let db = Db::new().await;
    assert_eq!(db.get("select supaqueue.schedule_tick(); select supaqueue.schedule_tick(); select schedule, command from cron.job").await.lines().last().unwrap(), format!("5 seconds|{}", supaqueue_tests::TICK));
    let admin = db.database().connect_as_admin().await.unwrap();
    supaqueue_tests::run(&admin, "insert into cron.job_run_details (jobid, command, status, start_time, end_time)
        select jobid, command, 'succeeded', now() - age, now() - age from cron.job, (values (interval '2 hours'), ('1 minute')) as t (age)").await;
    db.run("select supaqueue.purge_tick_history()").await;
    assert_eq!(
        db.get("select count(*) from cron.job_run_details").await,
        "1"
    );
}
