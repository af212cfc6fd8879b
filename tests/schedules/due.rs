//! What schedules insert: each time once, also after an outage, beside another tick, after a crash.

use supaqueue_tests::protocol::{RUN, acknowledge_all, current_job_of, fail, succeed};
use supaqueue_tests::{Db, Session, TICK_IN_TRANSACTION, get, rows_read, run};

use crate::{database, make_due, turn_off_for};

#[tokio::test]
async fn a_due_schedule_inserts_its_job_and_moves_on() {
    let db = database().await;
    let next = db
        .get(
            r#"select supaqueue.schedule('Täglich 100%', 'q', '0 3 * * *', timezone => 'europe/berlin', payload => '{"report": 7}',
                 headers => '{"x-a": "b"}', priority => -3, path => 'daily', timeout_ms => 5000, max_attempts => 2, tenant => 't')
               = supaqueue.next_times('0 3 * * *', 'Europe/Berlin', 1)"#,
        )
        .await;
    assert_eq!(next, "t", "it returns when it runs next");
    db.tick().await;
    assert_eq!(db.get("select count(*) from supaqueue.job").await, "0");
    // One day earlier, in a zone whose clocks do not change today.
    db.run("update supaqueue.schedule set timezone = 'UTC'")
        .await;
    turn_off_for(&db, "1 day").await;
    let due = db.get("select next_at from supaqueue.schedule").await;
    db.run("update supaqueue.schedule set catch_up_within = null")
        .await;
    db.tick().await;
    db.tick().await;
    assert_eq!(
        db.get(
            "select payload, headers - 'supaqueue-scheduled-at', priority, path, timeout_ms, max_attempts, tenant, status, key, key_held from supaqueue.job"
        )
        .await,
        r#"{"report": 7}|{"x-a": "b", "supaqueue-schedule": "T%C3%A4glich 100%25"}|-3|daily|5000|2|t|pending|schedule:Täglich 100%|unfinished"#
    );
    assert_eq!(
        db.get(&format!(
            "select j.run_at = '{due}', (j.headers ->> 'supaqueue-scheduled-at')::timestamptz = '{due}', s.last_at = '{due}',
               s.next_at = s.last_at + interval '24 hours', s.last_job = j.id, s.recent_jobs = array[j.id], s.missed_count, s.skipped_count
             from supaqueue.schedule s, supaqueue.job j"
        ))
        .await,
        "t|t|t|t|t|t|0|0"
    );
}

#[tokio::test]
async fn rows_are_changed_live() {
    let db = database().await;
    db.run("insert into supaqueue.schedule (name, queue, cron) values ('s', supaqueue.queue_id('q'), '0 0 1 1 *')")
        .await;
    let next =
        "select to_char(next_at at time zone 'UTC', 'MM-DD HH24:MI') from supaqueue.schedule";
    assert_eq!(db.get(next).await, "01-01 00:00");
    for (change, want) in [
        ("cron = '30 12 1 feb *'", "02-01 12:30"),
        ("timezone = 'America/New_York'", "02-01 17:30"),
        ("is_paused = true", "null"),
        ("payload = '{\"a\": 1}'", "null"),
        ("is_paused = false", "02-01 17:30"),
        ("cron = '@yearly', timezone = 'utc'", "01-01 00:00"),
    ] {
        db.run(&format!("update supaqueue.schedule set {change}"))
            .await;
        assert_eq!(db.get(next).await, want, "{change}");
    }
    db.run("update supaqueue.schedule set cron = null, every = '10 minutes'")
        .await;
    let next = "select next_at > now() and next_at <= now() + interval '10 minutes' and extract(epoch from next_at) % 600 = 0 from supaqueue.schedule";
    assert_eq!(db.get(next).await, "t");
    db.run("delete from supaqueue.schedule").await;
    db.tick().await;
    assert_eq!(db.get("select count(*) from supaqueue.job").await, "0");
}

