//! How long a job holds its key, and what happens to a job whose key another one holds.

use supaqueue_tests::protocol::{
    NONE, RUN, acknowledge_all, current_job_of, fail, giving_back, next_pulse, succeed,
};
use supaqueue_tests::{Db, TICK, assert_rows};

const INSERT: &str =
    "insert into supaqueue.job (queue, key) select q.id, 'a' from supaqueue.queue q";
const RETRY: &str = "update supaqueue.job set status = 'pending' where ended_as is not null";
/// Starts the pending job, whenever it is due.
const START: &str = "update supaqueue.job set run_at = now() where status = 'pending'";
/// Each job in the order of insertion: its status and its hold.
const JOBS: &str = "
    select status, case
        when key_held_until = 'infinity' then 'holds'
        when key_held_until > clock_timestamp() then 'holds for a while'
        when key_held_until is not null then 'has held'
        else 'free'
      end
    from supaqueue.job order by position";

/// A database with a queue `q` with `workers` workers and these settings.
async fn with_queue(workers: u32, settings: &str) -> Db {
    let db = Db::new().await;
    db.queue("q", workers).await;
    db.run(&format!("update supaqueue.queue set {settings}"))
        .await;
    db
}

async fn first_job(db: &Db) -> String {
    db.get("select id from supaqueue.job order by position limit 1")
        .await
}

#[tokio::test]
async fn a_job_holds_its_key_as_long_as_its_queue_says() {
    for (settings, wants) in [
        (
            "key_held = 'pending'",
            ["holds", "free", "free", "free", "free"],
        ),
        (
            "key_held = 'unfinished'",
            ["holds", "holds", "holds", "holds", "free"],
        ),
        (
            "key_held = 'successful', key_held_for = '1 hour'",
            ["holds", "holds", "holds", "holds", "holds for a while"],
        ),
        (
            "key_held = 'successful', key_held_for = '0'",
            ["holds", "holds", "holds", "holds", "free"],
        ),
        (
            "key_held = 'successful'",
            ["holds", "holds", "holds", "holds", "holds"],
        ),
    ] {
        let db = with_queue(0, settings).await;
        db.run(INSERT).await;
        let steps = [
            ("pending", "select 1".to_owned()),
            (
                "in_progress",
                "select supaqueue.set_workers('q', 1)".to_owned(),
            ),
            (
                "pending",
                format!(
                    "{}; {}",
                    acknowledge_all(RUN),
                    fail(&current_job_of("q"), RUN, NONE)
                ),
            ),
            ("in_progress", START.to_owned()),
            (
                "successful",
                format!(
                    "{}; {}",
                    acknowledge_all(RUN),
                    succeed(&current_job_of("q"), RUN, NONE)
                ),
            ),
        ];
        for ((status, step), want) in steps.iter().zip(wants) {
            for statement in step.split("; ") {
                db.run(statement).await;
            }
            assert_eq!(
                db.get(JOBS).await,
                format!("{status}|{want}"),
                "{settings}: after {step}"
            );
        }
    }
}

#[tokio::test]
async fn a_failed_or_cancelled_job_frees_its_key_at_once_and_a_deleted_one_too() {
    for key_held in ["pending", "unfinished", "successful"] {
        let db = with_queue(0, &format!("key_held = '{key_held}'")).await;
        for end in [
            "update supaqueue.job set status = 'failed' where ended_as is null",
            "update supaqueue.job set status = 'cancelled' where ended_as is null",
            "delete from supaqueue.job where ended_as is null",
        ] {
            db.run(INSERT).await;
            db.refusal(INSERT).await;
            db.run(end).await;
        }
        assert_rows(db.client(), JOBS, "failed|free\ncancelled|free").await;
    }
}

#[tokio::test]
async fn a_waiting_job_holds_its_key() {
    for key_held in ["pending", "unfinished"] {
        let db = with_queue(0, &format!("key_held = '{key_held}'")).await;
        db.run("insert into supaqueue.job (queue, key, status) select q.id, 'a', 'waiting' from supaqueue.queue q").await;
        assert_eq!(
            db.get("select outcome from supaqueue.enqueue_outcome('q', key => 'a')")
                .await,
            "kept"
        );
        db.run("update supaqueue.job set status = 'pending'").await;
        assert_rows(db.client(), JOBS, "pending|holds").await;
    }
}

