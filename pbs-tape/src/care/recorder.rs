//! Asking a drive and writing down what it says.
//!
//! A job never fails because something could not be recorded: the operator is told once, and the job goes on. The one thing that is
//! passed on is what the job's own next command would have met, a failed write before or a reset ([`Drive::usage`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datastore::Progress;
use scsi::command::attribute;
use scsi::command::error_counters::ErrorCounters;
use scsi::command::log::Activity;
use scsi::command::tape_alert::TapeAlerts;

use super::history::History;
use super::record::{Counters, Event, Flags, Record, clip};
use super::verdict::{self, Judgement, Verdict};
use crate::drive::{self, Drive, Usage};
use crate::error::Result;
use crate::format::label::MediaLabel;
use crate::media::StateDir;

/// Records what the cartridges in one drive, and the drive itself, go through.
pub struct Recorder {
    state: StateDir,
    drive: String,
    progress: Arc<dyn Progress>,
    is_told: AtomicBool,
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("drive", &self.drive).finish_non_exhaustive()
    }
}

impl Recorder {
    /// For the drive of this configured name.
    pub fn new(state: &StateDir, drive: &str, progress: Arc<dyn Progress>) -> Recorder {
        Recorder {
            state: state.clone(),
            drive: clip(drive),
            progress,
            is_told: AtomicBool::new(false),
        }
    }

    /// Asks the drive and appends to both histories. `label` is what the job read on the cartridge, `seen` the TapeAlert flags
    /// that were read before: some drives clear them then.
    ///
    /// # Errors
    ///
    /// Only what concerns the job: an earlier write failed, or the drive was reset.
    pub fn record(
        &self,
        event: Event,
        drive: &mut Drive,
        label: Option<&MediaLabel>,
        seen: TapeAlerts,
    ) -> drive::Result<()> {
        let asked = drive.usage().and_then(|usage| Ok((usage, drive.serial()?)));
        let (usage, serial) = match asked {
            Ok(answers) => answers,
            Err(error @ (drive::Error::Deferred { .. } | drive::Error::PositionLost { .. })) => {
                return Err(error);
            }
            Err(error) => {
                self.warn(&error.to_string());
                return Ok(());
            }
        };
        let mut observed = observe(&usage, seen, label);
        observed.event = event;
        observed.time = self.state.now();
        observed.drive = Some(self.drive.clone());
        observed.drive_serial = serial.filter(|text| !text.is_empty()).map(|text| clip(&text));
        let last_mount = usage.volume.as_ref().map(|volume| Counters {
            mounts: 1,
            bytes_written: volume.last_mount_bytes_written,
            bytes_read: volume.last_mount_bytes_read,
            write_errors: volume.last_mount_unrecovered_write_errors,
            read_errors: volume.last_mount_unrecovered_read_errors,
            ..Counters::default()
        });
        if let Err(error) = store(&self.state, observed, last_mount, usage.volume.is_none()) {
            self.warn(&error.to_string());
        }
        Ok(())
    }

    fn warn(&self, reason: &str) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            self.progress.warn(&format!(
                "statistics of drive {} and its cartridge were not recorded: {reason}",
                self.drive
            ));
        }
    }
}

