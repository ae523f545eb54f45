//! Verification of tapes in memory: sound ones, missing ones, and each kind of damage.

use std::sync::Arc;

use datastore::progress::Silent;
use datastore::{Datastore, Digest};

use super::*;
use crate::device::model::{ModelLibrary, Record};
use crate::media::{MediaCatalog, PoolConfig};
use crate::operations::inventory::{InventoryOptions, inventory};
use crate::operations::label::barcode_label;
use crate::testing::{World, add_snapshot, golden, library, noise};
use crate::write::{TapeBackupOptions, run_backup};

struct Set {
    world: World,
    _store: Arc<Datastore>,
    /// `main:name`.
    names: Vec<String>,
    /// Chunks of each snapshot.
    chunks: Vec<Vec<Vec<u8>>>,
    library: ModelLibrary,
    uuid: Uuid,
    tapes: Vec<String>,
}

/// Three snapshots on at least three tapes; the second needs chunks of the first.
fn written() -> Set {
    let world = World::new();
    let store = world.store("source");
    let first: Vec<Vec<u8>> = (0..6).map(|n| noise(n, 600_000)).collect();
    let mut second = first[..3].to_vec();
    second.extend((10..14).map(|n| noise(n, 600_000)));
    let third: Vec<Vec<u8>> = (20..26).map(|n| noise(n, 600_000)).collect();
    let names = vec![
        add_snapshot(&store, "", "a", 1_700_000_000, &first),
        add_snapshot(&store, "", "a", 1_700_000_100, &second),
        add_snapshot(&store, "x/y", "b", 1_700_000_200, &third),
    ];
    let mut library = library(6, 20, 6);
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let options = TapeBackupOptions::new("main");
    let pool = PoolConfig::new("p1");
    let report = run_backup(&world.state, &store, pool, &mut library, &options, &Silent).unwrap();
    assert!(report.tapes.len() >= 3, "{:?}", report.tapes);
    Set {
        world,
        _store: store,
        names: names.into_iter().map(|name| format!("main:{name}")).collect(),
        chunks: vec![first, second, third],
        library,
        uuid: report.media_set_uuid,
        tapes: report.tapes,
    }
}

impl Set {
    fn verify(&mut self, scope: VerifyScope) -> VerifyReport {
        let options = VerifyOptions { scope, keys: Vec::new(), threads: 2, wait: MediaWait::NONE };
        run_verify(&self.world.state, &mut self.library, &options, &Silent).unwrap()
    }

    fn verify_set(&mut self) -> VerifyReport {
        self.verify(VerifyScope::Set(self.uuid))
    }

    fn find(&self, text: &str) -> Result<VerifyScope> {
        VerifyScope::find(&self.world.state, &[PoolConfig::new("p1")], text)
    }

    /// Changes the records of a tape that satisfy `which`, by file and block, both from 0.
    fn change(&self, tape: &str, which: impl Fn(usize, usize, &[u8]) -> Option<Vec<u8>>) {
        let mut medium = self.library.tapes[tape].lock().unwrap();
        let (mut file, mut block, mut changed) = (0, 0, 0);
        for record in &mut medium.records {
            match record {
                Record::Filemark => (file, block) = (file + 1, 0),
                Record::Block(bytes) => {
                    if let Some(new) = which(file, block, bytes) {
                        *bytes = new.into();
                        changed += 1;
                    }
                    block += 1;
                }
            }
        }
        assert!(changed > 0, "nothing was changed on {tape}");
    }

    fn flip(&self, tape: &str, file: usize, block: usize, at: usize) {
        self.change(tape, |f, b, bytes| {
            let mut bytes = bytes.to_vec();
            (f == file && b == block).then(|| {
                bytes[at] ^= 0x10;
                bytes
            })
        });
    }

    /// The tape and the file with the archive of a snapshot, as its catalog says.
    fn archive_of(&self, name: &str) -> (String, usize) {
        let (store, name) = name.split_once(':').unwrap();
        for entry in Inventory::load(&self.world.state).unwrap().entries() {
            let Ok(catalog) = MediaCatalog::load(&self.world.state, &entry.id) else { continue };
            if let Some(file) = catalog.content().snapshot(store, name) {
                return (entry.id.label.label_text.clone(), file as usize);
            }
        }
        panic!("{name} is not on tape");
    }
}

