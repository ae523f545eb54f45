//! The state directory: file names, atomic replacement, locks.
//!
//! A state file is replaced in the order temporary file, write, fsync, rename, fsync of the folder:
//! at every moment, and after a power cut, either the old or the new content is there, never a mix.
//!
//! Locks are exclusive `flock`s on files that are never removed, so that a name always means the
//! same lock. They end with the process that holds them, however it ends. The order in which a job
//! takes them is pool, media set, inventory; keeping it everywhere makes a deadlock impossible.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use uuid::Uuid;

use super::clock::Clock;
use crate::care::Record;
use crate::error::{Error, IoResultExt, Result};
use crate::keys::KeyStore;

/// How long a lock is waited for unless the caller says otherwise.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

const LOCK_POLL: Duration = Duration::from_millis(50);
const STATE_DIR_MODE: u32 = 0o750;
const LOCK_MODE: u32 = 0o660;

/// The folder that holds inventory, catalogs and their locks.
#[derive(Debug, Clone)]
pub struct StateDir {
    path: PathBuf,
    lock_wait: Duration,
    keys: KeyStore,
    clock: Clock,
}

impl StateDir {
    /// Opens the folder and creates it if it is missing.
    pub fn open(path: impl Into<PathBuf>) -> Result<StateDir> {
        let path = path.into();
        DirBuilder::new().recursive(true).mode(STATE_DIR_MODE).create(&path).at(&path)?;
        let keys = KeyStore::at(&path);
        Ok(StateDir { path, lock_wait: LOCK_WAIT, keys, clock: Clock::default() })
    }

    /// The same folder with another place for the keys of encrypted tapes, which is else this folder itself. What is in a
    /// state folder can be had from the tapes again, keys only with their passwords.
    #[must_use]
    pub fn with_keys(mut self, keys: KeyStore) -> StateDir {
        self.keys = keys;
        self
    }

