//! Key files (`docs/formats/keys.md`): one line of JSON that holds a key, in the clear or locked
//! with a passphrase.
//!
//! A key that is lost makes every backup made with it worthless, and a key file that was written
//! half is a lost key. So:
//!
//! * a new key file never takes the place of another one, and is durable before it is used;
//! * the one thing that replaces a key file is a change of its passphrase, and what it puts there
//!   was opened with the new passphrase first, holds the same key, and is there whole or not at
//!   all ([`KeyConfig::save_over`]);
//! * the fingerprint is recomputed each time a file is opened.
//!
//! Keys and passphrases are wiped from memory when they are dropped, and no `Debug` shows them.
//!
//! [`paper`] prints a key for the cupboard; [`master`] encrypts it for whoever holds the master key.

pub mod master;
pub mod paper;
mod qr;

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use openssl::hash::MessageDigest;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::crypt::{self, CryptConfig, IV_LEN, TAG_LEN};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::storage::{Durability, Storage, replace_file};
use crate::time;

/// Shortest passphrase in bytes.
pub const PASSPHRASE_LEN_MIN: usize = 5;
/// Largest key file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Memory that scrypt may use: the default parameters need 64 MiB.
const SCRYPT_BYTES_MAX: u64 = 1025 << 20;
/// Most work that scrypt may be asked for, as n·r·p: 512 times the default, minutes of computing.
/// The limit of memory bounds n·r and p·r, but not their product.
const SCRYPT_WORK_MAX: u64 = 1 << 28;
/// Permission bits of a key file.
const KEY_FILE_MODE: u32 = 0o600;

/// How a passphrase becomes the key that locks a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kdf {
    /// Memory-hard; the default.
    Scrypt {
        /// CPU and memory cost.
        n: u64,
        /// Block size.
        r: u64,
        /// Parallelisation.
        p: u64,
        /// Salt, base64.
        salt: String,
    },
    /// PBKDF2-HMAC-SHA256, for machines with little memory.
    #[serde(rename = "PBKDF2")]
    Pbkdf2 {
        /// Iterations.
        iter: u64,
        /// Salt, base64.
        salt: String,
    },
}

/// Which derivation a new key file uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum KdfKind {
    /// No passphrase: the key is stored in the clear.
    None,
    /// scrypt 65536/8/1.
    #[default]
    Scrypt,
    /// PBKDF2 with 65535 iterations.
    Pbkdf2,
}

/// The content of a key file.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyConfig {
    /// `None`: the key is stored in the clear.
    pub kdf: Option<Kdf>,
    /// RFC 3339 with numeric offset.
    pub created: String,
    /// RFC 3339 with numeric offset.
    pub modified: String,
    /// The key, or initialisation vector, tag and locked key; base64.
    pub data: Zeroizing<String>,
    /// What the key is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What reminds the owner of the passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl fmt::Debug for KeyConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never `data`: without a passphrase it is the key itself.
        f.debug_struct("KeyConfig")
            .field("kdf", &self.kdf)
            .field("created", &self.created)
            .field("modified", &self.modified)
            .field("fingerprint", &self.fingerprint)
            .field("hint", &self.hint)
            .finish_non_exhaustive()
    }
}

impl Kdf {
    fn new(kind: KdfKind) -> Result<Option<Kdf>> {
        let salt = BASE64.encode(crypt::random::<32>()?);
        Ok(match kind {
            KdfKind::None => None,
            KdfKind::Scrypt => Some(Kdf::Scrypt { n: 65536, r: 8, p: 1, salt }),
            KdfKind::Pbkdf2 => Some(Kdf::Pbkdf2 { iter: 65535, salt }),
        })
    }

