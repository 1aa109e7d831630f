//! The bytes of open files: those of a host file are handled here, all others
//! by the volume.

use std::sync::Arc;

use transom_module::{Context, Errno, LockOwner, Region, Space, Synchronize, Volume, WriteMode};
use transom_sys::fuse_abi as abi;

use super::{Result, Server, host_error};
use crate::counters::add;
use crate::open_files::OpenFile;
use crate::reply::Answer;

impl<V: Volume> Server<V> {
    pub(super) fn file(&self, number: u64) -> std::result::Result<Arc<OpenFile<V>>, Errno> {
        self.open_files.get(number).ok_or(Errno::EBADF)
    }

    pub(super) fn read(
        &self,
        context: &Context<'_>,
        args: &abi::ReadIn,
        payload: &mut [u8],
    ) -> Result {
        let file = self.file(args.fh)?;
        let size = payload.len().min(args.size as usize);
        let buffer = &mut payload[..size];
        let length = match &file.host {
            Some(host) => host.read(args.offset, buffer).map_err(host_error)?,
            None => self.definition.volume.read(
                context,
                file.node.item(),
                file.handle(),
                args.offset,
                buffer,
            )?,
        };
        add(&self.counters.bytes_read, length as u64);
        Ok(Answer::Payload(length))
    }

    pub(super) fn write(
        &self,
        context: &Context<'_>,
        args: &abi::WriteIn,
        data: &[u8],
        payload: &mut [u8],
    ) -> Result {
        let file = self.file(args.fh)?;
        let from_mapping = args.write_flags & abi::flags::WRITE_CACHE != 0;
        let mode = WriteMode {
            append: args.flags.cast_signed() & libc::O_APPEND != 0 && !from_mapping,
            drop_privileges: args.write_flags & abi::flags::WRITE_KILL_SUIDGID != 0,
            from_mapping,
        };
        let length = match &file.host {
            Some(host) => {
                if mode.drop_privileges {
                    self.drop_set_id_bits(context, &file.node, host)?;
                }
                host.write(args.offset, data, mode.append)
                    .map_err(host_error)?
            }
            None => self.definition.writes().ok_or(Errno::EROFS)?.write(
                context,
                file.node.item(),
                file.handle(),
                args.offset,
                data,
                mode,
            )?,
        };
        add(&self.counters.bytes_written, length as u64);
        let size = length as u32;
        Ok(Answer::value(payload, &abi::WriteOut { size, padding: 0 }))
    }

    pub(super) fn flush(&self, context: &Context<'_>, args: &abi::FlushIn) -> Result {
        let writes = self.definition.writes();
        if writes.is_none() && self.definition.locks().is_none() {
            return Err(Errno::ENOSYS.into());
        }
        let file = self.file(args.fh)?;
        self.give_locks_back(context, &file, LockOwner::Process(args.lock_owner))?;
        if let Some(group) = writes
            && file.host.is_none()
        {
            group.flush(context, file.node.item(), file.handle())?;
        }
        Ok(Answer::EMPTY)
    }

    /// Of a file or a directory.
    pub(super) fn synchronize(&self, context: &Context<'_>, args: &abi::FsyncIn) -> Result {
        let what = if args.fsync_flags & abi::flags::FSYNC_FDATASYNC != 0 {
            Synchronize::Data
        } else {
            Synchronize::All
        };
        let Ok(file) = self.file(args.fh) else {
            // A directory that was opened without telling us.
            return self.synchronize_volume(context);
        };
        match (&file.host, self.definition.synchronization()) {
            (Some(host), _) => host.synchronize(what).map_err(host_error)?,
            (None, Some(group)) => {
                group.synchronize_item(context, file.node.item(), file.handle(), what)?;
            }
            // Success, from now on without asking.
            (None, None) => return Err(Errno::ENOSYS.into()),
        }
        Ok(Answer::EMPTY)
    }

    pub(super) fn synchronize_volume(&self, context: &Context<'_>) -> Result {
        self.definition
            .synchronization()
            .ok_or(Errno::ENOSYS)?
            .synchronize(context)?;
        Ok(Answer::EMPTY)
    }

    pub(super) fn allocate(&self, context: &Context<'_>, args: &abi::FallocateIn) -> Result {
        let file = self.file(args.fh)?;
        if let Some(host) = &file.host {
            self.drop_set_id_bits(context, &file.node, host)?;
            host.allocate(args.mode, args.offset, args.length)
                .map_err(host_error)?;
            return Ok(Answer::EMPTY);
        }
        let group = self.definition.allocation().ok_or(Errno::EOPNOTSUPP)?;
        let end = args.offset.checked_add(args.length).ok_or(Errno::EFBIG)?;
        group.allocate(
            context,
            file.node.item(),
            file.handle(),
            space(args.mode)?,
            args.offset..end,
        )?;
        Ok(Answer::EMPTY)
    }

    pub(super) fn seek(
        &self,
        context: &Context<'_>,
        args: &abi::LseekIn,
        payload: &mut [u8],
    ) -> Result {
        let region = match args.whence.cast_signed() {
            libc::SEEK_DATA => Region::Data,
            libc::SEEK_HOLE => Region::Hole,
            _ => return Err(Errno::EINVAL.into()),
        };
        let file = self.file(args.fh)?;
        let offset = match &file.host {
            Some(host) => host.seek(args.offset, region).map_err(host_error)?,
            // The kernel then takes the file for all data.
            None => self.definition.regions().ok_or(Errno::ENOSYS)?.seek(
                context,
                file.node.item(),
                file.handle(),
                args.offset,
                region,
            )?,
        };
        Ok(Answer::value(payload, &abi::LseekOut { offset }))
    }

    pub(super) fn copy_range(
        &self,
        context: &Context<'_>,
        args: &abi::CopyFileRangeIn,
    ) -> std::result::Result<u64, transom_module::Error> {
        // There are no flags yet.
        if args.flags != 0 {
            return Err(Errno::EINVAL.into());
        }
        let (from, to) = (self.file(args.fh_in)?, self.file(args.fh_out)?);
        if let (Some(from), Some(host)) = (&from.host, &to.host) {
            self.drop_set_id_bits(context, &to.node, host)?;
            return from
                .copy_to(args.off_in, host, args.off_out, args.len)
                .map_err(host_error);
        }
        match self.definition.copies() {
            Some(group) if from.host.is_none() && to.host.is_none() => group.copy_range(
                context,
                (from.node.item(), from.handle(), args.off_in),
                (to.node.item(), to.handle(), args.off_out),
                args.len,
            ),
            // The kernel copies by reading and writing.
            _ => Err(Errno::EOPNOTSUPP.into()),
        }
    }
}

/// From the mode of `fallocate(2)`.
fn space(mode: u32) -> std::result::Result<Space, Errno> {
    let keep_size = mode.cast_signed() & libc::FALLOC_FL_KEEP_SIZE != 0;
    match mode.cast_signed() & !libc::FALLOC_FL_KEEP_SIZE {
        0 => Ok(Space::Reserve { keep_size }),
        libc::FALLOC_FL_PUNCH_HOLE => Ok(Space::Punch),
        libc::FALLOC_FL_ZERO_RANGE => Ok(Space::Zero { keep_size }),
        libc::FALLOC_FL_COLLAPSE_RANGE => Ok(Space::Collapse),
        libc::FALLOC_FL_INSERT_RANGE => Ok(Space::Insert),
        libc::FALLOC_FL_UNSHARE_RANGE => Ok(Space::Unshare),
        _ => Err(Errno::EOPNOTSUPP),
    }
}
