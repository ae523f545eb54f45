//! Media pools: which tape is written next.
//!
//! Why no data is overwritten by mistake: a tape is taken only if it is *empty* (in no set),
//! *expired* (its pool's policy says so and nobody holds its set), or *free* (labelled for no pool
//! and in no set). One that can be written once only never expires. The choice is made under the pool's lock and stored before anything is written,
//! so that two jobs never choose the same tape. The label on the tape itself is compared again when
//! it is in the drive ([`crate::write`]).
//!
//! All times are passed in, so that every rule can be tested as a table.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use serde::Serialize;
use uuid::Uuid;

use super::catalog::MediaCatalog;
use super::expiry::{Expiry, SetTimes, expiry};
use super::inventory::{Inventory, InventoryEntry, Location, MediaId, MediaStatus};
use super::policy::{Allocation, PoolConfig};
use super::set_members::MediaSet;
use super::state::{Lock, StateDir};
use crate::care::Overview;
use crate::error::{Error, Result};
use crate::format::label::MediaSetLabel;

/// A pool as one job sees it.
#[derive(Debug)]
pub struct MediaPool {
    config: PoolConfig,
    reach: Reach,
    inventory: Inventory,
    current: MediaSet,
    /// Held from opening for writing on; always that of `current`.
    set_lock: Option<Lock>,
    /// What drives said about the tapes; read when it is needed first.
    care: OnceLock<Arc<Overview>>,
    /// Tapes that this job found to be written once only.
    found_worm: BTreeSet<Uuid>,
}

/// Which tapes a job can get at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// Those in the library of this name.
    Changer(String),
    /// Those that an operator can put into the drive: what is on the shelf.
    StandAlone,
    /// All but those in a vault; for listings.
    Anywhere,
}

/// The answer to "can the current set be written on, and where".
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Usability {
    /// Its last tape takes more and can be reached.
    LastTapeWritable(Uuid),
    /// It can be continued, on another tape.
    NeedsTape,
}

/// Who of several writers of one set asks for a tape.
#[derive(Debug, Clone)]
pub struct Writer<'a> {
    /// Which tapes its drive can get.
    pub reach: &'a Reach,
    /// The tape that it writes on.
    pub own: Option<Uuid>,
    /// Those of the other writers.
    pub held: &'a BTreeSet<Uuid>,
    /// Those on which a writer failed, or that could not be loaded: not tried again.
    pub failed: &'a BTreeSet<Uuid>,
}

/// How [`MediaPool::allocate`] found the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum TapeOrigin {
    /// It is the last tape of the current set.
    Current,
    /// It was in no set and belonged to the pool.
    Empty,
    /// Its data was no longer protected.
    Expired,
    /// It belonged to no pool.
    Free,
}

impl MediaPool {
    /// Opens the pool for a job that writes: its current set is locked until the pool is dropped.
    pub fn open_for_writing(
        state: &StateDir,
        config: PoolConfig,
        reach: Reach,
    ) -> Result<MediaPool> {
        loop {
            let pool_lock = state.lock_pool(&config.name)?;
            let mut pool = MediaPool::open(state, config.clone(), reach.clone())?;
            if let Some(set_lock) = state.try_lock_media_set(pool.current.uuid())? {
                pool.set_lock = Some(set_lock);
                return Ok(pool);
            }
            // Whoever holds the set may need the pool for another tape. Once the set is free, the
            // pool may have a newer one: it is asked again. Waiting too long is an error.
            drop(pool_lock);
            drop(state.lock_media_set(pool.current.uuid())?);
        }
    }

    /// Opens the pool to look at it.
    pub fn open(state: &StateDir, config: PoolConfig, reach: Reach) -> Result<MediaPool> {
        MediaPool::of(Inventory::load(state)?, config, reach)
    }

    /// The pool as a job that starts at `now` will find it, with the reason if that job begins a new
    /// set. Nothing is locked, stored or loaded again: for listings and forecasts.
    pub fn preview(
        inventory: Inventory,
        config: PoolConfig,
        reach: Reach,
        now: i64,
    ) -> Result<(MediaPool, Option<String>)> {
        let mut pool = MediaPool::of(inventory, config, reach)?;
        let reason = pool.reason_for_new_set(now, false)?;
        if reason.is_some() {
            pool.current = MediaSet::new(Uuid::new_v4());
        }
        Ok((pool, reason))
    }

