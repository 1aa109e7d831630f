use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::{Command, Stdio};

use proptest::prelude::*;
use rustix::mount::MountAttrFlags;
use tempfile::TempDir;
use transom_block::{FileVolume, LoopIdentity, LoopOptions, detach_abandoned, publish_loop};
use transom_sys::mount;
use transom_test::{privileged, temp_dir};

use super::*;
use crate::Attachment;
use crate::attachment::mount_id;

fn ledger_in(directory: &TempDir) -> Ledger {
    Ledger::open(&directory.path().join("ledger")).unwrap()
}

fn clean(ledger: &Ledger) {
    let failed = ledger.clean_all();
    assert!(failed.is_empty(), "{failed:?}");
    assert!(ledger.abandoned().is_empty());
}

/// What is left when the process has ended without undoing anything.
fn left_behind(directory: &TempDir, leftover: &Leftover) -> Ledger {
    ledger_in(directory).enter(leftover).unwrap().keep();
    ledger_in(directory)
}

#[test]
fn what_is_done_is_not_abandoned() {
    let directory = temp_dir().unwrap();
    let scratch = |number: u32| Leftover::Scratch(format!("/scratch/{number}").into());
    let ledger = ledger_in(&directory);
    let entries: Vec<_> = (0..3)
        .map(|number| ledger.enter(&scratch(number)).unwrap())
        .collect();
    assert!(ledger.abandoned().is_empty());
    let [first, second, third] = entries.try_into().unwrap();
    first.keep();
    second.done();
    drop((third, ledger));
    let ledger = ledger_in(&directory);
    let left = ledger
        .abandoned()
        .into_iter()
        .map(|abandoned| abandoned.leftover);
    assert_eq!(left.collect::<Vec<_>>(), [scratch(0)]);
}

#[test]
fn two_do_not_have_one_ledger() {
    let directory = temp_dir().unwrap();
    let ledger = ledger_in(&directory);
    let error = Ledger::open(&directory.path().join("ledger")).unwrap_err();
    assert_eq!(error.errno(), Errno::EBUSY);
    let us = format!("process {}", std::process::id());
    assert!(error.to_string().contains(&us), "{error}");
    drop(ledger);
    ledger_in(&directory);
}

#[test]
fn scratch_is_removed_with_everything_in_it() {
    let directory = temp_dir().unwrap();
    let scratch = directory.path().join("scratch");
    fs::create_dir_all(scratch.join("a/b")).unwrap();
    fs::write(scratch.join("a/b/file"), "").unwrap();
    fs::write(directory.path().join("kept"), "").unwrap();
    symlink("../../../kept", scratch.join("a/b/link")).unwrap();
    clean(&left_behind(
        &directory,
        &Leftover::Scratch(scratch.clone()),
    ));
    assert!(!scratch.exists() && directory.path().join("kept").exists());
    // It may not have been made, or have been removed.
    clean(&left_behind(
        &directory,
        &Leftover::Scratch(scratch.join("a")),
    ));
    assert!(ledger_in(&directory).abandoned().is_empty());
}

#[test]
fn scratch_behind_a_link_is_left_alone() {
    let directory = temp_dir().unwrap();
    let at = |name: &str| directory.path().join(name);
    fs::create_dir_all(at("precious/scratch")).unwrap();
    symlink("precious", at("swapped")).unwrap();
    let leftover = Leftover::Scratch(at("swapped/scratch"));
    let ledger = left_behind(&directory, &leftover);
    let [(failed, error)] = &ledger.clean_all()[..] else {
        panic!("not one failure")
    };
    assert_eq!(failed.leftover, leftover);
    assert_eq!(error.errno(), Errno::ELOOP);
    assert!(at("precious/scratch").exists());
    // Told again next time.
    assert_eq!(ledger.abandoned().len(), 1);
}

