//! The crates linked into the function.

use anyhow::{Context, Result};

use super::settings::{CRATE, TARGET};
use xtask::repository::{Repository, output};

/// A crate of the dependency tree, with the features that the function enables.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Dependency {
    pub(super) name: String,
    pub(super) version: String,
    pub(super) features: String,
}

/// The function's dependency tree, including its own crates, sorted and without duplicates.
///
/// This asks `cargo tree` because `cargo metadata` resolves features for the whole workspace, so that
/// a feature enabled by a test would look like a change of the function.
pub(super) fn dependencies(repository: &Repository) -> Result<Vec<Dependency>> {
    let tree = output(
        repository
            .cargo()
            .args(["tree", "--locked", "--package", CRATE, "--target", TARGET])
            .args(["--edges", "normal,build", "--prefix", "none"])
            .args(["--no-dedupe", "--format", "{p}|{f}"]),
    )?;
    let mut dependencies: Vec<_> = tree.lines().map(parse).collect::<Result<_>>()?;
    dependencies.sort();
    dependencies.dedup();
    Ok(dependencies)
}

/// Parses a line such as `serde v1.0.229|default,std`. A path or `(proc-macro)` may follow the version.
fn parse(line: &str) -> Result<Dependency> {
    let (package, features) = line
        .rsplit_once('|')
        .with_context(|| format!("unexpected line of cargo tree: {line}"))?;
    let mut words = package.split(' ');
    let mut word = || words.next().unwrap_or_default();
    Ok(Dependency {
        name: word().to_owned(),
        version: word().trim_start_matches('v').to_owned(),
        features: features.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_tree_is_parsed_without_its_path() {
        let check = |line, want: [&str; 3]| {
            let got = parse(line).unwrap();
            assert_eq!([got.name, got.version, got.features], want);
        };
        check(
            "supaqueue-core v0.1.0 (/some/path/crates/supaqueue-core)|std",
            ["supaqueue-core", "0.1.0", "std"],
        );
        check(
            "serde_derive v1.0.229 (proc-macro)|default",
            ["serde_derive", "1.0.229", "default"],
        );
        check("itoa v1.0.15|", ["itoa", "1.0.15", ""]);
    }
}