    fn of(inventory: Inventory, config: PoolConfig, reach: Reach) -> Result<MediaPool> {
        let current = match inventory.latest_set(&config.name) {
            Some(set) => inventory.media_set(&set)?,
            None => MediaSet::new(Uuid::new_v4()),
        };
        let (care, found_worm) = (OnceLock::new(), BTreeSet::new());
        Ok(MediaPool { config, reach, inventory, current, set_lock: None, care, found_worm })
    }

    /// With what is known of the tapes already, so that it is not read again.
    #[must_use]
    pub fn with_care(self, care: Arc<Overview>) -> MediaPool {
        MediaPool { care: care.into(), ..self }
    }

    /// Remembers that a tape can be written once only.
    pub fn note_worm(&mut self, media: Uuid) {
        self.found_worm.insert(media);
    }

    /// True if a tape can be written once only: a drive has said so, or, as long as none has seen it, its bar code does.
    fn is_worm(&self, entry: &InventoryEntry) -> bool {
        let label = &entry.id.label;
        if self.found_worm.contains(&label.uuid) {
            return true;
        }
        let care = self.care.get_or_init(|| Arc::new(Overview::load(self.inventory.state())));
        match care.get(&label.uuid) {
            Some(seen) => seen.worm,
            None => is_worm_bar_code(&label.label_text),
        }
    }

    /// Its configuration.
    pub fn config(&self) -> &PoolConfig {
        &self.config
    }

    /// The set that is being written.
    pub fn current_set(&self) -> &MediaSet {
        &self.current
    }

    /// The inventory as this job sees it.
    pub fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    /// For updates of tapes of this pool.
    pub fn inventory_mut(&mut self) -> &mut Inventory {
        &mut self.inventory
    }

    /// Decides whether a new set begins. The reason is told if one does.
    pub fn start_write_session(&mut self, now: i64, force: bool) -> Result<Option<String>> {
        let state = self.inventory.state().clone();
        let _pool_lock = match self.set_lock {
            Some(_) => Some(state.lock_pool(&self.config.name)?),
            None => None,
        };
        self.inventory.reload()?;
        let reason = self.reason_for_new_set(now, force)?;
        if reason.is_some() {
            let set = Uuid::new_v4();
            if self.set_lock.is_some() {
                // The new lock replaces, and so releases, that of the set that is left.
                self.set_lock = Some(state.lock_media_set(&set)?);
            }
            self.current = MediaSet::new(set);
        } else if !self.current.is_empty() {
            self.current = self.inventory.media_set(self.current.uuid())?;
        }
        Ok(reason)
    }

    fn reason_for_new_set(&self, now: i64, force: bool) -> Result<Option<String>> {
        if force {
            return Ok(Some("forced".into()));
        }
        match self.usability() {
            Ok(_) => {}
            Err(Error::MediaSetUnusable { reason }) => return Ok(Some(reason)),
            Err(e) => return Err(e),
        }
        if self.current.is_empty() {
            // It is new already.
            return Ok(None);
        }
        if self.config.allocation == Allocation::Always {
            return Ok(Some("policy is 'always'".into()));
        }
        if let Some(start) = self.inventory.set_start_time(self.current.uuid())
            && let Some(event) = self.config.allocation.next_event(start)
            && event <= now
        {
            return Ok(Some(format!("policy calendar event '{}'", self.config.allocation)));
        }
        Ok(None)
    }

    /// Whether the current set can be continued. [`Error::MediaSetUnusable`] says why it can't.
    pub fn usability(&self) -> Result<Usability> {
        self.usability_without(&BTreeSet::new())
    }

