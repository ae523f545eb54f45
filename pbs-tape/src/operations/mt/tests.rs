//! Each command with a handle of its own, as a person calls them, on an emulated drive.

use datastore::progress::Silent;

use super::*;
use crate::drive::OptionChanges;

struct Rig {
    _folder: tempfile::TempDir,
    library: vtl::Library,
}

impl Rig {
    /// A tape with files of 2, 1 and 3 blocks: objects 0 1 M2 3 M4 5 6 7 M8, end of data at 9.
    fn new() -> Rig {
        let folder = tempfile::tempdir().unwrap();
        let options =
            vtl::Options { drives: 1, slots: 2, cartridges: 1, ..vtl::Options::default() };
        let library = vtl::Library::create(&folder.path().join("lib"), &options).unwrap();
        let mut changer = changer::Changer::open(Box::new(library.changer().unwrap())).unwrap();
        changer.load_slot(1, 0).unwrap();
        let rig = Rig { _folder: folder, library };
        let mut drive = rig.drive();
        here(&mut drive, &Silent).unwrap();
        for blocks in [2, 1, 3] {
            for number in 0..blocks {
                let _ = drive.write_block(&[number; 512]).unwrap();
            }
            drive.write_filemarks(1, false).unwrap();
        }
        rig
    }

    fn drive(&self) -> Drive {
        Drive::open(Box::new(self.library.drive(0).unwrap())).unwrap()
    }

    /// Moves with a handle of its own: file and object.
    fn move_tape(&self, motion: Motion) -> Result<(u64, u64)> {
        move_tape(&mut self.drive(), motion, &Silent).map(|place| (place.file, place.object))
    }
}

#[test]
fn every_motion_ends_where_mt_users_expect() {
    let rig = Rig::new();
    for (motion, file, object) in [
        (Motion::Rewind, 0, 0),
        (Motion::ForwardFiles(1), 1, 3),
        (Motion::ForwardBlocks(1), 1, 4),
        (Motion::BackBlocks(1), 1, 3),
        (Motion::ForwardFiles(2), 3, 9),
        // Before the mark that ends the last file.
        (Motion::BackFiles(1), 2, 8),
        (Motion::File(2), 2, 5),
        (Motion::Rewind, 0, 0),
        // To the end of the second file.
        (Motion::ForwardToFileEnd(2), 1, 4),
        (Motion::EndOfData, 3, 9),
        // To the first block of the last file.
        (Motion::BackToFileStart(2), 2, 5),
        (Motion::Object(7), 2, 7),
        (Motion::File(0), 0, 0),
        (Motion::File(1), 1, 3),
    ] {
        assert_eq!(rig.move_tape(motion).unwrap(), (file, object), "{motion:?}");
    }
}

#[test]
fn a_motion_that_cannot_be_says_what_stopped_it() {
    let rig = Rig::new();
    rig.move_tape(Motion::Rewind).unwrap();
    for (motion, words) in [
        (Motion::ForwardFiles(5), "the end of the data, 2 of 5 filemarks"),
        (Motion::BackFiles(4), "the beginning of the tape, 1 of 4 filemarks"),
        (Motion::ForwardBlocks(5), "a filemark, 3 of 5 blocks"),
        (Motion::File(9), "no file 9"),
        (Motion::Object(99), "no block 99"),
    ] {
        let error = rig.move_tape(motion).unwrap_err().to_string();
        assert!(error.contains(words), "{motion:?}: {error}");
    }
}

#[test]
fn marks_are_written_over_data_only_on_demand() {
    let rig = Rig::new();
    rig.move_tape(Motion::File(1)).unwrap();
    let marks = |overwrite| write_marks(&mut rig.drive(), 2, overwrite, &Silent);
    let error = marks(false).unwrap_err();
    assert!(matches!(error, Error::DataFollows { file: 1, object: 3, .. }), "{error}");
    // Nothing was lost, and the tape did not move.
    let here = here(&mut rig.drive(), &Silent).unwrap();
    assert_eq!((here.file, here.object), (1, 3));
    assert_eq!(rig.move_tape(Motion::EndOfData).unwrap(), (3, 9));
    assert_eq!(marks(false).unwrap(), Position { file: 5, object: 11 });
    rig.move_tape(Motion::File(1)).unwrap();
    assert_eq!(marks(true).unwrap(), Position { file: 3, object: 5 });
    assert_eq!(rig.move_tape(Motion::EndOfData).unwrap(), (3, 5));
}

#[test]
fn an_erase_is_planned_first_and_takes_what_follows() {
    let rig = Rig::new();
    rig.move_tape(Motion::File(1)).unwrap();
    let plan = plan_erase(&mut rig.drive(), true, &Silent).unwrap();
    assert_eq!((plan.from.file, plan.nothing_follows), (1, false));
    assert_eq!(rig.move_tape(Motion::EndOfData).unwrap(), (3, 9));
    // Not the place that was planned.
    let mut drive = rig.drive();
    here(&mut drive, &Silent).unwrap();
    assert!(matches!(erase(&mut drive, &plan, &Silent), Err(Error::WrongObject { .. })));
    rig.move_tape(Motion::File(1)).unwrap();
    let mut drive = rig.drive();
    let plan = plan_erase(&mut drive, true, &Silent).unwrap();
    assert_eq!(erase(&mut drive, &plan, &Silent).unwrap().object, 3);
    assert_eq!(rig.move_tape(Motion::EndOfData).unwrap(), (1, 3));
}

#[test]
fn a_protected_tape_is_not_planned_for() {
    let rig = Rig::new();
    let mut drive = rig.drive();
    drive.eject().unwrap();
    let mut changer = changer::Changer::open(Box::new(rig.library.changer().unwrap())).unwrap();
    changer.unload(0, None).unwrap();
    let barcode = rig.library.cartridges().unwrap()[0].clone();
    rig.library.set_write_protected(&barcode, true).unwrap();
    changer.load(&barcode, 0).unwrap();
    let error = plan_erase(&mut rig.drive(), true, &Silent).unwrap_err();
    assert!(error.is_write_protected(), "{error}");
    let error = write_marks(&mut rig.drive(), 1, true, &Silent).unwrap_err();
    assert!(error.is_write_protected(), "{error}");
}

#[test]
fn options_last_until_somebody_changes_them() {
    let rig = Rig::new();
    let changes =
        OptionChanges { blocksize: Some(65_536), buffer_mode: Some(0), compression: Some(false) };
    let set = rig.drive().set_options(&changes).unwrap();
    assert_eq!(rig.drive().options().unwrap(), set);
    assert_eq!((set.blocksize, set.buffer_mode, set.compression), (65_536, 0, false));
    let back = rig.drive().set_options(&crate::drive::Options::DEFAULTS).unwrap();
    assert_eq!((back.blocksize, back.buffer_mode, back.compression), (0, 1, true));
}
