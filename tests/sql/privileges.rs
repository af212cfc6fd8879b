//! Only `postgres` and `service_role` have access.

use supaqueue_tests::{Db, get, refusal};

/// What service_role may execute; anybody may use `new_id`, the default of `job.id`.
const FUNCTIONS_OF_SERVICE_ROLE: &str = "ago attempts_of backfill broken_rule change_holder chart \
    check_changes check_filter check_on_conflict checked_options end_current_job end_current_jobs enqueue \
    enqueue_many enqueue_outcome error_group explain explain_schedule failures filter_conditions \
    filter_segments filter_statuses find_jobs has_call histogram_bounds holder_of \
    is_below_function is_headers is_held is_unstarted job_summaries list_jobs living_jobs lock_job \
    merged_payload metrics new_id next_times oldest_due operation_plan percent_encoded percentile \
    places_query preview problems queue_id read_cursor reason refusal refuse_skipped_update \
    run_now run_schedule schedule schedule_tick segment_query set_workers show_job \
    supaqueue_enqueue supaqueue_enqueue_many supaqueue_pulse unschedule write_cursor";

#[tokio::test]
async fn every_function_has_a_pinned_search_path_and_the_right_roles() {
    let db = Db::new().await;
    assert_eq!(
        db.get(
            "select p.oid::regprocedure
             from pg_proc p
             where p.pronamespace in ('supaqueue'::regnamespace, 'public'::regnamespace)
               and (
                 not coalesce(p.proconfig && array['search_path=\"\"', 'search_path=public, extensions'], false)
                 or p.prosecdef and not p.proconfig @> array['search_path=\"\"']
                 or p.proname <> 'new_id' and (
                   has_function_privilege('anon', p.oid, 'execute')
                   or has_function_privilege('authenticated', p.oid, 'execute')
                   or exists (select from aclexplode(p.proacl) a where a.grantee = 0)
                 )
                 or pg_get_userbyid(p.proowner) <> 'postgres'
               )"
        )
        .await,
        ""
    );
    assert_eq!(
        db.get(
            "select string_agg(distinct p.proname, ' ' order by p.proname) from pg_proc p
             where p.pronamespace in ('supaqueue'::regnamespace, 'public'::regnamespace)
               and has_function_privilege('service_role', p.oid, 'execute')"
        )
        .await,
        FUNCTIONS_OF_SERVICE_ROLE
    );
}

/// Functions that run with the rights of their owner are few, and each is an entrance: a trigger, or
/// what service_role calls.
#[tokio::test]
async fn only_triggers_and_entrances_are_security_definer() {
    let db = Db::new().await;
    assert_eq!(
        db.get(
            "select p.oid::regprocedure from pg_proc p
             where p.pronamespace in ('supaqueue'::regnamespace, 'public'::regnamespace) and p.prosecdef
               and p.prorettype <> 'trigger'::regtype
               and p.proname not in ('end_current_job', 'end_current_jobs', 'supaqueue_pulse', 'explain', 'problems', 'schedule_tick', 'reason',
                 'run_schedule', 'backfill', 'next_times', 'explain_schedule')"
        )
        .await,
        ""
    );
}

#[tokio::test]
async fn every_table_has_row_level_security_and_the_right_roles() {
    let db = Db::new().await;
    assert_eq!(
        db.get(
            "select c.oid::regclass
             from pg_class c
             where c.relnamespace = 'supaqueue'::regnamespace and c.relkind in ('r', 'v', 'S', 'p', 'm')
               and (
                 (c.relkind in ('r', 'p') and not c.relrowsecurity)
                 or (c.relkind = 'v' and not coalesce(c.reloptions @> array['security_invoker=true'], false))
                 or exists (
                   select from aclexplode(c.relacl) a
                   where a.grantee not in (c.relowner, 'service_role'::regrole)
                 )
               )"
        )
        .await,
        ""
    );
}

#[tokio::test]
async fn anon_and_authenticated_have_no_access() {
    let db = Db::new().await;
    db.queue("q", 1).await;
    let functions = db
        .get(
            "select format('%s %s.%I(%s)', case p.prokind when 'p' then 'call' else 'select' end, n.nspname, p.proname,
               (select string_agg(format('null::%s', format_type(t, null)), ', ' order by i) from unnest(p.proargtypes) with ordinality a (t, i)))
             from pg_proc p join pg_namespace n on n.oid = p.pronamespace
             where n.nspname in ('supaqueue', 'public') and p.proname <> 'new_id' and (p.prokind = 'p' or p.prorettype <> 'trigger'::regtype)",
        )
        .await;
    let tables = db
        .get(
            "select c.oid::regclass from pg_class c
             where c.relnamespace = 'supaqueue'::regnamespace and c.relkind in ('r', 'v')",
        )
        .await;
    for role in ["anon", "authenticated"] {
        let client = db.database().connect_as(role).await.unwrap();
        for call in functions.lines() {
            let error = refusal(&client, call).await;
            assert!(
                error.contains("permission denied"),
                "{role}: {call}: {error}"
            );
        }
        for table in tables.lines() {
            for statement in [
                format!("select * from {table}"),
                format!("insert into {table} default values"),
                format!("delete from {table} where true"),
                format!("truncate {table}"),
            ] {
                let error = refusal(&client, &statement).await;
                assert!(
                    error.contains("permission denied"),
                    "{role}: {statement}: {error}"
                );
            }
        }
    }
}

#[tokio::test]
async fn service_role_can_use_queues_workers_and_jobs() {
    let db = Db::new().await;
    let api = db.database().connect_as("service_role").await.unwrap();
    for statement in [
        "insert into supaqueue.queue (name, edge_function_name) values ('q', 'hello')",
        "select supaqueue.set_workers('q', 2)",
        "insert into supaqueue.job (queue, payload) select id, '{}' from supaqueue.queue",
        "select supaqueue.enqueue('q')",
        "update supaqueue.job set status = 'cancelled' where status = 'in_progress'",
        "select * from supaqueue.queue_status",
        "select * from supaqueue.problem",
        "select supaqueue.explain(id) from supaqueue.job",
        "delete from supaqueue.job where status = 'cancelled'",
        "delete from supaqueue.queue where name = 'q'",
    ] {
        get(&api, statement).await;
    }
}

#[tokio::test]
async fn the_tests_do_not_run_as_superuser() {
    let db = Db::new().await;
    assert_eq!(
        db.get("select rolsuper, rolname from pg_roles where rolname = current_user")
            .await,
        "f|postgres"
    );
}
