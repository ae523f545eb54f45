//! Files straight from tape, with no datastore: out of the middle of a media set, onto a disk.
//!
//! ```text
//! media catalogs → snapshot archive → manifest, indexes
//!   → rounds: chunks with directories (and the catalog of names) → what is wanted
//!   → its chunks, tape by tape → spool → folder or tar
//! ```
//!
//! What it promises:
//!
//! * only tapes that hold something wanted are asked for, each as seldom as rounds allow: all that one round wants of a
//!   tape is read in one go, upwards;
//! * of a chunk archive little more is read than the chunks that are wanted (`archive_search`), although the format does not say where
//!   they are;
//! * nothing comes out that was not proved: manifest, index and chunk are each checked as in a restore;
//! * damage costs the files that it is in. They are named, and everything else is extracted;
//! * nothing is kept but what was asked for: chunks lie in a file without a name meanwhile.

mod archive_search;
mod file_blocks;
pub(crate) mod image;
pub(crate) mod output;
pub(crate) mod select;
pub(crate) mod snapshot;
pub(crate) mod spool;
mod tapes;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use client::restore::{check_key, find_archive};
use datastore::hierarchy::{ArchiveKind, MANIFEST_NAME, parse_qualified_name};
use datastore::manifest::MANIFEST_FILE_BYTES_MAX;
use datastore::{CryptConfig, CryptMode, DataBlob, Digest, Manifest, Progress};
use pxar::exclude::{Effect, PatternList};
use serde::Serialize;
use uuid::Uuid;

use crate::error::{Error, Result, ResultExt};
use crate::format::BLOCK_BYTES;
use crate::format::snapshot_archive::{
    SnapshotArchiveHeader, read_snapshot_archive_header, read_snapshot_files,
};
use crate::loader::{MediaLoader, MediaWait};
use crate::media::file_lists::{NAMES_CATALOG, Names, of_catalog};
use crate::media::set::SetCatalogs;
use crate::media::{Inventory, Lock, PoolConfig, StateDir};
use crate::restore::tape_files::{TapeFile, at_file};
use crate::verify::VerifyScope;
use output::{Source, Written};
use select::{Guide, TapeArchive, failed, is_selected};
use snapshot::TapeSnapshot;
use spool::{Fetch as _, Spool};
use tapes::Tapes;

pub use select::Lost;
pub use tapes::TapeUse;

/// Longest file of a snapshot that is taken into memory: the index of an image of 1 PiB.
const FILE_BYTES_MAX: u64 = 8 << 30;

/// How an extraction works.
#[derive(Debug, Clone)]
pub struct ExtractOptions {
    /// How long to wait for tapes that have to be brought.
    pub wait: MediaWait,
    /// Folder on a file system with room for the chunks that are read.
    pub spool_folder: PathBuf,
    /// Most bytes that these take there.
    pub spool_bytes_max: u64,
}

/// What is wanted of the snapshot.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The archive, by its stored name or the one given at backup.
    pub archive: String,
    /// What is wanted of an archive of files, the last match decides; empty: everything.
    pub patterns: Vec<String>,
    /// What is wanted of another archive, in bytes; `None`: everything.
    pub range: Option<Range<u64>>,
    /// The key that the snapshot was made with.
    pub key: Option<Arc<CryptConfig>>,
}

/// Where it goes.
pub enum ExtractTarget<'a> {
    /// A folder.
    Folder {
        /// The folder, made if it is missing.
        path: &'a Path,
        /// How files are made in it. Its patterns are not used.
        options: pxar::extract::Options,
    },
    /// A stream: tar for an archive of files, the bytes themselves for the rest.
    Stream(&'a mut dyn Write),
}

/// A tape that chunks are needed from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct NeededTape {
    /// Label text.
    pub label_text: String,
    /// Media UUID.
    pub uuid: Uuid,
    /// Where it was seen last.
    pub location: String,
    /// Chunks needed from it.
    pub chunks: u64,
    /// Chunk archives that they are in.
    pub archives: u64,
}

