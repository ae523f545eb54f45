//! The worked examples of `docs/formats/pxar.md`, byte by byte, and the encoder's own promises.

use super::*;
use crate::decoder::{Decoder, Event};
use crate::metadata::Timestamp;

fn meta(mode: u32) -> Metadata {
    Metadata {
        uid: 1000,
        gid: 1000,
        mtime: Timestamp { secs: 1_430_487_000, nanos: 0 },
        ..Metadata::with_mode(mode)
    }
}

const UNIFIED: &str = "
    ef ac 88 e5 74 64 95 d5 38 00 00 00 00 00 00 00
    ed 41 00 00 00 00 00 00 00 00 00 00 00 00 00 00
    e8 03 00 00 e8 03 00 00 d8 7f 43 55 00 00 00 00
    00 00 00 00 00 00 00 00 b3 17 39 06 21 11 70 16
    19 00 00 00 00 00 00 00 66 69 6c 65 2e 74 78 74
    00 ef ac 88 e5 74 64 95 d5 38 00 00 00 00 00 00
    00 a4 81 00 00 00 00 00 00 00 00 00 00 00 00 00
    00 e8 03 00 00 e8 03 00 00 d8 7f 43 55 00 00 00
    00 f4 01 00 00 00 00 00 00 25 1a 7c 0b 1b 7a 14
    28 16 00 00 00 00 00 00 00 68 65 6c 6c 6f 0a b3
    17 39 06 21 11 70 16 15 00 00 00 00 00 00 00 68
    61 72 64 00 75 72 bd 22 84 9c 26 51 21 00 00 00
    00 00 00 00 67 00 00 00 00 00 00 00 66 69 6c 65
    2e 74 78 74 00 b3 17 39 06 21 11 70 16 15 00 00
    00 00 00 00 00 6c 69 6e 6b 00 ef ac 88 e5 74 64
    95 d5 38 00 00 00 00 00 00 00 ff a1 00 00 00 00
    00 00 00 00 00 00 00 00 00 00 e8 03 00 00 e8 03
    00 00 d8 7f 43 55 00 00 00 00 00 00 00 00 00 00
    00 00 5f dc f5 db e7 71 f9 27 19 00 00 00 00 00
    00 00 66 69 6c 65 2e 74 78 74 00 1d 73 d5 42 a6
    4f ec 2f 70 00 00 00 00 00 00 00
    5a e7 23 0a 30 56 c0 15 9c 00 00 00 00 00 00 00 36 00 00 00 00 00 00 00
    ef c0 0f cf 2e 0b fe 04 66 00 00 00 00 00 00 00 66 00 00 00 00 00 00 00
    14 da c3 30 f6 64 77 96 03 01 00 00 00 00 00 00 67 00 00 00 00 00 00 00
    55 15 3e 75 5b ed 5e ef 3b 01 00 00 00 00 00 00 70 00 00 00 00 00 00 00";

const PAYLOAD: &str = "
    d2 4e 4a 19 c2 68 4c 83 10 00 00 00 00 00 00 00
    25 1a 7c 0b 1b 7a 14 28 16 00 00 00 00 00 00 00 68 65 6c 6c 6f 0a
    25 1a 7c 0b 1b 7a 14 28 13 00 00 00 00 00 00 00 78 79 7a
    b5 81 4c 98 8b b7 72 6c 10 00 00 00 00 00 00 00";

fn bytes(hex_dump: &str) -> Vec<u8> {
    hex::decode(hex_dump.split_whitespace().collect::<String>()).unwrap()
}

pub(crate) fn unified_example() -> Vec<u8> {
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, &meta(0o40755)).unwrap();
    let mut file = meta(0o100_644);
    file.mtime.nanos = 500;
    let offset = encoder.add_file(b"file.txt", &file, 6, &mut &b"hello\n"[..]).unwrap();
    encoder.add_hardlink(b"hard", b"file.txt", offset).unwrap();
    encoder.add_symlink(b"link", &meta(0o120_777), b"file.txt").unwrap();
    let sizes = encoder.finish().unwrap();
    assert_eq!(sizes, Sizes { archive_bytes: 427, payload_bytes: 0 });
    out
}

