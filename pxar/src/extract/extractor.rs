//! Making one entry after the other below the target folder, with descriptors of the directories that
//! are open.
//!
//! The parent's header argues why nothing leaves the target folder; the code that it speaks of is here
//! and in `place`.

use std::collections::hash_map::RandomState;
use std::ffi::CString;
use std::fs::{DirBuilder, File};
use std::hash::BuildHasher;
use std::io::BufRead;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, open, openat};
use nix::sys::stat::{Mode, SFlag, fstat, fstatat, mknodat};
use nix::unistd::{UnlinkatFlags, linkat, symlinkat, unlinkat};

use super::options::{Options, Summary};
use super::place::{
    DIRECTORY_MODE, FILE_MODE, OpenDirectory, create_directory, create_file, inside_of,
    make_replacing, of_existing,
};
use super::reporter::Reporter;
use super::restore::{OpenEntry, Surroundings};
use super::sparse::SparseWriter;
use crate::entry::EntryKind;
use crate::error::{Error, path_of};
use crate::exclude::Effect;
use crate::format;
use crate::metadata::{FileType, Metadata};
use crate::monitor::{Monitor, Warning};

/// A directory of the archive that is being restored.
struct Level {
    name: CString,
    metadata: Metadata,
    /// `None` until something in it is to be restored.
    directory: Option<OpenDirectory>,
    /// It could not be created, which was reported: nothing below it can be.
    is_failed: bool,
    is_selected: bool,
    path_len: usize,
}

/// A regular file that was created: enough to recognise it as the target of a hardlink.
struct CreatedFile {
    offset: u64,
    path_hash: u64,
}

/// An archive on its way into the target folder, entry by entry.
pub(super) struct Extractor<'a> {
    pub(super) reporter: Reporter<'a>,
    target: &'a Path,
    levels: Vec<Level>,
    /// In ascending order of offsets, as the archive is.
    created: Vec<CreatedFile>,
    /// Keyed at random, so that no archive can prepare paths of equal hashes.
    hasher: RandomState,
}

impl<'a> Extractor<'a> {
    pub(super) fn open(
        target: &'a Path,
        options: &'a Options,
        monitor: &'a dyn Monitor,
    ) -> Result<Self, Error> {
        let reporter = Reporter { options, monitor, summary: Summary::default(), path: Vec::new() };
        let (levels, created) = (Vec::new(), Vec::new());
        Ok(Self { reporter, target, levels, created, hasher: RandomState::new() })
    }

    pub(super) fn set_path(&mut self, path: &[u8]) {
        self.reporter.path.clear();
        self.reporter.path.extend_from_slice(path);
    }

    /// Whether the patterns select the current entry.
    pub(super) fn is_selected(&self, is_directory: bool) -> bool {
        let patterns = &self.reporter.options.patterns;
        if patterns.is_empty() {
            return true;
        }
        match patterns.decide(&self.reporter.path, is_directory) {
            Some(effect) => effect == Effect::Include,
            None => self.levels.last().is_some_and(|level| level.is_selected),
        }
    }

    fn path_hash(&self, relative: &[u8]) -> u64 {
        self.hasher.hash_one(relative)
    }

    /// Whether the file at this offset and path (relative to the root) was created here.
    pub(super) fn is_created(&self, offset: u64, relative: &[u8]) -> bool {
        let hash = self.path_hash(relative);
        let found = self.created.binary_search_by_key(&offset, |file| file.offset);
        found.ok().and_then(|index| self.created.get(index)).is_some_and(|f| f.path_hash == hash)
    }

    /// Restore the current entry, or note a directory until something in it is selected.
    pub(super) fn entry(
        &mut self,
        offset: u64,
        metadata: &Metadata,
        kind: &EntryKind,
        content: &mut dyn BufRead,
    ) -> Result<(), Error> {
        if self.reporter.monitor.is_aborted() {
            return Err(Error::Aborted);
        }
        let is_directory = *kind == EntryKind::Directory;
        if self.levels.is_empty() {
            return self.open_target(metadata);
        }
        let is_selected = self.is_selected(is_directory);
        if is_directory {
            self.enter_directory(metadata, is_selected)
        } else if is_selected {
            self.leaf(offset, metadata, kind, content)
        } else {
            Ok(())
        }
    }

