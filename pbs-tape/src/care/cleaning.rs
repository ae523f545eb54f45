//! Cleaning: whether a drive asks for it, which cleaning cartridge is used, and what is remembered of it.
//!
//! Why nothing is lost by it:
//!
//! * a drive is only cleaned while no tape is written or read in it: after a tape was put away, or before the next is loaded
//!   ([`crate::station`]);
//! * whoever cleans holds the lock of the library's cleaning cartridges, so that two jobs don't reach for the same one;
//! * a cartridge that is used up is remembered and not tried again, and a drive that still asks after it was cleaned is not
//!   cleaned again the same day: it would only use cartridges up.

use std::time::{Duration, Instant};

use changer::Changer;
use datastore::Progress;
use scsi::command::tape_alert::TapeAlerts;
use serde::{Deserialize, Serialize};

use super::history::History;
use super::record::{Counters, Event, Record, clip};
use super::recorder::Recorder;
use crate::drive::{Drive, Usage};
use crate::error::{Error, Result};
use crate::loader::check_abort;
use crate::media::{Lock, StateDir};

/// A drive that asks again within this time after it was cleaned is not cleaned by itself.
pub const CLEAN_AGAIN_AFTER_S: i64 = 86_400;
/// How long another job's cleaning is waited for. One takes minutes.
const OTHERS_CLEAN_WITHIN: Duration = Duration::from_secs(1200);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// The cleaning cartridge is used up, or of the wrong kind.
const USED_UP: [u8; 2] = [22, 23];

/// Whether a drive that asks to be cleaned is cleaned by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CleanPolicy {
    /// With a cleaning cartridge of its library, between two tapes.
    #[default]
    Auto,
    /// Only when an operator says so.
    Never,
}

/// How much a drive wants to be cleaned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Need {
    /// Soon: routine cleaning is due.
    Requested,
    /// At once: it does not write and read reliably any more.
    Required,
}

/// What a drive says about it; `None` if it does not ask.
pub fn need(usage: &Usage) -> Option<Need> {
    let alerts = usage.alerts.unwrap_or(TapeAlerts::EMPTY);
    let state = usage.activity.as_ref();
    if alerts.contains(20) || state.is_some_and(|state| state.cleaning_required()) {
        return Some(Need::Required);
    }
    let is_requested =
        alerts.is_cleaning_request() || state.is_some_and(|state| state.cleaning_requested());
    is_requested.then_some(Need::Requested)
}

/// A drive that was cleaned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cleaned {
    /// The drive's name.
    pub drive: String,
    /// Bar code of the cleaning cartridge.
    pub label_text: String,
    /// The slot in which it is again.
    pub slot: u64,
    /// How often it can be used again, if it tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cleanings_left: Option<u64>,
    /// The drive still asks to be cleaned.
    pub still_requested: bool,
}

/// One drive of a library, and what it takes to clean it.
pub struct Cleaning<'a> {
    /// Where histories are, and the lock.
    pub state: &'a StateDir,
    /// What names the library for the lock: its address.
    pub library: &'a str,
    /// The library.
    pub changer: &'a mut Changer,
    /// Number of the drive in it.
    pub number: u64,
    /// The robot's turn: held for each look and move, and not while the drive cleans.
    pub lock_robot: &'a dyn Fn() -> Result<Option<Lock>>,
    /// Opens the drive.
    pub open_drive: &'a dyn Fn() -> Result<Drive>,
    /// Of the drive.
    pub recorder: &'a Recorder,
    /// How the drive is called in messages.
    pub drive: &'a str,
}

