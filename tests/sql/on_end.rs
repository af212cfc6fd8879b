//! `on_end`: a queue that gets a job for each job of another one that has ended, once, whatever ended it.

use supaqueue_tests::protocol::{
    ANY, NONE, RUN, acknowledge_all, current_job_of, end_lease, fail, succeed,
};
use supaqueue_tests::{Db, Session, run};

/// The jobs that on_end inserted: whose end, and as what.
const INSERTED: &str = "select j.payload #>> '{job,payload}', j.payload #>> '{job,status}'
  from supaqueue.job j where j.queue = supaqueue.queue_id('alerts') order by j.position";

/// A queue q with on_end alerts.
async fn queues(db: &Db, workers: u32) {
    db.queue("q", workers).await;
    db.queue("alerts", 0).await;
    db.run("update supaqueue.queue set on_end = supaqueue.queue_id('alerts'), max_attempts = 1 where name = 'q'")
        .await;
}

/// Makes every insert into alerts fail.
const REFUSE: &str = "
    create function public.refuse() returns trigger language plpgsql as $$
    begin
      if new.queue = supaqueue.queue_id('alerts') then
        raise exception 'no alerts today';
      end if;
      return new;
    end $$;
    create trigger refuse before insert on supaqueue.job for each row execute function public.refuse()";

#[tokio::test]
async fn a_failed_job_is_handed_over_with_what_is_known_of_it() {
    let db = Db::new().await;
    queues(&db, 1).await;
    let job = db
        .get(r#"select supaqueue.enqueue('q', '{"order": 7}', key => 'a', tenant => 't')"#)
        .await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(&fail(&current_job_of("q"), RUN, NONE)).await;
    assert_eq!(
        db.get("select a.headers, a.payload = jsonb_build_object('job', jsonb_build_object(
                  'id', j.id, 'queue', 'q', 'status', 'failed', 'attempts', 1, 'http_status', 500, 'error', 'no', 'error_group', '500 no',
                  'key', 'a', 'tenant', 't', 'created_at', j.created_at, 'finished_at', j.finished_at,
                  'payload', j.payload, 'result', null, 'left_out', '[]'::jsonb))
                from supaqueue.job a join supaqueue.job j on j.queue <> a.queue
                where a.queue = supaqueue.queue_id('alerts')")
            .await,
        format!(r#"{{"supaqueue-on-end": "{job}"}}|t"#)
    );
}

#[tokio::test]
async fn it_starts_with_the_report_that_caused_it() {
    let db = Db::new().await;
    queues(&db, 1).await;
    db.run("select supaqueue.set_workers('alerts', 1); select supaqueue.enqueue('q', '1')")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(&fail(&current_job_of("q"), RUN, ANY)).await;
    assert_eq!(
        db.get("select status from supaqueue.job where queue = supaqueue.queue_id('alerts')")
            .await,
        "in_progress"
    );
}

#[tokio::test]
async fn each_way_to_end_causes_one_job() {
    let db = Db::new().await;
    queues(&db, 1).await;
    db.run("update supaqueue.queue set key_held = 'pending', backoff_base_ms = 0, backoff_max_ms = 0 where name = 'q'")
        .await;
    for ends_of in ["failed", "all"] {
        db.run(&format!(
            "delete from supaqueue.job; update supaqueue.queue set on_end_of = '{ends_of}' where name = 'q';
             delete from supaqueue.run"
        ))
        .await;
        // Reported, with a next job each time.
        db.run(r#"select supaqueue.enqueue_many('q', array['"failed"', '"successful"', '"lost"']::jsonb[])"#)
            .await;
        db.run(&acknowledge_all(RUN)).await;
        let failed = fail(&current_job_of("q"), RUN, ANY);
        db.run(&failed).await;
        db.run(&succeed(&current_job_of("q"), RUN, ANY)).await;
        // A run that is gone.
        db.run(&end_lease(RUN)).await;
        db.run("update supaqueue.run set is_over = true").await;
        db.tick().await;
        // By hand, with retries before.
        db.run("select supaqueue.enqueue('q', '\"by hand\"', max_attempts => 2)")
            .await;
        let by_hand = "update supaqueue.current_job set is_complete = true, is_successful = false";
        db.run(by_hand).await;
        db.tick().await;
        db.run(by_hand).await;
        // A retry that finds a newer holder of its key.
        db.run("select supaqueue.enqueue('q', '\"superseded\"', max_attempts => 2, key => 'a')")
            .await;
        db.run("select supaqueue.enqueue('q', '\"newer\"', key => 'a', run_at => now() + interval '1 day')")
            .await;
        db.run(by_hand).await;
        db.run("update supaqueue.job set status = 'cancelled' where payload = '\"newer\"'")
            .await;
        let want = match ends_of {
            "failed" => "failed|failed\nlost|failed\nby hand|failed",
            _ => {
                "failed|failed\nsuccessful|successful\nlost|failed\nby hand|failed\nsuperseded|cancelled\nnewer|cancelled"
            }
        };
        assert_eq!(db.get(INSERTED).await, want, "{ends_of}");
        let problems = db
            .get("select problem from supaqueue.problem where job is not null")
            .await;
        assert_eq!(problems, "");
    }
}

#[tokio::test]
async fn a_statement_that_ends_many_jobs_causes_one_job_for_each() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run("update supaqueue.queue set on_end_of = 'all' where name = 'q'")
        .await;
    db.run("insert into supaqueue.job (queue, payload) select supaqueue.queue_id('q'), to_jsonb(i) from generate_series(1, 1100) i")
        .await;
    let api = db.database().connect_as("service_role").await.unwrap();
    run(
        &api,
        "update supaqueue.job set status = 'cancelled' where status = 'pending'",
    )
    .await;
    assert_eq!(
        db.get("select count(*), count(distinct payload #>> '{job,id}'), count(*) filter (where payload #>> '{job,status}' = 'cancelled')
                from supaqueue.job where queue = supaqueue.queue_id('alerts')")
            .await,
        "1100|1100|1100"
    );
}

#[tokio::test]
async fn an_end_that_is_rolled_back_causes_none() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3}')")
        .await;
    let end = |payload: u32| {
        format!(
            "update supaqueue.job set status = 'failed' where payload = '{payload}' and queue = supaqueue.queue_id('q')"
        )
    };
    db.run(&format!("begin; {}; rollback", end(1))).await;
    db.run(&format!(
        "begin; savepoint a; {}; rollback to a; {}; commit",
        end(2),
        end(3)
    ))
    .await;
    assert_eq!(db.get(INSERTED).await, "3|failed");
}

