use super::*;
use crate::device::TapeDevice;
use crate::device::model::{Medium, ModelDrive};
use crate::format::block::{BLOCK_BYTES, StreamWriter};

fn media_label() -> MediaLabel {
    MediaLabel {
        ctime: 1_700_000_000,
        label_text: "TEST01L8".into(),
        pool: Some("daily".into()),
        uuid: "7f42c4dd-9626-4d89-9f2b-c7bc6da7d533".parse().unwrap(),
    }
}

fn set_label() -> MediaSetLabel {
    MediaSetLabel {
        ctime: 1_700_000_100,
        encryption_key_fingerprint: None,
        pool: "daily".into(),
        seq_nr: 3,
        uuid: "9da37a55-aac7-4deb-91c6-482b3b675f30".parse().unwrap(),
    }
}

/// The worked example of the format's description, byte for byte (the content UUID is random).
#[test]
fn a_media_label_has_the_published_bytes() {
    let mut drive = ModelDrive::new(Medium::default());
    write_media_label(&mut drive, &media_label()).unwrap();
    let files = drive.medium.lock().unwrap().files();
    assert_eq!((files.len(), files[0].len()), (1, 1));
    let block = &files[0][0];
    let start = "dcbdafcaeba0a52801aa000000000000 63ee149fcdf29b0c2a05bf3cb030aa39";
    assert_eq!(hex::encode(&block[..32]), start.replace(' ', ""));
    assert_eq!(hex::encode(&block[48..64]), "00f15365000000007a00000000000000");
    let json = "{\n  \"ctime\": 1700000000,\n  \"label_text\": \"TEST01L8\",\n  \"pool\": \"daily\",\n  \
                \"uuid\": \"7f42c4dd-9626-4d89-9f2b-c7bc6da7d533\"\n}";
    assert_eq!(json.len(), 122);
    assert_eq!(&block[64..186], json.as_bytes());
    assert!(block[186..].iter().all(|byte| *byte == 0));
    assert_eq!(block.len(), BLOCK_BYTES);
}

#[test]
fn both_labels_come_back() {
    let mut drive = ModelDrive::new(Medium::default());
    assert_eq!(read_labels(&mut drive).unwrap(), None);
    write_media_label(&mut drive, &media_label()).unwrap();
    drive.rewind().unwrap();
    let labels = read_labels(&mut drive).unwrap().unwrap();
    assert_eq!(labels, Labels { media: media_label(), media_set: None });

    write_media_set_label(&mut drive, &set_label(), None).unwrap();
    drive.rewind().unwrap();
    let labels = read_labels(&mut drive).unwrap().unwrap();
    assert_eq!(labels.media_set.unwrap().label, set_label());
    assert_eq!(drive.file_number().unwrap(), FIRST_DATA_FILE);
}

#[test]
fn the_key_of_an_encrypted_set_is_kept_and_required() {
    let mut label = set_label();
    label.encryption_key_fingerprint = Some("0e:ab".into());
    let mut drive = ModelDrive::new(Medium::default());
    assert!(write_media_set_label(&mut drive, &label, None).is_err());
    assert!(drive.medium.lock().unwrap().records.is_empty(), "nothing may be written");

    let key = serde_json::json!({"kdf": null, "data": "AAAA", "created": "x"});
    write_media_set_label(&mut drive, &label, Some(&key)).unwrap();
    let block = drive.medium.lock().unwrap().files()[0][0].clone();
    let text = String::from_utf8_lossy(&block[64..1000]).to_string();
    let order = ["ctime", "fingerprint", "key-config", "created", "data", "kdf", "pool", "seq_nr"];
    let places: Vec<usize> = order.iter().map(|key| text.find(key).unwrap()).collect();
    assert!(places.is_sorted(), "{text}");
    drive.rewind().unwrap();
    let back = read_media_set_label(&mut drive).unwrap().unwrap();
    assert_eq!(back, MediaSetLabelOnTape { label, key_config: Some(key) });
}

fn tape_with(kind: ContentKind, json: &str, behind: &[u8]) -> ModelDrive {
    let mut drive = ModelDrive::new(Medium::default());
    let mut stream = StreamWriter::new(&mut drive);
    let value: serde_json::Value = serde_json::from_str(json).unwrap();
    ContentHeader::write(&mut stream, kind, 0, &value).unwrap();
    stream.append(behind).unwrap();
    stream.finish(false).unwrap();
    drive.rewind().unwrap();
    drive
}

#[test]
fn other_writers_labels_are_understood() {
    let json = r#"{"uuid": "7f42c4dd-9626-4d89-9f2b-c7bc6da7d533", "later": [1],
                   "label_text": "AB", "ctime": 5}"#;
    let label = read_media_label(&mut tape_with(ContentKind::MediaLabel, json, b""));
    assert_eq!(label.unwrap().unwrap().pool, None);
    let json = r#"{"uuid": "00000000-0000-0000-0000-000000000000", "seq_nr": 0, "pool": "p1",
                   "ctime": 5, "key-config": null}"#;
    let mut tape = tape_with(ContentKind::MediaSetLabel, json, b"");
    let label = read_media_set_label(&mut tape).unwrap().unwrap();
    assert!(label.label.is_unassigned() && label.key_config.is_none());
}

#[test]
fn malformed_labels_are_refused() {
    let good =
        r#"{"uuid": "7f42c4dd-9626-4d89-9f2b-c7bc6da7d533", "label_text": "AB", "ctime": 5}"#;
    for (kind, json, behind) in [
        (ContentKind::MediaLabel, good, &b"x"[..]),
        (ContentKind::MediaSetLabel, good, b""),
        (ContentKind::ChunkArchiveV1_1, r#"{"store": "x"}"#, b""),
        (ContentKind::MediaLabel, r#"{"label_text": "AB", "ctime": 5}"#, b""),
        (ContentKind::MediaLabel, r#"{"uuid": "7f42", "label_text": "AB", "ctime": 5}"#, b""),
    ] {
        assert!(read_media_label(&mut tape_with(kind, json, behind)).is_err(), "{json}");
    }
}

#[test]
fn names_follow_their_pattern() {
    for good in ["AB", "TAPE_01-L8.x", "_x", &"x".repeat(32)] {
        check_label_text(good).unwrap();
    }
    for bad in ["", "A", ".AB", "-AB", "A B", "A/B", "Ä1", &"x".repeat(33)] {
        assert!(check_label_text(bad).is_err(), "{bad}");
    }
}
