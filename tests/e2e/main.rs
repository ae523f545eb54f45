//! The whole path through its public door: the `capstan` program, as a person or a script runs it.
//!
//! Each test has a [`world::World`] of its own: fresh folders, its own configuration and state.
//! Nothing here looks behind the command line except at what lies on the disk afterwards, so the
//! insides may change freely while these tests stay.
//!
//! * [`round_trip`] - files and images into a datastore and back
//! * [`tape`] - a datastore to tape cartridges and back
//! * [`media`] - cartridges in libraries, on shelves and in vaults, and what comes next
//! * [`golden`] - data written by the reference implementation (`CAPSTAN_GOLDEN`)
//! * [`checker`] - an independent reader of the formats over what Capstan writes (`CAPSTAN_CHECK`)
//! * [`check`] - disorder in a datastore, its status, and its end
//! * [`damage`] - damage in a datastore is found, named and mended
//! * [`bad_input`] - mistakes get a clear message and change nothing
//! * [`bad_devices`] - what is no drive, and tapes that can't be used
//! * [`mt`] - a drive, one command at a time
//! * [`drive_key`] - a key in a drive, by hand
//! * [`mtx`] - robots: moves, mtx in its own words, records of odd ones
//! * [`keys`] - keys: the default one, passphrases, paper, the master key
//! * [`tape_find`] - files in snapshots on cartridges
//! * [`tape_key`] - pools with a key
//! * [`tape_drives`] - several drives in one job
//! * [`disaster`] - the page about disasters, done as it stands
//! * [`tape_rescue`] - cartridges and nothing else
//! * [`tape_restore`] - what a restore needs, and cartridges in any order
//! * [`tape_feed`] - how a drive is fed, and what measures it
//! * [`tape_verify`] - cartridges that are verified
//! * [`property`] - any tree comes back as it was
//! * [`prune`] - pruning, its simulation, and what is verified
//! * [`upkeep`] - forgetting, notes, protection, groups and namespaces
//! * [`interrupt`] - jobs that are stopped or killed in the middle
//! * [`iscsi`] - units of a stranger's iSCSI target
//! * [`vtl_station`] - an operator's hands at an emulated library
//! * [`locks`] - who excludes whom between processes
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking and tells why on the standard error"
)]

#[macro_use]
mod world;
mod bad_devices;
mod bad_input;
mod barcode_sheet;
mod care;
mod check;
mod checker;
mod damage;
mod disaster;
mod drive_key;
mod drive_rig;
mod golden;
mod interrupt;
mod iscsi;
mod keys;
mod listing;
mod locks;
mod media;
mod mt;
mod mtx;
mod property;
mod prune;
mod round_trip;
mod tape;
mod tape_drives;
mod tape_extract;
mod tape_feed;
mod tape_find;
mod tape_key;
mod tape_rescue;
mod tape_restore;
mod tape_verify;
mod tape_world;
mod tree;
mod upkeep;
mod vtl_faults;
mod vtl_serve;
mod vtl_station;
