//! Whatever a session, a role or a database is set to, and whatever rows of ours are missing: jobs are
//! inserted, started and settled as always.

use supaqueue_tests::protocol::{
    ANY, Answer, NONE, Pulse, RUN, acknowledge, acknowledge_all, current_job_of, fail, succeed,
};
use supaqueue_tests::{Db, TICK, get, run};

/// Settings that change how values are written, read, compared or found.
const SETTINGS: [&str; 12] = [
    "datestyle = 'SQL, MDY'",
    "datestyle = 'German'",
    "timezone = 'Pacific/Guam'",
    "timezone = 'Europe/Berlin'",
    "intervalstyle = 'sql_standard'",
    "extra_float_digits = -15",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "quote_all_identifiers = on",
    "transform_null_equals = on",
    "array_nulls = off",
    "search_path = ''",
];

async fn set_all(client: &tokio_postgres::Client) {
    for setting in SETTINGS {
        run(client, &format!("set {setting}")).await;
    }
}

#[tokio::test]
async fn no_time_or_number_depends_on_the_sessions_settings() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let odd = db.connect().await;
    set_all(&odd).await;
    run(
        &odd,
        "select supaqueue.enqueue('q', '1', run_at => now() - interval '1 hour')",
    )
    .await;
    run(&odd, "select supaqueue.enqueue('q', '3')").await;
    run(
        &odd,
        "select supaqueue.enqueue('q', '2', run_at => now() - interval '30 minutes')",
    )
    .await;
    run(&odd, &acknowledge_all(RUN)).await;
    assert_eq!(
        db.get("select extract(epoch from lease_until - clock_timestamp()) between 50 and 61 from supaqueue.run").await,
        "t"
    );
    run(&odd, &fail(&current_job_of("q"), RUN, NONE)).await;
    assert_eq!(
        db.get("select status, run_at between clock_timestamp() and clock_timestamp() + interval '5 minutes',
                  (errors #>> '{0,at}')::timestamptz between clock_timestamp() - interval '1 minute' and clock_timestamp()
                from supaqueue.job where payload = '1'").await,
        "pending|t|t"
    );
    assert_eq!(
        db.get(
            "select j.payload from supaqueue.current_job c join supaqueue.job j on j.id = c.job"
        )
        .await,
        "2"
    );
    run(
        &odd,
        "update supaqueue.current_job set lease_until = now() - interval '1 second'",
    )
    .await;
    run(&odd, TICK).await;
    assert_eq!(
        db.get("select dispatches from supaqueue.current_job").await,
        "2"
    );
    run(
        &odd,
        "select * from supaqueue.problem; select supaqueue.explain(id) from supaqueue.job",
    )
    .await;
    assert_eq!(
        db.get("select extract(epoch from to_timestamp((headers ->> 'webhook-timestamp')::bigint) - clock_timestamp()) between -60 and 1
                from net.http_request_queue order by id desc limit 1").await,
        "t"
    );
}

#[tokio::test]
async fn a_default_isolation_level_delays_jobs_to_the_next_tick_at_most() {
    for level in ["repeatable read", "serializable"] {
        let db = Db::new().await;
        db.queue("q", 2).await;
        let admin = db.database().connect_as_admin().await.unwrap();
        let name = get(&admin, "select current_database()").await;
        run(
            &admin,
            &format!("alter database {name} set default_transaction_isolation = '{level}'"),
        )
        .await;
        let session = db.connect().await;
        assert_eq!(get(&session, "show transaction_isolation").await, level);

        run(&session, "select supaqueue.enqueue_many('q', '{1,2,3}')").await;
        run(&session, TICK).await;
        let status = "select string_agg(status, ' ' order by position) from supaqueue.job";
        assert_eq!(
            db.get(status).await,
            "in_progress in_progress pending",
            "{level}"
        );

        let calls = db
            .get("select id from supaqueue.current_job order by job")
            .await;
        for call in calls.lines() {
            let call = format!("'{call}'");
            let started = get(&session, &acknowledge(&call, RUN)).await;
            assert!(Pulse::parse(&started).has_started(), "{level}");
            let settled = get(&session, &succeed(&call, RUN, ANY)).await;
            assert_eq!(Answer::parse(&settled).state, "settled", "{level}");
        }
        run(&session, TICK).await;
        assert_eq!(
            db.get(status).await,
            "successful successful in_progress",
            "{level}"
        );
        assert_eq!(
            get(&session, "select problem from supaqueue.problem").await,
            "",
            "{level}"
        );
    }
}

#[tokio::test]
async fn without_rows_of_configuration_the_defaults_apply() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let defaults = db.get("select s.* from supaqueue.settings() s").await;
    db.run("update supaqueue.setting set jobs_per_request = 7")
        .await;
    for table in ["setting", "version", "last_tick"] {
        db.run(&format!("delete from supaqueue.{table}")).await;
    }
    db.run("select supaqueue.enqueue('q', '1')").await;
    assert_eq!(
        db.get("select dispatches, request_id is not null from supaqueue.current_job")
            .await,
        "1|t",
        "a call is sent"
    );
    db.tick().await;
    db.run(&acknowledge(&current_job_of("q"), RUN)).await;
    db.run("delete from supaqueue.setting").await;
    db.run(&fail(&current_job_of("q"), RUN, ANY)).await;
    assert_eq!(
        db.get("select status, attempts from supaqueue.job").await,
        "pending|1"
    );
    db.run("delete from supaqueue.setting").await;
    db.get("select * from supaqueue.problem; select supaqueue.explain(id) from supaqueue.job; select * from supaqueue.queue_status").await;
    assert_eq!(
        db.get("select s.* from supaqueue.settings() s").await,
        defaults
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.setting").await,
        "1",
        "the row is back"
    );
    db.run("update supaqueue.setting set jobs_per_request = 7")
        .await;
}
