//! Encryption of blobs, keyed digests and signatures. The rules are in `docs/formats/keys.md`.
//!
//! One 32-byte key does everything: it encrypts directly (AES-256-GCM), and an identity key that is
//! derived from it separates the digests of encrypted chunks from those of plain ones, signs
//! manifests and names the key (its fingerprint). Two chunks of equal content under different keys
//! therefore never share a name.
//!
//! The format's initialisation vector is 16 bytes, not the usual 12: GCM then derives its counter
//! block through GHASH. Libraries that only take 12 bytes cannot read this format.

use std::fmt;

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use serde::{Deserialize, Serialize};
use zeroize::Zeroize as _;

use crate::digest::{Digest, Hasher};
use crate::error::Result;
use crate::fingerprint::Fingerprint;

/// Length of an initialisation vector in bytes.
pub const IV_LEN: usize = 16;
/// Length of an authentication tag in bytes.
pub const TAG_LEN: usize = 16;

/// SHA-256 of the ASCII text `Proxmox Backup Encryption Key Fingerprint`.
const FINGERPRINT_PREFIX: [u8; 32] = [
    0x6e, 0xd0, 0xef, 0x77, 0x47, 0x1f, 0xff, 0x4d, 0x55, 0xc7, 0xa8, 0xfe, 0x4a, 0x9d, 0xb6, 0x21,
    0x61, 0x40, 0x7f, 0x13, 0x4c, 0x72, 0x5d, 0xdf, 0x30, 0x99, 0x2d, 0x25, 0xec, 0x45, 0xed, 0x26,
];

/// How the archives of a snapshot are protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CryptMode {
    /// Neither encrypted nor signed.
    #[default]
    None,
    /// Encrypted, and the manifest signed.
    Encrypt,
    /// Only the manifest signed.
    SignOnly,
}

impl fmt::Display for CryptMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CryptMode::None => "none",
            CryptMode::Encrypt => "encrypt",
            CryptMode::SignOnly => "sign-only",
        })
    }
}

/// A key in use.
pub struct CryptConfig {
    enc_key: [u8; 32],
    id_key: [u8; 32],
}

impl fmt::Debug for CryptConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key itself: this ends up in logs.
        write!(f, "CryptConfig({})", self.fingerprint().short())
    }
}

impl Drop for CryptConfig {
    fn drop(&mut self) {
        self.enc_key.zeroize();
        self.id_key.zeroize();
    }
}

impl CryptConfig {
    /// A key from its 32 bytes.
    pub fn new(enc_key: [u8; 32]) -> Result<CryptConfig> {
        let mut id_key = [0; 32];
        openssl::pkcs5::pbkdf2_hmac(
            &enc_key,
            b"_id_key",
            10,
            MessageDigest::sha256(),
            &mut id_key,
        )?;
        Ok(CryptConfig { enc_key, id_key })
    }

    /// What the key is known by.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint(Digest::of_parts(&FINGERPRINT_PREFIX, &self.id_key).0)
    }

    /// Name of an encrypted chunk: SHA-256 of the plain content followed by the identity key.
    pub fn digest(&self, content: &[u8]) -> Digest {
        let mut hasher = Hasher::new();
        hasher.update(content);
        self.finish_digest(hasher)
    }

    /// The keyed digest of content that was hashed piece by piece.
    pub fn finish_digest(&self, mut hasher: Hasher) -> Digest {
        hasher.update(&self.id_key);
        hasher.finish()
    }

    /// HMAC-SHA256 under the identity key.
    pub fn sign(&self, message: &[u8]) -> Result<[u8; 32]> {
        let key = PKey::hmac(&self.id_key)?;
        let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
        let mut tag = [0; 32];
        signer.sign_oneshot(&mut tag, message)?;
        Ok(tag)
    }

    /// Encrypts `plain` into `cipher`, which must have the same length; returns the tag.
    pub fn encrypt(
        &self,
        iv: &[u8; IV_LEN],
        plain: &[u8],
        cipher: &mut [u8],
    ) -> Result<[u8; TAG_LEN]> {
        encrypt_with(&self.enc_key, iv, plain, cipher)
    }

    /// Decrypts `cipher` into `plain`, which must have the same length. On a wrong tag `plain` is
    /// zeroed and the answer is `false`.
    pub fn decrypt(
        &self,
        iv: &[u8; IV_LEN],
        tag: &[u8; TAG_LEN],
        cipher: &[u8],
        plain: &mut [u8],
    ) -> Result<bool> {
        decrypt_with(&self.enc_key, iv, tag, cipher, plain)
    }

    /// The 32 key bytes, for writing a key file.
    pub fn key_bytes(&self) -> &[u8; 32] {
        &self.enc_key
    }
}

