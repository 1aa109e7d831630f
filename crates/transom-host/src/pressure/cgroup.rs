//! How much memory there is, and how much of it is left.
//!
//! Several limits may hold for a process: that of its control group, those of
//! the groups above it, and what the machine has. Each is a [`Level`] here, and
//! the one with the least left decides.
//!
//! Memory may be in the hands of cgroup v2 or, on older systems and on those that
//! mix both, v1; `/proc/self/cgroup` says which group we are in, and
//! `/proc/self/mountinfo` where its files are. Of what a group uses, pages of files
//! do not count: the kernel takes those back before it refuses memory.
//!
//! Sources: `Documentation/admin-guide/cgroup-v2.rst` (Memory Interface Files) and
//! `cgroup-v1/memory.rst` of Linux, cgroups(7).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How far up the groups are looked at.
const LEVELS_MAX: usize = 32;

/// What limits the memory of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Levels {
    /// The own group first.
    groups: Vec<Group>,
    /// `memory.pressure` of the own group, if it has one that is not that of the
    /// whole machine.
    pub(super) own_pressure: Option<PathBuf>,
}

/// How much there is, and how much is left, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Level {
    pub(super) limit: u64,
    pub(super) free: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V2,
}

/// A control group that has the memory of its processes counted.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Group {
    version: Version,
    directory: PathBuf,
}

impl Levels {
    /// Those of this process.
    pub(super) fn find() -> io::Result<Self> {
        let groups = fs::read_to_string("/proc/self/cgroup")?;
        let mounts = fs::read_to_string("/proc/self/mountinfo")?;
        Ok(Self::of(&groups, &mounts))
    }

    /// What `/proc/PID/cgroup` and `/proc/PID/mountinfo` say.
    pub(super) fn of(groups: &str, mounts: &str) -> Self {
        let v1 = directory(groups, mounts, Version::V1);
        let v2 = directory(groups, mounts, Version::V2);
        // The machine's own group has no such file, and its pressure is that of
        // everybody.
        let own_pressure = v2.as_ref().and_then(|(own, _)| {
            let is_root = !own.join("cgroup.events").exists();
            let pressure = own.join("memory.pressure");
            (!is_root && pressure.exists()).then_some(pressure)
        });
        let (version, found) = match v1 {
            Some(found) => (Version::V1, Some(found)),
            None => (Version::V2, v2),
        };
        let groups = found.map_or_else(Vec::new, |(own, top)| {
            let up = own.ancestors().take_while(|above| above.starts_with(&top));
            let groups = up.take(LEVELS_MAX).map(|directory| Group {
                version,
                directory: directory.into(),
            });
            groups.collect()
        });
        Self {
            groups,
            own_pressure,
        }
    }

    /// The tightest limit of the groups, if any has one; what cannot be read is
    /// none.
    pub(super) fn of_groups(&self) -> Option<Level> {
        let levels = self.groups.iter().filter_map(Group::level);
        levels.min_by_key(|level| level.free)
    }
}

/// What the whole machine has.
pub(super) fn of_machine() -> Option<Level> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let bytes = |name: &str| Some(value(&text, name)? * 1024);
    Some(Level {
        limit: bytes("MemTotal:")?,
        free: bytes("MemAvailable:")?,
    })
}

impl Group {
    /// `None` if it has no limit.
    fn level(&self) -> Option<Level> {
        let number = |name: &str| {
            let text = fs::read_to_string(self.directory.join(name)).ok()?;
            text.trim().parse::<u64>().ok()
        };
        let stat = fs::read_to_string(self.directory.join("memory.stat")).ok()?;
        // Without a limit, v1 says a number near the largest, and v2 `max`.
        let (limit, used, of_files) = match self.version {
            Version::V1 => (
                number("memory.limit_in_bytes").filter(|limit| *limit < 1 << 62)?,
                number("memory.usage_in_bytes")?,
                ["total_inactive_file", "total_active_file"],
            ),
            Version::V2 => (
                number("memory.max")
                    .into_iter()
                    .chain(number("memory.high"))
                    .min()?,
                number("memory.current")?,
                ["inactive_file", "active_file"],
            ),
        };
        let of_files: u64 = of_files.iter().filter_map(|name| value(&stat, name)).sum();
        Some(Level {
            limit,
            free: limit.saturating_sub(used.saturating_sub(of_files)),
        })
    }
}

/// The number in the line that begins with that word.
pub(super) fn value(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().map(str::split_ascii_whitespace);
    let mut line = lines.find_map(|mut words| (words.next() == Some(name)).then_some(words))?;
    line.next()?.parse().ok()
}

