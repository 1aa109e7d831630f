//! The engines differ where the kernel makes them, and nowhere else that we
//! know: each row of the table in `docs/semantics.md` is a test.

use std::fs::{self, File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::json;
use transom_test::is_root;

use crate::action::LISTEN;
use crate::world::{Engine, World, over_both_engines};

/// The first column of a row, and what asserts the others.
type Row = (&'static str, fn(&World));

const ROWS: [Row; 16] = [
    ("directories of the view: permissions", permissions),
    ("inode and device numbers", inode_numbers),
    ("link count of a file", links_of_a_file),
    ("link count of a directory", links_of_a_directory),
    ("blocks (`du`)", blocks),
    ("access time", access_time),
    (
        "owners that an unprivileged user's namespace does not map",
        owners,
    ),
    (
        "extended attributes and ACLs of inputs",
        extended_attributes,
    ),
    ("free space (`df`)", free_space),
    ("`/proc/self/mountinfo`", mountinfo),
    (
        "named pipes, sockets in whole directories",
        pipes_and_sockets,
    ),
    ("devices in whole directories", devices),
    (
        "a name that appears in a whole directory",
        names_that_appear,
    ),
    ("changed in place, deleted", changes),
    ("steering, traces, `transom view`", steering),
    ("executable override", executable_override),
];

over_both_engines!(
    permissions,
    inode_numbers,
    links_of_a_file,
    links_of_a_directory,
    blocks,
    access_time,
    owners,
    extended_attributes,
    free_space,
    mountinfo,
    pipes_and_sockets,
    devices,
    names_that_appear,
    changes,
    steering,
    executable_override,
);

#[test]
fn every_row_is_a_test() {
    let document = include_str!("../../../../docs/semantics.md");
    let (_, table) = document
        .split_once("\n## Differences between the engines\n")
        .expect("the section exists");
    let rows = table.lines().skip_while(|line| !line.starts_with("|---"));
    let documented: Vec<_> = rows
        .skip(1)
        .map_while(|line| line.strip_prefix("| ")?.split(" | ").next())
        .collect();
    assert_eq!(documented, ROWS.map(|(row, _)| row));
}

/// What the kernel shows with this engine.
fn by_engine<T>(world: &World, fuse: T, mounts: T) -> T {
    match world.engine {
        Engine::Fuse => fuse,
        Engine::Mounts => mounts,
    }
}

/// What `stat` says of the declared file `w/file`, in the view.
fn shown(world: &World, format: &str) -> String {
    let action = world.action().file("w/file", world.path().join("file"));
    action.prints(&format!("stat -c '{format}' file"))
}

fn permissions(world: &World) {
    let printed = world
        .action()
        .prints("stat -c %a . /; touch x 2> /dev/null || echo read-only");
    assert_eq!(
        printed,
        by_engine(world, "555\n555\nread-only\n", "755\n755\nread-only\n")
    );
}

fn inode_numbers(world: &World) {
    let host = fs::metadata(world.file("file", "")).unwrap();
    let host = format!("{} {}\n", host.dev(), host.ino());
    assert_eq!(shown(world, "%d %i") == host, by_engine(world, false, true));
}

fn links_of_a_file(world: &World) {
    let file = world.file("file", "");
    fs::hard_link(file, world.path().join("other")).unwrap();
    assert_eq!(shown(world, "%h"), by_engine(world, "1\n", "2\n"));
}

fn links_of_a_directory(world: &World) {
    let directory = |name: &str| json!({ "name": name, "empty_directory": true });
    let action = world
        .action()
        .input(directory("w/one"))
        .input(directory("w/two"));
    assert_eq!(
        action.prints("stat -c %h ."),
        by_engine(world, "1\n", "4\n")
    );
}

fn blocks(world: &World) {
    let file = world.file("file", "");
    File::options()
        .write(true)
        .open(&file)
        .unwrap()
        .set_len(1 << 20)
        .unwrap();
    let host = format!("{}\n", fs::metadata(&file).unwrap().blocks());
    assert_eq!(shown(world, "%b"), by_engine(world, "2048\n", &host));
}

fn access_time(world: &World) {
    let file = File::options()
        .write(true)
        .open(world.file("file", ""))
        .unwrap();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let times = FileTimes::new()
        .set_modified(at(1_000_000_000))
        .set_accessed(at(1_500_000_000));
    file.set_times(times).unwrap();
    assert_eq!(
        shown(world, "%X"),
        by_engine(world, "1000000000\n", "1500000000\n")
    );
}

fn owners(world: &World) {
    let printed = world.action().prints("stat -c %u /usr/bin/env; id -u");
    let (owner, user) = printed.split_once('\n').unwrap();
    let shown = match (world.is_root(), world.engine) {
        (true, _) => "0",
        (false, Engine::Fuse) => user.trim(),
        (false, Engine::Mounts) => "65534",
    };
    assert_eq!(owner, shown);
}

/// Prints the value of the attribute `user.x` of its argument.
const GET: &str = r#"
    #include <stdio.h>
    #include <sys/xattr.h>
    int main(int argc, char **argv) {
        char value[100] = "";
        return getxattr(argv[1], "user.x", value, 99) < 0 ? puts("none") < 0 : puts(value) < 0;
    }
"#;

fn extended_attributes(world: &World) {
    let file = world.file("file", "");
    let none = rustix::fs::XattrFlags::empty();
    if rustix::fs::setxattr(&file, "user.x", b"value", none).is_err() {
        transom_test::skip!("the temporary directory has no extended attributes");
    }
    let source = world.file("get.c", GET);
    let get = world.path().join("get");
    let mut gcc = world.command("gcc");
    assert!(
        gcc.arg("-o")
            .args([&get, &source])
            .status()
            .unwrap()
            .success()
    );
    let action = world.action().file("w/file", &file).file("w/get", &get);
    assert_eq!(
        action.prints("./get file"),
        by_engine(world, "none\n", "value\n")
    );
}

fn free_space(world: &World) {
    let file = world.file("file", "");
    let printed = world
        .action()
        .file("w/file", file)
        .prints("stat -f -c %f file");
    assert_eq!(printed == "0\n", by_engine(world, true, false));
}

fn mountinfo(world: &World) {
    let file = world.file("file", "");
    let tree = world.directory("tree");
    let action = world
        .action()
        .file("w/file", &file)
        .directory("w/tree", &tree);
    // The place on the volume, and the place in the view.
    let printed = action.prints("cut -d' ' -f4,5 /proc/self/mountinfo | grep ' /w' || true");
    let lines: Vec<_> = printed.lines().collect();
    match world.engine {
        Engine::Fuse => assert!(lines.is_empty(), "{printed}"),
        Engine::Mounts => {
            // The volume may be mounted anywhere on the host.
            assert!(lines[0].ends_with("/file /w/file"), "{printed}");
            assert!(lines[1].ends_with("/tree /w/tree"), "{printed}");
            assert_eq!(lines.len(), 2);
        }
    }
}

fn pipes_and_sockets(world: &World) {
    world.directory("tree");
    assert!(
        world
            .command("mkfifo")
            .arg("tree/pipe")
            .status()
            .unwrap()
            .success()
    );
    let socket = world.path().join("tree/socket");
    let listener = UnixListener::bind(&socket).unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    fs::set_permissions(&socket, everybody).unwrap();
    let connect = "use Socket; socket(my $s, PF_UNIX, SOCK_STREAM, 0);
        print connect($s, pack_sockaddr_un(\"tree/socket\")) ? \"connected\\n\" : \"not connected\\n\"";
    let script = format!(
        "ls tree; test -p tree/pipe && (exec 3<> tree/pipe; echo through >&3; head -1 <&3); perl -e '{connect}'"
    );
    let action = world
        .action()
        .directory("w/tree", world.path().join("tree"));
    let printed = action.prints(&script);
    drop(listener);
    assert_eq!(
        printed,
        by_engine(
            world,
            "not connected\n",
            "pipe\nsocket\nthrough\nconnected\n"
        )
    );
}

fn devices(world: &World) {
    if !is_root() {
        transom_test::skip!("only root can make a device");
    }
    let directory = world.directory("tree");
    let device = directory.join("null");
    let mut mknod = Command::new("mknod");
    assert!(
        mknod
            .args(["-m", "666"])
            .arg(device)
            .args(["c", "1", "3"])
            .status()
            .unwrap()
            .success()
    );
    let action = world.action().directory("w/tree", directory);
    let printed = action.prints("ls tree; cat tree/null 2> /dev/null || echo closed");
    assert_eq!(printed, by_engine(world, "closed\n", "null\nclosed\n"));
}

fn names_that_appear(world: &World) {
    let tree = world.directory("tree");
    let mut live = world.action().directory("w/tree", tree).sh(LISTEN).start();
    live.says("ready");
    assert_eq!(live.ask("test -e tree/asked-for; echo $?"), "1");
    world.file("tree/asked-for", "");
    world.file("tree/other", "");
    assert_eq!(live.ask("test -e tree/other; echo $?"), "0");
    assert_eq!(
        live.ask("test -e tree/asked-for; echo $?"),
        by_engine(world, "1", "0")
    );
    live.finish();
}

fn changes(world: &World) {
    let changed = world.file("changed", "old\n");
    let deleted = world.file("deleted", "old\n");
    let action = world
        .action()
        .file("w/changed", &changed)
        .file("w/deleted", &deleted);
    let mut live = action.sh(LISTEN).start();
    live.says("ready");
    fs::write(&changed, "new\n").unwrap();
    fs::remove_file(&deleted).unwrap();
    let stale = "Stale file handle";
    let open = |name: &str| format!("cat {name} 2>&1 | sed 's/.*: //'");
    assert_eq!(live.ask(&open("changed")), by_engine(world, stale, "new"));
    assert_eq!(live.ask(&open("deleted")), by_engine(world, stale, "old"));
    let run = live.finish().exited(123);
    run.says("input `w/changed`").says("input `w/deleted`");
}

fn steering(world: &World) {
    let run = world
        .action()
        .args(["--name", "view", "--trace", "trace"])
        .sh("true")
        .run();
    match world.engine {
        Engine::Fuse => drop(run.succeeded()),
        Engine::Mounts => drop(run.exited(125).says("needs `--engine fuse`")),
    }
}

fn executable_override(world: &World) {
    let file = world.file("file", "#!/bin/sh\necho ran\n");
    let input = |file| json!({ "name": "w/file", "file": file, "executable": true });
    let printed = world
        .action()
        .input(input(&file))
        .prints("./file; stat -f -c %T file | grep -x tmpfs || true");
    assert_eq!(printed, by_engine(world, "ran\n", "ran\ntmpfs\n"));
    // More than anybody wants to copy.
    let large = world.file("large", "");
    File::options()
        .write(true)
        .open(&large)
        .unwrap()
        .set_len((256 << 20) + 1)
        .unwrap();
    let run = world
        .action()
        .input(input(&large))
        .sh("stat -c %A file")
        .run();
    match world.engine {
        Engine::Fuse => assert_eq!(run.succeeded().stdout(), "-rwxr-xr-x\n"),
        Engine::Mounts => drop(run.exited(125).says("too many for a copy")),
    }
}
