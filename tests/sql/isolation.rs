//! One thing that cannot be done stops no other: it is recorded, shown, tried again with growing
//! pauses, and gone once it works.

use supaqueue_tests::Db;
use supaqueue_tests::protocol::{
    ANY, Answer, LOSE_CALLS, RUN, acknowledge, acknowledge_all, current_job_of, succeed,
};

const BAD_JOB: &str = "(select id from supaqueue.job where payload = '\"bad\"')";

/// Two queues with a worker each, and a trigger of a user that raises for the job "bad".
async fn two_queues_and_a_trigger(condition: &str) -> Db {
    let db = Db::new().await;
    for queue in ["a", "b"] {
        db.queue(queue, 1).await;
    }
    db.run(&format!(
        "create function public.refuse() returns trigger language plpgsql as $$
         begin raise exception 'customer % is locked', 7; end $$;
         create trigger refuse {condition} execute function public.refuse()"
    ))
    .await;
    db
}

/// Runs the tick until a query returns `want`, a bounded number of times: a tick does a bounded
/// amount of work.
async fn ticks_until(db: &Db, sql: &str, want: &str) {
    for _ in 0..20 {
        if db.get(sql).await == want {
            return;
        }
        db.tick().await;
    }
    assert_eq!(db.get(sql).await, want, "after 20 ticks: {sql}");
}

/// Makes everything that failed due again.
async fn retry_now(db: &Db) {
    let admin = db.database().connect_as_admin().await.unwrap();
    let due = "update supaqueue.unfinished set retry_at = '-infinity', since = since - interval '1 minute';
               update supaqueue.held_job set until = now() - interval '1 minute' where job in (select job from supaqueue.unfinished)";
    supaqueue_tests::run(&admin, due).await;
    db.tick().await;
}

/// The bad job is a problem that tells Postgres' words; it is tried again with growing pauses.
async fn assert_is_shown_and_retried(db: &Db) {
    let shown = format!(
        "select count(*) from supaqueue.problem
         where job = {BAD_JOB} and problem like '%customer 7 is locked%' and remedy <> ''"
    );
    assert_eq!(db.get(&shown).await, "1", "{}", problems(db).await);

    let pause = "select tries, extract(epoch from retry_at - tried_at) from supaqueue.unfinished
                 where message like '%customer 7 is locked%'";
    let (mut last_tries, mut last_pause) = (0, 0.0);
    for _ in 0..4 {
        let row = db.get(pause).await;
        let (tries, pause) = row.split_once('|').expect("one row for the job");
        let (tries, pause): (u32, f64) = (tries.parse().unwrap(), pause.parse().unwrap());
        assert!(tries > last_tries, "it is counted how often it was tried");
        assert!(pause > last_pause, "{pause} s after {last_pause} s");
        (last_tries, last_pause) = (tries, pause);
        db.tick().await;
        assert_eq!(
            db.get("select max(tries) from supaqueue.unfinished").await,
            last_tries.to_string(),
            "not tried before its time"
        );
        retry_now(db).await;
    }
    let said = db
        .get("select string_agg(problem, '; ') from supaqueue.problem")
        .await;
    assert!(
        said.contains(&format!("tries: {},", last_tries + 1)),
        "how often: {said}"
    );
}

async fn problems(db: &Db) -> String {
    db.get("select * from supaqueue.problem").await
}

#[tokio::test]
async fn a_job_that_cannot_start_harms_only_itself() {
    let db = two_queues_and_a_trigger(
        "before update on supaqueue.job for each row when (new.status = 'in_progress' and new.payload = '\"bad\"')",
    )
    .await;
    db.run("select supaqueue.set_workers('a', 2)").await;
    db.run("select supaqueue.enqueue('a', '\"bad\"')").await;
    db.run("select supaqueue.enqueue('b', '\"good\"')").await;
    db.run("select supaqueue.enqueue('a', '\"good\"')").await;
    db.tick().await;
    assert_eq!(
        db.get("select payload, status, attempts from supaqueue.job order by position")
            .await,
        "\"bad\"|pending|0\n\"good\"|in_progress|1\n\"good\"|in_progress|1"
    );
    let explanation = db
        .get(&format!("select supaqueue.explain({BAD_JOB})"))
        .await;
    assert!(
        explanation.contains("customer 7 is locked"),
        "{explanation}"
    );
    assert_is_shown_and_retried(&db).await;

    db.run("drop trigger refuse on supaqueue.job").await;
    retry_now(&db).await;
    ticks_until(
        &db,
        &format!("select status from supaqueue.job where id = {BAD_JOB}"),
        "in_progress",
    )
    .await;
    assert_eq!(problems(&db).await, "");
    assert_eq!(
        db.get("select count(*) from supaqueue.unfinished").await,
        "0"
    );
}

