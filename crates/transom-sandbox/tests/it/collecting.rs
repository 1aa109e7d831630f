//! How outputs leave the scratch. What the action would have done, the tests
//! do themselves: no privilege is needed.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use tempfile::TempDir;
use transom_projection::Origin;
use transom_sandbox::outputs::{self, Collected, UNDECLARED_NAMED_MAX};
use transom_sandbox::{Action, Output, OutputKind, Scratch, Writable};
use transom_test::{Tmpfs, privileged, temp_dir};

use crate::views::{name, shell};

/// A scratch directory and the outputs that are expected in it.
struct Run {
    host: TempDir,
    scratch: Scratch,
    action: Action,
}

impl Run {
    fn new() -> Self {
        let host = temp_dir().unwrap();
        Self {
            scratch: Scratch::new(host.path(), &[]).unwrap(),
            host,
            action: shell("true"),
        }
    }

    fn expect(&mut self, kind: OutputKind, path: &str, destination: impl AsRef<Path>) {
        self.action.outputs.push(Output {
            path: name(path),
            kind,
            optional: false,
            destination: self.host.path().join(destination),
            origin: declared_here(),
        });
        // Scratch is made for certain outputs.
        self.scratch = Scratch::new(self.host.path(), &self.action.outputs).unwrap();
    }

    /// A path in scratch, with its directory.
    fn inside(&self, path: &str) -> PathBuf {
        let path = self.scratch.path().join("root").join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, path: &str, content: &str) {
        fs::write(self.inside(path), content).unwrap();
    }

    fn collect(&self) -> Result<Collected, String> {
        outputs::collect(&self.scratch, &self.action).map_err(|error| error.to_string())
    }

    fn host(&self, path: &str) -> PathBuf {
        self.host.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.host(path)).unwrap_or_else(|error| format!("{path}: {error}"))
    }

    /// What is in the directory of the destinations besides scratch.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.host.path()).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != ".transom")
            .collect();
        names.sort();
        names
    }
}

fn declared_here() -> Origin {
    Origin {
        source: "--out".into(),
        line: None,
    }
}

use OutputKind::{Directory, File as RegularFile};

#[test]
fn outputs_are_moved_not_copied() {
    let mut run = Run::new();
    run.expect(RegularFile, "out/a.o", "new/directory/a.o");
    run.expect(Directory, "out/tree", "tree");
    run.write("out/a.o", "object");
    run.write("out/tree/sub/leaf", "leaf");
    let inode = |path: PathBuf| fs::metadata(path).unwrap().ino();
    let before = (
        inode(run.inside("out/a.o")),
        inode(run.inside("out/tree/sub/leaf")),
    );

    let collected = run.collect().unwrap();
    let after = (
        inode(run.host("new/directory/a.o")),
        inode(run.host("tree/sub/leaf")),
    );
    assert_eq!(before, after);
    assert_eq!(
        collected.published,
        [run.host("new/directory/a.o"), run.host("tree")]
    );
    assert!(collected.undeclared.is_empty() && collected.absent.is_empty());
}

#[test]
fn old_outputs_are_replaced() {
    let mut run = Run::new();
    run.expect(RegularFile, "a", "a");
    run.expect(Directory, "d", "d");
    fs::write(run.host("a"), "old").unwrap();
    fs::create_dir(run.host("d")).unwrap();
    fs::write(run.host("d/old"), "old").unwrap();
    run.action.replace = true;
    let still_open = File::open(run.host("a")).unwrap();
    run.write("a", "new");
    run.write("d/new", "new");
    run.collect().unwrap();
    assert_eq!(
        (run.read("a"), run.read("d/new")),
        ("new".into(), "new".into())
    );
    assert!(!run.host("d/old").exists());
    // Replaced, not overwritten.
    assert_eq!(std::io::read_to_string(still_open).unwrap(), "old");
    let Run { host, scratch, .. } = run;
    drop(scratch);
    assert_eq!(fs::read_dir(host.path()).unwrap().count(), 2);
}

