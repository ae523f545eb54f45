//! Bytes of blocks, and readers that meet damage.

use proptest::prelude::*;

use super::*;
use crate::device::TapeDevice;
use crate::device::model::{Medium, ModelDrive, Record};
use crate::error::Error;

fn written(data: &[u8], incomplete: bool) -> ModelDrive {
    let mut drive = ModelDrive::new(Medium::default());
    let mut stream = StreamWriter::new(&mut drive);
    stream.append(data).unwrap();
    stream.finish(incomplete).unwrap();
    drive.rewind().unwrap();
    drive
}

fn open(drive: &mut ModelDrive) -> StreamReader<'_> {
    match StreamReader::open(drive).unwrap() {
        Opened::File(stream) => stream,
        _ => panic!("no file"),
    }
}

fn error_of(drive: &mut ModelDrive) -> Error {
    let mut stream = match StreamReader::open(drive) {
        Ok(Opened::File(stream)) => stream,
        Ok(_) => panic!("no file"),
        Err(e) => return e,
    };
    let mut buffer = vec![0; 100_000];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => panic!("no error"),
            Ok(_) => {}
            Err(e) => {
                assert!(stream.read(&mut buffer).is_err(), "a failed stream must stay failed");
                return e;
            }
        }
    }
}

#[test]
fn streams_make_the_blocks_of_the_format() {
    for (len, blocks, last) in [
        (0usize, 1usize, 0u32),
        (170, 1, 170),
        (262_127, 1, 262_127),
        (262_128, 2, 0),
        (262_129, 2, 1),
        (524_256, 3, 0),
    ] {
        let data: Vec<u8> = (0..len).map(|i| (i * 7 + i / 251) as u8).collect();
        let mut drive = written(&data, false);
        let files = drive.medium.lock().unwrap().files();
        assert_eq!(files.len(), 1);
        assert_eq!(files[0].len(), blocks, "{len}");
        assert_eq!(blocks_for_stream(len as u64), blocks as u64);
        for (number, block) in files[0].iter().enumerate() {
            let is_last = number + 1 == blocks;
            assert_eq!(block[..8], BLOCK_MAGIC);
            assert_eq!(block[8], u8::from(is_last));
            let size = u32::from_le_bytes([block[9], block[10], block[11], 0]);
            assert_eq!(size, if is_last { last } else { PAYLOAD_BYTES as u32 });
            assert_eq!(block[12..16], (number as u32).to_le_bytes());
            assert!(block[16 + size as usize..].iter().all(|byte| *byte == 0));
        }
        let mut stream = open(&mut drive);
        let mut back = vec![0; len + 10];
        assert_eq!(stream.read_full(&mut back).unwrap(), len);
        assert!(back[..len] == data);
        assert!(stream.has_end_marker().unwrap() && !stream.is_incomplete().unwrap());
        assert_eq!(drive.file_number().unwrap(), 1, "the filemark must be consumed");
    }
}

#[test]
fn incomplete_is_told() {
    let mut drive = written(b"x", true);
    assert_eq!(drive.medium.lock().unwrap().files()[0][0][8], 3);
    let mut stream = open(&mut drive);
    assert_eq!(stream.skip_to_end().unwrap(), 1);
    assert!(stream.is_incomplete().unwrap());
}

#[test]
fn early_warning_is_sticky_and_no_failure() {
    let mut drive = ModelDrive::new(Medium::with_capacity(1, 4));
    let mut stream = StreamWriter::new(&mut drive);
    assert!(!stream.append(&vec![0; PAYLOAD_BYTES]).unwrap());
    assert!(stream.append(&vec![0; PAYLOAD_BYTES]).unwrap());
    assert!(stream.append(b"x").unwrap());
    assert_eq!(stream.sent_bytes(), 2 * BLOCK_BYTES as u64);
    assert!(stream.finish(false).unwrap());
    assert_eq!(drive.medium.lock().unwrap().files()[0].len(), 3);
}

#[test]
fn an_abandoned_file_is_closed_by_a_filemark() {
    let mut drive = ModelDrive::new(Medium::default());
    let mut stream = StreamWriter::new(&mut drive);
    stream.append(&vec![0; PAYLOAD_BYTES + 5]).unwrap();
    drop(stream);
    assert_eq!(drive.file_number().unwrap(), 1);
    drive.rewind().unwrap();
    assert!(matches!(error_of(&mut drive), Error::NoEndMarker { blocks: 1 }));
    drive.rewind().unwrap();
    let mut stream = open(&mut drive);
    assert_eq!(stream.skip_to_end().unwrap(), 1);
    assert!(!stream.has_end_marker().unwrap());
    assert!(stream.is_incomplete().is_err());
}