#[tokio::test]
async fn ten_jobs_that_cannot_start_do_not_keep_the_eleventh_from_starting() {
    let db = two_queues_and_a_trigger(
        "before update on supaqueue.job for each row when (new.status = 'in_progress' and new.payload = '\"bad\"')",
    )
    .await;
    db.run("select supaqueue.enqueue_many('a', array_fill('\"bad\"'::jsonb, array[10]))")
        .await;
    db.run("select supaqueue.enqueue('a', '\"good\"')").await;
    let good = "select status from supaqueue.job where payload = '\"good\"'";
    ticks_until(&db, good, "in_progress").await;
    db.run("select supaqueue.enqueue('a', '\"next\"')").await;
    db.run(&acknowledge_all(RUN)).await;
    let answer = db.get(&succeed(&current_job_of("a"), RUN, ANY)).await;
    assert!(
        Answer::parse(&answer).next.is_some(),
        "a report passes them, too: {answer}"
    );
}

#[tokio::test]
async fn a_job_that_cannot_be_settled_harms_only_itself() {
    let db = two_queues_and_a_trigger(
        "before update on supaqueue.job for each row when (new.status = 'successful' and new.payload = '\"bad\"')",
    )
    .await;
    db.run("select supaqueue.enqueue('a', '\"bad\"')").await;
    db.run("select supaqueue.enqueue('a', '\"good\"')").await;
    db.run(&acknowledge(&current_job_of("a"), RUN)).await;
    let call = db.get(&format!("select {}", current_job_of("a"))).await;
    let report = succeed(&format!("'{call}'"), RUN, ANY);
    let answer = Answer::parse(&db.get(&report).await);
    assert_eq!(answer.state, "settled");
    let next = answer.next.clone().expect("its worker goes on");
    assert_eq!(Answer::parse(&db.get(&report).await), answer, "repeated");
    assert_eq!(
        db.get("select payload, status from supaqueue.job order by position")
            .await,
        "\"bad\"|in_progress\n\"good\"|in_progress"
    );
    let next = format!("'{}'", next.current_job);
    let answer = Answer::parse(&db.get(&succeed(&next, RUN, ANY)).await);
    assert_eq!((answer.state.as_str(), answer.next), ("settled", None));
    assert_eq!(
        db.get("select bool_or(locked) from supaqueue.worker").await,
        "f"
    );
    db.tick().await;
    assert_is_shown_and_retried(&db).await;

    db.run("drop trigger refuse on supaqueue.job").await;
    retry_now(&db).await;
    assert_eq!(
        db.get(&format!("select status, attempts, http_status, result, errors from supaqueue.job where id = {BAD_JOB}")).await,
        r#"successful|1|200|{"ok": true}|[]"#,
        "as it was reported"
    );
    assert_eq!(problems(&db).await, "");
}

#[tokio::test]
async fn a_lost_call_that_cannot_be_taken_back_harms_only_itself() {
    let db = two_queues_and_a_trigger(
        "before update on supaqueue.job for each row when (new.status = 'pending' and old.status = 'in_progress' and new.payload = '\"bad\"')",
    )
    .await;
    db.run("select supaqueue.enqueue('a', '\"bad\"'); select supaqueue.enqueue('b')")
        .await;
    for queue in ["a", "b"] {
        db.run(&acknowledge(&current_job_of(queue), RUN)).await;
    }
    db.run(LOSE_CALLS).await;
    db.tick().await;
    assert_eq!(
        db.get("select status, errors #>> '{0,message}' like 'lost:%' from supaqueue.job where payload = '{}'").await,
        "in_progress|t",
        "the other call is recovered"
    );
    assert_is_shown_and_retried(&db).await;
    db.run("drop trigger refuse on supaqueue.job").await;
    retry_now(&db).await;
    assert_eq!(
        db.get(&format!("select status, attempts, jsonb_array_length(errors) from supaqueue.job where id = {BAD_JOB}")).await,
        "in_progress|2|1"
    );
    assert_eq!(problems(&db).await, "");
}

/// As people write it: the trigger names its table without a schema.
#[tokio::test]
async fn a_users_trigger_finds_its_own_tables() {
    let db =
        two_queues_and_a_trigger("before update on supaqueue.job for each row when (false)").await;
    db.run(
        "create table public.profile (jobs integer); insert into public.profile values (0);
         create function public.note() returns trigger language plpgsql as $$
         begin update profile set jobs = jobs + 1; return null; end $$;
         create trigger note after update on supaqueue.job for each row execute function public.note()",
    )
    .await;
    db.run("select supaqueue.enqueue('a')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(&succeed(&current_job_of("a"), RUN, ANY)).await;
    assert_eq!(
        db.get("select jobs from public.profile").await,
        "2",
        "{}",
        problems(&db).await
    );
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "successful"
    );
}

