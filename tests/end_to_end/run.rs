//! What a run does besides calling and reporting: it aborts what was cancelled, and waits for work.

use supaqueue_tests::{break_function, eventually, run};

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

/// While an upgrade has replaced only one of the two.
#[test]
fn a_schema_and_a_function_of_different_versions_delay_jobs_and_cost_no_attempt() {
    test(async |_| {
        let stack = start_stack().await;
        let client = stack.database().connect().await.unwrap();
        run(
            &client,
            "update supaqueue.setting set dispatch_lease_ms = 1000;
             insert into supaqueue.queue (name, edge_function_name) values ('q', 'succeed');
             select supaqueue.set_workers('q', 1)",
        )
        .await;
        let newer_schema = ["send_current_jobs", "'protocol', 2", "'protocol', 3"];
        let newer_function = [
            "public.supaqueue_pulse",
            "protocol <> '2'",
            "protocol <> '1'",
        ];
        for [function, from, to] in [newer_schema, newer_function] {
            let intact = break_function(&client, function, from, to).await;
            run(&client, "select supaqueue.enqueue('q')").await;
            let is_named =
                "select bool_or(problem like '%speaks protocol%') from supaqueue.problem";
            eventually(&client, is_named, "t").await;
            run(&client, &intact).await;
            finished(&client, "q").await;
        }
        let jobs = "select status, attempts, errors from supaqueue.job";
        supaqueue_tests::assert_rows(&client, jobs, "successful|1|[]\nsuccessful|1|[]").await;
    });
}

#[test]
fn the_reports_of_many_short_calls_go_together() {
    test(async |_| {
        let stack = start_stack().await;
        let client = stack.database().connect().await.unwrap();
        let body = "return supaqueue.report_together(_run, _reports);";
        let counted =
            format!("insert into public.together values (jsonb_array_length(_reports)); {body}");
        run(&client, "create table public.together (reports integer)").await;
        break_function(&client, "public.end_current_jobs", body, &counted).await;
        run(
            &client,
            "insert into supaqueue.queue (name, edge_function_name) values ('q', 'succeed');
             select supaqueue.set_workers('q', 30);
             select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[900]))",
        )
        .await;
        finished(&client, "q").await;
        let jobs = "select status, attempts, errors, count(*) from supaqueue.job group by 1, 2, 3";
        supaqueue_tests::assert_rows(&client, jobs, "successful|1|[]|900").await;
        let together = "select min(reports) > 1, sum(reports) > 100 from public.together";
        supaqueue_tests::assert_rows(&client, together, "t|t").await;
    });
}

#[test]
fn the_calls_of_a_killed_isolate_start_again_when_its_lease_is_over() {
    test(async |_| {
        let stack = start_stack().await;
        let client = stack.database().connect().await.unwrap();
        let mut logs = stack.logs();
        run(
            &client,
            "update supaqueue.setting set run_lease_ms = 15000;
             select cron.schedule('supaqueue_tick', '1 second', supaqueue.tick_command());
             insert into supaqueue.queue (name, edge_function_name, timeout_ms, backoff_base_ms, backoff_max_ms)
               values ('q', 'wait-until-aborted', 120000, 0, 0);
             select supaqueue.set_workers('q', 1), supaqueue.enqueue('q')",
        )
        .await;
        let is_called = |line: &str| line.ends_with("waits");
        lines(&mut logs, "wait-until-aborted", 1, is_called).await;
        stack.kill_function("supaqueue").await;
        let is_lost = "select (errors -> 0 ->> 'message') like 'lost: %' from supaqueue.job";
        eventually(&client, is_lost, "t").await;
        lines(&mut logs, "wait-until-aborted", 1, is_called).await;
        let since_lease = "select j.started_at - min(r.lease_until) < interval '10 seconds'
            from supaqueue.job j, supaqueue.run r group by j.id";
        supaqueue_tests::assert_rows(&client, since_lease, "t").await;
    });
}
