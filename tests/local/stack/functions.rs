use std::time::Duration;

use futures_util::StreamExt;
use reqwest::Response;
use serde_json::{Value, json};
use supaqueue_local::{LogLine, Stack};
use tokio::sync::broadcast::Receiver;

use crate::{builder, http, on_stack, until};

async fn get(stack: &Stack, path: &str) -> Response {
    http()
        .get(format!("{}/functions/v1/{path}", stack.gateway_url()))
        .send()
        .await
        .unwrap()
}

async fn status_and_code(response: Response) -> (u16, String) {
    let status = response.status().as_u16();
    let body: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
    (status, body["code"].as_str().unwrap_or_default().to_owned())
}

/// Waits for a line in a function's log.
async fn line(logs: &mut Receiver<LogLine>, source: &str, text: &str) {
    let found = async {
        loop {
            let line = logs.recv().await.unwrap();
            if line.source == source && line.text.contains(text) {
                break;
            }
        }
    };
    let found = tokio::time::timeout(Duration::from_secs(20), found).await;
    assert!(found.is_ok(), "{source} did not log {text:?}");
}

#[test]
fn a_request_reaches_the_function_unchanged() {
    on_stack(async |stack| {
        let response = http()
            .put(format!(
                "{}/functions/v1/echo/a/b%20c?d=%C3%A9",
                stack.gateway_url()
            ))
            .header("x-mine", "yes")
            .header("content-type", "text/x-mine")
            .body("the body é")
            .send()
            .await
            .unwrap();
        assert_eq!(response.headers()["x-echo"], "yes");
        let seen: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
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
            let mut request = http().get(format!("{}/functions/v1/guarded", stack.gateway_url()));
            if let Some(value) = &authorization {
                request = request.header("authorization", value);
            }
            let response = request
                .header("apikey", stack.keys().secret())
                .send()
                .await
                .unwrap();
            assert_eq!(response.status(), want, "{authorization:?}");
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
        let response = get(&stack, "platform").await;
        let seen: Value = serde_json::from_str(&response.text().await.unwrap()).unwrap();
        assert_eq!(seen["own"], "none", "it can read its own folder");
        for denied in ["other", "write", "run"] {
            assert!(
                ["NotCapable", "PermissionDenied"].contains(&seen[denied].as_str().unwrap()),
                "{denied}: {}",
                seen[denied]
            );
        }
        let env = &seen["env"];
        assert_eq!(env["SUPABASE_URL"], stack.gateway_url());
        assert_eq!(env["SUPABASE_ANON_KEY"], stack.anon_key());
        assert_eq!(env["SUPABASE_SERVICE_ROLE_KEY"], stack.service_role_key());
        assert_eq!(
            env["SUPABASE_PUBLISHABLE_KEYS"],
            json!({"default": stack.keys().publishable()}).to_string()
        );
        assert_eq!(
            env["SUPABASE_SECRET_KEYS"],
            json!({"default": stack.keys().secret()}).to_string()
        );
        assert_eq!(env["SUPABASE_DB_URL"], stack.db_url());
        assert_eq!(env["SUPAQUEUE_SECRET"], stack.secret());
        assert_eq!(env["ADDED"], "by the builder");
        assert_eq!(
            env["CARGO_MANIFEST_DIR"],
            Value::Null,
            "our own environment does not leak"
        );
    });
}

/// A request body that is written while it is sent.
fn streaming_body() -> (
    tokio::sync::mpsc::Sender<Result<&'static str, std::io::Error>>,
    impl futures_util::Stream<Item = Result<&'static str, std::io::Error>>,
) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let stream = futures_util::stream::unfold(
        receiver,
        async |mut receiver: tokio::sync::mpsc::Receiver<_>| {
            receiver.recv().await.map(|item| (item, receiver))
        },
    );
    (sender, stream)
}

