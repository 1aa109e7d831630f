//! Clients that are other processes, of other users and namespaces.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::{Value, json};
use transom_control::Admission;
use transom_test::{Unprivileged, privileged};

use crate::service::{Running, start, start_with};

/// Asks who it is, and prints what is replied. Perl is where every user of a
/// Debian system can run it.
const ASK: &str = r#"
    use IO::Socket::UNIX;
    $SIG{PIPE} = "IGNORE";
    my $server = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die $!;
    syswrite($server, qq({"method": "io.transom.Test.Who"}\0));
    sysread($server, my $reply, 65536);
    print $reply =~ s/\0//r;
"#;

/// What a client is told that is started by `command`.
fn ask(command: &mut Command, running: &Running) -> Value {
    let output = command
        .args(["-e", ASK])
        .arg(&running.path)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let reply = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(reply.trim()).unwrap_or(Value::Null)
}

/// Lets others find the socket, which lies in a directory of ours.
fn open_to_others(running: &Running) {
    for directory in running.path.ancestors().skip(1).take(2) {
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(0o755)).unwrap();
    }
}

#[test]
fn privileged_a_server_for_all_knows_its_callers() {
    privileged!("become somebody else");
    let running = start();
    open_to_others(&running);
    let user = Unprivileged::new().unwrap();
    let reply = ask(&mut user.command("perl").unwrap(), &running);
    let who = &reply["parameters"];
    assert_eq!(who["uid"], 65534, "{reply}");
    assert_eq!(who["gid"], 65534, "{reply}");
    assert_eq!(who["groups"], json!([]), "{reply}");

    let mut member = Command::new("setpriv");
    member.args(["--reuid=12345", "--regid=23456", "--groups=34567,45678"]);
    let reply = ask(member.arg("perl"), &running);
    let who = &reply["parameters"];
    assert_eq!(who["uid"], 12345, "{reply}");
    assert_eq!(who["groups"], json!([34567, 45678]), "{reply}");
}

#[test]
fn privileged_a_server_of_one_user_hangs_up_on_others() {
    privileged!("become somebody else");
    let running = start_with(Admission::PRIVATE);
    open_to_others(&running);
    let user = Unprivileged::new().unwrap();
    let reply = ask(&mut user.command("perl").unwrap(), &running);
    assert_eq!(reply, Value::Null);
    let reply = ask(&mut Command::new("perl"), &running);
    assert_eq!(reply["parameters"]["uid"], 0, "{reply}");
}

#[test]
fn privileged_processes_of_other_namespaces_are_hung_up_on() {
    privileged!("make a pid namespace");
    for admission in [Admission::PRIVATE, Admission::SYSTEM] {
        let running = start_with(admission);
        let mut inside = Command::new("unshare");
        inside.args(["--pid", "--fork", "--kill-child", "perl"]);
        assert_eq!(ask(&mut inside, &running), Value::Null);
        running.check();
    }
}
