use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::FileType;
use rustix::io::Errno;

use super::{ATTRIBUTES, Answer, Operation, Outcome, Presence, Rename, Status, Subject};

/// The naive tree.
#[derive(Debug, Clone)]
pub struct Model {
    /// By number. Those that lost their last name stay.
    items: Vec<Item>,
}

#[derive(Debug, Clone)]
struct Item {
    content: Content,
    permissions: u32,
    modified: Option<(i64, u32)>,
    attributes: BTreeMap<&'static str, Vec<u8>>,
}

#[derive(Debug, Clone)]
enum Content {
    File(Vec<u8>),
    Directory(BTreeMap<OsString, usize>),
    Symlink(OsString),
    Pipe,
}

/// The number of the root.
const ROOT: usize = 0;

/// More than any file here can have.
const EVERYTHING: usize = 1 << 20;

impl Default for Model {
    fn default() -> Self {
        Self {
            items: vec![Item::new(Content::Directory(BTreeMap::new()), 0o755)],
        }
    }
}

impl Item {
    fn new(content: Content, permissions: u32) -> Self {
        Self {
            content,
            permissions,
            modified: None,
            attributes: BTreeMap::new(),
        }
    }

    /// Only files and directories may have attributes of users.
    fn may_have_attributes(&self) -> bool {
        matches!(self.content, Content::File(_) | Content::Directory(_))
    }
}

impl Model {
    /// Compares everything there is. Panics where `subject` differs.
    pub fn compare(&self, subject: &mut impl Subject) {
        let mut model = self.clone();
        for path in self.paths() {
            let looks = [
                Operation::Stat(path.clone()),
                Operation::List(path.clone()),
                Operation::ReadLink(path.clone()),
                Operation::Read {
                    path: path.clone(),
                    offset: 0,
                    length: EVERYTHING,
                },
            ];
            let attributes = ATTRIBUTES.map(|name| Operation::GetAttribute {
                path: path.clone(),
                name,
            });
            for look in looks.iter().chain(&attributes) {
                assert_eq!(subject.apply(look), model.apply(look), "{look:?}");
            }
        }
    }

    /// Every path but that of the root, whose attributes nobody set.
    fn paths(&self) -> Vec<PathBuf> {
        let mut paths = Vec::new();
        let mut left = vec![(PathBuf::new(), ROOT)];
        while let Some((path, number)) = left.pop() {
            if let Content::Directory(entries) = &self.items[number].content {
                left.extend(
                    entries
                        .iter()
                        .map(|(name, number)| (path.join(name), *number)),
                );
            }
            if number != ROOT {
                paths.push(path);
            }
        }
        paths
    }

    fn walk(&self, path: &Path) -> Result<usize, Errno> {
        path.iter()
            .try_fold(ROOT, |directory, name| self.child(directory, name))
    }

    fn child(&self, directory: usize, name: &OsStr) -> Result<usize, Errno> {
        let Content::Directory(entries) = &self.items[directory].content else {
            return Err(Errno::NOTDIR);
        };
        entries.get(name).copied().ok_or(Errno::NOENT)
    }

