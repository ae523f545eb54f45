//! The worked examples of `docs/formats/catalog.md`, random trees, and catalogs that lie.

use super::*;
use crate::error::Stream;
use crate::exclude::{Effect, PatternList};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::io::{self, Write};

fn bytes(hex_dump: &str) -> Vec<u8> {
    hex::decode(hex_dump.split_whitespace().collect::<String>()).unwrap()
}

fn example() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.start_archive(b"root.pxar.didx").unwrap();
    writer.add(b"file.txt", Kind::File { size: 6, mtime: 1_430_487_000 }).unwrap();
    writer.add(b"hard", Kind::Hardlink).unwrap();
    writer.start_directory(b"sub").unwrap();
    writer.add(b"z", Kind::File { size: 3, mtime: -1 }).unwrap();
    writer.end_directory().unwrap();
    writer.end_archive().unwrap();
    writer.finish().unwrap()
}

#[test]
fn worked_example() {
    let expected = bytes(
        "91 fd 60 f9 c4 67 58 d5   07 01 66 01 7a 03 81 00
         1d 03 66 08 66 69 6c 65 2e 74 78 74 06 d8 ff 8d
         aa 05 68 04 68 61 72 64 64 03 73 75 62 08   12 01
         64 0e 72 6f 6f 74 2e 70 78 61 72 2e 64 69 64 78
         1e   2e 00 00 00 00 00 00 00",
    );
    assert_eq!(hex::encode(example()), hex::encode(expected));
}

#[test]
fn worked_example_of_the_reference_client() {
    let mtime = 1_795_287_123;
    let mut writer = Writer::new(Vec::new()).unwrap();
    writer.start_archive(b"root.pxar.didx").unwrap();
    writer.add(b".pxarexclude", Kind::File { size: 6, mtime }).unwrap();
    writer.start_directory(b"empty").unwrap();
    writer.end_directory().unwrap();
    writer.add(b"file.txt", Kind::File { size: 6, mtime }).unwrap();
    writer.add(b"hard", Kind::Hardlink).unwrap();
    writer.add(b"link", Kind::Symlink).unwrap();
    writer.add(b"pipe", Kind::Fifo).unwrap();
    writer.add(b"rnd", Kind::File { size: 300_000, mtime }).unwrap();
    writer.start_directory(b"sub").unwrap();
    writer.add(b"z", Kind::File { size: 3, mtime: -1 }).unwrap();
    writer.end_directory().unwrap();
    writer.add(b".pxarexclude-cli", Kind::File { size: 15, mtime: 0 }).unwrap();
    writer.end_archive().unwrap();
    let expected = bytes(
        "91 fd 60 f9 c4 67 58 d5   01 00   07 01 66 01 7a 03
         81 00   66 09 66 0c 2e 70 78 61 72 65 78 63 6c 75
         64 65 06 d3 d0 87 d8 06 64 05 65 6d 70 74 79 0a
         66 08 66 69 6c 65 2e 74 78 74 06 d3 d0 87 d8 06
         68 04 68 61 72 64 6c 04 6c 69 6e 6b 70 04 70 69
         70 65 66 03 72 6e 64 e0 a7 12 d3 d0 87 d8 06 64
         03 73 75 62 08 66 10 2e 70 78 61 72 65 78 63 6c
         75 64 65 2d 63 6c 69 0f 00   12 01 64 0e 72 6f 6f
         74 2e 70 78 61 72 2e 64 69 64 78 67   79 00 00 00
         00 00 00 00",
    );
    assert_eq!(hex::encode(writer.finish().unwrap()), hex::encode(expected));
}

#[test]
fn the_smallest_catalog() {
    let out = Writer::new(Vec::new()).unwrap().finish().unwrap();
    assert_eq!(out, [&MAGIC[..], &[1, 0], &8_u64.to_le_bytes()].concat());
    let reader = Reader::open(out).unwrap();
    assert_eq!(reader.directory(&reader.root()).unwrap().count(), 0);
}

#[test]
fn looking_up() {
    let reader = Reader::open(example()).unwrap();
    let found = reader.lookup(b"/root.pxar.didx/sub/z").unwrap();
    assert_eq!(found.kind, Kind::File { size: 3, mtime: -1 });
    assert_eq!(reader.lookup(b"root.pxar.didx/hard").unwrap().kind, Kind::Hardlink);
    for root in [&b""[..], b"/"] {
        assert_eq!(reader.lookup(root).unwrap(), reader.root());
    }
    let error = reader.lookup(b"/root.pxar.didx/none").unwrap_err();
    assert!(error.is_missing() && error.to_string().contains("not found in the catalog"));
    let error = reader.lookup(b"/root.pxar.didx/file.txt/z").unwrap_err();
    assert!(matches!(error, Error::WrongKind { .. }));
}

