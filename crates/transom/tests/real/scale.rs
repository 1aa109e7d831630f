//! A thousand views open at once in one process, a hundred actions running in
//! them, and some of these hang in a volume of the host that does not respond.
//!
//! Two things can hang there, and both are tried. A *lookup* below a host
//! directory that is declared as a whole is done by whoever serves the view,
//! so with the engine `fuse` it keeps a thread of ours. An *open* is done by
//! the kernel for the action, and keeps nobody else.

use std::fs;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MoveMountFlags, move_mount};
use transom_fuse::Opcode;
use transom_projection::{Change, Declaration, Tree, View, ViewOptions};
use transom_sandbox::host_tree;
use transom_test::{privileged, temp_dir};

use crate::host::{Host, Live, file, path_in, usual_inputs, whole};
use crate::tarpit::Tarpit;
use crate::world::Engine;

const VIEWS: usize = 1000;
const ACTIONS: usize = 100;
/// The first of the actions hang; the same number in a lookup and in an open.
const IN_LOOKUP: Range<usize> = 0..8;
const IN_OPEN: Range<usize> = 8..16;
const HANGING: usize = IN_OPEN.end;
/// Files that all views have, and files that only one has.
const COMMON_FILES: usize = 20;
const OWN_FILES: usize = 5;

/// Long enough for any loaded machine. What waits for something that hangs
/// waits for ever.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn privileged_fuse_hanging_actions_delay_none_of_a_thousand_views() {
    privileged!("mount views");
    hanging_actions_delay_none(Engine::Fuse);
}

#[test]
fn privileged_mounts_hanging_actions_delay_none_of_a_thousand_views() {
    privileged!("mount views");
    hanging_actions_delay_none(Engine::Mounts);
}

fn hanging_actions_delay_none(engine: Engine) {
    let files = HostFiles::make();
    let tarpit = Tarpit::serve();
    let host = Host::below(engine, host_with(&tarpit, &files.path("tarpit")));
    let open = open_views(&host, &files);

    let mut hanging = start_actions(&host, &open);
    let others = hanging.split_off(HANGING);
    for action in &mut hanging {
        action.tell("go");
    }
    // A view that cannot even be made.
    let stuck = {
        let projection = host.projection.clone();
        let inputs = vec![file("x", files.path("tarpit/lookup-for-a-view"))];
        let tree = Tree::build(inputs).unwrap();
        thread::spawn(move || projection.pin(tree, ViewOptions::default()).map(drop))
    };
    let all_hang = HANGING + 1;
    until(&tarpit, "hanging", || tarpit.waiting() == all_hang);

    let begin = Instant::now();
    let count = others.len();
    within(&tarpit, "work beside what hangs", || finish_all(others));
    let time = begin.elapsed();
    println!("{count} actions finished in {time:?} beside {HANGING} that hang");
    within(&tarpit, "making, steering and removing views", || {
        make_steer_and_remove(&host, &open, &files);
    });
    assert_eq!(tarpit.waiting(), all_hang, "they still hang");
    within(&tarpit, "killing what hangs", || {
        hanging.into_iter().for_each(Live::kill);
    });

    tarpit.release();
    assert!(stuck.join().unwrap().is_err());
    drop(open);
    if let Some(session) = host.session {
        // Waits for every thread of it.
        let statistics = session.end().unwrap();
        println!("{statistics:?}");
        assert_eq!(statistics.interrupted, IN_LOOKUP.len() as u64);
        assert_eq!(statistics.count(Opcode::Read), 0);
    }
}

/// What the views are made of.
struct HostFiles(tempfile::TempDir);

