//! Notices that a function's files have changed.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What was last changed among some files, and how many there are: another stamp, another code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    newest: SystemTime,
    files: usize,
}

impl Stamp {
    /// Looks at files and at folders with all that is in them. What cannot be read does not count.
    pub(super) fn of(paths: &[PathBuf]) -> Self {
        let mut stamp = Self {
            newest: SystemTime::UNIX_EPOCH,
            files: 0,
        };
        for path in paths {
            stamp.add(path);
        }
        stamp
    }

    fn add(&mut self, path: &Path) {
        // A function's dependencies change with its configuration, which is looked at.
        if path.ends_with("node_modules") {
            return;
        }
        if let Ok(entries) = path.read_dir() {
            for entry in entries.flatten() {
                self.add(&entry.path());
            }
        } else if let Ok(changed) = path.metadata().and_then(|file| file.modified()) {
            self.newest = self.newest.max(changed);
            self.files += 1;
        }
    }
}
