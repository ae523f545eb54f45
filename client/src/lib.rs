//! Backup and restore sessions: from files to a datastore and back.
//!
//! ```text
//! backup:   walker → pxar encoder → chunker → ┬ worker: digest, known?, compress, encrypt, store ┬ → index
//!           image file ───────────→ cutter  → ┘                                                  └
//! restore:  index → ┬ worker: read, decrypt, unpack, prove ┬ → in order → pxar decoder → files
//!                   └                                      ┘
//! ```
//!
//! [`session`] says what both need of the other side, which is a local datastore ([`local`]) today
//! and may be a server. [`pipeline`] and [`readahead`] are the parallel halves (and [`random`] the way to single files), [`backup`] and
//! [`restore`] the straight lines through them. The crate prints nothing.

pub mod backup;
mod error;
mod image;
pub mod local;
pub mod pipeline;
pub mod random;
pub mod readahead;
pub mod restore;
pub mod session;
pub mod source;
mod zeros;

pub use crate::error::{Error, Result};