#[test]
fn bodies_are_streamed_both_ways() {
    on_stack(async |stack| {
        let (sender, receiver) = streaming_body();
        let response = http()
            .post(format!("{}/functions/v1/stream", stack.gateway_url()))
            .body(reqwest::Body::wrap_stream(receiver));
        let response = tokio::spawn(response.send());
        sender.send(Ok("first")).await.unwrap();
        let mut body = response.await.unwrap().unwrap().bytes_stream();
        assert_eq!(
            body.next().await.unwrap().unwrap(),
            "first",
            "it arrives before the request is complete"
        );
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
        assert_eq!(
            status_and_code(get(&stack, "absent").await).await,
            (404, "NOT_FOUND".into())
        );
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
        assert_eq!(
            status_and_code(get(&stack, "broken").await).await,
            (503, "BOOT_ERROR".into())
        );
        line(&mut logs, "broken", "broken on purpose").await;
        assert_eq!(
            status_and_code(get(&stack, "silent").await).await,
            (503, "BOOT_ERROR".into())
        );
        line(&mut logs, "silent", "serves nothing").await;
    });
}

#[test]
fn a_function_that_exits_is_500_and_restarts() {
    on_stack(async |stack| {
        assert_eq!(get(&stack, "crash").await.text().await.unwrap(), "alive");
        assert_eq!(
            status_and_code(get(&stack, "crash/now").await).await,
            (500, "WORKER_ERROR".into())
        );
        assert_eq!(get(&stack, "crash").await.text().await.unwrap(), "alive");
    });
}

#[test]
fn a_killed_function_is_546() {
    on_stack(async |stack| {
        let request = tokio::spawn({
            let stack = stack.clone();
            async move { status_and_code(get(&stack, "hang").await).await }
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
        write(
            "functions/mine/deno.json",
            r#"{"imports": {"dot": "./dot.ts"}}"#,
        );
        write("functions/mine/dot.ts", "export const dot = '.';");
        write("functions/.env", "MINE=1\nSUPABASE_URL=http://elsewhere\n");
        write(
            "functions/mine/index.ts",
            "import { dot } from 'dot'; Deno.serve(() => new Response(Deno.env.get('MINE') + dot + Deno.env.get('SUPABASE_URL')));",
        );
        let stack = builder()
            .functions(folder.path().join("functions"))
            .start()
            .await
            .unwrap();
        let text = async || get(&stack, "mine").await.text().await.unwrap();
        assert_eq!(
            text().await,
            format!("1.{}", stack.gateway_url()),
            "the platform's variables are not overridden"
        );
        write(
            "functions/mine/index.ts",
            "Deno.serve(() => new Response('changed'));",
        );
        until("the change", async || text().await == "changed").await;
        stack.stop().await;
    });
}

#[test]
fn an_isolate_accepts_no_requests_in_the_second_half_of_its_wall_clock() {
    on_stack(async |_| {
        let stack = builder()
            .wall_clock(Duration::from_secs(8))
            .start()
            .await
            .unwrap();
        let mut logs = stack.logs();
        // It has background work until it is unloaded.
        assert_eq!(get(&stack, "background").await.status(), 202);
        let first = stack.function_pid("background").await.unwrap();
        assert_eq!(get(&stack, "background").await.status(), 202);
        assert_eq!(
            stack.function_pid("background").await,
            Some(first),
            "the first half uses the same isolate"
        );
        until("the second half", async || {
            assert_eq!(get(&stack, "background").await.status(), 202);
            stack.function_pid("background").await != Some(first)
        })
        .await;
        line(&mut logs, "background", "unload: wall_clock").await;
        line(&mut logs, "background", "background work is done").await;
        let first = nix::unistd::Pid::from_raw(first);
        until("its exit", async || {
            nix::sys::signal::kill(first, None).is_err()
        })
        .await;
        stack.stop().await;
    });
}

#[test]
fn an_isolate_is_killed_at_the_end_of_its_wall_clock() {
    on_stack(async |_| {
        let stack = builder()
            .wall_clock(Duration::from_secs(2))
            .start()
            .await
            .unwrap();
        assert_eq!(
            status_and_code(get(&stack, "hang").await).await,
            (546, "WORKER_LIMIT".into())
        );
        stack.stop().await;
    });
}
