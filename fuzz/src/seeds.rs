//! Inputs to begin with: small and valid, one of each shape, made by the crates' own encoders.

mod iscsi;
mod iscsi_session;
mod tape;

use datastore::blob::DataBlob;
use datastore::index::{DynamicIndex, FixedIndex};
use datastore::manifest::{FileInfo, VerifyResult, VerifyState};
use datastore::testing::Rng;
use datastore::{CryptConfig, CryptMode, Digest, Manifest, SnapshotPath};
use pxar::catalog::{Kind, Sink, Writer};
use pxar::{Encoder, Metadata};

pub use iscsi::iscsi_streams;
pub use iscsi_session::{ISCSI_TARGET_NAME, iscsi_login, iscsi_sessions};
pub use tape::{catalog_log, catalog_media, media_catalogs, tapes};

fn key() -> CryptConfig {
    CryptConfig::new([7; 32]).unwrap()
}

/// Blobs of every kind.
pub fn blobs() -> Vec<Vec<u8>> {
    let text = b"seven tapes in seven slots ".repeat(20);
    let mut seeds = Vec::new();
    for content in [&b""[..], b"x", &text] {
        for key in [None, Some(&key())] {
            for compress in [false, true] {
                seeds.push(DataBlob::encode(content, key, compress).unwrap().into_bytes());
            }
        }
    }
    seeds
}

fn digests(count: u8) -> impl Iterator<Item = Digest> {
    (0..count).map(|number| Digest([number; 32]))
}

/// Dynamic indexes with 1 to 5 chunks.
pub fn dynamic_indexes() -> Vec<Vec<u8>> {
    let index = |count| {
        let chunks = digests(count).map(|digest| (u64::from(digest.0[0]) * 1000 + 1, digest));
        DynamicIndex::new([1; 16], 1_700_000_000, chunks).unwrap().encode()
    };
    [1, 2, 5].map(index).to_vec()
}

/// Fixed indexes with 1 to 5 chunks, the last of them full or not.
pub fn fixed_indexes() -> Vec<Vec<u8>> {
    let index = |(count, size)| {
        FixedIndex::new([1; 16], 1_700_000_000, size, digests(count).collect()).unwrap().encode()
    };
    [(1, 1), (1, 4 << 20), (2, (4 << 20) + 1), (5, 20 << 20)].map(index).to_vec()
}

/// Manifests: plain, signed, and with everything unprotected that there is.
pub fn manifests() -> Vec<Vec<u8>> {
    let snapshot: SnapshotPath = "host/elsa/2020-06-26T13:56:05Z".parse().unwrap();
    let mut manifest = Manifest::new(&snapshot);
    let empty = manifest.to_json().unwrap();
    for (filename, crypt_mode) in
        [("root.pxar.didx", CryptMode::Encrypt), ("disk.img.fidx", CryptMode::SignOnly)]
    {
        let csum = Digest([2; 32]);
        let file = FileInfo { crypt_mode, csum, filename: filename.into(), size: 200 };
        manifest.add(file).unwrap();
    }
    manifest.sign(&key()).unwrap();
    let upid = "UPID:elsa:00000001:00000002:00000003:5EF5FD75:verify:x:root@pam:".into();
    manifest.set_verify_state(&VerifyState { state: VerifyResult::Ok, upid }).unwrap();
    let blob = manifest.to_blob().unwrap().into_bytes();
    vec![empty.into_bytes(), manifest.to_json().unwrap().into_bytes(), blob]
}

