//! Keys of encrypted tapes, for as long as a rescue runs.
//!
//! A key comes from whoever started the rescue (on paper, in a file, in this machine's key store), or from the tape itself
//! with its passphrase. It stays in memory: the folder of a rescue holds none.

use std::collections::BTreeMap;

use datastore::{CryptConfig, Fingerprint, KeyConfig};

use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::format::label::MediaSetLabelOnTape;
use crate::keys::{KeyStore, drive_key_of_set, hint_on_tape};
use crate::operations::restore_key::AskPassphrase;

/// Where a rescue finds keys.
pub struct RescueKeys {
    at_hand: Vec<CryptConfig>,
    store: Option<KeyStore>,
    ask: Box<AskPassphrase<'static>>,
    /// Why a key can't be had; nobody is asked for its passphrase twice.
    failed: BTreeMap<String, String>,
}

impl RescueKeys {
    /// `at_hand` were opened already; `store` is this machine's, if it has one; `ask` is asked for the passphrase of a key
    /// that a tape carries, with its fingerprint and hint.
    pub fn new(
        at_hand: Vec<CryptConfig>,
        store: Option<KeyStore>,
        ask: Box<AskPassphrase<'static>>,
    ) -> RescueKeys {
        RescueKeys { at_hand, store, ask, failed: BTreeMap::new() }
    }

    /// Gives the drive the key that its tape was written with, or none if it is not encrypted.
    ///
    /// # Errors
    ///
    /// [`Error::RescueKeyMissing`] says which key it is, what reminds of its passphrase, and how it is given.
    pub(super) fn give(
        &mut self,
        tape: &str,
        set: &MediaSetLabelOnTape,
        device: &mut dyn TapeDevice,
    ) -> Result<()> {
        let Some(fingerprint) = &set.label.encryption_key_fingerprint else { return Ok(()) };
        let missing = |reason: String| Error::RescueKeyMissing {
            tape: tape.to_string(),
            fingerprint: fingerprint.clone(),
            hint: hint_on_tape(set),
            reason,
        };
        if let Some(reason) = self.failed.get(fingerprint) {
            return Err(missing(reason.clone()));
        }
        let Ok(name) = fingerprint.parse::<Fingerprint>() else {
            return Err(missing("its label does not name it properly".into()));
        };
        let is_at_hand =
            |keys: &[CryptConfig]| keys.iter().position(|key| key.fingerprint() == name);
        if is_at_hand(&self.at_hand).is_none() {
            match self.fetch(name, set) {
                Ok(key) => self.at_hand.push(key),
                Err(reason) => {
                    self.failed.insert(fingerprint.clone(), reason.clone());
                    return Err(missing(reason));
                }
            }
        }
        match is_at_hand(&self.at_hand).and_then(|place| self.at_hand.get(place)) {
            Some(key) => device.set_key(&drive_key_of_set(key, &set.label.uuid)?),
            None => Err(missing("the tape carries another key".into())),
        }
    }

    fn fetch(
        &mut self,
        name: Fingerprint,
        set: &MediaSetLabelOnTape,
    ) -> std::result::Result<CryptConfig, String> {
        if let Some(store) = &self.store
            && let Ok(Some(key)) = store.key(name)
        {
            return Ok(key);
        }
        let config = set.key_config.clone().ok_or("the tape does not carry it")?;
        let config: KeyConfig = serde_json::from_value(config)
            .map_err(|e| format!("what the tape carries of it can't be read: {e}"))?;
        let hint = hint_on_tape(set);
        let ask = &mut self.ask;
        config
            .unlock(&mut || ask(&name.to_string(), hint.as_deref()))
            .map_err(|e| e.to_string())
            .and_then(|key| match key.fingerprint() == name {
                true => Ok(key),
                false => Err("the tape carries another key".into()),
            })
    }
}
