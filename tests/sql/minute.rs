//! What ended is counted per minute: once, whatever happens to the tick, and before it is deleted.

use supaqueue_tests::protocol::{ANY, RUN, acknowledge_all, current_job_of, fail, succeed};
use supaqueue_tests::{Db, Session, TICK, break_function, eventually, get, rows_read, run};

/// What is counted of the queue q, all minutes together.
const COUNTED: &str =
    "select coalesce(sum(started), 0), coalesce(sum(succeeded), 0), coalesce(sum(failed), 0),
    coalesce(sum(cancelled), 0), coalesce(sum(retried), 0)
  from supaqueue.minute where queue = supaqueue.queue_id('q')";
/// The same from the totals.
const TOTALS: &str = "select started, succeeded, failed, cancelled, retried
  from supaqueue.counted where queue = supaqueue.queue_id('q')";
/// What ended a moment ago is not counted yet.
const A_MINUTE_AGO: &str =
    "update supaqueue.job set finished_at = finished_at - interval '1 minute'
  where finished_at > clock_timestamp() - interval '10 seconds'";
const CANCEL_ONE: &str = "update supaqueue.job set status = 'cancelled'
  where id = (select id from supaqueue.job where status = 'pending' order by position limit 1)";

async fn assert_counted(db: &Db, want: &str) {
    assert_eq!(db.get(COUNTED).await, want);
    assert_eq!(db.get(TOTALS).await, want, "the totals");
    let all = COUNTED.replace(
        "supaqueue.queue_id('q')",
        "'00000000-0000-0000-0000-000000000000'",
    );
    assert_eq!(db.get(&all).await, want, "all queues");
    let per_hour = all.replace("supaqueue.minute", "supaqueue.hour");
    assert_eq!(db.get(&per_hour).await, want, "per hour");
    let histograms = "select b.name, b.place, sum(b.number) from supaqueue.minute m
        cross join lateral (
          select 'wait' as name, w.* from unnest(m.wait) with ordinality as w (number, place)
          union all
          select 'run', r.* from unnest(m.run) with ordinality as r (number, place)
        ) b
        group by 1, 2 order by 1, 2";
    assert_eq!(
        db.get(histograms).await,
        db.get(&histograms.replace("supaqueue.minute", "supaqueue.hour"))
            .await,
        "the histograms per hour"
    );
}

/// Waits until what has ended by now would be counted, were there no open transaction.
async fn let_a_second_pass(db: &Db) {
    let later = db
        .get("select clock_timestamp() + interval '1100 milliseconds'")
        .await;
    let passed = format!("select clock_timestamp() > '{later}'");
    eventually(db.client(), &passed, "t").await;
}

/// Finished jobs of q, a second apart, the first one at this time.
async fn finished(db: &Db, jobs: u32, since: &str) {
    db.run(&format!(
        "insert into supaqueue.job (queue, status, finished_at, started_at, attempts, duration_ms)
         select supaqueue.queue_id('q'), 'successful', {since} + i * interval '1 second', now(), 1, 5
         from generate_series(0, {jobs} - 1) i"
    ))
    .await;
}

#[tokio::test]
async fn every_end_counts_once_in_its_minute_with_its_attempts() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("update supaqueue.queue set max_attempts = 2, backoff_base_ms = 0, backoff_max_ms = 0")
        .await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3}')")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    // The first succeeds; the second fails for good in its second attempt; the third is cancelled.
    db.run(&succeed(&current_job_of("q"), RUN, ANY)).await;
    db.run(&fail(&current_job_of("q"), RUN, ANY)).await;
    db.run("update supaqueue.job set status = 'cancelled' where payload = '3'")
        .await;
    db.run(&succeed(&current_job_of("q"), RUN, ANY)).await;
    db.run(&fail(&current_job_of("q"), RUN, ANY)).await;
    db.run(A_MINUTE_AGO).await;
    let ends = "select status, attempts from supaqueue.job order by position";
    assert_eq!(
        db.get(ends).await,
        "successful|1\nfailed|2\ncancelled|1",
        "the jobs"
    );
    for _ in 0..2 {
        db.tick().await;
        assert_counted(&db, "4|1|1|1|1").await;
    }
    assert_eq!(
        db.get("select count(*) from supaqueue.minute m
                where not exists (select from supaqueue.job j where date_trunc('minute', j.finished_at) = m.at)")
            .await,
        "0",
        "minutes in which nothing ended"
    );

    // A second end of the same job counts again, with its new attempts.
    db.run("update supaqueue.job set status = 'pending' where status = 'failed'")
        .await;
    db.run(
        "update supaqueue.job set status = 'cancelled' where status in ('pending', 'in_progress')",
    )
    .await;
    let_a_second_pass(&db).await;
    let attempts = "select sum(attempts) from supaqueue.job where payload = '2'";
    let started: u32 = db.get(attempts).await.parse().unwrap();
    db.tick().await;
    assert_counted(&db, &format!("{}|1|1|2|1", 4 + started)).await;
}

