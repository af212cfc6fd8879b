//! Migrations that the real Supabase CLI pushes, before and after `supaqueue install`.

use std::fs;

use include_dir::{Dir, include_dir};
use supaqueue_files::{DatabaseState, Part, REMOVE, core, of_parts};

use crate::management_api::REF;
use crate::program::{self, Cli};
use crate::project::{Project, test};

/// A part with two versions.
static LEDGER: Dir = include_dir!("$CARGO_MANIFEST_DIR/../../tests/fixtures/upgrade/migrations");

fn ledger(newest: usize) -> Part {
    let mut part = Part::read("ledger", &LEDGER, "");
    part.versions.truncate(newest);
    part
}

/// Runs a command of the real CLI in the user's folder. Returns what it wrote.
pub(crate) fn supabase(project: &Project, line: &str) -> String {
    let mut command = program::supabase(&project.environment, Cli::REAL_3);
    command
        .args(line.split_whitespace())
        .args(["--yes", "--agent", "no"]);
    program::run(command.current_dir(&project.environment.folder))
        .assert_status(0)
        .text
}

fn push(project: &Project) -> String {
    supabase(
        project,
        &format!("db push --db-url {}", project.stack.db_url()),
    )
}

fn write(project: &Project, path: &str, content: &str) {
    let path = project.environment.folder.join("supabase").join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Begins anew, with an empty project and these migrations besides the user's own.
fn begin(project: &Project) {
    let folder = project.environment.folder.join("supabase");
    let _ = fs::remove_dir_all(&folder);
    write(project, "config.toml", "project_id = \"x\"\n");
    write(project, "migrations/20260101000000_mine.sql", "select 1;");
    project.run(REMOVE);
    project.run("drop schema if exists supabase_migrations cascade");
}

/// The versions that `supabase migration list` shows for the folder and for the database.
fn migration_list(project: &Project) -> (Vec<String>, Vec<String>) {
    let text = supabase(
        project,
        &format!("migration list --db-url {}", project.stack.db_url()),
    );
    let rows = text
        .lines()
        .filter(|line| line.trim_start().starts_with("`2"));
    rows.map(|row| {
        let mut cells = row
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').trim().to_owned());
        (cells.next().unwrap(), cells.next().unwrap())
    })
    .unzip()
}

const VERSIONS: &str =
    "select string_agg(v::text, ' ' order by v.part, v.number) from supaqueue.version v";

#[test]
fn pushing_and_installing_can_come_in_any_order() {
    test(|project| {
        // Only install: the schema that all must come to.
        begin(project);
        project.install(Cli::DOUBLE).assert_says(&[
            "Next step: add the schema to your migrations",
            "`supaqueue install --write-migration`",
        ]);
        let schema = project.dump();
        let versions = project.get(VERSIONS);

        // install, then push: the files that it says to write change nothing.
        project
            .succeeds(Cli::Missing, "install --write-migration")
            .assert_says(&["_supaqueue_0001.sql"]);
        let run = project.install(Cli::DOUBLE);
        assert!(!run.text.contains("add the schema"), "{}", run.text);
        assert!(push(project).contains("_supaqueue_0001.sql"));
        assert_eq!(project.get(VERSIONS), versions, "nothing was applied");
        // push twice.
        assert!(push(project).contains("up to date"));
        let (local, remote) = migration_list(project);
        assert_eq!(local.len(), 1 + core().versions.len());
        assert_eq!(local, remote);
        assert_eq!(project.dump(), schema);

        // push, then install: the schema is there, and its tick.
        let files = project.environment.folder.join("supabase/migrations");
        let migration = fs::read_dir(&files)
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let migration = migration.max().unwrap();
        let sql = fs::read_to_string(&migration).unwrap();
        begin(project);
        project.platform.clear();
        fs::write(&migration, sql).unwrap();
        push(project);
        assert_eq!(project.dump(), schema);
        project.assert(
            "select count(*) from cron.job where jobname = 'supaqueue_tick'",
            "1",
        );
        project
            .install(Cli::DOUBLE)
            .assert_says(&["✓ migrations: schema version 1, already up to date"])
            .assert_says(&["✓ tick: already scheduled"])
            .assert_says(&["✓ verification", "round trip"]);
        assert_eq!(project.dump(), schema);
        let (local, remote) = migration_list(project);
        assert_eq!(local, remote);
    });
}

/// With a part that has two versions, as a program and a folder of different ages have them.
#[test]
fn older_and_newer_migrations_can_be_pushed_in_any_order() {
    test(|project| {
        begin(project);
        let install = |newest: usize| {
            let state: DatabaseState =
                serde_json::from_str(&project.get(DatabaseState::QUERY)).unwrap();
            for sql in of_parts(&[core(), ledger(newest)], &state)
                .unwrap()
                .transactions
            {
                project.run(&sql);
            }
        };
        let write_migrations = |newest: usize| {
            for version in core().versions.iter().chain(&ledger(newest).versions) {
                let name = format!(
                    "migrations/202602010000{:02}_{}.sql",
                    version.sql.contains("'ledger'") as i32 * 10 + version.number,
                    version.name
                );
                write(project, &name, version.sql);
            }
        };
        // install (new), then push (old).
        install(2);
        let (schema, versions) = (project.dump(), project.get(VERSIONS));
        write_migrations(1);
        push(project);
        assert_eq!(project.get(VERSIONS), versions);
        // The folder catches up.
        write_migrations(2);
        push(project);
        assert_eq!(
            (project.dump(), project.get(VERSIONS)),
            (schema.clone(), versions)
        );

        // push (old), then install (new), then push (new).
        begin(project);
        write_migrations(1);
        push(project);
        project.assert(
            "select max(number) from supaqueue.version where part = 'ledger'",
            "1",
        );
        install(2);
        let versions = project.get(VERSIONS);
        assert_eq!(project.dump(), schema);
        write_migrations(2);
        push(project);
        assert_eq!((project.dump(), project.get(VERSIONS)), (schema, versions));
        let (local, remote) = migration_list(project);
        assert_eq!(
            (local.len(), &local),
            (1 + core().versions.len() + 2, &remote)
        );
    });
}

/// An add-on has migrations of its own, whose versions the folder then keeps.
#[test]
fn an_add_on_is_pushed_and_installed_in_any_order() {
    test(|project| {
        begin(project);
        let add = "add-on add job_dependencies --write-migration";
        project
            .succeeds(Cli::Missing, add)
            .assert_says(&["✓ supabase/migrations/", "_supaqueue_0001.sql"])
            .assert_says(&[
                "✓ supabase/migrations/",
                "_supaqueue_job_dependencies_0001.sql",
            ])
            .assert_says(&["Next: `supabase db push --linked`"]);
        for line in [add, "install --write-migration"] {
            project
                .succeeds(Cli::Missing, line)
                .assert_says(&["All files are up to date"]);
        }
        push(project);
        let schema = project.dump();
        project
            .install(Cli::DOUBLE)
            .assert_says(&["schema version 1, already up to date"]);
        assert_eq!(project.dump(), schema);

        project.run(REMOVE);
        project.run("drop schema supabase_migrations cascade");
        project.install(Cli::DOUBLE);
        project.succeeds(
            Cli::DOUBLE,
            &format!("add-on add job_dependencies --project-ref {REF} --yes"),
        );
        assert_eq!(project.dump(), schema);
        let versions = project.get(VERSIONS);
        push(project);
        assert_eq!((project.dump(), project.get(VERSIONS)), (schema, versions));
    });
}

/// The platform builds it from the migrations. With the real CLI, which looks the project up by itself.
#[test]
fn a_preview_branch_works_after_install_with_its_own_reference() {
    test(|project| {
        project.platform.make_branch();
        project.run(&core().from_scratch());
        project.queue("hello", "succeed", 1);
        project.run("select supaqueue.enqueue('hello')");
        let remedy = "select remedy like '%`supaqueue install --project-ref <ref>`%' from supaqueue.problem where problem like '%no secret%'";
        project.assert(remedy, "t");
        project
            .succeeds(Cli::REAL_3, &project.install_line())
            .assert_says(&["✓ project: preview branch", REF])
            .assert_says(&["✓ migrations", "already up to date"])
            .assert_says(&["✓ verification", "round trip"]);
        project.eventually("select status from supaqueue.job", "successful");
        // Another reference is no branch.
        project
            .fails(Cli::REAL_3, "doctor --project-ref zzzzzzzzzzzzzzzzzzzz")
            .assert_says(&[
                "failed",
                "has no project zzzzzzzzzzzzzzzzzzzz, and no preview branch",
            ]);
    });
}

/// `[db.vault]` is not for the local stack alone: why the documentation keeps the secret and the URL out of it.
#[test]
fn a_push_stores_what_is_under_db_vault_in_the_project_that_it_pushes_to() {
    test(|project| {
        begin(project);
        project.install(Cli::DOUBLE);
        let local = "project_id = \"x\"\n[db.vault]\nsupaqueue_url = \"http://kong:8000\"\n";
        write(project, "config.toml", local);
        push(project);
        let url =
            "select decrypted_secret from vault.decrypted_secrets where name = 'supaqueue_url'";
        project.assert(url, "http://kong:8000");
        project
            .fails(Cli::DOUBLE, &format!("doctor --project-ref {REF}"))
            .assert_says(&["failed", "the URL of another project"]);
        project.install(Cli::DOUBLE);
        project.assert(url, project.stack.gateway_url());
    });
}
