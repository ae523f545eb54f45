use proptest::prelude::*;

use super::*;
use crate::device::TapeDevice;
use crate::device::model::{Medium, ModelDrive};
use crate::format::block::{BLOCK_BYTES, Opened, PAYLOAD_BYTES};

const JSON_BYTES: usize = 25;

fn digest(number: u8) -> Digest {
    Digest([number; 32])
}

/// All whole chunks of the file at the position of `drive`, and the cut one.
type Chunks = Vec<(Digest, Vec<u8>)>;

fn read_all(drive: &mut ModelDrive) -> Result<(Chunks, Option<Digest>)> {
    let Opened::File(mut stream) = StreamReader::open(drive)? else { panic!("no file") };
    let header = ContentHeader::read(&mut stream)?;
    let mut archive = ChunkArchiveReader::new(&mut stream, &header)?;
    assert_eq!(archive.store(), "vmstore1");
    let mut chunks = Vec::new();
    let mut blob = Vec::new();
    while let Some(digest) = archive.next_chunk(&mut blob)? {
        chunks.push((digest, blob.clone()));
    }
    let cut = archive.cut().copied();
    assert!(stream.has_end_marker().unwrap() && !stream.is_incomplete().unwrap());
    Ok((chunks, cut))
}

#[test]
fn an_entry_has_the_published_bytes() {
    let mut drive = ModelDrive::new(Medium::default());
    let mut archive = ChunkArchiveWriter::new(&mut drive, "vmstore1", 7).unwrap();
    assert_eq!(archive.append(&digest(0x11), b"blob").unwrap(), Appended::Room);
    archive.finish().unwrap();
    let block = drive.medium.lock().unwrap().files()[0][0].clone();
    let json = 16 + 48;
    assert_eq!(&block[json..json + JSON_BYTES], b"{\n  \"store\": \"vmstore1\"\n}");
    let entry = &block[json + JSON_BYTES..];
    let expected = format!("48576df2de428fdc{}0400000000000000", "11".repeat(32));
    assert_eq!(hex::encode(&entry[..48]), expected);
    assert_eq!(&entry[48..52], b"blob");
    drive.rewind().unwrap();
    assert_eq!(read_all(&mut drive).unwrap(), (vec![(digest(0x11), b"blob".to_vec())], None));
}

#[test]
fn an_archive_without_entry_is_fine() {
    let mut drive = ModelDrive::new(Medium::default());
    ChunkArchiveWriter::new(&mut drive, "vmstore1", 7).unwrap().finish().unwrap();
    drive.rewind().unwrap();
    assert_eq!(read_all(&mut drive).unwrap(), (vec![], None));
}

/// Early warning after each possible block: the writer's verdict about the last chunk is what a
/// reader finds, and the file never counts as incomplete.
#[test]
fn early_warning_cuts_by_the_rule() {
    for warning_blocks in 1..8 {
        let mut drive = ModelDrive::new(Medium::with_capacity(warning_blocks, 4));
        let mut archive = ChunkArchiveWriter::new(&mut drive, "vmstore1", 7).unwrap();
        let blob = vec![9u8; 700_000];
        let mut whole = 0;
        let complete = loop {
            match archive.append(&digest(whole as u8), &blob).unwrap() {
                Appended::Room => whole += 1,
                Appended::EarlyWarning { complete } => break complete,
                Appended::ArchiveFull => panic!("not yet"),
            }
        };
        archive.finish().unwrap();
        whole += usize::from(complete);
        drive.rewind().unwrap();
        let (chunks, cut) = read_all(&mut drive).unwrap();
        assert_eq!(chunks.len(), whole, "early warning after {warning_blocks} blocks");
        assert_eq!(cut.is_some(), !complete);
        let blocks = drive.medium.lock().unwrap().files()[0].len();
        assert!(blocks <= warning_blocks + 3, "{blocks} blocks, warned after {warning_blocks}");
    }
}

/// The corner case: early warning in the last slice of a blob that is a multiple of the slice.
#[test]
fn a_blob_of_whole_slices_counts_as_cut() {
    let blob = vec![9u8; 2 * SLICE_BYTES];
    let mut drive = ModelDrive::new(Medium::with_capacity(1, 4));
    let mut archive = ChunkArchiveWriter::new(&mut drive, "vmstore1", 7).unwrap();
    let verdict = archive.append(&digest(1), &blob).unwrap();
    assert_eq!(verdict, Appended::EarlyWarning { complete: false });
    archive.finish().unwrap();
    drive.rewind().unwrap();
    let (chunks, cut) = read_all(&mut drive).unwrap();
    assert_eq!((chunks.len(), cut), (1, None), "readers can't tell and deliver it");
}

