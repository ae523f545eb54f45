//! The order that the records of a catalog must keep (`docs/formats/media-catalog.md`, order).
//!
//! The same rules hold for records that are loaded, added, or come from tape; who checks needs no
//! more memory than the open archive.

use uuid::Uuid;

use super::record::Record;
use crate::format::label::FIRST_DATA_FILE;
use crate::media::inventory::MediaId;

/// Where a catalog stands after the records so far.
#[derive(Debug, Default)]
pub(super) struct RecordOrder {
    open_archive: Option<OpenArchive>,
    last_file: Option<u64>,
    labels: u64,
}

/// The chunk archive between its records `A` and `E`.
#[derive(Debug, Clone)]
pub(super) struct OpenArchive {
    pub file_number: u64,
    uuid: Uuid,
    pub store: String,
}

impl RecordOrder {
    /// The archive whose chunks come now.
    pub fn open_archive(&self) -> Option<&OpenArchive> {
        self.open_archive.as_ref()
    }

    /// How many of the two labels were seen.
    pub fn labels(&self) -> u64 {
        self.labels
    }

    /// Takes in one record if it may come here; the error says which rule it breaks. `media` is the
    /// tape that the catalog is to describe.
    pub fn check(&mut self, media: &MediaId, record: &Record) -> Result<(), String> {
        // By far the most records are chunks.
        if let Record::Chunk(_) = record {
            return match self.open_archive {
                Some(_) => Ok(()),
                None => Err("chunk outside a chunk archive".into()),
            };
        }
        let next_file = match self.last_file {
            None => 0,
            Some(last) => last.checked_add(1).ok_or("file number overflow")?,
        };
        match record {
            Record::Chunk(_) => {}
            Record::Label { file_number, uuid, seq_nr } => {
                if self.open_archive.is_some() {
                    return Err("label inside a chunk archive".into());
                }
                check_label(media, *file_number, next_file, uuid, *seq_nr)?;
                self.last_file = Some(*file_number);
                self.labels += 1;
            }
            Record::ArchiveStart { file_number, uuid, store } => {
                if self.open_archive.is_some() {
                    return Err("chunk archive inside a chunk archive".into());
                }
                check_data_file(*file_number, next_file)?;
                self.open_archive = Some(OpenArchive {
                    file_number: *file_number,
                    uuid: *uuid,
                    store: store.clone(),
                });
            }
            Record::ArchiveEnd { file_number, uuid } => {
                let Some(open) = self.open_archive.take() else {
                    return Err("end of a chunk archive that did not begin".into());
                };
                if (open.file_number, open.uuid) != (*file_number, *uuid) {
                    return Err(format!(
                        "end of chunk archive {file_number} inside chunk archive {}",
                        open.file_number
                    ));
                }
                self.last_file = Some(*file_number);
            }
            Record::Snapshot { file_number, .. } => {
                if self.open_archive.is_some() {
                    return Err("snapshot inside a chunk archive".into());
                }
                check_data_file(*file_number, next_file)?;
                self.last_file = Some(*file_number);
            }
        }
        Ok(())
    }
}

fn check_label(
    media: &MediaId,
    file_number: u64,
    next_file: u64,
    uuid: &Uuid,
    seq_nr: u64,
) -> Result<(), String> {
    if file_number >= FIRST_DATA_FILE {
        return Err(format!("label with file number {file_number}"));
    }
    if file_number != next_file {
        return Err(format!("label of file {file_number} where {next_file} belongs"));
    }
    if file_number == 0 {
        if *uuid != media.label.uuid {
            return Err(format!("it describes the tape with UUID {uuid}"));
        }
        if seq_nr != 0 {
            return Err(format!("media label with sequence number {seq_nr}"));
        }
    } else if let Some(set) = &media.media_set_label {
        if *uuid != set.uuid {
            return Err(format!("unexpected media set {uuid}, not {}", set.uuid));
        }
        if seq_nr != set.seq_nr {
            return Err(format!("unexpected sequence number {seq_nr}, not {}", set.seq_nr));
        }
    }
    Ok(())
}

fn check_data_file(file_number: u64, next_file: u64) -> Result<(), String> {
    if file_number < FIRST_DATA_FILE {
        return Err(format!("file {file_number} is a label"));
    }
    if file_number < next_file {
        return Err(format!("file {file_number} after file {}", next_file - 1));
    }
    Ok(())
}
