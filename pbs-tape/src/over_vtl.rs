//! The same over SCSI: an emulated library with drives, a robot and cartridges in files.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use datastore::progress::Silent;
use scsi::{Address, Connect, Transport, VtlUnit};
use vtl::{ImportOptions, Library, Options};

use crate::drive::DriveKey;
use crate::loader::{MediaLoader, MediaWait};
use crate::media::{Inventory, PoolConfig};
use crate::operations::catalog::{CatalogOptions, catalog};
use crate::operations::erase;
use crate::operations::inventory::{InventoryOptions, inventory};
use crate::operations::label::barcode_label;
use crate::restore::{RestoreOptions, StoreMap, run_restore};
use crate::station::{ChangerConfig, DriveConfig, DriveStation};
use crate::testing::{
    World, add_snapshot, allow_chunk, assert_catalog_equals_dump, fingerprint, golden, noise,
};
use crate::write::{TapeBackupOptions, run_backup};

mod care;
mod cleaning;
mod encrypted;

struct Emulated;

impl Connect for Emulated {
    fn connect(&self, address: &Address) -> Result<Box<dyn Transport>, scsi::Error> {
        match address {
            Address::Vtl { dir, unit } => vtl::open_unit(dir, *unit),
            other => panic!("{other}"),
        }
    }
}

fn make_library(world: &World, cartridges: u16, capacity_bytes: u64) -> (Library, PathBuf) {
    let dir = world.folder.path().join("library");
    let options = Options {
        drives: 1,
        slots: 12,
        import_export: 4,
        cartridges,
        capacity_bytes: Some(capacity_bytes),
        ..Options::default()
    };
    (Library::create(&dir, &options).unwrap(), dir)
}

pub(crate) fn station(world: &World, dir: &Path) -> DriveStation {
    let address = |unit| Address::Vtl { dir: dir.to_path_buf(), unit };
    let config = DriveConfig {
        name: "drive0".into(),
        address: address(VtlUnit::Drive(0)),
        changer: Some(ChangerConfig {
            name: "lib".into(),
            address: address(VtlUnit::Changer),
            export_slots: Vec::new(),
            eject_before_unload: false,
        }),
        changer_drive: 0,
    };
    let wait = Duration::from_millis(10);
    DriveStation::open(&world.state, config, Arc::new(Emulated), Arc::new(Silent), wait).unwrap()
}

#[test]
fn a_set_over_scsi_spans_tapes_and_comes_back() {
    let world = World::new();
    let store = world.store("source");
    let mut names = Vec::new();
    let mut data: Vec<Vec<u8>> = (0..8).map(|n| noise(n, 1_300_000)).collect();
    names.push(add_snapshot(&store, "", "a", 1_700_000_000, &data));
    data.truncate(2);
    data.extend((20..26).map(|n| noise(n, 1_300_000)));
    names.push(add_snapshot(&store, "", "a", 1_700_000_100, &data));
    let other: Vec<Vec<u8>> = (40..46).map(|n| noise(n, 1_300_000)).collect();
    names.push(add_snapshot(&store, "x/y", "b", 1_700_000_200, &other));

    let (library, dir) = make_library(&world, 8, 12 << 20);
    let mut drive = station(&world, &dir);
    let labelled = barcode_label(&world.state, &mut drive, Some("p1"), &Silent).unwrap();
    assert_eq!((labelled.labelled.len(), labelled.failed.len()), (8, 0), "{labelled:?}");
    let mut options = TapeBackupOptions::new("main");
    let pool = || PoolConfig::new("p1");
    let report = run_backup(&world.state, &store, pool(), &mut drive, &options, &Silent).unwrap();
    assert_eq!(report.snapshots_written.len(), 3);
    assert!(report.tapes.len() >= 3, "{report:?}");

    // A second job, in the same set, behind the first.
    data.push(noise(99, 5000));
    names.push(add_snapshot(&store, "", "a", 1_700_000_300, &data));
    options.export_media_set = true;
    let second = run_backup(&world.state, &store, pool(), &mut drive, &options, &Silent).unwrap();
    assert_eq!((second.snapshots_written.len(), second.chunks), (1, 1));
    assert_eq!(second.media_set_uuid, report.media_set_uuid);
    assert!(!drive.online_label_texts().unwrap().unwrap().contains(&report.tapes[0]));

    for text in &report.tapes {
        let out = match std::env::var_os("CAPSTAN_KEEP_EXPORT") {
            // For an independent checker.
            Some(keep) => PathBuf::from(keep).join(text),
            None => world.folder.path().join("export").join(text),
        };
        library.export_cartridge(text, &out, &()).unwrap();
        // The same tapes in another library, known to nobody there.
        let options = ImportOptions { force: true, ..ImportOptions::default() };
        library.remove_cartridge(text).unwrap();
        library.import_cartridge(text, &out, &options, &()).unwrap();
    }
    let fresh = World::new();
    drop(drive);
    let mut drive = station(&fresh, &dir);
    let options =
        InventoryOptions { read_labels: true, catalog: true, ..InventoryOptions::default() };
    let found = inventory(&fresh.state, &mut drive, &options, &Silent).unwrap();
    assert!(found.failed.is_empty(), "{found:?}");
    assert_eq!(found.catalogs.len(), report.tapes.len());
    for entry in Inventory::load(&fresh.state).unwrap().entries() {
        if entry.id.assigned_set().is_some() {
            let (ours, theirs) = (
                fresh.state.catalog_file(&entry.id.label.uuid),
                world.state.catalog_file(&entry.id.label.uuid),
            );
            assert!(std::fs::read(ours).unwrap() == std::fs::read(theirs).unwrap());
        }
    }
    let target = fresh.store_for("target", &store);
    let mut options = RestoreOptions {
        media_set: report.media_set_uuid,
        stores: StoreMap::all_to("target", target.clone()),
        snapshots: vec![format!("main:{}", names[2])],
        owner: "root@pam".into(),
        wait: MediaWait::NONE,
        writers: 2,
    };
    let restore = |drive: &mut DriveStation, options: &RestoreOptions| {
        run_restore(&fresh.state, drive, options, &Silent).unwrap().into_result().unwrap()
    };
    assert_eq!(restore(&mut drive, &options).snapshots_restored.len(), 1);
    options.snapshots.clear();
    assert_eq!(restore(&mut drive, &options).snapshots_restored.len(), 3);
    for name in &names {
        assert_eq!(fingerprint(&store, name), fingerprint(&target, name), "{name}");
    }
}