    fn derive(&self, passphrase: &[u8]) -> Result<Zeroizing<[u8; 32]>> {
        let mut key = Zeroizing::new([0; 32]);
        match self {
            Kdf::Scrypt { n, r, p, salt } => {
                let salt = decode_base64("salt", salt)?;
                let work = n.checked_mul(*r).and_then(|work| work.checked_mul(*p));
                if work.is_none_or(|work| work > SCRYPT_WORK_MAX) {
                    return Err(Error::Key {
                        reason: format!("scrypt with n={n}, r={r}, p={p} would not end"),
                    });
                }
                let key = &mut key[..];
                openssl::pkcs5::scrypt(passphrase, &salt, *n, *r, *p, SCRYPT_BYTES_MAX, key)?;
            }
            Kdf::Pbkdf2 { iter, salt } => {
                let salt = decode_base64("salt", salt)?;
                // More rounds than anybody chooses would only hang the program.
                let rounds =
                    usize::try_from(*iter).ok().filter(|rounds| (1..=100_000_000).contains(rounds));
                let rounds = rounds.ok_or_else(|| Error::Key {
                    reason: format!("{iter} iterations are out of range"),
                })?;
                openssl::pkcs5::pbkdf2_hmac(
                    passphrase,
                    &salt,
                    rounds,
                    MessageDigest::sha256(),
                    &mut key[..],
                )?;
            }
        }
        Ok(key)
    }
}

fn decode_base64(field: &str, text: &str) -> Result<Zeroizing<Vec<u8>>> {
    BASE64
        .decode(text)
        .map(Zeroizing::new)
        .map_err(|e| Error::Key { reason: format!("'{field}' is not base64: {e}") })
}

/// Fails if a passphrase is too short for the format.
pub fn check_passphrase(passphrase: &[u8]) -> Result<()> {
    if passphrase.len() < PASSPHRASE_LEN_MIN {
        return Err(Error::Key {
            reason: format!("a passphrase has at least {PASSPHRASE_LEN_MIN} characters"),
        });
    }
    Ok(())
}

impl KeyConfig {
    /// A file for a new random key.
    pub fn generate(kind: KdfKind, passphrase: &[u8], hint: Option<String>) -> Result<KeyConfig> {
        let bytes = Zeroizing::new(crypt::random::<32>()?);
        KeyConfig::lock(&CryptConfig::new(*bytes)?, kind, passphrase, hint)
    }

    /// A file for a key at hand. `passphrase` is not looked at with [`KdfKind::None`].
    pub fn lock(
        key: &CryptConfig,
        kind: KdfKind,
        passphrase: &[u8],
        hint: Option<String>,
    ) -> Result<KeyConfig> {
        let kdf = Kdf::new(kind)?;
        let data = Zeroizing::new(match &kdf {
            None => key.key_bytes().to_vec(),
            Some(kdf) => {
                check_passphrase(passphrase)?;
                let lock_key = kdf.derive(passphrase)?;
                let iv = crypt::random::<IV_LEN>()?;
                let mut locked = [0; 32];
                let tag = crypt::encrypt_with(&lock_key, &iv, key.key_bytes(), &mut locked)?;
                [&iv[..], &tag[..], &locked[..]].concat()
            }
        });
        let now = time::to_local_text(time::now());
        Ok(KeyConfig {
            kdf,
            created: now.clone(),
            modified: now,
            data: Zeroizing::new(BASE64.encode(&data[..])),
            fingerprint: Some(key.fingerprint()),
            hint,
        })
    }

    /// The same key under another passphrase: `created` stays, `modified` is now. `key` is what
    /// [`KeyConfig::unlock`] gave. The result has been opened once.
    pub fn relock(
        &self,
        key: &CryptConfig,
        kind: KdfKind,
        passphrase: &[u8],
        hint: Option<String>,
    ) -> Result<KeyConfig> {
        let mut new = KeyConfig::lock(key, kind, passphrase, hint)?;
        new.created.clone_from(&self.created);
        let opened = new.unlock(&mut || Ok(passphrase.to_vec()))?;
        if opened.fingerprint() != key.fingerprint() {
            return Err(Error::Key { reason: "the new file does not hold the same key".into() });
        }
        Ok(new)
    }

    /// Reads JSON.
    pub fn from_json(text: &[u8]) -> Result<KeyConfig> {
        serde_json::from_slice(text)
            .map_err(|e| Error::Key { reason: format!("it is not one: {e}") })
    }

    /// The one line that the file holds.
    pub fn to_json(&self) -> Result<Zeroizing<String>> {
        let text = serde_json::to_string(self).map_err(|e| Error::Key { reason: e.to_string() })?;
        Ok(Zeroizing::new(text))
    }

    /// The same with an indentation of two, as it is printed on paper.
    pub fn to_json_pretty(&self) -> Result<Zeroizing<String>> {
        let text =
            serde_json::to_string_pretty(self).map_err(|e| Error::Key { reason: e.to_string() })?;
        Ok(Zeroizing::new(text))
    }

