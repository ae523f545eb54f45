//! Tests of the key file.

use super::*;
use crate::storage::RealStorage;

fn never() -> Result<Vec<u8>> {
    panic!("no passphrase should be asked for")
}

#[test]
fn a_locked_key_opens_with_its_passphrase_only() {
    for kind in [KdfKind::Scrypt, KdfKind::Pbkdf2] {
        let file = KeyConfig::generate(kind, b"secret", Some("the usual".into())).unwrap();
        let key = file.unlock(&mut || Ok(b"secret".to_vec())).unwrap();
        assert_eq!(Some(key.fingerprint()), file.fingerprint);
        let error = file.unlock(&mut || Ok(b"Secret".to_vec())).unwrap_err();
        assert!(matches!(&error, Error::Passphrase { .. }));
        assert!(error.to_string().contains("the usual"));
        let error = file.unlock(&mut || Ok(b"four".to_vec())).unwrap_err();
        assert!(matches!(error, Error::Key { .. }));
    }
    assert!(KeyConfig::generate(KdfKind::Scrypt, b"four", None).is_err());
}

#[test]
fn a_key_file_is_written_once_and_for_its_owner() {
    let dir = tempfile::tempdir().unwrap();
    let storage = RealStorage::new(dir.path()).unwrap();
    let path = dir.path().join("key.json");
    let file = KeyConfig::generate(KdfKind::None, b"", None).unwrap();
    file.save_new(&storage, &path).unwrap();
    assert_eq!(KeyConfig::load(&storage, &path).unwrap(), file);
    assert_eq!(storage.meta(&path).unwrap().mode, 0o600);
    assert!(matches!(file.save_new(&storage, &path), Err(Error::Exists { .. })));
}

#[test]
fn field_order_is_the_reference_order() {
    let text = KeyConfig::generate(KdfKind::Pbkdf2, b"secret", Some("h".into()))
        .unwrap()
        .to_json()
        .unwrap();
    let at = |key: &str| text.find(key).unwrap_or_else(|| panic!("{key} in {}", *text));
    assert!(text.starts_with("{\"kdf\":{\"PBKDF2\":{\"iter\":65535,\"salt\":\""));
    assert!(at("created") < at("modified") && at("modified") < at("data"));
    assert!(at("data") < at("fingerprint") && at("fingerprint") < at("hint"));
}

#[test]
fn broken_files_are_refused() {
    let good = KeyConfig::generate(KdfKind::None, b"", None).unwrap();
    let mut short = good.clone();
    short.data = BASE64.encode([0; 31]).into();
    assert!(short.unlock(&mut never).is_err());
    let mut other = good.clone();
    other.data = BASE64.encode([1; 32]).into();
    assert!(other.unlock(&mut never).unwrap_err().to_string().contains("altered"));
    let mut garbage = good;
    garbage.data = "!".to_owned().into();
    assert!(garbage.unlock(&mut never).is_err());
    assert!(KeyConfig::from_json(b"{}").is_err());
}

#[test]
fn the_reference_key_files_open() {
    // Made by the reference: passphrase `secret1`, key 00 01 … 1f.
    let data = [
        r#"{"kdf":{"PBKDF2":{"iter":65535,"salt":"nUVw/IngyJWKkYJDbbnrLeTS54ka5V3MAJmuf8d1nts="}},"created":"2026-11-21T19:19:28+00:00","modified":"2026-11-21T19:19:28+00:00","data":"xN4m8At/KYGyk7me+T/Fwrp/Gsy9frMTPYG9hCQlGT5qZ/eOaLlOnXWcn8zgDYIhQdI4tSHvu5bdz9cNN1gjkw==","fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b","hint":"h"}"#,
        r#"{"kdf":{"Scrypt":{"n":65536,"r":8,"p":1,"salt":"St1bpgUZwvFmbqu5FnwkCClrM9+GSXO3vNRd1gt14/k="}},"created":"2026-11-21T19:19:28+00:00","modified":"2026-11-21T19:19:28+00:00","data":"bVMdIQTjumuEz9xI6kuxz0Jp2047mBidPMicXOmn/4jQMwi/lHlKDRfaGoO1fvuLIYFEzyv0tcgbfeDB4UQQMA==","fingerprint":"0e:ab:d4:46:0b:6e:b9:ca:34:50:23:de:e2:b7:78:c7:90:e5:4a:16:83:b9:65:9c:0a:57:ae:19:90:90:15:9b","hint":"h"}"#,
    ];
    for text in data {
        let file = KeyConfig::from_json(text.as_bytes()).unwrap();
        assert_eq!(file.to_json().unwrap().as_str(), text);
        let key = file.unlock(&mut || Ok(b"secret1".to_vec())).unwrap();
        assert_eq!(key.key_bytes()[31], 0x1f);
    }
}

#[test]
fn golden_key_files_open_to_the_recorded_keys() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    for name in ["enc-none", "enc-scrypt", "enc-pbkdf2"] {
        let text = std::fs::read(golden.join(format!("keys/{name}.json"))).unwrap();
        let info =
            std::fs::read_to_string(golden.join(format!("keys/{name}.keyinfo.txt"))).unwrap();
        let field = |key: &str| {
            let line = info.lines().find_map(|line| line.strip_prefix(key)).unwrap();
            line.trim().to_owned()
        };
        let key = KeyConfig::from_json(&text)
            .unwrap()
            .unlock(&mut || Ok(b"golden-password".to_vec()))
            .unwrap();
        assert_eq!(hex::encode(key.key_bytes()), field("enc_key "));
        assert_eq!(hex::encode(key.fingerprint().0), field("fingerprint "));
        assert_eq!(hex::encode(key.sign(b"").unwrap()), field("auth_tag(empty) "));
        assert_eq!(key.digest(b"").to_string(), field("digest(empty) "));
        assert_eq!(key.digest(b"abc").to_string(), field("digest(abc) "));
    }
}

