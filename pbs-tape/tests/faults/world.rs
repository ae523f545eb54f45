//! An emulated library, the jobs over it, and the promises that the jobs made.

mod troubles;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use datastore::key::KdfKind;
use datastore::progress::Silent;
use datastore::{Datastore, Digest, Fingerprint};
use pbs_tape::Error;
use pbs_tape::extract::{ExtractOptions, ExtractTarget, Extraction, Wanted};
use pbs_tape::keys::KeyStore;
use pbs_tape::loader::{MediaLoader, MediaWait};
use pbs_tape::media::{Inventory, MediaCatalog, MediaStatus, PoolConfig, StateDir};
use pbs_tape::operations::catalog::{CatalogOptions, catalog};
use pbs_tape::operations::erase::format;
use pbs_tape::operations::export::{ExportResult, Library as Robot, export_set, import_all};
use pbs_tape::operations::inventory::{InventoryOptions, inventory};
use pbs_tape::operations::label::barcode_label;
use pbs_tape::restore::{RestoreOptions, StoreMap, run_restore};
use pbs_tape::station::{ChangerConfig, DriveConfig, DriveStation, StationPatience};
use pbs_tape::verify::{VerifyOptions, VerifyScope, run_verify};
use pbs_tape::write::{TapeBackupOptions, run_backup, run_backup_on};
use scsi::retry::{Backoff, Retrying};
use scsi::{Address, Connect, Data, Transport, VtlUnit};
use tempfile::TempDir;
use uuid::Uuid;
use vtl::faults::FaultPlan;
use vtl::{ElementKind, Library, Options};

use self::troubles::DamagedFile;
use crate::common::{allow_chunk, memory_folder};
use crate::power::{Power, Powered};
use crate::source::{GROUPS, IMAGE, STORE, Source};
use crate::store::{fingerprint, open_store};

/// An operation of the tape side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// Label every blank tape.
    Label,
    /// Back up so many of the groups.
    Backup(usize),
    /// Restore the newest set.
    Restore,
    /// Read all labels and take in catalogs.
    Inventory,
    /// Rebuild the catalog of a tape.
    Catalog {
        /// Which of the tapes in sets.
        tape: usize,
        /// From the whole tape.
        scan: bool,
    },
    /// Make a tape blank that is in no set.
    Format,
    /// Verify the newest set.
    Verify,
    /// Get an image straight from tape.
    Extract,
    /// Bring the newest set to the import/export slots.
    Export,
    /// Bring what is there back.
    Import,
}

struct Emulated(Arc<Power>);

impl Connect for Emulated {
    /// As the binary does it, but without waiting.
    fn connect(&self, address: &Address) -> Result<Box<dyn Transport>, scsi::Error> {
        let Address::Vtl { dir, unit } = address else { panic!("{address}") };
        let instant = Duration::from_nanos(1);
        let backoff = Backoff { first: instant, longest: instant, total: Duration::from_nanos(4) };
        let unit = Powered { unit: vtl::open_unit(dir, *unit)?, power: Arc::clone(&self.0) };
        Ok(Box::new(Retrying::with_backoff(unit, backoff)))
    }
}

/// A state directory and a library of its own.
pub struct World<'s> {
    source: &'s Source,
    folder: TempDir,
    state: StateDir,
    library: Library,
    dir: PathBuf,
    power: Arc<Power>,
    /// Media sets and the snapshots that a job recorded as being on them.
    promised: BTreeMap<Uuid, BTreeSet<String>>,
    /// A file that can't be read any more.
    damage: Option<DamagedFile>,
    /// The key of the pools.
    key: Option<Fingerprint>,
}

const CARTRIDGES: u16 = 4;
/// Of the pools' key.
pub const PASSPHRASE: &[u8] = b"tape passphrase";

