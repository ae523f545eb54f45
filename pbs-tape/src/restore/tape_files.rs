//! Walking over the files of a tape, whatever state they are in.

use datastore::Progress;
use uuid::Uuid;

use crate::device::TapeDevice;
use crate::error::{Error, Result, ResultExt};
use crate::format::block::{Opened, StreamReader};
use crate::format::chunk_archive::ChunkArchiveReader;
use crate::format::header::ContentHeader;
use crate::loader::check_abort;

/// Whether the content of a file counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It does.
    Good,
    /// Its writer gave it up, or was interrupted: as if it were not there.
    Ignore,
}

/// Judges a chunk archive by how reading its entries ended, in the order that the format prescribes:
/// an archive that its writer gave up counts as far as it goes; one without end marker is ignored;
/// anything else that went wrong is damage.
///
/// `damage` is what reading went on behind. That there are damaged blocks is told whatever becomes of the file: they stay
/// in it, without the one that is returned. A malformed entry is to be expected where a file was given up.
pub(crate) fn judge_chunk_archive(
    stream: &mut StreamReader<'_>,
    result: Result<()>,
    damage: &mut Vec<Error>,
) -> Result<Verdict> {
    let Some(error) = result.as_ref().err().or(damage.first()) else { return Ok(Verdict::Good) };
    match verdict_in_spite_of(stream, error) {
        Some(verdict) => {
            damage.retain(|error| !matches!(error, Error::Malformed { .. }));
            Ok(verdict)
        }
        None => Err(match result {
            Err(error) => error,
            Ok(()) => damage.remove(0),
        }),
    }
}

/// What becomes of a chunk archive in which this was met; `None` if it is damage.
fn verdict_in_spite_of(stream: &mut StreamReader<'_>, error: &Error) -> Option<Verdict> {
    if matches!(error, Error::UnexpectedEndOfData { .. }) {
        // The power went while it was written: no later file can hide behind this.
        return Some(Verdict::Ignore);
    }
    // A malformed entry says nothing about the rest of the file, which alone tells how it ended.
    if !matches!(error, Error::NoEndMarker { .. }) && stream.skip_to_end().is_err() {
        return None;
    }
    match (stream.has_end_marker().ok()?, stream.is_incomplete()) {
        (true, Ok(true)) => Some(Verdict::Good),
        (false, _) => Some(Verdict::Ignore),
        _ => None,
    }
}

/// Judges a file whose content is skipped or taken whole.
pub(crate) fn judge_whole_file(stream: &mut StreamReader<'_>) -> Result<Verdict> {
    match stream.skip_to_end() {
        Ok(_) => {}
        Err(Error::UnexpectedEndOfData { .. }) => return Ok(Verdict::Ignore),
        Err(e) => return Err(e),
    }
    if stream.has_end_marker()? && !stream.is_incomplete()? {
        Ok(Verdict::Good)
    } else {
        Ok(Verdict::Ignore)
    }
}

/// What becomes of a file whose head could not be read: an abandoned file may end before its head
/// does, and nothing counts in it; anything else is the error that was met.
pub(crate) fn ignore_if_abandoned(stream: &mut StreamReader<'_>, error: Error) -> Result<()> {
    match judge_whole_file(stream) {
        Ok(Verdict::Ignore) => Ok(()),
        _ => Err(error),
    }
}

/// One file met on the way.
pub(crate) struct TapeFile<'s, 'd> {
    pub number: u64,
    pub header: ContentHeader,
    pub stream: &'s mut StreamReader<'d>,
}

impl TapeFile<'_, '_> {
    pub fn uuid(&self) -> Uuid {
        self.header.uuid
    }
}

/// Goes to a file that must be there, and gives it to `each`.
pub(crate) fn at_file<T>(
    device: &mut dyn TapeDevice,
    number: u64,
    each: impl FnOnce(TapeFile<'_, '_>) -> Result<T>,
) -> Result<T> {
    device.move_to_file(number)?;
    let mut stream = match StreamReader::open(device)? {
        Opened::File(stream) => stream,
        Opened::Filemark => return Err(Error::StrayFilemark),
        Opened::EndOfData => return Err(Error::UnexpectedEndOfData { blocks: 0 }),
    };
    let header = ContentHeader::read(&mut stream)?;
    each(TapeFile { number, header, stream: &mut stream })
}