#[test]
fn finding_starts_at_the_archive() {
    let reader = Reader::open(example()).unwrap();
    let start = reader.lookup(b"/root.pxar.didx").unwrap();
    for (patterns, expected) in [
        (vec!["z"], vec!["/sub/z"]),
        (vec!["/sub"], vec!["/sub"]),
        (vec!["**"], vec!["/file.txt", "/hard", "/sub", "/sub/z"]),
        (vec!["**", "!/sub"], vec!["/file.txt", "/hard"]),
        (vec!["*/"], vec!["/sub"]),
    ] {
        let patterns = PatternList::parse(patterns, Effect::Include).unwrap();
        let mut found = Vec::new();
        reader
            .find(&start, &patterns, &mut |entry| {
                found.push(String::from_utf8(entry.path.to_vec()).unwrap());
                Ok(())
            })
            .unwrap();
        assert_eq!(found, expected);
    }
}

#[test]
fn several_archives_and_misuse() {
    let mut writer = Writer::new(Vec::new()).unwrap();
    assert!(writer.add(b"x", Kind::Fifo).is_err());
    assert!(writer.start_directory(b"x").is_err());
    assert!(writer.end_archive().is_err());
    writer.start_archive(b"a.pxar.didx").unwrap();
    assert!(writer.start_archive(b"b").is_err());
    assert!(writer.end_directory().is_err());
    for name in [&b""[..], b"a/b", b"..", &[b'x'; 4096]] {
        assert!(writer.add(name, Kind::Fifo).is_err());
        assert!(writer.start_directory(name).is_err());
    }
    assert!(writer.add(b"d", Kind::Directory { block: 0 }).is_err());
    writer.add(&[b'x'; 4095], Kind::Socket).unwrap();
    writer.end_archive().unwrap();
    writer.start_archive(b"b.pxar.didx").unwrap();
    writer.end_archive().unwrap();
    let reader = Reader::open(writer.finish().unwrap()).unwrap();
    let names: Vec<_> =
        reader.directory(&reader.root()).unwrap().map(|entry| entry.unwrap().name).collect();
    assert_eq!(names, [&b"a.pxar.didx"[..], b"b.pxar.didx"]);
    let mut open = Writer::new(Vec::new()).unwrap();
    open.start_archive(b"a").unwrap();
    assert!(open.finish().is_err());
}

/// Visit everything, bounded, so that a test ends even if the reader does not.
fn walk(catalog: &[u8]) -> Result<usize, Error> {
    let reader = Reader::open(catalog)?;
    let mut count = 0;
    reader.walk(&reader.root(), &mut |_| {
        count += 1;
        assert!(count < 100_000, "the walk does not end");
        Ok(true)
    })?;
    Ok(count)
}

