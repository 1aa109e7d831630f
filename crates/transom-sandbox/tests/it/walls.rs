//! Nothing in `/proc` or elsewhere leads out of the view.

use transom_test::privileged;

use crate::world::{World, compile};

/// Looks for a file of the host on every way that might lead to it. Prints the
/// ways that did.
const SEARCH: &str = r#"
    marker=$1
    for root in "" /proc/1/root /proc/self/root /proc/self/cwd /proc/1/cwd /proc/thread-self/root \
        /proc/1/task/1/root /proc/$$/root /.. /../../../.. /proc/self/cwd/../../../.. \
        /dev/fd/0/.. /dev/fd/1/.. /proc/self/fd/2/..; do
        cat "$root$marker" > /dev/null 2>&1 && echo "found at $root"
    done
    for number in 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        cat "/proc/1/fd/$number/$marker" > /dev/null 2>&1 && echo "found below descriptor $number of pid 1"
        cat < "/proc/1/fd/$number" > /dev/null 2>&1 && echo "opened descriptor $number of pid 1"
        cat "/proc/self/fd/$number$marker" > /dev/null 2>&1 && echo "found below descriptor $number"
    done
    readlink /proc/1/root /proc/1/cwd /proc/1/exe /proc/1/ns/mnt /proc/1/ns/user
    cat /proc/1/maps /proc/1/environ /proc/1/mem 2> /dev/null
    nsenter -t 1 -m true 2> /dev/null && echo "entered the mount namespace of pid 1"
    nsenter -t 1 -U true 2> /dev/null && echo "entered the user namespace of pid 1"
    find / -xdev -name "$(basename "$marker")" 2> /dev/null
    case $(readlink /proc/self/exe) in /usr/*) ;; *) echo "odd exe" ;; esac
    grep -v -e ' /usr/' -e '\[' -e ' 0 *$' /proc/self/maps | grep /
    cd /proc/self/cwd && pwd -P
    ls /proc > /tmp/list; grep -c '^[0-9][0-9]*$' /tmp/list
"#;

/// Leaves every `chroot` that is not also a mount namespace, and looks for the
/// marker from there.
const BREAK_OUT: &str = r#"
    #include <fcntl.h>
    #include <stdio.h>
    #include <sys/stat.h>
    #include <unistd.h>
    int main(int argc, char **argv) {
        mkdir("/tmp/x", 0755);
        int outside = open("/", O_RDONLY | O_DIRECTORY);
        if (chroot("/tmp/x") == 0) {
            fchdir(outside);
            for (int i = 0; i < 100; i++) chdir("..");
            chroot(".");
        }
        for (int i = 0; i < 100; i++) chdir("..");
        if (access(argv[1], F_OK) == 0 || access(argv[1] + 1, F_OK) == 0) puts("broke out");
        return 0;
    }
"#;

fn hold(world: &World) {
    let marker = world.write("marker-of-the-host", "secret\n");
    compile(world, "break-out", BREAK_OUT);
    let mut runner = world.runner(&["--file", "break-out=@/break-out"]);
    let script = format!("{SEARCH}\n/break-out $marker");
    let output = runner
        .args(["sh", "-c", &script, "sh"])
        .arg(&marker)
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    // Where it is, and how many processes it sees: init, itself, `ls`.
    assert_eq!(printed, "/\n3\n");
}

#[test]
fn privileged_walls_hold_for_root() {
    privileged!("be root inside a view");
    hold(&World::root());
}

#[test]
fn walls_hold() {
    if let Some(world) = World::unprivileged() {
        hold(&world);
    }
}

#[test]
fn privileged_the_machine_cannot_be_configured() {
    privileged!("be root inside a view");
    let script = "
        for setting in kernel/hostname kernel/core_pattern vm/swappiness net/ipv4/ip_forward; do
            echo x 2> /dev/null > /proc/sys/$setting && echo changed $setting
        done
        wc -c < /proc/keys
        hostname intruder 2> /dev/null && echo renamed
        mknod /tmp/disk b 254 0 2> /dev/null && echo made a device
        mount -t tmpfs none /tmp 2> /dev/null && echo mounted
        ip link set lo down 2> /dev/null && echo configured the network
        date -s 2001-01-01 2> /dev/null > /dev/null && echo set the clock
        cat /proc/sys/kernel/ostype
    ";
    let run = World::root().run(&[], script).succeeded();
    assert_eq!(run.stdout(), "0\nLinux\n");
}

#[test]
fn privileged_root_inside_keeps_what_builds_need() {
    privileged!("be root inside a view");
    let script = "
        cd /tmp && touch file && chown 1:1 file && chmod 4755 file && stat -c '%u %g %a' file
        touch other && setpriv --reuid=1 --regid=1 --clear-groups id -u
        setpriv --reuid=1 --regid=1 --clear-groups touch other 2> /dev/null || echo denied
        chroot / /usr/bin/true && echo changed the root
    ";
    let run = World::root().run(&[], script).succeeded();
    assert_eq!(run.stdout(), "1 1 4755\n1\ndenied\nchanged the root\n");
}
