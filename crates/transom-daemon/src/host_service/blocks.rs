//! Block volumes: published and withdrawn.

use transom_block::Withdrawal;
use transom_control::host::{
    BlockDevice, BlockKind as WireKind, PublishBlock, PublishBlockReply, Result, WithdrawBlock,
};
use transom_control::{Bytes, Empty, Exchange};
use transom_host::{BlockKind, BlockStatus};

use super::errors::{not_found, refused, refused_or_busy};
use super::volumes;
use crate::{Action, Daemon};

pub(super) fn publish(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &PublishBlock,
) -> Result<PublishBlockReply> {
    let caller = daemon.caller(exchange.peer());
    let (volume, _) = volumes::find(daemon, &caller, &call.volume)?;
    caller.require(Action::Block)?;
    let kind = match call.kind {
        None | Some(WireKind::Loop) => BlockKind::Loop,
        Some(WireKind::Nbd) => BlockKind::Nbd,
        Some(WireKind::Ublk) => BlockKind::Ublk,
    };
    let published = daemon
        .host
        .publish(&volume, kind, call.read_only, caller.uid())
        .map_err(|error| refused(&error))?;
    Ok(PublishBlockReply {
        device: described(&published),
    })
}

pub(super) fn withdraw(
    daemon: &Daemon,
    exchange: &mut Exchange,
    call: &WithdrawBlock,
) -> Result<Empty> {
    let caller = daemon.caller(exchange.peer());
    let all = daemon.host.published();
    let is_meant =
        |published: &&BlockStatus| published.name == call.device && caller.sees(published.owner);
    let Some(published) = all.iter().find(is_meant) else {
        return Err(not_found("block device", &call.device));
    };
    caller.check_steers(published.owner)?;
    let how = match call.force {
        true => Withdrawal::Forced,
        false => Withdrawal::IfUnused,
    };
    daemon
        .host
        .withdraw(&published.volume, published.kind, how)
        .map_err(|error| refused_or_busy(&error, Vec::new()))?;
    Ok(Empty {})
}

/// A published block volume as the wire has it. It is called by its path.
pub(super) fn described(published: &BlockStatus) -> BlockDevice {
    BlockDevice {
        id: published.name.clone(),
        volume: published.volume.to_string(),
        kind: match published.kind {
            BlockKind::Loop => WireKind::Loop,
            BlockKind::Nbd => WireKind::Nbd,
            BlockKind::Ublk => WireKind::Ublk,
        },
        path: Bytes::from(&published.path),
        bytes: published.bytes,
        read_only: published.read_only,
        owner: published.owner,
    }
}
