//! The number of calls in flight, counted by the target function.

use serde_json::Value;

use crate::stack::{lines, test};

/// The most calls of a queue in flight at once, by the lines that `count-calls` logged.
fn peak(lines: &[String], queue: &str) -> Option<u64> {
    let lines = lines
        .iter()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let lines = lines.filter(|line| line["queue"] == queue);
    lines.map(|line| line["in_flight"].as_u64().unwrap()).max()
}

#[test]
fn calls_in_flight_never_exceed_the_queues_workers() {
    test(async |project| {
        let mut logs = project.stack.logs();
        project.queue("crowd", "count-calls", 4, "").await;
        let payloads = "array(select jsonb_build_object('ms', 20 + 7 * (n % 10)) from generate_series(1, 60) as n)";
        project.enqueue_many("crowd", payloads).await;
        // Each job is called once.
        let totals = "select count(*), sum(attempts), count(distinct result) from supaqueue.job
             where queue = supaqueue.queue_id('crowd') and status = 'successful'";
        project.finished("crowd").await;
        project.assert_rows(totals, "60|60|60").await;

        // All four workers are used, and there is never a fifth call.
        let is_ours = |line: &str| line.contains(r#""queue":"crowd""#);
        let lines = lines(&mut logs, "count-calls", 60, is_ours).await;
        assert_eq!(peak(&lines, "crowd"), Some(4));
    });
}

#[test]
fn two_queues_of_one_function_have_separate_workers() {
    test(async |project| {
        let mut logs = project.stack.logs();
        let queues = [("narrow", 1), ("wide", 3)];
        for (queue, workers) in queues {
            project.queue(queue, "count-calls", workers, "").await;
        }
        for (queue, _) in queues {
            let payloads = r#"array_fill('{"ms": 50}'::jsonb, array[9])"#;
            project.enqueue_many(queue, payloads).await;
        }
        for (queue, _) in queues {
            project.finished(queue).await;
        }
        let is_ours =
            |line: &str| line.contains(r#""queue":"narrow""#) || line.contains(r#""queue":"wide""#);
        let lines = lines(&mut logs, "count-calls", 18, is_ours).await;
        for (queue, workers) in queues {
            assert_eq!(peak(&lines, queue), Some(workers.into()), "{queue}");
        }
    });
}
