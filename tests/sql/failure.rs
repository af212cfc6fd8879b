//! Failed jobs by cause: `error_group` and the view `failure`.

use supaqueue_tests::protocol::{NONE, RUN, acknowledge_all, current_job_of, fail};
use supaqueue_tests::{Db, rows_read};

#[tokio::test]
async fn an_error_group_has_no_ids_numbers_or_quoted_text() {
    let db = Db::new().await;
    for (status, message, want) in [
        (
            "500",
            "cannot read property \"x\" of user 42",
            "500 cannot read property … of user …",
        ),
        (
            "500",
            "cannot read property 'y' of user 3b241101-e2bb-4255-8caf-4136c566a962",
            "500 cannot read property … of user …",
        ),
        (
            "null",
            "can't open user's file: it's gone",
            "can't open user's file: it's gone",
        ),
        ("404", "  no\n\tspace   left ", "404 no space left"),
        ("null", "timed out after 60000 ms", "timed out after … ms"),
        (
            "null",
            "GET https://api.example.com/users/123/orders?since=2026-01-01&page=2 failed",
            "GET https://api.example.com/users/…/orders?… failed",
        ),
        (
            "null",
            "mail to jo.e+x@example.co.uk bounced at 2026-11-30T03:00:00.123Z",
            "mail to … bounced at …",
        ),
        ("null", "connect 10.0.0.1:5432 refused", "connect … refused"),
        (
            "null",
            "no customer cus_9s8df7aBc, object 0xdeadbeef, `t` is „leer“",
            "no customer …, object …, … is …",
        ),
        (
            "null",
            "token eyJhbGciOiJIUzIxNiIsInR5cCI6IkpXVCJ9.abcdefghijklmnopqrstuvwxyzabcdefgh.x",
            "token ….x",
        ),
        ("503", "", "503 no message"),
        ("null", "\u{202e}\u{200f}\u{1}", "no message"),
        (
            "null",
            "Ünïcödé \u{202e}text\u{2028}stays",
            "Ünïcödé text stays",
        ),
    ] {
        let sql = format!("select supaqueue.error_group({status}, $m${message}$m$)");
        assert_eq!(db.get(&sql).await, want, "{message}");
    }
    let null = "select supaqueue.error_group(null, null), supaqueue.error_group(500, null)";
    assert_eq!(db.get(null).await, "no message|500 no message");
}

#[tokio::test]
async fn hostile_messages_take_no_time_and_give_short_groups() {
    let db = Db::new().await;
    db.run("set statement_timeout = '2s'").await;
    for part in [
        "a", "a1 ", "\"", "'", "a@", "://?", "…-", "…", "ä", " \n", "a.b@c.d ",
    ] {
        let sql = format!(
            "select length(g) <= 200, g = supaqueue.error_group(500, g || '') is not null
             from (select supaqueue.error_group(500, repeat($m${part}$m$, 5000000 / octet_length($m${part}$m$))) as g) e"
        );
        assert_eq!(db.get(&sql).await, "t|t", "{part:?}");
    }
}

#[tokio::test]
async fn a_failed_job_has_a_group_until_it_is_retried() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("update supaqueue.queue set max_attempts = 2, backoff_base_ms = 0, backoff_max_ms = 0")
        .await;
    db.run("select supaqueue.enqueue('q')").await;
    db.run(&acknowledge_all(RUN)).await;
    let group = "select status, error_group from supaqueue.job";
    db.run(&fail(&current_job_of("q"), RUN, NONE)).await;
    db.run("update supaqueue.job set run_at = now(); call supaqueue.tick()")
        .await;
    assert_eq!(
        db.get(group).await,
        "in_progress|null",
        "it has an attempt left"
    );
    db.run(&acknowledge_all(RUN)).await;
    db.run(&fail(&current_job_of("q"), RUN, NONE)).await;
    assert_eq!(db.get(group).await, "failed|500 no");
    db.run("update supaqueue.job set status = 'waiting'").await;
    assert_eq!(db.get(group).await, "waiting|null");
    db.run("update supaqueue.job set status = 'cancelled'")
        .await;
    assert_eq!(db.get(group).await, "cancelled|null");
    // Of the last attempt only, and whatever errors holds.
    for (errors, want) in [
        (
            r#"[{"status": 500, "message": "a"}, {"message": "b 1"}]"#,
            "b …",
        ),
        (r#"[{"status": "x", "message": {"c": 1}}]"#, r#"{…: …}"#),
        (r#"[7]"#, "no message"),
        ("[]", "no message"),
    ] {
        db.run(&format!("insert into supaqueue.job (queue, status, errors) select id, 'failed', '{errors}' from supaqueue.queue")).await;
        let last = "select error_group from supaqueue.job order by position desc limit 1";
        assert_eq!(db.get(last).await, want, "{errors}");
    }
}

#[tokio::test]
async fn starting_a_job_is_still_a_heap_only_update() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("update supaqueue.queue set is_paused = true; select supaqueue.enqueue('q')")
        .await;
    db.run("begin; update supaqueue.queue set is_paused = false; set constraints all immediate")
        .await;
    assert_eq!(
        db.get("select n_tup_upd, n_tup_hot_upd from pg_stat_xact_user_tables where schemaname = 'supaqueue' and relname = 'job'").await,
        "1|1"
    );
    db.run("commit").await;
}