#[test]
fn another_passphrase_is_another_file_of_the_same_key() {
    let mut old = KeyConfig::generate(KdfKind::Pbkdf2, b"secret", Some("old".into())).unwrap();
    old.created = "2020-06-26T15:56:05+02:00".into();
    old.modified.clone_from(&old.created);
    let key = old.unlock(&mut || Ok(b"secret".to_vec())).unwrap();
    for kind in [KdfKind::None, KdfKind::Pbkdf2] {
        let new = old.relock(&key, kind, b"another", Some("new".into())).unwrap();
        assert_eq!(new.created, old.created);
        assert_ne!(new.modified, old.modified);
        assert_eq!(new.fingerprint, old.fingerprint);
        assert_eq!(new.hint.as_deref(), Some("new"));
        let opened = new.unlock(&mut || Ok(b"another".to_vec())).unwrap();
        assert_eq!(opened.key_bytes(), key.key_bytes());
        if kind != KdfKind::None {
            assert!(new.unlock(&mut || Ok(b"secret".to_vec())).is_err());
        }
    }
    assert!(old.relock(&key, KdfKind::Scrypt, b"four", None).is_err());
}

#[test]
fn only_the_same_key_takes_the_place_of_a_key_file() {
    let dir = tempfile::tempdir().unwrap();
    let storage = RealStorage::new(dir.path()).unwrap();
    let path = dir.path().join("key.json");
    let old = KeyConfig::generate(KdfKind::None, b"", None).unwrap();
    old.save_new(&storage, &path).unwrap();
    let other = KeyConfig::generate(KdfKind::None, b"", None).unwrap();
    let error = other.save_over(&storage, &path).unwrap_err();
    assert!(error.to_string().contains("another key"), "{error}");
    assert_eq!(KeyConfig::load(&storage, &path).unwrap(), old);

    let key = old.unlock(&mut never).unwrap();
    let new = old.relock(&key, KdfKind::Pbkdf2, b"secret", None).unwrap();
    new.save_over(&storage, &path).unwrap();
    assert_eq!(KeyConfig::load(&storage, &path).unwrap(), new);
    assert_eq!(storage.meta(&path).unwrap().mode, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "a leftover");
    // Nothing to replace.
    assert!(new.save_over(&storage, &dir.path().join("no.json")).unwrap_err().is_missing());
}

#[test]
fn no_debug_output_has_the_key() {
    let file = KeyConfig::generate(KdfKind::None, b"", None).unwrap();
    let key = file.unlock(&mut never).unwrap();
    let shown = format!("{file:?} {key:?}");
    assert!(!shown.contains(file.data.as_str()), "{shown}");
    assert!(!shown.contains(&hex::encode(key.key_bytes())), "{shown}");
}

/// A derivation that would take years, or all memory, is refused at once.
#[test]
fn derivations_without_end_are_refused() {
    let good = KeyConfig::generate(KdfKind::Pbkdf2, b"secret", None).unwrap();
    let salt = BASE64.encode([1; 32]);
    for kdf in [
        Kdf::Scrypt { n: 1 << 40, r: 8, p: 1, salt: salt.clone() },
        Kdf::Scrypt { n: 1 << 20, r: 8, p: 1 << 20, salt: salt.clone() },
        Kdf::Scrypt { n: u64::MAX, r: u64::MAX, p: u64::MAX, salt: salt.clone() },
        Kdf::Scrypt { n: 0, r: 0, p: 0, salt: salt.clone() },
        Kdf::Scrypt { n: 65535, r: 8, p: 1, salt: salt.clone() },
        Kdf::Pbkdf2 { iter: u64::MAX, salt: salt.clone() },
        Kdf::Pbkdf2 { iter: 0, salt },
    ] {
        let mut file = good.clone();
        file.kdf = Some(kdf);
        let error = file.unlock(&mut || Ok(b"secret".to_vec())).unwrap_err();
        assert!(!matches!(error, Error::Passphrase { .. }), "{error}");
    }
}

/// Whatever text is taken for a key file: an answer, never a panic.
#[test]
fn any_text_is_answered() {
    use proptest::prelude::*;
    let text = prop_oneof![
        "\\PC{0,200}",
        ("[0-9]{1,20}", "[A-Za-z0-9+/=]{0,100}", "[A-Za-z0-9+/=]{0,100}").prop_map(
            |(iter, salt, data)| format!(
                r#"{{"kdf":{{"PBKDF2":{{"iter":{},"salt":"{salt}"}}}},"created":"","modified":"","data":"{data}"}}"#,
                iter.len()
            )
        ),
    ];
    proptest!(|(text in text)| {
        if let Ok(file) = KeyConfig::from_json(text.as_bytes()) {
            prop_assert!(file.unlock(&mut || Ok(b"secret".to_vec())).is_err());
        }
    });
}
