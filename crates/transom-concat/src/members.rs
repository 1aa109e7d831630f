//! The members of one container, those that are there and those that are not.

use std::collections::HashSet;
use std::sync::Arc;

use transom_module::{Errno, Error, Resource, ResourceKind, Result};

use crate::label::Label;
use crate::layout::{Extent, Space};
use crate::member::{Member, read_labels, second_label_offset};
use crate::store::{Medium, Store};

/// All members of a container, by their index.
#[derive(Debug)]
pub(crate) struct Members {
    /// What the labels agree on; its index means nothing.
    label: Label,
    space: Space,
    read_only: bool,
    places: Vec<Option<Arc<Member>>>,
    damaged_labels: Vec<DamagedLabel>,
}

/// A copy of a label that is not as it should be, though the other is.
#[derive(Debug)]
struct DamagedLabel {
    member: usize,
    is_second: bool,
    why: String,
}

impl Members {
    /// Takes resources that are members of the same container, all or some.
    ///
    /// `EINVAL` for what is no member, or of another container, or is there
    /// twice; `EIO` for what is damaged or too short; `EBUSY` for what somebody
    /// else has taken. All name the resource.
    pub(crate) fn open(resources: Vec<Resource>, read_only: bool) -> Result<Self> {
        refuse_twice(&resources)?;
        let mut members: Option<Self> = None;
        for resource in resources {
            let member = Member::open(&resource, read_only)?;
            let [first, second] = read_labels(member.file());
            let label = choose(&member, &first, &second)?;
            let members = members.get_or_insert_with(|| Self::without(label.clone(), read_only));
            let copies = [(first, false), (second, true)];
            let wrong = copies.into_iter().filter_map(|(copy, is_second)| {
                let why = why_wrong(copy, &label)?;
                Some(DamagedLabel {
                    member: label.index,
                    is_second,
                    why,
                })
            });
            members.damaged_labels.extend(wrong);
            members.place(member, &label)?;
        }
        members.ok_or_else(|| Error::new(Errno::EINVAL, "there is no member"))
    }

    fn without(label: Label, read_only: bool) -> Self {
        Self {
            space: label.space(),
            places: label.used.iter().map(|_| None).collect(),
            label,
            read_only,
            damaged_labels: Vec::new(),
        }
    }