/// What the drive said, without what follows from the histories.
fn observe(usage: &Usage, seen: TapeAlerts, label: Option<&MediaLabel>) -> Record {
    let alerts = usage.alerts.unwrap_or(TapeAlerts::EMPTY).union(seen);
    let asks =
        usage.activity.is_some_and(|state| state.cleaning_requested() || state.cleaning_required());
    let volume = usage.volume.as_ref();
    let memory = |id| usage.memory_number(id);
    let mebibytes = |id| memory(id).unwrap_or(0).saturating_mul(1 << 20);
    let kind = memory(attribute::MEDIUM_TYPE);
    let uses = memory(attribute::MEDIUM_TYPE_INFORMATION)
        .filter(|_| kind == Some(attribute::MEDIUM_TYPE_CLEANING));
    let serial = volume.map(|volume| volume.serial.clone()).filter(|text| !text.is_empty());
    let known = |number: u64| Some(number).filter(|number| *number > 0);
    Record {
        uuid: label.map(|label| label.uuid),
        label_text: label
            .map(|label| label.label_text.clone())
            .or_else(|| volume.and_then(|volume| volume.more.barcode.clone()))
            .or_else(|| usage.memory_text(attribute::BARCODE))
            .map(|text| clip(&text)),
        medium_serial: serial
            .or_else(|| usage.memory_text(attribute::MEDIUM_SERIAL))
            .map(|text| clip(&text)),
        density: memory(attribute::FORMATTED_DENSITY)
            .filter(|code| *code > 0)
            .or_else(|| memory(attribute::MEDIUM_DENSITY))
            .unwrap_or(0),
        worm: volume.is_some_and(|volume| volume.worm) || kind == Some(attribute::MEDIUM_TYPE_WORM),
        alerts: Flags(alerts),
        cleaning_requested: asks || alerts.is_cleaning_request(),
        activity: usage
            .activity
            .map(|state| state.activity())
            .filter(|activity| *activity != Activity::None)
            .map(|activity| activity.to_string()),
        total: match volume {
            Some(volume) => Counters {
                mounts: volume.volume_mounts,
                bytes_written: volume.lifetime_bytes_written,
                bytes_read: volume.lifetime_bytes_read,
                write_retries: volume.volume_recovered_write_data_errors,
                write_errors: volume.volume_unrecovered_write_data_errors,
                read_retries: volume.volume_recovered_read_errors,
                read_errors: volume.volume_unrecovered_read_errors,
            },
            None => Counters {
                mounts: memory(attribute::LOAD_COUNT).unwrap_or(0),
                bytes_written: mebibytes(attribute::LIFETIME_WRITTEN),
                bytes_read: mebibytes(attribute::LIFETIME_READ),
                ..Counters::default()
            },
        },
        passes: volume.and_then(|volume| known(volume.medium_passes())),
        life_remaining_percent: volume.and_then(|volume| volume.more.useful_life_remaining),
        bytes_used: volume.map(|volume| volume.total_used_native_capacity),
        capacity_bytes: volume.and_then(|volume| known(volume.total_native_capacity)),
        cleanings_left: uses
            .map(|uses| uses.saturating_sub(memory(attribute::LOAD_COUNT).unwrap_or(0))),
        device: usage.device.unwrap_or_default(),
        writing: usage.writing.unwrap_or_default(),
        reading: usage.reading.unwrap_or_default(),
        ..Record::default()
    }
}

/// Adds one observation to the histories of its cartridge and of its drive. `last_mount` is what the cartridge says of the present
/// load; `is_old`: the drive keeps no count of the cartridge's errors, so its own counters have to do.
pub(super) fn store(
    state: &StateDir,
    mut observed: Record,
    last_mount: Option<Counters>,
    is_old: bool,
) -> Result<()> {
    let _lock = state.lock_care()?;
    let drive_file = state.care_drive_file(drive_name(&observed));
    let mut of_drive = History::load(&drive_file)?;
    let before = of_drive.records.last();
    let same_mount = before.is_some_and(|before| is_same_mount(before, &observed));
    observed.raised = raised(&observed, before, same_mount);
    let mut in_drive = last_mount.unwrap_or_default();

    if let Some(media_file) = state.care_media_file(&observed) {
        let mut of_media = History::load(&media_file)?;
        let known = of_media.records.last();
        if is_old {
            let errors = errors_of_drive(&observed, before.filter(|_| same_mount));
            let so_far = known.map(|known| known.total).unwrap_or_default();
            observed.total = observed.total.plus(&errors).plus(&Counters {
                mounts: 0,
                bytes_written: 0,
                bytes_read: 0,
                ..so_far
            });
        }
        let mut record = observed.clone();
        match known {
            Some(known) => {
                record.since = known.time;
                record.delta = record.total.since(&known.total);
                record.uuid = record.uuid.or(known.uuid);
                record.label_text = record.label_text.or_else(|| known.label_text.clone());
                record.worm |= known.worm;
            }
            None => {
                record.since = record.time;
                record.delta = last_mount.unwrap_or_default();
            }
        }
        // What came in another host's hands is the cartridge's, but not this drive's.
        in_drive = match last_mount {
            Some(last_mount) if record.delta.mounts > 1 => record.delta.at_most(&last_mount),
            _ => record.delta,
        };
        observed.uuid = record.uuid;
        observed.label_text.clone_from(&record.label_text);
        if is_news(&record, known) {
            of_media.judge_and_append(&media_file, record, verdict::of_cartridge)?;
        }
    }

    let mut record = observed;
    record.delta = in_drive;
    record.since = before.map_or(record.time, |before| before.time);
    let is_other = !same_mount && record.medium_serial.is_some();
    if is_other || is_news(&record, before) {
        of_drive.judge_and_append(&drive_file, record, verdict::of_drive)?;
    }
    Ok(())
}

