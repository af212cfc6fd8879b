//! A remedy names the database that it is about. `supaqueue install` alone means the linked project, which is production as a
//! rule, while the message may come from a preview branch, a local stack or a copy.

use std::path::Path;

use supaqueue_tests::{Db, repository};

/// The commands that work on a database.
const COMMANDS: [&str; 3] = [
    "`supaqueue install",
    "`supaqueue doctor",
    "`supaqueue rotate-secret",
];

/// What makes it clear which database is meant, or that none is.
const NAMED: [&str; 6] = [
    "--local",
    "for this database",
    "--project-ref",
    "--db-url",
    "--write-migration",
    "for this project",
];

#[tokio::test]
async fn the_database_names_itself_in_every_remedy() {
    let db = Db::new().await;
    let add_on = supaqueue_files::add_on("job_dependencies").unwrap();
    db.run(&add_on.from_scratch()).await;
    let functions = "select string_agg(p.oid::regprocedure::text, ' ') from pg_proc p
        where p.pronamespace in ('supaqueue'::regnamespace, 'public'::regnamespace) and p.prosrc like '%`supaqueue %'";
    assert_eq!(db.get(functions).await, "supaqueue.command(text)");
    let command = db.get("select supaqueue.command('install')").await;
    assert!(
        command.starts_with("`supaqueue install --project-ref <ref>`"),
        "{command}"
    );
    let remedies = "select remedy from supaqueue.problem where remedy like '%supaqueue install%'";
    db.run("delete from vault.secrets").await;
    assert!(db.get(remedies).await.contains(&command));
    let comments = "select string_agg(description, ' ') from pg_description
        where description like '%`supaqueue %' and description not like '%for this database%'";
    assert_eq!(db.get(comments).await, "null");
}

#[test]
fn the_program_the_function_and_the_migrations_name_the_database() {
    let mut texts = Vec::new();
    for folder in ["crates", "sql", "dev/xtask/src/sql"] {
        collect(&repository().join(folder), &mut texts);
    }
    let is_named = |text: &str| NAMED.iter().any(|name| text.contains(name));
    let mut seen = 0;
    for (path, text) in &texts {
        // The doctor names the project in whatever it prints (`Finding::for_project`).
        if path.contains("supaqueue-cli/src/doctor/") {
            continue;
        }
        assert!(
            !path.ends_with(".sql")
                || !text.contains("functions deploy")
                || text.contains("--project-ref <ref>"),
            "{path}"
        );
        let code = text.split("#[cfg(test)]").next().unwrap();
        let commands = COMMANDS
            .iter()
            .flat_map(|command| code.match_indices(command));
        for (start, _) in commands {
            let line = code[..start].rfind('\n').map_or(0, |end| end + 1);
            let is_comment = |mark: &str| code[line..].trim_start().starts_with(mark);
            if is_comment("//") || is_comment("--") {
                continue;
            }
            seen += 1;
            let rest: Vec<&str> = code[start..].lines().take(2).collect();
            assert!(is_named(&rest.join("\n")), "{}: {}", path, rest[0]);
        }
    }
    assert!(seen >= 5, "the texts were seen");
}

/// The source files below a folder: path and text.
fn collect(folder: &Path, texts: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        if path.is_dir() {
            collect(&path, texts);
        } else if name.ends_with(".sql") || name.ends_with(".rs") && !name.ends_with("_tests.rs") {
            texts.push((name, std::fs::read_to_string(&path).unwrap()));
        }
    }
}
