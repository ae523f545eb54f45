//! Drive encryption, as far as blocks must be written without it.

use scsi::command::security::{EncryptionStatus, clear_encryption};

use super::{Drive, Error, Result};

const DOING: &str = "asking for the state of encryption";

impl Drive {
    /// Makes sure that blocks are written and read as they are. A key that other software left in the
    /// drive would encrypt labels and data, and nobody could read them once it is gone.
    ///
    /// A drive that has no encryption is fine as it is.
    ///
    /// # Errors
    ///
    /// [`Error::EncryptionOn`] if it can't be turned off: a library or a key manager may own it.
    pub fn encryption_off(&mut self) -> Result<()> {
        if self.encryption_status()?.is_off() {
            return Ok(());
        }
        let cleared = clear_encryption(&mut self.transport);
        if let Err(error) = cleared {
            // A refusal shows in the status; anything else means that something happened to the drive.
            let is_refusal = error.sense().is_some_and(|sense| {
                sense.key == scsi::SenseKey::IllegalRequest || sense.is_encryption_prevented()
            });
            if !is_refusal {
                return Err(self.fail("turning encryption off", error));
            }
        }
        let status = self.encryption_status()?;
        if status.is_off() {
            return Ok(());
        }
        let EncryptionStatus { encryption_mode, decryption_mode, .. } = status;
        let drive = self.name().to_string();
        Err(Error::EncryptionOn { drive, encryption_mode, decryption_mode })
    }

    fn encryption_status(&mut self) -> Result<EncryptionStatus> {
        match EncryptionStatus::request(&mut self.transport) {
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                Ok(EncryptionStatus::default())
            }
            other => other.map_err(|error| self.fail(DOING, error)),
        }
    }
}
