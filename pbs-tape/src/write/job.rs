//! The backup job: every finished snapshot that the media set lacks goes to tape.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use datastore::hierarchy::{
    ArchiveKind, BackupType, CLIENT_LOG_NAME, MANIFEST_NAME, qualified_name,
};
use datastore::storage::ReadAt;
use datastore::{BackupGroup, Datastore, Namespace, Progress, SnapshotPath, SnapshotReader};
use serde::Serialize;
use uuid::Uuid;

use super::chunk_feed::{ChunkFeed, ChunkList, ChunkOrder};
use super::pool_writer::PoolWriter;
use crate::error::{Error, Result};
use crate::format::snapshot_archive::{SnapshotArchiveHeader, SnapshotFile};
use crate::loader::{MediaLoader, MediaWait, check_abort};
use crate::media::catalog::DigestSet;
use crate::media::{Inventory, MediaPool, PoolConfig, Reach, StateDir};

/// What is backed up, and how.
#[derive(Debug, Clone)]
pub struct TapeBackupOptions {
    /// Name under which the datastore's chunks and snapshots are known on tape. Renaming a
    /// datastore means a full copy.
    pub store_name: String,
    /// Where to start.
    pub namespace: Namespace,
    /// How many levels of namespaces below it; `None` = all.
    pub max_depth: Option<usize>,
    /// Only the newest snapshot of each group.
    pub latest_only: bool,
    /// Which groups; none = all.
    pub group_filters: Vec<GroupFilter>,
    /// Begin a new media set in any case.
    pub force_media_set: bool,
    /// Eject the tape at the end.
    pub eject_media: bool,
    /// Put the whole set into import/export slots at the end.
    pub export_media_set: bool,
    /// In which order chunks are read.
    pub chunk_order: ChunkOrder,
    /// How many chunks are read at once.
    pub readers: usize,
    /// How long to wait for tapes that have to be brought.
    pub wait: MediaWait,
    /// Names of all configured changers, to tell tapes that are in none any more.
    pub changers: Vec<String>,
}

impl TapeBackupOptions {
    /// Everything in the datastore, with the defaults.
    pub fn new(store_name: &str) -> TapeBackupOptions {
        TapeBackupOptions {
            store_name: store_name.to_string(),
            namespace: Namespace::root(),
            max_depth: None,
            latest_only: false,
            group_filters: Vec::new(),
            force_media_set: false,
            eject_media: false,
            export_media_set: false,
            chunk_order: ChunkOrder::default(),
            readers: 1,
            wait: MediaWait::NONE,
            changers: Vec::new(),
        }
    }

    /// Whether the job can meet namespaces; decides the version of its catalog archives.
    fn with_namespaces(&self) -> bool {
        !self.namespace.is_root() || self.max_depth != Some(0)
    }
}

/// Selects groups: `[include:|exclude:]type:TYPE` or `[include:|exclude:]group:TYPE/ID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupFilter {
    exclude: bool,
    selector: Selector,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Selector {
    Type(BackupType),
    Group(BackupGroup),
}

impl GroupFilter {
    fn matches(&self, group: &BackupGroup) -> bool {
        match &self.selector {
            Selector::Type(ty) => group.backup_type() == *ty,
            Selector::Group(wanted) => group == wanted,
        }
    }
}

impl FromStr for GroupFilter {
    type Err = Error;

    fn from_str(text: &str) -> Result<GroupFilter> {
        let bad = |reason: String| Error::BadArgument {
            what: "group filter",
            value: text.to_string(),
            reason,
        };
        let (exclude, rest) = match text.split_once(':') {
            Some(("include", rest)) => (false, rest),
            Some(("exclude", rest)) => (true, rest),
            _ => (false, text),
        };
        let selector = match rest.split_once(':') {
            Some(("type", ty)) => Selector::Type(ty.parse().map_err(|e| bad(format!("{e}")))?),
            Some(("group", group)) => {
                Selector::Group(group.parse().map_err(|e| bad(format!("{e}")))?)
            }
            _ => {
                return Err(bad(
                    "it must be [include:|exclude:]type:TYPE or [include:|exclude:]group:TYPE/ID"
                        .into(),
                ));
            }
        };
        Ok(GroupFilter { exclude, selector })
    }
}

fn passes(filters: &[GroupFilter], group: &BackupGroup) -> bool {
    let mut includes = filters.iter().filter(|filter| !filter.exclude).peekable();
    let included = includes.peek().is_none() || includes.any(|filter| filter.matches(group));
    included && !filters.iter().any(|filter| filter.exclude && filter.matches(group))
}