/// A deployment repeats its statements: they must not skip a time that is due, nor end a pause.
#[tokio::test]
async fn scheduling_again_changes_the_schedule_of_that_name() {
    let db = database().await;
    db.queue("other", 0).await;
    let again = "select supaqueue.schedule('s', 'q', every => '1 hour', payload => '{\"a\": 1}')";
    db.run(again).await;
    turn_off_for(&db, "1 hour").await;
    let due = db.get("select next_at from supaqueue.schedule").await;
    assert_eq!(db.get(again).await, due);
    db.run("update supaqueue.schedule set is_paused = true")
        .await;
    assert_eq!(db.get(again).await, "null");
    db.run("select supaqueue.schedule('s', 'other', '@daily', overlap => 'allow')")
        .await;
    assert_eq!(
        db.get(
            "select q.name, s.cron, s.every, s.payload, s.overlap, s.is_paused from supaqueue.schedule s join supaqueue.queue q on q.id = s.queue"
        )
        .await,
        "other|@daily|null|{}|allow|t"
    );
    assert_eq!(
        db.get("select supaqueue.unschedule('s'), supaqueue.unschedule('s')")
            .await,
        "t|f"
    );
}

/// As if the database had been off for that long, since a time that was due.
#[tokio::test]
async fn times_that_were_missed_are_caught_up_as_missed_says() {
    let db = database().await;
    // What is due how often, how long the database was off, and the jobs inserted and times missed by
    // last, by all and by none.
    let cases = [
        ("'*/10 * * * *'", "1 hour", (1, 5), (6, 0)),
        ("'*/10 * * * *'", "1 day", (1, 143), (100, 44)),
        ("'*/10 * * * *'", "365 days", (1, 52559), (100, 52460)),
        (
            "'*/10 * * * *', catch_up_within => '30 minutes'",
            "1 day",
            (1, 143),
            (3, 141),
        ),
        (
            "'*/10 * * * *', catch_up_within => null",
            "365 days",
            (1, 52559),
            (100, 52460),
        ),
        ("every => '10 minutes'", "1 hour", (1, 5), (6, 0)),
        ("every => '10 minutes'", "1 day", (1, 143), (100, 44)),
        (
            "every => '10 minutes'",
            "365 days",
            (1, 52559),
            (100, 52460),
        ),
        (
            "every => '1 second'",
            "365 days",
            (1, 31_535_999),
            (100, 31_535_900),
        ),
        ("every => '1 day'", "1 day", (1, 0), (1, 0)),
        ("every => '1 day'", "365 days", (1, 364), (1, 364)),
        (
            "every => '1 day', catch_up_within => '3 days'",
            "365 days",
            (1, 364),
            (3, 362),
        ),
        (
            "every => '1 day', catch_up_within => null",
            "365 days",
            (1, 364),
            (100, 265),
        ),
    ];
    for (times, off, last, all) in cases {
        for (missed, (jobs, missed_count)) in [("last", last), ("all", all)] {
            db.run("delete from supaqueue.job; delete from supaqueue.schedule")
                .await;
            db.run(&format!(
                "select supaqueue.schedule('s', 'q', {times}, missed => '{missed}')"
            ))
            .await;
            turn_off_for(&db, off).await;
            // In one transaction, so that `now()` is the time of the run.
            db.run("begin; select supaqueue.run_schedules()").await;
            let got = db
                .get(
                    "select (select count(*) from supaqueue.job), missed_count, skipped_count, next_at > now(),
                       last_at = (select max((headers ->> 'supaqueue-scheduled-at')::timestamptz) from supaqueue.job)
                     from supaqueue.schedule",
                )
                .await;
            db.run("commit").await;
            let got: Vec<&str> = got.split('|').collect();
            assert_eq!(got[2..], ["0", "t", "t"], "{times} off for {off}: {missed}");
            let (got_jobs, got_missed): (i64, i64) =
                (got[0].parse().unwrap(), got[1].parse().unwrap());
            // A time may have passed meanwhile.
            let passed = got_jobs + got_missed - jobs - missed_count;
            assert!(
                (0..=20).contains(&passed),
                "{times} off for {off}: {missed}: {got:?}"
            );
            assert!(
                (got_jobs - jobs).abs() <= passed,
                "{times} off for {off}: {missed}: {got:?}"
            );
        }
    }
}

