use proptest::prelude::*;

use super::*;

fn counting_key() -> CryptConfig {
    let mut key = [0; 32];
    for (position, byte) in key.iter_mut().enumerate() {
        *byte = position as u8;
    }
    CryptConfig::new(key).unwrap()
}

#[test]
fn the_worked_examples_are_reproduced() {
    let blob = DataBlob::encode(b"hello", None, true).unwrap();
    assert_eq!(hex::encode(blob.as_bytes()), "42ab3807be8370a186a6103668656c6c6f");
    assert_eq!(
        Digest::of(blob.as_bytes()).to_string(),
        "9c5944aba3379b450612203cafb5bf60c2358103550b7f799d197f4668f169d5"
    );
    let empty = DataBlob::encode(b"", None, true).unwrap();
    assert_eq!(hex::encode(empty.as_bytes()), "42ab3807be8370a100000000");
    assert_eq!(empty.decode(None, 0, &"empty").unwrap(), b"");

    let bytes = hex::decode(concat!(
        "7b6785be222d4cf0784eea93000102030405060708090a0b0c0d0e0f",
        "0c84c431837297c0b19e77e5608162ea0f09cc1a56"
    ))
    .unwrap();
    let blob = DataBlob::from_bytes(bytes, &"example").unwrap();
    assert_eq!(blob.decode(Some(&counting_key()), 5, &"example").unwrap(), b"hello");
    assert!(matches!(blob.decode(None, 5, &"example"), Err(Error::KeyNeeded { .. })));
}

#[test]
fn compression_is_kept_only_where_it_pays() {
    let kind = |data: &[u8]| DataBlob::encode(data, None, true).unwrap().kind().compressed;
    assert!(kind(&[0; 1000]));
    assert!(!kind(&crypt::random::<1000>().unwrap()));
    assert!(!kind(b""));
    assert!(!DataBlob::encode(&[0; 1000], None, false).unwrap().kind().compressed);
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let blob = DataBlob::encode(&vec![0; 64 << 20], None, true).unwrap();
    assert!(blob.encoded_len() < 1 << 20);
    assert!(blob.decode(None, CHUNK_BYTES_MAX, &"bomb").unwrap_err().is_damaged());
    assert_eq!(blob.decode(None, 64 << 20, &"bomb").unwrap().len(), 64 << 20);
}

#[test]
fn frames_without_a_size_and_several_frames_are_read() {
    let stream = |data: &[u8]| {
        use std::io::Write;
        let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let mut payload = stream(&[1; 5000]);
    assert!(matches!(zstd::zstd_safe::get_frame_content_size(&payload), Ok(None)));
    payload.extend(zstd::bulk::compress(&[2; 5000], 1).unwrap());
    let mut bytes = BlobKind { encrypted: false, compressed: true }.magic().to_vec();
    bytes.extend(crc32fast::hash(&payload).to_le_bytes());
    bytes.extend(&payload);
    let blob = DataBlob::from_bytes(bytes, &"two frames").unwrap();
    let content = blob.decode(None, 10000, &"two frames").unwrap();
    assert_eq!(content, [[1; 5000], [2; 5000]].concat());
    assert!(blob.decode(None, 9999, &"two frames").is_err());
}

#[test]
fn a_chunk_proves_its_name_and_length() {
    for key in [None, Some(counting_key())] {
        let content = vec![5; 70_000];
        let digest = match &key {
            Some(key) => key.digest(&content),
            None => Digest::of(&content),
        };
        let blob = DataBlob::encode(&content, key.as_ref(), true).unwrap();
        assert_eq!(blob.decode_chunk(key.as_ref(), &digest, 70_000).unwrap(), content);
        assert!(blob.decode_chunk(key.as_ref(), &digest, 69_999).unwrap_err().is_damaged());
        assert!(
            blob.decode_chunk(key.as_ref(), &Digest::of(b"x"), 70_000).unwrap_err().is_damaged()
        );
    }
}

proptest! {
    #[test]
    fn any_bytes_come_back(data in prop::collection::vec(any::<u8>(), 0..5000), compress: bool, with_key: bool) {
        let key = with_key.then(counting_key);
        let blob = DataBlob::encode(&data, key.as_ref(), compress).unwrap();
        let again = DataBlob::from_bytes(blob.as_bytes().to_vec(), &"blob").unwrap();
        prop_assert_eq!(again.kind().encrypted, with_key);
        prop_assert_eq!(again.decode(key.as_ref(), data.len(), &"blob").unwrap(), data);
    }

    #[test]
    fn hostile_bytes_are_refused_without_panic(data in prop::collection::vec(any::<u8>(), 0..200), kind in 0..5usize) {
        let mut bytes = data;
        let kinds = [(false, false), (false, true), (true, false), (true, true)];
        if let Some((encrypted, compressed)) = kinds.get(kind) {
            let magic = BlobKind { encrypted: *encrypted, compressed: *compressed }.magic();
            bytes.splice(0..0, magic);
        }
        if let Ok(blob) = DataBlob::from_bytes_set_crc(bytes, &"hostile") {
            let _ = blob.decode(Some(&counting_key()), 1 << 16, &"hostile");
        }
    }

    #[test]
    fn a_flipped_bit_never_gives_other_content(data in prop::collection::vec(any::<u8>(), 0..300), with_key: bool, at: prop::sample::Index, bit in 0..8u8) {
        let key = with_key.then(counting_key);
        let mut bytes = DataBlob::encode(&data, key.as_ref(), true).unwrap().into_bytes();
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        if let Ok(blob) = DataBlob::from_bytes(bytes, &"flipped")
            && let Ok(content) = blob.decode(key.as_ref(), 1 << 16, &"flipped") {
            prop_assert_eq!(content, data);
        }
    }
}

#[test]
fn golden_blobs_decode_and_have_the_recorded_digests() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    let read = |name: &str| std::fs::read(golden.join("blobs").join(name)).unwrap();
    let key_of = |name: &str| {
        let text = std::fs::read_to_string(golden.join("keys").join(format!("{name}.keyinfo.txt")))
            .unwrap();
        let hex_key = text.lines().find_map(|l| l.strip_prefix("enc_key ")).unwrap();
        let mut key = [0; 32];
        hex::decode_to_slice(hex_key, &mut key).unwrap();
        CryptConfig::new(key).unwrap()
    };
    let digests = String::from_utf8(read("chunk-digests.txt")).unwrap();
    let mut checked = 0;
    for line in digests.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let raw = read(&format!("{}.raw", words[0]));
        let key = (words[1] != "plain").then(|| key_of(words[1]));
        let digest: Digest = words[3].parse().unwrap();
        let computed = key.as_ref().map_or_else(|| Digest::of(&raw), |key| key.digest(&raw));
        assert_eq!(computed, digest, "{line}");
        let file = format!("{}.{}.blob", words[0], words[1]);
        let blob = DataBlob::from_bytes(read(&file), &file).unwrap();
        assert_eq!(blob.decode(key.as_ref(), raw.len(), &file).unwrap(), raw);
        // Where the reference compressed, so do we.
        let ours = DataBlob::encode(&raw, key.as_ref(), true).unwrap();
        assert_eq!(ours.kind(), blob.kind(), "{file}");
        checked += 1;
    }
    assert_eq!(checked, 12);
    for name in ["b-empty", "b-one", "b-rand", "b-text"] {
        let ours = DataBlob::encode(&read(&format!("{name}.raw")), None, false).unwrap();
        assert_eq!(ours.as_bytes(), read(&format!("{name}.nocompress.blob")));
    }
}