    /// Reads a key file.
    pub fn load(storage: &dyn Storage, path: &Path) -> Result<KeyConfig> {
        let text = storage.read(path, FILE_BYTES_MAX).map_err(|e| Error::io("read", path, e))?;
        KeyConfig::from_json(&Zeroizing::new(text))
    }

    /// Writes a new key file that only its owner may read. An existing file is never overwritten,
    /// also not by two calls at once.
    pub fn save_new(&self, storage: &dyn Storage, path: &Path) -> Result<()> {
        write_new(storage, path, self.to_json()?.as_bytes(), KEY_FILE_MODE, "key file")
    }

    /// Replaces the key file at `path` in one step, durably, which must hold the same key: for a
    /// change of the passphrase. A crash leaves the old file or the new one. `path` must be no
    /// link, which would be replaced instead of the file behind it.
    pub fn save_over(&self, storage: &dyn Storage, path: &Path) -> Result<()> {
        let old = KeyConfig::load(storage, path)?;
        if old.fingerprint.is_some() && old.fingerprint != self.fingerprint {
            return Err(Error::Key {
                reason: format!("{} holds another key now; nothing was changed", path.display()),
            });
        }
        let text = self.to_json()?;
        replace_file(storage, path, &[text.as_bytes()], KEY_FILE_MODE, Durability::Now)
    }

    /// True if a passphrase is needed.
    pub fn is_locked(&self) -> bool {
        self.kdf.is_some()
    }

    /// The key. `passphrase` is asked only for a locked key. A recorded fingerprint must fit.
    pub fn unlock(&self, passphrase: &mut dyn FnMut() -> Result<Vec<u8>>) -> Result<CryptConfig> {
        let data = decode_base64("data", &self.data)?;
        let wrong_length = |wanted: usize| Error::Key {
            reason: format!("'data' holds {} bytes, {wanted} are needed", data.len()),
        };
        let mut key = Zeroizing::new([0; 32]);
        match &self.kdf {
            None => {
                let bytes: &[u8; 32] = data.as_slice().try_into().map_err(|_| wrong_length(32))?;
                key.copy_from_slice(bytes);
            }
            Some(kdf) => {
                let bytes: &[u8; IV_LEN + TAG_LEN + 32] =
                    data.as_slice().try_into().map_err(|_| wrong_length(64))?;
                let passphrase = Zeroizing::new(passphrase()?);
                check_passphrase(&passphrase)?;
                let lock_key = kdf.derive(&passphrase)?;
                let (mut iv, mut tag) = ([0; IV_LEN], [0; TAG_LEN]);
                iv.copy_from_slice(&bytes[..IV_LEN]);
                tag.copy_from_slice(&bytes[IV_LEN..IV_LEN + TAG_LEN]);
                let locked = &bytes[IV_LEN + TAG_LEN..];
                if !crypt::decrypt_with(&lock_key, &iv, &tag, locked, &mut key[..])? {
                    return Err(Error::Passphrase { hint: self.hint.clone() });
                }
            }
        }
        let key = CryptConfig::new(*key)?;
        match self.fingerprint {
            Some(wanted) if wanted != key.fingerprint() => Err(Error::Key {
                reason: format!(
                    "the key in it is {}, but the file says {wanted}: it was altered",
                    key.fingerprint()
                ),
            }),
            _ => Ok(key),
        }
    }
}

/// Creates a file with its final name and makes it durable. A file that is there is left alone: the
/// name is created, not renamed onto. `what` says in the message what kind of file it is.
pub(crate) fn write_new(
    storage: &dyn Storage,
    path: &Path,
    content: &[u8],
    mode: u32,
    what: &'static str,
) -> Result<()> {
    let mut file = storage.create_new(path, mode).map_err(|error| {
        if error.kind() == std::io::ErrorKind::AlreadyExists {
            return Error::Exists { what: format!("{what} {}", path.display()) };
        }
        Error::io("create", path, error)
    })?;
    let written = file.write_all(content).and_then(|()| file.sync());
    if let Err(error) = written {
        // Half a key is no key, and its name must be free for the next attempt.
        let _ = storage.remove_file(path);
        return Err(Error::io("write", path, error));
    }
    match path.parent() {
        Some(dir) => storage.sync_dir(dir).map_err(|e| Error::io("sync", dir, e)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
