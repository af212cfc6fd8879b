use std::time::Duration;

use futures_util::{StreamExt, stream};
use reqwest::Response;
use serde_json::{Value, json};
use supaqueue_local::Stack;
use tokio::sync::mpsc;

use crate::{builder, function_url, http, line, on_stack, start, until};

async fn get(stack: &Stack, path: &str) -> Response {
    http().get(function_url(stack, path)).send().await.unwrap()
}

async fn text(stack: &Stack, path: &str) -> String {
    get(stack, path).await.text().await.unwrap()
}

/// The status of a response and its error code.
async fn error(stack: &Stack, path: &str) -> (u16, String) {
    let response = get(stack, path).await;
    let status = response.status().as_u16();
    let body = crate::json(response).await;
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

#[test]
fn a_request_reaches_the_function_unchanged() {
    on_stack(async |stack| {
        let request = http()
            .put(function_url(&stack, "echo/a/b%20c?d=%C3%A9"))
            .header("x-mine", "yes")
            .header("content-type", "text/x-mine")
            .body("the body é");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-echo"], "yes");
        let seen = crate::json(response).await;
        assert_eq!(seen["method"], "PUT");
        assert_eq!(seen["path"], "/echo/a/b%20c?d=%C3%A9");
        assert_eq!(seen["body"], "the body é");
        assert_eq!(seen["headers"]["x-mine"], "yes");
        assert_eq!(seen["headers"]["content-type"], "text/x-mine");
    });
}

#[test]
fn a_function_requires_a_signed_jwt_unless_its_config_disables_it() {
    on_stack(async |stack| {
        let check = async |authorization: Option<String>, want: u16| {
            let mut request = http().get(function_url(&stack, "guarded"));
            if let Some(value) = &authorization {
                request = request.header("authorization", value);
            }
            let request = request.header("apikey", stack.keys().secret());
            let status = request.send().await.unwrap().status();
            assert_eq!(status, want, "{authorization:?}");
        };
        check(None, 401).await;
        check(Some(format!("Bearer {}", stack.anon_key())), 200).await;
        check(Some(format!("Bearer {}", stack.keys().secret())), 401).await;
        check(Some("Basic abc".into()), 401).await;
        let expired = stack.keys().sign(&json!({"role": "anon", "exp": 1}));
        check(Some(format!("Bearer {expired}")), 401).await;
    });
}

#[test]
fn a_function_has_the_environment_and_permissions_of_the_platform() {
    on_stack(async |stack| {
        let seen = crate::json(get(&stack, "platform").await).await;
        assert_eq!(seen["own"], "none", "it can read its own folder");
        for denied in ["other", "write", "run"] {
            let error = seen[denied].as_str().unwrap();
            let is_denied = ["NotCapable", "PermissionDenied"].contains(&error);
            assert!(is_denied, "{denied}: {error}");
        }
        let env = &seen["env"];
        let default = |key: &str| json!({ "default": key }).to_string();
        let keys = stack.keys();
        assert_eq!(env["SUPABASE_URL"], stack.gateway_url());
        assert_eq!(env["SUPABASE_ANON_KEY"], stack.anon_key());
        assert_eq!(env["SUPABASE_SERVICE_ROLE_KEY"], stack.service_role_key());
        assert_eq!(
            env["SUPABASE_PUBLISHABLE_KEYS"],
            default(keys.publishable())
        );
        assert_eq!(env["SUPABASE_SECRET_KEYS"], default(keys.secret()));
        assert_eq!(env["SUPABASE_DB_URL"], stack.db_url());
        assert_eq!(env["SUPAQUEUE_SECRET"], stack.secret());
        assert_eq!(env["ADDED"], "by the builder");
        // Our own environment does not leak.
        assert_eq!(env["CARGO_MANIFEST_DIR"], Value::Null);
    });
}

#[test]
fn bodies_are_streamed_both_ways() {
    on_stack(async |stack| {
        let (sender, mut receiver) = mpsc::channel::<std::io::Result<&str>>(1);
        let body = stream::poll_fn(move |context| receiver.poll_recv(context));
        let request = http().post(function_url(&stack, "stream"));
        let request = request.body(reqwest::Body::wrap_stream(body));
        let response = tokio::spawn(request.send());
        sender.send(Ok("first")).await.unwrap();
        let mut body = response.await.unwrap().unwrap().bytes_stream();
        // It arrives before the request is complete.
        assert_eq!(body.next().await.unwrap().unwrap(), "first");
        sender.send(Ok("second")).await.unwrap();
        assert_eq!(body.next().await.unwrap().unwrap(), "second");
        drop(sender);
        assert!(body.next().await.is_none());
    });
}

#[test]
fn an_unknown_function_is_404() {
    on_stack(async |stack| {
        for name in ["absent", "_shared", "..", "%2e%2e%2fstack", "disabled"] {
            let response = get(&stack, name).await;
            assert_eq!(response.status(), 404, "{name}");
        }
        assert_eq!(error(&stack, "absent").await, (404, "NOT_FOUND".into()));
    });
}

#[test]
fn config_can_set_the_entrypoint() {
    on_stack(async |stack| {
        assert_eq!(get(&stack, "elsewhere").await.status(), 200);
    });
}

#[test]
fn a_function_that_fails_to_start_is_503_and_logs_why() {
    on_stack(async |stack| {
        let mut logs = stack.logs();
        for (name, reason) in [
            ("broken", "broken on purpose"),
            ("silent", "serves nothing"),
        ] {
            assert_eq!(error(&stack, name).await, (503, "BOOT_ERROR".into()));
            line(&mut logs, name, reason).await;
        }
    });
}

#[test]
fn a_function_that_exits_is_500_and_restarts() {
    on_stack(async |stack| {
        assert_eq!(text(&stack, "crash").await, "alive");
        let exited = error(&stack, "crash/now").await;
        assert_eq!(exited, (500, "WORKER_ERROR".into()));
        assert_eq!(text(&stack, "crash").await, "alive");
    });
}

#[test]
fn a_killed_function_is_546() {
    on_stack(async |stack| {
        let request = tokio::spawn({
            let stack = stack.clone();
            async move { error(&stack, "hang").await }
        });
        until("its start", async || {
            stack.function_pid("hang").await.is_some()
        })
        .await;
        // The process listens, but the request may not have reached it yet. Killing it before that
        // only starts another process.
        until("the response", async || {
            stack.kill_function("hang").await;
            request.is_finished()
        })
        .await;
        assert_eq!(request.await.unwrap(), (546, "WORKER_LIMIT".into()));
    });
}

#[test]
fn background_work_finishes_when_a_function_is_stopped() {
    on_stack(async |stack| {
        let mut logs = stack.logs();
        assert_eq!(get(&stack, "background").await.status(), 202);
        stack.stop_function("background").await;
        line(&mut logs, "background", "unload: termination").await;
        line(&mut logs, "background", "background work is done").await;
        assert_eq!(stack.function_pid("background").await, None);
    });
}

#[test]
fn a_function_uses_its_import_map_and_dotenv_and_restarts_when_its_files_change() {
    on_stack(async |_| {
        let folder = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("config.toml", "[functions.mine]\nverify_jwt = false\n");
        let import_map = r#"{"imports": {"dot": "./dot.ts"}}"#;
        write("functions/mine/deno.json", import_map);
        write("functions/mine/dot.ts", "export const dot = '.';");
        write("functions/.env", "MINE=1\nSUPABASE_URL=http://elsewhere\n");
        let index = "functions/mine/index.ts";
        write(
            index,
            "import { dot } from 'dot'; Deno.serve(() => new Response(Deno.env.get('MINE') + dot + Deno.env.get('SUPABASE_URL')));",
        );
        let stack = start(builder().functions(folder.path().join("functions"))).await;
        // The platform's variables are not overridden.
        let want = format!("1.{}", stack.gateway_url());
        assert_eq!(text(&stack, "mine").await, want);
        write(index, "Deno.serve(() => new Response('changed'));");
        let is_changed = async || text(&stack, "mine").await == "changed";
        until("the change", is_changed).await;
        stack.stop().await;
    });
}

#[test]
fn the_variables_of_a_project_reach_the_supaqueue_function() {
    on_stack(async |_| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".env"), "SUPAQUEUE_LOG_LEVEL=loud\n").unwrap();
        let stack = start(builder().functions(folder.path())).await;
        let mut logs = stack.logs();
        assert_eq!(get(&stack, "supaqueue").await.status(), 500);
        line(&mut logs, "supaqueue", "is not error, warn, info or debug").await;
        stack.stop().await;
    });
}

#[test]
fn an_isolate_accepts_no_requests_in_the_second_half_of_its_wall_clock() {
    on_stack(async |_| {
        let stack = start(builder().wall_clock(Duration::from_secs(8))).await;
        let mut logs = stack.logs();
        // It has background work until it is unloaded.
        let isolate = async || {
            assert_eq!(get(&stack, "background").await.status(), 202);
            stack.function_pid("background").await
        };
        let first = isolate().await.unwrap();
        // The first half uses the same isolate.
        assert_eq!(isolate().await, Some(first));
        until("the second half", async || isolate().await != Some(first)).await;
        line(&mut logs, "background", "unload: wall_clock").await;
        line(&mut logs, "background", "background work is done").await;
        let first = nix::unistd::Pid::from_raw(first);
        let is_gone = async || nix::sys::signal::kill(first, None).is_err();
        until("its exit", is_gone).await;
        stack.stop().await;
    });
}

#[test]
fn an_isolate_is_killed_at_the_end_of_its_wall_clock() {
    on_stack(async |_| {
        let stack = start(builder().wall_clock(Duration::from_secs(2))).await;
        assert_eq!(error(&stack, "hang").await, (546, "WORKER_LIMIT".into()));
        stack.stop().await;
    });
}
