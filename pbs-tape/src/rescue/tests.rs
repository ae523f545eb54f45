//! Rescues of whatever can happen to tapes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datastore::Datastore;
use datastore::hierarchy::parse_qualified_name;
use datastore::progress::Silent;

use super::*;
use crate::device::model::{Medium, ModelDrive, ModelLibrary, Record};
use crate::media::{PoolConfig, Reach};
use crate::operations::label::barcode_label;
use crate::testing::{World, add_snapshot, fingerprint, golden, library, noise};
use crate::write::{TapeBackupOptions, run_backup};

/// Snapshots of datastore `main` on at least three tapes; the second needs chunks of the first.
struct Set {
    world: World,
    store: Arc<Datastore>,
    names: Vec<String>,
    library: ModelLibrary,
    tapes: Vec<String>,
}

fn written() -> Set {
    let world = World::new();
    let store = world.store("source");
    let data: Vec<Vec<u8>> = (0..6).map(|n| noise(n, 600_000)).collect();
    let mut names = vec![add_snapshot(&store, "", "a", 1_700_000_000, &data)];
    let mut second = data[..3].to_vec();
    second.extend((10..14).map(|n| noise(n, 600_000)));
    names.push(add_snapshot(&store, "", "a", 1_700_000_100, &second));
    let third: Vec<Vec<u8>> = (20..26).map(|n| noise(n, 600_000)).collect();
    names.push(add_snapshot(&store, "x/y", "b", 1_700_000_200, &third));
    let mut library = library(6, 20, 6);
    barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
    let options = TapeBackupOptions::new("main");
    let pool = PoolConfig::new("p1");
    let report = run_backup(&world.state, &store, pool, &mut library, &options, &Silent).unwrap();
    assert!(report.tapes.len() >= 3, "{:?}", report.tapes);
    Set { world, store, names, library, tapes: report.tapes }
}

/// A drive into which somebody puts one tape after the other; a name may come more than once.
struct Hand {
    tapes: BTreeMap<String, Medium>,
    next: Vec<String>,
    loaded: Option<String>,
}

impl Hand {
    fn new(set: &Set, order: &[&str]) -> Hand {
        let tapes = set.library.tapes.iter();
        let tapes =
            tapes.map(|(text, tape)| (text.clone(), tape.lock().unwrap().clone())).collect();
        let next = order.iter().rev().map(|text| (*text).to_string()).collect();
        Hand { tapes, next, loaded: None }
    }
}

impl MediaLoader for Hand {
    fn drive_name(&self) -> &str {
        "hand"
    }
    fn reach(&self) -> Reach {
        Reach::StandAlone
    }
    fn load(&mut self, _: &str, progress: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        self.open(progress)
    }
    fn open(&mut self, _: &dyn Progress) -> Result<Box<dyn TapeDevice>> {
        if self.loaded.is_none() {
            self.loaded = self.next.pop();
        }
        // Nobody has more tapes: what an operator does then is to end it.
        let text = self.loaded.as_ref().ok_or(Error::Aborted)?;
        Ok(Box::new(ModelDrive::new(self.tapes[text].clone())))
    }
    fn unload(&mut self, _: Option<Box<dyn TapeDevice>>) -> Result<()> {
        self.loaded = None;
        Ok(())
    }
    fn online_label_texts(&mut self) -> Result<Option<Vec<String>>> {
        Ok(None)
    }
    fn export(&mut self, _: &str) -> Result<bool> {
        Ok(true)
    }
}

fn no_keys() -> RescueKeys {
    let ask = |_: &str, _: Option<&str>| -> datastore::Result<Vec<u8>> { panic!("nobody to ask") };
    RescueKeys::new(Vec::new(), None, Box::new(ask))
}

fn options(purpose: Purpose) -> RescueOptions {
    RescueOptions {
        purpose,
        snapshots: Vec::new(),
        owner: "root@pam".into(),
        again: false,
        wait: None,
        writers: 2,
    }
}

impl Set {
    fn dir(&self) -> PathBuf {
        self.world.folder.path().join("rescue")
    }

    /// A begun rescue whose datastore has the folders of chunks that it needs: making all 65536 takes longer than the test.
    fn prepare(&self) {
        self.prepare_store("main", &self.store);
    }

