//! Files that results are written to.
//!
//! A result is made whole before its file is touched, and then takes the place of
//! the one before by a rename. So whoever looks, also after we were killed or the
//! disk was full, finds the one or the other.

use std::fs::{self, Metadata, Permissions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::Path;

use anyhow::Context;
use transom_projection::shown;

/// Writes a file that was asked for, if it was.
pub(crate) fn write_to(
    path: Option<&Path>,
    content: impl FnOnce(&mut Vec<u8>) -> io::Result<()>,
) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let write = || {
        let mut bytes = Vec::new();
        content(&mut bytes)?;
        put(path, &bytes)
    };
    write().with_context(|| format!("cannot write {}", shown(&path)))
}

fn put(path: &Path, content: &[u8]) -> io::Result<()> {
    let old = match fs::symlink_metadata(path) {
        Ok(old) if old.is_file() => Some(old),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        // Devices and pipes cannot be replaced, and links may lead to them.
        _ => return fs::write(path, content),
    };
    match replace(path, old.as_ref(), content) {
        // Somebody else's file, or one in a directory where none can be made, may
        // still be one that we can write to.
        Err(error) if old.is_some() && is_refusal(&error) => fs::write(path, content),
        other => other,
    }
}

fn is_refusal(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem | ErrorKind::ResourceBusy
    )
}

fn replace(path: &Path, old: Option<&Metadata>, content: &[u8]) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    // Less the umask.
    let permissions = Permissions::from_mode(0o666);
    let mut new = tempfile::Builder::new()
        .prefix(".transom-")
        .permissions(permissions)
        .tempfile_in(directory)?;
    new.write_all(content)?;
    if let Some(old) = old {
        fchown(&new, Some(old.uid()), Some(old.gid()))?;
        new.as_file().set_permissions(old.permissions())?;
    }
    new.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn write(path: &Path, content: &str) -> anyhow::Result<()> {
        write_to(Some(path), |out| out.write_all(content.as_bytes()))
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_keeps_its_permissions() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        write(&path, "old").unwrap();
        let mode = Permissions::from_mode(0o640);
        fs::set_permissions(&path, mode.clone()).unwrap();
        fs::hard_link(&path, directory.path().join("before")).unwrap();

        let failed = write_to(Some(&path), |out| {
            out.write_all(b"half")?;
            Err(io::Error::other("no more"))
        });
        assert!(format!("{:#}", failed.unwrap_err()).ends_with("no more"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");

        write(&path, "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        let before = fs::read_to_string(directory.path().join("before"));
        assert_eq!(before.unwrap(), "old", "it is another file");
        let now = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(now & 0o777, mode.mode());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_is_no_file_stays_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let (link, target) = (directory.path().join("link"), directory.path().join("file"));
        symlink(&target, &link).unwrap();
        write(&link, "through").unwrap();
        assert!(link.is_symlink());
        assert_eq!(fs::read_to_string(target).unwrap(), "through");
        write(Path::new("/dev/null"), "nowhere").unwrap();
        assert!(!Path::new("/dev/null").is_file());
    }
}
