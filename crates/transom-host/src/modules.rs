use std::fmt;
use std::sync::Arc;

use transom_module::{Errno, Error, Module, ModuleManifest, Result};

use crate::erased::AnyModule;

/// The modules a program has, by name.
///
/// ```text
/// Modules::new().with(PassthroughModule).with(OtherModule)
/// ```
#[derive(Default)]
pub struct Modules(Vec<Arc<dyn AnyModule>>);

impl Modules {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    #[must_use]
    pub fn with(mut self, module: impl Module) -> Self {
        self.0.push(Arc::new(module));
        self
    }

    /// What each of them is.
    pub fn manifests(&self) -> impl Iterator<Item = ModuleManifest> {
        self.0.iter().map(|module| module.manifest())
    }

    /// What the module of that name is. `ENODEV` if there is none.
    pub fn manifest(&self, name: &str) -> Result<ModuleManifest> {
        Ok(self.get(name)?.manifest())
    }

    /// Whether the module of that name checks and formats resources.
    #[must_use]
    pub fn maintains(&self, name: &str) -> bool {
        self.get(name)
            .is_ok_and(|module| module.maintenance().is_some())
    }

    pub(crate) fn get(&self, name: &str) -> Result<&dyn AnyModule> {
        self.find(name).map(AsRef::as_ref)
    }

    /// The same to be kept by a thread.
    pub(crate) fn get_shared(&self, name: &str) -> Result<Arc<dyn AnyModule>> {
        self.find(name).map(Arc::clone)
    }

    fn find(&self, name: &str) -> Result<&Arc<dyn AnyModule>> {
        let found = self.0.iter().find(|module| module.manifest().name == name);
        found.ok_or_else(|| {
            let names: Vec<_> = self.manifests().map(|manifest| manifest.name).collect();
            let message = format!(
                "there is no module `{name}`; there are: {}",
                names.join(", ")
            );
            Error::new(Errno::ENODEV, message)
        })
    }
}

impl fmt::Debug for Modules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.manifests().map(|manifest| manifest.name);
        f.debug_set().entries(names).finish()
    }
}
