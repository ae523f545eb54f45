//! A file system in memory that loses power, and that fails where it is told to.
//!
//! It stands in for the real one under a datastore. Everything that is done is visible at once, as
//! on a running machine, and noted in a [`Journal`], from which the image is made that the machine
//! would find after a power cut at any moment; what can be lost there is described in
//! `crash_fs/journal.rs`. A [`Fault`] makes calls fail, by their number or by their path.
//!
//! Locks are not part of it: they are state of the kernel and live in the real folder that has the
//! same path as the root of this file system.
//!
//! What the model leaves out: links, files that change while they are being read, several file
//! systems in one store, and time, which is the real one (whole seconds).

mod faults;
mod image;
mod journal;
mod storage;

use std::collections::HashSet;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{Entry, Kind, Meta, SharedStorage};

use image::{Inode, Names, Node, ROOT};
use journal::{Change, Record};

pub use faults::{Call, CallKind, Fault, FaultAt};
pub use image::Image;
pub use journal::{CrashMode, Journal, Rng};

/// A file system in memory, with a memory of its own past.
#[derive(Clone)]
pub struct CrashFs {
    root: PathBuf,
    inner: Arc<Mutex<Inner>>,
}

struct Inner {
    image: Image,
    journal: Journal,
    is_journaling: bool,
    calls: Vec<Call>,
    is_noting_calls: bool,
    call_count: u64,
    faults: Vec<Fault>,
    /// Call before which unsynced data is lost.
    lose_at: Option<u64>,
    /// Data that could not be written back, as often as it happened; see [`FilesystemHandle`].
    lost_writes: u64,
    /// How many of these somebody has been told of.
    lost_writes_told: u64,
    /// Files that lost data, of which their next sync tells.
    failed_files: HashSet<Inode>,
    sparse: bool,
}

fn errno(number: i32) -> io::Error {
    io::Error::from_raw_os_error(number)
}

fn now() -> i64 {
    crate::time::now()
}

impl CrashFs {
    /// An empty file system, whose root has this path.
    pub fn new(root: &Path) -> CrashFs {
        CrashFs::from_image(root, Image::empty())
    }

    /// A machine that was switched on with this image. Whatever is in it is durable.
    pub fn from_image(root: &Path, image: Image) -> CrashFs {
        let inner = Inner {
            journal: Journal { start: image.clone(), records: Vec::new() },
            image,
            is_journaling: true,
            calls: Vec::new(),
            is_noting_calls: false,
            call_count: 0,
            faults: Vec::new(),
            lose_at: None,
            lost_writes: 0,
            lost_writes_told: 0,
            failed_files: HashSet::new(),
            sparse: false,
        };
        CrashFs { root: root.to_path_buf(), inner: Arc::new(Mutex::new(inner)) }
    }

    /// This file system as a storage.
    pub fn storage(&self) -> SharedStorage {
        Arc::new(self.clone())
    }

    /// Leaves chunk folders that nothing was put in out of listings: a collector that visits 65,536 empty
    /// folders for each of thousands of images would take hours. The format allows missing ones.
    pub fn set_sparse(&self, sparse: bool) {
        self.inner().sparse = sparse;
    }

    /// The state as the running machine sees it.
    pub fn image(&self) -> Image {
        self.inner().image.clone()
    }

    /// Makes everything durable and begins a new journal.
    pub fn checkpoint(&self) {
        let mut inner = self.inner();
        inner.journal = Journal { start: inner.image.clone(), records: Vec::new() };
        inner.calls.clear();
        inner.call_count = 0;
    }

    /// What was done since the beginning or the last [`CrashFs::checkpoint`].
    pub fn journal(&self) -> Journal {
        self.inner().journal.clone()
    }

    /// Calls since the beginning or the last [`CrashFs::checkpoint`], also those that only read.
    pub fn call_count(&self) -> u64 {
        self.inner().call_count
    }

    /// Notes calls from now on, for [`CrashFs::calls`].
    pub fn note_calls(&self) {
        self.inner().is_noting_calls = true;
    }

