//! The process lock on a datastore's `.lock` (`docs/formats/locks.md`).
//!
//! Writers hold it shared, garbage collection holds it exclusively. Between processes that is what
//! the kernel enforces: a collector in one process never runs while another process writes. Inside
//! one process the two may overlap, because the collector can see the oldest writer of its own
//! process and keeps every chunk that is younger.
//!
//! The kernel lock is an *open file description* lock. It conflicts with the classic record locks
//! that the reference takes on the same file, but unlike those it is not lost when some other
//! descriptor of the file is closed in this process. One description per store and process is
//! shared by all handles through a registry; otherwise two handles in one process would exclude
//! each other.
//!
//! A lock on a file that has lost its name excludes nobody who comes later. So whoever takes the lock
//! looks whether `.lock` still is that file: the store may have been destroyed and made anew, or
//! somebody tidied up, since this process opened it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use nix::fcntl::{FcntlArg, fcntl};

use crate::error::{Error, Result};
use crate::storage::owner_for_new_files;
use crate::time;

/// The process lock of one datastore.
#[derive(Debug)]
pub struct ProcessLock {
    path: PathBuf,
    /// `None` on a store that cannot be written and has no lock file: it can only be read.
    file: Option<File>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    exclusive: bool,
    next_id: u64,
    /// Since when each shared holder has it, seconds since 1970.
    shared: BTreeMap<u64, i64>,
}

/// A shared hold on a datastore; released when dropped.
#[derive(Debug)]
#[must_use = "the lock is released at once if it is not kept"]
pub struct SharedGuard {
    lock: Arc<ProcessLock>,
    id: u64,
}

/// The exclusive hold on a datastore; released when dropped.
#[derive(Debug)]
#[must_use = "the lock is released at once if it is not kept"]
pub struct ExclusiveGuard {
    lock: Arc<ProcessLock>,
}

type Registry = Mutex<HashMap<PathBuf, Weak<ProcessLock>>>;

