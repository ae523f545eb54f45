//! The store and its files: the reference's form, and what may not happen to a key.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use datastore::key::KdfKind;
use datastore::{CryptConfig, Fingerprint, KeyConfig};
use uuid::Uuid;

use super::store::KeyStore;
use super::{PoolKey, drive_key_of_set};
use crate::error::Error;
use crate::testing::golden;

const FINGERPRINT: &str = "0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b";
/// Made by the reference, passphrase `secret1`, key 000102…1f.
const BY_REFERENCE: &str = r#"{"kdf":{"PBKDF2":{"iter":65535,"salt":"nUVw/IngyJWKkYJDbbnrLeTS54ka5V3MAJmuf8d1nts="}},"created":"2026-11-21T19:19:28+00:00","modified":"2026-11-21T19:19:28+00:00","data":"xN4m8At/KYGyk7me+T/Fwrp/Gsy9frMTPYG9hCQlGT5qZ/eOaLlOnXWcn8zgDYIhQdI4tSHvu5bdz9cNN1gjkw==","fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b","hint":"h"}"#;

fn counting_key() -> CryptConfig {
    let mut bytes = [0; 32];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = at as u8;
    }
    CryptConfig::new(bytes).unwrap()
}

fn config() -> KeyConfig {
    KeyConfig::from_json(BY_REFERENCE.as_bytes()).unwrap()
}

fn fingerprint() -> Fingerprint {
    FINGERPRINT.parse().unwrap()
}

fn store() -> (tempfile::TempDir, KeyStore) {
    let folder = tempfile::tempdir().unwrap();
    let store = KeyStore::at(folder.path().join("etc"));
    (folder, store)
}

fn read(store: &KeyStore, name: &str) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(store.folder().join(name)).unwrap()).unwrap()
}

#[test]
fn the_drives_key_is_the_references() {
    let set: Uuid = "9da37a55-aac7-4deb-91c6-482b3b675f30".parse().unwrap();
    let key = drive_key_of_set(&counting_key(), &set).unwrap();
    assert_eq!(
        hex::encode(key.bytes()),
        "cbcebebbdf94e64f41dd864687afe8ea19742b1db528263cd3a32e2f26eeffce"
    );
    assert!(drive_key_of_set(&counting_key(), &Uuid::nil()).unwrap() != key);
}

