use std::fs;
use std::thread;

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use serde::Serialize;

/// Where and under which conditions was measured.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    pub(crate) kernel: String,
    pub(crate) processor: String,
    pub(crate) processors: usize,
    /// How many files a process may keep open.
    pub(crate) descriptors: usize,
    /// The processor that everything ran on, if it was confined to one.
    pub(crate) pinned_to: Option<usize>,
    /// Runnable tasks, averaged over a minute, before the first round.
    pub(crate) load_before: String,
    /// The same after the last round; the bench itself adds about one.
    pub(crate) load_after: String,
}

impl Machine {
    pub(crate) fn examine() -> Self {
        let system = rustix::system::uname();
        let release = system.release().to_string_lossy();
        let machine = system.machine().to_string_lossy();
        Self {
            kernel: format!("Linux {release} {machine}"),
            processor: processor_model(),
            processors: thread::available_parallelism().map_or(1, usize::from),
            descriptors: 0,
            pinned_to: None,
            load_before: load(),
            load_after: String::new(),
        }
    }

    pub(crate) fn note_end(&mut self) {
        self.load_after = load();
    }

    /// One line for people.
    pub(crate) fn to_text(&self) -> String {
        let pinned = self.pinned_to.map_or_else(
            || "not pinned".to_owned(),
            |cpu| format!("all on processor {cpu}"),
        );
        format!(
            "{}, {} x {}, {pinned}, {} descriptors, load {} before and {} after\n",
            self.kernel,
            self.processors,
            self.processor,
            self.descriptors,
            self.load_before,
            self.load_after
        )
    }
}

/// Confines this process, and what it starts from now on, to one processor;
/// returns which. Without a wish it is the last one, as the first has the
/// most interrupts.
pub(crate) fn pin(wish: Option<usize>) -> Result<usize> {
    let allowed = sched_getaffinity(None)?;
    let last = (0..CpuSet::MAX_CPU).rfind(|cpu| allowed.is_set(*cpu));
    let cpu = wish.or(last).context("no processor is allowed")?;
    ensure!(
        cpu < CpuSet::MAX_CPU && allowed.is_set(cpu),
        "processor {cpu} does not exist or is not allowed"
    );
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only)?;
    Ok(cpu)
}

/// Lets this process, and what it starts, keep as many files open as systemd
/// lets every service, or as many as it may: an engine keeps each input open.
/// Returns how many.
pub(crate) fn raise_descriptor_limit() -> Result<usize> {
    let wish = Rlimit {
        current: Some(SERVICE_DESCRIPTORS),
        maximum: Some(SERVICE_DESCRIPTORS),
    };
    if setrlimit(Resource::Nofile, wish).is_err() {
        let limit = getrlimit(Resource::Nofile);
        let raised = Rlimit {
            current: limit.maximum,
            ..limit
        };
        setrlimit(Resource::Nofile, raised)?;
    }
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    Ok(usize::try_from(limit)?)
}

/// The hard limit of systemd's services.
const SERVICE_DESCRIPTORS: u64 = 524_288;

fn processor_model() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == "model name").then(|| value.trim().to_owned())
    });
    model.unwrap_or_else(|| "unknown".to_owned())
}

fn load() -> String {
    let averages = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    averages.split(' ').next().unwrap_or_default().to_owned()
}
