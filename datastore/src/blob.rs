//! DataBlob: the container of every chunk and every small file (`docs/formats/blob.md`).
//!
//! ```text
//! offset  size  plain                    encrypted
//!      0     8  magic                    magic
//!      8     4  CRC-32 of offset 12..    CRC-32 of offset 44..       (little endian)
//!     12    16  payload …                initialisation vector
//!     28    16                           authentication tag
//!     44                                 ciphertext …
//! ```
//!
//! The payload runs to the end of the file: there is no length field. The CRC covers only what
//! comes behind the header, so the vector and the tag of an encrypted blob are protected by the tag
//! alone. A [`DataBlob`] always has a known magic, a complete header and a CRC that fits: both ways
//! to make one check that or establish it.

mod probe;

use std::io::Read;

use probe::Probe;

use crate::crypt::{self, CryptConfig, IV_LEN, TAG_LEN};
use crate::digest::Digest;
use crate::error::{Error, Result};

/// Most plain bytes that a blob may hold.
pub const BLOB_BYTES_MAX: usize = 128 << 20;
/// Most plain bytes that a chunk may hold.
pub const CHUNK_BYTES_MAX: usize = 16 << 20;
/// Longest encoded chunk in bytes.
pub const ENCODED_CHUNK_BYTES_MAX: u64 = (CHUNK_BYTES_MAX + HEADER_ENCRYPTED) as u64;

const HEADER_PLAIN: usize = 12;
const HEADER_ENCRYPTED: usize = 44;
const CRC_AT: usize = 8;
const IV_AT: usize = 12;
const TAG_AT: usize = IV_AT + IV_LEN;

/// zstd level of the format.
const ZSTD_LEVEL: i32 = 1;

/// The four kinds of blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobKind {
    /// The payload is encrypted.
    pub encrypted: bool,
    /// The payload is zstd-compressed (before encryption).
    pub compressed: bool,
}

impl BlobKind {
    /// First 8 bytes of a blob of this kind.
    pub fn magic(self) -> [u8; 8] {
        match (self.encrypted, self.compressed) {
            (false, false) => [0x42, 0xab, 0x38, 0x07, 0xbe, 0x83, 0x70, 0xa1],
            (false, true) => [0x31, 0xb9, 0x58, 0x42, 0x6f, 0xb6, 0xa3, 0x7f],
            (true, false) => [0x7b, 0x67, 0x85, 0xbe, 0x22, 0x2d, 0x4c, 0xf0],
            (true, true) => [0xe6, 0x59, 0x1b, 0xbf, 0x0b, 0xbf, 0xd8, 0x0b],
        }
    }

    /// The kind that the first bytes of a blob tell, if any.
    pub fn from_bytes(bytes: &[u8]) -> Option<BlobKind> {
        let magic = bytes.get(..8)?;
        [(false, false), (false, true), (true, false), (true, true)]
            .into_iter()
            .map(|(encrypted, compressed)| BlobKind { encrypted, compressed })
            .find(|kind| kind.magic() == magic)
    }

    fn header_len(self) -> usize {
        if self.encrypted { HEADER_ENCRYPTED } else { HEADER_PLAIN }
    }
}

/// An encoded blob with a valid header and CRC.
#[derive(Clone, PartialEq, Eq)]
pub struct DataBlob {
    kind: BlobKind,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for DataBlob {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataBlob({:?}, {} bytes)", self.kind, self.bytes.len())
    }
}

/// Makes blobs. Keeps its compression context, so use one per thread for many blobs.
pub struct Encoder {
    compressor: zstd::bulk::Compressor<'static>,
    buffer: Vec<u8>,
    probe: Probe,
}