#[tokio::test]
async fn the_rule_is_that_of_the_insertion_and_a_job_can_have_its_own() {
    let db = with_queue(0, "key_held = 'successful', key_held_for = '1 hour'").await;
    db.run(INSERT).await;
    db.run("update supaqueue.queue set key_held = 'pending', key_held_for = null")
        .await;
    db.run("insert into supaqueue.job (queue, key) select q.id, 'b' from supaqueue.queue q;
            insert into supaqueue.job (queue, key, key_held) select q.id, 'c', 'unfinished' from supaqueue.queue q;
            insert into supaqueue.job (queue) select q.id from supaqueue.queue q").await;
    assert_rows(
        db.client(),
        "select key, key_held, key_held_for from supaqueue.job order by position",
        "a|successful|01:00:00\nb|pending|null\nc|unfinished|null\nnull|null|null",
    )
    .await;
}

#[tokio::test]
async fn a_rule_that_cannot_be_meant_is_refused() {
    let db = with_queue(0, "key_held = 'unfinished'").await;
    for (settings, want) in [
        (
            "key_held = 'always'",
            "key_held_is_pending_unfinished_or_successful",
        ),
        (
            "key_held_for = '1 hour'",
            "key_held_for_is_for_successful_jobs",
        ),
        (
            "key_held = 'successful', key_held_for = '-1 hour'",
            "key_held_for_is_between_0_and_1000_years",
        ),
        (
            "postpone_at_most = '-1 hour'",
            "postpone_at_most_is_between_0_and_1000_years",
        ),
    ] {
        assert_eq!(
            db.refusal(&format!("update supaqueue.queue set {settings}"))
                .await,
            want
        );
    }
    for (columns, values, want) in [
        (
            "key_held",
            "'always'",
            "key_held_is_pending_unfinished_or_successful",
        ),
        (
            "key_held, key_held_for",
            "'pending', '1 hour'",
            "key_held_for_is_for_successful_jobs",
        ),
        (
            "key_held, key_held_for",
            "'successful', '-1 hour'",
            "key_held_for_is_between_0_and_1000_years",
        ),
    ] {
        assert_eq!(
            db.refusal(&format!(
                "insert into supaqueue.job (queue, key, {columns}) select q.id, 'a', {values} from supaqueue.queue q"
            ))
            .await,
            want
        );
    }
}

/// Sets the age of the only success, as if the time had passed.
async fn succeed_minutes_ago(db: &Db, minutes: u32) {
    db.run(&format!(
        "update supaqueue.job set status = 'successful', finished_at = now() - {minutes} * interval '1 minute'
         where ended_as is null"
    ))
    .await;
}

/// Lets an hour's hold be over that began with the success.
const PASS_THE_TIME: &str = "update supaqueue.job set key_held_until = now() - interval '1 ms' where key_held_until < 'infinity'";

#[tokio::test]
async fn a_hold_that_is_over_does_not_block_an_insert_before_the_tick() {
    for insert in [
        INSERT,
        "insert into supaqueue.job (queue, key) select q.id, 'a' from supaqueue.queue q on conflict do nothing",
        "select supaqueue.enqueue('q', key => 'a')",
        "update supaqueue.job set status = 'pending' where status = 'failed'",
    ] {
        let db = with_queue(0, "key_held = 'successful', key_held_for = '1 hour'").await;
        db.run(INSERT).await;
        db.run("update supaqueue.job set status = 'failed'").await;
        db.run(INSERT).await;
        succeed_minutes_ago(&db, 50).await;
        db.run(
            &insert
                .replace("queue q", "queue q on conflict do nothing")
                .replace("nothing on conflict do nothing", "nothing"),
        )
        .await;
        assert_rows(
            db.client(),
            JOBS,
            "failed|free\nsuccessful|holds for a while",
        )
        .await;
        db.run(PASS_THE_TIME).await;
        db.run(insert).await;
        let holders = "select count(*) filter (where status = 'pending' and key_held_until = 'infinity'),
              count(*) filter (where status = 'successful' and key_held_until is null) from supaqueue.job";
        assert_rows(db.client(), holders, "1|1").await;
    }
}

#[tokio::test]
async fn the_tick_releases_keys_and_says_which_it_cannot() {
    let db = with_queue(0, "key_held = 'successful', key_held_for = '1 hour'").await;
    db.run(INSERT).await;
    db.run("insert into supaqueue.job (queue, key) select q.id, 'b' from supaqueue.queue q")
        .await;
    succeed_minutes_ago(&db, 1).await;
    db.run(
        "create function public.keep_b() returns trigger language plpgsql as $$
           begin raise 'not this one'; end $$;
         create trigger keep_b before update on supaqueue.job for each row when (old.key = 'b' and new.key_held_until is null)
         execute function public.keep_b()",
    )
    .await;
    db.tick().await;
    assert_rows(
        db.client(),
        JOBS,
        "successful|holds for a while\nsuccessful|holds for a while",
    )
    .await;
    db.run(PASS_THE_TIME).await;
    db.tick().await;
    assert_rows(db.client(), JOBS, "successful|free\nsuccessful|has held").await;
    let problem = "select problem like 'cannot release the key of this job: not this one%' from supaqueue.problem where job is not null";
    assert_rows(db.client(), problem, "t").await;
    db.run(
        "drop trigger keep_b on supaqueue.job; update supaqueue.unfinished set retry_at = now()",
    )
    .await;
    db.tick().await;
    db.tick().await;
    assert_rows(db.client(), JOBS, "successful|free\nsuccessful|free").await;
    assert_rows(db.client(), problem, "").await;
}

#[tokio::test]
async fn a_successful_job_is_kept_until_its_hold_is_over() {
    let db = with_queue(
        0,
        "key_held = 'successful', key_held_for = '1 hour', keep_successful_for = '10 minutes'",
    )
    .await;
    db.run(INSERT).await;
    succeed_minutes_ago(&db, 30).await;
    db.tick().await;
    assert_rows(db.client(), JOBS, "successful|holds for a while").await;
    // Of a job that is held longer than its queue says now.
    db.run("update supaqueue.queue set key_held = 'unfinished', key_held_for = null")
        .await;
    db.tick().await;
    assert_rows(db.client(), JOBS, "successful|holds for a while").await;
    db.run(PASS_THE_TIME).await;
    db.tick().await;
    assert_rows(db.client(), JOBS, "").await;

    db.run("update supaqueue.queue set key_held = 'successful'")
        .await;
    db.run(INSERT).await;
    succeed_minutes_ago(&db, 5).await;
    db.tick().await;
    assert_rows(db.client(), JOBS, "successful|holds").await;
    db.run("update supaqueue.job set finished_at = now() - interval '11 minutes'")
        .await;
    db.tick().await;
    assert_rows(db.client(), JOBS, "").await;
}

#[tokio::test]
async fn a_job_set_back_to_pending_takes_its_key_again_unless_another_holds_it() {
    for key_held in ["pending", "unfinished", "successful"] {
        let db = with_queue(0, &format!("key_held = '{key_held}'")).await;
        db.run(INSERT).await;
        db.run("update supaqueue.job set status = 'failed', attempts = 3")
            .await;
        let first = first_job(&db).await;
        db.run(RETRY).await;
        assert_rows(db.client(), JOBS, "pending|holds").await;
        db.run("update supaqueue.job set status = 'failed', attempts = 3")
            .await;
        let second = db.get("select supaqueue.enqueue('q', key => 'a')").await;
        db.run("select supaqueue.enqueue('q'); update supaqueue.job set status = 'failed' where key is null")
            .await;
        for status in ["pending", "waiting"] {
            let warnings = db
                .warnings(&format!("update supaqueue.job set status = '{status}' where ended_as is not null and (key = 'a' or '{status}' = 'pending')"))
                .await;
            assert_eq!(
                warnings,
                [format!(
                    "did not set job {first} to {status}: its key 'a' is held by job {second}; \
                     Try again when that job has ended, or cancel it."
                )]
            );
        }
        assert_rows(
            db.client(),
            JOBS,
            "failed|free\npending|holds\npending|free",
        )
        .await;
        assert_rows(
            db.client(),
            &format!("select attempts, finished_at is not null, supaqueue.explain(id) like '%; its key ''a'' is held by job {second}.' from supaqueue.job where id = '{first}'"),
            "3|t|t",
        )
        .await;
    }
}

#[tokio::test]
async fn of_several_jobs_with_a_key_one_is_set_back_to_pending() {
    let db = with_queue(0, "key_held = 'unfinished'").await;
    for _ in 0..3 {
        db.run(INSERT).await;
        db.run("update supaqueue.job set status = 'failed', attempts = 3 where ended_as is null")
            .await;
    }
    db.run("update supaqueue.job set status = 'cancelled', finished_at = '2000-01-01Z' where id = (select id from supaqueue.job order by position desc limit 1)")
        .await;
    let state = "select status, attempts, ended_as, finished_at is null, finished_at = '2000-01-01Z', key_held_until from supaqueue.job order by key_held_until, finished_at desc, position";
    let before = db.get("select status, attempts, finished_at, run_at, ended_as from supaqueue.job order by position").await;
    let warnings = db.warnings(RETRY).await;
    let first = first_job(&db).await;
    assert_eq!(warnings.len(), 2);
    for warning in &warnings {
        assert!(
            warning.contains(&format!("its key 'a' is held by job {first}")),
            "{warning}"
        );
    }
    assert_rows(
        db.client(),
        state,
        "pending|0|null|t|null|infinity\nfailed|3|failed|f|f|null\ncancelled|3|cancelled|f|t|null",
    )
    .await;
    let after = db.get("select status, attempts, finished_at, run_at, ended_as from supaqueue.job order by position").await;
    assert_eq!(
        before.lines().skip(1).collect::<Vec<_>>(),
        after.lines().skip(1).collect::<Vec<_>>(),
        "the others are as they were"
    );
    assert_rows(
        db.client(),
        "select (select count(*) from supaqueue.ready_job), (select count(*) from supaqueue.held_job)",
        "1|0",
    )
    .await;
}

#[tokio::test]
async fn a_successful_job_that_holds_its_key_can_run_again() {
    let db = with_queue(0, "key_held = 'successful', key_held_for = '1 hour'").await;
    db.run(INSERT).await;
    succeed_minutes_ago(&db, 1).await;
    assert!(
        db.get("select supaqueue.explain(id) from supaqueue.job")
            .await
            .contains("; it holds its key 'a' until ")
    );
    db.run(RETRY).await;
    assert_rows(db.client(), JOBS, "pending|holds").await;
}

/// Statements after which the call of a run does not follow the first job any more.
fn ways_back() -> [(&'static str, String); 3] {
    let by_hand = "update supaqueue.current_job set is_complete = true, is_successful = false";
    [
        (
            "a failure",
            format!(
                "{}; {}",
                acknowledge_all(RUN),
                fail(&current_job_of("q"), RUN, NONE)
            ),
        ),
        (
            "a call given back",
            format!(
                "{}; {}",
                acknowledge_all(RUN),
                next_pulse(RUN, &giving_back(&current_job_of("q")))
            ),
        ),
        ("a settlement by hand", by_hand.into()),
    ]
}

#[tokio::test]
async fn a_job_that_freed_its_key_is_superseded_when_it_goes_back() {
    for (name, way) in ways_back() {
        for has_newer in [true, false] {
            let db = with_queue(1, "key_held = 'pending'").await;
            db.run(INSERT).await;
            let first = first_job(&db).await;
            assert_rows(db.client(), JOBS, "in_progress|free").await;
            db.run("update supaqueue.queue set is_paused = true").await;
            if !has_newer {
                for statement in way.split("; ") {
                    db.run(statement).await;
                }
                assert_rows(db.client(), JOBS, "pending|free").await;
                db.run(INSERT).await;
                assert_rows(db.client(), JOBS, "pending|free\npending|holds").await;
                continue;
            }
            db.run(INSERT).await;
            let second = db
                .get("select id from supaqueue.job order by position desc limit 1")
                .await;
            for statement in way.split("; ") {
                db.run(statement).await;
            }
            assert_eq!(
                db.get(JOBS).await,
                "cancelled|free\npending|holds",
                "{name}"
            );
            let explanation = db
                .get(&format!("select supaqueue.explain('{first}')"))
                .await;
            assert!(
                explanation.ends_with(&format!(
                    ": superseded by job {second}, which holds the key 'a' now."
                )),
                "{name}: {explanation}"
            );
            assert_rows(
                db.client(),
                "select finished_at is not null, ended_as from supaqueue.job order by position limit 1",
                "t|cancelled",
            )
            .await;
            assert_rows(db.client(), "select count(*) from supaqueue.problem", "0").await;
        }
    }
}

#[tokio::test]
async fn a_lost_call_whose_key_another_job_holds_does_not_stop_the_tick() {
    let db = with_queue(
        2,
        "key_held = 'pending', backoff_base_ms = 0, backoff_max_ms = 0",
    )
    .await;
    db.run(INSERT).await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run("update supaqueue.queue set is_paused = true").await;
    db.run(INSERT).await;
    db.run("update supaqueue.run set is_over = true").await;
    db.run(TICK).await;
    assert_rows(
        db.client(),
        JOBS,
        "cancelled|free\npending|free\npending|holds",
    )
    .await;
    assert_rows(
        db.client(),
        "select (select count(*) from supaqueue.unfinished where message is not null), (select count(*) from supaqueue.worker where locked)",
        "0|0",
    )
    .await;
}

#[tokio::test]
async fn a_key_can_be_freed_and_changed() {
    let db = with_queue(0, "key_held = 'unfinished'").await;
    db.run(INSERT).await;
    let service = db.database().connect_as("service_role").await.unwrap();
    supaqueue_tests::run(&service, "update supaqueue.job set key = null").await;
    db.run(INSERT).await;
    assert_rows(db.client(), JOBS, "pending|free\npending|holds").await;
    assert_eq!(
        supaqueue_tests::refusal(&service, "update supaqueue.job set key = 'a'").await,
        "a_key_is_held_by_one_job"
    );
    supaqueue_tests::run(
        &service,
        "update supaqueue.job set key = 'b' where key is null",
    )
    .await;
    assert_rows(db.client(), JOBS, "pending|holds\npending|holds").await;
    assert_eq!(
        supaqueue_tests::refusal(&service, "update supaqueue.job set key_held_until = null").await,
        "permission denied for table job"
    );
}

#[tokio::test]
async fn service_role_can_do_all_of_it() {
    let db = with_queue(0, "key_held = 'unfinished'").await;
    let service = db.database().connect_as("service_role").await.unwrap();
    for (on_conflict, want) in [
        ("keep", "inserted"),
        ("keep", "kept"),
        ("replace", "replaced"),
        ("postpone", "postponed"),
        ("merge", "merged"),
    ] {
        let call = format!(
            "select outcome from supaqueue.enqueue_outcome('q', key => 'a', on_conflict => '{on_conflict}')"
        );
        assert_rows(&service, &call, want).await;
    }
    supaqueue_tests::run(&service, "update supaqueue.job set status = 'failed'").await;
    supaqueue_tests::run(&service, RETRY).await;
    assert_rows(&service, JOBS, "pending|holds").await;
}

/// The updates of a job from its insertion to its end, and how many of them changed no index.
#[tokio::test]
async fn a_start_changes_no_index_unless_it_frees_a_key() {
    for (key, key_held, want) in [
        ("null", "pending", "1|1"),
        ("'a'", "unfinished", "1|1"),
        ("'a'", "successful", "1|1"),
        ("'a'", "pending", "1|0"),
    ] {
        let db = with_queue(1, &format!("key_held = '{key_held}'")).await;
        db.run(&format!("begin; insert into supaqueue.job (queue, key) select q.id, {key} from supaqueue.queue q; set constraints all immediate"))
            .await;
        assert_eq!(
            db.get("select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where schemaname = 'supaqueue' and relname = 'job'").await,
            want,
            "a start with the key {key} that is held {key_held}"
        );
        db.run("commit").await;
    }
}
