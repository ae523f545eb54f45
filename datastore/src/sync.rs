//! The mutex that may be held while storage is used.
//!
//! It is the standard one. Under the feature `model` it is that of the `shuttle` scheduler, which runs
//! many orders of several threads one by one (`tests/model.rs`): a standard mutex would block the
//! scheduler itself if its holder is interrupted. Mutexes that are never held across a storage call need
//! not come from here.

#[cfg(feature = "model")]
pub use shuttle::sync::{Mutex, MutexGuard};
#[cfg(not(feature = "model"))]
pub use std::sync::{Mutex, MutexGuard};
