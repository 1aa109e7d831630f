//! Volumes: made, mounted, unmounted, removed.

use transom_control::host::{
    Counters, CountersReply, CreateVolume, Mount, MountReply, RemoveVolume, RenameVolume,
    ResizeVolume, Result, Unmount, UnmountMode, VolumeReply,
};
use transom_control::{Empty, Exchange};
use transom_fuse::Options;
use transom_host::{About, Hold, VolumeId, VolumeStatus};
use transom_module::ContainerId;

use super::containers::{find_ready, holders};
use super::errors::{invalid, not_found, refused, refused_or_busy};
use super::{places, wire};
use crate::caller::Caller;
use crate::daemon::items_max;
use crate::mount_attributes::attributes;
use crate::{Action, Daemon};

pub(super) fn mount(daemon: &Daemon, exchange: &mut Exchange, call: &Mount) -> Result<MountReply> {
    let peer = exchange.peer().clone();
    let caller = daemon.caller(&peer);
    caller.require(Action::Mount)?;
    let (volume, _) = find(daemon, &caller, &call.volume)?;
    let target = call
        .target
        .as_ref()
        .map(|place| places::target(&caller, exchange, place))
        .transpose()?;
    let about = about(daemon, volume.container)?;
    let mounted_elsewhere = daemon.host.mounted_volumes();
    let options = Options {
        source: about.name.clone(),
        read_only: call.read_only || about.read_only,
        attributes: attributes(&call.options, caller.is_root()).map_err(invalid)?,
        items_max: items_max(mounted_elsewhere),
        ..Options::default()
    };
    let mounted = daemon
        .host
        .mount(&volume, &options, Hold::UntilUnmounted, caller.uid())
        .map_err(|error| refused(&error))?;
    let id = mounted.id();
    let descriptor = match target {
        Some(target) => {
            mounted.attach(target).map_err(|error| refused(&error))?;
            None
        }
        None => Some(exchange.give(mounted.mount)),
    };
    let status = status(daemon, &volume)?;
    let mounts = status.mounted.iter().flat_map(|mounted| &mounted.mounts);
    let mount = mounts.clone().find(|mount| mount.id == id);
    let mount = mount.ok_or_else(|| not_found("mount", &id.to_string()))?;
    Ok(MountReply {
        mount: wire::mount(&volume, mount),
        descriptor,
    })
}

pub(super) fn unmount(daemon: &Daemon, exchange: &mut Exchange, call: &Unmount) -> Result<Empty> {
    let caller = daemon.caller(exchange.peer());
    let how = match call.mode {
        UnmountMode::Orderly => transom_host::Unmount::Orderly,
        UnmountMode::Detach => transom_host::Unmount::Detach,
        UnmountMode::Abort => transom_host::Unmount::Abort,
    };
    match (&call.volume, &call.mount) {
        (Some(text), None) => {
            let (volume, _) = find(daemon, &caller, text)?;
            daemon
                .host
                .unmount(&volume, how)
                .map_err(|error| refused_or_busy(&error, holders(daemon, volume.container)))?;
        }
        (None, Some(text)) => {
            let (volume, mount) = find_mount(daemon, &caller, text)?;
            daemon
                .host
                .unmount_one(&volume, mount, how)
                .map_err(|error| refused_or_busy(&error, Vec::new()))?;
        }
        _ => return Err(invalid("a mount is named, or a volume, and not both")),
    }
    Ok(Empty {})
}

pub(super) fn create(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &CreateVolume,
) -> Result<VolumeReply> {
    let container = find_ready(daemon, &daemon.caller(exchange.peer()), &call.container)?;
    let volume = daemon
        .host
        .create_volume(container, &call.name, call.bytes)
        .map_err(|error| refused(&error))?;
    reply(daemon, &volume)
}

pub(super) fn rename(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &RenameVolume,
) -> Result<VolumeReply> {
    let (volume, _) = find(daemon, &daemon.caller(exchange.peer()), &call.volume)?;
    let renamed = daemon.host.rename_volume(&volume, &call.name);
    renamed.map_err(|error| refused(&error))?;
    reply(daemon, &volume)
}

pub(super) fn resize(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &ResizeVolume,
) -> Result<VolumeReply> {
    let (volume, _) = find(daemon, &daemon.caller(exchange.peer()), &call.volume)?;
    let resized = daemon.host.resize_volume(&volume, call.bytes);
    resized.map_err(|error| refused(&error))?;
    reply(daemon, &volume)
}

