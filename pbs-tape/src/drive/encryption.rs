//! Encryption by the drive: a key in, a key out, and knowing which of the two is true.
//!
//! # What keeps data safe here
//!
//! Two mistakes are possible, and both look like success while they are made. Data is written with a key
//! that nobody knows about, because other software left it in the drive: it cannot be read once that key is gone.
//! Or data that should be encrypted is written in the clear.
//!
//! * **What was asked for is compared with what the drive says.** After a key was set the state must be
//!   *encrypt, read both* (modes 2/3), after it was removed *off* (0/0), else it is an error.
//! * **No key stays behind.** Every opening with a tape removes what it finds, so also what a program left that
//!   crashed; dropping the handle removes what this one set, also while a panic unwinds. Once a key was
//!   sent, whatever the outcome, it counts as set.
//! * **Somebody else's change is noticed.** Unit attentions 6/2A/11 to 13 say that the parameters
//!   changed. Neither tape nor position did, and the command that met it was not executed. So it is the one
//!   unit attention that a write or read may survive: the state is compared again, and only if it is
//!   still what this handle asked for, the block is sent again.
//! * **A library may be in charge** (library-managed encryption): hosts are refused. Where no encryption is
//!   wanted that is harmless, since the library that encrypts decrypts too. Where it is wanted it is an error
//!   that says so.
//! * A drive that can't encrypt is remembered: removing a key is then no longer tried, setting one
//!   fails with the reason.
//!
//! Keys are wiped from memory when they are dropped, and are never part of an error or of `Debug`.

use std::fmt;

use datastore::Progress;
use scsi::Sense;
use scsi::command::density::Density;
use scsi::command::security::{
    EncryptionCapabilities, EncryptionStatus, ParametersControl, SetEncryption, clear_encryption,
};
use zeroize::Zeroizing;

use super::{Drive, Error, Result};

const ASKING: &str = "asking for the state of encryption";
const ABILITIES: &str = "asking what the drive can encrypt";
const SETTING: &str = "setting the key";
const CLEARING: &str = "turning encryption off";

/// A key for the drive, AES-256.
#[derive(Clone, PartialEq, Eq)]
pub struct DriveKey(Zeroizing<[u8; 32]>);

impl DriveKey {
    /// Takes the key.
    pub fn new(key: Zeroizing<[u8; 32]>) -> DriveKey {
        DriveKey(key)
    }

    /// The key's bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// Without the key.
impl fmt::Debug for DriveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DriveKey")
    }
}

/// What the drive is to do with blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encryption {
    /// Write and read them as they are.
    Off,
    /// Encrypt what is written; read encrypted and plain blocks.
    On,
}

impl fmt::Display for Encryption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Encryption::Off => "off",
            Encryption::On => "on, reading both kinds of blocks (modes 2/3)",
        })
    }
}

/// Why hosts cannot set a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Obstacle {
    /// The drive has no encryption, or none that is wanted here.
    Impossible(&'static str),
    /// A library or a key manager is in charge.
    ManagedElsewhere,
}

/// What a handle knows of the drive's encryption.
#[derive(Debug, Default)]
pub(super) struct Knowledge {
    obstacle: Option<Obstacle>,
    /// What this handle made sure of.
    wanted: Option<Encryption>,
    /// This handle sent a key that it has not seen removed.
    pub(super) key_sent: bool,
    /// Somebody changed the parameters since.
    is_unsure: bool,
}

impl Drive {
    /// Makes the drive encrypt what is written with `key`, and read encrypted and plain blocks.
    ///
    /// # Errors
    ///
    /// [`Error::EncryptionImpossible`] if the drive can't, [`Error::EncryptionManaged`] if a library is in
    /// charge, [`Error::EncryptionState`] if the drive took the key and is in another state. The key is not
    /// in the drive after an error, as far as the drive obeys.
    pub fn set_key(&mut self, key: &DriveKey) -> Result<()> {
        let set = self.set_key_and_check(key);
        if set.is_err() && self.encryption.key_sent {
            self.remove_key_quietly();
        }
        set
    }