#[test]
fn a_socket_is_removed_when_nobody_listens() {
    let directory = temp_dir().unwrap();
    let at = |name: &str| directory.path().join(name);
    drop(UnixListener::bind(at("dead")).unwrap());
    let _alive = UnixListener::bind(at("alive")).unwrap();
    fs::write(at("file"), "").unwrap();
    for name in ["dead", "alive", "file", "nothing"] {
        let socket = Leftover::Socket(at(name));
        ledger_in(&directory).enter(&socket).unwrap().keep();
    }
    clean(&ledger_in(&directory));
    assert!(!at("dead").exists() && at("alive").exists() && at("file").exists());
}

#[test]
fn after_a_boot_mounts_are_gone_and_directories_are_not() {
    let directory = temp_dir().unwrap();
    drop(ledger_in(&directory));
    let path = PathBuf::from("/somewhere/else");
    let mount = Leftover::Mount(Attachment::new(path.clone(), 1));
    let scratch = Leftover::Scratch(path);
    let leftovers = directory.path().join("ledger/leftovers");
    for (number, leftover) in [&mount, &scratch].into_iter().enumerate() {
        let file = leftovers.join(format!("{}.left", name(number as u64)));
        fs::write(file, leftover.encode("another boot").unwrap()).unwrap();
    }
    let ledger = ledger_in(&directory);
    let left = ledger.abandoned();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].leftover, scratch);
    assert_eq!(fs::read_dir(&leftovers).unwrap().count(), 1);
}

#[test]
fn torn_entries_do_not_hide_the_others() {
    let directory = temp_dir().unwrap();
    let scratch = Leftover::Scratch("/somewhere/else".into());
    ledger_in(&directory).enter(&scratch).unwrap().keep();
    let leftovers = directory.path().join("ledger/leftovers");
    let whole = scratch.encode("boot").unwrap();
    fs::write(leftovers.join("0000000000000007.left"), &whole[..20]).unwrap();
    fs::write(leftovers.join("0000000000000008.left"), "").unwrap();
    fs::write(leftovers.join("x.left"), &whole).unwrap();
    fs::write(leftovers.join("0000000000000009.new"), &whole).unwrap();
    let ledger = ledger_in(&directory);
    assert_eq!(ledger.abandoned().len(), 1);
    let [torn, misnamed] = ledger.damaged() else {
        panic!("{:?}", ledger.damaged())
    };
    assert!(torn.contains("0000000000000007.left"), "{torn}");
    assert!(misnamed.contains("x.left"), "{misnamed}");
    // And their numbers are not given again.
    let entry = ledger.enter(&scratch).unwrap();
    assert!(entry.number > 7);
    assert!(leftovers.join("0000000000000007.left").exists());
}

#[test]
fn an_entry_is_read_as_it_was_written_or_not_at_all() {
    let path = PathBuf::from("/with \n\"everything\" in it/x");
    let loop_device = LoopIdentity {
        path: path.clone(),
        name: "of a file".into(),
    };
    for leftover in [
        Leftover::Mount(Attachment::new(path.clone(), u64::MAX)),
        Leftover::Loop(loop_device),
        Leftover::Scratch(path.clone()),
        Leftover::Socket(path),
    ] {
        let bytes = leftover.encode("boot").unwrap();
        let decoded = Leftover::decode(&bytes).unwrap();
        assert_eq!(decoded, ("boot".into(), leftover));
        for length in 0..bytes.len() {
            assert!(Leftover::decode(&bytes[..length]).is_err(), "{length}");
        }
    }
    for wrong in ["relative", "/", "", "/a/..", "/zero\0"] {
        let leftover = Leftover::Scratch(wrong.into());
        assert_eq!(leftover.encode("boot").unwrap_err().errno(), Errno::EINVAL);
    }
}

