//! `supaqueue status`, and `pause` and `resume`.

use nix::sys::signal::Signal;
use serde_json::Value;
use supaqueue_tests::Db;
use supaqueue_tests::protocol::{NONE, RUN, acknowledge_all, current_job_of, fail, succeed};

use crate::program::{HOSTILE, Running, assert_harmless, command, cut_connections, supaqueue};

/// Ends the only call of a queue's, a minute ago as the counting of minutes sees it.
async fn end(db: &Db, queue: &str, is_successful: bool) {
    db.run(&acknowledge_all(RUN)).await;
    let call = current_job_of(queue);
    let end = if is_successful { succeed } else { fail };
    db.run(&end(&call, RUN, NONE)).await;
}

/// Two queues with some past.
async fn busy(db: &Db) {
    db.queue("emails", 2).await;
    db.queue("invoices", 1).await;
    db.run("update supaqueue.queue set max_attempts = 1 where name = 'invoices'")
        .await;
    db.run("select supaqueue.enqueue('emails')").await;
    end(db, "emails", true).await;
    db.run("select supaqueue.enqueue('invoices')").await;
    end(db, "invoices", false).await;
    db.run("update supaqueue.job set finished_at = finished_at - interval '1 minute'")
        .await;
    db.tick().await;
    db.run(
        "select supaqueue.enqueue('emails') from generate_series(1, 5);
         select supaqueue.enqueue('emails', run_at => now() + interval '1 hour');",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn problems_come_first_and_make_the_exit_status_1() {
    let db = Db::new().await;
    busy(&db).await;
    let run = supaqueue(&db, &["status"]).await;
    run.assert(
        0,
        &[
            "no problems",
            "QUEUE",
            "BUSY",
            "DUE",
            "LATER",
            "OK",
            "FAILED",
            "emails",
            "2/2",
            "invoices",
            "0/1",
        ],
    );
    db.run("select supaqueue.set_workers('invoices', 0); select supaqueue.enqueue('invoices')")
        .await;
    let run = supaqueue(&db, &["status"]).await;
    run.assert(
        1,
        &[
            "problem  queue invoices: the queue has no workers",
            "→ Run: select supaqueue.set_workers('invoices', 1);",
            "QUEUE",
        ],
    );
    // Those of other queues are not those of this one.
    supaqueue(&db, &["status", "emails"])
        .await
        .assert(0, &["no problems"]);
    supaqueue(&db, &["status", "invoices"])
        .await
        .assert(1, &["the queue has no workers"]);

    db.run("select cron.unschedule('supaqueue_tick')").await;
    let url = db.database().url();
    let run = supaqueue(&db, &["status", "emails"]).await;
    run.assert(1, &["problem  the tick is not scheduled"]);
    assert!(
        !run.out.contains("<ref>") && url.contains("127.0.0.1"),
        "{}",
        run.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_shown_in_detail() {
    let db = Db::new().await;
    busy(&db).await;
    db.run(
        "insert into supaqueue.queue (name, edge_function_name) values ('plain', 'hello');
         update supaqueue.queue set timeout_ms = 1234, final_statuses = '{404,410}' where name = 'emails'",
    )
    .await;
    let run = supaqueue(&db, &["status", "emails"]).await;
    run.assert(
        0,
        &[
            "emails → hello",
            "2 of 2 busy",
            "3 due, 1 later",
            "1 successful, 0 failed",
            "p50/p95",
            "final_statuses {404,410} (default {}), timeout_ms 1234 (default 60000)",
            "oldest due",
            "All workers of its queue are busy (2 of 2), and 0 due jobs are before it",
        ],
    );
    supaqueue(&db, &["status", "invoices"])
        .await
        .assert(0, &["│", "failures", "1 × 500 no; last"]);
    // What a queue has by default is no setting of it.
    let plain = supaqueue(&db, &["status", "plain"]).await;
    assert!(
        !plain.assert(0, &["plain → hello"]).out.contains("settings"),
        "{}",
        plain.out
    );
    supaqueue(&db, &["status", "nope"])
        .await
        .assert(2, &["has no queue nope", "Queues: emails, invoices, plain"]);
    // A name is a value, whatever it is.
    for command in ["status", "tail", "pause"] {
        supaqueue(&db, &[command, "it's\n:queue \\ $$ --"])
            .await
            .assert(2, &["has no queue it's\\n:queue \\ $$ --"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_one_document_whose_names_stay() {
    let db = Db::new().await;
    busy(&db).await;
    db.run("select cron.unschedule('supaqueue_tick')").await;
    let keys = |value: &Value| -> String {
        let keys = value.as_object().unwrap().keys().map(String::as_str);
        keys.collect::<Vec<_>>().join(" ")
    };
    let run = supaqueue(&db, &["status", "--json"]).await;
    assert_eq!(run.status, Some(1));
    let document: Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(keys(&document), "at problems queues");
    assert_eq!(keys(&document["problems"][0]), "job problem queue remedy");
    let emails = &document["queues"][0];
    assert_eq!(
        keys(emails),
        "busy_workers detail due function held in_progress is_paused last_hour later name waiting workers"
    );
    assert_eq!(
        keys(&emails["last_hour"]),
        "cancelled failed retried run_ms started successful wait_ms"
    );
    assert_eq!((&emails["due"], &emails["later"]), (&3.into(), &1.into()));
    assert_eq!(emails["last_hour"]["successful"], 1);
    assert!(
        emails["last_hour"]["wait_ms"]["p95"].is_number(),
        "{emails}"
    );
    assert!(emails["detail"].is_null());
    let run = supaqueue(&db, &["status", "invoices", "--json"]).await;
    let document: Value = serde_json::from_str(&run.out).unwrap();
    let detail = &document["queues"][0]["detail"];
    assert_eq!(keys(detail), "failures minutes oldest_due settings");
    assert_eq!(detail["minutes"].as_array().unwrap().len(), 30);
    assert_eq!(detail["failures"][0]["jobs"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_fits_a_narrow_terminal_and_no_name_commands_it() {
    let db = Db::new().await;
    busy(&db).await;
    db.run(&format!(
        "insert into supaqueue.queue (name, edge_function_name) values ('{HOSTILE}', 'a-function-with-a-rather-long-name');
         select supaqueue.enqueue('{HOSTILE}')"
    ))
    .await;
    // A word that is longer than a line is not broken, so that it can be copied.
    for columns in [80, 50] {
        for words in [&["status"][..], &["status", HOSTILE]] {
            let running = Running::at_a_terminal(command(&db, words), columns);
            let (status, text) = running.ends().await;
            assert_eq!(status, Some(1), "{text}");
            // The spinner draws over itself on its line.
            let text = text
                .rsplit("\u{1b}[2K")
                .next()
                .unwrap()
                .trim_start_matches('\r');
            assert_harmless(text);
            assert!(text.contains("evil"), "{text}");
            for line in text.lines() {
                let width = console::measure_text_width(line.trim_end());
                let is_a_word = !line.trim().contains(' ');
                assert!(
                    width <= columns.into() || is_a_word,
                    "{width} columns: {line}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_redraws_in_place_survives_a_lost_connection_and_restores_the_terminal() {
    let db = Db::new().await;
    db.queue("first", 1).await;
    let watch = command(&db, &["status", "--watch", "--every", "1"]);
    let running = Running::at_a_terminal(watch, 80);
    let at = running.says("first", 0).await;
    assert!(
        running.text().contains("\u{1b}[?1049h"),
        "{}",
        running.text()
    );
    db.queue(HOSTILE, 1).await;
    let at = running.says("evil", at).await;
    cut_connections(&db).await;
    let at = running.says("lost", at).await;
    let at = running.says("trying again", at).await;
    db.queue("second", 1).await;
    running.says("second", at).await;
    running.is_sent(Signal::SIGINT);
    let (status, text) = running.ends().await;
    assert_eq!(status, Some(0), "{text}");
    let (_, end) = text.rsplit_once("second").unwrap();
    assert!(!end.contains("lost"), "{text}");
    assert!(
        text.ends_with("\u{1b}[?7h\u{1b}[?25h\u{1b}[?1049l"),
        "{text:?}"
    );
    // It never scrolls.
    let (_, drawn) = text.split_once("\u{1b}[?1049h").unwrap();
    for frame in drawn.split("\u{1b}[H") {
        assert!(frame.lines().count() <= 30, "{frame}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn watch_without_a_terminal_prints_one_block_after_another_until_nobody_reads() {
    let db = Db::new().await;
    db.queue("first", 1).await;
    let running = Running::start(command(
        &db,
        &["status", "first", "--watch", "--every", "1"],
    ));
    let at = running.says("first → hello", 0).await;
    running.says("first → hello", at).await;
    assert_harmless(&running.text());
    running.is_sent(Signal::SIGTERM);
    assert_eq!(running.ends().await.0, Some(0));

    let mut json = command(&db, &["status", "--watch", "--json", "--every", "1"])
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(json.stdout.take().unwrap()));
    for _ in 0..2 {
        let line = lines.next().unwrap().unwrap();
        let document: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(document["queues"][0]["name"], "first");
    }
    drop(lines);
    let status = tokio::task::spawn_blocking(move || json.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_supaqueue_is_named_with_what_to_do() {
    let db = Db::new().await;
    db.run("drop schema supaqueue cascade").await;
    for words in [
        &["status"][..],
        &["tail", "x"],
        &["pause", "x"],
        &["retry", "--queue", "x"],
    ] {
        let run = supaqueue(&db, words).await;
        run.assert(
            1,
            &[
                "Supaqueue is not installed in the database 127.0.0.1",
                "Run `supaqueue install --db-url",
            ],
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_is_paused_and_resumed_any_number_of_times() {
    let db = Db::new().await;
    busy(&db).await;
    let is_paused = "select is_paused from supaqueue.queue where name = 'emails'";
    let run = supaqueue(&db, &["pause", "emails"]).await;
    run.assert(
        0,
        &[
            "Queue emails is paused",
            "Calls in flight end normally: 2. Due: 3.",
            "supaqueue resume --db-url",
            "emails",
        ],
    );
    assert_eq!(db.get(is_paused).await, "t");
    supaqueue(&db, &["status"])
        .await
        .assert(0, &["emails (paused)"]);
    supaqueue(&db, &["pause", "emails"])
        .await
        .assert(0, &["was paused already"]);
    supaqueue(&db, &["resume", "emails"])
        .await
        .assert(0, &["is not paused any more"]);
    assert_eq!(db.get(is_paused).await, "f");
    supaqueue(&db, &["resume", "emails"])
        .await
        .assert(0, &["was not paused"]);
    supaqueue(&db, &["pause", "nope"])
        .await
        .assert(2, &["has no queue nope"]);
}
