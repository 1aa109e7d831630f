//! The numbers and structures of `<linux/ublk_cmd.h>`, and what they mean.

use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes};

/// Requests of a device that are under way at a time.
pub const DEPTH: u16 = 16;
/// The most bytes of one request.
pub const REQUEST_BYTES_MAX: u32 = 1 << 20;

const fn command(direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | (b'u' as u32) << 8 | number
}

const fn control(direction: u32, number: u32) -> u32 {
    command(direction, number, size_of::<ControlCommand>())
}

pub(super) const ADD_DEVICE: u32 = control(3, 0x04);
pub(super) const START_DEVICE: u32 = control(3, 0x06);
pub(super) const STOP_DEVICE: u32 = control(3, 0x07);
pub(super) const SET_PARAMETERS: u32 = control(3, 0x08);
pub(super) const DELETE_DEVICE_LATER: u32 = control(2, 0x14);
pub(super) const UPDATE_SIZE: u32 = control(3, 0x15);
pub(super) const FETCH: u32 = command(3, 0x20, size_of::<QueueCommand>());
pub(super) const COMMIT_AND_FETCH: u32 = command(3, 0x21, size_of::<QueueCommand>());

pub(super) const FLAG_USER_COPY: u64 = 1 << 7;
pub(super) const ANY_DEVICE: u32 = u32::MAX;
pub(super) const NO_QUEUE: u16 = u16::MAX;

/// Where the bytes of requests begin in the device file.
const BUFFERS_OFFSET: u64 = 0x8000_0000;
const BUFFER_BITS: u32 = 25;

/// `struct ublksrv_ctrl_cmd`
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct ControlCommand {
    pub(super) device: u32,
    pub(super) queue: u16,
    pub(super) length: u16,
    pub(super) address: u64,
    pub(super) data: u64,
    pub(super) path_length: u16,
    pub(super) padding: u16,
    pub(super) reserved: u32,
}

/// `struct ublksrv_ctrl_dev_info`
#[derive(Clone, Copy, FromZeros)]
#[repr(C)]
pub(super) struct DeviceInfo {
    pub(super) queues: u16,
    pub(super) depth: u16,
    pub(super) state: u16,
    pub(super) padding: u16,
    pub(super) request_bytes_max: u32,
    pub(super) device: u32,
    pub(super) server: i32,
    pub(super) padding_1: u32,
    pub(super) flags: u64,
    pub(super) server_flags: u64,
    pub(super) owner_uid: u32,
    pub(super) owner_gid: u32,
    pub(super) reserved: [u64; 2],
}

/// `struct ublk_params`, as far as it is used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromZeros)]
#[repr(C)]
pub(super) struct Parameters {
    pub(super) length: u32,
    pub(super) types: u32,
    pub(super) attributes: u32,
    pub(super) logical_shift: u8,
    pub(super) physical_shift: u8,
    pub(super) optimal_shift: u8,
    pub(super) minimal_shift: u8,
    pub(super) sectors_max: u32,
    pub(super) chunk_sectors: u32,
    pub(super) sectors: u64,
    pub(super) virtual_boundary: u64,
    pub(super) discard_alignment: u32,
    pub(super) discard_granularity: u32,
    pub(super) discard_sectors_max: u32,
    pub(super) write_zeroes_sectors_max: u32,
    pub(super) discard_segments_max: u16,
    pub(super) reserved: u16,
    pub(super) padding: u32,
}

/// `struct ublksrv_io_cmd`
#[derive(Clone, Copy, FromZeros, IntoBytes, Immutable)]
#[repr(C)]
pub(super) struct QueueCommand {
    pub(super) queue: u16,
    pub(super) tag: u16,
    pub(super) result: i32,
    pub(super) address: u64,
}

/// `struct ublksrv_io_desc`
#[derive(Clone, Copy, FromBytes)]
#[repr(C)]
pub(super) struct Descriptor {
    pub(super) operation_and_flags: u32,
    pub(super) sectors: u32,
    pub(super) first_sector: u64,
    pub(super) address: u64,
}

const _: () = assert!(
    size_of::<ControlCommand>() == 32
        && size_of::<DeviceInfo>() == 64
        && size_of::<Parameters>() == 64
        && size_of::<QueueCommand>() == 16
        && size_of::<Descriptor>() == 24
);

/// What a device is like.
#[derive(Debug, Clone, Copy)]
pub struct Description {
    /// Its size in bytes.
    pub bytes: u64,
    /// The smallest unit, in bytes: a power of 2, at most a page.
    pub block_bytes: u32,
    /// The preferred unit, in bytes: a power of 2. More than a page is a page.
    pub preferred_bytes: u32,
    /// It cannot be written.
    pub read_only: bool,
    /// It takes [`Operation::Discard`].
    pub discards: bool,
}

/// What a request is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Read bytes: [`copy_to`](super::copy_to) hands them over.
    Read,
    /// Write bytes: [`copy_from`](super::copy_from) fetches them.
    Write,
    /// Make what was written durable.
    Flush,
    /// The content is not needed any more.
    Discard,
    /// Make the content zeroes.
    WriteZeroes {
        /// They are to take up space.
        keep_space: bool,
    },
    /// Something that was not offered.
    Other,
}

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// What tells it from the others that are under way.
    pub tag: u16,
    /// What to do.
    pub operation: Operation,
    /// Where, in bytes.
    pub offset: u64,
    /// How much, in bytes.
    pub bytes: u64,
}

