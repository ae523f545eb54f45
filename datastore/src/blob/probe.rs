//! Noticing early that data cannot be compressed: pictures, archives, what is encrypted already.
//!
//! Compressing such a chunk for nothing takes nearly as long as hashing it. Two looks at a small part of
//! it find out, each harder to pass and dearer than the one before: whether all byte values are about
//! equally frequent, and then whether samples from all over the chunk shrink. Data that fails the first
//! look, which is nearly all that can be compressed, has cost a look at 16 KiB.
//!
//! A wrong answer costs room and nothing else: a blob says itself whether it is compressed.

use zstd::bulk::Compressor;

/// Shorter data is compressed without asking.
const BYTES_MIN: usize = 256 << 10;
/// Places that are looked at.
const PLACES: usize = 32;
/// Bytes that are counted at each place.
const COUNTED_BYTES: usize = 512;
/// Bytes that are compressed of each place.
const SAMPLE_BYTES: usize = 4096;

/// Asks about data; keeps the memory that it needs.
#[derive(Default)]
pub(super) struct Probe {
    samples: Vec<u8>,
    packed: Vec<u8>,
}

impl Probe {
    /// True if it is not worth the time to compress `data`.
    pub(super) fn is_incompressible(
        &mut self,
        data: &[u8],
        compressor: &mut Compressor<'static>,
    ) -> bool {
        if data.len() < BYTES_MIN || !are_values_equally_frequent(data) {
            return false;
        }
        self.samples.clear();
        for place in places(data, SAMPLE_BYTES) {
            self.samples.extend_from_slice(place);
        }
        // Less than a 32nd is not worth it.
        self.packed.resize(self.samples.len() - self.samples.len() / 32, 0);
        compressor.compress_to_buffer(&self.samples, &mut self.packed[..]).is_err()
    }
}

/// Pieces of `len` bytes, spread evenly over all of `data` with its beginning and its end.
fn places(data: &[u8], len: usize) -> impl Iterator<Item = &[u8]> {
    let last = data.len().saturating_sub(len);
    (0..PLACES).map(move |number| {
        let from = last / (PLACES - 1) * number;
        data.get(from..from + len).unwrap_or_default()
    })
}

fn are_values_equally_frequent(data: &[u8]) -> bool {
    let mut counts = [0u64; 256];
    for place in places(data, COUNTED_BYTES) {
        for byte in place {
            counts[usize::from(*byte)] += 1;
        }
    }
    let total = (PLACES * COUNTED_BYTES) as u64;
    // What random bytes give on average: total + total² / 256. Text gives ten times as much,
    // programs several times; what is compressed already differs by a few parts in a hundred.
    let random = total + total * total / 256;
    counts.iter().map(|count| count * count).sum::<u64>() < random * 5 / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<u8> {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        (0..len)
            .map(|_| {
                state ^= state >> 12;
                state ^= state << 25;
                state ^= state >> 27;
                (state >> 24) as u8
            })
            .collect()
    }

    fn ask(data: &[u8]) -> bool {
        Probe::default().is_incompressible(data, &mut Compressor::new(1).unwrap())
    }

    #[test]
    fn only_what_cannot_be_compressed_is_left_alone() {
        const LEN: usize = 1 << 20;
        let noise = noise(LEN);
        assert!(ask(&noise));
        assert!(ask(&noise[..BYTES_MIN]) && !ask(&noise[..BYTES_MIN - 1]), "short data is tried");
        assert!(!ask(&vec![0; LEN]));
        let text: Vec<u8> =
            b"the tape is in the drive ".iter().copied().cycle().take(LEN).collect();
        assert!(!ask(&text));
        // All values equally often, but in order.
        let steps: Vec<u8> = (0..LEN).map(|at| at as u8).collect();
        assert!(are_values_equally_frequent(&steps) && !ask(&steps));
        // Letters only, in any order.
        let letters: Vec<u8> = noise.iter().map(|byte| b'a' + byte % 16).collect();
        assert!(!ask(&letters));
    }

    /// An eighth of text is found wherever it lies.
    #[test]
    fn a_part_that_can_be_compressed_is_found() {
        const LEN: usize = 4 << 20;
        let noise = noise(LEN);
        for part in 0..8 {
            let mut data = noise.clone();
            let from = part * LEN / 8;
            data[from..from + LEN / 8].fill(b' ');
            assert!(!ask(&data), "{part}");
        }
    }
}
