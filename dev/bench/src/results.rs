//! What is kept of a full run: page and picture in `dev/bench/results` and the README, and every
//! number in `target/bench`, which git ignores: an hour of load is 14,000 lines.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::Result;

/// Writes a run's numbers, page and picture, and puts page and picture into the README. Those of a run
/// that is not to be kept go elsewhere, to be looked at.
pub(crate) fn keep(
    name: &str,
    is_kept: bool,
    run: &impl Serialize,
    page: &str,
    draw: impl FnOnce(&Path) -> Result<()>,
) -> Result<()> {
    let root = repository()?;
    let folder = if is_kept {
        root.join("dev/bench/results")
    } else {
        std::env::temp_dir().join("supaqueue-bench")
    };
    fs::create_dir_all(&folder)?;
    let numbers = root.join("target/bench");
    fs::create_dir_all(&numbers)?;
    let numbers = numbers.join(format!("{name}.json"));
    fs::write(&numbers, serde_json::to_string_pretty(run)? + "\n")?;
    println!("every number: {}", numbers.display());
    fs::write(folder.join(format!("{name}.md")), page)?;
    draw(&folder.join(format!("{name}.svg")))?;
    if !is_kept {
        println!("a short run, so it is not kept: see {}", folder.display());
        return Ok(());
    }
    println!("kept in {}", folder.display());

    let path = root.join("README.md");
    let readme = fs::read_to_string(&path)?;
    let block = format!("![{name}](dev/bench/results/{name}.svg)\n\n{page}");
    let Some(readme) = with_block(&readme, name, &block) else {
        return Err(format!(
            "cannot show the results in {}: it has no lines <!-- {name} --> and <!-- /{name} -->; \
             put them where the results are to be",
            path.display()
        )
        .into());
    };
    fs::write(&path, readme)?;
    println!("shown in {}", path.display());
    Ok(())
}

fn repository() -> Result<PathBuf> {
    Ok(Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?)
}

/// The text with another block between its lines `<!-- name -->` and `<!-- /name -->`.
fn with_block(text: &str, name: &str, block: &str) -> Option<String> {
    let (before, rest) = text.split_once(&format!("<!-- {name} -->\n"))?;
    let (_, after) = rest.split_once(&format!("<!-- /{name} -->\n"))?;
    Some(format!(
        "{before}<!-- {name} -->\n{block}<!-- /{name} -->\n{after}"
    ))
}

#[cfg(test)]
mod tests {
    use super::with_block;

    #[test]
    fn a_block_takes_the_place_of_the_one_before() {
        let text = "a\n<!-- speed -->\nold\n<!-- /speed -->\nb\n";
        let want = "a\n<!-- speed -->\nnew\n<!-- /speed -->\nb\n";
        assert_eq!(with_block(text, "speed", "new\n").as_deref(), Some(want));
        assert_eq!(with_block(text, "load", "new\n"), None);
    }
}
