//! What host adapter and driver report besides the device, in words and as an error.
//!
//! The distinction that matters is whether the command may have reached the device. Only where the
//! kernel's own rules say that it did not is the error [`Error::NotCarried`], after which anything may be
//! sent again. Everything else is [`Error::Transport`] or [`Error::Timeout`]: the tape may have moved.
//!
//! Host adapter statuses that look like "try again" and are not safe: DID_BUS_BUSY and DID_SOFT_ERROR are
//! given by adapter drivers also for commands that were aborted underway (queue flushed, residual
//! that does not add up), DID_NO_CONNECT also for commands that were running when a cable was pulled.

use std::io;
use std::time::Duration;

use super::ioctl::{Completion, SENSE_BYTES};
use crate::sense::Sense;
use crate::transport::{Error, Reply, Status};

const HOST_OK: u16 = 0x00;
const HOST_TIME_OUT: u16 = 0x03;
const HOST_IMM_RETRY: u16 = 0x0c;
const HOST_REQUEUE: u16 = 0x0d;

/// The high half of the driver byte is an old suggestion without meaning.
const DRIVER_MASK: u16 = 0x0f;
const DRIVER_OK: u16 = 0x00;
const DRIVER_TIMEOUT: u16 = 0x06;
const DRIVER_SENSE: u16 = 0x08;

/// Name and meaning of the host adapter statuses (`<scsi/scsi_status.h>` of the kernel).
const HOST_STATUSES: &[(u16, &str, &str)] = &[
    (0x01, "DID_NO_CONNECT", "device not reachable: check cable and power; was it removed?"),
    (0x02, "DID_BUS_BUSY", "bus busy"),
    (0x03, "DID_TIME_OUT", "no answer in time"),
    (0x04, "DID_BAD_TARGET", "no such target"),
    (0x05, "DID_ABORT", "command aborted"),
    (0x06, "DID_PARITY", "parity error: check cable and termination"),
    (0x07, "DID_ERROR", "adapter error: see the kernel's log (dmesg)"),
    (0x08, "DID_RESET", "reset of bus or device"),
    (0x09, "DID_BAD_INTR", "unexpected interrupt"),
    (0x0a, "DID_PASSTHROUGH", "passed through"),
    (0x0b, "DID_SOFT_ERROR", "transient adapter error"),
    (0x0c, "DID_IMM_RETRY", "not sent, the driver asks to repeat"),
    (0x0d, "DID_REQUEUE", "not sent, the driver asks to queue again"),
    (0x0e, "DID_TRANSPORT_DISRUPTED", "connection disrupted: check cables and switches"),
    (0x0f, "DID_TRANSPORT_FAILFAST", "connection failed for good: check cables and switches"),
    (0x10, "DID_TARGET_FAILURE", "permanent failure of the device"),
    (0x11, "DID_NEXUS_FAILURE", "this path is refused, perhaps by a reservation"),
    (0x12, "DID_ALLOC_FAILURE", "the device has no space left"),
    (0x13, "DID_MEDIUM_ERROR", "medium error"),
    (0x14, "DID_TRANSPORT_MARGINAL", "connection too bad to use"),
];

/// Turns what the driver reports into a reply or an error.
pub(super) fn judge(
    name: &str,
    cdb: &[u8],
    length: usize,
    completion: Completion,
    sense: &[u8; SENSE_BYTES],
    timeout: Duration,
) -> Result<Reply, Error> {
    let driver = completion.driver_status & DRIVER_MASK;
    if completion.host_status == HOST_TIME_OUT || driver == DRIVER_TIMEOUT {
        let opcode = cdb.first().copied().unwrap_or(0);
        return Err(Error::Timeout { opcode, timeout });
    }
    if completion.host_status != HOST_OK || !matches!(driver, DRIVER_OK | DRIVER_SENSE) {
        let device = name.to_string();
        let reason = failure_text(&completion);
        return Err(match completion.host_status {
            // The kernel sends these again by itself, so by its own rules they never ran.
            HOST_IMM_RETRY | HOST_REQUEUE => Error::NotCarried { device, reason },
            _ => Error::Transport { device, reason },
        });
    }
    Ok(Reply {
        status: Status::from_byte(completion.status),
        transferred: transferred(length, completion.residual),
        sense: sense.get(..completion.sense_length).and_then(Sense::parse),
    })
}

