//! Mounting for a user who may not mount: fusermount3(1), which belongs to
//! root, does it if the user owns the directory, and passes the connection back
//! over a socket.

use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, bail};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType,
};

const PROGRAM: &str = "fusermount3";

/// Where the program looks for the number of its end of the socket.
const SOCKET: &str = "_FUSE_COMMFD";

/// Has a FUSE file system mounted on `target`, and returns its connection, on
/// which nothing was answered yet.
pub(crate) fn mount(target: &Path, options: &str) -> anyhow::Result<OwnedFd> {
    let (ours, theirs) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // The socket is its standard input, so no other descriptor has to survive.
    let mut program = Command::new(PROGRAM)
        .args(["-o", options, "--"])
        .arg(target)
        .env(SOCKET, "0")
        .stdin(theirs)
        .stdout(Stdio::null())
        .spawn()
        .with_context(|| {
            format!("without privilege, {PROGRAM} is needed to mount (package fuse3)")
        })?;
    let received = receive(&ours);
    let status = program.wait()?;
    match (status.success(), received?) {
        (true, Some(connection)) => Ok(connection),
        _ => bail!("{PROGRAM} did not mount on `{}`", target.display()),
    }
}

/// Unmounts whatever is on top at `target`.
pub(crate) fn unmount(target: &Path) -> io::Result<()> {
    let status: ExitStatus = Command::new(PROGRAM)
        .args(["-u", "-z", "-q", "--"])
        .arg(target)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()?;
    match status.success() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{PROGRAM} failed: {status}"))),
    }
}

fn receive(socket: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut byte)],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    Ok(ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut files) => files.next(),
        _ => None,
    }))
}