impl Encoder {
    /// An encoder at the format's compression level.
    pub fn new() -> Result<Encoder> {
        let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL)
            .map_err(|e| Error::io("set up compression for", "blob", e))?;
        Ok(Encoder { compressor, buffer: Vec::new(), probe: Probe::default() })
    }

    /// Encodes `data`: compressed if `compress` is set and that makes it no longer (or seems to, for
    /// large data), encrypted if there is a key. At most [`BLOB_BYTES_MAX`] bytes.
    pub fn encode(
        &mut self,
        data: &[u8],
        key: Option<&CryptConfig>,
        compress: bool,
    ) -> Result<DataBlob> {
        if data.len() > BLOB_BYTES_MAX {
            return Err(Error::Refused {
                reason: format!(
                    "a blob holds at most {BLOB_BYTES_MAX} bytes, but {} were given; back it up as \
                     an image or file archive",
                    data.len()
                ),
            });
        }
        let mut payload = data;
        let mut compressed = false;
        if compress && !data.is_empty() && !self.probe.is_incompressible(data, &mut self.compressor)
        {
            // The buffer only grows: filling it with zeros for each chunk would be for nothing.
            if self.buffer.len() < data.len() {
                self.buffer.resize(data.len(), 0);
            }
            // A result that does not fit into the input's length is not worth keeping, so the
            // compressor gets no more room than that and stops early on incompressible data.
            let room = &mut self.buffer[..data.len()];
            if let Ok(len) = self.compressor.compress_to_buffer(data, room) {
                payload = &self.buffer[..len];
                compressed = true;
            }
        }
        let kind = BlobKind { encrypted: key.is_some(), compressed };
        let header_len = kind.header_len();
        let mut bytes = Vec::with_capacity(header_len + payload.len());
        bytes.extend_from_slice(&kind.magic());
        bytes.resize(header_len, 0);
        match key {
            None => bytes.extend_from_slice(payload),
            Some(key) => {
                let iv = crypt::random::<IV_LEN>()?;
                bytes.resize(header_len + payload.len(), 0);
                let (header, cipher) = bytes.split_at_mut(header_len);
                let tag = key.encrypt(&iv, payload, cipher)?;
                header[IV_AT..TAG_AT].copy_from_slice(&iv);
                header[TAG_AT..HEADER_ENCRYPTED].copy_from_slice(&tag);
            }
        }
        let mut blob = DataBlob { kind, bytes };
        blob.store_crc();
        Ok(blob)
    }
}

impl DataBlob {
    /// Encodes one blob; see [`Encoder::encode`].
    pub fn encode(data: &[u8], key: Option<&CryptConfig>, compress: bool) -> Result<DataBlob> {
        Encoder::new()?.encode(data, key, compress)
    }

    /// Takes encoded bytes after checking magic, length and CRC. `what` names the object in errors.
    pub fn from_bytes(bytes: Vec<u8>, what: &dyn std::fmt::Display) -> Result<DataBlob> {
        let blob = DataBlob::from_bytes_unchecked_crc(bytes, what)?;
        let (stored, found) = (blob.stored_crc(), blob.computed_crc());
        if stored != found {
            return Err(Error::damaged(
                what.to_string(),
                format!("its CRC is {found:08x}, but {stored:08x} is recorded"),
            ));
        }
        Ok(blob)
    }

    /// As [`DataBlob::from_bytes`] for bytes that came over a wire: the CRC is set, not checked.
    pub fn from_bytes_set_crc(bytes: Vec<u8>, what: &dyn std::fmt::Display) -> Result<DataBlob> {
        let mut blob = DataBlob::from_bytes_unchecked_crc(bytes, what)?;
        blob.store_crc();
        Ok(blob)
    }

    fn from_bytes_unchecked_crc(bytes: Vec<u8>, what: &dyn std::fmt::Display) -> Result<DataBlob> {
        if bytes.len() < HEADER_PLAIN {
            return Err(Error::damaged(
                what.to_string(),
                format!("it is {} bytes long, a blob has at least {HEADER_PLAIN}", bytes.len()),
            ));
        }
        let Some(kind) = BlobKind::from_bytes(&bytes) else {
            return Err(Error::damaged(
                what.to_string(),
                format!("{} is no blob magic", hex::encode(&bytes[..8])),
            ));
        };
        if bytes.len() < kind.header_len() {
            return Err(Error::damaged(
                what.to_string(),
                format!(
                    "it is {} bytes long, an encrypted blob has at least {HEADER_ENCRYPTED}",
                    bytes.len()
                ),
            ));
        }
        Ok(DataBlob { kind, bytes })
    }

    /// Which of the four kinds it is.
    pub fn kind(&self) -> BlobKind {
        self.kind
    }

    /// The encoded bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The encoded bytes, given away.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Length of the encoded bytes.
    pub fn encoded_len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn payload(&self) -> &[u8] {
        &self.bytes[self.kind.header_len()..]
    }

    fn stored_crc(&self) -> u32 {
        let mut crc = [0; 4];
        crc.copy_from_slice(&self.bytes[CRC_AT..CRC_AT + 4]);
        u32::from_le_bytes(crc)
    }

