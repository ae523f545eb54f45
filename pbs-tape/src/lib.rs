//! The tape side of Capstan: LTO tapes in the open format of Proxmox Backup Server.
//!
//! Words: a *tape* (medium) has a label with a UUID; tapes are written one after the other as a
//! *media set*; a *pool* says which tapes are used for what and when a set ends. On tape there are
//! *files* of 256 KiB blocks: labels, *chunk archives*, *snapshot archives* and *catalog archives*.
//! The *inventory* knows the tapes, a *media catalog* knows what is on one.
//!
//! Floors of this crate, from below:
//!
//! * [`mod@format`]: the bytes on tape;
//! * [`drive`] and [`device`]: a tape in a drive, and the trait through which jobs see it;
//! * [`media`]: the state directory: inventory, media catalogs, pools, locks;
//! * [`keys`]: the keys of encrypted tapes;
//! * [`care`]: what cartridges and drives went through, and what is to be done about it;
//! * [`loader`] and [`station`]: bringing the right tape into the drive;
//! * [`mod@write`] and [`mod@restore`]: datastore to tape and back; [`mod@verify`]: is what is on tape still right;
//! * [`mod@extract`]: files straight from tape;
//! * [`benchmark`]: how fast disk and drive are;
//! * [`mod@rescue`]: everything that can be read of whatever tapes there are, with nothing else at hand;
//! * [`labels_on_paper`]: bar codes to stick on cartridges;
//! * [`operations`]: one file an operation, as a command line or a server calls it.
//!
//! Everything in the state directory can be rebuilt from the tapes. The crate prints nothing.

pub mod benchmark;
pub mod care;
mod chunk_workers;
pub mod device;
pub mod drive;
mod error;
pub mod extract;
pub mod format;
#[cfg(test)]
mod golden;
pub mod keys;
pub mod labels_on_paper;
pub mod loader;
pub mod media;
pub mod operations;
#[cfg(test)]
mod over_vtl;
pub mod rescue;
pub mod restore;
pub mod station;
#[cfg(test)]
mod testing;
pub mod verify;
pub mod write;

pub use error::{BlockFault, Error, Result, ResultExt};
