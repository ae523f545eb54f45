//! Backing up: from sources to a finished snapshot.
//!
//! Any failure before the end leaves no snapshot: the session is dropped unfinished. An archiver
//! that fails after its last byte was stored counts too, because an archive is ended only after
//! its source has reported success.

use std::fs::File;
use std::io;
use std::sync::Arc;

use datastore::blob::BLOB_BYTES_MAX;
use datastore::chunker::AVG_CATALOG;
use datastore::hierarchy::{CATALOG_NAME, ENCRYPTED_KEY_NAME};
use datastore::index::fixed::CHUNK_SIZE;
use datastore::manifest::FileInfo;
use datastore::{CryptConfig, CryptMode, DataBlob, Manifest, Progress};
use pxar::catalog::Sink as _;

use crate::error::{Error, Result};
use crate::image;
use crate::pipeline::{ChunkOptions, ChunkWriter, Pipeline};
use crate::session::{ArchiveShape, BackupSession};
use crate::source::{Source, SourceKind, check_names, image_size};

/// How to back up.
pub struct Options {
    /// The key, if the mode needs one.
    pub key: Option<Arc<CryptConfig>>,
    /// Whether the key encrypts or only signs.
    pub crypt_mode: CryptMode,
    /// The key, encrypted for the holder of the master key: a plain blob that the snapshot carries.
    pub encrypted_key: Option<DataBlob>,
    /// Try to compress.
    pub compress: bool,
    /// Average chunk size of folders in bytes.
    pub chunk_bytes_avg: usize,
    /// Worker threads.
    pub workers: usize,
    /// How folders are archived.
    pub archive: pxar::create::Options,
}

/// What a backup did.
#[derive(Debug, Default, Clone)]
pub struct Summary {
    /// Entries of folders.
    pub entries: u64,
    /// Bytes of all archives.
    pub archive_bytes: u64,
    /// Entries that are missing because they could not be read or vanished.
    pub skipped: u64,
    /// Files that changed while they were read.
    pub changed_files: u64,
}

impl Summary {
    /// True if the backup holds everything that it was asked to hold, as it was at one time.
    pub fn is_complete(&self) -> bool {
        self.skipped == 0 && self.changed_files == 0
    }
}

/// Checks everything that can be checked before a snapshot is begun.
pub fn check(sources: &[Source], options: &Options) -> Result<()> {
    check_names(sources)?;
    match (options.crypt_mode, &options.key) {
        (CryptMode::None, Some(_)) | (CryptMode::Encrypt | CryptMode::SignOnly, None) => {
            return Err(Error::refused(format!(
                "mode '{}' and the key do not go together: encryption and signing need a key \
                 (--keyfile), and mode 'none' takes none",
                options.crypt_mode
            )));
        }
        _ => {}
    }
    if options.encrypted_key.is_some() && options.key.is_none() {
        return Err(Error::refused(
            "a master key encrypts the key of a backup, and this backup has none",
        ));
    }
    for source in sources {
        source.check()?;
    }
    Ok(())
}

/// Makes the archives of all sources and finishes the snapshot.
pub fn run(
    session: &dyn BackupSession,
    sources: &[Source],
    options: &Options,
    progress: &dyn Progress,
) -> Result<(Manifest, Summary)> {
    check(sources, options)?;
    let encrypt = options.crypt_mode == CryptMode::Encrypt;
    note_other_key(session, options, progress);
    let chunk_options = ChunkOptions {
        key: options.key.clone().filter(|_| encrypt),
        compress: options.compress,
        workers: options.workers,
    };
    let pipeline = Pipeline::start(chunk_options)?;
    let mut job = Job {
        session,
        options,
        progress,
        pipeline: &pipeline,
        catalog: None,
        files: Vec::new(),
        summary: Summary::default(),
    };
    for source in sources {
        if progress.is_aborted() {
            return Err(Error::Aborted);
        }
        job.source(source)?;
    }
    job.finish_catalog()?;
    job.encrypted_key()?;
    if progress.is_aborted() {
        return Err(Error::Aborted);
    }
    let mut manifest = Manifest::new(session.snapshot());
    for file in std::mem::take(&mut job.files) {
        manifest.add(file)?;
    }
    if let Some(key) = &options.key {
        manifest.sign(key)?;
    }
    let manifest = session.finish(manifest)?;
    Ok((manifest, job.summary))
}

/// Another key than last time is allowed, and nothing is shared then: the names of encrypted chunks
/// depend on the key. Who did not mean it should hear of it before the second key is lost.
fn note_other_key(session: &dyn BackupSession, options: &Options, progress: &dyn Progress) {
    if let Some(key) = &options.key
        && let (Some(base), Some(base_key)) = (session.base(), session.base_key())
        && base_key != key.fingerprint()
    {
        progress.note(&format!(
            "the last snapshot, {base}, was made with key {}, this one is made with key {}: each \
             needs its own, and encrypted content is stored again",
            base_key.short(),
            key.fingerprint().short()
        ));
    }
}

struct Job<'a> {
    session: &'a dyn BackupSession,
    options: &'a Options,
    progress: &'a dyn Progress,
    pipeline: &'a Pipeline,
    /// One catalog for all folders of the run, begun with the first.
    catalog: Option<pxar::catalog::Writer<ChunkWriter>>,
    files: Vec<FileInfo>,
    summary: Summary,
}

