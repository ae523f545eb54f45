//! The decoder against damage: every truncation, every flipped header byte, every item that breaks
//! the grammar.

use std::io::Read;

use zerocopy::IntoBytes;

use crate::decoder::{Decoder, Event};
use crate::encoder::tests::{split_example, unified_example};
use crate::format::{ItemType, RawHeader, goodbye};
use crate::{Damage, EntryKind, Error};

/// Read everything, contents too.
fn drain<R: Read, P: Read>(mut decoder: Decoder<R, P>) -> Result<usize, Error> {
    let mut count = 0;
    while let Some(event) = decoder.next_event()? {
        let Event::Entry(entry) = event else { continue };
        count += 1;
        if matches!(entry.kind, EntryKind::File { .. }) {
            loop {
                let piece = decoder.content_piece()?.len();
                if piece == 0 {
                    break;
                }
                decoder.consume_content(piece);
            }
        }
    }
    // Nothing comes behind the end.
    assert_eq!(decoder.next_event()?, None);
    Ok(count)
}

fn unified(bytes: &[u8]) -> Result<usize, Error> {
    Decoder::new(bytes).and_then(drain)
}

fn split(bytes: &[u8], payload: &[u8]) -> Result<usize, Error> {
    Decoder::split(bytes, payload).and_then(drain)
}

/// Offsets of all headers of a stream.
fn headers(bytes: &[u8]) -> Vec<usize> {
    let mut offsets = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        offsets.push(at);
        at += u64::from_le_bytes(bytes[at + 8..at + 16].try_into().unwrap()) as usize;
    }
    offsets
}

#[test]
fn every_truncation_is_an_error() {
    let bytes = unified_example();
    assert_eq!(unified(&bytes).unwrap(), 4);
    for len in 0..bytes.len() {
        let error = unified(&bytes[..len]).unwrap_err();
        assert!(error.is_damaged(), "cut at {len}: {error}");
    }
    let (bytes, payload) = split_example();
    assert_eq!(split(&bytes, &payload).unwrap(), 5);
    for len in 0..bytes.len() {
        assert!(split(&bytes[..len], &payload).unwrap_err().is_damaged(), "cut at {len}");
    }
    // Of the payload stream everything but the tail marker is needed.
    for len in 0..payload.len() - 16 {
        assert!(split(&bytes, &payload[..len]).unwrap_err().is_damaged(), "cut at {len}");
    }
    split(&bytes, &payload[..payload.len() - 16]).unwrap();
}

#[test]
fn every_flipped_header_byte_is_an_error() {
    let unified_bytes = unified_example();
    let (bytes, payload) = split_example();
    for header in headers(&unified_bytes) {
        for at in header..header + 16 {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut changed = unified_bytes.clone();
                changed[at] ^= flip;
                assert!(unified(&changed).unwrap_err().is_damaged(), "{at} ^ {flip:#x}");
            }
        }
    }
    for header in headers(&bytes) {
        for at in header..header + 16 {
            for flip in [0x01, 0x10, 0x80, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= flip;
                // The prelude's length has no witness but the items behind it.
                assert!(split(&changed, &payload).unwrap_err().is_damaged(), "{at} ^ {flip:#x}");
            }
        }
    }
    // The tail marker of the payload stream is not looked at by a sequential reader.
    for header in headers(&payload).into_iter().rev().skip(1) {
        for at in header..header + 16 {
            let mut changed = payload.clone();
            changed[at] ^= 0x10;
            assert!(split(&bytes, &changed).unwrap_err().is_damaged(), "payload {at}");
        }
    }
}

#[test]
fn every_flipped_byte_is_survived() {
    let bytes = unified_example();
    for at in 0..bytes.len() {
        for bit in 0..8 {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << bit;
            let _ = unified(&changed);
        }
    }
}