/// What an extraction needs besides what was read to find that out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExtractPlan {
    /// `store:snapshot`.
    pub snapshot: String,
    /// Stored name of the archive.
    pub archive: String,
    /// Entries that are wanted, directories on the way included.
    pub entries: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Bytes of the chunks that hold it, before they were compressed: at most so many are read.
    pub chunk_bytes: u64,
    /// The tapes that hold them.
    pub tapes: Vec<NeededTape>,
    /// What can't be had.
    pub lost: Vec<Lost>,
}

/// What an extraction did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExtractReport {
    /// `store:snapshot`.
    pub snapshot: String,
    /// Stored name of the archive.
    pub archive: String,
    /// Entries that were made.
    pub entries: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// Rounds of reading that found out what is wanted.
    pub rounds: u64,
    /// What was read of which tape, in the order of their first use.
    pub tapes: Vec<TapeUse>,
    /// What was wanted and is not there.
    pub lost: Vec<Lost>,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

/// The names of the files in a snapshot on tape.
pub enum NamesOnTape {
    /// It has no catalog of names.
    NoCatalog,
    /// They need not be read: the digest of their catalog's index is known.
    Known(Digest),
    /// They may be kept, with that digest.
    Plain(Digest, Names),
    /// They are encrypted and must not be kept in the clear. `None`: nobody had the key.
    Encrypted(Option<Names>),
}

/// A snapshot on tape, opened.
pub struct Extraction<'a> {
    name: String,
    snapshot: Arc<TapeSnapshot>,
    tapes: Tapes<'a>,
    start: Instant,
    /// Nobody may reuse a tape of the set from here on.
    _set_lock: Lock,
}

/// What is to be read and written, found out.
struct Found {
    archive: TapeArchive,
    accessor: pxar::Accessor,
    selected: select::Selected,
    chunks: BTreeSet<Digest>,
    chunk_bytes: u64,
}