#[test]
fn a_link_at_the_destination_is_replaced_not_written_through() {
    let mut run = Run::new();
    run.expect(RegularFile, "a", "link");
    fs::write(run.host("precious"), "precious").unwrap();
    symlink("precious", run.host("link")).unwrap();
    run.write("a", "new");
    run.collect().unwrap();
    assert_eq!(
        (run.read("precious"), run.read("link")),
        ("precious".into(), "new".into())
    );
    assert!(!run.host("link").is_symlink());
}

#[test]
fn missing_outputs_are_named_with_what_there_is() {
    let mut run = Run::new();
    run.expect(RegularFile, "out/main.o", "main.o");
    run.expect(RegularFile, "none/x", "x");
    run.expect(RegularFile, "present", "present");
    run.write("out/main.obj", "");
    run.write("out/other", "");
    run.write("present", "");
    fs::create_dir(run.inside("none")).unwrap();
    assert_eq!(
        run.collect().unwrap_err(),
        "the declared output `out/main.o` is missing; in `out` the action left `main.obj`, `other`\n\
         the declared output `none/x` is missing; the action left nothing in `none`"
    );
    assert!(
        run.names().is_empty(),
        "nothing is published unless all is there"
    );
}

#[test]
fn optional_outputs_may_be_missing() {
    let mut run = Run::new();
    run.expect(RegularFile, "a", "a");
    run.expect(RegularFile, "b", "b");
    run.action.outputs[1].optional = true;
    run.write("a", "");
    assert_eq!(run.collect().unwrap().absent, [name("b")]);
}

