//! The order in which jobs start.

use supaqueue_tests::run;

use crate::stack::test;

#[test]
fn jobs_start_by_priority_then_due_time_then_insertion() {
    test(async |project| {
        project.queue("order", "count-calls", 0, "").await;
        run(
            &project.client,
            "insert into supaqueue.job (queue, payload, priority, run_at)
             select supaqueue.queue_id('order'), jsonb_build_object('label', label, 'ms', 0), priority, now() + due
             from (values
               ('third', 0, interval '0'),
               ('last', 5, interval '-2 hours'),
               ('fourth', 0, interval '0'),
               ('second', 0, interval '-1 hour'),
               ('not due', -9, interval '1 hour'),
               ('first', -1, interval '0')
             ) as job (label, priority, due);
             select supaqueue.set_workers('order', 1)",
        )
        .await;
        let pending = "select count(*) from supaqueue.job where queue = supaqueue.queue_id('order') and status <> 'successful'";
        supaqueue_tests::eventually(&project.client, pending, "1").await;
        let order = "select string_agg(payload ->> 'label', ', ' order by (result ->> 'call')::integer)
             from supaqueue.job where queue = supaqueue.queue_id('order') and status = 'successful'";
        let want = "first, second, third, fourth, last";
        project.assert_rows(order, want).await;
        let not_due =
            "select status, attempts from supaqueue.job where payload ->> 'label' = 'not due'";
        project.assert_rows(not_due, "pending|0").await;
    });
}
