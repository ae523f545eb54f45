//! How a long operation tells where it is and learns that it should stop.

/// What a long operation reports to and asks. Nothing below the binary prints; a caller that shows
/// a bar, fills a task log or ignores it all implements this.
pub trait Progress: Send + Sync {
    /// Asked often; `true` makes the operation end with [`crate::Error::Aborted`] as soon as that is
    /// safe.
    fn is_aborted(&self) -> bool {
        false
    }

    /// So many bytes of the whole are done (sum of all calls).
    fn advance_bytes(&self, _bytes: u64) {}

    /// The size of the whole in bytes became known or changed.
    fn expect_bytes(&self, _bytes: u64) {}

    /// A phase that counts no bytes did `done` of `total` steps.
    fn step(&self, _phase: &str, _done: u64, _total: u64) {}

    /// Something a person should read now, but that is no failure.
    fn note(&self, _text: &str) {}

    /// Something is wrong although the operation goes on.
    fn warn(&self, _text: &str) {}
}

/// Reports nowhere and is never aborted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {}
