//! Encryption as an operator sees and switches it, for programs that write the tape themselves.
//!
//! # How this differs from what jobs do
//!
//! A job's key is in the drive only as long as the job's handle lives ([`super::encryption`]). `mt encryption set` is
//! for `tar` and its like: the process that sets the key ends at once, and the key must stay for the programs
//! that follow. [`Drive::leave_key`] is the one place where a key outlives its handle, after it was set and the drive
//! was seen to have it. Until then the rule of jobs holds: whatever goes wrong before takes the key out again.
//!
//! A key that was left stays until it is cleared by hand, the drive loses power, or any opening with a tape, which every
//! job begins with, removes it as a foreign one. So no job of this house ever writes with it.

use scsi::command::security::{
    Ability, BlockEncryption, EncryptionStatus, NextBlockStatus, ParametersControl,
};
use serde::Serialize;

use super::{Drive, Result};

/// What a drive tells of its encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct EncryptionReport {
    /// The drive as the user named it.
    pub drive: String,
    /// `none`: the drive has no encryption or does not tell. `off`; `mixed`: blocks are encrypted, and both kinds can
    /// be read; `on`: only encrypted ones are read; `raw-read`: encrypted ones are read as they are on the tape; else
    /// `other`, and the modes tell.
    pub state: &'static str,
    /// Who decides: `hosts`, `library` (or a key manager behind it), `unknown`.
    pub control: &'static str,
    /// Encryption mode as the drive has it: 0 off, 1 external, 2 encrypt.
    pub encryption_mode: u8,
    /// Decryption mode as the drive has it: 0 off, 1 raw, 2 decrypt, 3 mixed.
    pub decryption_mode: u8,
    /// How often parameters were set since power on.
    pub key_instance: u32,
    /// Hosts can set a key for AES-256-GCM.
    pub hosts_can_set_key: bool,
    /// The tape holds encrypted blocks, as far as the drive knows.
    pub volume_has_encrypted_blocks: bool,
    /// The next block on the tape: `plain`, `readable`, `not-readable`, `unknown-algorithm`, `no-block`; absent if the
    /// drive does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_block: Option<&'static str>,
}

impl Drive {
    /// What the drive tells of its encryption. Changes nothing.
    pub fn encryption_report(&mut self) -> Result<EncryptionReport> {
        let drive = self.name().to_string();
        let Some(status) = self.encryption_status()? else {
            return Ok(EncryptionReport {
                drive,
                state: "none",
                control: "unknown",
                encryption_mode: 0,
                decryption_mode: 0,
                key_instance: 0,
                hosts_can_set_key: false,
                volume_has_encrypted_blocks: false,
                next_block: None,
            });
        };
        let capabilities = self.capabilities()?;
        let is_managed = capabilities.as_ref().is_some_and(|one| one.is_managed_elsewhere());
        let algorithm = capabilities.as_ref().and_then(|one| one.aes_256_gcm());
        let is_able = algorithm.is_some_and(|one| one.encrypt == Ability::Hardware);
        Ok(EncryptionReport {
            drive,
            state: state(&status),
            control: match status.control {
                _ if is_managed => "library",
                ParametersControl::Library | ParametersControl::Management => "library",
                ParametersControl::Shared | ParametersControl::Hosts => "hosts",
                ParametersControl::Unknown | ParametersControl::Reserved => "unknown",
            },
            encryption_mode: status.encryption_mode,
            decryption_mode: status.decryption_mode,
            key_instance: status.key_instance,
            hosts_can_set_key: is_able && !is_managed,
            volume_has_encrypted_blocks: status.volume_has_encrypted,
            next_block: self.next_block(),
        })
    }

    /// Lets the key that [`Drive::set_key`] set outlive this handle. See the head of this file for who may do so.
    pub fn leave_key(&mut self) {
        self.encryption.key_sent = false;
    }

    /// For display only: drives are not exact here, and many do not tell.
    fn next_block(&mut self) -> Option<&'static str> {
        match NextBlockStatus::request(&mut self.transport).ok()?.encryption? {
            BlockEncryption::NotCapable | BlockEncryption::NotNow => None,
            BlockEncryption::NotABlock => Some("no-block"),
            BlockEncryption::Plain => Some("plain"),
            BlockEncryption::UnknownAlgorithm => Some("unknown-algorithm"),
            BlockEncryption::Readable => Some("readable"),
            BlockEncryption::NotReadable => Some("not-readable"),
        }
    }
}

fn state(status: &EncryptionStatus) -> &'static str {
    match (status.encryption_mode, status.decryption_mode) {
        (0, 0) => "off",
        (2, 1) => "raw-read",
        (2, 2) => "on",
        (2, 3) => "mixed",
        _ => "other",
    }
}
