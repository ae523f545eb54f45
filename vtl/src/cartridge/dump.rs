//! What lies on a cartridge, object by object, for people and programs that look into one.
//!
//! Every object is read and held against its checksums, so a dump of a damaged cartridge names the damage
//! and goes on behind it. Nothing is changed. Like objects in a row are told as one run.

use serde::Serialize;

use super::{Cartridge, Fault, Object};
use crate::error::{Error, Result};
use crate::progress::Progress;

/// How many bytes of the first block of a run are shown.
const SHOWN_BYTES: usize = 16;

/// What kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ObjectKind {
    /// A block.
    Block,
    /// A filemark.
    Filemark,
}

/// Objects in a row that are alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DumpRun {
    /// What they are; of damaged ones it may be a guess.
    pub kind: ObjectKind,
    /// Logical object number of the first.
    pub object: u64,
    /// How many.
    pub count: u64,
    /// Filemarks before them. Each filemark of a run ends one file.
    pub file: u32,
    /// Data bytes of each, 0 for filemarks.
    pub length: u32,
    /// Byte offset of the first in the log of its partition.
    pub offset: u64,
    /// They are encrypted; what is shown is what is recorded.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encrypted: bool,
    /// First bytes of the first block, in hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub begins_with: String,
    /// What is wrong with them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

/// One partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DumpPartition {
    /// Its number.
    pub partition: u8,
    /// Objects recorded.
    pub objects: u64,
    /// Filemarks among them.
    pub filemarks: u32,
    /// Data bytes recorded.
    pub bytes: u64,
    /// The objects.
    pub runs: Vec<DumpRun>,
}

/// What lies on a cartridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DumpReport {
    /// The bar code.
    pub barcode: String,
    /// Its partitions.
    pub partitions: Vec<DumpPartition>,
}

impl DumpRun {
    /// True if `next` may be counted with it.
    fn goes_on_with(&self, next: &DumpRun) -> bool {
        let files = if self.kind == ObjectKind::Filemark { self.count } else { 0 };
        self.kind == next.kind
            && self.object + self.count == next.object
            && u64::from(self.file) + files == u64::from(next.file)
            && self.length == next.length
            && self.encrypted == next.encrypted
            && self.damage == next.damage
    }
}

impl Cartridge {
    /// Reads every object and tells what it is.
    pub fn dump(&mut self, progress: &dyn Progress) -> Result<DumpReport> {
        progress.total(self.recorded().iter().sum());
        let mut partitions = Vec::new();
        for partition in 0..self.state.partitions() {
            self.select_partition(partition);
            let runs = self.dump_partition(progress)?;
            partitions.push(DumpPartition {
                partition,
                objects: self.log.objects(),
                filemarks: self.log.files(),
                bytes: self.log.bytes(),
                runs,
            });
        }
        self.select_partition(0);
        Ok(DumpReport { barcode: self.state.barcode.clone(), partitions })
    }

    fn dump_partition(&mut self, progress: &dyn Progress) -> Result<Vec<DumpRun>> {
        let mut runs: Vec<DumpRun> = Vec::new();
        for object in 0..self.log.objects() {
            if progress.is_aborted() {
                return Err(Error::Aborted);
            }
            let run = self.look_at(object).map_err(|fault| self.error(fault))?;
            progress.advance(run.length.into());
            match runs.last_mut() {
                Some(last) if last.goes_on_with(&run) => last.count += 1,
                _ => runs.push(run),
            }
        }
        Ok(runs)
    }

    fn look_at(&mut self, object: u64) -> std::result::Result<DumpRun, Fault> {
        let entry = self.log.entry(object)?;
        let mut run = DumpRun {
            kind: if entry.is_filemark() { ObjectKind::Filemark } else { ObjectKind::Block },
            object,
            count: 1,
            file: entry.file,
            length: entry.length,
            offset: entry.offset,
            encrypted: self.log.is_sealed(object)?,
            begins_with: String::new(),
            damage: None,
        };
        // The log reads and proves the rest of the block too.
        let mut buffer = [0; SHOWN_BYTES];
        match self.log.read(object, &mut buffer) {
            Ok(Object::Block(length)) => {
                let shown = buffer.iter().take(length as usize);
                run.begins_with = shown.map(|byte| format!("{byte:02x}")).collect();
            }
            Ok(Object::Filemark) => {}
            Err(Fault::Damaged { reason, .. }) => run.damage = Some(reason.to_owned()),
            Err(fault) => return Err(fault),
        }
        Ok(run)
    }
}
