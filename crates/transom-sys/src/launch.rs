//! Starting one process in namespaces and under a root of its own.
//!
//! # The theory
//!
//! Two processes are made. **Init** is pid 1 of a new pid namespace and lives
//! in new mount, IPC, UTS and usually network namespaces, but in *our* user
//! namespace: it has our capabilities, enough to attach the prepared mount
//! tree, change its root to it and mount `/proc`. The **action** is its child,
//! in a user namespace of its own below ours. It may hold every capability
//! there and still has none over init's mount namespace: it can neither mount
//! nor unmount nor remount there, and a mount namespace it makes itself
//! begins as a copy in which every mount and every flag is locked.
//!
//! Init stays. It is the reaper of its namespace, it reports how the action
//! ended, and it holds the **lifeline**: a socket whose other end only our
//! process has. When we die, however we die, init reads end-of-file, kills
//! everything in its namespace and exits. The same socket carries signals for
//! the action inwards and reports outwards. What lies on the host's disk is the
//! concern of a third process, the [`Caretaker`].
//!
//! # Between clone and execve
//!
//! Our process has other threads; any of them may have held any lock at the
//! moment of the clone, and in the child nobody will ever release it. So the
//! children only make system calls on data that was prepared before: no
//! allocation, no lock, no formatting, nothing that can panic. Signals are
//! blocked before the clone and handlers reset by it, so that no handler of
//! ours runs in a child and writes to a pipe it shares with us.
//!
//! # Why the steps have this order
//!
//! * `/proc` is made before the old root is left: in a user namespace the
//!   kernel allows a new instance only to those who can see an unmasked one.
//! * The identity maps are written by init, through that `/proc`: mapping ids
//!   other than one's own needs `CAP_SETUID` in the parent namespace.
//! * Only after that does init become undumpable, which closes `/proc/1/root`
//!   and its like to the action: an undumpable process' map files belong to
//!   the initial root user, and an unprivileged init could not write them.

mod action;
mod caretaker;
mod init;
mod loopback;
mod procfs;
mod terminal_guard;
mod wire;

use std::ffi::{CString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType};
use rustix::process::Signal;

pub use caretaker::{Caretaker, Orphan};
use wire::{Moment, Report};
pub use wire::{Step, Usage};

/// Everything the two processes will need, prepared beforehand.
#[derive(Debug)]
pub struct Plan {
    /// The detached mount tree that becomes the root.
    pub root: OwnedFd,
    /// A directory of that tree to mount a new `/proc` on.
    pub proc_directory: Option<OwnedFd>,
    /// Whether to make the parts of `/proc` that reach beyond the namespaces
    /// read-only or empty. Needed when the initial root user is mapped.
    pub mask_proc: bool,
    /// Whether to keep the action from typing on a terminal it shares with us.
    pub guard_terminal: bool,
    /// Whether the action shares our network namespace; otherwise it gets an
    /// empty one with a loopback interface.
    pub share_network: bool,
    /// Lines of `/proc/PID/uid_map` for the action.
    pub uid_map: Vec<u8>,
    /// Lines of `/proc/PID/gid_map` for the action.
    pub gid_map: Vec<u8>,
    /// Open files of the action, by the number they get there. A number that
    /// is not listed is closed.
    pub files: Vec<PlannedFile>,
    /// The action's soft limit on open files; `None` leaves it ours.
    pub open_files_limit: Option<u64>,
    /// The working directory, as a path below the new root.
    pub working_directory: CString,
    /// Paths to try in order, as `execvp(3)` would.
    pub candidates: Vec<CString>,
    /// The argument vector, program name first.
    pub arguments: Vec<CString>,
    /// The environment, each `NAME=value`.
    pub environment: Vec<CString>,
}

/// One open file of the action.
#[derive(Debug)]
pub struct PlannedFile {
    /// The open file.
    pub file: OwnedFd,
    /// Its number in the action.
    pub number: RawFd,
}

