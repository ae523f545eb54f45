//! A tape in memory that behaves as badly as a real one: it warns early, ends, tears a write, keeps
//! what was not synced only if it likes, and can be cut off at any block.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use datastore::Progress;

use super::TapeDevice;
use crate::drive::{DriveKey, Encryption};
use crate::error::{Error, Result};
use crate::format::block::{BLOCK_BYTES, BlockRead, BlockSink, BlockSource, EarlyWarning};
use crate::loader::MediaLoader;
use crate::media::Reach;

/// What is recorded, one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    Block(Arc<[u8]>),
    Filemark,
}

/// The medium.
#[derive(Debug, Clone, Default)]
pub struct Medium {
    pub records: Vec<Record>,
    /// Blocks up to early warning and up to the end; 0 = no limit.
    pub warning_blocks: usize,
    pub end_blocks: usize,
}

impl Medium {
    /// Room for so many blocks before early warning, and for `reserve` more behind it.
    pub fn with_capacity(blocks: usize, reserve: usize) -> Medium {
        Medium { records: Vec::new(), warning_blocks: blocks, end_blocks: blocks + reserve }
    }

    /// The tape files: each the list of its blocks.
    pub fn files(&self) -> Vec<Vec<Arc<[u8]>>> {
        let mut files = vec![Vec::new()];
        for record in &self.records {
            match record {
                Record::Block(block) => files.last_mut().unwrap().push(block.clone()),
                Record::Filemark => files.push(Vec::new()),
            }
        }
        if files.last().unwrap().is_empty() {
            files.pop();
        }
        files
    }

    /// A medium holding these files, each ended by a filemark.
    pub fn from_files(files: &[Vec<u8>]) -> Medium {
        let mut medium = Medium::default();
        for file in files {
            for block in file.chunks(BLOCK_BYTES) {
                medium.records.push(Record::Block(block.into()));
            }
            medium.records.push(Record::Filemark);
        }
        medium
    }

    fn used_blocks(&self, upto: usize) -> usize {
        self.records[..upto].iter().filter(|r| matches!(r, Record::Block(_))).count()
    }
}

/// A medium in a drive.
#[derive(Debug)]
pub struct ModelDrive {
    pub medium: Arc<Mutex<Medium>>,
    position: usize,
    /// Counts down with each written block or filemark; at zero the power goes.
    pub fuse: Option<Arc<Mutex<u64>>>,
    pub write_protected: bool,
    is_encrypting: bool,
}

impl ModelDrive {
    pub fn new(medium: Medium) -> ModelDrive {
        ModelDrive::at(Arc::new(Mutex::new(medium)))
    }

    pub fn at(medium: Arc<Mutex<Medium>>) -> ModelDrive {
        ModelDrive { medium, position: 0, fuse: None, write_protected: false, is_encrypting: false }
    }

    fn burn(&mut self) -> Result<()> {
        self.require_erasable()?;
        if let Some(fuse) = &self.fuse {
            let mut left = fuse.lock().unwrap();
            if *left == 0 {
                return Err(Error::Unsupported("the power went".into()));
            }
            *left -= 1;
        }
        Ok(())
    }
}

impl BlockSink for ModelDrive {
    fn write_block(&mut self, block: &[u8]) -> Result<EarlyWarning> {
        assert_eq!(block.len(), BLOCK_BYTES);
        self.burn()?;
        let mut medium = self.medium.lock().unwrap();
        let used = medium.used_blocks(self.position) + 1;
        if medium.end_blocks > 0 && used > medium.end_blocks {
            return Err(Error::TapeFull);
        }
        medium.records.truncate(self.position);
        medium.records.push(Record::Block(block.into()));
        self.position += 1;
        Ok(medium.warning_blocks > 0 && used > medium.warning_blocks)
    }

    fn write_filemark(&mut self) -> Result<()> {
        self.burn()?;
        let mut medium = self.medium.lock().unwrap();
        medium.records.truncate(self.position);
        medium.records.push(Record::Filemark);
        self.position += 1;
        Ok(())
    }
}

