//! Invalid rows are rejected by a constraint whose name says why.

use supaqueue_tests::Db;

#[tokio::test]
async fn invalid_queues_are_rejected() {
    let db = Db::new().await;
    for (column, value, want) in [
        (
            "edge_function_name",
            "'https://x.supabase.co/functions/v1/hello'",
            "edge_function_name_is_not_a_url",
        ),
        (
            "edge_function_name",
            "'../hello'",
            "edge_function_name_is_not_a_url",
        ),
        (
            "edge_function_name",
            "'hello world'",
            "edge_function_name_is_of_letters_digits_underscores_hyphens",
        ),
        (
            "edge_function_name",
            "''",
            "edge_function_name_is_of_letters_digits_underscores_hyphens",
        ),
        (
            "edge_function_name",
            "'supaqueue'",
            "edge_function_is_not_supaqueue_itself",
        ),
        ("name", "''", "name_is_not_empty"),
        ("max_attempts", "0", "max_attempts_is_between_1_and_1000000"),
        ("timeout_ms", "0", "timeout_is_positive"),
        ("timeout_ms", "150001", "timeout_is_at_most_150_seconds"),
        ("backoff_base_ms", "-1", "backoff_base_is_not_negative"),
        (
            "backoff_max_ms",
            "999",
            "backoff_max_is_at_least_backoff_base",
        ),
        ("auth", "'admin'", "auth_is_service_role_anon_or_none"),
        ("final_statuses", "'{200}'", "final_statuses_are_failures"),
        ("final_statuses", "'{null}'", "final_statuses_are_failures"),
        (
            "keep_successful_for",
            "'-1 s'",
            "keep_successful_for_is_between_0_and_1000_years",
        ),
        (
            "keep_failed_for",
            "'-1 s'",
            "keep_failed_for_is_between_0_and_1000_years",
        ),
        (
            "keep_successful_for",
            "'1001 years'",
            "keep_successful_for_is_between_0_and_1000_years",
        ),
        (
            "keep_failed_for",
            "'10000 years'",
            "keep_failed_for_is_between_0_and_1000_years",
        ),
        (
            "max_attempts",
            "1000001",
            "max_attempts_is_between_1_and_1000000",
        ),
        (
            "default_headers",
            "jsonb_build_object('x', repeat('y', 16385))",
            "default_headers_are_at_most_16_kb",
        ),
        (
            "default_headers",
            "'[]'",
            "default_headers_are_an_object_of_strings",
        ),
        (
            "default_headers",
            "'\"x\"'",
            "default_headers_are_an_object_of_strings",
        ),
        (
            "default_headers",
            "'null'",
            "default_headers_are_an_object_of_strings",
        ),
        (
            "default_headers",
            r#"'{"x": 1}'"#,
            "default_headers_are_an_object_of_strings",
        ),
        (
            "default_headers",
            r#"'{"x y": "1"}'"#,
            "default_headers_are_an_object_of_strings",
        ),
        (
            "default_headers",
            r#"'{"": "1"}'"#,
            "default_headers_are_an_object_of_strings",
        ),
        (
            "default_headers",
            r#"'{"x": "1\r\ny: 2"}'"#,
            "default_headers_are_an_object_of_strings",
        ),
        (
            "default_headers",
            r#"'{"x": "\u20ac"}'"#,
            "default_headers_are_an_object_of_strings",
        ),
    ] {
        db.run("delete from supaqueue.queue; insert into supaqueue.queue (edge_function_name) values ('hello')").await;
        assert_eq!(
            db.refusal(&format!("update supaqueue.queue set {column} = {value}"))
                .await,
            want,
            "{column} = {value}"
        );
    }
    db.run(r#"update supaqueue.queue set default_headers = '{"x-a": "1", "accept": "text/plain; q=0.5", "x-name": "Zoë"}', final_statuses = '{400, 404}'"#).await;
}

#[tokio::test]
async fn invalid_jobs_are_rejected() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    for (column, value, want) in [
        ("payload", "'null'", "payload_is_not_json_null"),
        (
            "payload",
            "to_jsonb(repeat('x', 5000000))",
            "payload_is_at_most_5_mb",
        ),
        ("status", "'done'", "status_is_known"),
        ("attempts", "-1", "attempts_are_between_0_and_1000000"),
        ("attempts", "1000001", "attempts_are_between_0_and_1000000"),
        (
            "max_attempts",
            "1000001",
            "max_attempts_is_between_1_and_1000000",
        ),
        (
            "headers",
            "jsonb_build_object('x', repeat('y', 16385))",
            "headers_are_at_most_16_kb",
        ),
        ("max_attempts", "0", "max_attempts_is_between_1_and_1000000"),
        ("timeout_ms", "0", "timeout_is_positive"),
        ("timeout_ms", "150001", "timeout_is_at_most_150_seconds"),
        ("tenant", "''", "tenant_is_of_1_to_2000_bytes"),
        (
            "tenant",
            "repeat('é', 1001)",
            "tenant_is_of_1_to_2000_bytes",
        ),
        ("headers", "'[]'", "headers_are_an_object_of_strings"),
        (
            "headers",
            r#"'{"x": {}}'"#,
            "headers_are_an_object_of_strings",
        ),
        ("errors", "'{}'", "errors_are_a_list"),
    ] {
        assert_eq!(
            db.refusal(&format!("insert into supaqueue.job (queue, {column}) select id, {value} from supaqueue.queue")).await,
            want,
            "{column} = {value}"
        );
        db.run("insert into supaqueue.job (queue) select id from supaqueue.queue")
            .await;
        assert_eq!(
            db.refusal(&format!("update supaqueue.job set {column} = {value}"))
                .await,
            want,
            "update to {column} = {value}"
        );
    }
    assert_eq!(
        db.refusal("insert into supaqueue.job (queue) values (gen_random_uuid())")
            .await,
        "job_queue_fkey"
    );
}

