//! The projection as a volume.
//!
//! Everything it says holds until it is invalidated: a pinned version never
//! changes, and steering says what to forget. Only while a view is about to
//! change, what it says of its names is not to be remembered.

use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use transom_module::{
    Attributes, Context, Cookie, DirectoryEntry, DirectorySink, Entry, Errno, Error, Io, ItemId,
    Lifetime, Lookup, NAME_BYTES_MAX, Name, OpenMode, Opened, Result, Volume, push_dots,
};

use crate::sync::read;
use crate::trace::Touch;
use crate::tree::NodeId;
use crate::view::{Pinned, State};
use crate::whole::{Child, Symlink, WholeDirectory};
use crate::{Projection, Version, VersionState, View, ViewId, shown};

/// The number listed for a name below a whole directory that nobody has looked
/// up yet. Giving it the number that it will have would mean to pin it.
const NOT_LOOKED_UP: u64 = 0xffff_ffff;

/// A live item of a projection.
#[derive(Debug, Clone)]
pub struct Item(Inner);

#[derive(Debug, Clone)]
enum Inner {
    /// The root of the volume.
    Root,
    /// A directory of a view's own: the node `node` as long as it has the
    /// number `id`.
    Directory {
        view: Arc<View>,
        node: NodeId,
        id: ItemId,
    },
    /// A host directory.
    Whole {
        view: Arc<View>,
        directory: Arc<WholeDirectory>,
    },
    File(Arc<Version>),
    Symlink(Arc<Symlink>),
}

impl Volume for Projection {
    type Item = Item;
    type Handle = ();

    fn root(&self) -> Result<Entry<Item>> {
        Ok(self.entry(Inner::Root, Lifetime::FOREVER))
    }

    fn lookup(&self, _: &Context<'_>, directory: &Item, name: &OsStr) -> Result<Lookup<Item>> {
        if name.len() > NAME_BYTES_MAX {
            return Err(Errno::ENAMETOOLONG.into());
        }
        let mut lifetime = Lifetime::FOREVER;
        let found = match &directory.0 {
            Inner::Root => self.find_view(name),
            Inner::Directory { view, node, id } => {
                let state = read(&view.state);
                lifetime = state.name_lifetime();
                state.find(*node, *id, name, view)
            }
            Inner::Whole { view, directory } => directory
                .find(name, &view.pinner)
                .map_err(|error| {
                    let path = directory.host.path().join(name);
                    refusal(error, || format!("cannot look at `{}`", shown(&path)))
                })?
                .map(|child| Inner::of_child(view, child)),
            Inner::File(_) | Inner::Symlink(_) => return Err(Errno::ENOTDIR.into()),
        };
        let Some(found) = found else {
            directory.note_absent(name);
            return Ok(Lookup::Absent(match directory.0 {
                // A view of that number may be made later.
                Inner::Root => Lifetime::NONE,
                _ => lifetime,
            }));
        };
        found.note(Touch::LookedUp);
        Ok(Lookup::Found(self.entry(found, lifetime)))
    }

    fn attributes(&self, _: &Context<'_>, item: &Item) -> Result<(Attributes, Lifetime)> {
        Ok((self.attributes_of(&item.0), Lifetime::FOREVER))
    }

    fn enumerate(
        &self,
        _: &Context<'_>,
        directory: &Item,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        directory.0.note(Touch::Listed);
        match &directory.0 {
            Inner::Root => {
                push_dots(sink, from, ItemId::ROOT, ItemId::ROOT);
                Ok(())
            }
            Inner::Directory { view, node, id } => {
                self.list_declared(view, *node, *id, from, sink);
                Ok(())
            }
            Inner::Whole { view, directory } => self.list_whole(view, directory, from, sink),
            Inner::File(_) | Inner::Symlink(_) => Err(Errno::ENOTDIR.into()),
        }
    }

