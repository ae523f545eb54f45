//! Who excludes whom (`docs/formats/locks.md`).
//!
//! * The **process lock** is a record lock on `.lock`: shared by everything that adds chunks,
//!   exclusive for garbage collection. Between processes the kernel decides; inside one process
//!   both may be held at once, and the collector respects the oldest shared holder instead.
//!   See [`process`].
//! * **Group, snapshot and manifest locks** are `flock`s on small files of their own in a lock
//!   folder. A lock file may be unlinked by whoever removes the object while holding it, so after
//!   getting a lock the file's inode is compared with what the path names now: a lock on a file
//!   that is no longer there excludes nobody.
//!
//! Order, so that nobody waits in a circle: group before snapshot before manifest; nobody waits for a
//! group or snapshot lock, and for a manifest lock at most five seconds.

pub(crate) mod chunk;
pub mod files;
pub mod process;
pub mod turnstile;

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown, lchown};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::fcntl::{Flock, FlockArg};

use crate::digest::Digest;
use crate::error::{Error, Result};
use crate::hierarchy::{BackupGroup, Namespace, SnapshotPath};

pub use process::{ProcessLock, SharedGuard};

/// Longest wait for a manifest lock.
pub const MANIFEST_WAIT_MAX: Duration = Duration::from_secs(5);
/// Name of the default lock folder in a datastore. The walk of a collector skips names that begin
/// with a dot.
pub const LOCKS_DIR: &str = ".locks";
const LOCK_FILE_MODE: u32 = 0o660;
/// How long a group or snapshot lock is tried for. Plans only look whether an object is in use
/// ([`Locks::is_snapshot_free`]), and to see readers they must take its lock for an instant: nobody
/// may be refused because of that. It is short enough to be no waiting.
const GLANCE_MAX: Duration = Duration::from_millis(50);

/// How a lock is shared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Any number of holders.
    Shared,
    /// One holder.
    Exclusive,
}

/// A held lock; it is released when this is dropped.
#[derive(Debug)]
#[must_use = "the lock is released at once if it is not kept"]
pub struct Guard {
    /// `None` on a file system that cannot be written: nobody can remove anything there either.
    file: Option<Flock<File>>,
    path: PathBuf,
}

