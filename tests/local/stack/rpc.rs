use serde_json::{Value, json};
use supaqueue_local::Stack;
use tokio::sync::OnceCell;

use crate::{http, on_stack};

static FUNCTIONS: OnceCell<()> = OnceCell::const_new();

/// Creates the functions that these tests call.
async fn prepare(stack: &Stack) {
    FUNCTIONS
        .get_or_init(async || {
            let client = stack.database().connect().await.unwrap();
            client
                .batch_execute(
                    r#"
                    create table public.pair (id int primary key, word text);
                    create function public.same(payload jsonb) returns jsonb language sql as 'select payload';
                    create function public.nothing() returns void language sql as '';
                    create function public.add(a int, b int default 10) returns int language sql as 'select a + b';
                    create function public.word(word text) returns text language sql as 'select word';
                    create function public.result(result text) returns text language sql as 'select result';
                    create function public.pairs(n int) returns setof public.pair language sql
                      as 'select i, ''w'' || i from generate_series(1, n) i';
                    create function public.pair() returns public.pair language sql as 'select 1, ''one''';
                    create function public.whole(jsonb) returns jsonb language sql as 'select $1 -> ''a''';
                    create function public.none() returns text language sql as 'select null';
                    create function public.overloaded(a int) returns int language sql as 'select a';
                    create function public.overloaded(a text) returns text language sql as 'select a';
                    create function public."Odd ""name"(" the arg" int) returns int language sql as 'select $1';
                    create function public.who() returns jsonb language sql as $$
                      select jsonb_build_object('role', current_user, 'session', session_user,
                        'claims', current_setting('request.jwt.claims')::jsonb ->> 'sub',
                        'timeout', current_setting('statement_timeout'))
                    $$;
                    create function public.fail(state text) returns void language plpgsql as $$
                      begin
                        raise exception 'the message' using errcode = state, detail = 'the detail', hint = 'the hint';
                      end
                    $$;
                    create function public.secret() returns int language sql as 'select 1';
                    revoke execute on function public.secret() from public, anon, authenticated;
                    create table public.late (id int);
                    create function public.refuse() returns trigger language plpgsql
                      as 'begin raise exception ''refused at the end''; end';
                    create constraint trigger late_tg after insert on public.late
                      deferrable initially deferred for each row execute function public.refuse();
                    create function public.insert_late() returns void language sql
                      as 'insert into public.late values (1)';
                    create function public.changing() returns int language sql as 'select 1';
                    "#,
                )
                .await
                .unwrap();
        })
        .await;
}

