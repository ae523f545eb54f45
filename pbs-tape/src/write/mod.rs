//! Datastore to tape.
//!
//! `snapshot reader → chunks that the set lacks → chunk archives → snapshot archive → catalog`. For
//! each snapshot all its chunks come before its archive; so a snapshot archive that is whole can
//! always be restored from the tapes up to it.

//!
//! A job (`job`) has a stream a drive (`stream`, `streams`). Each takes what its feed (`feed`) has planned and read ahead of it, and its
//! writer (`pool_writer`) puts it onto the tapes of a set; what the set holds already is `known`.

pub mod feed;
mod filters;
mod identify;
mod job;
mod known;
mod mirror;
mod options;
mod pool_writer;
mod report;
mod snapshot_files;
mod stream;
mod streams;

pub use feed::{BufferSize, ChunkOrder};
pub use filters::GroupFilter;
pub(crate) use job::find_groups;
pub use job::{run_backup, run_backup_on};
pub(crate) use known::Known;
pub use mirror::{CopyTo, run_mirrored};
pub use options::{TapeBackupOptions, buffer_bytes_max};
pub(crate) use report::WriterTimes;
pub use report::{CopyReport, FeedReport, MirrorReport, Rests, StreamReport, TapeBackupReport};
pub(crate) use streams::queue::{Dealt, DealtGroup};

#[cfg(test)]
pub(crate) mod tests;
