//! Power loss and failing disks: whatever happens at whatever moment of whatever operation, no
//! finished snapshot is lost.
//!
//! [`images`] records each operation once and loses power before every single thing that it did to
//! the file system, in every way that the model knows (`CrashMode`). [`faults`] lets every single
//! call fail in every way that a system fails. [`world`] says what is checked afterwards.
//!
//! `CAPSTAN_CRASH_SEEDS` sets the number of random crashes a moment; `make crash` sets it high.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod cases;
mod faults;
mod images;
mod marks;
mod verdict;
mod world;