pub(super) fn remove(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &RemoveVolume,
) -> Result<Empty> {
    let (volume, _) = find(daemon, &daemon.caller(exchange.peer()), &call.volume)?;
    let removed = daemon.host.remove_volume(&volume);
    removed.map_err(|error| refused_or_busy(&error, holders(daemon, volume.container)))?;
    Ok(Empty {})
}

pub(super) fn counters(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &Counters,
) -> Result<CountersReply> {
    let (_, status) = find(daemon, &daemon.caller(exchange.peer()), &call.volume)?;
    let mounted = status
        .mounted
        .ok_or_else(|| invalid(format!("`{}` is not mounted", call.volume)))?;
    Ok(CountersReply {
        counters: wire::counters(&mounted.statistics),
    })
}

/// The volume that the caller means, if it is the caller's: `CONTAINER/KEY`,
/// where both may be names, or the container alone, if it has only one volume.
pub(super) fn find(
    daemon: &Daemon,
    caller: &Caller<'_>,
    text: &str,
) -> Result<(VolumeId, VolumeStatus)> {
    let volumes_of = |container: &str| {
        let container = find_ready(daemon, caller, container)?;
        let volumes = daemon
            .host
            .volumes(container)
            .map_err(|error| refused(&error))?;
        Ok::<_, transom_control::host::Error>((container, volumes))
    };
    let id = |container, status: VolumeStatus| {
        let key = status.key.clone();
        (VolumeId { container, key }, status)
    };
    if let Some((container, wanted)) = text.rsplit_once('/')
        && let Ok((container, volumes)) = volumes_of(container)
    {
        let by_key = volumes.iter().position(|volume| volume.key == wanted);
        let by_name = || volumes.iter().position(|volume| volume.name == wanted);
        if let Some(position) = by_key.or_else(by_name) {
            let found = volumes.into_iter().nth(position);
            return found
                .map(|volume| id(container, volume))
                .ok_or_else(|| not_found("volume", text));
        }
    }
    match volumes_of(text) {
        Ok((container, mut volumes)) if volumes.len() == 1 => volumes
            .pop()
            .map(|volume| id(container, volume))
            .ok_or_else(|| not_found("volume", text)),
        Ok((_, volumes)) => Err(invalid(format!(
            "`{text}` has {} volumes: say which, as in `{text}/NAME`",
            volumes.len()
        ))),
        Err(transom_control::host::Error::NotFound { .. }) => Err(not_found("volume", text)),
        Err(error) => Err(error),
    }
}

/// The mount of that number, if it is the caller's.
fn find_mount(daemon: &Daemon, caller: &Caller<'_>, text: &str) -> Result<(VolumeId, u64)> {
    let missing = || not_found("mount", text);
    let wanted: u64 = text.parse().map_err(|_| missing())?;
    for container in daemon.host.status() {
        for volume in container.volumes {
            let mounts = volume.mounted.iter().flat_map(|mounted| &mounted.mounts);
            let steers = |owner: u32| caller.check_steers(owner).is_ok();
            let is_it = |owner: u32| steers(owner) || steers(container.about.owner);
            if mounts
                .clone()
                .any(|mount| mount.id == wanted && is_it(mount.owner))
            {
                let id = VolumeId {
                    container: container.about.id,
                    key: volume.key,
                };
                return Ok((id, wanted));
            }
        }
    }
    Err(missing())
}

fn about(daemon: &Daemon, container: ContainerId) -> Result<About> {
    daemon
        .host
        .status_of(container)
        .map(|status| status.about)
        .ok_or_else(|| not_found("container", &container.to_string()))
}

fn status(daemon: &Daemon, volume: &VolumeId) -> Result<VolumeStatus> {
    let volumes = daemon
        .host
        .volumes(volume.container)
        .map_err(|error| refused(&error))?;
    let found = volumes.into_iter().find(|status| status.key == volume.key);
    found.ok_or_else(|| not_found("volume", &volume.to_string()))
}

fn reply(daemon: &Daemon, volume: &VolumeId) -> Result<VolumeReply> {
    let status = status(daemon, volume)?;
    Ok(VolumeReply {
        volume: wire::volume(volume, &status),
    })
}
