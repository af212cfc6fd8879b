//! `supaqueue init` in a new project, at a terminal and without one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::management_api::REF;
use crate::program::{self, Cli, Environment, Run};
use crate::project::{eventually, test};
use crate::teams::supabase;
use crate::terminal::Terminal;

const CONFIG: &str = "project_id = \"x\" # ours\n";

/// A project's folder, as `supabase init` makes it.
struct Folder {
    environment: Environment,
    _folder: TempDir,
}

impl Folder {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let environment = Environment::new(folder.path(), "http://127.0.0.1:9");
        fs::create_dir_all(environment.folder.join("supabase")).unwrap();
        fs::write(environment.folder.join("supabase/config.toml"), CONFIG).unwrap();
        Self {
            environment,
            _folder: folder,
        }
    }

    fn command(&self, line: &str) -> std::process::Command {
        program::command(&self.environment, Cli::Missing, line)
    }

    fn init(&self, options: &str) -> Run {
        program::run(&mut self.command(&format!("init {options}")))
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.environment.folder.join("supabase").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Every file and every folder, with what is in it. Time stamps of migrations are left out.
    fn tree(&self) -> BTreeMap<String, String> {
        let mut tree = BTreeMap::new();
        let root = self.environment.folder.join("supabase");
        collect(&root, &root, &mut tree);
        tree
    }
}

fn collect(root: &Path, folder: &Path, tree: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.strip_prefix(root).unwrap().display().to_string();
        let name = match name.strip_prefix("migrations/") {
            Some(migration) => format!("migrations/{}", migration.split_once('_').unwrap().1),
            None => name,
        };
        tree.insert(name, fs::read_to_string(&path).unwrap_or_default());
        if path.is_dir() {
            collect(root, &path, tree);
        }
    }
}

#[test]
fn every_file_is_written_once_and_named() {
    let folder = Folder::new();
    let run = folder.init("--yes").assert_status(0);
    let tree = folder.tree();
    let mut want: Vec<String> = supaqueue_files::core()
        .versions
        .iter()
        .map(|version| format!("migrations/supaqueue_{:04}.sql", version.number))
        .collect();
    for (name, bytes) in supaqueue_files::function_files() {
        let path = format!("functions/supaqueue/{name}");
        assert_eq!(tree[&path].as_bytes(), bytes, "{path}");
        want.push(path);
    }
    assert_eq!(
        tree["migrations/supaqueue_0001.sql"],
        supaqueue_files::core().versions[0].sql
    );
    want.extend(
        [
            "functions/hello/index.ts",
            "migrations/supaqueue_queue_hello.sql",
        ]
        .map(Into::into),
    );
    for path in &want {
        let name = path.strip_prefix("migrations/").unwrap_or(path);
        run.assert_says(&["✓ supabase/", name]);
    }
    want.extend(
        [
            "config.toml",
            "functions",
            "functions/hello",
            "functions/supaqueue",
            "migrations",
        ]
        .map(Into::into),
    );
    run.assert_says(&["✓ supabase/config.toml"]);
    want.sort();
    assert_eq!(tree.keys().cloned().collect::<Vec<_>>(), want);
    assert_eq!(
        tree["config.toml"],
        format!(
            "{CONFIG}\n[functions.supaqueue]\nverify_jwt = false\n\n[functions.hello]\nverify_jwt = false\n"
        )
    );

    folder
        .init("--yes --workers 7")
        .assert_status(1)
        .assert_says(&["first queue already", "--workers"])
        .assert_says(&["--queue", "set_workers"]);
    for options in ["--yes", "--yes --function hello --queue hello"] {
        let again = folder.init(options).assert_status(0);
        again.assert_says(&["Nothing was changed"]);
        assert!(!again.text.contains('✓'), "{}", again.text);
        assert_eq!(folder.tree(), tree, "{options}");
    }
}

