//! Inputs cannot be changed from inside, whatever the action tries.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use crate::world::{World, over_both_engines};

over_both_engines!(
    no_system_call_changes_an_input,
    no_tool_changes_an_input,
    mounts_cannot_be_changed,
    inputs_of_a_writable_directory_are_protected,
);

/// Tries to change the file that its argument names, in every way there is,
/// and tells of those that did not fail.
const ATTACK: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

static void report(const char *what, long failed) {
    if (!failed) printf("%s worked\n", what);
}

/* Writes through every descriptor that can be had. */
static void attack_descriptor(const char *what, int file) {
    char name[64];
    if (file < 0) return;
    snprintf(name, sizeof name, "%s: write", what);
    report(name, write(file, "X", 1) < 0);
    snprintf(name, sizeof name, "%s: pwrite", what);
    report(name, pwrite(file, "X", 1, 0) < 0);
    snprintf(name, sizeof name, "%s: ftruncate", what);
    report(name, ftruncate(file, 0));
    snprintf(name, sizeof name, "%s: fallocate", what);
    report(name, fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 1));
    snprintf(name, sizeof name, "%s: mmap", what);
    char *map = mmap(NULL, 1, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (map != MAP_FAILED) { map[0] = 'X'; msync(map, 1, MS_SYNC); report(name, 0); }
    snprintf(name, sizeof name, "%s: mprotect", what);
    map = mmap(NULL, 1, PROT_READ, MAP_SHARED, file, 0);
    if (map != MAP_FAILED && mprotect(map, 1, PROT_READ | PROT_WRITE) == 0) { map[0] = 'X'; report(name, 0); }
    snprintf(name, sizeof name, "%s: fchmod", what);
    report(name, fchmod(file, 0777));
    snprintf(name, sizeof name, "%s: fchown", what);
    report(name, fchown(file, getuid(), getgid()));
    snprintf(name, sizeof name, "%s: futimens", what);
    report(name, futimens(file, NULL));
    snprintf(name, sizeof name, "%s: fsetxattr", what);
    report(name, fsetxattr(file, "user.x", "x", 1, 0));
    snprintf(name, sizeof name, "%s: setflags", what);
    int flags = 0;
    report(name, ioctl(file, FS_IOC_SETFLAGS, &flags));
    snprintf(name, sizeof name, "%s: copy_file_range", what);
    int source = open("/usr/bin/true", O_RDONLY);
    loff_t in = 0, out = 0;
    report(name, copy_file_range(source, &in, file, &out, 1, 0) < 0);
    snprintf(name, sizeof name, "%s: clone", what);
    report(name, ioctl(file, FICLONE, source));
    close(source);
}

int main(int argc, char **argv) {
    const char *path = argv[1];
    char link[64];
    report("truncate", truncate(path, 0));
    report("chmod", chmod(path, 0777));
    report("chown", chown(path, getuid(), getgid()));
    report("utimensat", utimensat(AT_FDCWD, path, NULL, 0));
    report("setxattr", setxattr(path, "user.x", "x", 1, 0));
    report("removexattr", removexattr(path, "user.x"));
    report("unlink", unlink(path));
    report("rename away", rename(path, "/tmp/x"));
    report("rename beside", rename(path, "beside"));
    close(open("/tmp/other", O_CREAT | O_WRONLY, 0600));
    report("rename over", rename("/tmp/other", path));
    report("exchange", renameat2(AT_FDCWD, "/tmp/other", AT_FDCWD, path, RENAME_EXCHANGE));
    report("link", linkat(AT_FDCWD, path, AT_FDCWD, "beside", 0));
    int modes[] = { O_RDWR, O_WRONLY, O_RDWR | O_TRUNC, O_WRONLY | O_TRUNC, O_RDWR | O_CREAT, O_WRONLY | O_APPEND, O_RDONLY | O_TRUNC, O_RDWR | O_DIRECT };
    const char *names[] = { "O_RDWR", "O_WRONLY", "O_RDWR|O_TRUNC", "O_WRONLY|O_TRUNC", "O_RDWR|O_CREAT", "O_APPEND", "O_RDONLY|O_TRUNC", "O_DIRECT" };
    for (int i = 0; i < 8; i++) {
        int file = open(path, modes[i], 0600);
        report(names[i], file < 0);
        attack_descriptor(names[i], file);
    }
    /* A read-only descriptor, and what /proc makes of it. */
    int file = open(path, O_RDONLY);
    if (file < 0) { perror("open"); return 1; }
    attack_descriptor("O_RDONLY", file);
    fcntl(file, F_SETFL, O_RDWR);
    attack_descriptor("F_SETFL", file);
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    for (int i = 0; i < 8; i++) {
        int again = open(link, modes[i], 0600);
        report("reopen by /proc", again < 0);
        attack_descriptor("reopened", again);
    }
    int handle = open(path, O_PATH);
    snprintf(link, sizeof link, "/proc/self/fd/%d", handle);
    report("chmod by O_PATH", chmod(link, 0777));
    attack_descriptor("O_PATH by /proc", open(link, O_RDWR));
    puts("done");
    return 0;
}
"#;

