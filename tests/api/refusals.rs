//! What supabase-js shows when a job is refused.

use std::time::Instant;

use serde_json::{Value, json};

use crate::project::{Caller, Host, test};

fn enqueue(arguments: Value) -> Value {
    json!({"rpc": "supaqueue_enqueue", "arguments": arguments})
}

#[test]
fn only_a_secret_key_can_enqueue() {
    test(async |project| {
        let keys = project.stack.keys();
        let call = enqueue(json!({"queue_name": "report"}));
        for (host, caller, status) in [
            (Host::Node, Caller::Key(keys.anon()), 401),
            (Host::PlatformDeno, Caller::Key(keys.publishable()), 401),
            (Host::NewestDeno, Caller::User, 403),
        ] {
            let answer = project.call(host, caller, call.clone()).await;
            let message = "permission denied for function supaqueue_enqueue";
            assert_eq!(answer["error"]["message"], message);
            assert_eq!(answer["error"]["code"], "42501");
            assert_eq!(
                (&answer["data"], &answer["status"]),
                (&Value::Null, &json!(status))
            );
        }
        for (host, key) in
            Host::ALL
                .into_iter()
                .zip([keys.secret(), keys.service_role(), keys.secret()])
        {
            let answer = project.call(host, Caller::Key(key), call.clone()).await;
            assert_eq!(
                (&answer["error"], &answer["data"]["outcome"]),
                (&Value::Null, &json!("inserted"))
            );
        }
    });
}

#[test]
fn an_error_says_what_is_wrong_and_what_to_do() {
    test(async |project| {
        let cases = [
            (
                enqueue(json!({"queue_name": "reports"})),
                400,
                "42704",
                "there is no queue named 'reports'",
                "Create it: insert into supaqueue.queue (name, edge_function_name) values (…). The existing ones: select name from supaqueue.queue.",
            ),
            (
                enqueue(json!({"queue_name": "report", "options": {"delay": 5}})),
                400,
                "22023",
                "cannot enqueue: there is no option 'delay'",
                "The options are key, path, run_at, tenant, headers, priority, depends_on, on_failure, timeout_ms, on_conflict, max_attempts, pass_results.",
            ),
            (
                json!({"rpc": "supaqueue_enqueue_many", "arguments": {"queue_name": "report", "jobs": [{}, {"payload": null}]}}),
                400,
                "23514",
                "jobs[1]: cannot store the job: its payload is JSON null; leave it out, or use {}",
                "No job was inserted.",
            ),
            (
                enqueue(json!({"queue_name": "report", "data": {}})),
                404,
                "PGRST202",
                "Could not find the function public.supaqueue_enqueue(data, queue_name) in the schema cache",
                "Perhaps you meant to call the function public.supaqueue_enqueue(options, payload, queue_name)",
            ),
            (
                json!({"schema": "supaqueue", "rpc": "enqueue", "arguments": {"queue_name": "report"}}),
                406,
                "PGRST106",
                "Invalid schema: supaqueue",
                "Only the following schemas are exposed: public",
            ),
            (
                json!({"schema": "supaqueue", "table": "job", "insert": {"payload": {}}}),
                406,
                "PGRST106",
                "Invalid schema: supaqueue",
                "Only the following schemas are exposed: public",
            ),
        ];
        let calls: Vec<_> = cases.iter().map(|(call, ..)| call.clone()).collect();
        for host in Host::ALL {
            let input = Value::from(calls.clone()).to_string();
            let caller = Caller::Key(project.stack.keys().secret());
            let answers = project.script(host, caller, &["calls.js"], &input).await;
            for ((call, status, code, message, hint), answer) in
                cases.iter().zip(answers.as_array().unwrap())
            {
                let error = &answer["error"];
                let got = (
                    &answer["status"],
                    &error["code"],
                    &error["message"],
                    &error["hint"],
                );
                let want = (&json!(status), &json!(code), &json!(message), &json!(hint));
                assert_eq!(got, want, "{host:?}: {call}");
            }
        }
    });
}

/// The API ends a statement after eight seconds.
#[test]
fn a_thousand_jobs_are_enqueued_in_one_call_in_their_order() {
    test(async |project| {
        let jobs: Vec<_> = (0..1000)
            .map(|n| json!({"payload": {"thousand": n}, "priority": n % 3, "run_at": "2100-01-01T00:00:00Z"}))
            .collect();
        let call = json!({"rpc": "supaqueue_enqueue_many", "arguments": {"queue_name": "report", "jobs": jobs}});
        let start = Instant::now();
        let answer = project
            .call(Host::Node, Caller::Key(project.stack.keys().secret()), call)
            .await;
        println!("1000 jobs in {:?}", start.elapsed());
        assert_eq!(answer["error"], Value::Null);
        let ids = answer["data"].as_array().unwrap().iter();
        let ids: Vec<_> = ids.map(|job| job["id"].as_str().unwrap()).collect();
        let stored = "select id from supaqueue.job where payload ? 'thousand' order by (payload -> 'thousand')::integer";
        assert_eq!(project.get(stored).await, ids.join("\n"));
        let in_order = "select bool_and(number = position_number) from (
              select (payload -> 'thousand')::integer + 1 as number, row_number() over (order by position) as position_number
              from supaqueue.job where payload ? 'thousand'
            ) jobs";
        assert_eq!(project.get(in_order).await, "t");
    });
}
