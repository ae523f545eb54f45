//! What is recorded of cartridges and drives while jobs run in the emulated library, and what follows from it.

use std::sync::Mutex;

use datastore::Progress;
use vtl::faults::FaultPlan;

use super::*;
use crate::care::statistics::{drives, media};
use crate::care::{Event, Verdict};
use crate::verify::{VerifyOptions, VerifyScope, run_verify};

#[derive(Default)]
struct Listening {
    warnings: Mutex<Vec<String>>,
}

impl Progress for Listening {
    fn warn(&self, text: &str) {
        self.warnings.lock().unwrap().push(text.to_string());
    }
}

fn plan(rules: &str) -> Option<FaultPlan> {
    Some(rules.parse().unwrap())
}

#[test]
fn a_backup_and_a_restore_are_in_the_histories_of_cartridge_and_drive() {
    let world = World::new();
    let store = world.store("source");
    let data: Vec<Vec<u8>> = (0..4).map(|n| noise(n, 1_300_000)).collect();
    add_snapshot(&store, "", "a", 1_700_000_000, &data);
    let (library, dir) = make_library(&world, 2, 32 << 20);
    let mut drive = station(&world, &dir);
    barcode_label(&world.state, &mut drive, Some("p1"), &Silent).unwrap();
    let labelled = media(&world.state, None).unwrap();
    let loads: Vec<u64> = labelled.iter().map(|one| one.total.mounts).collect();
    assert_eq!(loads, [1, 1], "each cartridge was loaded once for its label");

    library.set_faults(plan(
        "once drive0 write after=3 -> retries 12\nonce drive0 write after=5 -> alert 2",
    ));
    let mut options = TapeBackupOptions::new("main");
    options.eject_media = true;
    let pool = PoolConfig::new("p1");
    let report = run_backup(&world.state, &store, pool, &mut drive, &options, &Silent).unwrap();
    library.set_faults(None);
    let tape = report.tapes[0].as_str();
    let written = media(&world.state, Some(tape)).unwrap().remove(0);
    assert_eq!(written.format, "LTO8");
    assert_eq!((written.total.mounts, written.total.write_retries), (2, 12), "{written:?}");
    assert!(written.total.bytes_written >= 5_000_000, "{written:?}");
    assert!(written.passes.is_some() && written.story.retries_per_tb.is_some());
    assert_eq!(written.verdict, Verdict::Watch, "{written:?}");
    assert!(written.reasons[0].contains("WRITE_WARNING"), "{written:?}");
    assert_eq!(written.story.last_with.as_deref(), Some("drive0"));

    let options = VerifyOptions {
        scope: VerifyScope::Set(report.media_set_uuid),
        keys: Vec::new(),
        threads: 1,
        wait: MediaWait::NONE,
    };
    run_verify(&world.state, &mut drive, &options, &Silent).unwrap();
    let read = media(&world.state, Some(tape)).unwrap().remove(0);
    assert!(read.total.bytes_read > written.total.bytes_read, "{read:?}");
    let used = drives(&world.state, Some("drive0")).unwrap().remove(0);
    assert_eq!(used.recorded.mounts, used.device.loads.unwrap(), "{used:?}");
    assert_eq!(used.recorded.write_retries, 12);
    assert_eq!(used.story.alerts.len(), 1);
    assert_eq!(used.story.alerts[0].label_text.as_deref(), Some(tape));
}