    fn open(&self, _: &Context<'_>, item: &Item, mode: OpenMode) -> Result<Opened<()>> {
        if mode.write || mode.truncate {
            return Err(Errno::EROFS.into());
        }
        match &item.0 {
            Inner::File(version) => {
                version.touched().note(Touch::Read);
                match version.open() {
                    Ok(backing) => Ok(Opened {
                        handle: (),
                        io: Io::Passthrough(backing),
                    }),
                    Err(stale) if stale.is_news => Err(Error::new(
                        errno_of(stale.state),
                        format!("{stale}, so it cannot be opened"),
                    )),
                    // The kernel asks twice, and who failed may try again.
                    Err(stale) => Err(errno_of(stale.state).into()),
                }
            }
            Inner::Symlink(_) => Err(Errno::ELOOP.into()),
            Inner::Root | Inner::Directory { .. } | Inner::Whole { .. } => {
                Err(Errno::EISDIR.into())
            }
        }
    }

    fn read_link(&self, _: &Context<'_>, item: &Item) -> Result<OsString> {
        match &item.0 {
            Inner::Symlink(link) => {
                link.touched.note(Touch::Read);
                Ok(link.target.to_os_string())
            }
            _ => Err(Errno::EINVAL.into()),
        }
    }
}

impl Projection {
    fn find_view(&self, name: &OsStr) -> Option<Inner> {
        let id: ViewId = name.to_str()?.parse().ok()?;
        let view = self.view(id)?;
        let id = read(&view.state).pins[NodeId::ROOT.index()].id();
        Some(Inner::Directory {
            view,
            node: NodeId::ROOT,
            id,
        })
    }

    fn entry(&self, item: Inner, name_lifetime: Lifetime) -> Entry<Item> {
        Entry {
            attributes: self.attributes_of(&item),
            item: Item(item),
            generation: 0,
            name_lifetime,
            attributes_lifetime: Lifetime::FOREVER,
        }
    }

    fn attributes_of(&self, item: &Inner) -> Attributes {
        let shared = &self.shared;
        match item {
            Inner::Root => shared.directory_attributes(ItemId::ROOT, self.made),
            Inner::Directory { view, id, .. } => shared.directory_attributes(*id, view.pinner.made),
            Inner::Whole { directory, .. } => shared.whole_attributes(directory),
            Inner::File(version) => shared.file_attributes(version),
            Inner::Symlink(link) => shared.symlink_attributes(link),
        }
    }

    /// Positions: 1 after `.`, 2 after `..`, then 2 more than the slot.
    fn list_declared(
        &self,
        view: &Arc<View>,
        node: NodeId,
        id: ItemId,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) {
        let state = read(&view.state);
        if !state.is_directory(node, id) {
            push_dots(sink, from, id, id);
            return;
        }
        let parent = match node {
            NodeId::ROOT => ItemId::ROOT,
            _ => state.pins[state.tree.node(node).parent.index()].id(),
        };
        if !push_dots(sink, from, id, parent) {
            return;
        }
        let start = usize::try_from(from.0.saturating_sub(2)).unwrap_or(usize::MAX);
        let gives_attributes = sink.takes_attributes() && !view.is_traced();
        for (child, next) in state.tree.listing(node, start) {
            let name = &state.tree.node(child).name;
            let pinned = &state.pins[child.index()];
            let next = Cookie(next as u64 + 2);
            let fits = if gives_attributes {
                let found = Inner::of_pinned(view, child, pinned);
                sink.push_found(name, self.entry(found, state.name_lifetime()), next)
            } else {
                sink.push(DirectoryEntry {
                    name,
                    id: pinned.id(),
                    kind: pinned.kind(),
                    next,
                })
            };
            if !fits {
                return;
            }
        }
    }