#[tokio::test]
async fn a_job_that_a_foreign_key_holds_is_the_only_one_kept() {
    let db = Db::new().await;
    db.queue("old", 0).await;
    db.queue("a", 1).await;
    db.run(
        "create table public.parcel (job uuid references supaqueue.job);
         insert into supaqueue.job (queue, status, finished_at)
         select supaqueue.queue_id('old'), 'successful', now() - interval '8 days' from generate_series(1, 10000);
         insert into public.parcel select id from supaqueue.job limit 1",
    )
    .await;
    db.run("select supaqueue.enqueue('a', run_at => clock_timestamp() + interval '50 ms')")
        .await;
    supaqueue_tests::eventually(
        db.client(),
        "select run_at <= clock_timestamp() from supaqueue.job where status = 'pending'",
        "t",
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select status from supaqueue.job where queue = supaqueue.queue_id('a')")
            .await,
        "in_progress",
        "the first tick starts what is due"
    );
    let left = "select count(*) from supaqueue.job where status = 'successful'";
    ticks_until(&db, left, "1").await;
    let held =
        "select job, problem like '%parcel_job_fkey%' from supaqueue.problem where queue = 'old'";
    assert_eq!(
        db.get(held).await,
        format!("{}|t", db.get("select job from public.parcel").await)
    );
    db.run("drop table public.parcel").await;
    retry_now(&db).await;
    ticks_until(&db, left, "0").await;
    ticks_until(&db, "select problem from supaqueue.problem", "").await;
}

#[tokio::test]
async fn a_job_whose_deletion_a_trigger_refuses_is_the_only_one_kept() {
    let db = two_queues_and_a_trigger(
        "before delete on supaqueue.job for each row when (old.payload = '\"bad\"')",
    )
    .await;
    db.run(
        "insert into supaqueue.job (queue, status, finished_at, payload)
         select supaqueue.queue_id('a'), 'successful', now() - interval '8 days', payload
         from (values ('1'::jsonb), ('\"bad\"'), ('3')) as job (payload)",
    )
    .await;
    ticks_until(&db, "select payload from supaqueue.job", "\"bad\"").await;
    assert_is_shown_and_retried(&db).await;
    db.run("drop trigger refuse on supaqueue.job").await;
    retry_now(&db).await;
    ticks_until(&db, "select count(*) from supaqueue.job", "0").await;
    ticks_until(&db, "select problem from supaqueue.problem", "").await;
}

/// Values that the constraints refuse, loaded as a restore loads them.
#[tokio::test]
async fn a_job_at_the_end_of_integer_keeps_no_other_from_starting() {
    let db =
        two_queues_and_a_trigger("before update on supaqueue.job for each row when (false)").await;
    let admin = db.database().connect_as_admin().await.unwrap();
    supaqueue_tests::run(
        &admin,
        "set session_replication_role = replica;
         insert into supaqueue.job (queue, payload, attempts) values (supaqueue.queue_id('a'), '\"bad\"', 2147483647);
         insert into supaqueue.job (queue) values (supaqueue.queue_id('b'))",
    )
    .await;
    ticks_until(
        &db,
        "select status from supaqueue.job where payload = '{}'",
        "in_progress",
    )
    .await;
    db.run("select supaqueue.enqueue('a', '\"good\"')").await;
    ticks_until(
        &db,
        "select status from supaqueue.job where payload = '\"good\"'",
        "in_progress",
    )
    .await;
    let shown = format!("select count(*) > 0 from supaqueue.problem where job = {BAD_JOB}");
    assert_eq!(db.get(&shown).await, "t", "{}", problems(&db).await);
}

/// A trigger that returns null skips an update, and Postgres reports no error.
#[tokio::test]
async fn an_update_that_a_trigger_skips_loses_no_call_and_no_outcome() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run(
        "create function public.skip() returns trigger language plpgsql as 'begin return null; end';
         create trigger skip before update on supaqueue.job for each row
         when (new.status = 'in_progress' and new.payload = '\"bad\"' or new.status = 'successful')
         execute function public.skip()",
    )
    .await;
    db.run("select supaqueue.enqueue('q', '\"bad\"')").await;
    db.run("select supaqueue.enqueue('q', '\"good\"')").await;
    assert_eq!(
        db.get("select j.payload, j.status, c.id is not null from supaqueue.job j left join supaqueue.current_job c on c.job = j.id order by j.position")
            .await,
        "\"bad\"|pending|f\n\"good\"|in_progress|t"
    );
    db.run("select public.end_current_job(id, true, true, '{\"result\": 42}') from supaqueue.current_job")
        .await;
    assert_eq!(
        db.get("select count(*) from supaqueue.problem where problem like '%skipped the update%'")
            .await,
        "2",
        "{}",
        problems(&db).await
    );

    db.run("drop trigger skip on supaqueue.job").await;
    retry_now(&db).await;
    assert_eq!(
        db.get("select payload, status, result from supaqueue.job order by position")
            .await,
        "\"bad\"|in_progress|null\n\"good\"|successful|42"
    );
}
