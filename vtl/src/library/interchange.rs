//! Cartridges as plain files: one file a tape file, its blocks back to back, and an `index.json`
//! that tells how they are cut.
//!
//! [`Library::export_cartridge`] and [`Library::import_cartridge`] are each other's exact reverse:
//! the same objects in the same order, with the memory's host attributes. Without an `index.json`,
//! blocks are 256 KiB (the last of a file may be shorter) and a filemark follows each file.
//! `docs/formats/vtl-cartridge.md` describes `index.json`.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::Library;
use crate::cartridge::{
    Cartridge, CartridgeState, Fault, HostAttribute, Object, RECORD_BYTES_MAX, early_warning_bytes,
};
use crate::durable;
use crate::element::ElementKind;
use crate::error::{Error, Named, Result};
use crate::generation::Generation;
use crate::progress::Progress;
use crate::robot::Robot;

/// Content of `format` in `index.json`.
const FORMAT: &str = "capstan-vtl-cartridge";
/// Version of the exported form.
const VERSION: u32 = 1;
/// Name of the index.
const INDEX: &str = "index.json";
/// Block size where no index tells it.
const DEFAULT_BLOCK_BYTES: u32 = 256 * 1024;

/// How an import is to go.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImportOptions {
    /// Overwrite a cartridge that is not blank.
    pub force: bool,
    /// Capacity of a cartridge that is made for the import; `None` for the exported one's, else the
    /// library's, enlarged where the data needs it.
    pub capacity_bytes: Option<u64>,
}

/// What was moved.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct InterchangeReport {
    /// Tape files.
    pub files: u64,
    /// Blocks.
    pub blocks: u64,
    /// Filemarks.
    pub filemarks: u64,
    /// Data bytes.
    pub bytes: u64,
}

/// The content of `index.json`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ExportIndex {
    format: String,
    version: u32,
    barcode: String,
    generation: Generation,
    capacity_bytes: u64,
    #[serde(default)]
    write_protected: bool,
    files: Vec<ExportedFile>,
    #[serde(default)]
    attributes: BTreeMap<u16, HostAttribute>,
}

/// One tape file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ExportedFile {
    name: String,
    /// Runs of blocks of one size: {block bytes, how many}.
    records: Vec<(u32, u64)>,
    /// A filemark ends the file; only the last file may lack it.
    filemark: bool,
}

impl ExportedFile {
    fn bytes(&self) -> Option<u64> {
        self.records.iter().try_fold(0u64, |sum, (length, count)| {
            sum.checked_add(u64::from(*length).checked_mul(*count)?)
        })
    }
}

fn file_name(number: u64) -> String {
    format!("{number:05}.blocks")
}

impl Library {
    /// Writes a cartridge's content to a new or empty folder. The cartridge must not be in a drive.
    pub fn export_cartridge(
        &self,
        barcode: &str,
        out_dir: &Path,
        progress: &dyn Progress,
    ) -> Result<InterchangeReport> {
        self.with_cartridge(barcode, |cartridge| {
            refuse_partitions(cartridge)?;
            fs::create_dir_all(out_dir).named(out_dir)?;
            if fs::read_dir(out_dir).named(out_dir)?.next().is_some() {
                return Err(Error::Import {
                    path: out_dir.to_path_buf(),
                    reason: "the folder is not empty; choose a new one to export to".into(),
                });
            }
            export(cartridge, out_dir, progress)
        })
    }

    /// Writes the content of a folder to a cartridge, which is made (in a free slot) if the library
    /// does not have it. A cartridge that is not blank is overwritten only if forced.
    ///
    /// If the import fails or is aborted, the cartridge is blank (or gone, if it was made for it).
    pub fn import_cartridge(
        &self,
        barcode: &str,
        in_dir: &Path,
        options: &ImportOptions,
        progress: &dyn Progress,
    ) -> Result<InterchangeReport> {
        let index = read_index(in_dir, barcode, self.shared.home().config().generation)?;
        let needed = index
            .files
            .iter()
            .try_fold(0u64, |sum, file| sum.checked_add(file.bytes()?))
            .ok_or_else(|| refuse(in_dir, "its sizes are impossible"))?;
        progress.total(needed);
        let existed = Robot::lock(self.shared.home())?.state.find(barcode).is_some();
        if !existed {
            self.add_for_import(barcode, &index, options, needed)?;
        }
        let result = self.with_cartridge(barcode, |cartridge| {
            refuse_partitions(cartridge)?;
            let objects = cartridge.log.objects();
            if objects > 0 && !options.force {
                return Err(Error::CartridgeNotBlank { barcode: barcode.into(), objects });
            }
            if cartridge.state.write_protected {
                return Err(Error::CartridgeBusy {
                    barcode: barcode.into(),
                    reason: "the cartridge is write protected".into(),
                });
            }
            let capacity_bytes = cartridge.state.capacity_bytes;
            if needed > capacity_bytes {
                return Err(Error::TooSmall {
                    barcode: barcode.into(),
                    needed_bytes: needed,
                    capacity_bytes,
                });
            }
            cartridge.truncate(0).map_err(|fault| cartridge.error(fault))?;
            let imported = import(cartridge, &index, in_dir, progress);
            if imported.is_err() {
                cartridge.truncate(0).map_err(|fault| cartridge.error(fault))?;
            } else {
                cartridge.state.attributes = index.attributes.clone();
                cartridge.state.change_reference = cartridge.state.change_reference.wrapping_add(1);
                cartridge.state.write_protected = index.write_protected;
            }
            Ok(imported)
        });
        match result {
            Ok(Ok(report)) => Ok(report),
            Ok(Err(error)) | Err(error) => {
                if !existed {
                    // The first error is the one to tell.
                    let _ = self.remove_cartridge(barcode);
                }
                Err(error)
            }
        }
    }

