//! The chunks that the committed part of a log lists, wherever they are: in its index, or in memory
//! where there is none. An index that turns out to be damaged while it is asked is made anew from
//! the log, and the question asked again; nobody notices.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{PoisonError, RwLock};

use datastore::Digest;
use uuid::Uuid;

use super::content::{CatalogContent, ChunkMaps};
use super::index::{BuildError, Builder, ChunkIndex};
use super::log::read_log;
use crate::error::{Error, IoResultExt, Result};
use crate::media::inventory::MediaId;
use crate::media::state::StateDir;

/// Where they are.
#[derive(Debug, Default)]
enum Covered {
    /// There are none.
    #[default]
    Nothing,
    Index(Box<ChunkIndex>),
    /// An index could not be had.
    Memory(ChunkMaps),
}

/// The chunks of the first part of a log.
#[derive(Debug)]
pub(super) struct CoveredChunks {
    log_path: PathBuf,
    index_path: PathBuf,
    media: MediaId,
    covered: RwLock<Covered>,
}

impl CoveredChunks {
    /// None yet.
    pub fn nothing(state: &StateDir, media: &MediaId) -> CoveredChunks {
        CoveredChunks {
            log_path: state.catalog_file(&media.label.uuid),
            index_path: state.catalog_index_file(&media.label.uuid),
            media: media.clone(),
            covered: RwLock::default(),
        }
    }

    /// From now on those of an index.
    pub fn set_index(&mut self, index: ChunkIndex) {
        *self.covered.get_mut().unwrap_or_else(PoisonError::into_inner) =
            Covered::Index(Box::new(index));
    }

    /// Tape file of a chunk.
    pub fn find(&self, store: &str, digest: &Digest) -> Result<Option<u64>> {
        self.ask(|covered| match covered {
            Covered::Nothing => Ok(None),
            Covered::Index(index) => index.find(store, digest).map_err(|_| index.build()),
            Covered::Memory(chunks) => {
                Ok(chunks.get(store).and_then(|chunks| chunks.get(digest)).copied())
            }
        })
    }

    /// Calls `each` once for every chunk of a datastore.
    pub fn each(&self, store: &str, each: &mut dyn FnMut(&Digest, u64)) -> Result<()> {
        // An index that is made anew has the same chunks in the same order. One in memory has not, but
        // then those that were told are left out by their digests.
        let mut told = 0u64;
        let mut last: Option<Digest> = None;
        self.ask(|covered| match covered {
            Covered::Nothing => Ok(()),
            Covered::Index(index) => {
                let skip = told;
                let mut tell = |digest: &Digest, file_number| {
                    told += 1;
                    last = Some(*digest);
                    each(digest, file_number);
                };
                index.each(store, skip, &mut tell).map_err(|_| index.build())
            }
            Covered::Memory(chunks) => {
                for (digest, file_number) in chunks.get(store).into_iter().flatten() {
                    if last.is_none_or(|last| *digest > last) {
                        each(digest, *file_number);
                    }
                }
                Ok(())
            }
        })
    }

    /// Asks, and once more if what was asked had to be made anew. The question fails with the making
    /// of the index that is damaged.
    fn ask<T>(&self, mut question: impl FnMut(&Covered) -> Result<T, Uuid>) -> Result<T> {
        for _ in 0..2 {
            let covered = self.covered.read().unwrap_or_else(PoisonError::into_inner);
            match question(&covered) {
                Ok(answer) => return Ok(answer),
                Err(damaged) => {
                    drop(covered);
                    self.heal(damaged)?;
                }
            }
        }
        // The disk under the index does not keep what is written to it: the log itself must do.
        let mut covered = self.covered.write().unwrap_or_else(PoisonError::into_inner);
        if let Covered::Index(index) = &*covered {
            *covered = Covered::Memory(self.load(index)?);
        }
        question(&covered).map_err(|_| self.error("its index can't be read".into()))
    }

    /// Replaces an index that is damaged.
    fn heal(&self, damaged: Uuid) -> Result<()> {
        let mut covered = self.covered.write().unwrap_or_else(PoisonError::into_inner);
        let Covered::Index(index) = &*covered else { return Ok(()) };
        if index.build() != damaged {
            // Another thread was here.
            return Ok(());
        }
        let log = self.open_log(index)?;
        let builder = Builder {
            path: &self.index_path,
            media: &self.media,
            log: &log,
            log_path: &self.log_path,
            end: index.covered_bytes(),
            damaged: Some(damaged),
        };
        let healed = match builder.build() {
            Ok((index, _)) => Covered::Index(Box::new(index)),
            Err(BuildError::Log(e)) => return Err(e),
            Err(BuildError::Cache) => Covered::Memory(self.load(index)?),
        };
        *covered = healed;
        Ok(())
    }

    /// The log that the index was made of, if it is there still.
    fn open_log(&self, index: &ChunkIndex) -> Result<File> {
        let log = File::open(&self.log_path).at(&self.log_path)?;
        if !index.is_sampled_from(&log).at(&self.log_path)? {
            return Err(self.error("it was replaced while it was in use".into()));
        }
        Ok(log)
    }

    /// What the index covers, from the log into memory.
    fn load(&self, index: &ChunkIndex) -> Result<ChunkMaps> {
        let log = self.open_log(index)?;
        let mut content = CatalogContent::with_chunks();
        let end = index.covered_bytes();
        read_log(&log, &self.log_path, &self.media, end, &mut content, &mut |_, _| {})?;
        Ok(content.into_recent())
    }

    fn error(&self, reason: String) -> Error {
        Error::CatalogDamaged { path: self.log_path.clone(), offset: 0, reason }
    }
}
