//! The folders of chunks.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};

use super::names::{self, ChunkFile};
use super::repair::{Soundness, soundness};
use super::{Checker, Kind, Remedy, Repair, Severity};
use crate::chunk_store::CHUNKS_DIR_MODE;
use crate::digest::Digest;
use crate::error::Result;
use crate::storage::{Kind as EntryKind, Meta};

impl Checker<'_> {
    /// Everything in `.chunks`.
    pub(super) fn chunk_folders(&mut self) -> Result<()> {
        let dir = self.store.chunks().dir().to_path_buf();
        if let Some(meta) = self.meta(&dir) {
            self.exact_mode(&dir, &meta, CHUNKS_DIR_MODE);
            self.ownership(&dir, &meta);
        }
        let Some(entries) = self.list(&dir)? else { return Ok(()) };
        let mut named: HashMap<u16, EntryKind> = HashMap::new();
        let mut odd = Vec::new();
        for entry in entries {
            match entry.name.as_deref().and_then(names::chunk_folder) {
                Some((number, true)) => {
                    named.insert(number, entry.kind);
                }
                _ => odd.push(entry),
            }
        }
        // Missing folders come first: chunks may be moved into them.
        for number in 0..=u16::MAX {
            let path = dir.join(format!("{number:04x}"));
            match named.get(&number) {
                Some(EntryKind::Dir) => {}
                Some(kind) => self.wrong_kind(&path, *kind, "a folder of chunks")?,
                None if self.storage.meta(&path).is_err() => {
                    let detail = "a folder of chunks is missing: no chunk can be stored in it";
                    let remedy = Remedy::Repair(Repair::CreateChunkFolder { path: path.clone() });
                    self.report(Kind::ChunkFolderMissing, Severity::Error, &path, detail, remedy);
                }
                None => {}
            }
        }
        for entry in odd {
            let path = names::join(&dir, &entry);
            match entry.name.as_deref().and_then(names::chunk_folder) {
                Some(_) if entry.kind == EntryKind::Dir => {
                    self.chunk_folder(&path)?;
                    let detail = "a folder of chunks in upper case: nothing looks into it";
                    let remedy = Remedy::Repair(Repair::RemoveEmptyFolder { path: path.clone() });
                    self.report(Kind::Stray, Severity::Warning, &path, detail, remedy);
                }
                _ => self.stray(&path, entry.kind)?,
            }
        }
        for number in 0..=u16::MAX {
            if named.get(&number) == Some(&EntryKind::Dir) {
                let path = dir.join(format!("{number:04x}"));
                if let Some(meta) = self.meta(&path) {
                    self.exact_mode(&path, &meta, CHUNKS_DIR_MODE);
                    self.ownership(&path, &meta);
                }
                self.chunk_folder(&path)?;
            }
        }
        Ok(())
    }

    fn chunk_folder(&mut self, dir: &Path) -> Result<()> {
        self.check_abort()?;
        let opened = self.storage.open_dir(dir).and_then(|mut open| Ok((open.list()?, open)));
        let (mut entries, open) = match opened {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(error) => {
                self.unreadable(dir, &error);
                return Ok(());
            }
        };
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        let mut foreign = 0;
        for entry in entries {
            let path = names::join(dir, &entry);
            let Some(name) = &entry.name else {
                self.stray(&path, entry.kind)?;
                continue;
            };
            let what = names::chunk_file(name);
            if what == ChunkFile::Unknown {
                self.stray(&path, entry.kind)?;
                continue;
            }
            let meta = match open.meta(name) {
                Ok(meta) => meta,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => {
                    self.unreadable(&path, &error);
                    continue;
                }
            };
            if meta.kind != EntryKind::File {
                self.wrong_kind(&path, meta.kind, "a chunk")?;
                continue;
            }
            foreign += u64::from(self.is_foreign(&meta));
            match what {
                ChunkFile::Chunk(digest) => self.chunk(&path, &digest, &meta),
                ChunkFile::Bad(digest) => self.bad_chunk(&path, &digest),
                ChunkFile::Temporary => self.temporary(&path),
                ChunkFile::ObjectStoreMark | ChunkFile::Unknown => {
                    let detail = "a mark of a store that is the cache of an object store";
                    let reason = "such a store is the reference's; do not repair it here";
                    let remedy = Remedy::ByHand(reason.to_owned());
                    self.report(Kind::ObjectStoreMark, Severity::Info, &path, detail, remedy);
                }
            }
        }
        self.foreign_files(dir, foreign);
        Ok(())
    }

    fn chunk(&mut self, path: &Path, digest: &Digest, meta: &Meta) {
        let place = self.store.chunks().path(digest);
        if path == place {
            if meta.len == 0 {
                let detail = "an empty file in the place of a chunk";
                let remedy = Remedy::Repair(Repair::SetChunkAside { digest: *digest });
                self.report(Kind::EmptyChunk, Severity::Error, path, detail, remedy);
            }
            return;
        }
        let (severity, remedy) = match self.storage.meta(&place) {
            Ok(_) => (
                Severity::Warning,
                Remedy::ByHand(
                    "the right place is taken; garbage collection removes this one".into(),
                ),
            ),
            Err(_) => self.move_to_place(path, digest, "garbage collection removes it"),
        };
        let detail = "a chunk where nothing looks for it".to_owned();
        self.report(Kind::MisfiledChunk, severity, path, detail, remedy);
    }

    /// A chunk's right place is free: whether this file may go there.
    fn move_to_place(&self, path: &Path, digest: &Digest, else_what: &str) -> (Severity, Remedy) {
        match soundness(self.storage, path, digest) {
            Soundness::Proven | Soundness::Whole => {
                let repair = Repair::MoveChunk { from: path.to_path_buf(), digest: *digest };
                (Severity::Error, Remedy::Repair(repair))
            }
            Soundness::Damaged => {
                let reason = format!("its content is not what its name says; {else_what}");
                (Severity::Warning, Remedy::ByHand(reason))
            }
        }
    }

    /// A chunk that was set aside. What is found whole after all gets its name back: the disk or the
    /// memory had a bad moment, or a person repaired it. Only content that proves itself counts,
    /// which encrypted content does not without its key.
    fn bad_chunk(&mut self, path: &Path, digest: &Digest) {
        let place: PathBuf = self.store.chunks().path(digest);
        let is_missing = self.storage.meta(&place).is_err();
        if is_missing && soundness(self.storage, path, digest) == Soundness::Proven {
            let detail = "a chunk was set aside as damaged, but it is sound";
            let repair = Repair::MoveChunk { from: path.to_path_buf(), digest: *digest };
            let remedy = Remedy::Repair(repair);
            self.report(Kind::BadChunk, Severity::Error, path, detail, remedy);
            return;
        }
        let (detail, reason) = if is_missing {
            (
                "a damaged chunk, set aside; it was not stored again so far",
                "a new backup of its content heals the snapshots that need it",
            )
        } else {
            (
                "a damaged chunk, set aside; it was stored again meanwhile",
                "garbage collection removes it",
            )
        };
        let remedy = Remedy::ByHand(reason.to_owned());
        self.report(Kind::BadChunk, Severity::Info, path, detail, remedy);
    }
}
