//! `metrics()`, read by a parser of the specification.

use std::collections::HashMap;

use openmetrics_parser::openmetrics::parse_openmetrics;
use openmetrics_parser::{
    MetricNumber, OpenMetricsMetricFamily as Family, OpenMetricsType, OpenMetricsValue,
};
use supaqueue_tests::protocol::{ANY, RUN, acknowledge_all, current_job_of, fail, succeed};
use supaqueue_tests::{Db, get};

/// A name that a label must escape.
const NAME: &str = "a \"b\" \\n c\n€";

fn number(value: &MetricNumber) -> f64 {
    match value {
        MetricNumber::Int(value) => *value as f64,
        MetricNumber::Float(value) => *value,
    }
}

/// The parser refuses units of histograms. The specification does not: only those of info and state sets.
const UNITS: [&str; 2] = [
    "# UNIT supaqueue_wait_seconds seconds\n",
    "# UNIT supaqueue_run_seconds seconds\n",
];

async fn families(db: &Db) -> HashMap<String, Family> {
    let api = db.database().connect_as("service_role").await.unwrap();
    let mut text = get(&api, "select supaqueue.metrics()").await;
    assert!(text.ends_with("# EOF\n"), "{text}");
    for unit in UNITS {
        text = text.replace(unit, "");
    }
    let exposition = parse_openmetrics(&text).unwrap_or_else(|error| panic!("{error:?}: {text}"));
    exposition.families
}

/// The samples of a family whose labels have these values, with their other labels and their number;
/// of a histogram its sum, count and number of buckets.
async fn samples(db: &Db, family: &str, labels: &[&str]) -> Vec<(Vec<String>, f64)> {
    let families = families(db).await;
    let family = &families[family];
    let mut found = Vec::new();
    for sample in family.iter_samples() {
        let labelset = sample.get_labelset().unwrap();
        let values: Vec<String> = labelset.iter_values().cloned().collect();
        if !labels
            .iter()
            .all(|label| values.iter().any(|value| value == label))
        {
            continue;
        }
        let rest: Vec<String> = values
            .into_iter()
            .filter(|value| !labels.contains(&value.as_str()))
            .collect();
        match &sample.value {
            OpenMetricsValue::Counter(counter) => found.push((rest, number(&counter.value))),
            OpenMetricsValue::Gauge(value) => found.push((rest, number(value))),
            OpenMetricsValue::Histogram(histogram) => {
                let buckets = &histogram.buckets;
                assert_eq!(buckets.len(), 14);
                assert!(
                    buckets
                        .windows(2)
                        .all(|pair| number(&pair[0].count) <= number(&pair[1].count))
                );
                assert_eq!(
                    number(&buckets[13].count),
                    histogram.count.unwrap() as f64,
                    "the last bucket has all"
                );
                found.push((vec!["sum".into()], number(&histogram.sum.unwrap())));
                found.push((vec!["count".into()], histogram.count.unwrap() as f64));
            }
            other => panic!("{other:?}"),
        }
    }
    found
}

async fn only(db: &Db, family: &str, labels: &[&str]) -> f64 {
    let found = samples(db, family, labels).await;
    assert_eq!(found.len(), 1, "{family} {labels:?}: {found:?}");
    found[0].1
}

#[tokio::test]
async fn an_empty_project_has_metrics() {
    let db = Db::new().await;
    assert!(only(&db, "supaqueue_tick_age_seconds", &[]).await < 60.0);
    assert!(only(&db, "supaqueue_problems", &[]).await < 0.5);
    assert_eq!(families(&db).await.len(), 2, "and none of queues");
}

