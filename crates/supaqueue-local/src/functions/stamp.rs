//! Detects that a function's files have changed.

use std::path::PathBuf;
use std::time::SystemTime;

use walkdir::WalkDir;

/// The number of files and their latest modification. When it changes, the code has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    newest: SystemTime,
    files: usize,
}

impl Stamp {
    /// Covers files, and folders with their contents. Skips unreadable files, and `node_modules`,
    /// which changes only together with the function's configuration.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let modified = paths.iter().flat_map(|path| {
            WalkDir::new(path)
                .follow_links(true)
                .into_iter()
                .filter_entry(|entry| entry.file_name() != "node_modules")
                .flatten()
                .filter(|entry| entry.file_type().is_file())
                .filter_map(|entry| entry.metadata().ok()?.modified().ok())
        });
        let start = Self {
            newest: SystemTime::UNIX_EPOCH,
            files: 0,
        };
        modified.fold(start, |stamp, modified| Self {
            newest: stamp.newest.max(modified),
            files: stamp.files + 1,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_when_a_file_is_added_modified_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("mine/node_modules")).unwrap();
        std::fs::write(path("mine/a.ts"), "").unwrap();
        std::fs::write(path("deno.json"), "").unwrap();
        let stamp = || Stamp::of(&[path("mine"), path("deno.json"), path("absent")]);
        let first = stamp();
        assert_eq!(first.files, 2);

        std::fs::write(path("mine/node_modules/b.ts"), "").unwrap();
        assert_eq!(stamp(), first, "node_modules is skipped");

        std::fs::write(path("mine/b.ts"), "").unwrap();
        assert_ne!(stamp(), first, "a file was added");
        std::fs::remove_file(path("mine/b.ts")).unwrap();
        assert_eq!(stamp(), first, "it was removed again");

        let later = first.newest + std::time::Duration::from_secs(1);
        let file = std::fs::File::options().write(true).open(path("mine/a.ts"));
        file.unwrap().set_modified(later).unwrap();
        assert_ne!(stamp(), first, "a file was modified");
    }
}
