//! Reading and writing take time: the drive's part of [`crate::streaming`].
//!
//! A handler moves its data on the files at once and then tells the model, which says when the tape has come so far; the
//! command ends at that time of the clock. Between commands the model is only asked:
//! what the tape did meanwhile follows from the clock.
//!
//! The model holds no data. What a power cut or a deferred error takes is decided by the log alone (all that was
//! written since the last synchronisation), with and without a clock; the model's buffer is emptied with it.
//!
//! Without a clock the model is never asked: each way in begins with that question.

use std::time::Duration;

use super::work::Activity;
use super::{Drive, threaded};
use crate::generation::Generation;
use crate::streaming::{Direction, Figures, Stream, StreamingReport};
use crate::unit::Done;

/// The stream of a drive without a cartridge.
pub(super) fn empty(generation: Generation) -> Stream {
    Stream::new(Figures::new(generation, generation))
}

impl Drive {
    fn now(&self) -> Duration {
        self.home.clock().now()
    }

    /// The command ends when the model says so.
    fn wait_for_tape(&self) {
        self.home.clock().reach(self.stream.now());
    }

    /// A cartridge was threaded, or none is any more.
    pub(super) fn rethread_stream(&mut self) {
        let drive = self.generation();
        let cartridge = self.cartridge_state().map_or(drive, |state| state.generation);
        self.stream.set_figures(Figures::new(drive, cartridge));
    }

    /// What hosts and tape did in this drive since it was opened.
    pub(crate) fn streaming(&mut self) -> &StreamingReport {
        if self.home.clock().is_running() {
            let now = self.now();
            self.stream.catch_up(now);
        }
        self.stream.report()
    }

    /// A block went from the host into the buffer.
    pub(super) fn stream_written(&mut self, bytes: u64) {
        if self.home.clock().is_running() {
            self.stream.write(self.now(), bytes);
            self.wait_for_tape();
        }
    }

    /// A block before the position went from the buffer to the host.
    pub(super) fn stream_read(&mut self, bytes: u64) -> Done {
        if !self.home.clock().is_running() {
            return Ok(());
        }
        if !self.stream.is_reading() {
            let position = self.record.position;
            let log = &mut threaded(&mut self.medium)?.log;
            let behind = log.bytes().saturating_sub(log.bytes_before(position)?);
            self.stream.begin_reading(self.now(), behind.saturating_add(bytes));
        }
        self.stream.read(self.now(), bytes);
        self.wait_for_tape();
        Ok(())
    }

    /// The host wants what it wrote on tape.
    pub(super) fn synchronise_stream(&mut self) {
        if self.home.clock().is_running() {
            self.stream.synchronise(self.now());
            self.wait_for_tape();
        }
    }

    /// The last handle goes, or the drive starts anew: what lies in the buffer is written, and nobody waits for it.
    pub(super) fn finish_stream(&mut self) {
        let _nobody_waits = self.halt_stream();
    }

    /// The tape is to be moved elsewhere: what it takes to be free for that.
    pub(super) fn halt_stream(&mut self) -> Duration {
        if self.home.clock().is_running() { self.stream.halt(self.now()) } else { Duration::ZERO }
    }

    /// The same, and the host waits for it. Also with IMMED: what is buffered is written before the status is sent
    /// (SSC-5 §4.2.10,
    /// synchronize operations).
    pub(super) fn free_tape(&mut self) {
        if self.halt_stream() > Duration::ZERO {
            self.wait_for_tape();
        }
    }

    /// Data bytes of hosts that the model has in the buffer, and bytes that it read ahead.
    pub(super) fn buffered(&mut self) -> (u64, u64) {
        if !self.home.clock().is_running() {
            return (0, 0);
        }
        let now = self.now();
        (self.stream.unwritten_bytes(now), self.stream.read_ahead_bytes(now))
    }

    /// What the drive does with data, if the tape moves for it.
    pub(super) fn transfer_activity(&mut self) -> Option<Activity> {
        if !self.home.clock().is_running() {
            return None;
        }
        Some(match self.stream.moving(self.now())? {
            Direction::Writing => Activity::Writing,
            Direction::Reading => Activity::Reading,
        })
    }
}