    /// The same, whatever was decided about some tapes: a tape that failed one writer is no reason for
    /// the others to stop, and what they write makes the set no worse.
    fn usability_without(&self, failed: &BTreeSet<Uuid>) -> Result<Usability> {
        let unusable = |reason: String| Err(Error::MediaSetUnusable { reason });
        let set = self.current.uuid();
        let mut last = None;
        for (seq_nr, member) in self.current.members().iter().enumerate() {
            let Some(media) = member else {
                return unusable(format!(
                    "incomplete media set: tape with sequence number {seq_nr} is unknown"
                ));
            };
            let Some(entry) =
                self.inventory.get(media).filter(|e| e.id.pool() == Some(&self.config.name))
            else {
                return unusable(format!("tape {media} is not in pool {}", self.config.name));
            };
            let text = &entry.id.label.label_text;
            let is_last = seq_nr + 1 == self.current.members().len();
            match entry.id.assigned_set() {
                Some(label) if label.uuid == *set && label.seq_nr == seq_nr as u64 => {
                    if label.encryption_key_fingerprint != self.config.encrypt {
                        return unusable(format!(
                            "tape {text} is encrypted differently from what the pool asks for now"
                        ));
                    }
                }
                _ => return unusable(format!("tape {text} has left the media set")),
            }
            let status = self.status(entry);
            let is_sound =
                status == MediaStatus::Full || (status == MediaStatus::Writable && is_last);
            if !is_sound && !failed.contains(media) {
                return unusable(format!("tape {text} is {status}"));
            }
            if is_last {
                last = Some((entry, status));
            }
        }
        let Some((entry, MediaStatus::Writable)) = last else {
            return Ok(Usability::NeedsTape);
        };
        let location = entry.location();
        if self.is_available(&location) {
            Ok(Usability::LastTapeWritable(entry.id.label.uuid))
        } else if let Location::Vault(vault) = location {
            unusable(format!(
                "writable tape {} is offsite (vault {vault})",
                entry.id.label.label_text
            ))
        } else {
            Ok(Usability::NeedsTape)
        }
    }

    /// What may be done with a tape, seen from this pool and its current set.
    pub fn status(&self, entry: &InventoryEntry) -> MediaStatus {
        if let Some(decided) = entry.decided_status() {
            return decided;
        }
        let Some(label) = &entry.id.media_set_label else {
            return MediaStatus::Writable;
        };
        if label.pool != self.config.name {
            MediaStatus::Unknown
        } else if label.is_unassigned()
            || (label.uuid == *self.current.uuid()
                && self.current.last() == Some(entry.id.label.uuid))
        {
            MediaStatus::Writable
        } else {
            MediaStatus::Full
        }
    }

    /// True if a tape at `location` can be used by this job's drive.
    fn is_available(&self, location: &Location) -> bool {
        match (location, &self.reach) {
            (Location::Vault(_), _) => false,
            (_, Reach::Anywhere) => true,
            (Location::Online(holder), Reach::Changer(changer)) => holder == changer,
            (Location::Offline, Reach::StandAlone) => true,
            _ => false,
        }
    }

    /// From when on a tape's data may be overwritten; `None` if it is not full. That of a tape that can be written once only
    /// never may, whatever the policy says.
    pub fn expiry(&self, entry: &InventoryEntry, times: &SetTimes) -> Option<Expiry> {
        let label = entry.id.assigned_set()?;
        if self.status(entry) != MediaStatus::Full {
            return None;
        }
        let by_policy = expiry(&self.config, times, label);
        // Asked last, for it may have to be looked up.
        Some(match by_policy {
            Expiry::Never => by_policy,
            _ if self.is_worm(entry) => Expiry::Never,
            _ => by_policy,
        })
    }

    /// True if the policy lets go of the data of a tape that carries this media-set label. The
    /// inventory need not know the set: what counts is the label found on the tape.
    pub fn may_overwrite(&self, label: &MediaSetLabel, now: i64) -> bool {
        expiry(&self.config, &SetTimes::of(&self.inventory), label).is_over(now)
    }

    /// Chooses the tape to write on, and takes it into the current set if it is a new one. The
    /// inventory knows before the tape does.
    pub fn allocate(&mut self, now: i64) -> Result<(Uuid, TapeOrigin)> {
        let (reach, none) = (self.reach.clone(), BTreeSet::new());
        let writer = Writer { reach: &reach, own: None, held: &none, failed: &none };
        self.allocate_for(&writer, now)
    }

    /// True if a writer of the current set may go on with its tape.
    pub fn may_go_on(&mut self, writer: &Writer<'_>) -> Result<bool> {
        // An operator may have decided about a tape since the last time.
        self.inventory.reload()?;
        self.reach = writer.reach.clone();
        let usability = self.usability_without(writer.failed)?;
        let Some(own) = writer.own else { return Ok(false) };
        if self.current.last() == Some(own) {
            return Ok(usability == Usability::LastTapeWritable(own));
        }
        // It counts as full for everybody else: others are behind it in the set. Where it is said to be does not
        // matter, because it is in the drive.
        let entry = self.inventory.require(&own)?;
        Ok(entry.decided_status().is_none())
    }