/// AES-256-GCM with a 16-byte initialisation vector and no additional data.
pub(crate) fn encrypt_with(
    key: &[u8; 32],
    iv: &[u8; IV_LEN],
    plain: &[u8],
    cipher: &mut [u8],
) -> Result<[u8; TAG_LEN]> {
    let mut context = CipherCtx::new()?;
    context.encrypt_init(Some(Cipher::aes_256_gcm()), None, None)?;
    context.set_iv_length(IV_LEN)?;
    context.encrypt_init(None, Some(key), Some(iv))?;
    if !plain.is_empty() {
        context.cipher_update(plain, Some(cipher))?;
    }
    context.cipher_final(&mut [0; 32])?;
    let mut tag = [0; TAG_LEN];
    context.tag(&mut tag)?;
    Ok(tag)
}

/// The inverse of [`encrypt_with`]; `false` if the tag does not fit.
pub(crate) fn decrypt_with(
    key: &[u8; 32],
    iv: &[u8; IV_LEN],
    tag: &[u8; TAG_LEN],
    cipher: &[u8],
    plain: &mut [u8],
) -> Result<bool> {
    let mut context = CipherCtx::new()?;
    context.decrypt_init(Some(Cipher::aes_256_gcm()), None, None)?;
    context.set_iv_length(IV_LEN)?;
    context.decrypt_init(None, Some(key), Some(iv))?;
    if !cipher.is_empty() {
        context.cipher_update(cipher, Some(plain))?;
    }
    context.set_tag(tag)?;
    let genuine = context.cipher_final(&mut [0; 32]).is_ok();
    if !genuine {
        // Unauthenticated plaintext must not leave this function.
        plain.fill(0);
    }
    Ok(genuine)
}

/// Random bytes from the cryptographic generator.
pub fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    openssl::rand::rand_bytes(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counting_key() -> CryptConfig {
        let mut key = [0; 32];
        for (position, byte) in key.iter_mut().enumerate() {
            *byte = position as u8;
        }
        CryptConfig::new(key).unwrap()
    }

    // The vectors of docs/formats/keys.md.
    #[test]
    fn derived_values_match_the_vectors() {
        let key = counting_key();
        assert_eq!(
            hex::encode(key.id_key),
            "7c2c013efd07f3b25717a485263343cd4d292a4b65c200bb3b18ea227abe225c"
        );
        assert_eq!(
            key.fingerprint().to_string(),
            "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b"
        );
        assert_eq!(key.fingerprint().short(), "0e:ab:d4:46:0b:6e:b9:ca");
        assert_eq!(
            key.digest(b"hello").to_string(),
            "e34178a27b992c4a218599bf7f43ed50bc464a03d624d9092306fe2ed74d557e"
        );
    }

    #[test]
    fn fingerprints_parse_with_and_without_colons() {
        let fingerprint = counting_key().fingerprint();
        let text = fingerprint.to_string();
        assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint);
        assert_eq!(text.replace(':', "").parse::<Fingerprint>().unwrap(), fingerprint);
        assert!("0e:ab".parse::<Fingerprint>().is_err());
    }

    #[test]
    fn a_changed_byte_is_noticed_and_nothing_leaks() {
        let key = counting_key();
        let iv = [7; IV_LEN];
        let mut cipher = [0; 100];
        let tag = key.encrypt(&iv, &[9; 100], &mut cipher).unwrap();
        let mut plain = [1; 100];
        assert!(key.decrypt(&iv, &tag, &cipher, &mut plain).unwrap());
        assert_eq!(plain, [9; 100]);
        cipher[50] ^= 1;
        assert!(!key.decrypt(&iv, &tag, &cipher, &mut plain).unwrap());
        assert_eq!(plain, [0; 100]);
    }
}
