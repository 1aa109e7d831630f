//! What a request does not say of its caller, and the caller's process does.
//!
//! Requests carry a user and a group, or not even those where mounts can be
//! idmapped. Groups besides and capabilities they never carry. All of it stands
//! in `/proc`, which costs more than most requests: it is for what is rare.
//! The caller waits for its answer meanwhile, so that it is still there.

use std::fs;

use rustix::thread::CapabilitySet;

/// `CAP_FSETID` in a set of capabilities.
const MAY_SET_IDS: u64 = CapabilitySet::FSETID.bits();

const SET_USER_ID: u32 = libc::S_ISUID;
const SET_GROUP_ID: u32 = libc::S_ISGID;
const GROUP_EXECUTE: u32 = libc::S_IXGRP;

/// The credentials of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// File system user id.
    pub(crate) uid: u32,
    /// File system group id.
    pub(crate) gid: u32,
    /// Supplementary groups.
    groups: Vec<u32>,
    /// Whether it keeps set-id bits of others' files that it changes.
    may_set_ids: bool,
}

impl Credentials {
    /// Those of a thread. `None` if this process does not see it.
    pub(crate) fn of(thread: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{thread}/status")).ok()?;
        let mut credentials = Self::parse(&status)?;
        // In a user namespace of its own it may have every capability, and none
        // over these files.
        credentials.may_set_ids &= is_in_our_user_namespace(thread);
        Some(credentials)
    }

    fn parse(status: &str) -> Option<Self> {
        let field = |name| status.lines().find_map(|line| line.strip_prefix(name));
        // Real, effective, saved, file system.
        let of_files = |ids: &str| ids.split_whitespace().nth(3)?.parse().ok();
        let groups = field("Groups:")?.split_whitespace();
        let capabilities = u64::from_str_radix(field("CapEff:")?.trim(), 16).ok()?;
        Some(Self {
            uid: of_files(field("Uid:")?)?,
            gid: of_files(field("Gid:")?)?,
            groups: groups.filter_map(|group| group.parse().ok()).collect(),
            may_set_ids: capabilities & MAY_SET_IDS != 0,
        })
    }

    /// The permissions and set-id bits that a regular file with `mode` and
    /// group `gid` keeps when this thread changes its content: the rule of
    /// `setattr_should_drop_suidgid` in the kernel's `fs/attr.c`. `None` for a
    /// group that may be another one to this thread.
    pub(crate) fn leave(&self, mode: u32, gid: Option<u32>) -> u32 {
        if self.may_set_ids {
            return mode;
        }
        // Where the group may not execute, the bit once stood for locking, and
        // is left to its members.
        let keeps_group = mode & GROUP_EXECUTE == 0 && gid.is_some_and(|gid| self.is_in_group(gid));
        let lost = SET_USER_ID | if keeps_group { 0 } else { SET_GROUP_ID };
        mode & !lost
    }

    fn is_in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.groups.contains(&gid)
    }
}

/// The permissions and set-id bits that a file keeps when a thread that nobody
/// sees changes its content.
pub(crate) fn left_by_stranger(mode: u32) -> u32 {
    mode & !(SET_USER_ID | SET_GROUP_ID)
}

fn is_in_our_user_namespace(thread: u32) -> bool {
    let namespace = |of: &str| fs::read_link(format!("/proc/{of}/ns/user")).ok();
    let ours = namespace("self");
    ours.is_some() && namespace(&thread.to_string()) == ours
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tsh\nUid:\t1\t2\t3\t1001\nGid:\t5\t6\t7\t1002\n\
                          Groups:\t1500 1600 \nCapEff:\t0000000000000010\n";

    #[test]
    fn a_thread_is_what_its_status_says() {
        let credentials = Credentials::parse(STATUS).unwrap();
        let expected = Credentials {
            uid: 1001,
            gid: 1002,
            groups: vec![1500, 1600],
            may_set_ids: true,
        };
        assert_eq!(credentials, expected);
        let without = STATUS.replace("10\n", "0f\n").replace("1500 1600 ", "");
        let without = Credentials::parse(&without).unwrap();
        assert_eq!((without.groups, without.may_set_ids), (vec![], false));
    }

    #[test]
    fn this_thread_is_seen_and_a_thread_that_cannot_be_is_not() {
        let own = Credentials::of(rustix::thread::gettid().as_raw_nonzero().get() as u32).unwrap();
        assert_eq!(own.uid, rustix::process::geteuid().as_raw());
        assert_eq!(own.gid, rustix::process::getegid().as_raw());
        assert_eq!(Credentials::of(0), None);
    }

    #[test]
    fn set_id_bits_stay_only_with_the_right_to_set_them() {
        let member = Credentials {
            may_set_ids: false,
            ..Credentials::parse(STATUS).unwrap()
        };
        let privileged = Credentials {
            may_set_ids: true,
            ..member.clone()
        };
        for (mode, by_member, by_stranger) in [
            (0o6666, 0o2666, 0o666),
            (0o6676, 0o676, 0o676),
            (0o2666, 0o2666, 0o666),
            (0o2676, 0o676, 0o676),
            (0o1644, 0o1644, 0o1644),
        ] {
            for gid in [1002, 1500] {
                assert_eq!(member.leave(mode, Some(gid)), by_member, "{mode:o}");
            }
            for gid in [Some(0), None] {
                assert_eq!(member.leave(mode, gid), by_stranger, "{mode:o}");
                assert_eq!(privileged.leave(mode, gid), mode);
            }
            assert_eq!(left_by_stranger(mode), by_stranger, "{mode:o}");
        }
    }
}