#[tokio::test]
async fn what_was_missed_is_left_out_where_missed_is_none() {
    let db = database().await;
    for (off, jobs) in [("1 day", "0"), ("1 day -1 minute", "1")] {
        db.run("delete from supaqueue.job; delete from supaqueue.schedule")
            .await;
        db.run("select supaqueue.schedule('s', 'q', every => '1 day', missed => 'none')")
            .await;
        // Due some minutes ago, or a moment ago: that is no outage.
        db.run("update supaqueue.schedule set next_at = date_trunc('minute', now()) - interval '10 minutes'").await;
        if jobs == "1" {
            db.run("update supaqueue.schedule set next_at = now() - interval '20 seconds'")
                .await;
        }
        db.tick().await;
        let row = db.get("select (select count(*) from supaqueue.job), missed_count + (select count(*) from supaqueue.job), next_at > now() from supaqueue.schedule").await;
        assert_eq!(row, format!("{jobs}|1|t"), "{off}");
    }
}

/// A year of seconds is 31 million times.
#[tokio::test]
async fn times_that_were_missed_are_not_walked_over() {
    let db = database().await;
    db.run("select supaqueue.schedule('every', 'q', every => '1 second', missed => 'all'), supaqueue.schedule('cron', 'q', '* * * * *', timezone => 'Europe/Berlin')").await;
    turn_off_for(&db, "3650 days").await;
    let admin = db.database().connect_as_admin().await.unwrap();
    run(&admin, "begin; set local track_functions = 'pl'").await;
    run(&admin, "select supaqueue.run_schedules()").await;
    let calls = "select sum(calls) from pg_stat_xact_user_functions where schemaname = 'supaqueue' and funcname in ('next_time', 'next_match')";
    let calls: u32 = get(&admin, calls).await.parse().unwrap();
    run(&admin, "commit").await;
    assert!((100..5000).contains(&calls), "{calls}");
    assert_eq!(
        db.get("select name, missed_count > 5 * 1000 * 1000 from supaqueue.schedule order by name")
            .await,
        "cron|t\nevery|t"
    );
}

/// Nothing but the rows that are due is read.
#[tokio::test]
async fn a_tick_does_not_read_schedules_that_are_not_due() {
    let db = database().await;
    db.run("insert into supaqueue.schedule (name, queue, cron) select 's' || i, supaqueue.queue_id('q'), i % 60 || ' 0 1 1 *' from generate_series(1, 2000) i")
        .await;
    db.run("analyze supaqueue.schedule").await;
    let rows = rows_read(db.client(), "'schedule'", TICK_IN_TRANSACTION).await;
    assert!(rows < 10, "{rows}");
    turn_off_for(&db, "1 year").await;
    db.run("update supaqueue.schedule set catch_up_within = null")
        .await;
    // A tick serves schedules for five seconds at most.
    let left = "select count(*) from supaqueue.schedule where next_at < now()";
    while db.get(left).await != "0" {
        db.tick().await;
    }
    assert_eq!(db.get("select count(*) from supaqueue.job").await, "2000");
}

#[tokio::test]
async fn two_ticks_at_once_insert_a_job_once() {
    let db = database().await;
    db.run("select supaqueue.schedule('s', 'q', every => '1 hour', overlap => 'allow')")
        .await;
    for end in ["commit", "rollback"] {
        turn_off_for(&db, "1 hour").await;
        db.run("delete from supaqueue.job").await;
        let one = Session::new(&db).await;
        one.run("begin").await;
        one.get("select supaqueue.run_schedules()").await;
        let other = Session::new(&db)
            .await
            .start("select supaqueue.run_schedules()");
        assert!(!other.blocks(&db).await, "the other one does not wait");
        other.finish().await.unwrap();
        one.run(end).await;
        // Where the first one crashed, its time is not lost.
        db.run("select supaqueue.run_schedules(); select supaqueue.run_schedules()")
            .await;
        assert_eq!(
            db.get("select count(*), (select next_at > now() from supaqueue.schedule) from supaqueue.job").await,
            "1|t",
            "{end}"
        );
    }
}