impl BlockSource for ModelDrive {
    fn read_block(&mut self, buffer: &mut [u8]) -> Result<BlockRead> {
        let medium = self.medium.lock().unwrap();
        match medium.records.get(self.position) {
            None => Ok(BlockRead::EndOfData),
            Some(Record::Filemark) => {
                self.position += 1;
                Ok(BlockRead::Filemark)
            }
            Some(Record::Block(block)) => {
                self.position += 1;
                let bytes = block.len().min(buffer.len());
                buffer[..bytes].copy_from_slice(&block[..bytes]);
                Ok(BlockRead::Block { bytes: block.len() })
            }
        }
    }

    fn pass_unreadable_block(&mut self) -> Result<()> {
        self.position += 1;
        Ok(())
    }
}

impl TapeDevice for ModelDrive {
    fn rewind(&mut self) -> Result<()> {
        self.position = 0;
        Ok(())
    }

    fn move_to_file(&mut self, file: u64) -> Result<()> {
        let medium = self.medium.lock().unwrap();
        let mut position = 0;
        for _ in 0..file {
            let ahead = medium.records[position..].iter().position(|r| *r == Record::Filemark);
            let none = || crate::drive::Error::NoSuchFile { drive: "model".into(), file };
            position += ahead.ok_or_else(none)? + 1;
        }
        self.position = position;
        Ok(())
    }

    fn move_to_end_for_append(&mut self) -> Result<u64> {
        let torn = {
            let medium = self.medium.lock().unwrap();
            self.position = medium.records.len();
            matches!(medium.records.last(), Some(Record::Block(_)))
        };
        if torn {
            self.write_filemark()?;
        }
        self.file_number()
    }

    fn move_to_last_file(&mut self) -> Result<Option<u64>> {
        let files = self.medium.lock().unwrap().files().len() as u64;
        if files == 0 {
            return Ok(None);
        }
        self.move_to_file(files - 1)?;
        Ok(Some(files - 1))
    }

    fn file_number(&mut self) -> Result<u64> {
        let medium = self.medium.lock().unwrap();
        Ok(medium.records[..self.position].iter().filter(|r| **r == Record::Filemark).count()
            as u64)
    }

    fn object_number(&mut self) -> Result<u64> {
        Ok(self.position as u64)
    }

    fn move_to_object(&mut self, object: u64) -> Result<()> {
        let end = self.medium.lock().unwrap().records.len();
        if object > end as u64 {
            self.position = end;
            return Err(crate::drive::Error::NoSuchObject { drive: "model".into(), object }.into());
        }
        self.position = object as usize;
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        match &self.fuse {
            Some(fuse) if *fuse.lock().unwrap() == 0 => {
                Err(Error::Unsupported("the power went".into()))
            }
            _ => Ok(()),
        }
    }

    fn require_erasable(&mut self) -> Result<()> {
        if self.write_protected {
            let (drive, sense) = ("model".into(), scsi::Sense::WRITE_PROTECTED);
            return Err(crate::drive::Error::WriteProtected { drive, sense }.into());
        }
        Ok(())
    }

    fn format(&mut self, _fast: bool) -> Result<()> {
        self.burn()?;
        self.medium.lock().unwrap().records.clear();
        self.position = 0;
        Ok(())
    }

    fn bytes_used(&mut self) -> Result<Option<u64>> {
        let medium = self.medium.lock().unwrap();
        Ok(Some((medium.used_blocks(medium.records.len()) * BLOCK_BYTES) as u64))
    }

    fn bytes_remaining(&mut self) -> Result<Option<u64>> {
        Ok(None)
    }