    /// Open the target folder, creating it if it is missing.
    fn open_target(&mut self, metadata: &Metadata) -> Result<(), Error> {
        let target = self.target.as_os_str().as_bytes();
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let mut is_new = false;
        let fd = match open(self.target, flags, Mode::empty()) {
            Err(Errno::ENOENT) => {
                let result =
                    DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(self.target);
                result.map_err(|error| Error::file("create the target folder", target, error))?;
                is_new = true;
                open(self.target, flags, Mode::empty())
            }
            result => result,
        }
        .map_err(|errno| Error::file("open the target folder", target, errno))?;
        let stat =
            fstat(&fd).map_err(|errno| Error::file("stat the target folder", target, errno))?;
        // A selection restored into a folder that has its own life leaves that folder's own metadata
        // alone.
        let patterns = &self.reporter.options.patterns;
        let directory = OpenDirectory {
            outside: of_existing(&stat),
            inside: inside_of(&fd, &stat),
            fd,
            gets_metadata: is_new || patterns.is_empty(),
        };
        let is_selected =
            patterns.is_empty() || patterns.decide(b"/", true) == Some(Effect::Include);
        self.levels.push(Level {
            name: CString::default(),
            metadata: metadata.clone(),
            directory: Some(directory),
            is_failed: false,
            is_selected,
            path_len: 0,
        });
        Ok(())
    }

    fn enter_directory(&mut self, metadata: &Metadata, is_selected: bool) -> Result<(), Error> {
        let name = file_name(&self.reporter.path)?;
        let is_failed = self.levels.last().is_some_and(|level| level.is_failed);
        self.levels.push(Level {
            name,
            metadata: metadata.clone(),
            directory: None,
            is_failed,
            is_selected,
            path_len: self.reporter.path.len(),
        });
        if !is_selected {
            return Ok(());
        }
        self.reporter.monitor.entry(&self.reporter.path);
        self.open_levels().map(drop)
    }

    /// Create the directories down to the current level that do not exist yet. False if that failed
    /// and was reported.
    fn open_levels(&mut self) -> Result<bool, Error> {
        let first_missing = self.levels.iter().rposition(|level| level.directory.is_some());
        for index in first_missing.map_or(0, |index| index + 1)..self.levels.len() {
            let (above, below) = self.levels.split_at_mut(index);
            let (Some(level), Some(parent)) = (below.first_mut(), above.last()) else { break };
            if level.is_failed {
                return Ok(false);
            }
            let Some(parent) = &parent.directory else { return Ok(false) };
            let path = self.reporter.path.get(..level.path_len).unwrap_or_default();
            match create_directory(parent, &level.name, path, self.reporter.options) {
                Ok(directory) => {
                    level.directory = Some(directory);
                    self.reporter.summary.directories += 1;
                }
                Err(error) => {
                    below.iter_mut().for_each(|level| level.is_failed = true);
                    self.reporter.fail(error)?;
                    return Ok(false);
                }
            }
        }
        Ok(self.levels.last().is_some_and(|level| level.directory.is_some()))
    }

