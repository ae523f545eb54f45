//! Media catalogs: which snapshots and chunks are in which file of a tape.
//!
//! Safety argument. A catalog must never promise what the tape does not hold, because a later job
//! skips what is promised:
//!
//! * records collect in memory and reach the file by [`MediaCatalog::commit`] only, which the writer
//!   calls after the tape was synced. A crash between the two leaves files on tape that no catalog
//!   knows: wasted space, no lost data;
//! * a commit is one append under an exclusive `flock`, then fdatasync; loading takes the same lock
//!   and never sees half of a living writer's commit;
//! * a commit that a power cut tore is recognised when the catalog is loaded: a last record that is
//!   cut, an archive that never ends, a tail of zeros. Loading to read ignores that tail; loading to
//!   write keeps a copy of the file beside it (`<uuid>.torn`) and cuts back to the last complete
//!   label, archive or snapshot. Anything else that is wrong in the middle of a file is an error;
//! * a new catalog is built under a temporary name and renamed when it is complete;
//! * chunks are looked up in an index beside the log (`index`), which is believed only as far as it
//!   was checked, and in the log where there is none;
//! * the same rules are checked when records are loaded and when they are added, so that what is
//!   written can be read.

mod archive_lists;
mod chunks;
mod content;
mod file;
mod index;
mod load;
mod log;
mod order;
pub mod record;
mod snapshot_list;

pub use archive_lists::archive_lists;
pub use content::{CatalogContent, StoreContent};
pub(crate) use content::{DigestMap, DigestSet};
pub use file::MediaCatalog;
pub use log::check_catalog_stream;
pub use snapshot_list::{SnapshotLists, snapshot_list};

#[cfg(test)]
mod tests;