#[tokio::test]
async fn histograms_count_up_to_each_bound_and_above() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run(
        "insert into supaqueue.job (queue, status, finished_at, run_at, started_at, attempts, duration_ms)
         select supaqueue.queue_id('q'), 'successful', now() - interval '1 hour', now(), now() + wait * interval '1 ms', 1, run
         from (values (-5, 0), (0, 10), (10, 11), (11, 150000), (150000, 150001), (900000000, null)) as v (wait, run);
         -- Never started, and not started again.
         insert into supaqueue.job (queue, status, finished_at, run_at, started_at, attempts, duration_ms)
         values (supaqueue.queue_id('q'), 'cancelled', now() - interval '1 hour', now(), null, 0, null),
           (supaqueue.queue_id('q'), 'cancelled', now() - interval '1 hour', now() + interval '1 day', now(), 1, 7),
           (supaqueue.queue_id('q'), 'failed', now() - interval '1 hour', '-infinity', now(), 1, 7)",
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select wait, run from supaqueue.minute where queue = supaqueue.queue_id('q')")
            .await,
        "{3,1,0,0,0,0,0,0,0,0,0,0,1,1}|{3,1,0,0,0,0,0,0,0,0,0,0,1,1}"
    );
    assert_eq!(
        db.get("select wait, wait_ms, run_ms from supaqueue.counted where queue = supaqueue.queue_id('q')").await,
        "{3,1,0,0,0,0,0,0,0,0,0,0,1,1}|900150021|300029"
    );
}

#[tokio::test]
async fn an_end_that_commits_late_is_counted() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    let late = Session::new(&db).await;
    late.run("begin").await;
    late.run(CANCEL_ONE).await;
    db.run("update supaqueue.job set status = 'cancelled' where payload = '2'")
        .await;
    let_a_second_pass(&db).await;
    db.tick().await;
    assert_eq!(
        db.get(COUNTED).await,
        "0|0|0|0|0",
        "the other transaction began before both ended"
    );
    late.run("commit").await;
    db.tick().await;
    assert_counted(&db, "0|0|0|2|0").await;
}

/// So that a transaction that somebody forgot does not stop the charts.
#[tokio::test]
async fn a_transaction_that_stays_open_delays_counting_by_ten_minutes() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue('q')").await;
    let open = Session::new(&db).await;
    open.run("begin").await;
    open.run("create table public.anything ()").await;
    db.run(CANCEL_ONE).await;
    let_a_second_pass(&db).await;
    db.tick().await;
    assert_eq!(db.get(COUNTED).await, "0|0|0|0|0");
    // A second is easier to wait for than ten minutes.
    break_function(
        db.client(),
        "count_horizon",
        "at - interval '10 minutes'",
        "at - interval '1 second'",
    )
    .await;
    db.tick().await;
    assert_counted(&db, "0|0|0|1|0").await;
    open.run("rollback").await;
}

/// One that only read so far gets its transaction id late: what was counted since it began stays counted.
#[tokio::test]
async fn an_older_transaction_that_comes_up_later_makes_nothing_count_twice() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    let old = Session::new(&db).await;
    old.run("begin; select 1").await;
    db.run(CANCEL_ONE).await;
    let_a_second_pass(&db).await;
    db.tick().await;
    assert_counted(&db, "0|0|0|1|0").await;
    old.run(CANCEL_ONE).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(
        "update supaqueue.job set status = 'cancelled' where status = 'pending' and payload = '{}'",
    )
    .await;
    let_a_second_pass(&db).await;
    db.tick().await;
    assert_counted(&db, "0|0|0|1|0").await;
    old.run("commit").await;
    db.tick().await;
    assert_counted(&db, "0|0|0|3|0").await;
}