    fn place(&mut self, member: Member, label: &Label) -> Result<()> {
        let (index, shown) = (label.index, member.shown().to_string());
        if !self.label.agrees_with(label) {
            let message = format!(
                "{shown} is a member of {} ({}), and others are of {} ({})",
                label.shown(),
                label.container,
                self.label.shown(),
                self.label.container
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        if let Some(other) = &self.places[index] {
            let message = format!(
                "{shown} and {} both say that they are {}: one is a copy",
                other.shown(),
                self.name_of(index)
            );
            return Err(Error::new(Errno::EINVAL, message));
        }
        let (size, used) = (member.size()?, label.used[index]);
        if size < used {
            let message = format!("{shown} has {size} bytes, and its label says {used}");
            return Err(Error::new(Errno::EIO, message));
        }
        self.places[index] = Some(Arc::new(member));
        Ok(())
    }

    pub(crate) fn label(&self) -> &Label {
        &self.label
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    pub(crate) fn read_only(&self) -> bool {
        self.read_only
    }

    /// Those that are there, with their index.
    pub(crate) fn present(&self) -> impl Iterator<Item = (usize, &Arc<Member>)> {
        let places = self.places.iter().enumerate();
        places.filter_map(|(index, member)| Some((index, member.as_ref()?)))
    }

    /// The names of those that are missing.
    pub(crate) fn missing(&self) -> Vec<String> {
        let places = self.places.iter().enumerate();
        places
            .filter(|(_, member)| member.is_none())
            .map(|(index, _)| self.name_of(index))
            .collect()
    }

    /// One of them. `EIO` if it is missing.
    pub(crate) fn get(&self, index: usize) -> Result<&Arc<Member>> {
        self.places[index].as_ref().ok_or_else(|| {
            let message = format!("{} is missing", self.name_of(index));
            Error::new(Errno::EIO, message)
        })
    }

    /// What to call a member, whether it is there or not.
    pub(crate) fn name_of(&self, index: usize) -> String {
        let of = self.places.len();
        format!("member {} of {of} of {}", index + 1, self.label.shown())
    }

    /// The table of volumes on those that are there; `restore` is told at
    /// [`Store::open`].
    pub(crate) fn store(&self, restore: bool) -> Result<Store<Member>> {
        let present = self.present().map(|(_, member)| Arc::clone(member));
        Store::open(
            present.collect(),
            self.label.container,
            &self.space,
            restore,
        )
    }

    /// Makes parts of the space zeroes, durably.
    pub(crate) fn clear(&self, extents: &[Extent]) -> Result<()> {
        let mut touched = HashSet::new();
        for piece in extents.iter().flat_map(|extent| self.space.spans(*extent)) {
            self.get(piece.member)?
                .write_zeroes(piece.offset, piece.bytes)?;
            touched.insert(piece.member);
        }
        touched
            .into_iter()
            .try_for_each(|member| self.get(member)?.synchronize())
    }

    /// Gives parts of the space back that nobody uses, where members can do
    /// that.
    pub(crate) fn give_back(&self, extents: &[Extent]) {
        for piece in extents.iter().flat_map(|extent| self.space.spans(*extent)) {
            if let Ok(member) = self.get(piece.member) {
                // It costs space if it fails, and nothing else.
                let _ = member.punch(piece.offset, piece.bytes);
            }
        }
    }

    /// Makes durable what was written to any of them.
    pub(crate) fn synchronize(&self) -> Result<()> {
        self.present()
            .try_for_each(|(_, member)| member.synchronize())
    }

    /// What is wrong with labels, a sentence for each copy.
    pub(crate) fn label_damage(&self) -> impl Iterator<Item = String> {
        self.damaged_labels.iter().map(|damaged| {
            let end = if damaged.is_second {
                "end"
            } else {
                "beginning"
            };
            let name = self.name_of(damaged.member);
            format!(
                "the label at the {end} of {name} is damaged: {}",
                damaged.why
            )
        })
    }

    /// Writes the copies of labels that are damaged anew.
    pub(crate) fn repair_labels(&self) -> Result<()> {
        for damaged in &self.damaged_labels {
            let member = self.get(damaged.member)?;
            write_label(member, &self.label, damaged.member, damaged.is_second)?;
            member.synchronize()?;
        }
        Ok(())
    }
}

/// Writes one copy of the label of a member.
pub(crate) fn write_label(
    member: &Member,
    common: &Label,
    index: usize,
    is_second: bool,
) -> Result<()> {
    let label = Label {
        index,
        ..common.clone()
    };
    let offset = if is_second {
        second_label_offset(label.used[index])
    } else {
        0
    };
    member.write(offset, &label.encode())
}

/// `EINVAL` if the same file or device is there twice.
pub(crate) fn refuse_twice(resources: &[Resource]) -> Result<()> {
    let mut seen = HashSet::new();
    for resource in resources {
        let status = rustix::fs::fstat(resource)
            .map_err(|error| Error::from_host(error.into(), "cannot examine a descriptor"))?;
        let itself = match resource.kind() {
            ResourceKind::BlockDevice => (status.st_rdev, 0),
            _ => (status.st_dev, status.st_ino),
        };
        if !seen.insert((resource.kind(), itself)) {
            let message = format!("`{}` is given twice", resource.path().display());
            return Err(Error::new(Errno::EINVAL, message));
        }
    }
    Ok(())
}

type Copy = Result<Option<Label>>;

/// The copy that holds.
fn choose(member: &Member, first: &Copy, second: &Copy) -> Result<Label> {
    match (first, second) {
        (Ok(Some(label)), _) | (_, Ok(Some(label))) => Ok(label.clone()),
        (Err(why), _) | (_, Err(why)) => {
            let message = format!("{} cannot be used: {why}", member.shown());
            Err(Error::new(why.errno(), message))
        }
        (Ok(None), Ok(None)) => {
            let message = format!("{} is no member of a container", member.shown());
            Err(Error::new(Errno::EINVAL, message))
        }
    }
}

fn why_wrong(copy: Copy, label: &Label) -> Option<String> {
    match copy {
        Ok(Some(copy)) if copy == *label => None,
        Ok(Some(_)) => Some("it differs from the other".into()),
        Ok(None) => Some("there is none".into()),
        Err(why) => Some(why.to_string()),
    }
}