#[test]
fn a_drive_in_use_is_refused() {
    let world = World::new();
    let (_library, dir) = make_library(&world, 1, 8 << 20);
    let first = station(&world, &dir);
    let config = first.config().clone();
    let second = DriveStation::open(
        &world.state,
        config,
        Arc::new(Emulated),
        Arc::new(Silent),
        Duration::ZERO,
    );
    assert!(second.err().unwrap().is_retryable());
}

#[test]
fn golden_tapes_go_through_an_emulated_library() {
    let Some(golden) = golden() else { return };
    let world = World::new();
    let (library, dir) = make_library(&world, 0, 64 << 20);
    for label in ["GOLD01L8", "GOLD02L8", "GOLD03L8"] {
        let folder = world.folder.path().join(label);
        std::fs::create_dir(&folder).unwrap();
        let virtual_tape = golden.join("tape/virtual");
        let mut number = 0;
        while std::fs::copy(
            virtual_tape.join(format!("tapefile-{number}-{label}.json")),
            folder.join(format!("{number:05}.blocks")),
        )
        .is_ok()
        {
            number += 1;
        }
        library.import_cartridge(label, &folder, &ImportOptions::default(), &()).unwrap();
    }
    let mut drive = station(&world, &dir);
    let options =
        InventoryOptions { read_labels: true, catalog: true, ..InventoryOptions::default() };
    let found = inventory(&world.state, &mut drive, &options, &Silent).unwrap();
    assert!(found.failed.is_empty(), "{found:?}");
    assert_eq!((found.media.len(), found.catalogs.len()), (3, 3));
    let assert_catalogs = || {
        for entry in Inventory::load(&world.state).unwrap().entries() {
            let catalog = crate::media::MediaCatalog::load(&world.state, &entry.id).unwrap();
            let dump = golden.join(format!("tape/catalog-{}.dump.jsonl", entry.id.label.uuid));
            assert_catalog_equals_dump(&catalog, &dump);
        }
    };
    assert_catalogs();
    let device = drive.load("GOLD01L8", &Silent).unwrap();
    drop(device);
    let options = CatalogOptions { force: true, scan: true };
    let report = catalog(&world.state, &mut drive, options, &Silent).unwrap();
    assert!(report.scanned && report.damage.is_empty(), "{report:?}");
    assert_catalogs();

    let target = world.store("target");
    for folder in std::fs::read_dir(golden.join("datastore/.chunks")).unwrap() {
        for chunk in std::fs::read_dir(folder.unwrap().path()).unwrap() {
            if let Ok(digest) = chunk.unwrap().file_name().to_string_lossy().parse() {
                allow_chunk(&target, &digest);
            }
        }
    }
    let set = std::fs::read_to_string(golden.join("tape/media-set-uuid")).unwrap();
    let options = RestoreOptions {
        media_set: set.trim().parse().unwrap(),
        stores: StoreMap::all_to("target", target),
        snapshots: Vec::new(),
        owner: "root@pam".into(),
        wait: MediaWait::NONE,
        writers: 2,
    };
    let report = run_restore(&world.state, &mut drive, &options, &Silent).unwrap();
    assert_eq!(report.into_result().unwrap().snapshots_restored.len(), 10);
    assert_catalogs();
}

/// A tape that somebody encrypted with a key that is gone could not be formatted, because its label
/// could not be read: found with `stenc` and a real kernel.
#[test]
fn a_tape_encrypted_with_a_lost_key_can_be_formatted() {
    let world = World::new();
    let (_library, dir) = make_library(&world, 2, 32 << 20);
    let mut drive = station(&world, &dir);
    let mut device = drive.load("CAP001L8", &Silent).unwrap();
    device.rewind().unwrap();
    device.set_key(&DriveKey::new([7; 32].into())).unwrap();
    device.write_block(&[1; crate::format::BLOCK_BYTES]).unwrap();
    drop(device);
    let refused = erase::plan(&mut drive, Some("CAP001L8"), true, &Silent).unwrap_err();
    assert!(refused.is_undecryptable(), "{refused}");
    let plan = erase::plan(&mut drive, None, true, &Silent).unwrap();
    assert!(plan.unreadable.is_some_and(|why| why.contains("decrypted")));
    erase::format(&world.state, &mut drive, None, true, &Silent).unwrap();
    let report = barcode_label(&world.state, &mut drive, Some("p1"), &Silent).unwrap();
    assert_eq!((report.labelled.len(), report.failed.len()), (2, 0), "{report:?}");
}