    /// [`MediaPool::allocate`] for one of several writers, of whom each has its own tapes.
    pub fn allocate_for(&mut self, writer: &Writer<'_>, now: i64) -> Result<(Uuid, TapeOrigin)> {
        if let Some(own) = writer.own
            && self.may_go_on(writer)?
        {
            return Ok((own, TapeOrigin::Current));
        }
        self.inventory.reload()?;
        self.reach = writer.reach.clone();
        let is_others = |media: &Uuid| writer.held.contains(media) || writer.failed.contains(media);
        if let Usability::LastTapeWritable(media) = self.usability_without(writer.failed)?
            && !is_others(&media)
        {
            return Ok((media, TapeOrigin::Current));
        }
        let state = self.inventory.state().clone();
        // Held to the end, also while the scratch pool is asked: the time of a new set is later than
        // those of all others of the pool only if no other job takes a tape meanwhile.
        let _pool_lock = state.lock_pool(&self.config.name)?;
        self.inventory.reload()?;
        let is_beside = !writer.held.is_empty();
        if let Some(media) = self.choose_empty(writer.failed) {
            self.take(media, now, is_beside)?;
            return Ok((media, TapeOrigin::Empty));
        }
        for (media, set) in self.expired_candidates(now) {
            if writer.failed.contains(&media) {
                continue;
            }
            // A set that is being restored or written is not destroyed under the reader.
            if let Some(_set_lock) = state.try_lock_media_set(&set)? {
                self.take(media, now, is_beside)?;
                return Ok((media, TapeOrigin::Expired));
            }
        }
        let _scratch_lock = state.lock_unassigned_pool()?;
        self.inventory.reload()?;
        if let Some(media) = self.choose_free(writer.failed) {
            self.take(media, now, is_beside)?;
            return Ok((media, TapeOrigin::Free));
        }
        Err(self.no_media())
    }

    /// Gives a tape back that was just taken and could not be loaded, with the labels that it had before.
    /// Nothing was written on it, and no tape was taken since: its number is free again.
    pub fn give_back(&mut self, before: MediaId) -> Result<()> {
        let state = self.inventory.state().clone();
        let _pool_lock = state.lock_pool(&self.config.name)?;
        self.inventory.reload()?;
        let media = before.label.uuid;
        if self.current.last() != Some(media) {
            return Ok(());
        }
        if before.is_empty() {
            MediaCatalog::overwrite(&state, &before)?;
        } else {
            // What its old set has on it was no longer protected; a scan would find it.
            MediaCatalog::destroy(&state, &media)?;
        }
        self.forget_member(before)
    }

    /// The error that there is no tape to write on, with what keeps those that there are from being it.
    pub fn no_media(&self) -> Error {
        Error::NoUsableMedia { pool: self.config.name.clone(), hint: self.no_media_hint() }
    }

    /// The tape that [`MediaPool::allocate`] would choose; nothing is locked or changed.
    pub fn guess_next(&self, now: i64) -> Option<(Uuid, TapeOrigin)> {
        if let Usability::LastTapeWritable(media) = self.usability().ok()? {
            return Some((media, TapeOrigin::Current));
        }
        let as_origin = |origin| move |media| (media, origin);
        let none = BTreeSet::new();
        self.choose_empty(&none)
            .map(as_origin(TapeOrigin::Empty))
            .or_else(|| Some((self.expired_candidates(now).first()?.0, TapeOrigin::Expired)))
            .or_else(|| self.choose_free(&none).map(as_origin(TapeOrigin::Free)))
    }

    fn choose_empty(&self, failed: &BTreeSet<Uuid>) -> Option<Uuid> {
        self.choose_unused(failed, |entry| entry.id.pool() == Some(&self.config.name))
    }

    fn choose_free(&self, failed: &BTreeSet<Uuid>) -> Option<Uuid> {
        self.choose_unused(failed, |entry| entry.id.pool().is_none())
    }

    fn choose_unused(
        &self,
        failed: &BTreeSet<Uuid>,
        belongs: impl Fn(&InventoryEntry) -> bool,
    ) -> Option<Uuid> {
        self.inventory
            .entries()
            .filter(|entry| !failed.contains(&entry.id.label.uuid))
            .filter(|entry| belongs(entry) && entry.id.is_empty())
            .filter(|entry| self.status(entry) == MediaStatus::Writable)
            .filter(|entry| self.is_available(&entry.location()))
            .min_by_key(|entry| (entry.id.label.ctime, entry.id.label.label_text.clone()))
            .map(|entry| entry.id.label.uuid)
    }