#[derive(Debug, Clone)]
enum Step {
    Enter,
    Done(usize),
    Keep(usize),
    /// Ends without a word, and begins anew.
    Die,
    CleanAll,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Enter),
        3 => (0_usize..8).prop_map(Step::Done),
        1 => (0_usize..8).prop_map(Step::Keep),
        1 => Just(Step::Die),
        1 => Just(Step::CleanAll),
    ];
    proptest::collection::vec(step, 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn what_was_not_undone_is_abandoned(steps in steps()) {
        let directory = temp_dir().unwrap();
        let path = |id: u64| PathBuf::from(format!("/nowhere/{id}"));
        // Mounts that are not there: cleaned as soon as somebody looks.
        let mount = |id: u64| Leftover::Mount(Attachment::new(path(id), u64::MAX - id));
        let mut ledger = Some(ledger_in(&directory));
        let mut count = 0;
        let mut entries: Vec<(u64, Entry)> = Vec::new();
        let (mut kept, mut abandoned) = (BTreeSet::new(), BTreeSet::new());
        for step in steps {
            let here = ledger.clone().unwrap();
            match step {
                Step::Enter => {
                    count += 1;
                    entries.push((count, here.enter(&mount(count)).unwrap()));
                }
                Step::Done(index) if index < entries.len() => entries.swap_remove(index).1.done(),
                Step::Keep(index) if index < entries.len() => {
                    let (id, entry) = entries.swap_remove(index);
                    entry.keep();
                    kept.insert(id);
                }
                Step::Done(_) | Step::Keep(_) => {}
                Step::Die => {
                    for (id, entry) in entries.drain(..) {
                        entry.keep();
                        kept.insert(id);
                    }
                    abandoned.append(&mut kept);
                    drop((here, ledger.take()));
                    ledger = Some(ledger_in(&directory));
                }
                Step::CleanAll => {
                    prop_assert!(here.clean_all().is_empty());
                    abandoned.clear();
                }
            }
            let left = ledger.as_ref().unwrap().abandoned();
            let left: Vec<_> = left.into_iter().map(|abandoned| abandoned.leftover).collect();
            let expected: Vec<_> = abandoned.iter().map(|id| mount(*id)).collect();
            prop_assert_eq!(left, expected);
        }
    }
}

fn unmount(path: &Path) -> io::Result<()> {
    Attachment::at(path.into())?.detach()
}

fn new_mount() -> std::os::fd::OwnedFd {
    let flags = MountAttrFlags::empty();
    mount::new(c"tmpfs", &[], flags).unwrap().finish()
}

/// Attaches a mount as the host does: noted before.
fn attach(ledger: &Ledger, path: &Path) -> (Attachment, Entry) {
    let new = new_mount();
    let attached = Attachment::new(path.into(), mount_id(&new).unwrap());
    let entry = ledger.enter(&Leftover::Mount(attached.clone())).unwrap();
    let directory = File::open(path).unwrap();
    mount::attach(&new, &directory, c"").unwrap();
    (attached, entry)
}

#[test]
fn privileged_only_the_mount_that_was_noted_is_unmounted() {
    privileged!("mount");
    let directory = temp_dir().unwrap();
    let path = directory.path().join("point");
    fs::create_dir(&path).unwrap();
    let ledger = ledger_in(&directory);
    let (ours, entry) = attach(&ledger, &path);
    entry.keep();
    drop(ledger);
    let ledger = ledger_in(&directory);

    // Another lies on it.
    mount::attach(new_mount(), File::open(&path).unwrap(), c"").unwrap();
    let [(_, error)] = &ledger.clean_all()[..] else {
        panic!("not one failure")
    };
    assert_eq!(error.errno(), Errno::EBUSY);
    assert!(mount::is_attached(ours.id()).unwrap());
    unmount(&path).unwrap();
    assert_eq!(Attachment::at(path.clone()).unwrap(), ours);
    clean(&ledger);
    assert!(!mount::is_attached(ours.id()).unwrap());

    // Another is there instead.
    ledger.enter(&Leftover::Mount(ours)).unwrap().keep();
    drop(ledger);
    mount::attach(new_mount(), File::open(&path).unwrap(), c"").unwrap();
    let other = Attachment::at(path).unwrap();
    clean(&ledger_in(&directory));
    assert!(mount::is_attached(other.id()).unwrap());
    other.detach().unwrap();
}

