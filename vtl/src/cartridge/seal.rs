//! The seal: what an encrypted block has behind its data in a cartridge's log.
//!
//! `docs/formats/vtl-cartridge.md` is the format's page. Numbers are little-endian.
//!
//! | offset | size | content |
//! |--:|--:|---|
//! | 0 | 1 | version, 1 |
//! | 1 | 1 | algorithm: 1 AES-256-GCM |
//! | 2 | 1 | flags: bit 0 the block may be read raw |
//! | 3 | 1 | zero |
//! | 4 | 8 | name of the key: first bytes of SHA-256 of `capstan vtl key name` and the key |
//! | 12 | 12 | initialisation vector |
//! | 24 | 16 | tag |
//! | 40 | 2 | bytes of unauthenticated key-associated data |
//! | 42 | 2 | bytes of authenticated key-associated data |
//! | 44 | 2 | bytes of the host's nonce |
//! | 46 | 2 | zero |
//! | 48 | | the three, in this order |
//!
//! The tag covers the data, bytes 0 to 23, the authenticated data and the nonce. The name of the key tells
//! a wrong key from damage; it says nothing about a key of 256 random bits.

/// Bytes of an AES-256 key.
pub(crate) const KEY_BYTES: usize = 32;
/// Bytes of an initialisation vector.
pub(crate) const IV_BYTES: usize = 12;
/// Bytes of a tag.
pub(crate) const TAG_BYTES: usize = 16;

const VERSION: u8 = 1;
const AES_256_GCM: u8 = 1;
const FLAG_RAW: u8 = 0x01;
const FIXED: usize = 48;
const AUTHENTICATED: usize = 24;

/// A seal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seal {
    /// The block may be read as it is stored.
    pub raw_allowed: bool,
    /// Name of the key.
    pub key_name: [u8; 8],
    /// Initialisation vector.
    pub iv: [u8; IV_BYTES],
    /// Tag.
    pub tag: [u8; TAG_BYTES],
    /// Unauthenticated key-associated data.
    pub unauthenticated: Vec<u8>,
    /// Authenticated key-associated data.
    pub authenticated: Vec<u8>,
    /// The host's nonce.
    pub nonce: Vec<u8>,
}

impl Seal {
    fn head(&self) -> [u8; AUTHENTICATED] {
        let mut head = [0; AUTHENTICATED];
        let fixed = [VERSION, AES_256_GCM, if self.raw_allowed { FLAG_RAW } else { 0 }, 0];
        let fields = fixed.iter().chain(&self.key_name).chain(&self.iv);
        for (place, byte) in head.iter_mut().zip(fields) {
            *place = *byte;
        }
        head
    }

    /// What the tag covers beside the data.
    pub fn authenticated_bytes(&self) -> Vec<u8> {
        [&self.head()[..], &self.authenticated, &self.nonce].concat()
    }

    /// The seal's bytes. Its three variable parts together have some hundred bytes at most.
    pub fn encode(&self) -> Vec<u8> {
        let length = |part: &[u8]| u16::try_from(part.len()).unwrap_or(u16::MAX).to_le_bytes();
        [
            &self.head()[..],
            &self.tag,
            &length(&self.unauthenticated),
            &length(&self.authenticated),
            &length(&self.nonce),
            &[0; 2],
            &self.unauthenticated,
            &self.authenticated,
            &self.nonce,
        ]
        .concat()
    }

    /// Reads a seal; `None` if these bytes are none that this program knows.
    pub fn decode(bytes: &[u8]) -> Option<Seal> {
        let (head, rest) = bytes.split_first_chunk::<AUTHENTICATED>()?;
        let [version, algorithm, flags, zero, ..] = *head;
        if (version, algorithm, zero) != (VERSION, AES_256_GCM, 0) || flags & !FLAG_RAW != 0 {
            return None;
        }
        let length = |at: usize| -> Option<usize> {
            let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
            Some(usize::from(u16::from_le_bytes(bytes)))
        };
        let parts = bytes.get(FIXED..)?;
        let (unauthenticated, parts) = parts.split_at_checked(length(40)?)?;
        let (authenticated, parts) = parts.split_at_checked(length(42)?)?;
        if parts.len() != length(44)? || length(46)? != 0 {
            return None;
        }
        Some(Seal {
            raw_allowed: flags & FLAG_RAW != 0,
            key_name: head.get(4..12)?.try_into().ok()?,
            iv: head.get(12..)?.try_into().ok()?,
            tag: *rest.first_chunk()?,
            unauthenticated: unauthenticated.to_vec(),
            authenticated: authenticated.to_vec(),
            nonce: parts.to_vec(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample() -> Seal {
        Seal {
            raw_allowed: true,
            key_name: [0x11; 8],
            iv: [0x22; IV_BYTES],
            tag: [0x33; TAG_BYTES],
            unauthenticated: b"key 7".to_vec(),
            authenticated: vec![0x44; 3],
            nonce: vec![0x55; 2],
        }
    }

    #[test]
    fn layout_is_frozen() {
        let bytes = sample().encode();
        assert_eq!(bytes[..4], [1, 1, 1, 0]);
        assert_eq!(bytes[4..12], [0x11; 8]);
        assert_eq!(bytes[12..24], [0x22; 12]);
        assert_eq!(bytes[24..40], [0x33; 16]);
        assert_eq!(bytes[40..48], [5, 0, 3, 0, 2, 0, 0, 0]);
        assert_eq!(bytes[48..], *b"key 7\x44\x44\x44\x55\x55");
        assert_eq!(Seal::decode(&bytes), Some(sample()));
        let covered = sample().authenticated_bytes();
        assert_eq!(covered, [&bytes[..24], &bytes[53..]].concat());
        for length in 0..bytes.len() {
            assert_eq!(Seal::decode(&bytes[..length]), None, "{length}");
        }
        for (at, value) in [(0, 2), (1, 2), (2, 2), (3, 1), (46, 1)] {
            let mut bad = bytes.clone();
            bad[at] = value;
            assert_eq!(Seal::decode(&bad), None, "byte {at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..160)) {
            if let Some(seal) = Seal::decode(&bytes) {
                prop_assert_eq!(seal.encode(), bytes);
            }
        }
    }
}
