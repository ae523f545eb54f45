//! The master key (`docs/formats/keys.md`, "Master key"): an RSA pair whose public half lies where
//! backups are made and whose private half lies in a safe.
//!
//! With the public half every backup carries its own key, encrypted for the holder of the private
//! half: whoever loses a key file, or the machine with it, restores all the same. The copy is bound
//! to nothing but the private key, so whoever holds that reads everything; a machine that makes
//! backups never needs it.
//!
//! PKCS #1 v1.5 is the padding of the format. Its known weakness is an oracle: somebody who can
//! ask many times whether a forged text decrypts. [`MasterKey::recover`] runs on the desk of whoever
//! holds the private key, and tells the same for each kind of failure.

use std::fmt;
use std::path::Path;

use openssl::pkey::{HasPublic, Id, PKey, Private, Public};
use openssl::rsa::{Padding, Rsa};
use openssl::symm::Cipher;
use zeroize::Zeroizing;

use super::{KdfKind, KeyConfig, check_passphrase, write_new};
use crate::blob::DataBlob;
use crate::crypt::CryptConfig;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::storage::{Durability, Storage, replace_file};

/// Bits of a new master key.
pub const BITS_DEFAULT: u32 = 4096;
/// Fewest bits: a key file has 255 bytes, and the padding needs 11.
pub const BITS_MIN: u32 = (255 + PADDING_BYTES) * 8;
/// Most bits: more only takes time.
pub const BITS_MAX: u32 = 16384;
/// What PKCS #1 v1.5 adds.
const PADDING_BYTES: u32 = 11;
/// Largest PEM file that is read.
const FILE_BYTES_MAX: u64 = 64 << 10;

fn bad(reason: impl Into<String>) -> Error {
    Error::MasterKey { reason: reason.into() }
}

fn check_bits<T: HasPublic>(rsa: &Rsa<T>) -> Result<()> {
    let bits = rsa.n().num_bits();
    if u32::try_from(bits).is_ok_and(|bits| (BITS_MIN..=BITS_MAX).contains(&bits)) {
        return Ok(());
    }
    Err(bad(format!("it has {bits} bits; {BITS_MIN} to {BITS_MAX} are possible, 4096 are usual")))
}

/// The half that encrypts keys.
pub struct MasterPublicKey(Rsa<Public>);

impl fmt::Debug for MasterPublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterPublicKey({} bits)", self.bits())
    }
}

impl MasterPublicKey {
    /// Reads PEM: `BEGIN PUBLIC KEY`, or `BEGIN RSA PUBLIC KEY`.
    pub fn from_pem(pem: &[u8]) -> Result<MasterPublicKey> {
        // OpenSSL tries other kinds too, and asks the terminal for the passphrase of a private key.
        let has = |marker: &str| pem.windows(marker.len()).any(|bytes| bytes == marker.as_bytes());
        if has("PRIVATE KEY-----") {
            return Err(bad("this is the private half; only the public one is wanted here"));
        }
        let read = if has("-----BEGIN RSA PUBLIC KEY-----") {
            Rsa::public_key_from_pem_pkcs1(pem)
        } else {
            PKey::public_key_from_pem(pem).and_then(|key| key.rsa())
        };
        let rsa = read.map_err(|_| bad("it is no RSA public key in PEM ('BEGIN PUBLIC KEY')"))?;
        check_bits(&rsa)?;
        Ok(MasterPublicKey(rsa))
    }

    /// Reads a file.
    pub fn load(storage: &dyn Storage, path: &Path) -> Result<MasterPublicKey> {
        let pem = storage.read(path, FILE_BYTES_MAX).map_err(|e| Error::io("read", path, e))?;
        MasterPublicKey::from_pem(&pem)
    }

    /// The file: SubjectPublicKeyInfo in PEM.
    pub fn to_pem(&self) -> Result<Vec<u8>> {
        Ok(self.0.public_key_to_pem()?)
    }

    /// Writes a new file. One that is there is never overwritten.
    pub fn save_new(&self, storage: &dyn Storage, path: &Path) -> Result<()> {
        write_new(storage, path, &self.to_pem()?, 0o644, "master public key")
    }

    /// Writes a file, in the place of one that may be there.
    pub fn save_over(&self, storage: &dyn Storage, path: &Path) -> Result<()> {
        replace_file(storage, path, &[&self.to_pem()?], 0o644, Durability::Now)
    }

    /// Bits of its modulus.
    pub fn bits(&self) -> u32 {
        self.0.n().num_bits().unsigned_abs()
    }

    /// SHA-256 of the key in DER, to compare by eye; `openssl pkey -pubin -outform der | sha256sum`
    /// prints the same.
    pub fn fingerprint(&self) -> Result<Fingerprint> {
        Ok(Fingerprint(crate::digest::Digest::of(&self.0.public_key_to_der()?).0))
    }

