//! The requests to the SCSI generic driver, behind a trait without `unsafe`.
//!
//! [`Driver`] is what the rest of this room sees: it takes borrowed buffers, so nothing above can hand the
//! kernel a pointer that does not live. Tests put a driver of their own in its place. [`Kernel`] is the
//! real one, and the only code of this crate that needs `unsafe`.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::time::Duration;

use nix::sys::signal::{SigSet, SigmaskHow};

const SG_IO: libc::c_ulong = 0x2285;
const SG_SET_RESERVED_SIZE: libc::c_ulong = 0x2275;
const SG_GET_SG_TABLESIZE: libc::c_ulong = 0x227f;
const SG_GET_VERSION_NUM: libc::c_ulong = 0x2282;
/// For SCSI generic nodes: the largest transfer in bytes.
const BLKSECTGET: libc::c_ulong = 0x1267;

const DIRECTION_NONE: libc::c_int = -1;
const DIRECTION_TO_DEVICE: libc::c_int = -2;
const DIRECTION_FROM_DEVICE: libc::c_int = -3;

/// Bytes of sense data that are taken.
pub(super) const SENSE_BYTES: usize = 64;
/// Buffer that the driver sets aside for a device, so that a transfer needs no memory when memory is
/// short: four blocks of 256 KiB.
const RESERVED_BYTES: libc::c_int = 1 << 20;
/// Each entry of the adapter's list takes at least a page.
const LIST_ENTRY_BYTES: u64 = 4096;

/// What the driver reports besides the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Completion {
    pub status: u8,
    pub host_status: u16,
    pub driver_status: u16,
    /// Bytes asked for and not moved, as the adapter says.
    pub residual: i32,
    /// Bytes of sense data that were stored.
    pub sense_length: usize,
}

