//! Pools with a key, on drives that really encrypt.

use std::sync::Arc;
use std::time::Duration;

use datastore::Datastore;
use datastore::key::KdfKind;
use scsi::Sense;
use uuid::Uuid;
use vtl::{EncryptionControl, Generation};

use super::*;
use crate::drive::Encryption;
use crate::error::Error;
use crate::format::label::Labels;
use crate::keys::{KeyStore, drive_key_of_set};
use crate::loader::read_tape_labels;
use crate::operations::read_label::read_label;
use crate::operations::restore_key::{KeyOutcome, restore_key};
use crate::operations::scan::scan;
use crate::verify::{VerifyOptions, VerifyReport, VerifyScope, run_verify};
use crate::write::TapeBackupReport;

const PASSPHRASE: &[u8] = b"tape passphrase";

/// A datastore, a library, and a pool `p1` with a key.
struct Encrypted {
    world: World,
    library: Library,
    dir: PathBuf,
    store: Arc<Datastore>,
    names: Vec<String>,
    pool: PoolConfig,
}

impl Encrypted {
    fn new() -> Encrypted {
        Encrypted::in_library(|world| make_library(world, 4, 12 << 20))
    }

    fn in_library(make: impl FnOnce(&World) -> (Library, PathBuf)) -> Encrypted {
        let world = World::new();
        let store = world.store("source");
        let data: Vec<Vec<u8>> = (0..12).map(|n| noise(n, 1_300_000)).collect();
        let names = vec![add_snapshot(&store, "", "a", 1_700_000_000, &data)];
        let (library, dir) = make(&world);
        let mut pool = PoolConfig::new("p1");
        pool.encrypt = Some(new_key(world.state.keys()));
        let this = Encrypted { world, library, dir, store, names, pool };
        let labelled = barcode_label(&this.world.state, &mut this.station(), Some("p1"), &Silent);
        assert!(labelled.unwrap().failed.is_empty());
        this
    }

    fn station(&self) -> DriveStation {
        station(&self.world, &self.dir)
    }

    fn back_up(&self) -> crate::Result<TapeBackupReport> {
        let options = TapeBackupOptions::new("main");
        let pool = self.pool.clone();
        run_backup(&self.world.state, &self.store, pool, &mut self.station(), &options, &Silent)
    }

    fn fingerprint(&self) -> &str {
        self.pool.encrypt.as_deref().unwrap()
    }

    fn labels(&self, label_text: &str) -> Labels {
        let mut device = self.station().load(label_text, &Silent).unwrap();
        read_tape_labels(&mut *device).unwrap().unwrap()
    }
}

fn new_key(keys: &KeyStore) -> String {
    // PBKDF2, because scrypt is slow in a test.
    keys.create(KdfKind::Pbkdf2, PASSPHRASE, Some("the cupboard".into())).unwrap().to_string()
}

/// A key that is missing is not waited for, whatever the patience with tapes; which has an end here, so that a fault fails the
/// test instead of holding it up.
const PATIENT: MediaWait = MediaWait {
    retry_every: Duration::from_millis(100),
    give_up_after: Some(Duration::from_secs(30)),
};

fn restore(
    world: &World,
    drive: &mut DriveStation,
    set: Uuid,
    target: &Arc<Datastore>,
) -> crate::Result<crate::restore::RestoreReport> {
    let options = RestoreOptions {
        media_set: set,
        stores: StoreMap::all_to("target", target.clone()),
        snapshots: Vec::new(),
        owner: "root@pam".into(),
        wait: PATIENT,
        writers: 2,
    };
    run_restore(&world.state, drive, &options, &Silent)
}

fn verify(world: &World, drive: &mut DriveStation, set: Uuid) -> crate::Result<VerifyReport> {
    let scope = VerifyScope::Set(set);
    let options = VerifyOptions { scope, keys: Vec::new(), threads: 2, wait: PATIENT };
    run_verify(&world.state, drive, &options, &Silent)
}

