//! Filters of jobs: what they match, compared with a naive oracle, and what is refused.
//!
//! `SUPAQUEUE_FILTER_SEED` repeats a run.

use fastrand::Rng;
use serde_json::{Map, Value, json};
use supaqueue_tests::{Db, seed};

const SEED: &str = "SUPAQUEUE_FILTER_SEED";

/// Jobs of all statuses in four queues. Many have the same key, tenant, group or time.
async fn fill(db: &Db, random: &mut Rng) {
    for queue in ["a", "b", "c", "d"] {
        db.queue(queue, 3).await;
    }
    db.run("update supaqueue.queue set keep_successful_for = null")
        .await;
    for _ in 0..300 {
        let queue = random.choice(["a", "b", "c"]).unwrap();
        let status = random
            .choice([
                "pending",
                "pending",
                "waiting",
                "successful",
                "failed",
                "failed",
                "cancelled",
            ])
            .unwrap();
        let has_ended = ["successful", "failed", "cancelled"].contains(&status);
        let key = match random.u32(0..3) {
            // Most have one of their own, since a key has one holder.
            0 if has_ended => format!("'k{}'", random.u32(0..3)),
            0 => format!("'own {}'", random.u64(..)),
            _ => "null".into(),
        };
        let (finished_at, group, http_status) = match status {
            "failed" => (
                random.u32(0..20).to_string(),
                format!("'g{}'", random.u32(0..3)),
                random.choice(["500", "404", "null"]).unwrap(),
            ),
            "successful" | "cancelled" => (random.u32(0..20).to_string(), "null".into(), "200"),
            _ => ("null".into(), "null".into(), "null"),
        };
        let later = if random.bool() {
            "interval '1 day'"
        } else {
            "interval '0'"
        };
        let tenant = match random.u32(0..4) {
            0 => "null".into(),
            tenant => format!("'t{tenant}'"),
        };
        db.run(&format!(
            "insert into supaqueue.job (queue, status, key, tenant, payload, created_at, run_at, finished_at, http_status)
             select id, '{status}', {key}, {tenant}, '{{\"a\": {}, \"list\": [{}, 7]}}', '2026-01-01Z'::timestamptz + {} * interval '1 hour',
               now() + {later}, '2026-01-02Z'::timestamptz + {finished_at} * interval '1 hour', {http_status}
             from supaqueue.queue where name = '{queue}';
             update supaqueue.job set error_group = {group} where position = (select max(position) from supaqueue.job)",
            random.u32(0..4),
            random.u32(0..4),
            random.u32(0..20),
        ))
        .await;
    }
}

/// A value, or a list of up to three.
fn one_or_many(random: &mut Rng, mut value: impl FnMut(&mut Rng) -> Value) -> Value {
    match random.u32(0..3) {
        0 => Value::Array((0..random.u32(0..4)).map(|_| value(random)).collect()),
        _ => value(random),
    }
}

fn time(random: &mut Rng) -> Value {
    let (day, hour) = (random.u32(1..3), random.u32(0..24));
    match random.bool() {
        true => json!(format!("2026-01-0{day}T{hour:02}:00:00Z")),
        false => json!(format!("2026-01-0{day} {hour:02}:00:00.000+00")),
    }
}

/// One to four fields with values that jobs have.
fn filter(random: &mut Rng, ids: &[&str]) -> Value {
    let mut filter = Map::new();
    for _ in 0..random.u32(0..4) {
        let name = random
            .choice([
                "queue",
                "queue",
                "status",
                "status",
                "key",
                "tenant",
                "error_group",
                "http_status",
                "created_after",
                "created_before",
                "finished_after",
                "finished_before",
                "payload",
                "ids",
            ])
            .unwrap();
        let value = match name {
            "queue" => one_or_many(random, |random| {
                json!(random.choice(["a", "b", "c", "d"]).unwrap())
            }),
            "status" => one_or_many(random, |random| {
                let statuses = [
                    "pending",
                    "waiting",
                    "in_progress",
                    "successful",
                    "failed",
                    "cancelled",
                ];
                json!(random.choice(statuses).unwrap())
            }),
            "key" => one_or_many(random, |random| json!(format!("k{}", random.u32(0..4)))),
            "tenant" => one_or_many(random, |random| json!(format!("t{}", random.u32(0..5)))),
            "error_group" => one_or_many(random, |random| json!(format!("g{}", random.u32(0..4)))),
            "http_status" => one_or_many(random, |random| {
                json!(random.choice([200, 404, 500, 418]).unwrap())
            }),
            "payload" => match random.u32(0..3) {
                0 => json!({ "list": [random.u32(0..4)] }),
                _ => json!({ "a": random.u32(0..4) }),
            },
            "ids" => (0..random.u32(0..40))
                .map(|_| json!(random.choice(ids).unwrap()))
                .collect(),
            _ => time(random),
        };
        filter.insert(name.into(), value);
    }
    Value::Object(filter)
}

