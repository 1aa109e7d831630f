//! Putting containers together of members that appear one by one.

use transom_module::{ContainerId, Errno, Error, Membership, Probe, Resource, Resources, Result};

use crate::identity;
use crate::loaded::Member;

/// Most members that a container can have.
pub const MEMBERS_MAX: u32 = 1024;

/// The members of one container that are there so far.
#[derive(Debug)]
pub(crate) struct Members {
    pub(crate) container: ContainerId,
    pub(crate) name: String,
    /// How many it has in all.
    of: u32,
    /// How many are enough to load it degraded.
    enough: u32,
    /// Whether the identity is written on the members.
    is_written: bool,
    present: Vec<(u32, Resource)>,
}

impl Members {
    /// Of the one resource that a module has probed.
    ///
    /// `EINVAL` if the module does not know it.
    pub(crate) fn first(module: &str, resource: Resource, probe: Probe) -> Result<Self> {
        let is_written = matches!(probe, Probe::Member(_));
        let membership = match probe {
            Probe::NotRecognized => {
                let path = resource.path().display();
                let message = format!("`{path}` contains nothing that module `{module}` knows");
                return Err(Error::new(Errno::EINVAL, message));
            }
            Probe::Alone => Membership {
                container: identity::of_resource(module, &resource)?,
                name: String::new(),
                index: 0,
                of: 1,
                enough: 1,
            },
            Probe::Member(membership) => membership,
        };
        if membership.index >= membership.of || membership.of > MEMBERS_MAX {
            let path = resource.path().display();
            let message = format!(
                "`{path}` says that it is member {}, from 0, of {}; there can be {MEMBERS_MAX}",
                membership.index, membership.of
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        Ok(Self {
            container: membership.container,
            name: membership.name,
            of: membership.of,
            enough: membership.enough.clamp(1, membership.of),
            is_written,
            present: vec![(membership.index, resource)],
        })
    }

    /// And these. `EINVAL` if they are of another container, or the same member
    /// twice.
    pub(crate) fn join(&mut self, others: Self) -> Result<()> {
        let path = |resource: &Resource| resource.path().display().to_string();
        for (index, resource) in &others.present {
            if others.container != self.container || others.of != self.of {
                let message = format!(
                    "`{}` is a member of container {}, `{}` of {}",
                    path(resource),
                    others.container,
                    path(&self.present[0].1),
                    self.container
                );
                return Err(Error::new(Errno::EINVAL, message));
            }
            if let Some((_, same)) = self.present.iter().find(|(present, _)| present == index) {
                let message = format!(
                    "`{}` and `{}` are both member {index} of container {}",
                    path(same),
                    path(resource),
                    self.container
                );
                return Err(Error::new(Errno::EINVAL, message));
            }
        }
        self.present.extend(others.present);
        Ok(())
    }

    /// Which members are missing, from 0.
    pub(crate) fn missing(&self) -> Vec<u32> {
        let is_missing = |index: &u32| !self.present.iter().any(|(present, _)| present == index);
        (0..self.of).filter(is_missing).collect()
    }

    /// Whether they suffice to load the container.
    pub(crate) fn suffice(&self, degraded: bool) -> bool {
        let wanted = if degraded { self.enough } else { self.of };
        self.present.len() >= wanted as usize
    }

    /// Those that are there, to be shown.
    pub(crate) fn listed(&self) -> Vec<Member> {
        let listed = |(index, resource): &(u32, Resource)| Member {
            kind: resource.kind(),
            path: resource.path().to_owned(),
            index: self.is_written.then_some(*index),
        };
        self.present.iter().map(listed).collect()
    }

    pub(crate) fn into_resources(self) -> Result<Resources> {
        let members = self.present.into_iter().map(|(_, resource)| resource);
        Resources::new(self.container, members.collect())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use transom_module::ResourceKind;

    use super::*;

    fn member(container: u8, index: u32, of: u32, enough: u32) -> Result<Members> {
        let file = File::open("/dev/null").unwrap();
        let path = format!("/member-{index}");
        let resource = Resource::new(ResourceKind::File, path, file.into());
        let membership = Membership {
            container: ContainerId::from_bytes([container; 16]),
            name: "pool".into(),
            index,
            of,
            enough,
        };
        Members::first("raid", resource, Probe::Member(membership))
    }

    #[test]
    fn a_container_is_complete_when_its_last_member_has_come() {
        let mut members = member(1, 2, 3, 2).unwrap();
        assert_eq!(members.missing(), [0, 1]);
        assert!(!members.suffice(true));
        members.join(member(1, 0, 3, 2).unwrap()).unwrap();
        assert_eq!(members.missing(), [1]);
        assert!(members.suffice(true) && !members.suffice(false));
        members.join(member(1, 1, 3, 2).unwrap()).unwrap();
        assert!(members.missing().is_empty() && members.suffice(false));
        assert_eq!(members.into_resources().unwrap().iter().count(), 3);
    }

    #[test]
    fn members_that_do_not_belong_together_are_refused_by_name() {
        let mut members = member(1, 0, 2, 2).unwrap();
        let twice = members.join(member(1, 0, 2, 2).unwrap()).unwrap_err();
        assert!(twice.to_string().contains("both member 0"), "{twice}");
        let foreign = members.join(member(2, 1, 2, 2).unwrap()).unwrap_err();
        assert!(foreign.to_string().contains("/member-1"), "{foreign}");
        for wrong in [(0, 0), (2, 2), (u32::MAX, 2), (0, u32::MAX)] {
            assert!(member(1, wrong.0, wrong.1, 1).is_err(), "{wrong:?}");
        }
    }
}