pub(crate) fn split_example() -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut payload) = (Vec::new(), Vec::new());
    let prelude = br#"{"exclude-patterns":"*.o\n"}"#;
    let mut encoder =
        Encoder::split(&mut out, &mut payload, Some(prelude), &meta(0o40755)).unwrap();
    let offset = encoder.add_file(b"file.txt", &meta(0o100_644), 6, &mut &b"hello\n"[..]).unwrap();
    assert_eq!(offset.bytes(), 124);
    encoder.add_hardlink(b"hard", b"file.txt", offset).unwrap();
    encoder.enter_directory(b"sub", &meta(0o40755)).unwrap();
    assert_eq!(encoder.payload_position(), Some(38));
    encoder.add_file(b"z", &meta(0o100_644), 3, &mut &b"xyz"[..]).unwrap();
    encoder.leave_directory().unwrap();
    let sizes = encoder.finish().unwrap();
    assert_eq!(sizes, Sizes { archive_bytes: 649, payload_bytes: 73 });
    (out, payload)
}

#[test]
fn unified_worked_example() {
    assert_eq!(hex::encode(unified_example()), hex::encode(bytes(UNIFIED)));
}

#[test]
fn split_worked_example() {
    let (out, payload) = split_example();
    assert_eq!(hex::encode(payload), hex::encode(bytes(PAYLOAD)));
    let word = |offset: usize| u64::from_le_bytes(out[offset..offset + 8].try_into().unwrap());
    // (offset of the item, its type, its full size, words of its content)
    let items: [(usize, ItemType, u64, &[u64]); 15] = [
        (0, ItemType::FormatVersion, 24, &[2]),
        (24, ItemType::Prelude, 44, &[]),
        (68, ItemType::Entry, 56, &[]),
        (124, ItemType::Filename, 25, &[]),
        (149, ItemType::Entry, 56, &[]),
        (205, ItemType::PayloadRef, 32, &[16, 6]),
        (237, ItemType::Filename, 21, &[]),
        (258, ItemType::Hardlink, 33, &[113]),
        (291, ItemType::Filename, 20, &[]),
        (311, ItemType::Entry, 56, &[]),
        (367, ItemType::Filename, 18, &[]),
        (385, ItemType::Entry, 56, &[]),
        (441, ItemType::PayloadRef, 32, &[38, 3]),
        (
            473,
            ItemType::Goodbye,
            64,
            &[0x5a4b_70af_3558_a9d8, 106, 109, goodbye::TAIL_MARKER, 162, 64],
        ),
        (
            537,
            ItemType::Goodbye,
            112,
            &[
                // Tree order of three: the middle hash first.
                goodbye::hash_name(b"sub"),
                246,
                246,
                goodbye::hash_name(b"hard"),
                300,
                54,
                goodbye::hash_name(b"file.txt"),
                413,
                119,
                goodbye::TAIL_MARKER,
                537,
                112,
            ],
        ),
    ];
    for (offset, kind, full_size, words) in items {
        assert_eq!(word(offset), kind as u64, "{} at {offset}", kind.name());
        assert_eq!(word(offset + 8), full_size, "{} at {offset}", kind.name());
        for (index, expected) in words.iter().enumerate() {
            assert_eq!(word(offset + 16 + 8 * index), *expected, "{} word {index}", kind.name());
        }
    }
    assert_eq!(&out[40..68], br#"{"exclude-patterns":"*.o\n"}"#);
    assert_eq!(out.len(), 649);
}

#[test]
fn misuse_is_refused() {
    let mut out = Vec::new();
    assert!(matches!(Encoder::new(&mut out, &meta(0o100_644)), Err(Error::WrongKind { .. })));
    let mut encoder = Encoder::new(&mut out, &meta(0o40755)).unwrap();
    for name in [&b"a/b"[..], b"..", b".", b"", b"a\0b", &[b'x'; 4097]] {
        let result = encoder.add_fifo(name, &meta(0o10644));
        assert!(matches!(result, Err(Error::InvalidName { .. })), "{name:?}");
    }
    assert!(encoder.add_fifo(b"a", &meta(0o100_644)).is_err());
    assert!(encoder.add_symlink(b"a", &meta(0o120_777), &[b'x'; 4097]).is_err());
    assert!(encoder.leave_directory().is_err());
    let link = encoder.add_file(b"f", &meta(0o100_644), 0, &mut io::empty()).unwrap();
    for path in [&b"/f"[..], b"../f", b"a//b", b""] {
        assert!(encoder.add_hardlink(b"h", path, link).is_err());
    }
    assert!(encoder.add_hardlink(b"h", b"f", LinkOffset(1 << 40)).is_err());
    let mut file = encoder.begin_file(b"g", &meta(0o100_644), 2).unwrap();
    assert!(file.write(b"abc").is_err());
    file.write(b"a").unwrap();
    assert!(matches!(file.finish(), Err(Error::ContentSize { expected: 2, found: 1, .. })));
    assert!(encoder.add_fifo(b"z", &meta(0o10644)).is_err(), "an unfinished file ends the archive");
    assert!(encoder.finish().is_err());
}

#[test]
fn a_failed_write_is_not_forgotten() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut encoder = Encoder::new(Full, &meta(0o40755)).unwrap();
    let content = vec![1; 3 << 20];
    let result = encoder.add_file(b"f", &meta(0o100_644), 3 << 20, &mut &content[..]);
    assert!(matches!(result, Err(Error::Write { offset: 0, .. })));
    assert!(encoder.finish().is_err());
}