    fn prepare_store(&self, name: &str, source: &Datastore) {
        std::fs::create_dir_all(self.dir().join(".rescue")).unwrap();
        for entry in std::fs::read_dir(source.base().join(".chunks")).unwrap() {
            let chunks = self.dir().join("datastore").join(name).join(".chunks");
            std::fs::create_dir_all(chunks.join(entry.unwrap().file_name())).unwrap();
        }
    }

    fn rescue_with(
        &self,
        loader: &mut dyn MediaLoader,
        options: &RescueOptions,
        progress: &dyn Progress,
    ) -> Result<RescueReport> {
        let mut folder = RescueFolder::open(&self.dir()).unwrap();
        run_rescue(&mut folder, loader, &mut no_keys(), options, progress)
    }

    /// A run with these tapes, one after the other.
    fn feed(&self, order: &[&str], purpose: Purpose) -> RescueReport {
        let mut report = None;
        for text in order {
            let mut hand = Hand::new(self, &[text]);
            report = Some(self.rescue_with(&mut hand, &options(purpose), &Silent).unwrap());
        }
        report.unwrap()
    }

    fn target(&self) -> Arc<Datastore> {
        Datastore::open(&self.dir().join("datastore/main"), &Default::default()).unwrap()
    }

    /// Fails unless exactly these snapshots are in the datastore, as they were.
    #[track_caller]
    fn assert_rescued(&self, which: &[usize]) {
        let target = self.target();
        for (number, name) in self.names.iter().enumerate() {
            let (namespace, path) = parse_qualified_name(name).unwrap();
            let info = target.snapshot_info(&namespace, path).unwrap();
            assert_eq!(info.is_some_and(|info| info.finished), which.contains(&number), "{name}");
            if which.contains(&number) {
                assert_eq!(fingerprint(&self.store, name), fingerprint(&target, name));
            }
        }
    }

    fn file_of(&self, tape: &str, file: usize) -> std::ops::Range<usize> {
        let medium = self.library.medium(tape);
        let mut starts = vec![0];
        for (at, record) in medium.records.iter().enumerate() {
            if *record == Record::Filemark {
                starts.push(at + 1);
            }
        }
        starts[file]..starts[file + 1] - 1
    }

    fn damage(&mut self, tape: &str, file: usize, block: usize, at: usize) {
        let place = self.file_of(tape, file).start + block;
        let mut medium = self.library.tapes[tape].lock().unwrap();
        let Record::Block(bytes) = &mut medium.records[place] else { panic!() };
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x10;
        *bytes = changed.into();
    }

    fn tapes(&self) -> Vec<&str> {
        self.tapes.iter().map(String::as_str).collect()
    }
}

fn state_of(report: &RescueReport, name: &str) -> SnapshotState {
    let wanted = name.strip_prefix("ns/x/ns/y/").unwrap_or(name);
    report.snapshots.iter().find(|one| one.snapshot == wanted).unwrap().state
}

