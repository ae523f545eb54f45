//! An emulated LTO tape library at the SCSI command level: drives (SSC), a media changer (SMC),
//! cartridges kept in files.
//!
//! A host reaches it through the same [`scsi::Transport`] as hardware. The crate knows nothing of
//! what is written to its tapes.
//!
//! * [`Library`]: the door. Create, open, list, add and remove cartridges, the operator's import/
//!   export station, interchange with plain files; hands out drives and the changer as transports.
//! * [`cartridge`]: one cartridge: the log of recorded objects, its index, its memory.
//! * `unit`: what every logical unit does alike: dispatch from a command table, unit attentions,
//!   INQUIRY, mode and log page plumbing. It does not know how a command reached it.
//! * `drive`, `changer`: the two device servers.
//! * `robot`: what is where, shared between processes; `element`: kinds and addresses of places.
//! * `home`: the library's folder in this process, as units and robot see it; `config`: its content
//!   `library.json`; `identity`: names and serial numbers of units.
//! * [`clock`]: the time that a library keeps; `timing`: how long things take; [`geometry`]: where data
//!   lies on the tape; [`streaming`]: buffer, speeds and stops between host and tape.
//! * [`iscsi_target`]: an iSCSI target in front of a library: the way for other programs and machines.
//! * [`faults`]: what goes wrong on demand: plans of rules, from text or from a seed.
//!
//! # Several processes at once
//!
//! A backup job may hold drive 0 while another process asks the changer. This is why that is safe:
//!
//! * **What is where** lives in one file (`robot.json`), replaced atomically, read and changed only
//!   under an exclusive `flock` that lasts one command. There is no second copy of that truth: a
//!   drive learns its cartridge from the same file. A counter (`robot.changes`) is bumped *before*
//!   the file is replaced; a drive compares it before each command, so it cannot miss a move, and a
//!   process killed between bump and replacement only causes one needless look.
//! * **A drive** belongs to the process that holds the `flock` on `driveN/lock`, from opening its
//!   first handle to dropping its last. Handles within the process share one device server behind a
//!   mutex. Another process cannot open the drive, and a move out of it is refused (5/53/02) unless
//!   the drive has unloaded the cartridge; a cartridge moved *into* it is noticed at the next
//!   command, as a unit attention.
//! * **A cartridge's files** are open in at most one place: an `flock` on the cartridge's folder is
//!   taken by the drive that has it threaded, or by a door of [`Library`] that reads or changes it
//!   from the host side (which the robot sees as an element it cannot reach).
//! * **Order of locks**: drive mutexes by number, then the robot's file, then cartridge, drive and
//!   station files (only ever tried, or held by others for no longer than a look). Nobody takes them in another order, so nobody waits
//!   in a circle.
//! * **Killed programs**: locks are the kernel's and vanish with the process. The drive's position
//!   and settings are written after each command that changes them to a fixed record in
//!   `driveN/state`, so the next program finds the tape where the last one left it, as with a real
//!   drive. After a restart of the machine that record is stale by definition and the drive powers
//!   on: rewound, with unit attention 29/00. What is on the tape is defended in
//!   [`cartridge`] alone and needs none of this.

mod abort;
pub mod barcode;
pub mod cartridge;
mod changer;
pub mod clock;
mod config;
mod date;
mod drive;
mod durable;
mod element;
mod encryption_control;
mod error;
pub mod faults;
pub mod generation;
pub mod geometry;
mod home;
mod identity;
pub mod iscsi_target;
mod library;
mod personality;
mod progress;
mod robot;
pub mod streaming;
mod timing;
mod unit;

pub use clock::{Clock, Lane, Timing};
pub use element::ElementKind;
pub use encryption_control::EncryptionControl;
pub use error::{Error, Result};
pub use generation::Generation;
pub use library::{
    ByHand, ChangerUnit, DriveUnit, HostSession, ImportOptions, InterchangeReport, Library,
    LibraryListing, ListedElement, Options, open_unit,
};
pub use personality::Personality;
pub use progress::Progress;
pub use streaming::StreamingReport;
pub use unit::name::Unit;