#[test]
fn the_size_limit_closes_after_an_entry() {
    struct Counter(u64);
    impl BlockSink for Counter {
        fn write_block(&mut self, block: &[u8]) -> Result<bool> {
            assert_eq!(block.len(), BLOCK_BYTES);
            self.0 += 1;
            Ok(false)
        }
        fn write_filemark(&mut self) -> Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    let mut archive = ChunkArchiveWriter::new(&mut counter, "vmstore1", 7).unwrap();
    let blob = vec![0u8; 16 << 20];
    let mut entries = 1;
    while archive.append(&digest(0), &blob).unwrap() == Appended::Room {
        entries += 1;
    }
    assert!(archive.sent_bytes() > 4 << 30);
    assert!(archive.sent_bytes() <= (4 << 30) + (17 << 20));
    assert_eq!(entries, 256, "headers push the 256th over the limit");
    drop(archive);
    assert!(counter.0 >= 16385);
}

#[test]
fn damaged_entries_are_named() {
    let make = || {
        let mut drive = ModelDrive::new(Medium::default());
        let mut stream = StreamWriter::new(&mut drive);
        let data = HeaderData { store: "vmstore1".into() };
        ContentHeader::write(&mut stream, ContentKind::ChunkArchiveV1_1, 0, &data).unwrap();
        drop(stream);
        drive
    };
    let write = |tail: &[u8]| {
        let mut drive = make();
        let mut stream = StreamWriter::new(&mut drive);
        let data = HeaderData { store: "vmstore1".into() };
        ContentHeader::write(&mut stream, ContentKind::ChunkArchiveV1_1, 0, &data).unwrap();
        stream.append(tail).unwrap();
        stream.finish(false).unwrap();
        drive.rewind().unwrap();
        read_all(&mut drive)
    };
    let entry = |magic: [u8; 8], size: u64| {
        EntryHeader { magic, digest: [1; 32], size: U64::new(size) }.as_bytes().to_vec()
    };
    let error = write(&entry(ENTRY_MAGIC, 5)[..20]).unwrap_err().to_string();
    assert!(error.contains("20 bytes of an entry header"), "{error}");
    let error = write(&entry([0; 8], 5)).unwrap_err().to_string();
    assert!(error.contains("wrong entry magic"), "{error}");
    let error = write(&entry(ENTRY_MAGIC, u64::MAX)).unwrap_err().to_string();
    assert!(error.contains("claims"), "{error}");
    let (chunks, cut) = write(&entry(ENTRY_MAGIC, 128 << 20)).unwrap();
    assert_eq!((chunks.len(), cut), (0, Some(Digest([1; 32]))));
}

proptest! {
    #[test]
    fn chunks_come_back(sizes in prop::collection::vec(1usize..PAYLOAD_BYTES * 2, 0..6)) {
        let mut drive = ModelDrive::new(Medium::default());
        let mut archive = ChunkArchiveWriter::new(&mut drive, "vmstore1", 7).unwrap();
        let mut all = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let blob: Vec<u8> = (0..*size).map(|i| (i + number) as u8).collect();
            prop_assert_eq!(archive.append(&digest(number as u8), &blob).unwrap(), Appended::Room);
            all.push((digest(number as u8), blob));
        }
        archive.finish().unwrap();
        drive.rewind().unwrap();
        prop_assert!(read_all(&mut drive).unwrap() == (all, None));
    }

    /// Arbitrary bytes as content: chunks or an error, never a panic.
    #[test]
    fn hostile_content_is_survived(tail in prop::collection::vec(any::<u8>(), 0..400), at in 0usize..100) {
        let mut drive = ModelDrive::new(Medium::default());
        let mut stream = StreamWriter::new(&mut drive);
        let data = HeaderData { store: "vmstore1".into() };
        ContentHeader::write(&mut stream, ContentKind::ChunkArchiveV1_1, 0, &data).unwrap();
        let mut tail = tail;
        if tail.len() > at + 8 {
            tail[at..at + 8].copy_from_slice(&ENTRY_MAGIC);
        }
        stream.append(&tail).unwrap();
        stream.finish(false).unwrap();
        drive.rewind().unwrap();
        let _ = read_all(&mut drive);
    }
}

/// One bad block costs the chunks in it, also where it is not known where the next entry begins.
#[test]
fn chunks_behind_a_damaged_block_are_found() {
    const CHUNK_BYTES: usize = 100_000;
    let mut drive = ModelDrive::new(Medium::default());
    let mut archive = ChunkArchiveWriter::new(&mut drive, "vmstore1", 7).unwrap();
    for number in 0..20 {
        archive.append(&digest(number), &vec![number; CHUNK_BYTES]).unwrap();
    }
    archive.finish().unwrap();
    let whole = drive.medium.lock().unwrap().clone();
    let blocks = whole.records.len() - 1;
    for bad in 1..blocks {
        let mut medium = whole.clone();
        let mut block = whole.files()[0][bad].to_vec();
        block[0] ^= 1;
        medium.records[bad] = crate::device::model::Record::Block(block.into());
        let mut drive = ModelDrive::new(medium);
        let Opened::File(mut stream) = StreamReader::open(&mut drive).unwrap() else { panic!() };
        let header = ContentHeader::read(&mut stream).unwrap();
        let mut archive = ChunkArchiveReader::new(&mut stream, &header).unwrap();
        let (mut found, mut blob, mut damage) = (Vec::new(), Vec::new(), Vec::new());
        let end = loop {
            match archive.next_chunk_behind_damage(&mut blob, &mut damage) {
                Ok(Some(digest)) => found.push((digest, blob.clone())),
                end => break end,
            }
        };
        // Without its last block the file has no end.
        assert_eq!(end.is_ok(), bad + 1 < blocks, "block {bad}");
        assert_eq!(damage.len(), 1, "block {bad}");
        let lost = bad * PAYLOAD_BYTES..(bad + 1) * PAYLOAD_BYTES;
        let entry_bytes = ENTRY_HEADER_BYTES + CHUNK_BYTES;
        let expected: Vec<_> = (0..20u8)
            .filter(|number| {
                let start = 48 + JSON_BYTES + usize::from(*number) * entry_bytes;
                start + entry_bytes <= lost.start || start >= lost.end
            })
            .map(|number| (digest(number), vec![number; CHUNK_BYTES]))
            .collect();
        assert!(found == expected, "block {bad}: {} of {}", found.len(), expected.len());
    }
}
