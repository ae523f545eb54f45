//! Every cell of the locking table (`docs/formats/locks.md`) as a test.
//!
//! A cell `a_b` says what happens when B starts while A is in the middle of something. Each is
//! tried twice: [`table::same_process`] runs A and B in two threads of this process,
//! [`table::other_process`] runs A in a process of its own, which is this program once more. A is
//! held by [`datastore::testing::StopStorage`] at every place where it could do harm, B runs, A is
//! let go, and then both outcomes and everything in the store are looked at.
//!
//! * [`world`] - a small store, and what must be true of it at the end
//! * [`acts`] - the operations, and where each can be held
//! * [`holder`] - an operation that is held, in a thread or in another process
//! * [`cell`] - one cell: what is expected, and the run
//! * [`table`] - all cells
//! * [`races`] - what the table says beside who may run
//! * [`outside`] - operations that are not in the table
//! * [`docs`] - the table in the docs and the tests are the same
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test fails by panicking and tells where it is; the holder talks to its parent"
)]

mod acts;
mod cell;
mod docs;
mod holder;
mod outside;
mod races;
mod table;
mod world;
