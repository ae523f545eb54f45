//! Datastore to tape.
//!
//! `snapshot reader → chunks that the set lacks → chunk archives → snapshot archive → catalog`. For
//! each snapshot all its chunks come before its archive; so a snapshot archive that is whole can
//! always be restored from the tapes up to it.

//!
//! The job (`job`) takes what a feed (`feed`) has planned and read ahead of it, and a writer (`pool_writer`) puts it onto the
//! tapes of a set.

pub mod feed;
mod filters;
mod identify;
mod job;
mod options;
mod pool_writer;
mod report;
mod snapshot_files;

pub use feed::{BufferSize, ChunkOrder};
pub use filters::GroupFilter;
pub use job::run_backup;
pub use options::TapeBackupOptions;
pub use pool_writer::PoolWriter;
pub use report::{FeedReport, Rests, TapeBackupReport, WriterTimes};

#[cfg(test)]
mod tests;