impl HostFiles {
    fn make() -> Self {
        let files = Self(temp_dir().unwrap());
        fs::create_dir(files.path("tarpit")).unwrap();
        fs::create_dir(files.path("common")).unwrap();
        for number in 0..COMMON_FILES {
            fs::write(files.path(&format!("common/{number}")), "common\n").unwrap();
        }
        for view in 0..=VIEWS {
            fs::create_dir(files.path(&view.to_string())).unwrap();
            for number in 0..OWN_FILES {
                let own = files.path(&format!("{view}/{number}"));
                fs::write(own, own_line(view)).unwrap();
            }
        }
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The declarations of a view.
    fn of(&self, view: usize) -> Vec<Declaration> {
        let path = |name: String| self.path(&name);
        let mut declared = usual_inputs();
        declared.extend((0..COMMON_FILES).map(|number| {
            let name = format!("common/{number}");
            file(&name, path(name.clone()))
        }));
        declared.extend((0..OWN_FILES).map(|number| {
            let source = path(format!("{view}/{number}"));
            file(&format!("own/{number}"), source)
        }));
        if IN_LOOKUP.contains(&view) || IN_OPEN.contains(&view) {
            declared.push(whole("tarpit", self.path("tarpit")));
        }
        declared
    }
}

fn own_line(view: usize) -> String {
    format!("of {view}\n")
}

/// The host's files, with the tarpit at `directory`: only in this tree, not on
/// the machine.
fn host_with(tarpit: &Tarpit, directory: &Path) -> OwnedFd {
    let host = host_tree().unwrap();
    let relative = directory.strip_prefix("/").unwrap();
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat(&host, relative, flags, Mode::empty()).unwrap();
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(tarpit.mount(), c"", directory, c"", flags).unwrap();
    host
}

/// Makes all views and reads a file in each while all of them are open.
fn open_views(host: &Host, files: &HostFiles) -> Vec<(Arc<View>, OwnedFd)> {
    let before = resident_kib();
    let begin = Instant::now();
    let open: Vec<_> = (0..VIEWS)
        .map(|number| {
            let view = host.view(files.of(number));
            let tree = host.tree(&view);
            (view, tree)
        })
        .collect();
    let time = begin.elapsed();
    for (number, (_, tree)) in open.iter().enumerate() {
        let own = fs::read_to_string(path_in(tree, "own/0")).unwrap();
        assert_eq!(own, own_line(number));
        let names = fs::read_dir(path_in(tree, "own")).unwrap().count();
        assert_eq!(names, OWN_FILES);
    }
    println!(
        "{VIEWS} views made in {time:?}, {:.0} a second; {} KiB of memory, {} descriptors",
        VIEWS as f64 / time.as_secs_f64(),
        resident_kib().saturating_sub(before),
        fs::read_dir("/proc/self/fd").unwrap().count(),
    );
    open
}

/// Starts an action in each of the first views, and returns when all run.
fn start_actions(host: &Host, open: &[(Arc<View>, OwnedFd)]) -> Vec<Live> {
    let begin = Instant::now();
    let actions = open.iter().take(ACTIONS).enumerate();
    let mut actions: Vec<Live> = actions
        .map(|(number, (view, _))| {
            let work = if IN_LOOKUP.contains(&number) {
                format!("cat /tarpit/lookup{number}")
            } else if IN_OPEN.contains(&number) {
                format!("cat /tarpit/open{number}")
            } else {
                WORK.to_owned()
            };
            let script = format!("echo ready; read go; {work}");
            Live::start(host.tree(view), &["sh", "-c", &script])
        })
        .collect();
    for action in &mut actions {
        action.says("ready");
    }
    println!("{ACTIONS} actions running after {:?}", begin.elapsed());
    actions
}

/// Reads all files, looks for others in vain, and lists.
const WORK: &str = "
    cat /common/* /own/* | sort | uniq -c
    for file in /own/* /common/*; do test ! -e $file.absent || echo found; done
    ls /own";

/// Lets the actions that do not hang do their work, all at once.
fn finish_all(mut others: Vec<Live>) {
    for action in &mut others {
        action.tell("go");
    }
    let listing: String = (0..OWN_FILES).map(|name| format!("{name}\n")).collect();
    for (action, number) in others.into_iter().zip(HANGING..) {
        let own = own_line(number);
        let expected = format!("{COMMON_FILES:7} common\n{OWN_FILES:7} {own}{listing}");
        assert_eq!(action.finish(), expected);
    }
}

/// A new view comes and goes, and so does one whose action hangs.
fn make_steer_and_remove(host: &Host, open: &[(Arc<View>, OwnedFd)], files: &HostFiles) {
    let view = host.view(files.of(VIEWS));
    let tree = host.tree(&view);
    let own = fs::read_to_string(path_in(&tree, "own/1")).unwrap();
    assert_eq!(own, own_line(VIEWS));

    let (hanging, its_tree) = &open[IN_LOOKUP.start];
    let change = Change::Add(file("added", files.path("common/0")));
    host.invalidate(&hanging.update(vec![change]).unwrap());
    if host.session.is_some() {
        let added = fs::read_to_string(path_in(its_tree, "added")).unwrap();
        assert_eq!(added, "common\n");
    }
    for view in [&view, hanging] {
        host.invalidate(&host.projection.remove(view.id()));
    }
}

/// Does something that may not wait for what hangs.
fn within<T: Send>(tarpit: &Tarpit, what: &str, action: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| {
        let running = scope.spawn(action);
        until(tarpit, what, || running.is_finished());
        running.join().unwrap()
    })
}

#[track_caller]
fn until(tarpit: &Tarpit, what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        if Instant::now() >= end {
            let hanging = tarpit.waiting();
            // Who waits for it would keep the test from ending.
            tarpit.release();
            panic!("{what} took longer than {PATIENCE:?} while {hanging} requests hang");
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// Memory that this process has, in KiB.
fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.unwrap().trim_end_matches("kB").trim().parse().unwrap()
}
