//! A storage that holds a thread at a chosen operation.
//!
//! Who excludes whom is a question about operations that are in the middle of something. With this
//! storage every operation can be held there without a hook in the code that is tested: what it does
//! to the file system tells where it is. A collector before its first listing has sampled the
//! oldest writer; one that has listed a group and opens the first index is in the middle of marking; a
//! removal before its first `remove_file` holds its locks.
//!
//! A [`Gate`] holds the first thread that comes to it and lets all others pass, so that the same
//! operation can run a second time while the first one stands still. A storage call that is made
//! under a mutex of the process (everything that [`crate::chunk_store::ChunkStore::exclusively`]
//! guards) is held with that mutex; whoever then needs it stands still too.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::storage::{
    Entry, FilesystemHandle, Meta, ReadAt, SharedStorage, Storage, StorageDir, StorageFile,
};

/// A gate that nobody opens lets go after this time: a test that failed must not hang.
const HOLD_MAX: Duration = Duration::from_secs(60);

/// Where a thread is held.
#[derive(Debug)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody came yet; so many are let through before one is held.
    Armed {
        pass: usize,
    },
    Held,
    Open,
}

impl Gate {
    /// A gate that lets `pass` threads through, holds the next one, and lets all later ones through.
    pub fn new(pass: usize) -> Arc<Gate> {
        Arc::new(Gate { state: Mutex::new(State::Armed { pass }), changed: Condvar::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes to the gate: returns at once, or, for the one that is held, when it is opened.
    pub fn pass(&self) {
        let mut state = self.state();
        match &mut *state {
            State::Armed { pass: 0 } => *state = State::Held,
            State::Armed { pass } => {
                *pass -= 1;
                return;
            }
            State::Held | State::Open => return,
        }
        self.changed.notify_all();
        let deadline = Instant::now() + HOLD_MAX;
        while *state == State::Held {
            let Some(rest) = deadline.checked_duration_since(Instant::now()) else {
                *state = State::Open;
                break;
            };
            let waited = self.changed.wait_timeout(state, rest);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// True while a thread is held here.
    pub fn is_holding(&self) -> bool {
        *self.state() == State::Held
    }

    /// Waits until a thread is held here; `false` if none came in time or the gate is open.
    pub fn wait_held(&self, timeout: Duration) -> bool {
        let state = self.state();
        let armed = |state: &mut State| matches!(state, State::Armed { .. });
        let waited = self.changed.wait_timeout_while(state, timeout, armed);
        *waited.unwrap_or_else(PoisonError::into_inner).0 == State::Held
    }

    /// Lets whoever is held go on; nobody is held here any more.
    pub fn open(&self) {
        *self.state() = State::Open;
        self.changed.notify_all();
    }
}

/// What is done to the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// A file is opened for reading, also by [`Storage::read`].
    Open,
    /// Bytes of an open file are read.
    Read,
    /// A file is created.
    Create,
    /// Bytes are written.
    Write,
    /// One file is synced.
    SyncFile,
    /// A name is changed; the path is the new name.
    Rename,
    /// A file is removed.
    RemoveFile,
    /// A folder is removed.
    RemoveDir,
    /// A folder is made.
    CreateDir,
    /// A folder's names are read, by path or through an open folder.
    List,
    /// A folder is opened.
    OpenDir,
    /// A name is looked at.
    Meta,
    /// A file's time of last access is set.
    Touch,
    /// Permission bits are changed.
    SetMode,
    /// A name is given to somebody.
    SetOwner,
    /// A folder is synced.
    SyncDir,
    /// A file system is synced.
    SyncFilesystem,
    /// A file is dropped from memory.
    ForgetCached,
}

/// On which side of an operation a thread is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Nothing of it has happened.
    Before,
    /// It has happened, or failed.
    After,
}

type Matches = dyn Fn(&Path) -> bool + Send + Sync;

struct Stop {
    action: Action,
    when: When,
    matches: Box<Matches>,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Stops(Mutex<Vec<Stop>>);

impl Stops {
    /// Runs an operation, held before or after it where somebody asked for that.
    fn around<R>(&self, action: Action, path: &Path, operation: impl FnOnce() -> R) -> R {
        self.pass(action, When::Before, path);
        let result = operation();
        self.pass(action, When::After, path);
        result
    }

    fn pass(&self, action: Action, when: When, path: &Path) {
        let stops = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let gates: Vec<Arc<Gate>> = stops
            .iter()
            .filter(|stop| stop.action == action && stop.when == when && (stop.matches)(path))
            .map(|stop| Arc::clone(&stop.gate))
            .collect();
        // Others must be able to work while a thread is held.
        drop(stops);
        for gate in gates {
            gate.pass();
        }
    }
}

/// A storage that does what another one does, and holds threads where it is told to.
pub struct StopStorage {
    inner: SharedStorage,
    stops: Arc<Stops>,
}

impl StopStorage {
    /// A storage over another one, without any stop.
    pub fn new(inner: SharedStorage) -> Arc<StopStorage> {
        Arc::new(StopStorage { inner, stops: Arc::default() })
    }

    /// Holds the first thread that does `action` to a path that `matches`.
    pub fn stop(
        &self,
        action: Action,
        when: When,
        matches: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) -> Arc<Gate> {
        let gate = Gate::new(0);
        self.stop_with(&gate, action, when, matches);
        gate
    }

    /// As [`StopStorage::stop`], with a gate of the caller's: one gate may stand in several places.
    pub fn stop_with(
        &self,
        gate: &Arc<Gate>,
        action: Action,
        when: When,
        matches: impl Fn(&Path) -> bool + Send + Sync + 'static,
    ) {
        let stop = Stop { action, when, matches: Box::new(matches), gate: Arc::clone(gate) };
        self.stops.0.lock().unwrap_or_else(PoisonError::into_inner).push(stop);
    }
}

impl fmt::Debug for StopStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stops = self.stops.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stops: Vec<_> = stops.iter().map(|stop| (stop.action, stop.when, &stop.gate)).collect();
        f.debug_tuple("StopStorage").field(&stops).finish()
    }
}

struct OpenFile {
    inner: Box<dyn ReadAt>,
    path: PathBuf,
    stops: Arc<Stops>,
}

impl ReadAt for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.stops.around(Action::Read, &self.path, || self.inner.read_at(buffer, offset))
    }

    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
}

