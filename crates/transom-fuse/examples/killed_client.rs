//! For how long a client that is killed stays, when its request hangs in a
//! handler: from `SIGKILL` until its parent has been told its end.
//!
//! ```text
//! cargo run --release -p transom-fuse --example killed_client   # as root
//! ```

#![expect(clippy::print_stdout, reason = "a program may")]

use std::convert::Infallible;
use std::error::Error;
use std::ffi::OsStr;
use std::os::fd::AsRawFd;
use std::process::{Command, Stdio, id};
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use transom_fuse::{Options, Session};
use transom_module::{
    Attributes, Context, Cookie, DirectorySink, Entry, Errno, ItemId, ItemKind, Lifetime, Lookup,
    OpenMode, Opened, Result, Volume, VolumeDefinition,
};

const CLIENTS: u32 = 50;

/// A directory in which whoever looks for a name hangs.
struct Pit {
    fell: Sender<()>,
}

impl Volume for Pit {
    type Item = ();
    type Handle = Infallible;

    fn root(&self) -> Result<Entry<()>> {
        Ok(Entry {
            item: (),
            attributes: Attributes::synthetic(ItemId::ROOT, ItemKind::Directory, 0o555),
            generation: 0,
            name_lifetime: Lifetime::FOREVER,
            attributes_lifetime: Lifetime::FOREVER,
        })
    }

    fn lookup(&self, context: &Context<'_>, (): &(), _: &OsStr) -> Result<Lookup<()>> {
        // Nobody listens any more when the measurement is over.
        let _ = self.fell.send(());
        while !context.is_cancelled() {
            thread::sleep(Duration::from_millis(1));
        }
        Err(Errno::EINTR.into())
    }

    fn attributes(&self, _: &Context<'_>, (): &()) -> Result<(Attributes, Lifetime)> {
        Ok((self.root()?.attributes, Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        (): &(),
        _: Cookie,
        _: &mut dyn DirectorySink<()>,
    ) -> Result<()> {
        Ok(())
    }

    fn open(&self, _: &Context<'_>, (): &(), _: OpenMode) -> Result<Opened<Infallible>> {
        Err(Errno::EISDIR.into())
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let (fell, falls) = channel();
    let volume = VolumeDefinition::new(Pit { fell });
    let session = Session::start(volume, &Options::default())?;
    let mount = session.mount().ok_or("there is no mount")?.as_raw_fd();
    let name = format!("/proc/{}/fd/{mount}/name", id());
    let mut stayed = Vec::new();
    for client in 0..CLIENTS {
        let mut client_process = Command::new("stat")
            .arg(&name)
            .stderr(Stdio::null())
            .spawn()?;
        falls.recv()?;
        // At any moment of the server's clock, and of the request's age.
        thread::sleep(Duration::from_millis((client * 7 % 50).into()));
        let killed = Instant::now();
        client_process.kill()?;
        client_process.wait()?;
        stayed.push(killed.elapsed());
    }
    stayed.sort();
    println!(
        "{CLIENTS} clients: minimum {:.1?}, median {:.1?}, maximum {:.1?}",
        stayed[0],
        stayed[stayed.len() / 2],
        stayed[stayed.len() - 1],
    );
    Ok(())
}
