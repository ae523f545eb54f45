//! What a seed decides.

fn mix(value: u64) -> u64 {
    let mut value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The dice of a seed. Each throw has a number, so that a new one changes no other.
pub struct Dice(pub u64);

impl Dice {
    /// Throw `number`, any value.
    pub fn roll(&self, number: u64) -> u64 {
        mix(self.0 ^ mix(number))
    }

    /// Throw `number`, below `limit`.
    pub fn below(&self, number: u64, limit: u64) -> u64 {
        self.roll(number) % limit.max(1)
    }
}