/// Starts the action of `plan`.
///
/// Returns as soon as init exists; whatever fails afterwards is reported by
/// [`Child::wait`]. `EPERM` without `CAP_SYS_ADMIN` in our user namespace,
/// `ENOSPC` at a limit of `/proc/sys/user/max_*_namespaces`, `EAGAIN` at a
/// limit on processes.
pub fn spawn(mut plan: Plan) -> io::Result<Child> {
    let spawned = Moment::now();
    let (ours, mut theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let wanted = plan.files.iter().map(|planned| planned.number);
    let above = wanted.max().unwrap_or(0).saturating_add(1);
    for file in plan.files.iter_mut().map(|planned| &mut planned.file) {
        move_up(file, above)?;
    }
    move_up(&mut theirs, above)?;
    let mut prepared = Prepared::new(&plan, &theirs);

    let mut namespaces =
        libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    if !plan.share_network {
        namespaces |= libc::CLONE_NEWNET;
    }
    let blocked = BlockedSignals::block_all();
    let cloned = clone(CloneArguments {
        flags: namespaces,
        // No signal: a stray wait for any child, elsewhere in our process,
        // then cannot take init away from us.
        exit_signal: 0,
        want_pidfd: true,
    });
    let pidfd = match cloned? {
        Cloned::Child => init::run(&mut prepared),
        Cloned::Parent { pidfd, .. } => pidfd,
    };
    drop(blocked);
    Ok(Child {
        pidfd: pidfd.ok_or(Errno::BADF)?,
        lifeline: Arc::new(ours),
        spawned,
        failure: None,
        ending: None,
    })
}

/// A running action with its init. Dropping it kills both and everything they
/// started, and waits until they are gone.
#[derive(Debug)]
pub struct Child {
    pidfd: OwnedFd,
    lifeline: Arc<OwnedFd>,
    spawned: Moment,
    failure: Option<Failure>,
    ending: Option<Ending>,
}

/// How an action ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It ran, and ended with this status.
    Ended {
        /// What became of its first process.
        status: Status,
        /// What it and the processes it waited for used.
        usage: Usage,
        /// How long the three parts took.
        phases: Phases,
    },
    /// It was never executed.
    Failed(Failure),
    /// Init was killed, by [`Child::kill`] or from outside.
    Killed,
}

/// What became of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It exited with this code.
    Exited(u8),
    /// A signal ended it.
    Signalled {
        /// The signal's number.
        signal: i32,
        /// Whether it left a core dump.
        core_dumped: bool,
    },
}

impl Status {
    /// Decodes what `wait(2)` says of a process that has ended.
    fn from_wait(status: libc::c_int) -> Self {
        if libc::WIFSIGNALED(status) {
            Self::Signalled {
                signal: libc::WTERMSIG(status),
                core_dumped: libc::WCOREDUMP(status),
            }
        } else {
            Self::Exited(libc::WEXITSTATUS(status) as u8)
        }
    }
}

/// How long the parts of a run took, in wall time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Phases {
    /// From the call of [`spawn`] until the action was let go.
    pub start: Duration,
    /// Until its first process ended.
    pub run: Duration,
    /// Until everything it started and its namespaces were gone.
    pub end: Duration,
}

/// A step that failed before the action's program ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failure {
    /// What was tried.
    pub step: Step,
    /// Why the kernel refused.
    pub errno: Errno,
}

impl Child {
    /// A handle that sends signals to the action from any thread.
    #[must_use]
    pub fn remote(&self) -> Remote {
        Remote(Arc::clone(&self.lifeline))
    }

    /// Kills the action and everything it started, without asking.
    pub fn kill(&self) -> io::Result<()> {
        Ok(rustix::process::pidfd_send_signal(
            &self.pidfd,
            Signal::KILL,
        )?)
    }