/// What a filter means, read from it with each job.
const ORACLE: &str = "
    create function public.listed(value jsonb) returns setof text language sql as $$
      select jsonb_array_elements_text(case jsonb_typeof(value) when 'array' then value else jsonb_build_array(value) end)
    $$;
    create function public.oracle(f jsonb) returns setof supaqueue.job language sql as $$
      select j.* from supaqueue.job j join supaqueue.queue q on q.id = j.queue
      where (not f ? 'queue' or q.name in (select public.listed(f -> 'queue')))
        and (not f ? 'status' or j.status in (select public.listed(f -> 'status')))
        and (not f ? 'key' or j.key in (select public.listed(f -> 'key')))
        and (not f ? 'tenant' or j.tenant in (select public.listed(f -> 'tenant')))
        and (not f ? 'error_group' or j.error_group in (select public.listed(f -> 'error_group')))
        and (not f ? 'http_status' or j.http_status::text in (select public.listed(f -> 'http_status')))
        and (not f ? 'ids' or j.id::text in (select public.listed(f -> 'ids')))
        and (not f ? 'payload' or j.payload @> (f -> 'payload'))
        and (not f ? 'created_after' or j.created_at >= (f ->> 'created_after')::timestamptz)
        and (not f ? 'created_before' or j.created_at < (f ->> 'created_before')::timestamptz)
        and (not f ? 'finished_after' or j.finished_at >= (f ->> 'finished_after')::timestamptz)
        and (not f ? 'finished_before' or j.finished_at < (f ->> 'finished_before')::timestamptz)
    $$";