/// Failed jobs of q with these messages, in this order.
async fn failed(db: &Db, message: &str, jobs: &str) {
    db.run(&format!(
        "insert into supaqueue.job (queue, status, finished_at, errors)
         select supaqueue.queue_id('q'), 'failed', now() - interval '1 day' + i * interval '1 second',
           jsonb_build_array(jsonb_build_object('message', {message}, 'status', 500))
         from generate_series({jobs}) i"
    ))
    .await;
}

#[tokio::test]
async fn failures_are_groups_with_their_last_job() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.queue("other", 0).await;
    failed(&db, "'no user ' || i", "1, 30").await;
    failed(&db, "'boom'", "100, 104").await;
    db.run("insert into supaqueue.job (queue, status) select id, s from supaqueue.queue, unnest(array['successful', 'cancelled', 'pending']) s").await;
    let failures = "select queue, error_group, jobs, first_at = now() - interval '1 day' + f * interval '1 second' is not null, last_at - first_at,
        (select j.finished_at = last_at from supaqueue.job j where j.id = last_job), http_status, message
      from supaqueue.failure, (values (1)) v (f)";
    assert_eq!(
        db.get(failures).await,
        "q|500 boom|5|t|00:00:04|t|500|boom\nq|500 no user …|30|t|00:00:29|t|500|no user 30"
    );
    db.run("delete from supaqueue.job where error_group = '500 boom'")
        .await;
    assert_eq!(
        db.get("select error_group, jobs from supaqueue.failure")
            .await,
        "500 no user …|30"
    );
    assert_eq!(
        db.get("select count(*) from supaqueue.failures('other')")
            .await,
        "0"
    );
    let api = db.database().connect_as("service_role").await.unwrap();
    let all = "select count(*) from supaqueue.failure";
    assert_eq!(supaqueue_tests::get(&api, all).await, "1");
}

#[tokio::test]
async fn with_many_groups_the_latest_ones_are_there_and_the_rest_is_bounded() {
    let db = Db::new().await;
    db.queue("q", 0).await;
    db.queue("other", 0).await;
    let words = "translate('a' || i, '0123456789', 'zyxwvutsrq')";
    failed(&db, words, "1, 6000").await;
    // The last one by name, and the last to fail.
    failed(&db, "'zzzz'", "7000, 7000").await;
    db.run("insert into supaqueue.job (queue, status, finished_at) select supaqueue.queue_id('other'), 'failed', now() - interval '1 year'").await;
    assert_eq!(
        db.get("select count(*) from supaqueue.failure").await,
        "1000",
        "in all"
    );
    assert_eq!(
        db.get("select error_group from supaqueue.failure limit 1")
            .await,
        "500 zzzz"
    );
    let other = "select queue, jobs from supaqueue.failures('other')";
    assert_eq!(db.get(other).await, "other|1");
    db.run("analyze supaqueue.job").await;
    let read = rows_read(
        db.client(),
        "'job'",
        "select * from supaqueue.failures(max_groups => 10)",
    )
    .await;
    assert!(read < 3000, "{read} rows are read for ten groups");
}
