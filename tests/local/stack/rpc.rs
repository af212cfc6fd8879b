use serde_json::{Value, json};
use supaqueue_local::Stack;
use supaqueue_tests::{assert_rows, run};

use crate::{connect, http, on_stack, rpc};

/// The functions that these tests call.
pub(crate) const FUNCTIONS: &str = r#"
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
  create table public.note (id int generated always as identity, "the text" text default 'none', by text default current_user);
  create table public.guarded (id int);
  alter table public.guarded enable row level security;
"#;

/// The status and body of the response to a call with this key.
async fn call_as(stack: &Stack, key: &str, function: &str, body: &str) -> (u16, String) {
    let request = rpc(stack, function).header("apikey", key);
    let response = request.body(body.to_owned()).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

/// [`call_as`] the service role.
async fn call(stack: &Stack, function: &str, body: &str) -> (u16, String) {
    call_as(stack, stack.service_role_key(), function, body).await
}

/// Asserts that a response has this status, and this value in its JSON.
fn assert_error((status, text): (u16, String), want: u16, field: &str, value: &str) {
    let body = json(&text);
    assert_eq!((status, &body[field]), (want, &json!(value)), "{text}");
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// Asserts that a payload comes back as it was sent.
fn assert_unchanged(payload: &str) {
    on_stack(async |stack| {
        let body = format!(r#"{{"payload": {payload}}}"#);
        let answer = call(&stack, "same", &body).await;
        assert!(answer == (200, payload.to_owned()), "{answer:?}");
    });
}

#[test]
fn a_result_is_json_of_its_type() {
    on_stack(async |stack| {
        let check = async |function: &str, body: &str, want: &str| {
            let answer = call(&stack, function, body).await;
            assert_eq!(answer, (200, want.to_owned()), "{function} {body}");
        };
        check("add", r#"{"a": 1, "b": 2}"#, "3").await;
        check("add", r#"{"a": 1}"#, "11").await;
        check("word", r#"{"word": "a \"b\" é"}"#, r#""a \"b\" é""#).await;
        check("result", r#"{"result": "a"}"#, r#""a""#).await;
        check("none", "", "null").await;
        check("pair", "{}", r#"{"id":1,"word":"one"}"#).await;
        let pairs = "[{\"id\":1,\"word\":\"w1\"}, \n {\"id\":2,\"word\":\"w2\"}]";
        check("pairs", r#"{"n": 2}"#, pairs).await;
        check("pairs", r#"{"n": 0}"#, "[]").await;
        check("whole", r#"{"a": [1]}"#, "[1]").await;
        check("Odd%20%22name", r#"{" the arg": 5}"#, "5").await;
    });
}

#[test]
fn a_result_of_void_is_204_without_a_body() {
    on_stack(async |stack| {
        let answer = call(&stack, "nothing", "{}").await;
        assert_eq!(answer, (204, String::new()));
    });
}

#[test]
fn numbers_keep_every_digit_both_ways() {
    let number = "123456789012345678901234567890.123456789012345678901234567890";
    assert_unchanged(&format!(r#"{{"n": {number}}}"#));
}

#[test]
fn megabytes_of_payload_pass() {
    assert_unchanged(&format!(r#"{{"text": "{}"}}"#, "é".repeat(3 << 20)));
}

#[test]
fn a_deeply_nested_payload_passes() {
    assert_unchanged(&format!("{}{}", "[".repeat(1000), "]".repeat(1000)));
}

#[test]
fn a_call_runs_as_the_role_of_its_key_with_the_claims_of_its_user() {
    on_stack(async |stack| {
        let keys = stack.keys();
        for (key, role, timeout) in [
            (keys.anon(), "anon", "3s"),
            (keys.publishable(), "anon", "3s"),
            (keys.service_role(), "service_role", "8s"),
            (keys.secret(), "service_role", "8s"),
        ] {
            let who = json(&call_as(&stack, key, "who", "{}").await.1);
            assert_eq!(who["role"], role);
            assert_eq!(who["session"], "authenticator");
            assert_eq!(who["timeout"], timeout, "{role}");
        }
        let user = keys.sign(&json!({"role": "authenticated", "sub": "user 1"}));
        let request = rpc(&stack, "who").header("apikey", keys.publishable());
        let who = crate::json(request.bearer_auth(user).send().await.unwrap()).await;
        assert_eq!(who["role"], "authenticated");
        assert_eq!(who["claims"], "user 1");
    });
}

#[test]
fn a_call_without_a_key_is_401() {
    on_stack(async |stack| {
        let answer = call_as(&stack, "nonsense", "who", "{}").await;
        assert_error(answer, 401, "message", "Invalid API key");
        let request = rpc(&stack, "who").bearer_auth(stack.service_role_key());
        assert_eq!(request.send().await.unwrap().status(), 401);
    });
}

#[test]
fn a_postgres_error_has_the_status_that_postgrest_assigns() {
    on_stack(async |stack| {
        let check = async |state: &str, want: u16| {
            let body = json!({ "state": state }).to_string();
            let (status, text) = call(&stack, "fail", &body).await;
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
        let answer = call_as(&stack, stack.anon_key(), "secret", "{}").await;
        assert_error(answer, 401, "code", "42501");
        let user = stack.keys().sign(&json!({"role": "authenticated"}));
        let request = rpc(&stack, "secret").header("apikey", stack.anon_key());
        let response = request.bearer_auth(&user).send().await.unwrap();
        assert_eq!(response.status(), 403);
        let answer = call_as(&stack, &user, "secret", "{}").await;
        assert_error(answer, 401, "message", "Invalid API key");
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
            let answer = call(&stack, function, body).await;
            let message = format!("Could not find the function {named} in the schema cache");
            assert_error(answer.clone(), 404, "code", "PGRST202");
            assert_error(answer, 404, "message", &message);
        }
        let answer = call(&stack, "overloaded", r#"{"a": 1}"#).await;
        assert_error(answer, 300, "code", "PGRST203");
    });
}

#[test]
fn a_similar_function_or_its_arguments_are_suggested() {
    on_stack(async |stack| {
        let hint = async |function: &str, body: &str| {
            json(&call(&stack, function, body).await.1)["hint"].clone()
        };
        let suggested =
            |text: &str| json!(format!("Perhaps you meant to call the function {text}"));
        assert_eq!(
            hint("insert_lat", "{}").await,
            suggested("public.insert_late")
        );
        let swapped = hint("add", r#"{"a": 1, "c": 2}"#).await;
        assert_eq!(swapped, suggested("public.add(a, b)"));
        assert_eq!(hint("a name like no other", "{}").await, Value::Null);
        let answer = call(&stack, "add", r#"{"a": 1, "c": 2}"#).await;
        let details = "Searched for the function public.add with parameters a, c or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache.";
        assert_error(answer, 404, "details", details);
    });
}

#[test]
fn a_body_that_is_not_an_object_is_400() {
    on_stack(async |stack| {
        for body in ["{", "[]", "1", r#"{"a": 1"#] {
            assert_error(call(&stack, "add", body).await, 400, "code", "PGRST102");
        }
        let answer = call(&stack, "add", r#"{"a": "x"}"#).await;
        assert_error(answer, 400, "code", "22P02");
    });
}

#[test]
fn schemas_other_than_public_are_406() {
    on_stack(async |stack| {
        let request = rpc(&stack, "tick").header("apikey", stack.service_role_key());
        let request = request.header("content-profile", "supaqueue");
        assert_eq!(request.send().await.unwrap().status(), 406);

        let url = format!("{}/rest/v1/job", stack.gateway_url());
        for (method, header) in [("POST", "content-profile"), ("GET", "accept-profile")] {
            let request = http()
                .request(method.parse().unwrap(), &url)
                .header("apikey", stack.service_role_key())
                .header(header, "supaqueue");
            let response = request.send().await.unwrap();
            let answer = (response.status().as_u16(), response.text().await.unwrap());
            assert_error(answer.clone(), 406, "code", "PGRST106");
            let hint = "Only the following schemas are exposed: public";
            assert_error(answer, 406, "hint", hint);
        }
    });
}

#[test]
fn rows_are_inserted_as_the_role_of_the_key() {
    on_stack(async |stack| {
        let insert = async |path: &str, body: &str, headers: &[(&str, &str)]| {
            let url = format!("{}/rest/v1/{path}", stack.gateway_url());
            let mut request = http().post(url).header("apikey", stack.anon_key());
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let response = request.body(body.to_owned()).send().await.unwrap();
            (response.status().as_u16(), response.text().await.unwrap())
        };
        let created = (201, String::new());
        for body in [
            r#"{"the text": "a"}"#,
            r#"[{"the text": "b"}, {"the text": null}]"#,
            "{}",
            "[]",
        ] {
            assert_eq!(insert("note", body, &[]).await, created, "{body}");
        }
        let path = r#"note?columns=%22the%20text%22"#;
        assert_eq!(insert(path, r#"[{"the text": "c"}]"#, &[]).await, created);
        let rows = r#"select "the text", by from public.note order by id"#;
        let want = "a|anon\nb|anon\nnull|anon\nnone|anon\nc|anon";
        assert_rows(&connect(&stack).await, rows, want).await;

        let check = async |path: &str, body: &str, status: u16, code: &str| {
            assert_error(insert(path, body, &[]).await, status, "code", code);
        };
        check("guarded", r#"{"id": 1}"#, 401, "42501").await;
        check("absent", r#"{"id": 1}"#, 404, "PGRST205").await;
        check("note", r#"{"txt": 1}"#, 400, "PGRST204").await;
        check("note", r#"[{"by": "x"}, {}]"#, 400, "PGRST102").await;
        check("note", "1", 400, "PGRST102").await;
        check("note?select=id", "{}", 501, "501").await;
        let prefer = [("prefer", "return=representation")];
        assert_eq!(insert("note", "{}", &prefer).await.0, 501);
    });
}

#[test]
fn an_error_at_commit_is_reported_and_rolled_back() {
    on_stack(async |stack| {
        let answer = call(&stack, "insert_late", "{}").await;
        assert_error(answer, 400, "message", "refused at the end");
        let rows = "select count(*) from public.late";
        assert_rows(&connect(&stack).await, rows, "0").await;
    });
}

#[test]
fn a_replaced_function_is_looked_up_again() {
    on_stack(async |stack| {
        let result = async || call(&stack, "changing", "{}").await;
        assert_eq!(result().await, (200, "1".into()));
        let client = connect(&stack).await;
        run(
            &client,
            "drop function public.changing();
             create function public.changing(a text default 'x') returns text language sql
               as 'select a'",
        )
        .await;
        assert_eq!(result().await, (200, r#""x""#.into()));
        run(&client, "drop function public.changing(text)").await;
        assert_eq!(result().await.0, 404);
    });
}
