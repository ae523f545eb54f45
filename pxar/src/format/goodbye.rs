//! The GOODBYE table: how a directory finds a child without reading its siblings.
//!
//! Content of the item: one record a child, then a tail record; 24 bytes each.
//!
//! | offset | size | record of a child                                  | tail                            |
//! |--------|------|----------------------------------------------------|---------------------------------|
//! | 0      | 8    | [`hash_name`] of the child's name                  | [`TAIL_MARKER`]                 |
//! | 8      | 8    | `goodbye_start - filename_start`                   | `goodbye_start - entry_start`   |
//! | 16     | 8    | bytes of the child from its FILENAME to its end    | `full_size` of the GOODBYE item |
//!
//! `goodbye_start` is the offset of the item's header. The tail lets a reader that knows only where
//! a directory ends find its table and its ENTRY. Two oddities are part of the format: in a version 2
//! archive the *root's* tail leads to offset 0 (the FORMAT_VERSION item) instead of its ENTRY, and in
//! a split archive the size of a file whose content was freshly written counts that content although
//! it lies in the other stream. A size is therefore an upper bound for anything but a directory.
//!
//! Records are sorted by hash and stored as the left-complete binary search tree in heap order
//! ([`tree_order`]): the children of record `i` are `2i + 1` (smaller) and `2i + 2` (larger).

use std::hash::Hasher;

use siphasher::sip::SipHasher24;
use zerocopy::byteorder::little_endian::U64;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// `hash` field of the last record.
pub const TAIL_MARKER: u64 = 0xef5e_ed5b_753e_1555;
/// Bytes of a record.
pub const RECORD_LEN: u64 = 24;

const HASH_KEY_0: u64 = 0x83ac_3f1c_fbb4_50db;
const HASH_KEY_1: u64 = 0xaa4f_1b68_7936_9fbd;

/// A record as it lies in the archive.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub struct RawRecord {
    /// Hash of the name, or [`TAIL_MARKER`].
    pub hash: U64,
    /// Distance back from the GOODBYE header.
    pub offset: U64,
    /// See the module's table.
    pub size: U64,
}

/// A record in the machine's own numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// Hash of the name, or [`TAIL_MARKER`].
    pub hash: u64,
    /// Distance back from the GOODBYE header.
    pub offset: u64,
    /// See the module's table.
    pub size: u64,
}

impl From<RawRecord> for Record {
    fn from(raw: RawRecord) -> Self {
        Self { hash: raw.hash.get(), offset: raw.offset.get(), size: raw.size.get() }
    }
}

impl From<Record> for RawRecord {
    fn from(record: Record) -> Self {
        Self {
            hash: U64::new(record.hash),
            offset: U64::new(record.offset),
            size: U64::new(record.size),
        }
    }
}

/// SipHash-2-4 of a file name with the format's keys.
#[must_use]
pub fn hash_name(name: &[u8]) -> u64 {
    let mut hasher = SipHasher24::new_with_keys(HASH_KEY_0, HASH_KEY_1);
    hasher.write(name);
    hasher.finish()
}

/// For `count` records sorted by hash: the sorted index that each position of the table holds.
#[must_use]
pub fn tree_order(count: usize) -> Vec<usize> {
    let mut order = vec![0; count];
    // (first sorted index, how many, position of the subtree's root). At most one pending subtree
    // a level, so the stack stays tiny.
    let mut pending = vec![(0, count, 0)];
    while let Some((first, len, position)) = pending.pop() {
        if len == 0 {
            continue;
        }
        let left = left_subtree_len(len);
        if let Some(slot) = order.get_mut(position) {
            *slot = first + left;
        }
        pending.push((first, left, 2 * position + 1));
        pending.push((first + left + 1, len - left - 1, 2 * position + 2));
    }
    order
}

/// How many of `len >= 1` records lie left of the root of a left-complete tree.
fn left_subtree_len(len: usize) -> usize {
    let power = 1 << len.ilog2();
    // With this many records the last level is exactly half full, so that the left subtree is full.
    let half_full = power + power / 2 - 1;
    if len > half_full { power - 1 } else { power - 1 - (half_full - len) }
}

