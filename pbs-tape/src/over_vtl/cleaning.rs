//! Drives that ask to be cleaned while jobs run, in the emulated library.

use std::sync::Mutex;

use datastore::Progress;
use vtl::faults::FaultPlan;

use super::*;
use crate::care::statistics::{drives, media};
use crate::care::{CleanPolicy, Event, Verdict};
use crate::error::Error;

#[derive(Default)]
struct Listening {
    said: Mutex<Vec<String>>,
    is_aborted: bool,
}

impl Listening {
    fn heard(&self, words: &str) -> usize {
        self.said.lock().unwrap().iter().filter(|text| text.contains(words)).count()
    }
}

impl Progress for Listening {
    fn note(&self, text: &str) {
        self.said.lock().unwrap().push(text.to_string());
    }

    fn warn(&self, text: &str) {
        self.said.lock().unwrap().push(text.to_string());
    }

    fn is_aborted(&self) -> bool {
        self.is_aborted
    }
}

struct Rig {
    world: World,
    library: Library,
    dir: PathBuf,
    store: Arc<datastore::Datastore>,
    listening: Arc<Listening>,
}

impl Rig {
    /// A library with labelled tapes, these cleaning cartridges, and a datastore with two snapshots.
    fn new(cleaners: &[&str]) -> Rig {
        let world = World::new();
        let store = world.store("source");
        for (number, name) in ["a", "b"].into_iter().enumerate() {
            let data: Vec<Vec<u8>> =
                (0..4).map(|n| noise(10 * number as u64 + n, 1_300_000)).collect();
            add_snapshot(&store, "", name, 1_700_000_000, &data);
        }
        let (library, dir) = make_library(&world, 3, 32 << 20);
        for cleaner in cleaners {
            library.add_cartridge(cleaner, None).unwrap();
        }
        let rig = Rig { world, library, dir, store, listening: Arc::default() };
        let labels = barcode_label(&rig.world.state, &mut rig.station(), Some("p1"), &Silent);
        assert_eq!(labels.unwrap().labelled.len(), 3);
        rig
    }

    fn station(&self) -> DriveStation {
        let config = station(&self.world, &self.dir).config().clone();
        let progress: Arc<dyn Progress> = self.listening.clone();
        let (state, wait) = (&self.world.state, Duration::from_millis(10));
        DriveStation::open(state, config, Arc::new(Emulated), progress, wait).unwrap()
    }

    fn faults(&self, rules: &str) {
        let plan: FaultPlan = rules.parse().unwrap();
        self.library.set_faults(Some(plan));
    }

    /// A backup of everything that ejects at its end.
    fn back_up(&self, station: &mut DriveStation) -> crate::write::TapeBackupReport {
        let mut options = TapeBackupOptions::new("main");
        options.eject_media = true;
        let (state, pool) = (&self.world.state, PoolConfig::new("p1"));
        run_backup(state, &self.store, pool, station, &options, &*self.listening).unwrap()
    }

    /// What a cleaning cartridge itself knows.
    fn left(&self, cleaner: &str) -> u64 {
        let path = self.dir.join("cartridges").join(cleaner).join("cartridge.json");
        let text = std::fs::read_to_string(path).unwrap();
        let memory: serde_json::Value = serde_json::from_str(&text).unwrap();
        memory["cleanings_left"].as_u64().unwrap()
    }

    fn use_up(&self, cleaner: &str) {
        let path = self.dir.join("cartridges").join(cleaner).join("cartridge.json");
        let text = std::fs::read_to_string(&path).unwrap();
        let mut memory: serde_json::Value = serde_json::from_str(&text).unwrap();
        memory["cleanings_left"] = 0.into();
        std::fs::write(path, memory.to_string()).unwrap();
    }
}