    /// Waits until the action has ended and its namespaces are gone, or until
    /// `deadline`, in which case the answer is `None`.
    pub fn wait(&mut self, deadline: Option<Instant>) -> io::Result<Option<Ending>> {
        if let Some(ending) = self.ending {
            return Ok(Some(ending));
        }
        let status = loop {
            if !self.readable_before(deadline)? {
                return Ok(None);
            }
            match Report::receive(&self.lifeline)? {
                Some(Report::Failed(failure)) => {
                    // The first failure is the cause of those that follow.
                    self.failure.get_or_insert(failure);
                }
                Some(Report::Ended {
                    status,
                    usage,
                    from,
                    until,
                }) => break Some((status, usage, from, until)),
                None => break None,
            }
        };
        reap(&self.pidfd)?;
        let ending = match (self.failure, status) {
            (Some(failure), _) => Ending::Failed(failure),
            (None, Some((status, usage, from, until))) => Ending::Ended {
                status: Status::from_wait(status),
                usage,
                phases: Phases {
                    start: from.since(self.spawned),
                    run: until.since(from),
                    end: Moment::now().since(until),
                },
            },
            (None, None) => Ending::Killed,
        };
        self.ending = Some(ending);
        Ok(Some(ending))
    }

    fn readable_before(&self, deadline: Option<Instant>) -> io::Result<bool> {
        loop {
            let timeout = deadline.map(|deadline| {
                let left = deadline.saturating_duration_since(Instant::now());
                Timespec {
                    tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                    tv_nsec: i64::from(left.subsec_nanos()),
                }
            });
            let mut files = [PollFd::new(&self.lifeline, PollFlags::IN)];
            match rustix::event::poll(&mut files, timeout.as_ref()) {
                Ok(ready) => return Ok(ready > 0),
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.ending.is_none() {
            // An error can only mean that init is gone already.
            _ = self.kill();
            _ = reap(&self.pidfd);
        }
    }
}

/// Sends signals to an action from any thread.
#[derive(Debug, Clone)]
pub struct Remote(Arc<OwnedFd>);

impl Remote {
    /// Sends `signal` to the action's first process. If that has ended
    /// already, nothing happens; if it is not there yet, it gets the signal as
    /// it begins.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        let message = signal.as_raw().to_ne_bytes();
        match rustix::net::send(&self.0, &message, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) | Err(Errno::PIPE | Errno::CONNRESET) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The plan as the children use it: pointers and sorted numbers.
struct Prepared<'plan> {
    plan: &'plan Plan,
    lifeline: BorrowedFd<'plan>,
    /// What init needs, ascending.
    init_keeps: Vec<RawFd>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// `/bin/sh`, a place for the script, the arguments but the first.
    shell_arguments: Vec<*const c_char>,
}

impl<'plan> Prepared<'plan> {
    fn new(plan: &'plan Plan, lifeline: &'plan OwnedFd) -> Self {
        use std::os::fd::AsFd;

        let mut init_keeps = vec![lifeline.as_raw_fd()];
        init_keeps.push(plan.root.as_raw_fd());
        init_keeps.extend(plan.proc_directory.iter().map(AsRawFd::as_raw_fd));
        init_keeps.extend(plan.files.iter().map(|planned| planned.file.as_raw_fd()));
        init_keeps.sort_unstable();

        let pointers = |strings: &[CString]| -> Vec<*const c_char> {
            let null = std::iter::once(std::ptr::null());
            strings
                .iter()
                .map(|string| string.as_ptr())
                .chain(null)
                .collect()
        };
        let mut shell_arguments = vec![action::SHELL.as_ptr(), std::ptr::null()];
        shell_arguments.extend(pointers(plan.arguments.get(1..).unwrap_or_default()));
        Self {
            plan,
            lifeline: lifeline.as_fd(),
            init_keeps,
            arguments: pointers(&plan.arguments),
            environment: pointers(&plan.environment),
            shell_arguments,
        }
    }
}

/// Moves a file that the action will use to a number no lower than `above`, so
/// that giving another file its wanted number never closes this one.
fn move_up(file: &mut OwnedFd, above: RawFd) -> Result<(), Errno> {
    *file = rustix::io::fcntl_dupfd_cloexec(&*file, above)?;
    Ok(())
}

#[derive(Clone, Copy)]
struct CloneArguments {
    flags: libc::c_int,
    exit_signal: libc::c_int,
    want_pidfd: bool,
}

enum Cloned {
    Child,
    Parent {
        pid: libc::pid_t,
        pidfd: Option<OwnedFd>,
    },
}

/// `clone3(2)` without shared memory: like `fork`, and with its rules for the
/// child (see the head of this file). Signal handlers are reset in the child.
fn clone(wanted: CloneArguments) -> Result<Cloned, Errno> {
    let mut pidfd: RawFd = -1;
    // SAFETY: all-zero is a valid `clone_args`: no flag, no pointer.
    let mut arguments: libc::clone_args = unsafe { std::mem::zeroed() };
    // `CLONE_CLEAR_SIGHAND` does not fit the type of the other constants.
    const CLEAR_SIGNAL_HANDLERS: u64 = 1 << 32;
    arguments.flags = u64::from(wanted.flags.cast_unsigned()) | CLEAR_SIGNAL_HANDLERS;
    if wanted.want_pidfd {
        arguments.flags |= u64::from(libc::CLONE_PIDFD.cast_unsigned());
        arguments.pidfd = (&raw mut pidfd).expose_provenance() as u64;
    }
    arguments.exit_signal = u64::from(wanted.exit_signal.cast_unsigned());
    // SAFETY: without CLONE_VM the child gets a copy of our memory and runs on
    // a copy of this very stack. The callers keep the child to system calls
    // until it exits or executes a program.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            &raw const arguments,
            size_of_val(&arguments),
        )
    };
    match pid {
        0 => Ok(Cloned::Child),
        1.. => Ok(Cloned::Parent {
            pid: pid as libc::pid_t,
            // SAFETY: the kernel has just made this descriptor for us.
            pidfd: wanted
                .want_pidfd
                .then(|| unsafe { OwnedFd::from_raw_fd(pidfd) }),
        }),
        _ => Err(crate::mount::last_errno()),
    }
}