#[test]
fn a_tape_that_stays_in_the_drive_is_recorded_when_the_job_ends_and_not_twice() {
    let world = World::new();
    let (_library, dir) = make_library(&world, 1, 32 << 20);
    let mut drive = station(&world, &dir);
    let mut device = drive.load("CAP001L8", &Silent).unwrap();
    device.rewind().unwrap();
    let _ = device.write_block(&[7; crate::format::BLOCK_BYTES]).unwrap();
    device.sync().unwrap();
    drop(device);
    let file = world.state.care_media_folder();
    let records = || {
        let path = std::fs::read_dir(&file).unwrap().next().unwrap().unwrap().path();
        crate::care::history::History::load(&path).unwrap().records
    };
    assert_eq!(records().len(), 1);
    assert_eq!(records()[0].event, Event::JobEnd);
    assert_eq!(records()[0].label_text.as_deref(), Some("CAP001L8"), "its bar code");
    // Nothing happened since.
    drive.unload(None).unwrap();
    assert_eq!(records().len(), 1);
    drive.load("CAP001L8", &Silent).unwrap();
    let last = records().pop().unwrap();
    assert_eq!((last.total.mounts, last.delta.mounts), (2, 1));
}

#[test]
fn what_can_not_be_recorded_is_told_once_and_fails_no_job() {
    let world = World::new();
    let (_library, dir) = make_library(&world, 2, 32 << 20);
    // Where the folder belongs there is a file.
    std::fs::write(world.state.path().join("care"), b"").unwrap();
    let listening = Arc::new(Listening::default());
    let config = station(&world, &dir).config().clone();
    let progress: Arc<dyn Progress> = listening.clone();
    let wait = Duration::from_millis(10);
    let mut drive =
        DriveStation::open(&world.state, config, Arc::new(Emulated), progress, wait).unwrap();
    let report = barcode_label(&world.state, &mut drive, Some("p1"), &*listening).unwrap();
    assert_eq!((report.labelled.len(), report.failed.len()), (2, 0), "{report:?}");
    let warnings = listening.warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("drive0") && warnings[0].contains("care"), "{warnings:?}");
}

/// A drive that refuses every page is an old one, and not a broken one.
#[test]
fn a_drive_that_tells_nothing_is_used_as_before() {
    let world = World::new();
    let (library, dir) = make_library(&world, 1, 32 << 20);
    library.set_faults(plan("always drive0 log+attribute -> sense 5/24/00"));
    let mut drive = station(&world, &dir);
    let report = barcode_label(&world.state, &mut drive, Some("p1"), &Silent).unwrap();
    assert_eq!(report.labelled.len(), 1, "{report:?}");
    // The label is all that names the cartridge then.
    let found = media(&world.state, None).unwrap().remove(0);
    assert_eq!((found.medium_serial, found.label_text.as_deref()), (None, Some("CAP001L8")));
}

/// The cartridge's counters show in lists and forecasts, which ask no drive.
#[test]
fn a_faulty_cartridge_shows_in_the_list_and_is_counted_in_its_pool() {
    let world = World::new();
    let (library, dir) = make_library(&world, 2, 32 << 20);
    let mut drive = station(&world, &dir);
    barcode_label(&world.state, &mut drive, Some("p1"), &Silent).unwrap();
    library.set_faults(plan("once drive0 rewind barcode=CAP002L8 -> alert 7"));
    drop(drive.load("CAP002L8", &Silent).map(|mut tape| tape.rewind()).unwrap());
    library.set_faults(None);
    let pool = PoolConfig::new("p1");
    let reach = crate::media::Reach::Anywhere;
    let status = crate::media::pool_status::pool_status(&world.state, &pool, reach, 10).unwrap();
    assert_eq!((status.tapes.empty, status.tapes.to_replace), (2, 1), "{status:?}");
    let filter = crate::media::listing::MediaFilter::default();
    let (list, _) = crate::media::listing::media_list(&world.state, &[pool], &filter, 10).unwrap();
    let verdicts: Vec<_> = list.iter().map(|one| (one.label_text.as_str(), one.verdict)).collect();
    assert!(verdicts.contains(&("CAP001L8", None)), "{verdicts:?}");
    assert!(verdicts.contains(&("CAP002L8", Some(Verdict::Replace))), "{verdicts:?}");
    assert!(
        list.iter()
            .any(|one| one.verdict_reason.as_ref().is_some_and(|r| r.contains("MEDIA_LIFE")))
    );
}
