//! Garbage collection through the crate's public door: nothing that an index names is ever removed,
//! everything else goes at its time, and the numbers are right.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod aborts;
mod cases;
mod golden;
mod model;
mod world;