    /// The same folder with another clock for the jobs over it.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> StateDir {
        self.clock = clock;
        self
    }

    /// What time it is for the jobs over this folder, in seconds since 1970.
    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    /// The keys of encrypted tapes.
    pub fn keys(&self) -> &KeyStore {
        &self.keys
    }

    /// The same folder with another time to wait for locks.
    pub fn with_lock_wait(mut self, lock_wait: Duration) -> StateDir {
        self.lock_wait = lock_wait;
        self
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The last status of a changer, for who would rather have an old answer than wait.
    pub fn changer_status(&self, changer: &str) -> changer::StatusCache {
        changer::StatusCache::new(&self.path.join("changer-state"), changer)
    }

    /// The list of known tapes.
    pub fn inventory_file(&self) -> PathBuf {
        self.path.join("inventory.json")
    }

    /// A tape's media catalog.
    pub fn catalog_file(&self, media: &Uuid) -> PathBuf {
        self.path.join(format!("{media}.log"))
    }

    /// A tape's media catalog under construction.
    pub fn catalog_temp_file(&self, media: &Uuid) -> PathBuf {
        self.path.join(format!("{media}.tmp"))
    }

    /// The index of the chunks in a tape's media catalog, which is made again if it is not there.
    pub fn catalog_index_file(&self, media: &Uuid) -> PathBuf {
        self.path.join("catalog-index").join(format!("{media}.chunks"))
    }

    /// A tape's cached list of snapshots.
    pub fn snapshot_list_file(&self, media: &Uuid) -> PathBuf {
        self.path.join(format!("{media}.index"))
    }

    /// When what was verified last.
    pub fn verify_history_file(&self) -> PathBuf {
        self.path.join("verify-history.json")
    }

    /// Held while that is updated.
    pub fn lock_verify_history(&self) -> Result<Lock> {
        self.lock("the history of verifications".into(), ".verify-history", self.lock_wait)
    }

    /// Histories of cartridges.
    pub fn care_media_folder(&self) -> PathBuf {
        self.path.join("care/media")
    }

    /// The history of the cartridge that a record is about, by its serial number, or else by its label; `None` if it has neither.
    pub fn care_media_file(&self, record: &Record) -> Option<PathBuf> {
        let name = match (&record.medium_serial, &record.uuid) {
            (Some(serial), _) => escape_device(serial),
            (None, Some(uuid)) => format!("label-{uuid}"),
            (None, None) => return None,
        };
        Some(self.care_media_folder().join(format!("{name}.care")))
    }

    /// The history of the cleaning cartridge with this bar code: robots know it by nothing else.
    pub fn care_cleaning_file(&self, label: &str) -> PathBuf {
        self.care_media_folder().join(format!("cleaning-{}.care", escape_device(label)))
    }

    /// Histories of drives.
    pub fn care_drive_folder(&self) -> PathBuf {
        self.path.join("care/drive")
    }

    /// The history of the drive with this serial number.
    pub fn care_drive_file(&self, serial: &str) -> PathBuf {
        self.care_drive_folder().join(format!("{}.care", escape_device(serial)))
    }

    /// Held by whoever uses a cleaning cartridge of the library at this address. It is not waited for here: a cleaning takes minutes.
    pub fn lock_cleaning(&self, library: &str) -> Result<Lock> {
        let folder = self.path.join("cleaning-lock");
        DirBuilder::new().recursive(true).mode(STATE_DIR_MODE).create(&folder).at(&folder)?;
        let what = format!("the cleaning cartridges of {library}");
        Lock::acquire(folder.join(escape_device(library)), what, Duration::ZERO)
    }

    /// Held while histories are added to.
    pub fn lock_care(&self) -> Result<Lock> {
        self.lock("the histories of cartridges and drives".into(), ".care", self.lock_wait)
    }

    /// The lists of files in snapshots on tape, which can be read again from there.
    pub fn file_lists_folder(&self) -> PathBuf {
        self.path.join("file-lists")
    }

    /// Held while one of them is updated.
    pub fn lock_file_lists(&self) -> Result<Lock> {
        self.lock("the lists of files on tape".into(), ".file-lists", self.lock_wait)
    }

    /// Held for each update of the inventory.
    pub fn lock_inventory(&self) -> Result<Lock> {
        self.lock("the tape inventory".into(), ".inventory", self.lock_wait)
    }

    /// Held while a pool chooses tapes.
    pub fn lock_pool(&self, pool: &str) -> Result<Lock> {
        self.lock(format!("pool {pool}"), &format!(".pool-{pool}"), self.lock_wait)
    }

    /// Held while a tape without pool is taken.
    pub fn lock_unassigned_pool(&self) -> Result<Lock> {
        self.lock("the scratch pool".into(), ".pool-__UNASSIGNED__", self.lock_wait)
    }

    /// Held while a robot is looked at and moved. It is the last lock that anybody takes.
    pub fn lock_changer(&self, changer: &str, wait: Duration) -> Result<Lock> {
        self.lock(format!("changer {changer}"), &format!(".changer-{changer}"), wait)
    }

    /// Held by whoever writes or reads a media set.
    pub fn lock_media_set(&self, set: &Uuid) -> Result<Lock> {
        self.lock_media_set_for(set, self.lock_wait)
    }

    /// As [`StateDir::lock_media_set`] without waiting; `None` if it is taken.
    pub fn try_lock_media_set(&self, set: &Uuid) -> Result<Option<Lock>> {
        match self.lock_media_set_for(set, Duration::ZERO) {
            Ok(lock) => Ok(Some(lock)),
            Err(Error::Locked { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn lock_media_set_for(&self, set: &Uuid, wait: Duration) -> Result<Lock> {
        self.lock(format!("media set {set}"), &format!(".media-set-{set}"), wait)
    }

    fn lock(&self, what: String, name: &str, wait: Duration) -> Result<Lock> {
        // The reference *sets the extension*, so a pool name loses what follows its last dot. Only
        // the same names exclude each other when both programs use one state directory.
        let path = self.path.join(name).with_extension("lck");
        Lock::acquire(path, what, wait)
    }

    /// Held by whoever uses the drive at `device` (its address, not its configured name: two names
    /// may mean one drive).
    pub fn lock_drive(&self, device: &str, wait: Duration) -> Result<Lock> {
        let folder = self.path.join("drive-lock");
        DirBuilder::new().recursive(true).mode(STATE_DIR_MODE).create(&folder).at(&folder)?;
        let mut lock =
            Lock::acquire(folder.join(escape_device(device)), format!("drive {device}"), wait)?;
        lock.sign();
        Ok(lock)
    }
}

/// A device's address as one file name: a leading slash goes, others become `-`, bytes other than
/// letters, digits, `_` and `.` become `\xNN` (systemd's escaping of paths).
fn escape_device(device: &str) -> String {
    const NAME_BYTES_MAX: usize = 200;
    let mut name = String::new();
    for (at, byte) in device.trim_start_matches('/').bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str("\\x2e"),
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' | b'_' | b'.' => name.push(char::from(byte)),
            other => name.push_str(&format!("\\x{other:02x}")),
        }
    }
    if name.len() > NAME_BYTES_MAX {
        // Too long for a file name: the digest keeps different devices apart.
        name.truncate(NAME_BYTES_MAX - 64);
        name.push_str(&hex::encode(openssl::sha::sha256(device.as_bytes())));
    }
    name
}

/// An exclusive lock; dropping it gives it back.
#[derive(Debug)]
pub struct Lock {
    file: Flock<File>,
}

/// Longest note in a lock file that is believed, in bytes.
const NOTE_BYTES_MAX: u64 = 1000;

impl Lock {
    pub(crate) fn acquire(path: PathBuf, what: String, wait: Duration) -> Result<Lock> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .mode(LOCK_MODE)
            .open(&path)
            .at(&path)?;
        let start = Instant::now();
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Lock { file: lock }),
                Err((back, Errno::EWOULDBLOCK | Errno::EINTR)) => {
                    if start.elapsed() >= wait {
                        let holder = holder_of(&path);
                        return Err(Error::Locked { what, path, waited_s: wait.as_secs(), holder });
                    }
                    file = back;
                    thread::sleep(LOCK_POLL.min(wait));
                }
                Err((_, errno)) => return Err(Error::io(path, errno.into())),
            }
        }
    }
}

