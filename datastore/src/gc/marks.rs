//! The digests of all chunks in use, packed.
//!
//! # Memory
//!
//! A digest costs its 32 bytes. They lie in one sorted vector without gaps; new ones gather in a
//! second vector of at most an eighth of its size and are then sorted and merged into it in place. So
//! a million chunks cost at most **36 MB**, and there are **2 MB** besides, whatever the number. A
//! hash table would answer a little sooner and cost half as much again, twice as much while it grows;
//! and its time would be at the mercy of whoever chooses the digests, which a client with a key can
//! do. Nothing is cut short: two digests are one only if they are equal in every bit, so no chunk is
//! ever taken for another.
//!
//! # Parts
//!
//! Marks that outgrow their limit give up the upper half of the range of prefixes that they are for and
//! go on with the lower half, for which they are still complete: a digest below the new bound was never
//! turned away. The caller collects that part of the store and comes back for the rest. The least part
//! is the range of one prefix, which is one chunk folder and is kept even if it exceeds the limit.

use crate::digest::Digest;

/// Number of chunk folders: one more than the greatest prefix.
pub(super) const PREFIXES: u32 = 1 << 16;
/// Least number of digests that gather before they are merged.
const FRESH_LEN_MIN: usize = 1 << 15;
const DIGEST_BYTES: usize = size_of::<Digest>();
/// Digests as they come.
pub(super) struct Marks {
    /// First prefix that the marks are for.
    low: u32,
    /// First prefix behind them.
    high: u32,
    bytes_max: usize,
    /// Sorted, each once.
    settled: Vec<Digest>,
    /// As they came.
    fresh: Vec<Digest>,
}

/// All digests of a range of prefixes, sorted.
pub(super) struct Marked {
    low: u32,
    high: u32,
    digests: Vec<Digest>,
    /// Where each prefix from `low` on begins, and at last the length.
    starts: Vec<usize>,
}

impl Marks {
    /// Marks for the prefixes from `low` on that take about `bytes_max` bytes at most.
    pub(super) fn new(low: u32, bytes_max: usize) -> Marks {
        Marks { low, high: PREFIXES, bytes_max, settled: Vec::new(), fresh: Vec::new() }
    }

    /// Adds digests.
    pub(super) fn extend(&mut self, digests: &[Digest]) {
        for digest in digests {
            // A sparse image names the chunk of zeros thousands of times in a row.
            if !self.is_in_range(digest) || self.fresh.last() == Some(digest) {
                continue;
            }
            if self.fresh.len() >= self.fresh_len_max() {
                self.settle();
                if !self.is_in_range(digest) {
                    continue;
                }
            }
            if self.fresh.len() == self.fresh.capacity() {
                // Exactly as much as may be used; a vector that doubles would take more.
                self.fresh.reserve_exact(self.fresh_len_max() - self.fresh.len());
            }
            self.fresh.push(*digest);
        }
    }

    fn is_in_range(&self, digest: &Digest) -> bool {
        (self.low..self.high).contains(&u32::from(digest.prefix()))
    }

    fn fresh_len_max(&self) -> usize {
        let least = FRESH_LEN_MIN.min(self.bytes_max / DIGEST_BYTES / 4).max(16);
        least.max(self.settled.len() / 8)
    }

    /// Moves what gathered to its place.
    fn settle(&mut self) {
        let (settled, fresh) = (&mut self.settled, &mut self.fresh);
        fresh.sort_unstable();
        fresh.dedup();
        let mut at = 0;
        fresh.retain(|digest| {
            while settled.get(at).is_some_and(|known| known < digest) {
                at += 1;
            }
            settled.get(at) != Some(digest)
        });
        while self.is_too_large() && self.high - self.low > 1 {
            self.give_up_half();
        }
        let (settled, fresh) = (&mut self.settled, &mut self.fresh);
        // From the back, so that every digest moves once and none is overwritten before it moved:
        // `to` is always as many places ahead of `from` as there are new digests left.
        let mut from = settled.len();
        let mut to = from + fresh.len();
        settled.reserve_exact(fresh.len());
        settled.resize(to, Digest::default());
        while let Some(new) = fresh.pop() {
            while from > 0 && settled[from - 1] > new {
                from -= 1;
                to -= 1;
                settled[to] = settled[from];
            }
            to -= 1;
            settled[to] = new;
        }
    }

    fn is_too_large(&self) -> bool {
        let digests = self.settled.len() + self.fresh.len();
        (digests + digests / 8) * DIGEST_BYTES > self.bytes_max
    }

    /// Goes on with the lower half only.
    fn give_up_half(&mut self) {
        let larger =
            if self.settled.len() >= self.fresh.len() { &self.settled } else { &self.fresh };
        let Some(middle) = larger.get(larger.len() / 2) else { return };
        self.high = u32::from(middle.prefix()).max(self.low + 1).min(self.high - 1);
        let high = self.high;
        let keep = |digest: &Digest| u32::from(digest.prefix()) < high;
        self.settled.truncate(self.settled.partition_point(keep));
        self.fresh.retain(keep);
    }

