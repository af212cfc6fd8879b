//! What cannot work is refused when it is written, with the reason and what to write instead.

use crate::database;

#[tokio::test]
async fn a_cron_expression_is_refused_with_the_field_that_is_wrong() {
    let db = database().await;
    for (cron, want) in [
        (
            "61 * * * *",
            "its minute has '61', which is not between 0 and 59;",
        ),
        (
            "0 24 * * *",
            "its hour has '24', which is not between 0 and 23;",
        ),
        (
            "0 0 0 * *",
            "its day of the month has '0', which is not between 1 and 31;",
        ),
        (
            "0 0 32 * *",
            "its day of the month has '32', which is not between 1 and 31;",
        ),
        (
            "0 0 * 13 *",
            "its month has '13', which is not between 1 and 12;",
        ),
        (
            "0 0 * * 8",
            "its day of the week has '8', which is not between 0 and 7;",
        ),
        (
            "0 0 * foo *",
            "its month has 'foo', which is not a number or a name (feb), a range (feb-apr)",
        ),
        (
            "0 0 * * monday",
            "its day of the week has 'monday', which is not a number or a name (mon)",
        ),
        (
            "0 0 ? * *",
            "its day of the month has '?', which is not a number",
        ),
        (
            "0 0 * * 5#2",
            "its day of the week has '5#2', which is not a number",
        ),
        ("1,,2 * * * *", "its minute has '', which is not a number"),
        ("5- * * * *", "its minute has '5-', which is not a number"),
        (
            "0 22-2 * * *",
            "its hour has '22-2', a range that ends before it begins; Write two ranges: 22-23,0-2.",
        ),
        (
            "5/15 * * * *",
            "its minute has '5/15', a step without a range; Write 5-59/15.",
        ),
        (
            "*/0 * * * *",
            "its minute has '*/0', a step that is not between 1 and 59;",
        ),
        (
            "*/90 * * * *",
            "its minute has '*/90', a step that is not between 1 and 59; For longer times than a field has, use every",
        ),
        (
            "* * * * * *",
            "it has 6 fields, not 5; Seconds have no field: use every",
        ),
        ("* * *", "it has 3 fields, not 5; Fields: minute hour"),
        ("", "it has 0 fields, not 5;"),
        ("@reboot", "@reboot is not known; Known are @hourly"),
        ("@every 5m", "@every 5m is not known;"),
    ] {
        let quoted = cron.replace('\'', "''");
        for statement in [
            format!("select supaqueue.schedule('s', 'q', '{quoted}')"),
            format!("select supaqueue.next_times('{quoted}')"),
            format!(
                "insert into supaqueue.schedule (name, queue, cron) values ('s', supaqueue.queue_id('q'), '{quoted}')"
            ),
        ] {
            let refusal = db.refusal(&statement).await;
            let want = format!("cannot read the cron expression '{quoted}': {want}");
            assert!(
                refusal.starts_with(&want),
                "{statement}\n {refusal}\n {want}"
            );
            assert!(refusal.contains("supaqueue.next_times("), "{refusal}");
        }
    }
    assert_eq!(db.get("select count(*) from supaqueue.schedule").await, "0");
}

#[tokio::test]
async fn a_schedule_is_refused_with_the_reason() {
    let db = database().await;
    for (arguments, want) in [
        (
            "'0 0 30 2 *'",
            "cannot store the schedule 's': its cron expression '0 0 30 2 *' names a day that does not exist; No month",
        ),
        (
            "'0 0 31 4,6,9,11 *'",
            "cannot store the schedule 's': its cron expression '0 0 31 4,6,9,11 *' names a day that does not exist; No month",
        ),
        (
            "'@daily', timezone => 'Mars/Olympus'",
            "there is no time zone named 'Mars/Olympus'; Names are like UTC or Europe/Berlin",
        ),
        (
            "'@daily', timezone => 'UTC+2'",
            "there is no time zone named 'UTC+2';",
        ),
        (
            "'@daily', timezone => null",
            "there is no time zone named null;",
        ),
        (
            "null",
            "cannot store the schedule 's': it has neither cron nor every; give it one of them",
        ),
        (
            "'@daily', every => '1 day'",
            "cannot store the schedule 's': it has both cron and every; give it one of them",
        ),
        (
            "every => '999 ms'",
            "cannot store the schedule 's': its every is less than a second",
        ),
        (
            "every => '1 month'",
            "cannot store the schedule 's': its every has months or years",
        ),
        ("'@daily', missed => 'some'", "missed_is_last_all_or_none"),
        (
            "'@daily', overlap => 'stop'",
            "overlap_is_skip_allow_or_replace",
        ),
        (
            "'@daily', catch_up_within => '-1 s'",
            "catch_up_within_is_between_0_and_1000_years",
        ),
        (
            "'@daily', spread => '2 days'",
            "spread_is_between_0_and_1_day",
        ),
        (
            "'@daily', pause_after_failures => 0",
            "pause_after_failures_is_between_1_and_50",
        ),
        ("'@daily', payload => 'null'", "payload_is_not_json_null"),
        (
            "'@daily', headers => '{\"a\": 1}'",
            "headers_are_an_object_of_strings",
        ),
        (
            "'@daily', path => '../x'",
            "path_has_no_leading_slash_and_no_empty_or_dot_segments",
        ),
        (
            "'@daily', timeout_ms => 150001",
            "timeout_is_between_1_ms_and_150_seconds",
        ),
        (
            "'@daily', max_attempts => 0",
            "max_attempts_is_between_1_and_1000000",
        ),
        ("'@daily', key => ''", "key_is_of_1_to_2000_bytes"),
    ] {
        let refusal = db
            .refusal(&format!("select supaqueue.schedule('s', 'q', {arguments})"))
            .await;
        assert!(refusal.starts_with(want), "{arguments}\n {refusal}");
    }
    for (statement, want) in [
        (
            "select supaqueue.schedule('s', 'nothing', '@daily')",
            "there is no queue named 'nothing'; Create it",
        ),
        (
            "select supaqueue.schedule('', 'q', '@daily')",
            "name_is_not_empty",
        ),
        (
            "select supaqueue.run_schedule('nothing')",
            "there is no schedule named 'nothing'; Those there are",
        ),
        (
            "select supaqueue.backfill('nothing', now())",
            "there is no schedule named 'nothing';",
        ),
        (
            "select supaqueue.next_times('@daily', 'Berlin')",
            "there is no time zone named 'Berlin';",
        ),
    ] {
        let refusal = db.refusal(statement).await;
        assert!(refusal.starts_with(want), "{statement}\n {refusal}");
    }
}

#[tokio::test]
async fn a_change_that_is_refused_leaves_the_schedule_as_it_was() {
    let db = database().await;
    db.run("select supaqueue.schedule('s', 'q', '0 3 * * *')")
        .await;
    let before = db.get("select * from supaqueue.schedule").await;
    db.refusal("update supaqueue.schedule set cron = '0 3 * *'")
        .await;
    db.refusal("update supaqueue.schedule set timezone = 'Berlin'")
        .await;
    db.refusal("select supaqueue.schedule('s', 'q', '0 0 31 2 *')")
        .await;
    assert_eq!(db.get("select * from supaqueue.schedule").await, before);
}
