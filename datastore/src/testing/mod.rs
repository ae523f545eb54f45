//! Storages for tests, behind the feature `testing`: one that loses power or fails where it is told
//! to, and one that stops there.

pub mod crash_fs;
pub mod stops;

pub use crash_fs::{Call, CallKind, CrashFs, CrashMode, Fault, FaultAt, Image, Journal, Rng};
pub use stops::*;
