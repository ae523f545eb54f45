//! The partitions of a cartridge: each is a log of its own; one of them is under the head.
//!
//! # Why formatting is safe
//!
//! FORMAT MEDIUM destroys what is recorded, so nothing of it needs to survive; what must never come out
//! of a crash is a cartridge that cannot be used. Logs of new partitions are made and durable before
//! `cartridge.json`, which says how many there are, is replaced; logs that are no longer needed are
//! removed after it. A log that `cartridge.json` does not count is never opened, and a later format
//! removes it before it makes its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::{Cartridge, CartridgeState, Fault, ObjectLog};
use crate::error::{Named, Result};

/// The partitions that are not under the head.
pub(super) type Parked = BTreeMap<u8, ObjectLog>;

/// Opens all partitions but the first.
pub(super) fn open_parked(folder: &Path, state: &CartridgeState) -> Result<Parked> {
    (1..state.partitions())
        .map(|number| Ok((number, ObjectLog::open(folder, number.into(), state.id)?)))
        .collect()
}

impl Cartridge {
    /// Number of the partition under the head.
    pub fn partition(&self) -> u8 {
        self.partition
    }

    /// Goes to another partition; false if there is none of this number.
    pub fn select_partition(&mut self, number: u8) -> bool {
        if number == self.partition {
            return true;
        }
        let Some(log) = self.parked.remove(&number) else { return false };
        let before = std::mem::replace(&mut self.log, log);
        self.parked.insert(self.partition, before);
        self.partition = number;
        true
    }

    /// Capacity in data bytes of the partition under the head.
    pub fn capacity_bytes(&self) -> u64 {
        self.state.partition_capacity_bytes(self.partition)
    }

    /// Data bytes before early warning in the partition under the head.
    pub fn early_warning_at(&self) -> u64 {
        self.state.partition_early_warning_at(self.partition)
    }

    /// Data bytes recorded in each partition.
    pub fn recorded(&self) -> Vec<u64> {
        (0..self.state.partitions())
            .map(|number| match self.parked.get(&number) {
                Some(log) => log.bytes(),
                None => self.log.bytes(),
            })
            .collect()
    }

    /// Makes the data of all partitions durable.
    pub(super) fn checkpoint_all(&mut self) -> std::result::Result<(), Fault> {
        for log in self.parked.values_mut() {
            log.checkpoint()?;
        }
        self.log.checkpoint()
    }

    /// Makes the tape blank, with partitions of these capacities (one: none given). The head stands in
    /// partition 0 afterwards.
    pub fn format(&mut self, partition_bytes: &[u64]) -> Result<()> {
        self.select_partition(0);
        let blanked = std::iter::once(&mut self.log)
            .chain(self.parked.values_mut())
            .try_for_each(|log| log.truncate(0).and_then(|()| log.checkpoint()));
        blanked.map_err(|fault| self.error(fault))?;
        let before = self.state.partitions();
        self.state.encryption_marks.clear();
        self.state.partition_bytes = partition_bytes.to_vec();
        let count = self.state.partitions();
        for number in before..count {
            ObjectLog::remove(&self.folder, number.into())?;
            ObjectLog::create(&self.folder, number.into(), self.state.id)?;
            let log = ObjectLog::open(&self.folder, number.into(), self.state.id)?;
            self.parked.insert(number, log);
        }
        self.state.initialization_count = self.state.initialization_count.wrapping_add(1);
        self.save()?;
        for number in count..before {
            self.parked.remove(&number);
            ObjectLog::remove(&self.folder, number.into())?;
        }
        Ok(())
    }

    /// Makes the tape blank, with one partition of so many 65535ths of the whole. `cartridge.json` says so once
    /// nothing is recorded any more, so no crash leaves more on the tape than it has room for.
    pub fn set_capacity(&mut self, proportion: u16) -> Result<()> {
        self.state.scale_capacity(proportion);
        self.format(&[])
    }
}

impl ObjectLog {
    /// Removes the files of a partition, if there are any.
    fn remove(folder: &Path, partition: u32) -> Result<()> {
        let (log, index) = ObjectLog::paths(folder, partition);
        for path in [log, index] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(error).named(&path);
                }
                _ => {}
            }
        }
        Ok(())
    }
}
