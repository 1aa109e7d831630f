//! The interface that the tests call, and a server of it.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use transom_control::{
    Admission, ConnectionId, Descriptor, Exchange, Interface, Method, Next, Peer, Permission,
    Server, Services, Socket, Stream,
};

pub(crate) const INTERFACE: &str = "io.transom.Test";
pub(crate) const INTERFACE_TEXT: &str = include_str!("io.transom.Test.varlink");

/// Bytes of one reply of `Flood`.
pub(crate) const FLOOD_BYTES: usize = 1 << 16;

macro_rules! method {
    ($name:ident { $($field:ident: $type:ty),* } => $reply:ident { $($result:ident: $of:ty),* }) => {
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub(crate) struct $name { $(pub(crate) $field: $type),* }

        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub(crate) struct $reply { $(pub(crate) $result: $of),* }

        impl Method for $name {
            const NAME: &'static str = concat!("io.transom.Test.", stringify!($name));
            type Reply = $reply;
            type Error = Odd;
        }
    };
}

method!(Echo { text: String } => EchoReply { text: String });
method!(Count { to: u64 } => CountReply { number: u64 });
method!(Wait {} => WaitReply { number: u64 });
method!(Flood {} => FloodReply { text: String });
method!(Read { files: Vec<Descriptor> } => ReadReply { texts: Vec<String> });
method!(Open { count: u32 } => OpenReply { files: Vec<Descriptor> });
method!(Who {} => WhoReply { uid: u32, gid: u32, groups: Vec<u32>, pid: i32 });
method!(Hold {} => HoldReply {});
method!(Panic {} => PanicReply {});

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "error", content = "parameters")]
pub(crate) enum Odd {
    #[serde(rename = "io.transom.Test.Odd")]
    Odd { number: u64 },
}

/// What the tests look at from the side of the server.
#[derive(Default)]
pub(crate) struct TestService {
    seen: Mutex<Seen>,
    changed: Condvar,
}

#[derive(Default)]
struct Seen {
    calls: usize,
    ended: Vec<ConnectionId>,
    held: usize,
    released: bool,
}

impl TestService {
    fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.seen.lock().unwrap());
        self.changed.notify_all();
    }

    fn wait(&self, until: impl Fn(&Seen) -> bool) {
        let seen = self.seen.lock().unwrap();
        let minute = Duration::from_secs(60);
        let waited = self
            .changed
            .wait_timeout_while(seen, minute, |seen| !until(seen))
            .unwrap()
            .1;
        assert!(!waited.timed_out());
    }

    /// Waits until so many connections are over.
    pub(crate) fn wait_for_ends(&self, count: usize) {
        self.wait(|seen| seen.ended.len() >= count);
    }

    /// Waits until so many callers of `Hold` wait.
    pub(crate) fn wait_for_held(&self, count: usize) {
        self.wait(|seen| seen.held >= count);
    }

    /// Lets the callers of `Hold` go.
    pub(crate) fn release(&self) {
        self.change(|seen| seen.released = true);
    }

    /// How many connections are over.
    pub(crate) fn ends(&self) -> usize {
        self.seen.lock().unwrap().ended.len()
    }

    /// How many calls came.
    pub(crate) fn calls(&self) -> usize {
        self.seen.lock().unwrap().calls
    }
}

/// The numbers to that one, which is even; an error after the 12th.
fn count(to: u64) -> Result<Stream<CountReply, Odd>, Odd> {
    if to % 2 == 1 {
        return Err(Odd::Odd { number: to });
    }
    let mut number = 0;
    Ok(Box::new(move |_| {
        number += 1;
        match number {
            13 => Next::Failed(Odd::Odd { number }),
            _ if number == to => Next::Last(CountReply { number }),
            _ => Next::Item(CountReply { number }),
        }
    }))
}

fn read(exchange: &mut Exchange, files: Vec<Descriptor>) -> Result<Vec<String>, Odd> {
    let texts = files.into_iter().map(|file| {
        let file = exchange.take(file).map_err(|missing| Odd::Odd {
            number: missing.0.0.into(),
        })?;
        let mut text = String::new();
        File::from(file).read_to_string(&mut text).unwrap();
        Ok(text)
    });
    texts.collect()
}

fn who(peer: &Peer) -> WhoReply {
    assert!(peer.pidfd.as_raw_fd() >= 0);
    WhoReply {
        uid: peer.uid.as_raw(),
        gid: peer.gid.as_raw(),
        groups: peer.groups.iter().map(|group| group.as_raw()).collect(),
        pid: peer.pid.as_raw_nonzero().get(),
    }
}

pub(crate) fn interface(service: Arc<TestService>) -> Interface {
    Interface::builder(INTERFACE, INTERFACE_TEXT, service)
        .method(|service, _, Echo { text }| {
            service.change(|seen| seen.calls += 1);
            Ok(EchoReply { text })
        })
        .stream(|_, _, Count { to }| count(to))
        .stream(|_, _, Wait {}| {
            Ok(Box::new(|patience| {
                thread::sleep(patience);
                Next::Nothing
            }))
        })
        .stream(|_, _, Flood {}| {
            Ok(Box::new(|_| {
                let text = "x".repeat(FLOOD_BYTES);
                Next::Item(FloodReply { text })
            }))
        })
        .method(|_, exchange, Read { files }| {
            let texts = read(exchange, files)?;
            Ok(ReadReply { texts })
        })
        .method(|_, exchange, Open { count }| {
            let files = (0..count).map(|_| exchange.give(File::open("/dev/null").unwrap()));
            let files = files.collect();
            Ok(OpenReply { files })
        })
        .method(|_, exchange, Who {}| Ok(who(exchange.peer())))
        .method(|service, _, Hold {}| {
            service.change(|seen| seen.held += 1);
            service.wait(|seen| seen.released);
            Ok(HoldReply {})
        })
        .method(|_, _, Panic {}| panic!("as it was told"))
        .at_end(|service, connection| service.change(|seen| seen.ended.push(connection)))
        .build()
}

/// A server that runs.
pub(crate) struct Running {
    pub(crate) path: PathBuf,
    pub(crate) service: Arc<TestService>,
    pub(crate) server: Option<Server>,
    _directory: tempfile::TempDir,
}

/// Serves the interface as a daemon for all users would.
pub(crate) fn start() -> Running {
    start_with(Admission::SYSTEM)
}

pub(crate) fn start_with(admission: Admission) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run/socket");
    let service = Arc::new(TestService::default());
    let socket = Socket::bind(&path, Permission::Everybody).unwrap();
    let services = Services::new([interface(Arc::clone(&service))]);
    let server = Server::start(socket, admission, services).unwrap();
    Running {
        path,
        service,
        server: Some(server),
        _directory: directory,
    }
}

impl Running {
    pub(crate) fn client(&self) -> transom_control::Client {
        transom_control::Client::connect(&self.path).unwrap()
    }

    /// A call is answered.
    pub(crate) fn check(&self) {
        let text = String::from("still there");
        let reply = self.client().call(&Echo { text: text.clone() }).unwrap();
        assert_eq!(reply.text, text);
    }
}

/// How many descriptors this process has open.
pub(crate) fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Waits until so many are open: a server closes what it has sent, and the
/// connection itself, after its client could know.
pub(crate) fn wait_for_descriptors(count: usize) {
    let minute = Instant::now() + Duration::from_secs(60);
    while open_descriptors() != count {
        assert!(Instant::now() < minute, "{} != {count}", open_descriptors());
        thread::yield_now();
    }
}
