use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::client::Call;

/// How long somebody who reads slowly waits before the next few bytes, and
/// somebody who floods for room to write.
const PAUSE: Duration = Duration::from_millis(50);

/// Clients that misbehave until this is dropped: as many that call and call,
/// read nothing, and begin anew when they are stuck, as that call ahead and read
/// a few bytes from time to time.
pub(super) struct Nuisances {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Nuisances {
    pub(super) fn start(path: &Path, Call(call): &Call, count: usize) -> Self {
        let is_over = Arc::<AtomicBool>::default();
        // Written in large pieces, so that they come faster than their replies.
        let calls = Arc::new(call.repeat(100));
        let thread = |reads: bool| {
            let (path, calls, is_over) = (path.to_owned(), calls.clone(), is_over.clone());
            thread::spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // Whatever goes wrong, it begins anew.
                    let _ = UnixStream::connect(&path)
                        .and_then(|stream| bother(&stream, &calls, reads, &is_over));
                }
            })
        };
        let threads = (0..count).flat_map(|_| [thread(false), thread(true)]);
        let threads = threads.collect();
        Self { is_over, threads }
    }
}

impl Drop for Nuisances {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Calls and calls. Who does not read in between is stuck at last: an error.
fn bother(
    mut stream: &UnixStream,
    calls: &[u8],
    reads: bool,
    is_over: &AtomicBool,
) -> io::Result<()> {
    stream.set_write_timeout(Some(PAUSE))?;
    let mut written = 0;
    while !is_over.load(Ordering::Relaxed) {
        match stream.write(&calls[written..]) {
            Ok(bytes) => written = (written + bytes) % calls.len(),
            Err(error) if reads && error.kind() == io::ErrorKind::WouldBlock => (),
            Err(error) => return Err(error),
        }
        if reads {
            stream.read_exact(&mut [0; 64])?;
            thread::sleep(PAUSE);
        }
    }
    Ok(())
}
