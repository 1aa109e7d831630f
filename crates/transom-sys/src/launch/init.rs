//! Pid 1 of the action's pid namespace. Runs between `clone` and `_exit`: see
//! the rules at the head of [`launch`](super).

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, UnmountFlags};
use rustix::pipe::PipeFlags;
use rustix::process::DumpableBehavior;

use super::wire::{self, Moment, Report, Usage};
use super::{CloneArguments, Cloned, Failure, Prepared, Step};
use super::{action, close_all_but, exit, loopback, procfs};
use crate::mount;

/// How many simultaneous children of init have their end noticed at once
/// before it looks at the lifeline again.
const REAPED_AT_ONCE_MAX: usize = 1024;

/// The life of init.
pub(super) fn run(prepared: &mut Prepared<'_>) -> ! {
    close_all_but(&prepared.init_keeps);
    let lifeline = prepared.lifeline;
    match start(prepared) {
        Ok(started) => {
            let mut kept = [lifeline.as_raw_fd(), started.children.as_raw_fd()];
            kept.sort_unstable();
            close_all_but(&kept);
            live(prepared, &started)
        }
        Err(failure) => {
            Report::Failed(failure).send(lifeline);
            exit(1)
        }
    }
}

struct Started {
    action: libc::pid_t,
    from: Moment,
    children: OwnedFd,
}

fn start(prepared: &mut Prepared<'_>) -> Result<Started, Failure> {
    let plan = prepared.plan;
    // Only a label for whoever looks at the list of processes.
    _ = rustix::thread::set_name(c"transom-init");

    Step::MakePrivate.check(rustix::mount::mount_change(
        c"/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    ))?;
    let proc = Step::NewProc.check(procfs::new())?;
    if plan.mask_proc {
        Step::MaskProc.check(procfs::mask(&proc))?;
    }
    change_root(&plan.root)?;
    if let Some(directory) = &plan.proc_directory {
        Step::AttachProc.check(mount::attach(&proc, directory, c""))?;
    }
    if !plan.share_network {
        Step::Loopback.check(loopback::raise())?;
    }
    let children = Step::Watch.check(watch_children())?;
    let action = start_action(prepared, &proc)?;

    Ok(Started {
        action,
        from: Moment::now(),
        children,
    })
}

fn change_root(root: &OwnedFd) -> Result<(), Failure> {
    // On top of the old root: no directory is needed to mount on, and the
    // lookup of "/" still leads below it.
    Step::AttachRoot.check(mount::attach(root, CWD, c"/"))?;
    Step::ChangeRoot.check(rustix::process::fchdir(root))?;
    // The old root ends up mounted on the new one, at the same place ...
    Step::ChangeRoot.check(rustix::process::pivot_root(c".", c"."))?;
    // ... from where it goes, with everything below it.
    Step::DetachOldRoot.check(rustix::mount::unmount(c".", UnmountFlags::DETACH))?;
    Step::DetachOldRoot.check(rustix::process::chdir(c"/"))
}

/// A descriptor that becomes readable when a child ends.
///
/// All signals are blocked since before init was cloned, and stay so: one that
/// is sent to our whole process group is the action's to handle.
fn watch_children() -> Result<OwnedFd, Errno> {
    // An ignored SIGCHLD, inherited, would reap children before we see them.
    action::reset_disposition(libc::SIGCHLD);
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialised by the first call; the kernel makes a new
    // descriptor for us.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        libc::sigaddset(set.as_mut_ptr(), libc::SIGCHLD);
        let file = libc::signalfd(-1, set.as_ptr(), libc::SFD_CLOEXEC | libc::SFD_NONBLOCK);
        if file < 0 {
            return Err(mount::last_errno());
        }
        Ok(OwnedFd::from_raw_fd(file))
    }
}

fn start_action(prepared: &mut Prepared<'_>, proc: &OwnedFd) -> Result<libc::pid_t, Failure> {
    let plan = prepared.plan;
    let (gate, opener) = Step::CloneAction.check(rustix::pipe::pipe_with(PipeFlags::CLOEXEC))?;
    let cloned = Step::CloneAction.check(super::clone(CloneArguments {
        flags: libc::CLONE_NEWUSER,
        exit_signal: libc::SIGCHLD,
        want_pidfd: false,
    }))?;
    let pid = match cloned {
        Cloned::Child => {
            drop(opener);
            action::run(prepared, &gate)
        }
        Cloned::Parent { pid, .. } => pid,
    };
    Step::MapIdentities.check(write_map(proc, pid, b"/uid_map\0", &plan.uid_map))?;
    Step::MapIdentities.check(write_map(proc, pid, b"/gid_map\0", &plan.gid_map))?;
    Step::MapIdentities.check(rustix::process::set_dumpable_behavior(
        DumpableBehavior::NotDumpable,
    ))?;
    pass_on_pending_signals(pid);
    Step::CloneAction.check(rustix::io::write(&opener, &[1]))?;
    Ok(pid)
}

/// Gives the action the signals that the process group got before the action
/// was in it. It still blocks them all, so one that it did get stays one.
fn pass_on_pending_signals(action: libc::pid_t) {
    let mut pending = MaybeUninit::uninit();
    // SAFETY: an empty set is valid; the kernel then fills it.
    let pending = unsafe {
        libc::sigemptyset(pending.as_mut_ptr());
        libc::sigpending(pending.as_mut_ptr());
        pending.assume_init()
    };
    for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT, libc::SIGTERM] {
        // SAFETY: the set is initialised.
        if unsafe { libc::sigismember(&raw const pending, signal) } == 1 {
            send_signal(action, signal);
        }
    }
}

