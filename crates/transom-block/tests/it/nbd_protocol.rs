//! What the NBD protocol demands of a server.

use std::fs::File;
use std::os::unix::fs::{FileExt, FileTypeExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use tempfile::TempDir;
use transom_block::{FileVolume, NbdServer, Withdrawal};
use transom_module::{BlockVolume, Errno, Geometry};

use crate::nbd_client::*;
use crate::volumes::{Gate, HostFile, Slow, Unflushed, volume_of};

const MIB: u64 = 1 << 20;

/// A server with one export, `disk`, of 1 MiB.
pub(crate) struct Served {
    pub(crate) server: NbdServer,
    pub(crate) host: HostFile,
    directory: TempDir,
}

impl Served {
    pub(crate) fn new() -> Self {
        let host = HostFile::new(MIB);
        let volume = host.volume();
        Self::volume(host, volume)
    }

    pub(crate) fn volume(host: HostFile, volume: Arc<dyn BlockVolume>) -> Self {
        let directory = transom_test::temp_dir().unwrap();
        let server = NbdServer::listen(&directory.path().join("socket")).unwrap();
        server.export("disk", volume).unwrap();
        Self {
            server,
            host,
            directory,
        }
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub(crate) fn client(&self) -> Client {
        Client::using(&self.socket(), "disk")
    }
}

#[test]
fn options_are_answered_one_by_one() {
    let served = Served::new();
    served.server.export("other", served.host.volume()).unwrap();
    let mut client = Client::greeted(&served.socket());
    let (reply, names) = client.option(OPT_LIST, &[]);
    assert_eq!(reply, REP_ACK);
    assert_eq!(names, [&b"\0\0\0\x04disk"[..], b"\0\0\0\x05other"]);
    assert_eq!(client.option(OPT_LIST, b"x").0, REP_INVALID);
    assert_eq!(client.option(OPT_STRUCTURED_REPLY, &[]).0, REP_UNSUPPORTED);
    assert_eq!(client.option(99, b"data").0, REP_UNSUPPORTED);
    assert_eq!(client.option(OPT_GO, b"\0\0\0\xffdisk\0\0").0, REP_INVALID);
    assert_eq!(client.go("none"), REP_UNKNOWN);
    assert_eq!(client.go(""), REP_UNKNOWN, "there are two to choose from");
    assert_eq!(client.go("other"), REP_ACK);
    assert_eq!(client.bytes, MIB);
    assert_eq!(client.ask(READ, 0, 0, 512), 0);

    let mut client = Client::greeted(&served.socket());
    assert_eq!(client.option(OPT_ABORT, &[]).0, REP_ACK);
    assert!(client.is_cut());
}

#[test]
fn the_oldest_way_to_choose_an_export_works() {
    use std::io::Read;
    let served = Served::new();
    let mut client = Client::greeted(&served.socket());
    client.send_option(OPT_EXPORT_NAME, 0, &[]).unwrap();
    let mut info = [0; 10];
    client.stream.read_exact(&mut info).unwrap();
    assert_eq!(info[..8], MIB.to_be_bytes());
    assert_eq!(client.ask(WRITE, 0, 0, 4096), 0);

    let mut client = Client::greeted(&served.socket());
    client.send_option(OPT_EXPORT_NAME, 4, b"none").unwrap();
    assert!(client.is_cut());
}

#[test]
fn requests_do_what_they_say() {
    let served = Served::new();
    let mut client = served.client();
    assert_eq!(client.ask(WRITE, 0, 4096, 8192), 0);
    assert_eq!(client.read(4096, 8192), [7; 8192]);
    assert_eq!(client.ask(WRITE_ZEROES, 0, 4096, 4096), 0);
    assert_eq!(client.read(4096, 8192), [[0; 4096], [7; 4096]].concat());
    assert_eq!(client.ask(FLUSH, 0, 0, 0), 0);

    assert_eq!(client.ask(WRITE, FUA, 0, MIB as u32), 0);
    let full = served.host.space();
    assert_eq!(client.ask(TRIM, FUA, 0, MIB as u32 / 2), 0);
    assert!(served.host.space() <= full - MIB / 2);
    assert_eq!(client.ask(WRITE_ZEROES, FUA, 0, MIB as u32), 0);
    let empty = served.host.space();
    assert_eq!(client.ask(WRITE_ZEROES, NO_HOLE | FUA, 0, MIB as u32), 0);
    assert!(served.host.space() >= empty + MIB / 2, "space is taken");
    assert_eq!(client.read(0, MIB as u32), vec![0; 1 << 20]);

    client.send(DISCONNECT, 0, 0, 0, &[]).unwrap();
    assert!(client.is_cut());
}

#[test]
fn wrong_requests_are_refused_and_the_connection_goes_on() {
    let served = Served::new();
    let mut client = served.client();
    let end = MIB - 512;
    for (command, flags, offset, length, error) in [
        (READ, 0, end, 1024, EINVAL),
        (READ, 0, u64::MAX - 511, 1024, EINVAL),
        (READ, 0, 0, u32::MAX, EINVAL),
        (READ, 0, 1, 512, EINVAL),
        (READ, 0, 0, 511, EINVAL),
        (READ, NO_HOLE, 0, 512, EINVAL),
        (WRITE, 0, end, 1024, ENOSPC),
        (WRITE, 0, u64::MAX, 512, ENOSPC),
        (WRITE, 0, 0, 33 << 10 | 1, EINVAL),
        (TRIM, 0, 0, u32::MAX, EINVAL),
        (TRIM, 0, 100, 512, EINVAL),
        (WRITE_ZEROES, 0, 0, u32::MAX, ENOSPC),
        (WRITE_ZEROES, FAST_ZERO, 0, 512, EINVAL),
        (FLUSH, 0, 512, 0, EINVAL),
        (FLUSH, 0, 0, 512, EINVAL),
        (5, 0, 0, 512, EINVAL),
        (7, 0, 0, 512, EINVAL),
        (77, 0, 0, 512, EINVAL),
    ] {
        let what = format!("command {command}, flags {flags}, {length} bytes at {offset}");
        assert_eq!(client.ask(command, flags, offset, length), error, "{what}");
    }
    assert_eq!(client.ask(READ, 0, end, 512), 0);
}

#[test]
fn a_read_only_export_cannot_be_changed() {
    let host = HostFile::new(MIB);
    let file = File::open(host.path()).unwrap();
    let volume = FileVolume::new(std::os::fd::OwnedFd::from(file)).unwrap();
    let served = Served::volume(host, Arc::new(volume));
    let mut client = served.client();
    assert_eq!(client.flags & 0b1110_0010, 0b10, "read-only, nothing else");
    for command in [WRITE, TRIM, WRITE_ZEROES] {
        assert_eq!(client.ask(command, 0, 0, 512), EPERM);
    }
    assert_eq!(client.ask(READ, 0, 0, 512), 0);
    assert_eq!(client.ask(FLUSH, 0, 0, 0), 0);
}

#[test]
fn a_flush_is_of_what_every_connection_wrote() {
    const MULTI_CONN: u16 = 1 << 8;
    let host = HostFile::new(MIB);
    let volume = Arc::new(Unflushed::new(&host.path()));
    let served = Served::volume(host, volume);
    let (mut one, mut other) = (served.client(), served.client());
    assert_ne!(one.flags & MULTI_CONN, 0);
    assert_eq!(one.ask(WRITE, 0, 4096, 512), 0);
    assert_eq!(other.read(4096, 512), [7; 512]);
    let stored = || {
        let mut bytes = [0; 512];
        let file = File::open(served.host.path()).unwrap();
        file.read_exact_at(&mut bytes, 4096).unwrap();
        bytes[0]
    };
    assert_eq!(stored(), 0);
    assert_eq!(other.ask(FLUSH, 0, 0, 0), 0);
    assert_eq!(stored(), 7);
    assert_eq!(one.ask(WRITE_ZEROES, FUA, 4096, 512), 0);
    assert_eq!(stored(), 0);
}

#[test]
fn a_slow_request_does_not_hold_up_another() {
    let host = HostFile::new(MIB);
    let volume = Arc::new(Slow {
        inner: volume_of(&host.path()),
        gate: Gate::default(),
    });
    let served = Served::volume(host, volume.clone());
    let mut client = served.client();
    client.send(READ, 0, MIB / 2, 512, &[]).unwrap();
    for block in 0..100 {
        assert_eq!(client.ask(READ, 0, block * 512, 512), 0);
    }
    // As many as wait may wait, and another client does not.
    for block in 1..20 {
        client
            .send(READ, 0, MIB / 2 + block * 512, 512, &[])
            .unwrap();
    }
    assert_eq!(served.client().ask(READ, 0, 0, 512), 0);

    volume.gate.open();
    let mut answered: Vec<_> = (0..20)
        .map(|_| {
            use std::io::Read;
            let (cookie, error) = client.reply().unwrap();
            assert_eq!(error, 0);
            client.stream.read_exact(&mut [0; 512]).unwrap();
            (cookie - MIB / 2) / 512
        })
        .collect();
    answered.sort_unstable();
    assert_eq!(answered, (0..20).collect::<Vec<_>>());
}

#[test]
fn an_export_in_use_is_not_withdrawn() {
    let served = Served::new();
    let busy = || served.server.withdraw("disk", Withdrawal::IfUnused);
    let mut client = served.client();
    assert_eq!(client.ask(READ, 0, 0, 512), 0);
    assert_eq!(busy().unwrap_err().errno(), Errno::EBUSY);
    assert_eq!(client.ask(READ, 0, 0, 512), 0);
    let status = served.server.exports();
    assert_eq!((status[0].connections, status[0].requests), (1, 2));

    served.server.withdraw("disk", Withdrawal::Forced).unwrap();
    assert!(client.is_cut());
    assert_eq!(Client::greeted(&served.socket()).go("disk"), REP_UNKNOWN);
    assert_eq!(busy().unwrap_err().errno(), Errno::ENOENT);

    served.server.export("disk", served.host.volume()).unwrap();
    drop(served.client());
    // A client has gone when its connection has.
    while served.server.exports()[0].connections > 0 {
        thread::yield_now();
    }
    busy().unwrap();
}

#[test]
fn new_connections_see_a_new_size() {
    let served = Served::new();
    let mut before = served.client();
    served.host.resize(2 * MIB);
    let mut after = served.client();
    assert_eq!((before.bytes, after.bytes), (MIB, 2 * MIB));
    assert_eq!(after.ask(WRITE, 0, MIB, 512), 0);
    served.host.resize(MIB / 2);
    for client in [&mut before, &mut after] {
        assert_eq!(client.ask(READ, 0, MIB / 2, 512), EINVAL);
        assert_eq!(client.ask(READ, 0, 0, 512), 0);
    }
}

#[test]
fn exports_have_names_and_there_is_one_of_each() {
    let served = Served::new();
    let errno = |name: &str| {
        let volume = served.host.volume();
        served.server.export(name, volume).unwrap_err().errno()
    };
    assert_eq!(errno("disk"), Errno::EEXIST);
    assert_eq!(errno(""), Errno::EINVAL);
    assert_eq!(errno(&"x".repeat(4097)), Errno::EINVAL);
}

#[test]
fn a_volume_that_panics_costs_one_request() {
    struct Panics(FileVolume);
    impl BlockVolume for Panics {
        fn geometry(&self) -> Geometry {
            self.0.geometry()
        }
        fn read(&self, offset: u64, buffer: &mut [u8]) -> transom_module::Result<()> {
            assert!(offset > 0, "not the first block");
            self.0.read(offset, buffer)
        }
        fn write(&self, _: u64, _: &[u8]) -> transom_module::Result<()> {
            Err(Errno::EROFS.into())
        }
        fn flush(&self) -> transom_module::Result<()> {
            Ok(())
        }
    }
    let host = HostFile::new(MIB);
    let volume = Panics(volume_of(&host.path()));
    let served = Served::volume(host, Arc::new(volume));
    let mut client = served.client();
    assert_eq!(client.ask(READ, 0, 0, 512), EIO);
    assert_eq!(client.ask(READ, 0, 512, 512), 0);
}

#[test]
fn the_socket_is_our_users_and_replaces_an_abandoned_one() {
    let directory = transom_test::temp_dir().unwrap();
    let socket = directory.path().join("socket");
    // Dropping it leaves its name.
    drop(UnixListener::bind(&socket).unwrap());
    let server = NbdServer::listen(&socket).unwrap();
    let metadata = socket.metadata().unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    let again = NbdServer::listen(&socket).unwrap_err();
    assert_eq!(again.errno().raw(), libc::EADDRINUSE);
    drop(server);
    assert!(!socket.exists());

    let file = directory.path().join("file");
    File::create(&file).unwrap();
    let error = NbdServer::listen(&file).unwrap_err();
    assert_eq!(error.errno().raw(), libc::EADDRINUSE);
    assert!(file.exists());
}

#[test]
fn a_socket_that_was_handed_over_is_served_and_left_where_it_is() {
    let directory = transom_test::temp_dir().unwrap();
    let socket = directory.path().join("socket");
    let host = HostFile::new(MIB);
    let server = NbdServer::on_socket(UnixListener::bind(&socket).unwrap()).unwrap();
    server.export("disk", host.volume()).unwrap();
    let mut client = Client::using(&socket, "");
    assert_eq!(client.ask(READ, 0, 0, 512), 0);
    drop(server);
    assert!(client.is_cut());
    assert!(socket.exists());
}
