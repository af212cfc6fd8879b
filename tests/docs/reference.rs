//! The reference agrees with what is installed.

use std::collections::BTreeSet;
use std::fs;

use supaqueue_tests::{Db, repository};

use crate::examples::add_job_dependencies;
use crate::page::Page;

const PAGE: &str = "docs/reference.md";

/// A database with everything that the reference describes.
async fn database() -> Db {
    let db = Db::new().await;
    add_job_dependencies(&db).await;
    db
}

/// Fails with what one side has and the other lacks.
fn assert_same(page: &BTreeSet<String>, installed: &BTreeSet<String>) {
    let of = |one: &BTreeSet<String>, other: &BTreeSet<String>| -> String {
        one.difference(other)
            .map(|line| format!("\n  {line}"))
            .collect()
    };
    assert!(
        page == installed,
        "{PAGE} has, but is not installed:{}\ninstalled, but not in {PAGE}:{}",
        of(page, installed),
        of(installed, page)
    );
}

/// The cells of a table's row, without the marks of code.
fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().replace('`', ""))
        .collect()
}

#[tokio::test]
async fn tables_and_views_have_the_columns_that_it_says() {
    let page = Page::read(PAGE);
    let internal = page.section("### Internal tables");
    let mut documented: BTreeSet<String> = BTreeSet::new();
    for heading in page.text.lines() {
        let name = heading.strip_prefix("### `supaqueue.");
        let Some(relation) = name.and_then(|rest| rest.strip_suffix('`')) else {
            continue;
        };
        let section = page.section(heading);
        for row in section.lines().filter(|line| line.starts_with("| `")) {
            documented.insert(format!("{relation}: {}", cells(row)[..3].join(" ")));
        }
    }
    let installed = database()
        .await
        .get(
            r"select c.relname || ': ' || a.attname || ' '
                || replace(format_type(a.atttypid, a.atttypmod), 'timestamp with time zone', 'timestamptz') || ' '
                || case when a.attidentity <> '' then 'identity'
                   else coalesce(regexp_replace(pg_get_expr(d.adbin, d.adrelid), '::[a-z ]+(\[\])?', ''), '') end,
                c.relname
              from pg_class c
              join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
              left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
              where c.relnamespace = 'supaqueue'::regnamespace and c.relkind in ('r', 'v')",
        )
        .await
        .lines()
        .filter_map(|line| {
            let (column, relation) = line.rsplit_once('|')?;
            let is_internal = internal.contains(&format!("`{relation}`"));
            (!is_internal).then(|| column.to_owned())
        })
        .collect();
    assert_same(&documented, &installed);
}

/// A function that a user may call has a comment, which the dashboard shows.
#[tokio::test]
async fn functions_with_a_comment_have_the_signature_that_it_says() {
    let page = Page::read(PAGE);
    let section = Page::parse(PAGE.into(), page.section("## Functions"));
    let documented: BTreeSet<String> = section
        .blocks("sql")
        .map(|block| block.split_whitespace().collect::<Vec<_>>().join(" "))
        .map(|signature| signature.replace("( ", "(").replace(" )", ")"))
        .collect();
    let signatures = database()
        .await
        .get(
            r"select n.nspname || '.' || p.proname || '(' || pg_get_function_arguments(p.oid) || ')'
                || coalesce(' returns ' || pg_get_function_result(p.oid), ''), obj_description(p.oid, 'pg_proc') is not null
              from pg_proc p
              join pg_namespace n on n.oid = p.pronamespace
              where (n.nspname = 'supaqueue' or obj_description(p.oid, 'pg_proc') like 'Supaqueue:%')
                and p.prorettype is distinct from 'trigger'::regtype",
        )
        .await;
    let mut commented = BTreeSet::new();
    let mut others = BTreeSet::new();
    for line in signatures.lines() {
        let (signature, has_comment) = line.rsplit_once('|').unwrap();
        let mut plain = signature
            .replace("timestamp with time zone", "timestamptz")
            .replace("character varying", "varchar")
            .replace("IN in_one", "in_one")
            .replace("OUT ", "out ")
            .replace("DEFAULT", "default")
            .replace("NULL", "null")
            .replace("TABLE(", "table(")
            .replace("SETOF", "setof");
        for cast in [
            "uuid[]", "text[]", "jsonb", "text", "integer", "varchar", "interval",
        ] {
            plain = plain.replace(&format!("::{cast}"), "");
        }
        match has_comment {
            "t" => commented.insert(plain),
            _ => others.insert(plain),
        };
    }
    let of_others: BTreeSet<String> = documented.intersection(&others).cloned().collect();
    assert_same(&documented, &commented.union(&of_others).cloned().collect());
}

#[test]
fn the_functions_variables_are_those_that_it_says() {
    let names = |text: &str| -> BTreeSet<String> {
        text.split(|c: char| !c.is_ascii_uppercase() && c != '_')
            .filter(|word| word.starts_with("SUPAQUEUE_") || word.starts_with("SUPABASE_"))
            .map(str::to_owned)
            .collect()
    };
    let section = Page::read(PAGE).section("### The function");
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let documented: BTreeSet<String> = rows.flat_map(|row| names(&cells(row)[0])).collect();
    let sources = fs::read_dir(repository().join("crates/supaqueue-core/src")).unwrap();
    let read = sources
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "rs"))
        .flat_map(|path| names(&fs::read_to_string(path).unwrap()))
        .collect();
    assert_same(&documented, &read);
}