/// A read-only one has no transaction id, and changes nothing.
#[tokio::test]
async fn a_transaction_that_only_reads_delays_nothing() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue('q')").await;
    let reader = Session::new(&db).await;
    reader.run("begin isolation level repeatable read").await;
    reader.get("select count(*) from supaqueue.job").await;
    db.run(CANCEL_ONE).await;
    let_a_second_pass(&db).await;
    db.tick().await;
    assert_counted(&db, "0|0|0|1|0").await;
}

#[tokio::test]
async fn a_tick_that_is_killed_counts_nothing_and_two_at_once_count_once() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    finished(&db, 5, "now() - interval '1 hour'").await;
    {
        let killed = Session::new(&db).await;
        killed.run("begin").await;
        killed.get("select supaqueue.run_step('count')").await;
        assert_eq!(killed.get(COUNTED).await, "5|5|0|0|0");
        let kill = killed.get("select pg_backend_pid()").await;
        db.get(&format!("select pg_terminate_backend({kill})"))
            .await;
    }
    let first = Session::new(&db).await;
    let gone = "select count(*) from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())";
    eventually(db.client(), gone, "0").await;
    first.run("begin").await;
    first.get("select supaqueue.run_step('count')").await;
    db.tick().await;
    assert_eq!(db.get(COUNTED).await, "0|0|0|0|0");
    first.run("commit").await;
    db.tick().await;
    assert_counted(&db, "5|5|0|0|0").await;
}

#[tokio::test]
async fn a_job_is_deleted_only_when_it_is_counted() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("update supaqueue.queue set keep_successful_for = '0'; select supaqueue.enqueue('q')")
        .await;
    let open = Session::new(&db).await;
    open.run("begin; create table public.anything ()").await;
    db.run("update supaqueue.job set status = 'successful'")
        .await;
    let jobs = "select count(*) from supaqueue.job";
    let_a_second_pass(&db).await;
    db.tick().await;
    assert_eq!(db.get(jobs).await, "1", "it is not counted yet");
    open.run("rollback").await;
    db.tick().await;
    assert_eq!(db.get(jobs).await, "0");
    assert_counted(&db, "0|1|0|0|0").await;
}

#[tokio::test]
async fn a_backlog_is_counted_in_pieces_oldest_first() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    finished(&db, 7000, "now() - interval '1 day'").await;
    // At the very same moment.
    finished(&db, 1, "now() - interval '2 days'").await;
    db.run("update supaqueue.job set finished_at = now() - interval '1 hour' where id in (select id from supaqueue.job order by finished_at desc limit 1500)").await;
    let count = "select supaqueue.count_ended_jobs(5000)";
    assert_eq!(db.get(count).await, "t", "there are more");
    let first: Vec<u32> = db
        .get(COUNTED)
        .await
        .split('|')
        .map(|n| n.parse().unwrap())
        .collect();
    assert_eq!(first[1], 5000);
    assert_eq!(db.get(count).await, "f", "and it goes on with them");
    assert_counted(&db, "7001|7001|0|0|0").await;
    assert_eq!(
        db.get("select max(succeeded) from supaqueue.minute where queue = supaqueue.queue_id('q')")
            .await,
        "1500"
    );
}