impl Cleaning<'_> {
    /// Cleans the drive with the cartridge of bar code `label`, or with the one in the lowest slot that is not known to be used
    /// up. A tape in the drive is put back first. One that turns out to be used up is remembered, and the next is taken.
    ///
    /// # Errors
    ///
    /// No cleaning cartridge, or none with uses left; [`Error::CriticalAlerts`] if the drive reports trouble afterwards.
    pub fn run(&mut self, label: Option<&str>, progress: &dyn Progress) -> Result<Cleaned> {
        let _lock = self.lock(progress)?;
        let mut used_up = Vec::new();
        let mut candidates = Vec::new();
        let robot = (self.lock_robot)()?;
        let all = self.changer.cleaning_cartridges()?;
        drop(robot);
        for found in all {
            match label {
                Some(wanted) if wanted != found => {}
                None if is_used_up(self.state, &found) => used_up.push(found),
                _ => candidates.push(found),
            }
        }
        if candidates.is_empty() && used_up.is_empty() {
            return Err(changer::Error::NoCleaningCartridge {
                changer: self.changer.name().to_string(),
            }
            .into());
        }
        for candidate in candidates {
            check_abort(progress)?;
            progress.note(&format!(
                "cleaning drive {} with {candidate}, which takes some minutes",
                self.drive
            ));
            match self.clean_with(&candidate)? {
                Ok(cleaned) => return Ok(cleaned),
                Err(alerts) if label.is_some() => {
                    return Err(Error::CriticalAlerts { tape: candidate, alerts });
                }
                Err(alerts) => {
                    progress.warn(&format!(
                        "cleaning cartridge {candidate} can't be used any more ({alerts}); replace it"
                    ));
                    used_up.push(candidate);
                }
            }
        }
        Err(Error::CleaningCartridgesUsedUp { drive: self.drive.to_string(), cartridges: used_up })
    }

    /// Another job that cleans is waited for.
    fn lock(&self, progress: &dyn Progress) -> Result<Lock> {
        let start = Instant::now();
        let mut is_told = false;
        loop {
            match self.state.lock_cleaning(self.library) {
                Err(error @ Error::Locked { .. }) => {
                    if start.elapsed() >= OTHERS_CLEAN_WITHIN {
                        return Err(error);
                    }
                    if !is_told {
                        progress.note("waiting for another job that uses the cleaning cartridge");
                        is_told = true;
                    }
                }
                other => return other,
            }
            check_abort(progress)?;
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until the drive is done and the cartridge in its slot again. An abort does not end that: the cartridge must not stay in
    /// the drive.
    fn wait_for_cartridge(&mut self, slot: u64) -> Result<()> {
        let start = Instant::now();
        let patience = self.changer.patience();
        loop {
            let robot = (self.lock_robot)()?;
            let Some(error) = self.changer.end_cleaning(self.number, slot)? else { return Ok(()) };
            drop(robot);
            if start.elapsed() >= patience.clean_within {
                return Err(error.into());
            }
            std::thread::sleep(patience.poll_interval);
        }
    }

    /// The inner error names the flags that say that the cartridge is used up.
    fn clean_with(&mut self, label: &str) -> Result<std::result::Result<Cleaned, String>> {
        let done = {
            let _robot = (self.lock_robot)()?;
            self.changer.begin_cleaning(self.number, Some(label))?
        };
        // Its memory can be read while it cleans; a drive that does not say is fine.
        let memory = (self.open_drive)().ok().and_then(|mut drive| patient_usage(&mut drive).ok());
        self.wait_for_cartridge(done.slot)?;
        let mut drive = (self.open_drive)()?;
        // Takes off what is pending: nobody may have asked the drive anything since it was switched on.
        let _ = drive.is_ready();
        let usage = patient_usage(&mut drive)?;
        let alerts = usage.alerts.unwrap_or(TapeAlerts::EMPTY);
        let left = self.remember(label, memory.as_ref(), alerts);
        let bad: Vec<&str> =
            alerts.named().filter(|flag| flag.refuse).map(|flag| flag.name).collect();
        if !bad.is_empty() {
            let alerts_text = bad.join(", ");
            if USED_UP.iter().any(|number| alerts.contains(*number)) {
                return Ok(Err(alerts_text));
            }
            return Err(Error::CriticalAlerts { tape: label.to_string(), alerts: alerts_text });
        }
        // Flags that the drive cleared by being read are not asked for again.
        let _ = self.recorder.record(Event::Cleaning, &mut drive, None, alerts);
        Ok(Ok(self.cleaned(done, left, need(&usage).is_some())))
    }

    fn cleaned(
        &self,
        done: changer::Cleaned,
        cleanings_left: Option<u64>,
        still_requested: bool,
    ) -> Cleaned {
        Cleaned {
            drive: self.drive.to_string(),
            label_text: done.label,
            slot: done.slot,
            cleanings_left,
            still_requested,
        }
    }

    /// Writes a use of a cleaning cartridge into its history; how often it can be used again. What can't be written is warned of by
    /// the recorder's next record, and costs no more than another try with an empty cartridge.
    fn remember(&self, label: &str, memory: Option<&Usage>, alerts: TapeAlerts) -> Option<u64> {
        let path = self.state.care_cleaning_file(label);
        let _lock = self.state.lock_care().ok()?;
        let mut history = History::load(&path).ok()?;
        let before = history.records.last();
        let is_used_up = USED_UP.iter().any(|number| alerts.contains(*number));
        let told = memory.and_then(cleanings_left);
        let counted = before.and_then(|before| before.cleanings_left?.checked_sub(1));
        let time = self.state.now();
        let uses = before.map_or(0, |before| before.total.mounts).saturating_add(1);
        let raised = USED_UP
            .iter()
            .filter(|number| alerts.contains(**number))
            .fold(TapeAlerts::EMPTY, |flags, number| flags.with(*number));
        let record = Record {
            since: before.map_or(time, |before| before.time),
            time,
            event: Event::Cleaning,
            drive: Some(clip(self.drive)),
            label_text: Some(clip(label)),
            medium_serial: memory
                .and_then(|memory| memory.memory_text(scsi::command::attribute::MEDIUM_SERIAL))
                .map(|text| clip(&text)),
            alerts: super::Flags(raised),
            raised: super::Flags(raised),
            total: Counters { mounts: uses, ..Counters::default() },
            delta: Counters { mounts: 1, ..Counters::default() },
            cleanings_left: if is_used_up { Some(0) } else { told.or(counted) },
            ..Record::default()
        };
        let left = record.cleanings_left;
        history.judge_and_append(&path, record, super::verdict::of_cartridge).ok()?;
        left
    }
}

/// What a cleaning cartridge's memory says is left.
fn cleanings_left(usage: &Usage) -> Option<u64> {
    use scsi::command::attribute;
    let kind = usage.memory_number(attribute::MEDIUM_TYPE)?;
    let uses = usage.memory_number(attribute::MEDIUM_TYPE_INFORMATION)?;
    let loads = usage.memory_number(attribute::LOAD_COUNT)?;
    (kind == attribute::MEDIUM_TYPE_CLEANING).then(|| uses.saturating_sub(loads))
}

/// What happened to the drive before is told first; several may wait.
fn patient_usage(drive: &mut Drive) -> crate::drive::Result<Usage> {
    const UNIT_ATTENTIONS_MAX: usize = 4;
    for _ in 0..UNIT_ATTENTIONS_MAX {
        match drive.usage() {
            Err(crate::drive::Error::PositionLost { .. }) => {}
            other => return other,
        }
    }
    drive.usage()
}

/// What a drive that no tape is used in asks for; `None` if it does not ask, or does not answer.
pub fn asked(drive: &mut Drive) -> Option<Need> {
    need(&patient_usage(drive).ok()?)
}

/// True if a cleaning cartridge is known to be used up.
pub fn is_used_up(state: &StateDir, label: &str) -> bool {
    let last = History::last_of(&state.care_cleaning_file(label));
    let Ok(Some(last)) = last else { return false };
    last.cleanings_left == Some(0) || USED_UP.iter().any(|number| last.alerts.0.contains(*number))
}

/// When the drive of this serial number was cleaned last, as far as recorded.
pub fn last_cleaned(state: &StateDir, serial: &str) -> Option<i64> {
    let history = History::load(&state.care_drive_file(serial)).ok()?;
    let cleaned = history.records.iter().rev().find(|record| record.event == Event::Cleaning);
    cleaned.map(|record| record.time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usage(alerts: &[u8]) -> Usage {
        let alerts = alerts.iter().fold(TapeAlerts::EMPTY, |flags, number| flags.with(*number));
        Usage { alerts: Some(alerts), ..Usage::default() }
    }

    #[test]
    fn what_a_drive_asks_for() {
        assert_eq!(need(&Usage::default()), None);
        assert_eq!(need(&usage(&[3, 22])), None);
        assert_eq!(need(&usage(&[21])), Some(Need::Requested));
        assert_eq!(need(&usage(&[20, 21])), Some(Need::Required));
        for (flags, expected) in
            [(0x01, None), (0x05, Some(Need::Requested)), (0x03, Some(Need::Required))]
        {
            let page = scsi::command::log::LogPage {
                page: 0x11,
                subpage: 0,
                parameters: vec![scsi::command::log::Parameter {
                    code: 0,
                    control: 3,
                    value: vec![flags, 0x20, 0, 0],
                }],
            };
            let activity = scsi::command::log::DeviceActivity::parse(&page).ok();
            let usage = Usage { activity, ..Usage::default() };
            assert_eq!(need(&usage), expected, "{flags:02x}");
        }
    }

    #[test]
    fn a_cartridge_is_used_up_when_it_or_a_drive_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        assert!(!is_used_up(&state, "CLN001L8"));
        let remember = |label: &str, left: Option<u64>, alerts: &[u8]| {
            let path = state.care_cleaning_file(label);
            let flags = super::super::Flags(usage(alerts).alerts.unwrap());
            let record = Record { cleanings_left: left, alerts: flags, ..Record::default() };
            History::load(&path).unwrap().append(&path, record).unwrap();
        };
        for (label, left, alerts, expected) in [
            ("CLN001L8", Some(1), &[][..], false),
            ("CLN002L8", Some(0), &[], true),
            ("CLN003L8", None, &[22], true),
            ("CLN004L8", None, &[23], true),
            ("CLN005L8", None, &[11], false),
        ] {
            remember(label, left, alerts);
            assert_eq!(is_used_up(&state, label), expected, "{label}");
        }
    }
}
