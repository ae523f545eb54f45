//! A benchmark on an emulated library: its figures are those of the drive's model, and only the right cartridges are written over.

use std::sync::Arc;
use std::time::Duration;

use datastore::progress::Silent;
use vtl::streaming::Figures;
use vtl::{Generation, Library, Options, Timing};

use super::*;
use crate::error::Error;
use crate::loader::{MediaLoader, read_tape_labels};
use crate::media::{Inventory, MediaStatus, PoolConfig};
use crate::operations::label::{barcode_label, label};
use crate::over_vtl::station;
use crate::testing::{World, add_snapshot, noise};
use crate::write::{BufferSize, TapeBackupOptions, run_backup};

const MIB: u64 = 1 << 20;

/// The time of an emulated library.
struct LibraryClock<'a>(&'a Library);

impl Clock for LibraryClock<'_> {
    fn now(&self) -> Duration {
        self.0.clock().now()
    }
}

fn options(bytes: u64) -> DriveOptions {
    let buffer = BufferSize::Fixed(32 * MIB);
    DriveOptions { bytes, store: None, readers: None, buffer }
}

fn library(world: &World, options: Options) -> (Library, std::path::PathBuf) {
    let dir = world.folder.path().join("library");
    let options = Options { drives: 1, slots: 4, cartridges: 2, ..options };
    (Library::create(&dir, &options).unwrap(), dir)
}

fn refusal(world: &World, drive: &mut dyn MediaLoader, text: &str) -> String {
    let error = look(&world.state, drive, text, &MachineClock::start(), &Silent).unwrap_err();
    assert!(matches!(error, Error::BenchmarkRefused { .. }), "{error}");
    error.to_string()
}

#[test]
fn the_figures_are_those_of_the_drive() {
    // With the smallest buffer of all, so that four of them are no more than half a gigabyte.
    let generation = Generation::Lto4;
    let world = World::new();
    let made = Options { generation, timing: Timing::Virtual, ..Options::default() };
    let (library, dir) = library(&world, made);
    let model = Figures::new(generation, generation);
    let fastest = u64::from(*model.steps_mb_per_s.last().unwrap()) * 1_000_000;
    let clock = LibraryClock(&library);
    let mut drive = station(&world, &dir);
    let text = drive.online_label_texts().unwrap().unwrap().remove(0);
    let before = clock.now();
    let plan = look(&world.state, &mut drive, &text, &clock, &Silent).unwrap();
    assert!(plan.is_blank);
    assert!(plan.load >= Duration::from_secs(5) && plan.load <= clock.now() - before);
    let bytes = 4 * model.buffer_bytes;
    let (figures, together) =
        run_on_cartridge(&world.state, &mut drive, &plan, &options(bytes), &clock, &Silent)
            .unwrap();
    assert!(together.is_none());
    let is_near = |found: u64| found.abs_diff(fastest) * 100 <= fastest * 3;
    assert!(is_near(figures.write_bytes_per_second), "{generation}: {figures:?}");
    assert!(is_near(figures.read_bytes_per_second), "{generation}: {figures:?}");
    assert!(figures.write_and_sync_bytes_per_second < figures.write_bytes_per_second);
    // What the buffer held had to be written out.
    let buffered = model.buffer_bytes as f64 / fastest as f64;
    assert!((figures.sync.as_secs_f64() - buffered).abs() <= buffered * 0.1, "{figures:?}");
    assert_eq!(figures.locates.len(), 4);
    assert!(figures.locates.iter().all(|locate| locate.time > Duration::ZERO), "{figures:?}");
    assert_eq!((figures.label_text, figures.load), (text, plan.load));
}

/// A tape that is smaller than the drive's buffer says nothing of the tape's speed by its blocks.
#[test]
fn a_buffer_that_was_never_full_is_not_taken_for_the_tape() {
    let world = World::new();
    let made = Options { timing: Timing::Virtual, ..Options::default() };
    let (library, dir) = library(&world, made);
    let clock = LibraryClock(&library);
    let mut drive = station(&world, &dir);
    let plan = look(&world.state, &mut drive, "CAP001L8", &clock, &Silent).unwrap();
    let options = options(64 * MIB);
    let measured = run_on_cartridge(&world.state, &mut drive, &plan, &options, &clock, &Silent);
    let (figures, _) = measured.unwrap();
    assert!(figures.write_bytes_per_second < 365_000_000, "{figures:?}");
    assert_eq!(figures.write_bytes_per_second, figures.write_and_sync_bytes_per_second);
}

