//! `transom top`: the daemon, live.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use comfy_table::{Table, presets};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use transom_control::host::{Status, StatusReply};

use crate::commands::task;
use crate::daemon;
use crate::streams::print_text;

/// Show what the daemon is doing, again and again.
///
/// Requests are those since the last look, each second. `q` and Enter, or Ctrl-C,
/// ends it. Without a terminal each look is printed below the last one.
#[derive(Debug, clap::Args)]
pub(crate) struct TopArguments {
    /// How often to look, in seconds.
    #[arg(long, short = 'd', default_value_t = 1.0, value_parser = parse_seconds)]
    delay: f64,
    /// How many times to look; without, until interrupted.
    #[arg(long, short = 'n')]
    iterations: Option<u64>,
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("give seconds from 0.1 to 3600".into()),
    }
}

/// Shows another screen, and the one before when it is dropped.
struct Screen;

impl Screen {
    fn open() -> io::Result<Self> {
        io::stdout().write_all(b"\x1b[?1049h")?;
        Ok(Self)
    }

    fn clear() -> io::Result<()> {
        io::stdout().write_all(b"\x1b[H\x1b[2J")
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = io::stdout().write_all(b"\x1b[?1049l");
        let _ = io::stdout().flush();
    }
}

pub(crate) fn top(arguments: &TopArguments) -> anyhow::Result<ExitCode> {
    let delay = Duration::from_secs_f64(arguments.delay);
    let mut interrupted = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ])?;
    let mut client = daemon::connect()?;
    let screen = match io::stdout().is_terminal() {
        true => Some(Screen::open()?),
        false => None,
    };
    let mut before: Option<(Instant, BTreeMap<String, u64>)> = None;
    let mut looks = 0;
    loop {
        let status = daemon::call(&mut client, &Status { container: None })?;
        let now = Instant::now();
        let requests = requests(&status);
        let rates = before.as_ref().map(|(then, before)| {
            let seconds = now.duration_since(*then).as_secs_f64();
            rates(before, &requests, seconds)
        });
        if screen.is_some() {
            Screen::clear()?;
        }
        print_text(shown(&status, &rates.unwrap_or_default()))?;
        before = Some((now, requests));
        looks += 1;
        if arguments.iterations.is_some_and(|most| looks >= most)
            || wants_to_quit(delay)?
            || interrupted.pending().next().is_some()
        {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// Requests of all volumes by opcode, and of each volume by its id.
fn requests(status: &StatusReply) -> BTreeMap<String, u64> {
    let mut requests = BTreeMap::new();
    for volume in &status.volumes {
        for (opcode, count) in &volume.requests {
            *requests.entry(opcode.clone()).or_default() += count;
            *requests.entry(volume.id.clone()).or_default() += count;
        }
    }
    requests
}

fn rates(
    before: &BTreeMap<String, u64>,
    now: &BTreeMap<String, u64>,
    seconds: f64,
) -> BTreeMap<String, f64> {
    let rate = |(name, count): (&String, &u64)| {
        let more = count.saturating_sub(before.get(name).copied().unwrap_or(0));
        (name.clone(), more as f64 / seconds)
    };
    now.iter().map(rate).collect()
}

fn shown(status: &StatusReply, rates: &BTreeMap<String, f64>) -> String {
    let daemon = &status.daemon;
    let rate = |name: &str| rates.get(name).copied().unwrap_or(0.0);
    let mut text = format!(
        "transom {}  {} memory  {} containers  {} mounts  {} disks  {} views\n",
        daemon.version,
        daemon::show_size(daemon.memory),
        status.containers.len(),
        status.mounts.len(),
        status.block_devices.len(),
        daemon.views
    );
    let opcodes = rates
        .iter()
        .filter(|(name, rate)| !name.contains('/') && **rate > 0.0);
    let opcodes: Vec<_> = opcodes
        .map(|(name, rate)| format!("{name} {rate:.0}"))
        .collect();
    text += &format!("requests/s: {}\n\n", opcodes.join("  "));
    let mut volumes: Vec<_> = status.volumes.iter().collect();
    volumes.sort_by(|one, other| rate(&other.id).total_cmp(&rate(&one.id)));
    let mut table = Table::new();
    let head = ["REQUESTS/S", "REQUESTS", "MOUNTS", "NAME", "VOLUME"];
    table.load_style(presets::NOTHING).set_header(head);
    for volume in volumes {
        table.add_row([
            format!("{:.0}", rate(&volume.id)),
            volume.requests.values().sum::<u64>().to_string(),
            volume.mounts.to_string(),
            volume.name.clone(),
            volume.id.clone(),
        ]);
    }
    text += &table.to_string();
    if !status.tasks.is_empty() {
        text += &format!("\n\n{}", task::table(&status.tasks));
    }
    text
}

/// Waits for the time of the next look; true if `q` was typed meanwhile.
fn wants_to_quit(delay: Duration) -> io::Result<bool> {
    let stdin = io::stdin();
    if !stdin.is_terminal() {
        std::thread::sleep(delay);
        return Ok(false);
    }
    let mut typed = [PollFd::new(&stdin, PollFlags::IN)];
    let timeout = Timespec::try_from(delay).ok();
    match poll(&mut typed, timeout.as_ref()) {
        Ok(0) | Err(rustix::io::Errno::INTR) => Ok(false),
        Ok(_) => {
            let mut line = String::new();
            // At the end of the input nobody can type `q`.
            Ok(stdin.read_line(&mut line)? == 0 || line.trim() == "q")
        }
        Err(error) => Err(error.into()),
    }
}
