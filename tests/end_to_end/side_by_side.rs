//! Two stacks side by side, one of them with its default settings.

use supaqueue_tests::{get, run};

use crate::security::Dispatch;
use crate::stack::{finished, start_stack, test};

#[test]
fn a_second_stack_shares_nothing_with_the_first() {
    test(async |project| {
        let second = start_stack().await;
        assert_ne!(second.gateway_url(), project.stack.gateway_url());
        assert_ne!(second.secret(), project.stack.secret());
        let client = second.database().connect().await.unwrap();
        assert_eq!(
            get(&client, "select count(*) from supaqueue.job").await,
            "0"
        );

        project.queue("neighbour", "succeed", 1, &[]).await;
        let dispatch = Dispatch::of_new_job(&project, "neighbour", "{}").await;
        assert_eq!(
            dispatch.send(second.gateway_url(), &[]).await.0,
            401,
            "the second stack rejects the first one's signature"
        );

        // Retries start at the default interval of the tick.
        let schedule = "select schedule from cron.job where jobname = 'supaqueue_tick' and active";
        assert_eq!(get(&client, schedule).await, "5 seconds");
        run(
            &client,
            "insert into supaqueue.queue (edge_function_name, backoff_base_ms) values ('fail-twice', 0);
             select supaqueue.set_workers('fail-twice', 1), supaqueue.enqueue('fail-twice')",
        )
        .await;
        finished(&client, "fail-twice").await;
        assert_eq!(
            get(&client, "select status, attempts from supaqueue.job").await,
            "successful|3"
        );
        project.finished("neighbour").await;
        second.stop().await;
    });
}