#[test]
fn a_blank_cartridge_is_left_blank_and_a_labelled_one_with_its_label() {
    let world = World::new();
    let (_library, dir) = library(&world, Options::default());
    let mut drive = station(&world, &dir);
    let clock = MachineClock::start();
    let plan = look(&world.state, &mut drive, "CAP001L8", &clock, &Silent).unwrap();
    assert_eq!((plan.is_blank, plan.uuid), (true, None));
    run_on_cartridge(&world.state, &mut drive, &plan, &options(8 * MIB), &clock, &Silent).unwrap();
    assert!(read_tape_labels(&mut *drive.open(&Silent).unwrap()).unwrap().is_none());
    assert!(Inventory::load(&world.state).unwrap().entries().next().is_none());

    drop(drive.load("CAP002L8", &Silent).unwrap());
    let before = label(&world.state, &mut drive, "CAP002L8", Some("p1"), &Silent).unwrap();
    let plan = look(&world.state, &mut drive, "CAP002L8", &clock, &Silent).unwrap();
    assert_eq!((plan.is_blank, plan.uuid), (false, Some(before.uuid)));
    assert_eq!(plan.pool.as_deref(), Some("p1"));
    run_on_cartridge(&world.state, &mut drive, &plan, &options(8 * MIB), &clock, &Silent).unwrap();
    let found = read_tape_labels(&mut *drive.open(&Silent).unwrap()).unwrap().unwrap();
    assert_eq!(found.media.label_text, "CAP002L8");
    assert_eq!(found.media.pool.as_deref(), Some("p1"));
    let inventory = Inventory::load(&world.state).unwrap();
    let known = inventory.find_by_label_text("CAP002L8").unwrap().unwrap();
    assert_eq!(known.id.label, found.media);
    // Another cartridge came into the drive between the question and the answer.
    drop(drive.load("CAP001L8", &Silent).unwrap());
    let changed =
        run_on_cartridge(&world.state, &mut drive, &plan, &options(8 * MIB), &clock, &Silent);
    assert!(matches!(changed.unwrap_err(), Error::BenchmarkRefused { .. }));
}

#[test]
fn a_cartridge_that_anybody_may_need_is_not_written_over() {
    let world = World::new();
    let (_library, dir) = library(&world, Options::default());
    let mut drive = station(&world, &dir);
    let labelled = barcode_label(&world.state, &mut drive, Some("p1"), &Silent).unwrap().labelled;
    let [first, second] = labelled.as_slice() else { panic!("{labelled:?}") };
    // Retired by an operator.
    let set_status = |status| {
        let mut inventory = Inventory::load(&world.state).unwrap();
        inventory.set_status(&second.uuid, status).unwrap();
    };
    set_status(Some(MediaStatus::Retired));
    assert!(refusal(&world, &mut drive, "CAP002L8").contains("retired"));
    set_status(None);
    look(&world.state, &mut drive, "CAP002L8", &MachineClock::start(), &Silent).unwrap();
    // A member of a media set.
    let store = world.store("source");
    let name = add_snapshot(&store, "", "a", 1_700_000_000, &[noise(1, 300_000)]);
    let options = TapeBackupOptions::new("main");
    let pool = PoolConfig::new("p1");
    let report = run_backup(&world.state, &store, pool, &mut drive, &options, &Silent).unwrap();
    assert_eq!(report.tapes, [first.label_text.as_str()], "{name}");
    let why = refusal(&world, &mut drive, "CAP001L8");
    assert!(why.contains(&report.media_set_uuid.to_string()), "{why}");
    // One that only the inventory knows: it is blank now.
    let mut device = drive.load("CAP002L8", &Silent).unwrap();
    device.format(true).unwrap();
    drop(device);
    assert!(refusal(&world, &mut drive, "CAP002L8").contains("inventory"));
    // Another program's.
    let mut device = drive.load("CAP002L8", &Silent).unwrap();
    device.rewind().unwrap();
    device.write_block(&[7; 10_000]).unwrap();
    device.sync().unwrap();
    drop(device);
    let clock = MachineClock::start();
    let error = look(&world.state, &mut drive, "CAP002L8", &clock, &Silent).unwrap_err();
    assert!(matches!(error, Error::LabelUnreadable { .. }), "{error}");
}

