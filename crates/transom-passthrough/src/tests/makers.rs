use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Command;

use transom_module::OpenMode;
use transom_sys::credentials::{Credentials, Maker};
use transom_test::{privileged, temp_dir, unprivileged};

use super::*;

const USER: u32 = 65534;
const GROUP: u32 = 65533;
const DIRECTORY_GROUP: u32 = 4242;

// Sets of capabilities, from <linux/capability.h>.
/// CHOWN, DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER, FSETID, MKNOD.
const OVER_FILES: u64 = 0x0800_001f;
/// DAC_OVERRIDE, DAC_READ_SEARCH, MKNOD.
const TO_PASS: u64 = 0x0800_0006;

fn in_directory_group() -> Context<'static> {
    let caller = Caller {
        uid: USER,
        gid: GROUP,
        pid: 0,
        directory_group: Some(DIRECTORY_GROUP),
    };
    Context::new(caller, &NOT_CANCELLED)
}

#[test]
fn privileged_what_is_made_belongs_to_the_caller() {
    privileged!("make files of others");
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let root = volume.root_item();
    let target = NewKind::Symlink(OsStr::new("target"));
    let kinds = [NewKind::File, NewKind::Directory, target, NewKind::Fifo];
    for (number, kind) in kinds.into_iter().enumerate() {
        let name = number.to_string();
        // Only root may write to the directory, and the kernel has let the
        // caller pass.
        let made = volume.create(
            &by(USER, GROUP),
            &root,
            OsStr::new(&name),
            &new(kind, 0o700),
        );
        let told = made.unwrap().attributes;
        assert_eq!((told.uid, told.gid), (USER, GROUP), "{kind:?}");
    }
    let file = new(NewKind::File, 0o600);
    let mode = OpenMode {
        write: true,
        ..OpenMode::default()
    };
    let opened = volume.create_open(&by(USER, 0), &root, OsStr::new("opened"), &file, mode, true);
    let unnamed = volume.create_unnamed(&by(0, GROUP), &root, &file, mode);
    let owner = |entry: Entry<Item>| (entry.attributes.uid, entry.attributes.gid);
    assert_eq!(owner(opened.unwrap().entry), (USER, 0));
    assert_eq!(owner(unnamed.unwrap().entry), (0, GROUP));
}

#[test]
fn privileged_a_directory_hands_its_group_on() {
    privileged!("make files of others");
    let directory = temp_dir().unwrap();
    let path = directory.path();
    std::os::unix::fs::chown(path, None, Some(DIRECTORY_GROUP)).unwrap();
    rustix::fs::chmod(path, Mode::from_raw_mode(0o2777)).unwrap();
    let volume = volume(path).volume;
    let make = |context, name: &str, kind| {
        let item = new(kind, 0o2775);
        let made = volume.create(&context, &volume.root_item(), OsStr::new(name), &item);
        let told = made.unwrap().attributes;
        assert_eq!((told.uid, told.gid), (USER, DIRECTORY_GROUP));
        told.permissions
    };
    assert_eq!(make(by(USER, GROUP), "d", NewKind::Directory), 0o2775);
    // Nobody makes a file that runs as a group it is not in.
    assert_eq!(make(by(USER, GROUP), "f", NewKind::File), 0o775);
    assert_eq!(make(in_directory_group(), "m", NewKind::File), 0o2775);
}

#[test]
fn privileged_a_default_access_control_list_replaces_the_umask() {
    privileged!("make files of others");
    let directory = temp_dir().unwrap();
    let setfacl = Command::new("setfacl")
        .args(["-d", "-m", "u:4321:rwx,g::rx,o::-"])
        .arg(directory.path())
        .status();
    assert!(setfacl.unwrap().success());
    let definition = volume(directory.path());
    assert!(definition.access_control_lists);
    let volume = &definition.volume;
    let file = NewItem {
        umask: 0o777,
        ..new(NewKind::File, 0o666)
    };
    let made = volume.create(
        &by(USER, GROUP),
        &volume.root_item(),
        OsStr::new("f"),
        &file,
    );
    let made = made.unwrap();
    assert_eq!(made.attributes.permissions, 0o660);
    let list = definition.extended_attributes().unwrap().get_attribute(
        &own(),
        &made.item,
        OsStr::new("system.posix_acl_access"),
    );
    // A header of 4 bytes; owner, user, group, mask, others of 8 each.
    assert_eq!(list.unwrap().len(), 44);
}

#[test]
fn nobody_makes_files_of_others_without_privilege() {
    unprivileged!();
    let directory = temp_dir().unwrap();
    let volume = volume(directory.path()).volume;
    let root = volume.root_item();
    let file = new(NewKind::File, 0o644);
    let made = volume.create(&by(1, 1), &root, OsStr::new("file"), &file);
    assert_eq!(errno_of(made), Some(Errno::EPERM));
    assert!(names_in(directory.path()).is_empty());
    volume.make_file("own");
}

/// What the kernel says of a thread's credentials.
fn credentials(thread: &str) -> Vec<String> {
    let status = fs::read_to_string(format!("/proc/{thread}/status")).unwrap();
    let wanted = ["Uid:", "Gid:", "Groups:", "Umask:", "CapEff:", "CapPrm:"];
    let lines = status
        .lines()
        .filter(|line| wanted.iter().any(|word| line.starts_with(word)));
    lines.map(str::to_owned).collect()
}

#[test]
fn privileged_a_thread_gets_its_credentials_back() {
    privileged!("act for others");
    let own = Credentials::of_this_thread().unwrap();
    let maker = Maker {
        uid: USER,
        gid: GROUP,
        group: Some(DIRECTORY_GROUP),
        umask: 0o123,
    };
    // Prepares the thread.
    own.make_for(maker, || Ok(())).unwrap();
    let before = credentials("thread-self");
    let process = credentials("self");
    let refused = Cell::new(false);
    own.make_for(maker, || {
        let acting = credentials("thread-self").join("\n");
        assert!(acting.contains("Umask:\t0123"), "{acting}");
        let user = format!("Uid:\t0\t0\t0\t{USER}");
        assert!(acting.contains(&user), "{acting}");
        let group = format!("Groups:\t{DIRECTORY_GROUP} ");
        assert!(acting.contains(&group), "{acting}");
        let effective = acting.split("CapEff:\t").nth(1).unwrap();
        let effective = u64::from_str_radix(&effective[..16], 16).unwrap();
        assert_eq!(
            effective & OVER_FILES,
            if refused.get() { TO_PASS } else { 0 }
        );
        // The main thread, for one, notices nothing of it.
        assert_eq!(credentials("self"), process);
        match refused.replace(true) {
            false => Err(rustix::io::Errno::ACCESS),
            true => Ok(()),
        }
    })
    .unwrap();
    assert_eq!(credentials("thread-self"), before);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        own.make_for(maker, || -> rustix::io::Result<()> {
            resume_unwind(Box::new(()))
        })
    }));
    assert!(panicked.is_err());
    assert_eq!(credentials("thread-self"), before);
}
