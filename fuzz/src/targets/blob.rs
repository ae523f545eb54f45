//! A blob of any bytes decodes or is refused, never to more than it was allowed; what it decodes to
//! survives being encoded again.

use datastore::blob::{BLOB_BYTES_MAX, DataBlob};
use datastore::{CryptConfig, Digest};

/// Output that a small input may claim.
const LEN_MAX: usize = 1 << 20;

/// See the module.
pub fn run(data: &[u8]) {
    let key = CryptConfig::new([7; 32]).unwrap();
    // As it came, and with its checksum mended so that mutations reach what lies behind it.
    let blobs = [
        DataBlob::from_bytes(data.to_vec(), &"blob"),
        DataBlob::from_bytes_set_crc(data.to_vec(), &"blob"),
    ];
    for blob in blobs.into_iter().flatten() {
        let _ = blob.decode_chunk(Some(&key), &Digest([0; 32]), data.len());
        let Ok(content) = blob.decode(Some(&key), LEN_MAX, &"blob") else { continue };
        assert!(content.len() <= LEN_MAX && content.len() <= BLOB_BYTES_MAX);
        for key in [None, Some(&key)] {
            for compress in [false, true] {
                let again = DataBlob::encode(&content, key, compress).unwrap();
                let again = DataBlob::from_bytes(again.into_bytes(), &"again").unwrap();
                assert_eq!(again.decode(key, LEN_MAX, &"again").unwrap(), content);
            }
        }
    }
}
