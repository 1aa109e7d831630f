//! Who is at the other end of a Unix socket, beyond what `SO_PEERCRED` tells:
//! unix(7), socket(7). All of it is as it was when the peer connected.

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::process::Gid;

use crate::mount::last_errno;

/// Most supplementary groups that a process has (`NGROUPS_MAX`).
const GROUPS_MAX: usize = 65536;

/// The supplementary groups of the peer (`SO_PEERGROUPS`, Linux 4.13).
pub fn groups(socket: impl AsFd) -> Result<Vec<Gid>> {
    let mut groups: Vec<libc::gid_t> = vec![0; 64];
    loop {
        match option(&socket, libc::SO_PEERGROUPS, &mut groups) {
            Ok(bytes) => {
                groups.truncate(bytes / size_of::<libc::gid_t>());
                return Ok(groups.into_iter().map(Gid::from_raw).collect());
            }
            Err(Errno::RANGE) if groups.len() < GROUPS_MAX => groups.resize(GROUPS_MAX, 0),
            Err(error) => return Err(error),
        }
    }
}

/// A descriptor of the peer's process (`SO_PEERPIDFD`, Linux 6.5).
pub fn process(socket: impl AsFd) -> Result<OwnedFd> {
    let mut descriptor: [libc::c_int; 1] = [-1];
    option(&socket, libc::SO_PEERPIDFD, &mut descriptor)?;
    // SAFETY: the call has succeeded, so this is a descriptor that was made for
    // us and that nobody else knows.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor[0]) })
}

/// `getsockopt(2)` of an option of the socket level whose value is numbers;
/// returns how many bytes it has.
fn option(socket: impl AsFd, name: libc::c_int, value: &mut [impl Number]) -> Result<usize> {
    let mut bytes = libc::socklen_t::try_from(size_of_val(value)).map_err(|_| Errno::INVAL)?;
    // SAFETY: the kernel writes at most `bytes` bytes, which is the size of
    // `value`, whose elements may have any bits.
    let returned = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            name,
            value.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    match returned {
        0 => Ok(usize::try_from(bytes).unwrap_or_default()),
        _ => Err(last_errno()),
    }
}

/// What may have any bits.
trait Number {}
impl Number for libc::gid_t {}
impl Number for libc::c_int {}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_pair_of_sockets_has_ourselves_at_both_ends() {
        let (one, _other) = UnixStream::pair().unwrap();
        let mut ours = rustix::process::getgroups().unwrap();
        let mut told = groups(&one).unwrap();
        ours.sort_by_key(|group| group.as_raw());
        told.sort_by_key(|group| group.as_raw());
        assert_eq!(told, ours);
        let process = process(&one).unwrap();
        let status = format!("/proc/self/fdinfo/{}", process.as_raw_fd());
        let status = std::fs::read_to_string(status).unwrap();
        let pid = format!("Pid:\t{}\n", std::process::id());
        assert!(status.contains(&pid), "{status}");
    }
}