struct NewFile {
    inner: Box<dyn StorageFile>,
    path: PathBuf,
    stops: Arc<Stops>,
}

impl StorageFile for NewFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stops.around(Action::Write, &self.path, || self.inner.write_all(bytes))
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.stops.around(Action::Write, &self.path, || self.inner.write_at(bytes, offset))
    }

    fn sync(&mut self) -> io::Result<()> {
        self.stops.around(Action::SyncFile, &self.path, || self.inner.sync())
    }
}

struct OpenDir {
    inner: Box<dyn StorageDir>,
    path: PathBuf,
    stops: Arc<Stops>,
}

impl StorageDir for OpenDir {
    fn list(&mut self) -> io::Result<Vec<Entry>> {
        self.stops.around(Action::List, &self.path, || self.inner.list())
    }

    fn meta(&self, name: &str) -> io::Result<Meta> {
        self.stops.around(Action::Meta, &self.path.join(name), || self.inner.meta(name))
    }

    fn touch(&self, name: &str) -> io::Result<()> {
        self.stops.around(Action::Touch, &self.path.join(name), || self.inner.touch(name))
    }

    fn remove_file(&self, name: &str) -> io::Result<()> {
        let path = self.path.join(name);
        self.stops.around(Action::RemoveFile, &path, || self.inner.remove_file(name))
    }
}

struct OpenFilesystem {
    inner: Box<dyn FilesystemHandle>,
    path: PathBuf,
    stops: Arc<Stops>,
}

impl FilesystemHandle for OpenFilesystem {
    fn sync(&self) -> io::Result<()> {
        self.stops.around(Action::SyncFilesystem, &self.path, || self.inner.sync())
    }
}

