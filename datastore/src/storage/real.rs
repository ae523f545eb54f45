//! The storage of the operating system.
//!
//! When the process is root and the datastore belongs to somebody else (the reference's daemon runs
//! as its own user), everything new is given to the datastore's owner, or that daemon could not
//! read or collect what we wrote.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{
    DirBuilderExt, DirEntryExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown,
    lchown,
};
use std::path::Path;

use nix::dir::{Dir, Type};
use nix::fcntl::{AtFlags, OFlag, PosixFadviseAdvice, posix_fadvise};
use nix::sys::stat::{FileStat, Mode, SFlag, UtimensatFlags, fstatat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{UnlinkatFlags, unlinkat};

use super::{Entry, FilesystemHandle, Kind, Meta, ReadAt, Storage, StorageDir, StorageFile};

/// The file system of this machine.
#[derive(Debug, Clone)]
pub struct RealStorage {
    /// User and group for new files, if they must be given away.
    owner: Option<(u32, u32)>,
}

impl RealStorage {
    /// Storage for files below `base`, which must exist.
    pub fn new(base: &Path) -> io::Result<RealStorage> {
        Ok(RealStorage { owner: owner_for_new_files(base)? })
    }
}

/// Whom new files in the store at `base` are given to: the owner of its folder, if this process is
/// root and the owner is somebody else.
pub fn owner_for_new_files(base: &Path) -> io::Result<Option<(u32, u32)>> {
    let meta = fs::metadata(base)?;
    let (uid, gid) = (meta.uid(), meta.gid());
    let give_away = nix::unistd::geteuid().is_root() && (uid, gid) != (0, 0);
    Ok(give_away.then_some((uid, gid)))
}

impl From<fs::FileType> for Kind {
    fn from(kind: fs::FileType) -> Kind {
        if kind.is_file() {
            Kind::File
        } else if kind.is_dir() {
            Kind::Dir
        } else if kind.is_symlink() {
            Kind::Symlink
        } else {
            Kind::Other
        }
    }
}

impl ReadAt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buffer.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match FileExt::read_at(self, rest, offset + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }
}

struct RealFile(File);

impl StorageFile for RealFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_all()
    }
}

/// An open folder. The buffer for its names is only made when they are asked for: touching known
/// names in 65,536 folders needs none.
struct RealDir {
    fd: Option<OwnedFd>,
    dir: Option<Dir>,
}

impl RealDir {
    fn open(path: &Path) -> io::Result<RealDir> {
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC | OFlag::O_NOFOLLOW;
        let fd = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(RealDir { fd: Some(fd), dir: None })
    }

    fn fd(&self) -> io::Result<BorrowedFd<'_>> {
        let fd = self.fd.as_ref().map(AsFd::as_fd).or_else(|| Some(self.dir.as_ref()?.as_fd()));
        // Neither is there only after the system refused to read the folder.
        fd.ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }

    fn dir(&mut self) -> io::Result<&mut Dir> {
        if let Some(fd) = self.fd.take() {
            self.dir = Some(Dir::from_fd(fd)?);
        }
        self.dir.as_mut().ok_or_else(|| io::Error::from_raw_os_error(libc::EBADF))
    }
}

impl StorageDir for RealDir {
    fn list(&mut self) -> io::Result<Vec<Entry>> {
        let mut names = Vec::new();
        for entry in self.dir()?.iter() {
            let entry = entry?;
            let bytes = entry.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            let kind = entry.file_type().map(|kind| match kind {
                Type::File => Kind::File,
                Type::Directory => Kind::Dir,
                Type::Symlink => Kind::Symlink,
                _ => Kind::Other,
            });
            names.push((entry.file_name().to_owned(), kind, entry.ino()));
        }
        let mut entries = Vec::with_capacity(names.len());
        for (name, kind, inode) in names {
            // Some file systems do not say what a name stands for.
            let kind = match kind {
                Some(kind) => kind,
                None => {
                    let stat = fstatat(self.fd()?, name.as_c_str(), AtFlags::AT_SYMLINK_NOFOLLOW);
                    let Some(stat) = unless_gone(stat.map_err(io::Error::from))? else { continue };
                    kind_of(&stat)
                }
            };
            entries.push(Entry { name: name.into_string().ok(), kind, inode });
        }
        Ok(entries)
    }