    /// The key file of `key` without a passphrase, encrypted: as many bytes as the modulus has.
    /// `created` is that of the key file at hand; `modified` is now.
    pub fn encrypt(&self, key: &CryptConfig, created: &str) -> Result<Vec<u8>> {
        let mut file = KeyConfig::lock(key, KdfKind::None, &[], None)?;
        created.clone_into(&mut file.created);
        let text = file.to_json()?;
        let room = self.0.size().saturating_sub(PADDING_BYTES) as usize;
        if text.len() > room {
            return Err(bad(format!(
                "it has room for {room} bytes, but the key file needs {}; make a longer one",
                text.len()
            )));
        }
        let mut encrypted = vec![0; self.0.size() as usize];
        let len = self.0.public_encrypt(text.as_bytes(), &mut encrypted, Padding::PKCS1)?;
        encrypted.truncate(len);
        Ok(encrypted)
    }

    /// The blob that a backup carries: plain and uncompressed, its payload is
    /// [`MasterPublicKey::encrypt`]'s.
    pub fn key_blob(&self, key: &CryptConfig, created: &str) -> Result<DataBlob> {
        DataBlob::encode(&self.encrypt(key, created)?, None, false)
    }
}

/// Both halves.
pub struct MasterKey(Rsa<Private>);

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({} bits)", self.0.n().num_bits())
    }
}

impl MasterKey {
    /// A new random pair.
    pub fn generate(bits: u32) -> Result<MasterKey> {
        if !(BITS_MIN..=BITS_MAX).contains(&bits) {
            return Err(bad(format!(
                "{bits} bits are not possible; {BITS_MIN} to {BITS_MAX} are, 4096 are usual"
            )));
        }
        Ok(MasterKey(Rsa::generate(bits)?))
    }

    /// Reads the private half from PEM: PKCS #8 or RSA's own form, encrypted or not. `passphrase`
    /// is asked only for an encrypted one.
    pub fn from_pem(
        pem: &[u8],
        passphrase: &mut dyn FnMut() -> Result<Vec<u8>>,
    ) -> Result<MasterKey> {
        // OpenSSL may ask more than once, a person is asked once.
        let mut answer = None;
        let read = PKey::private_key_from_pem_callback(pem, |buffer| {
            let answer = answer.get_or_insert_with(|| passphrase().map(Zeroizing::new));
            Ok(match answer {
                // OpenSSL takes no longer one than its buffer, and a shorter one would be another.
                Ok(text) => buffer.get_mut(..text.len()).map_or(0, |place| {
                    place.copy_from_slice(text);
                    text.len()
                }),
                Err(_) => 0,
            })
        });
        let key = match (read, answer) {
            (_, Some(Err(error))) => return Err(error),
            (Ok(key), _) => key,
            (Err(_), Some(Ok(_))) => return Err(Error::Passphrase { hint: None }),
            (Err(_), None) => return Err(bad("it is no private key in PEM")),
        };
        if key.id() != Id::RSA {
            return Err(bad("it is no RSA key"));
        }
        let rsa = key.rsa()?;
        check_bits(&rsa)?;
        Ok(MasterKey(rsa))
    }

    /// The private half for its file: PKCS #8, encrypted with AES-256-CBC.
    pub fn to_encrypted_pem(&self, passphrase: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        check_passphrase(passphrase)?;
        let key = PKey::from_rsa(self.0.clone())?;
        let pem = key.private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), passphrase)?;
        Ok(Zeroizing::new(pem))
    }

    /// Writes the private half to a new file that only its owner may read.
    pub fn save_new(&self, storage: &dyn Storage, path: &Path, passphrase: &[u8]) -> Result<()> {
        let pem = self.to_encrypted_pem(passphrase)?;
        write_new(storage, path, &pem, 0o600, "master private key")
    }

    /// The public half.
    pub fn public(&self) -> Result<MasterPublicKey> {
        let (n, e) = (self.0.n().to_owned()?, self.0.e().to_owned()?);
        Ok(MasterPublicKey(Rsa::from_public_components(n, e)?))
    }

    /// The key file that [`MasterPublicKey::encrypt`] encrypted, without a passphrase, and the key
    /// in it; its fingerprint has been checked.
    pub fn recover(&self, encrypted: &[u8]) -> Result<(KeyConfig, CryptConfig)> {
        // Newer OpenSSL gives random bytes for a bad padding, older an error: one message for both.
        let failed = || bad("this key was not encrypted for this master key, or it is damaged");
        let mut text = Zeroizing::new(vec![0; self.0.size() as usize]);
        let len =
            self.0.private_decrypt(encrypted, &mut text, Padding::PKCS1).map_err(|_| failed())?;
        let text = text.get(..len).ok_or_else(failed)?;
        let file = KeyConfig::from_json(text).map_err(|_| failed())?;
        if file.is_locked() {
            return Err(bad("the key in it is locked with a passphrase"));
        }
        let key = file.unlock(&mut || Err(failed()))?;
        Ok((file, key))
    }
}

#[cfg(test)]
mod tests;
