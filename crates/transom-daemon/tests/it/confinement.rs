//! What a confined daemon cannot do any more, and what it still can.

use std::fs;
use std::thread;

use rustix::io::Errno;
use rustix::thread::CapabilitySet;
use transom_daemon::confine::{KEPT, confine};
use transom_sys::confinement::{NeedlessCall, needless_calls};
use transom_sys::loop_device::{Attachment, Detach, LoopDevice};
use transom_test::privileged;

use crate::users::{Daemon, USER, act_as, denial};

/// A field of the calling thread's status.
fn status(field: &str) -> String {
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.unwrap().trim().to_owned()
}

/// In a thread, which is all that is confined.
fn confined(test: impl FnOnce() + Send) {
    thread::scope(|scope| {
        let confined = scope.spawn(|| {
            confine().unwrap();
            test();
        });
        confined
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

#[test]
fn privileged_what_is_not_needed_is_gone_for_good() {
    privileged!("have something to give up");
    for call in needless_calls() {
        // A kernel that lacks one cannot show that it is denied.
        if call.is_denied() {
            println!("this kernel has no {}", call.name);
        }
    }
    let own = rustix::thread::capabilities(None).unwrap().permitted;
    confined(|| {
        let kept = KEPT
            .iter()
            .fold(0, |all, (capability, _)| all | capability.bits());
        // A container may have taken some already.
        let kept = kept & own.bits();
        for field in ["CapPrm:", "CapEff:", "CapBnd:"] {
            assert_eq!(status(field), format!("{kept:016x}"), "{field}");
        }
        for field in ["CapInh:", "CapAmb:"] {
            assert_eq!(status(field), "0000000000000000", "{field}");
        }
        assert_eq!(status("NoNewPrivs:"), "1");
        assert_eq!(status("Seccomp:"), "2");
        for call in needless_calls() {
            assert!(call.is_denied(), "{}", call.name);
        }
        // Neither a thread nor what it raises brings anything back.
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut capabilities = rustix::thread::capabilities(None).unwrap();
                capabilities.effective |= CapabilitySet::SYS_MODULE;
                capabilities.permitted |= CapabilitySet::SYS_MODULE;
                let raised = rustix::thread::set_capabilities(None, capabilities);
                assert_eq!(raised, Err(Errno::PERM));
                assert!(needless_calls().all(NeedlessCall::is_denied));
            });
        });
    });
}

#[test]
fn privileged_a_confined_daemon_still_serves() {
    privileged!("mount");
    confined(|| {
        let daemon = Daemon::start();
        let open = daemon.write("open", "text");
        let secret = daemon.write("secret", "secret");
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(&secret, mode).unwrap();
        act_as(USER, &[], || {
            let mut caller = daemon.connect();
            let (view, tree) = caller.map(&open).unwrap();
            assert!(view.passthrough);
            assert_eq!(tree.read("f"), Ok("text".into()));
            denial(caller.map(&secret));
        });
        let statistics = daemon.views.session().statistics();
        assert_eq!(
            (statistics.passthrough_opens, statistics.bytes_read),
            (1, 0)
        );
        // Root maps what it likes.
        let mut root = daemon.connect();
        let (_, tree) = root.map(&secret).unwrap();
        assert_eq!(tree.read("f"), Ok("secret".into()));
    });
}

#[test]
fn privileged_a_confined_daemon_still_attaches_loop_devices() {
    privileged!("attach loop devices");
    confined(|| {
        let directory = transom_test::temp_dir().unwrap();
        let name = format!("confined-{}", std::process::id());
        let image = fs::File::create(directory.path().join(&name)).unwrap();
        image.set_len(1 << 20).unwrap();
        let how = Attachment {
            writable: true,
            block_bytes: 512,
            direct: false,
        };
        let opened = fs::File::open(directory.path()).unwrap();
        let device = LoopDevice::attach(&opened, &name, how).unwrap();
        fs::write(&device.path, "written").unwrap();
        device.detach(Detach::AtLastClose).unwrap();
        let written = fs::read(directory.path().join(&name)).unwrap();
        assert!(written.starts_with(b"written"));
    });
}