#[test]
fn both_files_have_the_references_form_and_are_their_owners_alone() {
    let (_folder, store) = store();
    assert!(store.list().unwrap().is_empty() && !store.folder().exists());
    let name = store.insert(&counting_key(), config(), false).unwrap();
    assert_eq!(name, fingerprint());
    let digits: String = (0..32).map(|n| format!("{n:02x}")).collect();
    assert_eq!(
        read(&store, "tape-encryption-keys.json"),
        serde_json::json!([{"fingerprint": FINGERPRINT, "key": digits}])
    );
    let written: serde_json::Value = serde_json::from_str(BY_REFERENCE).unwrap();
    assert_eq!(read(&store, "tape-encryption-key-config.json"), serde_json::json!([written]));
    for file in ["tape-encryption-keys.json", "tape-encryption-key-config.json"] {
        let mode = std::fs::metadata(store.folder().join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    assert!(store.folder().join(".tape-encryption-keys.lck").is_file());
    let info = store.info(name).unwrap();
    assert_eq!((info.kdf, info.hint.as_deref(), info.usable), (Some("pbkdf2"), Some("h"), true));
    assert_eq!(store.list().unwrap(), [info]);
}

#[test]
fn keys_of_golden_files_are_taken_in() {
    let Some(golden) = golden() else { return };
    for name in ["enc-scrypt", "enc-pbkdf2"] {
        let (_folder, store) = store();
        let text = std::fs::read(golden.join(format!("keys/{name}.json"))).unwrap();
        let config = KeyConfig::from_json(&text).unwrap();
        let key = config.unlock(&mut || Ok(b"golden-password".to_vec())).unwrap();
        let taken = store.insert(&key, config, false).unwrap();
        let told =
            std::fs::read_to_string(golden.join(format!("keys/{name}.keyinfo.txt"))).unwrap();
        // Written there without colons.
        let digits = taken.to_string().replace(':', "");
        assert!(told.contains(&format!("fingerprint {digits}\n")), "{told}");
        assert_eq!(store.key(taken).unwrap().unwrap().fingerprint(), taken);
    }
    let (_folder, store) = store();
    let config = KeyConfig::from_json(&std::fs::read(golden.join("keys/enc-none.json")).unwrap());
    let config = config.unwrap();
    let key = config.unlock(&mut || unreachable!()).unwrap();
    let error = store.insert(&key, config, false).unwrap_err();
    assert!(matches!(error, Error::KeyWithoutPassphrase { .. }), "{error}");
    assert!(!store.folder().exists(), "nothing was written");
}

#[test]
fn a_key_that_is_here_is_replaced_only_when_that_is_asked_for() {
    let (_folder, store) = store();
    store.insert(&counting_key(), config(), false).unwrap();
    let other = config().relock(&counting_key(), KdfKind::Pbkdf2, b"another", None).unwrap();
    let error = store.insert(&counting_key(), other.clone(), false).unwrap_err();
    assert!(matches!(error, Error::KeyExists { .. }), "{error}");
    assert_eq!(store.config(fingerprint()).unwrap(), config());
    store.insert(&counting_key(), other.clone(), true).unwrap();
    assert_eq!(store.config(fingerprint()).unwrap(), other);
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_new_passphrase_locks_the_same_key_and_the_old_one_opens_old_copies() {
    let (_folder, store) = store();
    store.insert(&counting_key(), config(), false).unwrap();
    let change = |old: &'static [u8], new: &[u8]| {
        let mut ask = || Ok(old.to_vec());
        store.change_passphrase(
            fingerprint(),
            Some(&mut ask),
            KdfKind::Pbkdf2,
            new,
            Some("n".into()),
        )
    };
    let error = change(b"wrong!", b"secret2").unwrap_err();
    assert!(error.to_string().contains("passphrase") && error.to_string().contains("hint: h"));
    assert_eq!(store.config(fingerprint()).unwrap(), config());
    change(b"secret1", b"secret2").unwrap();
    let new = store.config(fingerprint()).unwrap();
    assert_eq!((&new.created, new.hint.as_deref()), (&config().created, Some("n")));
    let opened = new.unlock(&mut || Ok(b"secret2".to_vec())).unwrap();
    assert_eq!(opened.fingerprint(), fingerprint());
    config().unlock(&mut || Ok(b"secret1".to_vec())).unwrap();

    // Forgotten: the key itself is here.
    store.change_passphrase(fingerprint(), None, KdfKind::Scrypt, b"secret3", None).unwrap();
    let new = store.config(fingerprint()).unwrap();
    new.unlock(&mut || Ok(b"secret3".to_vec())).unwrap();
    // Without a passphrase it would get on tape in the clear.
    let error = store.change_passphrase(fingerprint(), None, KdfKind::None, b"", None).unwrap_err();
    assert!(matches!(error, Error::KeyWithoutPassphrase { .. }), "{error}");
    let error = store.create(KdfKind::None, b"", None).unwrap_err();
    assert!(matches!(error, Error::KeyWithoutPassphrase { .. }), "{error}");
    let error = store.create(KdfKind::Scrypt, b"four", None).unwrap_err();
    assert!(error.to_string().contains("5 characters"), "{error}");
    let long = Some("x".repeat(65));
    assert!(matches!(
        store.create(KdfKind::Scrypt, b"secret1", long),
        Err(Error::InvalidName { .. })
    ));
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_key_is_named_by_as_much_of_its_fingerprint_as_tells_it_apart() {
    let (_folder, store) = store();
    store.insert(&counting_key(), config(), false).unwrap();
    let second = store.create(KdfKind::Pbkdf2, b"secret1", None).unwrap();
    for text in [FINGERPRINT, "0e:ab:d4:46", "0EABD4460b6e", &FINGERPRINT.replace(':', "")] {
        assert_eq!(store.find(text).unwrap(), fingerprint(), "{text}");
    }
    assert_eq!(store.find(&second.short()).unwrap(), second);
    for text in ["", "0e", "0e:ab:d4", "1e:ab:d4:46", "xyzzyxyzzy", &format!("{FINGERPRINT}:00")] {
        let error = store.find(text).unwrap_err();
        assert!(matches!(error, Error::UnknownKey { .. }), "{text}: {error}");
    }
}

/// A crash between the two files leaves a key that reads and does not write; removing it, or taking it in again, ends
/// that.
#[test]
fn a_half_known_key_reads_and_does_not_write() {
    let (_folder, store) = store();
    store.insert(&counting_key(), config(), false).unwrap();
    std::fs::remove_file(store.folder().join("tape-encryption-key-config.json")).unwrap();
    assert!(store.key(fingerprint()).unwrap().is_some());
    let info = store.info(fingerprint()).unwrap();
    assert_eq!((info.kdf, info.usable), (None, true));
    let error = PoolKey::find(Some(&store), FINGERPRINT).err().unwrap();
    assert!(matches!(error, Error::KeyWithoutPassphrase { .. }), "{error}");
    store.insert(&counting_key(), config(), false).unwrap();
    assert_eq!(PoolKey::find(Some(&store), FINGERPRINT).unwrap().fingerprint(), FINGERPRINT);

    // The other half: what is locked can be opened again.
    std::fs::remove_file(store.folder().join("tape-encryption-keys.json")).unwrap();
    assert!(!store.info(fingerprint()).unwrap().usable);
    let error = PoolKey::find(Some(&store), FINGERPRINT).err().unwrap();
    assert!(matches!(error, Error::UnknownKey { .. }), "{error}");
    assert!(store.complete(&counting_key()).unwrap());
    assert!(!store.complete(&counting_key()).unwrap());
    PoolKey::find(Some(&store), FINGERPRINT).unwrap();

    store.remove(fingerprint()).unwrap();
    assert!(store.list().unwrap().is_empty());
    assert!(matches!(store.remove(fingerprint()), Err(Error::UnknownKey { .. })));
}

#[test]
fn a_damaged_file_is_told_and_never_written_over() {
    let (_folder, store) = store();
    store.insert(&counting_key(), config(), false).unwrap();
    let keys = store.folder().join("tape-encryption-keys.json");
    let configs = store.folder().join("tape-encryption-key-config.json");
    let (good_keys, good_configs) =
        (std::fs::read_to_string(&keys).unwrap(), std::fs::read_to_string(&configs).unwrap());
    let twice = |text: &str| {
        let one = text.trim().trim_start_matches('[').trim_end_matches(']').to_string();
        format!("[{one},{one}]")
    };
    let cases: [(&Path, String); 6] = [
        (&keys, good_keys.replacen("0001", "0101", 1)),
        (&keys, good_keys.replacen("0001", "00", 1)),
        (&keys, good_keys[..good_keys.len() / 2].to_string()),
        (&keys, twice(&good_keys)),
        (&configs, twice(&good_configs)),
        (&configs, good_configs.replace(&format!("\"{FINGERPRINT}\""), "null")),
    ];
    for (path, bad) in cases {
        std::fs::write(&keys, &good_keys).unwrap();
        std::fs::write(&configs, &good_configs).unwrap();
        std::fs::write(path, &bad).unwrap();
        for error in [
            store.list().unwrap_err(),
            store.insert(&counting_key(), config(), true).unwrap_err(),
            store.create(KdfKind::Pbkdf2, b"secret1", None).unwrap_err(),
            store.remove(fingerprint()).unwrap_err(),
        ] {
            let told = error.to_string();
            assert!(matches!(error, Error::KeysDamaged { .. }), "{bad}: {told}");
            assert!(told.contains(path.to_str().unwrap()), "{told}");
            assert!(!told.contains("00010203"), "no key in a message: {told}");
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), bad);
    }
    std::fs::write(&keys, "").unwrap();
    std::fs::write(&configs, " \n").unwrap();
    assert!(store.list().unwrap().is_empty());
}
