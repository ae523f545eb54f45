//! Key files (`docs/formats/keys.md`): one line of JSON that holds a key, in the clear or locked
//! with a passphrase.
//!
//! A key that is lost makes every backup made with it worthless, and a key file that was written
//! half is a lost key. So a key file is never overwritten, is durable before it is used, and its
//! fingerprint is recomputed each time it is opened.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use openssl::hash::MessageDigest;
use serde::{Deserialize, Serialize};

use crate::crypt::{self, CryptConfig, IV_LEN, TAG_LEN};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::storage::Storage;
use crate::time;

/// Shortest passphrase in bytes.
pub const PASSPHRASE_LEN_MIN: usize = 5;
/// Largest key file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;
/// Memory that scrypt may use: the default parameters need 64 MiB.
const SCRYPT_BYTES_MAX: u64 = 1025 << 20;

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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyConfig {
    /// `None`: the key is stored in the clear.
    pub kdf: Option<Kdf>,
    /// RFC 3339 with numeric offset.
    pub created: String,
    /// RFC 3339 with numeric offset.
    pub modified: String,
    /// The key, or initialisation vector, tag and locked key; base64.
    pub data: String,
    /// What the key is known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<Fingerprint>,
    /// What reminds the owner of the passphrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
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

    fn derive(&self, passphrase: &[u8]) -> Result<[u8; 32]> {
        let mut key = [0; 32];
        match self {
            Kdf::Scrypt { n, r, p, salt } => {
                let salt = decode_base64("salt", salt)?;
                openssl::pkcs5::scrypt(passphrase, &salt, *n, *r, *p, SCRYPT_BYTES_MAX, &mut key)?;
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
                    &mut key,
                )?;
            }
        }
        Ok(key)
    }
}

fn decode_base64(field: &str, text: &str) -> Result<Vec<u8>> {
    BASE64.decode(text).map_err(|e| Error::Key { reason: format!("'{field}' is not base64: {e}") })
}

