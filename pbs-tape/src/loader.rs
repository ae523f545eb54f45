//! Bringing tapes into the drive: by a robot, or by asking a person.
//!
//! Identity is the media UUID on the tape. A barcode or a person may be wrong, so a tape counts as
//! loaded only when its label was read and is the one that was asked for.

use std::thread;
use std::time::{Duration, Instant};

use datastore::Progress;
use uuid::Uuid;

use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::format::label::{Labels, MediaLabel, read_labels};
use crate::keys::{KeyStore, give_key_for};
use crate::media::{Location, Reach};

/// Barcodes that start with this are cleaning cartridges.
pub const CLEANING_PREFIX: &str = "CLN";

/// One drive and the way in which it gets its tapes.
pub trait MediaLoader: Send {
    /// The drive's configured name, for messages.
    fn drive_name(&self) -> &str;

    /// Which tapes can come into it.
    fn reach(&self) -> Reach;

    /// Where the inventory believes a tape to be, for who has to bring it.
    fn whereabouts(&self, _media: &Uuid) -> Option<Location> {
        None
    }

    /// The keys of encrypted tapes. Without any only plain tapes can be used.
    fn keys(&self) -> Option<&KeyStore> {
        None
    }

    /// Brings the tape with this label text (its barcode) into the drive and opens it. A stand-alone
    /// drive opens what somebody put in.
    fn load(&mut self, label_text: &str, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>>;

    /// Opens the tape that is in the drive.
    fn open(&mut self, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>>;

    /// Ejects the tape and, with a robot, puts it back into a slot.
    fn unload(&mut self, device: Option<Box<dyn TapeDevice>>) -> Result<()>;

    /// Label texts of the tapes that the robot can load; `None` without a robot.
    fn online_label_texts(&mut self) -> Result<Option<Vec<String>>>;

    /// Bar code of the tape in the drive, if a robot knows it.
    fn loaded_bar_code(&mut self) -> Result<Option<String>> {
        Ok(None)
    }

    /// Puts a tape into an import/export slot; false if the robot does not have it. A stand-alone
    /// drive ejects.
    fn export(&mut self, label_text: &str) -> Result<bool>;
}

/// How long to wait for a person to bring a tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediaWait {
    /// Between two tries.
    pub retry_every: Duration,
    /// After this time the job fails; `None`: only when it is aborted.
    pub give_up_after: Option<Duration>,
}

impl MediaWait {
    /// One try.
    pub const NONE: MediaWait =
        MediaWait { retry_every: Duration::ZERO, give_up_after: Some(Duration::ZERO) };

    /// Until the job is aborted, looking every 5 seconds.
    pub const FOREVER: MediaWait =
        MediaWait { retry_every: Duration::from_secs(5), give_up_after: None };