#[tokio::test]
async fn one_bad_schedule_stops_no_other_and_is_a_problem() {
    let db = database().await;
    db.run(
        "create function public.refuse() returns trigger language plpgsql as $$
         begin raise exception 'customer % is locked', 7; end $$;
         create trigger refuse before insert on supaqueue.job for each row
           when (new.headers ->> 'supaqueue-schedule' = 'bad') execute function public.refuse();
         select supaqueue.schedule('bad', 'q', every => '1 hour'), supaqueue.schedule('good', 'q', every => '1 hour');
         select supaqueue.schedule('lost', 'q', '0 * * * *', timezone => 'Europe/Berlin')",
    )
    .await;
    // A new version of the time zones may lack one.
    let admin = db.database().connect_as_admin().await.unwrap();
    run(&admin, "set session_replication_role = replica; update supaqueue.schedule set timezone = 'Europe/Kyjiw' where name = 'lost'").await;
    turn_off_for(&db, "1 hour").await;
    db.tick().await;
    assert_eq!(
        db.get("select headers ->> 'supaqueue-schedule' from supaqueue.job")
            .await,
        "good"
    );
    let problems = db
        .get("select queue || ': ' || problem || ' ' || remedy from supaqueue.problem order by 1")
        .await;
    for want in [
        "q: the schedule bad cannot insert its jobs: customer 7 is locked",
        "Look for a trigger or a constraint of yours on supaqueue.job",
        "q: the schedule lost cannot insert its jobs: time zone \"Europe/Kyjiw\" not recognized",
        "update supaqueue.schedule set timezone = 'Europe/Berlin' where name = 'lost';",
    ] {
        assert!(problems.contains(want), "{want}\n{problems}");
    }
    for (name, want) in [
        ("bad", "Its jobs cannot be inserted: customer 7 is locked."),
        (
            "lost",
            "Its jobs cannot be inserted: time zone \"Europe/Kyjiw\" not recognized.",
        ),
        ("good", "Next run at "),
        ("nothing", "There is no such schedule."),
    ] {
        let explanation = db
            .get(&format!("select supaqueue.explain_schedule('{name}')"))
            .await;
        assert!(explanation.starts_with(want), "{explanation}");
    }
    let explanation = db
        .get("select supaqueue.explain(id) from supaqueue.job")
        .await;
    assert!(
        !explanation.contains("schedule"),
        "a schedule's problem is not that of its queue's jobs: {explanation}"
    );

    db.run("drop trigger refuse on supaqueue.job; update supaqueue.schedule set timezone = 'UTC' where name = 'lost'").await;
    db.run("update supaqueue.unfinished set retry_at = now()")
        .await;
    db.tick().await;
    assert_eq!(
        db.get("select string_agg(headers ->> 'supaqueue-schedule', ' ' order by position) from supaqueue.job").await,
        "good bad"
    );
    assert_eq!(
        db.get("select problem from supaqueue.problem where problem like '%schedule%'")
            .await,
        ""
    );
}

#[tokio::test]
async fn a_schedule_pauses_itself_after_so_many_failures_in_a_row() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.schedule('s', 'q', every => '1 hour', max_attempts => 1, pause_after_failures => 2)").await;
    let due = async || {
        make_due(&db).await;
        db.tick().await;
        db.run(&acknowledge_all(RUN)).await;
    };
    for is_successful in [false, true, false, false] {
        due().await;
        let report = if is_successful { succeed } else { fail };
        db.run(&report(&current_job_of("q"), RUN, "null")).await;
        assert_eq!(
            db.get("select is_paused from supaqueue.schedule").await,
            "f"
        );
    }
    due().await;
    assert_eq!(
        db.get("select count(*), (select next_at from supaqueue.schedule) from supaqueue.job")
            .await,
        "4|null"
    );
    let problem = db
        .get("select problem || ' / ' || remedy from supaqueue.problem")
        .await;
    let (problem, remedy) = problem.split_once(" / ").unwrap();
    assert_eq!(
        problem,
        "the schedule s is paused: its last 2 jobs failed, the last one with: no"
    );
    let explanation = db.get("select supaqueue.explain_schedule('s')").await;
    assert!(
        explanation.starts_with(
            "It is paused, because its last 2 jobs failed, the last one with: no: update"
        ),
        "{explanation}"
    );
    db.run(remedy.split_once(": ").unwrap().1).await;
    assert_eq!(db.get("select problem from supaqueue.problem").await, "");
    due().await;
    assert_eq!(
        db.get("select count(*) from supaqueue.job").await,
        "5",
        "it goes on, and counts anew"
    );
}

