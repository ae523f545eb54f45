//! Listing every file of a tape, for whoever wants to know what is really there.

use datastore::Progress;
use serde::Serialize;
use uuid::Uuid;

use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::format::block::{Opened, StreamReader};
use crate::format::header::ContentHeader;
use crate::format::label::read_labels;
use crate::keys::give_key_for;
use crate::loader::{MediaLoader, check_abort};

/// One tape file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ScannedFile {
    /// Its number, from 0.
    pub file: u64,
    /// Its type, or `filemark` for an empty file, or `unknown`.
    pub kind: String,
    /// UUID in its header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// Creation time in its header.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctime: Option<i64>,
    /// Its header data.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub header: Option<serde_json::Value>,
    /// How many blocks it has.
    pub blocks: u32,
    /// Its writer gave it up.
    pub incomplete: bool,
    /// It has an end marker.
    pub end_marker: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Rewinds and lists every file; `each` gets them one after the other. What is on an encrypted tape whose key is not here
/// can be counted, not read.
pub fn scan(
    loader: &mut dyn MediaLoader,
    progress: &dyn Progress,
    mut each: impl FnMut(&ScannedFile),
) -> Result<Vec<ScannedFile>> {
    let mut device = loader.open(progress)?;
    device.encryption_off()?;
    device.rewind()?;
    // What is wrong with a label shows below.
    if let Ok(Some(labels)) = read_labels(&mut *device) {
        device.note_labels(&labels);
        let key = give_key_for(&labels, &mut *device, loader.keys(), loader.drive_name());
        if let Err(error) = key {
            progress.warn(&error.to_string());
        }
    }
    device.rewind()?;
    let mut files = Vec::new();
    loop {
        check_abort(progress)?;
        let number = files.len() as u64;
        let Some(file) = scan_file(&mut *device, number)? else { return Ok(files) };
        each(&file);
        let failed = file.error.is_some();
        files.push(file);
        if failed {
            // The position is unknown, or the tape ends here.
            match device.move_to_file(number + 1) {
                Ok(()) => {}
                Err(Error::Drive(e)) if e.is_missing() => return Ok(files),
                Err(e) => return Err(e),
            }
        }
    }
}

fn scan_file(device: &mut dyn TapeDevice, number: u64) -> Result<Option<ScannedFile>> {
    let mut file = ScannedFile {
        file: number,
        kind: "unknown".into(),
        uuid: None,
        ctime: None,
        header: None,
        blocks: 0,
        incomplete: false,
        end_marker: false,
        error: None,
    };
    let mut stream = match StreamReader::open(device) {
        Ok(Opened::File(stream)) => stream,
        Ok(Opened::Filemark) => {
            file.kind = "filemark".into();
            return Ok(Some(file));
        }
        Ok(Opened::EndOfData) => return Ok(None),
        Err(e) => {
            file.error = Some(e.to_string());
            return Ok(Some(file));
        }
    };
    let mut look = || -> Result<()> {
        let header = ContentHeader::read(&mut stream)?;
        file.kind = header.kind.name().into();
        file.uuid = Some(header.uuid);
        file.ctime = Some(header.ctime);
        file.header = Some(header.read_data(&mut stream)?);
        Ok(())
    };
    let mut error = look().err();
    match stream.skip_to_end() {
        Ok(_) => {
            file.end_marker = stream.has_end_marker().unwrap_or(false);
            file.incomplete = stream.is_incomplete().unwrap_or(false);
        }
        Err(e) => {
            error.get_or_insert(e);
        }
    }
    file.blocks = stream.blocks();
    file.error = error.map(|e| e.to_string());
    Ok(Some(file))
}
