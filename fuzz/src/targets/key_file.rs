//! A key file of any bytes is refused, or comes back the same from its own text; unlocking ends.

use datastore::KeyConfig;
use datastore::key::Kdf;

/// See the module.
pub fn run(data: &[u8]) {
    let Ok(key) = KeyConfig::from_json(data) else { return };
    let text = key.to_json().unwrap();
    let again = KeyConfig::from_json(text.as_bytes()).unwrap();
    assert_eq!(again.to_json().unwrap(), text);
    // What a file asks for may be expensive, which is its purpose; here only cheap ones are tried.
    let cheap = match &key.kdf {
        None => true,
        Some(Kdf::Scrypt { n, r, p, .. }) => n.saturating_mul(*r).saturating_mul(*p) <= 1 << 10,
        Some(Kdf::Pbkdf2 { iter, .. }) => *iter <= 1 << 10,
    };
    if cheap {
        let _ = key.unlock(&mut || Ok(b"passphrase".to_vec()));
    }
}
