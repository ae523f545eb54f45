//! Snapshots: writing one so that it appears only when whole, and reading one that stays.

pub mod reader;
pub mod writer;

pub use reader::SnapshotReader;
pub use writer::{GroupWriter, SnapshotWriter};
