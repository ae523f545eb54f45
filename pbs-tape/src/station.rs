//! A drive with the library that feeds it, or with a person who does.
//!
//! Two programs at one tape would destroy each other's work, so a station holds the drive's lock as
//! long as it exists. The lock goes with the drive's address, links followed: two configured names of
//! one drive exclude each other, and so do `/dev/sg3` and the link below `/dev/tape/by-id` to it. Who wants several drives locks them in the order of
//! those names ([`open_all`]), so two that want the same ones never wait for each other.
//!
//! The robot is shared: it is opened for each move only, and looks before it moves. Look and move are one step for all who
//! use this state folder ([`StateDir::lock_changer`]): else two of them would choose the same free slot.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use changer::{Changer, StatusCache};
use datastore::Progress;
use scsi::command::tape_alert::TapeAlerts;
use scsi::{Address, Connect};
use uuid::Uuid;

use crate::care::cleaning::{self, CleanPolicy, Cleaned, Cleaning, Need};
use crate::care::{Event, Recorder};
use crate::device::{LtoTape, TapeDevice};
use crate::drive::{self, Drive};
use crate::error::{Error, Result};
use crate::keys::KeyStore;
use crate::loader::{MediaLoader, check_abort};
use crate::media::{Inventory, Location, Lock, Reach, StateDir};

/// A configured changer.
#[derive(Debug, Clone)]
pub struct ChangerConfig {
    /// Its name; tapes in it are at `online-NAME`.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// Slot numbers that count as import/export slots although the library calls them storage.
    pub export_slots: Vec<u64>,
    /// The library can't take a tape out of a drive that has not ejected it. (Every tape that a job
    /// has open is ejected first in any case.)
    pub eject_before_unload: bool,
}

/// A configured drive.
#[derive(Debug, Clone)]
pub struct DriveConfig {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub address: Address,
    /// The changer that feeds it.
    pub changer: Option<ChangerConfig>,
    /// Which of the changer's drives it is, from 0.
    pub changer_drive: u64,
}

/// A locked drive and the way in which it gets its tapes.
pub struct DriveStation {
    config: DriveConfig,
    connect: Arc<dyn Connect>,
    progress: Arc<dyn Progress>,
    status_cache: Option<StatusCache>,
    state: StateDir,
    patience: StationPatience,
    recorder: Arc<Recorder>,
    clean: CleanPolicy,
    /// The drive is not cleaned by itself any more while this station exists: it was tried, or can't be.
    is_clean_settled: bool,
    _lock: Lock,
}

/// How long the robot's turn is waited for, while it moves for others.
const ROBOT_WAIT: Duration = Duration::from_secs(600);
/// Between two looks for an abort while that is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long a station waits for its devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StationPatience {
    /// For a tape to become ready.
    pub drive: drive::Patience,
    /// For the robot to answer.
    pub changer: changer::Patience,
}

impl DriveStation {
    /// Locks the drive. `progress` can end long waits; `lock_wait` is how long another job is waited
    /// for.
    pub fn open(
        state: &StateDir,
        config: DriveConfig,
        connect: Arc<dyn Connect>,
        progress: Arc<dyn Progress>,
        lock_wait: Duration,
    ) -> Result<DriveStation> {
        let lock = state.lock_drive(&lock_name(&config.address), lock_wait)?;
        let status_cache =
            config.changer.as_ref().map(|changer| state.changer_status(&changer.name));
        let recorder = Recorder::new(state, &config.name, Arc::clone(&progress));
        Ok(DriveStation {
            recorder: Arc::new(recorder),
            clean: CleanPolicy::default(),
            is_clean_settled: false,
            config,
            connect,
            progress,
            status_cache,
            state: state.clone(),
            patience: StationPatience::default(),
            _lock: lock,
        })
    }

    /// Changes how long is waited.
    #[must_use]
    pub fn with_patience(mut self, patience: StationPatience) -> DriveStation {
        self.patience = patience;
        self
    }

    /// Changes whether the drive is cleaned by itself when it asks.
    #[must_use]
    pub fn with_cleaning(mut self, clean: CleanPolicy) -> DriveStation {
        self.clean = clean;
        self
    }

    /// Its configuration.
    pub fn config(&self) -> &DriveConfig {
        &self.config
    }

    /// Opens the drive without looking for a tape, for status and the like.
    pub fn open_drive(&self) -> Result<Drive> {
        let transport = self.connect.connect(&self.config.address).map_err(|e| self.no_way(e))?;
        let mut drive = Drive::open(transport)?;
        drive.set_patience(self.patience.drive);
        Ok(drive)
    }