#[test]
fn a_function_of_the_user_is_called_with_the_options_that_are_given() {
    let folder = Folder::new();
    folder.write("functions/send-email/index.ts", "// mine");
    folder.write("functions/_shared/cors.ts", "// mine");
    folder
        .init("--yes --queue it's --workers 7")
        .assert_status(0)
        .assert_says(&["supabase functions deploy send-email"])
        .assert_says(&["select supaqueue.enqueue('it''s', '{}');"]);
    let tree = folder.tree();
    let migration = &tree["migrations/supaqueue_queue_it_s.sql"];
    assert!(
        migration.contains("(name, edge_function_name)\nvalues ('it''s', 'send-email')"),
        "{migration}"
    );
    assert!(migration.contains("set_workers('it''s', 7)"), "{migration}");
    assert_eq!(tree["functions/send-email/index.ts"], "// mine");
    assert!(!tree["config.toml"].contains("send-email"));

    // Another queue later: the sample beside it.
    folder.init("--yes --function new").assert_status(0);
    assert!(folder.tree().contains_key("functions/new/index.ts"));
    // Which function is not clear any more.
    folder
        .init("--yes --queue third")
        .assert_status(1)
        .assert_says(&["several functions: new, send-email"])
        .assert_says(&["--function NAME"]);
    for (options, words) in [
        ("--function supaqueue", "is not supaqueue"),
        ("--function a/b", "letters, digits"),
        ("--workers 0", "between 1 and 10000"),
    ] {
        folder.init(options).assert_status(2).assert_says(&[words]);
    }
}

#[test]
fn what_the_user_has_changed_stays_and_is_named() {
    let folder = Folder::new();
    folder.init("--yes").assert_status(0);
    folder.write("functions/supaqueue/index.ts", "// mine");
    folder.write("functions/hello/index.ts", "// mine");
    folder.write(
        "config.toml",
        &format!("{CONFIG}[functions.supaqueue]\nverify_jwt = false\n"),
    );
    let before = folder.tree();
    folder
        .init("--yes --function hello --workers 9")
        .assert_status(0)
        .assert_says(&["Nothing was changed"])
        .assert_says(&[
            "Kept supabase/functions/supaqueue/index.ts",
            "`supaqueue install --write-function`",
        ])
        .assert_says(&[
            "Kept supabase/migrations/",
            "queue_hello.sql",
            "`supabase migration new NAME`",
        ]);
    assert_eq!(folder.tree(), before);

    // What is missing comes back beside it.
    let function = folder
        .environment
        .folder
        .join("supabase/functions/supaqueue");
    fs::remove_file(function.join("deno.json")).unwrap();
    let run = folder.init("--yes").assert_status(0);
    run.assert_says(&["✓ supabase/functions/supaqueue/deno.json"]);
    assert_eq!(folder.tree(), before);
}

#[test]
fn nothing_is_written_when_it_cannot_be_done_or_is_not_wanted() {
    let folder = Folder::new();
    let before = folder.tree();
    folder
        .init("--function hello")
        .assert_status(1)
        .assert_says(&["cannot prompt"])
        .assert_says(&["--yes", "--function, --queue and --workers"]);
    assert_eq!(folder.tree(), before);

    // The last file meets an obstacle.
    folder.write("config.toml", "a = ");
    let before = folder.tree();
    folder
        .init("--yes")
        .assert_status(1)
        .assert_says(&["cannot parse", "config.toml"]);
    assert_eq!(folder.tree(), before);
    folder.write("config.toml", CONFIG);
    folder.write("functions/supaqueue", "a file where the folder belongs");
    let before = folder.tree();
    folder
        .init("--yes")
        .assert_status(1)
        .assert_says(&["cannot write", "functions/supaqueue"]);
    assert_eq!(folder.tree(), before);

    fs::remove_dir_all(folder.environment.folder.join("supabase")).unwrap();
    folder
        .init("--yes")
        .assert_status(1)
        .assert_says(&["no supabase folder"])
        .assert_says(&["supabase init"]);
}

