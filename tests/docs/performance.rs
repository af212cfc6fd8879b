//! The summary of the measurements is of the results that are kept.

use supaqueue_tests::repository;

use crate::page::Page;

#[test]
fn every_number_of_the_summary_is_in_the_results() {
    let results = std::fs::read_dir(repository().join("dev/bench/results")).unwrap();
    let kept: String = results
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .map(|path| std::fs::read_to_string(path).unwrap())
        .collect();
    let numbers_of = |text: &str| -> Vec<String> {
        text.split(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ','))
            .map(|number| number.trim_matches(['.', ',']).to_owned())
            .filter(|number| !number.is_empty())
            .collect()
    };
    let kept = numbers_of(&kept);
    let page = Page::read("docs/performance.md");
    let rows: Vec<&str> = page
        .text
        .lines()
        .filter(|line| line.starts_with("| ") && line.bytes().any(|byte| byte.is_ascii_digit()))
        .collect();
    assert!(rows.len() >= 5, "it has tables");
    for row in rows {
        for number in numbers_of(row) {
            let is_kept = kept.contains(&number);
            assert!(is_kept, "{number} is not in the results: {row}");
        }
    }
}
