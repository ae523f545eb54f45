//! A compact set of digests.
//!
//! A verification remembers every chunk it has seen, and a large store has many millions. The set
//! keeps the 32 bytes of each and nothing else: digests are as good as random, so they are their own
//! hash, and the digest of zeros, which marks a free slot, is kept apart. Tables grow by a quarter
//! and are between 0.7 and 0.875 full, so a digest costs 37 to 46 bytes: at most 46 MB a million.
//! There are many small tables, so that growing one needs no second copy of everything.
//!
//! Digests are not shortened to save more: two chunks that were made to share a prefix would let a
//! damaged one pass.

use crate::digest::Digest;

const TABLES: usize = 64;
const TABLE_SLOTS_MIN: usize = 16;

/// A set of digests that only grows.
pub(super) struct DigestSet {
    tables: Vec<Table>,
    has_zero: bool,
    len: usize,
}

#[derive(Default)]
struct Table {
    /// Zero is a free slot; at least one slot in eight is free.
    slots: Vec<Digest>,
    used: usize,
}

impl DigestSet {
    pub(super) fn new() -> DigestSet {
        let tables = std::iter::repeat_with(Table::default).take(TABLES).collect();
        DigestSet { tables, has_zero: false, len: 0 }
    }

    /// Number of digests.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, digest: &Digest) -> bool {
        if digest.is_zero() {
            return self.has_zero;
        }
        self.tables.get(table_of(digest)).is_some_and(|table| table.find(digest).is_ok())
    }

    /// Adds a digest; true if it is new.
    pub(super) fn insert(&mut self, digest: Digest) -> bool {
        let new = if digest.is_zero() {
            !std::mem::replace(&mut self.has_zero, true)
        } else {
            self.tables.get_mut(table_of(&digest)).is_some_and(|table| table.insert(digest))
        };
        self.len += usize::from(new);
        new
    }

    /// Memory of the slots in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.tables.iter().map(|table| table.slots.capacity() * size_of::<Digest>()).sum()
    }
}

fn table_of(digest: &Digest) -> usize {
    usize::from(digest.0[0]) % TABLES
}

impl Table {
    /// The slot that holds a digest, or the free one where it belongs; `None` in a table that has no
    /// slots yet.
    fn find(&self, digest: &Digest) -> Result<usize, Option<usize>> {
        let slots = self.slots.len();
        if slots == 0 {
            return Err(None);
        }
        // Other bytes than those that chose the table, spread over the slots without a division.
        let [.., a, b, c, d, e, f, g, h] = digest.0;
        let hash = u64::from_be_bytes([a, b, c, d, e, f, g, h]);
        let mut slot = ((u128::from(hash) * slots as u128) >> 64) as usize;
        // Ends: a slot is always free.
        loop {
            match self.slots.get(slot) {
                Some(found) if found == digest => return Ok(slot),
                Some(found) if found.is_zero() => return Err(Some(slot)),
                Some(_) => slot += 1,
                None => slot = 0,
            }
        }
    }

    fn insert(&mut self, digest: Digest) -> bool {
        if self.find(&digest).is_ok() {
            return false;
        }
        if (self.used + 1) * 8 > self.slots.len() * 7 {
            self.grow();
        }
        if let Err(Some(free)) = self.find(&digest)
            && let Some(slot) = self.slots.get_mut(free)
        {
            *slot = digest;
            self.used += 1;
        }
        true
    }

    fn grow(&mut self) {
        let slots = (self.slots.len() + self.slots.len() / 4).max(TABLE_SLOTS_MIN);
        let old = std::mem::replace(&mut self.slots, vec![Digest::default(); slots]);
        for digest in old.into_iter().filter(|digest| !digest.is_zero()) {
            if let Err(Some(free)) = self.find(&digest)
                && let Some(slot) = self.slots.get_mut(free)
            {
                *slot = digest;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_million_costs_at_most_46_mb() {
        let mut set = DigestSet::new();
        for number in 0u64..300_000 {
            assert!(set.insert(Digest::of(&number.to_le_bytes())));
            // Small tables have a least size.
            if number % 10_000 == 9_999 {
                let each = set.bytes() as f64 / (number + 1) as f64;
                assert!((36.0..46.0).contains(&each), "{each} bytes at {number}");
            }
        }
        assert_eq!(set.len(), 300_000);
        assert!((0u64..300_000).all(|number| set.contains(&Digest::of(&number.to_le_bytes()))));
        assert!(!set.contains(&Digest::of(b"x")) && !set.contains(&Digest::default()));
    }

    proptest! {
        /// Also with digests that collide as no real ones do.
        #[test]
        fn it_is_a_set(numbers in prop::collection::vec((0u8..3, 0u64..40), 0..400)) {
            let mut set = DigestSet::new();
            let mut model = HashSet::new();
            for (kind, number) in numbers {
                let mut digest = Digest::default();
                match kind {
                    0 => digest.0[1..9].copy_from_slice(&number.to_be_bytes()),
                    1 => digest.0[24..].copy_from_slice(&(u64::MAX - number).to_be_bytes()),
                    _ => digest = Digest::of(&number.to_be_bytes()),
                }
                prop_assert_eq!(set.contains(&digest), model.contains(&digest));
                prop_assert_eq!(set.insert(digest), model.insert(digest));
                prop_assert!(set.contains(&digest));
                prop_assert_eq!(set.len(), model.len());
            }
        }
    }
}