fn item(kind: ItemType, content: &[u8]) -> Vec<u8> {
    [RawHeader::new(kind, content.len() as u64).as_bytes(), content].concat()
}

fn entry(mode: u64) -> Vec<u8> {
    item(ItemType::Entry, &[&mode.to_le_bytes()[..], &[0; 32]].concat())
}

fn table(children: usize) -> Vec<u8> {
    item(ItemType::Goodbye, &vec![0; (children + 1) * goodbye::RECORD_LEN as usize])
}

fn name(name: &[u8]) -> Vec<u8> {
    item(ItemType::Filename, &[name, b"\0"].concat())
}

const DIR: u64 = 0o40755;
const FILE: u64 = 0o100_644;

fn damage(items: &[Vec<u8>]) -> Damage {
    match unified(&items.concat()).unwrap_err() {
        Error::Damaged { damage, .. } => damage,
        other => panic!("{other}"),
    }
}

#[test]
fn old_stat_data_are_read() {
    let mut content = Vec::new();
    content.extend_from_slice(&DIR.to_le_bytes());
    content.extend_from_slice(&0_u64.to_le_bytes());
    content.extend_from_slice(&7_u32.to_le_bytes());
    content.extend_from_slice(&8_u32.to_le_bytes());
    content.extend_from_slice(&1_500_000_000_000_000_042_u64.to_le_bytes());
    let bytes = [item(ItemType::EntryV1, &content), table(0)].concat();
    let mut decoder = Decoder::new(&bytes[..]).unwrap();
    let Some(Event::Entry(entry)) = decoder.next_event().unwrap() else { panic!() };
    assert_eq!((entry.metadata.uid, entry.metadata.gid), (7, 8));
    assert_eq!((entry.metadata.mtime.secs, entry.metadata.mtime.nanos), (1_500_000_000, 42));
}

#[test]
fn bytes_behind_the_root_are_ignored() {
    let bytes = [entry(DIR), table(0), b"more".to_vec()].concat();
    assert_eq!(unified(&bytes).unwrap(), 1);
}

