//! A dynamic index of any bytes is refused, or it is whole, and encoding it gives the same entries.

use datastore::index::{DynamicIndex, Index};

use super::index::check;

/// See the module.
pub fn run(data: &[u8]) {
    let Ok(index) = DynamicIndex::decode(data, &"index") else { return };
    let again = DynamicIndex::decode(&index.encode(), &"again").unwrap();
    check(&Index::Dynamic(index), &Index::Dynamic(again));
}
