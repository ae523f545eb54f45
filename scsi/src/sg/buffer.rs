//! Page-aligned buffers.
//!
//! Host adapters are known that corrupt data or refuse a command whose buffer begins elsewhere, and the
//! kernel moves whole pages without copying.

const PAGE_BYTES: usize = 4096;

/// True if the buffer begins at a page.
pub(super) fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(PAGE_BYTES)
}

/// A page-aligned part of `store`, `length` bytes long.
pub(super) fn aligned(store: &mut Vec<u8>, length: usize) -> &mut [u8] {
    let needed = length.saturating_add(PAGE_BYTES);
    if store.len() < needed {
        store.resize(needed, 0);
    }
    let start = store.as_ptr().addr().wrapping_neg() % PAGE_BYTES;
    // `start` is below one page, and one page more than `length` is there.
    store.get_mut(start..start + length).unwrap_or(&mut [])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounce_buffers_are_page_aligned() {
        let mut store = Vec::new();
        for length in [1, 4096, 262_144, 5] {
            let buffer = aligned(&mut store, length);
            assert_eq!(buffer.len(), length);
            assert!(is_aligned(buffer));
        }
    }
}
