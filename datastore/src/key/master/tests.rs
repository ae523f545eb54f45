//! Tests of the master key.

use std::sync::LazyLock;

use super::*;
use crate::storage::RealStorage;

/// The smallest possible one: making it is what takes time.
static MASTER: LazyLock<MasterKey> = LazyLock::new(|| MasterKey::generate(BITS_MIN).unwrap());

const CREATED: &str = "2020-06-26T15:56:05+02:00";

fn never() -> Result<Vec<u8>> {
    panic!("no passphrase should be asked for")
}

fn key() -> CryptConfig {
    CryptConfig::new([7; 32]).unwrap()
}

#[test]
fn an_encrypted_key_is_recovered() {
    let public = MASTER.public().unwrap();
    let encrypted = public.encrypt(&key(), CREATED).unwrap();
    assert_eq!(encrypted.len() as u32, BITS_MIN / 8, "as long as the modulus");
    let (file, recovered) = MASTER.recover(&encrypted).unwrap();
    assert_eq!(recovered.key_bytes(), key().key_bytes());
    assert_eq!(file.created, CREATED);
    assert_ne!(file.modified, CREATED);
    assert_eq!(file.fingerprint, Some(key().fingerprint()));
    assert_eq!((file.is_locked(), file.hint.as_ref()), (false, None));
    assert_eq!(file.to_json().unwrap().len(), 255, "what the least number of bits relies on");
    // Two copies of one key look different: the padding is random.
    assert_ne!(public.encrypt(&key(), CREATED).unwrap(), encrypted);
}

#[test]
fn the_blob_of_a_backup_is_plain_and_uncompressed() {
    let blob = MASTER.public().unwrap().key_blob(&key(), CREATED).unwrap();
    assert!(!blob.kind().encrypted && !blob.kind().compressed);
    assert_eq!(blob.encoded_len(), 12 + u64::from(BITS_MIN / 8));
    let payload = blob.decode(None, 4096, &"blob").unwrap();
    assert_eq!(MASTER.recover(&payload).unwrap().1.key_bytes(), key().key_bytes());
}

#[test]
fn a_damaged_copy_and_another_master_key_are_told_alike() {
    let mut encrypted = MASTER.public().unwrap().encrypt(&key(), CREATED).unwrap();
    let other = MasterKey::generate(BITS_MIN).unwrap();
    let mut messages = vec![other.recover(&encrypted).unwrap_err().to_string()];
    encrypted[100] ^= 1;
    messages.push(MASTER.recover(&encrypted).unwrap_err().to_string());
    messages.push(MASTER.recover(&encrypted[1..]).unwrap_err().to_string());
    messages.push(MASTER.recover(&[]).unwrap_err().to_string());
    // Sound padding around something else.
    let mut text = vec![0; encrypted.len()];
    let public = MASTER.public().unwrap();
    public.0.public_encrypt(b"not a key file", &mut text, Padding::PKCS1).unwrap();
    messages.push(MASTER.recover(&text).unwrap_err().to_string());
    for message in &messages {
        assert_eq!(message, &messages[0]);
        assert!(message.contains("not encrypted for this master key"));
    }
}

