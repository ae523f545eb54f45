//! Media changers: what is where in a tape library, and moving tapes about in it.
//!
//! * [`Changer`]: the operator's view: load, unload, transfer, export, by slot number or label text;
//! * [`Status`]: what is where, numbered as operators count, in both JSON shapes that tools expect;
//! * [`mod@element`]: how a library is asked for its elements.
//!
//! The crate knows tapes only by their bar codes. Whether a tape *is* the one that its bar code
//! promises is told by the label written on it, which others read.

pub mod element;
mod error;
mod library;
mod status;

pub use error::{Error, Result};
pub use library::{Abort, Changer, Patience};
pub use status::{
    CLEANING_PREFIX, DriveStatus, ElementStatus, Entry, EntryKind, Place, SlotStatus, Status,
    TransportStatus,
};
