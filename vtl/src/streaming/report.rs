//! What a drive counted while it streamed.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

/// One direction.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Transfers {
    /// Bytes between host and buffer.
    pub host_bytes: u64,
    /// Bytes between buffer and tape.
    pub tape_bytes: u64,
    /// How often the tape stopped because the buffer had nothing to write, or no room to read into.
    pub back_hitches: u64,
    /// Time of stopping, going back and running up again for them, without the wait for work between.
    pub back_hitch_time: Duration,
    /// Time that the tape ran, by speed in MB/s.
    pub streamed: BTreeMap<u32, Duration>,
    /// Time that commands of hosts waited for the tape.
    pub host_waited: Duration,
}

impl Transfers {
    /// Time that the tape ran at any speed.
    pub fn streamed_time(&self) -> Duration {
        self.streamed.values().sum()
    }

    fn add(&mut self, other: &Transfers) {
        self.host_bytes += other.host_bytes;
        self.tape_bytes += other.tape_bytes;
        self.back_hitches += other.back_hitches;
        self.back_hitch_time += other.back_hitch_time;
        for (speed, time) in &other.streamed {
            *self.streamed.entry(*speed).or_default() += *time;
        }
        self.host_waited += other.host_waited;
    }
}

/// Both directions. All zero on a library without a clock.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct StreamingReport {
    /// To the tape.
    pub written: Transfers,
    /// From the tape.
    pub read: Transfers,
    /// How often a host had the buffer written while there was something in it: synchronised filemarks, and what
    /// moves the tape.
    pub synchronisations: u64,
}

impl StreamingReport {
    /// Adds what another drive, or the same one earlier, counted.
    pub fn add(&mut self, other: &StreamingReport) {
        self.written.add(&other.written);
        self.read.add(&other.read);
        self.synchronisations += other.synchronisations;
    }
}
