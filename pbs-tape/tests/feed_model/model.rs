//! Disk, buffer and drive in time: the gate of real jobs between a modelled disk and a modelled LTO-9 drive.
//!
//! Pure: the same run gives the same figures. The disk reads chunks one after the other as long as there is room; the host takes what the gate
//! gives and writes it into the drive's buffer; [`Stream`] says how long that took and how often the tape stopped.

use std::time::Duration;

use pbs_tape::write::BufferSize;
use pbs_tape::write::feed::{Decision, Gate, Level};
use vtl::Generation;
use vtl::streaming::{Figures, Stream};

/// Bytes of a chunk's file: 4 MiB that do not compress.
const CHUNK_BYTES: u64 = 4 << 20;
/// What feeds had before there was a buffer: a queue of 8 chunks.
const QUEUE_BYTES: u64 = 8 * CHUNK_BYTES;
/// Bytes a second between host and drive.
const INTERFACE_BYTES_PER_S: u64 = 1_100_000_000;
/// The slowest step of an LTO-9 drive.
const SLOWEST_BYTES_PER_S: u64 = 177_000_000;

/// A disk.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    pub name: &'static str,
    /// Reading in a row.
    pub mb_per_s: u64,
    /// A seek, and before each how manieth chunk there is one; 0 for never.
    pub seek_ms: u64,
    pub seek_every: u64,
    /// Busy for so many seconds with something else in each minute.
    pub away_s: u64,
}

impl Disk {
    pub const ALL: [Disk; 6] = [
        Disk {
            name: "HDD 100 MB/s, 8 ms a chunk",
            mb_per_s: 100,
            seek_ms: 8,
            seek_every: 1,
            away_s: 0,
        },
        Disk {
            name: "HDD 100 MB/s, 8 ms each 8th",
            mb_per_s: 100,
            seek_ms: 8,
            seek_every: 8,
            away_s: 0,
        },
        Disk { name: "array 170 MB/s", mb_per_s: 170, seek_ms: 0, seek_every: 0, away_s: 0 },
        Disk { name: "array 250 MB/s", mb_per_s: 250, seek_ms: 0, seek_every: 0, away_s: 0 },
        Disk {
            name: "array 350 MB/s, 6 s away a minute",
            mb_per_s: 350,
            seek_ms: 0,
            seek_every: 0,
            away_s: 6,
        },
        Disk {
            name: "SSD 700 MB/s, 6 s away a minute",
            mb_per_s: 700,
            seek_ms: 0,
            seek_every: 0,
            away_s: 6,
        },
    ];

    /// When the chunk that it begins to read at `from` is there.
    fn done(&self, number: u64, from: Duration) -> Duration {
        let minute = Duration::from_secs(60);
        let in_minute = Duration::from_nanos((from.as_nanos() % minute.as_nanos()) as u64);
        let away = Duration::from_secs(self.away_s).saturating_sub(in_minute);
        let seeks = self.seek_every > 0 && number.is_multiple_of(self.seek_every);
        let seek = Duration::from_millis(if seeks { self.seek_ms } else { 0 });
        from + away + seek + Duration::from_micros(CHUNK_BYTES / self.mb_per_s)
    }
}

/// What a run came to.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    pub bytes: u64,
    pub time: Duration,
    pub back_hitches: u64,
    pub peak_bytes: u64,
}

impl Outcome {
    pub fn back_hitches_per_tb(&self) -> f64 {
        self.back_hitches as f64 / (self.bytes as f64 / 1e12)
    }

    pub fn mb_per_s(&self) -> f64 {
        self.bytes as f64 / 1e6 / self.time.as_secs_f64()
    }
}

/// Writes `gb` GB. Without a size as before there was a buffer: whatever has come is written.
pub fn run(disk: Disk, size: Option<BufferSize>, gb: u64) -> Outcome {
    let mut stream = Stream::new(Figures::new(Generation::Lto9, Generation::Lto9));
    let mut gate = Gate::new(size.unwrap_or(BufferSize::Fixed(QUEUE_BYTES)));
    gate.set_drive_slowest(Some(SLOWEST_BYTES_PER_S));
    let chunks = gb * 1_000_000_000 / CHUNK_BYTES;
    let (mut begun, mut come, mut written) = (0, 0, 0);
    let mut now = Duration::ZERO;
    let mut reading: Option<Duration> = None;
    let (mut was_room, mut peak_bytes) = (false, 0);
    while written < chunks {
        if reading.is_none() && begun < chunks {
            let held = (begun - written) * CHUNK_BYTES;
            if held + CHUNK_BYTES <= gate.capacity() {
                reading = Some(disk.done(begun, now));
                begun += 1;
            } else {
                was_room = false;
            }
        }
        if let Some(done) = reading.filter(|done| *done <= now) {
            come += 1;
            gate.arrived(done, CHUNK_BYTES, was_room);
            was_room = true;
            // The next one is begun when this one was there, if there is room.
            let held = (begun - written) * CHUNK_BYTES;
            reading = None;
            if begun < chunks && held + CHUNK_BYTES <= gate.capacity() {
                reading = Some(disk.done(begun, done));
                begun += 1;
            }
            continue;
        }
        let bytes = (come - written) * CHUNK_BYTES;
        peak_bytes = peak_bytes.max(bytes);
        let level = Level {
            bytes,
            snapshots: 1,
            is_final: come == chunks || (reading.is_none() && begun > written),
        };
        let decision = match size {
            Some(_) => gate.decide(now, level),
            None if bytes > 0 => Decision::Go,
            None => Decision::Rest,
        };
        match decision {
            Decision::Go if bytes > 0 => {
                gate.took(now, CHUNK_BYTES, level);
                now += stream.write(now, CHUNK_BYTES);
                now += Duration::from_nanos(CHUNK_BYTES * 1_000_000_000 / INTERFACE_BYTES_PER_S);
                written += 1;
            }
            Decision::At(time) => now = reading.map_or(time, |done| done.min(time)).max(now),
            Decision::Go | Decision::Rest => now = reading.unwrap_or(now).max(now),
        }
    }
    let end = now + stream.synchronise(now);
    Outcome {
        bytes: chunks * CHUNK_BYTES,
        time: end,
        back_hitches: stream.report().written.back_hitches,
        peak_bytes,
    }
}
