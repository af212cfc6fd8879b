//! Upgrades, on a part with two versions that stays as it is: `tests/fixtures/upgrade`.

use include_dir::{Dir, include_dir};
use supaqueue_files::{DatabaseState, Part, add_on, core, of_parts};
use supaqueue_tests::{Db, Session, repository};
use xtask::sql;

const DUMP: &str = include_str!("dump.sql");

static MIGRATIONS: Dir = include_dir!("$CARGO_MANIFEST_DIR/fixtures/upgrade/migrations");

/// The part, with its versions up to this one.
fn ledger(newest: usize) -> Part {
    let mut part = Part::read("ledger", &MIGRATIONS, "");
    part.versions.truncate(newest);
    part
}

async fn state(db: &Db) -> DatabaseState {
    serde_json::from_str(&db.get(DatabaseState::QUERY).await).unwrap()
}

/// Runs the first transactions of an upgrade, as many as asked for.
async fn upgrade(db: &Db, newest: usize, transactions: usize) {
    let upgrade = of_parts(&[core(), ledger(newest)], &state(db).await).unwrap();
    for transaction in upgrade.transactions.iter().take(transactions) {
        db.run(transaction).await;
    }
}

const ALL: usize = usize::MAX;

#[test]
fn a_migration_is_the_step_and_all_of_the_code() {
    let folder = repository().join("tests/fixtures/upgrade");
    let newest = sql::Part::read(&folder, "ledger").unwrap().newest();
    assert_eq!(newest.path, "migrations/0002_length.sql");
    assert_eq!(ledger(2).versions[1].sql, newest.text);
}

#[tokio::test]
async fn an_upgraded_database_is_what_a_new_one_is() {
    let new = Db::new().await;
    upgrade(&new, 2, ALL).await;
    let upgraded = Db::new().await;
    upgrade(&upgraded, 1, ALL).await;
    upgraded.run("select supaqueue.add_entry('four')").await;
    upgrade(&upgraded, 2, ALL).await;
    assert_eq!(upgraded.get(DUMP).await, new.get(DUMP).await);
    assert_eq!(
        upgraded
            .get("select text, length from supaqueue.entry")
            .await,
        "four|4",
        "rows are kept, and filled after the transaction"
    );
    let versions = "select number, name, finished_at is not null from supaqueue.version
                    where part = 'ledger' order by number";
    assert_eq!(
        upgraded.get(versions).await,
        "1|0001_ledger|t\n2|0002_length|t"
    );
    let again = of_parts(&[core(), ledger(2)], &state(&upgraded).await).unwrap();
    assert_eq!(
        again.transactions,
        Vec::<String>::new(),
        "nothing is left to do"
    );
}

/// `supabase db push` and `supaqueue install` of any age, in any order: each applies the files that it has, one after the other.
#[tokio::test]
async fn versions_are_applied_once_in_any_order_of_programs_and_files() {
    let want = Db::new().await;
    upgrade(&want, 2, ALL).await;
    let want = want.get(DUMP).await;
    let file = |number: usize| ledger(2).versions[number - 1].sql;
    // Files that are pushed, in order; `install` of a program with this version comes before them and after them.
    for (before, pushed, after) in [
        (0, vec![1, 2], 2),
        (1, vec![1, 2], 2),
        (2, vec![1, 2], 2),
        (2, vec![1], 2),
        (2, vec![2, 1, 2], 2),
        (1, vec![1], 2),
        (0, vec![1], 2),
        (1, vec![2], 2),
    ] {
        let case = format!("install {before}, push {pushed:?}, install {after}");
        let db = Db::new().await;
        upgrade(&db, before, ALL).await;
        let rows =
            "select string_agg(v::text, ' ') from supaqueue.version v where v.part = 'ledger'";
        for number in pushed {
            let (rows_before, dump) = (db.get(rows).await, db.get(DUMP).await);
            let installed = state(&db)
                .await
                .versions
                .get("ledger")
                .copied()
                .unwrap_or(0);
            db.run(file(number)).await;
            if installed >= number as i32 {
                assert_eq!(
                    (db.get(rows).await, db.get(DUMP).await),
                    (rows_before, dump),
                    "{case}: a no-op"
                );
            }
        }
        upgrade(&db, after, ALL).await;
        assert_eq!(db.get(DUMP).await, want, "{case}");
        assert_eq!(state(&db).await.unfinished, [], "{case}");
    }
}

/// A push and an installation at the same time.
#[tokio::test]
async fn the_second_of_two_at_once_finds_the_version_of_the_first() {
    let db = Db::new().await;
    for version in ledger(2).versions {
        let [first, second] = [Session::new(&db).await, Session::new(&db).await];
        first.run("begin").await;
        first.run(version.sql).await;
        let pushed = second.start(version.sql);
        assert!(pushed.blocks(&db).await, "the second waits");
        first.run("commit").await;
        assert_eq!(pushed.finish().await.map(drop), Ok(()));
    }
    let versions = "select number from supaqueue.version where part = 'ledger' order by number";
    assert_eq!(db.get(versions).await, "1\n2");
}

