//! Clients that others have written: the reference implementation, and
//! `varlinkctl` of systemd where there is one.

use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use transom_control::{Admission, Permission, Server, Services, Socket, host, views};
use transom_test::python_with_varlink;

use crate::contract::{RefusingHost, RefusingViews};
use crate::service::{self, TestService};

/// All interfaces at one socket.
struct Everything {
    address: String,
    path: std::path::PathBuf,
    _server: Server,
    _directory: tempfile::TempDir,
}

const INTERFACES: [&str; 4] = [
    service::INTERFACE,
    host::INTERFACE,
    views::INTERFACE,
    "org.varlink.service",
];

impl Everything {
    fn serve() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/socket");
        let services = Services::new([
            service::interface(Arc::<TestService>::default()),
            host::interface(Arc::new(RefusingHost)),
            views::interface(Arc::new(RefusingViews)),
        ]);
        let socket = Socket::bind(&path, Permission::Everybody).unwrap();
        let server = Server::start(socket, Admission::SYSTEM, services).unwrap();
        Self {
            address: format!("unix:{}", path.display()),
            path,
            _server: server,
            _directory: directory,
        }
    }
}

fn python() -> Command {
    python_with_varlink(Path::new(env!("CARGO_TARGET_TMPDIR")))
}

/// What a command prints, also where it goes wrong.
fn printed(command: &mut Command) -> String {
    let Output { stdout, stderr, .. } = command.output().unwrap();
    String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap()
}

#[test]
fn the_reference_client_understands_all_of_it() {
    let everything = Everything::serve();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/reference.py");
    let mut client = python();
    client.arg(script).arg(&everything.path).args(INTERFACES);
    let Output {
        status,
        stdout,
        stderr,
    } = client.output().unwrap();
    assert!(status.success(), "{}", String::from_utf8_lossy(&stderr));
    assert_eq!(String::from_utf8(stdout).unwrap().lines().count(), 4);
}

#[test]
fn the_program_of_the_reference_client_lists_describes_and_calls() {
    let everything = Everything::serve();
    let cli = |arguments: &[&str]| {
        let mut command = python();
        command.args(["-m", "varlink.cli"]).args(arguments);
        printed(&mut command)
    };
    let address = &*everything.address;
    let info = cli(&["info", address]);
    for interface in INTERFACES {
        assert!(info.contains(interface), "{info}");
    }
    let description = cli(&["help", &format!("{address}/io.transom.Host")]);
    assert_eq!(description.trim_end(), host::INTERFACE_TEXT.trim_end());
    let numbers = cli(&[
        "call",
        "--more",
        &format!("{address}/io.transom.Test.Count"),
        r#"{"to": 4}"#,
    ]);
    assert_eq!(numbers.matches("\"number\"").count(), 4, "{numbers}");
    let refused = cli(&[
        "call",
        &format!("{address}/io.transom.Host.Unload"),
        r#"{"container": "x"}"#,
    ]);
    assert!(refused.contains("io.transom.Host.NotFound"), "{refused}");
}

#[test]
fn varlinkctl_lists_describes_and_calls() {
    if Command::new("varlinkctl").output().is_err() {
        // No package of Debian 12 has it. What it does is what the reference
        // client does above, so nothing is left out without it.
        return;
    }
    let everything = Everything::serve();
    let varlinkctl = |arguments: &[&str]| {
        let mut command = Command::new("varlinkctl");
        printed(command.args(arguments))
    };
    let address = &*everything.address;
    let interfaces = varlinkctl(&["list-interfaces", address]);
    for interface in INTERFACES {
        assert!(interfaces.contains(interface), "{interfaces}");
        let text = varlinkctl(&["introspect", address, interface]);
        assert!(text.contains(&format!("interface {interface}")), "{text}");
    }
    let echoed = varlinkctl(&["call", address, "io.transom.Test.Echo", r#"{"text":"x"}"#]);
    assert!(echoed.contains("\"x\""), "{echoed}");
    let counting = [
        "call",
        "--more",
        address,
        "io.transom.Test.Count",
        r#"{"to":4}"#,
    ];
    let numbers = varlinkctl(&counting);
    assert_eq!(numbers.matches("\"number\"").count(), 4, "{numbers}");
}