fn assert_damaged(catalog: &[u8]) {
    match walk(catalog) {
        Err(Error::Damaged { stream: Stream::Catalog, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn lies() {
    let good = example();
    assert_eq!(walk(&good).unwrap(), 5);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    assert_damaged(&with(0, 0)); // magic
    assert_damaged(&with(0x42, 0xff)); // trailer beyond the file
    assert_damaged(&with(0x41, 0x41)); // the root at the trailer itself
    assert_damaged(&with(0x41, 0x00)); // the root in the magic
    assert_damaged(&with(0x2d, 0x11)); // distance larger than the start
    assert_damaged(&with(0x2d, 0x09)); // into the magic
    assert_damaged(&with(0x2d, 0x00)); // to itself: a cycle
    assert_damaged(&with(0x10, 0x7f)); // block longer than the catalog
    assert_damaged(&with(0x10, 0x1c)); // block shorter than its entries
    assert_damaged(&with(0x11, 0x02)); // fewer entries than bytes
    assert_damaged(&with(0x11, 0x7f)); // more entries than bytes
    assert_damaged(&with(0x13, 0x7f)); // name longer than its block
    assert_damaged(&with(0x12, b'x')); // unknown letter
    assert_damaged(&with(0x14, 0)); // NUL in a name
    let block = |content: &[u8]| {
        let mut out = MAGIC.to_vec();
        pushed(&mut out, content);
        out.extend_from_slice(&8_u64.to_le_bytes());
        out
    };
    fn pushed(out: &mut Vec<u8>, content: &[u8]) {
        varint::push_unsigned(out, content.len() as u64);
        out.extend_from_slice(content);
    }
    // A name of 4096 bytes.
    assert_damaged(&block(&[&[1, b'p', 0x80, 0x20][..], &[b'x'; 4096]].concat()));
    // Numbers of entries and sizes that would need more memory than there is.
    let huge = bytes("ff ff ff ff ff ff ff ff 7f");
    assert_damaged(&block(&huge));
    let mut endless = MAGIC.to_vec();
    endless.extend_from_slice(&huge);
    endless.extend_from_slice(&[0; 20]);
    endless.extend_from_slice(&8_u64.to_le_bytes());
    assert_damaged(&endless);
}

#[test]
fn shared_directories_do_not_explode() {
    // Each block has two entries that lead to the one before: 2^60 paths.
    let mut out = MAGIC.to_vec();
    let mut previous = out.len();
    out.extend_from_slice(&[1, 0]);
    for _ in 0..60 {
        let start = out.len();
        let distance = (start - previous) as u8;
        out.extend_from_slice(&[9, 2, b'd', 1, b'a', distance, b'd', 1, b'b', distance]);
        previous = start;
    }
    out.extend_from_slice(&(previous as u64).to_le_bytes());
    assert_damaged(&out);
}

#[test]
fn every_truncation_and_flip_is_survived() {
    let good = example();
    for len in 0..good.len() {
        assert!(walk(&good[..len]).is_err(), "cut at {len}");
    }
    for at in 0..good.len() {
        for bit in 0..8 {
            let mut bytes = good.clone();
            bytes[at] ^= 1 << bit;
            // Names, sizes and times are not protected by anything: only no panic and an end.
            let _ = walk(&bytes);
        }
    }
}

#[test]
fn only_open_directories_are_held() {
    struct Count(u64);
    impl Write for Count {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut writer = Writer::new(Count(0)).unwrap();
    writer.start_archive(b"a").unwrap();
    for directory in 0..1000 {
        writer.start_directory(format!("directory-{directory}").as_bytes()).unwrap();
        for file in 0..1000 {
            let kind = Kind::File { size: file, mtime: 1_600_000_000 };
            writer.add(format!("file-{file}").as_bytes(), kind).unwrap();
        }
        writer.end_directory().unwrap();
        // What is held is less than two directories' blocks and the list of directories.
        assert!(writer.held_bytes() < 200_000);
    }
    writer.end_archive().unwrap();
    assert!(writer.finish().unwrap().0 > 10_000_000);
}

#[derive(Clone, Debug)]
enum Node {
    Leaf(Kind),
    Directory(BTreeMap<Vec<u8>, Node>),
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>().prop_filter("no name", |b| *b != 0 && *b != b'/'), 1..20)
        .prop_filter("no name", |name| name != b"." && name != b"..")
}

fn node() -> impl Strategy<Value = Node> {
    let leaf = prop_oneof![
        (any::<u64>(), any::<i64>()).prop_map(|(size, mtime)| Kind::File { size, mtime }),
        Just(Kind::Symlink),
        Just(Kind::Hardlink),
        Just(Kind::BlockDevice),
        Just(Kind::CharDevice),
        Just(Kind::Fifo),
        Just(Kind::Socket),
    ];
    leaf.prop_map(Node::Leaf).prop_recursive(4, 64, 8, |inner| {
        prop::collection::btree_map(name(), inner, 0..8).prop_map(Node::Directory)
    })
}

fn write_node(writer: &mut Writer<Vec<u8>>, name: &[u8], node: &Node) {
    match node {
        Node::Leaf(kind) => writer.add(name, *kind).unwrap(),
        Node::Directory(children) => {
            writer.start_directory(name).unwrap();
            children.iter().for_each(|(name, child)| write_node(writer, name, child));
            writer.end_directory().unwrap();
        }
    }
}

fn expect(path: &[u8], node: &Node, out: &mut Vec<(Vec<u8>, Option<Kind>)>) {
    match node {
        Node::Leaf(kind) => out.push((path.to_vec(), Some(*kind))),
        Node::Directory(children) => {
            out.push((path.to_vec(), None));
            for (name, child) in children {
                expect(&[path, b"/", name].concat(), child, out);
            }
        }
    }
}

proptest! {
    #[test]
    fn random_trees(tree in prop::collection::btree_map(name(), node(), 0..8)) {
        let mut writer = Writer::new(Vec::new()).unwrap();
        writer.start_archive(b"x.pxar.didx").unwrap();
        tree.iter().for_each(|(name, node)| write_node(&mut writer, name, node));
        writer.end_archive().unwrap();
        let reader = Reader::open(writer.finish().unwrap()).unwrap();
        let mut expected = Vec::new();
        expect(b"/x.pxar.didx", &Node::Directory(tree), &mut expected);
        let mut found = Vec::new();
        reader.walk(&reader.root(), &mut |entry| {
            let kind = entry.entry.kind;
            let kind = (!matches!(kind, Kind::Directory { .. })).then_some(kind);
            found.push((entry.path.to_vec(), kind));
            Ok(true)
        }).unwrap();
        prop_assert_eq!(&found, &expected);
        for (path, kind) in expected {
            let entry = reader.lookup(&path).unwrap();
            prop_assert_eq!(kind.unwrap_or(entry.kind), entry.kind);
        }
    }

    #[test]
    fn random_bytes(mut bytes: Vec<u8>) {
        let _ = walk(&bytes);
        bytes.splice(0..0, MAGIC);
        bytes.extend_from_slice(&8_u64.to_le_bytes());
        let _ = walk(&bytes);
    }
}
