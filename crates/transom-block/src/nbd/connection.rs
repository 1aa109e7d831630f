//! One connection, from the greeting to its end.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::exports::{Shared, lock};
use super::handshake::negotiate;
use super::transmission;

/// How long a client may take to choose an export.
pub const HANDSHAKE_PATIENCE: Duration = Duration::from_secs(10);

/// A connection that is remembered until this is dropped.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    pub(super) stream: Arc<UnixStream>,
}

impl Connection {
    /// Serves it until it ends.
    pub(super) fn serve(&self) {
        let mut haggling = Hurried {
            stream: &self.stream,
            end: Instant::now() + HANDSHAKE_PATIENCE,
        };
        let export = match negotiate(&mut haggling, &*self.shared) {
            Ok(Some(export)) => export,
            Ok(None) => return,
            Err(error) => {
                tracing::debug!(%error, "an NBD client did not choose an export");
                return;
            }
        };
        if haggling.end_of_hurry().is_err() || !export.enter(self.number, &self.stream) {
            return;
        }
        transmission::serve(&self.stream, &*export.volume, &|_| {
            export.requests.fetch_add(1, Ordering::Relaxed);
        });
        export.leave(self.number);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        lock(&self.shared.connections).remove(&self.number);
    }
}

/// A connection that has to come to an end in time.
struct Hurried<'a> {
    stream: &'a UnixStream,
    end: Instant,
}

impl Hurried<'_> {
    fn rest(&self) -> io::Result<Option<Duration>> {
        let rest = self.end.saturating_duration_since(Instant::now());
        match rest.is_zero() {
            true => Err(io::ErrorKind::TimedOut.into()),
            false => Ok(Some(rest)),
        }
    }

    fn end_of_hurry(&self) -> io::Result<()> {
        self.stream.set_read_timeout(None)?;
        self.stream.set_write_timeout(None)
    }
}

impl Read for Hurried<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.rest()?)?;
        self.stream.read(buffer)
    }
}

impl Write for Hurried<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.rest()?)?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
