//! Sets that go out of an emulated library and come back. The cartridges are blank: robots and the
//! inventory go by bar codes.

use std::time::Duration;

use datastore::progress::Silent;
use scsi::VtlUnit;
use vtl::{Library as Emulated, Options};

use super::*;
use crate::media::Location;
use crate::testing::{put_into_set, tape_of};

/// A library `lib` with six cartridges, four import/export slots and two drives, and a set of all of
/// its cartridges.
struct World {
    folder: tempfile::TempDir,
    state: StateDir,
    changer: Changer,
    set: Uuid,
    tapes: Vec<Uuid>,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let state =
            StateDir::open(folder.path().join("state")).unwrap().with_lock_wait(Duration::ZERO);
        let options = Options {
            drives: 2,
            slots: 8,
            import_export: 4,
            cartridges: 6,
            capacity_bytes: Some(1 << 20),
            ..Options::default()
        };
        let dir = folder.path().join("library");
        Emulated::create(&dir, &options).unwrap();
        let changer = Changer::open(vtl::open_unit(&dir, VtlUnit::Changer).unwrap()).unwrap();
        let set = Uuid::new_v4();
        let mut tapes = Vec::new();
        for seq_nr in 0..6 {
            let tape = tape_of(&state, &label(seq_nr), Some("p1"));
            put_into_set(&state, &tape, set, seq_nr, 10);
            tapes.push(tape);
        }
        Inventory::load(&state)
            .unwrap()
            .update_online_of("lib", (0..6).map(label).collect())
            .unwrap();
        World { folder, state, changer, set, tapes }
    }

    fn with<T>(
        &mut self,
        what: impl FnOnce(&StateDir, &mut Library<'_>) -> Result<T>,
    ) -> Result<T> {
        let changer = &mut self.changer;
        what(&self.state, &mut Library { name: "lib", changer, lock_drive: &|_| Ok(None) })
    }

    fn export(&mut self, dry_run: bool) -> SetExport {
        let set = self.set;
        self.with(|state, library| export_set(state, &set, library, dry_run, &Silent)).unwrap()
    }

    fn locations(&self) -> Vec<Location> {
        let inventory = Inventory::load(&self.state).unwrap();
        self.tapes.iter().map(|tape| inventory.get(tape).unwrap().location()).collect()
    }

    /// Somebody takes out what lies in the import/export slots.
    fn take_out(&mut self) {
        let library = Emulated::open(&self.folder.path().join("library")).unwrap();
        let status = self.changer.status().unwrap();
        for (_, slot) in status.numbered_slots().filter(|(_, slot)| slot.import_export) {
            if let Some(label) = slot.status.label() {
                library.remove_cartridge(label).unwrap();
            }
        }
    }
}

fn label(number: u64) -> String {
    format!("CAP{:03}L8", number + 1)
}

fn results(report: &SetExport) -> Vec<ExportResult> {
    report.tapes.iter().map(|tape| tape.result).collect()
}

