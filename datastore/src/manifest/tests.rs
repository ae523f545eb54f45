use serde_json::json;

use super::*;

fn snapshot() -> SnapshotPath {
    "host/elsa/2020-06-26T13:56:05Z".parse().unwrap()
}

fn file(filename: &str, crypt_mode: CryptMode, byte: u8) -> FileInfo {
    FileInfo { crypt_mode, csum: Digest([byte; 32]), filename: filename.into(), size: 200 }
}

fn example() -> Manifest {
    let mut manifest = Manifest::new(&snapshot());
    manifest.add(file("test1.img.fidx", CryptMode::Encrypt, 1)).unwrap();
    manifest.add(file("abc.blob", CryptMode::None, 2)).unwrap();
    manifest
}

fn scrypt_key() -> CryptConfig {
    let mut key = [0; 32];
    ::openssl::pkcs5::scrypt(b"test", b"", 65536, 8, 1, 1 << 30, &mut key).unwrap();
    CryptConfig::new(key).unwrap()
}

#[test]
fn the_worked_signature_is_reproduced() {
    let mut manifest = example();
    manifest.unprotected.insert("notes".into(), json!("anything"));
    let canonical = String::from_utf8(manifest.canonical_bytes().unwrap()).unwrap();
    assert!(canonical.starts_with(r#"{"backup-id":"elsa","backup-time":1593179765,"backup-type":"host","files":[{"crypt-mode":"encrypt","csum":"0101"#));
    let key = scrypt_key();
    manifest.sign(&key).unwrap();
    assert_eq!(
        manifest.signature(),
        Some("d7b446fb7db081662081d4b40fedd858a1d6307a5aff4ecff7d5bf4fd35679e9")
    );
    assert_eq!(manifest.key_fingerprint().unwrap(), Some(key.fingerprint()));
    manifest.verify_signature(&key, &"m").unwrap();

    let other = CryptConfig::new([1; 32]).unwrap();
    assert!(matches!(manifest.verify_signature(&other, &"m"), Err(Error::WrongKey { .. })));
    let mut altered = manifest.clone();
    altered.files[0].size += 1;
    assert!(matches!(altered.verify_signature(&key, &"m"), Err(Error::BadSignature { .. })));
    // Notes are not signed.
    manifest.unprotected.insert("notes".into(), json!("something else"));
    manifest.verify_signature(&key, &"m").unwrap();
    // An unsigned manifest passes with any key.
    example().verify_signature(&key, &"m").unwrap();
}

#[test]
fn the_text_is_pretty_with_sorted_keys() {
    let mut manifest = Manifest::new(&snapshot());
    manifest.add(file("abc.blob", CryptMode::None, 2)).unwrap();
    let csum = "02".repeat(32);
    assert_eq!(
        manifest.to_json().unwrap(),
        format!(
            "{{\n  \"backup-id\": \"elsa\",\n  \"backup-time\": 1593179765,\n  \"backup-type\": \"host\",\n  \
             \"files\": [\n    {{\n      \"crypt-mode\": \"none\",\n      \"csum\": \"{csum}\",\n      \
             \"filename\": \"abc.blob\",\n      \"size\": 200\n    }}\n  ],\n  \"signature\": null,\n  \
             \"unprotected\": {{}}\n}}"
        )
    );
    let blob = manifest.to_blob().unwrap();
    assert_eq!(Manifest::from_blob(&blob, &"m").unwrap(), manifest);
    assert!(manifest.belongs_to(&snapshot()));
    assert!(!manifest.belongs_to(&"host/elsa/2020-06-26T13:56:06Z".parse().unwrap()));
}

#[test]
fn readers_are_liberal_and_strict_where_it_matters() {
    let read = |text: &str| Manifest::from_json(text.as_bytes(), &"m");
    let csum = "AB".repeat(32);
    let entry = format!(r#"{{"filename":"a.blob","size":1,"csum":"{csum}"}}"#);
    let base = |files: &str| {
        format!(
            r#" {{"files":[{files}],"backup-type":"vm","backup-id":"1","backup-time":5,"other":1}} "#
        )
    };
    let manifest = read(&base(&format!("{entry},{entry}"))).unwrap();
    assert_eq!(manifest.files().len(), 2);
    assert_eq!(manifest.files()[0].crypt_mode, CryptMode::None);
    for bad in [
        base(&entry.replace("\"size\":1", "\"size\":-1")),
        base(&entry.replace("\"size\":1", "\"size\":1.0")),
        base(&entry.replace("\"size\"", "\"crypt-mode\":\"other\",\"size\"")),
        base(&entry.replace("\"filename\":\"a.blob\",", "")),
        base(&entry).replace("\"vm\"", "\"disk\""),
        "[]".to_owned(),
        String::new(),
    ] {
        assert!(read(&bad).unwrap_err().is_damaged(), "{bad}");
    }
    let encrypted = DataBlob::encode(b"{}", Some(&scrypt_key()), true).unwrap();
    assert!(Manifest::from_blob(&encrypted, &"m").is_err());
}

#[test]
fn an_archive_name_occurs_once() {
    let mut manifest = example();
    assert!(matches!(
        manifest.add(file("abc.blob", CryptMode::None, 3)),
        Err(Error::Exists { .. })
    ));
}

#[test]
fn golden_canonical_json_and_manifests() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    let read = |path: &str| std::fs::read(golden.join(path)).unwrap();
    let sample: Value = serde_json::from_slice(&read("blobs/canonical-in.json")).unwrap();
    assert_eq!(canonical_json(&sample).unwrap(), read("blobs/canonical-out.json"));
    assert!(canonical_json(&json!({"a": null})).is_err());

    let key = crate::key::KeyConfig::from_json(&read("keys/enc-none.json"))
        .unwrap()
        .unlock(&mut || unreachable!())
        .unwrap();
    for (place, text, signed) in [
        ("host/enc/2024-05-01T12:00:00Z", "host_enc_2024-05-01T12-00-00Z", true),
        ("host/enc/2024-05-02T12:00:00Z", "host_enc_2024-05-02T12-00-00Z", true),
        ("host/signed/2024-05-01T13:00:00Z", "host_signed_2024-05-01T13-00-00Z", true),
        ("host/tree/2024-05-01T10:00:00Z", "host_tree_2024-05-01T10-00-00Z", false),
        ("host/tree/2024-05-02T10:00:00Z", "host_tree_2024-05-02T10-00-00Z", false),
    ] {
        let bytes = read(&format!("datastore/{place}/index.json.blob"));
        let blob = DataBlob::from_bytes(bytes, &place).unwrap();
        let manifest = Manifest::from_blob(&blob, &place).unwrap();
        let decoded = read(&format!("restore/{text}.index.json"));
        assert_eq!(manifest, Manifest::from_json(&decoded, &text).unwrap());
        // Written again it is the same text, byte for byte.
        let original = blob.decode(None, 1 << 20, &place).unwrap();
        assert_eq!(manifest.to_json().unwrap().as_bytes(), original, "{place}");
        assert_eq!(manifest.signature().is_some(), signed);
        manifest.verify_signature(&key, &place).unwrap();
        assert!(manifest.belongs_to(&place.parse().unwrap()));
    }
}