    fn meta(&self, name: &str) -> io::Result<Meta> {
        let stat = fstatat(self.fd()?, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(Meta {
            kind: kind_of(&stat),
            len: u64::try_from(stat.st_size).unwrap_or(0),
            inode: stat.st_ino,
            device: stat.st_dev,
            atime: stat.st_atime,
            mtime: stat.st_mtime,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
        })
    }

    fn touch(&self, name: &str) -> io::Result<()> {
        let (now, leave) = (TimeSpec::UTIME_NOW, TimeSpec::UTIME_OMIT);
        utimensat(self.fd()?, name, &now, &leave, UtimensatFlags::NoFollowSymlink)?;
        Ok(())
    }

    fn remove_file(&self, name: &str) -> io::Result<()> {
        unlinkat(self.fd()?, name, UnlinkatFlags::NoRemoveDir)?;
        Ok(())
    }
}

/// What a look at one name of a listing gave; `None` if the name went away since it was listed. Some
/// file systems do not say with a name what it stands for, and then there is such a look. A name that
/// is gone is no error of the listing: "not found" would say of the whole folder that it is gone, and a
/// collector would take it that nothing in it needs any chunks.
fn unless_gone<T>(looked: io::Result<T>) -> io::Result<Option<T>> {
    match looked {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn kind_of(stat: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFREG => Kind::File,
        SFlag::S_IFDIR => Kind::Dir,
        SFlag::S_IFLNK => Kind::Symlink,
        _ => Kind::Other,
    }
}

impl Storage for RealStorage {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let mut file = open_regular(path)?;
        let len = file.metadata()?.len();
        if len > limit {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("it is {len} bytes long, {limit} are allowed"),
            ));
        }
        // The file may grow meanwhile; the limit still holds.
        let mut content = Vec::with_capacity(len as usize);
        Read::by_ref(&mut file).take(limit).read_to_end(&mut content)?;
        Ok(content)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        Ok(Box::new(open_regular(path)?))
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn StorageFile>> {
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
        // The umask may have taken bits away.
        if file.metadata()?.mode() & 0o7777 != mode {
            file.set_permissions(fs::Permissions::from_mode(mode))?;
        }
        if let Some((uid, gid)) = self.owner {
            fchown(&file, Some(uid), Some(gid))?;
        }
        Ok(Box::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::DirBuilder::new().mode(mode).create(path)?;
        if fs::symlink_metadata(path)?.mode() & 0o7777 != mode {
            fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        }
        if let Some((uid, gid)) = self.owner {
            lchown(path, Some(uid), Some(gid))?;
        }
        Ok(())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let Some(kind) = unless_gone(entry.file_type())? else { continue };
            entries.push(Entry {
                name: entry.file_name().into_string().ok(),
                kind: kind.into(),
                inode: entry.ino(),
            });
        }
        Ok(entries)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn StorageDir>> {
        Ok(Box::new(RealDir::open(path)?))
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        let meta = fs::symlink_metadata(path)?;
        Ok(Meta {
            kind: meta.file_type().into(),
            len: meta.len(),
            inode: meta.ino(),
            device: meta.dev(),
            atime: meta.atime(),
            mtime: meta.mtime(),
            mode: meta.mode() & 0o7777,
            uid: meta.uid(),
            gid: meta.gid(),
        })
    }

    fn touch(&self, path: &Path) -> io::Result<()> {
        utimensat(
            nix::fcntl::AT_FDCWD,
            path,
            &TimeSpec::UTIME_NOW,
            &TimeSpec::UTIME_OMIT,
            UtimensatFlags::NoFollowSymlink,
        )?;
        Ok(())
    }

    fn set_mode(&self, path: &Path, mode: u32) -> io::Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))
    }

    fn set_owner(&self, path: &Path, uid: u32, gid: u32) -> io::Result<()> {
        lchown(path, Some(uid), Some(gid))
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn open_filesystem(&self, path: &Path) -> io::Result<Box<dyn FilesystemHandle>> {
        Ok(Box::new(RealFilesystem(File::open(path)?)))
    }

    fn forget_cached(&self, path: &Path) -> io::Result<()> {
        // Drops clean pages only, and that is what is wanted: dirty ones will be written by the sync at
        // the end of the session, which is told if that fails.
        let file = open_regular(path)?;
        posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED)?;
        Ok(())
    }
}

/// A folder of the file system; any descriptor does.
struct RealFilesystem(File);

impl FilesystemHandle for RealFilesystem {
    fn sync(&self) -> io::Result<()> {
        // SAFETY: syncfs takes a descriptor by number and touches no memory of ours; the file is open
        // as long as `self` lives.
        let code = unsafe { libc::syncfs(self.0.as_raw_fd()) };
        if code == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

/// Opens a regular file for reading. `O_NONBLOCK` keeps a FIFO that somebody put in the store from
/// hanging us; whatever is no regular file is refused.
fn open_regular(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
    }
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// File systems that do not tell kinds are rare on machines that run tests, so what a listing makes
    /// of a name that vanishes is tried by itself.
    #[test]
    fn a_name_that_vanishes_is_left_out_of_a_listing_and_does_not_end_it() {
        let errno = |errno| Err::<(), _>(io::Error::from_raw_os_error(errno));
        assert!(unless_gone(errno(libc::ENOENT)).unwrap().is_none());
        assert!(unless_gone(Ok(())).unwrap().is_some());
        assert!(unless_gone(errno(libc::EIO)).is_err());
        assert!(unless_gone(errno(libc::EACCES)).is_err());
    }
}
