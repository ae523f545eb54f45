//! The same operations on an emulated drive, which builds its replies independently.

use super::*;

pub(super) fn library(capacity_bytes: Option<u64>) -> (tempfile::TempDir, vtl::Library) {
    let dir = tempfile::tempdir().unwrap();
    let options = vtl::Options {
        drives: 1,
        slots: 2,
        import_export: 0,
        cartridges: 2,
        capacity_bytes,
        ..vtl::Options::default()
    };
    let library = vtl::Library::create(&dir.path().join("lib"), &options).unwrap();
    (dir, library)
}

pub(super) fn loaded(capacity_bytes: Option<u64>) -> (tempfile::TempDir, vtl::Library, Drive) {
    let (dir, library) = library(capacity_bytes);
    let drive = load(&library);
    (dir, library, drive)
}

/// The first cartridge in the drive, if it isn't there already, and the drive opened with it.
pub(super) fn load(library: &vtl::Library) -> Drive {
    load_with(library, &Watcher::default())
}

pub(super) fn load_with(library: &vtl::Library, watcher: &Watcher) -> Drive {
    if library.list().unwrap().elements[0].barcode.is_none() {
        let mut changer = changer::Changer::open(Box::new(library.changer().unwrap())).unwrap();
        changer.load_slot(1, 0).unwrap();
    }
    Drive::open_with_media(Box::new(library.drive(0).unwrap()), true, watcher).unwrap()
}

fn write_file(drive: &mut Drive, blocks: u8) {
    for number in 0..blocks {
        let _ = drive.write_block(&[number; BLOCK as usize]).unwrap();
    }
    drive.write_filemarks(1, false).unwrap();
}

#[test]
fn an_empty_drive_says_so() {
    let (_dir, library) = library(None);
    let mut drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
    drive.set_patience(HASTE);
    let error = drive.prepare_media(true, &Watcher::default()).unwrap_err();
    assert!(error.is_medium_missing(), "{error}");
    let status = drive.status().unwrap();
    assert_eq!((status.file_number, status.alert_flags.as_deref()), (None, Some("(empty)")));
}

/// The drive of a library that keeps time calibrates a new LTO-9 cartridge for most of an hour at least.
#[test]
fn a_calibrating_drive_is_waited_for_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let options = vtl::Options {
        cartridges: 1,
        generation: vtl::Generation::Lto9,
        timing: vtl::Timing::Virtual,
        ..vtl::Options::default()
    };
    let library = vtl::Library::create(&dir.path().join("lib"), &options).unwrap();
    let mut changer = changer::Changer::open(Box::new(library.changer().unwrap())).unwrap();
    changer.load_slot(1, 0).unwrap();
    let mut drive = Drive::open(Box::new(library.drive(0).unwrap())).unwrap();
    // Threaded, and time is up at once.
    library.clock().advance(Duration::from_secs(30));
    drive.set_patience(Patience { ready_within: Duration::ZERO, ..HASTE });
    let watcher = Watcher::default();
    let before = library.clock().now();
    drive.prepare_media(true, &watcher).unwrap();
    let minutes = (library.clock().now() - before).as_secs() / 60;
    assert!((39..=121).contains(&minutes), "{minutes} min");
    let notes = watcher.notes.lock().unwrap();
    assert!(notes.iter().any(|note| note.contains("is calibrating the new tape")), "{notes:?}");
    drop(notes);
    assert!(drive.is_ready().unwrap());
}

#[test]
fn written_files_are_found_and_read_again() {
    let (_dir, _library, mut drive) = loaded(None);
    drive.rewind().unwrap();
    for blocks in 1..=6 {
        write_file(&mut drive, blocks);
    }
    let mut buffer = vec![0; BLOCK as usize];
    for number in [5u64, 0, 3, 4, 1, 2] {
        drive.move_to_file(number).unwrap();
        for block in 0..=number {
            assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Block(4096));
            assert!(buffer.iter().all(|byte| u64::from(*byte) == block));
        }
        assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::Filemark);
        assert_eq!(drive.position().unwrap().file, number + 1);
    }
    assert!(drive.move_to_file(9).unwrap_err().is_missing());
    assert_eq!(drive.move_to_last_file().unwrap(), 5);
    assert_eq!(drive.to_end_of_data_for_append().unwrap().file, 6);
    assert_eq!(drive.read_block(&mut buffer).unwrap(), Read::EndOfData);
}

#[test]
fn a_torn_file_is_ended_before_the_next() {
    let (_dir, _library, mut drive) = loaded(None);
    drive.rewind().unwrap();
    write_file(&mut drive, 2);
    let _ = drive.write_block(&[9; 512]).unwrap();
    assert!(matches!(drive.move_to_last_file(), Err(Error::TornEnd { file: 1, .. })));
    let position = drive.to_end_of_data_for_append().unwrap();
    assert_eq!(position, Position { file: 2, object: 5 });
    write_file(&mut drive, 1);
    assert_eq!(drive.move_to_last_file().unwrap(), 2);
}