    pub(super) fn leave_directory(&mut self, path: &[u8]) -> Result<(), Error> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        let Some(directory) = &level.directory else { return Ok(()) };
        if !directory.gets_metadata {
            return Ok(());
        }
        self.set_path(if path.is_empty() { b"/" } else { path });
        self.reporter.apply(&OpenEntry {
            fd: directory.fd.as_fd(),
            metadata: &level.metadata,
            is_directory: true,
            surroundings: directory.outside,
            flags_set: 0,
        })
    }

    /// Restore an entry that is no directory.
    fn leaf(
        &mut self,
        offset: u64,
        metadata: &Metadata,
        kind: &EntryKind,
        content: &mut dyn BufRead,
    ) -> Result<(), Error> {
        let options = self.reporter.options;
        match kind {
            EntryKind::Device { .. } if !options.device_nodes => return Ok(()),
            EntryKind::Fifo if !options.fifos => return Ok(()),
            EntryKind::Socket if !options.sockets => return Ok(()),
            _ => {}
        }
        if !self.open_levels()? {
            return Ok(());
        }
        self.reporter.monitor.entry(&self.reporter.path);
        let result = match kind {
            EntryKind::File { size, .. } => self.regular_file(offset, metadata, *size, content),
            EntryKind::Symlink { target } => self.symlink(metadata, target),
            EntryKind::Hardlink { target, target_offset } => self.hardlink(target, *target_offset),
            EntryKind::Device { major, minor } => self.special(metadata, Some((*major, *minor))),
            EntryKind::Fifo | EntryKind::Socket => self.special(metadata, None),
            EntryKind::Directory => Ok(()),
        };
        match result {
            Err(error)
                if options.ignore_device_errors
                    && matches!(kind, EntryKind::Device { .. })
                    && !error.is_aborted() =>
            {
                self.reporter.monitor.warning(&Warning::Failed(error));
                Ok(())
            }
            Err(error) => self.reporter.fail(error),
            Ok(()) => Ok(()),
        }
    }

    /// Descriptor of the current directory and what entries get in it.
    fn parent(&self) -> Result<(BorrowedFd<'_>, Surroundings), Error> {
        let directory = self.levels.last().and_then(|level| level.directory.as_ref());
        let directory = directory.ok_or(Error::Misuse("no directory is open"))?;
        Ok((directory.fd.as_fd(), directory.inside))
    }

    fn regular_file(
        &mut self,
        offset: u64,
        metadata: &Metadata,
        size: u64,
        content: &mut dyn BufRead,
    ) -> Result<(), Error> {
        let name = file_name(&self.reporter.path)?;
        let directory = self.levels.last().and_then(|level| level.directory.as_ref());
        let directory = directory.ok_or(Error::Misuse("no directory is open"))?;
        let (parent, surroundings) = (directory.fd.as_fd(), directory.inside);
        let reporter = &mut self.reporter;
        let file = create_file(parent, &name, &reporter.path, reporter.options)?;
        let result = (|| {
            let flags_set = reporter.apply_early_flags(file.as_fd(), metadata)?;
            write_content(&file, size, content, reporter)?;
            Ok(flags_set)
        })();
        let flags_set = match result {
            Ok(flags_set) => flags_set,
            Err(error) => {
                // Half a file under the right name would pass for the whole one.
                let _ = unlinkat(parent, &*name, UnlinkatFlags::NoRemoveDir);
                return Err(error);
            }
        };
        reporter.summary.files += 1;
        reporter.summary.content_bytes += size;
        let relative = reporter.path.get(1..).unwrap_or_default();
        let path_hash = self.hasher.hash_one(relative);
        self.created.push(CreatedFile { offset, path_hash });
        let fd = file.as_fd();
        reporter.apply(&OpenEntry { fd, metadata, is_directory: false, surroundings, flags_set })
    }

    fn symlink(&mut self, metadata: &Metadata, target: &[u8]) -> Result<(), Error> {
        let name = file_name(&self.reporter.path)?;
        let (parent, surroundings) = self.parent()?;
        let make = || symlinkat(target, parent, &*name);
        let overwrite = self.reporter.options.overwrite_symlinks;
        make_replacing(&make, parent, &name, &self.reporter.path, overwrite, "create the link")?;
        self.reporter.summary.symlinks += 1;
        let directory = self.levels.last().and_then(|level| level.directory.as_ref());
        let directory = directory.ok_or(Error::Misuse("no directory is open"))?;
        let parent = directory.fd.as_fd();
        self.reporter.apply_by_name(parent, &name, metadata, surroundings, false)
    }

    fn hardlink(&mut self, target: &[u8], target_offset: u64) -> Result<(), Error> {
        let name = file_name(&self.reporter.path)?;
        let not_created = || Error::HardlinkTarget {
            path: path_of(&self.reporter.path),
            target: path_of(target),
        };
        if format::invalid_link_path_reason(target).is_some()
            || !self.is_created(target_offset, target)
        {
            return Err(not_created());
        }
        let root = self.levels.first().and_then(|level| level.directory.as_ref());
        let root = root.ok_or(Error::Misuse("no directory is open"))?;
        let failed = |errno| Error::file("find the target of the hardlink", target, errno);
        let mut components = target.split(|byte| *byte == b'/');
        let last = c_string(components.next_back().unwrap_or_default())?;
        let mut opened: Option<OwnedFd> = None;
        for component in components {
            let above = opened.as_ref().map_or(root.fd.as_fd(), |fd| fd.as_fd());
            let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            let component = c_string(component)?;
            opened = Some(openat(above, &*component, flags, Mode::empty()).map_err(failed)?);
        }
        let target_parent = opened.as_ref().map_or(root.fd.as_fd(), |fd| fd.as_fd());
        let stat = fstatat(target_parent, &*last, AtFlags::AT_SYMLINK_NOFOLLOW).map_err(failed)?;
        if stat.st_mode & libc::S_IFMT != libc::S_IFREG {
            return Err(not_created());
        }
        let (parent, _) = self.parent()?;
        let make = || linkat(target_parent, &*last, parent, &*name, AtFlags::empty());
        let overwrite = self.reporter.options.overwrite_hardlinks;
        make_replacing(&make, parent, &name, &self.reporter.path, overwrite, "create the link")?;
        self.reporter.summary.hardlinks += 1;
        Ok(())
    }

    fn special(&mut self, metadata: &Metadata, device: Option<(u64, u64)>) -> Result<(), Error> {
        let name = file_name(&self.reporter.path)?;
        let path = &self.reporter.path;
        let device = match device {
            None => 0,
            Some((major, minor)) => format::join_device(major, minor)
                .ok_or_else(|| Error::file("create the device", path, Errno::EINVAL))?,
        };
        let kind = match metadata.file_type() {
            Some(FileType::BlockDevice) => SFlag::S_IFBLK,
            Some(FileType::CharDevice) => SFlag::S_IFCHR,
            Some(FileType::Fifo) => SFlag::S_IFIFO,
            Some(FileType::Socket) => SFlag::S_IFSOCK,
            _ => return Err(Error::Misuse("the entry is no device, pipe or socket")),
        };
        let directory = self.levels.last().and_then(|level| level.directory.as_ref());
        let directory = directory.ok_or(Error::Misuse("no directory is open"))?;
        let (parent, surroundings) = (directory.fd.as_fd(), directory.inside);
        // Not open to others before it has its owner.
        let mode = match self.reporter.options.permissions {
            true => metadata.permissions() & FILE_MODE,
            false => metadata.permissions() & 0o777,
        };
        let make = || mknodat(parent, &*name, kind, Mode::from_bits_truncate(mode), device);
        make_replacing(&make, parent, &name, path, false, "create the special file")?;
        self.reporter.summary.specials += 1;
        self.reporter.apply_by_name(parent, &name, metadata, surroundings, true)
    }
}

