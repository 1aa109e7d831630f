use std::fs::File;
use std::os::fd::AsFd;

use transom_module::{
    Completed, ContainerId, Errno, Error, LoadOptions, Maintenance, Module, ModuleManifest, Probe,
    Resource, ResourceKind, Resources, Result, Task,
};

use crate::container::Concat;
use crate::layout::Layout;
use crate::member::read_labels;
use crate::members::Members;
use crate::options::{self, FormatOptions};
use crate::{check, format};

/// Loads files and block devices that are members of containers.
#[derive(Debug, Clone, Copy, Default)]
pub struct ConcatModule;

impl Module for ConcatModule {
    type Container = Concat;

    fn manifest(&self) -> ModuleManifest {
        ModuleManifest {
            name: "concat",
            version: env!("CARGO_PKG_VERSION"),
            summary: "files and block devices, joined or striped, with volumes made at run time",
            resources: &[ResourceKind::File, ResourceKind::BlockDevice],
            options: &[],
            capabilities: &["Allocation", "Synchronization", "Writes"],
        }
    }

    fn probe(&self, resource: &Resource) -> Result<Probe> {
        let failed = |error| {
            let message = format!("cannot examine `{}`", resource.path().display());
            Error::from_host(error, message)
        };
        let file = File::from(resource.as_fd().try_clone_to_owned().map_err(failed)?);
        match read_labels(&file) {
            [Ok(Some(label)), _] | [_, Ok(Some(label))] => Ok(Probe::Member(label.membership())),
            [Ok(None), Ok(None)] => Ok(Probe::NotRecognized),
            [Err(why), _] | [_, Err(why)] => {
                let message = format!("`{}` cannot be used: {why}", resource.path().display());
                Err(Error::new(why.errno(), message))
            }
        }
    }

    fn load(&self, resources: Resources, options: &LoadOptions) -> Result<Concat> {
        options::none("load", &options.named)?;
        let container = resources.container();
        let members = Members::open(resources.into_members(), options.read_only)?;
        let label = members.label();
        if container != ContainerId::NIL && container != label.container {
            let message = format!("{} is not container {container} any more", label.shown());
            return Err(Error::new(Errno::EINVAL, message));
        }
        let missing = members.missing();
        if !missing.is_empty() {
            refuse_missing(label.layout, &missing, options.degraded)?;
        }
        let mut store = members.store(false)?;
        if missing.is_empty() && !options.read_only {
            store.settle()?;
        }
        Ok(Concat::new(members, store))
    }

    fn maintenance(&self) -> Option<&dyn Maintenance> {
        Some(self)
    }
}

impl Maintenance for ConcatModule {
    fn check(&self, resources: Vec<Resource>, options: &LoadOptions, task: Task) -> Completed {
        let checked = options::repair(&options.named)
            .and_then(|repair| check::check(resources, repair, &task));
        task.complete(checked)
    }

    fn format(&self, resources: Vec<Resource>, options: &LoadOptions, task: Task) -> Completed {
        let formatted = FormatOptions::parse(&options.named)
            .map_err(Into::into)
            .and_then(|options| format::format(resources, &options, &task));
        match formatted {
            Ok(()) => task.complete(Ok(())),
            Err(outcome) => task.end(outcome),
        }
    }
}

fn refuse_missing(layout: Layout, missing: &[String], degraded: bool) -> Result<()> {
    let missing = missing.join(", ");
    let remedy = match (layout, degraded) {
        (Layout::Linear, true) => return Ok(()),
        (Layout::Linear, false) => {
            "add what is missing, or load it degraded, with the volumes that lie on other members"
        }
        (Layout::Stripe { .. }, _) => {
            "add what is missing: in a striped container every volume needs every member"
        }
    };
    let message = format!("{missing}: not there; {remedy}");
    Err(Error::new(Errno::ENODEV, message))
}