/// What a job did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TapeBackupReport {
    /// The set written on.
    pub media_set_uuid: Uuid,
    /// Label texts of the tapes written on, in order.
    pub tapes: Vec<String>,
    /// Snapshots written.
    pub snapshots_written: Vec<String>,
    /// Snapshots that the set had already.
    pub snapshots_skipped: u64,
    /// Snapshots that were removed while the job ran.
    pub snapshots_vanished: Vec<String>,
    /// Snapshots that could not be read, with the reason.
    pub snapshots_failed: Vec<(String, String)>,
    /// Chunks written.
    pub chunks: u64,
    /// Bytes of these chunks.
    pub chunk_bytes: u64,
    /// Bytes that went to tapes, whole blocks.
    pub tape_bytes: u64,
    /// How long it took.
    #[serde(serialize_with = "seconds")]
    pub duration: Duration,
}

fn seconds<S: serde::Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_secs_f64())
}

impl TapeBackupReport {
    /// The error that the job should end with, if something failed.
    pub fn into_result(self) -> Result<TapeBackupReport> {
        match self.snapshots_failed.first() {
            None => Ok(self),
            Some((snapshot, reason)) => Err(Error::Partial {
                failed: self.snapshots_failed.len(),
                first: format!("{snapshot}: {reason}"),
            }),
        }
    }
}

/// Runs a backup job. The drive must be locked by the caller.
///
/// Snapshots that can't be read, or that lack a chunk or have a damaged one, are reported and do not
/// end the job; everything else does, after what is already safely on tape was recorded.
pub fn run_backup(
    state: &StateDir,
    store: &Arc<Datastore>,
    pool: PoolConfig,
    loader: &mut dyn MediaLoader,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
) -> Result<TapeBackupReport> {
    let start = Instant::now();
    let reach = loader.reach();
    if let (Reach::Changer(changer), Some(texts)) = (&reach, loader.online_label_texts()?) {
        let online = BTreeMap::from([(changer.clone(), texts)]);
        let mut configured = options.changers.clone();
        if !configured.contains(changer) {
            configured.push(changer.clone());
        }
        Inventory::load(state)?.update_online(&online, &configured)?;
    }
    let groups = find_groups(store, options, progress)?;
    let pool = MediaPool::open_for_writing(state, pool, reach)?;
    let mut writer = PoolWriter::start(
        pool,
        loader,
        progress,
        options.wait,
        options.force_media_set,
        options.with_namespaces(),
    )?;
    let mut job = Job {
        store,
        options,
        progress,
        attempted: false,
        report: TapeBackupReport {
            media_set_uuid: *writer.pool().current_set().uuid(),
            tapes: Vec::new(),
            snapshots_written: Vec::new(),
            snapshots_skipped: 0,
            snapshots_vanished: Vec::new(),
            snapshots_failed: Vec::new(),
            chunks: 0,
            chunk_bytes: 0,
            tape_bytes: 0,
            duration: Duration::ZERO,
        },
    };
    if let Err(e) = job.run(&mut writer, &groups) {
        // What was written before may be kept, unless the drive lost the thread: then nobody knows
        // what really reached the tape since the last sync.
        if !matches!(e.cause(), Error::Drive(_) | Error::Changer(_)) {
            let _ = writer.commit();
        }
        return Err(e);
    }
    if options.export_media_set {
        writer.export_media_set()?;
    } else if options.eject_media {
        writer.eject()?;
    }
    let mut report = job.report;
    report.tapes = writer.used_tapes().to_vec();
    report.tape_bytes = writer.sent_bytes();
    report.duration = start.elapsed();
    Ok(report)
}

fn find_groups(
    store: &Datastore,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
) -> Result<Vec<(Namespace, BackupGroup)>> {
    let mut odd: Vec<String> = Vec::new();
    let namespaces = store.namespaces(&options.namespace, options.max_depth, &mut odd)?;
    for text in odd {
        progress.warn(&text);
    }
    let mut groups = Vec::new();
    for namespace in namespaces {
        for group in store.groups(&namespace)? {
            groups.push((namespace.clone(), group));
        }
    }
    let total = groups.len();
    // Stable: groups of the same name stay in the order of their namespaces, parents first.
    groups.sort_by(|(_, a), (_, b)| a.cmp(b));
    groups.retain(|(_, group)| passes(&options.group_filters, group));
    progress.note(&format!("found {} groups (out of {total} total)", groups.len()));
    Ok(groups)
}

struct Job<'a> {
    store: &'a Arc<Datastore>,
    options: &'a TapeBackupOptions,
    progress: &'a dyn Progress,
    /// A snapshot was not in the set, whatever became of it.
    attempted: bool,
    report: TapeBackupReport,
}