/// All signals blocked in this thread, for as long as the value lives.
struct BlockedSignals {
    before: libc::sigset_t,
}

impl BlockedSignals {
    fn block_all() -> Self {
        let mut all = std::mem::MaybeUninit::uninit();
        let mut before = std::mem::MaybeUninit::uninit();
        // SAFETY: both sets are written before they are read; neither call can
        // fail with these arguments.
        unsafe {
            libc::sigfillset(all.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
            Self {
                before: before.assume_init(),
            }
        }
    }
}

impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `before` came from the same call.
        unsafe {
            libc::pthread_sigmask(
                libc::SIG_SETMASK,
                &raw const self.before,
                std::ptr::null_mut(),
            );
        }
    }
}

/// Waits until a child of ours is gone.
fn reap(pidfd: &OwnedFd) -> io::Result<()> {
    let mut information = std::mem::MaybeUninit::<libc::siginfo_t>::uninit();
    loop {
        // SAFETY: the kernel writes one `siginfo_t` through the pointer.
        let returned = unsafe {
            libc::waitid(
                libc::P_PIDFD,
                pidfd.as_raw_fd().cast_unsigned(),
                information.as_mut_ptr(),
                // `__WALL`: the exit signal is not SIGCHLD.
                libc::WEXITED | libc::__WALL,
            )
        };
        if returned == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Closes every descriptor that is not in `kept`, which is ascending.
fn close_all_but(kept: &[RawFd]) {
    let mut next = 0_u32;
    for file in kept {
        let file = file.cast_unsigned();
        if file > next {
            close_range(next, file.wrapping_sub(1));
        }
        next = file.wrapping_add(1);
    }
    close_range(next, u32::MAX);
}

fn close_range(first: u32, last: u32) {
    // SAFETY: whoever calls this in a child owns no `OwnedFd` in that range
    // that it will use or drop: the child ends with `_exit` or `execve`.
    unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
}

/// Ends this process at once: no destructor, no `atexit`.
fn exit(code: libc::c_int) -> ! {
    // SAFETY: `_exit` has no precondition.
    unsafe { libc::_exit(code) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_statuses() {
        assert_eq!(Status::from_wait(0), Status::Exited(0));
        assert_eq!(Status::from_wait(255 << 8), Status::Exited(255));
        let signalled = |signal, core_dumped| Status::Signalled {
            signal,
            core_dumped,
        };
        assert_eq!(Status::from_wait(9), signalled(9, false));
        assert_eq!(Status::from_wait(11 | 0x80), signalled(11, true));
    }
}
