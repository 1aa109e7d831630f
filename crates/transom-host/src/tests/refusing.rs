//! A module that loads nothing: it finds out too late, with the resource in
//! its hands.

use transom_module::{
    Attributes, Container, Context, Cookie, DirectorySink, Entry, Errno, Error, Lifetime,
    LoadOptions, Lookup, Module, ModuleManifest, OpenMode, Opened, ResourceKind, Resources, Result,
    Volume, VolumeDefinition,
};

pub(super) struct Refusing;

impl Module for Refusing {
    type Container = Never;

    fn manifest(&self) -> ModuleManifest {
        ModuleManifest {
            name: "refusing",
            version: "0",
            summary: "loads nothing",
            resources: &[ResourceKind::File, ResourceKind::BlockDevice],
            options: &[],
            capabilities: &[],
        }
    }

    fn load(&self, _resources: Resources, _: &LoadOptions) -> Result<Never> {
        Err(Error::new(Errno::EIO, "no such format"))
    }
}

/// There is none.
pub(super) enum Never {}

impl Container for Never {
    type Volume = Self;

    fn volume(&self, _: &str) -> Result<VolumeDefinition<Self>> {
        match *self {}
    }
}

impl Volume for Never {
    type Item = ();
    type Handle = ();

    fn root(&self) -> Result<Entry<()>> {
        match *self {}
    }

    fn lookup(&self, _: &Context<'_>, (): &(), _: &std::ffi::OsStr) -> Result<Lookup<()>> {
        match *self {}
    }

    fn attributes(&self, _: &Context<'_>, (): &()) -> Result<(Attributes, Lifetime)> {
        match *self {}
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        (): &(),
        _: Cookie,
        _: &mut dyn DirectorySink<()>,
    ) -> Result<()> {
        match *self {}
    }

    fn open(&self, _: &Context<'_>, (): &(), _: OpenMode) -> Result<Opened<()>> {
        match *self {}
    }
}
