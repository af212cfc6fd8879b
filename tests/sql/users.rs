//! What users' code and users' statements meet: their own settings, their own rights, and statements
//! that do what can be done.

use supaqueue_tests::protocol::{
    ANY, LOSE_CALLS, NONE, RUN, acknowledge, acknowledge_all, current_job_of, fail, succeed,
};
use supaqueue_tests::{Db, refusal, run};

#[tokio::test]
async fn a_users_trigger_sees_the_settings_of_its_session() {
    let db = Db::new().await;
    db.run(
        "create table public.seen (at text, plans text, finds_public boolean);
         create function public.look() returns trigger language plpgsql as $$
         begin
           insert into seen
           select tg_op, concat_ws(' ', current_setting('enable_seqscan'), current_setting('enable_bitmapscan'),
             current_setting('enable_hashjoin'), current_setting('enable_mergejoin'), current_setting('enable_nestloop'),
             current_setting('enable_sort'), current_setting('jit'), current_setting('plan_cache_mode'),
             current_setting('lock_timeout'), current_setting('statement_timeout')),
             'public' = any (current_schemas(false));
           return coalesce(new, old);
         end $$;
         create trigger look before insert or update or delete on supaqueue.job for each row execute function public.look();
         create trigger look_again after insert or update or delete on supaqueue.job for each row execute function public.look()",
    )
    .await;
    db.queue("q", 1).await;
    db.run("update supaqueue.queue set keep_successful_for = '0', backoff_base_ms = 0, backoff_max_ms = 0").await;
    db.run("select supaqueue.enqueue_many('q', '{1,2,3}')")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(&succeed(&current_job_of("q"), RUN, ANY)).await;
    db.run(&fail(&current_job_of("q"), RUN, ANY)).await;
    db.run(LOSE_CALLS).await;
    // What ended a moment ago is not counted yet, and deleted only then.
    db.run("update supaqueue.job set finished_at = finished_at - interval '1 minute' where finished_at is not null")
        .await;
    db.tick().await;
    db.run("update supaqueue.current_job set is_complete = true, is_successful = true")
        .await;
    for keys in [
        "update supaqueue.queue set is_paused = true, key_held = 'successful', key_held_for = '1 hour'",
        "select supaqueue.enqueue('q', key => 'a', on_conflict => way) from unnest(array['keep', 'replace', 'merge']) way",
        "update supaqueue.job set status = 'failed' where key = 'a'",
        "update supaqueue.job set status = 'pending' where key = 'a'",
        "update supaqueue.job set status = 'successful' where key = 'a'",
        "update supaqueue.job set key_held_until = now() where key = 'a'",
        "select supaqueue.enqueue('q', key => 'a')",
    ] {
        db.run(keys).await;
    }
    assert_eq!(
        db.get("select distinct plans, finds_public from public.seen")
            .await,
        "on on on on on on on auto 0 0|t"
    );
    assert_eq!(
        db.get("select string_agg(distinct at, ' ' order by at) from public.seen")
            .await,
        "DELETE INSERT UPDATE",
        "the tick has deleted the first job"
    );
}

#[tokio::test]
async fn no_setting_of_ours_stays_in_a_session() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let settings = "select string_agg(name || '=' || setting, ' ' order by name) from pg_settings where name !~ '^supaqueue'";
    let before = db.get(settings).await;
    db.run("begin; select supaqueue.enqueue('q'); set constraints all immediate")
        .await;
    assert_eq!(db.get(settings).await, before);
    db.run("commit").await;
    db.run(&succeed(&current_job_of("q"), RUN, ANY)).await;
    db.tick().await;
    assert_eq!(db.get(settings).await, before);
}

