//! The door: a datastore as a whole.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::chunk_store::{CHUNKS_DIR, ChunkStore, SyncLevel};
use crate::error::{Error, Result};
use crate::hierarchy::{
    ArchiveKind, BackupGroup, BackupType, MANIFEST_NAME, NAMESPACE_DEPTH_MAX, Namespace,
    OWNER_NAME, PROTECTED_NAME, SnapshotPath, is_safe_id, qualified_name,
};
use crate::lock::{LOCKS_DIR, Locks, ProcessLock};
use crate::storage::{
    Durability, Entry, Kind, RealStorage, SharedStorage, owner_for_new_files, remove_tree,
    temp_path,
};

/// Mode of the store's own folder and of those for types, groups, snapshots and namespaces.
pub const DIR_MODE: u32 = 0o755;
/// Mode of indexes, blobs and other files.
pub const FILE_MODE: u32 = 0o644;
/// Longest `owner` or notes file that is read.
pub(crate) const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;

/// How a datastore is opened.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// When chunks become durable.
    pub sync_level: SyncLevel,
    /// Folder for lock files; the default is `.locks` in the store. A host that runs the reference
    /// on the same store names the reference's folder here, so that both respect each other.
    pub lock_dir: Option<PathBuf>,
}

/// A datastore.
pub struct Datastore {
    base: PathBuf,
    storage: SharedStorage,
    chunks: ChunkStore,
    locks: Locks,
    process_lock: Arc<ProcessLock>,
    sync_level: SyncLevel,
}

/// What a listing says of one snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Which one.
    pub path: SnapshotPath,
    /// True if it has a manifest. Only then it is a snapshot; before, it is work in progress.
    pub finished: bool,
    /// True if it must not be removed.
    pub protected: bool,
    /// Names of the files that are archives, sorted.
    pub files: Vec<String>,
}

/// How listings treat what they find odd.
pub trait OddNames {
    /// Told of something that a listing leaves out.
    fn odd(&mut self, path: &Path, why: &str);
}

/// Leaves odd names out without a word.
impl OddNames for () {
    fn odd(&mut self, _path: &Path, _why: &str) {}
}

impl OddNames for Vec<String> {
    fn odd(&mut self, path: &Path, why: &str) {
        self.push(format!("{}: {why}", path.display()));
    }
}

