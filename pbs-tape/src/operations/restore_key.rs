//! Taking a key back from a tape that was encrypted with it.
//!
//! The set label is never encrypted and carries the key, locked with the passphrase that it had when the label was written.
//! So the tape and that passphrase are enough, on a machine that knows nothing of either.

use datastore::{Fingerprint, KeyConfig, Progress};
use serde::Serialize;

use super::open_and_read_labels;
use crate::error::{Error, Result};
use crate::keys::hint_on_tape;
use crate::loader::MediaLoader;
use crate::media::StateDir;

/// What became of the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyOutcome {
    /// It was not here.
    Restored,
    /// It was here only in its locked form, whose passphrase stays the one that it has here.
    MadeUsable,
    /// It was here, and stays as it was.
    Present,
    /// It was here, and is locked now as on the tape.
    Replaced,
}

/// A key that was found on a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RestoredKey {
    /// The tape.
    pub label_text: String,
    /// The key.
    pub fingerprint: Fingerprint,
    /// What the tape says that reminds of the passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What became of it.
    pub outcome: KeyOutcome,
}

/// Asks for the passphrase of a key, given its fingerprint and what reminds of the passphrase.
pub type AskPassphrase<'a> = dyn FnMut(&str, Option<&str>) -> datastore::Result<Vec<u8>> + 'a;

/// Opens the key on the tape in the drive, and takes it into the key store.
///
/// `passphrase` is asked with the fingerprint and the hint. A key that is here in its locked form keeps that form, which may
/// have a newer passphrase than the tape; with `replace` it gets the tape's.
///
/// # Errors
///
/// [`Error::NoKeyOnTape`]; a wrong passphrase, and a key that is not the one which the label names, as errors of the disk side.
pub fn restore_key(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    replace: bool,
    passphrase: &mut AskPassphrase<'_>,
    progress: &dyn Progress,
) -> Result<RestoredKey> {
    let (_device, labels) = open_and_read_labels(loader, progress)?;
    let labels =
        labels.ok_or_else(|| Error::NotLabelled { drive: loader.drive_name().to_string() })?;
    let label_text = labels.media.label_text;
    let wanted =
        labels.media_set.as_ref().and_then(|set| set.label.encryption_key_fingerprint.clone());
    let no_key = |is_encrypted| Error::NoKeyOnTape { tape: label_text.clone(), is_encrypted };
    let (Some(set), Some(wanted)) = (labels.media_set, wanted) else { return Err(no_key(false)) };
    let hint = hint_on_tape(&set);
    let Some(config) = set.key_config else { return Err(no_key(true)) };
    let config: KeyConfig = serde_json::from_value(config)
        .map_err(|e| Error::malformed("media-set label", format!("its key: {e}")))?;
    let key = config.unlock(&mut || passphrase(&wanted, hint.as_deref()))?;
    let fingerprint = key.fingerprint();
    if wanted.parse() != Ok(fingerprint) {
        return Err(Error::malformed(
            "media-set label",
            format!("it names key {wanted} and carries key {fingerprint}"),
        ));
    }
    let keys = state.keys();
    let has_locked_form =
        keys.list()?.iter().any(|one| one.fingerprint == fingerprint && one.kdf.is_some());
    let outcome = match (has_locked_form, replace) {
        (true, false) if keys.complete(&key)? => KeyOutcome::MadeUsable,
        (true, false) => KeyOutcome::Present,
        (is_here, _) => {
            keys.insert(&key, config, replace)?;
            if is_here { KeyOutcome::Replaced } else { KeyOutcome::Restored }
        }
    };
    Ok(RestoredKey { label_text, fingerprint, hint, outcome })
}