fn assert_says_which_key(error: &Error, fingerprint: &str) {
    let told = error.to_string();
    assert!(matches!(error.cause(), Error::KeyMissing { .. }), "{told}");
    for part in [fingerprint, "the cupboard", "tape key restore --drive drive0", "CAP00"] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

/// The whole way: written, verified, and read on a machine that has nothing but the cartridges and the passphrase.
#[test]
fn an_encrypted_set_comes_back_with_nothing_but_tapes_and_the_passphrase() {
    let this = Encrypted::new();
    let report = this.back_up().unwrap();
    assert!(report.tapes.len() >= 2, "{report:?}");
    let (set, first) = (report.media_set_uuid, report.tapes[0].clone());

    // The set label is there for everybody, and carries the locked key.
    let labels = this.labels(&first);
    let label = labels.media_set.unwrap();
    assert_eq!(label.label.encryption_key_fingerprint.as_deref(), Some(this.fingerprint()));
    let config = label.key_config.unwrap();
    assert_eq!((&config["hint"], config["kdf"].is_object()), (&"the cupboard".into(), true));
    // The data is not.
    let mut device = this.station().load(&first, &Silent).unwrap();
    let mut block = vec![0; crate::format::BLOCK_BYTES];
    device.move_to_file(2).unwrap();
    assert!(device.read_block(&mut block).unwrap_err().is_undecryptable());
    // The pool's own key is not the drive's.
    let key = this.world.state.keys().key(this.fingerprint().parse().unwrap()).unwrap().unwrap();
    device.set_key(&DriveKey::new((*key.key_bytes()).into())).unwrap();
    device.move_to_file(2).unwrap();
    assert!(device.read_block(&mut block).is_err());
    device.set_key(&drive_key_of_set(&key, &set).unwrap()).unwrap();
    device.move_to_file(2).unwrap();
    device.read_block(&mut block).unwrap();
    drop(device);

    let verified = verify(&this.world, &mut this.station(), set).unwrap().into_result().unwrap();
    assert_eq!((verified.snapshots.len(), verified.tapes.len()), (1, report.tapes.len()));

    // Another machine.
    let fresh = World::new();
    let mut drive = station(&fresh, &this.dir);
    let options =
        InventoryOptions { read_labels: true, catalog: true, ..InventoryOptions::default() };
    let found = inventory(&fresh.state, &mut drive, &options, &Silent).unwrap();
    assert_eq!(found.media.iter().filter(|media| media.uuid.is_some()).count(), 4, "{found:?}");
    assert!(found.catalogs.is_empty() && !found.failed.is_empty(), "{found:?}");
    assert!(found.failed.iter().all(|(_, why)| why.contains(this.fingerprint())), "{found:?}");
    let target = fresh.store_for("target", &this.store);
    assert_says_which_key(
        &restore(&fresh, &mut drive, set, &target).unwrap_err(),
        this.fingerprint(),
    );
    assert_says_which_key(&verify(&fresh, &mut drive, set).unwrap_err(), this.fingerprint());
    drop(drive.load(&first, &Silent).unwrap());
    let info = read_label(&fresh.state, &mut drive, false, &Silent).unwrap();
    assert_eq!(info.encryption_key_fingerprint.as_deref(), Some(this.fingerprint()));
    let options = CatalogOptions { force: true, scan: true };
    let error = catalog(&fresh.state, &mut drive, options, &Silent).unwrap_err();
    assert_says_which_key(&error, this.fingerprint());

    // The wrong passphrase changes nothing, the right one brings the key.
    let mut asked = Vec::new();
    let mut take = |drive: &mut DriveStation, replace, passphrase: &[u8]| {
        restore_key(
            &fresh.state,
            drive,
            replace,
            &mut |fingerprint, hint| {
                asked.push((fingerprint.to_string(), hint.map(str::to_string)));
                Ok(passphrase.to_vec())
            },
            &Silent,
        )
    };
    let error = take(&mut drive, false, b"not that one").unwrap_err().to_string();
    assert!(error.contains("wrong passphrase") && error.contains("the cupboard"), "{error}");
    assert!(fresh.state.keys().list().unwrap().is_empty());
    let taken = take(&mut drive, false, PASSPHRASE).unwrap();
    assert_eq!(
        (taken.fingerprint.to_string().as_str(), taken.outcome),
        (this.fingerprint(), KeyOutcome::Restored)
    );
    assert_eq!(take(&mut drive, false, PASSPHRASE).unwrap().outcome, KeyOutcome::Present);
    assert_eq!(take(&mut drive, true, PASSPHRASE).unwrap().outcome, KeyOutcome::Replaced);
    let keys = fresh.state.keys();
    std::fs::remove_file(keys.folder().join("tape-encryption-keys.json")).unwrap();
    assert_eq!(take(&mut drive, false, PASSPHRASE).unwrap().outcome, KeyOutcome::MadeUsable);
    assert!(asked.iter().all(|(name, hint)| name == this.fingerprint() && hint.is_some()));

    let found = inventory(
        &fresh.state,
        &mut drive,
        &InventoryOptions { catalog: true, ..InventoryOptions::default() },
        &Silent,
    )
    .unwrap();
    assert!(found.failed.is_empty(), "{found:?}");
    assert_eq!(found.catalogs.len(), report.tapes.len());
    let restored = restore(&fresh, &mut drive, set, &target).unwrap().into_result().unwrap();
    assert_eq!(restored.snapshots_restored.len(), 1);
    assert_eq!(fingerprint(&this.store, &this.names[0]), fingerprint(&target, &this.names[0]));
    verify(&fresh, &mut drive, set).unwrap().into_result().unwrap();
    drop(drive.load(&first, &Silent).unwrap());
    let options = CatalogOptions { force: true, scan: true };
    let scanned = catalog(&fresh.state, &mut drive, options, &Silent).unwrap();
    assert!(scanned.scanned && scanned.damage.is_empty(), "{scanned:?}");
}

#[test]
fn a_second_job_goes_on_behind_the_first_and_another_key_begins_a_set() {
    // Two sets of two or three tapes.
    let mut this = Encrypted::in_library(|world| make_library(world, 6, 12 << 20));
    let first = this.back_up().unwrap();
    this.names.push(add_snapshot(&this.store, "", "a", 1_700_000_100, &[noise(77, 9000)]));
    let second = this.back_up().unwrap();
    assert_eq!(second.media_set_uuid, first.media_set_uuid);
    assert_eq!(second.snapshots_written.len(), 1);
    verify(&this.world, &mut this.station(), first.media_set_uuid).unwrap().into_result().unwrap();

    let old = this.pool.encrypt.replace(new_key(this.world.state.keys()));
    let third = this.back_up().unwrap();
    assert_ne!(third.media_set_uuid, first.media_set_uuid);
    let label = this.labels(&third.tapes[0]).media_set.unwrap().label;
    assert_eq!(label.encryption_key_fingerprint.as_deref(), Some(this.fingerprint()));
    assert_ne!(label.encryption_key_fingerprint, old);
    // The old set is read with the old key.
    for set in [first.media_set_uuid, third.media_set_uuid] {
        verify(&this.world, &mut this.station(), set).unwrap().into_result().unwrap();
    }
}

#[test]
fn a_pool_whose_key_is_not_here_writes_nothing() {
    let mut this = Encrypted::new();
    let key = this.fingerprint().to_string();
    this.world.state.keys().remove(key.parse().unwrap()).unwrap();
    let error = this.back_up().unwrap_err();
    assert!(
        matches!(error, Error::UnknownKey { .. }) && error.to_string().contains(&key),
        "{error}"
    );
    assert!(
        Inventory::load(&this.world.state)
            .unwrap()
            .entries()
            .all(|one| one.id.assigned_set().is_none())
    );
    // Garbage for a fingerprint is the same.
    this.pool.encrypt = Some("not a fingerprint".into());
    assert!(matches!(this.back_up(), Err(Error::UnknownKey { .. })));
}

/// LTO-4 drives write LTO-3 cartridges, but not encrypted.
#[test]
fn a_cartridge_that_cannot_be_encrypted_is_refused_before_its_set_label() {
    let this = Encrypted::in_library(|world| {
        let dir = world.folder.path().join("library");
        let generation = Generation::Lto4;
        let options =
            Options { drives: 1, slots: 4, generation, cartridges: 0, ..Options::default() };
        let library = Library::create(&dir, &options).unwrap();
        library.add_cartridge("OLD001L3", Some(12 << 20)).unwrap();
        (library, dir)
    });
    let error = this.back_up().unwrap_err().to_string();
    assert!(error.contains("LTO-4") && error.contains("drive"), "{error}");
    assert_eq!(this.labels("OLD001L3").media_set, None);
}

#[test]
fn a_drive_whose_library_is_in_charge_is_refused_before_anything_is_written() {
    let this = Encrypted::new();
    this.library.set_encryption_control(EncryptionControl::Library { key: None });
    let error = this.back_up().unwrap_err().to_string();
    assert!(error.contains("managed"), "{error}");
    this.library.set_encryption_control(EncryptionControl::Hosts);
    for n in 1..=4 {
        assert_eq!(this.labels(&format!("CAP00{n}L8")).media_set, None);
    }
}

/// Another host left its key in the drive, for all hosts. No label and no data of ours may be written with it.
#[test]
fn a_key_that_another_host_left_is_used_for_nothing() {
    let this = Encrypted::new();
    let foreign = || {
        let mut drive = this.library.drive(0).unwrap();
        let set = scsi::command::security::SetEncryption::mixed(1, &[9; 32]);
        while set.send(&mut drive).is_err_and(|e| e.sense().is_some_and(Sense::is_unit_attention)) {
        }
        drive
    };
    let held = foreign();
    let report = this.back_up().unwrap();
    drop(held);
    let held = foreign();
    let labels = this.labels(&report.tapes[0]);
    assert!(labels.media_set.unwrap().key_config.is_some());
    let set = report.media_set_uuid;
    verify(&this.world, &mut this.station(), set).unwrap().into_result().unwrap();
    drop(held);
    let target = this.world.store_for("target", &this.store);
    restore(&this.world, &mut this.station(), set, &target).unwrap().into_result().unwrap();
}

/// After a job, after an ejection and after a crash the drive has no key.
#[test]
fn no_key_stays_in_the_drive() {
    let this = Encrypted::new();
    // Kept open, so that the drive stays switched on.
    let mut watch = this.library.drive(0).unwrap();
    let mut status = move || loop {
        match scsi::command::security::EncryptionStatus::request(&mut watch) {
            Ok(status) => return status.is_off(),
            Err(e) if e.sense().is_some_and(Sense::is_unit_attention) => {}
            Err(e) => panic!("{e}"),
        }
    };
    let report = this.back_up().unwrap();
    assert!(status());
    let text = &report.tapes[0];
    let key = this.world.state.keys().key(this.fingerprint().parse().unwrap()).unwrap().unwrap();
    let key = drive_key_of_set(&key, &report.media_set_uuid).unwrap();
    let mut drive = this.station();
    let mut device = drive.load(text, &Silent).unwrap();
    device.set_key(&key).unwrap();
    assert!(!status());
    device.eject().unwrap();
    assert!(status());
    drop(device);
    // A job that is killed: nobody is there to remove its key.
    let mut device = drive.load(text, &Silent).unwrap();
    device.set_key(&key).unwrap();
    std::mem::forget(device);
    assert!(!status());
    let mut device = drive.open(&Silent).unwrap();
    assert!(status());
    device.assert_encryption(Encryption::Off).unwrap();
}

#[test]
fn a_tape_is_listed_with_its_key_and_without() {
    let this = Encrypted::new();
    let report = this.back_up().unwrap();
    let list = |world: &World| {
        let mut drive = station(world, &this.dir);
        drop(drive.load(&report.tapes[0], &Silent).unwrap());
        scan(&mut drive, &Silent, |_| {}).unwrap()
    };
    let known = list(&this.world);
    assert!(known.len() > 2 && known.iter().all(|file| file.error.is_none()), "{known:?}");
    let unknown = list(&World::new());
    assert_eq!(unknown.len(), known.len(), "{unknown:?}");
    assert_eq!(unknown[..2], known[..2]);
    assert!(unknown[2..].iter().all(|file| file.error.is_some()), "{unknown:?}");
}

#[test]
fn an_expired_tape_whose_key_is_lost_is_overwritten() {
    let mut this = Encrypted::new();
    this.pool.retention = crate::media::Retention::Overwrite;
    let first = this.back_up().unwrap();
    let lost = this.fingerprint().parse().unwrap();
    this.pool.encrypt = Some(new_key(this.world.state.keys()));
    this.world.state.keys().remove(lost).unwrap();
    let mut tapes = first.tapes;
    for n in 1..3 {
        std::thread::sleep(Duration::from_millis(1100));
        let data: Vec<Vec<u8>> = (0..12).map(|at| noise(n * 100 + at, 1_300_000)).collect();
        add_snapshot(&this.store, "", "a", 1_700_001_000 + n as i64, &data);
        let options = TapeBackupOptions {
            force_media_set: true,
            latest_only: true,
            ..TapeBackupOptions::new("main")
        };
        let pool = this.pool.clone();
        let report = run_backup(
            &this.world.state,
            &this.store,
            pool,
            &mut this.station(),
            &options,
            &Silent,
        )
        .unwrap();
        tapes.extend(report.tapes);
        verify(&this.world, &mut this.station(), report.media_set_uuid)
            .unwrap()
            .into_result()
            .unwrap();
    }
    let count = tapes.len();
    tapes.sort();
    tapes.dedup();
    assert!(tapes.len() < count, "no tape was used twice: {tapes:?}");
}

/// A rescue needs the passphrase or the key, takes either, tells which key it is if it has neither, and keeps none.
#[test]
fn an_encrypted_set_is_rescued_with_its_passphrase_or_its_key() {
    use crate::media::find::SnapshotPattern;
    use crate::rescue::{
        Purpose, RescueFolder, RescueKeys, RescueOptions, RescueReport, TapeState, run_rescue,
    };
    let this = Encrypted::new();
    let report = this.back_up().unwrap();
    assert!(report.tapes.len() >= 2, "{report:?}");
    let name: datastore::Fingerprint = this.fingerprint().parse().unwrap();
    let key = || this.world.state.keys().key(name).unwrap().unwrap();
    // A machine that knows nothing.
    let fresh = World::new();
    let rescue = |dir: &str, at_hand: Vec<datastore::CryptConfig>, passphrase: &'static [u8]| {
        let dir = fresh.folder.path().join(dir);
        std::fs::create_dir_all(dir.join(".rescue")).unwrap();
        for entry in std::fs::read_dir(this.store.base().join(".chunks")).unwrap() {
            let chunks = dir.join("datastore/main/.chunks");
            std::fs::create_dir_all(chunks.join(entry.unwrap().file_name())).unwrap();
        }
        let mut asked = 0;
        let ask = move |fingerprint: &str, hint: Option<&str>| {
            asked += 1;
            assert_eq!((asked, hint), (1, Some("the cupboard")), "{fingerprint}");
            match passphrase {
                b"" => Err(datastore::Error::Key { reason: "nobody is here".into() }),
                passphrase => Ok(passphrase.to_vec()),
            }
        };
        let mut keys = RescueKeys::new(at_hand, None, Box::new(ask));
        let options = RescueOptions {
            purpose: Purpose::Rescue,
            snapshots: vec![SnapshotPattern::parse("main").unwrap()],
            owner: "root@pam".into(),
            again: false,
            wait: None,
            writers: 2,
        };
        let mut folder = RescueFolder::open(&dir).unwrap();
        let mut station = station(&fresh, &this.dir);
        run_rescue(&mut folder, &mut station, &mut keys, &options, &Silent).unwrap()
    };
    let locked = |report: &RescueReport| {
        report.tapes.iter().filter(|tape| tape.state == TapeState::Locked).count()
    };
    for (passphrase, reason) in
        [(&b"not this one"[..], "wrong passphrase"), (b"", "nobody is here")]
    {
        let report = rescue("one", Vec::new(), passphrase);
        assert_eq!(locked(&report), report.sets[0].tapes.len(), "{report:?}");
        assert!(report.snapshots.is_empty() && !report.is_complete());
        let told = &report.tapes[0].reason;
        for part in [this.fingerprint(), "the cupboard", reason, "--password-file", "--paper-key"] {
            assert!(told.contains(part), "{part}: {told}");
        }
    }
    // In the same folder, with the passphrase; then in another one with the key.
    let report = rescue("one", Vec::new(), PASSPHRASE);
    assert_eq!((locked(&report), report.is_complete()), (0, true), "{report:?}");
    let report = rescue("two", vec![key()], b"");
    assert_eq!((locked(&report), report.is_complete()), (0, true), "{report:?}");
    for dir in ["one", "two"] {
        let dir = fresh.folder.path().join(dir);
        let rescued = Datastore::open(&dir.join("datastore/main"), &Default::default()).unwrap();
        for name in &this.names {
            assert_eq!(fingerprint(&this.store, name), fingerprint(&rescued, name), "{name}");
        }
        // No key lies there.
        for entry in std::fs::read_dir(dir.join(".rescue")).unwrap() {
            let file = entry.unwrap().file_name();
            assert!(!file.to_string_lossy().contains("key"), "{file:?}");
        }
    }
    // And none stays in the drive.
    let mut station = station(&fresh, &this.dir);
    let mut device = station.load(&report.tapes[0].label_text, &Silent).unwrap();
    device.move_to_file(2).unwrap();
    let mut block = vec![0; crate::format::BLOCK_BYTES];
    assert!(device.read_block(&mut block).unwrap_err().is_undecryptable());
}

