//! Datastore to tape.
//!
//! `snapshot reader → chunks that the set lacks → chunk archives → snapshot archive → catalog`. For
//! each snapshot all its chunks come before its archive; so a snapshot archive that is whole can
//! always be restored from the tapes up to it.

pub mod chunk_feed;
mod identify;
mod job;
mod pool_writer;

pub use chunk_feed::ChunkOrder;
pub use job::{GroupFilter, TapeBackupOptions, TapeBackupReport, run_backup};
pub use pool_writer::PoolWriter;

#[cfg(test)]
mod tests;
