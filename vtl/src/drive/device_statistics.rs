//! Device statistics, log page 14h (SSC-5 §8.3.7), and `driveN/lifetime.json`: what a drive counts over its whole
//! life.
//!
//! The counters are written when they change, which is once a load, a cleaning or a power cycle. Nothing hangs on them: a
//! file that is missing or makes no sense begins anew. Hours are those since the drive was made, for an emulated drive
//! has no switch. Motion hours and what belongs to them are not kept, so these parameters are left out.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Drive;
use crate::date;
use crate::durable;
use crate::error::Result;
use crate::unit::log_pages::Parameter;

const SECONDS_AN_HOUR: u64 = 3_600;

/// What happens to a drive often enough to be counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Load,
    Cleaning,
    PowerCycle,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counts {
    /// Seconds since 1970 when the drive was made.
    made: u64,
    loads: u64,
    cleanings: u64,
    power_cycles: u64,
}

/// The counters of one drive.
#[derive(Debug)]
pub(super) struct Lifetime {
    path: PathBuf,
    counts: Counts,
}

impl Lifetime {
    /// Those of the drive in `folder`.
    pub fn open(folder: &Path) -> Lifetime {
        let path = folder.join("lifetime.json");
        let counts = durable::read_json(&path).unwrap_or_else(|_| Counts {
            made: date::now_epoch(),
            loads: 0,
            cleanings: 0,
            power_cycles: 0,
        });
        Lifetime { path, counts }
    }

    /// Counts one more.
    pub fn count(&mut self, event: Event) -> Result<()> {
        let counter = match event {
            Event::Load => &mut self.counts.loads,
            Event::Cleaning => &mut self.counts.cleanings,
            Event::PowerCycle => &mut self.counts.power_cycles,
        };
        *counter = counter.saturating_add(1);
        durable::replace_json(&self.path, &self.counts)
    }
}

/// Page 14h.
pub(super) fn page(drive: &Drive) -> Vec<Parameter> {
    let counts = &drive.lifetime.counts;
    let hours = date::now_epoch().saturating_sub(counts.made) / SECONDS_AN_HOUR;
    let serial = format!("{:<32}", drive.identity.serial);
    vec![
        Parameter::number(0x0000, counts.loads, 4),
        Parameter::number(0x0001, counts.cleanings, 4),
        Parameter::number(0x0002, hours, 4),
        Parameter::number(0x000c, counts.power_cycles, 4),
        Parameter::number(0x000e, drive.record.write_errors, 4),
        Parameter::number(0x000f, drive.record.read_errors, 4),
        Parameter::text(0x0040, &serial),
        Parameter::text(0x0041, &serial),
        Parameter::number(0x0080, u64::from(drive.hosts.prevent_removal()), 1),
    ]
}
