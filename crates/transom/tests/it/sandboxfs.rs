//! `transom-sandboxfs`, with Bazel played: the requests it sends, what its
//! actions then find, and what is left when either of the two is gone.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal};
use serde_json::{Value, json};
use tempfile::TempDir;
use transom_test::{KernelRequests, Unprivileged, connection_of, privileged, skip, temp_dir};

const PROGRAM: &str = env!("CARGO_BIN_EXE_transom-sandboxfs");

/// The numbers of requests in the kernel's protocol.
const READ: u32 = 15;
const WRITE: u32 = 16;

/// How often something is looked at that another process does, and how long
/// each time is waited.
const LOOKS_MAX: usize = 1000;
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// The directories of a build: `workspace` and `output` have its files, and
/// `mount` is where sandboxes are.
struct Host(TempDir);

impl Host {
    fn new() -> Self {
        let host = Self(temp_dir().unwrap());
        for directory in ["workspace/pkg", "output", "mount"] {
            fs::create_dir_all(host.path(directory)).unwrap();
        }
        host
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// A directory that an action writes to.
    fn scratch(&self, id: &str) -> PathBuf {
        let path = self.path(&format!("output/{id}/scratch"));
        fs::create_dir_all(&path).unwrap();
        path
    }

    fn mount_point(&self) -> PathBuf {
        self.path("mount")
    }

    fn in_sandbox(&self, path: &str) -> PathBuf {
        self.mount_point().join(path)
    }

    fn is_mounted(&self) -> bool {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let at = format!(" {} ", self.mount_point().display());
        mounts.lines().any(|line| line.contains(&at))
    }

    #[track_caller]
    fn assert_not_mounted(&self) {
        assert!(!self.is_mounted());
        assert_eq!(fs::read_dir(self.mount_point()).unwrap().count(), 0);
    }
}

/// The program, and our end of its streams.
struct Bazel {
    process: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Bazel {
    /// Starts the program, and waits until it serves, as Bazel does.
    fn start(host: &Host) -> Self {
        Self::start_with(host, &[])
    }

    fn start_with(host: &Host, options: &[&str]) -> Self {
        let mut process = Command::new(PROGRAM)
            .args(options)
            .args(["--allow=self".as_ref(), host.mount_point().as_os_str()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut bazel = Self {
            requests: process.stdin.take(),
            answers: BufReader::new(process.stdout.take().unwrap()),
            process,
        };
        bazel.done(r#"{"C":{"i":"empty","m":[]}}"#, "empty");
        bazel
    }

    fn send(&mut self, request: &str) {
        let requests = self.requests.as_mut().unwrap();
        requests.write_all(request.as_bytes()).unwrap();
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }

    /// Sends a request that has to be done.
    #[track_caller]
    fn done(&mut self, request: &str, id: &str) {
        self.send(request);
        assert_eq!(self.answer(), json!({"id": id, "error": null}), "{request}");
    }

    /// Sends a request that has to fail, and returns why.
    #[track_caller]
    fn refused(&mut self, request: &str, id: Option<&str>) -> String {
        self.send(request);
        let answer = self.answer();
        assert_eq!(answer["id"], json!(id), "{request}");
        answer["error"].as_str().unwrap().to_owned()
    }

    /// Makes a sandbox of `(name, host path, writable)`.
    #[track_caller]
    fn create(&mut self, id: &str, mappings: &[(&str, &Path, bool)]) {
        let mappings = mappings.iter().map(|(path, source, writable)| {
            json!({"path": path, "underlying_path": source, "writable": writable})
        });
        let mappings: Vec<_> = mappings.collect();
        let create = json!({"CreateSandbox": {"id": id, "mappings": mappings}});
        self.done(&create.to_string(), id);
    }

    fn destroy(&mut self, id: &str) {
        self.done(&json!({"D": id}).to_string(), id);
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Closes its input and waits for it.
    fn close(mut self) -> ExitStatus {
        self.requests = None;
        self.process.wait().unwrap()
    }

    fn caretaker(&self) -> Pid {
        let children = format!("/proc/{0}/task/{0}/children", self.process.id());
        let children = fs::read_to_string(children).unwrap();
        let pid: i32 = children.trim().parse().unwrap();
        Pid::from_raw(pid).unwrap()
    }
}

#[track_caller]
fn eventually(holds: impl Fn() -> bool) {
    for _ in 0..LOOKS_MAX {
        if holds() {
            return;
        }
        thread::sleep(BETWEEN_LOOKS);
    }
    panic!("it does not happen");
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn kind_of_error<T: std::fmt::Debug>(result: std::io::Result<T>) -> ErrorKind {
    result.unwrap_err().kind()
}

#[test]
fn the_version_is_that_of_sandboxfs() {
    let output = Command::new(PROGRAM).arg("--version").output().unwrap();
    assert_eq!(output.stdout, b"sandboxfs 0.2.0\n");
}

#[test]
fn privileged_a_dash_is_a_standard_stream() {
    privileged!("mount");
    let host = Host::new();
    let mut bazel = Bazel::start_with(&host, &["--input=-", "--output=-"]);
    let file = host.file("workspace/file", "content");
    bazel.create("0", &[("/file", &file, false)]);
    assert_eq!(read(&host.in_sandbox("0/file")), "content");
    assert!(bazel.close().success());
    host.assert_not_mounted();
}

#[test]
fn answers_go_to_a_file_that_exists() {
    let host = Host::new();
    let mut process = Command::new(PROGRAM);
    process.arg("--output").arg(host.path("answers"));
    let output = process.arg(host.mount_point()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{said}");
    assert!(said.contains("cannot write answers"), "{said}");
    assert!(!host.path("answers").exists());
}

#[test]
fn privileged_an_action_as_bazel_has_it() {
    privileged!("mount");
    let host = Host::new();
    host.file("workspace/pkg/a.c", "int a;");
    host.file("workspace/pkg/undeclared.h", "int u;");
    let top = host.file("workspace/top.c", "int top;");
    // Bazel names the files at the top by links, and the others through one.
    fs::create_dir(host.path("execroot")).unwrap();
    symlink(&top, host.path("execroot/top.c")).unwrap();
    symlink(host.path("workspace/pkg"), host.path("execroot/pkg")).unwrap();
    let scratch = host.scratch("3");
    fs::create_dir_all(scratch.join("bazel-out/bin/pkg")).unwrap();
    let generated = host.file("execroot/bazel-out/bin/pkg/gen.h", "int gen;");

    let mut bazel = Bazel::start(&host);
    let root = host.path("");
    let root = root.display();
    bazel.done(
        &format!(
            r#"{{"C":{{"i":"0","m":[
                {{"x":1,"p":"__main__","y":2,"u":"scratch","w":true}},
                {{"x":3,"p":"top.c","y":4,"u":"top.c"}},
                {{"x":5,"p":"a.c","y":6,"u":"a.c"}},
                {{"x":7,"p":"gen.h","y":8,"u":"gen.h"}},
                {{"x":3,"p":"empty","u":"/dev/null"}}],
               "q":{{"1":"/","2":"{root}output/3","3":"/__main__","4":"{root}execroot",
                "5":"/__main__/pkg","6":"{root}execroot/pkg",
                "7":"/__main__/bazel-out/bin/pkg","8":"{root}execroot/bazel-out/bin/pkg"}}}}}}"#
        ),
        "0",
    );
    let connection = connection_of(&host.mount_point()).unwrap();
    let traced = KernelRequests::watch(connection).unwrap();
    let at = |name: &str| host.in_sandbox(&format!("0/__main__/{name}"));

    assert_eq!(names(&host.mount_point()), ["0", "empty"]);
    assert_eq!(names(&at("")), ["bazel-out", "empty", "pkg", "top.c"]);
    assert_eq!(names(&at("pkg")), ["a.c"]);
    assert_eq!(read(&at("top.c")), "int top;");
    assert_eq!(read(&at("pkg/a.c")), "int a;");
    assert_eq!(read(&at("empty")), "");
    let absent = fs::read(at("pkg/undeclared.h"));
    assert_eq!(kind_of_error(absent), ErrorKind::NotFound);
    for name in ["top.c", "pkg/a.c"] {
        let metadata = fs::symlink_metadata(at(name)).unwrap();
        assert!(metadata.is_file(), "{name}");
        assert_eq!(metadata.nlink(), 1);
        assert_eq!(fs::canonicalize(at(name)).unwrap(), at(name));
    }

    // Outputs among inputs, where Bazel takes them from.
    fs::write(at("bazel-out/bin/pkg/a.o"), "object").unwrap();
    assert_eq!(read(&scratch.join("bazel-out/bin/pkg/a.o")), "object");
    assert_eq!(names(&at("bazel-out/bin/pkg")), ["a.o", "gen.h"]);
    assert_eq!(read(&at("bazel-out/bin/pkg/gen.h")), "int gen;");
    // And where Bazel has made no directory for them.
    fs::write(at("pkg/a.tmp"), "temporary").unwrap();
    assert_eq!(names(&at("pkg")), ["a.c", "a.tmp"]);
    assert_eq!(names(&scratch.join("pkg")), ["a.tmp"]);

    let counts = traced.finish().unwrap();
    assert_eq!(counts.of(READ), 0, "the kernel reads by itself");
    assert_eq!(counts.of(WRITE), 0, "and writes");

    // Another action sees nothing of it, and a file replaced meanwhile as it is.
    let old = File::open(at("top.c")).unwrap();
    fs::rename(host.file("new", "int new;"), &top).unwrap();
    bazel.create("1", &[("/__main__/top.c", &top, false)]);
    assert_eq!(read(&host.in_sandbox("1/__main__/top.c")), "int new;");
    assert_eq!(std::io::read_to_string(old).unwrap(), "int top;");
    assert_eq!(read(&at("top.c")), "int top;");

    bazel.destroy("0");
    assert_eq!(names(&host.mount_point()), ["1", "empty"]);
    assert_eq!(read(&scratch.join("pkg/a.tmp")), "temporary");
    assert_eq!(read(&generated), "int gen;");
    assert!(bazel.close().success());
    host.assert_not_mounted();
}

#[test]
fn privileged_no_link_leads_out() {
    privileged!("mount");
    let host = Host::new();
    host.file("workspace/secret", "secret");
    host.file("workspace/other/x", "x");
    host.file("workspace/dir/sub/file", "file");
    let dir = host.path("workspace/dir");
    let link = |target: &Path, name: &str| symlink(target, dir.join(name)).unwrap();
    link(Path::new("sub/file"), "inside");
    link(Path::new("../secret"), "beside");
    link(Path::new("../../../../../etc/passwd"), "above");
    link(&host.path("workspace/secret"), "absolute");
    link(&host.path("workspace/other"), "directory");
    link(&host.path("workspace"), "endless");
    link(Path::new("/nowhere/at/all"), "dangling");
    symlink(&dir, host.path("workspace/link")).unwrap();
    symlink("no such file", host.path("workspace/unresolved")).unwrap();

    let mut bazel = Bazel::start(&host);
    bazel.create(
        "s",
        &[
            ("/tree/dir", &host.path("workspace/link"), false),
            ("/unresolved", &host.path("workspace/unresolved"), false),
        ],
    );
    let at = |name: &str| host.in_sandbox(&format!("s/tree/dir/{name}"));
    let seen = ["above", "absolute", "beside", "directory", "inside", "sub"];
    assert_eq!(names(&at("")), seen);
    let target = |name: &str| fs::read_link(at(name)).ok();
    assert_eq!(target("inside"), Some("sub/file".into()));
    assert_eq!(fs::canonicalize(at("inside")).unwrap(), at("sub/file"));
    // Two names of the sandbox lie above the directory: `../secret` stays in.
    assert_eq!(target("beside"), Some("../secret".into()));
    assert_eq!(kind_of_error(fs::read(at("beside"))), ErrorKind::NotFound);
    for (name, content) in [("absolute", "secret"), ("directory/x", "x")] {
        assert_eq!(target(name), None);
        assert_eq!(read(&at(name)), content);
        assert_eq!(fs::canonicalize(at(name)).unwrap(), at(name));
    }
    assert_eq!(target("above"), None);
    for name in ["endless", "dangling"] {
        assert_eq!(
            kind_of_error(fs::symlink_metadata(at(name))),
            ErrorKind::NotFound
        );
    }
    let unresolved = fs::read_link(host.in_sandbox("s/unresolved")).unwrap();
    assert_eq!(unresolved, Path::new("no such file"));
    assert!(bazel.close().success());
}

#[test]
fn privileged_what_is_declared_cannot_be_changed() {
    privileged!("mount");
    let host = Host::new();
    let input = host.file("workspace/input", "input");
    host.file("workspace/dir/file", "file");
    let written = host.file("workspace/written", "before");
    let scratch = host.scratch("1");
    fs::write(scratch.join("hidden"), "hidden").unwrap();
    let mut bazel = Bazel::start(&host);
    bazel.create(
        "1",
        &[
            ("/", &scratch, true),
            ("/a/input", &input, false),
            ("/a/written", &written, true),
            ("/dir", &host.path("workspace/dir"), false),
            ("/hidden", &input, false),
            ("/null", Path::new("/dev/null"), false),
        ],
    );
    let at = |name: &str| host.in_sandbox(&format!("1/{name}"));
    let read_only = ErrorKind::ReadOnlyFilesystem;
    for name in ["a/input", "dir/file", "hidden", "null"] {
        assert_eq!(kind_of_error(fs::write(at(name), "x")), read_only, "{name}");
        assert_eq!(
            kind_of_error(fs::remove_file(at(name))),
            read_only,
            "{name}"
        );
        let renamed = fs::rename(at(name), at("elsewhere"));
        assert_eq!(kind_of_error(renamed), read_only, "{name}");
    }
    assert_eq!(kind_of_error(fs::write(at("dir/new"), "x")), read_only);
    assert_eq!(
        kind_of_error(fs::write(host.in_sandbox("x"), "x")),
        read_only
    );
    assert_eq!(
        kind_of_error(fs::create_dir(host.in_sandbox("2"))),
        read_only
    );
    fs::write(at("output"), "output").unwrap();
    assert_eq!(
        kind_of_error(fs::rename(at("output"), at("a/input"))),
        read_only
    );
    let linked = fs::hard_link(at("a/input"), at("link"));
    assert_eq!(kind_of_error(linked), ErrorKind::CrossesDevices);

    // The rest of the directory is the action's.
    fs::rename(at("output"), at("a/output")).unwrap();
    fs::hard_link(at("a/output"), at("twice")).unwrap();
    fs::create_dir_all(at("a/deep/er")).unwrap();
    symlink("deep/er", at("a/link")).unwrap();
    fs::write(at("a/link/file"), "deep").unwrap();
    assert_eq!(read(&scratch.join("a/deep/er/file")), "deep");
    fs::rename(at("a/deep"), at("moved")).unwrap();
    assert_eq!(read(&at("moved/er/file")), "deep");
    fs::remove_dir_all(at("moved")).unwrap();
    assert_eq!(names(&at("a")), ["input", "link", "output", "written"]);
    fs::write(at("a/written"), "after").unwrap();
    assert_eq!(read(&written), "after");

    assert!(bazel.close().success());
    assert_eq!(read(&input), "input");
    assert_eq!(read(&scratch.join("hidden")), "hidden");
    assert_eq!(names(&scratch), ["a", "hidden", "twice"]);
}

#[test]
fn privileged_bad_requests_cost_nobody_else_anything() {
    privileged!("mount");
    let host = Host::new();
    let input = host.file("workspace/input", "input");
    let mut bazel = Bazel::start(&host);
    bazel.create("1", &[("/input", &input, false)]);
    for (request, id, reason) in [
        (r#"{"C":{"i":"1"}}"#, Some("1"), "already"),
        (r#"{"D":"2"}"#, Some("2"), "no sandbox"),
        (r#"{"C":{"i":"a/b"}}"#, Some("a/b"), "cannot name"),
        (
            r#"{"C":{"i":"2","m":[{"p":"/x","u":"/no/such"}]}}"#,
            Some("2"),
            "`/no/such` as `/x`",
        ),
        (
            r#"{"C":{"i":"2","m":[{"p":"/x","x":7,"u":"/"}]}}"#,
            Some("2"),
            "prefix 7",
        ),
        (r#"{"what":{}}"#, None, "not a request"),
    ] {
        let said = bazel.refused(request, id);
        assert!(said.contains(reason), "{request}: {said}");
        assert_eq!(names(&host.mount_point()), ["1", "empty"]);
    }
    bazel.destroy("1");
    bazel.create("1", &[("/again", &input, false)]);
    assert_eq!(names(&host.in_sandbox("1")), ["again"]);
    // What cannot be cut into messages ends it.
    let said = bazel.refused("nonsense", None);
    assert!(said.contains("expected `{`"), "{said}");
    assert_eq!(bazel.process.wait().unwrap().code(), Some(125));
    host.assert_not_mounted();
}

#[test]
fn privileged_sandboxes_are_made_and_used_at_once() {
    privileged!("mount");
    const SANDBOXES: usize = 40;
    const INPUTS: usize = 50;
    let host = Host::new();
    let inputs: Vec<_> = (0..INPUTS)
        .map(|number| host.file(&format!("workspace/pkg/{number}"), &number.to_string()))
        .collect();
    let mut bazel = Bazel::start(&host);
    for id in 0..SANDBOXES {
        let scratch = host.scratch(&id.to_string());
        let mut mappings = vec![json!({"p": "/w", "u": scratch, "w": true})];
        let inputs = inputs.iter().enumerate();
        mappings.extend(inputs.map(|(n, path)| json!({"p": format!("/w/d/{n}"), "u": path})));
        bazel.send(&json!({"C": {"i": id.to_string(), "m": mappings}}).to_string());
    }
    let mut answered: Vec<_> = (0..SANDBOXES)
        .map(|_| {
            let answer = bazel.answer();
            assert_eq!(answer["error"], Value::Null);
            answer["id"].as_str().unwrap().parse::<usize>().unwrap()
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (0..SANDBOXES).collect::<Vec<_>>());
    thread::scope(|scope| {
        for id in 0..SANDBOXES {
            let host = &host;
            scope.spawn(move || {
                let at = |name: String| host.in_sandbox(&format!("{id}/w/{name}"));
                for number in 0..INPUTS {
                    assert_eq!(read(&at(format!("d/{number}"))), number.to_string());
                    fs::write(at(format!("d/{number}.out")), id.to_string()).unwrap();
                }
                assert_eq!(names(&at("d".into())).len(), 2 * INPUTS);
            });
        }
    });
    for id in 0..SANDBOXES {
        bazel.destroy(&id.to_string());
        let written = host.path(&format!("output/{id}/scratch/d"));
        assert_eq!(names(&written).len(), INPUTS);
    }
    assert!(bazel.close().success());
}

#[test]
fn privileged_it_ends_without_a_mount_however_it_ends() {
    privileged!("mount");
    let ends: [fn(Bazel, &Host); 5] = [
        |bazel, _| assert!(bazel.close().success()),
        |mut bazel, _| {
            bazel.signal(Signal::TERM);
            assert!(bazel.process.wait().unwrap().success());
        },
        |mut bazel, _| {
            bazel.signal(Signal::INT);
            assert!(bazel.process.wait().unwrap().success());
        },
        |mut bazel, host| {
            rustix::mount::unmount(host.mount_point(), rustix::mount::UnmountFlags::empty())
                .unwrap();
            assert!(bazel.process.wait().unwrap().success());
        },
        |mut bazel, host| {
            bazel.signal(Signal::KILL);
            assert!(!bazel.process.wait().unwrap().success());
            eventually(|| !host.is_mounted());
        },
    ];
    let host = Host::new();
    let input = host.file("workspace/input", "input");
    for end in ends {
        let mut bazel = Bazel::start(&host);
        bazel.create("1", &[("/input", &input, false)]);
        assert_eq!(read(&host.in_sandbox("1/input")), "input");
        end(bazel, &host);
        host.assert_not_mounted();
    }
}

#[test]
fn privileged_the_caretaker_keeps_nothing_of_who_started_the_server() {
    privileged!("mount");
    let host = Host::new();
    let lock = File::create(host.path("lock")).unwrap();
    rustix::io::fcntl_setfd(&lock, rustix::io::FdFlags::empty()).unwrap();
    let bazel = Bazel::start(&host);
    let files = format!("/proc/{}/fd", bazel.caretaker());
    eventually(|| names(files.as_ref()) == ["0", "1", "2"]);
    assert!(bazel.close().success());
}

#[test]
fn privileged_actions_that_still_run_keep_nobody() {
    privileged!("mount");
    let host = Host::new();
    let input = host.file("workspace/input", "input");
    let mut bazel = Bazel::start(&host);
    bazel.create("1", &[("/input", &input, false)]);
    let mut action = Command::new("sleep")
        .arg("1000")
        .current_dir(host.in_sandbox("1"))
        .stdin(File::open(host.in_sandbox("1/input")).unwrap())
        .spawn()
        .unwrap();
    assert!(bazel.close().success());
    host.assert_not_mounted();
    action.kill().unwrap();
    action.wait().unwrap();
}

#[test]
fn privileged_a_dead_mount_is_taken_away_by_the_next_start() {
    privileged!("mount");
    let host = Host::new();
    let mut bazel = Bazel::start(&host);
    rustix::process::kill_process(bazel.caretaker(), Signal::KILL).unwrap();
    bazel.signal(Signal::KILL);
    bazel.process.wait().unwrap();
    let dead = fs::read_dir(host.mount_point()).unwrap_err();
    assert_eq!(
        dead.raw_os_error(),
        Some(rustix::io::Errno::NOTCONN.raw_os_error())
    );
    let next = Bazel::start(&host);
    assert_eq!(names(&host.mount_point()), ["empty"]);
    assert!(next.close().success());
    host.assert_not_mounted();
}

/// fusermount3 opens the device as its user, who may not be let by the machine;
/// in a mount namespace of its own, there is a device for everybody.
#[test]
fn privileged_a_user_who_may_not_mount_is_helped_by_fusermount() {
    privileged!("make a device file that everybody may open");
    let user = Unprivileged::new().unwrap();
    let home = user.home();
    let mut served = user.command(PROGRAM).unwrap();
    let device = home.join("device");
    let made = Command::new("mknod")
        .arg("-m0666")
        .arg(&device)
        .args(["c", "10", "229"])
        .status()
        .unwrap();
    if !made.success() {
        skip!("device files cannot be made here");
    }
    let script = r#"
        set -eu
        mount --bind device /dev/fuse
        mkdir mount scratch input; chmod 777 mount scratch; echo input > input/file
        chown 65534:65534 mount scratch
        mkfifo requests; touch answers; chmod 666 requests answers
        "$@" --input requests --output answers mount & server=$!
        exec 3> requests
        printf '{"C":{"i":"1","m":[{"p":"/w","u":"%s/scratch","w":true},{"p":"/w/i","u":"%s/input"}]}}' \
            "$(pwd)" "$(pwd)" >&3
        until grep -q '"1"' answers; do sleep 0.01; done
        cat answers
        setpriv --reuid=65534 --regid=65534 --clear-groups sh -ec '
            cd mount/1/w; cat i/file; cp i/file out; ls; stat -fc %T .'
        cat scratch/out
        exec 3>&-; wait $server
        grep -c "$(pwd)/mount" /proc/self/mountinfo || true
    "#;
    let mut arguments = vec![served.get_program().to_owned()];
    arguments.extend(served.get_args().map(ToOwned::to_owned));
    served = Command::new("unshare");
    served
        .args([
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
            "sh",
        ])
        .args(arguments)
        .current_dir(home);
    let output = served.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let complaint = String::from_utf8(output.stderr).unwrap();
    let expected = "{\"id\":\"1\",\"error\":null}\ninput\ni\nout\nfuseblk\ninput\n0\n";
    assert_eq!(said, expected, "{complaint}");
    assert!(output.status.success(), "{complaint}");
}