/// Archives come from an encrypted set as from any other, with its key and not without; a snapshot that is encrypted itself needs its own key
/// besides.
#[test]
fn archives_come_out_of_an_encrypted_set() {
    use crate::extract::{ExtractOptions, ExtractTarget, Extraction, Wanted};
    use datastore::CryptConfig;

    let this = Encrypted::new();
    let own_key = Arc::new(CryptConfig::new([9; 32]).unwrap());
    let secret = noise(500, 900_000);
    let hidden = add_encrypted_image(&this.store, &own_key, &secret);
    let report = this.back_up().unwrap();
    assert!(report.tapes.len() >= 2, "{report:?}");
    let extract =
        |name: &str, archive: &str, key: Option<&Arc<CryptConfig>>| -> crate::Result<Vec<u8>> {
            let options = ExtractOptions {
                wait: PATIENT,
                spool_folder: this.world.folder.path().to_path_buf(),
                spool_bytes_max: 64 << 20,
            };
            let wanted = Wanted {
                archive: archive.into(),
                patterns: Vec::new(),
                range: None,
                key: key.cloned(),
            };
            let (mut drive, mut out) = (this.station(), Vec::new());
            let (state, pools) = (&this.world.state, [this.pool.clone()]);
            let name = format!("main:{name}");
            let open = Extraction::open(state, &mut drive, &pools, &name, &options, &Silent)?;
            let report = open.run(&wanted, ExtractTarget::Stream(&mut out))?;
            assert!(report.lost.is_empty(), "{report:?}");
            Ok(out)
        };
    assert!(extract(&this.names[0], "etc.conf", None).unwrap() == b"configuration");
    assert!(extract(&this.names[0], "root.pxar", None).is_err(), "chunks that are no archive");
    assert!(extract(&hidden, "disk", Some(&own_key)).unwrap() == secret);
    assert!(extract(&hidden, "disk", None).is_err());
    let other = Arc::new(CryptConfig::new([8; 32]).unwrap());
    assert!(extract(&hidden, "disk", Some(&other)).is_err());

    // Without the key of the set nobody gets anything, and is told which key is lacking.
    let keys = this.world.state.keys();
    std::fs::remove_file(keys.folder().join("tape-encryption-keys.json")).unwrap();
    let error = extract(&hidden, "disk", Some(&own_key)).unwrap_err();
    assert!(error.to_string().contains(this.fingerprint()), "{error}");
}