    /// Opens the changer. A stand-alone drive has none.
    pub fn open_changer(&self) -> Result<Changer> {
        let Some(config) = &self.config.changer else {
            return Err(Error::Unsupported(format!("drive {} has no changer", self.config.name)));
        };
        let transport = self.connect.connect(&config.address).map_err(|e| self.no_way(e))?;
        let progress = Arc::clone(&self.progress);
        let mut changer = Changer::open(transport)?
            .with_export_slots(config.export_slots.clone())
            .with_patience(self.patience.changer)
            .with_abort(Box::new(move || progress.is_aborted()));
        if let Some(cache) = &self.status_cache {
            changer = changer.with_cache(cache.clone());
        }
        if config.eject_before_unload {
            let (connect, address) = (Arc::clone(&self.connect), self.config.address.clone());
            let own = self.config.changer_drive;
            changer = changer.with_eject(Box::new(move |drive| {
                if drive == own { eject(&*connect, &address) } else { Ok(()) }
            }));
        }
        Ok(changer)
    }

    /// The right to move something with the robot; none is needed without one.
    fn lock_robot(&self) -> Result<Option<Lock>> {
        let Some(config) = &self.config.changer else { return Ok(None) };
        let start = Instant::now();
        loop {
            match self.state.lock_changer(&config.name, LOOK_EVERY) {
                Err(Error::Locked { .. }) if start.elapsed() < ROBOT_WAIT => {
                    check_abort(&*self.progress)?;
                }
                other => return other.map(Some),
            }
        }
    }

    fn no_way(&self, error: scsi::Error) -> Error {
        Error::Unsupported(error.to_string())
    }

    /// Cleans the drive with the cartridge of bar code `label`, or with one that is not used up; see
    /// [`Cleaning::run`](cleaning::Cleaning::run).
    pub fn clean(&self, label: Option<&str>, progress: &dyn Progress) -> Result<Cleaned> {
        let mut changer = self.open_changer()?;
        let library = self.config.changer.as_ref().map(|changer| lock_name(&changer.address));
        Cleaning {
            state: &self.state,
            library: library.as_deref().unwrap_or_default(),
            changer: &mut changer,
            number: self.config.changer_drive,
            lock_robot: &|| self.lock_robot(),
            open_drive: &|| self.open_drive(),
            recorder: &self.recorder,
            drive: &self.config.name,
        }
        .run(label, progress)
    }

    /// Between two tapes: cleans the drive if it asks for it and that is wanted. What keeps it from being cleaned is told once,
    /// and the job goes on: whether a dirty drive still writes and reads, it says itself.
    fn clean_if_asked(&mut self, progress: &dyn Progress) -> Result<()> {
        if self.is_clean_settled {
            return Ok(());
        }
        let Ok(mut drive) = self.open_drive() else { return Ok(()) };
        let Some(need) = cleaning::asked(&mut drive) else { return Ok(()) };
        let serial = drive.serial().ok().flatten();
        drop(drive);
        self.is_clean_settled = true;
        let name = &self.config.name;
        let asks = match need {
            Need::Requested => format!("drive {name} asks to be cleaned"),
            Need::Required => format!("drive {name} must be cleaned"),
        };
        if let Some(obstacle) = self.obstacle_to_cleaning(serial.as_deref()) {
            progress.warn(&format!("{asks}: {obstacle}"));
            return Ok(());
        }
        match self.clean(None, progress) {
            Ok(cleaned) if cleaned.still_requested => progress.warn(&format!(
                "drive {name} was cleaned with {} and still asks for it; if it does so tomorrow, have it serviced",
                cleaned.label_text
            )),
            Ok(cleaned) => {
                // It may get dirty again before a long job is over.
                self.is_clean_settled = false;
                progress.note(&format!(
                    "drive {name} was cleaned with {}{}",
                    cleaned.label_text,
                    cleaned.cleanings_left.map_or(String::new(), |left| format!(", {left} uses left"))
                ));
            }
            Err(error) if error.is_aborted() => return Err(error),
            Err(error) => progress.warn(&format!("{asks}, which did not work: {error}")),
        }
        Ok(())
    }

    /// Why the drive is not cleaned by itself.
    fn obstacle_to_cleaning(&self, serial: Option<&str>) -> Option<String> {
        if self.config.changer.is_none() {
            return Some("put a cleaning cartridge in when the job is over".into());
        }
        if self.clean == CleanPolicy::Never {
            return Some("it is configured not to be cleaned by itself; run 'tape clean'".into());
        }
        let last = cleaning::last_cleaned(&self.state, serial?)?;
        let is_recent = self.state.now().saturating_sub(last) < cleaning::CLEAN_AGAIN_AFTER_S;
        is_recent.then(|| "it was cleaned less than a day ago; have it serviced".into())
    }