impl Job<'_> {
    fn run(
        &mut self,
        writer: &mut PoolWriter<'_>,
        groups: &[(Namespace, BackupGroup)],
    ) -> Result<()> {
        for (number, (namespace, group)) in groups.iter().enumerate() {
            let mut odd: Vec<String> = Vec::new();
            let mut snapshots: Vec<SnapshotPath> = self
                .store
                .snapshots(namespace, group, &mut odd)?
                .into_iter()
                .filter(|info| info.finished)
                .map(|info| info.path)
                .collect();
            for text in odd {
                self.progress.warn(&text);
            }
            if self.options.latest_only {
                snapshots = snapshots.pop().into_iter().collect();
            }
            for snapshot in snapshots {
                check_abort(self.progress)?;
                let name = qualified_name(namespace, &snapshot);
                if writer.contains_snapshot(&self.options.store_name, &name) {
                    self.report.snapshots_skipped += 1;
                    continue;
                }
                self.attempted = true;
                self.one_snapshot(writer, namespace, &snapshot, &name)?;
            }
            self.progress.note(&format!(
                "percentage done: {:.2}% ({}/{} groups)",
                (number + 1) as f64 * 100.0 / groups.len() as f64,
                number + 1,
                groups.len()
            ));
        }
        writer.commit()?;
        if self.attempted {
            self.progress.note("append media catalog");
            writer.append_own_catalog()?;
        }
        Ok(())
    }

    fn one_snapshot(
        &mut self,
        writer: &mut PoolWriter<'_>,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        name: &str,
    ) -> Result<()> {
        let prepared = SnapshotReader::open(self.store, namespace, snapshot)
            .map_err(Error::from)
            .and_then(|reader| {
                check_blobs(&reader)?;
                let lists = lacking_chunks(&reader, writer, &self.options.store_name)?;
                Ok((reader, lists))
            });
        let (reader, lists) = match prepared {
            Ok(prepared) => prepared,
            Err(e) => return self.unreadable(namespace, snapshot, name, &e),
        };
        self.progress.note(&format!("backup snapshot {name}"));
        let store_name = &self.options.store_name;
        let mut feed = ChunkFeed::start(
            self.store,
            format!("{store_name}:{name}"),
            lists,
            self.options.chunk_order,
            self.options.readers,
        );
        while !feed.is_empty() {
            check_abort(self.progress)?;
            let written = match writer.append_chunk_archive(&mut feed, store_name) {
                // The archive was closed and committed before: the tape is in order, and the other
                // snapshots must not wait for somebody to mend this one.
                Err(e @ Error::UnreadableChunk { .. }) => {
                    self.progress.warn(&format!("snapshot {name} is not complete on disk: {e}"));
                    self.report.snapshots_failed.push((name.to_string(), e.to_string()));
                    return Ok(());
                }
                written => written?,
            };
            self.report.chunks += written.chunks;
            self.report.chunk_bytes += written.chunk_bytes;
            self.progress.note(&format!(
                "wrote {} chunks ({:.2} MB)",
                written.chunks,
                written.chunk_bytes as f64 / 1e6
            ));
        }
        check_abort(self.progress)?;
        let archive =
            SnapshotArchiveHeader { snapshot: name.to_string(), store: store_name.clone() };
        // All files are opened and all blobs read before the archive is begun: what is wrong on disk
        // now leaves the tape as it is.
        let mut is_unreadable = false;
        let mut files = || snapshot_files(&reader).inspect_err(|_| is_unreadable = true);
        let appended = writer.append_snapshot_archive(&archive, &mut files);
        match appended {
            Err(e) if is_unreadable => return self.unreadable(namespace, snapshot, name, &e),
            other => other?,
        }
        self.report.snapshots_written.push(name.to_string());
        Ok(())
    }

    /// Records that a snapshot could not be read, or is not there any more. The others go on.
    fn unreadable(
        &mut self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        name: &str,
        error: &Error,
    ) -> Result<()> {
        if self.has_vanished(namespace, snapshot)? {
            self.progress.note(&format!("snapshot {name} vanished"));
            self.report.snapshots_vanished.push(name.to_string());
        } else {
            self.progress.warn(&format!("snapshot {name} can't be read: {error}"));
            self.report.snapshots_failed.push((name.to_string(), error.to_string()));
        }
        Ok(())
    }

    fn has_vanished(&self, namespace: &Namespace, snapshot: &SnapshotPath) -> Result<bool> {
        Ok(self.store.snapshot_info(namespace, snapshot.clone())?.is_none())
    }
}

/// Proves the blobs of a snapshot against its manifest before anything of it is written. On tape they
/// would never be looked at again until a restore refuses them.
fn check_blobs(reader: &SnapshotReader) -> Result<()> {
    for file in reader.manifest().files() {
        if ArchiveKind::of(&file.filename) == Some(ArchiveKind::Blob) {
            reader.blob(&file.filename)?;
        }
    }
    Ok(())
}