impl Datastore {
    /// Makes a new datastore in `base`, which may be missing or empty but for hidden names.
    ///
    /// The folder of chunks appears last and complete, so that a crash leaves no half store that
    /// looks like one.
    pub fn create(base: &Path, options: &Options) -> Result<Arc<Datastore>> {
        let refuse = |reason: String| Error::NotADatastore { path: base.to_path_buf(), reason };
        if base == Path::new("/") {
            return Err(refuse("a datastore cannot be the root folder".into()));
        }
        match std::fs::create_dir_all(base) {
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(refuse("it is not a folder".into()));
            }
            result => result.map_err(|e| Error::io("create", base, e))?,
        }
        let base = base.canonicalize().map_err(|e| Error::io("open", base, e))?;
        let storage = RealStorage::new(&base).map_err(|e| Error::io("open", &base, e))?;
        let store = Datastore::create_on(&base, Arc::new(storage), options)?;
        // Not before: a folder that turned out to be somebody else's keeps its mode.
        set_mode(&base, DIR_MODE)?;
        Ok(store)
    }

    /// As [`Datastore::create`], on another storage, in a folder that is there in both: `base` is also
    /// a real folder, because locks are state of the kernel.
    pub fn create_on(
        base: &Path,
        storage: SharedStorage,
        options: &Options,
    ) -> Result<Arc<Datastore>> {
        let refuse = |reason: String| Error::NotADatastore { path: base.to_path_buf(), reason };
        for entry in storage.list(base).map_err(|e| Error::io("list", base, e))? {
            let name = entry.name.unwrap_or_default();
            if name == CHUNKS_DIR {
                return Err(Error::Exists { what: format!("a datastore in {}", base.display()) });
            }
            if !name.starts_with('.') && name != "lost+found" {
                return Err(refuse(format!(
                    "it holds '{name}' already; a new datastore needs an empty folder"
                )));
            }
        }
        if let Some(outer) = base.ancestors().skip(1).find(|outer| outer.join(CHUNKS_DIR).is_dir())
        {
            return Err(refuse(format!("it lies inside the datastore {}", outer.display())));
        }
        let building = temp_path(&base.join(".chunks_new"));
        storage.create_dir(&building, DIR_MODE).map_err(|e| Error::io("create", &building, e))?;
        let build = || -> Result<()> {
            ChunkStore::create(&storage, &building)?;
            let (from, to) = (building.join(CHUNKS_DIR), base.join(CHUNKS_DIR));
            if options.sync_level != SyncLevel::None {
                storage.sync_filesystem(base).map_err(|e| Error::io("sync", base, e))?;
            }
            storage.rename(&from, &to).map_err(|e| Error::io("rename", &from, e))?;
            storage.remove_dir(&building).map_err(|e| Error::io("remove", &building, e))?;
            if options.sync_level != SyncLevel::None {
                storage.sync_dir(base).map_err(|e| Error::io("sync", base, e))?;
            }
            Ok(())
        };
        if let Err(error) = build() {
            // The first error is the one to report.
            let _ = remove_tree(&*storage, &building);
            return Err(error);
        }
        Datastore::open_on(base, storage, options)
    }

    /// Opens a datastore.
    pub fn open(base: &Path, options: &Options) -> Result<Arc<Datastore>> {
        let refuse =
            |reason: &str| Error::NotADatastore { path: base.to_path_buf(), reason: reason.into() };
        let base = match base.canonicalize() {
            Ok(base) => base,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(refuse("there is no such folder"));
            }
            Err(error) => return Err(Error::io("open", base, error)),
        };
        let storage = RealStorage::new(&base).map_err(|e| Error::io("open", &base, e))?;
        Datastore::open_on(&base, Arc::new(storage), options)
    }

    /// As [`Datastore::open`], on another storage; see [`Datastore::create_on`].
    pub fn open_on(
        base: &Path,
        storage: SharedStorage,
        options: &Options,
    ) -> Result<Arc<Datastore>> {
        let refuse =
            |reason: &str| Error::NotADatastore { path: base.to_path_buf(), reason: reason.into() };
        let base = base.canonicalize().map_err(|e| Error::io("open", base, e))?;
        match storage.meta(&base.join(CHUNKS_DIR)) {
            Ok(meta) if meta.kind == Kind::Dir => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Error::io("open", base.join(CHUNKS_DIR), error));
            }
            _ => {
                return Err(refuse(
                    "it has no folder '.chunks'; make one with 'capstan datastore create'",
                ));
            }
        }
        let process_lock = ProcessLock::open(&base)?;
        let owner = owner_for_new_files(&base).map_err(|e| Error::io("open", &base, e))?;
        let lock_dir = options.lock_dir.clone().unwrap_or_else(|| base.join(LOCKS_DIR));
        let locks = Locks::new(lock_dir, owner);
        let chunks = ChunkStore::open(Arc::clone(&storage), &base, options.sync_level);
        let sync_level = options.sync_level;
        Ok(Arc::new(Datastore { base, storage, chunks, locks, process_lock, sync_level }))
    }

    /// The store's folder.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The chunks.
    pub fn chunks(&self) -> &ChunkStore {
        &self.chunks
    }

    /// Group, snapshot and manifest locks.
    pub fn locks(&self) -> &Locks {
        &self.locks
    }

    /// The lock between writers and garbage collection.
    pub fn process_lock(&self) -> &Arc<ProcessLock> {
        &self.process_lock
    }

    /// The file system under the store.
    pub fn storage(&self) -> &SharedStorage {
        &self.storage
    }

    /// How durable a small file that something else relies on must be when its writing returns.
    pub fn durability(&self) -> Durability {
        match self.sync_level {
            SyncLevel::None => Durability::Later,
            SyncLevel::File | SyncLevel::Filesystem => Durability::Now,
        }
    }

    /// When chunks become durable.
    pub fn sync_level(&self) -> SyncLevel {
        self.sync_level
    }

    /// The folder of a namespace.
    pub fn namespace_dir(&self, namespace: &Namespace) -> PathBuf {
        self.base.join(namespace.path())
    }

    /// The folder of a group.
    pub fn group_dir(&self, namespace: &Namespace, group: &BackupGroup) -> PathBuf {
        self.namespace_dir(namespace).join(group.to_string())
    }

    /// The folder of a snapshot.
    pub fn snapshot_dir(&self, namespace: &Namespace, snapshot: &SnapshotPath) -> PathBuf {
        self.base.join(qualified_name(namespace, snapshot))
    }

    /// True if a namespace is there.
    pub fn has_namespace(&self, namespace: &Namespace) -> bool {
        let dir = self.namespace_dir(namespace);
        matches!(self.storage.meta(&dir), Ok(meta) if meta.kind == Kind::Dir)
    }

    /// Fails if a namespace is not there.
    pub fn require_namespace(&self, namespace: &Namespace) -> Result<()> {
        if self.has_namespace(namespace) {
            return Ok(());
        }
        Err(Error::NotFound {
            what: format!("namespace '{namespace}' in datastore {}", self.base.display()),
        })
    }

    /// Makes a namespace, and with `parents` the ones around it. One that is there is fine.
    pub fn create_namespace(&self, namespace: &Namespace, parents: bool) -> Result<()> {
        if self.has_namespace(namespace) {
            return Ok(());
        }
        if let Some(outer) = namespace.parent() {
            if parents {
                self.create_namespace(&outer, true)?;
            } else {
                self.require_namespace(&outer)?;
            }
            self.make_dir(&self.namespace_dir(&outer).join("ns"))?;
            self.make_dir(&self.namespace_dir(namespace))?;
        }
        Ok(())
    }

    /// Makes a folder durable in its parent; one that is there is fine. True if it was made.
    pub(crate) fn make_dir(&self, path: &Path) -> Result<bool> {
        match self.storage.create_dir(path, DIR_MODE) {
            Ok(()) => {
                if let Some(outer) = path.parent()
                    && self.sync_level != SyncLevel::None
                {
                    self.storage.sync_dir(outer).map_err(|e| Error::io("sync", outer, e))?;
                }
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(Error::io("create", path, error)),
        }
    }

    /// `start` and the namespaces in it, at most `depth` levels deeper (all: `None`), each before
    /// those in it, names ascending.
    pub fn namespaces(
        &self,
        start: &Namespace,
        depth: Option<usize>,
        odd: &mut dyn OddNames,
    ) -> Result<Vec<Namespace>> {
        self.require_namespace(start)?;
        let mut found = Vec::new();
        let limit = depth.map_or(NAMESPACE_DEPTH_MAX, |depth| start.depth() + depth);
        self.walk_namespaces(start, limit.min(NAMESPACE_DEPTH_MAX), &mut found, odd)?;
        Ok(found)
    }

    fn walk_namespaces(
        &self,
        namespace: &Namespace,
        limit: usize,
        found: &mut Vec<Namespace>,
        odd: &mut dyn OddNames,
    ) -> Result<()> {
        found.push(namespace.clone());
        if namespace.depth() >= limit {
            return Ok(());
        }
        let dir = self.namespace_dir(namespace).join("ns");
        for name in self.dirs_in(&dir)? {
            match namespace.child(&name) {
                Ok(child) => self.walk_namespaces(&child, limit, found, odd)?,
                Err(_) => odd.odd(&dir.join(&name), "its name is not that of a namespace"),
            }
        }
        Ok(())
    }

    /// Names of the folders in a folder, sorted; none if it is missing.
    fn dirs_in(&self, dir: &Path) -> Result<Vec<String>> {
        let mut names: Vec<String> = self
            .list_or_none(dir)?
            .into_iter()
            .filter(|entry| entry.kind == Kind::Dir)
            .filter_map(|entry| entry.name)
            .collect();
        names.sort();
        Ok(names)
    }

    pub(crate) fn list_or_none(&self, dir: &Path) -> Result<Vec<Entry>> {
        match self.storage.list(dir) {
            Ok(entries) => Ok(entries),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io("list", dir, error)),
        }
    }

    /// The groups of a namespace in the order of listings.
    pub fn groups(&self, namespace: &Namespace) -> Result<Vec<BackupGroup>> {
        self.require_namespace(namespace)?;
        let dir = self.namespace_dir(namespace);
        let mut groups = Vec::new();
        for ty in BackupType::ALL {
            for name in self.dirs_in(&dir.join(ty.as_str()))? {
                if is_safe_id(&name) {
                    groups.push(BackupGroup::new(ty, name)?);
                }
            }
        }
        groups.sort();
        Ok(groups)
    }

    /// The snapshots of a group, oldest first; none if the group is missing.
    pub fn snapshots(
        &self,
        namespace: &Namespace,
        group: &BackupGroup,
        odd: &mut dyn OddNames,
    ) -> Result<Vec<SnapshotInfo>> {
        let dir = self.group_dir(namespace, group);
        let mut snapshots = Vec::new();
        for name in self.dirs_in(&dir)? {
            let looks_like_time = name.len() == 20 && name.ends_with('Z');
            match crate::time::from_utc_text(&name) {
                Some(time) if time >= 1 => {
                    let path = SnapshotPath::new(group.clone(), time)?;
                    if let Some(info) = self.snapshot_info(namespace, path)? {
                        snapshots.push(info);
                    }
                }
                _ if looks_like_time => {
                    odd.odd(&dir.join(&name), "its name is not a time that can be");
                }
                _ => {}
            }
        }
        snapshots.sort_by_key(|info| info.path.time());
        Ok(snapshots)
    }

    /// What there is of one snapshot; `None` if nothing is.
    pub fn snapshot_info(
        &self,
        namespace: &Namespace,
        path: SnapshotPath,
    ) -> Result<Option<SnapshotInfo>> {
        let dir = self.snapshot_dir(namespace, &path);
        let entries = match self.storage.list(&dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("list", &dir, error)),
        };
        let mut info = SnapshotInfo { path, finished: false, protected: false, files: Vec::new() };
        for entry in entries {
            let Some(name) = entry.name else { continue };
            if name == PROTECTED_NAME {
                info.protected = true;
            } else if entry.kind == Kind::File && ArchiveKind::of(&name).is_some() {
                info.finished |= name == MANIFEST_NAME;
                info.files.push(name);
            }
        }
        info.files.sort();
        Ok(Some(info))
    }

    /// Who owns a group: the first line of its `owner` file.
    pub fn owner(&self, namespace: &Namespace, group: &BackupGroup) -> Result<String> {
        let path = self.group_dir(namespace, group).join(OWNER_NAME);
        let content = self
            .storage
            .read(&path, SMALL_FILE_BYTES_MAX)
            .map_err(|e| Error::io("read", &path, e))?;
        let text = String::from_utf8(content)
            .map_err(|_| Error::damaged(path.display().to_string(), "it is not text"))?;
        let owner = text.lines().next().unwrap_or_default().trim_end();
        if owner.is_empty() {
            return Err(Error::damaged(path.display().to_string(), "it is empty"));
        }
        Ok(owner.to_owned())
    }

    /// True if `caller` may treat groups of `owner` as his own: he is the owner, or the owner is a
    /// token of his.
    pub fn is_owner(owner: &str, caller: &str) -> bool {
        owner == caller || owner.split_once('!').is_some_and(|(user, _token)| user == caller)
    }
}

fn set_mode(path: &Path, mode: u32) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| Error::io("set the mode of", path, e))
}
