//! `io.transom.Host`, answered.

mod blocks;
mod containers;
mod errors;
mod events;
mod places;
mod status;
mod tasks;
mod volumes;
mod wire;

use transom_control::host::{
    CancelTask, Cleanup, CleanupReply, ContainerReply, Counters, CountersReply, CreateVolume,
    Error, Events, EventsReply, HostService, ListModules, ListModulesReply, Load, Mount,
    MountReply, Offer, OfferReply, PauseTask, Probe, ProbeReply, PublishBlock, PublishBlockReply,
    RemoveVolume, RenameVolume, ResizeVolume, Result, ResumeTask, SetCacheBudget,
    SetCacheBudgetReply, StartCheck, StartFormat, StartJob, Status, StatusReply, Synchronize,
    TaskReply, Unload, Unmount, VolumeReply, WatchTask, WatchTaskReply, WithdrawBlock,
};
use transom_control::{Empty, Exchange, Stream};
use transom_host::{Maintenance, Tasks};

use crate::{Action, Daemon};

/// Each method is a function of the file that its subject has.
impl HostService for Daemon {
    fn list_modules(&self, _: &mut Exchange, _: ListModules) -> Result<ListModulesReply> {
        containers::list_modules(self)
    }

    fn probe(&self, exchange: &mut Exchange, call: Probe) -> Result<ProbeReply> {
        containers::probe(self, exchange, &call)
    }

    fn load(&self, exchange: &mut Exchange, call: Load) -> Result<ContainerReply> {
        containers::load(self, exchange, call)
    }

    fn offer(&self, exchange: &mut Exchange, call: Offer) -> Result<OfferReply> {
        containers::offer(self, exchange, &call)
    }

    fn unload(&self, exchange: &mut Exchange, call: Unload) -> Result<Empty> {
        containers::unload(self, exchange, &call)
    }

    fn synchronize(&self, exchange: &mut Exchange, call: Synchronize) -> Result<Empty> {
        containers::synchronize(self, exchange, &call)
    }

    fn status(&self, exchange: &mut Exchange, call: Status) -> Result<StatusReply> {
        status::status(self, exchange, &call)
    }

    fn mount(&self, exchange: &mut Exchange, call: Mount) -> Result<MountReply> {
        volumes::mount(self, exchange, &call)
    }

    fn unmount(&self, exchange: &mut Exchange, call: Unmount) -> Result<Empty> {
        volumes::unmount(self, exchange, &call)
    }

    fn create_volume(&self, exchange: &mut Exchange, call: CreateVolume) -> Result<VolumeReply> {
        volumes::create(self, exchange, &call)
    }

    fn rename_volume(&self, exchange: &mut Exchange, call: RenameVolume) -> Result<VolumeReply> {
        volumes::rename(self, exchange, &call)
    }

    fn resize_volume(&self, exchange: &mut Exchange, call: ResizeVolume) -> Result<VolumeReply> {
        volumes::resize(self, exchange, &call)
    }

    fn remove_volume(&self, exchange: &mut Exchange, call: RemoveVolume) -> Result<Empty> {
        volumes::remove(self, exchange, &call)
    }

    fn counters(&self, exchange: &mut Exchange, call: Counters) -> Result<CountersReply> {
        volumes::counters(self, exchange, &call)
    }

    fn start_job(&self, exchange: &mut Exchange, call: StartJob) -> Result<TaskReply> {
        tasks::start_job(self, exchange, call)
    }

    fn start_check(&self, exchange: &mut Exchange, call: StartCheck) -> Result<TaskReply> {
        let what = Maintenance::Check;
        tasks::maintain(
            self,
            exchange,
            what,
            &call.module,
            &call.resources,
            call.options,
        )
    }

    fn start_format(&self, exchange: &mut Exchange, call: StartFormat) -> Result<TaskReply> {
        let what = Maintenance::Format;
        tasks::maintain(
            self,
            exchange,
            what,
            &call.module,
            &call.resources,
            call.options,
        )
    }

    fn pause_task(&self, exchange: &mut Exchange, call: PauseTask) -> Result<TaskReply> {
        tasks::steer(self, exchange, &call.task, Tasks::pause)
    }

    fn resume_task(&self, exchange: &mut Exchange, call: ResumeTask) -> Result<TaskReply> {
        tasks::steer(self, exchange, &call.task, Tasks::resume)
    }

    fn cancel_task(&self, exchange: &mut Exchange, call: CancelTask) -> Result<TaskReply> {
        tasks::steer(self, exchange, &call.task, Tasks::cancel)
    }

    fn watch_task(
        &self,
        exchange: &mut Exchange,
        call: WatchTask,
    ) -> Result<Stream<WatchTaskReply, Error>> {
        tasks::watch(self, exchange, &call)
    }

    fn events(&self, exchange: &mut Exchange, call: Events) -> Result<Stream<EventsReply, Error>> {
        events::events(self, exchange, &call)
    }

    fn set_cache_budget(
        &self,
        exchange: &mut Exchange,
        call: SetCacheBudget,
    ) -> Result<SetCacheBudgetReply> {
        containers::set_cache_budget(self, exchange, &call)
    }

    fn publish_block(
        &self,
        exchange: &mut Exchange,
        call: PublishBlock,
    ) -> Result<PublishBlockReply> {
        blocks::publish(self, exchange, &call)
    }

    fn withdraw_block(&self, exchange: &mut Exchange, call: WithdrawBlock) -> Result<Empty> {
        blocks::withdraw(self, exchange, &call)
    }

    fn cleanup(&self, exchange: &mut Exchange, _: Cleanup) -> Result<CleanupReply> {
        self.caller(exchange.peer()).require(Action::SteerOthers)?;
        Ok(CleanupReply {
            removed: self.host.clean_up(),
        })
    }
}