#[test]
fn privileged_a_loop_device_is_detached() {
    privileged!("attach a loop device");
    let directory = temp_dir().unwrap();
    let image = File::create_new(directory.path().join("image")).unwrap();
    image.set_len(1 << 20).unwrap();
    let image = std::os::fd::OwnedFd::from(image);
    let volume = Arc::new(FileVolume::new(image).unwrap());
    let device = publish_loop(volume, &LoopOptions::default()).unwrap();
    let other = LoopIdentity {
        name: "another".into(),
        ..device.identity()
    };
    let ledger = ledger_in(&directory);
    for identity in [device.identity(), other] {
        ledger.enter(&Leftover::Loop(identity)).unwrap().keep();
    }
    drop(ledger);
    clean(&ledger_in(&directory));
    assert!(!detach_abandoned(&device.identity()).unwrap());
}

#[test]
fn privileged_what_is_mounted_in_scratch_is_not_removed() {
    privileged!("mount");
    let directory = temp_dir().unwrap();
    let point = directory.path().join("scratch/a point");
    fs::create_dir_all(&point).unwrap();
    mount::attach(new_mount(), File::open(&point).unwrap(), c"").unwrap();
    fs::write(point.join("precious"), "").unwrap();
    let scratch = directory.path().join("scratch");
    let ledger = left_behind(&directory, &Leftover::Scratch(scratch.clone()));
    let [(_, error)] = &ledger.clean_all()[..] else {
        panic!("not one failure")
    };
    assert_eq!(error.errno(), Errno::EBUSY);
    assert!(error.to_string().contains("a\\040point"), "{error}");
    assert!(point.join("precious").exists());
    unmount(&point).unwrap();
    clean(&ledger);
    assert!(!scratch.exists());
}

/// The directory for a process that is to be killed.
const KILLED_IN: &str = "TRANSOM_TEST_KILLED_IN";

/// Makes and undoes scratch with mounts in it until it is killed.
fn litter_until_killed(directory: &Path) {
    let ledger = Ledger::open(&directory.join("ledger")).unwrap();
    let mut made = Vec::new();
    for number in 0_u32.. {
        let scratch = directory.join(format!("scratch-{number}"));
        let of_scratch = ledger.enter(&Leftover::Scratch(scratch.clone())).unwrap();
        fs::create_dir(&scratch).unwrap();
        fs::write(scratch.join("file"), "").unwrap();
        fs::create_dir(scratch.join("point")).unwrap();
        let of_mount = attach(&ledger, &scratch.join("point"));
        made.push((scratch, of_scratch, of_mount));
        println!("\nmade {number}");
        if made.len() > 5 {
            let (scratch, of_scratch, (attached, of_mount)) = made.remove(2);
            attached.detach().unwrap();
            of_mount.done();
            fs::remove_dir_all(scratch).unwrap();
            of_scratch.done();
        }
    }
}

#[test]
fn privileged_what_a_killed_process_left_is_removed() {
    if let Some(directory) = std::env::var_os(KILLED_IN) {
        return litter_until_killed(directory.as_ref());
    }
    privileged!("mount");
    for round in 0..6 {
        let directory = temp_dir().unwrap();
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture"])
            .arg("ledger::tests::privileged_what_a_killed_process_left_is_removed")
            .env(KILLED_IN, directory.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let made = lines.filter(|line| line.as_ref().unwrap().starts_with("made "));
        assert_eq!(made.take(5 + 3 * round).count(), 5 + 3 * round);
        child.kill().unwrap();
        child.wait().unwrap();

        let is_in_use = |mounts: &str| mounts.contains(directory.path().to_str().unwrap());
        assert!(is_in_use(
            &fs::read_to_string("/proc/self/mountinfo").unwrap()
        ));
        let ledger = ledger_in(&directory);
        assert!(ledger.abandoned().len() >= 10);
        assert_eq!(ledger.damaged(), [""; 0]);
        clean(&ledger);
        assert!(!is_in_use(
            &fs::read_to_string("/proc/self/mountinfo").unwrap()
        ));
        let names = fs::read_dir(directory.path()).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["ledger"]);
        let leftovers = directory.path().join("ledger/leftovers");
        assert_eq!(fs::read_dir(leftovers).unwrap().count(), 0);
    }
}
