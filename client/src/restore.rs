//! Restoring: from a snapshot's archive to a folder, a file or a stream.
//!
//! The key is checked against the snapshot before a byte is written. What exists is not
//! overwritten unless asked for, and then only by something whole.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use datastore::blob::BLOB_BYTES_MAX;
use datastore::hierarchy::{ArchiveKind, MANIFEST_NAME};
use datastore::manifest::FileInfo;
use datastore::{CryptConfig, CryptMode, Progress};
use pxar::extract::OnError;

use crate::backup::ArchiveMonitor;
use crate::error::{Error, Result};
use crate::random::RandomAccess;
use crate::readahead::{Content, ReadAhead};
use crate::session::RestoreSession;
use crate::zeros::write_sparse;

const UNIFIED_SUFFIX: &str = ".pxar.didx";
const METADATA_SUFFIX: &str = ".mpxar.didx";
const PAYLOAD_SUFFIX: &str = ".ppxar.didx";

/// Where an archive goes.
pub enum Target<'a> {
    /// A folder for a `.pxar`, a file or block device for the rest.
    Path(&'a Path),
    /// The bytes of the archive as they are, in order.
    Stream(&'a mut dyn Write),
}

/// How to restore.
pub struct Options {
    /// The key that the snapshot was made with.
    pub key: Option<Arc<CryptConfig>>,
    /// Worker threads.
    pub workers: usize,
    /// How files are restored.
    pub archive: pxar::extract::Options,
    /// Replace an existing file with an image or small file.
    pub overwrite: bool,
}

/// What a restore did.
#[derive(Debug, Default, Clone, Copy)]
pub struct Summary {
    /// Entries of a folder.
    pub entries: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Entries that could not be restored.
    pub failed: u64,
}

/// Finds an archive by its stored name or the name that it was given at backup. A folder that was
/// stored as two archives (`.mpxar` and `.ppxar`) is found under its `.pxar` name too.
pub fn find_archive<'m>(session: &'m dyn RestoreSession, name: &str) -> Result<&'m FileInfo> {
    let files = session.manifest().files();
    let find = |name: &str| {
        files.iter().find(|file| {
            let given = file.filename.rsplit_once('.').map_or("", |(given, _)| given);
            file.filename == name || given == name
        })
    };
    let base = |name: &str, suffix| name.strip_suffix(suffix).map(|base| format!("{base}.mpxar"));
    find(name)
        .filter(|file| !file.filename.ends_with(PAYLOAD_SUFFIX))
        .or_else(|| find(&base(name, ".pxar")?))
        .or_else(|| find(&base(name, ".ppxar")?))
        .or_else(|| find(&base(name, PAYLOAD_SUFFIX)?))
        .ok_or_else(|| {
            let names: Vec<_> = files.iter().map(|file| file.filename.as_str()).collect();
            Error::refused(format!(
                "snapshot {} has no archive '{name}'; it has: {}",
                session.snapshot(),
                names.join(", ")
            ))
        })
}

/// Fails if the key does not fit the snapshot, or is needed for `file` and not there.
pub fn check_key(
    session: &dyn RestoreSession,
    file: Option<&FileInfo>,
    key: Option<&CryptConfig>,
) -> Result<()> {
    let what = format!("snapshot {}", session.snapshot());
    match key {
        Some(key) => {
            // The name of the key is checked also where there is no signature to check it with.
            match session.manifest().key_fingerprint()? {
                Some(wanted) if wanted != key.fingerprint() => {
                    let given = key.fingerprint();
                    return Err(datastore::Error::WrongKey { what, wanted, given }.into());
                }
                _ => session.manifest().verify_signature(key, &what)?,
            }
        }
        // A blob tells by itself whether it is encrypted: the copy of the key for the holder of the
        // master key is not, although its snapshot is.
        None if file.is_some_and(|file| {
            file.crypt_mode == CryptMode::Encrypt
                && ArchiveKind::of(&file.filename) != Some(ArchiveKind::Blob)
        }) =>
        {
            return Err(datastore::Error::KeyNeeded { what }.into());
        }
        None => {}
    }
    Ok(())
}

/// Restores one archive.
pub fn run(
    session: &Arc<dyn RestoreSession>,
    name: &str,
    target: Target<'_>,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Summary> {
    if name == MANIFEST_NAME || name == "index.json" {
        return Err(Error::refused("the manifest is shown by 'capstan snapshot files'"));
    }
    let file = find_archive(&**session, name)?.clone();
    check_key(&**session, Some(&file), options.key.as_deref())?;
    if options.key.is_none() && session.manifest().signature().is_some() {
        progress.warn("the snapshot is signed, but no key was given: its signature is not checked");
    }
    let job = Job { session, options, progress, file: &file };
    match ArchiveKind::of(&file.filename) {
        Some(ArchiveKind::Blob) => job.blob(target),
        _ if file.filename.ends_with(METADATA_SUFFIX) => match target {
            Target::Path(path) => job.folder(path),
            Target::Stream(_) => Err(Error::refused(format!(
                "{} is a folder stored as two archives; restore it to a folder",
                file.filename
            ))),
        },
        _ if file.filename.ends_with(UNIFIED_SUFFIX) => match target {
            Target::Path(path) => job.folder(path),
            Target::Stream(stream) => job.stream(stream),
        },
        _ => match target {
            Target::Path(path) => job.image(path),
            Target::Stream(stream) => job.stream(stream),
        },
    }
}

