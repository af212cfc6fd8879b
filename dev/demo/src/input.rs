//! Reads the files that the demo is given, or says why it cannot use one.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::sections::{self, Section};

/// What the demo reads when it is given no file: this repository's README.
const DEFAULT: (&str, &str) = ("README.md", include_str!("../../../README.md"));

/// A text that is larger makes no better demo. In bytes.
const MOST_BYTES: u64 = 20_000_000;

/// A payload has at most 5 MB, and a text may grow by what JSON escapes. In bytes.
const MOST_BYTES_OF_A_JOB: usize = 2_000_000;

/// A file and its sections.
#[derive(Debug)]
pub(super) struct Document {
    /// As it was given, on one line.
    pub(super) name: String,
    pub(super) sections: Vec<Section>,
}

/// A file and its text, whole.
#[derive(Debug)]
pub(super) struct Text {
    /// As it was given, on one line.
    pub(super) name: String,
    pub(super) text: String,
}

/// A file that cannot be used, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable {
    path: PathBuf,
    reason: String,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}",
            sections::one_line(&self.path.to_string_lossy()),
            self.reason
        )
    }
}

/// Reads and cuts the files; all of them must be usable.
pub(super) fn read(paths: &[PathBuf]) -> Result<Vec<Document>, Unusable> {
    if paths.is_empty() {
        let (name, text) = DEFAULT;
        return Ok(vec![Document {
            name: name.into(),
            sections: sections::of_markdown(text),
        }]);
    }
    paths.iter().map(|path| document(path)).collect()
}

/// Reads the files whole; each must fit in the payload of one job.
pub(super) fn texts(paths: &[PathBuf]) -> Result<Vec<Text>, Unusable> {
    if paths.is_empty() {
        let (name, text) = DEFAULT;
        return Ok(vec![Text {
            name: name.into(),
            text: text.into(),
        }]);
    }
    paths
        .iter()
        .map(|path| {
            let unusable = |reason| Unusable {
                path: path.into(),
                reason,
            };
            let text = text(path).map_err(unusable)?;
            if text.len() > MOST_BYTES_OF_A_JOB {
                return Err(unusable(format!(
                    "this file has more than {} MB, too much for one job",
                    MOST_BYTES_OF_A_JOB / 1_000_000
                )));
            }
            Ok(Text {
                name: sections::one_line(&path.to_string_lossy()),
                text,
            })
        })
        .collect()
}

fn document(path: &Path) -> Result<Document, Unusable> {
    let text = text(path).map_err(|reason| Unusable {
        path: path.into(),
        reason,
    })?;
    let is_markdown = path
        .extension()
        .and_then(|extension| extension.to_str())
        .is_some_and(|extension| {
            ["md", "markdown", "mdx"]
                .iter()
                .any(|known| extension.eq_ignore_ascii_case(known))
        });
    let sections = if is_markdown {
        sections::of_markdown(&text)
    } else {
        sections::of_plain_text(&text)
    };
    Ok(Document {
        name: sections::one_line(&path.to_string_lossy()),
        sections,
    })
}

fn text(path: &Path) -> Result<String, String> {
    let unreadable = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => "there is no such file".to_owned(),
        io::ErrorKind::PermissionDenied => "you may not read this file".to_owned(),
        _ => format!("cannot be read: {error}"),
    };
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Err("this is a folder; name the files in it".into());
    }
    let mut bytes = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    // One byte more than is allowed, to tell. A pipe has no length to ask for.
    file.take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(format!(
            "this file has more than {} MB",
            MOST_BYTES / 1_000_000
        ));
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => text,
        _ => return Err("this is a binary file, or not in UTF-8".into()),
    };
    // The mark that some editors put first is not part of the text.
    let text = text
        .strip_prefix('\u{FEFF}')
        .map(str::to_owned)
        .unwrap_or(text);
    if text.trim().is_empty() {
        return Err("this file is empty".into());
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
        read(&[path]).err().map(|unusable| unusable.reason)
    }

    #[test]
    fn what_is_not_text_is_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"", "this file is empty"),
            (b" \n\t\r\n", "this file is empty"),
            (b"\xEF\xBB\xBF", "this file is empty"),
            (
                b"\x89PNG\r\n\x1a\n\0\0",
                "this is a binary file, or not in UTF-8",
            ),
            (b"nul \0 inside", "this is a binary file, or not in UTF-8"),
            (
                b"caf\xE9 in Latin-1",
                "this is a binary file, or not in UTF-8",
            ),
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
    fn what_is_not_a_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none.md");
        assert_eq!(
            read(&[missing]).unwrap_err().reason,
            "there is no such file"
        );
        assert_eq!(
            read(&[folder.path().into()]).unwrap_err().reason,
            "this is a folder; name the files in it"
        );
    }

    #[test]
    fn a_refusal_is_one_line_whatever_the_name() {
        let unusable = read(&["two\nlines\x1b[2J".into()]).unwrap_err();
        assert_eq!(unusable.to_string(), "two lines [2J: there is no such file");
    }

    #[test]
    fn the_extension_says_how_a_file_is_cut() {
        let folder = tempfile::tempdir().unwrap();
        let text = "# One\ntext\n# Two\ntext\n";
        let paths = ["a.md", "b.MARKDOWN", "c.txt", "d"].map(|name| folder.path().join(name));
        for path in &paths {
            fs::write(path, text).unwrap();
        }
        let counts: Vec<_> = read(&paths)
            .unwrap()
            .iter()
            .map(|document| document.sections.len())
            .collect();
        assert_eq!(counts, [2, 2, 1, 1]);
    }

    #[test]
    fn the_default_is_the_readme() {
        let documents = read(&[]).unwrap();
        assert_eq!(documents[0].name, "README.md");
        assert!(
            documents[0].sections.len() >= 10,
            "{} sections",
            documents[0].sections.len()
        );
    }
}
