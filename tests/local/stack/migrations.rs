//! Migrations and seeds are applied as the Supabase CLI does.

use std::path::PathBuf;

use supaqueue_local::{Database, Migrations, Progress};
use supaqueue_tests::{get, run};
use tempfile::TempDir;

use crate::on_stack;

/// A `supabase` folder, and a database of its own.
struct Project {
    folder: TempDir,
    database: Database,
}

impl Project {
    fn supabase(&self) -> PathBuf {
        self.folder.path().join("supabase")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.supabase().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn start(&self) -> Migrations {
        Migrations::new(self.supabase(), &self.database)
    }

    async fn get(&self, sql: &str) -> String {
        get(&self.database.connect().await.unwrap(), sql).await
    }
}

fn on_project<F: Future<Output = ()>>(test: impl FnOnce(Project) -> F) {
    on_stack(async |stack| {
        let database = stack.postgres().unwrap().create_database().await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        test(Project { folder, database }).await;
    });
}

/// Applies what is new; panics unless it all succeeds without a word.
async fn applied(migrations: &mut Migrations) -> Vec<String> {
    let progress = migrations.advance().await.unwrap_or_default();
    assert_eq!((&progress.failure, &progress.notes), (&None, &vec![]));
    progress.applied
}

async fn failure(migrations: &mut Migrations) -> (Vec<String>, String) {
    let Progress {
        applied, failure, ..
    } = migrations.advance().await.unwrap();
    (applied, failure.unwrap())
}

#[test]
fn a_new_database_gets_all_and_a_later_start_what_is_new() {
    on_project(async |project| {
        project.write("migrations/2_b.sql", "insert into public.log values ('2')");
        project.write(
            "migrations/1_a.sql",
            "create table public.log (entry text); -- the end",
        );
        project.write("seed.sql", "insert into public.log values ('seed')");
        // What `supabase migration new` has just made.
        project.write("migrations/3_c.sql", "");
        let mut first = project.start();
        let want = [
            "supabase/migrations/1_a.sql",
            "supabase/migrations/2_b.sql",
            "supabase/seed.sql",
        ];
        assert_eq!(applied(&mut first).await, want);
        assert_eq!(first.advance().await, None, "nothing has changed");
        project.write("migrations/3_c.sql", "insert into public.log values ('3')");
        assert_eq!(applied(&mut first).await, ["supabase/migrations/3_c.sql"]);
        project.write(
            "migrations/2_b.sql",
            "insert into public.log values ('2, changed')",
        );
        let progress = first.advance().await.unwrap();
        assert_eq!(progress.applied, Vec::<String>::new());
        let [note] = &*progress.notes else {
            panic!("{progress:?}");
        };
        assert!(
            note.contains("2_b.sql: has changed after it was applied"),
            "{note}"
        );
        drop(first);

        project.write("migrations/4_d.sql", "insert into public.log values ('4')");
        project.write(
            "seed.sql",
            "insert into public.log values ('seed, changed')",
        );
        let mut later = project.start();
        assert_eq!(applied(&mut later).await, ["supabase/migrations/4_d.sql"]);
        let log = "select string_agg(entry, ' ' order by ctid) from public.log";
        assert_eq!(project.get(log).await, "2 seed 3 4");
        // As the Supabase CLI records them.
        let recorded = "select string_agg(version || ' ' || name || ' ' || statements[1], '|' order by version) from supabase_migrations.schema_migrations";
        assert_eq!(
            project.get(recorded).await,
            "1 a create table public.log (entry text); -- the end|2 b insert into public.log values ('2')|3 c insert into public.log values ('3')|4 d insert into public.log values ('4')"
        );
    });
}

#[test]
fn the_first_that_fails_is_rolled_back_and_tried_again_when_it_changes() {
    on_project(async |project| {
        let check = async |migrations: &mut Migrations, text: &str, words: &[&str]| {
            project.write("migrations/2_b.sql", text);
            let (applied, failure) = failure(migrations).await;
            assert_eq!(applied, Vec::<String>::new());
            for word in words {
                assert!(failure.contains(word), "no {word:?} in {failure}");
            }
            let tables = "select count(*) from pg_tables where tablename = 'b'";
            assert_eq!(project.get(tables).await, "0", "it is rolled back");
        };
        project.write(
            "migrations/1_a.sql",
            "create table public.a (id integer primary key)",
        );
        let mut migrations = project.start();
        applied(&mut migrations).await;
        project.write("migrations/3_c.sql", "create table public.c ()");
        project.write("seed.sql", "select 1");
        let files = "It and the 2 files after it are tried again";
        // The line is that of the position, or else of the statement.
        let position = "create table public.b ();\n-- ;\n\nselect x from public.a;";
        check(
            &mut migrations,
            position,
            &["2_b.sql:4: column \"x\" does not exist (42703)", files],
        )
        .await;
        let statement = "create table public.b ();\ninsert into public.a values (1);\n\ninsert\n  into public.a\n  values (1);\n";
        check(
            &mut migrations,
            statement,
            &["2_b.sql:4: duplicate key", "(id)=(1) already exists", files],
        )
        .await;
        let missing = "create table public.b ();\nselect realtime.send('{}', 'a', 'b');";
        check(
            &mut migrations,
            missing,
            &[
                "2_b.sql:2: schema \"realtime\" does not exist",
                "The local stack has no schema realtime",
            ],
        )
        .await;
        let deferred = "create table public.b (a integer references public.a deferrable initially deferred);\ninsert into public.b values (7);";
        check(
            &mut migrations,
            deferred,
            &["2_b.sql", "violates foreign key constraint"],
        )
        .await;
        assert_eq!(migrations.advance().await, None, "it waits for a change");

        project.write("migrations/2_b.sql", "create table public.b ();");
        let rest = ["supabase/migrations/2_b.sql", "supabase/migrations/3_c.sql"];
        assert_eq!(applied(&mut migrations).await[..2], rest);
    });
}

#[test]
fn what_the_migrations_of_real_projects_refer_to_is_there() {
    on_project(async |project| {
        // As a dump begins; the next file does not know of it.
        project.write(
            "migrations/1_dump.sql",
            "set statement_timeout = 1000; select pg_catalog.set_config('search_path', '', false); set role anon;
             create extension if not exists \"pg_net\" with schema \"extensions\";
             create extension if not exists pg_cron;
             create extension if not exists \"supabase_vault\" with schema \"vault\";
             create extension if not exists \"uuid-ossp\" with schema \"extensions\";
             create extension if not exists pg_stat_statements with schema extensions;",
        );
        project.write(
            "migrations/2_app.sql",
            "create table profile (
               id uuid primary key references auth.users on delete cascade,
               token uuid default uuid_generate_v4()
             );
             alter table profile enable row level security;
             create policy mine on profile using (auth.uid() = id and auth.role() = 'authenticated' and auth.jwt() is not null);
             create function add_profile() returns trigger language plpgsql security definer as $$
             begin insert into public.profile (id) values (new.id); return new; end $$;
             create trigger on_auth_user_created after insert on auth.users for each row execute function add_profile();
             insert into storage.buckets (id, name, public) values ('avatars', 'avatars', true);
             create policy upload on storage.objects for insert to authenticated
             with check (bucket_id = 'avatars' and (storage.foldername(name))[1] = auth.uid()::text);
             alter publication supabase_realtime add table profile;
             grant usage on schema public to supabase_auth_admin;",
        );
        project.write(
            "migrations/3_vector.sql",
            "create extension vector; create table public.last ();",
        );
        project.write("seed.sql", "insert into auth.users (id, email) values ('00000000-0000-0000-0000-000000000001', 'ada@example.com');");
        let progress = project.start().advance().await.unwrap();
        assert_eq!(progress.failure, None);
        assert_eq!(progress.applied.len(), 4);
        let [note] = &*progress.notes else {
            panic!("{progress:?}");
        };
        assert!(
            note.contains("3_vector.sql: left out `create extension vector`"),
            "{note}"
        );

        let client = project.database.connect_as("authenticated").await.unwrap();
        let mine = "select count(*) from public.profile";
        assert_eq!(get(&client, mine).await, "0", "of nobody");
        run(&client, r#"set request.jwt.claims = '{"sub": "00000000-0000-0000-0000-000000000001", "role": "authenticated"}'"#).await;
        assert_eq!(get(&client, mine).await, "1");
        assert_eq!(get(&client, "select storage.foldername('a/b/c.png')::text || storage.filename('a/b/c.png') || storage.extension('a/b/c.png')").await, "{a,b}c.pngpng");
    });
}