    fn add_for_import(
        &self,
        barcode: &str,
        index: &ExportIndex,
        options: &ImportOptions,
        needed: u64,
    ) -> Result<()> {
        let config = self.shared.home().config();
        let exported = (index.capacity_bytes > 0).then_some(index.capacity_bytes);
        let wanted = options.capacity_bytes.or(exported).or(config.capacity_bytes);
        let mut state = CartridgeState::new(barcode, config.generation, wanted)?;
        if needed > state.capacity_bytes && options.capacity_bytes.is_none() {
            // Room behind the data as behind any data that a drive wrote.
            state.capacity_bytes = needed + (needed / 8).max(16 << 20);
            state.early_warning_bytes = early_warning_bytes(state.capacity_bytes);
        }
        let mut robot = Robot::lock(self.shared.home())?;
        self.place_new(&mut robot, &state, ElementKind::Slot)?;
        robot.state.attentions.note_inventory_changed();
        robot.commit()
    }
}

fn refuse(path: &Path, reason: impl Into<String>) -> Error {
    Error::Import { path: path.to_path_buf(), reason: reason.into() }
}

/// The exported form has one partition.
fn refuse_partitions(cartridge: &Cartridge) -> Result<()> {
    match cartridge.state.partitions() {
        1 => Ok(()),
        partitions => {
            Err(Error::Partitioned { barcode: cartridge.state.barcode.clone(), partitions })
        }
    }
}

/// A tape file being written out.
struct OpenFile {
    path: PathBuf,
    writer: BufWriter<File>,
    entry: ExportedFile,
}

fn start_file(out_dir: &Path, number: u64) -> Result<OpenFile> {
    let name = file_name(number);
    let path = out_dir.join(&name);
    let file = File::create_new(&path).named(&path)?;
    Ok(OpenFile {
        writer: BufWriter::with_capacity(1 << 20, file),
        path,
        entry: ExportedFile { name, records: Vec::new(), filemark: false },
    })
}

fn end_file(open: OpenFile, filemark: bool, files: &mut Vec<ExportedFile>) -> Result<()> {
    let OpenFile { path, writer, mut entry } = open;
    let file = writer.into_inner().map_err(std::io::IntoInnerError::into_error).named(&path)?;
    file.sync_all().named(&path)?;
    entry.filemark = filemark;
    files.push(entry);
    Ok(())
}

fn export(
    cartridge: &mut Cartridge,
    out_dir: &Path,
    progress: &dyn Progress,
) -> Result<InterchangeReport> {
    let mut report = InterchangeReport::default();
    let mut files = Vec::new();
    let mut open: Option<OpenFile> = None;
    let (mut buffer, mut seal) = (Vec::new(), Vec::new());
    progress.total(cartridge.log.bytes());
    // An export holds plain blocks: what a drive encrypted has no place in it, and the drive's key is not
    // to be had here. Said before a file is written, and once more for each block.
    let encrypted =
        |barcode: &str, object| Error::Encrypted { barcode: barcode.to_owned(), object };
    if let Some(object) = cartridge.first_encrypted() {
        return Err(encrypted(&cartridge.state.barcode, object));
    }
    for object in 0..cartridge.log.objects() {
        if progress.is_aborted() {
            return Err(Error::Aborted);
        }
        let read = read_object(cartridge, object, &mut buffer, &mut seal);
        let kind = read.map_err(|fault| cartridge.error(fault))?;
        if !seal.is_empty() {
            return Err(encrypted(&cartridge.state.barcode, object));
        }
        let mut current = match open.take() {
            Some(current) => current,
            None => start_file(out_dir, files.len() as u64)?,
        };
        match kind {
            Object::Block(length) => {
                let data = buffer.get(..length as usize).unwrap_or_default();
                current.writer.write_all(data).named(&current.path)?;
                match current.entry.records.last_mut() {
                    Some((run, count)) if *run == length => *count += 1,
                    _ => current.entry.records.push((length, 1)),
                }
                report.blocks += 1;
                report.bytes += u64::from(length);
                progress.advance(length.into());
                open = Some(current);
            }
            Object::Filemark => {
                report.filemarks += 1;
                end_file(current, true, &mut files)?;
            }
        }
    }
    if let Some(current) = open {
        end_file(current, false, &mut files)?;
    }
    report.files = files.len() as u64;
    let state = &cartridge.state;
    let index = ExportIndex {
        format: FORMAT.into(),
        version: VERSION,
        barcode: state.barcode.clone(),
        generation: state.generation,
        capacity_bytes: state.capacity_bytes,
        write_protected: state.write_protected,
        files,
        attributes: state.attributes.clone(),
    };
    // Last: a folder with an index is a whole export.
    durable::replace_json(&out_dir.join(INDEX), &index)?;
    Ok(report)
}

