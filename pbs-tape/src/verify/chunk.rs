//! Is a chunk what its digest says?
//!
//! The CRC of the blob and, of one that is not encrypted, the digest of its content are always checked. The digest
//! of an encrypted chunk is made with a key: with the key at hand it is proved, and so is everything that the CRC
//! does not cover; without, the chunk is as good as its CRC.

use std::sync::Arc;

use datastore::blob::{CHUNK_BYTES_MAX, ChunkName};
use datastore::{CryptConfig, DataBlob, Digest};

/// How a chunk was found good. A byte, because there is one for each chunk of a media set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Proof(u8);

/// So many keys can be told apart.
pub(super) const KEYS_MAX: usize = 250;

impl Proof {
    /// Its content has the digest; it is not encrypted.
    pub const PLAIN: Proof = Proof(0);
    /// It is encrypted and its CRC is right; no key at hand opens it.
    pub const SEALED: Proof = Proof(1);

    /// It is encrypted, and decrypted with this key its content has the digest.
    fn with_key(key: usize) -> Proof {
        Proof(2u8.saturating_add(u8::try_from(key).unwrap_or(u8::MAX)))
    }

    /// True for encrypted chunks.
    pub fn is_encrypted(self) -> bool {
        self != Proof::PLAIN
    }

    /// True if this key, by its place among those at hand, has proved it.
    pub fn is_by_key(self, key: usize) -> bool {
        self == Proof::with_key(key)
    }
}

/// A chunk that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proved {
    /// As far as this.
    pub proof: Proof,
    /// Bytes of its content; unknown for one that is [`Proof::SEALED`].
    pub length: Option<u32>,
}

/// Magic, length and CRC.
pub(crate) fn parse(digest: &Digest, blob: Vec<u8>) -> Result<DataBlob, String> {
    DataBlob::from_bytes(blob, &ChunkName(digest)).map_err(|e| e.to_string())
}

/// The digest. A chunk that none of the keys opens may be another key's: it is not damaged for that.
pub(crate) fn prove(
    digest: &Digest,
    blob: &DataBlob,
    keys: &[Arc<CryptConfig>],
) -> Result<Proved, String> {
    let what = ChunkName(digest);
    let differs = |found: Digest| format!("{what}: its content has the digest {found}");
    // At most 16 MiB.
    let length = |content: &[u8]| u32::try_from(content.len()).ok();
    if !blob.kind().encrypted {
        let content = blob.decode(None, CHUNK_BYTES_MAX, &what).map_err(|e| e.to_string())?;
        let found = Digest::of(&content);
        if found != *digest {
            return Err(differs(found));
        }
        return Ok(Proved { proof: Proof::PLAIN, length: length(&content) });
    }
    for (number, key) in keys.iter().take(KEYS_MAX).enumerate() {
        let Ok(content) = blob.decode(Some(key), CHUNK_BYTES_MAX, &what) else { continue };
        let found = key.digest(&content);
        if found != *digest {
            return Err(differs(found));
        }
        return Ok(Proved { proof: Proof::with_key(number), length: length(&content) });
    }
    Ok(Proved { proof: Proof::SEALED, length: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_proved_as_far_as_the_keys_go() {
        let keys: Vec<Arc<CryptConfig>> =
            [[1; 32], [2; 32]].map(|key| Arc::new(CryptConfig::new(key).unwrap())).into();
        let content = vec![7; 5000];
        let plain = DataBlob::encode(&content, None, true).unwrap();
        let digest = Digest::of(&content);
        let proved = prove(&digest, &plain, &[]).unwrap();
        assert_eq!(proved, Proved { proof: Proof::PLAIN, length: Some(5000) });
        assert!(prove(&Digest::of(b"other"), &plain, &[]).unwrap_err().contains("has the digest"));

        let digest = keys[1].digest(&content);
        let sealed = DataBlob::encode(&content, Some(&keys[1]), true).unwrap();
        let proved = prove(&digest, &sealed, &keys).unwrap();
        assert!(proved.proof.is_by_key(1) && !proved.proof.is_by_key(0), "{proved:?}");
        assert_eq!(proved.length, Some(5000));
        let proved = prove(&digest, &sealed, &keys[..1]).unwrap();
        assert_eq!(proved, Proved { proof: Proof::SEALED, length: None });
        assert!(prove(&Digest::of(b"other"), &sealed, &keys).is_err());
    }
}