/// Last component of an archive path, once more checked to be one.
fn file_name(path: &[u8]) -> Result<CString, Error> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    match format::invalid_name_reason(name) {
        None => c_string(name),
        Some(reason) => Err(Error::InvalidName { name: path_of(name), reason }),
    }
}

fn c_string(name: &[u8]) -> Result<CString, Error> {
    let reason = "contains a NUL byte";
    CString::new(name).map_err(|_| Error::InvalidName { name: path_of(name), reason })
}

fn write_content(
    file: &File,
    size: u64,
    content: &mut dyn BufRead,
    reporter: &Reporter<'_>,
) -> Result<(), Error> {
    let path = &reporter.path;
    let mut writer = SparseWriter::new(file);
    loop {
        let piece = content.fill_buf().map_err(|error| match error.downcast::<Error>() {
            Ok(error) => error,
            Err(error) => Error::file("read the content of", path, error),
        })?;
        if piece.is_empty() {
            break;
        }
        let len = piece.len();
        writer.write(piece).map_err(|error| Error::file("write", path, error))?;
        content.consume(len);
        reporter.monitor.content(len as u64);
        if reporter.monitor.is_aborted() {
            return Err(Error::Aborted);
        }
    }
    let found = writer.finish().map_err(|error| Error::file("write", path, error))?;
    if found == size {
        Ok(())
    } else {
        Err(Error::ContentSize { path: path_of(path), expected: size, found })
    }
}