fn read_object(
    cartridge: &mut Cartridge,
    object: u64,
    buffer: &mut Vec<u8>,
    seal: &mut Vec<u8>,
) -> std::result::Result<Object, Fault> {
    if let Object::Block(length) = cartridge.log.kind(object)?
        && buffer.len() < length as usize
    {
        buffer.resize(length as usize, 0);
    }
    cartridge.log.read_sealed(object, buffer, seal)
}

/// Reads and checks the index, or makes one from the files.
fn read_index(in_dir: &Path, barcode: &str, generation: Generation) -> Result<ExportIndex> {
    let path = in_dir.join(INDEX);
    match durable::read_json::<ExportIndex>(&path) {
        Ok(index) => {
            check_index(in_dir, &path, &index)?;
            Ok(index)
        }
        Err(error) if error.is_missing() => Ok(ExportIndex {
            format: FORMAT.into(),
            version: VERSION,
            barcode: barcode.into(),
            generation,
            capacity_bytes: 0,
            write_protected: false,
            files: plain_files(in_dir)?,
            attributes: BTreeMap::new(),
        }),
        Err(error) => Err(error),
    }
}

fn check_index(in_dir: &Path, path: &Path, index: &ExportIndex) -> Result<()> {
    if index.format != FORMAT || index.version != VERSION {
        return Err(refuse(
            path,
            format!("{} version {} is not known", index.format, index.version),
        ));
    }
    for (number, file) in (0u64..).zip(&index.files) {
        // Names from a file are never followed out of the folder.
        if file.name != file_name(number) {
            return Err(refuse(path, format!("file {number} is called {:?}", file.name)));
        }
        let last = number + 1 == index.files.len() as u64;
        if !file.filemark && !last {
            return Err(refuse(path, format!("{} has no filemark and is not the last", file.name)));
        }
        let sizes_fit =
            file.records.iter().all(|(length, _)| (1..=RECORD_BYTES_MAX).contains(length));
        let file_path = in_dir.join(&file.name);
        let size = fs::metadata(&file_path).named(&file_path)?.len();
        if !sizes_fit || file.bytes() != Some(size) {
            return Err(refuse(
                &file_path,
                format!("its {size} bytes are not what {INDEX} says of it"),
            ));
        }
    }
    Ok(())
}

/// `00000.blocks` and on, without a gap.
fn plain_files(in_dir: &Path) -> Result<Vec<ExportedFile>> {
    let mut present: Vec<String> = Vec::new();
    for entry in fs::read_dir(in_dir).named(in_dir)? {
        let name = entry.named(in_dir)?.file_name();
        if let Some(name) = name.to_str()
            && name.ends_with(".blocks")
        {
            present.push(name.to_owned());
        }
    }
    if present.is_empty() {
        return Err(refuse(in_dir, format!("no {INDEX} and no {} in it", file_name(0))));
    }
    let mut files = Vec::new();
    for number in 0..present.len() as u64 {
        let name = file_name(number);
        if !present.contains(&name) {
            return Err(refuse(in_dir, format!("{name} is missing")));
        }
        let path = in_dir.join(&name);
        let size = fs::metadata(&path).named(&path)?.len();
        let whole = size / u64::from(DEFAULT_BLOCK_BYTES);
        let rest = (size % u64::from(DEFAULT_BLOCK_BYTES)) as u32;
        let mut records = Vec::new();
        if whole > 0 {
            records.push((DEFAULT_BLOCK_BYTES, whole));
        }
        if rest > 0 {
            records.push((rest, 1));
        }
        files.push(ExportedFile { name, records, filemark: true });
    }
    Ok(files)
}

fn import(
    cartridge: &mut Cartridge,
    index: &ExportIndex,
    in_dir: &Path,
    progress: &dyn Progress,
) -> Result<InterchangeReport> {
    let mut report = InterchangeReport::default();
    let mut buffer = Vec::new();
    for entry in &index.files {
        let path = in_dir.join(&entry.name);
        let mut file = File::open(&path).named(&path)?;
        for (length, count) in &entry.records {
            buffer.resize(*length as usize, 0);
            for _ in 0..*count {
                if progress.is_aborted() {
                    return Err(Error::Aborted);
                }
                file.read_exact(&mut buffer).named(&path)?;
                cartridge.append_block(&buffer, &[]).map_err(|fault| cartridge.error(fault))?;
                report.blocks += 1;
                report.bytes += u64::from(*length);
                progress.advance((*length).into());
            }
        }
        if entry.filemark {
            cartridge.log.append_filemarks(1).map_err(|fault| cartridge.error(fault))?;
            report.filemarks += 1;
        }
        report.files += 1;
    }
    cartridge.log.checkpoint().map_err(|fault| cartridge.error(fault))?;
    Ok(report)
}