/// What names a drive in the state folder: its serial number, or else its configured name.
fn drive_name(record: &Record) -> &str {
    record.drive_serial.as_deref().or(record.drive.as_deref()).unwrap_or_default()
}

/// The same cartridge, not loaded again since.
fn is_same_mount(before: &Record, now: &Record) -> bool {
    before.medium_serial == now.medium_serial && before.total.mounts == now.total.mounts
}

/// The flags that are new. A drive takes back what it said about a cartridge when that leaves, so that it says it again with
/// another one.
fn raised(now: &Record, before: Option<&Record>, same_mount: bool) -> Flags {
    let Some(before) = before else { return now.alerts };
    let kept = if same_mount { before.alerts } else { verdict::about_drive(before.alerts) };
    now.alerts.without(kept)
}

/// Errors in a drive whose cartridge does not count them. Some drives begin anew with each cartridge: a counter that is lower
/// than before, or of another load, counts from 0.
fn errors_of_drive(now: &Record, before: Option<&Record>) -> Counters {
    let since = |now: Option<u64>, before: Option<u64>| {
        let now = now.unwrap_or(0);
        now.checked_sub(before.unwrap_or(0)).unwrap_or(now)
    };
    let pair = |now: ErrorCounters, before: Option<ErrorCounters>| {
        let before = before.unwrap_or_default();
        (since(now.corrected, before.corrected), since(now.uncorrected, before.uncorrected))
    };
    let (write_retries, write_errors) = pair(now.writing, before.map(|before| before.writing));
    let (read_retries, read_errors) = pair(now.reading, before.map(|before| before.reading));
    Counters { write_retries, write_errors, read_retries, read_errors, ..Counters::default() }
}

/// A record that says no more than the one before is left out.
fn is_news(record: &Record, before: Option<&Record>) -> bool {
    let Some(before) = before else { return true };
    record.event == Event::Cleaning
        || record.delta != Counters::default()
        || !record.raised.is_empty()
        || record.cleaning_requested != before.cleaning_requested
        || record.cleanings_left != before.cleanings_left
        || record.uuid != before.uuid
        || record.drive_serial != before.drive_serial
}

impl History {
    pub(super) fn judge_and_append(
        &mut self,
        path: &std::path::Path,
        record: Record,
        judge: impl Fn(&[Record]) -> Judgement,
    ) -> Result<()> {
        self.records.push(record);
        let judgement = judge(&self.records);
        let Some(mut record) = self.records.pop() else { return Ok(()) };
        record.verdict = judgement.verdict;
        record.reason = judgement
            .reasons
            .into_iter()
            .next()
            .filter(|_| judgement.verdict != Verdict::Good)
            .map(|reason| reason.chars().take(REASON_CHARS_MAX).collect());
        self.append(path, record)
    }
}

/// Longest reason in a record.
const REASON_CHARS_MAX: usize = 160;
