//! Blocks and filemarks.

use scsi::command::protection::{CHECK_BYTES, Method};
use scsi::command::{Cdb, block, timeout};
use scsi::{Data, Reply, Sense, Transport, transport};

use super::{Drive, Error, Result};

/// What [`Drive::read_block`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// A block of this many bytes; the tape stands behind it.
    Block(usize),
    /// A filemark; the tape stands behind it.
    Filemark,
    /// The end of the recorded data; the tape did not move.
    EndOfData,
}

/// A block is on its way to the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "early warning means that the tape must be finished soon"]
pub struct Written {
    /// The end of the tape is near (LEOM, or the programmable early warning). This block is written;
    /// what must still go onto this tape should go now.
    pub early_warning: bool,
}

const READING: &str = "reading a block";
const WRITING: &str = "writing a block";
const MARKING: &str = "writing a filemark";
/// So many notices that encryption parameters changed may come in a row (6/2A/11 to 13).
const PARAMETER_CHANGES_MAX: usize = 3;

impl Drive {
    /// Sends a data command; CHECK CONDITION with sense is an answer, everything else but GOOD an
    /// error.
    fn transfer(
        &mut self,
        doing: &'static str,
        cdb: &Cdb,
        data: Data<'_>,
        limit: std::time::Duration,
    ) -> Result<(usize, Option<Sense>)> {
        self.confirm_encryption()?;
        let mut data = data;
        let mut reply = self.carry(doing, cdb, &mut data, limit)?;
        for _ in 0..PARAMETER_CHANGES_MAX {
            let changed = reply.sense.is_some_and(|sense| sense.is_encryption_changed());
            if !changed {
                break;
            }
            // The command was not executed. It may go on if the state is still what it should be.
            self.encryption_was_changed();
            self.confirm_encryption()?;
            reply = self.carry(doing, cdb, &mut data, limit)?;
        }
        match reply {
            Reply { status: scsi::Status::Good, transferred, .. } => Ok((transferred, None)),
            Reply { status: scsi::Status::CheckCondition, transferred, sense: Some(sense) } => {
                if sense.is_cleaning_requested() {
                    self.is_cleaning_requested = true;
                }
                Ok((transferred, Some(sense)))
            }
            other => match other.into_result(cdb) {
                Ok(transferred) => Ok((transferred, None)),
                Err(error) => Err(self.fail(doing, error)),
            },
        }
    }

    fn carry(
        &mut self,
        doing: &'static str,
        cdb: &Cdb,
        data: &mut Data<'_>,
        limit: std::time::Duration,
    ) -> Result<Reply> {
        let data = match data {
            Data::None => Data::None,
            Data::In(buffer) => Data::In(buffer),
            Data::Out(bytes) => Data::Out(bytes),
        };
        self.transport.execute(cdb, data, limit).map_err(|error| self.fail(doing, error))
    }

    fn check(&mut self, doing: &'static str, cdb: &Cdb, sense: Sense) -> Error {
        self.fail(doing, transport::Error::Check { opcode: cdb.opcode(), sense })
    }

    /// Reads the next block into `buffer`.
    ///
    /// A block longer than `buffer` is an error where the drive tells; drives that only tell what
    /// fitted deliver its first part, so formats must carry their block length.
    ///
    /// # Errors
    ///
    /// [`Error::Undecryptable`] leaves the tape before the block; after other errors the position is
    /// unknown.
    pub fn read_block(&mut self, buffer: &mut [u8]) -> Result<Read> {
        self.require_position(READING)?;
        let length = self.block_length(buffer.len(), block::TRANSFER_BYTES_MAX)?;
        self.confirm_protection()?;
        match self.block_protection() {
            Some(method) => self.read_protected(method, buffer),
            None => self.read_into(buffer, &block::read_cdb(length)),
        }
    }

