use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{AtFlags, CWD, StatxFlags, statx};

use crate::kernel_filesystem::{FUSECTL, TRACEFS};

/// Counts the FUSE requests that the kernel sends, by the kernel's own
/// tracepoint `fuse:fuse_request_send`: a witness that is not our transport.
/// Needs root.
///
/// Not seen are FORGET, BATCH_FORGET and INTERRUPT, which the kernel queues
/// without passing the tracepoint.
///
/// Each value owns a trace instance (a buffer and an event switch apart from
/// those of anyone else who traces) below `/sys/kernel/tracing/instances`, and
/// removes it on drop.
#[derive(Debug)]
pub struct KernelRequests {
    instance: PathBuf,
}

/// How often each kind of request was sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestCounts(BTreeMap<Request, u64>);

/// The number of the FUSE connection that serves `path`: its name below
/// `/sys/fs/fuse/connections`. Asking does not send a request for the last
/// name of the path, so that the answer does not disturb a count.
pub fn connection_of(path: &Path) -> io::Result<u32> {
    let stat = statx(CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::empty())?;
    // FUSE file systems have anonymous devices (major 0), and the connection is
    // named by the minor.
    let connections = Path::new(FUSECTL.mounted()?);
    if stat.stx_dev_major != 0 || !connections.join(stat.stx_dev_minor.to_string()).exists() {
        let message = format!("{} is not on a FUSE file system", path.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, message));
    }
    Ok(stat.stx_dev_minor)
}

impl KernelRequests {
    /// Starts counting the requests of one connection (see [`connection_of`]).
    pub fn watch(connection: u32) -> io::Result<Self> {
        Self::start(&format!("connection == {connection}"), BUFFER_KIB_PER_CPU)
    }

    /// The same for a workload of some hundred thousand requests: it takes 16
    /// MiB of the kernel's memory for each processor.
    pub fn watch_many(connection: u32) -> io::Result<Self> {
        Self::start(
            &format!("connection == {connection}"),
            8 * BUFFER_KIB_PER_CPU,
        )
    }

    /// Starts counting the requests of all connections, for when the one of
    /// interest does not exist yet; see [`RequestCounts::of_connection`].
    pub fn watch_all() -> io::Result<Self> {
        Self::start("0", BUFFER_KIB_PER_CPU)
    }

    /// Stops, and returns what was counted. It is an error if the kernel had
    /// to drop an event.
    pub fn finish(self) -> io::Result<RequestCounts> {
        write(&self.instance.join("tracing_on"), "0")?;
        RequestCounts::parse(&fs::read_to_string(self.instance.join("trace"))?)
            .map_err(io::Error::other)
    }

    fn start(filter: &str, kib_per_cpu: u32) -> io::Result<Self> {
        static INSTANCES: AtomicU32 = AtomicU32::new(0);
        let tracefs = Path::new(TRACEFS.mounted()?);
        let number = INSTANCES.fetch_add(1, Ordering::Relaxed);
        let instance = tracefs.join(format!("instances/transom-test-{}-{number}", process::id()));
        fs::create_dir(&instance)?;
        let requests = Self { instance };

        let event = requests.event();
        write(
            &requests.instance.join("buffer_size_kb"),
            &kib_per_cpu.to_string(),
        )?;
        write(&event.join("filter"), filter)?;
        write(&event.join("enable"), "1")?;
        Ok(requests)
    }

    fn event(&self) -> PathBuf {
        self.instance.join("events/fuse/fuse_request_send")
    }
}

impl Drop for KernelRequests {
    fn drop(&mut self) {
        // An instance cannot be removed while one of its events is on.
        let _ = write(&self.event().join("enable"), "0");
        let _ = fs::remove_dir(&self.instance);
    }
}

impl RequestCounts {
    /// How many requests with the number `opcode` were sent.
    #[must_use]
    pub fn of(&self, opcode: u32) -> u64 {
        self.sum(|request| request.opcode == opcode)
    }

    /// How many requests were sent.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.sum(|_| true)
    }

    /// Those of one connection.
    #[must_use]
    pub fn of_connection(&self, connection: u32) -> Self {
        let of_it = |(request, count): (&Request, &u64)| {
            (request.connection == connection).then(|| (request.clone(), *count))
        };
        Self(self.0.iter().filter_map(of_it).collect())
    }

    fn sum(&self, counts: impl Fn(&Request) -> bool) -> u64 {
        let chosen = self.0.iter().filter(|(request, _)| counts(request));
        chosen.map(|(_, count)| count).sum()
    }

    fn parse(trace: &str) -> Result<Self, String> {
        let mut counts = Self::default();
        let mut written = None;
        for line in trace.lines() {
            if let Some((_, header)) = line.split_once("entries-in-buffer/entries-written: ") {
                written = Some(written_entries(header).ok_or_else(|| malformed(line))?);
            } else if let Some((_, event)) = line.split_once(" fuse_request_send: ") {
                let request = Request::parse(event).ok_or_else(|| malformed(line))?;
                *counts.0.entry(request).or_default() += 1;
            }
        }
        let written = written.ok_or("the trace has no header")?;
        if counts.total() != written {
            return Err(format!(
                "{written} requests were traced, but only {} fitted into the trace buffer",
                counts.total()
            ));
        }
        Ok(counts)
    }
}

