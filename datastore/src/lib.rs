//! The disk side of Capstan: a deduplicating datastore in the open format of Proxmox Backup Server.
//!
//! A *datastore* is a folder. Archives are cut into *chunks*, which lie under their digest in
//! `.chunks/`; an *index* lists the chunks of one archive in order; a *manifest* lists the archives
//! of one *snapshot* and is what makes the snapshot exist. Snapshots of one machine form a
//! *group*; *namespaces* hold groups.
//!
//! The door is [`Datastore`]. Everything that can lose data is argued for at the head of the file
//! that does it: [`chunk_store`] (insertion), [`snapshot::writer`] (order of a backup),
//! [`snapshot::remove`] (order of a removal), [`gc`] (removal of chunks), [`lock`] (who excludes
//! whom).
//!
//! The crate knows no tape and no network, and prints nothing. Formats are described in
//! `docs/formats/`.

pub mod blob;
pub mod calendar;
pub mod check;
pub mod chunk_store;
pub mod chunker;
pub mod crypt;
pub mod datastore;
pub mod destroy;
pub mod digest;
mod error;
pub mod fingerprint;
pub mod gc;
pub mod group;
pub mod hierarchy;
pub mod index;
pub mod key;
pub mod lock;
pub mod manifest;
pub mod namespace;
pub mod progress;
pub mod prune;
pub mod scope;
pub mod snapshot;
pub mod storage;
mod sync;
#[cfg(feature = "testing")]
pub mod testing;
pub mod time;
pub mod unsynced;
pub mod usage;
pub mod verify;

pub use crate::blob::DataBlob;
pub use crate::crypt::{CryptConfig, CryptMode};
pub use crate::datastore::Datastore;
pub use crate::digest::Digest;
pub use crate::error::{Error, Result};
pub use crate::fingerprint::Fingerprint;
pub use crate::hierarchy::{BackupGroup, BackupType, Namespace, SnapshotPath};
pub use crate::key::KeyConfig;
pub use crate::manifest::Manifest;
pub use crate::progress::Progress;
pub use crate::snapshot::{SnapshotReader, SnapshotWriter};
