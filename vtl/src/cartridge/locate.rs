//! Finding places on a tape from the index alone: what an object is, where a file begins, where the
//! next filemark is. Nothing here reads the tape.

use super::log::ObjectLog;
use super::object::{Fault, Object};

type Result<T> = std::result::Result<T, Fault>;

impl ObjectLog {
    /// Filemarks before a position (up to and including the end of data).
    pub fn file_at(&mut self, position: u64) -> Result<u32> {
        if position >= self.objects { Ok(self.files) } else { Ok(self.entry(position)?.file) }
    }

    /// What the object at a position is, from the index alone.
    pub fn kind(&mut self, object: u64) -> Result<Object> {
        let entry = self.entry(object)?;
        Ok(if entry.is_filemark() { Object::Filemark } else { Object::Block(entry.length) })
    }

    /// The first position with at least `files` filemarks before it; `None` behind the last.
    pub fn position_of_file(&mut self, files: u32) -> Result<Option<u64>> {
        if files > self.files {
            return Ok(None);
        }
        // Filemark counts never fall along the tape, so halving finds the place.
        let (mut low, mut high) = (0, self.objects);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.file_at(middle)? < files {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(Some(low))
    }

    /// The first object that does not lie whole within the first `bytes` data bytes; the end of data if all do.
    pub fn first_beyond(&mut self, bytes: u64) -> Result<u64> {
        let (mut low, mut high) = (0, self.objects);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.bytes_before(middle + 1)? <= bytes {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// The number of the first filemark at or behind a position.
    pub fn next_filemark(&mut self, position: u64) -> Result<Option<u64>> {
        let files = self.file_at(position)?;
        Ok(self.position_of_file(files + 1)?.and_then(|behind| behind.checked_sub(1)))
    }

    /// The number of the last filemark before a position.
    pub fn previous_filemark(&mut self, position: u64) -> Result<Option<u64>> {
        match self.file_at(position)? {
            0 => Ok(None),
            files => Ok(self.position_of_file(files)?.and_then(|behind| behind.checked_sub(1))),
        }
    }
}
