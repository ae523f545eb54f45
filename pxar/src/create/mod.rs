//! Creating an archive from a real directory.
//!
//! The archive shows what was there: every entry that can't be read is either an error or a counted,
//! reported [`Warning::Skipped`]; never silently missing. A file that changes its size while it is
//! read keeps the size in the archive that it had when it was opened (padded with zeros or cut), so the
//! archive stays well-formed, and is reported.
//!
//! # Cost
//!
//! Everything is done relative to descriptors of open directories; no path is resolved twice. A small
//! regular file costs `openat`, `fstat`, `ioctl` for its flags (and on ext4 and XFS for its project
//! id), `flistxattr`, one `read`, `close`; a symbolic link `fstatat` and `readlinkat`. Count them with
//! `strace -c` and the example `tree`: no call should appear much more often than there are files.
//!
//! Each level of nesting holds a descriptor: a program that archives or restores very deep trees
//! raises its limit of open files first.

mod excludes;
mod file_system;
pub(crate) mod metadata;
mod names;
mod options;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::ffi::CStr;
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat, readlinkat};
use nix::sys::stat::{FileStat, Mode, fstat, fstatat};

use crate::catalog::{Kind as CatalogKind, Sink};
use crate::encoder::{CopyError, Encoder, LinkOffset};
use crate::error::{Error, path_of};
use crate::exclude::{Effect, Pattern, PatternList};
use crate::format;
use crate::metadata::{FileType, Metadata};
use crate::monitor::{Monitor, Warning};
use excludes::{EXCLUDE_FILE, RECORDED_EXCLUDES, prelude};
use file_system::Gates;
use metadata::{Failed, Wanted};
use names::Names;

pub use options::{FileSystems, Options, Summary, device_number};

/// From this size on the kernel is told that a file is read from front to back.
const READ_AHEAD_BYTES_MIN: i64 = 1 << 20;

/// Archive the directory `source` into a unified archive (version 1).
///
/// `catalog` gets the same entries between its `start_archive` and `end_archive`, which the caller
/// makes, so that several archives can go into one catalog.
///
/// # Errors
/// The source is no directory or on a virtual file system; a file can't be read for another reason than
/// having vanished or missing permission; the output fails; the monitor aborted.
pub fn create(
    source: &Path,
    archive: &mut dyn Write,
    catalog: Option<&mut dyn Sink>,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    // Naming the type again lets the compiler shorten the trait object's lifetime.
    let catalog = catalog.map(|catalog| catalog as &mut dyn Sink);
    run(source, archive, None, catalog, options, monitor)
}

/// Archive the directory `source` into a split archive (version 2). The excludes are recorded in
/// its prelude.
///
/// # Errors
/// Those of [`create`].
pub fn create_split(
    source: &Path,
    archive: &mut dyn Write,
    payload: &mut dyn Write,
    options: &Options,
    monitor: &dyn Monitor,
) -> Result<Summary, Error> {
    run(source, archive, Some(payload), None, options, monitor)
}

