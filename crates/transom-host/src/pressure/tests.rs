//! With real control groups, in processes of their own.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{FallocateFlags, MemfdFlags};
use transom_module::{Cache, ContainerId};
use transom_test::{privileged, skip};

use super::*;
use crate::{Events, Since};

const MIB: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_secs(60);

/// Set in a process that lives in a small group.
const INSIDE: &str = "TRANSOM_TEST_INSIDE_GROUP";

/// Memory that is given back at once when it is not needed, unlike that of an
/// allocator: pages of a file without a name, which the kernel can take from
/// nobody.
struct Memory {
    file: File,
    pages: Mutex<u64>,
}

impl Memory {
    fn new() -> Self {
        let file: OwnedFd = rustix::fs::memfd_create(c"test", MemfdFlags::CLOEXEC).unwrap();
        Self {
            file: file.into(),
            pages: Mutex::new(0),
        }
    }

    fn bytes(&self) -> u64 {
        *self.pages.lock().unwrap()
    }

    /// Uses more of it, or less.
    fn resize(&self, bytes: impl FnOnce(u64) -> u64) {
        let mut now = self.pages.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = bytes(*now);
        if bytes < *now {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            rustix::fs::fallocate(&self.file, flags, bytes, *now - bytes).unwrap();
        }
        let block = vec![7; usize::try_from(MIB / 4).unwrap()];
        let mut at = *now;
        while at < bytes {
            let length = (bytes - at).min(block.len() as u64);
            let length_here = usize::try_from(length).unwrap();
            self.file.write_all_at(&block[..length_here], at).unwrap();
            at += length;
        }
        *now = bytes;
    }
}

/// A cache that is asked for more than it can ever have.
struct Hungry {
    memory: Memory,
    limit: Mutex<u64>,
}

impl Hungry {
    /// Reads one more block into memory, if it may.
    fn fill(&self) {
        let limit = *self.limit.lock().unwrap();
        self.memory
            .resize(|bytes| (bytes + MIB / 4).min(limit).max(bytes));
    }
}

impl Cache for Hungry {
    fn wanted(&self) -> u64 {
        u64::MAX
    }

    fn used(&self) -> u64 {
        self.memory.bytes()
    }

    fn limit(&self, bytes: u64) {
        *self.limit.lock().unwrap() = bytes;
        self.memory.resize(|now| now.min(bytes));
    }
}

/// Control groups for one process, of both versions where both are there.
struct Group {
    directories: Vec<PathBuf>,
    /// `None` if memory cannot be limited here.
    limited: Option<PathBuf>,
}

impl Group {
    fn new(limit: u64) -> Self {
        let groups = fs::read_to_string("/proc/self/cgroup").unwrap();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let name = format!("transom-test-{}", std::process::id());
        let mut group = Self {
            directories: Vec::new(),
            limited: None,
        };
        for (version, file) in [
            (cgroup::Version::V1, "memory.limit_in_bytes"),
            (cgroup::Version::V2, "memory.max"),
        ] {
            // Beside ours with v2, where a group that has groups has no process.
            let found = cgroup::directory(&groups, &mounts, version);
            let Some(directory) = found.map(|(own, top)| match version {
                cgroup::Version::V1 => own.join(&name),
                cgroup::Version::V2 => top.join(&name),
            }) else {
                continue;
            };
            fs::create_dir(&directory).unwrap();
            if group.limited.is_none() && directory.join(file).exists() {
                fs::write(directory.join(file), limit.to_string()).unwrap();
                group.limited = Some(directory.clone());
            }
            group.directories.push(directory);
        }
        group
    }

    fn enter(&self, pid: u32) {
        for directory in &self.directories {
            fs::write(directory.join("cgroup.procs"), pid.to_string()).unwrap();
        }
    }

    /// How many processes were killed because it had no memory.
    fn kills(&self) -> u64 {
        let directory = self.limited.as_ref().unwrap();
        let files = ["memory.oom_control", "memory.events"];
        let texts = files
            .iter()
            .filter_map(|file| fs::read_to_string(directory.join(file)).ok());
        texts
            .into_iter()
            .find_map(|text| cgroup::value(&text, "oom_kill"))
            .unwrap()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for directory in &self.directories {
            _ = fs::remove_dir(directory);
        }
    }
}

