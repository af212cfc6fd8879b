use std::time::Duration;

use supaqueue_local::EmulatedExtensions;
use supaqueue_tests::{assert_rows, eventually, get, refusal, run, try_get};

use crate::{connect, database, stays};

#[tokio::test]
async fn a_job_runs_every_n_seconds_as_the_role_that_scheduled_it() {
    let database = database().await;
    let _workers = EmulatedExtensions::start(&database).await.unwrap();
    let client = database.connect().await.unwrap();
    run(
        &client,
        "create table public.run (
           who text default current_user, at timestamptz default clock_timestamp());
         select cron.schedule('often', '1 second', 'insert into public.run default values')",
    )
    .await;
    eventually(&client, "select count(*) >= 2 from public.run", "t").await;
    assert_rows(&client, "select distinct who from public.run", "postgres").await;
    let record = "select command, username, return_message
                  from cron.job_run_details where status = 'succeeded' limit 1";
    let want = "insert into public.run default values|postgres|1 row";
    eventually(&client, record, want).await;

    run(&client, "select cron.unschedule('often')").await;
    let running = "select count(*) from cron.job_run_details where status = 'running'";
    eventually(&client, running, "0").await;
    let count = "select count(*) from public.run";
    let runs = async || get(&client, count).await.parse::<u32>().unwrap();
    let before = runs().await;
    // For several intervals. A check that was in progress may have started one more run.
    let is_over = async || runs().await <= before + 1;
    stays(Duration::from_secs(3), is_over).await;
}

#[tokio::test]
async fn a_procedure_may_commit() {
    let database = database().await;
    let _workers = EmulatedExtensions::start(&database).await.unwrap();
    let client = database.connect().await.unwrap();
    run(
        &client,
        "create table public.step (n int);
         create procedure public.work() language plpgsql as $$
         begin
           insert into public.step values (1);
           commit;
           raise 'the first step stays';
         end $$;
         select cron.schedule('work', '1 second', 'call public.work()')",
    )
    .await;
    eventually(&client, "select count(*) > 0 from public.step", "t").await;
}

#[tokio::test]
async fn a_failed_run_is_recorded_with_its_error() {
    let database = database().await;
    let _workers = EmulatedExtensions::start(&database).await.unwrap();
    let client = database.connect().await.unwrap();
    let schedule = "select cron.schedule('bad', '1 seconds', 'select 1 / 0')";
    run(&client, schedule).await;
    let failed = "select return_message like 'ERROR: division by zero%'
                  from cron.job_run_details where status = 'failed' limit 1";
    eventually(&client, failed, "t").await;
}

#[tokio::test]
async fn scheduling_an_existing_name_updates_the_job() {
    let client = connect().await;
    let first = "select cron.schedule('job', '5 seconds', 'select 1')";
    let id = get(&client, first).await;
    let second = "select cron.schedule('job', '*/5 * * * *', 'select 2')";
    assert_rows(&client, second, &id).await;
    let jobs = "select schedule, command, username, database = current_database() from cron.job";
    assert_rows(&client, jobs, "*/5 * * * *|select 2|postgres|t").await;
}

#[tokio::test]
async fn unscheduling_an_unknown_job_fails() {
    let client = connect().await;
    for job in ["'nothing'", "1"] {
        let message = refusal(&client, &format!("select cron.unschedule({job})")).await;
        let want = "could not find valid entry for job";
        assert!(message.starts_with(want), "{message}");
    }
}

#[tokio::test]
async fn an_invalid_schedule_is_refused() {
    let client = connect().await;
    let check = async |schedule: &str, want: bool| {
        let sql = format!("select cron.schedule('job', '{schedule}', 'select 1')");
        let scheduled = try_get(&client, &sql).await;
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
    let schedule = "select cron.schedule('job', '5 seconds', 'select 1')";
    assert!(try_get(&api, schedule).await.is_err());
}
