//! What a drive and the cartridge in it have gone through, asked in one go: seven short commands, none of which moves the
//! tape.
//!
//! What a drive does not keep is absent. Nothing that a job must learn is swallowed: a unit attention, a deferred error of a
//! write before and a way that failed end the asking and are told ([`Drive::usage`]), as the next command of the job would
//! have told them.

use scsi::command::attribute::{self, Attribute};
use scsi::command::device_statistics::DeviceStatistics;
use scsi::command::error_counters::ErrorCounters;
use scsi::command::log::DeviceActivity;
use scsi::command::statistics::VolumeStatistics;
use scsi::command::tape_alert::TapeAlerts;
use scsi::{Transport, transport};

use super::{Drive, Result};

const DOING: &str = "reading statistics";

/// What [`Drive::usage`] found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Usage {
    /// TapeAlert flags. Some drives clear them when they are read.
    pub alerts: Option<TapeAlerts>,
    /// What it is doing, and whether it asks to be cleaned.
    pub activity: Option<DeviceActivity>,
    /// The cartridge's life (LTO-5 and newer); absent without one.
    pub volume: Option<VolumeStatistics>,
    /// The cartridge's memory; absent without one.
    pub memory: Option<Vec<Attribute>>,
    /// The drive's life.
    pub device: Option<DeviceStatistics>,
    /// Errors of writing since the drive began to count.
    pub writing: Option<ErrorCounters>,
    /// Errors of reading since the drive began to count.
    pub reading: Option<ErrorCounters>,
}

impl Usage {
    /// An attribute of the cartridge's memory as a number.
    pub fn memory_number(&self, id: u16) -> Option<u64> {
        self.memory_attribute(id)?.number()
    }

    /// An attribute of the cartridge's memory as text; `None` if it is blank.
    pub fn memory_text(&self, id: u16) -> Option<String> {
        self.memory_attribute(id)?.render().filter(|text| !text.is_empty())
    }

    fn memory_attribute(&self, id: u16) -> Option<&Attribute> {
        self.memory.as_ref()?.iter().find(|one| one.id == id)
    }
}

impl Drive {
    /// Asks for all that the drive keeps about itself and the cartridge in it. Not for the middle of a stream of data: a
    /// drive may wait for its buffer to empty first.
    ///
    /// # Errors
    ///
    /// Those that are about something else than the page: the drive was reset, an earlier write failed, or it does not answer.
    pub fn usage(&mut self) -> Result<Usage> {
        Ok(Usage {
            alerts: self.ask(TapeAlerts::request)?,
            activity: self.ask(DeviceActivity::request)?,
            volume: self.ask(VolumeStatistics::request)?,
            memory: self.ask(attribute::read_all)?,
            device: self.ask(DeviceStatistics::request)?,
            writing: self.ask(ErrorCounters::of_writing)?,
            reading: self.ask(ErrorCounters::of_reading)?,
        })
    }

    /// `None` where the drive has no answer: it does not know the page, has no cartridge, or says nothing that makes sense.
    fn ask<T>(
        &mut self,
        question: impl Fn(&mut dyn Transport) -> Result<T, transport::Error>,
    ) -> Result<Option<T>> {
        match question(&mut self.transport) {
            Ok(answer) => Ok(Some(answer)),
            Err(transport::Error::Malformed { .. }) => Ok(None),
            Err(error) if error.sense().is_some_and(is_only_a_refusal) => Ok(None),
            Err(error) => Err(self.fail(DOING, error)),
        }
    }
}

fn is_only_a_refusal(sense: &scsi::Sense) -> bool {
    !sense.deferred
        && (sense.key == scsi::SenseKey::IllegalRequest || sense.key == scsi::SenseKey::NotReady)
}
