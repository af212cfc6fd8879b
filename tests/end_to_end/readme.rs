//! The README's session gives what it shows.

use supaqueue_tests::{repository, run};

use crate::stack::test;

/// The blocks of code in that language.
fn blocks<'a>(readme: &'a str, language: &str) -> Vec<&'a str> {
    let blocks = readme.split("```").skip(1).step_by(2);
    let blocks = blocks.filter_map(|block| block.split_once('\n'));
    let blocks = blocks.filter(|(name, _)| *name == language);
    blocks.map(|(_, code)| code).collect()
}

/// The cells of a table, without the spaces around them.
fn cells(table: &str) -> Vec<Vec<&str>> {
    let rows = table.lines();
    rows.map(|line| line.split('|').map(str::trim).collect())
        .collect()
}

#[test]
fn its_session_gives_what_it_shows() {
    test(async |project| {
        let readme = std::fs::read_to_string(repository().join("README.md")).unwrap();
        let [insert, select, diagnose] = &blocks(&readme, "sql")[..] else {
            panic!("it has three blocks of SQL")
        };
        run(&project.client, insert).await;
        project.finished("send-email").await;
        let got = project.get(select).await.replace("null", "");
        let shown = blocks(&readme, "text")[0];
        // Below the line of names and the rule.
        let want = cells(shown).split_off(2);
        assert_eq!(want.len(), 3, "{shown}");
        assert_eq!(cells(&got), want);
        // The other tests of this program have jobs too, so what it says varies.
        run(&project.client, diagnose).await;
    });
}