#[test]
fn the_grammar_is_enforced() {
    use ItemType as I;
    let version = item(I::FormatVersion, &2_u64.to_le_bytes());
    let payload = item(I::Payload, b"x");
    let numbers = |count: usize| vec![0; 8 * count];
    let file = |attributes: Vec<u8>| {
        vec![entry(DIR), name(b"f"), entry(FILE), attributes, payload.clone(), table(1)]
    };
    assert_eq!(unified(&file(Vec::new()).concat()).unwrap(), 2);
    // In any order, but once.
    let group_obj = item(I::AclGroupObj, &numbers(1));
    let project = item(I::QuotaProjectId, &numbers(1));
    assert_eq!(unified(&file([project.clone(), group_obj.clone()].concat()).concat()).unwrap(), 2);
    for (kind, len) in
        [(I::AclGroupObj, 1), (I::AclDefault, 4), (I::Fcaps, 2), (I::QuotaProjectId, 1)]
    {
        let twice = [item(kind, &numbers(len)), item(kind, &numbers(len))].concat();
        assert!(matches!(damage(&file(twice)), Damage::Repeated { .. }), "{}", kind.name());
    }
    // Wrong fixed sizes.
    for kind in [
        I::Device,
        I::AclUser,
        I::AclGroup,
        I::AclGroupObj,
        I::AclDefault,
        I::AclDefaultUser,
        I::AclDefaultGroup,
        I::QuotaProjectId,
    ] {
        for len in [0, 7, 9, 15, 17, 31, 33] {
            let attribute = item(kind, &vec![0; len]);
            assert!(matches!(damage(&file(attribute)), Damage::ItemSize { .. }), "{}", kind.name());
        }
    }
    // Above the maximum.
    for (kind, len) in
        [(I::Xattr, 65792), (I::Fcaps, 65792), (I::Symlink, 4098), (I::Filename, 4098)]
    {
        assert!(matches!(damage(&file(item(kind, &vec![b'x'; len]))), Damage::ItemSize { .. }));
    }
    for xattr in [&b"no nul"[..], b"\0no name"] {
        assert!(matches!(damage(&file(item(I::Xattr, xattr))), Damage::Other(_)));
    }
    // Version and prelude at wrong places.
    assert!(matches!(damage(&file(version.clone())), Damage::UnexpectedItem { .. }));
    let late = [entry(DIR), version.clone(), table(0)];
    assert!(matches!(damage(&late), Damage::UnexpectedItem { .. }));
    let prelude = item(I::Prelude, b"p");
    let first = [prelude.clone(), entry(DIR), table(0)];
    assert!(matches!(damage(&first), Damage::UnexpectedItem { .. }));
    let twice = [version.clone(), prelude.clone(), prelude.clone(), entry(DIR), table(0)];
    assert!(matches!(damage(&twice), Damage::UnexpectedItem { .. }));
    let unknown = [item(I::FormatVersion, &3_u64.to_le_bytes()), entry(DIR), table(0)];
    assert!(matches!(damage(&unknown), Damage::UnknownVersion { found: 3 }));
    // Hardlinks.
    let link = |target: &[u8], distance: u64| {
        item(I::Hardlink, &[&distance.to_le_bytes()[..], target, b"\0"].concat())
    };
    let with_link = |link| vec![entry(DIR), name(b"l"), link, table(1)];
    assert_eq!(unified(&with_link(link(b"f", 10)).concat()).unwrap(), 2);
    assert!(matches!(damage(&file(link(b"f", 10))), Damage::UnexpectedItem { .. }));
    for bad in [link(b"f", 0), link(b"f", 1000)] {
        assert!(matches!(damage(&with_link(bad)), Damage::Other(_)));
    }
    for bad in [&b"../x"[..], b"/x", b"a/../x", b"a//b", b".", b""] {
        assert!(matches!(damage(&with_link(link(bad, 10))), Damage::Name { .. }));
    }
    // Names and strings.
    for bad in [&b".."[..], b".", b"a/b", b"/"] {
        let items = [entry(DIR), name(bad), entry(FILE), payload.clone(), table(1)];
        assert!(matches!(damage(&items), Damage::Name { .. }));
    }
    for bad in [&b"ab"[..], b"a\0b\0"] {
        let items = [entry(DIR), item(I::Filename, bad), entry(FILE), payload.clone(), table(1)];
        assert!(matches!(damage(&items), Damage::Unterminated { .. }));
    }
    // Mode bits that lie, and a root that is none.
    for mode in [DIR, 0o10644, 0o120_777, 0, u64::MAX] {
        let items = [entry(DIR), name(b"f"), entry(mode), payload.clone(), table(1)];
        assert!(matches!(damage(&items), Damage::Mode { .. }), "{mode:o}");
    }
    assert!(matches!(damage(&[entry(FILE), payload.clone()]), Damage::Mode { .. }));
    let nested = [entry(DIR), name(b"f"), entry(FILE), table(0), table(1)];
    assert!(matches!(damage(&nested), Damage::Mode { .. }));
    // A table that does not count its children.
    assert!(matches!(damage(&[entry(DIR), table(1)]), Damage::ItemSize { .. }));
    // Marker items of payload streams.
    let marker = item(I::PayloadStartMarker, b"");
    assert!(matches!(damage(&file(marker)), Damage::UnexpectedItem { .. }));
}