#[tokio::test]
async fn a_version_without_the_one_before_it_is_refused() {
    let db = Db::new().await;
    let before = db.get(DUMP).await;
    let refusal = db.refusal(ledger(2).versions[1].sql).await;
    assert_eq!(
        refusal,
        "cannot apply version 2 of ledger: this database has none; Nothing was changed. Apply the versions before it first; \
         `supaqueue install --write-migration` writes them."
    );
    db.run("create schema other; alter table supaqueue.version set schema other")
        .await;
    let refusal = db.refusal(ledger(1).versions[0].sql).await;
    assert!(
        refusal.contains("Supaqueue is not installed in this database"),
        "{refusal}"
    );
    db.run("alter table other.version set schema supaqueue; drop schema other")
        .await;
    assert_eq!(db.get(DUMP).await, before);
}

#[tokio::test]
async fn an_upgrade_keeps_what_users_granted_and_protects_what_is_new() {
    let db = Db::new().await;
    upgrade(&db, 1, ALL).await;
    db.run(
        "grant usage on schema supaqueue to authenticated;
         grant execute on function supaqueue.add_entry to authenticated;
         grant select on supaqueue.entry to authenticated;
         revoke insert on supaqueue.entry from service_role",
    )
    .await;
    upgrade(&db, 2, ALL).await;
    let may = "select has_schema_privilege(role, 'supaqueue', 'usage'),
        has_function_privilege(role, 'supaqueue.add_entry(text)', 'execute'),
        has_table_privilege(role, 'supaqueue.entry', 'select'),
        has_table_privilege(role, 'supaqueue.entry', 'insert'),
        has_function_privilege(role, 'supaqueue.longest_entry()', 'execute')
      from unnest(array['authenticated', 'service_role', 'anon']) role";
    assert_eq!(db.get(may).await, "t|t|t|f|f\nt|f|t|f|f\nf|f|f|f|f");
}

#[tokio::test]
async fn an_upgrade_that_fails_changes_nothing() {
    let db = Db::new().await;
    upgrade(&db, 1, ALL).await;
    db.run("create view public.mine as select supaqueue.entry_count() as entries")
        .await;
    let before = (db.get(DUMP).await, state(&db).await.versions);
    let upgrade = of_parts(&[core(), ledger(2)], &state(&db).await).unwrap();
    let refusal = db.refusal(&upgrade.transactions[0]).await;
    assert!(
        refusal.starts_with("cannot drop function supaqueue.entry_count()"),
        "{refusal}"
    );
    assert_eq!((db.get(DUMP).await, state(&db).await.versions), before);
}

#[tokio::test]
async fn what_an_interrupted_upgrade_left_is_done_by_the_next() {
    let db = Db::new().await;
    upgrade(&db, 1, ALL).await;
    db.run("select supaqueue.add_entry('four')").await;
    upgrade(&db, 2, 1).await;
    assert_eq!(state(&db).await.unfinished, [("ledger".to_owned(), 2)]);
    upgrade(&db, 2, ALL).await;
    assert_eq!(state(&db).await.unfinished, []);
    assert_eq!(db.get("select length from supaqueue.entry").await, "4");
    assert_eq!(
        db.get(
            "select indisvalid from pg_index where indexrelid = 'supaqueue.entry_length'::regclass"
        )
        .await,
        "t"
    );
}

/// Every upgrade replaces all code, under calls in flight.
#[tokio::test]
async fn new_code_keeps_jobs_settings_and_calls_in_flight() {
    let db = Db::new().await;
    let add_on = add_on("job_dependencies").unwrap();
    db.run(&add_on.from_scratch()).await;
    db.queue("q", 2).await;
    db.run(
        "select supaqueue.enqueue_many('q', array_fill('{}'::jsonb, array[5]));
         update supaqueue.setting set jobs_per_request = 7;
         begin;
         with last as (select supaqueue.enqueue('q', priority => 1) as id)
         insert into supaqueue.job_dependencies (source, target)
         select j.id, last.id from last, supaqueue.job j where j.priority = 0;
         commit",
    )
    .await;
    let rows = "select (select string_agg(j::text, '') from supaqueue.job j),
        (select string_agg(c::text, '') from supaqueue.current_job c),
        (select string_agg(d::text, '') from supaqueue.dependent_job d),
        (select s::text from supaqueue.setting s)";
    let before = (db.get(DUMP).await, db.get(rows).await);
    db.run(&format!(
        "select supaqueue.take_tables(); {}{}",
        core().code(),
        add_on.code()
    ))
    .await;
    assert_eq!((db.get(DUMP).await, db.get(rows).await), before);
    for _ in 0..6 {
        db.run(
            "select public.end_current_job(c.id, true, true) from supaqueue.current_job c limit 1",
        )
        .await;
    }
    assert_eq!(
        db.get(
            "select string_agg(distinct status, ' '), count(*), max(attempts) from supaqueue.job"
        )
        .await,
        "successful|6|1"
    );
}