/// The status and body of the response to a call with this key.
async fn call(stack: &Stack, key: &str, function: &str, body: &str) -> (u16, String) {
    prepare(stack).await;
    let response = http()
        .post(format!("{}/rest/v1/rpc/{function}", stack.gateway_url()))
        .header("apikey", key)
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_result_is_json_of_its_type() {
    on_stack(async |stack| {
        let check = async |function: &str, body: &str, want: &str| {
            let (status, text) = call(&stack, stack.service_role_key(), function, body).await;
            assert_eq!((status, text.as_str()), (200, want), "{function} {body}");
        };
        check("add", r#"{"a": 1, "b": 2}"#, "3").await;
        check("add", r#"{"a": 1}"#, "11").await;
        check("word", r#"{"word": "a \"b\" é"}"#, r#""a \"b\" é""#).await;
        check("result", r#"{"result": "a"}"#, r#""a""#).await;
        check("none", "", "null").await;
        check("pair", "{}", r#"{"id":1,"word":"one"}"#).await;
        check(
            "pairs",
            r#"{"n": 2}"#,
            "[{\"id\":1,\"word\":\"w1\"}, \n {\"id\":2,\"word\":\"w2\"}]",
        )
        .await;
        check("pairs", r#"{"n": 0}"#, "[]").await;
        check("whole", r#"{"a": [1]}"#, "[1]").await;
        check("Odd%20%22name", r#"{" the arg": 5}"#, "5").await;
    });
}

#[test]
fn a_result_of_void_is_204_without_a_body() {
    on_stack(async |stack| {
        assert_eq!(
            call(&stack, stack.service_role_key(), "nothing", "{}").await,
            (204, String::new())
        );
    });
}

#[test]
fn numbers_keep_every_digit_both_ways() {
    on_stack(async |stack| {
        let payload = r#"{"n": 123456789012345678901234567890.123456789012345678901234567890}"#;
        let (status, text) = call(
            &stack,
            stack.service_role_key(),
            "same",
            &format!(r#"{{"payload": {payload}}}"#),
        )
        .await;
        assert_eq!((status, text.as_str()), (200, payload));
    });
}

#[test]
fn megabytes_of_payload_pass() {
    on_stack(async |stack| {
        let body = json!({"payload": {"text": "é".repeat(3 << 20)}}).to_string();
        let (status, text) = call(&stack, stack.service_role_key(), "same", &body).await;
        assert_eq!(status, 200);
        assert_eq!(json(&text), json(&body)["payload"]);
    });
}

#[test]
fn a_deeply_nested_payload_passes() {
    on_stack(async |stack| {
        let payload = format!("{}{}", "[".repeat(1000), "]".repeat(1000));
        let body = format!(r#"{{"payload": {payload}}}"#);
        let (status, text) = call(&stack, stack.service_role_key(), "same", &body).await;
        assert_eq!((status, text), (200, payload));
    });
}

#[test]
fn a_call_runs_as_the_role_of_its_key_with_the_claims_of_its_user() {
    on_stack(async |stack| {
        let keys = stack.keys();
        for (key, role) in [
            (keys.anon(), "anon"),
            (keys.publishable(), "anon"),
            (keys.service_role(), "service_role"),
            (keys.secret(), "service_role"),
        ] {
            let (_, text) = call(&stack, key, "who", "{}").await;
            assert_eq!(json(&text)["role"], role);
            assert_eq!(json(&text)["session"], "authenticator");
            assert_eq!(json(&text)["timeout"], "8s");
        }
        let user = keys.sign(&json!({"role": "authenticated", "sub": "user 1"}));
        let response = http()
            .post(format!("{}/rest/v1/rpc/who", stack.gateway_url()))
            .header("apikey", keys.publishable())
            .header("authorization", format!("Bearer {user}"))
            .send()
            .await
            .unwrap();
        let who = json(&response.text().await.unwrap());
        assert_eq!(
            (&who["role"], &who["claims"]),
            (&json!("authenticated"), &json!("user 1"))
        );
    });
}

#[test]
fn a_call_without_a_key_is_401() {
    on_stack(async |stack| {
        let (status, text) = call(&stack, "nonsense", "who", "{}").await;
        assert_eq!(
            (status, &json(&text)["message"]),
            (401, &json!("Invalid API key"))
        );
        let response = http()
            .post(format!("{}/rest/v1/rpc/who", stack.gateway_url()))
            .header(
                "authorization",
                format!("Bearer {}", stack.service_role_key()),
            )
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 401);
    });
}

#[test]
fn a_postgres_error_has_the_status_that_postgrest_assigns() {
    on_stack(async |stack| {
        let check = async |state: &str, want: u16| {
            let body = json!({ "state": state }).to_string();
            let (status, text) = call(&stack, stack.service_role_key(), "fail", &body).await;
            assert_eq!(status, want, "{state}: {text}");
            let want = json!({"code": state, "message": "the message", "details": "the detail", "hint": "the hint"});
            assert_eq!(json(&text), want);
        };
        check("P0001", 400).await;
        check("22023", 400).await;
        check("23503", 409).await;
        check("23505", 409).await;
        check("25006", 405).await;
        check("40001", 500).await;
        check("42501", 403).await;
        check("42P01", 404).await;
        check("53300", 503).await;
        check("57014", 500).await;
        check("PT402", 402).await;
        check("XX000", 500).await;
    });
}

#[test]
fn a_forbidden_function_is_401_for_anon_and_403_for_others() {
    on_stack(async |stack| {
        let (status, text) = call(&stack, stack.anon_key(), "secret", "{}").await;
        assert_eq!(
            (status, &json(&text)["code"]),
            (401, &json!("42501")),
            "{text}"
        );
        let user = stack.keys().sign(&json!({"role": "authenticated"}));
        assert_eq!(call(&stack, &user, "secret", "{}").await.0, 403);
    });
}

#[test]
fn an_unknown_function_is_404_with_the_message_of_postgrest() {
    on_stack(async |stack| {
        for (function, body, named) in [
            ("absent", r#"{"b": 1, "a": 2}"#, "public.absent(a, b)"),
            ("add", r#"{"b": 1}"#, "public.add(b)"),
            ("add", r#"{"a": 1, "c": 1}"#, "public.add(a, c)"),
        ] {
            let (status, text) = call(&stack, stack.service_role_key(), function, body).await;
            let error = json(&text);
            assert_eq!(
                (status, &error["code"]),
                (404, &json!("PGRST202")),
                "{text}"
            );
            let message = format!("Could not find the function {named} in the schema cache");
            assert_eq!(error["message"], message);
        }
        let (status, text) = call(
            &stack,
            stack.service_role_key(),
            "overloaded",
            r#"{"a": 1}"#,
        )
        .await;
        assert_eq!((status, &json(&text)["code"]), (300, &json!("PGRST203")));
    });
}

#[test]
fn a_body_that_is_not_an_object_is_400() {
    on_stack(async |stack| {
        for body in ["{", "[]", "1", r#"{"a": 1"#] {
            let (status, text) = call(&stack, stack.service_role_key(), "add", body).await;
            assert_eq!(
                (status, &json(&text)["code"]),
                (400, &json!("PGRST102")),
                "{body}"
            );
        }
        let (status, text) = call(&stack, stack.service_role_key(), "add", r#"{"a": "x"}"#).await;
        assert_eq!((status, &json(&text)["code"]), (400, &json!("22P02")));
    });
}

#[test]
fn schemas_other_than_public_are_406() {
    on_stack(async |stack| {
        let response = http()
            .post(format!("{}/rest/v1/rpc/tick", stack.gateway_url()))
            .header("apikey", stack.service_role_key())
            .header("content-profile", "supaqueue")
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 406);
    });
}

#[test]
fn an_error_at_commit_is_reported_and_rolled_back() {
    on_stack(async |stack| {
        let (status, text) = call(&stack, stack.service_role_key(), "insert_late", "{}").await;
        assert_eq!(
            (status, &json(&text)["message"]),
            (400, &json!("refused at the end"))
        );
        let client = stack.database().connect().await.unwrap();
        assert!(
            client
                .query("select from public.late", &[])
                .await
                .unwrap()
                .is_empty()
        );
    });
}

#[test]
fn a_replaced_function_is_looked_up_again() {
    on_stack(async |stack| {
        let key = stack.service_role_key();
        assert_eq!(call(&stack, key, "changing", "{}").await, (200, "1".into()));
        let client = stack.database().connect().await.unwrap();
        client
            .batch_execute(
                "drop function public.changing();
                 create function public.changing(a text default 'x') returns text language sql as 'select a'",
            )
            .await
            .unwrap();
        assert_eq!(
            call(&stack, key, "changing", "{}").await,
            (200, "\"x\"".into())
        );
        client
            .batch_execute("drop function public.changing(text)")
            .await
            .unwrap();
        assert_eq!(call(&stack, key, "changing", "{}").await.0, 404);
    });
}