/// The chunk archive in a file, which must hold chunks of that datastore, as a catalog says.
pub(crate) fn open_chunk_archive<'s, 'd>(
    stream: &'s mut StreamReader<'d>,
    header: &ContentHeader,
    store: &str,
) -> Result<ChunkArchiveReader<'s, 'd>> {
    let archive = ChunkArchiveReader::new(stream, header)?;
    if archive.store() != store {
        return Err(Error::malformed(
            "chunk archive",
            format!("it is of datastore {}, the catalog says {store}", archive.store()),
        ));
    }
    Ok(archive)
}

/// Calls `each` for every file from the device's position to the end of data; the number of files
/// on the tape.
///
/// If `each` (or opening the file) fails because the tape is damaged there, `damaged` is told and
/// decides by its own result whether to go on behind the file. Other errors end the walk.
pub(crate) fn walk(
    device: &mut dyn TapeDevice,
    tape: &str,
    progress: &dyn Progress,
    mut each: impl FnMut(TapeFile<'_, '_>) -> Result<()>,
    mut damaged: impl FnMut(Error) -> Result<()>,
) -> Result<u64> {
    let mut number = device.file_number()?;
    loop {
        check_abort(progress)?;
        match one_file(device, number, &mut each).on_tape(tape, number) {
            Ok(Met::File) => {}
            // Harmless if somebody wrote a filemark too many; but it is also what remains of a file
            // whose only block is gone, and nothing else would tell that a snapshot is missing.
            Ok(Met::Filemark) => {
                if let Err(error) = Err::<(), _>(Error::StrayFilemark).on_tape(tape, number) {
                    damaged(error)?;
                }
            }
            Ok(Met::EndOfData) => return Ok(number),
            Err(e) if is_tape_damage(&e) => {
                let at_end = matches!(e.cause(), Error::UnexpectedEndOfData { .. });
                damaged(e)?;
                if at_end {
                    return Ok(number + 1);
                }
                // Where the tape stands is anybody's guess now.
                number += 1;
                if !step_to(device, tape, number, &mut damaged)? {
                    return Ok(number);
                }
                continue;
            }
            Err(e) => return Err(e),
        }
        number += 1;
        // Not everything of the file need have been read: `each` may stop early, and a file that the
        // power cut off has no filemark that could have been passed.
        if device.file_number()? != number && !step_to(device, tape, number, &mut damaged)? {
            return Ok(number);
        }
    }
}

/// Goes to a file that may not exist. False: nothing more of this tape can be reached, because it
/// ends before or because it can't be read up to there, which `damaged` was told.
fn step_to(
    device: &mut dyn TapeDevice,
    tape: &str,
    number: u64,
    damaged: &mut impl FnMut(Error) -> Result<()>,
) -> Result<bool> {
    match device.move_to_file(number).on_tape(tape, number) {
        Ok(()) => Ok(true),
        Err(e) if matches!(e.cause(), Error::Drive(e) if e.is_missing()) => Ok(false),
        Err(e) if is_tape_damage(&e) => damaged(e).map(|()| false),
        Err(e) => Err(e),
    }
}

enum Met {
    File,
    Filemark,
    EndOfData,
}

fn one_file(
    device: &mut dyn TapeDevice,
    number: u64,
    each: &mut impl FnMut(TapeFile<'_, '_>) -> Result<()>,
) -> Result<Met> {
    let mut stream = match StreamReader::open(device) {
        Ok(Opened::File(stream)) => stream,
        Ok(Opened::Filemark) => return Ok(Met::Filemark),
        Ok(Opened::EndOfData) => return Ok(Met::EndOfData),
        // The power went between its only block and the filemark.
        Err(Error::UnexpectedEndOfData { .. }) => return Ok(Met::File),
        Err(e) => return Err(e),
    };
    let header = match ContentHeader::read(&mut stream) {
        Ok(header) => header,
        Err(e) => return ignore_if_abandoned(&mut stream, e).map(|()| Met::File),
    };
    each(TapeFile { number, header, stream: &mut stream })?;
    Ok(Met::File)
}

/// True if the error is about what is (or is not) on the tape at this place.
pub(crate) fn is_tape_damage(error: &Error) -> bool {
    match error.cause() {
        Error::Drive(e) => e.is_damaged(),
        Error::UnexpectedContent { .. } => true,
        cause => cause.is_damaged(),
    }
}