impl Storage for StopStorage {
    /// Opens and reads in two steps, so that a thread can be held between them: a reader whose
    /// file is replaced or removed meanwhile.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let file = self.open(path)?;
        let len = file.len()?;
        if len > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is {len} bytes long, {limit} are allowed"),
            ));
        }
        let mut content = vec![0; usize::try_from(len).map_err(io::Error::other)?];
        let count = file.read_at(&mut content, 0)?;
        content.truncate(count);
        Ok(content)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let inner = self.stops.around(Action::Open, path, || self.inner.open(path))?;
        let stops = Arc::clone(&self.stops);
        Ok(Box::new(OpenFile { inner, path: path.to_path_buf(), stops }))
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn StorageFile>> {
        let create = || self.inner.create_new(path, mode);
        let inner = self.stops.around(Action::Create, path, create)?;
        let stops = Arc::clone(&self.stops);
        Ok(Box::new(NewFile { inner, path: path.to_path_buf(), stops }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.stops.around(Action::Rename, to, || self.inner.rename(from, to))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.stops.around(Action::RemoveFile, path, || self.inner.remove_file(path))
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.stops.around(Action::RemoveDir, path, || self.inner.remove_dir(path))
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.stops.around(Action::CreateDir, path, || self.inner.create_dir(path, mode))
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        self.stops.around(Action::List, path, || self.inner.list(path))
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn StorageDir>> {
        let inner = self.stops.around(Action::OpenDir, path, || self.inner.open_dir(path))?;
        let stops = Arc::clone(&self.stops);
        Ok(Box::new(OpenDir { inner, path: path.to_path_buf(), stops }))
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        self.stops.around(Action::Meta, path, || self.inner.meta(path))
    }

    fn touch(&self, path: &Path) -> io::Result<()> {
        self.stops.around(Action::Touch, path, || self.inner.touch(path))
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.stops.around(Action::SetMode, path, || self.inner.set_mode(path, mode))
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        self.stops.around(Action::SetOwner, path, || self.inner.set_owner(path, uid, gid))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.stops.around(Action::SyncDir, path, || self.inner.sync_dir(path))
    }

    fn open_filesystem(&self, path: &Path) -> io::Result<Box<dyn FilesystemHandle>> {
        let inner = self.inner.open_filesystem(path)?;
        let stops = Arc::clone(&self.stops);
        Ok(Box::new(OpenFilesystem { inner, path: path.to_path_buf(), stops }))
    }

    fn forget_cached(&self, path: &Path) -> io::Result<()> {
        self.stops.around(Action::ForgetCached, path, || self.inner.forget_cached(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::RealStorage;

    #[test]
    fn one_thread_is_held_and_others_pass() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        std::fs::write(&old, "x").unwrap();
        let storage = StopStorage::new(Arc::new(RealStorage::new(dir.path()).unwrap()));
        let before = storage.stop(Action::Rename, When::Before, |path| path.ends_with("new"));
        let unused = storage.stop(Action::Rename, When::Before, |path| path.ends_with("old"));
        std::thread::scope(|scope| {
            scope.spawn(|| storage.rename(&old, &new).unwrap());
            assert!(before.wait_held(HOLD_MAX));
            assert!(old.exists());
            // Other actions and a second thread are not held.
            assert_eq!(storage.read(&old, 1).unwrap(), b"x");
            assert!(storage.rename(&dir.path().join("missing"), &new).is_err());
            assert!(before.is_holding() && !new.exists());
            before.open();
        });
        assert!(new.exists() && !old.exists());
        assert!(!unused.is_holding() && !unused.wait_held(Duration::ZERO));
        // After an operation, it has happened.
        let after = storage.stop(Action::Rename, When::After, |path| path.ends_with("old"));
        unused.open();
        std::thread::scope(|scope| {
            scope.spawn(|| storage.rename(&new, &old).unwrap());
            assert!(after.wait_held(HOLD_MAX));
            assert!(old.exists());
            after.open();
        });
    }

    #[test]
    fn a_gate_may_let_some_pass_first() {
        let gate = Gate::new(2);
        gate.pass();
        gate.pass();
        std::thread::scope(|scope| {
            scope.spawn(|| gate.pass());
            assert!(gate.wait_held(HOLD_MAX));
            gate.pass();
            gate.open();
        });
        gate.pass();
        assert!(!gate.wait_held(Duration::ZERO));
    }

    #[test]
    fn open_folders_and_files_are_watched_by_their_full_path() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("x"), "content").unwrap();
        let storage = StopStorage::new(Arc::new(RealStorage::new(dir.path()).unwrap()));
        let name = dir.path().join("x");
        let gates = [Action::List, Action::Meta, Action::RemoveFile].map(|action| {
            let wanted = if action == Action::List { dir.path().into() } else { name.clone() };
            storage.stop(action, When::Before, move |path| path == wanted)
        });
        let open = storage.stop(Action::Open, When::After, |path| path.ends_with("x"));
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| storage.read(&name, 7).unwrap());
            assert!(open.wait_held(HOLD_MAX));
            scope.spawn(|| {
                let mut dir = storage.open_dir(dir.path()).unwrap();
                assert_eq!(dir.list().unwrap().len(), 1);
                dir.meta("x").unwrap();
                dir.remove_file("x").unwrap();
            });
            for gate in &gates {
                assert!(gate.wait_held(HOLD_MAX));
                gate.open();
            }
            while name.exists() {
                std::thread::yield_now();
            }
            // An open file outlives its name.
            open.open();
            assert_eq!(reader.join().unwrap(), b"content");
        });
    }
}
