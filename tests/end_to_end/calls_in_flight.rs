//! The number of calls in flight, counted by the target function.

use serde_json::Value;

use crate::stack::{lines, test};

#[test]
fn calls_in_flight_never_exceed_the_queues_workers() {
    test(async |project| {
        let mut logs = project.stack.logs();
        project.queue("crowd", "count-calls", 4, &[]).await;
        let payloads = "array(select jsonb_build_object('ms', 20 + 7 * (n % 10)) from generate_series(1, 60) as n)";
        project
            .get(&format!(
                "select count(*) from supaqueue.enqueue_many('crowd', {payloads})"
            ))
            .await;
        project.finished("crowd").await;

        let lines = lines(&mut logs, "count-calls", 60, |line| {
            line.contains(r#""queue":"crowd""#)
        })
        .await;
        let lines: Vec<Value> = lines
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let peak = lines
            .iter()
            .map(|line| line["in_flight"].as_u64().unwrap())
            .max();
        assert_eq!(
            peak,
            Some(4),
            "all four workers are used, and there is never a fifth call"
        );

        let totals = "select count(*), sum(attempts), count(distinct result) from supaqueue.job
             where queue = supaqueue.queue_id('crowd') and status = 'successful'";
        assert_eq!(
            project.get(totals).await,
            "60|60|60",
            "each job is called once"
        );
    });
}

#[test]
fn two_queues_of_one_function_have_separate_workers() {
    test(async |project| {
        let mut logs = project.stack.logs();
        project.queue("narrow", "count-calls", 1, &[]).await;
        project.queue("wide", "count-calls", 3, &[]).await;
        for queue in ["narrow", "wide"] {
            let payloads = r#"array_fill('{"ms": 50}'::jsonb, array[9])"#;
            project
                .get(&format!(
                    "select count(*) from supaqueue.enqueue_many('{queue}', {payloads})"
                ))
                .await;
        }
        project.finished("narrow").await;
        project.finished("wide").await;
        let is_ours =
            |line: &str| line.contains(r#""queue":"narrow""#) || line.contains(r#""queue":"wide""#);
        let lines = lines(&mut logs, "count-calls", 18, is_ours).await;
        let peak = |queue: &str| {
            let lines = lines
                .iter()
                .map(|line| serde_json::from_str::<Value>(line).unwrap());
            lines
                .filter(|line| line["queue"] == queue)
                .filter_map(|line| line["in_flight"].as_u64())
                .max()
        };
        assert_eq!((peak("narrow"), peak("wide")), (Some(1), Some(3)));
    });
}
