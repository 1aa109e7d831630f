//! Values of the host as the wire has them.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use transom_control::Bytes;
use transom_control::host as wire;
use transom_fuse::Statistics;
use transom_host::{ContainerStatus, Mount, State, VolumeId, VolumeStatus};
use transom_module::{AccessTimes, LoadOptions, ModuleManifest, ResourceKind};

pub(super) fn kind(kind: ResourceKind) -> wire::ResourceKind {
    match kind {
        ResourceKind::Directory => wire::ResourceKind::Directory,
        ResourceKind::File => wire::ResourceKind::File,
        ResourceKind::BlockDevice => wire::ResourceKind::BlockDevice,
    }
}

pub(super) fn module(manifest: &ModuleManifest, enabled: bool, maintains: bool) -> wire::Module {
    wire::Module {
        name: manifest.name.into(),
        version: manifest.version.into(),
        summary: manifest.summary.into(),
        enabled,
        resources: manifest.resources.iter().copied().map(kind).collect(),
        options: choices(manifest.options),
        capabilities: manifest
            .capabilities
            .iter()
            .copied()
            .map(Into::into)
            .collect(),
        maintains,
    }
}

pub(super) fn choices(choices: &[(&str, &str)]) -> Vec<wire::Choice> {
    choices
        .iter()
        .map(|(name, summary)| wire::Choice {
            name: (*name).into(),
            summary: (*summary).into(),
        })
        .collect()
}

pub(super) fn settings(settings: Vec<wire::Setting>) -> Vec<(String, Option<String>)> {
    settings
        .into_iter()
        .map(|setting| (setting.name, setting.value))
        .collect()
}

pub(super) fn load_options(call: &mut wire::Load) -> LoadOptions {
    LoadOptions {
        read_only: call.read_only,
        degraded: call.degraded,
        access_times: call.access_times.map(|times| match times {
            wire::AccessTimes::Relative => AccessTimes::Relative,
            wire::AccessTimes::Never => AccessTimes::Never,
            wire::AccessTimes::Always => AccessTimes::Always,
        }),
        named: settings(std::mem::take(&mut call.options)),
    }
}

pub(super) fn state(state: State) -> wire::ContainerState {
    match state {
        State::NotReady => wire::ContainerState::NotReady,
        State::Blocked => wire::ContainerState::Blocked,
        State::Ready => wire::ContainerState::Ready,
        State::Active => wire::ContainerState::Active,
    }
}

pub(super) fn container(status: &ContainerStatus) -> wire::Container {
    let about = &status.about;
    wire::Container {
        id: about.id.to_string(),
        module: about.module.clone(),
        name: about.name.clone(),
        state: state(status.state),
        resources: about
            .members
            .iter()
            .map(|member| wire::Member {
                kind: kind(member.kind),
                path: Bytes::from(&member.path),
                index: member.index,
            })
            .collect(),
        missing: about.missing.clone(),
        degraded: status.state != State::Blocked && !about.missing.is_empty(),
        read_only: about.read_only,
        trouble: status.trouble.clone(),
        owner: about.owner,
        manages_volumes: status.manages_volumes,
        jobs: choices(&status.jobs),
        cache: status.cache.map(|cache| wire::Cache {
            budget: cache.limit,
            used: cache.used,
            wanted: cache.wanted,
        }),
    }
}

pub(super) fn volume(id: &VolumeId, status: &VolumeStatus) -> wire::Volume {
    let mounted = status.mounted.as_ref();
    wire::Volume {
        id: id.to_string(),
        container: id.container.to_string(),
        key: id.key.clone(),
        name: status.name.clone(),
        mountable: status.is_volume,
        publishable: status.is_block,
        mounts: mounted.map_or(0, |mounted| {
            u32::try_from(mounted.mounts.len()).unwrap_or(u32::MAX)
        }),
        passthrough: mounted.is_some_and(|mounted| mounted.passthrough),
        requests: mounted
            .map(|mounted| requests(&mounted.statistics))
            .unwrap_or_default(),
    }
}

pub(super) fn mount(volume: &VolumeId, mount: &Mount) -> wire::MountedVolume {
    wire::MountedVolume {
        id: mount.id.to_string(),
        volume: volume.to_string(),
        target: mount
            .attachment
            .as_ref()
            .map(|attachment| Bytes::from(attachment.path())),
        read_only: mount.read_only,
        owner: mount.owner,
    }
}

pub(super) fn counters(statistics: &Statistics) -> wire::RequestCounters {
    wire::RequestCounters {
        requests: requests(statistics),
        passthrough_opens: statistics.passthrough_opens,
        served_opens: statistics.served_opens,
        bytes_read: statistics.bytes_read,
        bytes_written: statistics.bytes_written,
        interrupted: statistics.interrupted,
        timed_out: statistics.timed_out,
    }
}

fn requests(statistics: &Statistics) -> BTreeMap<String, u64> {
    statistics
        .requests
        .iter()
        .map(|(opcode, count)| (format!("{opcode:?}").to_uppercase(), *count))
        .collect()
}

/// Microseconds since 1970.
pub(super) fn moment(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