/// The directory of the own group, and the one its hierarchy is mounted on.
pub(super) fn directory(
    groups: &str,
    mounts: &str,
    version: Version,
) -> Option<(PathBuf, PathBuf)> {
    // `4:memory:/path` for v1, `0::/path` for v2.
    let group = groups.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let is_it = match version {
            Version::V1 => controllers
                .split(',')
                .any(|controller| controller == "memory"),
            Version::V2 => controllers.is_empty(),
        };
        is_it.then_some(path)
    })?;
    // `36 35 0:32 ROOT POINT options optional... - TYPE source options`
    mounts.lines().find_map(|line| {
        let (mount, file_system) = line.split_once(" - ")?;
        let mut mount = mount.split(' ').skip(3);
        let (root, point) = (mount.next()?, mount.next()?);
        let mut file_system = file_system.split(' ');
        let kind = file_system.next()?;
        let options = file_system.nth(1)?;
        let is_it = match version {
            Version::V1 => kind == "cgroup" && options.split(',').any(|option| option == "memory"),
            Version::V2 => kind == "cgroup2",
        };
        // A part of the hierarchy may be mounted alone, with our group in it.
        let below = Path::new(group).strip_prefix(root).ok().filter(|_| is_it)?;
        Some((Path::new(point).join(below), point.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUPS: &str = "9:name=systemd:/\n4:cpu,memory:/a/b\n0::/c\n";

    fn mounts(root: &str, point: &Path) -> String {
        let point = point.display();
        format!(
            "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
             32 31 0:29 / {point}/cpu rw,relatime - cgroup cgroup rw,cpu\n\
             35 31 0:32 {root} {point}/v1 rw shared:9 master:1 - cgroup cgroup rw,cpu,memory\n\
             41 31 0:38 / {point}/v2 rw - cgroup2 cgroup2 rw\n"
        )
    }

    fn write(directory: &Path, files: &[(&str, &str)]) {
        fs::create_dir_all(directory).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
    }

    #[test]
    fn groups_of_both_versions_are_found() {
        let point = Path::new("/here");
        let found = |root| Levels::of(GROUPS, &mounts(root, point)).groups;
        let directories = |root| -> Vec<_> {
            let groups = found(root).into_iter();
            groups.map(|group| group.directory).collect()
        };
        let whole = ["/here/v1/a/b", "/here/v1/a", "/here/v1"];
        assert_eq!(directories("/"), whole.map(PathBuf::from));
        assert_eq!(
            directories("/a"),
            ["/here/v1/b", "/here/v1"].map(PathBuf::from)
        );
        // Mounted without our group: then the other version has to do.
        assert_eq!(
            directories("/x"),
            ["/here/v2/c", "/here/v2"].map(PathBuf::from)
        );
        assert!(Levels::of("", "").groups.is_empty());
    }

    // The files are as cgroup v2 writes them: a machine has one version of the
    // memory controller, and the tests with real groups use that.
    #[test]
    fn pages_of_files_are_not_in_the_way() {
        let directory = transom_test::temp_dir().unwrap();
        let own = directory.path().join("v2/c");
        let stat = "anon 1000\nfile 800\ninactive_file 300\nactive_file 200\n";
        write(
            &own,
            &[
                ("memory.max", "max\n"),
                ("memory.high", "4000\n"),
                ("memory.current", "1500\n"),
                ("memory.stat", stat),
                ("memory.pressure", ""),
                ("cgroup.events", "populated 1\n"),
            ],
        );
        let levels = Levels::of("0::/c\n", &mounts("/", directory.path()));
        let level = |limit, free| Some(Level { limit, free });
        assert_eq!(levels.of_groups(), level(4000, 3000));
        assert_eq!(levels.own_pressure, Some(own.join("memory.pressure")));
        write(&own, &[("memory.max", "2000\n")]);
        assert_eq!(levels.of_groups(), level(2000, 1000));
        // What holds above holds here too.
        write(
            &directory.path().join("v2"),
            &[
                ("memory.max", "1800\n"),
                ("memory.current", "1900\n"),
                ("memory.stat", "inactive_file 50\n"),
            ],
        );
        assert_eq!(levels.of_groups(), level(1800, 0));
        for file in ["memory.max", "memory.high"] {
            write(&own, &[(file, "max\n")]);
        }
        fs::remove_file(directory.path().join("v2/memory.max")).unwrap();
        assert_eq!(levels.of_groups(), None);
    }

    #[test]
    fn the_pressure_of_the_whole_machine_is_not_our_own() {
        let directory = transom_test::temp_dir().unwrap();
        write(&directory.path().join("v2"), &[("memory.pressure", "")]);
        let levels = Levels::of("0::/\n", &mounts("/", directory.path()));
        assert_eq!(levels.own_pressure, None);
    }

    #[test]
    fn the_machine_has_memory() {
        let level = of_machine().unwrap();
        assert!(
            level.free < level.limit && level.limit > 1 << 26,
            "{level:?}"
        );
        Levels::find().unwrap();
    }
}
