//! Giving up, for good, what a server does not need.
//!
//! What is given up is given up by the calling thread and by all that it starts
//! from then on. So a server confines itself before it starts a thread.

use rustix::io::{Errno, Result};
use rustix::thread::{CapabilitySet, CapabilitySets};

use crate::system_call_filter::{
    self, ALLOW, ARCHITECTURE as ARCHITECTURE_OF_CALL, NUMBER, end, if_at_least, if_equal, load,
};

/// A system call that no server of files needs. Those that a processor does not
/// have are not among them there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NeedlessCall {
    /// Its name.
    pub name: &'static str,
    number: libc::c_long,
}

macro_rules! needless {
    ($($name:ident => $number:ident,)*) => {
        [$(NeedlessCall { name: stringify!($name), number: libc::$number },)*]
    };
}

/// The system calls that [`deny_needless_calls`] denies: those that change the
/// kernel or the machine as a whole, and those that reach into other processes.
pub const NEEDLESS_CALLS: &[NeedlessCall] = &needless! {
    // Another kernel, or code in this one.
    kexec_load => SYS_kexec_load,
    init_module => SYS_init_module,
    finit_module => SYS_finit_module,
    delete_module => SYS_delete_module,
    bpf => SYS_bpf,
    // Other processes: their memory, descriptors and what they do.
    ptrace => SYS_ptrace,
    process_vm_readv => SYS_process_vm_readv,
    process_vm_writev => SYS_process_vm_writev,
    process_madvise => SYS_process_madvise,
    pidfd_getfd => SYS_pidfd_getfd,
    kcmp => SYS_kcmp,
    move_pages => SYS_move_pages,
    migrate_pages => SYS_migrate_pages,
    perf_event_open => SYS_perf_event_open,
    // The machine.
    reboot => SYS_reboot,
    swapon => SYS_swapon,
    swapoff => SYS_swapoff,
    settimeofday => SYS_settimeofday,
    clock_settime => SYS_clock_settime,
    clock_adjtime => SYS_clock_adjtime,
    adjtimex => SYS_adjtimex,
    sethostname => SYS_sethostname,
    setdomainname => SYS_setdomainname,
    acct => SYS_acct,
    quotactl => SYS_quotactl,
    syslog => SYS_syslog,
    // Keys of others, and what attackers use of the kernel.
    add_key => SYS_add_key,
    request_key => SYS_request_key,
    keyctl => SYS_keyctl,
    userfaultfd => SYS_userfaultfd,
    personality => SYS_personality,
    // Other roots and namespaces than the ones it was started in.
    setns => SYS_setns,
    pivot_root => SYS_pivot_root,
    chroot => SYS_chroot,
};

/// The same for the calls that only this processor has.
#[cfg(target_arch = "x86_64")]
pub const NEEDLESS_CALLS_OF_PROCESSOR: &[NeedlessCall] = &needless! {
    kexec_file_load => SYS_kexec_file_load,
    iopl => SYS_iopl,
    ioperm => SYS_ioperm,
    modify_ldt => SYS_modify_ldt,
};
/// The same for the calls that only this processor has.
#[cfg(not(target_arch = "x86_64"))]
pub const NEEDLESS_CALLS_OF_PROCESSOR: &[NeedlessCall] = &[];

/// The kernel's name of the processor (`AUDIT_ARCH_*`, `<linux/audit.h>`), by
/// which calls of other kinds of programs are known.
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
#[cfg(target_arch = "riscv64")]
const ARCHITECTURE: u32 = 0xc000_00f3;

/// From here on are the calls of the x32 kind; no other processor has so many.
const X32_FIRST: u32 = 0x4000_0000;

/// As if the kernel did not have the call, so that what can do without it does.
const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

/// Keeps `kept` of the capabilities it has, and none of the others: neither to
/// use, nor to get back by executing a program.
///
/// `EPERM` without `CAP_SETPCAP` to give up others with, if it has others.
pub fn keep_capabilities(kept: CapabilitySet) -> Result<()> {
    let own = rustix::thread::capabilities(None)?;
    let kept = own.permitted & kept;
    if own.permitted != CapabilitySet::empty() {
        for number in 0..u64::BITS {
            let Some(capability) = CapabilitySet::from_bits(1 << number) else {
                continue;
            };
            match kept.contains(capability) {
                true => {}
                false => match rustix::thread::remove_capability_from_bounding_set(capability) {
                    // One that this kernel does not know.
                    Ok(()) | Err(Errno::INVAL) => {}
                    Err(error) => return Err(error),
                },
            }
        }
    }
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    // What is ambient goes with what is inheritable.
    rustix::thread::set_capabilities(None, sets)
}

/// Gives up privilege by executing programs, and has the kernel answer the
/// [needless](NEEDLESS_CALLS) calls with `ENOSYS`.
pub fn deny_needless_calls() -> Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    system_call_filter::install(&filter())
}

impl NeedlessCall {
    /// Whether this thread is denied the call, found out by making it, with
    /// arguments of which no kernel makes sense.
    #[must_use]
    pub fn is_denied(self) -> bool {
        // SAFETY: no address, descriptor or number that these calls take is -1,
        // so that none of them does anything.
        let returned = unsafe { libc::syscall(self.number, -1, -1, -1, -1, -1, -1) };
        returned == -1 && crate::mount::last_errno() == Errno::NOSYS
    }
}

/// All that [`deny_needless_calls`] denies on this processor.
pub fn needless_calls() -> impl Iterator<Item = NeedlessCall> {
    let all = NEEDLESS_CALLS.iter().chain(NEEDLESS_CALLS_OF_PROCESSOR);
    all.copied()
}

/// Denies all calls of programs of other kinds than ours, then the needless
/// ones, one comparison each.
fn filter() -> Vec<libc::sock_filter> {
    let calls: Vec<_> = needless_calls().collect();
    // How many instructions are skipped from the comparison at `index` to the
    // end, where the last one but one allows.
    let to_deny = |index: usize| u8::try_from(calls.len() - index).unwrap_or(u8::MAX);
    let mut filter = vec![
        load(ARCHITECTURE_OF_CALL),
        if_equal(ARCHITECTURE, 1, 0),
        end(DENY),
        load(NUMBER),
        if_at_least(X32_FIRST, to_deny(0) + 1, 0),
    ];
    for (index, call) in calls.iter().enumerate() {
        filter.push(if_equal(call.number as u32, to_deny(index), 0));
    }
    filter.extend([end(ALLOW), end(DENY)]);
    filter
}
