//! Files that are written together: all of them, or none.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::atomic_file;

/// Files with their new content.
#[derive(Debug, Default)]
pub(crate) struct FileSet(Vec<(PathBuf, Vec<u8>)>);

impl FileSet {
    /// Adds a file, unless it has this content already.
    pub(crate) fn add(&mut self, path: PathBuf, content: impl Into<Vec<u8>>) {
        let content = content.into();
        if std::fs::read(&path).ok().as_ref() != Some(&content) {
            self.0.push((path, content));
        }
    }

    /// The files, as messages name them: from the current folder.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(|(path, _)| name(path)).collect()
    }

    /// Writes all files and creates their folders. After an error everything is as it was before.
    pub(crate) fn write(&self) -> Result<()> {
        let mut undo = Undo(Vec::new());
        for (path, content) in &self.0 {
            undo.prepare(path)
                .and_then(|()| atomic_file::write(path, content))
                .inspect_err(|_| undo.run())?;
        }
        Ok(())
    }
}

/// A path as messages name it.
pub(crate) fn name(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here)
        .unwrap_or(path)
        .display()
        .to_string()
}

/// What was there before; nothing where something new was made.
struct Undo(Vec<(PathBuf, Option<Vec<u8>>)>);

impl Undo {
    /// Notes what is there, and creates the folders of a file.
    fn prepare(&mut self, path: &Path) -> Result<()> {
        let missing = path
            .ancestors()
            .skip(1)
            .take_while(|folder| !folder.exists());
        for folder in missing.collect::<Vec<_>>().into_iter().rev() {
            std::fs::create_dir(folder)
                .with_context(|| format!("cannot create {}", folder.display()))?;
            self.0.push((folder.to_owned(), None));
        }
        let before = match path.exists() {
            true => Some(
                std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?,
            ),
            false => None,
        };
        self.0.push((path.to_owned(), before));
        Ok(())
    }

    /// Errors are ignored: the one that is reported is that which made this necessary.
    fn run(&mut self) {
        for (path, before) in self.0.drain(..).rev() {
            let _ = match before {
                Some(content) => atomic_file::write(&path, &content),
                None if path.is_dir() => std::fs::remove_dir(&path).map_err(Into::into),
                None => std::fs::remove_file(&path).map_err(Into::into),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn all_files_are_written_or_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("changed"), "old").unwrap();
        fs::write(path("same"), "same").unwrap();
        let mut files = FileSet::default();
        for name in ["changed", "same", "a/new", "a/b/new"] {
            files.add(path(name), if name == "same" { "same" } else { "new" });
        }
        assert_eq!(files.names().len(), 3);

        // A folder that has the name of a file.
        let mut obstructed = FileSet(files.0.clone());
        fs::create_dir(path("obstacle")).unwrap();
        obstructed.add(path("obstacle"), "new");
        let before = tree(folder.path());
        assert!(obstructed.write().is_err());
        assert_eq!(tree(folder.path()), before);

        files.write().unwrap();
        for name in ["changed", "a/new", "a/b/new"] {
            assert_eq!(fs::read_to_string(path(name)).unwrap(), "new");
        }
    }

    /// Every path below a folder, with the content of files.
    fn tree(folder: &Path) -> Vec<String> {
        let mut lines = Vec::new();
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let content = fs::read_to_string(&path).unwrap_or_default();
            lines.push(format!("{} {content}", path.display()));
            if path.is_dir() {
                lines.extend(tree(&path));
            }
        }
        lines.sort();
        lines
    }
}
