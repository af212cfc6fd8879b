//! `supaqueue tail`.

use nix::sys::signal::Signal;
use serde_json::Value;
use supaqueue_tests::protocol::{NONE, RUN, acknowledge_all, current_job_of, fail, succeed};
use supaqueue_tests::{Db, Session};

use crate::program::{HOSTILE, Running, assert_harmless, command, cut_connections, supaqueue};

/// Starts it, and waits until it follows the queue.
async fn tail(db: &Db, words: &[&str]) -> Running {
    let mut all = vec!["tail", "emails"];
    all.extend(words);
    let running = Running::start(command(db, &all));
    running.says("Ctrl-C ends this.", 0).await;
    running
}

#[tokio::test(flavor = "multi_thread")]
async fn starts_failed_attempts_and_ends_are_lines() {
    let db = Db::new().await;
    db.queue("emails", 2).await;
    db.run("update supaqueue.queue set backoff_base_ms = 0, backoff_max_ms = 0, max_attempts = 2")
        .await;
    // Before: not told.
    db.run("select supaqueue.enqueue('emails')").await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(&succeed(&current_job_of("emails"), RUN, NONE)).await;

    let running = tail(&db, &[]).await;
    let failures = tail(&db, &["--failed", "--json"]).await;
    let id = db.get("select supaqueue.enqueue('emails')").await;
    db.run(&acknowledge_all(RUN)).await;
    let at = running.says(&format!("{id} started    #1"), 0).await;
    db.run(&fail(&current_job_of("emails"), RUN, NONE)).await;
    let at = running.says(&format!("{id} retry      #1"), at).await;
    db.tick().await;
    db.run(&acknowledge_all(RUN)).await;
    let at = running.says(&format!("{id} started    #2"), at).await;
    db.run(&fail(&current_job_of("emails"), RUN, NONE)).await;
    let at = running.says(&format!("{id} failed     #2"), at).await;
    let other = db
        .get("select supaqueue.enqueue('emails', run_at => now() + interval '1 hour')")
        .await;
    db.run(&format!(
        "update supaqueue.job set status = 'cancelled' where id = '{other}'"
    ))
    .await;
    running.says(&format!("{other} cancelled  #0"), at).await;
    failures.says("\"event\":\"failed\"", 0).await;
    for running in [running, failures] {
        running.is_sent(Signal::SIGINT);
        let (status, text) = running.ends().await;
        assert_eq!(status, Some(0), "{text}");
        let lines: Vec<_> = text.lines().skip(1).collect();
        match lines[0].starts_with('{') {
            false => assert_eq!(lines.len(), 5, "{text}"),
            true => {
                let events: Vec<Value> = lines
                    .iter()
                    .map(|line| serde_json::from_str(line).unwrap())
                    .collect();
                let words: Vec<_> = events
                    .iter()
                    .map(|event| (event["event"].as_str(), event["attempt"].as_i64()))
                    .collect();
                assert_eq!(
                    words,
                    [(Some("retry"), Some(1)), (Some("failed"), Some(2))],
                    "{text}"
                );
                assert_eq!(events[0]["id"], id.as_str());
            }
        }
    }
    supaqueue(&db, &["tail", "nope"])
        .await
        .assert(2, &["has no queue nope"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_end_is_lost_or_repeated_though_it_commits_late_or_the_connection_is_cut() {
    let db = Db::new().await;
    db.queue("emails", 1).await;
    db.run("select supaqueue.enqueue('emails', run_at => now() + interval '1 hour') from generate_series(1, 30)").await;
    let ids = db
        .get("select id from supaqueue.job order by position")
        .await;
    let ids: Vec<&str> = ids.lines().collect();
    let cancel =
        |id: &str| format!("update supaqueue.job set status = 'cancelled' where id = '{id}'");
    let running = tail(&db, &[]).await;
    // One that ends first and commits last: many are told before.
    let late = Session::new(&db).await;
    late.run("begin").await;
    late.run(&cancel(ids[0])).await;
    for id in &ids[1..8] {
        db.run(&cancel(id)).await;
        running.says(id, 0).await;
    }
    late.run("commit").await;
    running.says(ids[0], 0).await;
    cut_connections(&db).await;
    let at = running.says("trying again", 0).await;
    for id in &ids[8..] {
        db.run(&cancel(id)).await;
    }
    running.says("connected again", at).await;
    for id in &ids {
        running.says(id, 0).await;
    }
    // More than are read at once.
    let many = db
        .get(
            "insert into supaqueue.job (queue, status)
             select supaqueue.queue_id('emails'), 'cancelled' from generate_series(1, 6000) returning id",
        )
        .await;
    let last = many.lines().last().unwrap();
    running.says(last, 0).await;
    running.is_sent(Signal::SIGTERM);
    let (status, text) = running.ends().await;
    assert_eq!(status, Some(0));
    let mut told: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .collect();
    told.retain(|word| word.len() == 36);
    told.sort_unstable();
    let mut ended: Vec<&str> = ids.into_iter().chain(many.lines()).collect();
    ended.sort_unstable();
    assert!(
        told == ended,
        "{} lines for {} ends",
        told.len(),
        ended.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_commands_the_terminal_and_a_closed_pipe_ends_it() {
    let db = Db::new().await;
    db.queue("emails", 1).await;
    db.run("update supaqueue.queue set max_attempts = 1").await;
    let running = tail(&db, &[]).await;
    let mut unread = command(&db, &["tail", "emails"]).spawn().unwrap();
    drop(unread.stdout.take());
    let mut said = std::io::BufReader::new(unread.stderr.take().unwrap());
    std::io::BufRead::read_line(&mut said, &mut String::new()).unwrap();
    db.run("select supaqueue.enqueue('emails')").await;
    db.run(&acknowledge_all(RUN)).await;
    let call = current_job_of("emails");
    db.run(&format!(
        "select public.end_current_job({call}, true, false, jsonb_build_object('run', '{RUN}', 'error', jsonb_build_object('message', '{HOSTILE}')))"
    ))
    .await;
    running.says("evil", 0).await;
    assert_harmless(&running.text());
    let status = tokio::task::spawn_blocking(move || unread.wait().unwrap())
        .await
        .unwrap();
    assert_eq!(status.code(), Some(0));
}
