//! Everything that can be read of whatever tapes there are, with nothing else at hand: no configuration, no inventory, no
//! catalogs, no datastore.
//!
//! ```text
//! tape in the drive → labels, or what is left of them → key → file by file to the end of data
//!   chunk archive    → datastore of its name              (a listing passes over it)
//!   snapshot archive → waits until its chunks are there → appears in the datastore
//!   catalog          → tells which tape has what is lacking
//! → next tape, in any order
//! ```
//!
//! What it promises:
//!
//! * a snapshot appears only when all of it is there, by the rules of a restore ([`mod@crate::restore`]), whose code reads
//!   and stores here, too;
//! * nothing that can be read is left out because something else can't: damaged blocks cost the chunks in them, a damaged
//!   file that file, a damaged tape that tape. Each is named;
//! * tapes may come in any order, of several sets, with others among them that hold nothing or something else;
//! * it can end at any time. What was taken is written down in the folder ([`folder`]) and is not read again;
//! * nothing is ever written on a tape.

mod files;
mod folder;
mod held;
mod identify;
mod keys;
mod notes;
mod report;
mod summary;
mod tape;

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use datastore::Progress;
use uuid::Uuid;

use self::held::Held;
use self::notes::TapeNote;
use self::report::MetTape;
use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::loader::{CLEANING_PREFIX, MediaLoader, check_abort, pause};
use crate::media::find::SnapshotPattern;
use crate::restore::is_about_one_tape;
use crate::restore::unpack::Groups;

pub use files::{FilesOptions, RescuedFiles, extract_files};
pub use folder::RescueFolder;
pub use keys::RescueKeys;
pub use report::{
    Lacking, RescueDamage, RescueFileReport, RescueReport, RescueSetReport, RescueSnapshotReport,
    RescueTapeReport, SnapshotState, TapeState,
};
pub use tape::Purpose;

/// What a rescue does.
pub struct RescueOptions {
    /// With chunks.
    pub purpose: Purpose,
    /// The snapshots that are to appear in the datastore; empty: all.
    pub snapshots: Vec<SnapshotPattern>,
    /// Owner of the groups, `user@realm`.
    pub owner: String,
    /// Read also what earlier runs read.
    pub again: bool,
    /// After the tape in a drive without robot: look so often for the next one, until nothing is lacking. `None`: end.
    pub wait: Option<Duration>,
    /// How many threads check and store chunks.
    pub writers: usize,
}

struct Rescue<'a> {
    folder: &'a mut RescueFolder,
    keys: &'a mut RescueKeys,
    options: &'a RescueOptions,
    progress: &'a dyn Progress,
    start: Instant,
    notes: BTreeMap<Uuid, TapeNote>,
    held: Held,
    /// Tapes that this run had in the drive, or could not load.
    met: Vec<MetTape>,
    /// Why snapshots can't appear, by name.
    failed: BTreeMap<String, String>,
    /// When a note was written down last.
    kept: Instant,
    chunks: u64,
    chunk_bytes: u64,
    chunks_present: u64,
}

/// Reads the tape in the drive, or all that the robot has. The drive must be locked by the caller.
///
/// `Err` means that it ended early, by request or because the drive or the folder failed; everything else is in the report.
pub fn run_rescue<'a>(
    folder: &'a mut RescueFolder,
    loader: &mut dyn MediaLoader,
    keys: &'a mut RescueKeys,
    options: &'a RescueOptions,
    progress: &'a dyn Progress,
) -> Result<RescueReport> {
    let notes = folder.load_notes()?;
    let held = Held::load(folder)?;
    let mut rescue = Rescue {
        folder,
        keys,
        options,
        progress,
        start: Instant::now(),
        notes,
        held,
        met: Vec::new(),
        failed: BTreeMap::new(),
        kept: Instant::now(),
        chunks: 0,
        chunk_bytes: 0,
        chunks_present: 0,
    };
    rescue.forget_what_is_gone()?;
    match loader.online_label_texts()? {
        Some(texts) => rescue.robot(loader, texts)?,
        None => rescue.by_hand(loader)?,
    }
    rescue.report()
}