pub(super) fn buffer_offset(tag: u16) -> u64 {
    BUFFERS_OFFSET + (u64::from(tag) << BUFFER_BITS)
}

pub(super) fn request(tag: u16, descriptor: Descriptor) -> Request {
    const FLAG_NO_UNMAP: u32 = 1 << 15;
    let said = descriptor.operation_and_flags;
    Request {
        tag,
        operation: match said & 0xff {
            0 => Operation::Read,
            1 => Operation::Write,
            2 => Operation::Flush,
            3 => Operation::Discard,
            5 => Operation::WriteZeroes {
                keep_space: said & FLAG_NO_UNMAP != 0,
            },
            _ => Operation::Other,
        },
        offset: descriptor.first_sector << 9,
        bytes: u64::from(descriptor.sectors) << 9,
    }
}

pub(super) fn parameters(description: &Description) -> Parameters {
    const TYPE_BASIC: u32 = 1;
    const TYPE_DISCARD: u32 = 2;
    const READ_ONLY: u32 = 1;
    const VOLATILE_CACHE: u32 = 1 << 2;
    /// 2 GiB
    const SECTORS_MAX: u32 = 1 << 22;
    let page = rustix::param::page_size() as u32;
    let block = description.block_bytes;
    let preferred = description.preferred_bytes.clamp(block, page.max(block));
    let mut parameters = Parameters::new_zeroed();
    parameters.length = size_of::<Parameters>() as u32;
    parameters.types = TYPE_BASIC;
    parameters.attributes = VOLATILE_CACHE;
    parameters.logical_shift = block.ilog2() as u8;
    parameters.physical_shift = preferred.ilog2() as u8;
    parameters.optimal_shift = parameters.physical_shift;
    parameters.minimal_shift = parameters.physical_shift;
    parameters.sectors_max = REQUEST_BYTES_MAX >> 9;
    parameters.sectors = description.bytes >> 9;
    if description.read_only {
        parameters.attributes |= READ_ONLY;
        return parameters;
    }
    parameters.types |= TYPE_DISCARD;
    parameters.discard_granularity = preferred;
    parameters.write_zeroes_sectors_max = SECTORS_MAX;
    if description.discards {
        parameters.discard_sectors_max = SECTORS_MAX;
        parameters.discard_segments_max = 1;
    }
    parameters
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Description = Description {
        bytes: 1 << 30,
        block_bytes: 512,
        preferred_bytes: 4096,
        read_only: false,
        discards: true,
    };

    /// As `<linux/ublk_cmd.h>` has them, by way of a C compiler.
    #[test]
    fn commands_have_the_numbers_of_the_kernel() {
        assert_eq!(ADD_DEVICE, 0xc020_7504);
        assert_eq!(DELETE_DEVICE_LATER, 0x8020_7514);
        assert_eq!(START_DEVICE, 0xc020_7506);
        assert_eq!(STOP_DEVICE, 0xc020_7507);
        assert_eq!(SET_PARAMETERS, 0xc020_7508);
        assert_eq!(UPDATE_SIZE, 0xc020_7515);
        assert_eq!(FETCH, 0xc010_7520);
        assert_eq!(COMMIT_AND_FETCH, 0xc010_7521);
        assert_eq!(buffer_offset(0), 0x8000_0000);
        assert_eq!(buffer_offset(3), 0x8000_0000 + 3 * (32 << 20));
    }

    #[test]
    fn a_device_is_described_in_sectors_and_powers_of_2() {
        let described = parameters(&DISK);
        assert_eq!((described.length, described.types), (64, 3));
        assert_eq!(described.attributes, 4, "what is written has to be flushed");
        assert_eq!((described.logical_shift, described.physical_shift), (9, 12));
        assert_eq!((described.sectors, described.sectors_max), (2 << 20, 2048));
        assert_eq!(described.discard_segments_max, 1);
        let read_only = parameters(&Description {
            read_only: true,
            ..DISK
        });
        assert_eq!((read_only.types, read_only.attributes), (1, 5));
        let rigid = parameters(&Description {
            preferred_bytes: 1 << 20,
            discards: false,
            ..DISK
        });
        assert_eq!(
            (rigid.discard_sectors_max, rigid.discard_segments_max),
            (0, 0)
        );
        assert_eq!(rigid.physical_shift, 12, "no more than a page");
    }

    #[test]
    fn requests_are_read_from_what_the_kernel_writes() {
        let descriptor = |operation_and_flags| Descriptor {
            operation_and_flags,
            sectors: 8,
            first_sector: 100,
            address: 0,
        };
        let read = request(3, descriptor(1 << 8));
        let expected = Request {
            tag: 3,
            operation: Operation::Read,
            offset: 51200,
            bytes: 4096,
        };
        assert_eq!(read, expected);
        let operation = |said| request(0, descriptor(said)).operation;
        assert_eq!(operation(2), Operation::Flush);
        assert_eq!(operation(3), Operation::Discard);
        assert_eq!(operation(4), Operation::Other);
        let zeroes = |keep_space| Operation::WriteZeroes { keep_space };
        assert_eq!(operation(5), zeroes(false));
        assert_eq!(operation(1 << 15 | 5), zeroes(true));
    }
}
