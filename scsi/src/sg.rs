//! Hardware through the kernel's SCSI generic driver: `/dev/sgN` and the SG_IO request.
//!
//! What is guaranteed here, because the tape side above relies on it:
//!
//! * *No command is ever sent twice.* A signal that interrupts SG_IO leaves the command running in
//!   the device, and a restarted system call would send a WRITE again. So signals are blocked in the
//!   calling thread while a command runs; they arrive when it has ended. What may be repeated after a
//!   refusal is decided above, by [`crate::retry`], from errors that say whether the command left.
//! * *The end of a command is known or an error.* Whatever the host adapter or the driver reports
//!   besides the device's own status becomes an [`Error`], never a status that looks like the
//!   device's.
//! * *Only SCSI generic nodes are opened.* Through the kernel's tape driver (`/dev/nst0`) commands of
//!   this house and the driver's own ideas of block size and position would mix.
//! * *Only what really arrived reaches the caller's buffer.* Replies land in a buffer of our own first,
//!   because the kernel may copy stale bytes behind the end of a short block.
//!
//! | room | what |
//! |---|---|
//! | [`ioctl`] | the requests to the kernel: the only `unsafe` code of this crate |
//! | [`buffer`] | page-aligned buffers: some host adapters corrupt or refuse others |
//! | [`outcome`] | what host adapter and driver report, in words and as an error |
//! | [`node`] | which nodes are taken, and what to do about one that is not |

mod buffer;
mod ioctl;
pub(crate) mod node;
mod outcome;

use std::path::Path;
use std::time::Duration;

use crate::transport::{Data, Error, Reply, Transport};
use buffer::{aligned, is_aligned};
use ioctl::{Driver, Kernel, Phase, SENSE_BYTES};

/// An open SCSI generic device.
pub struct SgDevice {
    driver: Box<dyn Driver>,
    name: String,
    bounce: Vec<u8>,
}

impl std::fmt::Debug for SgDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SgDevice").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Oldest driver with the interface that is used here.
const SG_VERSION_MIN: i32 = 30000;

impl SgDevice {
    /// Opens a SCSI generic node or a link to one.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] with what to do: a node of another driver, a missing node, missing rights.
    pub fn open(path: &Path) -> Result<SgDevice, Error> {
        let name = path.display().to_string();
        let file =
            node::open(path).map_err(|reason| Error::Open { device: name.clone(), reason })?;
        SgDevice::over(Box::new(Kernel::new(file)), name)
    }

    /// A device over this driver, which must be one that speaks the interface used here.
    fn over(mut driver: Box<dyn Driver>, name: String) -> Result<SgDevice, Error> {
        let version =
            driver.version().map_err(|source| Error::Io { device: name.clone(), source })?;
        if version < SG_VERSION_MIN {
            return Err(Error::Open {
                device: name,
                reason: format!("the kernel's SCSI generic driver is too old (version {version})"),
            });
        }
        // Best effort: without the reserve the driver allocates for each command.
        driver.reserve();
        Ok(SgDevice { driver, name, bounce: Vec::new() })
    }
}

impl Transport for SgDevice {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        let mut sense = [0u8; SENSE_BYTES];
        let length = data.len();
        let mut bounce = std::mem::take(&mut self.bounce);
        let completion = match data {
            Data::None => self.driver.submit(cdb, Phase::None, &mut sense, timeout),
            Data::Out(bytes) if is_aligned(bytes) || bytes.is_empty() => {
                self.driver.submit(cdb, Phase::ToDevice(bytes), &mut sense, timeout)
            }
            Data::Out(bytes) => {
                let buffer = aligned(&mut bounce, length);
                buffer.copy_from_slice(bytes);
                self.driver.submit(cdb, Phase::ToDevice(buffer), &mut sense, timeout)
            }
            Data::In(bytes) => {
                let buffer = aligned(&mut bounce, length);
                let completion =
                    self.driver.submit(cdb, Phase::FromDevice(buffer), &mut sense, timeout);
                if let Ok(completion) = &completion {
                    let moved = outcome::transferred(length, completion.residual);
                    if let (Some(to), Some(from)) = (bytes.get_mut(..moved), buffer.get(..moved)) {
                        to.copy_from_slice(from);
                    }
                }
                completion
            }
        };
        self.bounce = bounce;
        match completion {
            Ok(completion) => outcome::judge(&self.name, cdb, length, completion, &sense, timeout),
            Err(source) => {
                let limit_bytes = self.driver.transfer_bytes_max();
                Err(outcome::refused(&self.name, cdb, length, source, limit_bytes))
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }
}

#[cfg(test)]
mod tests;
