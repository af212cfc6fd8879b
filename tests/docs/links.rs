//! What the pages point to exists, and the README stays a front page.

use std::path::Path;

use supaqueue_tests::repository;

use crate::page::Page;

/// Folders whose paths pages name as code. Not `supabase`: a reader's project has one too.
const FOLDERS: [&str; 8] = [
    ".github/",
    "crates/",
    "dev/",
    "docs/",
    "packages/",
    "scripts/",
    "sql/",
    "tests/",
];

#[test]
fn every_relative_link_and_anchor_resolves() {
    let top = repository();
    let mut broken = Vec::new();
    for page in Page::all() {
        let folder = top.join(page.path.parent().unwrap());
        for link in &page.links {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
            let file = match file {
                "" => top.join(&page.path),
                _ => folder.join(file),
            };
            let is_there = match anchor {
                "" => file.exists(),
                _ => std::fs::read_to_string(&file)
                    .is_ok_and(|text| Page::parse(file.clone(), text).anchors.contains(anchor)),
            };
            if !is_there {
                broken.push(format!("{}: {link}", page.path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "broken links:\n{}", broken.join("\n"));
}

#[test]
fn every_file_that_is_named_exists() {
    let mut missing = Vec::new();
    for page in Page::all() {
        // What has been is history, and may be gone.
        if page.path == Path::new("CHANGELOG.md") {
            continue;
        }
        let commands = page.blocks("sh").flat_map(str::split_whitespace);
        let code = page.code.iter();
        let in_text = code.filter_map(|code| code.split_whitespace().next());
        for word in commands.chain(in_text) {
            let path = word.strip_prefix("./").unwrap_or(word);
            // A placeholder, such as <name> or …, is no path.
            let is_literal = |c: char| c.is_ascii_alphanumeric() || "./_-".contains(c);
            let is_ours = FOLDERS.iter().any(|folder| path.starts_with(folder));
            if is_ours && path.chars().all(is_literal) && !repository().join(path).exists() {
                missing.push(format!("{}: {word}", page.path.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no such file:\n{}", missing.join("\n"));
}

#[test]
fn the_readme_has_at_most_150_lines() {
    let lines = Page::read("README.md").text.lines().count();
    let fix = "move something to docs, and link to it";
    assert!(lines <= 150, "it has {lines}: {fix}");
}