fn check_passphrase(passphrase: &[u8]) -> Result<()> {
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
        let key = CryptConfig::new(crypt::random::<32>()?)?;
        KeyConfig::lock(&key, kind, passphrase, hint)
    }

    /// A file for a key at hand. `passphrase` is not looked at with [`KdfKind::None`].
    pub fn lock(
        key: &CryptConfig,
        kind: KdfKind,
        passphrase: &[u8],
        hint: Option<String>,
    ) -> Result<KeyConfig> {
        let kdf = Kdf::new(kind)?;
        let data = match &kdf {
            None => key.key_bytes().to_vec(),
            Some(kdf) => {
                check_passphrase(passphrase)?;
                let lock_key = kdf.derive(passphrase)?;
                let iv = crypt::random::<IV_LEN>()?;
                let mut locked = [0; 32];
                let tag = crypt::encrypt_with(&lock_key, &iv, key.key_bytes(), &mut locked)?;
                [&iv[..], &tag[..], &locked[..]].concat()
            }
        };
        let now = time::to_local_text(time::now());
        Ok(KeyConfig {
            kdf,
            created: now.clone(),
            modified: now,
            data: BASE64.encode(data),
            fingerprint: Some(key.fingerprint()),
            hint,
        })
    }

    /// Reads JSON.
    pub fn from_json(text: &[u8]) -> Result<KeyConfig> {
        serde_json::from_slice(text)
            .map_err(|e| Error::Key { reason: format!("it is not one: {e}") })
    }

    /// The one line that the file holds.
    pub fn to_json(&self) -> Result<String> {
        serde_json::to_string(self).map_err(|e| Error::Key { reason: e.to_string() })
    }

    /// Reads a key file.
    pub fn load(storage: &dyn Storage, path: &Path) -> Result<KeyConfig> {
        let text = storage.read(path, FILE_BYTES_MAX).map_err(|e| Error::io("read", path, e))?;
        KeyConfig::from_json(&text)
    }

    /// Writes a new key file that only its owner may read. An existing file is never overwritten,
    /// also not by two calls at once: the final name is created, not renamed onto.
    pub fn save_new(&self, storage: &dyn Storage, path: &Path) -> Result<()> {
        let text = self.to_json()?;
        let mut file = storage.create_new(path, 0o600).map_err(|error| {
            if error.kind() == std::io::ErrorKind::AlreadyExists {
                return Error::Exists { what: format!("key file {}", path.display()) };
            }
            Error::io("create", path, error)
        })?;
        let written = file.write_all(text.as_bytes()).and_then(|()| file.sync());
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
        let mut key = [0; 32];
        match &self.kdf {
            None => {
                let bytes: &[u8; 32] = data.as_slice().try_into().map_err(|_| wrong_length(32))?;
                key.copy_from_slice(bytes);
            }
            Some(kdf) => {
                let bytes: &[u8; IV_LEN + TAG_LEN + 32] =
                    data.as_slice().try_into().map_err(|_| wrong_length(64))?;
                let passphrase = passphrase()?;
                check_passphrase(&passphrase)?;
                let lock_key = kdf.derive(&passphrase)?;
                let (mut iv, mut tag) = ([0; IV_LEN], [0; TAG_LEN]);
                iv.copy_from_slice(&bytes[..IV_LEN]);
                tag.copy_from_slice(&bytes[IV_LEN..IV_LEN + TAG_LEN]);
                let locked = &bytes[IV_LEN + TAG_LEN..];
                if !crypt::decrypt_with(&lock_key, &iv, &tag, locked, &mut key)? {
                    return Err(Error::Passphrase { hint: self.hint.clone() });
                }
            }
        }
        let key = CryptConfig::new(key)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RealStorage;

    fn never() -> Result<Vec<u8>> {
        panic!("no passphrase should be asked for")
    }

    #[test]
    fn a_locked_key_opens_with_its_passphrase_only() {
        for kind in [KdfKind::Scrypt, KdfKind::Pbkdf2] {
            let file = KeyConfig::generate(kind, b"secret", Some("the usual".into())).unwrap();
            let key = file.unlock(&mut || Ok(b"secret".to_vec())).unwrap();
            assert_eq!(Some(key.fingerprint()), file.fingerprint);
            let error = file.unlock(&mut || Ok(b"Secret".to_vec())).unwrap_err();
            assert!(matches!(&error, Error::Passphrase { .. }));
            assert!(error.to_string().contains("the usual"));
            let error = file.unlock(&mut || Ok(b"four".to_vec())).unwrap_err();
            assert!(matches!(error, Error::Key { .. }));
        }
        assert!(KeyConfig::generate(KdfKind::Scrypt, b"four", None).is_err());
    }

    #[test]
    fn a_key_file_is_written_once_and_for_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let storage = RealStorage::new(dir.path()).unwrap();
        let path = dir.path().join("key.json");
        let file = KeyConfig::generate(KdfKind::None, b"", None).unwrap();
        file.save_new(&storage, &path).unwrap();
        assert_eq!(KeyConfig::load(&storage, &path).unwrap(), file);
        assert_eq!(storage.meta(&path).unwrap().mode, 0o600);
        assert!(matches!(file.save_new(&storage, &path), Err(Error::Exists { .. })));
    }

    #[test]
    fn field_order_is_the_reference_order() {
        let text = KeyConfig::generate(KdfKind::Pbkdf2, b"secret", Some("h".into()))
            .unwrap()
            .to_json()
            .unwrap();
        let at = |key: &str| text.find(key).unwrap_or_else(|| panic!("{key} in {text}"));
        assert!(text.starts_with("{\"kdf\":{\"PBKDF2\":{\"iter\":65535,\"salt\":\""));
        assert!(at("created") < at("modified") && at("modified") < at("data"));
        assert!(at("data") < at("fingerprint") && at("fingerprint") < at("hint"));
    }

    #[test]
    fn broken_files_are_refused() {
        let good = KeyConfig::generate(KdfKind::None, b"", None).unwrap();
        let mut short = good.clone();
        short.data = BASE64.encode([0; 31]);
        assert!(short.unlock(&mut never).is_err());
        let mut other = good.clone();
        other.data = BASE64.encode([1; 32]);
        assert!(other.unlock(&mut never).unwrap_err().to_string().contains("altered"));
        let mut garbage = good;
        garbage.data = "!".into();
        assert!(garbage.unlock(&mut never).is_err());
        assert!(KeyConfig::from_json(b"{}").is_err());
    }

    #[test]
    fn the_reference_key_files_open() {
        // Made by the reference: passphrase `secret1`, key 00 01 … 1f.
        let data = [
            r#"{"kdf":{"PBKDF2":{"iter":65535,"salt":"nUVw/IngyJWKkYJDbbnrLeTS54ka5V3MAJmuf8d1nts="}},"created":"2026-11-21T19:19:28+00:00","modified":"2026-11-21T19:19:28+00:00","data":"xN4m8At/KYGyk7me+T/Fwrp/Gsy9frMTPYG9hCQlGT5qZ/eOaLlOnXWcn8zgDYIhQdI4tSHvu5bdz9cNN1gjkw==","fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b","hint":"h"}"#,
            r#"{"kdf":{"Scrypt":{"n":65536,"r":8,"p":1,"salt":"St1bpgUZwvFmbqu5FnwkCClrM9+GSXO3vNRd1gt14/k="}},"created":"2026-11-21T19:19:28+00:00","modified":"2026-11-21T19:19:28+00:00","data":"bVMdIQTjumuEz9xI6kuxz0Jp2047mBidPMicXOmn/4jQMwi/lHlKDRfaGoO1fvuLIYFEzyv0tcgbfeDB4UQQMA==","fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b","hint":"h"}"#,
        ];
        for text in data {
            let file = KeyConfig::from_json(text.as_bytes()).unwrap();
            assert_eq!(file.to_json().unwrap(), text);
            let key = file.unlock(&mut || Ok(b"secret1".to_vec())).unwrap();
            assert_eq!(key.key_bytes()[31], 0x1f);
        }
    }

    #[test]
    fn golden_key_files_open_to_the_recorded_keys() {
        let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
            return;
        };
        for name in ["enc-none", "enc-scrypt", "enc-pbkdf2"] {
            let text = std::fs::read(golden.join(format!("keys/{name}.json"))).unwrap();
            let info =
                std::fs::read_to_string(golden.join(format!("keys/{name}.keyinfo.txt"))).unwrap();
            let field = |key: &str| {
                let line = info.lines().find_map(|line| line.strip_prefix(key)).unwrap();
                line.trim().to_owned()
            };
            let key = KeyConfig::from_json(&text)
                .unwrap()
                .unlock(&mut || Ok(b"golden-password".to_vec()))
                .unwrap();
            assert_eq!(hex::encode(key.key_bytes()), field("enc_key "));
            assert_eq!(hex::encode(key.fingerprint().0), field("fingerprint "));
            assert_eq!(hex::encode(key.sign(b"").unwrap()), field("auth_tag(empty) "));
            assert_eq!(key.digest(b"").to_string(), field("digest(empty) "));
            assert_eq!(key.digest(b"abc").to_string(), field("digest(abc) "));
        }
    }
}