#[test]
fn a_cartridge_that_records_once_is_not_used_up() {
    let world = World::new();
    let (_library, dir) = library(&world, Options { worm: true, ..Options::default() });
    let mut drive = station(&world, &dir);
    let text = drive.online_label_texts().unwrap().unwrap().remove(0);
    let error = look(&world.state, &mut drive, &text, &MachineClock::start(), &Silent).unwrap_err();
    let is_worm = |e: &crate::drive::Error| matches!(e, crate::drive::Error::Worm { .. });
    assert!(matches!(&error, Error::Drive(e) if is_worm(e)), "{error}");
}

#[test]
fn disk_and_both_together_are_measured_with_all_their_chunks() {
    let world = World::new();
    let store = world.store("source");
    let data: Vec<Vec<u8>> = (0..24).map(|n| noise(n, 200_000)).collect();
    add_snapshot(&store, "", "a", 1_700_000_000, &data[..8]);
    // Only the newest of a group counts.
    add_snapshot(&store, "", "a", 1_700_000_100, &data[4..16]);
    add_snapshot(&store, "x", "b", 1_700_000_200, &data[12..]);
    let disk = DiskOptions::default();
    let clock = MachineClock::start();
    let report = measure_disk(&store, &disk, &clock, &Silent).unwrap();
    assert_eq!(report.runs.iter().map(|run| run.readers).collect::<Vec<_>>(), [1, 2, 4, 8]);
    assert_eq!(report.runs.iter().map(|run| (run.chunks, run.unreadable)).max(), Some((5, 0)));
    assert_eq!(report.runs.iter().map(|run| run.chunks).sum::<u64>(), 20);
    let bytes: u64 = report.runs.iter().map(|run| run.bytes).sum();
    assert!(report.bytes_per_second > 0 && report.runs.iter().all(|run| run.time > Duration::ZERO));

    let (_library, dir) = library(&world, Options::default());
    let mut drive = station(&world, &dir);
    let plan = look(&world.state, &mut drive, "CAP001L8", &clock, &Silent).unwrap();
    let measure = |drive: &mut dyn MediaLoader, limit| {
        let options =
            DriveOptions { store: Some(Arc::clone(&store)), readers: Some(2), ..options(limit) };
        let measured = run_on_cartridge(&world.state, drive, &plan, &options, &clock, &Silent);
        measured.unwrap().1.unwrap()
    };
    let together = measure(&mut drive, 64 * MIB);
    assert_eq!((together.chunks, together.bytes, together.unreadable), (20, bytes, 0));
    assert_eq!((together.feed.readers, together.feed.buffer_bytes), (2, 32 * MIB));
    // No more than was asked for, in whole chunks.
    let limited = measure(&mut drive, MIB);
    assert!((MIB..2 * MIB).contains(&limited.bytes), "{limited:?}");

    // A chunk that is damaged is told, and the rest is measured.
    let path = store.chunks().path(&datastore::Digest::of(&data[20]));
    let mut content = std::fs::read(&path).unwrap();
    content[100] ^= 1;
    std::fs::write(&path, content).unwrap();
    let report = measure_disk(&store, &disk, &clock, &Silent).unwrap();
    assert_eq!(report.runs.iter().map(|run| run.unreadable).sum::<u64>(), 1);
    assert_eq!(measure(&mut drive, 64 * MIB).unreadable, 1);
}

#[test]
fn a_store_with_too_few_chunks_is_told() {
    let world = World::new();
    let store = world.store("source");
    add_snapshot(&store, "", "a", 1_700_000_000, &[noise(1, 1_000)]);
    let clock = MachineClock::start();
    let error = measure_disk(&store, &DiskOptions::default(), &clock, &Silent).unwrap_err();
    assert!(error.to_string().contains("too few"), "{error}");
}
