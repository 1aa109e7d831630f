//! What modules recognize in resources that are not loaded.

use transom_module::{Errno, Error, Probe, Resource, Result};

use crate::Host;
use crate::host::Entry;
use crate::members::MEMBERS_MAX;

/// What a module recognizes in a resource.
#[derive(Debug, Clone)]
pub struct Finding {
    /// Which of those that were probed, from 0.
    pub resource: usize,
    /// The module.
    pub module: &'static str,
    /// What it says.
    pub probe: Probe,
    /// Which members of the container are missing besides, from 0.
    pub missing: Vec<u32>,
}

impl Finding {
    fn new(resource: usize, module: &'static str, probe: Probe) -> Self {
        Self {
            resource,
            module,
            probe,
            missing: Vec::new(),
        }
    }
}

impl Host {
    /// What modules recognize in resources: that one, or all that load their
    /// kinds and are enabled. What one does not recognize is left out, unless it
    /// was asked for by name.
    pub fn probe(&self, module: Option<&str>, resources: &[Resource]) -> Result<Vec<Finding>> {
        let mut findings = Vec::new();
        for manifest in self.modules().manifests() {
            let name = manifest.name;
            if module.is_some_and(|module| module != name) || !self.enablement().is_enabled(name)? {
                continue;
            }
            for (index, resource) in resources.iter().enumerate() {
                if !manifest.resources.contains(&resource.kind()) {
                    continue;
                }
                let probe = self.modules().get(name)?.probe(resource)?;
                if probe != Probe::NotRecognized || module.is_some() {
                    findings.push(Finding::new(index, name, probe));
                }
            }
        }
        self.note_missing(&mut findings);
        Ok(findings)
    }

    /// The only module that finds something of its own written on these
    /// resources. `EINVAL` if there is none, or several.
    pub fn recognize(&self, resources: &[Resource]) -> Result<&'static str> {
        let findings = self.probe(None, resources)?;
        let is_written = |finding: &&Finding| matches!(finding.probe, Probe::Member(_));
        let mut names: Vec<_> = findings
            .iter()
            .filter(is_written)
            .map(|f| f.module)
            .collect();
        names.dedup();
        match names[..] {
            [only] => Ok(only),
            [] => {
                let message = "no module finds something of its own there; say which is to load it";
                Err(Error::new(Errno::EINVAL, message))
            }
            _ => {
                let message = format!("it may be for {}: say which", names.join(", "));
                Err(Error::new(Errno::EINVAL, message))
            }
        }
    }

    /// Which members are neither loaded, nor given before, nor among those that
    /// were found together.
    fn note_missing(&self, findings: &mut [Finding]) {
        let members: Vec<_> = findings
            .iter()
            .filter_map(|finding| match &finding.probe {
                Probe::Member(member) => Some((member.container, member.index)),
                _ => None,
            })
            .collect();
        let containers = self.containers();
        for finding in findings {
            let Probe::Member(member) = &finding.probe else {
                continue;
            };
            let known = containers.get(&member.container).map(Entry::about);
            let is_missing = |index: &u32| match &known {
                Some(about) => about.missing.contains(index),
                None => true,
            };
            finding.missing = (0..member.of.min(MEMBERS_MAX))
                .filter(is_missing)
                .filter(|index| !members.contains(&(member.container, *index)))
                .collect();
        }
    }
}
