//! Modules, and containers from their probing to their end.

use transom_control::host::{
    Container, ContainerReply, Finding, ListModulesReply, Load, Membership, Offer, OfferReply,
    Probe, ProbeReply, Result, SetCacheBudget, SetCacheBudgetReply, Synchronize, Unload, Verdict,
};
use transom_control::{Empty, Exchange};
use transom_host::{About, State};
use transom_module::{self as module, ContainerId};

use super::errors::{invalid, not_found, not_ready, refused, refused_or_busy};
use super::{places, wire};
use crate::caller::Caller;
use crate::{Action, Daemon};

pub(super) fn list_modules(daemon: &Daemon) -> Result<ListModulesReply> {
    let host = &daemon.host;
    let modules = host.modules().manifests().map(|manifest| {
        let enabled = host.enablement().is_enabled(manifest.name);
        let maintains = host.modules().maintains(manifest.name);
        Ok(wire::module(
            &manifest,
            enabled.map_err(|error| refused(&error))?,
            maintains,
        ))
    });
    Ok(ListModulesReply {
        modules: modules.collect::<Result<_>>()?,
    })
}

pub(super) fn probe(daemon: &Daemon, exchange: &mut Exchange, call: &Probe) -> Result<ProbeReply> {
    let peer = exchange.peer().clone();
    let caller = daemon.caller(&peer);
    let module = call.module.as_deref();
    let resources = places::resources(
        &daemon.host,
        &caller,
        exchange,
        module,
        &call.resources,
        true,
    )?;
    let found = daemon
        .host
        .probe(module, &resources)
        .map_err(|error| refused(&error))?;
    let findings = found.into_iter().map(|found| Finding {
        resource: u32::try_from(found.resource).unwrap_or(u32::MAX),
        module: found.module.into(),
        verdict: match found.probe {
            module::Probe::NotRecognized => Verdict::NotRecognized,
            module::Probe::Alone => Verdict::Alone,
            module::Probe::Member(_) => Verdict::Member,
        },
        membership: match found.probe {
            module::Probe::Member(member) => Some(Membership {
                container: member.container.to_string(),
                name: member.name,
                index: member.index,
                of: member.of,
                enough: member.enough,
                missing: found.missing,
            }),
            _ => None,
        },
    });
    Ok(ProbeReply {
        findings: findings.collect(),
    })
}

pub(super) fn load(
    daemon: &Daemon,
    exchange: &mut Exchange,
    mut call: Load,
) -> Result<ContainerReply> {
    let peer = exchange.peer().clone();
    let caller = daemon.caller(&peer);
    caller.require(Action::Load)?;
    let host = &daemon.host;
    let options = wire::load_options(&mut call);
    let resources = places::resources(
        host,
        &caller,
        exchange,
        call.module.as_deref(),
        &call.resources,
        call.read_only,
    )?;
    let module = match call.module {
        Some(module) => module,
        None => host
            .recognize(&resources)
            .map_err(|error| refused(&error))?
            .into(),
    };
    let container = host
        .load(transom_host::Load {
            module: &module,
            resources,
            options,
            force: call.force,
            owner: caller.uid(),
            cache_bytes: call.cache_budget,
        })
        .map_err(|error| refused(&error))?;
    reply(daemon, container)
}

pub(super) fn offer(daemon: &Daemon, exchange: &mut Exchange, call: &Offer) -> Result<OfferReply> {
    let peer = exchange.peer().clone();
    let caller = daemon.caller(&peer);
    let host = &daemon.host;
    let resources = places::resources(host, &caller, exchange, None, &call.resources, false)?;
    let mut containers = Vec::new();
    for resource in resources {
        let may = |about: &About| caller.check_steers(about.owner).is_ok();
        if let Some(container) = host.offer(resource, may).map_err(|error| refused(&error))? {
            containers.push(described(daemon, container)?);
        }
    }
    Ok(OfferReply { containers })
}

