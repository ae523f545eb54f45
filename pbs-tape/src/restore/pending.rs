//! Snapshots whose files came from tape and whose chunks may still be on another.
//!
//! The files of a snapshot archive wait in `.tmp/SET/STORE/SNAPSHOT` of the target datastore, where no program takes them for a
//! snapshot and no collection looks. From there they go through the datastore's writer once all chunks are there, and only that makes the
//! snapshot exist. So tapes can come in any order, and a restore that was ended goes on where it was: the next one finds the files.
//!
//! Why what an earlier run left can be used: it is not believed. The manifest has a checksum, it must be this snapshot's, and each
//! file must be what the manifest says; the writer checks the same again before the snapshot appears. A folder that fails is
//! read from tape again. So nothing here has to be synced, and a crash may leave what it likes.

use std::fs::{self, File};
use std::path::PathBuf;

use datastore::hierarchy::{ArchiveKind, MANIFEST_NAME, check_datastore_name, qualified_name};
use datastore::index::Index;
use datastore::{Datastore, Digest, Manifest, Namespace, SnapshotPath};
use uuid::Uuid;

use super::unpack::{Groups, finish_from_folder, indexes_in, read_manifest, unpack_to_folder};
use super::{SharedStore, Target};
use crate::error::{Error, IoResultExt, Result};
use crate::format::block::StreamReader;

/// The files of one snapshot, waiting.
pub(super) struct Pending {
    /// `store:snapshot`, for messages.
    name: String,
    snapshot: SnapshotPath,
    store: SharedStore,
    folder: PathBuf,
    /// A chunk that was lacking when the snapshot was tried last.
    lacking: Option<Digest>,
}

/// What came of an attempt to let a snapshot appear.
pub(super) enum Published {
    /// It exists now.
    Yes,
    /// It did already.
    Exists,
    /// Chunks are lacking.
    NotYet(Error),
}

/// The folder in which the snapshots of a set wait.
fn set_folder(store: &Datastore, set: &Uuid) -> PathBuf {
    store.base().join(".tmp").join(set.to_string())
}

impl Pending {
    /// The place of a snapshot of datastore `source` in `target`. Both names were parsed and are printed again, so nothing leads out of
    /// the folder.
    pub fn of(
        target: &Target,
        set: &Uuid,
        source: &str,
        namespace: &Namespace,
        snapshot: &SnapshotPath,
    ) -> Result<Pending> {
        check_datastore_name(source)?;
        let qualified = qualified_name(namespace, snapshot);
        Ok(Pending {
            name: format!("{source}:{qualified}"),
            snapshot: snapshot.clone(),
            store: target.store.clone(),
            folder: set_folder(&target.store, set).join(source).join(qualified),
            lacking: None,
        })
    }

    /// True if an earlier run left all of its files, as they should be.
    pub fn is_there(&self) -> bool {
        self.folder.exists() && self.check().is_ok()
    }

    /// Whether everything that the manifest names is here and is what it says.
    fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::malformed("snapshot archive", what));
        let manifest = self.manifest()?;
        for info in manifest.files() {
            let path = self.folder.join(&info.filename);
            let (size, csum) = match ArchiveKind::of(&info.filename) {
                Some(ArchiveKind::Blob) => {
                    let content = fs::read(&path).at(&path)?;
                    (content.len() as u64, Digest::of(&content))
                }
                Some(_) => {
                    let index = Index::load(&**self.store.storage(), &path)?;
                    (index.content_size(), index.compute_csum())
                }
                None => return wrong(format!("its manifest names a file '{}'", info.filename)),
            };
            if (size, csum) != (info.size, info.csum) {
                return wrong(format!("{} is not what the manifest says", info.filename));
            }
        }
        Ok(())
    }

    fn manifest(&self) -> Result<Manifest> {
        let path = self.folder.join(MANIFEST_NAME);
        let mut file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(Error::malformed("snapshot archive", "it has no manifest"));
            }
            Err(e) => return Err(Error::io(path, e)),
        };
        let manifest = read_manifest(&mut file, &self.name)?;
        if !manifest.belongs_to(&self.snapshot) {
            return Err(Error::malformed("snapshot archive", "its manifest is another snapshot's"));
        }
        Ok(manifest)
    }

    /// Takes the files of an archive whose header was read. An archive that ends early or is marked as incomplete leaves nothing.
    pub fn take(&self, stream: &mut StreamReader<'_>) -> Result<()> {
        self.remove()?;
        let taken =
            unpack_to_folder(stream, &self.folder).and_then(|()| match stream.is_incomplete()? {
                true => Err(Error::malformed("snapshot archive", "it is marked as incomplete")),
                false => self.manifest().map(|_| ()),
            });
        if taken.is_err() {
            self.remove()?;
        }
        taken
    }

    /// Its indexes.
    pub fn indexes(&self) -> Result<Vec<Index>> {
        indexes_in(&**self.store.storage(), &self.folder)
    }

    /// Notes a chunk that it needs and that is not there: there is no use in trying before it is.
    pub fn lacks(&mut self, digest: Digest) {
        self.lacking = Some(digest);
    }

    /// False as long as a chunk that was lacking still is.
    pub fn is_worth_a_try(&self) -> Result<bool> {
        match &self.lacking {
            Some(digest) => Ok(self.store.chunks().touch(digest)?),
            None => Ok(true),
        }
    }

    /// Lets the snapshot appear in a namespace, if all its chunks are there.
    pub fn publish(
        &mut self,
        groups: &mut Groups,
        target: &Target,
        namespace: &Namespace,
        owner: &str,
    ) -> Result<Published> {
        let begun = groups.begin(target, namespace, &self.snapshot, owner)?;
        let Some(writer) = begun else { return Ok(Published::Exists) };
        match finish_from_folder(&self.name, writer, &self.folder) {
            Ok(()) => Ok(Published::Yes),
            Err(e @ Error::MissingChunks { .. }) => {
                if let Error::MissingChunks { first, .. } = &e {
                    self.lacking = first.parse().ok();
                }
                Ok(Published::NotYet(e))
            }
            Err(e) => Err(e),
        }
    }

    /// Removes the files, and the folders above that have become empty.
    pub fn remove(&self) -> Result<()> {
        match fs::remove_dir_all(&self.folder) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&self.folder, e));
            }
            _ => {}
        }
        let temporary = self.store.base().join(".tmp");
        let mut above = self.folder.parent();
        while let Some(folder) = above.filter(|folder| **folder != temporary) {
            // Others wait in it.
            if fs::remove_dir(folder).is_err() {
                break;
            }
            above = folder.parent();
        }
        Ok(())
    }
}