fn states(report: &VerifyReport) -> Vec<(&str, SnapshotState)> {
    let mut states: Vec<_> =
        report.snapshots.iter().map(|one| (one.snapshot.as_str(), one.state)).collect();
    states.sort_by_key(|(name, _)| *name);
    states
}

fn damaged(report: &VerifyReport) -> Vec<String> {
    let states = states(report).into_iter();
    states
        .filter(|(_, state)| *state == SnapshotState::Damaged)
        .map(|(name, _)| name.into())
        .collect()
}

#[test]
fn a_sound_set_is_found_sound() {
    let mut set = written();
    let report = set.verify_set();
    assert!(!report.is_damaged() && report.is_complete(), "{report:#?}");
    assert_eq!(report.snapshots.len(), 3);
    assert!(states(&report).iter().all(|(_, state)| *state == SnapshotState::Ok));
    assert_eq!((report.chunks.digest, report.chunks.damaged), (16, 0));
    assert_eq!(report.tapes.len(), set.tapes.len());
    assert!(report.tapes.iter().all(|tape| tape.state == TapeState::Read));
    assert_eq!(report.differences, Vec::<String>::new());
    report.into_result().unwrap();
}

#[test]
fn a_scope_is_found_by_the_words_of_an_operator() {
    let mut set = written();
    let uuid = set.uuid;
    assert_eq!(set.find(&uuid.to_string()).unwrap(), VerifyScope::Set(uuid));
    let tape = set.find(&set.tapes[1]).unwrap();
    assert!(matches!(tape, VerifyScope::Tape { set, .. } if set == uuid), "{tape:?}");
    let snapshots = set.find(&set.names[1]).unwrap();
    assert_eq!(snapshots, VerifyScope::Snapshots { set: uuid, names: vec![set.names[1].clone()] });
    for (text, hint) in [
        ("nonsense", "no media set and no tape"),
        ("main:host/a/2020-01-01T00:00:00Z", "no catalog"),
        ("11111111-2222-3333-4444-555555555555", "neither"),
        ("T06", "in no media set"),
    ] {
        let error = set.find(text).unwrap_err().to_string();
        assert!(error.contains(hint), "{text}: {error}");
    }

    // What is chosen is read, and no more.
    let plan = snapshots.plan(&set.world.state).unwrap();
    assert!(!plan.tapes.is_empty() && plan.tapes.len() <= set.tapes.len(), "{plan:?}");
    let report = set.verify(snapshots);
    assert_eq!(states(&report), [(set.names[1].as_str(), SnapshotState::Ok)]);
    assert_eq!(report.chunks.digest, 7);
    let plan = tape.plan(&set.world.state).unwrap();
    assert_eq!(plan.tapes.len(), 1);
    let report = set.verify(tape).into_result().unwrap();
    assert_eq!(report.tapes.len(), 1);
    assert!(report.chunks.digest < 16);
    report.into_result().unwrap();
}

