//! Directories that are made of declared names, and perhaps of a directory of
//! the host as well.

use std::ffi::OsStr;
use std::sync::{Arc, OnceLock};

use transom_module::{
    Attributes, Changes, Context, Entry, Errno, ItemKind, Lookup, Name, NewItem, NewKind, Result,
    Volume,
};
use transom_passthrough::{Item as HostItem, Passthrough};
use transom_projection::ViewPath;

use super::mappings::OwnFile;
use super::sandboxes::Sandbox;

/// What a counterpart is like that we make.
const NEW_PERMISSIONS: u16 = 0o755;

/// A directory of a sandbox whose names are the declared ones.
#[derive(Debug)]
pub(crate) struct Directory {
    pub(crate) sandbox: Arc<Sandbox>,
    pub(crate) path: ViewPath,
    pub(crate) declared: transom_projection::Item,
    pub(crate) attributes: Attributes,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    /// It has the declared names only.
    ReadOnly,
    /// It is what a host directory was mapped as.
    Mapped(HostItem),
    /// It lies in one that is writable.
    Below {
        parent: Arc<Directory>,
        name: Name,
        /// Known from the moment that it was seen to exist.
        counterpart: OnceLock<HostItem>,
    },
}

impl Directory {
    /// The directory that `path` of a sandbox stands for. `entry` is what the
    /// projection has there, and `parent` the directory it was found in.
    pub(crate) fn new(
        host: &Passthrough,
        sandbox: &Arc<Sandbox>,
        path: ViewPath,
        parent: Option<&Arc<Self>>,
        entry: Entry<transom_projection::Item>,
    ) -> Result<Self> {
        let name = path.file_name().map(OsStr::as_encoded_bytes);
        let kind = match (sandbox.writable.get(&path), parent, name) {
            (Some(mapped), ..) => Kind::Mapped(host.adopt(mapped.clone())?.item),
            (None, Some(parent), Some(name)) if parent.is_writable() => Kind::Below {
                parent: parent.clone(),
                name: Name::new(name).map_err(|_| Errno::EINVAL)?,
                counterpart: OnceLock::new(),
            },
            _ => Kind::ReadOnly,
        };
        Ok(Self {
            sandbox: sandbox.clone(),
            path,
            declared: entry.item,
            attributes: entry.attributes,
            kind,
        })
    }

    pub(crate) fn is_writable(&self) -> bool {
        !matches!(self.kind, Kind::ReadOnly)
    }

    /// The file of that name which the projection does not have.
    pub(crate) fn own_file(&self, name: &OsStr) -> Option<&OwnFile> {
        self.sandbox.files.get(&self.path)?.get(name)
    }

    /// The host directory beside it, if there is one.
    pub(crate) fn counterpart(&self, host: &Passthrough) -> Result<Option<&HostItem>> {
        match &self.kind {
            Kind::ReadOnly => Ok(None),
            Kind::Mapped(item) => Ok(Some(item)),
            Kind::Below {
                parent,
                name,
                counterpart,
            } => {
                if let Some(known) = counterpart.get() {
                    return Ok(Some(known));
                }
                let Some(parent) = parent.counterpart(host)? else {
                    return Ok(None);
                };
                Ok(match host.lookup(&Context::internal(), parent, name)? {
                    Lookup::Found(found) if found.attributes.kind == ItemKind::Directory => {
                        Some(counterpart.get_or_init(|| found.item))
                    }
                    _ => None,
                })
            }
        }
    }

    /// The host directory beside it, which is made if there is none. `EROFS` if
    /// there shall be none.
    pub(crate) fn counterpart_to_change(
        &self,
        context: &Context<'_>,
        host: &Passthrough,
    ) -> Result<&HostItem> {
        if let Some(there) = self.counterpart(host)? {
            return Ok(there);
        }
        let Kind::Below {
            parent,
            name,
            counterpart,
        } = &self.kind
        else {
            return Err(Errno::EROFS.into());
        };
        let new = NewItem {
            kind: NewKind::Directory,
            permissions: NEW_PERMISSIONS,
            umask: 0,
        };
        let parent = parent.counterpart_to_change(context, host)?;
        match host.create(context, parent, name, &new) {
            Ok(made) => Ok(counterpart.get_or_init(|| made.item)),
            // Somebody else was first, or something else is there.
            Err(error) => self.counterpart(host)?.ok_or(error),
        }
    }

    /// What the nearest host directory at or above it is like.
    pub(crate) fn host_attributes(&self, host: &Passthrough) -> Result<Option<Attributes>> {
        let mut directory = self;
        loop {
            if let Some(item) = directory.counterpart(host)? {
                let (attributes, _) = host.attributes(&Context::internal(), item)?;
                return Ok(Some(attributes));
            }
            match &directory.kind {
                Kind::Below { parent, .. } => directory = parent,
                Kind::ReadOnly | Kind::Mapped(_) => return Ok(None),
            }
        }
    }
}
