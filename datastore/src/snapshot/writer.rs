//! Writing a snapshot so that it appears only when whole.
//!
//! # Why a finished snapshot has all its data
//!
//! A snapshot exists for readers if and only if its manifest has its final name. [`finish`] gives
//! it that name last, in this order:
//!
//! 1. every chunk was written and renamed, or touched, before the index that names it was written;
//! 2. every index and blob was written under a temporary name, synced and renamed;
//! 3. everything so far is made durable: one `syncfs` of the file system, through a descriptor that
//!    is open since before the first chunk, so that it reports whatever could not be written
//!    meanwhile, also before this session if the same handle of the store wrote it (at [`SyncLevel::File`] most of it was synced file by file before);
//! 4. the manifest is written under a temporary name, synced, renamed, and its folder synced.
//!
//! A crash before the rename in step 4 leaves a folder without manifest, which nobody takes for a
//! snapshot. A crash after it finds everything that the manifest names on the disk, because of
//! step 3. At [`SyncLevel::None`] only the first half holds.
//!
//! # Why nothing of it vanishes meanwhile
//!
//! From before the first chunk until after the manifest the writer holds the store's process lock
//! shared, so that no other process collects garbage, and a collector of this process keeps what
//! is younger than this lock. Chunks that are reused instead of uploaded belong to the base
//! snapshot, which is locked shared and cannot be removed; they are touched besides.
//!
//! A writer that is dropped unfinished removes what it made.
//!
//! [`finish`]: SnapshotWriter::finish

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::blob::DataBlob;
use crate::chunk_store::{Inserted, OpenFilesystems, SyncLevel};
use crate::crypt::CryptMode;
use crate::datastore::{Datastore, FILE_MODE};
use crate::digest::{Digest, Hasher};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::hierarchy::{
    ArchiveKind, CLIENT_LOG_NAME, MANIFEST_NAME, Namespace, SnapshotPath, is_archive_name,
    is_safe_id, qualified_name,
};
use crate::index::{DynamicIndex, FixedIndex, Index};
use crate::lock::{Guard, Mode, SharedGuard};
use crate::manifest::{
    ChunkUploadStats, FileInfo, MANIFEST_FILE_BYTES_MAX, Manifest, VerifyResult,
};
use crate::snapshot::group::GroupWriter;
use crate::snapshot::remove::remove_folder;
use crate::storage::{Durability, create_temp, replace_file};
use crate::time;

fn new_uuid() -> [u8; 16] {
    uuid::Uuid::new_v4().into_bytes()
}

/// A snapshot that is being written.
pub struct SnapshotWriter {
    group: Arc<GroupWriter>,
    snapshot: SnapshotPath,
    dir: PathBuf,
    base: Option<BaseSnapshot>,
    /// Files written so far.
    files: Mutex<Vec<FileInfo>>,
    count: AtomicU64,
    duplicates: AtomicU64,
    plain_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    new_bytes: AtomicU64,
    reused: AtomicU64,
    finished: AtomicBool,
    /// Open since before the first write, so that no failure to write goes unreported.
    filesystems: OpenFilesystems,
    // Dropped after everything above is cleaned up, in this order.
    snapshot_guard: Option<Guard>,
    _process_guard: SharedGuard,
}

struct BaseSnapshot {
    snapshot: SnapshotPath,
    manifest: Manifest,
    _guard: Guard,
}

impl SnapshotWriter {
    /// Begins a backup: the snapshot must be newer than the newest finished one of its group.
    pub fn begin_backup(group: &Arc<GroupWriter>, time: i64) -> Result<SnapshotWriter> {
        let snapshot = SnapshotPath::new(group.group().clone(), time)?;
        let process_guard = group.store().process_lock().try_shared()?;
        let base = SnapshotWriter::lock_base(group, &snapshot)?;
        SnapshotWriter::begin(group, snapshot, base, process_guard)
    }

    /// Begins to put back a snapshot that exists elsewhere, whatever its time. What an interrupted
    /// attempt left behind is removed; a finished snapshot is [`Error::Exists`].
    pub fn begin_restore(group: &Arc<GroupWriter>, time: i64) -> Result<SnapshotWriter> {
        let snapshot = SnapshotPath::new(group.group().clone(), time)?;
        let process_guard = group.store().process_lock().try_shared()?;
        let store = group.store();
        let existing = store.snapshot_info(group.namespace(), snapshot.clone())?;
        if existing.is_some_and(|info| !info.finished && !info.protected) {
            let _lock = store.locks().snapshot(group.namespace(), &snapshot, Mode::Exclusive)?;
            remove_folder(&**store.storage(), &store.snapshot_dir(group.namespace(), &snapshot))?;
        }
        SnapshotWriter::begin(group, snapshot, None, process_guard)
    }

