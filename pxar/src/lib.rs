//! File archives: a directory tree as one stream of bytes, in the pxar format (versions 1 and 2),
//! and the pcat1 catalog that lists it.
//!
//! * [`format`](mod@format): item types, layouts, limits; the only place that knows offsets;
//! * [`metadata`] and [`acl`]: what is kept of a file besides name and content;
//! * [`encoder`] writes an archive, [`decoder`] reads one from front to back, [`accessor`] reads
//!   single entries out of the middle;
//! * [`create`] and [`extract`] move between archives and real file systems, [`exclude`] selects;
//! * [`catalog`]: names, sizes and times of all archives of a snapshot, for browsing;
//! * [`listing`]: an entry as a line for people.
//!
//! # Safety of what is read
//!
//! Everything that reads bytes is *total*: hostile or damaged input gives an [`Error`] naming the
//! offset. No item is held in memory beyond its format's maximum (68 KiB), tables grow only with
//! bytes that were really read, and nesting is bounded by the length of a path. Extraction works
//! relative to descriptors of directories it opened itself without following symbolic links, so no
//! archive can make it touch anything outside its target folder.

pub mod accessor;
pub mod acl;
pub mod catalog;
pub mod create;
pub mod decoder;
pub mod encoder;
mod entry;
mod error;
pub mod exclude;
pub mod extract;
pub mod format;
mod items;
pub mod listing;
pub mod metadata;
pub mod monitor;
mod sys;

pub use accessor::Accessor;
pub use decoder::{Decoder, EntryKind};
pub use encoder::Encoder;
pub use error::{Damage, Error, Stream};
pub use metadata::{Metadata, Timestamp};
pub use monitor::{Monitor, Silent, Warning};

#[cfg(test)]
mod tests;