#[tokio::test]
async fn authenticated_inserts_jobs_where_the_developer_allows_it() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run(
        "grant usage on schema supaqueue to authenticated;
         grant insert on supaqueue.job to authenticated;
         create policy theirs on supaqueue.job for insert to authenticated with check (payload ->> 'user' = 'me')",
    )
    .await;
    let id = db.get("select supaqueue.queue_id('q')").await;
    let user = db.database().connect_as("authenticated").await.unwrap();
    let insert = |who: &str| {
        format!(
            "insert into supaqueue.job (queue, payload) values ('{id}', '{{\"user\": \"{who}\"}}')"
        )
    };
    run(&user, &insert("me")).await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress"
    );
    run(&user, &insert("me")).await;
    assert!(
        refusal(&user, &insert("you"))
            .await
            .contains("row-level security")
    );
    for statement in [
        "select * from supaqueue.job",
        "select * from supaqueue.ready_job",
        "update supaqueue.job set status = 'cancelled'",
    ] {
        assert!(
            refusal(&user, statement)
                .await
                .contains("permission denied"),
            "{statement}"
        );
    }
}

#[tokio::test]
async fn enqueue_tells_an_end_user_what_the_developer_has_to_do() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run(
        "create table public.orders (id integer);
         grant insert on public.orders to authenticated;
         create function public.on_order() returns trigger language plpgsql as $$ begin perform supaqueue.enqueue('q'); return new; end $$;
         create trigger on_order after insert on public.orders for each row execute function public.on_order()",
    )
    .await;
    let user = db.database().connect_as("authenticated").await.unwrap();
    assert!(
        refusal(&user, "insert into public.orders values (1)")
            .await
            .contains("permission denied")
    );
    db.run("alter function public.on_order security definer; alter function public.on_order set search_path = ''").await;
    run(&user, "insert into public.orders values (1)").await;
    assert_eq!(
        db.get("select status from supaqueue.job").await,
        "in_progress"
    );
}

#[tokio::test]
async fn service_role_cannot_write_what_the_engine_keeps() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    db.run("select supaqueue.enqueue('q')").await;
    let api = db.database().connect_as("service_role").await.unwrap();
    for statement in [
        "update supaqueue.worker set locked = false where locked",
        "insert into supaqueue.ready_job select from supaqueue.queue",
        "delete from supaqueue.ready_job where true",
        "delete from supaqueue.held_job where true",
        "delete from supaqueue.unfinished where true",
        "delete from supaqueue.current_job where true",
        "delete from supaqueue.last_tick where true",
    ] {
        let error = refusal(&api, statement).await;
        assert!(error.contains("permission denied"), "{statement}: {error}");
    }
    run(&api, "update supaqueue.worker set queue = queue where true").await;
}

#[tokio::test]
async fn a_bulk_retry_does_what_can_be_done_and_names_what_it_left() {
    let db = Db::new().await;
    db.queue("q", 3).await;
    db.run("select supaqueue.enqueue('q', '\"failed\"', max_attempts => 1)")
        .await;
    db.run(&acknowledge_all(RUN)).await;
    db.run(&fail(&current_job_of("q"), RUN, NONE)).await;
    db.run("select supaqueue.enqueue('q', '\"cancelled\"')")
        .await;
    db.run(&acknowledge(&current_job_of("q"), RUN)).await;
    db.run("update supaqueue.job set status = 'cancelled' where status = 'in_progress'")
        .await;
    let cancelled = db
        .get("select id from supaqueue.job where status = 'cancelled'")
        .await;
    for status in ["pending", "waiting"] {
        let update = format!(
            "update supaqueue.job set status = '{status}' where status in ('failed', 'cancelled')"
        );
        let warnings = db.warnings(&update).await;
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains(&cancelled), "{warnings:?}");
        assert_eq!(
            db.get("select payload, status from supaqueue.job order by position")
                .await,
            "\"failed\"|in_progress\n\"cancelled\"|cancelled"
        );
    }
    let cancelled_call = "(select id from supaqueue.current_job where state = 'started')";
    db.run(&fail(cancelled_call, RUN, NONE)).await;
    db.run("update supaqueue.job set status = 'pending' where status = 'cancelled'")
        .await;
    assert_eq!(
        db.get("select status, attempts from supaqueue.job where payload = '\"cancelled\"'")
            .await,
        "in_progress|1",
        "once its call has ended"
    );
}
