//! Two stacks side by side, one of them with its default settings.

use supaqueue_tests::{assert_rows, run};

use crate::security::Dispatch;
use crate::stack::{finished, start_stack, test};

#[test]
fn a_second_stack_shares_nothing_with_the_first() {
    test(async |project| {
        let second = start_stack().await;
        assert_ne!(second.gateway_url(), project.stack.gateway_url());
        assert_ne!(second.secret(), project.stack.secret());
        let client = second.database().connect().await.unwrap();
        assert_rows(&client, "select count(*) from supaqueue.job", "0").await;

        project.queue("neighbour", "succeed", 1, "").await;
        let dispatch = Dispatch::of_new_job(&project, "neighbour", "{}").await;
        // The second stack rejects the first one's signature.
        assert_eq!(dispatch.send(second.gateway_url(), &[]).await, 401);

        // Retries start at the default interval of the tick.
        let schedule = "select schedule from cron.job where jobname = 'supaqueue_tick' and active";
        assert_rows(&client, schedule, "5 seconds").await;
        run(
            &client,
            "insert into supaqueue.queue (edge_function_name, backoff_base_ms) values ('fail-twice', 0);
             select supaqueue.set_workers('fail-twice', 1), supaqueue.enqueue('fail-twice')",
        )
        .await;
        finished(&client, "fail-twice").await;
        let job = "select status, attempts from supaqueue.job";
        assert_rows(&client, job, "successful|3").await;
        project.finished("neighbour").await;
        second.stop().await;
    });
}