/// The ids on all pages of a list, in its order.
async fn listed(db: &Db, filter: &str, page_size: u32) -> Vec<String> {
    let mut ids = Vec::new();
    let mut cursor = "null".to_owned();
    loop {
        let page = db
            .get(&format!(
                "select supaqueue.list_jobs({filter}, {page_size}, {cursor})"
            ))
            .await;
        let page: Value = serde_json::from_str(&page).unwrap();
        let jobs = page["jobs"].as_array().unwrap();
        assert!(jobs.len() <= page_size as usize, "{filter}: a page is full");
        ids.extend(
            jobs.iter()
                .map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        match page["next"].as_str() {
            Some(next) => cursor = format!("'{next}'"),
            None => return ids,
        }
    }
}

#[tokio::test]
async fn list_preview_and_operation_match_what_a_naive_oracle_matches() {
    let db = Db::new().await;
    let seed = seed(SEED);
    let mut random = Rng::with_seed(seed);
    fill(&db, &mut random).await;
    db.run(ORACLE).await;
    let ids = db.get("select id from supaqueue.job").await;
    let ids: Vec<&str> = ids.lines().collect();
    let mut matched = 0;
    for number in 0..200 {
        let filter = filter(&mut random, &ids);
        let says = format!("{SEED}={seed}: filter {number}: {filter}");
        let literal = format!("'{filter}'");
        let want = db
            .get(&format!(
                "select id from public.oracle({literal}) order by id"
            ))
            .await;
        let mut got = listed(&db, &literal, random.u32(1..60)).await;
        matched += got.len();
        got.sort_unstable();
        assert_eq!(got.join("\n"), want, "list_jobs, {says}");

        let statuses = match random.u32(0..3) {
            0 => ("retry", "'failed', 'cancelled'"),
            1 => ("cancel", "'pending', 'waiting', 'in_progress'"),
            _ => (
                "delete",
                "'pending', 'waiting', 'in_progress', 'successful', 'failed', 'cancelled'",
            ),
        };
        let (action, statuses) = match (statuses, &filter["status"]) {
            // Successful jobs are retried if the filter names them.
            (("retry", _), Value::String(status)) if status == "successful" => {
                ("retry", "'successful'")
            }
            (("retry", _), Value::Array(list)) if list.contains(&json!("successful")) => {
                ("retry", "'failed', 'cancelled', 'successful'")
            }
            (known, _) => known,
        };
        let count = format!(
            "select count(*), true from public.oracle({literal}) where status in ({statuses})"
        );
        let want = db.get(&count).await;
        let preview = format!("select * from supaqueue.preview('{action}', {literal})");
        match supaqueue_tests::try_get(db.client(), &preview).await {
            Ok(got) => assert_eq!(got, want, "preview {action}, {says}"),
            Err(error) => {
                assert!(
                    error.contains(&format!("cannot {action} jobs that are")),
                    "{says}: {error}"
                );
                assert_eq!(want, "0|t", "{action}, {says}");
                continue;
            }
        }
        if number % 4 == 0 {
            db.run(&format!(
                "begin; insert into supaqueue.operation (action, filter) values ('{action}', {literal}); call supaqueue.tick()"
            ))
            .await;
            let operation = "select matched, status = 'done' from supaqueue.operation";
            assert_eq!(db.get(operation).await, want, "operation {action}, {says}");
            db.run("rollback").await;
        }
    }
    assert!(matched > 2000, "the filters match jobs ({matched})");
}

#[tokio::test]
async fn without_queues_nothing_matches() {
    let db = Db::new().await;
    for filter in [
        "{}",
        "{\"status\": \"failed\"}",
        "{\"key\": \"a\"}",
        "{\"tenant\": \"a\"}",
        "{\"error_group\": \"a\"}",
    ] {
        assert_eq!(listed(&db, &format!("'{filter}'"), 7).await.len(), 0);
        let preview = format!("select * from supaqueue.preview('retry', '{filter}')");
        assert_eq!(db.get(&preview).await, "0|t");
        let insert = "insert into supaqueue.operation (action, filter) values";
        db.run(&format!("{insert} ('retry', '{filter}')")).await;
    }
    db.tick().await;
    assert_eq!(
        db.get("select distinct status, matched from supaqueue.operation")
            .await,
        "done|0"
    );
}

#[tokio::test]
async fn a_list_has_the_newest_first_also_when_many_ended_together() {
    let db = Db::new().await;
    let mut random = Rng::with_seed(1);
    fill(&db, &mut random).await;
    for (filter, order) in [
        ("{}", "id desc"),
        ("{\"status\": \"failed\"}", "finished_at desc, id desc"),
        (
            "{\"error_group\": [\"g0\", \"g1\"]}",
            "finished_at desc, id desc",
        ),
        (
            "{\"queue\": \"a\"}",
            "finished_at is null desc, finished_at desc, id desc",
        ),
        ("{\"status\": \"pending\"}", "id desc"),
        ("{\"key\": [\"k0\", \"k1\"]}", "id desc"),
        ("{\"tenant\": [\"t1\", \"t2\"]}", "id desc"),
    ] {
        let ids = listed(&db, &format!("'{filter}'"), 7).await;
        assert!(ids.len() > 20, "{filter}: {} jobs", ids.len());
        let want = db
            .get(&format!(
                "select id from supaqueue.job where id = any ('{{{}}}') order by {order}",
                ids.join(",")
            ))
            .await;
        assert_eq!(ids.join("\n"), want, "{filter}");
    }
}

#[tokio::test]
async fn pages_neither_skip_nor_repeat_a_job_that_does_not_change() {
    let db = Db::new().await;
    let seed = seed(SEED);
    let mut random = Rng::with_seed(seed);
    fill(&db, &mut random).await;
    for filter in [
        "{}",
        "{\"queue\": [\"a\", \"b\"]}",
        "{\"status\": [\"pending\", \"failed\"]}",
        "{\"status\": \"cancelled\"}",
        "{\"payload\": {\"a\": 1}}",
    ] {
        db.run("drop table if exists public.unchanged; create table public.unchanged (id uuid)")
            .await;
        let all = listed(&db, &format!("'{filter}'"), 1000).await;
        let (unchanged, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|_| random.bool());
        let mut seen = Vec::new();
        let mut cursor = "null".to_owned();
        loop {
            let page = db
                .get(&format!(
                    "select supaqueue.list_jobs('{filter}', 5, {cursor})"
                ))
                .await;
            let page: Value = serde_json::from_str(&page).unwrap();
            let jobs = page["jobs"].as_array().unwrap();
            seen.extend(
                jobs.iter()
                    .map(|job| job["id"].as_str().unwrap().to_owned()),
            );
            let Some(next) = page["next"].as_str() else {
                break;
            };
            cursor = format!("'{next}'");
            let other = random.choice(&others).unwrap();
            let change = match random.u32(0..5) {
                0 => "insert into supaqueue.job (queue, payload) select id, '{\"a\": 1}' from supaqueue.queue".into(),
                1 => format!("update supaqueue.job set status = 'cancelled' where id = '{other}'"),
                2 => format!("update supaqueue.job set status = 'pending' where id = '{other}'"),
                3 => format!("delete from supaqueue.job where id = '{other}'"),
                // It goes to another place, as when it becomes due, but does not change.
                _ => "update supaqueue.held_job set until = clock_timestamp() - interval '1 minute' where job = (
                    select h.job from supaqueue.held_job h where h.until > clock_timestamp() and h.until < 'infinity' order by random() limit 1);
                  call supaqueue.tick()"
                    .into(),
            };
            db.run(&change).await;
        }
        for id in &unchanged {
            let started =
                format!("select started_at is not null from supaqueue.job where id = '{id}'");
            let times = seen.iter().filter(|other| *other == id).count();
            // The tick may have started it.
            assert!(
                times == 1 || db.get(&started).await == "t",
                "{SEED}={seed}: {filter} shows job {id} {times} times"
            );
        }
    }
}

