//! Snapshots: writing one so that it appears only when whole, reading one that stays, changing what
//! is not signed of it, and removing it so that no half of it looks whole.

pub mod group;
pub mod reader;
pub mod remove;
mod update;
pub mod writer;

pub use group::GroupWriter;
pub use reader::SnapshotReader;
pub use remove::{Forgotten, GroupFolder};
pub use writer::SnapshotWriter;
