//! Each guarantee names the test that holds it.

use std::collections::BTreeSet;

use supaqueue_tests::repository;

use crate::page::Page;

#[test]
fn every_test_that_is_named_exists() {
    let mut guarantees = BTreeSet::new();
    let mut missing = Vec::new();
    for page in Page::all() {
        let folder = repository().join(page.path.parent().unwrap());
        // [`name_of_a_test`](file.rs)
        let links = page.text.split("[`").skip(1);
        for (name, rest) in links.filter_map(|rest| rest.split_once("`](")) {
            let file = rest.split(')').next().unwrap();
            // The path of a file is not the name of a test.
            if !file.ends_with(".rs") || name.contains('/') {
                continue;
            }
            let source = std::fs::read_to_string(folder.join(file)).unwrap_or_default();
            if !source.contains(&format!("fn {name}(")) {
                missing.push(format!("{}: {name} in {file}", page.path.display()));
            }
            if page.path.ends_with("docs/guarantees.md") {
                guarantees.insert(name.to_owned());
            }
        }
    }
    assert!(missing.is_empty(), "no such test:\n{}", missing.join("\n"));
    assert!(guarantees.len() >= 20, "the guarantees name their tests");
}

#[test]
fn every_guarantee_names_a_test() {
    let page = Page::read("docs/guarantees.md");
    let (guarantees, _) = page.text.split_once("\n## What is not guaranteed").unwrap();
    for item in guarantees.split("\n- ").skip(1) {
        let item = item.split("\n\n").next().unwrap();
        assert!(item.contains(".rs)"), "no test is named in: {item}");
    }
}