/// Writes `map` to `PID` + `file` below `proc`; `file` begins with a slash and
/// ends with a NUL.
fn write_map(proc: &OwnedFd, pid: libc::pid_t, file: &[u8], map: &[u8]) -> Result<(), Errno> {
    const DIGITS_MAX: usize = 10;
    let mut digits = [0_u8; DIGITS_MAX];
    let mut left = pid.cast_unsigned();
    let mut used = 0;
    for digit in &mut digits {
        *digit = b'0'.wrapping_add((left % 10) as u8);
        left /= 10;
        used += 1;
        if left == 0 {
            break;
        }
    }
    let mut path = [0_u8; DIGITS_MAX + 16];
    let bytes = digits.iter().take(used).rev().chain(file);
    for (to, from) in path.iter_mut().zip(bytes) {
        *to = *from;
    }
    let Ok(path) = CStr::from_bytes_until_nul(&path) else {
        return Err(Errno::NAMETOOLONG);
    };
    let file = rustix::fs::openat(proc, path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // The kernel takes a map in one piece or not at all.
    rustix::io::write(&file, map)?;
    Ok(())
}

/// Waits for the end of the action or of our process.
fn live(prepared: &Prepared<'_>, started: &Started) -> ! {
    loop {
        let mut files = [
            PollFd::new(&prepared.lifeline, PollFlags::IN),
            PollFd::new(&started.children, PollFlags::IN),
        ];
        // Signals are blocked, so only a lack of memory can end this early.
        _ = rustix::event::poll(&mut files, None);

        match wire::receive_signal(prepared.lifeline) {
            Ok(Some(signal)) => send_signal(started.action, signal),
            Ok(None) => {
                kill_everything();
                exit(0)
            }
            Err(_) => {}
        }
        drain(&started.children);
        for _ in 0..REAPED_AT_ONCE_MAX {
            match reap(libc::WNOHANG) {
                Some((pid, status, usage)) if pid == started.action => {
                    let until = Moment::now();
                    // Nothing may write any more when the outputs are read.
                    kill_everything();
                    Report::Ended {
                        status,
                        usage,
                        from: started.from,
                        until,
                    }
                    .send(prepared.lifeline);
                    exit(0)
                }
                Some(_) => {}
                None => break,
            }
        }
    }
}

fn kill_everything() {
    send_signal(-1, libc::SIGKILL);
    while reap(0).is_some() {}
}

fn send_signal(pid: libc::pid_t, signal: libc::c_int) {
    // SAFETY: `kill` has no precondition; pid numbers are those of our own pid
    // namespace, and -1 spares the caller.
    unsafe { libc::kill(pid, signal) };
}

/// Takes notice of one child that has ended.
fn reap(options: libc::c_int) -> Option<(libc::pid_t, libc::c_int, Usage)> {
    let mut status = 0;
    let mut usage = MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the kernel writes an int and one `rusage` through the pointers;
    // all-zero is a valid `rusage` too.
    let (pid, usage) = unsafe {
        let pid = libc::wait4(-1, &raw mut status, options, usage.as_mut_ptr());
        (pid, usage.assume_init())
    };
    (pid > 0).then(|| {
        let usage = Usage {
            user_us: microseconds(usage.ru_utime),
            system_us: microseconds(usage.ru_stime),
            resident_max_kib: usage.ru_maxrss.cast_unsigned(),
        };
        (pid, status, usage)
    })
}

fn microseconds(time: libc::timeval) -> u64 {
    time.tv_sec
        .cast_unsigned()
        .wrapping_mul(1_000_000)
        .wrapping_add(time.tv_usec.cast_unsigned())
}

/// Empties the signal descriptor.
fn drain(signals: &OwnedFd) {
    let mut record = [0_u8; size_of::<libc::signalfd_siginfo>()];
    while rustix::io::read(signals, &mut record).is_ok_and(|read| read > 0) {}
}
