//! Tapes with a file of each kind, whole and with damage, and media catalogs.

use datastore::{DataBlob, Digest};
use pbs_tape::format::catalog_archive::{CatalogArchiveHeader, write_catalog_archive};
use pbs_tape::format::chunk_archive::ChunkArchiveWriter;
use pbs_tape::format::label::{
    MediaLabel, MediaSetLabel, write_media_label, write_media_set_label,
};
use pbs_tape::format::snapshot_archive::{
    SnapshotArchiveHeader, SnapshotFile, write_snapshot_archive,
};
use pbs_tape::media::catalog::record::Record;
use pbs_tape::media::{MediaCatalog, MediaId, StateDir};
use pxar::Metadata;
use uuid::Uuid;

use crate::tape::TapeInput;

const TIME: i64 = 1_700_000_000;
const STORE: &str = "store";
const SNAPSHOT: &str = "ns/a/host/elsa/2020-06-26T13:56:05Z";

/// The tape that the catalogs describe.
pub fn catalog_media() -> MediaId {
    let uuid = Uuid::from_bytes([1; 16]);
    let label = MediaLabel { ctime: TIME, label_text: "CAP001L8".into(), pool: None, uuid };
    let set = MediaSetLabel {
        ctime: TIME,
        encryption_key_fingerprint: None,
        pool: "daily".into(),
        seq_nr: 0,
        uuid: Uuid::from_bytes([2; 16]),
    };
    MediaId { label, media_set_label: Some(set) }
}

fn blob(content: &[u8]) -> Vec<u8> {
    DataBlob::encode(content, None, false).unwrap().into_bytes()
}

fn write_labels(tape: &mut TapeInput) {
    let media = catalog_media();
    write_media_label(tape, &media.label).unwrap();
    write_media_set_label(tape, &media.media_set_label.unwrap(), None).unwrap();
}

fn write_chunks(tape: &mut TapeInput, chunks: &[Vec<u8>]) {
    let mut archive = ChunkArchiveWriter::new(tape, STORE, TIME).unwrap();
    for (number, chunk) in chunks.iter().enumerate() {
        archive.append(&Digest([number as u8; 32]), chunk).unwrap();
    }
    archive.finish().unwrap();
}

fn write_snapshot(tape: &mut TapeInput) {
    let header = SnapshotArchiveHeader { snapshot: SNAPSHOT.into(), store: STORE.into() };
    let files = [("index.json.blob", "{}"), ("root.pxar.didx", "an index")].map(|(name, text)| {
        Ok(SnapshotFile {
            name: name.into(),
            metadata: Metadata { mode: 0o100_644, ..Metadata::default() },
            size: text.len() as u64,
            content: Box::new(text.as_bytes()),
        })
    });
    write_snapshot_archive(tape, &header, files, TIME).unwrap();
}

fn write_catalog(tape: &mut TapeInput) {
    let media = catalog_media();
    let set = media.media_set_label.unwrap();
    let header = CatalogArchiveHeader {
        uuid: media.label.uuid,
        media_set_uuid: set.uuid,
        seq_nr: set.seq_nr,
    };
    let log = catalog_log(20);
    write_catalog_archive(tape, &header, &mut &*log, true, TIME).unwrap();
}

/// Tapes in the form of [`crate::tape`].
pub fn tapes() -> Vec<Vec<u8>> {
    let mut whole = TapeInput::default();
    write_labels(&mut whole);
    write_chunks(&mut whole, &[blob(b"one"), blob(b"two two")]);
    write_snapshot(&mut whole);
    write_catalog(&mut whole);
    // Three blocks, the second of which is lost.
    let mut long = TapeInput::default();
    write_chunks(&mut long, &[blob(b"one"), blob(&[0; 540_000]), blob(b"three")]);
    let mut damaged = TapeInput::default();
    let second = 5 + u32::from_le_bytes(long.0[1..5].try_into().unwrap()) as usize;
    let third = second
        + 5
        + u32::from_le_bytes(long.0[second + 1..second + 5].try_into().unwrap()) as usize;
    damaged.0.extend(&long.0[..second]);
    damaged.push_unreadable();
    damaged.0.extend(&long.0[third..]);
    vec![whole.0, long.0, damaged.0]
}

/// The log of a catalog with so many chunks and a snapshot.
pub fn catalog_log(chunks: u16) -> Vec<u8> {
    let folder = crate::memory_folder();
    let state = StateDir::open(folder.path()).unwrap();
    let media = catalog_media();
    let digests: Vec<Digest> = (0..chunks).map(digest).collect();
    let mut catalog = MediaCatalog::overwrite(&state, &media).unwrap();
    let uuid = Uuid::from_bytes([3; 16]);
    catalog.register_chunk_archive(2, uuid, STORE, &digests).unwrap();
    catalog.register_snapshot(3, uuid, STORE, SNAPSHOT).unwrap();
    catalog.commit().unwrap();
    std::fs::read(state.catalog_file(&media.label.uuid)).unwrap()
}

fn digest(number: u16) -> Digest {
    let [low, high] = number.to_le_bytes();
    let mut digest = [low; 32];
    digest[0] = high;
    Digest(digest)
}

/// What a target does with them is written there.
pub fn media_catalogs() -> Vec<Vec<u8>> {
    let mut more = Vec::new();
    let uuid = Uuid::from_bytes([4; 16]);
    for record in [
        Record::ArchiveStart { file_number: 4, uuid, store: STORE.into() },
        Record::Chunk(digest(1)),
        Record::Chunk(digest(9_999)),
        Record::ArchiveEnd { file_number: 4, uuid },
    ] {
        record.encode(&mut more).unwrap();
    }
    let whole = |log: Vec<u8>| [&[0x80][..], &log].concat();
    let damaged = |places: &[[u8; 3]]| [&[places.len() as u8][..], &places.concat()].concat();
    vec![
        whole(catalog_log(0)),
        whole(catalog_log(3)),
        [&[0][..], &more].concat(),
        damaged(&[[9, 0, 1]]),
        damaged(&[[0, 0x20, 1], [0, 0x40, 0x80]]),
    ]
}