    /// The newest finished snapshot, unless its verification failed; locked so that it stays.
    fn lock_base(group: &GroupWriter, new: &SnapshotPath) -> Result<Option<BaseSnapshot>> {
        let (store, namespace) = (group.store(), group.namespace());
        let snapshots = store.snapshots(namespace, group.group(), &mut ())?;
        let Some(newest) = snapshots.into_iter().rev().find(|info| info.finished) else {
            return Ok(None);
        };
        let snapshot = newest.path;
        if new.time() == snapshot.time() {
            return Err(Error::Exists { what: format!("snapshot {snapshot}") });
        }
        if new.time() < snapshot.time() {
            return Err(Error::Refused {
                reason: format!(
                    "the new backup's time {} is not after the last backup {snapshot}; check the \
                     clock or give --backup-time",
                    new.time_text()
                ),
            });
        }
        let guard = store.locks().snapshot(namespace, &snapshot, Mode::Shared)?;
        // A base that cannot be read is no reason to refuse a new backup: it is only not used.
        let Ok(manifest) = super::reader::load_manifest(store, namespace, &snapshot) else {
            return Ok(None);
        };
        if manifest.verify_state().is_some_and(|state| state.state == VerifyResult::Failed) {
            return Ok(None);
        }
        Ok(Some(BaseSnapshot { snapshot, manifest, _guard: guard }))
    }

    fn begin(
        group: &Arc<GroupWriter>,
        snapshot: SnapshotPath,
        base: Option<BaseSnapshot>,
        process_guard: SharedGuard,
    ) -> Result<SnapshotWriter> {
        let store = group.store();
        let guard = store.locks().snapshot(group.namespace(), &snapshot, Mode::Exclusive)?;
        let dir = store.snapshot_dir(group.namespace(), &snapshot);
        // Chunks and snapshots may lie on file systems of their own.
        let group_dir = store.group_dir(group.namespace(), group.group());
        let filesystems =
            store.chunks().begin_session(store.process_lock(), &[&group_dir, store.base()])?;
        if !store.make_dir(&dir)? {
            // Whoever is told so relies on it; its writer may have failed at the very last sync.
            store.storage().sync_dir(&dir).map_err(|e| Error::io("sync", &dir, e))?;
            return Err(Error::Exists { what: format!("snapshot {snapshot}") });
        }
        Ok(SnapshotWriter {
            group: Arc::clone(group),
            snapshot,
            dir,
            base,
            files: Mutex::default(),
            count: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            plain_bytes: AtomicU64::new(0),
            stored_bytes: AtomicU64::new(0),
            new_bytes: AtomicU64::new(0),
            reused: AtomicU64::new(0),
            finished: AtomicBool::new(false),
            filesystems,
            snapshot_guard: Some(guard),
            _process_guard: process_guard,
        })
    }

    /// Which snapshot is written.
    pub fn snapshot(&self) -> &SnapshotPath {
        &self.snapshot
    }

    /// The namespace that it is written to.
    pub fn namespace(&self) -> &Namespace {
        self.group.namespace()
    }

    /// The store that it is written to.
    pub fn store(&self) -> &Arc<Datastore> {
        self.group.store()
    }

    /// The snapshot whose chunks may be reused.
    pub fn base(&self) -> Option<&SnapshotPath> {
        self.base.as_ref().map(|base| &base.snapshot)
    }

    /// The key that the base snapshot says it was made with.
    pub fn base_key(&self) -> Option<Fingerprint> {
        self.base.as_ref()?.manifest.key_fingerprint().ok()?
    }

    /// The index of the same archive in the base snapshot, if its chunks may be reused: it must be
    /// sound, and encrypted exactly if `crypt_mode` is.
    pub fn base_index(&self, filename: &str, crypt_mode: CryptMode) -> Option<Index> {
        let base = self.base.as_ref()?;
        let file = base.manifest.file(filename).filter(|_| is_archive_name(filename))?;
        let encrypted = |mode| mode == CryptMode::Encrypt;
        if encrypted(file.crypt_mode) != encrypted(crypt_mode) {
            return None;
        }
        let dir = self.store().snapshot_dir(self.namespace(), &base.snapshot);
        let index = Index::load(&**self.store().storage(), &dir.join(filename)).ok()?;
        (index.compute_csum() == file.csum).then_some(index)
    }

