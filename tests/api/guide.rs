//! The guide's ways to enqueue a job.

use serde_json::{Value, json};

use crate::project::{Caller, Host, Project, test};

/// The jobs for an address, as the called function left them.
fn mails(address: &str) -> String {
    format!(
        r#"select q.name, j.status, j.result from supaqueue.job j join supaqueue.queue q on q.id = j.queue
           where j.payload @> '{{"to": "{address}"}}'"#
    )
}

/// Calls an edge function from SQL, through the queue that belongs to it.
async fn job(project: &Project, queue: &str, payload: &Value) -> String {
    let enqueue = format!("select supaqueue.enqueue('{queue}', '{payload}')");
    project.get(&enqueue).await
}

#[test]
fn an_edge_function_enqueues_with_supabase_js() {
    test(async |project| {
        project
            .run(
                "insert into supaqueue.queue (edge_function_name) values ('sign-up');
                 select supaqueue.set_workers('sign-up', 1)",
            )
            .await;
        let address = "edge@example.com";
        let id = job(&project, "sign-up", &json!({ "email": address })).await;
        project
            .eventually(
                &mails(address),
                r#"send-email|successful|{"sent": "edge@example.com"}"#,
            )
            .await;
        let answer = format!("select result ->> 'outcome' from supaqueue.job where id = '{id}'");
        project.eventually(&answer, "inserted").await;
    });
}

#[test]
fn a_node_server_enqueues_many_with_supabase_js() {
    test(async |project| {
        let script = "import { enqueueReports } from './reports.js';
            console.log(JSON.stringify(await enqueueReports(['node 1', 'node 2'])));";
        let arguments = ["--input-type=module", "--eval", script];
        let ids = project
            .script(
                Host::Node,
                Caller::Key(project.stack.keys().secret()),
                &arguments,
                "",
            )
            .await;
        let jobs =
            "select id, payload ->> 'customer', priority, status, run_at - created_at > '50 s'
            from supaqueue.job where payload ->> 'customer' like 'node %' order by position";
        let want = format!(
            "{}|node 1|10|pending|t\n{}|node 2|10|pending|t",
            ids[0].as_str().unwrap(),
            ids[1].as_str().unwrap()
        );
        assert_eq!(project.get(jobs).await, want);
    });
}

#[test]
fn a_user_enqueues_through_the_trigger_on_a_table() {
    test(async |project| {
        let keys = project.stack.keys();
        let callers = [
            Caller::Key(keys.publishable()),
            Caller::Key(keys.anon()),
            Caller::User,
        ];
        for (host, caller) in Host::ALL.into_iter().zip(callers) {
            let address = format!("{host:?}@example.com");
            let insert = json!({"table": "customer", "insert": { "email": address }});
            let answer = project.call(host, caller, insert).await;
            assert_eq!(
                (&answer["error"], &answer["status"]),
                (&Value::Null, &json!(201))
            );
            let sent = format!(r#"send-email|successful|{{"sent": "{address}"}}"#);
            project.eventually(&mails(&address), &sent).await;
        }
    });
}

#[test]
fn a_trigger_that_cannot_enqueue_refuses_the_row_unless_it_handles_the_error() {
    test(async |project| {
        let check = async |table: &str, rights: &str, handler: &str, want: Option<(&str, &str)>| {
            project
                .run(&format!(
                    "create table public.{table} (id int);
                     grant insert on public.{table} to anon;
                     create function public.call_{table}() returns trigger language plpgsql {rights} set search_path = '' as $$
                       begin perform supaqueue.enqueue('calls'); return null; {handler} end $$;
                     create trigger call_tg after insert on public.{table} for each row execute function public.call_{table}()"
                ))
                .await;
            let caller = Caller::Key(project.stack.keys().publishable());
            let insert = json!({"table": table, "insert": {"id": 1}});
            let error = project.call(Host::Node, caller, insert).await["error"].clone();
            let want = want.map(|(code, message)| (json!(code), json!(message)));
            let want = want.unwrap_or_default();
            assert_eq!(
                (error["code"].clone(), error["message"].clone()),
                want,
                "{table}"
            );
            let rows = project
                .get(&format!("select count(*) from public.{table}"))
                .await;
            assert_eq!(rows, if error.is_null() { "1" } else { "0" }, "{table}");
        };
        let denied = ("42501", "permission denied for schema supaqueue");
        check("invoker", "", "", Some(denied)).await;
        let unknown = ("42704", "there is no queue named 'calls'");
        check("definer", "security definer", "", Some(unknown)).await;
        let handler =
            "exception when undefined_object then raise warning '%', sqlerrm; return null;";
        let guide =
            std::fs::read_to_string(supaqueue_tests::repository().join("docs/guide.md")).unwrap();
        assert!(guide.contains(handler), "the guide shows the handler");
        check("handled", "security definer", handler, None).await;
    });
}

#[test]
fn a_signed_in_user_asks_for_what_the_apps_function_allows() {
    test(async |project| {
        let keys = project.stack.keys();
        let call = json!({"rpc": "request_report", "arguments": {"report_id": 77}});
        let answer = project
            .call(Host::NewestDeno, Caller::User, call.clone())
            .await;
        let job = project
            .get(r#"select id from supaqueue.job where payload = '{"report": 77}'"#)
            .await;
        assert_eq!(answer["data"], job);
        let answer = project
            .call(Host::NewestDeno, Caller::Key(keys.publishable()), call)
            .await;
        assert_eq!(answer["error"]["code"], "42501");
    });
}

#[test]
fn a_repeated_call_enqueues_its_follow_up_job_once() {
    test(async |project| {
        let address = "order@example.com";
        let id = job(
            &project,
            "place-order",
            &json!({"order": 1, "email": address}),
        )
        .await;
        let sent = r#"receipt|successful|{"sent": "order@example.com"}"#;
        let receipts = format!("{} and q.name = 'receipt'", mails(address));
        project.eventually(&receipts, sent).await;
        let answer = |columns: &str| {
            format!(
                "select {columns} from supaqueue.job where id = '{id}' and status = 'successful'"
            )
        };
        project.eventually(&answer("attempts"), "1").await;
        let first = project.get(&answer("result")).await;

        // Again with the same idempotency-key, as after an isolate that was killed before its report.
        project
            .run(&format!(
                "update supaqueue.job set status = 'pending', result = null where id = '{id}'"
            ))
            .await;
        project.eventually(&answer("result"), &first).await;
        assert_eq!(project.get(&receipts).await, sent);
    });
}
