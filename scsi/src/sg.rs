//! Hardware through the kernel's SCSI generic driver: `/dev/sgN` and the SG_IO request.
//!
//! What is guaranteed here, because the tape side above relies on it:
//!
//! * *No command is ever sent twice.* A signal that interrupts SG_IO leaves the command running in
//!   the device, and a restarted system call would send a WRITE again. So signals are blocked in the
//!   calling thread while a command runs; they arrive when it has ended.
//! * *The end of a command is known or an error.* Whatever the host adapter or the driver reports
//!   besides the device's own status becomes [`Error::Transport`] or [`Error::Timeout`], never a
//!   status that looks like the device's.
//! * *Only SCSI generic nodes are opened.* Through the kernel's tape driver (`/dev/nst0`) commands of
//!   this house and the driver's own ideas of block size and position would mix.
//!
//! * *Only what really arrived reaches the caller's buffer.* Replies land in a buffer of our own first,
//!   because the kernel may copy stale bytes behind the end of a short block.
//!
//! Buffers are page-aligned: some host adapters corrupt or refuse others.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{SigSet, SigmaskHow};

use crate::sense::Sense;
use crate::transport::{Data, Error, Reply, Status, Transport};

/// Major device number of SCSI generic nodes.
const MAJOR_SG: u64 = 21;
/// Major device number of the kernel's tape driver.
const MAJOR_ST: u64 = 9;

const SG_IO: libc::c_ulong = 0x2285;
const SG_SET_RESERVED_SIZE: libc::c_ulong = 0x2275;
const SG_GET_VERSION_NUM: libc::c_ulong = 0x2282;
/// Oldest driver with the interface that is used here.
const SG_VERSION_MIN: libc::c_int = 30000;

const DIRECTION_NONE: libc::c_int = -1;
const DIRECTION_TO_DEVICE: libc::c_int = -2;
const DIRECTION_FROM_DEVICE: libc::c_int = -3;

const PAGE_BYTES: usize = 4096;
const SENSE_BYTES: usize = 64;
/// Buffer that the driver sets aside for a device, so that a transfer needs no memory when memory is
/// short: four blocks of 256 KiB.
const RESERVED_BYTES: libc::c_int = 1 << 20;

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

/// What the driver reports besides the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Completion {
    status: u8,
    host_status: u16,
    driver_status: u16,
    residual: i32,
    sense_length: usize,
}

/// An open SCSI generic device.
#[derive(Debug)]
pub struct SgDevice {
    file: File,
    name: String,
    bounce: Vec<u8>,
}

impl SgDevice {
    /// Opens a SCSI generic node or a link to one.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] with what to do: a node of another driver, a missing node, missing rights.
    pub fn open(path: &Path) -> Result<SgDevice, Error> {
        let name = path.display().to_string();
        let refuse = |reason: String| Error::Open { device: name.clone(), reason };
        let metadata = std::fs::metadata(path).map_err(|error| refuse(why_not(&error)))?;
        check_node(metadata.file_type().is_char_device(), metadata.rdev())
            .map_err(|reason| refuse(reason.explain(Path::new("/sys"))))?;
        // Without O_NONBLOCK opening waits for whoever holds the device exclusively.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| refuse(why_not(&error)))?;
        // The node may have been replaced since it was looked at.
        let opened = file.metadata().map_err(|error| refuse(why_not(&error)))?;
        check_node(opened.file_type().is_char_device(), opened.rdev())
            .map_err(|reason| refuse(reason.explain(Path::new("/sys"))))?;
        // With O_NONBLOCK SG_IO itself would not wait in some drivers.
        let flags = fcntl(&file, FcntlArg::F_GETFL).map_err(|error| io(&name, error))?;
        let flags = OFlag::from_bits_retain(flags) & !OFlag::O_NONBLOCK;
        fcntl(&file, FcntlArg::F_SETFL(flags)).map_err(|error| io(&name, error))?;

        let device = SgDevice { file, name, bounce: Vec::new() };
        device.check_version()?;
        device.reserve_buffer();
        Ok(device)
    }

    fn check_version(&self) -> Result<(), Error> {
        let mut version: libc::c_int = 0;
        // SAFETY: the descriptor is open for the whole call and the request stores one int through
        // the pointer, which is to a live, aligned one.
        let result =
            unsafe { libc::ioctl(self.file.as_raw_fd(), SG_GET_VERSION_NUM, &raw mut version) };
        if result < 0 {
            return Err(Error::Io {
                device: self.name.clone(),
                source: std::io::Error::last_os_error(),
            });
        }
        if version < SG_VERSION_MIN {
            return Err(Error::Open {
                device: self.name.clone(),
                reason: format!("the kernel's SCSI generic driver is too old (version {version})"),
            });
        }
        Ok(())
    }