/// By connection where there are several: `LOOKUP 440, OPEN 440`.
impl fmt::Display for RequestCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut connection = None;
        for (index, (request, count)) in self.0.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            if connection.replace(request.connection) != Some(request.connection) {
                write!(f, "connection {}: ", request.connection)?;
            }
            write!(f, "{} {count}", request.name)?;
        }
        Ok(())
    }
}

/// What the kernel says of a request, less what tells two of a kind apart.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Request {
    connection: u32,
    opcode: u32,
    /// The kernel's name without `FUSE_`, or the number in hexadecimal if the
    /// kernel's table lacks it.
    name: String,
}

impl Request {
    /// Reads `connection 48 req 2 opcode 26 (FUSE_INIT) len 104`.
    fn parse(event: &str) -> Option<Self> {
        let mut words = event.split_whitespace();
        let mut value_of = |key: &str| words.find(|word| *word == key).and_then(|_| words.next());
        let connection = value_of("connection")?.parse().ok()?;
        let opcode = value_of("opcode")?.parse().ok()?;
        let name = words.next()?.trim_matches(['(', ')']);
        Some(Self {
            connection,
            opcode,
            name: name.strip_prefix("FUSE_").unwrap_or(name).to_owned(),
        })
    }
}

/// Room for about 50,000 requests per processor.
const BUFFER_KIB_PER_CPU: u32 = 2048;

fn write(path: &Path, value: &str) -> io::Result<()> {
    fs::write(path, value)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// The second number of `entries-in-buffer/entries-written: 2/5   #P:2`.
fn written_entries(header: &str) -> Option<u64> {
    let (_, written) = header.split_whitespace().next()?.split_once('/')?;
    written.parse().ok()
}

fn malformed(line: &str) -> String {
    format!("not the trace format that this fixture knows: {line}")
}

#[cfg(test)]
mod tests {
    use std::ffi::CString;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    use rustix::mount::{MountFlags, mount};

    use super::*;
    use crate::mounted::Mounted;
    use crate::temp_dir;

    const TRACE: &str = "\
# tracer: nop
#
# entries-in-buffer/entries-written: 3/3   #P:2
#
#           TASK-PID     CPU#  |||||  TIMESTAMP  FUNCTION
             cat-42      [001] .....  1.000001: fuse_request_send: connection 48 req 2 opcode 15 (FUSE_READ) len 80
             cat-42      [001] .....  1.000002: fuse_request_send: connection 49 req 2 opcode 15 (FUSE_READ) len 80
             cat-42      [000] .....  1.000003: fuse_request_send: connection 48 req 4 opcode 53 (0x35) len 80
";

    #[test]
    fn requests_are_counted_by_connection_and_opcode() {
        let all = RequestCounts::parse(TRACE).unwrap();
        assert_eq!((all.total(), all.of(15), all.of(14)), (3, 2, 0));
        let one = all.of_connection(48);
        assert_eq!((one.total(), one.of(15), one.of(53)), (2, 1, 1));
        assert_eq!(one.to_string(), "connection 48: READ 1, 0x35 1");
    }

    #[test]
    fn a_lost_event_is_an_error() {
        let overrun = TRACE.replace("3/3", "3/5");
        let error = RequestCounts::parse(&overrun).unwrap_err();
        assert!(error.starts_with("5 requests"), "{error}");
        assert!(RequestCounts::parse("").is_err());
    }

    #[test]
    fn privileged_an_instance_exists_as_long_as_its_owner() {
        crate::privileged!("trace the kernel");
        let requests = KernelRequests::watch(4_000_000).unwrap();
        let instance = requests.instance.clone();
        assert!(instance.exists());
        assert_eq!(requests.finish().unwrap(), RequestCounts::default());
        assert!(!instance.exists());
    }

    /// A connection nobody answers: the kernel sends INIT when it is mounted.
    #[test]
    fn privileged_the_first_request_of_a_connection_is_counted() {
        crate::privileged!("mount a FUSE file system");
        const INIT: u32 = 26;
        let directory = temp_dir().unwrap();
        let target = directory.path().join("mount");
        fs::create_dir(&target).unwrap();
        assert!(connection_of(&target).is_err(), "nothing is mounted yet");

        let requests = KernelRequests::watch_all().unwrap();
        let device = File::options()
            .read(true)
            .write(true)
            .open("/dev/fuse")
            .unwrap();
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0",
            device.as_raw_fd()
        );
        mount(
            "transom-test",
            &target,
            "fuse",
            MountFlags::empty(),
            CString::new(options).unwrap().as_c_str(),
        )
        .unwrap();
        let mounted = Mounted::at(target);
        let connection = connection_of(mounted.path()).unwrap();
        drop(device);
        drop(mounted);

        let counts = requests.finish().unwrap().of_connection(connection);
        assert_eq!(counts.of(INIT), 1, "{counts}");
    }
}