/// A snapshot of one image, encrypted with a key; its name on tape.
fn add_encrypted_image(
    store: &Arc<Datastore>,
    key: &Arc<datastore::CryptConfig>,
    content: &[u8],
) -> String {
    use datastore::snapshot::{GroupWriter, SnapshotWriter};
    use datastore::{CryptMode, DataBlob, Manifest, Namespace, SnapshotPath};

    let path = SnapshotPath::new("vm/7".parse().unwrap(), 1_700_000_500).unwrap();
    let group = GroupWriter::open(store, &Namespace::root(), path.group(), "root@pam").unwrap();
    let writer = SnapshotWriter::begin_backup(&group, path.time()).unwrap();
    let mut digests = Vec::new();
    for chunk in content.chunks(65_536) {
        // The last chunk of an image is as long as what is left.
        let digest = key.digest(chunk);
        allow_chunk(store, &digest);
        let blob = DataBlob::encode(chunk, Some(&**key), false).unwrap();
        writer.insert_chunk(&digest, &blob, chunk.len() as u64).unwrap();
        digests.push((chunk.len() as u64, digest));
    }
    let mut manifest = Manifest::new(&path);
    let info = writer.add_dynamic_index("disk.didx", &digests, CryptMode::Encrypt).unwrap();
    manifest.add(info).unwrap();
    manifest.sign(key).unwrap();
    writer.finish(manifest).unwrap();
    datastore::hierarchy::qualified_name(&Namespace::root(), &path)
}
