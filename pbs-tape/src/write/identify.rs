//! What the loaded tape is, asked before anything is written on it.
//!
//! Nothing here writes. What is overwritten on the strength of these answers is argued at each.

use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::format::label::{FIRST_DATA_FILE, Labels, MediaSetLabel};
use crate::media::{MediaCatalog, MediaId};

/// What a tape's media-set label is, compared with what the inventory decided.
pub(super) enum SetLabel {
    /// The one that it must be.
    Same,
    /// None, or a reservation for this pool.
    Missing,
    /// That of another set, or a reservation for another pool.
    Other(MediaSetLabel),
}

/// Compares the set label on tape with what the inventory decided.
pub(super) fn compare_set_label(
    labels: &Labels,
    wanted: &MediaSetLabel,
    id: &MediaId,
) -> Result<SetLabel> {
    let wrong = |reason| Error::WrongMediaSet { tape: id.label.label_text.clone(), reason };
    let found = match &labels.media_set {
        None => return Ok(SetLabel::Missing),
        Some(found) if found.label.is_unassigned() && found.label.pool == wanted.pool => {
            return Ok(SetLabel::Missing);
        }
        Some(found) => &found.label,
    };
    if found.uuid != wanted.uuid {
        return Ok(SetLabel::Other(found.clone()));
    }
    if found.seq_nr != wanted.seq_nr {
        return Err(wrong(format!(
            "its label has sequence number {}, the inventory says {}",
            found.seq_nr, wanted.seq_nr
        )));
    }
    if found.encryption_key_fingerprint != wanted.encryption_key_fingerprint {
        return Err(wrong("its label and the inventory name different encryption keys".into()));
    }
    Ok(SetLabel::Same)
}

/// True if the job that took the tape into the set was cut off before it had written all catalogs
/// of the earlier tapes. The tape then stands where the first of them belongs.
///
/// What is overwritten can only be such catalogs: no catalog knows of any other file on this tape,
/// and there are no more files than catalogs would make.
pub(super) fn is_without_catalogs(
    device: &mut dyn TapeDevice,
    catalog: &MediaCatalog,
    set_label: &MediaSetLabel,
) -> Result<bool> {
    if set_label.seq_nr == 0 || !catalog.content().stores().is_empty() {
        return Ok(false);
    }
    if device.move_to_end_for_append()? > FIRST_DATA_FILE + set_label.seq_nr {
        return Ok(false);
    }
    device.move_to_file(FIRST_DATA_FILE)?;
    Ok(true)
}
