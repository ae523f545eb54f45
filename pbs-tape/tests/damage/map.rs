//! What lies where on the tapes: found by the bytes of the chunks and the names of the snapshots that were written, in
//! code that shares nothing with the reader under test.

use std::collections::{BTreeMap, BTreeSet};

use datastore::Digest;

use crate::log::Log;

pub const BLOCK: usize = 262_144;
pub const HEADER: usize = 16;
pub const PAYLOAD: usize = BLOCK - HEADER;

const CHUNKS: [u8; 8] = [0x6d, 0x31, 0x63, 0x6d, 0xd7, 0x02, 0x83, 0xbf];
const SNAPSHOTS: [[u8; 8]; 2] = [
    [0xda, 0x16, 0x15, 0xd0, 0x11, 0xe2, 0x9a, 0x62],
    [0x62, 0x10, 0x36, 0x9b, 0xba, 0x10, 0x33, 0x1d],
];
const CATALOGS: [[u8; 8]; 2] = [
    [0xb7, 0xcf, 0xc7, 0x25, 0x9e, 0x99, 0x1e, 0x73],
    [0xb3, 0xec, 0x71, 0xf0, 0xad, 0xec, 0x02, 0x60],
];
const ENTRY: [u8; 8] = [0x48, 0x57, 0x6d, 0xf2, 0xde, 0x42, 0x8f, 0xdc];

/// A chunk in a tape file, from its entry header to the end of its blob, as places in the stream.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    pub start: usize,
    pub end: usize,
    pub digest: Digest,
}

#[derive(Debug)]
pub enum Kind {
    Label,
    Chunks(Vec<Entry>),
    Snapshot(String),
    Catalog,
}

/// A tape file.
#[derive(Debug)]
pub struct File {
    /// Its first record in the log.
    pub record: usize,
    pub blocks: usize,
    /// The payloads, one after the other.
    pub stream: Vec<u8>,
    pub kind: Kind,
}

/// A copy of a chunk: tape, file, entry.
pub type Place = (usize, usize, usize);

pub struct Map {
    /// Files of each tape of the set.
    pub tapes: Vec<Vec<File>>,
    /// Where each chunk is.
    pub copies: BTreeMap<Digest, Vec<Place>>,
    /// What each snapshot needs.
    needs: BTreeMap<String, BTreeSet<Digest>>,
}

pub fn find(bytes: &[u8], pattern: &[u8], from: usize) -> Option<usize> {
    let first = pattern[0];
    (from..bytes.len().saturating_sub(pattern.len() - 1))
        .find(|at| bytes[*at] == first && bytes[*at..].starts_with(pattern))
}

impl Map {
    /// `blobs` are the chunks' files, `needs` the digests of each snapshot.
    pub fn new(
        logs: &[Log],
        blobs: &BTreeMap<Digest, Vec<u8>>,
        needs: BTreeMap<String, BTreeSet<Digest>>,
    ) -> Map {
        let mut map = Map { tapes: Vec::new(), copies: BTreeMap::new(), needs };
        for (tape, log) in logs.iter().enumerate() {
            let files = map.files(log, blobs);
            for (number, file) in files.iter().enumerate() {
                let Kind::Chunks(entries) = &file.kind else { continue };
                for (place, entry) in entries.iter().enumerate() {
                    map.copies.entry(entry.digest).or_default().push((tape, number, place));
                }
            }
            map.tapes.push(files);
        }
        for name in map.needs.keys() {
            let is_it = |file: &File| matches!(&file.kind, Kind::Snapshot(found) if found == name);
            assert!(map.tapes.iter().flatten().any(is_it), "{name} is on no tape");
        }
        for digest in map.needs.values().flatten() {
            assert!(map.copies.contains_key(digest), "chunk {digest} is on no tape");
        }
        map
    }

    fn files(&self, log: &Log, blobs: &BTreeMap<Digest, Vec<u8>>) -> Vec<File> {
        let (mut files, mut begin) = (Vec::new(), 0);
        for (number, record) in log.records.iter().enumerate() {
            if record.is_block() {
                continue;
            }
            let blocks = &log.records[begin..number];
            let mut stream = Vec::new();
            for block in blocks {
                let used = &block.data[9..12];
                let used = usize::from(used[0])
                    + (usize::from(used[1]) << 8)
                    + (usize::from(used[2]) << 16);
                stream.extend_from_slice(&block.data[HEADER..HEADER + used]);
            }
            let kind = self.kind(&stream, blobs);
            files.push(File { record: begin, blocks: blocks.len(), stream, kind });
            begin = number + 1;
        }
        files
    }

    fn kind(&self, stream: &[u8], blobs: &BTreeMap<Digest, Vec<u8>>) -> Kind {
        let magic: [u8; 8] = stream[8..16].try_into().unwrap();
        if magic == CHUNKS {
            let mut entries = Vec::new();
            let mut from = 0;
            while let Some(start) = find(stream, &ENTRY, from) {
                from = start + 1;
                let digest = Digest(stream[start + 8..start + 40].try_into().unwrap());
                let blob = &blobs[&digest];
                // The last one may be cut by the end of the tape.
                if stream[start + 48..].starts_with(blob) {
                    entries.push(Entry { start, end: start + 48 + blob.len(), digest });
                }
            }
            return Kind::Chunks(entries);
        }
        if SNAPSHOTS.contains(&magic) {
            let head = String::from_utf8_lossy(&stream[..300.min(stream.len())]).into_owned();
            let is_it = |name: &&String| {
                let (_, snapshot) = name.split_once(':').unwrap();
                head.contains(&format!("\"{snapshot}\""))
            };
            return Kind::Snapshot(self.needs.keys().find(is_it).unwrap().clone());
        }
        if CATALOGS.contains(&magic) { Kind::Catalog } else { Kind::Label }
    }

    /// The snapshots that can't come back without these copies of chunks and these archives (tape, file).
    pub fn lost(
        &self,
        copies: &BTreeSet<Place>,
        archives: &BTreeSet<(usize, usize)>,
    ) -> BTreeSet<String> {
        let is_gone =
            |digest: &Digest| self.copies[digest].iter().all(|place| copies.contains(place));
        let by_chunks = self.needs.iter().filter(|(_, digests)| digests.iter().any(is_gone));
        let mut lost: BTreeSet<String> = by_chunks.map(|(name, _)| name.clone()).collect();
        for (tape, file) in archives {
            if let Kind::Snapshot(name) = &self.tapes[*tape][*file].kind {
                lost.insert(name.clone());
            }
        }
        lost
    }

    /// Everything of a file.
    pub fn all_of(&self, tape: usize, file: usize) -> (BTreeSet<Place>, BTreeSet<(usize, usize)>) {
        let mut copies = BTreeSet::new();
        if let Kind::Chunks(entries) = &self.tapes[tape][file].kind {
            copies.extend((0..entries.len()).map(|entry| (tape, file, entry)));
        }
        (copies, BTreeSet::from([(tape, file)]))
    }

    /// What overlaps a part of a file's stream.
    pub fn overlapping(
        &self,
        tape: usize,
        file: usize,
        from: usize,
        to: usize,
    ) -> (BTreeSet<Place>, BTreeSet<(usize, usize)>) {
        match &self.tapes[tape][file].kind {
            Kind::Chunks(entries) => {
                let hit = |entry: &Entry| entry.start < to && entry.end > from;
                let hits = entries.iter().enumerate().filter(|(_, entry)| hit(entry));
                (hits.map(|(place, _)| (tape, file, place)).collect(), BTreeSet::new())
            }
            _ => self.all_of(tape, file),
        }
    }
}