    fn critical_alerts(&mut self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    fn encryption_off(&mut self) -> Result<()> {
        self.is_encrypting = false;
        Ok(())
    }

    fn set_key(&mut self, _key: &DriveKey) -> Result<()> {
        self.is_encrypting = true;
        Ok(())
    }

    fn assert_encryption(&mut self, expected: Encryption) -> Result<()> {
        assert_eq!(self.is_encrypting, expected == Encryption::On);
        Ok(())
    }

    fn set_cartridge_labels(&mut self, _text: Option<&str>, _pool: Option<&str>) -> Result<()> {
        Ok(())
    }

    fn eject(&mut self) -> Result<()> {
        self.position = 0;
        Ok(())
    }
}

/// A library of such tapes.
pub struct ModelLibrary {
    pub tapes: BTreeMap<String, Arc<Mutex<Medium>>>,
    pub loaded: Option<String>,
    pub exported: Vec<String>,
    /// Lies in another drive: known to be there, but can't be loaded.
    pub elsewhere: Option<String>,
    pub write_protected: bool,
    pub fuse: Option<Arc<Mutex<u64>>>,
    pub reads_bar_codes: bool,
    /// Name of the drive.
    pub drive: String,
    /// Which tape is in which drive, shared by the drives of one library.
    pub in_drives: Arc<Mutex<BTreeMap<String, String>>>,
}

impl ModelLibrary {
    /// Another drive of the same library.
    pub fn another_drive(&self, name: &str) -> ModelLibrary {
        let mut other = ModelLibrary::new([]);
        other.tapes = self.tapes.clone();
        other.reads_bar_codes = self.reads_bar_codes;
        other.in_drives = Arc::clone(&self.in_drives);
        other.drive = name.into();
        other
    }

    pub fn new(tapes: impl IntoIterator<Item = (String, Medium)>) -> ModelLibrary {
        ModelLibrary {
            tapes: tapes.into_iter().map(|(text, m)| (text, Arc::new(Mutex::new(m)))).collect(),
            loaded: None,
            exported: Vec::new(),
            elsewhere: None,
            write_protected: false,
            fuse: None,
            reads_bar_codes: false,
            drive: "model".into(),
            in_drives: Arc::default(),
        }
    }

    pub fn medium(&self, label_text: &str) -> Medium {
        self.tapes[label_text].lock().unwrap().clone()
    }
}

impl MediaLoader for ModelLibrary {
    fn drive_name(&self) -> &str {
        &self.drive
    }

    fn reach(&self) -> Reach {
        Reach::Changer("lib".into())
    }

    fn load(&mut self, label_text: &str, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        if !self.tapes.contains_key(label_text) || self.exported.iter().any(|t| t == label_text) {
            return Err(Error::Unsupported(format!("{label_text} is not online")));
        }
        if self.elsewhere.as_deref() == Some(label_text) {
            return Err(Error::Unsupported(format!("{label_text} is in another drive")));
        }
        let mut in_drives = self.in_drives.lock().unwrap();
        if in_drives.get(label_text).is_some_and(|drive| *drive != self.drive) {
            return Err(Error::Unsupported(format!("{label_text} is in another drive")));
        }
        in_drives.retain(|_, drive| *drive != self.drive);
        in_drives.insert(label_text.to_string(), self.drive.clone());
        drop(in_drives);
        self.loaded = Some(label_text.to_string());
        self.open(progress)
    }

    fn open(&mut self, _progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        let loaded = self.loaded.as_ref().ok_or(Error::Unsupported("drive is empty".into()))?;
        let mut drive = ModelDrive::at(self.tapes[loaded].clone());
        drive.fuse = self.fuse.clone();
        drive.write_protected = self.write_protected;
        Ok(Box::new(drive))
    }

    fn unload(&mut self, device: Option<Box<dyn TapeDevice>>) -> Result<()> {
        drop(device);
        self.loaded = None;
        self.in_drives.lock().unwrap().retain(|_, drive| *drive != self.drive);
        Ok(())
    }

    fn online_label_texts(&mut self) -> Result<Option<Vec<String>>> {
        Ok(Some(self.tapes.keys().filter(|t| !self.exported.contains(t)).cloned().collect()))
    }

    fn loaded_bar_code(&mut self) -> Result<Option<String>> {
        Ok(self.loaded.clone().filter(|_| self.reads_bar_codes))
    }

    fn export(&mut self, label_text: &str) -> Result<bool> {
        self.exported.push(label_text.to_string());
        Ok(self.tapes.contains_key(label_text))
    }
}
