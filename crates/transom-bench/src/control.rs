//! How long a call of the control plane takes while others call, flood and do
//! not read.
//!
//! The server is one of ours with its smallest method, or any that listens at
//! a socket. `client` calls it, `nuisance` are the others.

mod client;
mod nuisance;
mod report;

use std::io::{Write, stderr};
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use transom_control::{Admission, Permission, Server, Services, Socket};

use crate::arguments::MeasureArguments;
use crate::machine::Machine;
use crate::statistics::Distribution;
use client::{Call, Client};
use nuisance::Nuisances;
use report::PartReport;

pub(crate) use report::Report;

/// How many clients call at once.
const CLIENTS: usize = 200;

/// Clients of each kind of nuisance. With the others they are fewer than a user
/// may have connected to a daemon.
const NUISANCES: usize = 10;

/// What is measured: its name, how many clients call, and how many nuisances of
/// each kind there are.
const PARTS: [(&str, usize, usize); 3] = [
    ("alone", 1, 0),
    ("many", CLIENTS, 0),
    ("mixed", CLIENTS, NUISANCES),
];

/// The names of what can be measured.
pub(crate) fn parts() -> Vec<&'static str> {
    PARTS.iter().map(|(name, ..)| *name).collect()
}

/// Measures what is wanted.
pub(crate) fn run(arguments: &MeasureArguments, mut machine: Machine) -> Result<Report> {
    let call = Call::new(&arguments.method, &arguments.parameters)?;
    let own = match arguments.socket {
        Some(_) => None,
        None => Some(OwnServer::start()?),
    };
    let path = match (&arguments.socket, &own) {
        (Some(path), _) => path,
        (None, Some(own)) => &own.path,
        (None, None) => unreachable!("one of them is there"),
    };
    let calls = CLIENTS * usize::try_from(arguments.rounds)?;
    let mut parts = Vec::new();
    for (name, clients, nuisances) in PARTS {
        if !arguments.wants(name) {
            continue;
        }
        let _ = writeln!(stderr(), "{name}");
        let _nuisances = Nuisances::start(path, &call, nuisances);
        let durations = measure(path, &call, clients, calls / clients)?;
        parts.push(PartReport {
            name,
            clients,
            calls: durations.len(),
            latency: Distribution::of(durations).context("nothing was measured")?,
        });
    }
    machine.note_end();
    Ok(Report {
        machine,
        method: arguments.method.clone(),
        parts,
    })
}

/// How long each call took that any of so many clients made.
fn measure(path: &Path, call: &Call, clients: usize, calls: usize) -> Result<Vec<Duration>> {
    let connect = |_| {
        let mut client = Client::connect(path)?;
        client.call(call).map(|_| client)
    };
    let clients: Vec<_> = (0..clients).map(connect).collect::<Result<_>>()?;
    let all_are_ready = Barrier::new(clients.len());
    let client = |mut client: Client| {
        all_are_ready.wait();
        (0..calls).map(|_| client.call(call)).collect()
    };
    thread::scope(|scope| {
        let client = &client;
        let running: Vec<_> = clients
            .into_iter()
            .map(|connected| scope.spawn(move || client(connected)))
            .collect();
        let mut durations = Vec::new();
        for client in running {
            let measured: Result<Vec<_>> =
                client.join().map_err(|_| anyhow!("a client panicked"))?;
            durations.extend(measured?);
        }
        Ok(durations)
    })
}

/// A server that answers nothing but what it answers.
struct OwnServer {
    path: PathBuf,
    _server: Server,
    _directory: tempfile::TempDir,
}

impl OwnServer {
    fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let path = directory.path().join("run/control");
        let socket = Socket::bind(&path, Permission::OurUser)?;
        Ok(Self {
            path,
            _server: Server::start(socket, Admission::SYSTEM, Services::new([]))?,
            _directory: directory,
        })
    }
}