    fn expired_candidates(&self, now: i64) -> Vec<(Uuid, Uuid)> {
        let times = SetTimes::of(&self.inventory);
        let expired = |entry: &InventoryEntry| {
            self.expiry(entry, &times).is_some_and(|expiry| expiry.is_over(now))
        };
        let mut candidates: Vec<(i64, &str, Uuid, Uuid)> = self
            .inventory
            .entries()
            .filter(|entry| entry.id.pool() == Some(&self.config.name))
            .filter(|entry| self.is_available(&entry.location()) && expired(entry))
            .filter_map(|entry| {
                let label = entry.id.assigned_set().filter(|l| l.uuid != *self.current.uuid())?;
                let id = &entry.id.label;
                Some((label.ctime, id.label_text.as_str(), id.uuid, label.uuid))
            })
            .collect();
        candidates.sort();
        candidates.into_iter().map(|(_, _, media, set)| (media, set)).collect()
    }

    /// Why the tapes that there are can't be used, in few words.
    fn no_media_hint(&self) -> String {
        let mut away = BTreeSet::new();
        for entry in self.inventory.entries() {
            let ours = entry.id.pool().is_none_or(|pool| pool == self.config.name);
            let usable = self.status(entry) == MediaStatus::Writable && entry.id.is_empty();
            if ours && usable && !self.is_available(&entry.location()) {
                away.insert(format!("{} is {}", entry.id.label.label_text, entry.location()));
            }
        }
        if away.is_empty() {
            return String::new();
        }
        format!(" ({})", away.into_iter().take(5).collect::<Vec<_>>().join(", "))
    }

    /// Gives a tape up that was just taken but turned out to be something else: the inventory gets
    /// its true labels.
    pub fn forget_member(&mut self, true_id: MediaId) -> Result<()> {
        self.inventory.store(true_id, false)?;
        self.current = self.inventory.media_set(self.current.uuid())?;
        Ok(())
    }

    /// A set's time must be later than that of every other set of the pool, or nobody could tell
    /// which one is the latest.
    fn set_ctime(&self, now: i64) -> i64 {
        self.inventory
            .entries()
            .filter_map(|entry| entry.id.assigned_set())
            .filter(|label| label.pool == self.config.name && label.uuid != *self.current.uuid())
            .map(|label| label.ctime.saturating_add(1))
            .fold(now, i64::max)
    }

    /// The time of a tape that joins the current set. One that is taken while tapes before it are still written
    /// gets the time of the newest of them. So the labels tell which tapes were written side by side: of such a
    /// tape the catalog on the other one is not the last word.
    fn joining_ctime(&self, now: i64, is_beside: bool) -> i64 {
        let members = self.current.members().iter().flatten();
        let labels = members.filter_map(|media| self.inventory.get(media)?.id.assigned_set());
        match labels.map(|label| label.ctime).max() {
            Some(newest) if is_beside => newest,
            _ => self.set_ctime(now),
        }
    }

    fn take(&mut self, media: Uuid, now: i64, is_beside: bool) -> Result<()> {
        let now = self.joining_ctime(now, is_beside);
        let entry = self.inventory.require(&media)?;
        let id = MediaId {
            label: entry.id.label.clone(),
            media_set_label: Some(MediaSetLabel {
                ctime: now,
                encryption_key_fingerprint: self.config.encrypt.clone(),
                pool: self.config.name.clone(),
                seq_nr: self.current.members().len() as u64,
                uuid: *self.current.uuid(),
            }),
        };
        let seq_nr = self.current.members().len() as u64;
        // The catalog goes first. A crash between the two leaves a tape that is still in its old set and has
        // no catalog of it, which a scan makes anew; the other way round the new set would have a
        // member with another set's catalog, and no job could go on with it.
        MediaCatalog::overwrite(self.inventory.state(), &id)?;
        self.inventory.store(id, true)?;
        self.current.insert(seq_nr, media)
    }
}

/// The media characters of WORM cartridges, LTO-3 to LTO-10 (LTO bar-code label specification).
fn is_worm_bar_code(text: &str) -> bool {
    const WORM: [&str; 8] = ["LT", "LU", "LV", "LW", "LX", "LY", "LZ", "LH"];
    text.len() == 8 && WORM.iter().any(|media| text.ends_with(media))
}

#[cfg(test)]
mod tests;