#[test]
fn a_full_tape_warns_first_and_then_refuses() {
    let (_dir, _library, mut drive) = loaded(Some(64 << 20));
    drive.rewind().unwrap();
    let block = vec![3; 256 << 10];
    let mut warned_at = None;
    let mut written = 0u64;
    let error = loop {
        match drive.write_block(&block) {
            Ok(one) => {
                written += 1;
                if one.early_warning {
                    warned_at.get_or_insert(written);
                } else {
                    assert_eq!(warned_at, None, "early warning is repeated until the end");
                }
            }
            Err(error) => break error,
        }
        assert!(written < 4096, "the tape never ends");
    };
    assert!(error.is_volume_overflow(), "{error}");
    assert!(warned_at.is_some_and(|at| at < written));
    drive.write_filemarks(1, false).unwrap();
    assert_eq!(drive.position().unwrap(), Position { file: 1, object: written + 1 });
}

#[test]
fn formatted_tapes_are_blank() {
    let (_dir, _library, mut drive) = loaded(None);
    for fast in [true, false] {
        drive.rewind().unwrap();
        write_file(&mut drive, 3);
        drive.set_patience(HASTE);
        drive.format(fast, &Watcher::default()).unwrap();
        assert!(drive.move_to_last_file().unwrap_err().is_missing());
    }
}

#[test]
fn status_and_cartridge_memory() {
    let (_dir, library, mut drive) = loaded(None);
    drive.rewind().unwrap();
    write_file(&mut drive, 3);
    assert_eq!(drive.write_application_attributes(Some("TAPE-1"), Some("daily")).len(), 0);
    let memory = drive.cartridge_memory().unwrap();
    let value = |id| memory.iter().find(|one| one.id == id).map(|one| one.value.as_str());
    assert_eq!(value(0x0800), Some("Capstan"));
    assert_eq!(value(0x0803), Some("TAPE-1"));
    assert_eq!(value(0x0808), Some("daily"));

    let status = drive.status().unwrap();
    assert_eq!(status.density.as_deref(), Some("LTO8"));
    assert!(status.compression && status.blocksize == 0 && status.buffer_mode == 1);
    assert_eq!((status.file_number, status.block_number), (Some(1), Some(4)));
    assert_eq!(status.volume_mounts, Some(1));
    assert!(status.manufactured.is_some() && status.write_protect.is_none());
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["file-number"], 1);
    assert!(json.get("write-protect").is_none() && json.get("drive-activity").is_some());
    assert!(drive.volume_statistics().unwrap().total_native_capacity > 0);
    assert!(drive.remaining_bytes().unwrap() > Some(0));
    assert!(drive.used_bytes().unwrap().is_some());
    assert!(!drive.tape_alerts().unwrap().is_critical());

    let barcode = library.cartridges().unwrap()[0].clone();
    drive.eject().unwrap();
    assert!(!drive.is_ready().unwrap());
    drop(drive);
    let mut changer = changer::Changer::open(Box::new(library.changer().unwrap())).unwrap();
    changer.unload(0, None).unwrap();
    library.set_write_protected(&barcode, true).unwrap();
    changer.load(&barcode, 0).unwrap();
    let unit = Box::new(library.drive(0).unwrap());
    let mut drive = Drive::open_with_media(unit, true, &Watcher::default()).unwrap();
    drive.rewind().unwrap();
    assert!(drive.write_block(&[0; 512]).unwrap_err().is_write_protected());
    assert_eq!(drive.status().unwrap().write_protect, Some(true));
}

#[test]
fn a_reset_while_writing_loses_the_position() {
    let (_dir, library, mut drive) = loaded(None);
    drive.rewind().unwrap();
    write_file(&mut drive, 2);
    library.set_faults(Some("once drive0 write -> sense 6/29/00".parse().unwrap()));
    assert!(matches!(drive.write_block(&[1; 512]), Err(Error::PositionLost { .. })));
    assert!(drive.write_block(&[1; 512]).unwrap_err().is_position_lost());
    drive.rewind().unwrap();
    assert_eq!(drive.to_end_of_data_for_append().unwrap().file, 1);
}

/// An emulated drive that keeps what each command was allowed.
struct Clocked {
    unit: Box<dyn Transport>,
    allowed: std::sync::Arc<Mutex<Vec<(u8, Duration)>>>,
}

impl Transport for Clocked {
    fn execute(
        &mut self,
        cdb: &[u8],
        data: scsi::Data<'_>,
        timeout: Duration,
    ) -> std::result::Result<scsi::Reply, scsi::Error> {
        self.allowed.lock().unwrap().push((cdb[0], timeout));
        self.unit.execute(cdb, data, timeout)
    }

    fn name(&self) -> &str {
        self.unit.name()
    }
}

/// The emulated drive recommends 166380 s for ERASE and 780 s for REWIND; we have 3000 s and 900 s.
#[test]
fn an_emulated_drive_is_asked_once_and_given_the_longer_time() {
    let (_dir, library) = library(None);
    drop(load(&library));
    let allowed = std::sync::Arc::default();
    let unit = Box::new(library.drive(0).unwrap());
    let unit = Clocked { unit, allowed: std::sync::Arc::clone(&allowed) };
    let mut drive = Drive::open_with_media(Box::new(unit), true, &Watcher::default()).unwrap();
    drive.rewind().unwrap();
    drive.erase(true, &Watcher::default()).unwrap();
    let of = |opcode: u8| -> Vec<u64> {
        let allowed = allowed.lock().unwrap();
        allowed.iter().filter(|one| one.0 == opcode).map(|one| one.1.as_secs()).collect()
    };
    assert_eq!(of(0x19), [166_380]);
    assert_eq!(of(0x01), [900]);
    assert_eq!(of(0xa3).len(), 1);
}