struct Job<'a> {
    session: &'a Arc<dyn RestoreSession>,
    options: &'a Options,
    progress: &'a dyn Progress,
    file: &'a FileInfo,
}

impl Job<'_> {
    fn read_ahead(&self, filename: &str) -> Result<ReadAhead> {
        let index = self.session.index(filename)?;
        self.progress.expect_bytes(index.content_size());
        ReadAhead::start(self.session, index, self.chunk_key(), self.options.workers)
    }

    fn chunk_key(&self) -> Option<Arc<CryptConfig>> {
        let encrypted = self.file.crypt_mode == CryptMode::Encrypt;
        self.options.key.clone().filter(|_| encrypted)
    }

    fn random_access(&self, filename: &str) -> Result<RandomAccess> {
        Ok(RandomAccess::new(self.session, self.session.index(filename)?, self.chunk_key()))
    }

    /// The archive that holds the content of the files, if it is not the same one.
    fn payload(&self) -> Result<Option<String>> {
        let Some(base) = self.file.filename.strip_suffix(METADATA_SUFFIX) else { return Ok(None) };
        let payload = format!("{base}{PAYLOAD_SUFFIX}");
        if self.session.manifest().file(&payload).is_none() {
            return Err(Error::refused(format!(
                "{} needs {payload}, which the snapshot does not have",
                self.file.filename
            )));
        }
        Ok(Some(payload))
    }

    fn folder(&self, target: &Path) -> Result<Summary> {
        let options = &self.options.archive;
        // From front to back is fastest. To leave out most of an archive, or to get past damage,
        // takes its tables.
        let extracted = if options.patterns.is_empty() && options.on_error == OnError::Abort {
            self.folder_in_order(target)
        } else {
            self.folder_by_tables(target)
        };
        let summary = extracted.map_err(|error| match error {
            _ if self.progress.is_aborted() => Error::Aborted,
            error => error,
        })?;
        if !options.patterns.is_empty() && summary.entries() == 0 && summary.failed == 0 {
            return Err(Error::refused("no entry of the archive matches the patterns"));
        }
        Ok(Summary {
            entries: summary.entries(),
            content_bytes: summary.content_bytes,
            failed: summary.failed,
        })
    }

    fn folder_in_order(&self, target: &Path) -> Result<pxar::extract::Summary> {
        let monitor = ArchiveMonitor(self.progress);
        let mut input = self.read_ahead(&self.file.filename)?;
        let mut payload = self.payload()?.map(|name| self.read_ahead(&name)).transpose()?;
        let extracted = pxar::extract::extract(
            &mut input,
            payload.as_mut().map(|payload| payload as &mut dyn io::Read),
            target,
            &self.options.archive,
            &monitor,
        );
        extracted.map_err(|error| {
            let error = input.cause(error.into());
            match payload {
                Some(mut payload) => payload.cause(error),
                None => error,
            }
        })
    }

    fn folder_by_tables(&self, target: &Path) -> Result<pxar::extract::Summary> {
        let monitor = ArchiveMonitor(self.progress);
        let archive = self.random_access(&self.file.filename)?;
        let archive = match self.payload()? {
            None => pxar::Accessor::open(archive)?,
            Some(payload) => pxar::Accessor::open_split(archive, self.random_access(&payload)?)?,
        };
        let options = &self.options.archive;
        Ok(pxar::extract::extract_selected(&archive, target, options, &monitor)?)
    }

    fn stream(&self, output: &mut dyn Write) -> Result<Summary> {
        let mut input = self.read_ahead(&self.file.filename)?;
        let mut summary = Summary::default();
        let failed = |e| Error::io("write", "the output", e);
        while let Some(chunk) = self.next(&mut input)? {
            summary.content_bytes += chunk.len();
            match chunk {
                Content::Bytes(bytes) => output.write_all(&bytes).map_err(failed)?,
                Content::Zeros(len) => {
                    io::copy(&mut io::repeat(0).take(len), output).map_err(failed)?;
                }
            }
        }
        output.flush().map_err(failed)?;
        Ok(summary)
    }

    fn next(&self, input: &mut ReadAhead) -> Result<Option<Content>> {
        if self.progress.is_aborted() {
            return Err(Error::Aborted);
        }
        let chunk = input.next_chunk()?;
        if let Some(chunk) = &chunk {
            self.progress.advance_bytes(chunk.len());
        }
        Ok(chunk)
    }

    fn image(&self, target: &Path) -> Result<Summary> {
        let mut input = self.read_ahead(&self.file.filename)?;
        let output = Output::create(target, self.options.overwrite)?;
        let mut at = 0;
        while let Some(chunk) = self.next(&mut input)? {
            let len = chunk.len();
            match chunk {
                Content::Bytes(bytes) => output.write(&bytes, at)?,
                Content::Zeros(len) => output.write_zeros(len, at)?,
            }
            at += len;
        }
        output.finish(at)?;
        Ok(Summary { content_bytes: at, ..Summary::default() })
    }

    fn blob(&self, target: Target<'_>) -> Result<Summary> {
        let blob = self.session.blob(&self.file.filename)?;
        let key = self.options.key.as_deref();
        let content = blob.decode(key, BLOB_BYTES_MAX, &self.file.filename)?;
        let content_bytes = content.len() as u64;
        self.progress.expect_bytes(content_bytes);
        match target {
            Target::Path(path) => {
                let output = Output::create(path, self.options.overwrite)?;
                output.write(&content, 0)?;
                output.finish(content_bytes)?;
            }
            Target::Stream(stream) => stream
                .write_all(&content)
                .and_then(|()| stream.flush())
                .map_err(|e| Error::io("write", "the output", e))?,
        }
        self.progress.advance_bytes(content_bytes);
        Ok(Summary { content_bytes, ..Summary::default() })
    }
}