    fn set_key_and_check(&mut self, key: &DriveKey) -> Result<()> {
        let algorithm = self.algorithm()?;
        // From here on there may be a key in the drive, whatever it says.
        self.encryption.wanted = Some(Encryption::On);
        self.encryption.key_sent = true;
        let sent = SetEncryption::mixed(algorithm, key.bytes()).send(&mut self.transport);
        if let Err(error) = sent {
            if let Some(sense) = error.sense()
                && is_refusal(sense)
            {
                let sense = *sense;
                if sense.is_encryption_prevented() || sense.is_vendor_key_service() {
                    // Hosts have no say: the drive does not have the key.
                    self.encryption.key_sent = false;
                    return Err(self.managed(Obstacle::ManagedElsewhere));
                }
                return Err(Error::KeyRefused { drive: self.name().to_string(), sense });
            }
            return Err(self.fail(SETTING, error));
        }
        self.assert_encryption(Encryption::On)
    }

    /// Index of the algorithm to use, or why there is none.
    fn algorithm(&mut self) -> Result<u8> {
        if let Some(obstacle) = self.encryption.obstacle {
            return Err(self.managed(obstacle));
        }
        let obstacle = match self.capabilities()? {
            None => Obstacle::Impossible("the drive has no encryption"),
            Some(capabilities) if capabilities.is_managed_elsewhere() => Obstacle::ManagedElsewhere,
            Some(capabilities) => match capabilities.aes_256_gcm() {
                Some(algorithm) => {
                    let (index, is_for_tape) = (algorithm.index, algorithm.valid_for_volume);
                    if !is_for_tape && self.is_before_encryption() {
                        let reason = "cartridges before LTO-4 hold no encrypted blocks";
                        let drive = self.name().to_string();
                        return Err(Error::EncryptionImpossible { drive, reason });
                    }
                    return Ok(index);
                }
                None => Obstacle::Impossible("the drive has no AES-256-GCM that hosts can use"),
            },
        };
        Err(self.managed(obstacle))
    }

    /// True if the tape in the drive is known to be of a generation without encryption. Its drive may take a key all the
    /// same, and refuse the first block.
    fn is_before_encryption(&mut self) -> bool {
        let kind = self.medium_kind();
        kind.is_ok_and(|kind| (1..Density::LTO4.rank()).contains(&kind.density.rank()))
    }

    /// Remembers the obstacle and makes an error of it.
    fn managed(&mut self, obstacle: Obstacle) -> Error {
        self.encryption.obstacle = Some(obstacle);
        let drive = self.name().to_string();
        match obstacle {
            Obstacle::Impossible(reason) => Error::EncryptionImpossible { drive, reason },
            Obstacle::ManagedElsewhere => Error::EncryptionManaged { drive },
        }
    }

    /// Makes sure that blocks are written and read as they are. A key that other software left in the
    /// drive would encrypt labels and data, and nobody could read them once it is gone.
    ///
    /// A drive that has no encryption is fine as it is, and so is one whose library encrypts by itself.
    ///
    /// # Errors
    ///
    /// [`Error::EncryptionOn`] if a key is in force that cannot be removed and no library is in charge.
    pub fn encryption_off(&mut self) -> Result<()> {
        self.encryption.wanted = Some(Encryption::Off);
        if self.encryption.obstacle.is_some() && !self.encryption.key_sent {
            return Ok(());
        }
        let Some(status) = self.encryption_status()? else { return Ok(()) };
        if status.is_off() {
            self.is_sure();
            self.encryption.key_sent = false;
            return Ok(());
        }
        if is_external(status.control) {
            self.encryption.obstacle = Some(Obstacle::ManagedElsewhere);
            return Ok(());
        }
        if let Err(error) = clear_encryption(&mut self.transport)
            // A refusal shows in the status; anything else means that something happened to the drive.
            && !error.sense().is_some_and(is_refusal)
        {
            return Err(self.fail(CLEARING, error));
        }
        let Some(status) = self.encryption_status()? else { return Ok(()) };
        if status.is_off() {
            self.is_sure();
            self.encryption.key_sent = false;
            return Ok(());
        }
        // Some libraries tell only in the capabilities that they are in charge.
        let managed = self.capabilities()?.is_some_and(|one| one.is_managed_elsewhere());
        if managed || is_external(status.control) {
            self.encryption.obstacle = Some(Obstacle::ManagedElsewhere);
            return Ok(());
        }
        Err(Error::EncryptionOn {
            drive: self.name().to_string(),
            encryption_mode: status.encryption_mode,
            decryption_mode: status.decryption_mode,
        })
    }

