//! `supaqueue job`.

use serde_json::Value;
use supaqueue_tests::Db;
use supaqueue_tests::protocol::{NONE, RUN, acknowledge_all, current_job_of, fail};

use crate::program::{HOSTILE, assert_harmless, supaqueue};

#[tokio::test(flavor = "multi_thread")]
async fn it_explains_first_and_shows_attempts_headers_and_payload() {
    let db = Db::new().await;
    db.queue("emails", 1).await;
    let id = db
        .get(&format!(
            "insert into supaqueue.job (queue, payload, headers, key, tenant)
             values (supaqueue.queue_id('emails'), jsonb_build_object('to', '{HOSTILE}', 'n', 12345678901234567890.10),
               '{{\"x-mine\": \"yes\"}}', '{HOSTILE}', 'acme')
             returning id"
        ))
        .await;
    db.run(&acknowledge_all(RUN)).await;
    supaqueue(&db, &["job", &id])
        .await
        .assert(0, &["It is running: attempt 1 of 3", "in progress since"]);
    db.run(&fail(&current_job_of("emails"), RUN, NONE)).await;
    let run = supaqueue(&db, &["job", &id]).await;
    run.assert(
        0,
        &[
            "It is due at",
            "job           ",
            &id,
            "queue         emails",
            "pending, 1 attempt,",
            "tenant        acme",
            "evil",
            "attempt 1     failed",
            "x-mine: yes",
            "payload",
            "12345678901234567890.10",
        ],
    );
    assert_harmless(&run.out);
    assert!(run.out.starts_with("It is due at"), "{}", run.out);

    let run = supaqueue(&db, &["job", &id, "--payload"]).await;
    assert_eq!(run.status, Some(0));
    assert_eq!(
        run.out.trim_end(),
        db.get("select payload::text from supaqueue.job").await
    );
    let run = supaqueue(&db, &["job", &id.to_uppercase(), "--json"]).await;
    let document: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(document["job"]["id"], id.as_str());
    assert_eq!(document["queue"], "emails");
    assert!(
        document["job"]["payload_text"]
            .as_str()
            .unwrap()
            .contains("12345678901234567890.10")
    );
    assert_eq!(document["attempts"][0]["attempt"], 1);

    let other = "00000000-0000-4000-8000-000000000000";
    for words in [
        &["job", other][..],
        &["job", other, "--payload"],
        &["job", other, "--json"],
    ] {
        supaqueue(&db, words).await.assert(1, &["has no job 0000"]);
    }
    supaqueue(&db, &["job", "1"])
        .await
        .assert(2, &["not the id of a job"]);
}
