//! Everything at once.

use transom_control::Exchange;
use transom_control::host::{self, Result, Status, StatusReply};
use transom_host::VolumeId;

use super::{blocks, containers, tasks, wire};
use crate::Daemon;

pub(super) fn status(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &Status,
) -> Result<StatusReply> {
    let caller = daemon.caller(exchange.peer());
    let only = call
        .container
        .as_ref()
        .map(|text| containers::find(daemon, &caller, text))
        .transpose()?;
    let mut reply = StatusReply {
        daemon: about_daemon(daemon),
        containers: Vec::new(),
        volumes: Vec::new(),
        mounts: Vec::new(),
        block_devices: Vec::new(),
        tasks: Vec::new(),
    };
    for status in daemon.host.status() {
        let about = &status.about;
        let is_asked = only.is_none_or(|only| only == about.id);
        if !is_asked || !caller.sees(about.owner) {
            continue;
        }
        reply.containers.push(wire::container(&status));
        for volume in &status.volumes {
            let id = VolumeId {
                container: about.id,
                key: volume.key.clone(),
            };
            reply.volumes.push(wire::volume(&id, volume));
            let mounts = volume.mounted.iter().flat_map(|mounted| &mounted.mounts);
            let mounts = mounts.map(|mount| wire::mount(&id, mount));
            reply.mounts.extend(mounts);
        }
    }
    for published in daemon.host.published() {
        let is_asked = only.is_none_or(|only| only == published.volume.container);
        if is_asked && caller.sees(published.owner) {
            reply.block_devices.push(blocks::described(&published));
        }
    }
    for info in daemon.host.tasks().list() {
        let is_asked = only.is_none() || only == info.order.about.container;
        if is_asked && caller.sees(info.order.owner) {
            reply.tasks.push(tasks::described(&info));
        }
    }
    Ok(reply)
}

fn about_daemon(daemon: &Daemon) -> host::Daemon {
    host::Daemon {
        version: daemon.version().into(),
        pid: std::process::id(),
        started: wire::moment(daemon.started),
        memory: resident_bytes().unwrap_or(0),
        views: daemon.views() as u64,
    }
}

/// The memory of this process that is resident: `/proc/self/statm`, in pages.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