impl<'s> World<'s> {
    /// Blank cartridges of 6 MiB, of which a bit more than 4 are used: everything takes two.
    pub fn new(source: &'s Source) -> World<'s> {
        World::with_drives(source, 1)
    }

    /// The same with so many drives.
    pub fn with_drives(source: &'s Source, drives: u16) -> World<'s> {
        let folder = memory_folder();
        let state = StateDir::open(folder.path().join("state")).unwrap();
        let state = state.with_keys(KeyStore::at(folder.path()));
        let dir = folder.path().join("library");
        let options = Options {
            drives,
            slots: 12,
            import_export: 1,
            cartridges: CARTRIDGES,
            capacity_bytes: Some(6 << 20),
            ..Options::default()
        };
        let library = Library::create(&dir, &options).unwrap();
        World {
            source,
            power: Arc::new(Power::new(&folder)),
            damage: None,
            key: None,
            state: state.with_lock_wait(Duration::from_millis(10)),
            folder,
            library,
            dir,
            promised: BTreeMap::new(),
        }
    }

    /// From now on the pools have a key.
    pub fn encrypt(&mut self) {
        // PBKDF2, because scrypt is slow in a test.
        let key = self.state.keys().create(KdfKind::Pbkdf2, PASSPHRASE, None).unwrap();
        self.key = Some(key);
    }

    /// The library.
    pub fn library(&self) -> &Library {
        &self.library
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, plan: Option<FaultPlan>) {
        self.library.set_faults(plan);
    }

    fn station_over(&self, state: &StateDir) -> DriveStation {
        self.station_on(state, 0)
    }

    fn station_on(&self, state: &StateDir, drive: u16) -> DriveStation {
        let address = |unit| Address::Vtl { dir: self.dir.clone(), unit };
        let config = DriveConfig {
            name: format!("lto{drive}"),
            address: address(VtlUnit::Drive(drive)),
            changer: Some(ChangerConfig {
                name: "lib0".into(),
                address: address(VtlUnit::Changer),
                export_slots: Vec::new(),
                eject_before_unload: false,
            }),
            changer_drive: drive.into(),
        };
        let moment = Duration::from_millis(1);
        let patience = StationPatience {
            drive: pbs_tape::drive::Patience {
                poll_interval: Duration::from_micros(100),
                ready_within: moment,
                calibrated_within: moment,
                no_medium_within: Duration::ZERO,
                formatted_within: moment,
                erased_within: moment,
            },
            changer: changer::Patience {
                poll_interval: Duration::from_micros(100),
                answer_within: moment,
                ready_within: moment,
                clean_within: moment,
            },
        };
        let wait = Duration::from_millis(10);
        let connect = Arc::new(Emulated(Arc::clone(&self.power)));
        DriveStation::open(state, config, connect, Arc::new(Silent), wait)
            .unwrap()
            .with_patience(patience)
    }

    /// Carries out an operation and notes what it promised. The error is its message.
    pub fn run(&mut self, operation: Operation) -> Result<(), String> {
        self.run_on(0, operation)
    }

    /// The same in another drive.
    pub fn run_on(&mut self, drive: u16, operation: Operation) -> Result<(), String> {
        let mut station = self.station_on(&self.state, drive);
        let done = self.attempt(&mut station, operation);
        drop(station);
        self.note_promises();
        done.map_err(|error| {
            let message = error.to_string();
            let names = [
                "lto",
                "lib0",
                "vtl:",
                "CAP0",
                "NEW0",
                "pool",
                "media set",
                "media catalog",
                "main:",
                "tape key",
            ];
            assert!(
                names.iter().any(|name| message.contains(name)),
                "an error that names neither device nor tape: {message}"
            );
            message
        })
    }

    fn attempt(&self, station: &mut DriveStation, operation: Operation) -> Result<(), Error> {
        match operation {
            Operation::Label => {
                let report = barcode_label(&self.state, station, Some("p1"), &Silent)?;
                partial(report.failed)
            }
            Operation::Backup(groups) => {
                self.back_up(&self.state, station, groups, "p1").map(|_| ())
            }
            Operation::Restore => {
                let newest = Inventory::load(&self.state)?.latest_set("p1");
                let Some(set) = newest else { return Ok(()) };
                let target = self.empty_target();
                let options = restore_options(set, &target.1);
                run_restore(&self.state, station, &options, &Silent)?.into_result().map(|_| ())
            }
            Operation::Verify => {
                let newest = Inventory::load(&self.state)?.latest_set("p1");
                let Some(set) = newest else { return Ok(()) };
                let options = VerifyOptions {
                    scope: VerifyScope::Set(set),
                    keys: Vec::new(),
                    threads: 1,
                    wait: MediaWait::NONE,
                };
                run_verify(&self.state, station, &options, &Silent)?.into_result().map(|_| ())
            }
            Operation::Extract => self.extract(station),
            Operation::Export => {
                let newest = Inventory::load(&self.state)?.latest_set("p1");
                let Some(set) = newest else { return Ok(()) };
                let exported = self.with_robot(station, &|robot| {
                    export_set(&self.state, &set, robot, false, &Silent)
                })?;
                let refused = exported.tapes.into_iter().filter_map(|tape| {
                    let is_refused = tape.result == ExportResult::Refused;
                    is_refused.then(|| (tape.label_text, tape.reason.unwrap_or_default()))
                });
                partial(refused.collect())
            }
            Operation::Import => self
                .with_robot(station, &|robot| import_all(&self.state, robot, &Silent))
                .map(|_| ()),
            Operation::Inventory => {
                let options = InventoryOptions {
                    read_labels: true,
                    read_all_labels: true,
                    catalog: true,
                    changers: Vec::new(),
                };
                partial(inventory(&self.state, station, &options, &Silent)?.failed)
            }
            Operation::Catalog { tape, scan } => {
                let texts = self.tapes(true);
                let Some(text) = texts.get(tape % texts.len().max(1)) else { return Ok(()) };
                drop(station.load(text, &Silent)?);
                let options = CatalogOptions { force: true, scan };
                catalog(&self.state, station, options, &Silent).map(|_| ())
            }
            Operation::Format => {
                let texts = self.tapes(false);
                let Some(text) = texts.first() else { return Ok(()) };
                drop(station.load(text, &Silent)?);
                format(&self.state, station, Some(text), true, &Silent).map(|_| ())
            }
        }
    }

    /// A job over both drives at once. The error is its message, or what ended the part of one of them.
    pub fn back_up_on_both(&mut self, groups: usize) -> Result<(), String> {
        let mut options = backup_options(groups);
        options.join_after_bytes = Some(0);
        let mut stations = [self.station_on(&self.state, 0), self.station_on(&self.state, 1)];
        let [first, second] = &mut stations;
        let pool = self.pool("p1");
        let (state, store) = (&self.state, &self.source.store);
        let done = run_backup_on(state, store, pool, &mut [first, second], &options, &Silent);
        drop(stations);
        self.note_promises();
        let report = done.map_err(|error| error.to_string())?;
        let failed = report.streams.into_iter().filter(|stream| !stream.lacked_tape);
        match failed.filter_map(|stream| stream.error).next() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Works with the robot, as commands do that export and import.
    fn with_robot<R>(
        &self,
        station: &DriveStation,
        work: &dyn Fn(&mut Robot<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let mut changer = station.open_changer()?;
        // The drive is locked by the station.
        let lock_drive = |_| Ok(None);
        work(&mut Robot { name: "lib0", changer: &mut changer, lock_drive: &lock_drive })
    }

    /// An image of the first snapshot that is on tape.
    fn extract(&self, station: &mut DriveStation) -> Result<(), Error> {
        let Some(name) = self.promised.values().flatten().next() else { return Ok(()) };
        let options = ExtractOptions {
            wait: MediaWait::NONE,
            spool_folder: self.folder.path().to_path_buf(),
            spool_bytes_max: 1 << 30,
        };
        let wanted = Wanted { archive: IMAGE.into(), patterns: Vec::new(), range: None, key: None };
        let pools = [self.pool("p1")];
        let qualified = format!("{STORE}:{name}");
        let extraction =
            Extraction::open(&self.state, station, &pools, &qualified, &options, &Silent)?;
        let mut bytes = Vec::new();
        let report = extraction.run(&wanted, ExtractTarget::Stream(&mut bytes))?;
        let lost = report.lost.into_iter().map(|lost| (qualified.clone(), format!("{lost:?}")));
        partial(lost.collect())?;
        let print = &self.source.snapshots[name];
        let image = print.iter().find(|(file, _)| file == IMAGE).unwrap();
        assert_eq!(Digest::of(&bytes), image.1, "{name}: other bytes without an error");
        Ok(())
    }

    /// A pool; with a key, if this world encrypts.
    fn pool(&self, name: &str) -> PoolConfig {
        let mut pool = PoolConfig::new(name);
        pool.encrypt = self.key.map(|key| key.to_string());
        pool
    }

    fn back_up(
        &self,
        state: &StateDir,
        station: &mut DriveStation,
        groups: usize,
        pool: &str,
    ) -> Result<Uuid, Error> {
        let options = backup_options(groups);
        let pool = self.pool(pool);
        let report = run_backup(state, &self.source.store, pool, station, &options, &Silent)?
            .into_result()?;
        Ok(report.media_set_uuid)
    }

    /// Label texts of tapes that are in a set, or that are in none.
    fn tapes(&self, in_set: bool) -> Vec<String> {
        let inventory = Inventory::load(&self.state).unwrap();
        let mut texts: Vec<String> = inventory
            .entries()
            .filter(|entry| entry.id.assigned_set().is_some() == in_set)
            .map(|entry| entry.id.label.label_text.clone())
            .collect();
        texts.sort();
        texts
    }

    fn empty_target(&self) -> (TempDir, Arc<Datastore>) {
        let folder = tempfile::tempdir_in(self.folder.path()).unwrap();
        let store = open_store(folder.path());
        for digest in &self.source.digests {
            allow_chunk(&store, digest);
        }
        (folder, store)
    }

    /// What the catalogs on disk say is on tape.
    fn note_promises(&mut self) {
        let inventory = Inventory::load(&self.state).unwrap();
        for entry in inventory.entries() {
            let Some(set) = entry.id.assigned_set() else { continue };
            if !MediaCatalog::exists(&self.state, &entry.id.label.uuid) {
                continue;
            }
            let catalog = MediaCatalog::load(&self.state, &entry.id).unwrap();
            for content in catalog.content().stores().values() {
                let names = content.snapshots.keys().cloned();
                self.promised.entry(set.uuid).or_default().extend(names);
            }
        }
    }

    /// What an operator does when the library has had its troubles: looks into the gripper, opens
    /// tabs, reads and thereby clears alerts, brings new tapes.
    pub fn operator(&mut self, new_tapes: bool) {
        self.library.set_faults(None);
        let minute = Duration::from_secs(60);
        let settle = |unit: &mut dyn Transport| {
            for _ in 0..8 {
                let reply = unit.execute(&[0; 6], Data::None, minute);
                if reply.is_ok_and(|reply| !reply.sense.is_some_and(|s| s.is_unit_attention())) {
                    return;
                }
            }
        };
        let mut robot = self.library.changer().unwrap();
        settle(&mut robot);
        robot.execute(&[0x07, 0, 0, 0, 0, 0], Data::None, minute).unwrap();
        for number in 0..self.library.drives() {
            let mut drive = self.library.drive(number).unwrap();
            settle(&mut drive);
            let alerts = [0x4d, 0, 0x2e, 0, 0, 0, 0, 4, 0, 0];
            drive.execute(&alerts, Data::In(&mut [0; 1024]), minute).unwrap();
            drop(drive);
            self.station_on(&self.state, number).unload(None).unwrap();
        }
        let mut station = self.station_over(&self.state);
        self.with_robot(&station, &|robot| import_all(&self.state, robot, &Silent)).unwrap();
        for element in self.library.list().unwrap().elements {
            if let (Some(barcode), true) = (&element.barcode, element.write_protected) {
                self.library.set_write_protected(barcode, false).unwrap();
            }
            assert_ne!(element.kind, ElementKind::Transport, "the gripper was not emptied");
        }
        if new_tapes {
            for number in 1..=4 {
                self.library.add_cartridge(&format!("NEW00{number}L8"), Some(32 << 20)).unwrap();
            }
            let report = barcode_label(&self.state, &mut station, Some("p1"), &Silent).unwrap();
            let labelled = |text: &str| report.labelled.iter().any(|one| one.label_text == text);
            assert!((1..=4).all(|n| labelled(&format!("NEW00{n}L8"))), "{report:?}");
        }
    }

    /// The next job, with nothing going wrong any more, and everything back from tape: what was
    /// promised, and what the last job wrote.
    pub fn goes_on_and_keeps_its_promises(&mut self) -> Result<(), String> {
        let mut station = self.station_over(&self.state);
        let mut full = BTreeSet::new();
        let set = loop {
            match self.back_up(&self.state, &mut station, GROUPS.len(), "p1") {
                Ok(set) => break set,
                // A tape that ends early fails one job, and only one.
                Err(error) if is_full(&error) && full.insert(error.to_string()) => {}
                Err(error) => return Err(format!("the next job does not go on: {error}")),
            }
        };
        drop(station);
        self.note_promises();
        let all: BTreeSet<String> = self.source.snapshots.keys().cloned().collect();
        let promised = self.promised.get(&set).cloned().unwrap_or_default();
        if promised != all {
            return Err(format!("the catalogs lack snapshots of the last job: {promised:?}"));
        }
        for (set, names) in &self.promised {
            self.comes_back(&self.state, *set, names)?;
        }
        Ok(())
    }

    /// The same from the tapes alone: a state directory that knows nothing.
    pub fn comes_back_from_nothing(&self) -> Result<(), String> {
        let state = StateDir::open(self.folder.path().join("fresh")).unwrap();
        let state = state.with_keys(KeyStore::at(self.folder.path()));
        let mut station = self.station_over(&state);
        let options = InventoryOptions {
            read_labels: true,
            read_all_labels: true,
            catalog: true,
            changers: Vec::new(),
        };
        inventory(&state, &mut station, &options, &Silent)
            .map_err(|error| format!("inventory from nothing: {error}"))?;
        drop(station);
        for (set, names) in &self.promised {
            self.comes_back(&state, *set, names)?;
        }
        Ok(())
    }

    /// How many snapshots the catalogs of the pool's newest set have.
    pub fn promises_of_newest_set(&self) -> usize {
        let newest = Inventory::load(&self.state).unwrap().latest_set("p1");
        newest.and_then(|set| self.promised.get(&set)).map_or(0, BTreeSet::len)
    }

    fn comes_back(
        &self,
        state: &StateDir,
        set: Uuid,
        names: &BTreeSet<String>,
    ) -> Result<(), String> {
        let mut station = self.station_over(state);
        let (_folder, target) = self.empty_target();
        let report = run_restore(state, &mut station, &restore_options(set, &target), &Silent)
            .map_err(|error| format!("restoring set {set}: {error}"))?;
        for name in names {
            let restored = fingerprint(&target, name);
            if restored.is_err() && self.is_lost_and_told(set, name, &report) {
                continue;
            }
            if restored.as_ref().ok() != self.source.snapshots.get(name) {
                return Err(format!(
                    "{name} was recorded as being on tape and does not come back ({:?}); failed: {:?}, \
                     damage: {:?}",
                    restored.err().map(|error| error.to_string()),
                    report.snapshots_failed,
                    report.damage
                ));
            }
        }
        Ok(())
    }

    /// Forgets that a tape was called damaged, as an operator does who has looked at it.
    pub fn trust_tapes(&self) {
        let mut inventory = Inventory::load(&self.state).unwrap();
        let damaged: Vec<Uuid> = inventory
            .entries()
            .filter(|entry| entry.decided_status() == Some(MediaStatus::Damaged))
            .map(|entry| entry.id.label.uuid)
            .collect();
        for media in damaged {
            inventory.set_status(&media, None).unwrap();
        }
    }
}

fn backup_options(groups: usize) -> TapeBackupOptions {
    let mut options = TapeBackupOptions::new(STORE);
    let wanted = GROUPS.iter().take(groups);
    options.group_filters = wanted.map(|group| format!("group:{group}").parse().unwrap()).collect();
    options
}

fn is_full(error: &Error) -> bool {
    matches!(error.cause(), Error::TapeFull | Error::DoesNotFit { .. })
}

fn partial(failed: Vec<(String, String)>) -> Result<(), Error> {
    match failed.first() {
        None => Ok(()),
        Some((text, reason)) => {
            Err(Error::Partial { failed: failed.len(), first: format!("{text}: {reason}") })
        }
    }
}

fn restore_options(set: Uuid, target: &Arc<Datastore>) -> RestoreOptions {
    RestoreOptions {
        media_set: set,
        stores: StoreMap::all_to("target", Arc::clone(target)),
        snapshots: Vec::new(),
        owner: "root@pam".into(),
        wait: MediaWait::NONE,
        writers: 1,
    }
}
