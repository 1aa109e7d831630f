//! What users say of a mount, as the kernel has it.

use rustix::mount::MountAttrFlags;

/// Reads options of mount(8) that say something of one mount. Of contradicting
/// ones the last holds. Without privilege, set-id bits and device files never
/// work. An unknown one is the error, for people.
pub(crate) fn attributes(
    options: &[String],
    is_privileged: bool,
) -> Result<MountAttrFlags, String> {
    let always = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
    let mut attributes = always;
    for option in options.iter().flat_map(|options| options.split(',')) {
        let (flag, is_set) = match option {
            "nosuid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, true),
            "suid" => (MountAttrFlags::MOUNT_ATTR_NOSUID, false),
            "nodev" => (MountAttrFlags::MOUNT_ATTR_NODEV, true),
            "dev" => (MountAttrFlags::MOUNT_ATTR_NODEV, false),
            "noexec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, true),
            "exec" => (MountAttrFlags::MOUNT_ATTR_NOEXEC, false),
            "nosymfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, true),
            "symfollow" => (MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, false),
            "noatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, true),
            "relatime" => (MountAttrFlags::MOUNT_ATTR_NOATIME, false),
            "nodiratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, true),
            "diratime" => (MountAttrFlags::MOUNT_ATTR_NODIRATIME, false),
            unknown => return Err(format!("unknown mount option `{unknown}`")),
        };
        if always.contains(flag) && !is_set && !is_privileged {
            return Err(format!("only root may mount with `{option}`"));
        }
        attributes.set(flag, is_set);
    }
    Ok(attributes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn privilege_is_needed_to_let_set_id_bits_work() {
        let read = |options: &str, is_privileged| attributes(&[options.into()], is_privileged);
        let all = MountAttrFlags::all();
        assert_eq!(
            read("suid,dev", true).unwrap_or(all),
            MountAttrFlags::empty()
        );
        assert!(read("suid", false).unwrap_err().contains("`suid`"));
        let plain = read("noexec,exec,noatime", false).unwrap_or(all);
        assert!(plain.contains(MountAttrFlags::MOUNT_ATTR_NOATIME));
        assert!(!plain.contains(MountAttrFlags::MOUNT_ATTR_NOEXEC));
        assert!(plain.contains(MountAttrFlags::MOUNT_ATTR_NOSUID));
        assert!(read("loop", true).unwrap_err().contains("`loop`"));
    }
}