fn permutations(items: &[&str]) -> Vec<Vec<String>> {
    if items.is_empty() {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for (at, first) in items.iter().enumerate() {
        let mut rest = items.to_vec();
        rest.remove(at);
        for mut tail in permutations(&rest) {
            tail.insert(0, (*first).to_string());
            all.push(tail);
        }
    }
    all
}

#[test]
fn tapes_may_come_in_any_order_and_each_is_read_once() {
    let set = written();
    for order in permutations(&set.tapes()) {
        let _ = std::fs::remove_dir_all(set.dir());
        set.prepare();
        let order: Vec<&str> = order.iter().map(String::as_str).collect();
        let mut hand = Hand::new(&set, &order);
        let wait = RescueOptions { wait: Some(Duration::ZERO), ..options(Purpose::Rescue) };
        let report = set.rescue_with(&mut hand, &wait, &Silent).unwrap();
        assert!(report.is_complete() && hand.next.is_empty(), "{order:?}: {report:?}");
        assert_eq!(report.chunks, 16, "{order:?}");
        assert_eq!(report.sets.len(), 1);
        assert_eq!(report.sets[0].tapes, set.tapes, "{order:?}");
        set.assert_rescued(&[0, 1, 2]);
        // Nothing of it is read again, or waits any more.
        let again = set.feed(&order, Purpose::Rescue);
        assert_eq!((again.chunks, again.chunks_present), (0, 0), "{order:?}");
        assert!(again.is_complete());
    }
}

#[test]
fn a_robot_brings_all_tapes_and_not_again_those_that_are_done() {
    let mut set = written();
    set.prepare();
    let progress = Counting::default();
    let report = {
        let dir = set.dir();
        let mut folder = RescueFolder::open(&dir).unwrap();
        run_rescue(
            &mut folder,
            &mut set.library,
            &mut no_keys(),
            &options(Purpose::Rescue),
            &progress,
        )
        .unwrap()
    };
    assert!(report.has_all_chosen());
    // The others are labelled and nothing is on them.
    let unused = report.tapes.iter().filter(|tape| tape.state == TapeState::Unused).count();
    assert_eq!(unused, 6 - set.tapes.len(), "{:?}", report.tapes);
    assert!(report.is_complete());
    set.assert_rescued(&[0, 1, 2]);
    let mut folder = RescueFolder::open(&set.dir()).unwrap();
    let mut keys = no_keys();
    let options = options(Purpose::Rescue);
    let report = run_rescue(&mut folder, &mut set.library, &mut keys, &options, &Silent).unwrap();
    assert!(report.is_complete() && report.chunks_present == 0);
    assert!(set.library.loaded.is_none());
}

/// Counts notes, and aborts after some.
#[derive(Default)]
struct Counting {
    notes: AtomicU64,
    abort_after: Option<u64>,
}

impl Progress for Counting {
    fn is_aborted(&self) -> bool {
        self.abort_after.is_some_and(|most| self.notes.load(Ordering::Relaxed) >= most)
    }
    fn note(&self, _: &str) {
        self.notes.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn an_interrupted_rescue_goes_on_where_it_was() {
    let set = written();
    for abort_after in 1.. {
        let _ = std::fs::remove_dir_all(set.dir());
        set.prepare();
        let wait = RescueOptions { wait: Some(Duration::ZERO), ..options(Purpose::Rescue) };
        let mut hand = Hand::new(&set, &set.tapes());
        let progress = Counting { abort_after: Some(abort_after), ..Counting::default() };
        let first = set.rescue_with(&mut hand, &wait, &progress);
        let taken = |report: &RescueReport| (report.chunks, report.chunks_present);
        if let Ok(report) = first {
            assert!(report.is_complete() && abort_after > 10);
            break;
        }
        let report = set.rescue_with(&mut Hand::new(&set, &set.tapes()), &wait, &Silent).unwrap();
        assert!(report.is_complete(), "{abort_after}: {report:?}");
        // Of a file that was read to its end nothing comes twice.
        assert!(report.chunks + report.chunks_present <= 16, "{abort_after}: {:?}", taken(&report));
        set.assert_rescued(&[0, 1, 2]);
    }
}

#[test]
fn a_listing_stores_nothing_and_tells_what_each_snapshot_needs() {
    let set = written();
    let last = set.tapes.last().unwrap().as_str();
    // The last tape carries the catalogs of the others: they are known before they are seen.
    let report = set.feed(&[last], Purpose::List);
    assert!(!set.dir().join("datastore/main").exists());
    assert_eq!(report.sets[0].missing.len(), set.tapes.len() - 1, "{report:?}");
    assert!(report.sets[0].has_end);
    let third = report.snapshots.iter().find(|one| one.ns == "x/y").unwrap();
    assert_eq!((third.state, third.size > 3_600_000), (SnapshotState::Incomplete, true));
    assert_eq!(third.unknown_chunks, 0, "{third:?}");
    assert!(!third.lacking.is_empty() && third.lacking.iter().all(|tape| !tape.was_read));
    assert!(third.lacking[0].tape.starts_with("tape "), "{third:?}");
    assert_eq!(third.files.len(), 2);

    let report = set.feed(&set.tapes(), Purpose::List);
    assert_eq!(report.snapshots.len(), 3);
    for one in &report.snapshots {
        assert_eq!((one.state, one.missing_chunks), (SnapshotState::Complete, 0), "{one:?}");
        assert!(one.lacking.is_empty());
    }
    assert!(report.sets[0].missing.is_empty() && report.is_complete());
    assert_eq!(report.sets[0].tapes, set.tapes);
    // What was listed is still to be taken.
    set.prepare();
    let report = set.feed(&set.tapes(), Purpose::Rescue);
    assert!(report.is_complete() && report.tapes.iter().all(|tape| tape.has_catalog));
    set.assert_rescued(&[0, 1, 2]);
    // And listing what was taken changes nothing.
    let report = set.feed(&[last], Purpose::List);
    assert!(report.snapshots.iter().all(|one| one.state == SnapshotState::Rescued));
}

/// Tapes whose catalogs are gone: a listing does not know where chunks are, a scan does, a rescue does not ask.
#[test]
fn missing_catalogs_cost_nothing() {
    let set = written();
    let last = set.tapes.last().unwrap().clone();
    // The last tape without the catalogs of the others in front, and without its own.
    let files = set.library.medium(&last).files();
    let labels_and_data: Vec<Vec<u8>> = files
        .iter()
        .filter(|file| !is_catalog(&file[0]))
        .map(|file| file.iter().flat_map(|block| block.to_vec()).collect())
        .collect();
    assert!(labels_and_data.len() < files.len());
    *set.library.tapes[&last].lock().unwrap() = Medium::from_files(&labels_and_data);
    let report = set.feed(&set.tapes(), Purpose::List);
    assert_eq!(report.snapshots.len(), 3);
    let third = report.snapshots.iter().find(|one| one.ns == "x/y").unwrap();
    assert!(third.unknown_chunks > 0 && third.state == SnapshotState::Incomplete);
    assert!(!report.sets[0].has_end);
    let report = set.feed(&set.tapes(), Purpose::Scan);
    for one in &report.snapshots {
        assert_eq!((one.state, one.unknown_chunks), (SnapshotState::Complete, 0), "{one:?}");
    }
    assert!(!set.dir().join("datastore/main").exists());
    set.prepare();
    let report = set.feed(&set.tapes(), Purpose::Rescue);
    assert!(report.has_all_chosen());
    set.assert_rescued(&[0, 1, 2]);
}

fn is_catalog(block: &[u8]) -> bool {
    let kind: [u8; 8] = block[24..32].try_into().unwrap();
    kind == [0xb3, 0xec, 0x71, 0xf0, 0xad, 0xec, 0x02, 0x60]
}

#[test]
fn a_damaged_catalog_costs_nothing() {
    let mut set = written();
    let last = set.tapes.last().unwrap().clone();
    for number in 2..set.library.medium(&last).files().len() {
        if is_catalog(&set.library.medium(&last).files()[number][0]) {
            set.damage(&last, number, 0, 300);
        }
    }
    set.prepare();
    let report = set.feed(&set.tapes(), Purpose::Rescue);
    assert!(report.has_all_chosen(), "{report:?}");
    set.assert_rescued(&[0, 1, 2]);
}

/// Damage costs what depends on it, by name; a good copy of the tape, or another try, brings the rest.
#[test]
fn damage_costs_only_what_depends_on_it_and_may_be_healed() {
    // File 2 of the first tape is the first chunk archive; block 1 is in its middle. Then the head of the archive.
    for (block, at) in [(1, 3000), (1, 0), (3, 5), (0, 20), (0, 70)] {
        let mut set = written();
        let good = set.library.medium("T01");
        set.prepare();
        set.damage("T01", 2, block, at);
        let report = set.feed(&set.tapes(), Purpose::Rescue);
        assert!(!report.is_complete() && !report.has_all_chosen());
        assert_eq!((report.damage[0].tape.as_str(), report.damage[0].file), ("T01", 2));
        let first = report.snapshots.iter().find(|one| one.snapshot == set.names[0]).unwrap();
        assert_eq!(first.state, SnapshotState::Incomplete, "{block} {at}");
        let lacking = &first.lacking[0];
        assert_eq!((lacking.tape.as_str(), lacking.was_read), ("T01", true), "{first:?}");
        assert_eq!(first.missing_chunks, lacking.chunks);
        assert_eq!(state_of(&report, &set.names[2]), SnapshotState::Rescued);
        let tape = report.tapes.iter().find(|tape| tape.label_text == "T01").unwrap();
        assert_eq!(tape.state, TapeState::Damaged, "{tape:?}");
        // Somebody finds the second copy, or cleans the drive. Only what lacked is read.
        *set.library.tapes["T01"].lock().unwrap() = good;
        let report = set.feed(&["T01"], Purpose::Rescue);
        assert!(report.is_complete(), "{block} {at}: {report:?}");
        set.assert_rescued(&[0, 1, 2]);
    }
}

#[test]
fn a_damaged_snapshot_archive_costs_one_snapshot() {
    for at in [0, 12, 30, 80, 300, 5000] {
        let mut set = written();
        set.prepare();
        // Labels, chunks, then the archive of the first snapshot.
        set.damage("T01", 3, 0, at);
        let report = set.feed(&set.tapes(), Purpose::Rescue);
        assert!(!report.is_complete(), "{at}");
        set.assert_rescued(&[1, 2]);
        let lost = report.snapshots.iter().find(|one| one.snapshot == set.names[0]);
        match at {
            // Its head is readable, and tells which snapshot it is. The last is in an index.
            300 | 5000 => {
                let name = format!("main:{}", set.names[0]);
                assert_eq!(report.damage[0].snapshot, Some(name));
                assert_eq!(lost.unwrap().state, SnapshotState::Damaged);
            }
            _ => assert!(report.damage[0].tape == "T01" && report.damage[0].file == 3, "{at}"),
        }
    }
}

/// Wherever a tape ends: what is whole before comes, and what is whole on other tapes.
#[test]
fn a_tape_without_end_hides_nothing_before_it() {
    let set = written();
    let records = set.library.medium("T01").records;
    for cut in 4..records.len() {
        let _ = std::fs::remove_dir_all(set.dir());
        set.prepare();
        set.library.tapes["T01"].lock().unwrap().records = records[..cut].to_vec();
        let report = set.feed(&set.tapes(), Purpose::Rescue);
        assert_eq!(state_of(&report, &set.names[2]), SnapshotState::Rescued, "{cut}");
        // With the rest of the tape all is there.
        set.library.tapes["T01"].lock().unwrap().records = records.clone();
        let mut hand = Hand::new(&set, &["T01"]);
        let again = RescueOptions { again: true, ..options(Purpose::Rescue) };
        let report = set.rescue_with(&mut hand, &again, &Silent).unwrap();
        assert!(report.has_all_chosen(), "{cut}: {report:?}");
        set.assert_rescued(&[0, 1, 2]);
    }
}

#[test]
fn tapes_without_readable_labels_are_read_all_the_same() {
    for damaged in [&[0][..], &[1], &[0, 1]] {
        let mut set = written();
        set.prepare();
        for file in damaged {
            set.damage("T01", *file, 0, 3);
        }
        let mut order = set.tapes();
        order.rotate_left(1);
        let report = set.feed(&order, Purpose::Rescue);
        assert!(report.has_all_chosen(), "{damaged:?}: {report:?}");
        set.assert_rescued(&[0, 1, 2]);
        let tape = report.tapes.iter().find(|tape| tape.reason.contains("labels")).unwrap();
        assert_eq!(tape.state, TapeState::Damaged, "{damaged:?}");
        // Its place in the set is known from the other tapes, if the set's label is left.
        assert_eq!(report.sets[0].missing.is_empty(), damaged == [0], "{report:?}");
        let report = set.feed(&order, Purpose::Rescue);
        assert_eq!((report.chunks, report.chunks_present), (0, 0), "{damaged:?}");
    }
}

#[test]
fn blank_tapes_and_those_of_others_are_told_and_passed_over() {
    let set = written();
    set.prepare();
    let put = |text: &str, medium| {
        *set.library.tapes[text].lock().unwrap() = medium;
    };
    put("T05", Medium::default());
    let mut foreign = Medium::default();
    for block in 0..4u8 {
        foreign.records.push(Record::Block(vec![block; 10240].into()));
        foreign.records.push(Record::Filemark);
    }
    put("T06", foreign);
    let mut order = vec!["T05", "T06"];
    order.extend(set.tapes());
    let wait = RescueOptions { wait: Some(Duration::ZERO), ..options(Purpose::Rescue) };
    let report = set.rescue_with(&mut Hand::new(&set, &order), &wait, &Silent).unwrap();
    let state = |state| report.tapes.iter().filter(|tape| tape.state == state).count();
    assert_eq!((state(TapeState::Blank), state(TapeState::Foreign)), (1, 1), "{report:?}");
    assert!(report.is_complete());
    set.assert_rescued(&[0, 1, 2]);
}

/// Two sets, of two datastores with snapshots of the same name, one after the other in the drive.
#[test]
fn tapes_of_two_sets_are_kept_apart() {
    let mut set = written();
    let other = set.world.store("other");
    let name = add_snapshot(&other, "", "a", 1_700_000_000, &[noise(70, 600_000)]);
    assert_eq!(name, set.names[0]);
    let options = TapeBackupOptions::new("second");
    let mut pool = PoolConfig::new("p1");
    pool.allocation = crate::media::Allocation::Always;
    let (state, library) = (&set.world.state, &mut set.library);
    let report = run_backup(state, &other, pool, library, &options, &Silent).unwrap();
    set.prepare();
    set.prepare_store("second", &other);
    let mut order = vec![report.tapes[0].as_str()];
    order.extend(set.tapes());
    order.swap(0, 1);
    let report = set.feed(&order, Purpose::Rescue);
    assert!(report.is_complete(), "{report:?}");
    assert_eq!((report.sets.len(), report.snapshots.len()), (2, 4));
    set.assert_rescued(&[0, 1, 2]);
    let second = Datastore::open(&set.dir().join("datastore/second"), &Default::default()).unwrap();
    assert_eq!(fingerprint(&other, &name), fingerprint(&second, &name));
}

#[test]
fn only_chosen_snapshots_appear_and_more_can_be_chosen_later() {
    let set = written();
    set.prepare();
    let mut chosen = options(Purpose::Rescue);
    chosen.snapshots = vec![SnapshotPattern::parse("host/b").unwrap()];
    for text in set.tapes() {
        set.rescue_with(&mut Hand::new(&set, &[text]), &chosen, &Silent).unwrap();
    }
    set.assert_rescued(&[2]);
    // One tape in the drive is enough to ask for more: its chunks are here.
    let report = set.feed(&[&set.tapes[0]], Purpose::Rescue);
    assert_eq!(report.chunks, 0);
    set.assert_rescued(&[0, 1, 2]);
}

#[test]
fn a_datastore_that_was_removed_is_made_again() {
    let set = written();
    set.prepare();
    assert!(set.feed(&set.tapes(), Purpose::Rescue).is_complete());
    std::fs::remove_dir_all(set.dir().join("datastore/main")).unwrap();
    let warned = set.feed(&set.tapes()[..1], Purpose::List);
    assert_ne!(state_of(&warned, &set.names[0]), SnapshotState::Rescued);
    set.prepare();
    let report = set.feed(&set.tapes(), Purpose::Rescue);
    assert!(report.is_complete(), "{report:?}");
    set.assert_rescued(&[0, 1, 2]);
}

#[test]
fn a_folder_with_other_things_and_one_in_use_are_refused() {
    let world = World::new();
    let dir = world.folder.path().join("dir");
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("thesis"), "text").unwrap();
    let refused = RescueFolder::open(&dir).err().unwrap().to_string();
    assert!(refused.contains("thesis") && refused.contains("empty folder"), "{refused}");
    assert!(!dir.join(".rescue").exists());
    std::fs::remove_file(dir.join("thesis")).unwrap();
    let _first = RescueFolder::open(&dir).unwrap();
    assert!(RescueFolder::open(&dir).err().unwrap().is_retryable());
}

#[test]
fn golden_tapes_are_rescued_in_any_order() {
    let Some(golden) = golden() else { return };
    let world = World::new();
    let dir = world.folder.path().join("rescue");
    std::fs::create_dir_all(dir.join(".rescue")).unwrap();
    let source = golden.join("datastore");
    for entry in std::fs::read_dir(source.join(".chunks")).unwrap() {
        let chunks = dir.join("datastore/golden/.chunks");
        std::fs::create_dir_all(chunks.join(entry.unwrap().file_name())).unwrap();
    }
    for purpose in [Purpose::List, Purpose::Scan, Purpose::Rescue] {
        let mut report = None;
        for text in ["GOLD02L8", "GOLD03L8", "GOLD01L8"] {
            let mut library = crate::golden::library(&golden);
            library.tapes.retain(|known, _| known == text);
            let mut folder = RescueFolder::open(&dir).unwrap();
            let mut keys = no_keys();
            let options = options(purpose);
            let run = run_rescue(&mut folder, &mut library, &mut keys, &options, &Silent);
            report = Some(run.unwrap());
        }
        let report = report.unwrap();
        assert!(report.is_complete(), "{report:?}");
        assert_eq!((report.snapshots.len(), report.sets.len()), (10, 1));
        assert!(report.sets[0].has_end && report.sets[0].missing.is_empty());
    }
    let target = Datastore::open(&dir.join("datastore/golden"), &Default::default()).unwrap();
    let content = std::fs::read(golden.join("tape/media-content.json")).unwrap();
    let content: serde_json::Value = serde_json::from_slice(&content).unwrap();
    for one in content.as_array().unwrap() {
        crate::golden::assert_restored(&target, &golden, one["snapshot"].as_str().unwrap());
    }
}