#[tokio::test]
async fn an_update_that_a_users_trigger_skips_causes_none() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run(
        "create function public.skip() returns trigger language plpgsql as $$ begin return null; end $$;
         create trigger zz_skip before update on supaqueue.job for each row when (old.payload = '1') execute function public.skip()",
    )
    .await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    db.run("update supaqueue.job set status = 'failed' where payload in ('1', '2')")
        .await;
    assert_eq!(db.get(INSERTED).await, "2|failed");
}

/// The job stays as it was, although its row is changed and changed back.
#[tokio::test]
async fn a_retry_that_finds_its_key_taken_causes_none() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run("insert into supaqueue.job (queue, key, status, payload) select id, 'a', 'cancelled', to_jsonb(i) from supaqueue.queue, generate_series(1, 2) i where name = 'q'")
        .await;
    db.run("update supaqueue.queue set on_end_of = 'all' where name = 'q'")
        .await;
    db.run("update supaqueue.job set status = 'pending' where status = 'cancelled'")
        .await;
    assert_eq!(
        db.get("select status, count(*) from supaqueue.job group by 1 order by 1")
            .await,
        "cancelled|1\npending|1",
        "one of them got the key"
    );
    db.run("update supaqueue.job set status = 'cancelled' where status = 'pending'")
        .await;
    assert_eq!(db.get(INSERTED).await.lines().count(), 1);
}

#[tokio::test]
async fn a_job_of_on_end_causes_no_other() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run("update supaqueue.queue set on_end = supaqueue.queue_id('q') where name = 'alerts'")
        .await;
    db.run("select supaqueue.enqueue('q', '1'), supaqueue.enqueue('alerts', '2')")
        .await;
    for _ in 0..3 {
        db.run("update supaqueue.job set status = 'failed' where status = 'pending'")
            .await;
    }
    assert_eq!(
        db.get("select q.name, j.payload #>> '{job,payload}' from supaqueue.job j join supaqueue.queue q on q.id = j.queue
                where j.headers ? 'supaqueue-on-end' order by 1")
            .await,
        "alerts|1\nq|2"
    );
    let itself = "update supaqueue.queue set on_end = id";
    assert_eq!(db.refusal(itself).await, "on_end_is_another_queue");
}

#[tokio::test]
async fn changes_of_on_end_hold_at_once() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3,4}')")
        .await;
    for (payload, change) in [
        (1, "on_end = null"),
        (2, "on_end = supaqueue.queue_id('alerts')"),
        (3, "on_end_of = 'all'"),
    ] {
        db.run(&format!(
            "update supaqueue.queue set {change} where name = 'q'"
        ))
        .await;
        let status = if payload == 3 { "cancelled" } else { "failed" };
        db.run(&format!(
            "update supaqueue.job set status = '{status}' where payload = '{payload}'"
        ))
        .await;
    }
    assert_eq!(db.get(INSERTED).await, "2|failed\n3|cancelled");
    db.run("delete from supaqueue.queue where name = 'alerts'")
        .await;
    db.run("update supaqueue.job set status = 'failed' where payload = '4'")
        .await;
    assert_eq!(
        db.get("select on_end, (select count(*) from supaqueue.job) from supaqueue.queue")
            .await,
        "null|4"
    );
}