impl Rescue<'_> {
    fn meet(&mut self, tape: MetTape) {
        if tape.media.is_none() {
            self.progress.note(&format!("cartridge {}: {}", tape.label_text, tape.reason));
        }
        self.met.push(tape);
    }

    fn is_chosen(&self, store: &str, snapshot: &str) -> bool {
        let patterns = &self.options.snapshots;
        patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(store, snapshot))
    }

    /// Notes outlive a datastore that somebody removed.
    fn forget_what_is_gone(&mut self) -> Result<()> {
        let mut gone: BTreeSet<String> = BTreeSet::new();
        for note in self.notes.values_mut() {
            let mut is_changed = false;
            for file in note.files.values_mut() {
                if let notes::Content::Chunks { store, is_stored } = &mut file.content
                    && *is_stored
                    && self.folder.existing_target(store)?.is_none()
                {
                    *is_stored = false;
                    note.is_rescued = false;
                    is_changed = true;
                    gone.insert(store.clone());
                }
            }
            if is_changed {
                self.folder.store_note(note)?;
            }
        }
        for store in gone {
            self.progress.warn(&format!(
                "datastore {store} is not in the folder any more; its tapes are read again"
            ));
        }
        self.held.forget_gone(self.folder)
    }

    fn robot(&mut self, loader: &mut dyn MediaLoader, mut texts: Vec<String>) -> Result<()> {
        texts.retain(|text| !text.starts_with(CLEANING_PREFIX));
        texts.sort();
        texts.dedup();
        // What is in the drive comes first: it need not be moved.
        let loaded = loader.loaded_bar_code()?;
        texts.sort_by_key(|text| Some(text) != loaded.as_ref());
        for text in texts {
            check_abort(self.progress)?;
            if !self.is_wanted(&text) {
                self.progress.note(&format!("cartridge {text} was read already"));
                continue;
            }
            match loader.load(&text, self.progress) {
                Ok(mut device) => {
                    match self.one_tape(&mut *device, Some(&text)) {
                        Err(error) if is_about_one_tape(&error) => self.not_read(text, &error),
                        other => other?,
                    }
                    loader.unload(Some(device))?;
                }
                Err(error) if is_about_one_tape(&error) => self.not_read(text, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn not_read(&mut self, text: String, error: &Error) {
        self.progress.warn(&format!("cartridge {text} can't be read: {error}"));
        self.met.push(MetTape::other(text, TapeState::NotLoaded, error.to_string()));
    }

    /// False for a cartridge that has nothing more to give.
    fn is_wanted(&self, text: &str) -> bool {
        let mut named = self.notes.values().filter(|note| note.id.label.label_text == text);
        match (named.next(), named.next()) {
            (Some(note), None) if !self.options.again => match self.options.purpose {
                Purpose::Rescue => !note.is_rescued,
                Purpose::List => !note.is_listed || note.is_damaged(),
                Purpose::Scan => true,
            },
            _ => true,
        }
    }

    fn by_hand(&mut self, loader: &mut dyn MediaLoader) -> Result<()> {
        let Some(retry_every) = self.options.wait else {
            let mut device = loader.open(self.progress)?;
            return self.one_tape(&mut *device, None);
        };
        loop {
            let mut device = self.next_tape(loader, retry_every)?;
            self.one_tape(&mut *device, None)?;
            if self.nothing_is_lacking()? {
                return Ok(());
            }
            loader.unload(Some(device))?;
            self.ask_for_another(loader.drive_name());
        }
    }

    fn ask_for_another(&self, drive: &str) {
        self.progress.note(&format!(
            "please insert another cartridge into drive {drive}; when there is none, end with Ctrl-C: what was read is kept"
        ));
        for set in self.set_reports().iter().filter(|set| !set.missing.is_empty()) {
            let missing: Vec<String> =
                set.missing.iter().map(|place| (place + 1).to_string()).collect();
            self.progress.note(&format!(
                "media set {} of pool {}: tape {} was not seen yet",
                set.uuid,
                set.pool,
                missing.join(", ")
            ));
        }
    }

    /// Waits until a tape is in the drive.
    fn next_tape(
        &self,
        loader: &mut dyn MediaLoader,
        retry_every: Duration,
    ) -> Result<Box<dyn TapeDevice>> {
        let mut told = None;
        loop {
            check_abort(self.progress)?;
            match loader.open(self.progress) {
                Ok(device) => return Ok(device),
                Err(error) if error.is_aborted() => return Err(error),
                Err(Error::Drive(error)) if error.is_medium_missing() => {}
                Err(error) => {
                    let reason = error.to_string();
                    if told.as_ref() != Some(&reason) {
                        self.progress.warn(&reason);
                        told = Some(reason);
                    }
                }
            }
            pause(retry_every, self.progress)?;
        }
    }

    /// Reads a tape and lets the snapshots appear that became complete.
    fn one_tape(&mut self, device: &mut dyn TapeDevice, bar_code: Option<&str>) -> Result<()> {
        self.read_tape(device, bar_code)?;
        self.publish()
    }

    fn publish(&mut self) -> Result<()> {
        if self.options.purpose != Purpose::Rescue {
            return Ok(());
        }
        let waiting: Vec<(String, String)> = self
            .held
            .iter()
            .filter(|facts| !facts.is_published && self.is_chosen(&facts.store, &facts.snapshot))
            .map(|facts| (facts.store.clone(), facts.name()))
            .collect();
        let mut groups = Groups::default();
        for (store, name) in waiting {
            let target = self.folder.target(&store)?;
            let owner = &self.options.owner;
            match self.held.publish(self.folder, &target, &mut groups, &name, owner) {
                Ok(true) => {
                    self.progress.note(&format!("rescued snapshot {name}"));
                    self.failed.remove(&name);
                }
                Ok(false) => {}
                Err(error @ Error::Io { .. }) => return Err(error),
                Err(error) => {
                    self.progress
                        .warn(&format!("snapshot {name} can't be put into the datastore: {error}"));
                    self.failed.insert(name, error.to_string());
                }
            }
        }
        Ok(())
    }

    /// True if every snapshot that was found and is wanted is had, and every set was seen to its end.
    fn nothing_is_lacking(&mut self) -> Result<bool> {
        let sets = self.set_reports();
        let is_whole = |set: &RescueSetReport| set.missing.is_empty() && set.has_end;
        let is_listed = self.notes.values().all(|note| note.is_listed);
        if sets.is_empty() || !is_listed || !sets.iter().all(is_whole) {
            return Ok(false);
        }
        Ok(self.report()?.has_all_chosen())
    }
}

#[cfg(test)]
mod tests;
