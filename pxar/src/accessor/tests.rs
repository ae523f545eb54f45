//! Random access against hostile archives. That it agrees with the decoder on random trees is in
//! `tests/round_trip.rs`.

use super::*;
use crate::Encoder;
use crate::encoder::tests::{split_example, unified_example};
use zerocopy::byteorder::little_endian::U64;

/// Visit everything there is, bounded; the value counts the entries that a look-up by name finds too.
fn walk(accessor: &Accessor) -> Result<usize, Error> {
    let (mut count, mut found) = (0, 0);
    let mut pending = vec![accessor.root()?];
    while let Some(directory) = pending.pop() {
        for entry in directory.entries() {
            let entry = entry?;
            count += 1;
            assert!(count < 10_000, "the walk does not end");
            match entry.kind {
                EntryKind::Directory => pending.push(accessor.open_directory(&entry)?),
                EntryKind::File { .. } | EntryKind::Hardlink { .. } => {
                    let mut content = Vec::new();
                    let mut reader = accessor.content(&entry)?;
                    reader.read_to_end(&mut content).map_err(|error| {
                        error.downcast::<Error>().expect("an error of this crate")
                    })?;
                    assert_eq!(content.len() as u64, reader.size());
                }
                _ => {}
            }
            found += usize::from(directory.lookup(&entry.name)?.as_ref() == Some(&entry));
        }
    }
    Ok(found)
}

