//! What a run does besides calling and reporting: it aborts what was cancelled, and waits for work.

use supaqueue_tests::run;

use crate::stack::{finished, lines, start_stack, test};

#[test]
fn cancelling_a_running_job_closes_the_connection_to_its_target() {
    test(async |project| {
        let function = "wait-until-aborted";
        let mut logs = project.stack.logs();
        project.queue("cancelled", function, 1, "").await;
        let job = project.enqueue("cancelled", "{}").await;
        lines(&mut logs, function, 1, |line| {
            line == format!("{job} waits")
        })
        .await;

        let cancel = format!("update supaqueue.job set status = 'cancelled' where id = '{job}'");
        run(&project.client, &cancel).await;
        lines(&mut logs, function, 1, |line| {
            line == format!("{job} is aborted")
        })
        .await;
        // Its worker takes the next job.
        let next = project.enqueue("cancelled", "{}").await;
        lines(&mut logs, function, 1, |line| {
            line == format!("{next} waits")
        })
        .await;
        let jobs = "status, errors -> 0 ->> 'message'";
        let sql = format!("select {jobs} from supaqueue.job where id = '{job}'");
        project.assert_rows(&sql, "cancelled|null").await;
        run(&project.client, &cancel.replace(&job, &next)).await;
    });
}

#[test]
fn a_queue_in_use_needs_no_tick() {
    test(async |_| {
        let stack = start_stack().await;
        let client = stack.database().connect().await.unwrap();
        run(&client, "select cron.unschedule('supaqueue_tick')").await;
        run(
            &client,
            "insert into supaqueue.queue (name, edge_function_name, backoff_base_ms, backoff_max_ms)
               values ('q', 'fail-twice', 1500, 1500);
             select supaqueue.set_workers('q', 2);
             select supaqueue.enqueue('q'), supaqueue.enqueue('q', run_at => now() + interval '2 seconds')",
        )
        .await;
        finished(&client, "q").await;
        let jobs = "select status, attempts from supaqueue.job";
        supaqueue_tests::assert_rows(&client, jobs, "successful|3\nsuccessful|3").await;
        let ticks = "select count(*) from supaqueue.last_tick";
        supaqueue_tests::assert_rows(&client, ticks, "0").await;
    });
}
