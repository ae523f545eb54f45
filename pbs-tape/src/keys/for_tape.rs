//! From a tape's set label to the key in the drive, and from a pool's key to a set label.

use datastore::{CryptConfig, Fingerprint};
use openssl::hash::MessageDigest;
use serde_json::Value;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::store::{HINT_CHARS_MAX, KeyStore};
use crate::device::TapeDevice;
use crate::drive::DriveKey;
use crate::error::{Error, Result};
use crate::format::label::{Labels, MediaSetLabelOnTape};

/// Rounds of PBKDF2-HMAC-SHA256 between a pool's key and the drive's. The passphrase is 32 random bytes, which need no
/// stretching.
const SET_KEY_ROUNDS: usize = 10;

/// The key that the drive gets for a media set: PBKDF2-HMAC-SHA256 of the pool's key, salted with the 16 bytes of the set's
/// UUID (`docs/formats/tape.md`, encryption).
pub fn drive_key_of_set(key: &CryptConfig, set: &Uuid) -> Result<DriveKey> {
    let mut derived = Zeroizing::new([0; 32]);
    openssl::pkcs5::pbkdf2_hmac(
        key.key_bytes(),
        set.as_bytes(),
        SET_KEY_ROUNDS,
        MessageDigest::sha256(),
        &mut derived[..],
    )
    .map_err(datastore::Error::from)?;
    Ok(DriveKey::new(derived))
}

/// The key of a pool, as a job that writes needs it.
pub struct PoolKey {
    fingerprint: String,
    key: CryptConfig,
    label_config: Value,
}

impl PoolKey {
    /// Looks for the key that a pool asks for.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownKey`] if it is not in the store, [`Error::KeyWithoutPassphrase`] if it can't be written to tape
    /// because no passphrase locks it.
    pub fn find(keys: Option<&KeyStore>, fingerprint: &str) -> Result<PoolKey> {
        let unknown = || Error::UnknownKey { fingerprint: fingerprint.to_string() };
        let keys = keys.ok_or_else(unknown)?;
        let name: Fingerprint = fingerprint.parse().map_err(|_| unknown())?;
        let key = keys.key(name)?.ok_or_else(unknown)?;
        let config = keys.config(name)?;
        if !config.is_locked() {
            return Err(Error::KeyWithoutPassphrase { fingerprint: fingerprint.to_string() });
        }
        let label_config = serde_json::to_value(&config)
            .map_err(|e| Error::malformed("key configuration", e.to_string()))?;
        Ok(PoolKey { fingerprint: fingerprint.to_string(), key, label_config })
    }

    /// What the set label names it by.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The locked key for the set label.
    pub fn label_config(&self) -> &Value {
        &self.label_config
    }

    /// The key that the drive gets for this set.
    pub fn for_set(&self, set: &Uuid) -> Result<DriveKey> {
        drive_key_of_set(&self.key, set)
    }
}

/// What the tape says that reminds of its key's passphrase, fit to be shown: tapes come from anywhere.
pub fn hint_on_tape(label: &MediaSetLabelOnTape) -> Option<String> {
    let hint = label.key_config.as_ref()?.get("hint")?.as_str()?;
    Some(hint.chars().filter(|c| !c.is_control()).take(HINT_CHARS_MAX).collect())
}

/// Gives the drive the key that the tape in it was written with, or none if it is not encrypted. The tape is not moved.
///
/// `labels` are those that were just read from it, which leaves encryption off.
///
/// # Errors
///
/// [`Error::KeyMissing`], which says which key it is and how it comes back, if it is not here.
pub fn give_key_for(
    labels: &Labels,
    device: &mut dyn TapeDevice,
    keys: Option<&KeyStore>,
    drive: &str,
) -> Result<()> {
    let Some(set) = &labels.media_set else { return Ok(()) };
    let Some(fingerprint) = &set.label.encryption_key_fingerprint else { return Ok(()) };
    let name: Option<Fingerprint> = fingerprint.parse().ok();
    let key = match (keys, name) {
        (Some(keys), Some(name)) => keys.key(name)?,
        _ => None,
    };
    let Some(key) = key else {
        return Err(Error::KeyMissing {
            tape: labels.media.label_text.clone(),
            fingerprint: fingerprint.clone(),
            hint: hint_on_tape(set),
            is_on_tape: set.key_config.is_some(),
            drive: drive.to_string(),
        });
    };
    device.set_key(&drive_key_of_set(&key, &set.label.uuid)?)
}
