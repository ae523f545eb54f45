//! Hunts: the program is killed, starved and crowded, and afterwards nothing that was finished may
//! be lost.
//!
//! * [`kill`] - killed at random times while it backs up, collects and prunes
//! * [`many_clients`] - many backups at once to one store, beside collection, pruning, verification
//!   and removal
//! * [`faults`] - a full disk, too few descriptors, a file system that turns read-only
//!
//! Short versions run with the other tests. `make hunt` runs the long ones; the variables that make
//! them longer stand at the head of each file. Each prints the seed that repeats its choices
//! (`CAPSTAN_SEED`); what a race does with them is its own matter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    dead_code,
    reason = "a test fails by panicking and tells why on the standard error; the world is shared with other tests"
)]

#[macro_use]
#[path = "../e2e/world.rs"]
mod world;
mod faults;
mod generations;
mod kill;
mod many_clients;
mod store;