#[test]
fn content_of_every_size_around_the_buffer() {
    let sizes =
        [0, 1, 65535, 65536, (1 << 20) - 200, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 5 << 20];
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out, &meta(0o40755)).unwrap();
    let data: Vec<u8> = (0..5_usize << 20).map(|i| (i % 251) as u8).collect();
    for (index, size) in sizes.iter().enumerate() {
        let name = format!("f{index}");
        // The source goes on behind the file's end: nothing of that may get into the archive.
        let mut file = encoder.begin_file(name.as_bytes(), &meta(0o100_644), *size).unwrap();
        let copied = file.copy_from(&mut &data[..], &mut |_| true).unwrap();
        assert_eq!(copied.missing_bytes, 0);
        assert_eq!(copied.has_more, *size < 5 << 20);
        file.finish().unwrap();
    }
    let mut file = encoder.begin_file(b"short", &meta(0o100_644), 100_000).unwrap();
    let copied = file.copy_from(&mut &data[..10], &mut |_| true).unwrap();
    assert_eq!(copied, Copied { missing_bytes: 99_990, has_more: false });
    file.pad_with_zeros().unwrap();
    file.finish().unwrap();
    encoder.finish().unwrap();

    let mut decoder = Decoder::new(&out[..]).unwrap();
    let mut seen = 0;
    while let Some(event) = decoder.next_event().unwrap() {
        let Event::Entry(entry) = event else { continue };
        let crate::decoder::EntryKind::File { size, .. } = entry.kind else { continue };
        let mut content = Vec::new();
        let is_short = decoder.path() == b"/short";
        decoder.content().read_to_end(&mut content).unwrap();
        assert_eq!(content.len() as u64, size);
        let known = if is_short { 10 } else { content.len() };
        assert!(content[..known] == data[..known]);
        assert!(content[known..].iter().all(|byte| *byte == 0));
        seen += 1;
    }
    assert_eq!(seen, sizes.len() + 1);
}

#[test]
fn references_must_ascend_inside_the_payload() {
    let (mut out, mut payload) = (Vec::new(), Vec::new());
    let mut encoder = Encoder::split(&mut out, &mut payload, None, &meta(0o40755)).unwrap();
    encoder.flush().unwrap();
    encoder.skip_payload(1000).unwrap();
    let file = meta(0o100_644);
    assert!(encoder.add_file_reference(b"a", &file, 0, 1).is_err());
    encoder.add_file_reference(b"a", &file, 100, 10).unwrap();
    assert!(encoder.add_file_reference(b"b", &file, 100, 10).is_err());
    assert!(encoder.add_file_reference(b"b", &file, 1000, 10).is_err());
    assert!(encoder.add_file_reference(b"b", &file, 200, u64::MAX).is_err());
    encoder.add_file_reference(b"b", &file, 200, 10).unwrap();
    assert_eq!(encoder.finish().unwrap().payload_bytes, 16 + 1000 + 16);
}
