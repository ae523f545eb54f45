//! Speaking SCSI: command descriptor blocks, sense data and the ways to a device.
//!
//! The crate knows no backup. It offers:
//!
//! * [`Transport`]: one logical unit that takes a command and answers it. Hardware behind `/dev/sg*`
//!   ([`sg`]), units of iSCSI targets ([`iscsi::initiator`]) and an emulated library in this process
//!   (crate `vtl`) implement it; [`retry`] repeats over any of them what the device certainly did not do;
//! * [`sense`]: what a device says when a command did not simply work;
//! * [`command`]: typed commands and replies of SPC, SSC and SMC, so that no other crate builds or
//!   picks apart SCSI bytes;
//! * [`iscsi`]: the protocol that carries commands over TCP, for both sides;
//! * [`address`]: the one form in which a user names a device, and [`discover`], which finds those of
//!   this machine;
//! * [`timeouts`]: the time that a device itself recommends for a command, where that is longer than ours;
//! * [`transcript`]: what a device answered, as a text that can be sent and played.

pub mod address;
pub mod command;
pub mod discover;
pub mod iscsi;
pub mod retry;
pub mod sense;
pub mod sg;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod timeouts;
pub mod transcript;
pub mod transport;

pub use address::{Address, AddressError, VtlUnit};
pub use sense::{Sense, SenseKey};
pub use transport::{Connect, Data, Error, Reply, Status, Transport};