    /// As [`Drive::read_block`] of a block of `length` bytes, into a buffer that has [`CHECK_BYTES`] more, so that nothing need be copied where
    /// blocks are protected. After an error there may be anything in it.
    pub fn read_block_in_place(&mut self, buffer: &mut [u8], length: usize) -> Result<Read> {
        self.require_position(READING)?;
        let cdb = block::read_cdb(self.block_length(length, block::TRANSFER_BYTES_MAX)?);
        self.confirm_protection()?;
        match self.block_protection() {
            Some(method) => {
                let with_check = self.in_place(buffer, length.saturating_add(CHECK_BYTES))?;
                self.read_checked(method, with_check)
            }
            None => {
                let block = self.in_place(buffer, length)?;
                self.read_into(block, &cdb)
            }
        }
    }

    fn in_place<'b>(&self, buffer: &'b mut [u8], length: usize) -> Result<&'b mut [u8]> {
        let room_bytes = buffer.len();
        buffer.get_mut(..length).ok_or_else(|| Error::Invalid {
            drive: self.name().to_string(),
            reason: format!("{length} bytes do not fit into a buffer of {room_bytes}"),
        })
    }

    fn read_protected(&mut self, method: Method, buffer: &mut [u8]) -> Result<Read> {
        let mut staged = self.stage_room(buffer.len());
        let read = self.read_checked(method, &mut staged);
        if let Ok(Read::Block(bytes)) = read
            && let (Some(place), Some(data)) = (buffer.get_mut(..bytes), staged.get(..bytes))
        {
            place.copy_from_slice(data);
        }
        self.unstage(staged);
        read
    }

    /// Reads a block with its check value into `staged`, and takes the value off.
    ///
    /// A block whose length is another than asked for is told by the drive: of a longer one, only the first
    /// part would come, and its check value could not be compared.
    fn read_checked(&mut self, method: Method, staged: &mut [u8]) -> Result<Read> {
        let length = self.block_length(staged.len(), block::TRANSFER_BYTES_MAX)?;
        match self.read_into(staged, &block::read_exact_cdb(length)) {
            Ok(Read::Block(bytes)) => {
                match staged.get(..bytes).and_then(|block| method.verified(block)) {
                    Some(data) => Ok(Read::Block(data.len())),
                    None => Err(self.check_value_wrong(method)),
                }
            }
            Err(Error::BlockTooLong { drive, block_bytes, limit_bytes }) => {
                let check_bytes = CHECK_BYTES as u64;
                Err(Error::BlockTooLong {
                    drive,
                    block_bytes: block_bytes.saturating_sub(check_bytes),
                    limit_bytes: limit_bytes.saturating_sub(check_bytes),
                })
            }
            other => other,
        }
    }

    fn read_into(&mut self, buffer: &mut [u8], cdb: &Cdb) -> Result<Read> {
        let requested = buffer.len();
        let (transferred, sense) = self.transfer(READING, cdb, Data::In(buffer), timeout::READ)?;
        match sense {
            None => Ok(Read::Block(transferred)),
            Some(sense) if sense.is_filemark() => Ok(Read::Filemark),
            Some(sense) if sense.is_end_of_data() => Ok(Read::EndOfData),
            // Some devices report a short block although they were told not to.
            Some(sense) if sense.is_incorrect_length() => match sense.information {
                Some(excess) if excess < 0 => Err(Error::BlockTooLong {
                    drive: self.name().to_string(),
                    block_bytes: (requested as u64).saturating_add(excess.unsigned_abs()),
                    limit_bytes: requested as u64,
                }),
                Some(missing) => {
                    let missing = usize::try_from(missing).unwrap_or(usize::MAX);
                    Ok(Read::Block(requested.saturating_sub(missing)))
                }
                None => Ok(Read::Block(transferred)),
            },
            Some(sense) if sense.is_success() || sense.is_early_warning() => {
                Ok(Read::Block(transferred))
            }
            Some(sense) => Err(self.check(READING, cdb, sense)),
        }
    }

    /// Writes one block. It may still be in the drive's buffer when this returns; [`Drive::sync`]
    /// makes sure.
    ///
    /// # Errors
    ///
    /// [`Error::VolumeOverflow`]: the block is not written, the tape stands behind the one before,
    /// filemarks still fit. [`Error::PositionLost`] and [`Error::Deferred`]: everything since the last
    /// sync must be taken as lost.
    pub fn write_block(&mut self, data: &[u8]) -> Result<Written> {
        self.require_position(WRITING)?;
        self.block_length(data.len(), self.block_bytes_max)?;
        self.confirm_protection()?;
        let Some(method) = self.block_protection() else { return self.write_from(data) };
        let staged = self.stage_block(method, data);
        let written = self.write_from(&staged);
        self.unstage(staged);
        written
    }

    /// As [`Drive::write_block`] of the first `length` bytes of a buffer that has [`CHECK_BYTES`] more, so that nothing need be copied
    /// where blocks are protected.
    pub fn write_block_in_place(&mut self, buffer: &mut [u8], length: usize) -> Result<Written> {
        self.require_position(WRITING)?;
        self.block_length(length, self.block_bytes_max)?;
        self.confirm_protection()?;
        let Some(method) = self.block_protection() else {
            let block = self.in_place(buffer, length)?;
            return self.write_from(block);
        };
        let protected = self.in_place(buffer, length.saturating_add(CHECK_BYTES))?;
        // It has so many bytes.
        let (data, place) = protected.split_at_mut(length);
        place.copy_from_slice(&method.check(data));
        self.write_from(protected)
    }

    fn write_from(&mut self, data: &[u8]) -> Result<Written> {
        let length = self.block_length(data.len(), block::TRANSFER_BYTES_MAX)?;
        let cdb = block::write_cdb(length);
        let (transferred, sense) = self.transfer(WRITING, &cdb, Data::Out(data), timeout::WRITE)?;
        match sense {
            // The residual of a refused command says nothing, that of an accepted one everything.
            None if transferred == data.len() => Ok(Written { early_warning: false }),
            None => Err(self.short_write(data.len(), transferred)),
            Some(sense) if sense.is_early_warning() || sense.is_success() => {
                match sense.information {
                    Some(missing) if missing != 0 => {
                        let missing = usize::try_from(missing.unsigned_abs()).unwrap_or(usize::MAX);
                        Err(self.short_write(data.len(), data.len().saturating_sub(missing)))
                    }
                    _ => Ok(Written { early_warning: sense.is_early_warning() }),
                }
            }
            Some(sense) => Err(self.check(WRITING, &cdb, sense)),
        }
    }

    fn short_write(&mut self, block_bytes: usize, written_bytes: usize) -> Error {
        self.trust = self.trust.after_failure();
        Error::ShortWrite { drive: self.name().to_string(), block_bytes, written_bytes }
    }

    fn block_length(&self, length: usize, limit: u32) -> Result<u32> {
        let error = |limit_bytes: u64| Error::BlockTooLong {
            drive: self.name().to_string(),
            block_bytes: length as u64,
            limit_bytes,
        };
        match u32::try_from(length) {
            // Length 0 moves nothing and looks like success: never what a caller means.
            Ok(0) => Err(Error::Invalid {
                drive: self.name().to_string(),
                reason: "a block has at least one byte".to_string(),
            }),
            Ok(length) if length <= limit => Ok(length),
            _ => Err(error(u64::from(limit))),
        }
    }

    /// Writes `count` filemarks. Without `immediate` everything written before, and the marks, are on
    /// the tape when this returns. Early warning is of no consequence here and not reported.
    ///
    /// `count` 0 writes nothing but still flushes.
    pub fn write_filemarks(&mut self, count: u32, immediate: bool) -> Result<()> {
        if count > 0 {
            self.require_position(MARKING)?;
        }
        if count > block::TRANSFER_BYTES_MAX {
            return Err(Error::Invalid {
                drive: self.name().to_string(),
                reason: format!("{count} filemarks at once are too many"),
            });
        }
        let cdb = block::write_filemarks_cdb(count, immediate);
        let (_, sense) = self.transfer(MARKING, &cdb, Data::None, timeout::WRITE_FILEMARKS)?;
        match sense {
            None => {}
            Some(sense) if sense.is_early_warning() || sense.is_success() => {}
            Some(sense) => return Err(self.check(MARKING, &cdb, sense)),
        }
        if immediate { Ok(()) } else { self.require_protection() }
    }

    /// Returns when everything written so far is on the tape.
    pub fn sync(&mut self) -> Result<()> {
        self.write_filemarks(0, false)
    }
}
