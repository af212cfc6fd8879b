//! Writes files as a whole: to a temporary file in the same folder, which then takes the name. Who
//! reads the file meanwhile, and who finds it after a crash, has the old content or the new one.

use std::fs::Metadata;
use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};

/// Writes a file that only its owner can read, and creates its parent folders. What has the name is
/// replaced: a link is not followed, and no permissions are kept.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<()> {
    let create = || match path.parent() {
        Some(parent) => std::fs::create_dir_all(parent),
        None => Ok(()),
    };
    create()
        .and_then(|()| replace(path, content, 0o600, None))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Writes a file of the user's, who may have made it a link, and keeps its permissions and owner.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<()> {
    let target = match path.is_symlink() {
        true => path.canonicalize(),
        false => Ok(path.to_owned()),
    };
    target
        .and_then(|target| {
            let before = std::fs::metadata(&target).ok();
            replace(&target, content, 0o666, before.as_ref())
        })
        .with_context(|| format!("cannot write {}", path.display()))
}

/// `mode` is subject to the umask, and only for a new file.
fn replace(
    path: &Path,
    content: &[u8],
    #[cfg_attr(windows, allow(unused_variables))] mode: u32,
    before: Option<&Metadata>,
) -> io::Result<()> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".supaqueue-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(mode));
    let mut file = builder.tempfile_in(path.parent().unwrap_or(path))?;
    if let Some(before) = before {
        // First, as only root can give a file away, and giving it away may clear bits of its mode.
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt, fchown};
            let _ = fchown(file.as_file(), Some(before.uid()), Some(before.gid()));
        }
        file.as_file().set_permissions(before.permissions())?;
    }
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
    }

    /// Names in a folder: nothing temporary must stay there.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_private_file_replaces_whatever_has_its_name() {
        type Prepare = fn(&Path, &Path);
        let cases: [(&str, Prepare); 5] = [
            ("nothing", |_, _| {}),
            ("a readable file", |path, _| {
                fs::write(path, "old").unwrap();
                fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
            }),
            ("a link", |path, other| symlink(other, path).unwrap()),
            ("a hard link", |path, other| {
                fs::hard_link(other, path).unwrap()
            }),
            ("a link to nothing", |path, _| {
                symlink("/nowhere/x", path).unwrap()
            }),
        ];
        for (what, prepare) in cases {
            let folder = tempfile::tempdir().unwrap();
            let other = folder.path().join("other");
            fs::write(&other, "other").unwrap();
            fs::set_permissions(&other, PermissionsExt::from_mode(0o644)).unwrap();
            let path = folder.path().join("below/secret");
            fs::create_dir(folder.path().join("below")).unwrap();
            prepare(&path, &other);
            write_private(&path, b"new").unwrap();
            assert!(!path.is_symlink(), "{what}");
            assert_eq!(mode(&path), 0o600, "{what}");
            assert_eq!(fs::read(&path).unwrap(), b"new", "{what}");
            assert_eq!(fs::read(&other).unwrap(), b"other", "{what}");
            assert_eq!(names(&folder.path().join("below")), ["secret"], "{what}");
        }
    }

    #[test]
    fn a_users_file_keeps_its_permissions_and_is_written_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.toml");
        for kept in [0o644, 0o600, 0o755, 0o660] {
            fs::write(&path, "old").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(kept)).unwrap();
            let reader = fs::File::open(&path).unwrap();
            write(&path, b"new").unwrap();
            assert_eq!(mode(&path), kept);
            assert_eq!(fs::read(&path).unwrap(), b"new");
            assert_eq!(io::read_to_string(reader).unwrap(), "old");
        }
        let link = folder.path().join("link");
        symlink("config.toml", &link).unwrap();
        write(&link, b"through").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read(&path).unwrap(), b"through");

        let (new, like) = (folder.path().join("new"), folder.path().join("like"));
        fs::write(&like, "").unwrap();
        write(&new, b"").unwrap();
        assert_eq!(mode(&new), mode(&like));
        assert_eq!(names(folder.path()), ["config.toml", "like", "link", "new"]);
        assert!(write(&folder.path().join("no/such/folder"), b"").is_err());
    }
}
