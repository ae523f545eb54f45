//! How a drive streams: the buffer between host and tape, the speeds that the tape can run at, and what it costs
//! when they do not fit.
//!
//! A tape is read and written only while it runs, at one of a few speeds (*steps*). A buffer evens out
//! what the host does. If it runs dry while the tape runs, the tape has to stop, go back behind where it
//! left off and wait there: a *back-hitch*.
//!
//! * `figures`: buffers and steps of each generation, with their sources.
//! * `model`: the pure model of one drive in time. It knows no clock, no tape and no drive, and can be used without
//!   a library: [`Stream`].
//! * `report`: what it counts.

mod figures;
mod model;
mod report;
#[cfg(test)]
mod tests;

pub use figures::Figures;
pub use model::{Direction, Stream};
pub use report::{StreamingReport, Transfers};
