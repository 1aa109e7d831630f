use std::sync::Arc;

use super::calls::{
    CancelTask, Cleanup, CleanupReply, ContainerReply, Counters, CountersReply, CreateVolume,
    Events, EventsReply, ListModules, ListModulesReply, Load, Mount, MountReply, Offer, OfferReply,
    PauseTask, Probe, ProbeReply, PublishBlock, PublishBlockReply, RemoveVolume, RenameVolume,
    ResizeVolume, ResumeTask, SetCacheBudget, SetCacheBudgetReply, StartCheck, StartFormat,
    StartJob, Status, StatusReply, Synchronize, TaskReply, Unload, Unmount, VolumeReply, WatchTask,
    WatchTaskReply, WithdrawBlock,
};
use super::{INTERFACE, INTERFACE_TEXT, Result};
use crate::method::Empty;
use crate::{ConnectionId, Exchange, Interface, Stream};

/// What answers the calls of `io.transom.Host`. Calls come from as many threads
/// as there are clients.
#[expect(missing_docs, reason = "the interface file says what each method does")]
pub trait HostService: Send + Sync + 'static {
    fn list_modules(&self, exchange: &mut Exchange, call: ListModules) -> Result<ListModulesReply>;
    fn probe(&self, exchange: &mut Exchange, call: Probe) -> Result<ProbeReply>;
    fn load(&self, exchange: &mut Exchange, call: Load) -> Result<ContainerReply>;
    fn offer(&self, exchange: &mut Exchange, call: Offer) -> Result<OfferReply>;
    fn unload(&self, exchange: &mut Exchange, call: Unload) -> Result<Empty>;
    fn synchronize(&self, exchange: &mut Exchange, call: Synchronize) -> Result<Empty>;
    fn set_cache_budget(
        &self,
        exchange: &mut Exchange,
        call: SetCacheBudget,
    ) -> Result<SetCacheBudgetReply>;
    fn status(&self, exchange: &mut Exchange, call: Status) -> Result<StatusReply>;
    fn mount(&self, exchange: &mut Exchange, call: Mount) -> Result<MountReply>;
    fn unmount(&self, exchange: &mut Exchange, call: Unmount) -> Result<Empty>;
    fn create_volume(&self, exchange: &mut Exchange, call: CreateVolume) -> Result<VolumeReply>;
    fn rename_volume(&self, exchange: &mut Exchange, call: RenameVolume) -> Result<VolumeReply>;
    fn resize_volume(&self, exchange: &mut Exchange, call: ResizeVolume) -> Result<VolumeReply>;
    fn remove_volume(&self, exchange: &mut Exchange, call: RemoveVolume) -> Result<Empty>;
    fn counters(&self, exchange: &mut Exchange, call: Counters) -> Result<CountersReply>;
    fn publish_block(
        &self,
        exchange: &mut Exchange,
        call: PublishBlock,
    ) -> Result<PublishBlockReply>;
    fn withdraw_block(&self, exchange: &mut Exchange, call: WithdrawBlock) -> Result<Empty>;
    fn start_job(&self, exchange: &mut Exchange, call: StartJob) -> Result<TaskReply>;
    fn start_check(&self, exchange: &mut Exchange, call: StartCheck) -> Result<TaskReply>;
    fn start_format(&self, exchange: &mut Exchange, call: StartFormat) -> Result<TaskReply>;
    fn pause_task(&self, exchange: &mut Exchange, call: PauseTask) -> Result<TaskReply>;
    fn resume_task(&self, exchange: &mut Exchange, call: ResumeTask) -> Result<TaskReply>;
    fn cancel_task(&self, exchange: &mut Exchange, call: CancelTask) -> Result<TaskReply>;
    fn watch_task(
        &self,
        exchange: &mut Exchange,
        call: WatchTask,
    ) -> Result<Stream<WatchTaskReply, super::Error>>;
    fn events(
        &self,
        exchange: &mut Exchange,
        call: Events,
    ) -> Result<Stream<EventsReply, super::Error>>;
    fn cleanup(&self, exchange: &mut Exchange, call: Cleanup) -> Result<CleanupReply>;

    /// A connection is over, and with it what was to live as long.
    fn connection_ended(&self, connection: ConnectionId) {
        let _ = connection;
    }
}

/// The interface, answered by `service`.
#[must_use]
pub fn interface<S: HostService>(service: Arc<S>) -> Interface {
    Interface::builder(INTERFACE, INTERFACE_TEXT, service)
        .method(S::list_modules)
        .method(S::probe)
        .method(S::load)
        .method(S::offer)
        .method(S::unload)
        .method(S::synchronize)
        .method(S::set_cache_budget)
        .method(S::status)
        .method(S::mount)
        .method(S::unmount)
        .method(S::create_volume)
        .method(S::rename_volume)
        .method(S::resize_volume)
        .method(S::remove_volume)
        .method(S::counters)
        .method(S::publish_block)
        .method(S::withdraw_block)
        .method(S::start_job)
        .method(S::start_check)
        .method(S::start_format)
        .method(S::pause_task)
        .method(S::resume_task)
        .method(S::cancel_task)
        .stream(S::watch_task)
        .stream(S::events)
        .method(S::cleanup)
        .at_end(S::connection_ended)
        .build()
}