/// The chunks of a snapshot that the set does not hold, index by index in reverse order of the
/// manifest, each once.
fn lacking_chunks(
    reader: &SnapshotReader,
    writer: &PoolWriter<'_>,
    store_name: &str,
) -> Result<Vec<ChunkList>> {
    let mut seen = DigestSet::default();
    let mut lists = Vec::new();
    for file in reader.manifest().files().iter().rev() {
        if !matches!(
            ArchiveKind::of(&file.filename),
            Some(ArchiveKind::DynamicIndex | ArchiveKind::FixedIndex)
        ) {
            continue;
        }
        let index = reader.index(&file.filename)?;
        let mut digests = Vec::new();
        for digest in index.digests() {
            if !writer.contains_chunk(store_name, &digest)? && seen.insert(digest) {
                digests.push(digest);
            }
        }
        lists.push(ChunkList { archive: file.filename.clone(), digests });
    }
    Ok(lists)
}

/// The files of a snapshot in the order of its archive on tape.
fn snapshot_files(reader: &SnapshotReader) -> Result<Vec<Result<SnapshotFile>>> {
    let mut names = vec![MANIFEST_NAME.to_string()];
    let mut seen = BTreeSet::from([MANIFEST_NAME, CLIENT_LOG_NAME]);
    for file in reader.manifest().files() {
        // Readers accept a manifest that names a file twice; an archive can't hold it twice.
        if seen.insert(&file.filename) {
            names.push(file.filename.clone());
        }
    }
    let dir = reader.store().snapshot_dir(reader.namespace(), reader.snapshot());
    if dir.join(CLIENT_LOG_NAME).is_file() {
        names.push(CLIENT_LOG_NAME.to_string());
    }
    names.into_iter().map(|name| snapshot_file(reader, &dir, name).map(Ok)).collect()
}

fn snapshot_file(
    reader: &SnapshotReader,
    dir: &std::path::Path,
    name: String,
) -> Result<SnapshotFile> {
    let path = dir.join(&name);
    let meta = std::fs::symlink_metadata(&path).map_err(|e| Error::io(&path, e))?;
    let mut metadata = pxar::Metadata::with_mode(meta.mode());
    metadata.uid = meta.uid();
    metadata.gid = meta.gid();
    metadata.mtime = pxar::Timestamp {
        secs: meta.mtime(),
        nanos: u32::try_from(meta.mtime_nsec()).unwrap_or(0),
    };
    if name == MANIFEST_NAME {
        // The manifest may be replaced at any time (notes); what was read with the lists counts.
        let bytes = reader.manifest_blob().as_bytes().to_vec();
        let size = bytes.len() as u64;
        return Ok(SnapshotFile {
            name,
            metadata,
            size,
            content: Box::new(io::Cursor::new(bytes)),
        });
    }
    let is_listed = reader.manifest().files().iter().any(|file| file.filename == name);
    if is_listed && ArchiveKind::of(&name) == Some(ArchiveKind::Blob) {
        // Written is what was checked, not what the disk gives the next time.
        let bytes = reader.blob(&name)?.as_bytes().to_vec();
        let size = bytes.len() as u64;
        let content = Box::new(io::Cursor::new(bytes));
        return Ok(SnapshotFile { name, metadata, size, content });
    }
    let file = reader.open_file(&name)?;
    let size = file.len().map_err(|e| Error::io(&path, e))?;
    Ok(SnapshotFile { name, metadata, size, content: Box::new(Sequential { file, offset: 0 }) })
}

struct Sequential {
    file: Box<dyn ReadAt>,
    offset: u64,
}

impl Read for Sequential {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(buffer, self.offset)?;
        self.offset += bytes as u64;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_filters_select() {
        let group = |text: &str| text.parse::<BackupGroup>().unwrap();
        let filters = |texts: &[&str]| -> Vec<GroupFilter> {
            texts.iter().map(|text| text.parse().unwrap()).collect()
        };
        let hosts = filters(&["type:host", "exclude:group:host/b"]);
        assert!(passes(&hosts, &group("host/a")));
        assert!(!passes(&hosts, &group("host/b")));
        assert!(!passes(&hosts, &group("vm/100")));
        assert!(passes(&filters(&["exclude:type:vm"]), &group("ct/1")));
        assert!(passes(&[], &group("ct/1")));
        for bad in ["", "type", "type:tape", "regex:x", "maybe:type:vm", "group:x"] {
            assert!(bad.parse::<GroupFilter>().is_err(), "{bad}");
        }
    }
}
