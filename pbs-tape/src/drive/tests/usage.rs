//! The statistics of a drive: what is refused is absent, what concerns the job is told.

use super::*;

fn page(code: u8) -> Cdb {
    LogPage::cdb(code, 0, 0x4000)
}

#[test]
fn an_old_drive_without_a_tape_tells_nothing_and_that_is_no_error() {
    let (mut script, mut drive) = open();
    // Flags are asked for by the older page if the newer one is not known.
    for cdb in [page(0x12), page(0x2e), page(0x11), page(0x17)] {
        script.expect_check(&cdb, Sense::INVALID_FIELD_IN_CDB);
    }
    script.expect_check(&attribute::read_cdb(0, 0x8000), Sense::MEDIUM_NOT_PRESENT);
    for cdb in [page(0x14), page(0x02), page(0x03)] {
        script.expect_check(&cdb, Sense::INVALID_FIELD_IN_CDB);
    }
    assert_eq!(drive.usage().unwrap(), Usage::default());
}

#[test]
fn a_failed_write_and_a_reset_are_not_swallowed() {
    for (sense, expected) in [
        (Sense::WRITE_ERROR.as_deferred(), "Deferred"),
        (Sense::new(SenseKey::UnitAttention, 0x29, 0x00), "PositionLost"),
    ] {
        let (mut script, mut drive) = open();
        script.expect_check(&page(0x12), sense);
        let error = drive.usage().unwrap_err();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
    }
}

#[test]
fn what_the_drive_keeps_is_found() {
    let (_dir, _library, mut drive) = emulated::loaded(None);
    drive.rewind().unwrap();
    let _ = drive.write_block(&[1; BLOCK as usize]).unwrap();
    let usage = drive.usage().unwrap();
    let volume = usage.volume.as_ref().unwrap();
    assert_eq!(volume.volume_mounts, 1);
    assert_eq!(usage.memory_number(attribute::LOAD_COUNT), Some(1));
    assert_eq!(usage.memory_text(attribute::MEDIUM_SERIAL).as_deref(), Some(&*volume.serial));
    assert_eq!(usage.device.unwrap().loads, Some(1));
    assert_eq!(usage.writing.unwrap().bytes, Some(u64::from(BLOCK)));
    assert_eq!(usage.reading.unwrap().uncorrected, Some(0));
    assert_eq!(usage.alerts.unwrap().bits(), 0);
    // The tape stands where it stood.
    assert_eq!(drive.position().unwrap().object, 1);
}
