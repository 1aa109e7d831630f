//! The daemon, as its clients find and call it.

use std::env;
use std::fmt::Display;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{self, Path, PathBuf};

use anyhow::Context;
use rustix::fs::{CWD, Mode, OFlags};
use transom_control::host::{Place, Setting};
use transom_control::{Bytes, CallError, Client, Descriptor, Method};
use transom_host::Ledger;

/// Names another socket.
pub(crate) const SOCKET_VARIABLE: &str = "TRANSOM_SOCKET";

/// Where the daemon of the machine listens.
const SYSTEM_SOCKET: &str = "/run/transom-host/control";

/// Where the daemon listens: that of the machine, unless the environment names
/// another.
pub(crate) fn socket() -> PathBuf {
    let named = env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty());
    named.map_or_else(|| SYSTEM_SOCKET.into(), PathBuf::from)
}

/// Where the state of the machine's daemon is that outlives it.
pub(crate) const SYSTEM_STATE: &str = "/var/lib/transom";

/// What a daemon with that state has noted for the case that it is killed.
pub(crate) fn ledger(state: &Path) -> anyhow::Result<Ledger> {
    Ledger::open(&state.join("ledger"))
        .with_context(|| format!("another daemon may be using {}", state.display()))
}

/// A connection to the daemon.
pub(crate) fn connect() -> anyhow::Result<Client> {
    let socket = socket();
    Client::connect(&socket).with_context(|| {
        format!(
            "cannot reach the daemon at {}; start it with `transom serve`, or name its socket in \
             {SOCKET_VARIABLE}",
            socket.display()
        )
    })
}

/// Calls a method.
pub(crate) fn call<M: Method>(client: &mut Client, call: &M) -> anyhow::Result<M::Reply>
where
    M::Error: Display + std::fmt::Debug + Send + Sync + 'static,
{
    client.call(call).map_err(told)
}

/// The same with what the call names.
pub(crate) fn call_with<M: Method>(
    client: &mut Client,
    call: &M,
    places: &Places,
) -> anyhow::Result<M::Reply>
where
    M::Error: Display + std::fmt::Debug + Send + Sync + 'static,
{
    let descriptors: Vec<BorrowedFd<'_>> = places.0.iter().map(AsFd::as_fd).collect();
    let (reply, _) = client
        .call_with_descriptors(call, &descriptors)
        .map_err(told)?;
    Ok(reply)
}

fn told<E: Display>(error: CallError<E>) -> anyhow::Error {
    match error {
        CallError::Connection(error) => anyhow::Error::new(error).context("the daemon has hung up"),
        other => anyhow::anyhow!("{other}"),
    }
}

/// Files and directories that a call names by descriptors, so that they mean to
/// the daemon what they mean to us.
#[derive(Default)]
pub(crate) struct Places(Vec<OwnedFd>);

impl Places {
    /// What `path` leads to. It is opened only to be named: the daemon opens it
    /// for real, with our rights.
    pub(crate) fn add(&mut self, path: &Path) -> anyhow::Result<Place> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let open = || -> io::Result<(OwnedFd, PathBuf)> {
            let descriptor = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
            Ok((descriptor, path::absolute(path)?))
        };
        let (descriptor, absolute) =
            open().with_context(|| format!("cannot open `{}`", path.display()))?;
        let position = u32::try_from(self.0.len())?;
        self.0.push(descriptor);
        Ok(Place {
            path: Some(Bytes::from(&absolute)),
            descriptor: Some(Descriptor(position)),
        })
    }

    /// Several.
    pub(crate) fn add_all(&mut self, paths: &[PathBuf]) -> anyhow::Result<Vec<Place>> {
        paths.iter().map(|path| self.add(path)).collect()
    }
}

/// What a user calls a container or a volume by, for the daemon: a path that
/// exists here is absolute there.
pub(crate) fn named(text: &str) -> String {
    let looks_like_path = text.contains('/') || text == "." || text == "..";
    match path::absolute(text) {
        Ok(absolute) if looks_like_path && absolute.exists() => {
            absolute.to_string_lossy().into_owned()
        }
        _ => text.into(),
    }
}

/// Settings as users write them: `name` or `name=value`, with commas between.
pub(crate) fn settings(texts: &[String]) -> Vec<Setting> {
    let options = texts.iter().flat_map(|text| text.split(','));
    options
        .filter(|option| !option.is_empty())
        .map(|option| {
            let (name, value) = match option.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (option, None),
            };
            Setting {
                name: name.into(),
                value,
            }
        })
        .collect()
}

/// A size as users write it: bytes, or with `K`, `M`, `G`, `T` for powers of
/// 1024.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let shift = match text[digits..].trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return Err("give bytes, or a number with K, M, G or T".into()),
    };
    let number: u64 = text[..digits]
        .parse()
        .map_err(|_| "give bytes, or a number with K, M, G or T".to_owned())?;
    number
        .checked_mul(1 << shift)
        .ok_or_else(|| "that is too large".into())
}

/// A size for people.
pub(crate) fn show_size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("0", 0),
            ("512", 512),
            ("4K", 4096),
            ("1G", 1 << 30),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for text in ["", "G", "1X", "-1", "99999999999999T"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn settings_have_values_or_not() {
        let read = settings(&["a=1,b".into(), "c=x=y".into()]);
        let pairs: Vec<_> = read
            .iter()
            .map(|setting| (setting.name.as_str(), setting.value.as_deref()))
            .collect();
        assert_eq!(pairs, [("a", Some("1")), ("b", None), ("c", Some("x=y"))]);
    }
}
