//! The action's process until its program runs. The rules at the head of
//! [`launch`](super) hold here too.

use std::ffi::{CStr, c_char};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Access, AtFlags, CWD};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};
use rustix::thread::CapabilitySet;

use super::wire::Report;
use super::{Failure, Prepared, Step, exit, terminal_guard};
use crate::mount::last_errno;

/// Runs scripts without a first line that names an interpreter.
pub(super) const SHELL: &CStr = c"/bin/sh";

/// What shells exit with when a command does not exist.
const NOT_FOUND: libc::c_int = 127;
/// What shells exit with when a command cannot be executed.
const NOT_EXECUTABLE: libc::c_int = 126;

/// What root keeps inside, of what it had outside: the default of container
/// engines, enough for package managers and archivers.
const CAPABILITIES: CapabilitySet = CapabilitySet::AUDIT_WRITE
    .union(CapabilitySet::CHOWN)
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SYS_CHROOT);

/// Waits until `gate` says that the identity maps are written, then becomes
/// the program.
pub(super) fn run(prepared: &mut Prepared<'_>, gate: &OwnedFd) -> ! {
    let failure = prepare_and_execute(prepared, gate);
    Report::Failed(failure).send(prepared.lifeline);
    let not_found = failure.step == Step::Execute && failure.errno == Errno::NOENT;
    exit(if not_found { NOT_FOUND } else { NOT_EXECUTABLE })
}

fn prepare_and_execute(prepared: &mut Prepared<'_>, gate: &OwnedFd) -> Failure {
    match prepare(prepared, gate) {
        Ok(()) => execute(prepared),
        Err(failure) => failure,
    }
}

fn prepare(prepared: &Prepared<'_>, gate: &OwnedFd) -> Result<(), Failure> {
    let plan = prepared.plan;
    let mut byte = [0];
    // End-of-file: init failed, has said so, and kills us as it exits.
    if Step::CloneAction.check(rustix::io::read(gate, &mut byte))? == 0 {
        exit(NOT_EXECUTABLE)
    }
    for planned in &plan.files {
        // SAFETY: every planned file lies above every wanted number, so what
        // `dup2` closes, if anything, is not in use.
        if unsafe { libc::dup2(planned.file.as_raw_fd(), planned.number) } < 0 {
            return Step::Files.check(Err(last_errno()));
        }
    }
    if let Some(limit) = plan.open_files_limit {
        Step::Files.check(limit_open_files(limit))?;
    }
    Step::DropPrivileges.check(drop_privileges())?;
    if plan.guard_terminal {
        Step::GuardTerminal.check(terminal_guard::install())?;
    }
    Step::WorkingDirectory.check(rustix::process::chdir(&*plan.working_directory))?;
    // Rust programs ignore SIGPIPE; what else is ignored was ignored by who
    // started us, and `execve` hands it on as always.
    reset_disposition(libc::SIGPIPE);
    unblock_signals();
    Ok(())
}

fn limit_open_files(limit: u64) -> Result<(), Errno> {
    let now = rustix::process::getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: Some(limit),
        ..now
    };
    rustix::process::setrlimit(Resource::Nofile, limit)
}

fn drop_privileges() -> Result<(), Errno> {
    rustix::thread::set_no_new_privs(true)?;
    for number in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << number);
        if CAPABILITIES.contains(capability) {
            continue;
        }
        match rustix::thread::remove_capability_from_bounding_set(capability) {
            Ok(()) => {}
            // One above the last this kernel knows.
            Err(Errno::INVAL) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Tries the candidates as `execvp(3)` does. Returns only if all fail.
fn execute(prepared: &mut Prepared<'_>) -> Failure {
    let mut failure = Failure {
        step: Step::Execute,
        errno: Errno::NOENT,
    };
    for candidate in &prepared.plan.candidates {
        let errno = execve(candidate, &prepared.arguments, &prepared.environment);
        match errno {
            Errno::NOENT | Errno::NOTDIR => {
                let exists =
                    rustix::fs::accessat(CWD, &**candidate, Access::EXISTS, AtFlags::empty());
                if exists.is_ok() && failure.errno == Errno::NOENT {
                    failure.step = Step::Interpreter;
                }
            }
            Errno::ACCESS => {
                failure = Failure {
                    step: Step::Execute,
                    errno,
                }
            }
            Errno::NOEXEC => {
                if let Some(script) = prepared.shell_arguments.get_mut(1) {
                    *script = candidate.as_ptr();
                }
                let errno = execve(SHELL, &prepared.shell_arguments, &prepared.environment);
                let step = match errno {
                    Errno::NOENT => Step::Interpreter,
                    _ => Step::Execute,
                };
                return Failure { step, errno };
            }
            _ => {
                return Failure {
                    step: Step::Execute,
                    errno,
                };
            }
        }
    }
    failure
}

fn execve(path: &CStr, arguments: &[*const c_char], environment: &[*const c_char]) -> Errno {
    // SAFETY: both vectors end with a null pointer, and the strings they point
    // to belong to the plan.
    unsafe { libc::execve(path.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    last_errno()
}

pub(super) fn reset_disposition(signal: libc::c_int) {
    // SAFETY: the default disposition runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

fn unblock_signals() {
    let mut none = std::mem::MaybeUninit::uninit();
    // SAFETY: the set is initialised by the first call.
    unsafe {
        libc::sigemptyset(none.as_mut_ptr());
        libc::sigprocmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut());
    }
}
