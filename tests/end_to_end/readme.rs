//! The README's session gives what it shows.

use supaqueue_tests::{get, repository, run};

use crate::stack::test;

/// The blocks of code in that language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    readme
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned())
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
        let got: Vec<Vec<String>> = get(&project.client, select)
            .await
            .lines()
            .map(|line| {
                line.split('|')
                    .map(|cell| cell.replace("null", ""))
                    .collect()
            })
            .collect();
        let shown = &blocks(&readme, "text")[0];
        let want: Vec<Vec<String>> = shown
            .lines()
            .skip(2)
            .map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect())
            .collect();
        assert_eq!(want.len(), 3, "{shown}");
        assert_eq!(got, want);
        // The other tests of this program have jobs too, so what it says varies.
        run(&project.client, diagnose).await;
    });
}