#[test]
fn outputs_are_what_they_were_declared_to_be() {
    let mut run = Run::new();
    run.expect(RegularFile, "directory", "1");
    run.expect(Directory, "file", "2");
    run.expect(RegularFile, "fifo", "3");
    run.expect(RegularFile, "link", "4");
    run.expect(RegularFile, "fine", "5");
    fs::create_dir(run.inside("directory")).unwrap();
    run.write("file", "");
    make_fifo(&run.inside("fifo"));
    symlink("file", run.inside("link")).unwrap();
    run.write("fine", "");
    fs::create_dir(run.host("5")).unwrap();
    let destination = run.host("5");
    assert_eq!(
        run.collect().unwrap_err(),
        format!(
            "the declared output `directory` should be a file, but the action made a directory\n\
             the declared output `file` should be a directory, but the action made a file\n\
             the declared output `fifo` should be a file, but the action made a FIFO\n\
             the declared output `link` should be a file, but the action made a symbolic link; `--keep-links` allows that\n\
             --out: the destination `{}` of the output `fine` is a directory; remove it first",
            destination.display()
        )
    );
    assert_eq!(run.names(), ["5"]);
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn links_in_an_output_stay_in_it() {
    let attempt = |links: &[(&str, &str)]| {
        let mut run = Run::new();
        run.expect(Directory, "out", "out");
        run.write("out/deep/er/file", "");
        for (link, target) in links {
            symlink(target, run.inside(link)).unwrap();
        }
        run.collect().map(|_| run.read("out/link"))
    };
    for (target, content) in [
        ("deep/er/file", ""),
        ("deep/er/../er/file", ""),
        ("./deep/er/file", ""),
    ] {
        assert_eq!(attempt(&[("out/link", target)]).unwrap(), content);
    }
    // Dangling and looping links lead nowhere.
    assert!(attempt(&[("out/link", "nothing")]).is_ok());
    assert!(attempt(&[("out/link", "link")]).is_ok());
    for target in ["/etc/passwd", "../outside", "deep/../../outside", ".."] {
        let error = attempt(&[("out/link", target)]).unwrap_err();
        assert_eq!(
            error,
            format!(
                "the symbolic link `out/link` in the output `out` leads to `{target}`, outside of \
                 the output; make it relative and let it stay inside, or say `--keep-links`"
            )
        );
    }
    // Harmless by the look of it: but `up` leads to the top.
    let error = attempt(&[("out/deep/er/up", "../.."), ("out/link", "deep/er/up/../x")]);
    assert!(error.unwrap_err().contains("`deep/er/up/../x`"));
}

#[test]
fn a_directory_replaced_by_a_link_is_not_followed() {
    let mut run = Run::new();
    run.expect(RegularFile, "out/passwd", "stolen");
    symlink("/etc", run.inside("out")).unwrap();
    assert_eq!(
        run.collect().unwrap_err(),
        "the declared output `out/passwd` is missing; in `/` the action left `out`"
    );
    let mut run = Run::new();
    run.expect(Directory, "out", "out");
    run.write("out/file", "");
    make_fifo(&run.inside("out/sub/fifo"));
    assert_eq!(
        run.collect().unwrap_err(),
        "`out/sub/fifo` in the output `out` is a FIFO, which cannot be an output"
    );
}

#[test]
fn undeclared_writes_are_reported() {
    let mut run = Run::new();
    run.expect(RegularFile, "out/obj/a.o", "a.o");
    run.expect(Directory, "tree", "tree");
    run.action.writable.push(Writable {
        path: name("cache"),
        origin: declared_here(),
    });
    run.write("out/obj/a.o", "");
    for path in [
        "tree/any/thing",
        "cache/any/thing",
        "out/a.d",
        "out/dir/x",
        "out/obj/a.log",
    ] {
        run.write(path, "");
    }
    fs::create_dir(run.inside("out/empty")).unwrap();
    symlink("/", run.inside("out/link")).unwrap();
    let undeclared = run.collect().unwrap().undeclared;
    let paths: Vec<String> = undeclared.paths.iter().map(ToString::to_string).collect();
    assert_eq!(
        paths,
        [
            "out/a.d",
            "out/dir/x",
            "out/empty",
            "out/link",
            "out/obj/a.log"
        ]
    );

    let mut run = Run::new();
    run.expect(RegularFile, "a", "a");
    run.write("a", "");
    for number in 0..UNDECLARED_NAMED_MAX + 5 {
        run.write(&format!("stray/{number}"), "");
    }
    let undeclared = run.collect().unwrap().undeclared;
    assert_eq!(
        (undeclared.paths.len(), undeclared.more),
        (UNDECLARED_NAMED_MAX, 5)
    );
}

#[test]
fn all_outputs_are_published_or_none() {
    let mut run = Run::new();
    run.expect(RegularFile, "a", "a");
    run.expect(Directory, "d", "d");
    run.expect(RegularFile, "new", "new");
    run.expect(RegularFile, "last", "mounted/last");
    for path in ["a", "d/x", "new", "last"] {
        run.write(path, "new");
    }
    fs::write(run.host("a"), "old").unwrap();
    fs::create_dir_all(run.host("d")).unwrap();
    fs::write(run.host("d/x"), "old").unwrap();
    run.action.replace = true;
    // The last destination is taken by a name that no rename can replace: a
    // path that goes through a file.
    fs::write(run.host("mounted"), "").unwrap();
    let error = run.collect().unwrap_err();
    assert!(error.contains("mounted/last"), "{error}");
    assert_eq!(
        (run.read("a"), run.read("d/x")),
        ("old".into(), "old".into())
    );
    assert!(!run.host("new").exists());
}

#[test]
fn privileged_what_was_published_is_taken_back_if_a_later_step_fails() {
    privileged!("mount a file system");
    // Nothing can be renamed over a directory that something is mounted on.
    let busy = Tmpfs::new(1 << 20).unwrap();
    let mut run = Run::new();
    run.expect(RegularFile, "a", "a");
    run.expect(Directory, "d", "d");
    run.expect(RegularFile, "new", "new");
    run.expect(Directory, "last", busy.path());
    for path in ["a", "d/x", "new", "last/x"] {
        run.write(path, "new");
    }
    fs::write(run.host("a"), "old").unwrap();
    fs::create_dir_all(run.host("d")).unwrap();
    fs::write(run.host("d/x"), "old").unwrap();
    run.action.replace = true;
    let error = run.collect().unwrap_err();
    assert!(error.contains("cannot publish"), "{error}");
    assert_eq!(
        (run.read("a"), run.read("d/x")),
        ("old".into(), "old".into())
    );
    assert_eq!(run.names(), ["a", "d"]);
    // Everything is still there, for another attempt.
    run.action.outputs.pop();
    run.collect().unwrap();
    assert_eq!(
        (run.read("a"), run.read("new")),
        ("new".into(), "new".into())
    );
}

#[test]
fn two_outputs_cannot_have_one_destination() {
    let mut run = Run::new();
    run.expect(RegularFile, "a", "same");
    run.expect(RegularFile, "b", "same");
    run.write("a", "");
    run.write("b", "");
    let destination = run.host("same");
    assert_eq!(
        run.collect().unwrap_err(),
        format!(
            "--out: the outputs `a` and `b` have the same destination `{}`; choose another one",
            destination.display()
        )
    );
}

#[test]
fn one_output_cannot_be_published_into_another() {
    let mut run = Run::new();
    run.action.replace = true;
    run.expect(Directory, "d", "xx");
    run.expect(RegularFile, "p/y", "xx/y");
    run.write("d/f", "");
    run.write("p/y", "");
    let inner = run.host("xx/y");
    assert_eq!(
        run.collect().unwrap_err(),
        format!(
            "--out: the destination `{}` of the output `p/y` lies in `{}`, which the output `d` \
             (--out) replaces as a whole; choose another one",
            inner.display(),
            run.host("xx").display()
        )
    );
    assert!(run.names().is_empty());
}

#[test]
fn published_directories_can_be_replaced_and_no_others() {
    let published = || {
        let mut run = Run::new();
        run.expect(Directory, "d", "d");
        run.write("d/new", "new");
        run
    };
    let mut run = published();
    fs::create_dir(run.host("d")).unwrap();
    run.collect().unwrap();
    // One that its owner cannot write is marked all the same.
    run.action.replace = false;
    run.write("d/newer", "newer");
    fs::set_permissions(run.inside("d"), PermissionsExt::from_mode(0o555)).unwrap();
    run.collect().unwrap();
    assert_eq!(run.read("d/newer"), "newer");
    assert!(!run.host("d/new").exists());
    run.write("d/newest", "newest");
    run.collect().unwrap();
    assert_eq!(run.read("d/newest"), "newest");

    let run = published();
    fs::create_dir(run.host("d")).unwrap();
    fs::write(run.host("d/precious"), "precious").unwrap();
    let error = run.collect().unwrap_err();
    assert!(
        error.contains("is a directory that no action has made"),
        "{error}"
    );
    assert_eq!(
        (run.read("d/precious"), run.names()),
        ("precious".into(), vec!["d".into()])
    );
}

/// A directory on another volume than the usual one for temporary files.
fn elsewhere() -> Option<TempDir> {
    let directory = tempfile::tempdir_in("/dev/shm").ok()?;
    let device = |path: &Path| fs::metadata(path).unwrap().dev();
    let here = temp_dir().unwrap();
    (device(directory.path()) != device(here.path())).then_some(directory)
}

#[test]
fn outputs_cross_volumes() {
    let Some(elsewhere) = elsewhere() else {
        transom_test::skip!("/dev/shm is not another volume");
    };
    let mut run = Run::new();
    run.expect(RegularFile, "big", elsewhere.path().join("big"));
    run.expect(Directory, "tree", elsewhere.path().join("tree"));
    let content = "0123456789abcdef".repeat(40_000);
    run.write("big", &content);
    fs::set_permissions(run.inside("big"), PermissionsExt::from_mode(0o751)).unwrap();
    let time = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    File::options()
        .append(true)
        .open(run.inside("big"))
        .unwrap()
        .set_modified(time)
        .unwrap();
    run.write("tree/sub/one", "1");
    fs::hard_link(run.inside("tree/sub/one"), run.inside("tree/two")).unwrap();
    symlink("sub/one", run.inside("tree/link")).unwrap();
    fs::set_permissions(run.inside("tree/sub"), PermissionsExt::from_mode(0o700)).unwrap();
    fs::create_dir(elsewhere.path().join("tree")).unwrap();
    fs::write(elsewhere.path().join("tree/old"), "").unwrap();
    run.action.replace = true;

    run.collect().unwrap();
    let at = |path: &str| elsewhere.path().join(path);
    let big = fs::metadata(at("big")).unwrap();
    assert_eq!(fs::read_to_string(at("big")).unwrap(), content);
    assert_eq!(
        (big.mode() & 0o7777, big.modified().unwrap()),
        (0o751, time)
    );
    assert_eq!(
        fs::read_link(at("tree/link")).unwrap(),
        Path::new("sub/one")
    );
    let inode = |path: &str| fs::metadata(at(path)).unwrap().ino();
    assert_eq!(inode("tree/sub/one"), inode("tree/two"));
    assert_eq!(fs::metadata(at("tree/sub")).unwrap().mode() & 0o7777, 0o700);
    let mut names: Vec<_> = fs::read_dir(elsewhere.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, [".transom", "big", "tree"]);
    assert!(!at("tree/old").exists());
    // What was copied, and what was replaced, goes with scratch.
    drop(run);
    assert!(!at(".transom").exists());
}

#[test]
fn holes_stay_holes_across_volumes() {
    const SIZE: u64 = 10 << 30;
    let Some(elsewhere) = elsewhere() else {
        transom_test::skip!("/dev/shm is not another volume");
    };
    let mut run = Run::new();
    run.expect(RegularFile, "sparse", elsewhere.path().join("sparse"));
    let file = File::create(run.inside("sparse")).unwrap();
    file.write_all_at(b"begin", 0).unwrap();
    file.write_all_at(b"middle", SIZE / 2 + 1).unwrap();
    file.set_len(SIZE).unwrap();
    run.collect().unwrap();

    let copy = File::open(elsewhere.path().join("sparse")).unwrap();
    let metadata = copy.metadata().unwrap();
    assert_eq!(metadata.len(), SIZE);
    assert!(metadata.blocks() * 512 < 1 << 20, "{}", metadata.blocks());
    let mut middle = [0; 8];
    copy.read_exact_at(&mut middle, SIZE / 2).unwrap();
    assert_eq!(&middle, b"\0middle\0");
}

#[test]
fn a_sweep_removes_only_what_nobody_uses() {
    let base = temp_dir().unwrap();
    let live = Scratch::new(base.path(), &[]).unwrap();
    let kept = Scratch::new(base.path(), &[]).unwrap();
    fs::write(kept.path().join("root/evidence"), "").unwrap();
    let kept = kept.keep().unwrap();
    // As a run leaves it that was killed together with its init.
    let stale = base.path().join(".transom/run-1-0123456789abcdef");
    fs::create_dir_all(stale.join("root/out/deep")).unwrap();
    fs::write(stale.join("root/out/deep/file"), "").unwrap();

    assert_eq!(Scratch::sweep(base.path()).unwrap(), 1);
    assert!(!stale.exists() && live.path().exists());
    assert!(kept.join("evidence").exists());
    assert_eq!(Scratch::sweep(base.path()).unwrap(), 0);
}

#[test]
fn scratch_is_removed_at_any_depth() {
    let base = temp_dir().unwrap();
    let scratch = Scratch::new(base.path(), &[]).unwrap();
    let script =
        "i=0; while [ $i -lt 500 ]; do mkdir d; touch d/f; cd d; i=$((i+1)); done; chmod 0 ../../d";
    let mut shell = Command::new("sh");
    shell
        .args(["-c", script])
        .current_dir(scratch.path().join("root"));
    assert!(shell.status().unwrap().success());
    for number in 0..2000 {
        fs::write(scratch.path().join(format!("root/{number}")), "").unwrap();
    }
    drop(scratch);
    assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
}

#[test]
fn scratch_in_a_directory_of_everybody_belongs_to_one_user() {
    let base = temp_dir().unwrap();
    fs::set_permissions(base.path(), PermissionsExt::from_mode(0o1777)).unwrap();
    let scratch = Scratch::new(base.path(), &[]).unwrap();
    let home = scratch.path().parent().unwrap().file_name().unwrap();
    let user = rustix::process::geteuid().as_raw();
    assert_eq!(home, format!(".transom-{user}").as_str());
    assert_eq!(fs::metadata(scratch.path()).unwrap().mode() & 0o7777, 0o700);
}
