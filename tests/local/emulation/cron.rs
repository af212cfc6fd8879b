use supaqueue_local::EmulatedExtensions;

use crate::{database, one, until};

#[tokio::test]
async fn a_job_runs_every_n_seconds_as_the_role_that_scheduled_it() {
    let database = database().await;
    let _workers = EmulatedExtensions::start(&database).await.unwrap();
    let client = database.connect().await.unwrap();
    client
        .batch_execute(
            "create table public.run (who text default current_user, at timestamptz default clock_timestamp());
             select cron.schedule('often', '1 second', 'insert into public.run default values')",
        )
        .await
        .unwrap();
    until("two runs", async || {
        one(&client, "select count(*) >= 2 from public.run").await == "true"
    })
    .await;
    assert_eq!(
        one(
            &client,
            "select string_agg(distinct who, ',') from public.run"
        )
        .await,
        "postgres"
    );
    let record = "select concat_ws('|', command, username, return_message)
                from cron.job_run_details where status = 'succeeded' limit 1";
    until("the record of a run", async || {
        one(&client, record).await != "null"
    })
    .await;
    assert_eq!(
        one(&client, record).await,
        "insert into public.run default values|postgres|1 row"
    );

    client
        .batch_execute("select cron.unschedule('often')")
        .await
        .unwrap();
    let running = "select count(*) from cron.job_run_details where status = 'running'";
    until("the last run", async || one(&client, running).await == "0").await;
    let runs = one(&client, "select count(*) from public.run").await;
    let start = std::time::Instant::now();
    until("several intervals", async || start.elapsed().as_secs() >= 3).await;
    // A check that was in progress may have started one more run.
    let later = one(&client, "select count(*) from public.run").await;
    assert!(
        later.parse::<i64>().unwrap() <= runs.parse::<i64>().unwrap() + 1,
        "{runs}, then {later}"
    );
}

#[tokio::test]
async fn a_failed_run_is_recorded_with_its_error() {
    let database = database().await;
    let _workers = EmulatedExtensions::start(&database).await.unwrap();
    let client = database.connect().await.unwrap();
    client
        .batch_execute("select cron.schedule('bad', '1 seconds', 'select 1 / 0')")
        .await
        .unwrap();
    let failed = "select return_message from cron.job_run_details where status = 'failed' limit 1";
    until("a failed run", async || {
        one(&client, failed).await != "null"
    })
    .await;
    let message = one(&client, failed).await;
    assert!(message.starts_with("ERROR: division by zero"), "{message}");
}

#[tokio::test]
async fn scheduling_an_existing_name_updates_the_job() {
    let client = database().await.connect().await.unwrap();
    let first = one(
        &client,
        "select cron.schedule('job', '5 seconds', 'select 1')",
    )
    .await;
    let second = one(
        &client,
        "select cron.schedule('job', '*/5 * * * *', 'select 2')",
    )
    .await;
    assert_eq!(first, second, "it keeps its id");
    let jobs = "select string_agg(concat_ws('|', schedule, command, username, database = current_database()), ',') from cron.job";
    assert_eq!(one(&client, jobs).await, "*/5 * * * *|select 2|postgres|t");
}

#[tokio::test]
async fn unscheduling_an_unknown_job_fails() {
    let client = database().await.connect().await.unwrap();
    for sql in [
        "select cron.unschedule('nothing')",
        "select cron.unschedule(1)",
    ] {
        let error = client.batch_execute(sql).await.unwrap_err();
        let message = error.as_db_error().unwrap().message();
        assert!(
            message.starts_with("could not find valid entry for job"),
            "{message}"
        );
    }
}

#[tokio::test]
async fn an_invalid_schedule_is_refused() {
    let client = database().await.connect().await.unwrap();
    let check = async |schedule: &str, want: bool| {
        let scheduled = client
            .execute("select cron.schedule('job', $1, 'select 1')", &[&schedule])
            .await;
        assert_eq!(scheduled.is_ok(), want, "{schedule}: {scheduled:?}");
    };
    check("1 second", true).await;
    check("59 seconds", true).await;
    check("60 seconds", false).await;
    check("0 seconds", false).await;
    check("0 3 * * mon-fri", true).await;
    check("0 0 $ * *", true).await;
    check("* * * *", false).await;
    check("at noon", false).await;
}

#[tokio::test]
async fn api_users_cannot_schedule() {
    let api = database().await.connect_as("anon").await.unwrap();
    assert!(
        api.batch_execute("select cron.schedule('job', '5 seconds', 'select 1')")
            .await
            .is_err()
    );
}