    fn computed_crc(&self) -> u32 {
        crc32fast::hash(self.payload())
    }

    fn store_crc(&mut self) {
        let crc = self.computed_crc().to_le_bytes();
        self.bytes[CRC_AT..CRC_AT + 4].copy_from_slice(&crc);
    }

    /// The plain content, at most `len_max` bytes (more is an error, however little the blob takes
    /// on disk). An encrypted blob needs its key.
    pub fn decode(
        &self,
        key: Option<&CryptConfig>,
        len_max: usize,
        what: &dyn std::fmt::Display,
    ) -> Result<Vec<u8>> {
        // What is not compressed has its length already; nobody decrypts what is too long.
        if !self.kind.compressed && self.payload().len() > len_max {
            return Err(too_long(len_max, what));
        }
        if !self.kind.encrypted {
            return if self.kind.compressed {
                decompress(self.payload(), len_max, what)
            } else {
                Ok(self.payload().to_vec())
            };
        }
        let key = key.ok_or_else(|| Error::KeyNeeded { what: what.to_string() })?;
        let decrypted = self.decrypt(key, what)?;
        if self.kind.compressed { decompress(&decrypted, len_max, what) } else { Ok(decrypted) }
    }

    fn decrypt(&self, key: &CryptConfig, what: &dyn std::fmt::Display) -> Result<Vec<u8>> {
        let mut iv = [0; IV_LEN];
        iv.copy_from_slice(&self.bytes[IV_AT..TAG_AT]);
        let mut tag = [0; TAG_LEN];
        tag.copy_from_slice(&self.bytes[TAG_AT..HEADER_ENCRYPTED]);
        let mut plain = vec![0; self.payload().len()];
        if !key.decrypt(&iv, &tag, self.payload(), &mut plain)? {
            return Err(Error::damaged(
                what.to_string(),
                format!(
                    "it does not decrypt with key {}: altered, or made with another key",
                    key.fingerprint().short()
                ),
            ));
        }
        Ok(plain)
    }

    /// Decodes a chunk and proves that it is the one that `digest` names and has `len` bytes.
    pub fn decode_chunk(
        &self,
        key: Option<&CryptConfig>,
        digest: &Digest,
        len: usize,
    ) -> Result<Vec<u8>> {
        let what = ChunkName(digest);
        let content = self.decode(key, CHUNK_BYTES_MAX, &what)?;
        let found = match key {
            Some(key) if self.kind.encrypted => key.digest(&content),
            _ => Digest::of(&content),
        };
        if found != *digest {
            return Err(Error::damaged(
                what.to_string(),
                format!("its content has the digest {found}"),
            ));
        }
        if content.len() != len {
            return Err(Error::damaged(
                what.to_string(),
                format!("it holds {} bytes, its index says {len}", content.len()),
            ));
        }
        Ok(content)
    }
}

/// How a chunk is called in messages.
pub struct ChunkName<'a>(pub &'a Digest);

impl std::fmt::Display for ChunkName<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "chunk {}", self.0)
    }
}

fn too_long(len_max: usize, what: &dyn std::fmt::Display) -> Error {
    Error::damaged(what.to_string(), format!("it unpacks to more than {len_max} bytes"))
}

/// Unpacks one or several zstd frames. Frames of a streaming writer carry no content size, so the
/// size is only a hint for the fast path and never trusted for more than `len_max`.
fn decompress(payload: &[u8], len_max: usize, what: &dyn std::fmt::Display) -> Result<Vec<u8>> {
    let bad = |reason: String| Error::damaged(what.to_string(), reason);
    if let Ok(Some(size)) = zstd::zstd_safe::get_frame_content_size(payload)
        && size <= len_max as u64
        && let Ok(content) = zstd::bulk::decompress(payload, size as usize)
        && content.len() as u64 == size
    {
        return Ok(content);
    }
    let decoder = zstd::stream::read::Decoder::with_buffer(payload)
        .map_err(|e| bad(format!("cannot unpack: {e}")))?;
    let mut content = Vec::new();
    decoder
        .take(len_max as u64 + 1)
        .read_to_end(&mut content)
        .map_err(|e| bad(format!("cannot unpack: {e}")))?;
    if content.len() > len_max {
        return Err(too_long(len_max, what));
    }
    Ok(content)
}

#[cfg(test)]
mod tests;