    /// True if there is one try only.
    pub fn is_none(&self) -> bool {
        self.give_up_after == Some(Duration::ZERO)
    }
}

/// Loads the tape `wanted`, reads its labels and, if it is encrypted, gives the drive its key: it can be read. Each time
/// the reason why it is not there changes, the operator is told once.
///
/// The device stands behind the last label read.
///
/// # Errors
///
/// [`Error::KeyMissing`] if its key is not here. That is not waited for: no other tape would help.
pub fn request_media(
    loader: &mut dyn MediaLoader,
    wanted: &MediaLabel,
    wait: MediaWait,
    progress: &dyn Progress,
) -> Result<(Box<dyn TapeDevice>, Labels)> {
    let (mut device, labels) = request_media_to_write(loader, wanted, wait, progress)?;
    give_key_for(&labels, &mut *device, loader.keys(), loader.drive_name())?;
    Ok((device, labels))
}

/// As [`request_media`], for a job that writes: encryption is off, and a tape whose key is lost comes too, because it may
/// be there to be overwritten.
pub fn request_media_to_write(
    loader: &mut dyn MediaLoader,
    wanted: &MediaLabel,
    wait: MediaWait,
    progress: &dyn Progress,
) -> Result<(Box<dyn TapeDevice>, Labels)> {
    let start = Instant::now();
    let mut told: Option<String> = None;
    loop {
        check_abort(progress)?;
        let error = match try_load(loader, wanted, progress) {
            Ok(loaded) => {
                progress
                    .note(&format!("found media label {} ({})", wanted.label_text, wanted.uuid));
                return Ok(loaded);
            }
            Err(e) if e.is_aborted() => return Err(e),
            Err(e) => e,
        };
        if wait.give_up_after.is_some_and(|limit| start.elapsed() >= limit) {
            return Err(error);
        }
        let reason = error.to_string();
        if told.as_deref() != Some(&reason) {
            progress.warn(&reason);
            progress.note(&format!(
                "please insert tape {} into {}{}",
                wanted.label_text,
                match loader.reach() {
                    Reach::Changer(changer) => format!("changer {changer}"),
                    _ => format!("drive {}", loader.drive_name()),
                },
                believed(loader.whereabouts(&wanted.uuid)).map_or(String::new(), |place| {
                    format!("; the inventory believes it to be {place}")
                }),
            ));
            told = Some(reason);
        }
        pause(wait.retry_every, progress)?;
    }
}

/// Where a person looks for a tape.
pub(crate) fn believed(location: Option<Location>) -> Option<String> {
    Some(match location? {
        Location::Offline => "on a shelf (offline)".into(),
        Location::Online(changer) => format!("in library {changer}"),
        Location::Vault(vault) => format!("in vault {vault}"),
    })
}

fn try_load(
    loader: &mut dyn MediaLoader,
    wanted: &MediaLabel,
    progress: &dyn Progress,
) -> Result<(Box<dyn TapeDevice>, Labels)> {
    let drive = loader.drive_name().to_string();
    let mut device = loader.load(&wanted.label_text, progress).map_err(|e| {
        if e.is_aborted() {
            return e;
        }
        Error::LoadFailed {
            label_text: wanted.label_text.clone(),
            drive: drive.clone(),
            reason: e.to_string(),
            believed: believed(loader.whereabouts(&wanted.uuid)),
        }
    })?;
    check_abort(progress)?;
    let labels =
        labels_in(&mut *device, &drive)?.ok_or(Error::NotLabelled { drive: drive.clone() })?;
    if labels.media.uuid != wanted.uuid {
        return Err(Error::WrongTape {
            drive,
            wanted: wanted.label_text.clone(),
            wanted_uuid: wanted.uuid,
            found: labels.media.label_text,
            found_uuid: labels.media.uuid,
        });
    }
    Ok((device, labels))
}

/// Rewinds and reads both labels. `None` is a blank tape.
pub fn read_tape_labels(device: &mut dyn TapeDevice) -> Result<Option<Labels>> {
    // Labels are never encrypted; a key left in the drive could only hinder.
    device.encryption_off()?;
    device.rewind()?;
    let labels = read_labels(device)?;
    if let Some(labels) = &labels {
        device.note_labels(labels);
    }
    Ok(labels)
}

/// As [`read_tape_labels`], with an error that names the drive and says what to do with the tape.
pub(crate) fn labels_in(device: &mut dyn TapeDevice, drive: &str) -> Result<Option<Labels>> {
    read_tape_labels(device).map_err(|error| match error {
        // These name the drive themselves, or are nothing about the tape.
        told @ (Error::Drive(_) | Error::Aborted) => told,
        source => Error::LabelUnreadable { drive: drive.to_string(), source: Box::new(source) },
    })
}

pub(crate) fn check_abort(progress: &dyn Progress) -> Result<()> {
    if progress.is_aborted() { Err(Error::Aborted) } else { Ok(()) }
}

/// Waits, unless the job is aborted.
pub(crate) fn pause(time: Duration, progress: &dyn Progress) -> Result<()> {
    const SLICE: Duration = Duration::from_millis(100);
    let end = Instant::now() + time;
    loop {
        check_abort(progress)?;
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(SLICE));
    }
}
