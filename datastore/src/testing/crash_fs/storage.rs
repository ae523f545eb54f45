//! The file system as a [`Storage`]: its calls and what they leave open.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::image::{Inode, Node};
use super::journal::{self, Change};
use super::{CallKind, CrashFs, errno, now};
use crate::storage::{
    Entry, FilesystemHandle, Kind, Meta, ReadAt, Storage, StorageDir, StorageFile,
};

impl Storage for CrashFs {
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        let inner = self.call(CallKind::Read, path)?;
        let content = inner.image.file(self.file_inode(&inner, path)?)?.content;
        if content.len() as u64 > limit {
            let why = format!("it is {} bytes long, {limit} are allowed", content.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(content.to_vec())
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn ReadAt>> {
        let inner = self.call(CallKind::Open, path)?;
        let file = self.file_inode(&inner, path)?;
        Ok(Box::new(OpenFile { fs: self.clone(), file, path: path.to_path_buf(), position: 0 }))
    }

    fn create_new(&self, path: &Path, mode: u32) -> io::Result<Box<dyn StorageFile>> {
        let file = self.make(path, Node::file(mode, now()), CallKind::Create)?;
        Ok(Box::new(OpenFile { fs: self.clone(), file, path: path.to_path_buf(), position: 0 }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.call(CallKind::Rename, from)?;
        let (from_dir, from_name) = self.place(&inner, from)?;
        let (to_dir, to_name) = self.place(&inner, to)?;
        let inode = inner.image.lookup(from_dir, &from_name)?.ok_or(io::ErrorKind::NotFound)?;
        let is_dir = inner.image.node(inode)?.kind() == Kind::Dir;
        if let Some(target) = inner.image.lookup(to_dir, &to_name)? {
            if target == inode {
                return Ok(());
            }
            match (is_dir, inner.image.node(target)?.kind() == Kind::Dir) {
                (false, true) => return Err(errno(libc::EISDIR)),
                (true, false) => return Err(errno(libc::ENOTDIR)),
                (true, true) if !inner.image.is_empty_dir(target)? => {
                    return Err(errno(libc::ENOTEMPTY));
                }
                _ => {}
            }
        }
        let names = vec![(from_dir, from_name, None), (to_dir, to_name, Some(inode))];
        inner.change_names(CallKind::Rename, to, names, None);
        Ok(())
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.remove(path, CallKind::RemoveFile)
    }

    fn remove_dir(&self, path: &Path) -> io::Result<()> {
        self.remove(path, CallKind::RemoveDir)
    }

    fn create_dir(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.make(path, Node::dir(mode), CallKind::CreateDir).map(|_| ())
    }

    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        let inner = self.call(CallKind::List, path)?;
        inner.list(inner.resolve(&self.root, path)?)
    }

    fn open_dir(&self, path: &Path) -> io::Result<Box<dyn StorageDir>> {
        let inner = self.call(CallKind::OpenDir, path)?;
        let dir = inner.resolve(&self.root, path)?;
        if inner.sparse && inner.image.is_unused_chunk_dir(dir) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if inner.image.node(dir)?.kind() != Kind::Dir {
            return Err(errno(libc::ENOTDIR));
        }
        Ok(Box::new(OpenDir { fs: self.clone(), path: path.to_path_buf() }))
    }

    fn meta(&self, path: &Path) -> io::Result<Meta> {
        let inner = self.call(CallKind::Meta, path)?;
        inner.meta(inner.resolve(&self.root, path)?)
    }

    fn touch(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.call(CallKind::Touch, path)?;
        let inode = inner.resolve(&self.root, path)?;
        inner.touch(inode, path);
        Ok(())
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let dir = inner.resolve(&self.root, path)?;
        inner.sync(CallKind::SyncDir, path, Change::SyncDir(dir))
    }

    fn open_filesystem(&self, path: &Path) -> io::Result<Box<dyn FilesystemHandle>> {
        let inner = self.call(CallKind::OpenFilesystem, path)?;
        inner.resolve(&self.root, path)?;
        // What nobody was told of yet, the newcomer is told of.
        let told = Mutex::new(inner.lost_writes_told);
        Ok(Box::new(OpenFilesystem { fs: self.clone(), path: path.to_path_buf(), told }))
    }

    fn forget_cached(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.call(CallKind::Open, path)?;
        let file = self.file_inode(&inner, path)?;
        // What could not be written back is clean to the system, and goes; what was not written back yet
        // is dirty, and stays.
        if let Some(content) = inner.journal.content_without_doomed(file) {
            inner.image.edit_file(file, |node| node.content = content);
        }
        Ok(())
    }
}

struct OpenFile {
    fs: CrashFs,
    file: Inode,
    path: PathBuf,
    position: u64,
}

impl OpenFile {
    fn put(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut inner = self.fs.inner();
        let result = inner.count(CallKind::Write, &self.path);
        let done = match &result {
            Err(fault) if fault.short => bytes.get(..bytes.len() / 2).unwrap_or_default(),
            Err(_) => &[],
            Ok(()) => bytes,
        };
        if !done.is_empty() {
            let now = now();
            inner.image.edit_file(self.file, |file| {
                journal::write(Arc::make_mut(&mut file.content), offset, done);
                file.mtime = now;
            });
            let what = format!("Write {} bytes to {}", done.len(), self.path.display());
            let change = Change::Write { file: self.file, offset, bytes: done.into(), now };
            inner.note(what, change);
        }
        result.map_err(|fault| fault.error())
    }
}

impl StorageFile for OpenFile {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes, self.position)?;
        self.position += bytes.len() as u64;
        Ok(())
    }

    fn write_at(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.put(bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.fs.inner();
        inner.sync(CallKind::SyncFile, &self.path, Change::SyncFile(self.file))?;
        if inner.failed_files.remove(&self.file) { Err(errno(libc::EIO)) } else { Ok(()) }
    }
}

impl ReadAt for OpenFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let inner = self.fs.call(CallKind::Read, &self.path)?;
        let content = inner.image.file(self.file)?.content;
        let rest = usize::try_from(offset).ok().and_then(|start| content.get(start..));
        let rest = rest.unwrap_or_default();
        let count = rest.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(rest) {
            *to = *from;
        }
        Ok(count)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.fs.call(CallKind::Meta, &self.path)?.image.file(self.file)?.content.len() as u64)
    }
}

struct OpenDir {
    fs: CrashFs,
    path: PathBuf,
}

impl StorageDir for OpenDir {
    fn list(&mut self) -> io::Result<Vec<Entry>> {
        Storage::list(&self.fs, &self.path)
    }

    fn meta(&self, name: &str) -> io::Result<Meta> {
        Storage::meta(&self.fs, &self.path.join(name))
    }

    fn touch(&self, name: &str) -> io::Result<()> {
        Storage::touch(&self.fs, &self.path.join(name))
    }

    fn remove_file(&self, name: &str) -> io::Result<()> {
        Storage::remove_file(&self.fs, &self.path.join(name))
    }
}

struct OpenFilesystem {
    fs: CrashFs,
    path: PathBuf,
    /// Lost writes that this descriptor was told of.
    told: Mutex<u64>,
}

impl FilesystemHandle for OpenFilesystem {
    fn sync(&self) -> io::Result<()> {
        let mut inner = self.fs.inner();
        inner.sync(CallKind::SyncFilesystem, &self.path, Change::SyncAll)?;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told < inner.lost_writes {
            *told = inner.lost_writes;
            inner.lost_writes_told = inner.lost_writes;
            return Err(errno(libc::EIO));
        }
        Ok(())
    }
}