#[test]
fn nothing_written_leaves_nothing() {
    let mut drive = ModelDrive::new(Medium::default());
    drop(StreamWriter::new(&mut drive));
    assert!(matches!(StreamReader::open(&mut drive).unwrap(), Opened::EndOfData));
    drive.write_filemark().unwrap();
    drive.rewind().unwrap();
    assert!(matches!(StreamReader::open(&mut drive).unwrap(), Opened::Filemark));
}

#[test]
fn the_end_can_only_be_asked_about_at_the_end() {
    let mut drive = written(&vec![1; PAYLOAD_BYTES * 2], false);
    let stream = open(&mut drive);
    assert!(stream.has_end_marker().is_err());
    assert!(stream.is_incomplete().is_err());
}

/// Every kind of damage to every place where it matters is found and named.
#[test]
fn damage_is_named() {
    let data = vec![5u8; PAYLOAD_BYTES * 2 + 9];
    type Damage = fn(&mut Vec<Record>);
    fn edit(records: &mut [Record], number: usize, change: impl Fn(&mut Vec<u8>)) {
        if let Record::Block(block) = &mut records[number] {
            let mut bytes = block.to_vec();
            change(&mut bytes);
            *block = bytes.into();
        }
    }
    let cases: [(Damage, &str); 11] = [
        (|r| edit(r, 1, |b| b[0] ^= 1), "block 1 is damaged: it does not start with"),
        (|r| edit(r, 2, |b| b[12] = 9), "block 2 is damaged: it says that it is block 9"),
        (|r| edit(r, 0, |b| b[11] = 9), "block 0 is damaged: it claims"),
        (|r| edit(r, 1, |b| b[9..12].fill(0)), "block 1 is damaged: it is empty"),
        (|r| edit(r, 1, |b| b.truncate(1000)), "block 1 is damaged: it has 1000 bytes"),
        (|r| drop(r.remove(1)), "block 1 is damaged: it says that it is block 2"),
        (|r| drop(r.remove(2)), "ends after 2 blocks without an end marker"),
        (|r| r.truncate(2), "ends after block 2 without a filemark"),
        (|r| r.truncate(3), "ends after block 3 without a filemark"),
        (|r| r.insert(3, r[0].clone()), "block 3 is damaged: it follows"),
        (|r| r.swap(0, 1), "block 0 is damaged: it says that it is block 1"),
    ];
    for (damage, message) in cases {
        let mut drive = written(&data, false);
        damage(&mut drive.medium.lock().unwrap().records);
        let error = error_of(&mut drive);
        assert!(error.to_string().contains(message), "{message}: {error}");
        assert!(error.is_damaged());
    }
}

proptest! {
    #[test]
    fn any_pieces_come_back(pieces in prop::collection::vec(0usize..300_000, 0..6)) {
        let mut drive = ModelDrive::new(Medium::default());
        let mut stream = StreamWriter::new(&mut drive);
        let mut all = Vec::new();
        for (number, len) in pieces.iter().enumerate() {
            let piece = vec![number as u8 + 1; *len];
            stream.append(&piece).unwrap();
            all.extend(piece);
        }
        stream.finish(false).unwrap();
        drive.rewind().unwrap();
        let mut stream = open(&mut drive);
        let mut back = Vec::new();
        std::io::Read::read_to_end(&mut stream, &mut back).unwrap();
        prop_assert!(back == all);
    }

    /// Arbitrary headers on blocks: an error or data, never a panic.
    #[test]
    fn hostile_blocks_are_survived(
        headers in prop::collection::vec((any::<u8>(), any::<[u8; 3]>(), 0u32..4), 1..4),
        marks in any::<u8>(),
    ) {
        let mut medium = Medium::default();
        for (number, (flags, size, seq_nr)) in headers.iter().enumerate() {
            let mut block = vec![0u8; BLOCK_BYTES];
            block[..8].copy_from_slice(&BLOCK_MAGIC);
            block[8] = flags & 3;
            block[9..12].copy_from_slice(size);
            block[12..16].copy_from_slice(&seq_nr.to_le_bytes());
            medium.records.push(Record::Block(block.into()));
            if marks >> number & 1 == 1 {
                medium.records.push(Record::Filemark);
            }
        }
        let mut drive = ModelDrive::new(medium);
        if let Ok(Opened::File(mut stream)) = StreamReader::open(&mut drive) {
            let mut buffer = vec![0; 300_000];
            for _ in 0..20 {
                if !matches!(stream.read(&mut buffer), Ok(bytes) if bytes > 0) {
                    break;
                }
            }
        }
    }
}
