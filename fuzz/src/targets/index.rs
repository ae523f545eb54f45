//! What holds for an index of either kind: its entries lie behind one another without a gap, and every
//! position is found again.

use datastore::index::Index;

/// Checks an index that was decoded against itself and against `again`, decoded from its encoding.
pub fn check(index: &Index, again: &Index) {
    assert!(!index.is_empty());
    let mut end = 0;
    for position in 0..index.len() {
        let entry = index.entry(position).unwrap();
        assert_eq!(entry.start, end);
        assert!(entry.end > entry.start);
        // Few of many: the look-up is logarithmic, this loop need not be quadratic.
        if position % 64 < 2 {
            assert_eq!(index.position_of(entry.start), Some(position));
            assert_eq!(index.position_of(entry.end - 1), Some(position));
        }
        end = entry.end;
    }
    assert_eq!(index.content_size(), end);
    assert_eq!(index.entry(index.len()), None);
    assert_eq!(index.position_of(end), None);
    assert_eq!(again.compute_csum(), index.compute_csum());
    assert_eq!(again.len(), index.len());
}
