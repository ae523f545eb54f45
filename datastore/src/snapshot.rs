//! Snapshots: writing one so that it appears only when whole, and reading one that stays.

pub mod group;
pub mod reader;
pub mod writer;

pub use group::GroupWriter;
pub use reader::SnapshotReader;
pub use writer::SnapshotWriter;