pub(super) fn unload(daemon: &Daemon, exchange: &mut Exchange, call: &Unload) -> Result<Empty> {
    let caller = daemon.caller(exchange.peer());
    let container = find(daemon, &caller, &call.container)?;
    if let Some(status) = daemon.host.status_of(container) {
        caller.check_steers(status.about.owner)?;
    }
    let how = match call.force {
        true => transom_host::Unmount::Abort,
        false => transom_host::Unmount::Orderly,
    };
    daemon
        .host
        .unload(container, how)
        .map_err(|error| refused_or_busy(&error, holders(daemon, container)))?;
    Ok(Empty {})
}

pub(super) fn synchronize(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &Synchronize,
) -> Result<Empty> {
    let container = find_ready(daemon, &daemon.caller(exchange.peer()), &call.container)?;
    daemon
        .host
        .synchronize(container)
        .map_err(|error| refused(&error))?;
    Ok(Empty {})
}

pub(super) fn set_cache_budget(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &SetCacheBudget,
) -> Result<SetCacheBudgetReply> {
    let container = find_ready(daemon, &daemon.caller(exchange.peer()), &call.container)?;
    let limited = daemon.host.limit_cache(container, call.bytes);
    limited.map_err(|error| refused(&error))?;
    let cache = described(daemon, container)?.cache;
    let cache = cache.ok_or_else(|| not_found("cache of", &call.container))?;
    Ok(SetCacheBudgetReply { cache })
}

/// The container that the caller means, if it may see it.
pub(super) fn find(daemon: &Daemon, caller: &Caller<'_>, text: &str) -> Result<ContainerId> {
    let is_theirs = |about: &About| caller.sees(about.owner);
    let mut found = daemon.host.find(text, is_theirs);
    match (found.pop(), found.pop()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(not_found("container", text)),
        (Some(one), Some(other)) => Err(invalid(format!(
            "`{text}` may be {other} or {one}: say which by its id"
        ))),
    }
}

/// The same, if the caller may steer it and it is loaded.
pub(super) fn find_ready(daemon: &Daemon, caller: &Caller<'_>, text: &str) -> Result<ContainerId> {
    let container = find(daemon, caller, text)?;
    match daemon.host.status_of(container) {
        Some(status) => {
            let about = status.about;
            caller.check_steers(about.owner)?;
            not_ready(status.state, about.missing, &about.name).map_or(Ok(container), Err)
        }
        None => Err(not_found("container", text)),
    }
}

pub(super) fn described(daemon: &Daemon, container: ContainerId) -> Result<Container> {
    let status = daemon.host.status_of(container);
    let status = status.ok_or_else(|| not_found("container", &container.to_string()))?;
    Ok(wire::container(&status))
}

fn reply(daemon: &Daemon, container: ContainerId) -> Result<ContainerReply> {
    let container = described(daemon, container)?;
    Ok(ContainerReply { container })
}

/// What uses a container, for people.
pub(super) fn holders(daemon: &Daemon, container: ContainerId) -> Vec<String> {
    let Some(status) = daemon.host.status_of(container) else {
        return Vec::new();
    };
    let mut holders = Vec::new();
    if status.state == State::NotReady {
        holders.push("its own loading or unloading".into());
    }
    for volume in status.volumes {
        let Some(mounted) = volume.mounted else {
            continue;
        };
        if mounted.mounts.is_empty() {
            holders.push(format!(
                "`{}`, unmounted, by its open files or a view that was made before",
                volume.key
            ));
        }
        for mount in mounted.mounts {
            holders.push(match mount.attachment {
                Some(attachment) => format!("the mount at `{}`", attachment.path().display()),
                None => format!("a mount of `{}` that was handed out", volume.key),
            });
        }
    }
    let disks = daemon.host.published().into_iter();
    let disks = disks.filter(|disk| disk.volume.container == container);
    holders.extend(disks.map(|disk| format!("the disk `{}`", disk.name)));
    holders
}