fn run<'a>(
    source: &'a Path,
    archive: &'a mut dyn Write,
    payload: Option<&'a mut dyn Write>,
    catalog: Option<&'a mut dyn Sink>,
    options: &'a Options,
    monitor: &'a dyn Monitor,
) -> Result<Summary, Error> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root_error =
        |action| move |errno: Errno| Error::file(action, source.as_os_str().as_bytes(), errno);
    let root = open(source, flags, Mode::empty()).map_err(root_error("open the source folder"))?;
    let stat = fstat(&root).map_err(root_error("stat"))?;
    let magic = file_system::magic(&root).map_err(root_error("find the file system of"))?;
    let mut gates = Gates::of_magic(magic);
    if gates.is_virtual() {
        return Err(Error::VirtualFileSystem { path: source.to_path_buf(), magic });
    }
    let mut patterns = options.excludes.clone();
    if options.skip_lost_and_found {
        patterns.push(Pattern::parse(b"lost+found", Effect::Exclude)?);
    }
    let recorded: Vec<u8> =
        patterns.iter().flat_map(|pattern| pattern.to_line().into_iter().chain([b'\n'])).collect();
    let is_split = payload.is_some();
    let prelude = (is_split && !recorded.is_empty()).then(|| prelude(&recorded));

    let wanted = Wanted {
        xattrs: options.xattrs,
        acls: options.acls,
        fcaps: options.fcaps,
        skip_too_big: options.skip_e2big_xattr,
    };
    let mut context = Context {
        source,
        options,
        monitor,
        path: Vec::new(),
        metadata: metadata::Reader::new(),
        wanted,
        summary: Summary::new(),
    };
    let root_metadata = context.read_metadata(root.as_fd(), &stat, &mut gates)?;
    let encoder = Encoder::begin(archive, payload, prelude.as_deref(), &root_metadata)?;
    let mut walker = Walker {
        context,
        encoder,
        catalog,
        patterns,
        hardlinks: HashMap::new(),
        gates: HashMap::from([(stat.st_dev, gates)]),
        root_device: stat.st_dev,
        open_entries: 0,
        levels: Vec::new(),
    };
    walker.push_level(root, stat.st_dev)?;
    walker.walk()?;
    if !is_split && !recorded.is_empty() {
        walker.record_excludes(&recorded)?;
    }
    let mut summary = walker.context.summary;
    summary.sizes = walker.encoder.finish()?;
    Ok(summary)
}

/// What is needed to read one file.
struct Context<'a> {
    source: &'a Path,
    options: &'a Options,
    monitor: &'a dyn Monitor,
    /// Path in the archive: empty for the root, else `/a/b`.
    path: Vec<u8>,
    metadata: metadata::Reader,
    wanted: Wanted,
    summary: Summary,
}

/// A directory whose entries are being archived.
struct Level {
    directory: Dir,
    names: Names,
    path_len: usize,
    /// Length of the pattern list before this directory's own file.
    patterns_len: usize,
    device: u64,
}

struct Walker<'a> {
    context: Context<'a>,
    encoder: Encoder<&'a mut dyn Write, &'a mut dyn Write>,
    catalog: Option<&'a mut dyn Sink>,
    patterns: PatternList,
    /// First names of files that have several, by device and inode.
    hardlinks: HashMap<(u64, u64), (Vec<u8>, LinkOffset)>,
    /// By device.
    gates: HashMap<u64, Gates>,
    root_device: u64,
    open_entries: usize,
    levels: Vec<Level>,
}

/// How an entry of a directory could not be archived.
enum Trouble {
    /// It is not there any more, or may not be read: go on without it.
    Skip(Error),
    /// Give up.
    Abort(Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Abort(error)
    }
}

impl Context<'_> {
    /// Where the current entry really is.
    fn real_path(&self) -> PathBuf {
        let mut path = self.source.as_os_str().as_bytes().to_vec();
        if path.last() == Some(&b'/') && !self.path.is_empty() {
            path.pop();
        }
        path.extend_from_slice(&self.path);
        path_of(&path)
    }

    fn archive_path(&self) -> &[u8] {
        if self.path.is_empty() { b"/" } else { &self.path }
    }

    fn file_error(&self, action: &'static str, source: impl Into<std::io::Error>) -> Error {
        Error::File { action, path: self.real_path(), source: source.into() }
    }

    /// Sort a failed call on the current entry: gone and forbidden are skipped.
    fn trouble(&self, action: &'static str, errno: Errno) -> Trouble {
        let error = self.file_error(action, errno);
        match errno {
            // ELOOP and ENXIO: what was a file when the directory was read is a link or socket now.
            Errno::ENOENT | Errno::EACCES | Errno::ESTALE | Errno::ELOOP | Errno::ENXIO => {
                Trouble::Skip(error)
            }
            _ => Trouble::Abort(error),
        }
    }

    fn read_metadata(
        &mut self,
        fd: BorrowedFd<'_>,
        stat: &FileStat,
        gates: &mut Gates,
    ) -> Result<Metadata, Error> {
        let mut found = metadata::of_stat(stat);
        match self.metadata.complete(fd, gates, self.wanted, &mut found) {
            Ok(()) => {}
            Err(Failed::Call(action, source)) => return Err(self.file_error(action, source)),
            Err(Failed::Skipped(reason)) => {
                let (path, reason) = (self.real_path(), reason.to_owned());
                self.monitor.warning(&Warning::MetadataSkipped { path, reason });
            }
        }
        Ok(found)
    }
}