    /// The calls that were noted; the number of a call is its position.
    pub fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    /// Puts a fault in the way.
    pub fn inject(&self, fault: Fault) {
        self.inner().faults.push(fault);
    }

    /// Takes all faults away.
    pub fn heal(&self) {
        let mut inner = self.inner();
        inner.faults.clear();
        inner.lose_at = None;
    }

    /// The system failed to write back in the background everything that was not synced. Programs
    /// go on to see it, whoever has the file or the file system open is told at the next sync, and it
    /// never becomes durable. Nothing happens if there is no such data.
    pub fn lose_unsynced_data(&self) {
        self.inner().lose_unsynced_data();
    }

    /// As [`CrashFs::lose_unsynced_data`], just before the call with this number.
    pub fn lose_unsynced_data_at(&self, call: u64) {
        self.inner().lose_at = Some(call);
    }

    /// Sets the time of last access of every file whose path contains `text`.
    pub fn set_atime(&self, text: &str, atime: i64) {
        self.edit(text, |file| file.atime = atime);
    }

    /// Sets the times of last access and change of every file whose path contains `text`.
    pub fn set_times(&self, text: &str, time: i64) {
        self.edit(text, |file| (file.atime, file.mtime) = (time, time));
    }

    /// Changes the content of the file with exactly this path, as a failing disk does. Times stay.
    pub fn corrupt(&self, path: &Path, damage: impl Fn(&mut Vec<u8>)) {
        let mut inner = self.inner();
        if let Ok(inode) = inner.resolve(&self.root, path) {
            inner.image.edit_file(inode, |file| damage(Arc::make_mut(&mut file.content)));
            let image = &mut inner.journal.start;
            image.edit_file(inode, |file| damage(Arc::make_mut(&mut file.content)));
        }
    }

    /// Paths of all files.
    pub fn files(&self) -> Vec<PathBuf> {
        let files = self.inner().image.files();
        files.into_iter().map(|(path, _)| self.root.join(path.trim_start_matches('/'))).collect()
    }

    fn edit(&self, text: &str, edit: impl Fn(&mut image::FileNode)) {
        let mut inner = self.inner();
        for (path, inode) in inner.image.files() {
            if path.contains(text) {
                inner.image.edit_file(inode, &edit);
                inner.journal.start.edit_file(inode, &edit);
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a call and fails it if a fault is in its way.
    fn call(&self, kind: CallKind, path: &Path) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.inner();
        inner.count(kind, path).map_err(|fault| fault.error())?;
        Ok(inner)
    }

    /// Folder and name of a path.
    fn place(&self, inner: &Inner, path: &Path) -> io::Result<(Inode, String)> {
        let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|n| n.to_str()))
        else {
            return Err(errno(libc::EBUSY));
        };
        Ok((inner.resolve(&self.root, dir)?, name.to_owned()))
    }

    fn make(&self, path: &Path, node: Node, kind: CallKind) -> io::Result<Inode> {
        let mut inner = self.call(kind, path)?;
        let (dir, name) = self.place(&inner, path)?;
        if inner.image.lookup(dir, &name)?.is_some() {
            return Err(errno(libc::EEXIST));
        }
        let dir_name = path.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let inode = inner.image.new_inode(dir, dir_name.unwrap_or_default(), &name);
        inner.image.insert(inode, &node);
        let names = vec![(dir, name, Some(inode))];
        inner.change_names(kind, path, names, Some((inode, Arc::new(node))));
        Ok(inode)
    }

    fn remove(&self, path: &Path, kind: CallKind) -> io::Result<()> {
        let mut inner = self.call(kind, path)?;
        let (dir, name) = self.place(&inner, path)?;
        let inode = inner.image.lookup(dir, &name)?.ok_or(io::ErrorKind::NotFound)?;
        let is_dir = inner.image.node(inode)?.kind() == Kind::Dir;
        match (kind, is_dir) {
            (CallKind::RemoveFile, true) => return Err(errno(libc::EISDIR)),
            (CallKind::RemoveDir, false) => return Err(errno(libc::ENOTDIR)),
            (CallKind::RemoveDir, true) if !inner.image.is_empty_dir(inode)? => {
                return Err(errno(libc::ENOTEMPTY));
            }
            _ => {}
        }
        inner.change_names(kind, path, vec![(dir, name, None)], None);
        Ok(())
    }