#[tokio::test]
async fn what_cannot_be_inserted_is_a_problem_and_is_inserted_later_once() {
    let db = Db::new().await;
    queues(&db, 1).await;
    db.run(REFUSE).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(&fail(&current_job_of("q"), RUN, ANY)).await;
    db.run(&fail(&current_job_of("q"), RUN, NONE)).await;
    assert_eq!(
        db.get("select status, count(*) from supaqueue.job group by 1")
            .await,
        "failed|2",
        "the reports have settled them"
    );
    let problems = db
        .get("select queue, problem, remedy from supaqueue.problem where job is not null")
        .await;
    assert_eq!(problems.lines().count(), 2, "{problems}");
    for part in [
        "q|cannot insert the job for the end of this job into the queue alerts: no alerts today",
        "update supaqueue.queue set on_end = null where name = 'q';",
    ] {
        assert!(problems.contains(part), "{problems}");
    }

    let due = "update supaqueue.unfinished set retry_at = now()";
    db.run(due).await;
    db.tick().await;
    assert_eq!(db.get(INSERTED).await, "");
    assert_eq!(
        db.get("select distinct tries from supaqueue.unfinished")
            .await,
        "2"
    );
    // The job is inserted as it was then, even if the ended one is gone.
    db.run("drop trigger refuse on supaqueue.job; delete from supaqueue.job where payload = '2'")
        .await;
    db.run(due).await;
    for _ in 0..2 {
        db.tick().await;
    }
    assert_eq!(db.get(INSERTED).await, "1|failed\n2|failed");
    assert_eq!(
        db.get("select count(*) from supaqueue.unfinished").await,
        "0"
    );
}

#[tokio::test]
async fn a_statement_whose_jobs_cannot_be_inserted_ends_them_all_the_same() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run(REFUSE).await;
    db.run("insert into supaqueue.job (queue, payload) select supaqueue.queue_id('q'), to_jsonb(i) from generate_series(1, 600) i")
        .await;
    db.run("update supaqueue.job set status = 'failed'").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.unfinished where step = 'on end'")
            .await,
        "600"
    );
    db.run(
        "drop trigger refuse on supaqueue.job; update supaqueue.unfinished set retry_at = now()",
    )
    .await;
    db.tick().await;
    assert_eq!(
        db.get("select count(distinct payload #>> '{job,id}'), count(*) from supaqueue.job where queue = supaqueue.queue_id('alerts')").await,
        "600|600"
    );
}

/// Whoever deletes the queue, and does not commit, does not hold up a report.
#[tokio::test]
async fn a_locked_queue_does_not_hold_up_an_end() {
    let db = Db::new().await;
    queues(&db, 1).await;
    db.run("select supaqueue.enqueue('q', '1')").await;
    db.run(&acknowledge_all(RUN)).await;
    let other = Session::new(&db).await;
    other
        .run("begin; select from supaqueue.queue where name = 'alerts' for update")
        .await;
    db.run("set statement_timeout = '5s'").await;
    db.run(&fail(&current_job_of("q"), RUN, NONE)).await;
    db.run("reset statement_timeout").await;
    assert_eq!(
        db.get("select step, sqlstate, message from supaqueue.unfinished where job is not null")
            .await,
        "on end|55P03|null"
    );
    other.run("rollback").await;
    db.tick().await;
    assert_eq!(db.get(INSERTED).await, "1|failed");
}

#[tokio::test]
async fn transactions_of_other_isolation_levels_end_jobs_too() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    for (payload, level) in [(1, "repeatable read"), (2, "serializable")] {
        db.run(&format!(
            "begin isolation level {level}; update supaqueue.job set status = 'failed' where payload = '{payload}'; commit"
        ))
        .await;
    }
    assert_eq!(db.get(INSERTED).await, "1|failed\n2|failed");
}

#[tokio::test]
async fn what_is_too_large_is_left_out_and_named() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run(
        "insert into supaqueue.job (queue, payload, errors, key)
         select supaqueue.queue_id('q'), to_jsonb(repeat('x', 4900000)), jsonb_build_array(jsonb_build_object('message', repeat('\"', 3000000))), repeat('k', 2000)",
    )
    .await;
    db.run("update supaqueue.job set result = to_jsonb(repeat('y', 3000000)), status = 'failed'")
        .await;
    assert_eq!(
        db.get("select payload #> '{job,left_out}', payload #> '{job,payload}', payload #> '{job,result}', length(payload #>> '{job,error}'),
                  length(payload #>> '{job,key}')
                from supaqueue.job where queue = supaqueue.queue_id('alerts')")
            .await,
        r#"["payload", "result"]|null|null|10000|2000"#
    );
}

/// In the transaction that ends a job, a setting holds the list: nobody makes it fail.
#[tokio::test]
async fn nonsense_in_the_setting_does_no_harm() {
    let db = Db::new().await;
    queues(&db, 0).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2}')").await;
    db.run("set supaqueue.ended_jobs = 'nonsense'").await;
    db.run("update supaqueue.job set status = 'failed' where payload = '1'")
        .await;
    db.run("update supaqueue.job set status = 'failed' where payload = '2'")
        .await;
    assert_eq!(
        db.get("select count(*) from supaqueue.job where status = 'failed'")
            .await,
        "2"
    );
}
