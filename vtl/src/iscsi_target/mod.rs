//! An iSCSI target (RFC 7143) in front of a library: the changer is logical unit 0, drive N is N + 1.
//!
//! # Threads
//!
//! Each connection has a thread that reads it (`reader`), and a session one more for each logical unit
//! that was given something long to do (`lanes`). A command is carried out (`worker`) where it is cheapest: by
//! the reading thread if it is short, nothing waits before it and the drive is free, else by the
//! unit's thread. So a LOCATE of minutes holds up neither NOPs nor other units, and a stream of
//! blocks pays for no change of threads. Whoever carried a command out sends its end (`outbox`).
//!
//! # What no peer can do
//!
//! * **Harm a cartridge.** A command is carried out only when its data has arrived whole, so a session
//!   that dies in the middle of a WRITE leaves the tape as of the block before.
//! * **Harm another session.** Sessions share nothing but the units, which carry out one command at a
//!   time and hold no lock while anything is sent or received. A peer that does not read blocks its own
//!   threads, until a send has made no progress for [`SEND_STALL`].
//! * **Take memory without end.** [`limits`] has all bounds: connections, steps and length of a login,
//!   commands in a session, bytes that wait in it, data of one command. Data segments are refused by
//!   their announced length before anything is allocated.
//!
//! # What is supported
//!
//! One connection a session, error recovery level 0: whatever breaks the protocol, or a digest, ends
//! the session, whose host logs in again (session recovery, RFC 7143 §7.1.4). Task attributes are
//! accepted and tasks carried out in the order of their arrival. A host that logs in again under the
//! same ISID takes the place of its old session (§6.3.5), which ends as after a lost connection.

mod discovery;
mod event;
mod lanes;
mod limits;
mod login;
mod management;
mod outbox;
mod reader;
mod registry;
mod server;
mod session;
mod stream;
mod units;
mod worker;
mod write_data;

pub use event::{Event, Observer};
pub use server::{Target, TargetOptions, TargetUnit};
pub use units::LUN_CHANGER;