#[tokio::test]
async fn spread_delays_each_schedule_by_a_time_of_its_own() {
    let db = database().await;
    db.run("insert into supaqueue.schedule (name, queue, cron, spread) select 's' || i, supaqueue.queue_id('q'), '0 0 * * *', '10 minutes' from generate_series(1, 100) i").await;
    assert_eq!(
        db.get(
            "select count(distinct next_at) > 80, bool_and(next_at::time < '00:10'), max(next_at::time) > '00:08' from supaqueue.schedule"
        )
        .await,
        "t|t|t"
    );
    let before = db
        .get("select name, next_at from supaqueue.schedule order by name")
        .await;
    db.run("update supaqueue.schedule set spread = '0'; update supaqueue.schedule set spread = '10 minutes'").await;
    assert_eq!(
        db.get("select name, next_at from supaqueue.schedule order by name")
            .await,
        before
    );
    turn_off_for(&db, "1 day").await;
    db.run("update supaqueue.schedule set catch_up_within = null")
        .await;
    db.tick().await;
    db.tick().await;
    assert_eq!(
        db.get(
            "select count(*), count(distinct run_at) > 80, count(distinct headers ->> 'supaqueue-scheduled-at'), min(headers ->> 'supaqueue-scheduled-at') like '%T00:00:00Z'
             from supaqueue.job"
        )
        .await,
        "100|t|1|t"
    );
}

#[tokio::test]
async fn a_schedule_runs_by_hand() {
    let db = database().await;
    db.run("select supaqueue.schedule('s', 'q', '@yearly'), supaqueue.schedule('free', 'q', '@yearly', overlap => 'allow')").await;
    db.run("update supaqueue.schedule set is_paused = true")
        .await;
    let job = db.get("select supaqueue.run_schedule('s')").await;
    assert_eq!(
        db.get("select supaqueue.run_schedule('s')").await,
        job,
        "its job has not ended"
    );
    assert_eq!(
        db.get("select last_job, missed_count, next_at from supaqueue.schedule where name = 's'")
            .await,
        format!("{job}|0|null")
    );
    db.run("update supaqueue.job set status = 'cancelled'")
        .await;
    assert_ne!(db.get("select supaqueue.run_schedule('s')").await, job);
    db.run("select supaqueue.run_schedule('free'), supaqueue.run_schedule('free')")
        .await;
    assert_eq!(db.get("select count(*) from supaqueue.job").await, "4");
}

#[tokio::test]
async fn a_backfill_inserts_each_past_time_once() {
    let db = database().await;
    db.run("select supaqueue.schedule('s', 'q', '0 3 * * *', timezone => 'Europe/Berlin')")
        .await;
    let backfill = "select count(*) from supaqueue.backfill('s', '2026-03-28', '2026-04-01')";
    assert_eq!(db.get(backfill).await, "4");
    assert_eq!(db.get(backfill).await, "0");
    assert_eq!(
        db.get("select headers ->> 'supaqueue-scheduled-at' from supaqueue.job order by position")
            .await,
        "2026-03-28T02:00:00Z\n2026-03-29T01:00:00Z\n2026-03-30T01:00:00Z\n2026-03-31T01:00:00Z"
    );
    assert_eq!(db.get("select count(*) from supaqueue.backfill('s', '2026-03-31 01:00+00', '2026-04-02 01:00+00')").await, "1", "from is included, to is not");
    assert_eq!(
        db.get("select count(*) from supaqueue.backfill('s', now(), now() + interval '1 year')")
            .await,
        "0",
        "what is to come is not inserted"
    );
    let refusal = db
        .refusal("select supaqueue.backfill('s', '2020-01-01', '2026-01-01')")
        .await;
    assert!(refusal.starts_with("cannot insert more than 1000 jobs of the schedule 's' at once; The first 1000 are those before 2022-09-2"), "{refusal}");
    assert_eq!(db.get("select count(*) from supaqueue.job").await, "5");
}