    fn file_inode(&self, inner: &Inner, path: &Path) -> io::Result<Inode> {
        let inode = inner.resolve(&self.root, path)?;
        if inner.image.node(inode)?.kind() != Kind::File {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
        }
        Ok(inode)
    }
}

impl Inner {
    fn count(&mut self, kind: CallKind, path: &Path) -> Result<(), Fault> {
        let number = self.call_count;
        self.call_count += 1;
        if self.lose_at == Some(number) {
            self.lose_unsynced_data();
        }
        if self.is_noting_calls {
            self.calls.push(Call { kind, path: path.to_path_buf() });
        }
        match self.faults.iter().find(|fault| fault.hits(number, kind, path)) {
            Some(fault) => Err(fault.clone()),
            None => Ok(()),
        }
    }

    fn lose_unsynced_data(&mut self) {
        let files = self.journal.unsynced_files();
        if files.is_empty() {
            return;
        }
        self.note("background write-back fails".into(), Change::Doom(None));
        self.lost_writes += 1;
        self.failed_files.extend(files);
    }

    fn note(&mut self, what: String, change: Change) {
        if self.is_journaling {
            self.journal.records.push(Record { change, what });
        }
    }

    fn resolve(&self, root: &Path, path: &Path) -> io::Result<Inode> {
        let inside = path.strip_prefix(root).map_err(|_| io::ErrorKind::NotFound)?;
        let mut inode = ROOT;
        for part in inside.components() {
            let Component::Normal(name) = part else {
                return Err(io::ErrorKind::InvalidInput.into());
            };
            let name = name.to_str().ok_or(io::ErrorKind::InvalidInput)?;
            inode = self.image.lookup(inode, name)?.ok_or(io::ErrorKind::NotFound)?;
        }
        Ok(inode)
    }

    fn change_names(
        &mut self,
        kind: CallKind,
        path: &Path,
        names: Names,
        born: Option<(Inode, Arc<Node>)>,
    ) {
        self.image.apply(&names);
        self.note(format!("{kind:?} {}", path.display()), Change::Names { names, born });
    }

    fn meta(&self, inode: Inode) -> io::Result<Meta> {
        let node = self.image.node(inode)?;
        let (len, atime, mtime) = match &*node {
            Node::Dir(_) => (4096, 0, 0),
            Node::File(file) => (file.content.len() as u64, file.atime, file.mtime),
        };
        let (kind, mode) = (node.kind(), node.mode());
        Ok(Meta { kind, len, inode, device: 1, atime, mtime, mode, uid: 0, gid: 0 })
    }

    fn list(&self, dir: Inode) -> io::Result<Vec<Entry>> {
        let names = self.image.list(dir, self.sparse)?;
        let entry = |(name, inode)| {
            let kind = self.image.node(inode)?.kind();
            Ok(Entry { name: Some(name), kind, inode })
        };
        names.into_iter().map(entry).collect()
    }

    fn touch(&mut self, inode: Inode, path: &Path) {
        let atime = now();
        self.image.edit_file(inode, |file| file.atime = atime);
        self.note(format!("Touch {}", path.display()), Change::Atime { file: inode, atime });
    }

    /// Notes how a sync ended. A failed one dooms what it was to make durable.
    fn sync(&mut self, kind: CallKind, path: &Path, change: Change) -> io::Result<()> {
        let result = self.count(kind, path);
        match (&result, &change) {
            (Ok(()), _) => self.note(format!("{kind:?} {}", path.display()), change),
            (Err(_), Change::SyncDir(_)) => {}
            (Err(_), change) => {
                let file = if let Change::SyncFile(file) = change { Some(*file) } else { None };
                self.note(format!("failed {kind:?} {}", path.display()), Change::Doom(file));
            }
        }
        result.map_err(|fault| fault.error())
    }
}

#[cfg(test)]
mod tests;