impl<'a> Extraction<'a> {
    /// Reads the small files of a snapshot, `store:[ns/…/]type/id/time`, from tape. The drive must be locked by the
    /// caller.
    pub fn open(
        state: &'a StateDir,
        loader: &'a mut dyn MediaLoader,
        pools: &[PoolConfig],
        name: &str,
        options: &ExtractOptions,
        progress: &'a dyn Progress,
    ) -> Result<Extraction<'a>> {
        let start = Instant::now();
        let bad =
            |reason: String| Error::BadArgument { what: "snapshot", value: name.into(), reason };
        let VerifyScope::Snapshots { set, .. } = VerifyScope::find(state, pools, name)? else {
            return Err(bad("it must have the form store:[ns/…/]type/id/time".into()));
        };
        let set_lock = state.lock_media_set(&set)?;
        let inventory = Inventory::load(state)?;
        let members = inventory.media_set(&set)?;
        let (catalogs, lacking) = SetCatalogs::load_available(state, &inventory, &members)?;
        for error in lacking {
            progress.warn(&error.to_string());
        }
        let (store, full_name) = name.split_once(':').unwrap_or_default();
        let (media, file) = catalogs
            .find_snapshot(store, full_name)
            .ok_or_else(|| bad("no catalog of a media set knows it".into()))?;
        let (_, snapshot) = parse_qualified_name(full_name)?;
        let spool = Spool::new(&options.spool_folder, options.spool_bytes_max)?;
        let mut tapes = Tapes {
            state,
            loader,
            inventory,
            set,
            members: members.members().iter().copied().flatten().collect(),
            catalogs,
            store: store.into(),
            keys: Vec::new(),
            wait: options.wait,
            progress,
            uses: Vec::new(),
            damage: Vec::new(),
            loaded: None,
            starts: BTreeMap::new(),
            lists: BTreeMap::new(),
            experience: Default::default(),
        };
        let label_text = tapes.inventory.require(&media)?.id.label.label_text.clone();
        progress.note(&format!("Tape {label_text}, file {file}: snapshot archive {name}"));
        let wanted = SnapshotArchiveHeader { snapshot: full_name.into(), store: store.into() };
        let (files, blocks) = tapes.with_tape(&media, |device| {
            at_file(device, file, |file| read_files(file, &wanted)).on_tape(&label_text, file)
        })?;
        let used = tapes.used(&media)?;
        used.bytes_read += u64::from(blocks) * BLOCK_BYTES as u64;
        used.locates += 1;
        let (manifest, files) = take_manifest(files, name)?;
        if !manifest.belongs_to(&snapshot) {
            return Err(Error::malformed("snapshot archive", "its manifest is another snapshot's"));
        }
        let snapshot = Arc::new(TapeSnapshot { snapshot, manifest, files, spool });
        Ok(Extraction { name: name.into(), snapshot, tapes, start, _set_lock: set_lock })
    }

    /// The snapshot's manifest, which tells the key that is needed.
    pub fn manifest(&self) -> &Manifest {
        &self.snapshot.manifest
    }

    /// The names in the snapshot, from its catalog of names. One that `is_known` is not read.
    pub fn names(
        &mut self,
        key: Option<Arc<CryptConfig>>,
        is_known: &dyn Fn(&Digest) -> bool,
    ) -> Result<NamesOnTape> {
        use client::session::RestoreSession;
        let wrong = |e: client::Error| failed(NAMES_CATALOG, e);
        let Some(info) = self.snapshot.manifest.file(NAMES_CATALOG).cloned() else {
            return Ok(NamesOnTape::NoCatalog);
        };
        let is_encrypted = info.crypt_mode == CryptMode::Encrypt;
        if is_encrypted && key.is_none() {
            return Ok(NamesOnTape::Encrypted(None));
        }
        if !is_encrypted && is_known(&info.csum) {
            return Ok(NamesOnTape::Known(info.csum));
        }
        check_key(&*self.snapshot, Some(&info), key.as_deref()).map_err(wrong)?;
        self.tapes.keys = key.iter().cloned().collect();
        let index = self.snapshot.index(NAMES_CATALOG).map_err(wrong)?;
        self.tapes.fetch(&self.snapshot.spool, &index.digests().collect())?;
        let key = key.filter(|_| is_encrypted);
        let names = of_catalog(select::random(&self.snapshot, NAMES_CATALOG, key)?)?;
        Ok(match is_encrypted {
            true => NamesOnTape::Encrypted(Some(names)),
            false => NamesOnTape::Plain(info.csum, names),
        })
    }

    /// What extracting would need. The chunks with directories are read from tape for it.
    pub fn plan(&mut self, wanted: &Wanted) -> Result<ExtractPlan> {
        let (filename, key) = self.archive(wanted)?;
        let mut plan = ExtractPlan {
            snapshot: self.name.clone(),
            archive: filename.clone(),
            entries: 1,
            content_bytes: 0,
            chunk_bytes: 0,
            tapes: Vec::new(),
            lost: Vec::new(),
        };
        let chunks = if is_files(&filename) {
            let found = self.find(wanted, &filename, key)?;
            plan.entries = found.selected.nodes.len() as u64;
            plan.content_bytes = found.selected.content_bytes;
            plan.chunk_bytes = found.chunk_bytes;
            plan.lost = found.selected.lost;
            found.chunks
        } else if ArchiveKind::of(&filename) == Some(ArchiveKind::Blob) {
            plan.content_bytes = self.snapshot.manifest.file(&filename).map_or(0, |file| file.size);
            BTreeSet::new()
        } else {
            use client::session::RestoreSession;
            let index = self.snapshot.index(&filename).map_err(|e| failed(&filename, e))?;
            let range = wanted.range.clone().unwrap_or(0..index.content_size());
            plan.content_bytes = range.end.saturating_sub(range.start);
            plan.chunk_bytes = plan.content_bytes;
            select::digests_of(&index, range).collect()
        };
        plan.tapes = self.needed(&chunks)?;
        Ok(plan)
    }

    fn needed(&self, chunks: &BTreeSet<Digest>) -> Result<Vec<NeededTape>> {
        let (places, _) = self.tapes.places(chunks)?;
        let mut needed = Vec::new();
        for (uuid, files) in places {
            let entry = self.tapes.inventory.require(&uuid)?;
            needed.push(NeededTape {
                label_text: entry.id.label.label_text.clone(),
                uuid,
                location: entry.location().to_string(),
                chunks: files.values().map(|digests| digests.len() as u64).sum(),
                archives: files.len() as u64,
            });
        }
        needed.sort_by(|a, b| a.label_text.cmp(&b.label_text));
        Ok(needed)
    }

    /// Extracts. What could not be had otherwise is in the report; `Err` means that it ended early.
    pub fn run(mut self, wanted: &Wanted, target: ExtractTarget<'_>) -> Result<ExtractReport> {
        let (filename, key) = self.archive(wanted)?;
        let progress = self.tapes.progress;
        let mut rounds = 0;
        let written = if is_files(&filename) {
            let mut found = self.find(wanted, &filename, key)?;
            rounds = found.selected.rounds;
            for tape in self.needed(&found.chunks)? {
                progress.note(&format!(
                    "needed: tape {} ({}), {} chunks in {} archives",
                    tape.label_text, tape.location, tape.chunks, tape.archives
                ));
            }
            progress.expect_bytes(found.chunk_bytes);
            self.tapes.fetch(&self.snapshot.spool, &found.chunks)?;
            let source = Source {
                archive: &found.archive,
                accessor: &found.accessor,
                nodes: &found.selected.nodes,
                name: &filename,
            };
            let mut written = match target {
                ExtractTarget::Folder { path, options } => {
                    source.to_folder(path, &options, progress)?
                }
                ExtractTarget::Stream(stream) => source.to_tar(stream, progress)?,
            };
            written.lost.append(&mut found.selected.lost);
            written
        } else {
            self.image(wanted, &filename, key, target)?
        };
        let Written { entries, content_bytes, lost } = written;
        for lost in &lost {
            progress.warn(&format!("{} was not extracted: {}", lost.path, lost.reason));
        }
        Ok(ExtractReport {
            snapshot: self.name,
            archive: filename,
            entries,
            content_bytes,
            rounds,
            tapes: self.tapes.uses,
            lost,
            duration: self.start.elapsed(),
        })
    }

    fn image(
        &mut self,
        wanted: &Wanted,
        filename: &str,
        key: Option<Arc<CryptConfig>>,
        target: ExtractTarget<'_>,
    ) -> Result<Written> {
        let refuse = |what, reason: &str| {
            Err(Error::BadArgument { what, value: filename.into(), reason: reason.into() })
        };
        if !wanted.patterns.is_empty() {
            return refuse(
                "archive",
                "it holds no files, so patterns select nothing; give --range",
            );
        }
        let sink = match target {
            ExtractTarget::Stream(stream) => image::Sink::Stream(stream),
            ExtractTarget::Folder { path, options } => {
                let given = filename.rsplit_once('.').map_or(filename, |(given, _)| given);
                let new = image::NewFile::create(path, given, options.overwrite_files)?;
                image::Sink::File(new)
            }
        };
        if ArchiveKind::of(filename) == Some(ArchiveKind::Blob) {
            if wanted.range.is_some() {
                return refuse("archive", "it is a small file and comes whole");
            }
            return image::blob(&self.snapshot, filename, wanted.key.as_deref(), sink);
        }
        let (range, progress) = (wanted.range.clone(), self.tapes.progress);
        image::range(&self.snapshot, &mut self.tapes, filename, key, range, sink, progress)
    }

    /// Stored name of the archive, and the key of its chunks.
    fn archive(&mut self, wanted: &Wanted) -> Result<(String, Option<Arc<CryptConfig>>)> {
        let wrong = |e: client::Error| failed(&wanted.archive, e);
        let file = find_archive(&*self.snapshot, &wanted.archive).map_err(wrong)?.clone();
        check_key(&*self.snapshot, Some(&file), wanted.key.as_deref()).map_err(wrong)?;
        if wanted.key.is_none() && self.snapshot.manifest.signature().is_some() {
            self.tapes
                .progress
                .warn("the snapshot is signed, but no key was given: its signature is not checked");
        }
        self.tapes.keys = wanted.key.iter().cloned().collect();
        let is_encrypted = file.crypt_mode == CryptMode::Encrypt;
        Ok((file.filename, wanted.key.clone().filter(|_| is_encrypted)))
    }

    fn find(
        &mut self,
        wanted: &Wanted,
        filename: &str,
        key: Option<Arc<CryptConfig>>,
    ) -> Result<Found> {
        if wanted.range.is_some() {
            return Err(Error::BadArgument {
                what: "archive",
                value: filename.into(),
                reason: "it holds files; patterns select some, --range is for images".into(),
            });
        }
        let patterns = PatternList::parse(&wanted.patterns, Effect::Include)
            .map_err(|e| failed(filename, e))?;
        let payload = payload_of(&self.snapshot.manifest, filename)?;
        let is_split = payload.is_some();
        let archive = TapeArchive::open(&self.snapshot, filename, payload, key)?;
        let mut guide = Guide::of_paths(&wanted.patterns);
        let names = self.snapshot.manifest.file(NAMES_CATALOG).cloned();
        // Metadata that lie together are as good as a catalog of names.
        let names = names.filter(|_| guide.is_none() && !patterns.is_empty() && !is_split);
        let mut first = archive.first_chunks(guide.is_some());
        if names.is_some() {
            use client::session::RestoreSession;
            let index = self.snapshot.index(NAMES_CATALOG).map_err(|e| failed(NAMES_CATALOG, e))?;
            first.extend(index.digests());
        }
        self.tapes.fetch(&self.snapshot.spool, &first)?;
        if let Some(names) = names {
            match self.guide_of(&names, filename, &patterns, wanted.key.clone()) {
                Ok(found) => guide = Some(found),
                Err(e) => self.tapes.progress.warn(&format!("{e}; every directory is looked at")),
            }
        }
        let accessor = archive.accessor()?;
        let (tapes, spool) = (&mut self.tapes, &self.snapshot.spool);
        let selected = archive
            .select(&accessor, &patterns, guide, &mut |digests| tapes.fetch(spool, digests))?;
        if selected.nodes.iter().all(|node| node.path.is_empty()) && selected.lost.is_empty() {
            return Err(Error::BadArgument {
                what: "pattern",
                value: wanted.patterns.join(" "),
                reason: format!("nothing in {filename} matches; a path begins with /"),
            });
        }
        let mut chunks = BTreeSet::new();
        for source in selected.nodes.iter().filter_map(|node| node.source.as_ref()) {
            chunks.extend(archive.content_chunks(&accessor, source));
        }
        let chunk_bytes = archive.plain_bytes(&chunks);
        Ok(Found { archive, accessor, selected, chunks, chunk_bytes })
    }

    /// Where the patterns lead to, from the snapshot's catalog of names.
    fn guide_of(
        &self,
        names: &datastore::manifest::FileInfo,
        filename: &str,
        patterns: &PatternList,
        key: Option<Arc<CryptConfig>>,
    ) -> Result<Guide> {
        let wrong = |e: pxar::Error| failed(NAMES_CATALOG, e);
        let key = key.filter(|_| names.crypt_mode == CryptMode::Encrypt);
        let stream = select::random(&self.snapshot, NAMES_CATALOG, key)?;
        let catalog = pxar::catalog::Reader::open(stream).map_err(wrong)?;
        let start = catalog
            .child(&catalog.root(), filename.as_bytes())
            .map_err(wrong)?
            .ok_or_else(|| failed(NAMES_CATALOG, format!("it does not list {filename}")))?;
        let mut chosen: Vec<Vec<u8>> = Vec::new();
        // Whether the directories from the root to the present one are selected.
        let mut selected: Vec<(usize, bool)> = Vec::new();
        catalog
            .walk(&start, &mut |found| {
                let depth = found.path.iter().filter(|byte| **byte == b'/').count();
                selected.retain(|(above, _)| *above < depth);
                let inherited = selected.last().is_some_and(|(_, selected)| *selected);
                let is_directory =
                    matches!(found.entry.kind, pxar::catalog::Kind::Directory { .. });
                let is_chosen = is_selected(patterns, found.path, is_directory, inherited);
                if is_chosen {
                    chosen.push(found.path.to_vec());
                }
                if is_directory {
                    selected.push((depth, is_chosen));
                }
                Ok(true)
            })
            .map_err(wrong)?;
        Ok(Guide::of(chosen.iter().map(Vec::as_slice), false))
    }
}