#[test]
fn a_drive_that_asks_is_cleaned_when_its_tape_was_put_away() {
    let rig = Rig::new(&["CLN001L8"]);
    rig.faults("once drive0 write after=9 -> cleaning requested");
    let report = rig.back_up(&mut rig.station());
    assert_eq!((report.snapshots_written.len(), report.tapes.len()), (2, 1));
    assert_eq!(rig.left("CLN001L8"), 49);
    assert_eq!(rig.listening.heard("was cleaned with CLN001L8"), 1, "{:?}", rig.listening.said);
    let state = &rig.world.state;
    let drive = drives(state, Some("drive0")).unwrap().remove(0);
    assert!(drive.last_cleaned.is_some() && !drive.cleaning_requested, "{drive:?}");
    assert_eq!(drive.device.cleanings, Some(1));
    let cleaner = media(state, Some("CLN001L8")).unwrap().remove(0);
    assert_eq!((cleaner.total.mounts, cleaner.verdict), (1, Verdict::Good), "{cleaner:?}");
    // The cartridge is in its slot again, and the drive is free.
    let online = rig.station().online_label_texts().unwrap().unwrap();
    assert!(!online.contains(&"CLN001L8".to_string()), "it is no tape: {online:?}");
}

#[test]
fn without_a_cleaning_cartridge_the_job_goes_on_and_says_so_once() {
    let rig = Rig::new(&[]);
    rig.faults("once drive0 write after=5 -> cleaning required\nonce drive0 write after=12 -> cleaning required");
    let report = rig.back_up(&mut rig.station());
    assert_eq!(report.snapshots_written.len(), 2);
    assert_eq!(rig.listening.heard("must be cleaned"), 1, "{:?}", rig.listening.said);
    assert_eq!(rig.listening.heard("no cleaning cartridge"), 1);
    let drive = drives(&rig.world.state, None).unwrap().remove(0);
    assert_eq!(drive.verdict, Verdict::Watch, "{drive:?}");
    assert_eq!(drive.reasons, ["it asks to be cleaned"]);
}

#[test]
fn a_cartridge_that_is_used_up_is_told_and_not_tried_again() {
    let rig = Rig::new(&["CLN001L8", "CLN002L8"]);
    rig.use_up("CLN001L8");
    let dirty = "once drive0 write after=5 -> cleaning requested";
    rig.faults(dirty);
    rig.back_up(&mut rig.station());
    assert_eq!(rig.left("CLN002L8"), 49, "the next one was taken");
    assert_eq!(
        rig.listening.heard("CLN001L8 can't be used any more"),
        1,
        "{:?}",
        rig.listening.said
    );
    let used_up = media(&rig.world.state, Some("CLN001L8")).unwrap().remove(0);
    assert_eq!((used_up.verdict, used_up.cleanings_left), (Verdict::Replace, Some(0)));
    // An operator cleans again, the same day: the one that is used up stays where it is.
    let cleaned = rig.station().clean(None, &*rig.listening).unwrap();
    assert_eq!(cleaned.label_text, "CLN002L8");
    let used_up = media(&rig.world.state, Some("CLN001L8")).unwrap().remove(0);
    assert_eq!(used_up.total.mounts, 1, "{used_up:?}");
    // Unless he says which.
    let error = rig.station().clean(Some("CLN001L8"), &*rig.listening).unwrap_err();
    assert!(matches!(error, Error::CriticalAlerts { .. }), "{error}");
    rig.use_up("CLN002L8");
    for _ in 0..2 {
        let error = rig.station().clean(None, &*rig.listening).unwrap_err();
        assert!(
            matches!(&error, Error::CleaningCartridgesUsedUp { cartridges, .. } if cartridges.len() == 2),
            "{error}"
        );
    }
}

#[test]
fn a_drive_that_is_not_to_be_cleaned_by_itself_is_not() {
    let rig = Rig::new(&["CLN001L8"]);
    rig.faults("once drive0 write after=5 -> cleaning required");
    let report = rig.back_up(&mut rig.station().with_cleaning(CleanPolicy::Never));
    assert_eq!((report.snapshots_written.len(), rig.left("CLN001L8")), (2, 50));
    assert_eq!(rig.listening.heard("configured not to be cleaned"), 1, "{:?}", rig.listening.said);
}