#[test]
fn claims_do_not_allocate() {
    // Sizes that nobody could hold: only what is there is read.
    let huge = |kind| RawHeader::new(kind, u64::MAX / 2).as_bytes().to_vec();
    let version = item(ItemType::FormatVersion, &2_u64.to_le_bytes());
    assert!(matches!(damage(&[version, huge(ItemType::Prelude)]), Damage::ItemSize { .. }));
    let file = [entry(DIR), name(b"f"), entry(FILE), huge(ItemType::Payload)];
    assert!(matches!(damage(&file), Damage::Truncated { .. }));
    assert!(matches!(damage(&[entry(DIR), huge(ItemType::Goodbye)]), Damage::ItemSize { .. }));
    // One entry with attributes without end.
    let acl = item(ItemType::AclUser, &[0; 16]);
    let endless: Vec<_> = std::iter::once(entry(DIR)).chain(vec![acl; 70_000]).collect();
    assert!(matches!(damage(&endless), Damage::Other(_)));
    // Directories without end.
    let deep = [name(&[b'x'; 4096]), entry(DIR)].concat();
    let endless: Vec<_> = std::iter::once(entry(DIR)).chain(vec![deep; 300]).collect();
    assert!(matches!(damage(&endless), Damage::Other(_)));
}

#[test]
fn payload_references_must_fit_their_payload() {
    let (bytes, payload) = split_example();
    // The reference of the second file: offset 38, size 3, at 457.
    let with = |at: usize, value: u64| {
        let mut bytes = bytes.clone();
        bytes[at..at + 8].copy_from_slice(&value.to_le_bytes());
        split(&bytes, &payload).unwrap_err()
    };
    assert!(with(457, 16).is_damaged(), "backwards");
    assert!(with(457, 39).is_damaged(), "no header there");
    assert!(with(457, 1 << 40).is_damaged(), "behind the end");
    assert!(with(457, u64::MAX).is_damaged(), "overflow");
    assert!(with(465, 4).is_damaged(), "another size");
    assert!(split(&bytes, &payload[16..]).unwrap_err().is_damaged(), "no start marker");
    assert!(split(&bytes, &[]).unwrap_err().is_damaged());
    // Without a payload stream entries are listed and contents refused.
    let mut decoder = Decoder::new(&bytes[..]).unwrap();
    assert!(!decoder.has_contents());
    while let Some(event) = decoder.next_event().unwrap() {
        if let Event::Entry(entry) = event
            && matches!(entry.kind, EntryKind::File { .. })
        {
            assert!(decoder.content().read(&mut [0; 1]).is_err());
            break;
        }
    }
    // Skipping contents works in any pattern.
    let mut decoder = Decoder::split(&bytes[..], &payload[..]).unwrap();
    let mut text = String::new();
    while let Some(event) = decoder.next_event().unwrap() {
        if matches!(event, Event::Entry(_)) && decoder.path() == b"/sub/z" {
            decoder.content().read_to_string(&mut text).unwrap();
        }
    }
    assert_eq!(text, "xyz");
}

proptest::proptest! {
    #[test]
    fn random_bytes_are_survived(bytes: Vec<u8>) {
        let _ = unified(&bytes);
        let _ = unified(&[entry(DIR), bytes].concat());
    }

    /// Items in a random order: past the first header check, deep into the grammar.
    #[test]
    fn random_items_are_survived(
        picks in proptest::collection::vec(0_usize..16, 0..40),
    ) {
        let pool = [
            entry(DIR), entry(FILE), entry(0o10644), entry(0o120_777), entry(0o60644),
            name(b"a"), name(b"bb"), table(0), table(1), table(2),
            item(ItemType::Payload, b"x"), item(ItemType::Symlink, b"t\0"),
            item(ItemType::Device, &[1; 16]), item(ItemType::Xattr, b"user.a\0v"),
            item(ItemType::Hardlink, b"\x01\0\0\0\0\0\0\0a\0"), item(ItemType::AclUser, &[0; 16]),
        ];
        let items: Vec<_> = picks.iter().map(|pick| pool[*pick].clone()).collect();
        let bytes = [entry(DIR), items.concat()].concat();
        let _ = unified(&bytes);
        let _ = crate::Accessor::open(bytes).and_then(|accessor| accessor.root().map(drop));
    }
}