/// Key files of every kind.
pub fn key_files() -> Vec<Vec<u8>> {
    let locked = |kdf: &str| {
        let data = "AAAA".repeat(21) + "AA==";
        format!(
            r#"{{"kdf":{kdf},"created":"2020-06-26T15:56:05+02:00","modified":"2020-06-26T13:56:05Z","data":"{data}","hint":"the usual"}}"#
        )
        .into_bytes()
    };
    let salt = r#""salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=""#;
    let plain = r#"{"kdf":null,"created":"2020-06-26T15:56:05+02:00","modified":"2020-06-26T13:56:05Z","data":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#;
    vec![
        plain.into(),
        locked(&format!(r#"{{"Scrypt":{{"n":16,"r":8,"p":1,{salt}}}}}"#)),
        locked(&format!(r#"{{"PBKDF2":{{"iter":10,{salt}}}}}"#)),
    ]
}

fn fill<W: std::io::Write, P: std::io::Write>(encoder: &mut Encoder<W, P>) {
    let file = Metadata::regular(0o644);
    let link = encoder.add_file(b"hello", &file, 5, &mut &b"world"[..]).unwrap();
    encoder.add_hardlink(b"hello2", b"hello", link).unwrap();
    encoder.add_symlink(b"link", &Metadata::with_mode(libc_mode(0o12)), b"hello").unwrap();
    encoder.add_fifo(b"pipe", &Metadata::with_mode(libc_mode(0o1))).unwrap();
    encoder.enter_directory(b"sub", &Metadata::directory(0o755)).unwrap();
    encoder.add_file(b"empty", &file, 0, &mut &b""[..]).unwrap();
    encoder.enter_directory(b"deep", &Metadata::directory(0o700)).unwrap();
    encoder.leave_directory().unwrap();
    encoder.leave_directory().unwrap();
}

/// `st_mode` of a file type with usual permissions.
fn libc_mode(kind: u32) -> u32 {
    kind << 12 | 0o644
}

/// Archives, unified and split, in the form that the target takes.
pub fn archives() -> Vec<Vec<u8>> {
    let root = Metadata::directory(0o755);
    let mut unified = vec![0];
    let mut encoder = Encoder::new(&mut unified, &root).unwrap();
    fill(&mut encoder);
    encoder.finish().unwrap();
    let (mut archive, mut payload) = (Vec::new(), Vec::new());
    let mut encoder = Encoder::split(&mut archive, &mut payload, Some(b"prelude"), &root).unwrap();
    fill(&mut encoder);
    encoder.finish().unwrap();
    let mut split = vec![1];
    split.extend((archive.len() as u16).to_le_bytes());
    split.extend(archive);
    split.extend(payload);
    let mut empty = vec![0];
    Encoder::new(&mut empty, &root).unwrap().finish().unwrap();
    vec![unified, split, empty]
}

/// A catalog with every kind of entry, and an empty one.
pub fn catalogs() -> Vec<Vec<u8>> {
    let mut catalog = Writer::new(Vec::new()).unwrap();
    catalog.start_archive(b"root.pxar.didx").unwrap();
    catalog.add(b"file", Kind::File { size: 1 << 40, mtime: -5 }).unwrap();
    catalog.start_directory(b"a").unwrap();
    for (name, kind) in [
        (&b"b"[..], Kind::File { size: 3, mtime: 1_700_000_000 }),
        (b"link", Kind::Symlink),
        (b"hard", Kind::Hardlink),
        (b"block", Kind::BlockDevice),
        (b"char", Kind::CharDevice),
    ] {
        catalog.add(name, kind).unwrap();
    }
    catalog.start_directory(b"deep").unwrap();
    catalog.end_directory().unwrap();
    catalog.end_directory().unwrap();
    catalog.end_archive().unwrap();
    vec![catalog.finish().unwrap(), Writer::new(Vec::new()).unwrap().finish().unwrap()]
}

/// Streams that the chunker meets: random, repeating, constant, and one that changes in the middle.
pub fn streams() -> Vec<Vec<u8>> {
    let mut random = Rng(1);
    let noise: Vec<u8> =
        std::iter::once(9).chain((0..12_000).map(|_| random.next_u64() as u8)).collect();
    let text =
        [&[3], &b"the quick brown fox jumps over the lazy tape drive. ".repeat(200)[..]].concat();
    let mixed = [&noise[..3000], &[0; 6000][..], &text[..3000]].concat();
    vec![vec![1; 9000], noise, text, mixed]
}

/// Replies of READ ELEMENT STATUS with every option.
pub fn element_statuses() -> Vec<Vec<u8>> {
    use scsi::command::element::{DriveIdentifier, Element, ElementType, Page, build_status};
    let drive = Element {
        full: true,
        tag: Some("CAP001L8".into()),
        source: Some(0x401),
        identifier: Some(DriveIdentifier {
            vendor: Some("ACME".into()),
            model: Some("ULTRIUM-8".into()),
            serial: Some("1013000001".into()),
        }),
        ..Element::empty(0x100)
    };
    let odd = Element { exception: Some((0x83, 0x01)), disabled: true, ..Element::empty(0x400) };
    let pages = [
        Page { kind: ElementType::Drive, elements: vec![drive, Element::empty(0x101)] },
        Page { kind: ElementType::Storage, elements: vec![odd, Element::empty(0x401)] },
    ];
    let forms = [(false, false), (true, false), (false, true), (true, true)];
    forms.into_iter().map(|(tags, identifiers)| build_status(&pages, tags, identifiers)).collect()
}

/// Transcripts with every kind of line.
pub fn transcripts() -> Vec<Vec<u8>> {
    let text = "# A robot.\ncapstan-transcript: 1\nvendor: ACME\norigin: described\n\n\
                > cdb 12 00 0000 24 00  # INQUIRY\n< data 08 80 05 02 1f 00*3 \"ACME    \"\n< status 00\n\
                > cdb 15 10 00 00 04 00\n> data 00*4\n< status 02 sense 70 00 05 00*4 0a 00*4 24 00*5\n\
                > cdb 00*6\n< timeout 60\n> cdb 00*6\n< failed cable\n";
    let mut seeds = vec![text.as_bytes().to_vec()];
    for reply in element_statuses() {
        let hex: String = reply.iter().map(|byte| format!("{byte:02x} ")).collect();
        let text = format!(
            "capstan-transcript: 1\n> cdb b8 10 0000 03e8 00 00ffff 00 00\n< data {hex}\n< status 00\n"
        );
        seeds.push(text.into_bytes());
    }
    seeds
}
