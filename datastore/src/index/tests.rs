use proptest::prelude::*;

use super::*;

const ONES: Digest = Digest([0x11; 32]);
const TWOS: Digest = Digest([0x22; 32]);

#[test]
fn the_worked_examples_are_reproduced() {
    let index = DynamicIndex::new([7; 16], 9, [(100, ONES), (150, TWOS)]).unwrap();
    let content = index.encode();
    assert_eq!(content.len(), 4176);
    assert_eq!(hex::encode(&content[..8]), "1c914ea519bab3cd");
    assert_eq!(content[8..24], [7; 16]);
    assert_eq!(content[24..32], 9i64.to_le_bytes());
    assert_eq!(
        hex::encode(&content[32..64]),
        "cb6b8a7320cc184b2c5e20fc422396eeeb2bb41291cef7956133ea886b27eb22"
    );
    assert!(content[64..4096].iter().all(|byte| *byte == 0));
    assert_eq!(content[4096..4104], 100u64.to_le_bytes());
    assert_eq!(content[4136..4144], 250u64.to_le_bytes());
    assert_eq!(DynamicIndex::decode(&content, &"x").unwrap(), index);

    let index = FixedIndex::new([7; 16], 9, 5 << 20, vec![ONES, TWOS]).unwrap();
    let content = index.encode();
    assert_eq!(content.len(), 4160);
    assert_eq!(hex::encode(&content[..8]), "2f7f41ed91fd0fcd");
    assert_eq!(
        hex::encode(&content[32..64]),
        "5189c77d29fe5d546a045ec46986852785fea5c13ac7da9c115ff5fb6edf817c"
    );
    assert_eq!(hex::encode(&content[64..80]), "00005000000000000000400000000000");
    assert_eq!(FixedIndex::decode(&content, &"x").unwrap(), index);
}

#[test]
fn entries_cover_the_archive() {
    let dynamic =
        Index::Dynamic(DynamicIndex::new([0; 16], 0, [(100, ONES), (150, TWOS)]).unwrap());
    let fixed = Index::Fixed(FixedIndex::new([0; 16], 0, 5 << 20, vec![ONES, TWOS]).unwrap());
    for index in [dynamic, fixed] {
        let mut at = 0;
        for (position, entry) in index.entries().enumerate() {
            assert_eq!(entry.start, at);
            assert_eq!(index.position_of(entry.start), Some(position));
            assert_eq!(index.position_of(entry.end - 1), Some(position));
            at = entry.end;
        }
        assert_eq!(at, index.content_size());
        assert_eq!(index.position_of(at), None);
        assert_eq!(index.header().csum, index.compute_csum());
    }
}

#[test]
fn what_no_reader_accepts_is_not_written() {
    assert!(FixedIndex::new([0; 16], 0, 0, vec![]).is_err());
    assert!(FixedIndex::new([0; 16], 0, 5 << 20, vec![ONES]).is_err());
    assert!(DynamicIndex::new([0; 16], 0, [(0, ONES)]).is_err());
    assert!(DynamicIndex::new([0; 16], 0, [(u64::MAX, ONES), (1, ONES)]).is_err());
}

#[test]
fn damage_is_refused() {
    let good = DynamicIndex::new([0; 16], 0, [(100, ONES), (150, TWOS)]).unwrap().encode();
    for len in 0..good.len() {
        if len != 4136 {
            assert!(DynamicIndex::decode(&good[..len], &"x").is_err(), "{len}");
        }
    }
    let mut falling = good.clone();
    falling[4136..4144].copy_from_slice(&100u64.to_le_bytes());
    assert!(DynamicIndex::decode(&falling, &"x").unwrap_err().is_damaged());
    assert!(FixedIndex::decode(&good, &"x").is_err());

    let good = FixedIndex::new([0; 16], 0, 5 << 20, vec![ONES, TWOS]).unwrap().encode();
    for len in 0..good.len() {
        assert!(FixedIndex::decode(&good[..len], &"x").is_err(), "{len}");
    }
    for chunk_size in [0u64, 3000, u64::MAX, 1] {
        let mut bad = good.clone();
        bad[72..80].copy_from_slice(&chunk_size.to_le_bytes());
        assert!(FixedIndex::decode(&bad, &"x").is_err(), "{chunk_size}");
    }
}

proptest! {
    #[test]
    fn any_bytes_decode_or_fail(mut bytes in prop::collection::vec(any::<u8>(), 4096..4400), fixed: bool, size: u64, shift in 0..64u32) {
        bytes[..8].copy_from_slice(if fixed { &fixed::MAGIC } else { &dynamic::MAGIC });
        bytes[64..72].copy_from_slice(&size.to_le_bytes());
        bytes[72..80].copy_from_slice(&(1u64 << shift).to_le_bytes());
        if let Ok(index) = FixedIndex::decode(&bytes, &"x") {
            for position in 0..index.len() { index.entry(position).unwrap(); }
            prop_assert_eq!(&index.encode()[4096..], &bytes[4096..]);
        }
        let _ = DynamicIndex::decode(&bytes, &"x");
    }
}

#[test]
fn golden_indexes_list_the_recorded_chunks() {
    let Some(golden) = std::env::var_os("CAPSTAN_GOLDEN").map(std::path::PathBuf::from) else {
        return;
    };
    let storage = crate::storage::RealStorage::new(&golden).unwrap();
    let mut compared = 0;
    for entry in std::fs::read_dir(golden.join("index")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let place = name.strip_suffix(".txt").unwrap().replace('_', "/");
        let index = Index::load(&storage, &golden.join("datastore").join(place)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        let mut lines = text.lines();
        let words: Vec<_> = lines.next().unwrap().split_whitespace().collect();
        assert_eq!(words[1], index.len().to_string(), "{name}");
        assert_eq!(words[3], index.content_size().to_string(), "{name}");
        // The listing tool told the time of opening for dynamic indexes.
        if matches!(index, Index::Fixed(_)) {
            assert_eq!(words[5], index.header().ctime.to_string(), "{name}");
        }
        assert_eq!(words[7], index.compute_csum().to_string(), "{name}");
        assert_eq!(index.header().csum, index.compute_csum(), "{name}");
        for entry in index.entries() {
            assert_eq!(
                lines.next().unwrap(),
                format!("{} {} {}", entry.start, entry.end, entry.digest)
            );
        }
        assert_eq!(lines.next(), None);
        compared += 1;
    }
    assert_eq!(compared, 19);
}
