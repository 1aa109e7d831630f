//! What containers and volumes are known by.
//!
//! Both are the host's own. A container's identity is what is written on its
//! resources, or is made of the one resource it has; the module is told, and
//! says nothing of it. A volume is known by its container and the key that the
//! container gave it, so two containers cannot get in each other's way.

use std::fmt;
use std::os::fd::AsFd;
use std::str::FromStr;

use transom_module::{ContainerId, Errno, Error, NAME_BYTES_MAX, Resource, Result};

/// A volume, or block volume, of a container. Written as
/// `CONTAINER/KEY`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VolumeId {
    /// Whose it is.
    pub container: ContainerId,
    /// What the container knows it by.
    pub key: String,
}

impl fmt::Display for VolumeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.container, self.key)
    }
}

impl FromStr for VolumeId {
    type Err = Error;

    /// `EINVAL` for what is not of that form.
    fn from_str(text: &str) -> Result<Self> {
        let parsed = text.split_once('/').and_then(|(container, key)| {
            let container = container.parse().ok()?;
            is_key(key).then(|| Self {
                container,
                key: key.into(),
            })
        });
        parsed.ok_or_else(|| {
            let message = format!("`{text}` is not a volume's id, which is `CONTAINER/KEY`");
            Error::new(Errno::EINVAL, message)
        })
    }
}

/// Whether a container may give a volume that key.
pub(crate) fn is_key(key: &str) -> bool {
    !key.is_empty() && key.len() <= NAME_BYTES_MAX && !key.contains(['/', '\0'])
}

/// The identity of a container whose only resource has none written on it: the
/// same for the same module, volume of the host and inode, also after a
/// restart.
pub(crate) fn of_resource(module: &str, resource: &Resource) -> Result<ContainerId> {
    let failed = |error: rustix::io::Errno| {
        let message = format!("cannot examine `{}`", resource.path().display());
        Error::from_host(error.into(), message)
    };
    let status = rustix::fs::fstat(resource.as_fd()).map_err(failed)?;
    let volume = rustix::fs::fstatvfs(resource.as_fd()).map_err(failed)?;
    let mut hash = Fnv::new();
    hash.add(module.as_bytes());
    hash.add(&[0]);
    // The number of a device may be another one's after the next start of the
    // machine, but some file systems have no other identity.
    match volume.f_fsid {
        0 => hash.add(&status.st_dev.to_le_bytes()),
        identity => hash.add(&identity.to_le_bytes()),
    }
    hash.add(&status.st_ino.to_le_bytes());
    hash.add(&status.st_rdev.to_le_bytes());
    let mut bytes = hash.0.to_be_bytes();
    // A UUID of version 8, whose other bits are anybody's own (RFC 9562, 5.8).
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(ContainerId::from_bytes(bytes))
}

/// FNV-1a with 128 bits (draft-eastlake-fnv): it need not be hard to invert,
/// only the same for ever.
struct Fnv(u128);

impl Fnv {
    const fn new() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }

    fn add(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u128::from(byte)).wrapping_mul(0x0100_0000_0000_0000_0000_013b);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::path::Path;

    use transom_module::ResourceKind;

    use super::*;

    #[test]
    fn volumes_are_written_as_container_and_key() {
        let text = "00112233-4455-8677-8899-aabbccddeeff/content";
        let id: VolumeId = text.parse().unwrap();
        assert_eq!(id.key, "content");
        assert_eq!(id.to_string(), text);
        for wrong in [
            "",
            "content",
            "00112233-4455-8677-8899-aabbccddeeff/",
            "x/y",
        ] {
            let error = wrong.parse::<VolumeId>().unwrap_err();
            assert_eq!(error.errno(), Errno::EINVAL, "{wrong}");
        }
    }

    #[test]
    fn a_resource_makes_the_same_identity_each_time() {
        let of = |module: &str, path: &Path| {
            let file = File::open(path).unwrap();
            let resource = Resource::new(ResourceKind::Directory, path, file.into());
            of_resource(module, &resource).unwrap()
        };
        let directory = transom_test::temp_dir().unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(directory.path(), &link).unwrap();
        let id = of("one", directory.path());
        assert_eq!(of("one", &link), id);
        assert_ne!(of("other", directory.path()), id);
        assert_ne!(of("one", directory.path().parent().unwrap()), id);
        assert_eq!(id.to_string().as_bytes()[14], b'8');
    }

    #[test]
    fn the_hash_is_the_published_one() {
        let mut hash = Fnv::new();
        hash.add(b"a");
        assert_eq!(hash.0, 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