/// Sort `records` by hash and bring them into table order.
pub fn arrange(records: &mut Vec<Record>) {
    // The order of equal hashes is not defined by the format; a stable sort keeps the archive's.
    records.sort_by_key(|record| record.hash);
    let order = tree_order(records.len());
    *records = order.into_iter().filter_map(|index| records.get(index).copied()).collect();
}

/// All positions of a table in heap order whose record has this hash.
///
/// Equal hashes can lie on both sides of an equal record, so the search goes on in both subtrees.
pub fn positions_of_hash<T>(
    table: &[T],
    hash_of: impl Fn(&T) -> u64,
    wanted: u64,
) -> impl Iterator<Item = usize> {
    let mut pending = vec![0];
    std::iter::from_fn(move || {
        while let Some(position) = pending.pop() {
            let Some(record) = table.get(position) else { continue };
            let hash = hash_of(record);
            if hash >= wanted {
                pending.push(2 * position + 1);
            }
            if hash <= wanted {
                pending.push(2 * position + 2);
            }
            if hash == wanted {
                return Some(position);
            }
        }
        None
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_vectors() {
        for (name, hash) in [
            ("", 0x7661_4015_f8d1_bb6c),
            ("a", 0x0c26_e906_7c2c_7bcf),
            ("dir", 0x2a98_c23e_d399_e2bc),
            ("etc", 0xd0c2_29ed_bd41_1e9a),
            ("hello", 0xb87d_d821_b650_2e1b),
            ("file.txt", 0x9677_64f6_30c3_da14),
            ("hard", 0x15c0_5630_0a23_e75a),
            ("link", 0x04fe_0b2e_cf0f_c0ef),
            (".pxarexclude-cli", 0x0469_75ce_672e_09eb),
        ] {
            assert_eq!(hash_name(name.as_bytes()), hash, "{name}");
        }
    }

    #[test]
    fn permutation_tables() {
        let tables: [&[usize]; 12] = [
            &[0],
            &[1, 0],
            &[1, 0, 2],
            &[2, 1, 3, 0],
            &[3, 1, 4, 0, 2],
            &[3, 1, 5, 0, 2, 4],
            &[3, 1, 5, 0, 2, 4, 6],
            &[4, 2, 6, 1, 3, 5, 7, 0],
            &[5, 3, 7, 1, 4, 6, 8, 0, 2],
            &[6, 3, 8, 1, 5, 7, 9, 0, 2, 4],
            &[8, 4, 12, 2, 6, 10, 14, 1, 3, 5, 7, 9, 11, 13, 15, 0],
            &[9, 5, 13, 3, 7, 11, 15, 1, 4, 6, 8, 10, 12, 14, 16, 0, 2],
        ];
        for table in tables {
            assert_eq!(tree_order(table.len()), table);
        }
    }

    #[test]
    fn every_order_up_to_1000_is_a_bijection_that_finds_everything() {
        for count in 0..=1000 {
            let order = tree_order(count);
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>());
            for wanted in 0..count {
                let found: Vec<_> =
                    positions_of_hash(&order, |index| *index as u64, wanted as u64).collect();
                assert_eq!(found.len(), 1, "{wanted} of {count}");
                assert_eq!(order[found[0]], wanted);
            }
            assert_eq!(positions_of_hash(&order, |i| *i as u64, 5000).count(), 0);
        }
    }

    #[test]
    fn equal_hashes_are_all_found() {
        for count in 1..60_u64 {
            // Runs of equal hashes of every length at every place of the tree.
            for run in 1..=count {
                let mut records: Vec<_> =
                    (0..count).map(|i| Record { hash: i / run, offset: i, size: 0 }).collect();
                arrange(&mut records);
                for hash in 0..=(count - 1) / run {
                    let mut found: Vec<_> = positions_of_hash(&records, |r| r.hash, hash)
                        .map(|position| records[position].offset)
                        .collect();
                    found.sort_unstable();
                    let expected: Vec<_> = (0..count).filter(|i| i / run == hash).collect();
                    assert_eq!(found, expected);
                }
            }
        }
    }
}
