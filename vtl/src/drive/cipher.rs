//! AES-256-GCM over one block (NIST SP 800-38D).
//!
//! The one rule that everything rests on: no initialisation vector is used twice with a key. A vector is
//! 8 random bytes, drawn each time a key is set, and a count of the blocks since. The count never
//! wraps: before it does, new random bytes are drawn. The same key set a million times over its life, in whatever
//! drive, meets the same 8 bytes with a probability of about 2⁻²⁵.

use std::io;

use openssl::cipher::Cipher;
use openssl::cipher_ctx::CipherCtx;
use openssl::error::ErrorStack;
use openssl::sha::Sha256;
use zeroize::Zeroizing;

use crate::cartridge::{IV_BYTES, KEY_BYTES, Seal, TAG_BYTES};

/// A key in the drive.
pub(super) struct Key {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    name: [u8; 8],
    vector_head: [u8; 8],
    blocks: u32,
}

/// Without the key.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}

/// Why a block was not decrypted.
#[derive(Debug)]
pub(super) enum Unsealed {
    /// It was: the data is plain.
    Plain,
    /// It was encrypted with another key.
    WrongKey,
    /// Data or seal were changed.
    Changed,
}

fn failed(error: ErrorStack) -> io::Error {
    io::Error::other(format!("encryption failed in the system's library: {error}"))
}

impl Key {
    /// A key that was just set; `None` if it has another length.
    pub fn new(bytes: &[u8]) -> io::Result<Option<Key>> {
        let Ok(bytes) = <[u8; KEY_BYTES]>::try_from(bytes).map(Zeroizing::new) else {
            return Ok(None);
        };
        let mut digest = Sha256::new();
        digest.update(b"capstan vtl key name");
        digest.update(&*bytes);
        let digest = digest.finish();
        let name = digest.first_chunk().copied().unwrap_or_default();
        let mut key = Key { bytes, name, vector_head: [0; 8], blocks: 0 };
        key.draw_vector_head()?;
        Ok(Some(key))
    }

    /// True if these are its bytes.
    pub fn is(&self, bytes: &[u8; KEY_BYTES]) -> bool {
        *self.bytes == *bytes
    }

    /// True if a block was encrypted with it.
    pub fn sealed(&self, seal: &Seal) -> bool {
        self.name == seal.key_name
    }

    fn draw_vector_head(&mut self) -> io::Result<()> {
        openssl::rand::rand_bytes(&mut self.vector_head).map_err(failed)?;
        self.blocks = 0;
        Ok(())
    }

    fn next_vector(&mut self) -> io::Result<[u8; IV_BYTES]> {
        if self.blocks == u32::MAX {
            self.draw_vector_head()?;
        }
        let mut vector = [0; IV_BYTES];
        let count = self.blocks.to_be_bytes();
        for (place, byte) in vector.iter_mut().zip(self.vector_head.iter().chain(&count)) {
            *place = *byte;
        }
        self.blocks += 1;
        Ok(vector)
    }

    /// Encrypts `data` into `sealed`, which gets its length. Vector, name of the key and tag are put into
    /// `seal`.
    pub fn seal(&mut self, data: &[u8], sealed: &mut Vec<u8>, seal: &mut Seal) -> io::Result<()> {
        seal.iv = self.next_vector()?;
        seal.key_name = self.name;
        sealed.resize(data.len(), 0);
        self.encrypt(data, sealed, seal).map_err(failed)
    }

    fn encrypt(&self, data: &[u8], sealed: &mut [u8], seal: &mut Seal) -> Result<(), ErrorStack> {
        let mut context = CipherCtx::new()?;
        let (key, vector) = (&self.bytes[..], &seal.iv[..]);
        context.encrypt_init(Some(Cipher::aes_256_gcm()), Some(key), Some(vector))?;
        context.cipher_update(&seal.authenticated_bytes(), None)?;
        context.cipher_update(data, Some(sealed))?;
        context.cipher_final(&mut [0; TAG_BYTES])?;
        context.tag(&mut seal.tag)
    }