#[test]
fn the_questions_can_be_answered_left_to_the_defaults_and_broken_off() {
    let folder = Folder::new();
    folder.write("functions/send-email/index.ts", "// mine");
    let before = folder.tree();
    let start = || Terminal::start(&mut folder.command("init"));
    let questions = [
        "Which function",
        "Name of the new function [hello]",
        "Name of the queue [greet]",
        "how many calls may run at once? [2]",
        "Write them? [y/N]",
    ];
    let answers = ["2\n", "greet\n", "\n", "\n", "y\n"];
    for (count, signal) in [
        (0, None),
        (1, Some(Signal::SIGINT)),
        (3, Some(Signal::SIGTERM)),
        (4, Some(Signal::SIGINT)),
        (4, None),
    ] {
        let mut terminal = start();
        for (question, answer) in questions.iter().zip(answers).take(count) {
            terminal.says(question);
            terminal.types(answer);
        }
        terminal.says(questions[count]);
        match signal {
            Some(signal) => terminal.is_sent(signal),
            // The end of input.
            None => terminal.types("\x04"),
        }
        let status = signal.map_or(1, |signal| 128 + signal as i32);
        assert_eq!(terminal.ends(), Some(status), "{}", terminal.text());
        assert_eq!(folder.tree(), before, "{count} answers");
    }

    let mut terminal = start();
    for (question, answer) in questions.iter().zip(answers) {
        terminal.says(question);
        if question.contains("how many") {
            terminal.types("many\n");
            terminal.says("the number of workers is between 1 and 10000.");
            terminal.types("3\n");
        } else {
            terminal.types(answer);
        }
    }
    assert_eq!(terminal.ends(), Some(0), "{}", terminal.text());
    let text = terminal.text();
    assert!(text.contains("Files to write:"), "{text}");
    assert!(
        text.contains("✓ supabase/functions/greet/index.ts"),
        "{text}"
    );
    assert!(
        folder.tree()["migrations/supaqueue_queue_greet.sql"].contains("set_workers('greet', 3)")
    );

    // There is a first queue now: nothing is asked.
    let mut terminal = start();
    assert_eq!(terminal.ends(), Some(0), "{}", terminal.text());
    assert!(terminal.text().contains("Nothing was changed"));
}

/// What `init` says to do next, with the real Supabase CLI.
#[test]
fn a_project_runs_its_first_job_after_the_commands_that_init_names() {
    test(|project| {
        let work = &project.environment.folder;
        fs::create_dir_all(work.join("supabase/.temp")).unwrap();
        fs::write(work.join("supabase/config.toml"), CONFIG).unwrap();
        fs::write(work.join("supabase/.temp/project-ref"), REF).unwrap();
        let init = project.succeeds(Cli::Missing, "init --yes --workers 3");
        init.assert_says(&["  supabase db push --linked"])
            .assert_says(&["  supaqueue install"])
            .assert_says(&["  supabase functions deploy hello"]);
        assert!(!init.text.contains("supabase link"), "{}", init.text);

        supabase(
            project,
            &format!("db push --db-url {}", project.stack.db_url()),
        );
        project
            .install(Cli::DOUBLE)
            .assert_says(&["✓ migrations: schema version 1, already up to date"])
            .assert_says(&["✓ tick: already scheduled"])
            .assert_says(&["✓ verification", "round trip"]);
        supabase(
            project,
            &format!("functions deploy hello --use-api --remote={REF}"),
        );
        let enqueue = init
            .text
            .lines()
            .find(|line| line.contains("supaqueue.enqueue("))
            .unwrap();
        project.run(enqueue);
        let job = "select status || ' ' || coalesce(result::text, '') from supaqueue.job";
        project.eventually(job, r#"successful {"hello": "Ada"}"#);
        project.assert("select count(*) from supaqueue.worker", "3");

        // Only calls that the project signs are answered.
        let id = project.get(&format!(
            "select net.http_post('{}/functions/v1/hello')",
            project.stack.gateway_url()
        ));
        let answer = format!("select status_code from net._http_response where id = {id}");
        eventually(|| {
            let status = project.get(&answer);
            (status == "401").then_some(()).ok_or(|| status)
        });
        project.succeeds(Cli::DOUBLE, &format!("doctor --project-ref {REF}"));
    });
}