/// As in core's tests, in target_tests.rs.
#[tokio::test]
async fn a_path_leads_to_the_function_and_nowhere_else() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("insert into supaqueue.job (queue) select id from supaqueue.queue")
        .await;
    let long = format!("repeat('x', {})", 2001);
    let long_enough = "repeat('ä', 2000)";
    #[rustfmt::skip] // one row per kind
    let cases: [(&str, &[&str]); 4] = [
        ("", &[
            "null", "''", "'users/welcome?lang=de'", "'a/'", "'?a=/../b//c'", "'a?b?c'", "'a/?b'", "'...'",
            "'.a/a.b/b..'", "'%2e%2ea/%41'", "'a%2fb'", "'Müller:@'", long_enough,
        ]),
        ("path_is_at_most_2000_characters", &[&long]),
        ("path_has_no_spaces_control_characters_backslashes_or_fragment", &[
            "'a b'", r"'a\b'", r"E'a\tb'", r"E'a\n'", r"E'\u0001'", r"E'\u007F'", "'#'", "'a?b#c'",
        ]),
        ("path_has_no_leading_slash_and_no_empty_or_dot_segments", &[
            "'/'", "'/a'", "'a//b'", "'a//'", "'%2f'", "'a%2F/b'", "'//?a'",
            "'.'", "'..'", "'../a'", "'a/..'", "'a/./b'", "'a/../b'", "'../?a'", "'..?a'", "'a/.?b'",
            "'%2e'", "'%2E.'", "'.%2e/a'", "'a%2f..%2Fb'", "'a/%2e%2E'",
        ]),
    ];
    for (want, paths) in cases {
        for path in paths {
            for table in ["queue", "job"] {
                let update = format!("update supaqueue.{table} set path = {path}");
                if want.is_empty() {
                    db.run(&update).await;
                } else {
                    assert_eq!(db.refusal(&update).await, want, "{update}");
                }
            }
            let enqueue = format!("select supaqueue.enqueue('q', path => {path})");
            if !want.is_empty() {
                assert_eq!(db.refusal(&enqueue).await, want, "{enqueue}");
            }
        }
    }
}

#[tokio::test]
async fn a_queue_without_a_name_is_named_after_its_function() {
    let db = Db::new().await;
    for _ in 0..3 {
        db.run("insert into supaqueue.queue (edge_function_name) values ('hello')")
            .await;
    }
    assert_eq!(
        db.get("select name from supaqueue.queue order by name")
            .await,
        "hello\nhello_2\nhello_3"
    );
    assert_eq!(
        db.refusal("insert into supaqueue.queue (name, edge_function_name) values ('hello', 'x')")
            .await,
        "queue_name_is_unique"
    );
}

#[tokio::test]
async fn invalid_settings_are_rejected() {
    let db = Db::new().await;
    db.get("select supaqueue.settings()").await;
    for (change, want) in [
        (
            "jobs_per_request = 0",
            "jobs_per_request_is_between_1_and_200",
        ),
        (
            "dispatch_lease_ms = 0",
            "dispatch_lease_is_at_least_1_second",
        ),
        ("max_dispatches = 0", "max_dispatches_is_positive"),
        (
            "run_lease_ms = 14999",
            "run_lease_is_between_15_seconds_and_10_minutes",
        ),
        ("linger_ms = -1", "linger_is_at_most_1_minute"),
        ("poll_ms = 9", "poll_is_between_10_ms_and_10_seconds"),
        ("is_only_row = false", "there_is_only_one_row"),
    ] {
        assert_eq!(
            db.refusal(&format!("update supaqueue.setting set {change}"))
                .await,
            want
        );
    }
    db.run("update supaqueue.setting set max_errors = 7; insert into supaqueue.setting (max_errors) values (8)").await;
    assert_eq!(
        db.get("select max_errors from supaqueue.setting").await,
        "8",
        "a row that is inserted replaces the one that is there"
    );
}