/// Nothing is written: neither in the state folder nor on the tapes.
#[test]
fn a_verification_changes_nothing() {
    let mut set = written();
    let picture = |set: &Set| {
        let mut files: Vec<(String, Vec<u8>)> = std::fs::read_dir(set.world.state.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
            .collect();
        files.sort();
        let tapes: Vec<_> =
            set.library.tapes.values().map(|tape| tape.lock().unwrap().records.clone()).collect();
        (files, tapes)
    };
    let before = picture(&set);
    set.flip("T01", 2, 1, 3000);
    set.verify_set();
    set.flip("T01", 2, 1, 3000);
    assert!(picture(&set) == before);
}

/// A tape that does not come says nothing of the data on it.
#[test]
fn what_cannot_be_read_is_unknown_and_not_damaged() {
    let mut set = written();
    let text = set.tapes[0].clone();
    set.library.exported.push(text.clone());
    let report = set.verify_set();
    assert!(!report.is_damaged() && !report.is_complete(), "{report:#?}");
    assert_eq!(report.tapes[0].state, TapeState::Missing);
    assert!(report.unverified[0].contains(&text), "{:?}", report.unverified);
    let second = report.snapshots.iter().find(|one| one.snapshot == set.names[1]).unwrap();
    assert_eq!(second.state, SnapshotState::Unknown);
    assert!(second.chunks_unread > 0);
    assert!(report.into_result().unwrap_err().to_string().contains("not everything"));
    // The other tapes alone: what is on the first was not asked for.
    let scope = set.find(&set.tapes[1]).unwrap();
    let report = set.verify(scope).into_result().unwrap();
    assert!(report.snapshots.iter().any(|one| one.chunks_elsewhere > 0), "{report:#?}");
}

/// A chunk that is damaged costs the snapshots that need it, of which one may lie tapes later.
#[test]
fn damage_is_blamed_on_those_who_need_what_is_damaged() {
    let mut set = written();
    // The first chunk of the first archive; which of the snapshots that is, its bytes tell.
    let first = set.library.medium("T01").files()[2][0].clone();
    let named = |chunk: &Vec<u8>| {
        let digest = Digest::of(chunk);
        first.windows(32).any(|window| window == digest.0)
    };
    let needs_it = |chunks: &Vec<Vec<u8>>| chunks.iter().any(named);
    let wanted: Vec<String> =
        (0..3).filter(|n| needs_it(&set.chunks[*n])).map(|n| set.names[n].clone()).collect();
    assert!(!wanted.is_empty());
    set.flip("T01", 2, 0, 5000);
    let report = set.verify_set();
    assert_eq!(report.chunks.damaged, 1, "{report:#?}");
    assert_eq!(report.damage.len(), 1);
    assert_eq!((report.damage[0].tape.as_str(), report.damage[0].file), ("T01", Some(2)));
    for name in &wanted {
        assert!(damaged(&report).contains(name), "{report:#?}");
    }
    let mut blamed = report.damage[0].snapshots.clone();
    blamed.sort();
    assert_eq!(blamed, damaged(&report));
    assert!(report.into_result().unwrap_err().is_damaged());
}

#[test]
fn a_damaged_snapshot_archive_costs_its_snapshot_only() {
    for at in [0, 14, 20, 40, 70, 400, 1200, 4096 + 700] {
        let mut set = written();
        let name = set.names[1].clone();
        let (tape, file) = set.archive_of(&name);
        set.flip(&tape, file, 0, at);
        let report = set.verify_set();
        if report.damage.iter().any(|one| one.snapshots.is_empty()) {
            // Nothing that a restore needs: the UUID of the file, say.
            assert_eq!(damaged(&report), Vec::<String>::new(), "byte {at}: {report:#?}");
        } else {
            assert_eq!(damaged(&report), [name], "byte {at}: {report:#?}");
        }
        assert!(report.is_damaged(), "byte {at} was not noticed");
        let damage = &report.damage[0];
        assert_eq!((&damage.tape, damage.file), (&tape, Some(file as u64)), "byte {at}");
    }
}

/// Without a catalog nobody knows what was on a tape; the catalogs on the tapes behind it do.
#[test]
fn what_only_a_catalog_on_tape_knows_is_missed_too() {
    let mut set = written();
    let (tape, file) = set.archive_of(&set.names[0]);
    assert_ne!(&tape, set.tapes.last().unwrap());
    set.flip(&tape, file, 0, 0);
    for entry in Inventory::load(&set.world.state).unwrap().entries() {
        MediaCatalog::destroy(&set.world.state, &entry.id.label.uuid).unwrap();
    }
    let report = set.verify_set();
    assert_eq!(damaged(&report), [set.names[0].clone()], "{report:#?}");
    assert_eq!(report.differences.len(), set.tapes.len(), "{:?}", report.differences);
}

/// A tape that holds more than its catalog is what an interrupted job leaves: told, and no damage.
#[test]
fn a_catalog_that_knows_less_is_a_difference() {
    let mut set = written();
    let (tape, _) = set.archive_of(&set.names[2]);
    let entry = Inventory::load(&set.world.state).unwrap();
    let entry = entry.find_by_label_text(&tape).unwrap().unwrap().clone();
    MediaCatalog::overwrite(&set.world.state, &entry.id).unwrap();
    let report = set.verify_set().into_result().unwrap();
    assert!(
        report.differences.iter().any(|text| text.contains(&set.names[2])),
        "{:?}",
        report.differences
    );
}

/// No catalog knows of the catalog at the end of a job. If the tape was cut right before it, all else is there; an interrupted
/// job leaves the same, so it is told and no damage.
#[test]
fn an_end_without_its_catalog_is_a_difference() {
    let mut set = written();
    let last = set.tapes.last().unwrap().clone();
    {
        let mut medium = set.library.tapes[&last].lock().unwrap();
        let records = &mut medium.records;
        assert_eq!(records.pop(), Some(Record::Filemark));
        while matches!(records.last(), Some(Record::Block(_))) {
            records.pop();
        }
    }
    let report = set.verify_set().into_result().unwrap();
    assert_eq!(
        report.differences,
        [format!("tape {last}: the set does not end with its own catalog")]
    );
}

/// A schedule of samples gets round to everything before it begins again.
#[test]
fn samples_get_round_to_everything() {
    let mut set = written();
    let whole = VerifyScope::Set(set.uuid);
    let state = set.world.state.clone();
    let choice = Choice { sample: Some(Sample::Count(1)), outdated_after_days: None };
    let mut seen = Vec::new();
    for day in 0..3 {
        let chosen = choose(&state, &whole, choice, day).unwrap().unwrap();
        let VerifyScope::Snapshots { names, .. } = &chosen else { panic!("{chosen:?}") };
        assert_eq!(names.len(), 1);
        seen.extend(names.clone());
        let report = set.verify(chosen.clone()).into_result().unwrap();
        VerifyHistory::record(&state, &report, day * 86_400).unwrap();
    }
    let first = seen[0].clone();
    seen.sort();
    let mut all = set.names.clone();
    all.sort();
    assert_eq!(seen, all);
    let now = 3 * 86_400;
    let due = |days, sample| {
        let choice = Choice { sample, outdated_after_days: Some(days) };
        match choose(&state, &whole, choice, now).unwrap() {
            Some(VerifyScope::Snapshots { names, .. }) => names,
            _ => Vec::new(),
        }
    };
    assert_eq!(due(2, None), std::slice::from_ref(&first));
    assert_eq!(due(3, None), Vec::<String>::new());
    assert_eq!(due(0, Some(Sample::Percent(34))).len(), 2);
    assert_eq!(due(0, Some(Sample::Percent(1))), [first]);

    // Whole tapes are recorded, too; what is damaged was verified.
    set.flip("T01", 2, 1, 3000);
    let report = set.verify_set();
    VerifyHistory::record(&state, &report, now).unwrap();
    let history = VerifyHistory::load(&state).unwrap();
    assert_eq!(history.tapes.len(), set.tapes.len());
    assert_eq!(history.tapes.values().filter(|last| !last.ok).count(), 1);
    assert!(history.snapshots[&set.uuid].values().all(|last| last.time == now));
    assert!(history.snapshots[&set.uuid].values().any(|last| !last.ok));
    // One that nobody understands is as good as none.
    std::fs::write(state.verify_history_file(), "{").unwrap();
    assert_eq!(VerifyHistory::load(&state).unwrap(), VerifyHistory::default());
    for bad in ["0", "0%", "101%", "x", "-1", ""] {
        assert!(bad.parse::<Sample>().is_err(), "{bad}");
    }
}

#[test]
fn golden_tapes_are_sound() {
    let Some(golden) = golden() else { return };
    let world = World::new();
    let mut library = crate::golden::library(&golden);
    let take = InventoryOptions { read_labels: true, catalog: true, ..InventoryOptions::default() };
    inventory(&world.state, &mut library, &take, &Silent).unwrap();
    let set = std::fs::read_to_string(golden.join("tape/media-set-uuid")).unwrap();
    let scope = VerifyScope::Set(set.trim().parse().unwrap());
    let options = VerifyOptions { scope, keys: Vec::new(), threads: 2, wait: MediaWait::NONE };
    let report = run_verify(&world.state, &mut library, &options, &Silent).unwrap();
    let report = report.into_result().unwrap();
    assert_eq!(report.snapshots.len(), 10);
    assert_eq!(report.differences, Vec::<String>::new());
    assert!(report.chunks.digest > 0 && report.chunks.damaged == 0, "{report:#?}");
}