/// The error for a command that the kernel did not take at all.
pub(super) fn refused(
    name: &str,
    cdb: &[u8],
    length: usize,
    source: io::Error,
    limit_bytes: Option<u64>,
) -> Error {
    let device = name.to_string();
    let is_size = matches!(source.raw_os_error(), Some(libc::EINVAL | libc::ENOMEM | libc::E2BIG));
    match limit_bytes {
        // The limit is asked for only now: it is a hint of the kernel, and more may well work.
        Some(limit_bytes) if is_size && length as u64 > limit_bytes => {
            let opcode = cdb.first().copied().unwrap_or(0);
            return Error::TransferTooLong { device, opcode, bytes: length as u64, limit_bytes };
        }
        _ => {}
    }
    match source.raw_os_error() {
        // No memory, or too many commands underway through this node (EDOM): nothing was sent.
        Some(libc::ENOMEM | libc::EAGAIN | libc::EDOM | libc::EBUSY) => {
            Error::NotCarried { device, reason: source.to_string() }
        }
        _ => Error::Io { device, source },
    }
}

/// Bytes moved. Adapters are known to report residuals below zero and above the length.
pub(super) fn transferred(length: usize, residual: i32) -> usize {
    length.saturating_sub(usize::try_from(residual).unwrap_or(0))
}

fn failure_text(completion: &Completion) -> String {
    let host = completion.host_status;
    let host = match HOST_STATUSES.iter().find(|(status, _, _)| *status == host) {
        Some((_, name, meaning)) => format!("{meaning} ({name})"),
        None if host == HOST_OK => String::new(),
        None => format!("host adapter status {host:02x}h"),
    };
    let driver = completion.driver_status;
    let driver = match driver & DRIVER_MASK {
        DRIVER_OK | DRIVER_SENSE => String::new(),
        _ => format!("driver status {driver:02x}h"),
    };
    match (host.is_empty(), driver.is_empty()) {
        (false, false) => format!("{host}, {driver}"),
        _ => format!("{host}{driver}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_host_status_has_its_words_once() {
        assert!(HOST_STATUSES.windows(2).all(|pair| pair[0].0 < pair[1].0));
        for (host_status, name, meaning) in HOST_STATUSES {
            let text =
                failure_text(&Completion { host_status: *host_status, ..Completion::default() });
            assert!(text.contains(name) && text.contains(meaning), "{text}");
        }
        let unknown = Completion { host_status: 0x77, driver_status: 4, ..Completion::default() };
        assert_eq!(failure_text(&unknown), "host adapter status 77h, driver status 04h");
    }

    #[test]
    fn what_the_kernel_refuses_was_not_sent() {
        let refused = |errno, length, limit| {
            refused("/dev/sg0", &[0x08], length, io::Error::from_raw_os_error(errno), limit)
        };
        for errno in [libc::ENOMEM, libc::EAGAIN, libc::EDOM, libc::EBUSY] {
            assert!(matches!(refused(errno, 10, Some(100)), Error::NotCarried { .. }));
        }
        assert!(matches!(refused(libc::EINVAL, 10, Some(100)), Error::Io { .. }));
        assert!(matches!(refused(libc::ENODEV, 1000, Some(100)), Error::Io { .. }));
        for errno in [libc::EINVAL, libc::ENOMEM] {
            let text = refused(errno, 262_144, Some(65_536)).to_string();
            assert!(text.contains("262144") && text.contains("65536"), "{text}");
        }
    }
}