    fn list_whole(
        &self,
        view: &Arc<View>,
        directory: &WholeDirectory,
        from: Cookie,
        sink: &mut dyn DirectorySink<Item>,
    ) -> Result<()> {
        let gives_attributes = sink.expects_attributes() && !view.is_traced();
        directory
            .list(from, &view.pinner, |name, kind, next| {
                let id = match name.as_encoded_bytes() {
                    b"." => Some(directory.id),
                    b".." => Some(directory.parent),
                    _ if gives_attributes => match directory.find(name, &view.pinner) {
                        Ok(Some(child)) => {
                            let found = Inner::of_child(view, child);
                            let found = self.entry(found, Lifetime::FOREVER);
                            return sink.push_found(name, found, next);
                        }
                        // It is gone, or an error that asking for the name
                        // will show.
                        Ok(None) => return true,
                        Err(_) => None,
                    },
                    _ => directory.pinned(name).map(|child| child.id()),
                };
                let id = id.or(ItemId::new(NOT_LOOKED_UP));
                id.is_none_or(|id| {
                    sink.push(DirectoryEntry {
                        name,
                        id,
                        kind,
                        next,
                    })
                })
            })
            .map_err(|error| {
                let path = shown(directory.host.path());
                refusal(error, || format!("cannot list `{path}`"))
            })
    }
}

impl State {
    /// The child of one of the own directories of `view`.
    fn find(&self, node: NodeId, id: ItemId, name: &OsStr, view: &Arc<View>) -> Option<Inner> {
        if !self.is_directory(node, id) {
            return None;
        }
        let child = self.tree.child(node, name)?;
        Some(Inner::of_pinned(view, child, &self.pins[child.index()]))
    }
}

impl View {
    fn is_traced(&self) -> bool {
        self.absent.is_some()
    }
}

impl Item {
    /// Whether it is a directory of a view's own: one whose names are the
    /// declared ones, and not a host directory that is mapped as a whole.
    #[must_use]
    pub fn is_own_directory(&self) -> bool {
        matches!(self.0, Inner::Directory { .. })
    }

    /// Remembers that a name was asked for in vain, if the view is traced.
    fn note_absent(&self, name: &OsStr) {
        let (Inner::Directory { view, .. } | Inner::Whole { view, .. }) = &self.0 else {
            return;
        };
        let (Some(absent), Ok(name)) = (&view.absent, Name::new(name.as_encoded_bytes())) else {
            return;
        };
        let directory = match &self.0 {
            Inner::Directory { node, id, .. } => {
                let state = read(&view.state);
                if !state.is_directory(*node, *id) {
                    return;
                }
                &state.tree.path(*node)
            }
            Inner::Whole { directory, .. } => &directory.path,
            _ => return,
        };
        absent.note(directory.join(&name));
    }
}

impl Inner {
    fn of_pinned(view: &Arc<View>, node: NodeId, pinned: &Pinned) -> Self {
        let view = view.clone();
        match pinned {
            Pinned::Directory { id, .. } => Self::Directory {
                view,
                node,
                id: *id,
            },
            Pinned::File(version) => Self::File(version.clone()),
            Pinned::Symlink(link) => Self::Symlink(link.clone()),
            Pinned::Whole(directory) => Self::Whole {
                view,
                directory: directory.clone(),
            },
        }
    }

    fn of_child(view: &Arc<View>, child: Child) -> Self {
        match child {
            Child::Directory(directory) => Self::Whole {
                view: view.clone(),
                directory,
            },
            Child::File(version) => Self::File(version),
            Child::Symlink(link) => Self::Symlink(link),
        }
    }

    fn note(&self, touch: Touch) {
        match self {
            Self::Root => {}
            Self::Directory { view, node, .. } => {
                // An emptied view has no such node.
                if let Some(pinned) = read(&view.state).pins.get(node.index()) {
                    pinned.touched().note(touch);
                }
            }
            Self::Whole { directory, .. } => directory.touched.note(touch),
            Self::File(version) => version.touched().note(touch),
            Self::Symlink(link) => link.touched.note(touch),
        }
    }
}

/// What a request below a whole directory fails with. A missing permission is
/// for whoever asks to know, not for the operator.
fn refusal(error: std::io::Error, message: impl FnOnce() -> String) -> Error {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied => Errno::EACCES.into(),
        _ => Error::from_host(error, message()),
    }
}

/// What an open of a version fails with that cannot be served.
fn errno_of(state: VersionState) -> Errno {
    match state {
        VersionState::Unknown { errno } => Errno::from_raw(errno),
        _ => Errno::ESTALE,
    }
}