    /// Decrypts `data` in its place. Unless the result is [`Unsealed::Plain`], `data` is not to be
    /// believed.
    pub fn unseal(&self, data: &mut [u8], seal: &Seal) -> io::Result<Unsealed> {
        if !self.sealed(seal) {
            return Ok(Unsealed::WrongKey);
        }
        let is_whole = self.decrypt(data, seal).map_err(failed)?;
        Ok(if is_whole { Unsealed::Plain } else { Unsealed::Changed })
    }

    fn decrypt(&self, data: &mut [u8], seal: &Seal) -> Result<bool, ErrorStack> {
        let mut context = CipherCtx::new()?;
        let (key, vector) = (&self.bytes[..], &seal.iv[..]);
        context.decrypt_init(Some(Cipher::aes_256_gcm()), Some(key), Some(vector))?;
        context.cipher_update(&seal.authenticated_bytes(), None)?;
        context.cipher_update_inplace(data, data.len())?;
        context.set_tag(&seal.tag)?;
        // The one thing that can fail here is the comparison of the tag.
        Ok(context.cipher_final(&mut [0; TAG_BYTES]).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn blank() -> Seal {
        Seal {
            raw_allowed: true,
            key_name: [0; 8],
            iv: [0; IV_BYTES],
            tag: [0; TAG_BYTES],
            unauthenticated: b"name".to_vec(),
            authenticated: b"what".to_vec(),
            nonce: b"once".to_vec(),
        }
    }

    fn key(byte: u8) -> Key {
        Key::new(&[byte; KEY_BYTES]).unwrap().unwrap()
    }

    #[test]
    fn the_cipher_is_the_standards() {
        // GCM specification, test case 14: zero key, zero vector, 16 zero bytes. The seal's own bytes
        // are authenticated too, so only the ciphertext can be compared.
        let mut key = key(0);
        key.vector_head = [0; 8];
        let (mut sealed, mut seal) = (Vec::new(), blank());
        key.seal(&[0; 16], &mut sealed, &mut seal).unwrap();
        let expected = [
            0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5, 0xd3, 0xba, 0xf3,
            0x9d, 0x18,
        ];
        assert_eq!(sealed, expected);
    }

    #[test]
    fn a_block_comes_back_with_its_key_only_and_unchanged_only() {
        let mut right = key(1);
        let plain: Vec<u8> = (0..1000u32).map(|i| i as u8).collect();
        let (mut sealed, mut seal) = (Vec::new(), blank());
        right.seal(&plain, &mut sealed, &mut seal).unwrap();
        assert_ne!(sealed, plain);
        let unseal = |key: &Key, data: &[u8], seal: &Seal| {
            let mut data = data.to_vec();
            let outcome = key.unseal(&mut data, seal).unwrap();
            (outcome, data)
        };
        let (outcome, data) = unseal(&right, &sealed, &seal);
        assert!(matches!(outcome, Unsealed::Plain));
        assert_eq!(data, plain);
        assert!(matches!(unseal(&key(2), &sealed, &seal).0, Unsealed::WrongKey));
        let changes: [fn(&mut Seal); 5] = [
            |seal| seal.raw_allowed = false,
            |seal| seal.iv[0] ^= 1,
            |seal| seal.tag[15] ^= 1,
            |seal| seal.authenticated.push(0),
            |seal| seal.nonce[0] ^= 1,
        ];
        for change in changes {
            let mut bad = seal.clone();
            change(&mut bad);
            assert!(matches!(unseal(&right, &sealed, &bad).0, Unsealed::Changed), "{bad:?}");
        }
        for at in [0, 500, 999] {
            let mut bad = sealed.clone();
            bad[at] ^= 0x80;
            assert!(matches!(unseal(&right, &bad, &seal).0, Unsealed::Changed), "byte {at}");
        }
    }

    #[test]
    fn no_vector_is_used_twice() {
        let mut key = key(3);
        let mut vectors = HashSet::new();
        for _ in 0..100 {
            assert!(vectors.insert(key.next_vector().unwrap()));
        }
        // The count is about to wrap.
        let head = key.vector_head;
        key.blocks = u32::MAX - 1;
        assert!(vectors.insert(key.next_vector().unwrap()));
        assert!(vectors.insert(key.next_vector().unwrap()));
        assert_ne!(key.vector_head, head);
        // The same key set again.
        assert!(vectors.insert(super::tests::key(3).next_vector().unwrap()));
    }
}
