//! What travels over the lifeline: reports outwards, signal numbers inwards.
//!
//! Both ends are one program, so the form is private and may change freely.

use std::os::fd::AsFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::Failure;

macro_rules! steps {
    ($($(#[$meaning:meta])* $step:ident,)*) => {
        /// What init or the action tries before the program runs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u32)]
        pub enum Step {
            $($(#[$meaning])* $step,)*
        }

        impl Step {
            const ALL: &[Self] = &[$(Self::$step,)*];

            /// Says of a failure that it was this step's.
            pub(super) fn check<T>(self, result: Result<T, Errno>) -> Result<T, Failure> {
                match result {
                    Ok(value) => Ok(value),
                    Err(errno) => Err(Failure { step: self, errno }),
                }
            }
        }
    };
}

steps! {
    /// Making all mounts of init's namespace private.
    MakePrivate,
    /// Making a `/proc` for the new pid namespace.
    NewProc,
    /// Attaching the mount tree in init's namespace.
    AttachRoot,
    /// Changing the root to it.
    ChangeRoot,
    /// Letting go of the old root.
    DetachOldRoot,
    /// Making a part of `/proc` read-only or empty.
    MaskProc,
    /// Attaching `/proc`.
    AttachProc,
    /// Raising the loopback interface.
    Loopback,
    /// Preparing to watch signals and children.
    Watch,
    /// Making the action's process and its user namespace.
    CloneAction,
    /// Writing the identity maps of the user namespace.
    MapIdentities,
    /// Giving the action its open files.
    Files,
    /// Giving up privileges.
    DropPrivileges,
    /// Keeping the action from typing on our terminal.
    GuardTerminal,
    /// Entering the working directory.
    WorkingDirectory,
    /// Executing the program: no candidate exists (`ENOENT`), or the one found
    /// cannot be executed (any other error).
    Execute,
    /// Executing the program: it exists, but the interpreter in its first line
    /// or the loader it names does not.
    Interpreter,
}

/// What a process used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Time spent in user mode, in microseconds.
    pub user_us: u64,
    /// Time spent in the kernel, in microseconds.
    pub system_us: u64,
    /// The largest resident set of one process, in KiB.
    pub resident_max_kib: u64,
}

/// A message from init, or from the action before its program runs.
pub(super) enum Report {
    Failed(Failure),
    Ended {
        status: i32,
        usage: Usage,
        /// When the action was let go and when its end was noticed.
        from: Moment,
        until: Moment,
    },
}

/// Nanoseconds of the monotonic clock, which all processes share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(u64);

impl Moment {
    pub(super) fn now() -> Self {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: the call writes one `timespec` through the pointer; it is
        // one of those allowed after `fork`.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        let seconds = time.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000);
        Self(seconds.wrapping_add(time.tv_nsec.cast_unsigned()))
    }

    pub(super) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

const FAILED: u32 = 1;
const ENDED: u32 = 2;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Default)]
#[repr(C)]
struct Message {
    kind: u32,
    step: u32,
    /// The error number of a failure, or the wait status of an ending.
    status: i32,
    padding: u32,
    user_us: u64,
    system_us: u64,
    resident_max_kib: u64,
    from: u64,
    until: u64,
}

impl Report {
    /// Sends the report. If nobody is there to read it, nothing is lost.
    pub(super) fn send(&self, lifeline: impl AsFd) {
        let message = match self {
            Self::Failed(failure) => Message {
                kind: FAILED,
                step: failure.step as u32,
                status: failure.errno.raw_os_error(),
                ..Message::default()
            },
            Self::Ended {
                status,
                usage,
                from,
                until,
            } => Message {
                kind: ENDED,
                status: *status,
                user_us: usage.user_us,
                system_us: usage.system_us,
                resident_max_kib: usage.resident_max_kib,
                from: from.0,
                until: until.0,
                ..Message::default()
            },
        };
        _ = rustix::net::send(lifeline, message.as_bytes(), SendFlags::NOSIGNAL);
    }

    /// Receives the next report, or `None` when init is gone.
    pub(super) fn receive(lifeline: impl AsFd) -> Result<Option<Self>, Errno> {
        let mut message = Message::default();
        let received = loop {
            match rustix::net::recv(&lifeline, message.as_mut_bytes(), RecvFlags::empty()) {
                Err(Errno::INTR) => {}
                // Init died with signals from us unread.
                Err(Errno::CONNRESET) => return Ok(None),
                other => break other?.0,
            }
        };
        if received == 0 {
            return Ok(None);
        }
        match (message.kind, Step::ALL.get(message.step as usize)) {
            (FAILED, Some(step)) => Ok(Some(Self::Failed(Failure {
                step: *step,
                errno: Errno::from_raw_os_error(message.status),
            }))),
            (ENDED, _) => Ok(Some(Self::Ended {
                status: message.status,
                usage: Usage {
                    user_us: message.user_us,
                    system_us: message.system_us,
                    resident_max_kib: message.resident_max_kib,
                },
                from: Moment(message.from),
                until: Moment(message.until),
            })),
            _ => Err(Errno::PROTO),
        }
    }
}

/// Receives a signal number in init: `Ok(None)` when our process is gone.
pub(super) fn receive_signal(lifeline: impl AsFd) -> Result<Option<i32>, Errno> {
    let mut number = [0_u8; 4];
    match rustix::net::recv(lifeline, &mut number, RecvFlags::DONTWAIT) {
        Ok((_, 0)) | Err(Errno::CONNRESET) => Ok(None),
        Ok(_) => Ok(Some(i32::from_ne_bytes(number))),
        Err(error) => Err(error),
    }
}
