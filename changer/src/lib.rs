//! Media changers: what is where in a tape library, and moving tapes about in it.
//!
//! * [`Changer`]: the operator's view: load, unload, transfer, export, by slot number or label text;
//! * [`Status`]: what is where, numbered as operators count, in both JSON shapes that tools expect;
//! * [`DriveMatch`]: which of its drives is that drive there, by serial number;
//! * [`mod@element`]: how a library is asked for its elements;
//! * [`survey`]: everything that is asked, with the answers, as a transcript of an odd library.
//!
//! The crate knows tapes only by their bar codes. Whether a tape *is* the one that its bar code
//! promises is told by the label written on it, which others read.

mod cache;
pub mod element;
mod error;
mod library;
mod matching;
mod status;
pub mod survey;
mod text;

pub use cache::StatusCache;
pub use error::{Error, Result};
pub use library::{Abort, Changer, Cleaned, Eject, Patience, Step};
pub use matching::{DriveMatch, serial_number};
pub use status::{
    CLEANING_PREFIX, DriveStatus, ElementStatus, Entry, EntryKind, Exception, Place, SlotStatus,
    Status, TransportStatus,
};