#[test]
fn the_private_half_needs_its_passphrase() {
    let pem = MASTER.to_encrypted_pem(b"secret").unwrap();
    assert!(pem.starts_with(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
    let back = MasterKey::from_pem(&pem, &mut || Ok(b"secret".to_vec())).unwrap();
    assert_eq!(
        back.public().unwrap().fingerprint().unwrap(),
        MASTER.public().unwrap().fingerprint().unwrap()
    );
    let error = MasterKey::from_pem(&pem, &mut || Ok(b"Secret".to_vec())).unwrap_err();
    assert!(matches!(error, Error::Passphrase { .. }), "{error}");
    let error = MasterKey::from_pem(&pem, &mut || Ok(vec![b'x'; 1 << 20])).unwrap_err();
    assert!(matches!(error, Error::Passphrase { .. }), "{error}");
    let mut refuse = || Err(Error::Refused { reason: "nobody is there".into() });
    assert!(MasterKey::from_pem(&pem, &mut refuse).unwrap_err().to_string().contains("nobody"));
    assert!(MASTER.to_encrypted_pem(b"four").is_err());
    assert!(MasterKey::from_pem(b"no pem", &mut never).is_err());
    // RSA's own form, in the clear: others make such files.
    let plain = MASTER.0.private_key_to_pem().unwrap();
    MasterKey::from_pem(&plain, &mut never).unwrap();
}

#[test]
fn keys_that_cannot_do_it_are_refused() {
    let small = Rsa::generate(2048).unwrap();
    let error = MasterPublicKey::from_pem(&small.public_key_to_pem().unwrap()).unwrap_err();
    assert!(error.to_string().contains("2048"), "{error}");
    let small = small.private_key_to_pem().unwrap();
    assert!(MasterKey::from_pem(&small, &mut never).is_err());
    for bits in [0, 1024, BITS_MIN - 1, BITS_MAX + 1, u32::MAX] {
        assert!(MasterKey::generate(bits).is_err(), "{bits}");
    }
    let curve = openssl::pkey::PKey::generate_ed25519().unwrap();
    assert!(MasterPublicKey::from_pem(&curve.public_key_to_pem().unwrap()).is_err());
    assert!(MasterKey::from_pem(&curve.private_key_to_pem_pkcs8().unwrap(), &mut never).is_err());
    for pem in [&b""[..], b"x", b"-----BEGIN PUBLIC KEY-----\n"] {
        assert!(MasterPublicKey::from_pem(pem).is_err());
    }
    // OpenSSL would ask the terminal for its passphrase.
    let private = MASTER.to_encrypted_pem(b"secret").unwrap();
    let error = MasterPublicKey::from_pem(&private).unwrap_err();
    assert!(error.to_string().contains("private half"), "{error}");
    let pkcs1 = MASTER.public().unwrap().0.public_key_to_pem_pkcs1().unwrap();
    assert_eq!(MasterPublicKey::from_pem(&pkcs1).unwrap().bits(), BITS_MIN);
    // A file that has a strange time may be too long for a short key.
    let error = MASTER.public().unwrap().encrypt(&key(), &"x".repeat(100)).unwrap_err();
    assert!(error.to_string().contains("room"), "{error}");
}

#[test]
fn files_are_not_overwritten_and_the_private_one_is_its_owners() {
    let dir = tempfile::tempdir().unwrap();
    let storage = RealStorage::new(dir.path()).unwrap();
    let (public, private) = (dir.path().join("public.pem"), dir.path().join("private.pem"));
    MASTER.save_new(&storage, &private, b"secret").unwrap();
    MASTER.public().unwrap().save_new(&storage, &public).unwrap();
    assert_eq!(storage.meta(&private).unwrap().mode, 0o600);
    assert!(std::fs::read(&public).unwrap().starts_with(b"-----BEGIN PUBLIC KEY-----\n"));
    let loaded = MasterPublicKey::load(&storage, &public).unwrap();
    assert_eq!(loaded.bits(), BITS_MIN);
    let exists = |result: Result<()>| matches!(result, Err(Error::Exists { .. }));
    assert!(exists(MASTER.save_new(&storage, &private, b"secret")));
    assert!(exists(loaded.save_new(&storage, &public)));
    loaded.save_over(&storage, &public).unwrap();
}

#[test]
fn golden_master_keys_are_read() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    let pem = std::fs::read(golden.join("keys/master-public.pem")).unwrap();
    let public = MasterPublicKey::from_pem(&pem).unwrap();
    assert_eq!(public.bits(), 4096);
    assert_eq!(public.to_pem().unwrap(), pem);
    // The reference's blob for that key has the shape of ours.
    let blob = golden.join("datastore/host/enc/2024-05-02T12:00:00Z/rsa-encrypted.key.blob");
    let theirs = DataBlob::from_bytes(std::fs::read(blob).unwrap(), &"blob").unwrap();
    let ours = public.key_blob(&key(), CREATED).unwrap();
    assert_eq!((theirs.kind(), theirs.encoded_len()), (ours.kind(), ours.encoded_len()));
}
