//! Chunks are found whatever their sizes, whatever the catalog says, and whatever else is on the tape.

use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::device::model::{Medium, ModelDrive, Record};
use crate::format::chunk_archive::ChunkArchiveWriter;
use crate::testing::noise;

const FILE: u64 = 2;

/// A tape with two files before the archive and one behind it.
struct Tape {
    medium: Arc<Mutex<Medium>>,
    chunks: Vec<(Digest, Vec<u8>)>,
}

fn tape(blobs: Vec<Vec<u8>>) -> Tape {
    let mut drive = ModelDrive::new(Medium::default());
    let mut chunks = Vec::new();
    for file in 0..4 {
        let mut archive = ChunkArchiveWriter::new(&mut drive, "main", 0).unwrap();
        if file == FILE {
            for blob in &blobs {
                let digest = Digest::of(blob);
                archive.append(&digest, blob).unwrap();
                chunks.push((digest, blob.clone()));
            }
        } else {
            let other = noise(1000 + file, 700_000);
            archive.append(&Digest::of(&other), &other).unwrap();
        }
        archive.finish().unwrap();
    }
    Tape { medium: drive.medium, chunks }
}

impl Tape {
    fn list(&self) -> Vec<Digest> {
        self.chunks.iter().map(|(digest, _)| *digest).collect()
    }

    fn blocks(&self) -> u64 {
        self.medium.lock().unwrap().files()[FILE as usize].len() as u64
    }

    /// Damages a block of the archive.
    fn damage(&self, block: usize) {
        let mut medium = self.medium.lock().unwrap();
        let mut files = 0;
        let mut blocks = 0;
        for record in &mut medium.records {
            match record {
                Record::Filemark => files += 1,
                Record::Block(bytes) if files == FILE => {
                    if blocks == block {
                        let mut changed = bytes.to_vec();
                        changed[0] ^= 1;
                        *bytes = changed.into();
                    }
                    blocks += 1;
                }
                Record::Block(_) => {}
            }
        }
    }

    /// Looks for some chunks with this list: those that came, those that are damaged, and the blocks read.
    fn fetch(&self, list: &[Digest], wanted: &[usize]) -> (usize, Vec<Digest>, u64) {
        let wanted: BTreeSet<Digest> = wanted.iter().map(|n| self.chunks[*n].0).collect();
        let mut drive = ModelDrive::at(self.medium.clone());
        let blocks = FileBlocks::open(&mut drive, FILE, &mut None).unwrap();
        let mut search = ArchiveSearch::new(blocks, list, "main", Experience::default()).unwrap();
        let mut came = BTreeSet::new();
        let mut damaged = Vec::new();
        search
            .fetch(&wanted, &mut |found| {
                Ok(match found {
                    Found::Blob(digest, blob) => {
                        let is_proved = Digest::of(&blob) == digest;
                        assert!(!is_proved || came.insert(digest), "twice");
                        is_proved
                    }
                    Found::Damaged(digest, _) => {
                        damaged.push(digest);
                        false
                    }
                })
            })
            .unwrap();
        assert!(came.iter().all(|digest| wanted.contains(digest)));
        assert_eq!(came.len() + damaged.len(), wanted.len(), "each is told once");
        (came.len(), damaged, search.effort().0)
    }
}

fn even(chunks: u64, bytes: usize) -> Tape {
    tape((0..chunks).map(|n| noise(n, bytes)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Sizes from a few bytes to some blocks, in any order, any choice of chunks; the list as it should be, in another
    /// order, or of another archive.
    #[test]
    fn any_chunks_of_any_archive_are_found(
        sizes in prop::collection::vec(
            prop_oneof![1usize..2000, 200_000usize..400_000, 1_000_000usize..1_500_000],
            1..40,
        ),
        picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
        disorder in 0u8..4,
    ) {
        let blobs = sizes.iter().enumerate().map(|(n, size)| noise(n as u64, *size)).collect();
        let tape = tape(blobs);
        let wanted: Vec<usize> = picks.iter().map(|pick| pick.index(sizes.len())).collect();
        let mut list = tape.list();
        match disorder {
            1 => list.sort(),
            2 => list.reverse(),
            3 => list = vec![Digest::of(b"elsewhere"); 10],
            _ => {}
        }
        let (_, damaged, _) = tape.fetch(&list, &wanted);
        prop_assert!(damaged.is_empty());
    }
}

#[test]
fn a_chunk_costs_few_blocks_wherever_it_is() {
    let tape = even(300, 262_000);
    assert!(tape.blocks() > 290);
    for number in [0, 1, 7, 100, 150, 222, 298, 299] {
        let (came, _, blocks) = tape.fetch(&tape.list(), &[number]);
        assert_eq!(came, 1);
        assert!(blocks <= 16, "chunk {number} took {blocks} of {} blocks", tape.blocks());
    }
    // And several need no more than each for itself.
    let (came, _, blocks) = tape.fetch(&tape.list(), &[40, 41, 42, 200]);
    assert_eq!(came, 4);
    assert!(blocks <= 40, "{blocks} blocks");
}

/// Small chunks in front and large ones behind defy every estimate.
#[test]
fn uneven_chunks_are_found_without_reading_everything() {
    let mut sizes = vec![3000; 600];
    sizes.extend([1_200_000; 60]);
    let tape = tape(sizes.iter().enumerate().map(|(n, size)| noise(n as u64, *size)).collect());
    for number in [300, 599, 601, 630, 659] {
        let (came, _, blocks) = tape.fetch(&tape.list(), &[number]);
        assert_eq!(came, 1);
        assert!(blocks <= tape.blocks() * 3 / 4, "chunk {number}: {blocks} of {}", tape.blocks());
    }
}

/// Somebody backs up a tape as an image: what looks like an entry of this very archive lies in a chunk.
#[test]
fn content_that_looks_like_an_entry_misleads_nobody() {
    let mut blobs: Vec<Vec<u8>> = (0..80).map(|n| noise(n, 500_000)).collect();
    let wanted = Digest::of(&blobs[60]);
    let mut forged = vec![0x48, 0x57, 0x6d, 0xf2, 0xde, 0x42, 0x8f, 0xdc];
    forged.extend_from_slice(&wanted.0);
    forged.extend_from_slice(&900u64.to_le_bytes());
    for blob in &mut blobs[30..59] {
        for place in (0..400_000).step_by(30_000) {
            blob[place..place + forged.len()].copy_from_slice(&forged);
        }
    }
    let tape = tape(blobs);
    assert_eq!(tape.fetch(&tape.list(), &[60]).0, 1);
    assert_eq!(tape.fetch(&tape.list(), &[45, 60, 70]).0, 3);
}

#[test]
fn damage_costs_the_chunks_in_it_and_no_others() {
    for block in [1, 40, 77, 119] {
        let tape = even(120, 262_000);
        tape.damage(block);
        for number in [2, 38, 42, 75, 80, 110, 116] {
            // Entries are as long as blocks, nearly: number and block differ by one at most.
            let hit = (block as i64 - number as i64).abs() <= 1;
            let (came, damaged, _) = tape.fetch(&tape.list(), &[number]);
            assert!(came == 1 || hit, "chunk {number}, damaged block {block}: {damaged:?}");
        }
        let all: Vec<usize> = (0..120).collect();
        let (came, damaged, _) = tape.fetch(&tape.list(), &all);
        assert!(came >= 117 && damaged.len() <= 3, "block {block}: {came} came, {damaged:?}");
    }
}