#[tokio::test]
async fn counters_count_what_ended_and_never_decrease() {
    let db = Db::new().await;
    db.run(&format!(
        "insert into supaqueue.queue (name, edge_function_name, max_attempts, keep_successful_for) values ($n${NAME}$n$, 'hello', 1, '0')"
    ))
    .await;
    db.queue("other", 0).await;
    db.run(
        "insert into supaqueue.worker (queue) select id from supaqueue.queue where name <> 'other'",
    )
    .await;
    db.run(&format!(
        "select supaqueue.enqueue($n${NAME}$n$) from generate_series(1, 3)"
    ))
    .await;
    db.run(&acknowledge_all(RUN)).await;
    let call = current_job_of("hello").replace("'hello'", &format!("$n${NAME}$n$"));
    db.run(&succeed(&call, RUN, ANY).replace("200,", "200, \"duration_ms\": 1500,"))
        .await;
    db.run(&fail(&call, RUN, ANY)).await;
    db.run("update supaqueue.job set finished_at = finished_at - interval '1 minute' where finished_at is not null").await;
    db.run("update supaqueue.setting set keep_minutes_for = '0'")
        .await;
    for _ in 0..2 {
        db.tick().await;
        // The rows of minute, and one of the jobs, are gone by now.
        assert_eq!(db.get("select (select count(*) from supaqueue.minute), (select count(*) from supaqueue.job)").await, "0|2");
        for (status, want) in [("successful", 1.0), ("failed", 1.0), ("cancelled", 0.0)] {
            assert_eq!(
                only(&db, "supaqueue_jobs_ended", &[NAME, status]).await,
                want,
                "{status}"
            );
        }
        assert_eq!(only(&db, "supaqueue_attempts", &[NAME]).await, 2.0);
        assert_eq!(only(&db, "supaqueue_retries", &[NAME]).await, 0.0);
        let run = samples(&db, "supaqueue_run_seconds", &[NAME]).await;
        assert_eq!(
            run,
            [
                (vec!["sum".to_owned()], 1.5),
                (vec!["count".to_owned()], 1.0)
            ]
        );
        let wait = samples(&db, "supaqueue_wait_seconds", &[NAME]).await;
        assert_eq!(wait[1].1, 2.0);
        assert_eq!(
            only(&db, "supaqueue_jobs_ended", &["other", "failed"]).await,
            0.0
        );
    }
}

#[tokio::test]
async fn gauges_say_how_things_stand() {
    let db = Db::new().await;
    db.queue("q", 2).await;
    db.queue("idle", 3).await;
    db.run("select supaqueue.enqueue('q') from generate_series(1, 2)")
        .await;
    db.run("update supaqueue.queue set is_paused = true where name = 'q'")
        .await;
    db.run(
        "insert into supaqueue.job (queue, run_at, priority) select supaqueue.queue_id('q'), now() - i * interval '1 hour', 3 - i from generate_series(1, 3) i;
         insert into supaqueue.job (queue, run_at) select supaqueue.queue_id('q'), now() + interval '1 hour' from generate_series(1, 4) i;
         insert into supaqueue.job (queue, status) select supaqueue.queue_id('q'), 'waiting' from generate_series(1, 5) i",
    )
    .await;
    for (status, want) in [
        ("in_progress", 2.0),
        ("pending", 3.0),
        ("scheduled", 4.0),
        ("waiting", 5.0),
    ] {
        assert_eq!(
            only(&db, "supaqueue_jobs", &["q", status]).await,
            want,
            "{status}"
        );
    }
    for (family, q, idle) in [
        ("supaqueue_workers", 2.0, 3.0),
        ("supaqueue_workers_busy", 2.0, 0.0),
        ("supaqueue_queue_paused", 1.0, 0.0),
    ] {
        assert_eq!(only(&db, family, &["q"]).await, q, "{family}");
        assert_eq!(only(&db, family, &["idle"]).await, idle, "{family}");
    }
    let age = only(&db, "supaqueue_oldest_due_job_age_seconds", &["q"]).await;
    assert!((10800.0..10860.0).contains(&age), "{age}");
    assert_eq!(
        only(&db, "supaqueue_oldest_due_job_age_seconds", &["idle"]).await,
        0.0
    );
    db.run("delete from vault.secrets where name = 'supaqueue_url'")
        .await;
    assert!(only(&db, "supaqueue_problems", &[]).await > 0.5);
}

#[tokio::test]
async fn types_and_units_are_declared() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let text = db.get("select supaqueue.metrics()").await;
    for unit in UNITS {
        assert!(text.contains(unit), "{text}");
    }
    let families = families(&db).await;
    assert_eq!(families.len(), 12);
    for (name, family) in &families {
        assert!(!family.help.is_empty(), "{name}");
        let (is_seconds, is_gauge) = (
            name.ends_with("_seconds"),
            text.contains(&format!("# TYPE {name} gauge\n")),
        );
        assert_eq!(
            family.unit,
            if is_seconds && is_gauge {
                "seconds"
            } else {
                ""
            },
            "{name}"
        );
        let is_counter = matches!(family.family_type, OpenMetricsType::Counter);
        assert_eq!(
            is_counter,
            text.contains(&format!("# TYPE {name} counter\n")),
            "{name}"
        );
    }
}
