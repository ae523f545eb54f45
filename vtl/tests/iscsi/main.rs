//! The iSCSI target, seen from the other end of a socket: raw messages built with the codec, so that also
//! what no proper initiator sends can be sent.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "helpers of tests fail the test and print its seed"
)]

mod client;
mod commands;
mod hostile;
mod login;
mod management;
mod sessions;
mod transfer;