fn registry() -> MutexGuard<'static, HashMap<PathBuf, Weak<ProcessLock>>> {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::default).lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProcessLock {
    /// The lock of the store at `base`, shared with every other handle of this process.
    pub fn open(base: &Path) -> Result<Arc<ProcessLock>> {
        let base = base.canonicalize().map_err(|e| Error::io("open", base, e))?;
        let mut known = registry();
        if let Some(lock) = known.get(&base).and_then(Weak::upgrade) {
            return Ok(lock);
        }
        let path = base.join(".lock");
        let file = open_file(&base, &path).map_err(|e| Error::io("open", &path, e))?;
        let lock = Arc::new(ProcessLock { path, file, state: Mutex::default() });
        known.retain(|_, lock| lock.strong_count() > 0);
        known.insert(base, Arc::downgrade(&lock));
        Ok(lock)
    }

    /// A lock on a description of its own, as another process has.
    #[cfg(test)]
    pub(crate) fn open_separately(base: &Path) -> Result<Arc<ProcessLock>> {
        let path = base.join(".lock");
        let file = open_file(base, &path).map_err(|e| Error::io("open", &path, e))?;
        Ok(Arc::new(ProcessLock { path, file, state: Mutex::default() }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, kind: libc::c_int) -> Result<bool> {
        let range = whole_file(kind);
        let Some(file) = &self.file else {
            return Err(Error::io("lock", &self.path, why_not_writable(&self.path)));
        };
        match fcntl(file, FcntlArg::F_OFD_SETLK(&range)) {
            Ok(_) => Ok(true),
            Err(nix::errno::Errno::EAGAIN | nix::errno::Errno::EACCES) => Ok(false),
            // It could only be opened for reading, see `open_file`.
            Err(nix::errno::Errno::EBADF) => {
                Err(Error::io("lock", &self.path, why_not_writable(&self.path)))
            }
            Err(errno) => Err(Error::io("lock", &self.path, errno.into())),
        }
    }

    /// Holds the store shared, as every writer does from before its first chunk until after its
    /// manifest. Fails at once while another process collects garbage.
    pub fn try_shared(self: &Arc<ProcessLock>) -> Result<SharedGuard> {
        let mut state = self.state();
        if state.shared.is_empty() && !state.exclusive {
            if !self.set(libc::F_RDLCK)? {
                return Err(self.locked("another process is collecting garbage"));
            }
            self.check_name(libc::F_UNLCK)?;
        }
        let id = state.next_id;
        state.next_id += 1;
        state.shared.insert(id, time::now());
        Ok(SharedGuard { lock: Arc::clone(self), id })
    }

    /// Holds the store exclusively, as garbage collection does. Fails at once while another
    /// process holds it in any way, or this one collects already.
    pub fn try_exclusive(self: &Arc<ProcessLock>) -> Result<ExclusiveGuard> {
        let mut state = self.state();
        if state.exclusive {
            return Err(self.locked("garbage collection is already running"));
        }
        if !self.set(libc::F_WRLCK)? {
            return Err(self.locked("another process is writing to it or collecting garbage"));
        }
        let before = if state.shared.is_empty() { libc::F_UNLCK } else { libc::F_RDLCK };
        self.check_name(before)?;
        state.exclusive = true;
        Ok(ExclusiveGuard { lock: Arc::clone(self) })
    }

    /// Fails, and goes back to the lock `before`, if `.lock` names another file than the one that is
    /// locked.
    fn check_name(&self, before: libc::c_int) -> Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        let of = |meta: Metadata| (meta.dev(), meta.ino());
        let held = file.metadata().map(of).map_err(|e| Error::io("look at", &self.path, e));
        let named = std::fs::metadata(&self.path).map(of);
        let is_same = held.map(|held| named.is_ok_and(|named| named == held));
        if let Ok(true) = is_same {
            return Ok(());
        }
        let _ = self.set(before);
        is_same?;
        Err(Error::Refused {
            reason: format!(
                "{} was removed or replaced since the datastore was opened, so that its lock keeps \
                 nobody out any more; begin anew, when no other program uses the datastore",
                self.path.display()
            ),
        })
    }

    /// Since when the oldest shared holder of this process has it, seconds since 1970.
    pub fn oldest_shared(&self) -> Option<i64> {
        self.state().shared.values().min().copied()
    }

    /// True if no other process holds the store in any way at this moment. It takes nothing and disturbs
    /// nobody.
    pub fn is_alone(&self) -> Result<bool> {
        let Some(file) = &self.file else { return Ok(false) };
        let mut range = whole_file(libc::F_WRLCK);
        let looked = fcntl(file, FcntlArg::F_OFD_GETLK(&mut range));
        looked.map_err(|errno| Error::io("look at the lock", &self.path, errno.into()))?;
        Ok(libc::c_int::from(range.l_type) == libc::F_UNLCK)
    }

    /// Makes all shared holders of this process hold it since `time`, as if they had begun then.
    #[cfg(any(test, feature = "testing"))]
    pub fn backdate_shared(&self, time: i64) {
        self.state().shared.values_mut().for_each(|since| *since = time);
    }

    fn locked(&self, holder: &'static str) -> Error {
        let store = self.path.parent().unwrap_or(&self.path).display();
        Error::Locked { what: format!("datastore {store}"), holder }
    }
}

impl Drop for SharedGuard {
    fn drop(&mut self) {
        let mut state = self.lock.state();
        state.shared.remove(&self.id);
        if state.shared.is_empty() && !state.exclusive {
            // An unlock that fails leaves the lock to the end of the process; nothing is lost.
            let _ = self.lock.set(libc::F_UNLCK);
        }
    }
}

impl Drop for ExclusiveGuard {
    fn drop(&mut self) {
        let mut state = self.lock.state();
        state.exclusive = false;
        let kind = if state.shared.is_empty() { libc::F_UNLCK } else { libc::F_RDLCK };
        let _ = self.lock.set(kind);
    }
}

fn whole_file(kind: libc::c_int) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Opens `.lock`, and makes it if it is missing, with the mode and owner that the reference checks.
fn open_file(base: &Path, path: &Path) -> io::Result<Option<File>> {
    let open = |write: bool| OpenOptions::new().read(true).write(write).open(path);
    match open(true) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        // A store on read-only media has no lock to take, but it can be read.
        Err(error) if is_read_only(&error) => return open(false).map(Some),
        result => return result.map(Some),
    }
    let new = OpenOptions::new().read(true).write(true).create_new(true).mode(0o644).open(path);
    match new {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(true).map(Some),
        Err(error) if is_read_only(&error) => Ok(None),
        Err(error) => Err(error),
        Ok(file) => {
            file.set_permissions(Permissions::from_mode(0o644))?;
            if let Some((uid, gid)) = owner_for_new_files(base)? {
                fchown(&file, Some(uid), Some(gid))?;
            }
            Ok(Some(file))
        }
    }
}