/// A drive that asks all the time would use up a cartridge in fifty jobs.
#[test]
fn a_drive_that_asks_again_the_same_day_is_not_cleaned_again() {
    let rig = Rig::new(&["CLN001L8"]);
    rig.faults("always drive0 write every=7 -> cleaning requested");
    rig.back_up(&mut rig.station());
    assert_eq!(rig.left("CLN001L8"), 49);
    add_snapshot(&rig.store, "", "c", 1_700_000_500, &[noise(99, 3_000_000)]);
    rig.back_up(&mut rig.station());
    assert_eq!(rig.left("CLN001L8"), 49, "{:?}", rig.listening.said);
    assert_eq!(rig.listening.heard("less than a day ago"), 1, "{:?}", rig.listening.said);
}

#[test]
fn a_drive_that_asked_before_the_job_is_cleaned_before_its_first_tape() {
    let rig = Rig::new(&["CLN001L8"]);
    rig.faults("once drive0 write -> cleaning requested");
    let mut station = rig.station().with_cleaning(CleanPolicy::Never);
    let mut tape = station.load("CAP003L8", &Silent).unwrap();
    tape.move_to_end_for_append().unwrap();
    tape.write_filemark().unwrap();
    let _ = tape.write_block(&[1; crate::format::BLOCK_BYTES]);
    drop((tape, station));
    drop(rig.station().load("CAP001L8", &*rig.listening).unwrap());
    assert_eq!(rig.left("CLN001L8"), 49, "{:?}", rig.listening.said);
}

#[test]
fn who_waits_for_the_cleaning_cartridge_can_be_stopped() {
    let rig = Rig::new(&["CLN001L8"]);
    let address = Address::Vtl { dir: rig.dir.clone(), unit: VtlUnit::Changer };
    let held = rig.world.state.lock_cleaning(&crate::station::lock_name(&address)).unwrap();
    let stopped = Listening { is_aborted: true, ..Listening::default() };
    let error = rig.station().clean(None, &stopped).unwrap_err();
    assert!(error.is_aborted(), "{error}");
    assert_eq!(stopped.heard("waiting for another job"), 1);
    assert_eq!(rig.left("CLN001L8"), 50);
    drop(held);
    assert_eq!(rig.station().clean(None, &Silent).unwrap().label_text, "CLN001L8");
}

#[test]
fn two_drives_share_one_cleaning_cartridge() {
    let world = World::new();
    let dir = world.folder.path().join("library");
    let options = Options { drives: 2, slots: 6, cartridges: 2, ..Options::default() };
    let library = Library::create(&dir, &options).unwrap();
    library.add_cartridge("CLN001L8", None).unwrap();
    let threads: Vec<_> = (0..2)
        .map(|number| {
            let mut config = station(&world, &dir).config().clone();
            config.name = format!("drive{number}");
            config.address = Address::Vtl { dir: dir.clone(), unit: VtlUnit::Drive(number) };
            config.changer_drive = number.into();
            let state = world.state.clone();
            std::thread::spawn(move || {
                let wait = Duration::from_millis(10);
                let connect = Arc::new(Emulated);
                let station =
                    DriveStation::open(&state, config, connect, Arc::new(Silent), wait).unwrap();
                station.clean(None, &Silent).unwrap()
            })
        })
        .collect();
    for thread in threads {
        let cleaned = thread.join().unwrap();
        assert_eq!((cleaned.label_text.as_str(), cleaned.slot), ("CLN001L8", 3));
    }
    for drive in drives(&world.state, None).unwrap() {
        assert_eq!(drive.device.cleanings, Some(1), "{drive:?}");
    }
    let cleaner = media(&world.state, Some("CLN001L8")).unwrap().remove(0);
    assert_eq!(cleaner.total.mounts, 2);
    let path = world.state.care_cleaning_file("CLN001L8");
    let records = crate::care::history::History::load(&path).unwrap().records;
    assert!(records.iter().all(|record| record.event == Event::Cleaning));
}