#[tokio::test]
async fn the_ends_of_hundreds_of_queues_are_counted_by_and_by() {
    let db = Db::new().await;
    db.run("insert into supaqueue.queue (name, edge_function_name) select 'q' || i, 'hello' from generate_series(1, 250) i;
            insert into supaqueue.job (queue, status, finished_at) select id, 'failed', now() - interval '1 hour' from supaqueue.queue")
        .await;
    for _ in 0..3 {
        db.tick().await;
    }
    let counted = "select count(*), sum(failed) from supaqueue.counted";
    assert_eq!(db.get(counted).await, "250|250");
    db.run("delete from supaqueue.queue where name <> 'q7'")
        .await;
    for _ in 0..3 {
        db.tick().await;
    }
    assert_eq!(
        db.get(counted).await,
        "1|1",
        "queues that are gone leave nothing"
    );
}

#[tokio::test]
async fn a_queue_that_cannot_be_counted_is_a_problem_and_keeps_no_other_from_it() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.queue("other", 0).await;
    finished(&db, 3, "now() - interval '1 hour'").await;
    db.run("insert into supaqueue.job (queue, status, finished_at) select supaqueue.queue_id('other'), 'failed', now() - interval '1 hour'")
        .await;
    let insert = "insert into supaqueue.counted";
    let broken =
        format!("if _queue = supaqueue.queue_id('q') then perform 1 / 0; end if; {insert}");
    let intact = break_function(db.client(), "count_queue", insert, &broken).await;
    db.tick().await;
    let problem = db.get("select queue, problem from supaqueue.problem").await;
    assert!(
        problem.starts_with("q|cannot count the jobs that have ended: division by zero"),
        "{problem}"
    );
    assert_eq!(db.get(COUNTED).await, "0|0|0|0|0");
    assert_eq!(
        db.get("select failed from supaqueue.minute where queue = supaqueue.queue_id('other')")
            .await,
        "1"
    );
    db.run(&intact).await;
    db.tick().await;
    assert_eq!(db.get(TOTALS).await, "3|3|0|0|0");
    assert_eq!(db.get("select problem from supaqueue.problem").await, "");
}

#[tokio::test]
async fn more_attempts_than_a_minute_can_hold_do_not_stop_the_count() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    for _ in 0..2 {
        db.run("insert into supaqueue.job (queue, status, finished_at, attempts)
                select supaqueue.queue_id('q'), 'failed', date_trunc('minute', now()) - interval '1 hour' + i * interval '1 ms', 1000000 from generate_series(1, 1200) i")
            .await;
    }
    for _ in 0..2 {
        db.get("select supaqueue.count_ended_jobs(1200)").await;
    }
    assert_eq!(
        db.get("select failed, started, retried from supaqueue.minute where queue = supaqueue.queue_id('q')")
            .await,
        "2400|2147483647|2147483647"
    );
    assert_eq!(db.get(TOTALS).await.split('|').next(), Some("2400000000"));
}

/// It does not see what others committed since it began, and would pass over it.
#[tokio::test]
async fn a_tick_of_another_isolation_level_counts_nothing() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    finished(&db, 1, "now() - interval '1 hour'").await;
    db.run("begin isolation level repeatable read; call supaqueue.tick(); commit")
        .await;
    assert_eq!(db.get(COUNTED).await, "0|0|0|0|0");
    db.tick().await;
    assert_counted(&db, "1|1|0|0|0").await;
}

#[tokio::test]
async fn minutes_are_kept_as_long_as_the_setting_says_and_totals_for_ever() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    finished(&db, 1, "now() - interval '40 days'").await;
    finished(&db, 1, "now() - interval '20 days'").await;
    db.tick().await;
    assert_eq!(db.get(COUNTED).await, "1|1|0|0|0");
    assert_eq!(db.get(TOTALS).await, "2|2|0|0|0");
    db.run("update supaqueue.setting set keep_minutes_for = '1 day'")
        .await;
    db.tick().await;
    assert_eq!(
        db.get(
            "select (select count(*) from supaqueue.minute) + (select count(*) from supaqueue.hour)"
        )
        .await,
        "0"
    );
    assert_eq!(db.get(TOTALS).await, "2|2|0|0|0");
    let refusal = db
        .refusal("update supaqueue.setting set keep_minutes_for = '-1 day'")
        .await;
    assert_eq!(refusal, "keep_minutes_for_is_between_0_and_1000_years");
}

