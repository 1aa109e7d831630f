//! Edits of a tree, each written to a log that can take them back: a batch
//! becomes visible as a whole or not at all.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::Arc;

use super::{ENTRIES_MAX, Kind, Node, NodeId, Tree, TreeError};
use crate::{Declaration, Mapping, Origin, ViewPath};

/// What edits did, in order.
#[derive(Debug, Default)]
pub(crate) struct Log(Vec<Step>);

#[derive(Debug)]
enum Step {
    Created(NodeId),
    Changed { node: NodeId, before: Before },
}

/// What a changed node was.
#[derive(Debug)]
struct Before {
    withdrawn: Option<NonZeroU32>,
    implied: bool,
    origin: Origin,
    /// `None` if the kind was kept.
    kind: Option<Kind>,
}

impl Log {
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Every node that was edited; some appear several times.
    pub(crate) fn touched(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().map(|step| match step {
            Step::Created(node) | Step::Changed { node, .. } => *node,
        })
    }

    /// The nodes among them that are another item now.
    pub(crate) fn renewed(&self) -> impl Iterator<Item = NodeId> {
        self.0.iter().filter_map(|step| match step {
            Step::Created(node) => Some(*node),
            Step::Changed { node, before } => {
                (before.withdrawn.is_some() || before.kind.is_some()).then_some(*node)
            }
        })
    }
}

/// Why an edit of an existing name is not possible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EditError {
    /// The name is not there.
    Missing,
    /// A directory that still holds something.
    NotEmpty,
    /// A directory that something is mounted on, or below.
    Required,
    /// Only files and whole directories have a source.
    NoSource(&'static str),
}

impl Tree {
    /// Adds a declared name.
    pub(crate) fn add(
        &mut self,
        Declaration {
            name,
            mapping,
            origin,
        }: Declaration,
        log: &mut Log,
    ) -> Result<NodeId, TreeError> {
        let mut names = name.names();
        let Some(last) = names.next_back() else {
            return Err(TreeError::Root { origin });
        };
        let mut directory = NodeId::ROOT;
        for component in names {
            directory = self.enter(directory, component, &name, &origin, log)?;
        }
        let Some(existing) = self.child_or_tombstone(directory, last) else {
            return self.create(directory, last, mapping.into(), false, origin, log);
        };
        let node = self.node(existing);
        if node.withdrawn.is_some() {
            self.revive(existing, mapping.into(), false, origin, log);
            return Ok(existing);
        }
        match (&node.kind, node.implied, mapping) {
            (Kind::Directory(_), true, Mapping::EmptyDirectory) => {
                self.note(existing, None, log);
                let node = &mut self.nodes[existing.index()];
                node.implied = false;
                node.origin = origin;
                Ok(existing)
            }
            (Kind::Directory(_), true, mapping) => {
                let below = self.sorted(existing).next().unwrap_or(existing);
                Err(TreeError::NotADirectory {
                    name: self.path(below),
                    origin: self.node(below).origin.clone(),
                    directory: name,
                    found: Kind::from(mapping).description(),
                    found_at: origin,
                })
            }
            _ => Err(TreeError::Duplicate {
                name,
                first: node.origin.clone(),
                second: origin,
            }),
        }
    }

    /// Lets a declared name stand for something else.
    pub(crate) fn replace(
        &mut self,
        declaration: Declaration,
        log: &mut Log,
    ) -> Result<NodeId, EditError> {
        let id = self.declared(&declaration.name)?;
        if self.node(id).required && declaration.mapping != Mapping::EmptyDirectory {
            return Err(EditError::Required);
        }
        let is_empty = self.sorted(id).next().is_none();
        if !is_empty && declaration.mapping != Mapping::EmptyDirectory {
            return Err(EditError::NotEmpty);
        }
        if is_empty {
            let before = self.set_kind(id, declaration.mapping.into());
            self.note(id, Some(before), log);
        } else {
            self.note(id, None, log);
        }
        let node = &mut self.nodes[id.index()];
        node.implied = false;
        node.origin = declaration.origin;
        Ok(id)
    }

    /// Lets a declared file or whole directory lead to another source.
    pub(crate) fn redirect(
        &mut self,
        name: &ViewPath,
        source: Arc<Path>,
        log: &mut Log,
    ) -> Result<NodeId, EditError> {
        let id = self.declared(name)?;
        let kind = match &self.node(id).kind {
            Kind::File { executable, .. } => Kind::File {
                source,
                executable: *executable,
            },
            Kind::WholeDirectory { .. } => Kind::WholeDirectory { source },
            other => return Err(EditError::NoSource(other.description())),
        };
        let before = self.set_kind(id, kind);
        self.note(id, Some(before), log);
        Ok(id)
    }

    /// Takes a declared name away, with everything below it.
    pub(crate) fn withdraw(
        &mut self,
        name: &ViewPath,
        epoch: NonZeroU32,
        log: &mut Log,
    ) -> Result<(), EditError> {
        let top = self.declared(name)?;
        if self.node(top).required {
            return Err(EditError::Required);
        }
        let mut pending = vec![top];
        while let Some(id) = pending.pop() {
            pending.extend(self.sorted(id));
            self.note(id, None, log);
            self.nodes[id.index()].withdrawn = Some(epoch);
        }
        Ok(())
    }

