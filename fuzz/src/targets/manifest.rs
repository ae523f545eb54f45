//! A manifest of any bytes is refused, or comes back the same from its own encoding, and a signature
//! made over it holds until something that it covers changes.

use datastore::blob::DataBlob;
use datastore::{CryptConfig, Manifest};

/// See the module.
pub fn run(data: &[u8]) {
    if let Ok(blob) = DataBlob::from_bytes_set_crc(data.to_vec(), &"manifest") {
        let _ = Manifest::from_blob(&blob, &"manifest");
    }
    let Ok(mut manifest) = Manifest::from_json(data, &"manifest") else { return };
    let _ = (manifest.notes(), manifest.verify_state(), manifest.chunk_upload_stats());
    let _ = manifest.key_fingerprint();
    let key = CryptConfig::new([7; 32]).unwrap();
    let _ = manifest.verify_signature(&key, &"manifest");
    let text = manifest.to_json().unwrap();
    let again = Manifest::from_json(text.as_bytes(), &"again").unwrap();
    assert_eq!(again.to_json().unwrap(), text);
    if manifest.sign(&key).is_ok() {
        let signed = Manifest::from_blob(&manifest.to_blob().unwrap(), &"signed").unwrap();
        signed.verify_signature(&key, &"signed").unwrap();
        let other = CryptConfig::new([8; 32]).unwrap();
        assert!(signed.verify_signature(&other, &"signed").is_err());
    }
}