#[tokio::test]
async fn a_chart_has_a_row_per_step_oldest_first_and_the_present_in_the_last() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.queue("other", 0).await;
    db.run(
        "insert into supaqueue.job (queue, status, finished_at, attempts, duration_ms)
         select q.id, v.status, date_bin('1 hour', now(), '2000-01-01 00:00 UTC') - v.age, 2, 40
         from supaqueue.queue q,
           (values ('successful', interval '10 minutes'), ('failed', '50 minutes'), ('cancelled', '2 hours'), ('failed', '3 hours 1 second')) as v (status, age)
         where q.name = 'q' or v.status = 'failed'",
    )
    .await;
    db.tick().await;
    let chart = |queue: &str| {
        format!(
            "select at = date_bin('1 hour', now(), '2000-01-01 00:00 UTC') - interval '1 hour' * (4 - row_number() over ()),
               started, succeeded, failed, cancelled, retried, run[3], cardinality(wait), cardinality(run)
             from supaqueue.chart({queue}, '4 hours', '1 hour')"
        )
    };
    assert_eq!(
        db.get(&chart("'q'")).await,
        "t|0|0|0|0|0|0|14|14\nt|2|0|0|1|1|0|14|14\nt|4|1|1|0|2|2|14|14\nt|0|0|0|0|0|0|14|14"
    );
    assert_eq!(
        db.get(&chart("null")).await,
        "t|0|0|0|0|0|0|14|14\nt|2|0|0|1|1|0|14|14\nt|6|1|2|0|3|3|14|14\nt|0|0|0|0|0|0|14|14"
    );
    for (arguments, want) in [
        (
            "'q', '1 hour', '90 seconds'",
            "cannot chart in steps of 00:01:30",
        ),
        ("'q', '1 year', '1 month'", "cannot chart in steps of 1 mon"),
        ("'q', '1 hour', null", "cannot chart in steps of null"),
        (
            "'q', '0', '1 minute'",
            "cannot chart 00:00:00 in steps of 00:01:00",
        ),
        (
            "'q', '30 days', '1 minute'",
            "cannot chart 30 days in steps of 00:01:00",
        ),
        (
            "'nowhere', '1 hour', '1 minute'",
            "there is no queue named 'nowhere'",
        ),
    ] {
        let refusal = db
            .refusal(&format!("select * from supaqueue.chart({arguments})"))
            .await;
        assert!(refusal.starts_with(want), "{arguments}: {refusal}");
    }
}

#[tokio::test]
async fn a_chart_reads_only_its_queue_and_its_time() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run(
        "insert into supaqueue.minute
         select q.id, date_trunc('minute', now()) - i * interval '1 minute', 1, 1, 0, 0, 0, array_fill(0, array[14]), array_fill(0, array[14])
         from generate_series(0, 2000) i, (select id from supaqueue.queue union all select supaqueue.new_id() from generate_series(1, 3)) q",
    )
    .await;
    let chart = "select sum(succeeded) from supaqueue.chart('q', '1 hour', '5 minutes')";
    let succeeded: u32 = db.get(chart).await.parse().unwrap();
    assert!((56..=60).contains(&succeeded), "{succeeded}");
    let read = rows_read(db.client(), "'minute'", chart).await;
    assert!((56..=60).contains(&read), "{read} rows are read");
}

#[tokio::test]
async fn percentiles_are_interpolated_between_bounds() {
    let db = Db::new().await;
    for (histogram, fraction, want) in [
        ("null", "0.5", "null"),
        ("'{}'", "0.5", "null"),
        ("array_fill(0, array[14])", "0.5", "null"),
        ("'{10,0,0,0,0,0,0,0,0,0,0,0,0,0}'", "0.5", "5"),
        ("'{10,0,0,0,0,0,0,0,0,0,0,0,0,0}'", "1", "10"),
        ("'{0,4,0,0,0,0,0,0,0,0,0,0,0,0}'", "0", "10"),
        ("'{0,4,0,0,0,0,0,0,0,0,0,0,0,0}'", "0.5", "17.5"),
        ("'{5,0,0,0,0,0,5,0,0,0,0,0,0,0}'", "0.75", "750"),
        ("'{5,0,0,0,0,0,5,0,0,0,0,0,0,0}'", "7", "1000"),
        ("'{1,0,0,0,0,0,0,0,0,0,0,0,0,99}'", "0.99", "150000"),
        ("'{0,0,0,0,0,0,0,0,0,0,0,0,0,1}'", "0", "150000"),
    ] {
        let percentile = format!("select supaqueue.percentile({histogram}, {fraction})");
        assert_eq!(db.get(&percentile).await, want, "{histogram} {fraction}");
    }
}

/// The names of the step and the order: what is deleted was counted in the same tick.
#[tokio::test]
async fn one_tick_counts_and_then_deletes() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    finished(&db, 3, "now() - interval '8 days'").await;
    let client = db.connect().await;
    run(&client, TICK).await;
    assert_eq!(
        get(&client, "select count(*) from supaqueue.job").await,
        "0"
    );
    assert_counted(&db, "3|3|0|0|0").await;
}