    /// Stores a chunk of `plain_len` bytes, or touches it if it is there. May be called from
    /// several threads.
    pub fn insert_chunk(
        &self,
        digest: &Digest,
        blob: &DataBlob,
        plain_len: u64,
    ) -> Result<Inserted> {
        let inserted = self.store().chunks().insert(digest, blob)?;
        self.count.fetch_add(1, Ordering::Relaxed);
        self.plain_bytes.fetch_add(plain_len, Ordering::Relaxed);
        self.stored_bytes.fetch_add(inserted.stored_bytes, Ordering::Relaxed);
        if inserted.duplicate {
            self.duplicates.fetch_add(1, Ordering::Relaxed);
        } else {
            self.new_bytes.fetch_add(inserted.stored_bytes, Ordering::Relaxed);
        }
        Ok(inserted)
    }

    /// Relies on a chunk of the base snapshot: touches it. `false` if it is gone, and then it must
    /// be stored with [`SnapshotWriter::insert_chunk`].
    pub fn reuse_chunk(&self, digest: &Digest) -> Result<bool> {
        let is_there = self.store().chunks().touch(digest)?;
        self.reused.fetch_add(u64::from(is_there), Ordering::Relaxed);
        Ok(is_there)
    }

    /// Counts a chunk as reused that is the same as one inserted or reused before: one touch is
    /// enough for all of them.
    pub fn count_repeated(&self) {
        self.reused.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes the index of an archive of chunks of varying length, given in order with their
    /// lengths.
    pub fn add_dynamic_index(
        &self,
        filename: &str,
        chunks: &[(u64, Digest)],
        crypt_mode: CryptMode,
    ) -> Result<FileInfo> {
        self.check_name(filename, ArchiveKind::DynamicIndex)?;
        self.check_not_empty(filename, chunks.len())?;
        let index = DynamicIndex::new(new_uuid(), time::now(), chunks.iter().copied())?;
        let path = self.dir.join(filename);
        self.write_file(&path, &[&index.encode()])?;
        let index = Index::Dynamic(index);
        self.registered(filename, index.content_size(), index.header().csum, crypt_mode)
    }

    /// Writes the index of an image of `size` bytes, whose chunks are given in order.
    pub fn add_fixed_index(
        &self,
        filename: &str,
        size: u64,
        digests: Vec<Digest>,
        crypt_mode: CryptMode,
    ) -> Result<FileInfo> {
        self.check_name(filename, ArchiveKind::FixedIndex)?;
        self.check_not_empty(filename, digests.len())?;
        let index = FixedIndex::new(new_uuid(), time::now(), size, digests)?;
        let path = self.dir.join(filename);
        self.write_file(&path, &[&index.encode()])?;
        let index = Index::Fixed(index);
        self.registered(filename, size, index.header().csum, crypt_mode)
    }

    /// Writes a small file.
    pub fn add_blob(
        &self,
        filename: &str,
        blob: &DataBlob,
        crypt_mode: CryptMode,
    ) -> Result<FileInfo> {
        self.check_name(filename, ArchiveKind::Blob)?;
        let path = self.dir.join(filename);
        self.write_file(&path, &[blob.as_bytes()])?;
        self.plain_bytes.fetch_add(blob.encoded_len(), Ordering::Relaxed);
        self.registered(filename, blob.encoded_len(), Digest::of(blob.as_bytes()), crypt_mode)
    }

    /// Copies a file of the snapshot verbatim, as a restore from tape does. Whether it is what the
    /// manifest says is checked at the end.
    pub fn copy_file(&self, filename: &str, content: &mut dyn io::Read) -> Result<()> {
        let kind = ArchiveKind::of(filename).filter(|_| is_safe_id(filename));
        let Some(kind) = kind else {
            return Err(Error::InvalidName {
                kind: "archive name",
                name: filename.to_owned(),
                rule: "only .didx, .fidx and .blob files make up a snapshot",
            });
        };
        if filename != CLIENT_LOG_NAME {
            self.check_name(filename, kind)?;
        }
        let path = self.dir.join(filename);
        let storage = Arc::clone(self.store().storage());
        let (temp, mut file) = create_temp(&*storage, &path, FILE_MODE)?;
        let mut copy = || -> Result<(u64, Digest)> {
            let mut buffer = vec![0; 256 << 10];
            let (mut len, mut hasher) = (0, Hasher::new());
            loop {
                let count =
                    content.read(&mut buffer).map_err(|e| Error::io("receive", filename, e))?;
                let Some(bytes) = buffer.get(..count).filter(|bytes| !bytes.is_empty()) else {
                    break;
                };
                len += count as u64;
                hasher.update(bytes);
                file.write_all(bytes).map_err(|e| Error::io("write", &temp, e))?;
            }
            // As in `durability`.
            if self.store().sync_level() != SyncLevel::None {
                file.sync().map_err(|e| Error::io("sync", &temp, e))?;
            }
            // Before it has its name: an index that is none would stop garbage collection, ours and the
            // reference's.
            let facts = if kind == ArchiveKind::Blob {
                (len, hasher.finish())
            } else {
                let index = Index::load_from(&*storage, &temp, &path)?;
                (index.content_size(), index.compute_csum())
            };
            storage.rename(&temp, &path).map_err(|e| Error::io("rename", &temp, e))?;
            Ok(facts)
        };
        let (size, csum) = copy().inspect_err(|_| {
            // The error is what counts; the folder is removed with everything in it.
            let _ = storage.remove_file(&temp);
        })?;
        if filename == CLIENT_LOG_NAME {
            return Ok(());
        }
        // The mode comes from the manifest; see `check_files`.
        self.registered(filename, size, csum, CryptMode::None).map(|_| ())
    }

    /// The chunks that the files copied so far need, each once.
    pub fn needed_chunks(&self) -> Result<std::collections::HashSet<Digest>> {
        let mut digests = std::collections::HashSet::new();
        for file in self.files().iter() {
            if ArchiveKind::of(&file.filename) != Some(ArchiveKind::Blob) {
                let index = Index::load(&**self.store().storage(), &self.dir.join(&file.filename))?;
                digests.extend(index.digests());
            }
        }
        Ok(digests)
    }

    fn files(&self) -> MutexGuard<'_, Vec<FileInfo>> {
        // A thread that panicked while it held the list had nothing half done in it.
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check_name(&self, filename: &str, kind: ArchiveKind) -> Result<()> {
        let invalid =
            |rule| Error::InvalidName { kind: "archive name", name: filename.to_owned(), rule };
        if !is_safe_id(filename) || ArchiveKind::of(filename) != Some(kind) {
            return Err(invalid("its extension must fit its kind: .didx, .fidx or .blob"));
        }
        if filename == MANIFEST_NAME || filename == CLIENT_LOG_NAME {
            return Err(invalid("this name is reserved"));
        }
        if self.finished.load(Ordering::Acquire) {
            return Err(invalid("the snapshot is finished"));
        }
        if self.files().iter().any(|file| file.filename == filename) {
            return Err(Error::Exists { what: format!("archive {filename} of this backup") });
        }
        Ok(())
    }

    /// An index without chunks cannot be read by the reference and stops its garbage collection.
    fn check_not_empty(&self, filename: &str, chunks: usize) -> Result<()> {
        if chunks > 0 {
            return Ok(());
        }
        Err(Error::Refused {
            reason: format!("{filename} would be empty, and the format has no empty archives"),
        })
    }

    fn durability(&self) -> Durability {
        match self.store().sync_level() {
            SyncLevel::File => Durability::Now,
            // An index that a crash tore would stop garbage collection, ours and the reference's, until
            // somebody removes the unfinished snapshot that it is in.
            SyncLevel::Filesystem => Durability::Content,
            SyncLevel::None => Durability::Later,
        }
    }

    fn write_file(&self, path: &Path, content: &[&[u8]]) -> Result<()> {
        replace_file(&**self.store().storage(), path, content, FILE_MODE, self.durability())
    }

    fn registered(
        &self,
        filename: &str,
        size: u64,
        csum: Digest,
        crypt_mode: CryptMode,
    ) -> Result<FileInfo> {
        let file = FileInfo { crypt_mode, csum, filename: filename.to_owned(), size };
        self.files().push(file.clone());
        Ok(file)
    }

    /// Bytes of chunks that were not in the store before.
    pub fn new_bytes(&self) -> u64 {
        self.new_bytes.load(Ordering::Relaxed)
    }

    /// Chunks that were reused instead of being stored.
    pub fn reused_chunks(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// What became of the chunks so far.
    pub fn stats(&self) -> ChunkUploadStats {
        ChunkUploadStats {
            compressed_size: self.stored_bytes.load(Ordering::Relaxed),
            count: self.count.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            size: self.plain_bytes.load(Ordering::Relaxed),
        }
    }

    /// Makes the snapshot exist: see the head of this file. `manifest` must list exactly the files
    /// that were written.
    pub fn finish(&self, mut manifest: Manifest) -> Result<Manifest> {
        if !manifest.belongs_to(&self.snapshot) {
            return Err(Error::Refused {
                reason: format!("the manifest is not that of snapshot {}", self.snapshot),
            });
        }
        self.check_files(&manifest)?;
        if self.files().is_empty() {
            return Err(Error::Refused {
                reason: "a backup without any archive is no backup".into(),
            });
        }
        let mut stats = self.stats();
        // The statistics count the manifest too, as it was before they were in it.
        stats.size += manifest.to_blob()?.encoded_len();
        manifest.set_chunk_upload_stats(&stats)?;
        self.publish(&manifest.to_blob()?)?;
        Ok(manifest)
    }

    /// Makes a restored snapshot exist with the manifest that it had. The result of a verification
    /// elsewhere says nothing about this copy and is dropped. Every chunk must be there.
    pub fn finish_restore(&self, mut manifest: Manifest) -> Result<()> {
        self.check_files(&manifest)?;
        for digest in self.needed_chunks()? {
            if !self.store().chunks().touch(&digest)? {
                return Err(Error::ChunkMissing { digest });
            }
        }
        manifest.unprotected.remove("verify_state");
        let blob = manifest.to_blob()?;
        self.publish(&blob)
    }

    /// The manifest and the files on disk must agree, or the snapshot would be damaged from its
    /// first day.
    fn check_files(&self, manifest: &Manifest) -> Result<()> {
        let disagree = |filename: &str, reason: &str| {
            Err(Error::damaged(format!("{filename} of snapshot {}", self.snapshot), reason))
        };
        let files = self.files();
        for listed in manifest.files() {
            match files.iter().find(|file| file.filename == listed.filename) {
                None => {
                    return disagree(
                        &listed.filename,
                        "the manifest lists it, but it is not there",
                    );
                }
                Some(found) if (found.size, found.csum) != (listed.size, listed.csum) => {
                    return disagree(&listed.filename, "it is not what the manifest says");
                }
                Some(_) => {}
            }
        }
        for file in files.iter() {
            let path = self.dir.join(&file.filename);
            self.store().storage().meta(&path).map_err(|e| Error::io("find", &path, e))?;
        }
        match files.iter().find(|file| manifest.file(&file.filename).is_none()) {
            Some(extra) => disagree(&extra.filename, "the manifest does not list it"),
            None => Ok(()),
        }
    }

    fn publish(&self, manifest: &DataBlob) -> Result<()> {
        let store = Arc::clone(self.store());
        let storage = store.storage();
        if manifest.encoded_len() > MANIFEST_FILE_BYTES_MAX {
            return Err(Error::Refused { reason: "the manifest is too large".into() });
        }
        // At `SyncLevel::File`, too: a chunk that was there already may be that of a writer which died
        // between giving it its name and syncing that.
        if store.sync_level() != SyncLevel::None {
            store.chunks().sync_session(&self.filesystems)?;
        }
        let path = self.dir.join(MANIFEST_NAME);
        replace_file(&**storage, &path, &[manifest.as_bytes()], FILE_MODE, store.durability())?;
        self.finished.store(true, Ordering::Release);
        Ok(())
    }
}

impl Drop for SnapshotWriter {
    fn drop(&mut self) {
        if self.finished.load(Ordering::Acquire) {
            return;
        }
        let store = self.store();
        // There may be a manifest, if only the last step of publishing failed; then somebody may be
        // changing it, and must not put it back while its folder is being removed.
        let manifest_guard = match store.storage().meta(&self.dir.join(MANIFEST_NAME)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            _ => match store.locks().manifest(self.namespace(), &self.snapshot) {
                Ok(guard) => Some(guard),
                // A manifest that stays has all its files: what is published is whole.
                Err(_) => return store.chunks().end_session(&self.filesystems),
            },
        };
        // The error that ended the backup is the one to report; what cannot be removed is only
        // untidy, because it has no manifest.
        let _ = remove_folder(&**store.storage(), &self.dir);
        store.chunks().end_session(&self.filesystems);
        if let Some(guard) = manifest_guard {
            guard.remove();
        }
        if let Some(guard) = self.snapshot_guard.take() {
            guard.remove();
        }
    }
}

impl std::fmt::Debug for SnapshotWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SnapshotWriter({})", qualified_name(self.namespace(), &self.snapshot))
    }
}
