//! Long work: jobs of loaded containers, and the maintenance of resources.

use std::sync::Arc;
use std::time::Duration;

use transom_module::{
    Completed, ContainerId, Errno, Error, LoadOptions, Outcome, Resource, Result, Stop, Task,
};

use crate::erased::AnyModule;
use crate::loaded::Loaded;
use crate::{EventKind, Host, TaskId, TaskOrder, TaskSubject};

/// How long the tasks of a container may take to come to a checkpoint when it is
/// unloaded.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What is done with resources that are not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Maintenance {
    /// They are examined, as by fsck(8).
    Check,
    /// They are made loadable, as by mkfs(8).
    Format,
}

impl Maintenance {
    /// What the task is called.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Format => "format",
        }
    }
}

impl Host {
    /// Starts work of a kind that the container has. It goes on whether or not
    /// anything is mounted, and if the host ends and it has saved where it was,
    /// it goes on when the container is loaded again.
    ///
    /// `EOPNOTSUPP` if the container has no such work; besides, as
    /// [`Tasks::start`](crate::Tasks::start).
    pub fn start_job(
        &self,
        container: ContainerId,
        kind: &str,
        options: Vec<(String, Option<String>)>,
        owner: u32,
    ) -> Result<TaskId> {
        let loaded = self.loaded(container)?;
        let kinds = loaded.container.jobs().map_or(&[][..], |jobs| jobs.kinds());
        if !kinds.iter().any(|(name, _)| *name == kind) {
            let names: Vec<_> = kinds.iter().map(|(name, _)| *name).collect();
            let message = match names.is_empty() {
                true => format!("module `{}` has no long work to do", loaded.about.module),
                false => format!("there is no work `{kind}`; there is: {}", names.join(", ")),
            };
            return Err(Error::new(Errno::EOPNOTSUPP, message));
        }
        let order = TaskOrder {
            about: TaskSubject {
                container: Some(container),
                module: loaded.about.module.clone(),
                kind: kind.into(),
            },
            owner,
            options,
        };
        let kind = kind.to_owned();
        self.tasks()
            .start(order, move |task| job(&loaded, &kind, task))
    }

    /// Checks or formats resources. `EOPNOTSUPP` if the module does not; `EBUSY`
    /// if a container has one of them.
    pub fn start_maintenance(
        &self,
        what: Maintenance,
        module: &str,
        resources: Vec<Resource>,
        options: LoadOptions,
        owner: u32,
    ) -> Result<TaskId> {
        let module = self.modules().get_shared(module)?;
        self.require_enabled(module.manifest().name)?;
        if module.maintenance().is_none() {
            let message = format!(
                "module `{}` neither checks nor formats resources",
                module.manifest().name
            );
            return Err(Error::new(Errno::EOPNOTSUPP, message));
        }
        let order = TaskOrder {
            about: TaskSubject {
                container: None,
                module: module.manifest().name.into(),
                kind: what.name().into(),
            },
            owner,
            options: options.named.clone(),
        };
        self.tasks().start(order, move |task| {
            maintain(&*module, what, resources, &options, task)
        })
    }

    /// Starts the work of a container again that was suspended.
    pub(crate) fn resume_work_of(&self, loaded: &Arc<Loaded>) {
        for info in self.tasks().resumable(loaded.about.id) {
            let loaded = Arc::clone(loaded);
            let kind = info.order.about.kind;
            let resumed = self
                .tasks()
                .restart(info.id, move |task| job(&loaded, &kind, task));
            if let Err(error) = resumed {
                let message = format!("task {} does not go on: {error}", info.id);
                self.events()
                    .tell(info.order.about.container, EventKind::Trouble, message);
            }
        }
    }

    /// Has the work of a container stop where it can go on later. `EBUSY` if it
    /// does not come to such a place.
    pub(crate) fn suspend_work_of(&self, container: ContainerId) -> Result<()> {
        let tasks = self.tasks();
        let going_on = tasks.stop_all_of(container, Stop::Suspended, STOP_PATIENCE);
        match going_on.first() {
            None => Ok(()),
            Some(task) => {
                let message = format!("task {task} does not come to a place where it can stop");
                Err(Error::new(Errno::EBUSY, message))
            }
        }
    }
}

fn job(loaded: &Loaded, kind: &str, task: Task) -> Completed {
    match loaded.container.jobs() {
        Some(jobs) => jobs.run(kind, task),
        None => task.end(Outcome::Failed(Errno::EOPNOTSUPP.into())),
    }
}

fn maintain(
    module: &dyn AnyModule,
    what: Maintenance,
    resources: Vec<Resource>,
    options: &LoadOptions,
    task: Task,
) -> Completed {
    match (module.maintenance(), what) {
        (Some(module), Maintenance::Check) => module.check(resources, options, task),
        (Some(module), Maintenance::Format) => module.format(resources, options, task),
        (None, _) => task.end(Outcome::Failed(Errno::EOPNOTSUPP.into())),
    }
}
