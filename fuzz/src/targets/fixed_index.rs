//! A fixed index of any bytes is refused, or it is whole, and encoding it gives the same entries.

use datastore::index::{FixedIndex, Index};

use super::index::check;

/// See the module.
pub fn run(data: &[u8]) {
    let Ok(index) = FixedIndex::decode(data, &"index") else { return };
    let again = FixedIndex::decode(&index.encode(), &"again").unwrap();
    check(&Index::Fixed(index), &Index::Fixed(again));
}