    /// The directory that the last name of a path belongs to, and the name.
    fn place<'p>(&self, path: &'p Path) -> Result<(usize, &'p OsStr), Errno> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let directory = self.walk(path.parent().unwrap_or(Path::new("")))?;
        match self.items[directory].content {
            Content::Directory(_) => Ok((directory, name)),
            _ => Err(Errno::NOTDIR),
        }
    }

    fn entries(&mut self, directory: usize) -> &mut BTreeMap<OsString, usize> {
        let directory = &mut self.items[directory];
        directory.modified = None;
        match &mut directory.content {
            Content::Directory(entries) => entries,
            other => panic!("{other:?} is no directory"),
        }
    }

    fn free_place<'p>(&self, path: &'p Path) -> Result<(usize, &'p OsStr), Errno> {
        let (directory, name) = self.place(path)?;
        match self.child(directory, name) {
            Ok(_) => Err(Errno::EXIST),
            Err(_) => Ok((directory, name)),
        }
    }

    fn make(&mut self, path: &Path, content: Content, permissions: u32) -> Outcome {
        let (directory, name) = self.free_place(path)?;
        let number = self.items.len();
        self.items.push(Item::new(content, permissions));
        self.entries(directory).insert(name.to_owned(), number);
        Ok(Answer::Done)
    }

    /// What opening finds.
    fn bytes(&mut self, path: &Path) -> Result<&mut Vec<u8>, Errno> {
        let number = self.walk(path)?;
        match &mut self.items[number].content {
            Content::File(bytes) => Ok(bytes),
            Content::Directory(_) => Err(Errno::ISDIR),
            Content::Symlink(_) => Err(Errno::LOOP),
            Content::Pipe => Err(Errno::NXIO),
        }
    }

    fn is_directory(&self, number: usize) -> bool {
        matches!(self.items[number].content, Content::Directory(_))
    }

    fn is_empty(&self, number: usize) -> bool {
        matches!(&self.items[number].content, Content::Directory(entries) if entries.is_empty())
    }

    /// Whether `number` is `above` or somewhere below it.
    fn is_within(&self, number: usize, above: usize) -> bool {
        number == above
            || match &self.items[above].content {
                Content::Directory(entries) => {
                    entries.values().any(|below| self.is_within(number, *below))
                }
                _ => false,
            }
    }

    fn rename(&mut self, old: &Path, new: &Path, how: Rename) -> Outcome {
        let (from, old_name) = self.place(old)?;
        let (to, new_name) = self.place(new)?;
        let moved = self.child(from, old_name)?;
        let replaced = self.child(to, new_name).ok();
        match (how, replaced) {
            (Rename::Exchange, None) => return Err(Errno::NOENT),
            (Rename::NoReplace, Some(_)) => return Err(Errno::EXIST),
            _ => {}
        }
        if self.is_within(to, moved) {
            return Err(Errno::INVAL);
        }
        if let Some(replaced) = replaced {
            if self.is_within(from, replaced) {
                return Err(match how {
                    Rename::Exchange => Errno::INVAL,
                    _ => Errno::NOTEMPTY,
                });
            }
            if replaced == moved {
                return Ok(Answer::Done);
            }
            match (self.is_directory(moved), self.is_directory(replaced)) {
                _ if how == Rename::Exchange => {}
                (true, false) => return Err(Errno::NOTDIR),
                (false, true) => return Err(Errno::ISDIR),
                (true, true) if !self.is_empty(replaced) => return Err(Errno::NOTEMPTY),
                _ => {}
            }
        }
        self.entries(from).remove(old_name);
        self.entries(to).insert(new_name.to_owned(), moved);
        if let (Rename::Exchange, Some(replaced)) = (how, replaced) {
            self.entries(from).insert(old_name.to_owned(), replaced);
        }
        Ok(Answer::Done)
    }

    fn status(&self, number: usize) -> Status {
        let item = &self.items[number];
        let names = self.items.iter().map(|item| match &item.content {
            Content::Directory(entries) => entries.values().filter(|of| **of == number).count(),
            _ => 0,
        });
        let (kind, links, size) = match &item.content {
            Content::File(bytes) => (FileType::RegularFile, names.sum(), bytes.len()),
            Content::Directory(_) => (FileType::Directory, 0, 0),
            Content::Symlink(target) => (FileType::Symlink, names.sum(), target.len()),
            Content::Pipe => (FileType::Fifo, names.sum(), 0),
        };
        Status {
            kind,
            permissions: item.permissions,
            links: links as u32,
            size: size as u64,
            modified: item.modified,
        }
    }
}