#[tokio::test]
async fn a_filter_that_does_not_fit_is_refused_by_the_name_of_its_field() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    for (filter, want) in [
        ("null", "the filter is not an object; An example"),
        ("'[]'", "the filter is not an object; An example"),
        (
            "'{\"owner\": \"x\"}'",
            "there is no field 'owner'; The fields are",
        ),
        (
            "'{\"state\": \"failed\"}'",
            "there is no field 'state'; The fields are",
        ),
        ("'{\"queue\": null}'", "queue is not the name of a queue"),
        ("'{\"queue\": 7}'", "queue is not the name of a queue"),
        (
            "'{\"queue\": [\"q\", null]}'",
            "queue is not the name of a queue",
        ),
        ("'{\"queue\": \"nope\"}'", "there is no queue named 'nope'"),
        ("'{\"status\": \"done\"}'", "status is not pending, waiting"),
        (
            "'{\"status\": [[\"failed\"]]}'",
            "status is not pending, waiting",
        ),
        ("'{\"key\": {}}'", "key is not a string"),
        ("'{\"error_group\": 1}'", "error_group is not a string"),
        (
            "'{\"http_status\": \"500\"}'",
            "http_status is not a whole number",
        ),
        (
            "'{\"http_status\": 5.5}'",
            "http_status is not a whole number",
        ),
        (
            "'{\"http_status\": 99999999999}'",
            "http_status is not a whole number",
        ),
        (
            "'{\"created_after\": \"now\"}'",
            "created_after is not an ISO 8601 time",
        ),
        (
            "'{\"created_before\": \"2026-13-01\"}'",
            "created_before is not an ISO 8601 time",
        ),
        (
            "'{\"finished_after\": 1}'",
            "finished_after is not an ISO 8601 time",
        ),
        (
            "'{\"finished_before\": [\"2026-01-01\"]}'",
            "finished_before is not an ISO 8601 time",
        ),
        ("'{\"payload\": null}'", "payload is not the JSON"),
        ("'{\"ids\": [\"x\"]}'", "ids is not a list"),
        (
            "jsonb_build_object('ids', (select jsonb_agg(gen_random_uuid()) from generate_series(1, 10001)))",
            "ids is not a list",
        ),
    ] {
        for statement in [
            format!("select supaqueue.list_jobs({filter})"),
            format!("select supaqueue.preview('retry', {filter})"),
            format!("insert into supaqueue.operation (action, filter) values ('retry', {filter})"),
        ] {
            let error = db.refusal(&statement).await;
            assert!(error.contains(want), "{statement}: {error}");
        }
    }
}

#[tokio::test]
async fn a_cursor_that_does_not_fit_is_refused() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3}')")
        .await;
    let next = db
        .get("select supaqueue.list_jobs('{}', 1) ->> 'next'")
        .await;
    let other = format!("'{{\"queue\": \"q\"}}', 1, '{next}'");
    let cut = format!("'{{}}', 1, '{}'", &next[..next.len() - 8]);
    let json = "'{}', 1, encode('{\"segment\": \"all\", \"id\": \"x\"}', 'base64')";
    for (arguments, want) in [
        ("'{}', 1, ''", "the cursor '' is malformed; Pass \"next\""),
        ("'{}', 1, 'x'", "the cursor 'x' is malformed; Pass \"next\""),
        ("'{}', 1, 'ÿ…'", "is malformed; Pass \"next\""),
        (&cut, "is malformed; Pass \"next\""),
        (json, "is malformed; Pass \"next\""),
        (
            &other,
            "belongs to another filter; Start with the first page",
        ),
        ("'{}', 0", "page_size is 0; It is between 1 and 1000"),
        ("'{}', 1001", "page_size is 1001"),
        ("'{}', null", "page_size is null"),
    ] {
        let error = db
            .refusal(&format!("select supaqueue.list_jobs({arguments})"))
            .await;
        assert!(error.contains(want), "{arguments}: {error}");
    }
}