/// The archive with the contents, if they are not in this one.
pub(crate) fn payload_of(manifest: &Manifest, filename: &str) -> Result<Option<String>> {
    let Some(base) = filename.strip_suffix(".mpxar.didx") else { return Ok(None) };
    let payload = format!("{base}.ppxar.didx");
    match manifest.file(&payload) {
        Some(_) => Ok(Some(payload)),
        None => Err(failed(filename, format!("{payload} with its contents is missing"))),
    }
}

/// An archive of files.
pub(crate) fn is_files(filename: &str) -> bool {
    filename.ends_with(".pxar.didx") || filename.ends_with(".mpxar.didx")
}

type Files = Vec<(String, Vec<u8>)>;

/// The files of a snapshot archive, which must be that of the wanted snapshot; with them, how many blocks it has.
fn read_files(file: TapeFile<'_, '_>, wanted: &SnapshotArchiveHeader) -> Result<(Files, u32)> {
    let TapeFile { header, stream, .. } = file;
    let archive = read_snapshot_archive_header(stream, &header)?;
    if archive != *wanted {
        let reason = format!("it is of {}:{}", archive.store, archive.snapshot);
        return Err(Error::malformed("snapshot archive", reason));
    }
    let mut files = Files::new();
    read_snapshot_files(stream, |name, _metadata, size, content| {
        let limit = if name == MANIFEST_NAME { MANIFEST_FILE_BYTES_MAX } else { FILE_BYTES_MAX };
        if size > limit {
            let reason = format!("{name} has {size} bytes");
            return Err(Error::malformed("snapshot archive", reason));
        }
        let mut bytes = Vec::new();
        content
            .read_to_end(&mut bytes)
            .map_err(|e| Error::malformed("snapshot archive", format!("{name}: {e}")))?;
        files.push((name.to_owned(), bytes));
        Ok(())
    })?;
    if stream.is_incomplete()? {
        return Err(Error::malformed("snapshot archive", "it is marked as incomplete"));
    }
    Ok((files, stream.blocks()))
}

fn take_manifest(files: Files, name: &str) -> Result<(Manifest, BTreeMap<String, Vec<u8>>)> {
    let mut files: BTreeMap<String, Vec<u8>> = files.into_iter().collect();
    let bytes = files
        .remove(MANIFEST_NAME)
        .ok_or_else(|| Error::malformed("snapshot archive", "it has no manifest"))?;
    let what = format!("manifest of snapshot {name}");
    let blob = DataBlob::from_bytes(bytes, &what)?;
    Ok((Manifest::from_blob(&blob, &what)?, files))
}

#[cfg(test)]
mod tests;
