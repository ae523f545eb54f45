//! What a target tells whoever runs it.

use std::sync::Arc;

/// Something an operator may want to know.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A session began.
    SessionBegan {
        /// Name and ISID of the initiator.
        port: String,
        /// Where it comes from.
        peer: String,
    },
    /// A session ended.
    SessionEnded {
        /// Name and ISID of the initiator.
        port: String,
        /// How.
        reason: String,
    },
    /// Somebody could not log in.
    LoginRefused {
        /// Where it comes from.
        peer: String,
        /// Why.
        reason: String,
    },
    /// A unit could not carry a command out because the library's files failed.
    UnitFailed {
        /// Logical unit number.
        lun: u64,
        /// What the system said.
        reason: String,
    },
}

/// Hears of events, from any thread.
pub type Observer = Arc<dyn Fn(Event) + Send + Sync>;
