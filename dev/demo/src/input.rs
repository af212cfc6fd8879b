//! Reads the input files.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::sections::{self, Section};

/// The default input: this repository's README.
const DEFAULT: (&str, &str) = ("README.md", include_str!("../../../README.md"));

/// The maximum size of a file in bytes. A larger one makes no better demo.
const MAX_BYTES: u64 = 20_000_000;

/// The maximum size of a text in a job in bytes. A payload may have 5 MB, and JSON escapes may enlarge it.
const MAX_JOB_BYTES: usize = 2_000_000;

/// The contents of a file.
#[derive(Debug)]
pub(super) struct Text {
    /// The path as given, on one line.
    pub(super) name: String,
    pub(super) text: String,
    is_markdown: bool,
}

impl Text {
    /// The sections: of Markdown at its headings, of other text at blank lines.
    pub(super) fn sections(&self) -> Vec<Section> {
        match self.is_markdown {
            true => sections::of_markdown(&self.text),
            false => sections::of_plain_text(&self.text),
        }
    }

    /// Checks that the whole text fits in the payload of a job.
    pub(super) fn check_fits_in_a_job(&self) -> Result<(), Unusable> {
        if self.text.len() <= MAX_JOB_BYTES {
            return Ok(());
        }
        Err(Unusable(format!(
            "{}: the file is larger than {} MB, which is too large for one job",
            self.name,
            MAX_JOB_BYTES / 1_000_000
        )))
    }
}

/// A file that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable(String);

impl std::fmt::Display for Unusable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unusable {}

/// Reads the files, all of which must be usable, or the default if there are none.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Text>, Unusable> {
    if paths.is_empty() {
        let (name, text) = DEFAULT;
        return Ok(vec![Text {
            name: name.into(),
            text: text.into(),
            is_markdown: true,
        }]);
    }
    let read = |path: &PathBuf| {
        let name = sections::one_line(&path.to_string_lossy());
        match read_text(path) {
            Ok(text) => Ok(Text {
                name,
                text,
                is_markdown: is_markdown(path),
            }),
            Err(reason) => Err(Unusable(format!("{name}: {reason}"))),
        }
    };
    paths.iter().map(read).collect()
}

fn is_markdown(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    ["md", "markdown", "mdx"]
        .iter()
        .any(|known| extension.eq_ignore_ascii_case(known))
}

fn read_text(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => format!("cannot read the file: {error}"),
    };
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err("is a folder; pass the files in it".into());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    // Reads one byte beyond the limit to detect larger files, as a pipe has no length.
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(format!(
            "the file is larger than {} MB",
            MAX_BYTES / 1_000_000
        ));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text,
        _ => return Err("not a text file in UTF-8".into()),
    };
    // A byte order mark is not part of the text.
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text).to_owned();
    if text.trim().is_empty() {
        return Err("the file is empty".into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, content: &[u8]) -> Option<String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        let Unusable(message) = read(&[path]).err()?;
        Some(message.rsplit(": ").next()?.to_owned())
    }

    #[test]
    fn files_without_text_are_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "the file is empty"),
            (b" \n\t\r\n", "the file is empty"),
            (b"\xEF\xBB\xBF", "the file is empty"),
            (b"\x89PNG\r\n\x1a\n\0\0", "not a text file in UTF-8"),
            (b"nul \0 inside", "not a text file in UTF-8"),
            (b"caf\xE9 in Latin-1", "not a text file in UTF-8"),
        ];
        for (content, want) in cases {
            assert_eq!(
                refusal("x.md", content).as_deref(),
                Some(want),
                "{content:?}"
            );
            assert_eq!(refusal("x", content).as_deref(), Some(want), "{content:?}");
        }
    }

    #[test]
    fn missing_files_and_folders_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let check = |path: PathBuf, want: &str| {
            let Unusable(message) = read(&[path]).unwrap_err();
            assert!(message.ends_with(want), "{message}");
        };
        check(folder.path().join("none.md"), ": no such file");
        check(folder.path().into(), ": is a folder; pass the files in it");
    }

    #[test]
    fn control_characters_in_a_name_are_not_printed() {
        let unusable = read(&["two\nlines\x1b[2J".into()]).unwrap_err();
        assert_eq!(unusable.to_string(), "two lines [2J: no such file");
    }

    #[test]
    fn the_extension_determines_how_a_file_is_split() {
        let folder = tempfile::tempdir().unwrap();
        let text = "# One\ntext\n# Two\ntext\n";
        let paths = ["a.md", "b.MARKDOWN", "c.txt", "d"].map(|name| folder.path().join(name));
        for path in &paths {
            fs::write(path, text).unwrap();
        }
        let counts: Vec<_> = read(&paths)
            .unwrap()
            .iter()
            .map(|text| text.sections().len())
            .collect();
        assert_eq!(counts, [2, 2, 1, 1]);
    }

    #[test]
    fn the_default_is_the_readme() {
        let texts = read(&[]).unwrap();
        assert_eq!(texts[0].name, "README.md");
        let sections = texts[0].sections().len();
        assert!(sections >= 5, "{sections} sections");
    }
}