impl Walker<'_> {
    fn walk(&mut self) -> Result<(), Error> {
        // A name lives in the names of its level, which may move when a level is added.
        let mut name_buffer = Vec::new();
        while let Some(level) = self.levels.last_mut() {
            self.context.path.truncate(level.path_len);
            let Some((name, kind)) = level.names.next() else {
                self.pop_level()?;
                continue;
            };
            let name = {
                name_buffer.clear();
                name_buffer.extend_from_slice(name.to_bytes_with_nul());
                CStr::from_bytes_with_nul(&name_buffer).unwrap_or_default()
            };
            if self.levels.len() == 1 && name.to_bytes() == RECORDED_EXCLUDES {
                continue;
            }
            self.context.path.push(b'/');
            self.context.path.extend_from_slice(name.to_bytes());
            if self.context.monitor.is_aborted() {
                return Err(Error::Aborted);
            }
            match self.entry(name, kind) {
                Ok(()) => {}
                Err(Trouble::Abort(error)) => return Err(error),
                Err(Trouble::Skip(error)) => {
                    self.context.summary.skipped += 1;
                    let path = self.context.real_path();
                    self.context.monitor.warning(&Warning::Skipped { path, error });
                }
            }
        }
        Ok(())
    }

    fn entry(&mut self, name: &CStr, kind: Option<Type>) -> Result<(), Trouble> {
        let mut stat = None;
        let kind = match kind {
            Some(kind) => kind,
            None => {
                let found = self.stat(name)?;
                let kind = match FileType::of_mode(u64::from(found.st_mode)) {
                    Some(FileType::Regular) => Type::File,
                    Some(FileType::Directory) => Type::Directory,
                    _ => Type::Symlink,
                };
                stat = Some(found);
                kind
            }
        };
        let is_directory = kind == Type::Directory;
        if self.patterns.decide(&self.context.path, is_directory) == Some(Effect::Exclude) {
            return Ok(());
        }
        self.context.monitor.entry(self.context.archive_path());
        if matches!(kind, Type::File | Type::Directory) {
            let file = self.open(name)?;
            let stat = fstat(&file).map_err(|errno| self.context.trouble("stat", errno))?;
            match FileType::of_mode(u64::from(stat.st_mode)) {
                Some(FileType::Regular) => self.regular_file(name, file, &stat),
                Some(FileType::Directory) => self.directory(name, file, &stat),
                // Replaced since the directory was read.
                _ => self.special(name, &stat),
            }
        } else {
            let stat = match stat {
                Some(stat) => stat,
                None => self.stat(name)?,
            };
            self.special(name, &stat)
        }
    }

    fn level(&self) -> Result<&Level, Error> {
        self.levels.last().ok_or(Error::Misuse("no directory is open"))
    }

    fn stat(&self, name: &CStr) -> Result<FileStat, Trouble> {
        let directory = self.level()?.directory.as_fd();
        fstatat(directory, name, AtFlags::AT_SYMLINK_NOFOLLOW)
            .map_err(|errno| self.context.trouble("stat", errno))
    }

    /// Open a regular file or directory. Never waits: should the name belong to a pipe by now, the
    /// flags make the call return at once.
    fn open(&self, name: &CStr) -> Result<OwnedFd, Trouble> {
        let directory = self.level()?.directory.as_fd();
        let flags = OFlag::O_RDONLY
            | OFlag::O_NOFOLLOW
            | OFlag::O_CLOEXEC
            | OFlag::O_NOCTTY
            | OFlag::O_NONBLOCK;
        match openat(directory, name, flags | OFlag::O_NOATIME, Mode::empty()) {
            // Only an owner may read without leaving a trace.
            Err(Errno::EPERM) => openat(directory, name, flags, Mode::empty()),
            result => result,
        }
        .map_err(|errno| self.context.trouble("open", errno))
    }

    /// What the file system of an open file supports.
    fn gates(&mut self, fd: BorrowedFd<'_>, device: u64) -> Result<Gates, Error> {
        match self.gates.entry(device) {
            Slot::Occupied(known) => Ok(*known.get()),
            Slot::Vacant(slot) => {
                let magic = file_system::magic(fd)
                    .map_err(|errno| self.context.file_error("find the file system of", errno))?;
                Ok(*slot.insert(Gates::of_magic(magic)))
            }
        }
    }

    fn read_metadata(&mut self, fd: BorrowedFd<'_>, stat: &FileStat) -> Result<Metadata, Error> {
        let mut gates = self.gates(fd, stat.st_dev)?;
        let metadata = self.context.read_metadata(fd, stat, &mut gates)?;
        self.gates.insert(stat.st_dev, gates);
        Ok(metadata)
    }

    fn regular_file(&mut self, name: &CStr, file: OwnedFd, stat: &FileStat) -> Result<(), Trouble> {
        let name = name.to_bytes();
        let key = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1
            && let Some((target_path, target)) = self.hardlinks.get(&key)
        {
            self.encoder.add_hardlink(name, target_path, *target)?;
            self.context.summary.hardlinks += 1;
            return Ok(self.catalog(name, CatalogKind::Hardlink)?);
        }
        let metadata = self.read_metadata(file.as_fd(), stat)?;
        let size = stat.st_size.unsigned_abs();
        if stat.st_size >= READ_AHEAD_BYTES_MIN {
            // Only a hint; where it is not understood nothing is lost.
            let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_SEQUENTIAL;
            let _ = nix::fcntl::posix_fadvise(&file, 0, 0, advice);
        }
        let monitor = self.context.monitor;
        let mut writer = self.encoder.begin_file(name, &metadata, size)?;
        let copied = writer.copy_from(&mut File::from(file), &mut |bytes| {
            monitor.content(bytes);
            !monitor.is_aborted()
        });
        let copied = match copied {
            Ok(copied) => copied,
            Err(CopyError::Source(source)) => {
                return Err(self.context.file_error("read", source).into());
            }
            Err(error) => return Err(error.into_error(name).into()),
        };
        writer.pad_with_zeros()?;
        let offset = writer.finish()?;
        if copied.missing_bytes > 0 {
            self.context.summary.changed_files += 1;
            let (path, missing_bytes) = (self.context.real_path(), copied.missing_bytes);
            monitor.warning(&Warning::Shrunk { path, missing_bytes });
        } else if copied.has_more {
            self.context.summary.changed_files += 1;
            monitor.warning(&Warning::Grown { path: self.context.real_path() });
        }
        self.context.summary.files += 1;
        self.context.summary.content_bytes += size;
        if stat.st_nlink > 1 {
            // Relative to the root, without the leading slash.
            let path = self.context.path.get(1..).unwrap_or_default().to_vec();
            // The format can't name a longer target; such a file is stored again under each name.
            if path.len() <= format::PATH_LEN_MAX {
                self.hardlinks.insert(key, (path, offset));
            }
        }
        Ok(self.catalog(name, CatalogKind::File { size, mtime: stat.st_mtime })?)
    }

    fn directory(
        &mut self,
        name: &CStr,
        directory: OwnedFd,
        stat: &FileStat,
    ) -> Result<(), Trouble> {
        let name = name.to_bytes();
        let metadata = self.read_metadata(directory.as_fd(), stat)?;
        let is_entered = self.level()?.device == stat.st_dev
            || self.is_mount_entered(directory.as_fd(), stat.st_dev)?;
        self.encoder.enter_directory(name, &metadata)?;
        if let Some(catalog) = &mut self.catalog {
            catalog.start_directory(name)?;
        }
        self.context.summary.directories += 1;
        if is_entered {
            self.push_level(directory, stat.st_dev)?;
        } else {
            self.context.summary.mount_points += 1;
            let path = self.context.real_path();
            self.context.monitor.warning(&Warning::MountPoint { path });
            self.leave_directory()?;
        }
        Ok(())
    }

    /// Whether the contents of a mount point belong into the archive.
    fn is_mount_entered(&mut self, fd: BorrowedFd<'_>, device: u64) -> Result<bool, Error> {
        if self.gates(fd, device)?.is_virtual() {
            return Ok(false);
        }
        Ok(match &self.context.options.file_systems {
            FileSystems::All => true,
            FileSystems::OfSource => device == self.root_device,
            FileSystems::Also(devices) => device == self.root_device || devices.contains(&device),
        })
    }

    /// Symbolic links, devices, pipes and sockets: never opened.
    fn special(&mut self, name: &CStr, stat: &FileStat) -> Result<(), Trouble> {
        let metadata = metadata::of_stat(stat);
        let options = self.context.options;
        let device = format::split_device(stat.st_rdev);
        let bytes = name.to_bytes();
        let kind = match metadata.file_type() {
            Some(FileType::Symlink) => {
                let directory = self.level()?.directory.as_fd();
                let target = readlinkat(directory, name).map_err(|errno| match errno {
                    Errno::EINVAL => self.context.trouble("read the link", Errno::ENOENT),
                    errno => self.context.trouble("read the link", errno),
                })?;
                self.encoder.add_symlink(bytes, &metadata, target.as_bytes())?;
                self.context.summary.symlinks += 1;
                return Ok(self.catalog(bytes, CatalogKind::Symlink)?);
            }
            Some(FileType::BlockDevice) if options.device_nodes => {
                self.encoder.add_device(bytes, &metadata, device.0, device.1)?;
                CatalogKind::BlockDevice
            }
            Some(FileType::CharDevice) if options.device_nodes => {
                self.encoder.add_device(bytes, &metadata, device.0, device.1)?;
                CatalogKind::CharDevice
            }
            Some(FileType::Fifo) if options.fifos => {
                self.encoder.add_fifo(bytes, &metadata)?;
                CatalogKind::Fifo
            }
            Some(FileType::Socket) if options.sockets => {
                self.encoder.add_socket(bytes, &metadata)?;
                CatalogKind::Socket
            }
            Some(FileType::Regular | FileType::Directory) => {
                // Replaced between reading the directory and asking: as good as vanished.
                return Err(self
                    .context
                    .trouble("archive, because it was replaced,", Errno::ESTALE));
            }
            Some(_) => return Ok(()),
            None => {
                let reason = "the file type is unknown";
                return Err(Error::Unstorable { name: self.context.real_path(), reason }.into());
            }
        };
        self.context.summary.specials += 1;
        Ok(self.catalog(bytes, kind)?)
    }

    fn catalog(&mut self, name: &[u8], kind: CatalogKind) -> Result<(), Error> {
        match &mut self.catalog {
            Some(catalog) => catalog.add(name, kind),
            None => Ok(()),
        }
    }

    /// Read the names of a directory that the encoder has entered, and its exclude file.
    fn push_level(&mut self, directory: OwnedFd, device: u64) -> Result<(), Error> {
        let read = Names::read(directory);
        let (names, directory) =
            read.map_err(|errno| self.context.file_error("read the directory", errno))?;
        self.open_entries += names.len();
        let entries_max = self.context.options.entries_max;
        if self.open_entries > entries_max {
            let path = self.context.real_path();
            return Err(Error::TooManyEntries { path, entries_max });
        }
        let patterns_len = self.patterns.len();
        if self.context.options.exclude_files && names.contains(EXCLUDE_FILE.to_bytes()) {
            self.read_exclude_file(directory.as_fd());
        }
        let path_len = self.context.path.len();
        self.levels.push(Level { directory, names, path_len, patterns_len, device });
        Ok(())
    }

    fn pop_level(&mut self) -> Result<(), Error> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        self.open_entries -= level.names.len();
        self.patterns.truncate(level.patterns_len);
        // The root is left by finishing the archive.
        if self.levels.is_empty() { Ok(()) } else { self.leave_directory() }
    }

    fn leave_directory(&mut self) -> Result<(), Error> {
        self.encoder.leave_directory()?;
        match &mut self.catalog {
            Some(catalog) => catalog.end_directory(),
            None => Ok(()),
        }
    }
}
