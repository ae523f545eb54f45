//! Behaviour of an emulated library, seen only through its public doors: raw commands, and the
//! operator's calls.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::type_complexity,
    reason = "helpers of tests fail the test"
)]

mod changer;
mod encryption;
mod exchange;
mod faults;
mod generations;
mod host;
mod hosts;
mod interchange;
mod lanes;
mod mistakes;
mod model;
mod offered;
mod pages;
mod partitions;
mod protection;
mod reservations;
mod sharing;
mod station;
mod streaming;
mod tape;
mod timing;
mod verify;
mod write_protection;
