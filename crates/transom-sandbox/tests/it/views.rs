//! What a composed view shows.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::fs::Mode;
use transom_projection::ViewPath;
use transom_sandbox::{
    Action, Error, Exit, Finished, Result, Sandbox, Skeleton, Stdio, Template, layout,
};
use transom_test::{privileged, temp_dir};

pub(crate) fn name(text: &str) -> ViewPath {
    ViewPath::parse_inside(text.as_bytes()).unwrap()
}

/// A view with the host's tools, what `action` needs, and what `add` adds.
pub(crate) fn view_for(action: &Action, add: impl FnOnce(&mut Skeleton)) -> Template {
    let mut view = Skeleton::new().unwrap();
    view.host_directory(&name("usr"), File::open("/usr").unwrap())
        .unwrap();
    for link in ["bin", "lib", "lib64", "sbin"] {
        let target = format!("usr/{link}");
        view.symlink(&name(link), OsStr::new(&target)).unwrap();
    }
    for point in layout::mount_points(action) {
        view.directory(&point.path).unwrap();
    }
    add(&mut view);
    view.finish().unwrap()
}

pub(crate) fn shell(script: &str) -> Action {
    Action::new(["sh", "-c", script].map(Into::into).to_vec())
}

/// Standard files that read nothing, with the end of a pipe that everything
/// printed comes out of.
pub(crate) fn captured() -> (Stdio, File) {
    let (read, write) = std::io::pipe().unwrap();
    let stdio = Stdio {
        stdin: File::open("/dev/null").unwrap().into(),
        stdout: write.try_clone().unwrap().into(),
        stderr: write.into(),
        passed: Vec::new(),
    };
    (stdio, OwnedFd::from(read).into())
}

pub(crate) fn run(view: OwnedFd, action: &Action) -> Result<(Finished, String)> {
    let (stdio, mut output) = captured();
    let running = Sandbox::new(view, action, None)?.spawn(stdio)?;
    let mut printed = String::new();
    output.read_to_string(&mut printed).unwrap();
    Ok((running.wait()?, printed))
}

#[track_caller]
fn prints(view: &Template, action: &Action, expected: &str) {
    let (finished, printed) = run(view.clone_tree().unwrap(), action).unwrap();
    assert_eq!(
        (printed.as_str(), finished.exit),
        (expected, Exit::Exited(0))
    );
}

#[test]
fn privileged_only_declared_names_exist() {
    privileged!("mount a view");
    let host = temp_dir().unwrap();
    fs::write(host.path().join("declared"), "").unwrap();
    fs::write(host.path().join("undeclared"), "").unwrap();
    let action = shell(
        "cd /a && echo * ; ls -A ; ls -A .. | sort | tr '\\n' ' ' ; echo ; realpath link/../declared ; \
         for path in undeclared ../undeclared /a/b/undeclared /etc/passwd /root; do \
           cat $path 2>&1 ; done ; cat link 2>&1 ; true",
    );
    let view = view_for(&action, |view| {
        view.file(
            &name("a/declared"),
            File::open(host.path().join("declared")).unwrap(),
        )
        .unwrap();
        view.symlink(&name("a/link"), OsStr::new("/etc/passwd"))
            .unwrap();
        view.directory(&name("a/b")).unwrap();
    });
    let absent = [
        "undeclared",
        "../undeclared",
        "/a/b/undeclared",
        "/etc/passwd",
        "/root",
        "link",
    ]
    .map(|path| format!("cat: {path}: No such file or directory\n"))
    .concat();
    let expected = format!(
        "b declared link\nb\ndeclared\nlink\na bin dev lib lib64 proc sbin tmp usr \n{}{absent}",
        // `link/..` leads through /etc, which is not there.
        ""
    );
    let (_, printed) = run(view.clone_tree().unwrap(), &action).unwrap();
    let printed: String = printed
        .lines()
        .filter(|line| !line.starts_with("realpath: "))
        .map(|line| format!("{line}\n"))
        .collect();
    assert_eq!(printed, expected);
}

#[test]
fn privileged_a_replaced_or_deleted_file_stays_what_it_was_when_it_was_opened() {
    privileged!("mount a view");
    let host = temp_dir().unwrap();
    let path = |name: &str| host.path().join(name);
    for file in ["replaced", "deleted"] {
        fs::write(path(file), format!("{file}: old\n")).unwrap();
    }
    let open = ["replaced", "deleted"].map(|file| File::open(path(file)).unwrap());
    fs::write(path("new"), "new\n").unwrap();
    fs::rename(path("new"), path("replaced")).unwrap();
    fs::remove_file(path("deleted")).unwrap();

    let action = shell("cat /replaced /deleted");
    let view = view_for(&action, |view| {
        view.file(&name("replaced"), &open[0]).unwrap();
        view.file(&name("deleted"), &open[1]).unwrap();
    });
    prints(&view, &action, "replaced: old\ndeleted: old\n");
}

#[test]
fn privileged_an_executable_bit_can_be_overridden() {
    privileged!("mount a view");
    let host = temp_dir().unwrap();
    let script = host.path().join("script");
    fs::write(&script, "#!/bin/sh\necho ran\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o644)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    File::options()
        .append(true)
        .open(&script)
        .unwrap()
        .set_modified(time)
        .unwrap();

    let action =
        shell("/script; stat -c '%a %Y' /script; echo x 2>/dev/null > /script; test ! -x /plain");
    let view = view_for(&action, |view| {
        let source = File::open(&script).unwrap();
        view.copied_file(&name("script"), &source, Mode::from_raw_mode(0o755))
            .unwrap();
        view.file(&name("plain"), &source).unwrap();
    });
    prints(&view, &action, "ran\n755 1000000000\n");
    assert_eq!(fs::read(&script).unwrap(), b"#!/bin/sh\necho ran\n");
}

#[test]
fn privileged_a_missing_mount_point_is_named() {
    privileged!("mount a view");
    let action = shell("true");
    let view = Skeleton::new().unwrap().finish().unwrap().into_tree();
    match Sandbox::new(view, &action, None) {
        Err(error @ Error::NoMountPoint { .. }) => assert_eq!(
            error.to_string(),
            "the action: the view has no directory `tmp` for its /tmp; declare it as an empty \
             directory, or, where a host directory is declared as a whole, make it on the host"
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn privileged_nothing_appears_in_the_mount_table_of_the_host() {
    privileged!("mount a view");
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let action = shell("sleep 0.2");
    let view = view_for(&action, |_| {});
    let (stdio, _output) = captured();
    let sandbox = Sandbox::new(view.clone_tree().unwrap(), &action, None).unwrap();
    assert_eq!(before, mounts());
    let running = sandbox.spawn(stdio).unwrap();
    assert_eq!(before, mounts());
    assert!(running.wait().unwrap().exit.is_success());
    assert_eq!(before, mounts());
    assert!(!Path::new("/usr/.transom").exists());
}