impl Job<'_> {
    fn source(&mut self, source: &Source) -> Result<()> {
        let file = match source.kind {
            SourceKind::Folder => self.folder(source)?,
            SourceKind::Image => self.image(source)?,
            SourceKind::SmallFile => self.small_file(source)?,
        };
        self.files.push(file);
        Ok(())
    }

    fn folder(&mut self, source: &Source) -> Result<FileInfo> {
        if self.catalog.is_none() {
            let mode = self.options.crypt_mode;
            let sink = self.session.begin_archive(CATALOG_NAME, ArchiveShape::Dynamic, mode)?;
            let stream = self.pipeline.dynamic_stream(sink, AVG_CATALOG)?;
            self.catalog = Some(pxar::catalog::Writer::new(stream)?);
        }
        let mode = self.options.crypt_mode;
        let sink = self.session.begin_archive(&source.filename, ArchiveShape::Dynamic, mode)?;
        let mut archive = self.pipeline.dynamic_stream(sink, self.options.chunk_bytes_avg)?;
        let monitor = ArchiveMonitor(self.progress);
        let created = (|| {
            if let Some(catalog) = &mut self.catalog {
                catalog.start_archive(source.filename.as_bytes())?;
            }
            let catalog =
                self.catalog.as_mut().map(|catalog| catalog as &mut dyn pxar::catalog::Sink);
            let summary = pxar::create::create(
                &source.path,
                &mut archive,
                catalog,
                &self.options.archive,
                &monitor,
            )?;
            if let Some(catalog) = &mut self.catalog {
                catalog.end_archive()?;
            }
            Ok::<_, pxar::Error>(summary)
        })();
        let created = created.map_err(|error| self.failed(error))?;
        self.summary.entries += created.entries();
        self.summary.skipped += created.skipped;
        self.summary.changed_files += created.changed_files;
        self.summary.archive_bytes += created.sizes.archive_bytes;
        archive.finish()
    }

    fn failed(&self, error: pxar::Error) -> Error {
        if self.progress.is_aborted() {
            return Error::Aborted;
        }
        self.pipeline.cause(error.into())
    }

    fn image(&mut self, source: &Source) -> Result<FileInfo> {
        let path = &source.path;
        let mut file = File::open(path).map_err(|e| Error::io("open", path, e))?;
        let size = image_size(&mut file, path)?;
        if size == 0 {
            return Err(Error::refused(format!(
                "{} is empty, and the format has no empty images",
                path.display()
            )));
        }
        let shape = ArchiveShape::Fixed { size };
        let mode = self.options.crypt_mode;
        let sink = self.session.begin_archive(&source.filename, shape, mode)?;
        let mut stream = self.pipeline.fixed_stream(sink, CHUNK_SIZE as usize);
        // An image that grows meanwhile keeps the size that it had; one that shrinks is an error,
        // because what would fill it is not known.
        let copied = image::copy(&file, size, CHUNK_SIZE, &mut stream, self.progress);
        let copied = copied.map_err(|error| {
            if self.progress.is_aborted() {
                return Error::Aborted;
            }
            self.pipeline.cause(Error::io("read", path, error))
        })?;
        if copied != size {
            return Err(Error::refused(format!(
                "{} shrank from {size} to {copied} bytes while it was read; back it up from a \
                 snapshot that does not change",
                path.display()
            )));
        }
        self.summary.archive_bytes += size;
        stream.finish()
    }

    fn small_file(&mut self, source: &Source) -> Result<FileInfo> {
        let path = &source.path;
        let read = || -> io::Result<Vec<u8>> {
            let mut content = Vec::new();
            let limit = BLOB_BYTES_MAX as u64 + 1;
            io::Read::read_to_end(&mut io::Read::take(File::open(path)?, limit), &mut content)?;
            Ok(content)
        };
        let content = read().map_err(|e| Error::io("read", path, e))?;
        let key = self.options.key.as_deref();
        let key = key.filter(|_| self.options.crypt_mode == CryptMode::Encrypt);
        let blob = DataBlob::encode(&content, key, self.options.compress)?;
        self.progress.advance_bytes(content.len() as u64);
        self.summary.archive_bytes += content.len() as u64;
        self.session.add_blob(&source.filename, &blob, self.options.crypt_mode)
    }

    fn encrypted_key(&mut self) -> Result<()> {
        if let Some(blob) = &self.options.encrypted_key {
            // Listed with the mode of the backup, as everything in it; the blob itself is plain.
            let mode = self.options.crypt_mode;
            self.files.push(self.session.add_blob(ENCRYPTED_KEY_NAME, blob, mode)?);
        }
        Ok(())
    }

    fn finish_catalog(&mut self) -> Result<()> {
        if let Some(catalog) = self.catalog.take() {
            let stream = catalog.finish().map_err(|error| self.failed(error))?;
            self.files.push(stream.finish()?);
        }
        Ok(())
    }
}

/// Lets a file archive report to the progress of the whole.
pub(crate) struct ArchiveMonitor<'a>(pub(crate) &'a dyn Progress);

impl pxar::Monitor for ArchiveMonitor<'_> {
    fn content(&self, bytes: u64) {
        self.0.advance_bytes(bytes);
    }

    fn warning(&self, warning: &pxar::Warning) {
        match warning {
            pxar::Warning::MountPoint { .. } => self.0.note(&warning.to_string()),
            _ => self.0.warn(&warning.to_string()),
        }
    }

    fn is_aborted(&self) -> bool {
        self.0.is_aborted()
    }
}
