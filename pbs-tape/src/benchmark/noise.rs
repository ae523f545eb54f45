//! Bytes that no drive compresses, for as many blocks as are wanted, and the same ones again to compare.
//!
//! Each block is a piece of a random pool, beginning at a place that its number decides. To make it costs nothing, so that the drive is measured
//! and not the processor; two blocks with a common part lie so far apart that no drive's compression remembers the first.

use crate::format::block::BLOCK_BYTES;

const POOL_BYTES: usize = 64 << 20;
/// From block to block the beginning moves on by a prime number of steps of 64 bytes.
const STEP_BYTES: usize = 64 * 4_099;

/// The bytes.
pub(super) struct Noise {
    pool: Vec<u8>,
}

impl Noise {
    /// Others for each seed.
    pub fn new(seed: u64) -> Noise {
        let mut state = seed;
        let mut pool = Vec::with_capacity(POOL_BYTES + BLOCK_BYTES);
        while pool.len() < POOL_BYTES + BLOCK_BYTES {
            // SplitMix64 (Steele, Lea, Flood 2014).
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            pool.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
        Noise { pool }
    }

    /// The block of this number.
    pub fn block(&self, number: u64) -> &[u8] {
        let step = (number % (POOL_BYTES as u64)) as usize;
        let start = step.wrapping_mul(STEP_BYTES) % POOL_BYTES;
        // The pool is a block longer than any start.
        self.pool.get(start..start + BLOCK_BYTES).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_whole_differ_and_do_not_compress() {
        let noise = Noise::new(7);
        let mut joined = Vec::new();
        for number in [0, 1, 2, 3, 1 << 40, u64::MAX] {
            let block = noise.block(number);
            assert_eq!(block.len(), BLOCK_BYTES);
            joined.extend_from_slice(block);
        }
        assert_ne!(noise.block(0), noise.block(1));
        assert_ne!(noise.block(0), Noise::new(8).block(0));
        let blob = datastore::DataBlob::encode(&joined, None, true).unwrap();
        assert!(blob.encoded_len() >= joined.len() as u64);
    }
}
