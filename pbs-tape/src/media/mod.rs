//! What is known about tapes without loading them: the state directory.
//!
//! * [`state`]: its files, how they are replaced, and its locks;
//! * [`inventory`]: which tapes exist and where they are (`docs/formats/inventory.md`);
//! * [`catalog`]: what is on each tape (`docs/formats/media-catalog.md`);
//! * [`set`]: the tapes of one media set and their catalogs together;
//! * [`pool`]: which tape is written next; [`policy`] and [`expiry`]: by which rules.
//!
//! * [`pool_status`]: what a pool will do next; [`listing`]: what there is; [`clock`]: what time it is;
//! * [`file_lists`]: which files are in the snapshots on tape; [`find`] and [`find_files`]: where something is.
//!
//! Nothing here talks to a drive. Everything can be rebuilt from the tapes themselves
//! ([`crate::operations::catalog`]).

pub mod catalog;
pub mod clock;
pub mod expiry;
pub mod file_lists;
pub mod find;
pub mod find_files;
pub mod inventory;
pub mod listing;
pub mod policy;
pub mod pool;
pub mod pool_status;
pub mod set;
mod set_members;
pub mod state;

pub use catalog::MediaCatalog;
pub use clock::Clock;
pub use expiry::Expiry;
pub use inventory::{Inventory, InventoryEntry, Location, MediaId, MediaStatus};
pub use policy::{Allocation, PoolConfig, Retention};
pub use pool::{MediaPool, Reach};
pub use set::MediaSet;
pub use state::{Lock, StateDir};
