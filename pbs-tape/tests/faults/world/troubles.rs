//! What only troubles need: damage that stays, the host's power, a second drive and a second job.

use std::collections::BTreeSet;
use std::time::Duration;

use datastore::Digest;
use datastore::progress::Silent;
use pbs_tape::loader::MediaLoader;
use pbs_tape::media::{Inventory, MediaCatalog, StateDir};
use pbs_tape::operations::label::barcode_label;
use pbs_tape::operations::restore_key::restore_key;
use pbs_tape::restore::RestoreReport;
use scsi::{Data, Transport};
use uuid::Uuid;
use vtl::faults::FaultPlan;

use super::{PASSPHRASE, World};
use crate::dice::Dice;
use crate::source::GROUPS;

/// A file of a tape that can never be read again.
pub struct DamagedFile {
    set: Uuid,
    media: Uuid,
    text: String,
    file: u64,
}

impl DamagedFile {
    fn rule(&self) -> String {
        format!("always drives read file={} barcode={} -> unreadable", self.file, self.text)
    }
}

impl World<'_> {
    /// Chooses a file with data, of any tape in a set, to be unreadable from now on. What it was.
    pub fn damage_a_file(&mut self, dice: &Dice) -> String {
        let inventory = Inventory::load(&self.state).unwrap();
        let mut files = BTreeSet::new();
        for entry in inventory.entries() {
            let Some(label) = entry.id.assigned_set() else { continue };
            let catalog = MediaCatalog::load(&self.state, &entry.id).unwrap();
            let mut add = |file| {
                let text = entry.id.label.label_text.clone();
                files.insert((text, file, entry.id.label.uuid, label.uuid));
            };
            for (store, content) in catalog.content().stores() {
                content.snapshots.values().for_each(|file| add(*file));
                catalog.each_chunk(store, &mut |_, file| add(file)).unwrap();
            }
        }
        let chosen = dice.below(50, files.len() as u64) as usize;
        let (text, file, media, set) = files.into_iter().nth(chosen).unwrap();
        let damage = DamagedFile { set, media, text, file };
        let rule = damage.rule();
        self.damage = Some(damage);
        self.set_faults(self.damage());
        rule
    }

    /// The damage that stays, as a plan.
    pub fn damage(&self) -> Option<FaultPlan> {
        self.damage.as_ref().map(|damage| damage.rule().parse().unwrap())
    }

    /// False if jobs have begun another set since.
    pub fn newest_set_is_damaged(&self) -> bool {
        let newest = Inventory::load(&self.state).unwrap().latest_set("p1");
        newest.is_some() && newest == self.damage.as_ref().map(|damage| damage.set)
    }

    /// True if the snapshot needs what lies in the damaged file, and the restore says so.
    pub(super) fn is_lost_and_told(&self, set: Uuid, name: &str, report: &RestoreReport) -> bool {
        let Some(damage) = self.damage.as_ref().filter(|damage| damage.set == set) else {
            return false;
        };
        let is_told = report.snapshots_failed.iter().any(|(failed, _)| failed.contains(name))
            || report.damage.iter().any(|damaged| damaged.contains(&damage.text));
        // What lay in the file is known from the catalogs that were written while all was well.
        let inventory = Inventory::load(&self.state).unwrap();
        let (mut lost, mut elsewhere, mut is_archive_lost) =
            (BTreeSet::new(), BTreeSet::new(), false);
        for entry in inventory.entries() {
            if entry.id.assigned_set().is_none_or(|label| label.uuid != set) {
                continue;
            }
            let is_damaged = |file| entry.id.label.uuid == damage.media && file == damage.file;
            let catalog = MediaCatalog::load(&self.state, &entry.id).unwrap();
            for (store, content) in catalog.content().stores() {
                is_archive_lost |=
                    content.snapshots.get(name).is_some_and(|file| is_damaged(*file));
                let mut add = |digest: &Digest, file| {
                    if is_damaged(file) {
                        lost.insert(*digest)
                    } else {
                        elsewhere.insert(*digest)
                    };
                };
                catalog.each_chunk(store, &mut add).unwrap();
            }
        }
        let needed = &self.source.chunks[name];
        let is_chunk_lost = lost.difference(&elsewhere).any(|digest| needed.contains(digest));
        is_told && (is_archive_lost || is_chunk_lost)
    }

    /// The host's power goes after so many commands.
    pub fn cut_power_after(&self, commands: u64) {
        self.power.cut_after(commands);
    }

    /// The host starts again with the state folder as it was. The drives may have lost their power too.
    pub fn power_back(&mut self, is_drive_cut: bool) {
        if !self.power.restore(self.state.path()) {
            return;
        }
        if is_drive_cut {
            self.set_faults(Some("once drives any -> power-loss down=0".parse().unwrap()));
            let mut drive = self.library.drive(0).unwrap();
            // No answer is what is wanted.
            let _ = drive.execute(&[0; 6], Data::None, Duration::from_secs(60));
            self.set_faults(None);
        }
        self.note_promises();
    }

    /// The robot takes the tape out of a drive that does not answer.
    pub fn take_out_of(&self, drive: u64) {
        let station = self.station_on(&self.state, 1);
        let mut changer = station.open_changer().unwrap();
        if let Err(error) = changer.unload(drive, None) {
            assert!(error.is_missing(), "{error}");
        }
    }

    /// New tapes for a pool.
    pub fn label_for(&mut self, pool: &str, tapes: u64) {
        for number in 1..=tapes {
            let text = format!("{}{number:04}L8", pool.to_uppercase());
            self.library.add_cartridge(&text, Some(6 << 20)).unwrap();
        }
        let mut station = self.station_over(&self.state);
        let report = barcode_label(&self.state, &mut station, Some(pool), &Silent).unwrap();
        assert_eq!(report.labelled.len() as u64, tapes, "{report:?}");
        station.unload(None).unwrap();
    }

    /// Nobody here has the pools' key any more. Which it is.
    pub fn lose_key(&self) -> String {
        let key = self.key.unwrap();
        self.state.keys().remove(key).unwrap();
        key.to_string()
    }

    /// Takes the key from the first tape of the newest set.
    pub fn key_from_tape(&mut self) -> Result<(), String> {
        let inventory = Inventory::load(&self.state).unwrap();
        let set = inventory.latest_set("p1").unwrap();
        let members = inventory.media_set(&set).unwrap();
        let first = members.members().first().copied().flatten().unwrap();
        let text = inventory.require(&first).unwrap().id.label.label_text.clone();
        let mut station = self.station_over(&self.state);
        drop(station.load(&text, &Silent).map_err(|error| error.to_string())?);
        let ask = &mut |_: &str, _: Option<&str>| Ok(PASSPHRASE.to_vec());
        restore_key(&self.state, &mut station, false, ask, &Silent)
            .map(|_| ())
            .map_err(|error| error.to_string())
    }

    /// Backs up everything twice at once, in two drives.
    pub fn two_jobs(
        &mut self,
        first: &str,
        second: &str,
        is_patient: bool,
    ) -> (Result<(), String>, Result<(), String>) {
        let wait = Duration::from_millis(if is_patient { 60_000 } else { 1 });
        let job = |drive, pool: &str| {
            let state = StateDir::open(self.state.path()).unwrap().with_lock_wait(wait);
            let mut station = self.station_on(&state, drive);
            let done = self.back_up(&state, &mut station, GROUPS.len(), pool);
            // A tape that stays in the drive would be in the way of the other job.
            let unloaded = station.unload(None);
            done.and(unloaded).map_err(|error| error.to_string())
        };
        let ends = std::thread::scope(|scope| {
            let other = scope.spawn(|| job(1, second));
            let own = job(0, first);
            (own, other.join().unwrap())
        });
        self.note_promises();
        ends
    }
}
