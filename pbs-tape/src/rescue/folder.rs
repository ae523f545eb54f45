//! The folder of a rescue: where the data goes, and how far it got.
//!
//! ```text
//! datastore/NAME/      a datastore for each that is on the tapes
//! files/NAME/…         files that were taken out of snapshots
//! .rescue/             what the next run goes on with
//!   tapes/UUID.json      what was seen of a tape, and what of it is here
//!   snapshots/ID/        the files of a snapshot whose chunks are not all here yet
//!   UUID.log             media catalogs, as tapes carry them
//! ```
//!
//! Why a run that ends anywhere costs nothing: what a note says is here was made durable before the note was written
//! ([`RescueFolder::sync`]), a note is replaced in one step, and a chunk or snapshot that comes twice is there already. No
//! two runs use a folder at the same time, and nothing is put into a folder that holds something else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use datastore::Datastore;
use datastore::datastore::Options;
use datastore::hierarchy::check_datastore_name;
use datastore::lock::SharedGuard;
use datastore::storage::{FilesystemHandle, RealStorage, Storage};
use uuid::Uuid;

use super::notes::TapeNote;
use crate::error::{Error, IoResultExt, Result};
use crate::media::state::replace_file;
use crate::media::{Lock, StateDir};
use crate::restore::Target;

const PROGRESS: &str = ".rescue";
const DATASTORES: &str = "datastore";
const FILES: &str = "files";
const NOTE_MODE: u32 = 0o644;

/// The folder of a rescue, which nobody else uses meanwhile.
pub struct RescueFolder {
    base: PathBuf,
    state: StateDir,
    storage: RealStorage,
    filesystem: Box<dyn FilesystemHandle>,
    stores: BTreeMap<String, OpenStore>,
    _lock: Lock,
}

struct OpenStore {
    target: Target,
    /// Open since before the first chunk, so that no failure to write goes unreported.
    filesystem: Box<dyn FilesystemHandle>,
    /// Nobody collects garbage before the snapshots are there that keep the chunks.
    _shared: SharedGuard,
}

impl RescueFolder {
    /// Opens the folder of a rescue that was begun, or begins one in an empty or missing folder.
    pub fn open(path: &Path) -> Result<RescueFolder> {
        fs::create_dir_all(path).at(path)?;
        let base = path.canonicalize().at(path)?;
        let progress = base.join(PROGRESS);
        if !progress.is_dir() {
            for entry in fs::read_dir(&base).at(&base)? {
                let name = entry.at(&base)?.file_name();
                if name != "lost+found" {
                    return Err(Error::BadArgument {
                        what: "folder",
                        value: base.display().to_string(),
                        reason: format!(
                            "it holds '{}', and no rescue was begun in it; give an empty folder",
                            name.to_string_lossy()
                        ),
                    });
                }
            }
        }
        let state = StateDir::open(&progress)?;
        let lock = Lock::acquire(
            progress.join(".rescue.lck"),
            format!("the rescue in {}", base.display()),
            Duration::ZERO,
        )?;
        for folder in [progress.join("tapes"), progress.join("snapshots"), base.join(DATASTORES)] {
            fs::create_dir_all(&folder).at(&folder)?;
        }
        let storage = RealStorage::new(&base).at(&base)?;
        let filesystem = storage.open_filesystem(&base).at(&base)?;
        Ok(RescueFolder { base, state, storage, filesystem, stores: BTreeMap::new(), _lock: lock })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.base
    }

    /// Where media catalogs and locks are.
    pub fn state(&self) -> &StateDir {
        &self.state
    }

    pub(super) fn storage(&self) -> &RealStorage {
        &self.storage
    }

    /// Where files of snapshots wait for chunks.
    pub(super) fn snapshots(&self) -> PathBuf {
        self.state.path().join("snapshots")
    }

    /// Where files that were taken out of snapshots go.
    pub fn files(&self) -> PathBuf {
        self.base.join(FILES)
    }

    /// The folder of a datastore, as it is called on the tapes.
    pub fn store_path(&self, name: &str) -> PathBuf {
        self.base.join(DATASTORES).join(name)
    }

    /// The datastore for what is of the datastore `name` on the tapes, made if it is missing.
    pub(super) fn target(&mut self, name: &str) -> Result<Target> {
        if let Some(open) = self.stores.get(name) {
            return Ok(open.target.clone());
        }
        // The name comes from a tape, and becomes that of a folder.
        check_datastore_name(name).map_err(|e| Error::malformed("archive", e.to_string()))?;
        let path = self.store_path(name);
        let options = Options::default();
        let store = match path.join(".chunks").is_dir() {
            true => Datastore::open(&path, &options)?,
            false => Datastore::create(&path, &options)?,
        };
        self.keep_open(name, store)
    }

    /// The same, if it is there.
    pub(super) fn existing_target(&mut self, name: &str) -> Result<Option<Target>> {
        let is_there =
            check_datastore_name(name).is_ok() && self.store_path(name).join(".chunks").is_dir();
        is_there.then(|| self.target(name)).transpose()
    }

    fn keep_open(&mut self, name: &str, store: std::sync::Arc<Datastore>) -> Result<Target> {
        let shared = store.process_lock().try_shared()?;
        let chunks = store.base().join(".chunks");
        let filesystem = store.storage().open_filesystem(&chunks).at(&chunks)?;
        let target = Target { name: name.to_string(), store };
        let open = OpenStore { target: target.clone(), filesystem, _shared: shared };
        self.stores.insert(name.to_string(), open);
        Ok(target)
    }

    /// Makes everything durable that was put into the folder so far.
    pub(super) fn sync(&self) -> Result<()> {
        for open in self.stores.values() {
            open.filesystem.sync().at(open.target.store.base())?;
        }
        self.filesystem.sync().at(&self.base)
    }

    fn note_file(&self, media: &Uuid) -> PathBuf {
        self.state.path().join("tapes").join(format!("{media}.json"))
    }

    /// Writes down how far a tape was read. Everything that the note says is here must be durable.
    pub(super) fn store_note(&self, note: &TapeNote) -> Result<()> {
        let path = self.note_file(&note.id.label.uuid);
        let text = serde_json::to_vec_pretty(note)
            .map_err(|e| Error::malformed("note about a tape", e.to_string()))?;
        replace_file(&path, &text, NOTE_MODE)
    }

    /// What earlier runs wrote down, by media UUID. A note that can't be read is as good as none: its tape is read again.
    pub(super) fn load_notes(&self) -> Result<BTreeMap<Uuid, TapeNote>> {
        let folder = self.state.path().join("tapes");
        let mut notes = BTreeMap::new();
        for entry in fs::read_dir(&folder).at(&folder)? {
            let path = entry.at(&folder)?.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let text = fs::read(&path).at(&path)?;
            if let Ok(note) = serde_json::from_slice::<TapeNote>(&text) {
                notes.insert(note.id.label.uuid, note);
            }
        }
        Ok(notes)
    }
}