impl Guard {
    /// Unlinks the lock file and releases the lock: for the holder that removed the object.
    pub fn remove(self) {
        if self.file.is_some() {
            // Left behind it would only be an empty file.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The lock files of one datastore.
#[derive(Debug, Clone)]
pub struct Locks {
    dir: PathBuf,
    owner: Option<(u32, u32)>,
}

impl Locks {
    /// Locks in a folder, which is made when the first lock is taken. New lock files are given to
    /// `owner` (user and group), if there is one: other programs of that user must be able to open
    /// them.
    pub fn new(dir: PathBuf, owner: Option<(u32, u32)>) -> Locks {
        Locks { dir, owner }
    }

    /// The folder of the lock files.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// How writers and a collector of different processes take turns.
    pub fn turnstile(&self) -> turnstile::Turnstile {
        turnstile::Turnstile { dir: self.dir.clone(), owner: self.owner }
    }

    /// Locks a group exclusively: backups to it, its removal, changes of its owner and notes.
    pub fn group(&self, namespace: &Namespace, group: &BackupGroup) -> Result<Guard> {
        self.acquire(namespace, &group.to_string(), Mode::Exclusive, None, &|| {
            format!("backup group {group}")
        })
    }

    /// Locks a snapshot: shared to read it or to base a backup on it, exclusive to write or remove
    /// it.
    pub fn snapshot(
        &self,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
        mode: Mode,
    ) -> Result<Guard> {
        self.acquire(namespace, &snapshot.to_string(), mode, None, &|| {
            format!("snapshot {snapshot}")
        })
    }

    /// Locks a snapshot's manifest for a change; waits up to [`MANIFEST_WAIT_MAX`].
    pub fn manifest(&self, namespace: &Namespace, snapshot: &SnapshotPath) -> Result<Guard> {
        let object = format!("{snapshot}/.index.json.lck");
        self.acquire(namespace, &object, Mode::Exclusive, Some(MANIFEST_WAIT_MAX), &|| {
            format!("the manifest of snapshot {snapshot}")
        })
    }

    /// True if nobody holds the lock of a snapshot at this moment. It makes no lock file and
    /// promises nothing: it is for plans that are shown to people.
    pub fn is_snapshot_free(&self, namespace: &Namespace, snapshot: &SnapshotPath) -> bool {
        is_free(&self.path(namespace, &snapshot.to_string()))
    }

    /// The same of a group.
    pub fn is_group_free(&self, namespace: &Namespace, group: &BackupGroup) -> bool {
        is_free(&self.path(namespace, &group.to_string()))
    }

    fn path(&self, namespace: &Namespace, object: &str) -> PathBuf {
        let mut dir = self.dir.clone();
        if !namespace.is_root() {
            dir.push(namespace.components().join(":"));
        }
        let escaped = escape(object);
        if escaped.len() < 255 {
            return dir.join(escaped);
        }
        // The escaped text is ASCII, so it can be cut anywhere.
        let (head, tail) = (&escaped[..80], &escaped[escaped.len() - 80..]);
        dir.join("hashed").join(format!("{head}...{tail}-{}", Digest::of(object.as_bytes())))
    }

    fn acquire(
        &self,
        namespace: &Namespace,
        object: &str,
        mode: Mode,
        wait: Option<Duration>,
        what: &dyn Fn() -> String,
    ) -> Result<Guard> {
        let path = self.path(namespace, object);
        let (longest, pause) = match wait {
            Some(longest) => (longest, Duration::from_millis(20)),
            None => (GLANCE_MAX, Duration::from_millis(2)),
        };
        let deadline = Instant::now() + longest;
        loop {
            match try_acquire(&path, mode, self.owner) {
                Ok(Some(file)) => return Ok(Guard { file: Some(file), path }),
                Ok(None) => {}
                Err(error)
                    if mode == Mode::Shared
                        && error.kind() == io::ErrorKind::ReadOnlyFilesystem =>
                {
                    // Reading must work on a store mounted read-only, above all in a disaster; and
                    // nobody can remove anything from it.
                    return Ok(Guard { file: None, path });
                }
                Err(error) => return Err(Error::io("lock", &path, error)),
            }
            if Instant::now() >= deadline {
                return Err(Error::Locked {
                    what: what(),
                    holder: "a backup, restore, verification or removal is running",
                });
            }
            std::thread::sleep(pause);
        }
    }
}

fn is_free(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return true };
    // Held for as long as this expression takes; see `GLANCE_MAX`.
    !matches!(
        Flock::lock(file, FlockArg::LockExclusiveNonblock),
        Err((_, nix::errno::Errno::EWOULDBLOCK))
    )
}

/// `None` if somebody else holds the lock.
fn try_acquire(
    path: &Path,
    mode: Mode,
    owner: Option<(u32, u32)>,
) -> io::Result<Option<Flock<File>>> {
    // A lock file that vanished between our open and our lock was removed together with its
    // object; the next attempt makes a new one. A few attempts are plenty.
    for _ in 0..8 {
        let file = open_lock_file(path, owner)?;
        let arg = match mode {
            Mode::Shared => FlockArg::LockSharedNonblock,
            Mode::Exclusive => FlockArg::LockExclusiveNonblock,
        };
        let lock = match Flock::lock(file, arg) {
            Ok(lock) => lock,
            Err((_, nix::errno::Errno::EWOULDBLOCK)) => return Ok(None),
            Err((_, errno)) => return Err(errno.into()),
        };
        let held = lock.metadata()?;
        match std::fs::metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (held.dev(), held.ino()) => {
                return Ok(Some(lock));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

fn open_lock_file(path: &Path, owner: Option<(u32, u32)>) -> io::Result<File> {
    let open = |new: bool| {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create_new(new).mode(LOCK_FILE_MODE).open(path)
    };
    match open(false) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => return result,
    }
    if let Some(dir) = path.parent() {
        make_lock_dirs(dir, owner)?;
    }
    match open(true) {
        // Somebody else made it meanwhile.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => open(false),
        Err(error) => Err(error),
        Ok(file) => {
            // The umask must not keep the owner's other programs out.
            file.set_permissions(Permissions::from_mode(LOCK_FILE_MODE))?;
            if let Some((uid, gid)) = owner {
                fchown(&file, Some(uid), Some(gid))?;
            }
            Ok(file)
        }
    }
}

fn make_lock_dirs(dir: &Path, owner: Option<(u32, u32)>) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(outer) = dir.parent() {
        make_lock_dirs(outer, owner)?;
    }
    match std::fs::create_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
        result => result?,
    }
    if let Some((uid, gid)) = owner {
        // Of the folder itself: its owner may have put a link in its place meanwhile.
        lchown(dir, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// The escaping of systemd paths: `/` becomes `-`, everything else but letters, digits, `_` and
/// `.` becomes `\xNN`, and so does a leading dot.
pub fn escape(object: &str) -> String {
    let mut escaped = String::with_capacity(object.len() + 16);
    for (position, byte) in object.bytes().enumerate() {
        match byte {
            b'/' => escaped.push('-'),
            b'.' if position == 0 => escaped.push_str("\\x2e"),
            b'.' | b'_' => escaped.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => escaped.push(char::from(byte)),
            _ => escaped.push_str(&format!("\\x{byte:02x}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot() -> SnapshotPath {
        "vm/100/2022-05-02T08:11:33Z".parse().unwrap()
    }

    #[test]
    fn lock_files_have_the_documented_names() {
        let locks = Locks::new(PathBuf::from("/l"), None);
        let root = Namespace::root();
        let path =
            |ns: &Namespace, object: &str| locks.path(ns, object).to_str().unwrap().to_owned();
        assert_eq!(path(&root, "vm/100"), "/l/vm-100");
        assert_eq!(
            path(&root, &snapshot().to_string()),
            r"/l/vm-100-2022\x2d05\x2d02T08\x3a11\x3a33Z"
        );
        assert_eq!(
            path(&root, &format!("{}/.index.json.lck", snapshot())),
            r"/l/vm-100-2022\x2d05\x2d02T08\x3a11\x3a33Z-.index.json.lck"
        );
        assert_eq!(path(&"a/b".parse().unwrap(), "vm/100"), "/l/a:b/vm-100");
        let long = format!("vm/{}", "x".repeat(255));
        let name = path(&root, &long);
        assert!(name.starts_with("/l/hashed/vm-xxx") && name.len() < 300, "{name}");
        assert!(name.ends_with(&Digest::of(long.as_bytes()).to_string()));
    }

    #[test]
    fn locks_exclude_as_they_should() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path().join("locks"), None);
        let root = Namespace::root();
        let shared = locks.snapshot(&root, &snapshot(), Mode::Shared).unwrap();
        let second = locks.snapshot(&root, &snapshot(), Mode::Shared).unwrap();
        let refused = locks.snapshot(&root, &snapshot(), Mode::Exclusive).unwrap_err();
        assert!(refused.is_retryable());
        // Another namespace is another object.
        let elsewhere =
            locks.snapshot(&"a".parse().unwrap(), &snapshot(), Mode::Exclusive).unwrap();
        drop((shared, second, elsewhere));
        let exclusive = locks.snapshot(&root, &snapshot(), Mode::Exclusive).unwrap();
        assert!(locks.snapshot(&root, &snapshot(), Mode::Shared).is_err());
        exclusive.remove();
        let _again = locks.snapshot(&root, &snapshot(), Mode::Exclusive).unwrap();
        let group = locks.group(&root, snapshot().group()).unwrap();
        assert!(locks.group(&root, snapshot().group()).is_err());
        drop(group);
    }

    /// A dry run beside a backup must not make it fail.
    #[test]
    fn looking_whether_something_is_in_use_disturbs_nobody() {
        let dir = tempfile::tempdir().unwrap();
        let locks = Locks::new(dir.path().join("locks"), None);
        let root = Namespace::root();
        drop(locks.snapshot(&root, &snapshot(), Mode::Shared).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..300 {
                    locks.is_snapshot_free(&root, &snapshot());
                    std::thread::sleep(Duration::from_micros(300));
                }
                done.store(true, std::sync::atomic::Ordering::Relaxed);
            });
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                drop(locks.snapshot(&root, &snapshot(), Mode::Shared).unwrap());
            }
        });
        let held = locks.snapshot(&root, &snapshot(), Mode::Shared).unwrap();
        assert!(!locks.is_snapshot_free(&root, &snapshot()));
        drop(held);
        assert!(locks.is_snapshot_free(&root, &snapshot()));
    }

    #[test]
    fn a_lock_on_an_unlinked_file_is_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        let stale = try_acquire(&path, Mode::Exclusive, None).unwrap().unwrap();
        std::fs::remove_file(&path).unwrap();
        let fresh = try_acquire(&path, Mode::Exclusive, None).unwrap().unwrap();
        assert_ne!(stale.metadata().unwrap().ino(), fresh.metadata().unwrap().ino());
        assert!(try_acquire(&path, Mode::Exclusive, None).unwrap().is_none());
    }
}