/// A process in a group of its own that runs one of the tests here.
struct Inside {
    child: std::process::Child,
    stdin: Option<ChildStdin>,
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Inside {
    fn start(group: &Group, test: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                &format!("pressure::tests::{test}"),
                "--nocapture",
            ])
            .env(INSIDE, "")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        group.enter(child.id());
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(b"go\n").unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self {
            child,
            stdin: Some(stdin),
            lines,
        }
    }

    fn hear(&mut self, word: &str) {
        let said = self.lines.by_ref().map(|line| line.unwrap());
        let heard: Vec<_> = said.take_while(|line| line != word).collect();
        let status = self.child.try_wait().unwrap();
        assert!(
            status.is_none_or(|status| status.success()),
            "{status:?} {heard:?}"
        );
    }

    fn end(mut self) {
        drop(self.stdin.take());
        self.lines.by_ref().for_each(drop);
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}");
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // A group with a process in it cannot be removed.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Waits until the process is in its group.
fn wait_to_begin() {
    let mut line = [0; 3];
    std::io::stdin().read_exact(&mut line).unwrap();
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A cache that fills its share, a neighbour in the same process that needs the
/// memory, and the cache again.
fn give_way_inside() {
    wait_to_begin();
    let events = Events::new();
    let budgets = Budgets::new(40 * MIB, events.clone());
    let pace = Pace {
        idle: Duration::from_millis(20),
        limited: Duration::from_millis(20),
        near: Duration::from_millis(5),
        raise: Duration::from_millis(20),
    };
    let _pressure = Pressure::watch_at(budgets.clone(), pace).unwrap();
    let hungry = Arc::new(Hungry {
        memory: Memory::new(),
        limit: Mutex::new(0),
    });
    let container = ContainerId::from_bytes([1; 16]);
    let cache: Arc<dyn Cache + Send + Sync> = Arc::<Hungry>::clone(&hungry);
    budgets.enter(container, &cache, None);
    let over = Arc::new(AtomicBool::new(false));
    let filler = {
        let (hungry, over) = (Arc::clone(&hungry), Arc::clone(&over));
        thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                hungry.fill();
                thread::sleep(Duration::from_millis(1));
            }
        })
    };
    wait_until("the cache has its share", || hungry.used() == 40 * MIB);
    assert_eq!(budgets.level(), LEVEL_MAX);
    println!("\nfull");

    let neighbour = Memory::new();
    while neighbour.bytes() < 32 * MIB {
        neighbour.resize(|bytes| bytes + MIB / 2);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(budgets.level() < LEVEL_MAX && hungry.used() < 30 * MIB);
    let mut told = events.since(Some(container), Since::Oldest).unwrap();
    assert!(matches!(told.next(Duration::ZERO), crate::Heard::Event(_)));
    println!("\ngave way");

    neighbour.resize(|_| 0);
    wait_until("the cache has its share again", || {
        hungry.used() == 40 * MIB
    });
    assert_eq!(budgets.level(), LEVEL_MAX);
    println!("\nfull again");
    over.store(true, Ordering::Relaxed);
    filler.join().unwrap();
}

#[test]
fn privileged_a_cache_gives_way_in_a_small_group_and_nobody_is_killed() {
    if is_inside() {
        return give_way_inside();
    }
    privileged!("limit the memory of a control group");
    let group = Group::new(64 * MIB);
    if group.limited.is_none() {
        skip!("no control group whose memory can be limited");
    }
    let mut inside = Inside::start(
        &group,
        "privileged_a_cache_gives_way_in_a_small_group_and_nobody_is_killed",
    );
    for word in ["full", "gave way", "full again"] {
        inside.hear(word);
        assert_eq!(group.kills(), 0, "{word}");
    }
    inside.end();
    assert_eq!(group.kills(), 0);
}

/// Reads a file that does not fit, again and again, until it is told of the
/// waiting that this is.
fn wait_for_memory_inside() {
    wait_to_begin();
    let levels = Levels::find().unwrap();
    let file = levels.own_pressure.unwrap();
    let stall = Stall::watch(&file).unwrap();
    // Beside the program, which is on a disk: temporary files may be in memory.
    let program = std::env::current_exe().unwrap();
    let directory = tempfile::tempdir_in(program.parent().unwrap()).unwrap();
    let path = directory.path().join("large");
    let large = File::create_new(&path).unwrap();
    let block = vec![7; usize::try_from(MIB).unwrap()];
    for number in 0..128 {
        large.write_all_at(&block, number * MIB).unwrap();
    }
    large.sync_all().unwrap();
    let deadline = Instant::now() + PATIENCE;
    let mut block = vec![0; usize::try_from(MIB).unwrap()];
    for number in (0..128).cycle() {
        File::open(&path)
            .unwrap()
            .read_exact_at(&mut block, number * MIB)
            .unwrap();
        let mut polled = [PollFd::new(&stall, PollFlags::PRI)];
        rustix::event::poll(&mut polled, Some(&Timespec::default())).unwrap();
        if polled[0].revents().contains(PollFlags::PRI) {
            return;
        }
        assert!(Instant::now() < deadline, "never told of waiting");
    }
}

#[test]
fn privileged_the_kernel_tells_of_tasks_that_wait_for_memory() {
    if is_inside() {
        return wait_for_memory_inside();
    }
    privileged!("limit the memory of a control group");
    let group = Group::new(16 * MIB);
    let has_pressure = |directory: &PathBuf| directory.join("memory.pressure").exists();
    if group.limited.is_none() || !group.directories.iter().any(has_pressure) {
        skip!("no control group whose memory can be limited and whose tasks' waiting is counted");
    }
    let inside = Inside::start(
        &group,
        "privileged_the_kernel_tells_of_tasks_that_wait_for_memory",
    );
    inside.end();
}

#[test]
fn it_ends_when_it_is_dropped() {
    let pressure = Pressure::watch(Budgets::new(MIB, Events::new())).unwrap();
    drop(pressure);
    let names = fs::read_dir("/proc/self/task").unwrap().map(|task| {
        let name = task.unwrap().path().join("comm");
        fs::read_to_string(name).unwrap_or_default()
    });
    assert!(names.into_iter().all(|name| name.trim() != "memory"));
}

#[test]
fn a_reserve_is_kept_of_small_and_large_limits() {
    let level = |limit, free| Level {
        limit: limit * MIB,
        free: free * MIB,
    };
    assert_eq!(level(64, 8).missing(), 0);
    assert_eq!(level(64, 7).missing(), 9 * MIB);
    assert_eq!(level(64, 0).missing(), 16 * MIB);
    assert!(level(64, 20).has_room_for(4 * MIB));
    assert!(!level(64, 20).has_room_for(5 * MIB));
    // An eighth of much is too much.
    assert_eq!(level(1 << 20, 256).missing(), 0);
    assert_eq!(level(1 << 20, 255).missing(), 257 * MIB);
}