    /// Bytes of memory in use.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        (self.settled.capacity() + self.fresh.capacity()) * DIGEST_BYTES
    }

    /// All that was marked, ready to be asked.
    pub(super) fn finish(mut self) -> Marked {
        self.settle();
        let Marks { low, high, settled: digests, .. } = self;
        let mut starts = Vec::with_capacity((high - low) as usize + 1);
        let mut at = 0;
        for prefix in low..high {
            starts.push(at);
            while digests.get(at).is_some_and(|digest| u32::from(digest.prefix()) == prefix) {
                at += 1;
            }
        }
        starts.push(digests.len());
        Marked { low, high, digests, starts }
    }
}

impl Marked {
    /// The prefixes that this is about; for them it is complete.
    pub(super) fn prefixes(&self) -> std::ops::Range<u32> {
        self.low..self.high
    }

    /// Number of different digests.
    pub(super) fn len(&self) -> usize {
        self.digests.len()
    }

    /// The digests with a prefix, sorted.
    pub(super) fn of_prefix(&self, prefix: u16) -> &[Digest] {
        let bounds = u32::from(prefix).checked_sub(self.low).and_then(|position| {
            let position = position as usize;
            Some((*self.starts.get(position)?, *self.starts.get(position + 1)?))
        });
        bounds.and_then(|(start, end)| self.digests.get(start..end)).unwrap_or_default()
    }

    /// True if a chunk is in use.
    pub(super) fn contains(&self, digest: &Digest) -> bool {
        self.of_prefix(digest.prefix()).binary_search(digest).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// What marks cost beside their digests: the first gathering place, and where each prefix begins.
    const FIXED_BYTES: usize =
        FRESH_LEN_MIN * DIGEST_BYTES + (PREFIXES as usize + 1) * size_of::<usize>();

    fn digest(number: u64) -> Digest {
        Digest::of(&number.to_le_bytes())
    }

    fn no_limit() -> Marks {
        Marks::new(0, usize::MAX)
    }

    #[test]
    fn a_million_chunks_cost_what_the_documentation_says() {
        let mut marks = no_limit();
        let mut most = 0;
        for start in (0..1_000_000u64).step_by(4096) {
            let batch: Vec<Digest> = (start..(start + 4096).min(1_000_000)).map(digest).collect();
            marks.extend(&batch);
            // Again, as the second snapshot of a group does: it must cost nothing.
            marks.extend(&batch);
            most = most.max(marks.bytes());
        }
        let marked = marks.finish();
        assert_eq!(marked.len(), 1_000_000);
        most = most.max(marked.digests.capacity() * DIGEST_BYTES + marked.starts.capacity() * 8);
        assert!(most <= 36_000_000 + FIXED_BYTES, "{most} bytes");
    }

    #[test]
    fn equal_is_equal_in_every_bit() {
        let mut near = Vec::new();
        for bit in 0..256 {
            let mut other = digest(1);
            other.0[bit / 8] ^= 1 << (bit % 8);
            near.push(other);
        }
        let mut marks = no_limit();
        marks.extend(&near);
        let marked = marks.finish();
        assert_eq!(marked.len(), 256);
        assert!(!marked.contains(&digest(1)));
        assert!(near.iter().all(|other| marked.contains(other)));
    }

    #[test]
    fn the_least_part_is_one_folder() {
        // A thousand digests of one prefix, and a limit of ten.
        let digests: Vec<Digest> = (0..1000u16)
            .map(|number| {
                let mut digest = Digest([0x7f; 32]);
                digest.0[10..12].copy_from_slice(&number.to_be_bytes());
                digest
            })
            .collect();
        let mut low = 0;
        let mut parts = 0;
        let mut found = 0;
        while low < PREFIXES {
            let mut marks = Marks::new(low, 320);
            marks.extend(&digests);
            let marked = marks.finish();
            assert!(marked.high > low);
            found += marked.len();
            low = marked.high;
            parts += 1;
        }
        assert_eq!(found, 1000);
        assert!(parts <= 3, "{parts}");
    }

    proptest! {
        /// Whatever comes in whatever order and under whatever limit: the parts together hold
        /// exactly what a plain set holds, each within its limit.
        #[test]
        fn parts_make_the_whole(
            numbers in prop::collection::vec(0u64..3000, 0..4000),
            limit in 600usize..200_000,
            batch in 1usize..700,
        ) {
            let digests: Vec<Digest> = numbers.iter().copied().map(digest).collect();
            let model: BTreeSet<Digest> = digests.iter().copied().collect();
            let mut found = Vec::new();
            let mut low = 0;
            while low < PREFIXES {
                let mut marks = Marks::new(low, limit);
                for part in digests.chunks(batch) {
                    marks.extend(part);
                    prop_assert!(marks.bytes() <= limit + limit / 2 + 1024, "{}", marks.bytes());
                }
                let marked = marks.finish();
                prop_assert_eq!(marked.low, low);
                for prefix in marked.prefixes() {
                    let prefix = u16::try_from(prefix).unwrap();
                    let part = marked.of_prefix(prefix);
                    prop_assert!(part.iter().all(|digest| digest.prefix() == prefix));
                    prop_assert!(part.iter().all(|digest| marked.contains(digest)));
                    found.extend_from_slice(part);
                }
                low = marked.high;
            }
            prop_assert_eq!(found, model.into_iter().collect::<Vec<_>>());
        }
    }
}