    /// Compares the drive's state with what is needed, before data is written. A state that can't be read is
    /// off.
    ///
    /// # Errors
    ///
    /// [`Error::EncryptionState`] if it is another one.
    pub fn assert_encryption(&mut self, expected: Encryption) -> Result<()> {
        let status = self.encryption_status()?;
        let is_met = match (expected, &status) {
            (Encryption::Off, None) => true,
            (Encryption::Off, Some(status)) => {
                status.is_off() || self.encryption.obstacle.is_some() || is_external(status.control)
            }
            (Encryption::On, None) => false,
            (Encryption::On, Some(status)) => status.is_mixed(),
        };
        if !is_met {
            return Err(Error::EncryptionState {
                drive: self.name().to_string(),
                expected,
                found: status.map_or_else(|| "not readable".to_string(), |one| one.to_string()),
            });
        }
        self.is_sure();
        Ok(())
    }

    fn is_sure(&mut self) {
        self.encryption.is_unsure = false;
    }

    /// True if a library or a key manager is known to be in charge of encryption.
    pub fn is_encryption_managed(&self) -> bool {
        self.encryption.obstacle == Some(Obstacle::ManagedElsewhere)
    }

    /// While opening: removes what an earlier program may have left, and tells who is in charge.
    pub(super) fn encryption_off_at_open(&mut self, progress: &dyn Progress) -> Result<()> {
        self.while_opening(CLEARING, Drive::encryption_off)?;
        if self.is_encryption_managed() {
            progress.note(&format!(
                "drive {}: encryption is managed by the library; it encrypts and decrypts by itself",
                self.name()
            ));
        }
        Ok(())
    }

    /// Notes a unit attention that says that parameters changed.
    pub(super) fn encryption_was_changed(&mut self) {
        self.encryption.is_unsure = true;
    }

    /// If parameters were changed since this handle made sure of them, makes sure again.
    pub(super) fn confirm_encryption(&mut self) -> Result<()> {
        if !self.encryption.is_unsure {
            return Ok(());
        }
        match self.encryption.wanted {
            Some(wanted) => self.assert_encryption(wanted),
            None => Ok(()),
        }
    }

    /// Removes a key that this handle set. Nobody can be told of a failure; the next opening tries again.
    pub(super) fn remove_key_quietly(&mut self) {
        if !self.encryption.key_sent {
            return;
        }
        for _ in 0..CLEAR_ATTEMPTS {
            match clear_encryption(&mut self.transport) {
                Ok(()) => {
                    self.encryption.key_sent = false;
                    return;
                }
                // It costs the command that meets it, no more.
                Err(error) if error.sense().is_some_and(|sense| sense.is_unit_attention()) => {}
                Err(_) => return,
            }
        }
    }

    /// `None` if the drive has no such page or does not answer it.
    pub(super) fn encryption_status(&mut self) -> Result<Option<EncryptionStatus>> {
        self.security_page(ASKING, EncryptionStatus::request)
    }

    pub(super) fn capabilities(&mut self) -> Result<Option<EncryptionCapabilities>> {
        self.security_page(ABILITIES, EncryptionCapabilities::request)
    }

    /// Asks for a page. A drive that refuses it, or sends something else, has no encryption; that is
    /// remembered. That parameters changed once more is no answer: it is asked again.
    fn security_page<T>(
        &mut self,
        doing: &'static str,
        request: fn(&mut dyn scsi::Transport) -> std::result::Result<T, scsi::Error>,
    ) -> Result<Option<T>> {
        let mut attempts = CLEAR_ATTEMPTS;
        loop {
            attempts -= 1;
            let error = match request(&mut self.transport) {
                Ok(page) => return Ok(Some(page)),
                Err(error) => error,
            };
            match error.sense() {
                Some(sense) if sense.is_encryption_changed() && attempts > 0 => {}
                Some(sense) if is_refusal(sense) => break,
                None if matches!(error, scsi::Error::Malformed { .. }) => break,
                _ => return Err(self.fail(doing, error)),
            }
        }
        if self.encryption.obstacle.is_none() {
            let reason = "the drive does not tell of its encryption";
            self.encryption.obstacle = Some(Obstacle::Impossible(reason));
        }
        Ok(None)
    }
}

/// Commands that a few queued unit attentions can cost.
const CLEAR_ATTEMPTS: u32 = 4;

/// The drive understood and does not want to, as against something that happened to it.
fn is_refusal(sense: &Sense) -> bool {
    sense.is_refusal() || sense.is_vendor_key_service() || sense.is_encryption_prevented()
}

fn is_external(control: ParametersControl) -> bool {
    matches!(control, ParametersControl::Library | ParametersControl::Management)
}
