//! A small generator of random numbers whose seed replays a run, and mutations made from it.

/// SplitMix64: good enough to shuffle bytes, and the same everywhere.
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }

    /// A changed copy: a few of flipped bits, numbers at the edge, and pieces cut, doubled or moved.
    pub fn mutated(&mut self, input: &[u8]) -> Vec<u8> {
        const EDGES: [u64; 8] =
            [0, 1, 0x7f, 0xff, 0x7fff_ffff, 0xffff_ffff, i64::MAX as u64, u64::MAX];
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(4) {
            let at = self.below(bytes.len());
            match self.below(6) {
                0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
                1 => {
                    let edge = EDGES[self.below(EDGES.len())].to_le_bytes();
                    let len = [1, 2, 4, 8][self.below(4)].min(bytes.len() - at.min(bytes.len()));
                    bytes[at..at + len].copy_from_slice(&edge[..len]);
                }
                2 => bytes.truncate(at),
                3 => {
                    let end = (at + self.below(64)).min(bytes.len());
                    bytes.drain(at.min(end)..end);
                }
                4 => {
                    let end = (at + self.below(64)).min(bytes.len());
                    let piece = bytes[at.min(end)..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                _ => bytes.push(self.next() as u8),
            }
        }
        bytes
    }
}
