//! What the cartridge memory knows of encryption: for each partition the first encrypted block and the
//! first plain one behind it (attributes 0224h and 0225h).
//!
//! The marks may be older than the log: what was recorded since may lack them, and what they point to
//! may have been written over. The first is prevented by saving a mark before the block that it is about;
//! the second is seen when the cartridge is opened.

use serde::{Deserialize, Serialize};

use super::{Cartridge, CartridgeState, Fault};

/// The marks of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marks {
    /// Object number of the first encrypted block.
    pub first_encrypted: Option<u64>,
    /// Object number of the first plain block behind that.
    pub first_plain_after: Option<u64>,
}

impl CartridgeState {
    /// The marks of a partition.
    pub fn marks(&self, partition: u8) -> Marks {
        self.encryption_marks.get(usize::from(partition)).copied().unwrap_or_default()
    }

    fn set_marks(&mut self, partition: u8, marks: Marks) {
        if self.marks(partition) == marks {
            return;
        }
        let place = usize::from(partition);
        if self.encryption_marks.len() <= place {
            self.encryption_marks.resize(place + 1, Marks::default());
        }
        if let Some(known) = self.encryption_marks.get_mut(place) {
            *known = marks;
        }
    }

    /// True if there are encrypted blocks anywhere on it.
    pub fn has_encrypted(&self) -> bool {
        self.encryption_marks.iter().any(|marks| marks.first_encrypted.is_some())
    }
}

impl Cartridge {
    /// The first encrypted block of the partition under the head.
    pub fn first_encrypted(&self) -> Option<u64> {
        self.state.marks(self.partition).first_encrypted
    }

    /// Takes back marks of the partition under the head that do not hold any more.
    pub(super) fn check_marks(&mut self) -> std::result::Result<(), Fault> {
        let objects = self.log.objects();
        let mut marks = self.state.marks(self.partition);
        if let Some(first) = marks.first_encrypted
            && (first >= objects || !self.log.is_sealed(first)?)
        {
            marks.first_encrypted = None;
        }
        if let Some(first) = marks.first_plain_after
            && (marks.first_encrypted.is_none_or(|sealed| sealed > first)
                || first >= objects
                || self.log.is_sealed(first)?)
        {
            marks.first_plain_after = None;
        }
        self.state.set_marks(self.partition, marks);
        Ok(())
    }

    /// Makes everything behind `position` in the partition under the head go away, as a write there
    /// does on a tape.
    pub fn truncate(&mut self, position: u64) -> std::result::Result<(), Fault> {
        self.log.truncate(position)?;
        let marks = self.state.marks(self.partition);
        let kept = |mark: Option<u64>| mark.filter(|object| *object < position);
        let marks = Marks {
            first_encrypted: kept(marks.first_encrypted),
            first_plain_after: kept(marks.first_plain_after),
        };
        self.state.set_marks(self.partition, marks);
        Ok(())
    }

    /// Appends a block with its seal, empty for a plain one, and notes what the memory knows of
    /// encryption.
    pub fn append_block(&mut self, data: &[u8], seal: &[u8]) -> std::result::Result<(), Fault> {
        let object = self.log.objects();
        let mut marks = self.state.marks(self.partition);
        match (seal.is_empty(), marks.first_encrypted) {
            (false, None) => marks.first_encrypted = Some(object),
            (true, Some(_)) if marks.first_plain_after.is_none() => {
                marks.first_plain_after = Some(object);
            }
            _ => return self.log.append_block(data, seal),
        }
        self.state.set_marks(self.partition, marks);
        self.save().map_err(|error| Fault::Host(std::io::Error::other(error)))?;
        self.log.append_block(data, seal)
    }
}
