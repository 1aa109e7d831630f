use std::fmt;

use transom_module::{Errno, Error, Module, ModuleManifest, Result};

use crate::erased::AnyModule;

/// The modules a program has, by name.
///
/// ```text
/// Modules::new().with(PassthroughModule).with(OtherModule)
/// ```
#[derive(Default)]
pub struct Modules(Vec<Box<dyn AnyModule>>);

impl Modules {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// And this one.
    #[must_use]
    pub fn with(mut self, module: impl Module) -> Self {
        self.0.push(Box::new(module));
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
        let found = self.0.iter().find(|module| module.manifest().name == name);
        found.map(AsRef::as_ref).ok_or_else(|| {
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
