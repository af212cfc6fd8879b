//! What a schedule does when its previous job has not ended: by keys, whatever rule its queue has for them.

use supaqueue_tests::Db;
use supaqueue_tests::protocol::{RUN, acknowledge_all, current_job_of, fail, succeed};

use crate::make_due;

/// Adds a queue, and a schedule of that name whose first job has come as far as `progress` says.
async fn add(db: &Db, name: &str, overlap: &str, key_held: &str, progress: &str) {
    db.queue(name, u32::from(progress != "pending")).await;
    db.run(&format!(
        "update supaqueue.queue set key_held = '{key_held}' where name = '{name}';
         select supaqueue.schedule('{name}', '{name}', every => '1 hour', payload => '1', overlap => '{overlap}')"
    ))
    .await;
    run(db, name).await;
    db.run(&acknowledge_all(RUN)).await;
    match progress {
        "pending" | "in_progress" => {}
        "retry" => db.run(&fail(&current_job_of(name), RUN, "null")).await,
        "successful" => db.run(&succeed(&current_job_of(name), RUN, "null")).await,
        "failed" => {
            db.run("update supaqueue.queue set max_attempts = 1").await;
            db.run(&fail(&current_job_of(name), RUN, "null")).await;
            db.run("update supaqueue.queue set max_attempts = 3").await;
        }
        _ => {
            db.run(&format!("update supaqueue.job set status = 'cancelled' where queue = supaqueue.queue_id('{name}')"))
                .await;
        }
    }
}

/// Makes a schedule due, and runs it.
async fn run(db: &Db, name: &str) {
    db.run(&format!(
        "update supaqueue.schedule set next_at = clock_timestamp() where name = '{name}'"
    ))
    .await;
    db.run("select supaqueue.run_schedules()").await;
}

#[tokio::test]
async fn the_previous_job_decides_whether_the_next_is_skipped_allowed_or_replaces_it() {
    // Per state of the first job: what skip, allow and replace do with the second.
    let cases = [
        ("pending", ["1 skipped", "1 2", "2"]),
        ("in_progress", ["1 skipped", "1 2", "1 skipped"]),
        ("retry", ["1 skipped", "1 2", "1 skipped"]),
        ("successful", ["1 2", "1 2", "1 2"]),
        ("failed", ["1 2", "1 2", "1 2"]),
        ("cancelled", ["1 2", "1 2", "1 2"]),
    ];
    let db = Db::new().await;
    for (progress, wants) in cases {
        for (overlap, want) in ["skip", "allow", "replace"].into_iter().zip(wants) {
            for key_held in ["pending", "unfinished", "successful"] {
                let name = format!("{progress} {overlap} {key_held}");
                add(&db, &name, overlap, key_held, progress).await;
                db.run(&format!(
                    "update supaqueue.schedule set payload = '2' where name = '{name}'"
                ))
                .await;
                run(&db, &name).await;
                let got = db
                    .get(&format!(
                        "select string_agg(j.payload::text, ' ' order by j.position) || case when s.skipped_count > 0 then ' skipped' else '' end
                         from supaqueue.job j join supaqueue.schedule s on s.queue = j.queue
                         where s.name = '{name}' group by s.skipped_count"
                    ))
                    .await;
                assert_eq!(got, want, "{name}");
            }
        }
    }
    let problems = "select problem from supaqueue.problem where problem like '%schedule%'";
    assert_eq!(db.get(problems).await, "");
}

#[tokio::test]
async fn a_job_that_is_replaced_says_for_which_time_it_is() {
    let db = Db::new().await;
    add(&db, "q", "replace", "unfinished", "pending").await;
    let first = db.get("select id from supaqueue.job").await;
    make_due(&db).await;
    db.tick().await;
    assert_eq!(
        db.get("select s.last_job = j.id, s.recent_jobs = array[j.id], j.headers ->> 'supaqueue-scheduled-at' = to_char(s.last_at at time zone 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"') from supaqueue.schedule s, supaqueue.job j").await,
        "t|t|t"
    );
    assert_eq!(db.get("select id from supaqueue.job").await, first);
}

#[tokio::test]
async fn a_key_of_its_own_is_shared_with_other_jobs() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.schedule('s', 'q', every => '1 hour', key => 'customer 7'); select supaqueue.enqueue('q', key => 'customer 7')").await;
    make_due(&db).await;
    db.tick().await;
    assert_eq!(
        db.get(
            "select count(*), (select skipped_count from supaqueue.schedule) from supaqueue.job"
        )
        .await,
        "1|1"
    );
    db.run("update supaqueue.job set status = 'cancelled'")
        .await;
    make_due(&db).await;
    db.tick().await;
    assert_eq!(db.get("select key, headers ->> 'supaqueue-schedule' from supaqueue.job where status = 'pending'").await, "customer 7|s");
}

/// To catch up all times and to skip all but one would be the same as to catch up one.
#[tokio::test]
async fn overlap_is_allowed_where_all_missed_times_are_caught_up() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run(
        "select supaqueue.schedule('all', 'q', '@daily', missed => 'all'), supaqueue.schedule('last', 'q', '@daily'),
           supaqueue.schedule('skip', 'q', '@daily', missed => 'all', overlap => 'skip')",
    )
    .await;
    assert_eq!(
        db.get("select string_agg(overlap, ' ' order by name) from supaqueue.schedule")
            .await,
        "allow skip skip"
    );
}

/// A transaction of the user's that inserts the same key must not stop the tick.
#[tokio::test]
async fn a_key_that_another_transaction_inserts_just_now_is_waited_for_briefly() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.schedule('s', 'q', every => '1 hour', key => 'k'), supaqueue.schedule('t', 'q', every => '1 hour')").await;
    make_due(&db).await;
    let user = db.connect().await;
    supaqueue_tests::run(&user, "begin; select supaqueue.enqueue('q', key => 'k')").await;
    db.tick().await;
    assert_eq!(
        db.get("select headers ->> 'supaqueue-schedule' from supaqueue.job")
            .await,
        "t"
    );
    supaqueue_tests::run(&user, "rollback").await;
    db.tick().await;
    assert_eq!(db.get("select count(*) from supaqueue.job").await, "2");
}