/// The reason for the person who may have to become another user, or to mount the store anew.
fn why_not_writable(path: &Path) -> io::Error {
    match OpenOptions::new().write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => error,
        _ => io::ErrorKind::ReadOnlyFilesystem.into(),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a lock of another process would do: a second open file description.
    fn other(base: &Path, kind: libc::c_int) -> Option<File> {
        let path = base.join(".lock");
        let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
        let other = ProcessLock { path: base.into(), file: Some(file), state: Mutex::default() };
        if other.set(kind).unwrap() { other.file } else { None }
    }

    #[test]
    fn writers_share_and_a_collector_of_another_process_waits() {
        let dir = tempfile::tempdir().unwrap();
        let lock = ProcessLock::open(dir.path()).unwrap();
        let same = ProcessLock::open(dir.path()).unwrap();
        assert!(Arc::ptr_eq(&lock, &same));
        assert_eq!(lock.oldest_shared(), None);
        assert!(lock.is_alone().unwrap());
        let (first, second) = (lock.try_shared().unwrap(), same.try_shared().unwrap());
        assert!(lock.is_alone().unwrap(), "but for itself");
        assert!(lock.oldest_shared().is_some());
        assert!(other(dir.path(), libc::F_WRLCK).is_none());
        drop(first);
        assert!(other(dir.path(), libc::F_WRLCK).is_none());
        drop(second);
        assert!(other(dir.path(), libc::F_WRLCK).is_some());
    }

    #[test]
    fn one_process_may_write_and_collect_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let lock = ProcessLock::open(dir.path()).unwrap();
        let writer = lock.try_shared().unwrap();
        let collector = lock.try_exclusive().unwrap();
        assert!(lock.try_exclusive().unwrap_err().is_retryable());
        let late_writer = lock.try_shared().unwrap();
        assert!(other(dir.path(), libc::F_RDLCK).is_none());
        drop(collector);
        // The writers still have it.
        assert!(other(dir.path(), libc::F_WRLCK).is_none());
        let reader = other(dir.path(), libc::F_RDLCK);
        assert!(reader.is_some());
        assert!(!lock.is_alone().unwrap());
        drop(reader);
        assert!(lock.is_alone().unwrap());
        drop((writer, late_writer));
        assert!(other(dir.path(), libc::F_WRLCK).is_some());
    }

    /// Other processes lock the new file: nobody may write or collect under the old one.
    #[test]
    fn a_lock_on_a_file_without_its_name_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let lock = ProcessLock::open(dir.path()).unwrap();
        let path = dir.path().join(".lock");
        for replaced in [false, true] {
            // Under its old name, so that the number is not given away again.
            std::fs::rename(&path, dir.path().join(format!("old{replaced}"))).unwrap();
            if replaced {
                std::fs::write(&path, "").unwrap();
            }
            assert!(lock.try_shared().unwrap_err().to_string().contains("replaced"));
            assert!(lock.try_exclusive().unwrap_err().to_string().contains("replaced"));
            assert!(lock.oldest_shared().is_none());
            std::fs::rename(dir.path().join(format!("old{replaced}")), &path).unwrap();
            drop(lock.try_shared().unwrap());
            drop(lock.try_exclusive().unwrap());
            assert!(other(dir.path(), libc::F_WRLCK).is_some());
        }
    }

    #[test]
    fn another_process_that_collects_keeps_writers_out() {
        let dir = tempfile::tempdir().unwrap();
        let lock = ProcessLock::open(dir.path()).unwrap();
        let collector = other(dir.path(), libc::F_WRLCK).unwrap();
        assert!(lock.try_shared().unwrap_err().is_retryable());
        assert!(lock.try_exclusive().unwrap_err().is_retryable());
        drop(collector);
        let _writer = lock.try_shared().unwrap();
    }

    /// Classic record locks of other programs conflict with ours.
    #[test]
    fn a_classic_record_lock_of_another_process_is_respected() {
        let dir = tempfile::tempdir().unwrap();
        let lock = ProcessLock::open(dir.path()).unwrap();
        let script = "import fcntl,sys; f=open(sys.argv[1],'r+'); fcntl.lockf(f,fcntl.LOCK_EX); print('held',flush=True); sys.stdin.read()";
        let mut child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(dir.path().join(".lock"))
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(
            &mut std::io::BufReader::new(child.stdout.as_mut().unwrap()),
            &mut line,
        )
        .unwrap();
        assert_eq!(line, "held\n");
        assert!(lock.try_shared().unwrap_err().is_retryable());
        drop(child.stdin.take());
        child.wait().unwrap();
        let _writer = lock.try_shared().unwrap();
    }
}
