//! Making members: everything that makes a resource loadable.
//!
//! Labels are written last, when everything they stand for is on stable
//! storage, and first of all the old ones are erased. So whatever is
//! interrupted leaves no container that looks whole and is not.

use std::sync::Arc;

use rustix::fs::FallocateFlags;
use transom_module::{Errno, Error, Outcome, Resource, Result, Task};

use crate::label::{LABEL_BYTES, Label, MEMBERS_MAX, new_identity};
use crate::layout::{BLOCK_BYTES, DATA_END, DATA_START, Layout};
use crate::member::{Member, read_labels, second_label_offset};
use crate::members::{refuse_twice, write_label};
use crate::options::FormatOptions;
use crate::signatures;
use crate::store::{Medium, Store};

/// Erasing, the table, and the two labels.
const STEPS: u64 = 4;

pub(crate) fn format(
    resources: Vec<Resource>,
    options: &FormatOptions,
    task: &Task,
) -> std::result::Result<(), Outcome> {
    let members = take(resources, options.force)?;
    let label = label(&members, options)?;
    let mut done = 0;
    let mut step = || {
        done += 1;
        task.progress(done, STEPS);
    };
    task.checkpoint()?;
    for (member, used) in members.iter().zip(&label.used) {
        erase(member, *used)?;
    }
    step();
    task.checkpoint()?;
    Store::new(members.clone(), label.container).settle()?;
    step();
    // That at the beginning is what is looked at first.
    for is_second in [true, false] {
        task.checkpoint()?;
        for (index, member) in members.iter().enumerate() {
            write_label(member, &label, index, is_second)?;
            member.synchronize()?;
        }
        step();
    }
    let (of, bytes) = (members.len(), label.space().bytes());
    task.log(format!(
        "{} has {of} members and {bytes} bytes",
        label.container
    ));
    Ok(())
}

/// Takes what may be overwritten.
fn take(resources: Vec<Resource>, force: bool) -> Result<Vec<Arc<Member>>> {
    if !(1..=MEMBERS_MAX).contains(&resources.len()) {
        let message = format!(
            "a container has 1 to {MEMBERS_MAX} members, and {} are given",
            resources.len()
        );
        return Err(Error::new(Errno::EINVAL, message));
    }
    refuse_twice(&resources)?;
    let take = |resource| {
        let member = Member::open(&resource, false)?;
        let holds = match read_labels(member.file()) {
            [Ok(None), Ok(None)] => signatures::recognize(member.file()),
            _ => Some("a member of a container"),
        };
        match holds {
            Some(what) if !force => {
                let message = format!(
                    "{} holds {what}; formatting with `force` overwrites it",
                    member.shown()
                );
                Err(Error::new(Errno::EEXIST, message))
            }
            _ => Ok(Arc::new(member)),
        }
    };
    resources.into_iter().map(take).collect()
}

/// What the labels are to say.
fn label(members: &[Arc<Member>], options: &FormatOptions) -> Result<Label> {
    let unit = match options.layout {
        Layout::Linear => BLOCK_BYTES,
        Layout::Stripe { chunk } => chunk,
    };
    let least = DATA_START + unit + DATA_END;
    let used = |member: &Arc<Member>| {
        let size = member.size()?;
        if size < least {
            let message = format!(
                "{} has {size} bytes, and a member has at least {least}",
                member.shown()
            );
            return Err(Error::new(Errno::ENOSPC, message));
        }
        Ok(size / BLOCK_BYTES * BLOCK_BYTES)
    };
    let label = Label {
        container: new_identity()?,
        name: options.name.clone(),
        index: 0,
        layout: options.layout,
        used: members.iter().map(used).collect::<Result<_>>()?,
    };
    match label.is_possible() {
        true => Ok(label),
        false => Err(Error::new(Errno::EFBIG, "a member is too large")),
    }
}

/// Makes sure that a member is recognized as nothing, and that its labels and
/// tables will have room.
fn erase(member: &Member, used: u64) -> Result<()> {
    member.write_zeroes(0, DATA_START)?;
    member.write(second_label_offset(used), &[0; LABEL_BYTES])?;
    // A device has the room, and a file on a host that knows no such thing may
    // lack it later.
    let _ = rustix::fs::fallocate(member.file(), FallocateFlags::KEEP_SIZE, 0, DATA_START);
    member.synchronize()
}
