//! Looking after cartridges and drives: what they went through, and what is to be done about it.
//!
//! Each time a cartridge leaves a drive or a job ends, drive and cartridge are asked for their counters ([`recorder`]), and what
//! they say is appended to two histories, one of the cartridge and one of the drive ([`history`], `docs/formats/care-history.md`).
//! From them come [`statistics`] and a [`verdict`]. A drive that asks for it is cleaned between two tapes ([`cleaning`]).
//!
//! What may be relied on:
//!
//! * nothing about the data on tape rests on a history. It is never a reason for a job to fail, and a lost or damaged one costs
//!   what it knew and nothing else;
//! * totals are the cartridge's and the drive's own. A record that was lost is made up for by the next one;
//! * nothing is asked while data flows: only before a cartridge is ejected, and when a job lets go of the drive.

pub mod cleaning;
pub mod history;
pub mod limits;
pub mod overview;
pub mod record;
pub mod recorder;
pub mod statistics;
pub mod verdict;

pub use cleaning::{CleanPolicy, Cleaned};
pub use overview::Overview;
pub use record::{Counters, Event, Flags, Record};
pub use recorder::Recorder;
pub use verdict::{Judgement, Verdict};

#[cfg(test)]
mod tests;