fn compile(world: &World, name: &str, source: &str) -> PathBuf {
    let file = world.file(format!("{name}.c"), source);
    let program = world.path().join(name);
    let mut gcc = world.command("gcc");
    let gcc = gcc.args(["-w", "-o"]).args([&program, &file]);
    assert!(gcc.status().unwrap().success());
    program
}

/// What can be told apart of a file: its content and everything `stat` says,
/// but the time of the last access.
fn state(path: &PathBuf) -> (Vec<u8>, [i64; 9]) {
    let stat = fs::metadata(path).unwrap();
    let numbers = [
        stat.ino() as i64,
        i64::from(stat.mode()),
        stat.nlink() as i64,
        i64::from(stat.uid()),
        stat.size() as i64,
        stat.mtime(),
        stat.mtime_nsec(),
        stat.ctime(),
        stat.ctime_nsec(),
    ];
    (fs::read(path).unwrap(), numbers)
}

fn no_system_call_changes_an_input(world: &World) {
    let attack = compile(world, "attack", ATTACK);
    // As inviting as can be.
    let file = world.file("file", "content\n");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let below = world.file("tree/below", "content\n");
    fs::set_permissions(&below, Permissions::from_mode(0o666)).unwrap();
    let before = [state(&file), state(&below)];
    for name in ["file", "tree/below", "link"] {
        let action = world
            .action()
            .file("w/attack", &attack)
            .file("w/file", &file)
            .directory("w/tree", below.parent().unwrap())
            .symlink("w/link", "file");
        let run = action.command(["./attack", name]).run().succeeded();
        assert_eq!(run.stdout(), "done\n", "{name}");
        assert_eq!([state(&file), state(&below)], before, "{name}");
    }
}

fn no_tool_changes_an_input(world: &World) {
    let file = world.file("file", "content\n");
    let below = world.file("tree/below", "content\n");
    let before = [state(&file), state(&below)];
    let action = world
        .action()
        .file("w/file", &file)
        .directory("w/tree", below.parent().unwrap())
        .symlink("w/link", "file");
    let script = "for name in file tree/below link tree; do
            echo x > $name; echo x >> $name; true > $name; cp /usr/bin/true $name; dd if=/dev/zero of=$name count=1
            sed -i s/content/x/ $name; touch $name; touch -d 2001-01-01 $name; chmod 777 $name; chmod +x $name
            truncate -s 0 $name; rm -rf $name; mv $name moved; ln -f /tmp/x $name; ln -sf /tmp/x $name
            install /usr/bin/true $name; chown 0:0 $name
        done > /dev/null 2>&1
        cat file tree/below; readlink link; ls";
    assert_eq!(
        action.prints(script),
        "content\ncontent\nfile\nfile\nlink\ntree\n"
    );
    assert_eq!([state(&file), state(&below)], before);
}

fn mounts_cannot_be_changed(world: &World) {
    let file = world.file("file", "content\n");
    let below = world.file("tree/below", "content\n");
    let before = [state(&file), state(&below)];
    let action = world
        .action()
        .file("w/file", &file)
        .directory("w/tree", below.parent().unwrap());
    // Also with all capabilities that a user namespace of its own gives.
    let attempts = "for target in / /w /w/file /w/tree /usr; do
            mount -o remount,rw $target; mount -o remount,bind,rw $target; umount $target; umount -l $target
            mount --bind /tmp $target && echo mounted on $target
            mount -t tmpfs none $target && echo mounted on $target
        done 2> /dev/null
        (echo x > /w/file) 2> /dev/null; (echo x > /w/tree/below) 2> /dev/null; touch /usr/x 2> /dev/null && echo wrote
        cat /w/file /w/tree/below; true";
    let plain = action.sh(attempts).run().succeeded();
    assert_eq!(plain.stdout(), "content\ncontent\n");
    let action = world
        .action()
        .file("w/file", &file)
        .directory("w/tree", below.parent().unwrap());
    let nested = action
        .command([
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            attempts,
        ])
        .run();
    // There it may mount over names, for itself alone.
    let printed = nested.stdout();
    assert!(!printed.contains("wrote"), "{printed}");
    assert_eq!([state(&file), state(&below)], before);
}

fn inputs_of_a_writable_directory_are_protected(world: &World) {
    let attack = compile(world, "attack", ATTACK);
    let file = world.file("file", "content\n");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    let before = state(&file);
    let action = world
        .action()
        .file("attack", &attack)
        .file("w/file", &file)
        .output("directory", "w", "made");
    let run = action.command(["/attack", "file"]).run().succeeded();
    assert_eq!(run.stdout(), "done\n");
    assert_eq!(state(&file), before);
    assert!(!world.exists("made/file"));
}