    /// Records the statistics of a tape that this station did not open. What others did to the drive before is told first, and
    /// concerns nobody here.
    fn record_leaving(&self, drive: &mut Drive) {
        const UNIT_ATTENTIONS_MAX: usize = 4;
        for _ in 0..UNIT_ATTENTIONS_MAX {
            if self.recorder.record(Event::Leave, drive, None, TapeAlerts::EMPTY).is_ok() {
                return;
            }
        }
    }

    fn open_with_media(&self, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        let mut drive = self.open_drive()?;
        drive
            .prepare_media(self.config.changer.is_some(), progress)
            .map_err(|e| if e.is_aborted() { Error::Aborted } else { e.into() })?;
        let tape = LtoTape::new(drive, Arc::clone(&self.progress));
        Ok(Box::new(tape.with_recorder(Arc::clone(&self.recorder))))
    }
}

/// Locks several drives for one job, and gives them in the order in which they were named.
///
/// # Errors
///
/// [`Error::DriveTwice`] if two of the names mean one drive.
pub fn open_all(
    state: &StateDir,
    configs: Vec<DriveConfig>,
    connect: &Arc<dyn Connect>,
    progress: &Arc<dyn Progress>,
    lock_wait: Duration,
) -> Result<Vec<DriveStation>> {
    let mut ordered: Vec<(String, usize, DriveConfig)> = configs
        .into_iter()
        .enumerate()
        .map(|(place, config)| (lock_name(&config.address), place, config))
        .collect();
    ordered.sort_by(|(a, ..), (b, ..)| a.cmp(b));
    for pair in ordered.windows(2) {
        if let [(one, _, first), (other, _, second)] = pair
            && one == other
        {
            return Err(Error::DriveTwice {
                first: first.name.clone(),
                second: second.name.clone(),
            });
        }
    }
    let mut stations = Vec::new();
    for (_, place, config) in ordered {
        let (connect, progress) = (Arc::clone(connect), Arc::clone(progress));
        stations.push((place, DriveStation::open(state, config, connect, progress, lock_wait)?));
    }
    stations.sort_by_key(|(place, _)| *place);
    Ok(stations.into_iter().map(|(_, station)| station).collect())
}

