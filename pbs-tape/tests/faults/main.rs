//! Jobs on an emulated library in which things go wrong.
//!
//! * `matrix`: each fault during each operation, one by one (the table in `docs/testing.md`).
//! * `schedule`: random faults during random operations, by seed; one seed in four is about a `trouble`: damage that
//!   stays, a host without power, a dead drive, a stuck robot, two jobs at once.
//!
//! What must hold whatever happens: a job ends well or with an error that names the device or tape; what
//! a job ever recorded as being on tape comes back bit for bit; and once the fault is gone and an
//! operator did what operators do, the next job goes on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test")]

#[path = "../common/mod.rs"]
mod common;
mod dice;
mod matrix;
mod power;
mod schedule;
mod source;
#[path = "../common/store.rs"]
mod store;
mod trouble;
mod world;