#[tokio::test]
async fn a_paused_queue_gets_jobs_that_wait_and_a_deleted_one_takes_its_schedules_along() {
    let db = database().await;
    db.run("update supaqueue.queue set is_paused = true; select supaqueue.schedule('s', 'q', every => '1 hour')").await;
    for _ in 0..3 {
        make_due(&db).await;
        db.tick().await;
    }
    assert_eq!(
        db.get(
            "select (select count(*) from supaqueue.job), skipped_count from supaqueue.schedule"
        )
        .await,
        "1|2"
    );
    let explanation = db.get("select supaqueue.explain_schedule('s')").await;
    assert!(
        explanation.ends_with("Its queue is paused: the job will wait."),
        "{explanation}"
    );
    db.run("delete from supaqueue.queue").await;
    assert_eq!(db.get("select count(*) from supaqueue.schedule").await, "0");
}

#[tokio::test]
async fn service_role_can_use_schedules() {
    let db = database().await;
    let api = db.database().connect_as("service_role").await.unwrap();
    for statement in [
        "select supaqueue.next_times('0 3 * * mon', 'Europe/Berlin')",
        "select supaqueue.schedule('s', 'q', '0 3 * * mon', timezone => 'Europe/Berlin')",
        "insert into supaqueue.schedule (name, queue, every) select 't', id, '1 hour' from supaqueue.queue",
        "update supaqueue.schedule set cron = '@daily', missed = 'all', is_paused = true where name = 's'",
        "select supaqueue.run_schedule('s')",
        "select supaqueue.backfill('s', now() - interval '3 days')",
        "select supaqueue.explain_schedule('s')",
        "select supaqueue.unschedule('s')",
        "delete from supaqueue.schedule where name = 't'",
    ] {
        get(&api, statement).await;
    }
    let refusal = supaqueue_tests::refusal(
        &api,
        "update supaqueue.schedule set next_at = now() where name = 's'",
    )
    .await;
    assert!(refusal.contains("permission denied"), "{refusal}");
}

#[tokio::test]
async fn a_schedule_that_was_loaded_without_its_next_time_is_a_problem() {
    let db = database().await;
    db.run("select supaqueue.schedule('s', 'q', '@daily')")
        .await;
    db.run("update supaqueue.schedule set next_at = null").await;
    let problem = db
        .get("select problem || ' / ' || remedy from supaqueue.problem")
        .await;
    let (problem, remedy) = problem.split_once(" / ").unwrap();
    assert_eq!(problem, "the schedule s has no next time");
    db.run(remedy.split_once(": ").unwrap().1).await;
    assert_eq!(
        db.get("select next_at > now() from supaqueue.schedule")
            .await,
        "t"
    );
    assert_eq!(db.get("select problem from supaqueue.problem").await, "");
}

#[tokio::test]
async fn a_schedule_that_another_transaction_has_locked_is_a_problem_and_stops_no_other() {
    let db = database().await;
    db.run("select supaqueue.schedule('a', 'q', every => '1 hour'), supaqueue.schedule('b', 'q', every => '1 hour')").await;
    turn_off_for(&db, "2 hours").await;
    let user = db.connect().await;
    run(
        &user,
        "begin; update supaqueue.schedule set payload = '1' where name = 'a'",
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select headers ->> 'supaqueue-schedule' from supaqueue.job")
            .await,
        "b"
    );
    let problem = db
        .get("select problem from supaqueue.problem where problem like '%schedule%'")
        .await;
    assert!(
        problem.starts_with("the schedule a is due since ")
            && problem.ends_with("another transaction has locked it"),
        "{problem}"
    );
    run(&user, "commit").await;
    db.tick().await;
    assert_eq!(
        db.get("select payload from supaqueue.job where headers ->> 'supaqueue-schedule' = 'a'")
            .await,
        "1"
    );
    assert_eq!(
        db.get("select problem from supaqueue.problem where problem like '%schedule%'")
            .await,
        ""
    );
}