    /// Takes everything in the log back.
    pub(crate) fn undo(&mut self, log: Log) {
        for step in log.0.into_iter().rev() {
            match step {
                Step::Created(id) => self.forget_newest(id),
                Step::Changed { node, before } => {
                    let node = &mut self.nodes[node.index()];
                    node.withdrawn = before.withdrawn;
                    node.implied = before.implied;
                    node.origin = before.origin;
                    if let Some(kind) = before.kind {
                        node.kind = kind;
                    }
                }
            }
        }
    }

    /// Refuses symbolic links among the edited nodes that lead round in a
    /// circle.
    pub(crate) fn check_edited_symlinks(&self, log: &Log) -> Result<(), TreeError> {
        log.touched()
            .filter(|id| self.node(*id).withdrawn.is_none())
            .try_for_each(|id| self.check_symlink(id, &mut HashSet::new()))
    }

    /// The directory `component` of `directory`, made if it is not there.
    /// `name` and `origin` say who needs it.
    pub(super) fn enter(
        &mut self,
        directory: NodeId,
        component: &OsStr,
        name: &ViewPath,
        origin: &Origin,
        log: &mut Log,
    ) -> Result<NodeId, TreeError> {
        let new = || Kind::Directory(Box::default());
        let Some(child) = self.child_or_tombstone(directory, component) else {
            return self.create(directory, component, new(), true, origin.clone(), log);
        };
        let node = self.node(child);
        if node.withdrawn.is_some() {
            self.revive(child, new(), true, origin.clone(), log);
            return Ok(child);
        }
        match &node.kind {
            Kind::Directory(_) => Ok(child),
            Kind::WholeDirectory { .. } if self.path(child) != *name => {
                Err(TreeError::InsideWholeDirectory {
                    name: name.clone(),
                    origin: origin.clone(),
                    whole: self.path(child),
                    whole_at: node.origin.clone(),
                })
            }
            other => Err(TreeError::NotADirectory {
                name: name.clone(),
                origin: origin.clone(),
                directory: self.path(child),
                found: other.description(),
                found_at: node.origin.clone(),
            }),
        }
    }

    /// The node of a name that is there, without following symbolic links.
    pub(crate) fn declared(&self, name: &ViewPath) -> Result<NodeId, EditError> {
        if name.is_root() {
            return Err(EditError::Missing);
        }
        name.names()
            .try_fold(NodeId::ROOT, |directory, name| self.child(directory, name))
            .ok_or(EditError::Missing)
    }

    fn create(
        &mut self,
        parent: NodeId,
        name: &OsStr,
        kind: Kind,
        implied: bool,
        origin: Origin,
        log: &mut Log,
    ) -> Result<NodeId, TreeError> {
        if self.nodes.len() >= ENTRIES_MAX {
            return Err(TreeError::TooManyEntries { origin });
        }
        let id = NodeId::from_index(self.nodes.len());
        let position = match self.children(parent) {
            Some(children) => match self.position(children, name) {
                Ok(position) | Err(position) => position,
            },
            None => unreachable!("names are created in directories only"),
        };
        self.nodes.push(Node {
            name: name.into(),
            parent,
            withdrawn: None,
            implied,
            required: false,
            origin,
            kind,
        });
        if let Kind::Directory(children) = &mut self.nodes[parent.index()].kind {
            children.slots.push(id);
            children.sorted.insert(position, id);
        }
        log.0.push(Step::Created(id));
        Ok(id)
    }

    /// Undoes [`create`](Self::create) of the newest node.
    fn forget_newest(&mut self, id: NodeId) {
        let node = self.node(id);
        let (parent, position) = match self.children(node.parent) {
            Some(children) => (node.parent, self.position(children, &node.name)),
            None => unreachable!("a parent is a directory"),
        };
        if let Kind::Directory(children) = &mut self.nodes[parent.index()].kind {
            children.slots.pop();
            if let Ok(position) = position {
                children.sorted.remove(position);
            }
        }
        self.nodes.pop();
    }

    /// Brings a withdrawn name back as something new. A directory that was
    /// one before keeps its slots, all of them tombstones.
    fn revive(&mut self, id: NodeId, kind: Kind, implied: bool, origin: Origin, log: &mut Log) {
        let before = match (&self.node(id).kind, &kind) {
            (Kind::Directory(_), Kind::Directory(_)) => None,
            _ => Some(self.set_kind(id, kind)),
        };
        self.note(id, before, log);
        let node = &mut self.nodes[id.index()];
        node.withdrawn = None;
        node.implied = implied;
        node.origin = origin;
    }

    fn set_kind(&mut self, id: NodeId, kind: Kind) -> Kind {
        std::mem::replace(&mut self.nodes[id.index()].kind, kind)
    }

    /// Logs a change of a node, before its other fields are changed.
    fn note(&self, id: NodeId, kind: Option<Kind>, log: &mut Log) {
        let node = self.node(id);
        log.0.push(Step::Changed {
            node: id,
            before: Before {
                withdrawn: node.withdrawn,
                implied: node.implied,
                origin: node.origin.clone(),
                kind,
            },
        });
    }
}
