//! A view in a copy of the host.

use std::os::unix::fs::PermissionsExt;

use transom_test::privileged;

use crate::world::World;

fn show_the_host_read_only(world: &World) {
    // Below /var/tmp, since the action has a /tmp of its own.
    let directory = tempfile::Builder::new()
        .permissions(PermissionsExt::from_mode(0o755))
        .tempdir_in("/var/tmp")
        .unwrap();
    let at = directory.path().to_str().unwrap().to_owned();
    world.write("in", "input\n");
    let options = [
        "--at",
        &at,
        "--cwd",
        &at,
        "--file",
        "in=@/in",
        "--out",
        "out/made=@/made",
    ];
    let script = "
        cat in; cat in > out/made; ls -d usr
        test -e /etc/passwd && echo host
        touch /etc/stray /var/tmp/stray /usr/stray 2> /dev/null || echo read-only
        echo x 2> /dev/null > in || echo protected
        ls /tmp; echo x > /tmp/private
        ls -1 /dev | wc -l; ls /proc > /tmp/list; grep -c '^[0-9][0-9]*$' /tmp/list
    ";
    let run = world.run(&options, script);
    directory.close().unwrap();
    assert_eq!(
        run.succeeded().stdout(),
        "input\nusr\nhost\nread-only\nprotected\n14\n3\n"
    );
    assert_eq!(world.read("made"), "input\n");

    // It is gone now.
    let run = world.run(&options, "true").says("cannot be mounted at");
    assert_eq!(run.code(), Some(125));
    let run = world
        .run(&["--at", "/tmp"], "true")
        .says("would be hidden by the action's own /tmp");
    assert_eq!(run.code(), Some(125));
}

#[test]
fn privileged_host() {
    privileged!("run an action as root");
    show_the_host_read_only(&World::root());
}

#[test]
fn host() {
    if let Some(world) = World::unprivileged() {
        show_the_host_read_only(&world);
    }
}

fn have_only_the_network_allowed(world: &World) {
    let script =
        "ls /sys/class/net 2> /dev/null; grep -c : /proc/net/dev; grep -c 'lo:' /proc/net/dev";
    assert_eq!(world.run(&[], script).stdout(), "1\n1\n");
    let hosts = world
        .run(&["--network", "host"], "cat /proc/net/dev")
        .stdout();
    let ours = std::fs::read_to_string("/proc/net/dev").unwrap();
    assert_eq!(hosts.lines().count(), ours.lines().count());
}

#[test]
fn privileged_network() {
    privileged!("run an action as root");
    have_only_the_network_allowed(&World::root());
}

#[test]
fn network() {
    if let Some(world) = World::unprivileged() {
        have_only_the_network_allowed(&world);
    }
}

#[test]
fn privileged_nothing_spreads_to_a_host_that_shares_its_mounts() {
    privileged!("mount a view");
    // As systemd sets it up; this machine may not.
    let world = World::root();
    let line = world.runner_line(
        &["--at", "/srv", "--writable", "w", "--out-dir", "o=@/o"],
        "sh -c 'echo ran; ls -d /srv/w'",
    );
    let script = format!(
        "mount --make-rshared / && before=$(cat /proc/self/mountinfo) && {line} && \
         test \"$before\" = \"$(cat /proc/self/mountinfo)\" && echo unchanged"
    );
    let mut unshare = world.command("unshare");
    let output = unshare.args(["-m", "sh", "-c", &script]).output().unwrap();
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "ran\n/srv/w\nunchanged\n"
    );
}