impl Lock {
    /// Writes into the lock file who holds it, for the message of whoever waits in vain. Only a
    /// courtesy: the lock itself is the kernel's, and a note that could not be written is none.
    fn sign(&mut self) {
        let words: Vec<String> = std::env::args().skip(1).take(8).collect();
        let note = format!("{} {}\n", std::process::id(), words.join(" "));
        let file = &mut *self.file;
        let _ = file.set_len(0).and_then(|()| file.write_all(note.as_bytes()));
    }
}

/// Who holds a lock, if its file tells and that process is there.
fn holder_of(path: &Path) -> Option<String> {
    let mut note = String::new();
    File::open(path).ok()?.take(NOTE_BYTES_MAX).read_to_string(&mut note).ok()?;
    let note = note.trim_end();
    let (process, words) = note.split_once(' ').unwrap_or((note, ""));
    let process: u32 = process.parse().ok()?;
    if !Path::new(&format!("/proc/{process}")).exists() {
        return None;
    }
    let words: String = words.chars().filter(|c| !c.is_control()).collect();
    if words.is_empty() {
        return Some(format!("process {process}"));
    }
    Some(format!("process {process} ({words})"))
}

/// Replaces the content of `path` in one step that survives a power cut.
pub(crate) fn replace_file(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let temp = path.with_extension(format!("tmp_{}", std::process::id()));
    let result = write_synced(&temp, content, mode)
        .and_then(|()| std::fs::rename(&temp, path))
        .at(path)
        .and_then(|()| sync_parent(path));
    if result.is_err() {
        let _ = std::fs::remove_file(&temp);
    }
    result
}

fn write_synced(temp: &Path, content: &[u8], mode: u32) -> std::io::Result<()> {
    let mut file =
        OpenOptions::new().create(true).write(true).truncate(true).mode(mode).open(temp)?;
    file.write_all(content)?;
    file.sync_all()
}

/// Makes names in the folder of `path` durable.
pub(crate) fn sync_parent(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder).and_then(|folder| folder.sync_all()).at(folder)
}

/// Removes a file; false if there was none.
pub(crate) fn remove_file_if_present(path: &Path) -> Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => sync_parent(path).map(|()| true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(Error::io(path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_and_names_its_object() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap().with_lock_wait(Duration::from_millis(1));
        let set = Uuid::new_v4();
        let held = state.lock_media_set(&set).unwrap();
        let error = state.lock_media_set(&set).unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert!(error.to_string().contains(&set.to_string()), "{error}");
        assert!(state.try_lock_media_set(&set).unwrap().is_none());
        drop(held);
        assert!(state.try_lock_media_set(&set).unwrap().is_some());
    }

    #[test]
    fn who_waits_for_a_drive_in_vain_is_told_who_holds_it() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let held = state.lock_drive("/dev/sg3", Duration::ZERO).unwrap();
        let error = state.lock_drive("/dev/sg3", Duration::ZERO).unwrap_err().to_string();
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
        drop(held);
        // A note that a process left behind which is gone says nothing.
        let path = folder.path().join("drive-lock/dev-sg3");
        std::fs::write(&path, "4294967294 tape backup\n").unwrap();
        assert_eq!(holder_of(&path), None);
    }

    #[test]
    fn lock_names_are_those_of_the_reference() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        let _locks = (
            state.lock_inventory().unwrap(),
            state.lock_pool("a.b").unwrap(),
            state.lock_pool("goldenpool").unwrap(),
            state.lock_unassigned_pool().unwrap(),
        );
        for name in
            [".inventory.lck", ".pool-a.lck", ".pool-goldenpool.lck", ".pool-__UNASSIGNED__.lck"]
        {
            assert!(folder.path().join(name).is_file(), "{name}");
        }
    }

    #[test]
    fn device_names_are_escaped() {
        assert_eq!(
            escape_device("/dev/tape/by-id/scsi-12345-sg"),
            "dev-tape-by\\x2did-scsi\\x2d12345\\x2dsg"
        );
        assert_eq!(escape_device("vtl:/srv/lib#drive0"), "vtl\\x3a-srv-lib\\x23drive0");
        assert!(escape_device(&"x".repeat(5000)).len() <= 255);
        assert_ne!(escape_device(&"x".repeat(5000)), escape_device(&"x".repeat(5001)));
    }

    #[test]
    fn replacing_leaves_no_temporary_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("inventory.json");
        replace_file(&path, b"one", 0o640).unwrap();
        replace_file(&path, b"two", 0o640).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(remove_file_if_present(&path).unwrap());
        assert!(!remove_file_if_present(&path).unwrap());
    }
}