impl Subject for Model {
    fn apply(&mut self, operation: &Operation) -> Outcome {
        match operation {
            Operation::Create { path, permissions } => {
                return self.make(path, Content::File(Vec::new()), *permissions);
            }
            Operation::MakeDirectory { path, permissions } => {
                return self.make(path, Content::Directory(BTreeMap::new()), *permissions);
            }
            Operation::MakePipe { path, permissions } => {
                return self.make(path, Content::Pipe, *permissions);
            }
            Operation::MakeSymlink { path, target } => {
                return self.make(path, Content::Symlink(target.clone()), 0o777);
            }
            Operation::Link { old, new } => {
                let number = self.walk(old)?;
                let (directory, name) = self.free_place(new)?;
                if self.is_directory(number) {
                    return Err(Errno::PERM);
                }
                self.entries(directory).insert(name.to_owned(), number);
            }
            Operation::Unlink(path) => {
                let (directory, name) = self.place(path)?;
                let number = self.child(directory, name)?;
                if self.is_directory(number) {
                    return Err(Errno::ISDIR);
                }
                self.entries(directory).remove(name);
            }
            Operation::RemoveDirectory(path) => {
                let (directory, name) = self.place(path)?;
                let number = self.child(directory, name)?;
                if !self.is_directory(number) {
                    return Err(Errno::NOTDIR);
                }
                if !self.is_empty(number) {
                    return Err(Errno::NOTEMPTY);
                }
                self.entries(directory).remove(name);
            }
            Operation::Rename { old, new, how } => return self.rename(old, new, *how),
            Operation::Write {
                path,
                offset,
                bytes,
            } => {
                let content = self.bytes(path)?;
                let start = *offset as usize;
                let end = start + bytes.len();
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
                let number = self.walk(path)?;
                self.items[number].modified = None;
            }
            Operation::Resize { path, size } => {
                self.bytes(path)?.resize(*size as usize, 0);
                let number = self.walk(path)?;
                self.items[number].modified = None;
            }
            Operation::SetPermissions { path, permissions } => {
                let number = self.walk(path)?;
                let item = &mut self.items[number];
                if matches!(item.content, Content::Symlink(_)) {
                    return Err(Errno::OPNOTSUPP);
                }
                item.permissions = *permissions;
            }
            Operation::SetTime { path, time } => {
                let number = self.walk(path)?;
                self.items[number].modified = Some(*time);
            }
            Operation::SetAttribute {
                path,
                name,
                value,
                presence,
            } => {
                let number = self.walk(path)?;
                let item = &mut self.items[number];
                match (presence, item.attributes.contains_key(name)) {
                    _ if !item.may_have_attributes() => return Err(Errno::PERM),
                    (Presence::MustNotExist, true) => return Err(Errno::EXIST),
                    (Presence::MustExist, false) => return Err(Errno::NODATA),
                    _ => item.attributes.insert(name, value.clone()),
                };
            }
            Operation::RemoveAttribute { path, name } => {
                let number = self.walk(path)?;
                let item = &mut self.items[number];
                if !item.may_have_attributes() {
                    return Err(Errno::PERM);
                }
                item.attributes.remove(name).ok_or(Errno::NODATA)?;
            }
            Operation::GetAttribute { path, name } => {
                let item = &self.items[self.walk(path)?];
                let value = item.attributes.get(name).cloned();
                return value.map(Answer::Bytes).ok_or(Errno::NODATA);
            }
            Operation::Read {
                path,
                offset,
                length,
            } => {
                let content = self.bytes(path)?;
                let start = content.len().min(*offset as usize);
                let end = content.len().min(start + length);
                return Ok(Answer::Bytes(content[start..end].to_vec()));
            }
            Operation::ReadLink(path) => {
                return match &self.items[self.walk(path)?].content {
                    Content::Symlink(target) => Ok(Answer::Bytes(target.as_bytes().to_vec())),
                    _ => Err(Errno::INVAL),
                };
            }
            Operation::List(path) => {
                return match &self.items[self.walk(path)?].content {
                    Content::Directory(entries) => {
                        Ok(Answer::Names(entries.keys().cloned().collect()))
                    }
                    _ => Err(Errno::NOTDIR),
                };
            }
            Operation::Stat(path) => return Ok(Answer::Status(self.status(self.walk(path)?))),
        }
        Ok(Answer::Done)
    }
}