#[test]
fn worked_examples() {
    let accessor = Accessor::open(unified_example()).unwrap();
    assert_eq!((accessor.version(), walk(&accessor).unwrap()), (1, 3));
    let link = accessor.lookup(b"/hard").unwrap().unwrap();
    let target = accessor.follow_hardlink(&link).unwrap();
    assert_eq!(target.name, b"file.txt");
    assert!(accessor.lookup(b"file.txt/x").is_err());
    assert!(accessor.lookup(b"../x").is_err());
    assert_eq!(accessor.lookup(b"././/file.txt").unwrap().unwrap(), target);
    assert!(accessor.lookup(b"none").unwrap().is_none());
    assert!(accessor.follow_hardlink(&target).is_err());

    let (archive, payload) = split_example();
    let accessor = Accessor::open_split(archive.clone(), payload).unwrap();
    assert_eq!((accessor.version(), walk(&accessor).unwrap()), (2, 4));
    let prelude = accessor.prelude().unwrap().unwrap();
    assert_eq!(prelude, br#"{"exclude-patterns":"*.o\n"}"#);
    // Without its contents an archive can be listed, and says what is missing.
    let accessor = Accessor::open(archive).unwrap();
    let file = accessor.lookup(b"sub/z").unwrap().unwrap();
    assert_eq!(file.kind, EntryKind::File { size: 3, payload_offset: Some(38) });
    assert!(accessor.content(&file).is_err());
}

#[test]
fn damage_is_survived() {
    let unified = unified_example();
    for len in 0..unified.len() {
        let result = Accessor::open(unified[..len].to_vec()).and_then(|a| walk(&a));
        assert!(result.is_err(), "cut at {len}");
    }
    let (archive, payload) = split_example();
    for (index, original) in [&unified, &archive, &payload].into_iter().enumerate() {
        for at in 0..original.len() {
            for bit in 0..8 {
                let mut bytes = original.clone();
                bytes[at] ^= 1 << bit;
                // Content and stat data may differ unseen; what matters is an end without panic.
                let _ = match index {
                    0 => Accessor::open(bytes).and_then(|a| walk(&a)),
                    1 => Accessor::open_split(bytes, payload.clone()).and_then(|a| walk(&a)),
                    _ => Accessor::open_split(archive.clone(), bytes).and_then(|a| walk(&a)),
                };
            }
        }
    }
    for len in 0..payload.len() - 16 {
        let result = Accessor::open_split(archive.clone(), payload[..len].to_vec());
        assert!(result.and_then(|a| walk(&a)).is_err(), "payload cut at {len}");
    }
}

/// The records of the root's table of an archive with this many children.
fn records(bytes: &mut [u8], count: usize) -> &mut [RawRecord] {
    let start = bytes.len() - (count + 1) * goodbye::RECORD_LEN as usize;
    zerocopy::FromBytes::mut_from_bytes(&mut bytes[start..]).unwrap()
}

#[test]
fn colliding_hashes_are_told_apart_by_name() {
    // Real collisions of SipHash can't be had, so the table gets equal hashes, the names do not; a
    // lookup by hash must then try each record.
    let mut out = Vec::new();
    let directory = Metadata::directory(0o755);
    let mut encoder = Encoder::new(&mut out, &directory).unwrap();
    let names: Vec<String> = (0..20).map(|i| format!("name-{i:02}")).collect();
    for name in &names {
        encoder.add_fifo(name.as_bytes(), &Metadata::with_mode(0o10644)).unwrap();
    }
    encoder.finish().unwrap();
    for wanted in &names {
        let hash = goodbye::hash_name(wanted.as_bytes());
        let mut bytes = out.clone();
        for record in &mut records(&mut bytes, names.len())[..20] {
            record.hash = U64::new(hash);
        }
        let root = Accessor::open(bytes).unwrap().root().unwrap();
        assert_eq!(root.lookup(wanted.as_bytes()).unwrap().unwrap().name, wanted.as_bytes());
        assert!(root.lookup(b"absent").unwrap().is_none());
    }
}

#[test]
fn tables_that_lie() {
    let mut out = Vec::new();
    let directory = Metadata::directory(0o755);
    let mut encoder = Encoder::new(&mut out, &directory).unwrap();
    for name in [b"a", b"b"] {
        encoder.enter_directory(name, &directory).unwrap();
        encoder.add_fifo(b"x", &Metadata::with_mode(0o10644)).unwrap();
        encoder.leave_directory().unwrap();
    }
    encoder.finish().unwrap();
    assert_eq!(walk(&Accessor::open(out.clone()).unwrap()).unwrap(), 4);
    let with = |index: usize, offset: Option<u64>, size: Option<u64>| {
        let mut bytes = out.clone();
        let record = &mut records(&mut bytes, 2)[index];
        record.offset = offset.map_or(record.offset, U64::new);
        record.size = size.map_or(record.size, U64::new);
        Accessor::open(bytes).and_then(|accessor| walk(&accessor))
    };
    let other = records(&mut out.clone(), 2)[1].offset.get();
    for (index, offset, size) in [
        (0, Some(other), None),    // one child twice
        (0, Some(0), None),        // the table itself
        (0, Some(u64::MAX), None), // before the archive
        (0, Some(1 << 40), None),  // before the archive
        (2, Some(1), None),        // the tail leads into the table's neighbourhood
        (2, Some(u64::MAX), None),
        (2, None, Some(u64::MAX)),
        (2, None, Some(24)),
        (2, None, Some(0)),
    ] {
        assert!(with(index, offset, size).is_err(), "{index} {offset:?} {size:?}");
    }
}

#[test]
fn a_table_can_not_claim_more_children_than_fit() {
    // An archive that is nearly all table: a claim of a million children in no space.
    let mut bytes = unified_example();
    let count = 1_000_000;
    bytes.truncate(56);
    let full_size = 16 + 24 * (count + 1);
    bytes.extend_from_slice(&(ItemType::Goodbye as u64).to_le_bytes());
    bytes.extend_from_slice(&(full_size as u64).to_le_bytes());
    bytes.resize(bytes.len() + 24 * count, 0);
    bytes.extend_from_slice(&goodbye::TAIL_MARKER.to_le_bytes());
    bytes.extend_from_slice(&56_u64.to_le_bytes());
    bytes.extend_from_slice(&(full_size as u64).to_le_bytes());
    assert!(Accessor::open(bytes).unwrap().root().is_err());
}

#[test]
fn storage_that_claims_more_than_it_has() {
    struct Liar(Vec<u8>);
    impl ReadAt for Liar {
        fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
            self.0.read_at(buffer, offset)
        }
        fn size(&self) -> u64 {
            u64::MAX
        }
    }
    assert!(Accessor::open(Liar(unified_example())).unwrap().root().is_err());
}

#[test]
fn contents_can_be_read_anywhere() {
    use std::io::{Seek, SeekFrom};
    let accessor = Accessor::open(unified_example()).unwrap();
    let entry = accessor.lookup(b"file.txt").unwrap().unwrap();
    let mut content = accessor.content(&entry).unwrap();
    let mut buffer = [0; 10];
    assert_eq!(content.read_at(&mut buffer, 4).unwrap(), 2);
    assert_eq!(&buffer[..2], b"o\n");
    assert_eq!(content.read_at(&mut buffer, 6).unwrap(), 0);
    assert_eq!(content.read_at(&mut buffer, u64::MAX).unwrap(), 0);
    content.seek(SeekFrom::End(-3)).unwrap();
    let mut text = String::new();
    content.read_to_string(&mut text).unwrap();
    assert_eq!(text, "lo\n");
    assert!(content.seek(SeekFrom::Current(-7)).is_err());
}
