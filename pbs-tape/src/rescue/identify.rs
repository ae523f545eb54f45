//! What the tape in the drive is, whatever is left of its labels.
//!
//! Labels are only two blocks of a tape. Where one of them can't be read, the files behind them tell whether the tape is
//! one of this format, and reading goes on: their content UUIDs are as good a name for the tape as its own.

use uuid::Uuid;

use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::format::block::{Opened, StreamReader};
use crate::format::header::ContentHeader;
use crate::format::label::{
    FIRST_DATA_FILE, MediaLabel, MediaSetLabelOnTape, read_media_label, read_media_set_label,
};
use crate::loader::read_tape_labels;
use crate::media::MediaId;
use crate::restore::tape_files::is_tape_damage;

/// So many files behind bad labels are looked at before a tape counts as another program's.
const FILES_TRIED: u64 = 8;

/// A tape in the drive.
pub(super) enum Identified {
    /// Nothing is on it.
    Blank,
    /// It has a label and is in no media set: nothing is on it.
    Unused(MediaLabel),
    /// It is another program's, or so damaged that it might be. With the reason.
    Foreign(String),
    /// A tape of a media set.
    Tape(Box<RescueTape>),
}

/// A tape that is read.
pub(super) struct RescueTape {
    pub id: MediaId,
    /// With the locked key of an encrypted set.
    pub set: Option<MediaSetLabelOnTape>,
    /// Why its labels could not be read.
    pub labels_damaged: Option<String>,
}

/// Reads the labels. `bar_code` stands for a label text that can't be read.
///
/// `Err` is a failure of the drive or an abort.
pub(super) fn identify(device: &mut dyn TapeDevice, bar_code: Option<&str>) -> Result<Identified> {
    let error = match read_tape_labels(device) {
        Ok(None) => return Ok(Identified::Blank),
        Ok(Some(labels)) => {
            let set = labels.media_set.filter(|set| !set.label.is_unassigned());
            let Some(set) = set else { return Ok(Identified::Unused(labels.media)) };
            let id = MediaId { label: labels.media, media_set_label: Some(set.label.clone()) };
            let tape = RescueTape { id, set: Some(set), labels_damaged: None };
            return Ok(Identified::Tape(Box::new(tape)));
        }
        Err(error) if is_about_the_tape(&error) => error,
        Err(error) => return Err(error),
    };
    let media = at_file(device, 0, |device| read_media_label(device))?.flatten();
    let set = at_file(device, 1, |device| read_media_set_label(device))?.flatten();
    let mut content = None;
    for file in FIRST_DATA_FILE..FIRST_DATA_FILE + FILES_TRIED {
        content = at_file(device, file, content_uuid)?.flatten();
        if content.is_some() {
            break;
        }
    }
    let Some(content) = content else { return Ok(Identified::Foreign(error.to_string())) };
    let label = media.unwrap_or_else(|| MediaLabel {
        ctime: 0,
        label_text: bar_code.unwrap_or_default().to_string(),
        pool: None,
        uuid: content,
    });
    let set = set.filter(|set| !set.label.is_unassigned());
    let id = MediaId { label, media_set_label: set.as_ref().map(|set| set.label.clone()) };
    let labels_damaged = Some(error.to_string());
    Ok(Identified::Tape(Box::new(RescueTape { id, set, labels_damaged })))
}

fn content_uuid(device: &mut dyn TapeDevice) -> Result<Option<Uuid>> {
    match StreamReader::open(device)? {
        Opened::File(mut stream) => Ok(Some(ContentHeader::read(&mut stream)?.uuid)),
        Opened::Filemark | Opened::EndOfData => Ok(None),
    }
}

/// Does something at the beginning of a file; `None` if the tape does not allow it.
fn at_file<T>(
    device: &mut dyn TapeDevice,
    file: u64,
    work: impl FnOnce(&mut dyn TapeDevice) -> Result<T>,
) -> Result<Option<T>> {
    match device.move_to_file(file).and_then(|()| work(device)) {
        Ok(done) => Ok(Some(done)),
        Err(error) if is_about_the_tape(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_about_the_tape(error: &Error) -> bool {
    let is_odd = matches!(
        error.cause(),
        Error::Drive(e) if e.is_missing() || e.is_undecryptable()
    );
    is_odd || is_tape_damage(error)
}
