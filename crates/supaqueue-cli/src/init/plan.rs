//! The files that are missing, and those that differ and stay.

use anyhow::Result;
use jiff::Timestamp;

use super::first_queue::{self, FirstQueue};
use super::kept;
use crate::command_line::CommandLine;
use crate::output::errln;
use crate::project::file_set::FileSet;
use crate::project::hosted::FUNCTION;
use crate::project::supabase_dir::SupabaseDir;

pub(super) struct Plan {
    pub(super) files: FileSet,
    kept: Vec<String>,
}

impl Plan {
    pub(super) fn new(
        dir: &SupabaseDir,
        queue: Option<&FirstQueue>,
        now: Timestamp,
    ) -> Result<Self> {
        let mut plan = Self {
            files: FileSet::default(),
            kept: Vec::new(),
        };
        let stamp = dir.add_migrations(&mut plan.files, None, dir.next_stamp(now)?)?;
        let mut without_jwt = vec![FUNCTION];
        if let Some(queue) = queue {
            plan.add_queue(dir, queue, stamp)?;
            if queue.is_sample && !dir.entry_point(&queue.function).exists() {
                plan.files
                    .add(dir.entry_point(&queue.function), first_queue::SAMPLE);
                without_jwt.push(&queue.function);
            }
        }
        plan.add_function(dir);
        dir.add_config(&mut plan.files, &without_jwt)?;
        Ok(plan)
    }

    fn add_queue(&mut self, dir: &SupabaseDir, queue: &FirstQueue, stamp: u64) -> Result<()> {
        let Some(existing) = queue.existing_migration(dir)? else {
            let path = dir.migration(queue.migration_name(stamp));
            self.files.add(path, queue.migration());
            return Ok(());
        };
        if std::fs::read_to_string(&existing).ok() != Some(queue.migration()) {
            let change = dir.supabase("migration new");
            let remedy = format!(
                "it makes the queue. To change the queue, write another migration: `{change} NAME`."
            );
            self.kept.push(kept(&existing, remedy));
        }
        Ok(())
    }

    fn add_function(&mut self, dir: &SupabaseDir) {
        let mut changed = Vec::new();
        for (path, bytes) in dir.function_files() {
            match std::fs::read(&path) {
                Ok(there) if there != bytes => changed.push(path),
                _ => self.files.add(path, bytes),
            }
        }
        for path in changed {
            let replace = CommandLine::supaqueue("install --write-function");
            let remedy =
                format!("it differs from the file of this program, which `{replace}` writes.");
            self.kept.push(kept(&path, remedy));
        }
    }

    pub(super) fn print_kept(&self) {
        for line in &self.kept {
            errln!("{line}");
        }
    }
}
