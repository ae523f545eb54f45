//! The chunks that were read and found good, as sorted runs.
//!
//! A media set can have hundreds of millions of chunks, so there is nothing here but 40 bytes a chunk. Chunks come an
//! archive at a time, are sorted, and merge with the runs before them as soon as those are no longer twice as
//! long: each chunk is moved a logarithmic number of times, and a look-up asks a logarithmic number of runs. While two
//! runs merge there is half a run more.

use datastore::Digest;

use super::chunk::{Proof, Proved};

/// Stands for a length that nobody knows; a chunk has at most 16 MiB.
const LENGTH_UNKNOWN: u32 = u32::MAX;

/// A good copy of a chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SeenChunk {
    digest: Digest,
    length: u32,
    store: u16,
    proof: Proof,
}

const _: () = assert!(size_of::<SeenChunk>() == 40);

impl SeenChunk {
    /// A chunk of the datastore with this number.
    pub fn new(store: u16, digest: Digest, proved: Proved) -> SeenChunk {
        let length = proved.length.unwrap_or(LENGTH_UNKNOWN);
        SeenChunk { digest, length, store, proof: proved.proof }
    }

    /// How far it was proved.
    pub fn proof(&self) -> Proof {
        self.proof
    }

    /// Bytes of its content, if known.
    pub fn length(&self) -> Option<u32> {
        (self.length != LENGTH_UNKNOWN).then_some(self.length)
    }

    fn name(&self) -> Digest {
        self.digest
    }
}

/// All good chunks so far.
#[derive(Debug, Default)]
pub(super) struct Seen {
    /// From long to short, each sorted.
    runs: Vec<Vec<SeenChunk>>,
}

impl Seen {
    /// Takes in the chunks of an archive.
    pub fn add(&mut self, mut chunks: Vec<SeenChunk>) {
        chunks.sort_unstable();
        chunks.dedup();
        if chunks.is_empty() {
            return;
        }
        while let Some(mut older) = self.runs.pop_if(|run| run.len() <= chunks.len() * 2) {
            older.reserve_exact(chunks.len());
            older.append(&mut chunks);
            // Two sorted runs, which this sort notices and merges.
            older.sort();
            older.dedup();
            chunks = older;
        }
        self.runs.push(chunks);
    }

    /// The good copies of a chunk of a datastore.
    pub fn copies(&self, store: u16, digest: &Digest) -> impl Iterator<Item = &SeenChunk> {
        self.runs.iter().flat_map(move |run| {
            let from = run.partition_point(|chunk| chunk.name() < *digest);
            let rest = run.get(from..).unwrap_or_default();
            rest.iter()
                .take_while(|chunk| chunk.name() == *digest)
                .filter(move |chunk| chunk.store == store)
        })
    }

    /// True if there is a good copy.
    pub fn contains(&self, store: u16, digest: &Digest) -> bool {
        self.copies(store, digest).next().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_found_and_nothing_else() {
        let digest = |n: u32| Digest::of(&n.to_le_bytes());
        let proved = |n| Proved { proof: Proof::PLAIN, length: Some(n) };
        let mut seen = Seen::default();
        let mut next = 0;
        for archive in 0..200u32 {
            let count = archive * 7 % 40;
            seen.add(
                (next..next + count).map(|n| SeenChunk::new(1, digest(n), proved(n))).collect(),
            );
            next += count;
        }
        assert!(seen.runs.len() <= 12, "{} runs of {next} chunks", seen.runs.len());
        for n in 0..next {
            let copies: Vec<_> = seen.copies(1, &digest(n)).collect();
            assert_eq!(copies.len(), 1, "chunk {n}");
            assert_eq!(copies[0].length(), Some(n));
        }
        assert!(!seen.contains(1, &digest(next)));
        assert!(!seen.contains(2, &digest(0)));
        // The same chunk in another datastore, and once more with another proof.
        let sealed = Proved { proof: Proof::SEALED, length: None };
        seen.add(vec![SeenChunk::new(2, digest(0), sealed), SeenChunk::new(1, digest(0), sealed)]);
        assert_eq!(seen.copies(1, &digest(0)).count(), 2);
        assert_eq!(seen.copies(2, &digest(0)).map(SeenChunk::length).collect::<Vec<_>>(), [None]);
    }
}
