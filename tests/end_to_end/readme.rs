//! The README says what is true.

use supaqueue_tests::{get, repository, run};

use crate::stack::test;

fn readme() -> String {
    std::fs::read_to_string(repository().join("README.md")).unwrap()
}

/// The first blocks of code in that language.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let blocks = readme
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect()
}

#[test]
fn its_session_gives_what_it_shows() {
    test(async |project| {
        let readme = readme();
        let [insert, select, ..] = &blocks(&readme, "sql")[..] else {
            panic!("a session of two blocks")
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
    });
}

#[test]
fn its_links_lead_to_files_and_its_tests_are_there() {
    let readme = readme();
    let mut tests = 0;
    for link in readme
        .split("](")
        .skip(1)
        .map(|rest| rest.split(')').next().unwrap())
    {
        if !link.contains("://") {
            assert!(repository().join(link).exists(), "{link}");
        }
    }
    // [`name_of_a_test`](file.rs)
    for (name, rest) in readme
        .split("[`")
        .skip(1)
        .filter_map(|rest| rest.split_once("`]("))
    {
        let file = rest.split(')').next().unwrap();
        if file.ends_with(".rs") {
            let source = std::fs::read_to_string(repository().join(file)).unwrap();
            assert!(
                source.contains(&format!("fn {name}(")),
                "{file} has no test {name}"
            );
            tests += 1;
        }
    }
    assert!(
        tests >= 10,
        "the guarantees name their tests, {tests} of them"
    );
}

#[test]
fn it_shows_the_results_that_are_kept() {
    let readme = readme();
    let results = repository().join("dev/bench/results");
    for name in ["speed", "load"] {
        let shown = readme
            .split_once(&format!("<!-- {name} -->\n"))
            .and_then(|(_, rest)| rest.split_once(&format!("<!-- /{name} -->\n")))
            .map(|(block, _)| block);
        // Before the first run that is kept there is nothing to show.
        let kept = std::fs::read_to_string(results.join(format!("{name}.md"))).ok();
        let want = kept.map(|page| format!("![{name}](dev/bench/results/{name}.svg)\n\n{page}"));
        assert_eq!(
            shown.unwrap_or_default(),
            want.as_deref().unwrap_or_default(),
            "the README's block {name} is dev/bench/results/{name}.md; `./scripts/bench` writes both"
        );
        assert_eq!(
            results.join(format!("{name}.svg")).exists(),
            want.is_some(),
            "dev/bench/results has {name}.svg beside {name}.md"
        );
    }
}