/// Has a drive eject its tape. An empty drive is what is wanted.
///
/// # Errors
///
/// Why it did not, in words.
pub fn eject(connect: &dyn Connect, address: &Address) -> std::result::Result<(), String> {
    let transport = connect.connect(address).map_err(|error| error.to_string())?;
    let mut drive = Drive::open(transport).map_err(|error| error.to_string())?;
    match drive.eject() {
        Err(error) if !error.is_medium_missing() => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// What names the drive for its lock. A path that can't be followed stands for itself: opening the
/// drive will tell what is wrong with it.
pub fn lock_name(address: &Address) -> String {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    match address {
        Address::Sg(path) => Address::Sg(real(path)),
        Address::Vtl { dir, unit } => Address::Vtl { dir: real(dir), unit: *unit },
        other => other.clone(),
    }
    .to_string()
}

impl MediaLoader for DriveStation {
    fn drive_name(&self) -> &str {
        &self.config.name
    }

    fn reach(&self) -> Reach {
        match &self.config.changer {
            Some(changer) => Reach::Changer(changer.name.clone()),
            None => Reach::StandAlone,
        }
    }

    fn whereabouts(&self, media: &Uuid) -> Option<Location> {
        Inventory::load(&self.state).ok()?.get(media).map(|entry| entry.location())
    }

    fn keys(&self) -> Option<&KeyStore> {
        Some(self.state.keys())
    }

    fn load(&mut self, label_text: &str, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        self.clean_if_asked(progress)?;
        if self.config.changer.is_some() {
            let _robot = self.lock_robot()?;
            self.open_changer()?.load(label_text, self.config.changer_drive)?;
        }
        self.open_with_media(progress)
    }

    fn open(&mut self, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        self.open_with_media(progress)
    }

    fn unload(&mut self, device: Option<Box<dyn TapeDevice>>) -> Result<()> {
        let eject_before_unload =
            self.config.changer.as_ref().is_some_and(|changer| changer.eject_before_unload);
        match device {
            Some(mut device) => device.eject()?,
            None if self.config.changer.is_none() || eject_before_unload => {
                let mut drive = self.open_drive()?;
                self.record_leaving(&mut drive);
                // An empty drive is what is wanted.
                match drive.eject() {
                    Err(e) if !e.is_medium_missing() => return Err(e.into()),
                    _ => {}
                }
            }
            // What the robot takes out is asked before; that it can't be is no reason to leave it in.
            None => {
                if let Ok(mut drive) = self.open_drive() {
                    self.record_leaving(&mut drive);
                }
            }
        }
        if self.config.changer.is_some() {
            let _robot = self.lock_robot()?;
            let mut changer = self.open_changer()?;
            let drive = self.config.changer_drive;
            let is_full = changer.status()?.drive(drive).is_some_and(|d| !d.status.is_empty());
            if is_full {
                changer.unload(drive, None)?;
            }
        }
        let progress = Arc::clone(&self.progress);
        self.clean_if_asked(&*progress)
    }

    fn online_label_texts(&mut self) -> Result<Option<Vec<String>>> {
        if self.config.changer.is_none() {
            return Ok(None);
        }
        let status = self.open_changer()?.status()?;
        Ok(Some(status.online_labels().into_iter().map(str::to_string).collect()))
    }

    fn loaded_bar_code(&mut self) -> Result<Option<String>> {
        if self.config.changer.is_none() {
            return Ok(None);
        }
        let status = self.open_changer()?.status()?;
        let drive = status.drive(self.config.changer_drive);
        Ok(drive.and_then(|drive| drive.status.label()).map(str::to_string))
    }

    fn export(&mut self, label_text: &str) -> Result<bool> {
        if self.config.changer.is_none() {
            self.unload(None)?;
            return Ok(true);
        }
        let drive = self.config.changer_drive;
        let _robot = self.lock_robot()?;
        Ok(self.open_changer()?.export(label_text, Some(drive))?.is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Nowhere;

    impl Connect for Nowhere {
        fn connect(&self, address: &Address) -> Result<Box<dyn scsi::Transport>, scsi::Error> {
            panic!("{address} is only locked")
        }
    }

    fn lock_all(state: &StateDir, names: &[&str]) -> Result<Vec<String>> {
        let config = |name: &&str| DriveConfig {
            name: (*name).into(),
            address: Address::Sg(format!("/nowhere/{}", name.trim_end_matches("-again")).into()),
            changer: None,
            changer_drive: 0,
        };
        let configs = names.iter().map(config).collect();
        let connect: Arc<dyn Connect> = Arc::new(Nowhere);
        let progress: Arc<dyn Progress> = Arc::new(datastore::progress::Silent);
        let stations = open_all(state, configs, &connect, &progress, Duration::from_secs(30))?;
        std::thread::sleep(Duration::from_millis(1));
        Ok(stations.iter().map(|station| station.config.name.clone()).collect())
    }

    /// Two jobs name two drives in opposite orders, many times: each gets both, in the order in which it named them.
    #[test]
    fn jobs_that_want_the_same_drives_do_not_wait_for_each_other_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        std::thread::scope(|scope| {
            for names in [["a", "b"], ["b", "a"], ["a", "b"]] {
                let state = &state;
                scope.spawn(move || {
                    for _ in 0..5 {
                        assert_eq!(lock_all(state, &names).unwrap(), names);
                    }
                });
            }
        });
        let error = lock_all(&state, &["a", "b", "a-again"]).unwrap_err();
        assert!(matches!(error, Error::DriveTwice { .. }), "{error}");
    }

    /// `/dev/sg3` and the links of udev that lead to it are one drive.
    #[test]
    fn links_to_a_node_have_its_lock_name() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().canonicalize().unwrap().join("sg3");
        let link = folder.path().join("scsi-12345-sg");
        std::fs::write(&node, b"").unwrap();
        std::os::unix::fs::symlink(&node, &link).unwrap();
        let name = |path: &std::path::Path| lock_name(&Address::Sg(path.to_path_buf()));
        assert_eq!(name(&link), name(&node));
        assert_eq!(name(&node), node.display().to_string());
        // A node that is away keeps the name that the user gave it.
        let absent = folder.path().join("sg9");
        assert_eq!(name(&absent), absent.display().to_string());

        let lib = folder.path().join("lib");
        let other = folder.path().join("lib-link");
        std::fs::create_dir(&lib).unwrap();
        std::os::unix::fs::symlink(&lib, &other).unwrap();
        let drive = |dir: &std::path::Path| {
            lock_name(&format!("vtl:{}#drive0", dir.display()).parse().unwrap())
        };
        assert_eq!(drive(&lib), drive(&other));
    }
}