    /// Best effort: the driver falls back to allocating for each command.
    fn reserve_buffer(&self) {
        let size: libc::c_int = RESERVED_BYTES;
        // SAFETY: the descriptor is open for the whole call and the request reads one int through the
        // pointer, which is to a live, aligned one.
        let _ =
            unsafe { libc::ioctl(self.file.as_raw_fd(), SG_SET_RESERVED_SIZE, &raw const size) };
    }

    /// Sends one command. `data` may be null if `length` is 0.
    fn submit(
        &self,
        cdb: &[u8],
        direction: libc::c_int,
        data: *mut u8,
        length: usize,
        sense: &mut [u8; SENSE_BYTES],
        timeout: Duration,
    ) -> std::io::Result<Completion> {
        let invalid = || std::io::Error::from(std::io::ErrorKind::InvalidInput);
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
        // buffer, all borrowed by the caller for the whole call and as long as the lengths beside them
        // say. The kernel writes through `dxferp` only with the direction "from device", which the
        // caller gives only with a buffer it may write to. SG_IO is synchronous: the kernel keeps no
        // pointer after it.
        let result = unsafe { libc::ioctl(self.file.as_raw_fd(), SG_IO, &raw mut header) };
        if result < 0 {
            return Err(std::io::Error::last_os_error());
        }
        Ok(Completion {
            status: header.status,
            host_status: header.host_status,
            driver_status: header.driver_status,
            residual: header.resid,
            sense_length: usize::from(header.sb_len_wr).min(SENSE_BYTES),
        })
    }
}

impl Transport for SgDevice {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        let mut sense = [0u8; SENSE_BYTES];
        let length = data.len();
        let mut bounce = std::mem::take(&mut self.bounce);
        let completion = match data {
            Data::None => {
                self.submit(cdb, DIRECTION_NONE, std::ptr::null_mut(), 0, &mut sense, timeout)
            }
            Data::Out(bytes) if is_aligned(bytes) || bytes.is_empty() => {
                // The kernel only reads from a buffer that goes to the device.
                let pointer = bytes.as_ptr().cast_mut();
                self.submit(cdb, DIRECTION_TO_DEVICE, pointer, length, &mut sense, timeout)
            }
            Data::Out(bytes) => {
                let buffer = aligned(&mut bounce, length);
                buffer.copy_from_slice(bytes);
                let pointer = buffer.as_mut_ptr();
                self.submit(cdb, DIRECTION_TO_DEVICE, pointer, length, &mut sense, timeout)
            }
            Data::In(bytes) => {
                let buffer = aligned(&mut bounce, length);
                let pointer = buffer.as_mut_ptr();
                let completion =
                    self.submit(cdb, DIRECTION_FROM_DEVICE, pointer, length, &mut sense, timeout);
                if let Ok(completion) = &completion {
                    let moved = transferred(length, completion.residual);
                    if let (Some(to), Some(from)) = (bytes.get_mut(..moved), buffer.get(..moved)) {
                        to.copy_from_slice(from);
                    }
                }
                completion
            }
        };
        self.bounce = bounce;
        let completion =
            completion.map_err(|source| Error::Io { device: self.name.clone(), source })?;
        judge(&self.name, cdb, length, completion, &sense, timeout)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Turns what the driver reports into a reply or an error.
fn judge(
    name: &str,
    cdb: &[u8],
    length: usize,
    completion: Completion,
    sense: &[u8; SENSE_BYTES],
    timeout: Duration,
) -> Result<Reply, Error> {
    const HOST_OK: u16 = 0x00;
    const HOST_TIMEOUT: u16 = 0x03;
    // The high half of the driver byte is an old suggestion without meaning.
    const DRIVER_MASK: u16 = 0x0f;
    const DRIVER_OK: u16 = 0x00;
    const DRIVER_TIMEOUT: u16 = 0x06;
    const DRIVER_SENSE: u16 = 0x08;

    let driver = completion.driver_status & DRIVER_MASK;
    if completion.host_status == HOST_TIMEOUT || driver == DRIVER_TIMEOUT {
        let opcode = cdb.first().copied().unwrap_or(0);
        return Err(Error::Timeout { opcode, timeout });
    }
    if completion.host_status != HOST_OK || !matches!(driver, DRIVER_OK | DRIVER_SENSE) {
        return Err(Error::Transport {
            device: name.to_string(),
            reason: format!(
                "host adapter status {:02x}h{}, driver status {:02x}h",
                completion.host_status,
                host_status_text(completion.host_status),
                completion.driver_status
            ),
        });
    }
    Ok(Reply {
        status: Status::from_byte(completion.status),
        transferred: transferred(length, completion.residual),
        sense: sense.get(..completion.sense_length).and_then(Sense::parse),
    })
}

/// Bytes moved. Adapters are known to report residuals below zero and above the length.
fn transferred(length: usize, residual: i32) -> usize {
    length.saturating_sub(usize::try_from(residual).unwrap_or(0))
}

/// What the common host adapter statuses mean.
fn host_status_text(status: u16) -> &'static str {
    match status {
        0x01 => " (device not reachable: cable, power, or removed)",
        0x02 => " (bus busy)",
        0x04 => " (bad target)",
        0x05 => " (command aborted)",
        0x06 => " (parity error: cable or termination)",
        0x07 => " (adapter error)",
        0x08 => " (reset)",
        0x0b => " (transient error)",
        0x0e => " (connection disrupted)",
        0x0f => " (connection failed for good)",
        _ => "",
    }
}

fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(PAGE_BYTES)
}

/// A page-aligned part of `store`, `length` bytes long.
fn aligned(store: &mut Vec<u8>, length: usize) -> &mut [u8] {
    let needed = length.saturating_add(PAGE_BYTES);
    if store.len() < needed {
        store.resize(needed, 0);
    }
    let start = store.as_ptr().addr().wrapping_neg() % PAGE_BYTES;
    // `start` is below one page, and one page more than `length` is there.
    store.get_mut(start..start + length).unwrap_or(&mut [])
}

/// Why a node is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WrongNode {
    NoDevice,
    TapeDriver { major: u64, minor: u64 },
    OtherDriver { major: u64 },
}

fn check_node(is_char_device: bool, device: u64) -> Result<(), WrongNode> {
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    match major {
        _ if !is_char_device => Err(WrongNode::NoDevice),
        MAJOR_SG => Ok(()),
        MAJOR_ST => Err(WrongNode::TapeDriver { major, minor }),
        major => Err(WrongNode::OtherDriver { major }),
    }
}

impl WrongNode {
    /// What to do, with the right node where the kernel tells it.
    fn explain(self, sys: &Path) -> String {
        match self {
            WrongNode::NoDevice => {
                "is no character device; name a SCSI generic node such as /dev/sg0".to_string()
            }
            WrongNode::OtherDriver { major } => format!(
                "is a device of another driver (major number {major}, SCSI generic has {MAJOR_SG}); \
                 name a SCSI generic node such as /dev/sg0"
            ),
            WrongNode::TapeDriver { major, minor } => {
                let generic = generic_of(sys, major, minor);
                let which = match &generic {
                    Some(node) => format!("that is {}", node.display()),
                    None => {
                        "'tape drive scan' lists them (is the kernel module 'sg' loaded?)".into()
                    }
                };
                format!(
                    "is a node of the kernel's tape driver, which keeps its own idea of the tape's \
                     position; use the drive's SCSI generic node: {which}"
                )
            }
        }
    }
}

/// The SCSI generic node of the same device.
fn generic_of(sys: &Path, major: u64, minor: u64) -> Option<PathBuf> {
    let folder = sys.join(format!("dev/char/{major}:{minor}/device/scsi_generic"));
    let entry = std::fs::read_dir(folder).ok()?.flatten().next()?;
    Some(Path::new("/dev").join(entry.file_name()))
}

fn why_not(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match (error.kind(), error.raw_os_error()) {
        (ErrorKind::NotFound, _) => {
            "no such device; 'tape drive scan' and 'tape changer scan' list those of this machine"
                .to_string()
        }
        (ErrorKind::PermissionDenied, _) => {
            "permission denied; run as root or join the group that owns the node (usually 'tape')"
                .to_string()
        }
        (_, Some(libc::ENXIO | libc::ENODEV)) => {
            "the node is there but the device is not; is it switched on and connected?".to_string()
        }
        (_, Some(libc::EBUSY)) => "another program holds the device exclusively".to_string(),
        _ => error.to_string(),
    }
}

