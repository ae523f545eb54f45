//! The handle through which a caller watches and ends a long operation.

/// Watches a long operation and may end it. `()` watches nothing.
pub trait Progress: Sync {
    /// So many bytes are to be moved, where that is known beforehand.
    fn total(&self, bytes: u64) {
        let _ = bytes;
    }

    /// So many more bytes are done.
    fn advance(&self, bytes: u64) {
        let _ = bytes;
    }

    /// The operation is to end now with [`crate::Error::Aborted`].
    fn is_aborted(&self) -> bool {
        false
    }
}

impl Progress for () {}