/// A file or block device being restored.
///
/// A file is written under a temporary name beside its place and renamed when it is whole: whatever
/// goes wrong before, the old file stays and no half file is taken for the whole. A block device has
/// no such place; it must not be in use, and is written only on request.
struct Output<'a> {
    file: File,
    path: &'a Path,
    /// The name it is written under, if it is a file.
    temp: Option<PathBuf>,
    finished: std::cell::Cell<bool>,
}

impl Output<'_> {
    fn create(path: &Path, overwrite: bool) -> Result<Output<'_>> {
        let exists = || {
            Error::refused(format!(
                "{} exists already; remove it, or give --overwrite",
                path.display()
            ))
        };
        let kind = match std::fs::symlink_metadata(path) {
            Ok(meta) => Some(meta.file_type()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::io("look at", path, error)),
        };
        if kind.is_some() && !overwrite {
            return Err(exists());
        }
        let is_device =
            std::fs::metadata(path).is_ok_and(|meta| meta.file_type().is_block_device());
        if is_device {
            // O_EXCL on a block device: refused while it is mounted or otherwise held.
            let file = OpenOptions::new().write(true).custom_flags(libc::O_EXCL).open(path);
            let file = file.map_err(|e| Error::io("open", path, e))?;
            return Ok(Output { file, path, temp: None, finished: false.into() });
        }
        if kind.is_some_and(|kind| !kind.is_file()) {
            return Err(Error::refused(format!(
                "{} is neither a regular file nor a block device; it is not replaced",
                path.display()
            )));
        }
        let mut name = path.file_name().unwrap_or_default().to_os_string();
        name.push(format!(".tmp_{}", std::process::id()));
        let temp = path.with_file_name(name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp);
        let file = file.map_err(|e| Error::io("create", &temp, e))?;
        Ok(Output { file, path, temp: Some(temp), finished: false.into() })
    }

    fn write(&self, content: &[u8], at: u64) -> Result<()> {
        let written = if self.temp.is_some() {
            write_sparse(&self.file, content, at)
        } else {
            self.file.write_all_at(content, at)
        };
        written.map_err(|e| Error::io("write", self.path, e))
    }

    /// Zeros need no room in a new file; on a device they must be written.
    fn write_zeros(&self, len: u64, at: u64) -> Result<()> {
        static ZEROS: [u8; 1 << 20] = [0; 1 << 20];
        let mut done = 0;
        while self.temp.is_none() && done < len {
            let piece = (len - done).min(ZEROS.len() as u64);
            let zeros = ZEROS.get(..piece as usize).unwrap_or_default();
            let written = self.file.write_all_at(zeros, at + done);
            written.map_err(|e| Error::io("write", self.path, e))?;
            done += piece;
        }
        Ok(())
    }

    fn finish(&self, size: u64) -> Result<()> {
        let failed = |action| move |e| Error::io(action, self.path, e);
        if self.temp.is_some() {
            self.file.set_len(size).map_err(failed("write"))?;
        }
        self.file.sync_all().map_err(failed("sync"))?;
        if let Some(temp) = &self.temp {
            std::fs::rename(temp, self.path).map_err(failed("rename"))?;
        }
        self.finished.set(true);
        Ok(())
    }
}

impl Drop for Output<'_> {
    fn drop(&mut self) {
        if let Some(temp) = &self.temp
            && !self.finished.get()
        {
            // Half a file is of no use; the error that led here is the one to tell.
            let _ = std::fs::remove_file(temp);
        }
    }
}