/// The data that goes with a command.
#[derive(Debug)]
pub(super) enum Phase<'a> {
    None,
    ToDevice(&'a [u8]),
    FromDevice(&'a mut [u8]),
}

/// The requests that are made of the SCSI generic driver.
pub(super) trait Driver: Send {
    /// Sends one command and waits for its end. `Err`: the kernel did not take it.
    fn submit(
        &mut self,
        cdb: &[u8],
        phase: Phase<'_>,
        sense: &mut [u8; SENSE_BYTES],
        timeout: Duration,
    ) -> io::Result<Completion>;

    /// Version of the driver's interface.
    fn version(&mut self) -> io::Result<i32>;

    /// Has the driver set a buffer aside, if it can.
    fn reserve(&mut self);

    /// Largest transfer of one command in bytes, if the kernel tells.
    fn transfer_bytes_max(&mut self) -> Option<u64>;
}

/// `struct sg_io_hdr` of `<scsi/sg.h>`.
#[repr(C)]
#[derive(Debug)]
struct SgIoHeader {
    interface_id: libc::c_int,
    dxfer_direction: libc::c_int,
    cmd_len: libc::c_uchar,
    mx_sb_len: libc::c_uchar,
    iovec_count: libc::c_ushort,
    dxfer_len: libc::c_uint,
    dxferp: *mut libc::c_void,
    cmdp: *const libc::c_uchar,
    sbp: *mut libc::c_uchar,
    timeout: libc::c_uint,
    flags: libc::c_uint,
    pack_id: libc::c_int,
    usr_ptr: *mut libc::c_void,
    status: libc::c_uchar,
    masked_status: libc::c_uchar,
    msg_status: libc::c_uchar,
    sb_len_wr: libc::c_uchar,
    host_status: libc::c_ushort,
    driver_status: libc::c_ushort,
    resid: libc::c_int,
    duration: libc::c_uint,
    info: libc::c_uint,
}

#[cfg(target_pointer_width = "64")]
const _: () = assert!(std::mem::size_of::<SgIoHeader>() == 88);

/// The kernel's driver behind an open SCSI generic node.
pub(super) struct Kernel(File);

impl Kernel {
    /// Takes a node that was found to be one of SCSI generic.
    pub fn new(file: File) -> Kernel {
        Kernel(file)
    }

    /// A request that stores one int.
    fn number(&self, request: libc::c_ulong) -> io::Result<libc::c_int> {
        let mut value: libc::c_int = 0;
        // SAFETY: the descriptor is open for the whole call. All requests that this is called with
        // store one int through the pointer, which is to a live, aligned one.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), request, &raw mut value) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(value) }
    }
}

impl Driver for Kernel {
    fn submit(
        &mut self,
        cdb: &[u8],
        phase: Phase<'_>,
        sense: &mut [u8; SENSE_BYTES],
        timeout: Duration,
    ) -> io::Result<Completion> {
        let invalid = || io::Error::from(io::ErrorKind::InvalidInput);
        let (direction, data, length) = match phase {
            Phase::None => (DIRECTION_NONE, std::ptr::null_mut(), 0),
            // The kernel only reads from a buffer that goes to the device.
            Phase::ToDevice(bytes) => (DIRECTION_TO_DEVICE, bytes.as_ptr().cast_mut(), bytes.len()),
            Phase::FromDevice(bytes) => (DIRECTION_FROM_DEVICE, bytes.as_mut_ptr(), bytes.len()),
        };
        let mut header = SgIoHeader {
            interface_id: libc::c_int::from(b'S'),
            dxfer_direction: direction,
            cmd_len: u8::try_from(cdb.len()).map_err(|_| invalid())?,
            mx_sb_len: SENSE_BYTES as u8,
            iovec_count: 0,
            dxfer_len: u32::try_from(length).map_err(|_| invalid())?,
            dxferp: data.cast(),
            cmdp: cdb.as_ptr(),
            sbp: sense.as_mut_ptr(),
            timeout: u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX),
            flags: 0,
            pack_id: 0,
            usr_ptr: std::ptr::null_mut(),
            status: 0,
            masked_status: 0,
            msg_status: 0,
            sb_len_wr: 0,
            host_status: 0,
            driver_status: 0,
            resid: 0,
            duration: 0,
            info: 0,
        };
        let _blocked = SignalsBlocked::now()?;
        // SAFETY: the header lives through the call; its pointers lead to `cdb`, `sense` and the data
        // buffer, all borrowed for the whole call and as long as the lengths beside them say. The kernel
        // writes through `dxferp` only with the direction "from device", which goes with a buffer that is
        // borrowed mutably. SG_IO is synchronous: the kernel keeps no pointer after it.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), SG_IO, &raw mut header) };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Completion {
            status: header.status,
            host_status: header.host_status,
            driver_status: header.driver_status,
            residual: header.resid,
            sense_length: usize::from(header.sb_len_wr).min(SENSE_BYTES),
        })
    }

    fn version(&mut self) -> io::Result<i32> {
        self.number(SG_GET_VERSION_NUM)
    }

    fn reserve(&mut self) {
        let size: libc::c_int = RESERVED_BYTES;
        // SAFETY: the descriptor is open for the whole call and the request reads one int through the
        // pointer, which is to a live, aligned one.
        let _ = unsafe { libc::ioctl(self.0.as_raw_fd(), SG_SET_RESERVED_SIZE, &raw const size) };
    }

    fn transfer_bytes_max(&mut self) -> Option<u64> {
        let positive = |number: io::Result<libc::c_int>| {
            number.ok().and_then(|number| u64::try_from(number).ok()).filter(|number| *number > 0)
        };
        let bytes = positive(self.number(BLKSECTGET));
        let entries = positive(self.number(SG_GET_SG_TABLESIZE));
        let by_entries = entries.map(|entries| entries.saturating_mul(LIST_ENTRY_BYTES));
        bytes.or(by_entries)
    }
}

/// Blocks all signals in this thread until dropped.
struct SignalsBlocked(SigSet);

impl SignalsBlocked {
    fn now() -> io::Result<SignalsBlocked> {
        let old = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        Ok(SignalsBlocked(old))
    }
}

impl Drop for SignalsBlocked {
    fn drop(&mut self) {
        // Fails only for an invalid set, and this one came from the kernel.
        let _ = self.0.thread_set_mask();
    }
}