#[test]
fn a_set_goes_out_in_as_many_goes_as_the_slots_need_and_comes_back() {
    use ExportResult::{Exported, NoFreeSlot, NotOnline, Ready, WouldExport};
    let mut world = World::new();
    world.changer.load(&label(1), 0).unwrap();
    let plan = world.export(true);
    let wanted = [WouldExport, WouldExport, WouldExport, WouldExport, NoFreeSlot, NoFreeSlot];
    assert_eq!(results(&plan), wanted);
    assert!(!plan.is_complete());
    assert_eq!(world.locations(), vec![Location::Online("lib".into()); 6], "a plan moves nothing");

    let report = world.export(false);
    let wanted = [Exported, Exported, Exported, Exported, NoFreeSlot, NoFreeSlot];
    assert_eq!(results(&report), wanted);
    let slots: Vec<u64> = report.tapes.iter().filter_map(|tape| tape.slot).collect();
    assert_eq!(slots, [9, 10, 11, 12]);
    let out = [true, true, true, true, false, false];
    let place = |is_out: &bool| match is_out {
        true => Location::Offline,
        false => Location::Online("lib".into()),
    };
    assert_eq!(world.locations(), out.iter().map(place).collect::<Vec<_>>());
    assert_eq!(results(&world.export(false))[..4], [Ready; 4]);

    world.take_out();
    let report = world.export(false);
    assert_eq!(results(&report), [NotOnline, NotOnline, NotOnline, NotOnline, Exported, Exported]);
    assert_eq!(world.locations(), vec![Location::Offline; 6]);

    let back = world.with(|state, library| import_all(state, library, &Silent)).unwrap();
    let back: Vec<_> = back.iter().map(|one| (one.uuid, one.from, one.slot.is_some())).collect();
    assert_eq!(back, [(Some(world.tapes[4]), 9, true), (Some(world.tapes[5]), 10, true)]);
    assert_eq!(
        world.locations()[4..],
        [Location::Online("lib".into()), Location::Online("lib".into())]
    );
    let nothing = world.with(|state, library| import_all(state, library, &Silent)).unwrap();
    assert_eq!(nothing, []);
}

#[test]
fn a_set_that_a_job_has_and_a_drive_that_is_in_use_are_left_alone() {
    let mut world = World::new();
    let set = world.set;
    let job = world.state.lock_media_set(&set).unwrap();
    let refused = world.with(|state, library| export_set(state, &set, library, false, &Silent));
    assert!(refused.unwrap_err().is_retryable());
    drop(job);

    world.changer.load(&label(0), 1).unwrap();
    let changer = &mut world.changer;
    let in_use = |drive| Err(Error::Unsupported(format!("drive {drive} is in use")));
    let mut library = Library { name: "lib", changer, lock_drive: &in_use };
    let report = export_set(&world.state, &set, &mut library, false, &Silent).unwrap();
    let refused = &report.tapes[0];
    assert_eq!((refused.result, refused.slot), (ExportResult::Refused, None));
    assert_eq!(refused.reason.as_deref(), Some("drive 1 is in use"));
    assert_eq!(results(&report)[1..4], [ExportResult::Exported; 3]);
    let status = world.changer.status().unwrap();
    assert_eq!(status.find(&label(0)), Some(Place::Drive(1)));
}

#[test]
fn a_bar_code_of_two_tapes_and_a_hole_in_the_set_are_told() {
    let mut world = World::new();
    let twin = tape_of(&world.state, &label(2), None);
    Inventory::load(&world.state).unwrap().remove(&world.tapes[3]).unwrap();
    let report = world.export(false);
    assert_eq!(report.unknown, [3]);
    assert_eq!(report.tapes[2].result, ExportResult::Refused);
    let reason = report.tapes[2].reason.as_deref().unwrap();
    assert!(reason.contains(&twin.to_string()), "{reason}");
    assert!(!report.is_complete());
    let status = world.changer.status().unwrap();
    assert!(matches!(status.find(&label(2)), Some(Place::Slot(_))));
    let set = Uuid::new_v4();
    let unknown = world.with(|state, library| export_set(state, &set, library, false, &Silent));
    assert!(unknown.unwrap_err().is_missing());
}

#[test]
fn what_finds_no_free_slot_stays_and_is_told() {
    let mut world = World::new();
    world.export(false);
    // Of eight storage slots two are taken; three more leave three for the four that come back.
    let emulated = Emulated::open(&world.folder.path().join("library")).unwrap();
    for number in 0..3 {
        emulated.add_cartridge(&format!("NEW00{number}L8"), None).unwrap();
    }
    let report = world.with(|state, library| import_all(state, library, &Silent)).unwrap();
    let moved: Vec<bool> = report.iter().map(|one| one.slot.is_some()).collect();
    assert_eq!(moved, [true, true, true, false]);
}
