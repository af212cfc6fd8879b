//! Payloads reach the target byte for byte as `jsonb` stores them.

use crate::stack::test;

/// JSON texts as a user would insert them.
fn payloads() -> Vec<String> {
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let control: String = (1..0x20).map(|code| format!("\\u{code:04x}")).collect();
    vec![
        // Numbers that no float can represent.
        r#"{"digits": 123456789012345678901234567890, "fraction": 0.1000000000000000000000000000010, "huge": 1e400, "zero": -0.0}"#.into(),
        // Characters of two to four bytes, combining, right to left, non-characters, JavaScript's line terminators.
        "{\"é\": \"ÿ ß 中文 😀 e\u{301} עברית \u{202e} \u{feff} \u{ffff} \u{10ffff} \u{2028} \u{2029} \u{7f} \u{80}\"}".into(),
        // The same as escapes, including surrogate pairs and escapes that jsonb keeps.
        r#"{"escapes": "\u00e9 \ud83d\ude00 \u2028 \\ \" \/ \b\f\n\r\t \\u0041 \\n", "": {"": ""}}"#.into(),
        format!(r#"{{"control": "{control}"}}"#),
        format!(r#"{{"deep": {}}}"#, deep(1000)),
        format!(r#"{{"long": "{}"}}"#, "x".repeat(1_000_000)),
        format!(r#"{{"wide": "{}"}}"#, "😀".repeat(250_000)),
        // Keys of our own records, and keys that are special in JavaScript.
        r#"{"job": {"payload": 1}, "current_jobs": [], "__proto__": {"x": 1}, "toJSON": 1, "constructor": null}"#.into(),
        r#"{"same": 1, "same": 2, "b": 1, "aa": 2}"#.into(),
        // Values that are not objects.
        r#""a text""#.into(),
        "12345678901234567890".into(),
        "[]".into(),
        "{}".into(),
        "false".into(),
    ]
}

#[test]
fn a_payload_arrives_exactly_as_stored() {
    test(async |project| {
        // With one worker, all but the first come with a report; with a worker per job, all come through pg_net.
        let payloads = payloads();
        for (queue, workers) in [("one_by_one", 1), ("all_at_once", 20)] {
            project.queue(queue, "hash-payload", workers, "").await;
            let insert = "select supaqueue.enqueue_many($1, array(select text::jsonb from unnest($2::text[]) as text))";
            let inserted = project.client.execute(insert, &[&queue, &payloads]).await;
            inserted.unwrap();
            project.finished(queue).await;
            // Those that arrive changed.
            let different = format!(
                "select left(j.payload::text, 100), j.status, j.errors, j.result, octet_length(j.payload::text)
                 from supaqueue.job j
                 where j.queue = supaqueue.queue_id('{queue}') and j.result is distinct from jsonb_build_object(
                   'bytes', octet_length(j.payload::text),
                   'sha256', encode(sha256(convert_to(j.payload::text, 'UTF8')), 'hex'))"
            );
            project.assert_rows(&different, "").await;
        }
        let jobs = "select count(*) from supaqueue.job j join supaqueue.queue q on q.id = j.queue
             where q.name in ('one_by_one', 'all_at_once') and j.status = 'successful' and j.attempts = 1";
        let want = (2 * payloads.len()).to_string();
        project.assert_rows(jobs, &want).await;
    });
}
