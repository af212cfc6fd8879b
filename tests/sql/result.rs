//! What a target answers, as the function keeps it, can be stored: core decides what is kept as JSON and
//! what as text, and Postgres is asked here.

use supaqueue_core::json::Raw;
use supaqueue_tests::Db;

/// Stores a result through a report, as the function does; returns Postgres' refusal.
async fn store(db: &Db, result: &str) -> Result<(), String> {
    let report = format!(r#"{{"http_status":200,"result":{result}}}"#);
    db.run("update supaqueue.job set status = 'in_progress'")
        .await;
    db.client()
        .execute(
            "select supaqueue.settle_job(j.id, true, $1::text::jsonb) from supaqueue.job j",
            &[&report],
        )
        .await
        .map(drop)
        .map_err(|error| error.as_db_error().unwrap().code().code().to_owned())
}

#[tokio::test]
async fn json_that_core_keeps_is_stored_and_the_rest_is_stored_as_text() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.run("insert into supaqueue.job (queue) select id from supaqueue.queue")
        .await;
    let nested = |levels: usize| {
        format!("{}{}", "[{\"a\":".repeat(levels / 2), "1") + &"}]".repeat(levels / 2)
    };
    let digits = |count| "9".repeat(count);
    let escape = |code: u32| format!(r#"["\u{code:04x}"]"#);
    let mut texts = vec![
        nested(500),
        format!("[{}]", digits(15_000)),
        format!("[0.{}]", digits(14_998)),
        format!("[{}e999]", digits(14_996)),
        format!("[0.{}e-999]", digits(14_993)),
        "[1E+999, -1e-999, 0e-999, -0]".into(),
        format!("[{}]", vec!["1e999"; 40_000].join(",")),
        r#"{"\ud83d\ude00":"\uDBFF\uDFFF \\u0000 \\ud800 \ufffe"}"#.into(),
    ];
    texts.extend((1..0xD800).step_by(97).map(escape));
    for text in &texts {
        assert!(
            Raw::parse_storable(text).is_some(),
            "kept as text: {text:.60}"
        );
        assert_eq!(store(&db, text).await, Ok(()), "{text:.60}");
    }

    #[rustfmt::skip] // one row per kind
    let refused = [
        (nested(200_000), "54001"),
        ("[1e400000]".into(), "22003"), ("[1e-16384]".into(), "22003"), ("[0e-16384]".into(), "22003"),
        (format!("[{}]", digits(131_073)), "22003"), (format!("[0.{}]", digits(16_384)), "22003"),
        (r#"["\u0000"]"#.into(), "22P05"), (r#"{"\u0000":1}"#.into(), "22P05"), (r#"["\\\u0000"]"#.into(), "22P05"),
        (r#"["\ud800"]"#.into(), "22P02"), (r#"["\udfff"]"#.into(), "22P02"), (r#"["\ud800\ud800"]"#.into(), "22P02"),
        (r#"["\ud800x\udc00"]"#.into(), "22P02"), (r#"["\udc00\ud800"]"#.into(), "22P02"), (r#"["\ud800\u0041"]"#.into(), "22P02"),
    ];
    for (text, state) in refused {
        assert_eq!(store(&db, &text).await, Err(state.into()), "{text:.60}");
        assert!(
            Raw::parse_storable(&text).is_none(),
            "kept as JSON: {text:.60}"
        );
        let as_text = serde_json::to_string(&text).unwrap();
        assert_eq!(store(&db, &as_text).await, Ok(()), "{text:.60}");
        let is_kept = "select result #>> '{}' = $1 from supaqueue.job";
        let row = db.client().query_one(is_kept, &[&text]).await.unwrap();
        assert!(row.get::<_, bool>(0), "{text:.60}");
    }
}

#[tokio::test]
async fn the_deepest_json_that_core_keeps_is_stored_with_a_tenth_of_the_stack() {
    let db = Db::new().await;
    let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
    assert!(Raw::parse_storable(&deep).is_some());
    let client = db.database().connect_as_admin().await.unwrap();
    supaqueue_tests::run(&client, "set max_stack_depth = '200kB'").await;
    supaqueue_tests::run(&client, &format!("select '{deep}'::jsonb")).await;
}