fn io(name: &str, error: nix::errno::Errno) -> Error {
    Error::Io { device: name.to_string(), source: error.into() }
}

/// Blocks all signals in this thread until dropped.
struct SignalsBlocked(SigSet);

impl SignalsBlocked {
    fn now() -> std::io::Result<SignalsBlocked> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SenseKey;

    const GOOD: Completion =
        Completion { status: 0, host_status: 0, driver_status: 0, residual: 0, sense_length: 0 };
    const READ: [u8; 6] = [0x08, 0x02, 0, 0x10, 0, 0];

    fn outcome(completion: Completion, sense: &[u8]) -> Result<Reply, Error> {
        let mut buffer = [0u8; SENSE_BYTES];
        buffer[..sense.len()].copy_from_slice(sense);
        judge("/dev/sg0", &READ, 4096, completion, &buffer, Duration::from_secs(9))
    }

    #[test]
    fn residual_and_sense() {
        let reply = outcome(Completion { residual: 96, ..GOOD }, &[]).unwrap();
        assert_eq!((reply.status, reply.transferred), (Status::Good, 4000));
        for (residual, moved) in [(-5, 4096), (5000, 0)] {
            assert_eq!(outcome(Completion { residual, ..GOOD }, &[]).unwrap().transferred, moved);
        }
        let sense = Sense::FILEMARK.with_information(4096).to_fixed();
        let check = Completion {
            status: 2,
            driver_status: 0x08,
            residual: 4096,
            sense_length: sense.len(),
            ..GOOD
        };
        let reply = outcome(check, &sense).unwrap();
        assert_eq!((reply.status, reply.transferred), (Status::CheckCondition, 0));
        assert!(reply.sense.unwrap().is_filemark());
        // Sense that the driver did not deliver is not invented from an old buffer.
        let bare = outcome(Completion { sense_length: 0, ..check }, &sense).unwrap();
        assert_eq!(bare.sense, None);
        assert_eq!(Sense::parse(&sense).unwrap().key, SenseKey::NoSense);
    }

    #[test]
    fn failures_of_adapter_and_driver_are_no_device_status() {
        for (host_status, driver_status) in [(3, 0), (0, 0x06), (0, 0x26)] {
            let error = outcome(Completion { host_status, driver_status, ..GOOD }, &[]);
            assert!(matches!(error, Err(Error::Timeout { opcode: 0x08, .. })), "{error:?}");
        }
        let error = outcome(Completion { host_status: 1, ..GOOD }, &[]).unwrap_err().to_string();
        assert!(error.starts_with("/dev/sg0: ") && error.contains("not reachable"), "{error}");
        assert!(outcome(Completion { driver_status: 0x04, ..GOOD }, &[]).is_err());
    }

    #[test]
    fn only_generic_nodes() {
        let device = |major, minor| nix::sys::stat::makedev(major, minor);
        assert_eq!(check_node(true, device(21, 3)), Ok(()));
        assert_eq!(check_node(false, device(21, 3)), Err(WrongNode::NoDevice));
        assert_eq!(
            check_node(true, device(9, 128)),
            Err(WrongNode::TapeDriver { major: 9, minor: 128 })
        );
        let sys = tempfile::tempdir().unwrap();
        let wrong = WrongNode::TapeDriver { major: 9, minor: 128 };
        assert!(wrong.explain(sys.path()).contains("'tape drive scan'"));
        std::fs::create_dir_all(sys.path().join("dev/char/9:128/device/scsi_generic/sg4")).unwrap();
        assert!(wrong.explain(sys.path()).contains("that is /dev/sg4"));
    }

    #[test]
    fn opening_what_is_no_device() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = SgDevice::open(file.path()).unwrap_err().to_string();
        assert!(error.contains("no character device"), "{error}");
        let error = SgDevice::open(Path::new("/dev/null")).unwrap_err().to_string();
        assert!(error.contains("another driver (major number 1"), "{error}");
        let error = SgDevice::open(Path::new("/dev/does-not-exist")).unwrap_err().to_string();
        assert!(error.contains("no such device"), "{error}");
    }

    #[test]
    fn bounce_buffers_are_page_aligned() {
        let mut store = Vec::new();
        for length in [1, 4096, 262_144, 5] {
            let buffer = aligned(&mut store, length);
            assert_eq!(buffer.len(), length);
            assert!(is_aligned(buffer));
        }
    }
}
