//! Keys for encryption by drives: where they are kept, and which tape needs which.
//!
//! A media set is encrypted with the key of its pool. The drive never gets that key itself but one derived from it and the
//! set's UUID, so that no two sets share a key. What is on tape in the clear are the two labels: the set label
//! names the key by its fingerprint and carries it locked with its passphrase, so a tape, and the passphrase, are all that
//! it takes to read it (`docs/tape-encryption.md`).
//!
//! # What keeps data safe here
//!
//! Data that was written with a key that nobody has is lost, and a key that was written to tape in the clear protects
//! nothing. So:
//!
//! * a pool's key is looked up, and seen to be what its fingerprint says, before a job asks for the first tape
//!   ([`PoolKey::find`]); the set label with the locked key is on the tape before anything that the key encrypts;
//! * only a key that is locked with a passphrase is kept, and so only such a one gets on tape
//!   ([`KeyStore::insert`] and [`PoolKey::find`] both refuse others);
//! * both files of the store are replaced whole and in an order in which a crash leaves a key too many and never one too few
//!   ([`store`]);
//! * a key that is missing is an error that says which one, and how it comes back; it is never taken for damage of the
//!   tape ([`give_key_for`]).
//!
//! Keys and passphrases are wiped from memory when they are dropped, and no error or `Debug` shows them.

mod for_tape;
pub mod store;

pub use for_tape::{PoolKey, drive_key_of_set, give_key_for, hint_on_tape};
pub use store::{KeyInfo, KeyStore};

#[cfg(test)]
mod tests;
