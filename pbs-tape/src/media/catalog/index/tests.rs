use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use datastore::Digest;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::format::label::{MediaLabel, MediaSetLabel};
use crate::media::catalog::{MediaCatalog, snapshot_list};
use crate::media::state::StateDir;

/// Datastore and digest → tape file: what a catalog is to answer.
type Model = BTreeMap<(String, Digest), u64>;

fn media() -> MediaId {
    MediaId {
        label: MediaLabel {
            ctime: 0,
            label_text: "T01".into(),
            pool: None,
            uuid: "7f42c4dd-9626-4d89-9f2b-c7bc6da7d533".parse().unwrap(),
        },
        media_set_label: Some(MediaSetLabel {
            ctime: 0,
            encryption_key_fingerprint: None,
            pool: "daily".into(),
            seq_nr: 0,
            uuid: "9da37a55-aac7-4deb-91c6-482b3b675f30".parse().unwrap(),
        }),
    }
}

struct World {
    folder: tempfile::TempDir,
    state: StateDir,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        let state = StateDir::open(folder.path()).unwrap();
        World { folder, state }
    }

    fn log(&self) -> PathBuf {
        self.state.catalog_file(&media().label.uuid)
    }

    fn index(&self) -> PathBuf {
        self.state.catalog_index_file(&media().label.uuid)
    }

    /// Loads with an index, however short the log is.
    fn load(&self) -> MediaCatalog {
        MediaCatalog::open_with(&self.state, &media(), false, 0).unwrap()
    }

    /// Makes the index if there is none that fits, as loading does.
    fn build(&self, run_entries: usize) -> ChunkIndex {
        let log = File::open(self.log()).unwrap();
        let builder = Builder {
            path: &self.index(),
            media: &media(),
            log: &log,
            log_path: &self.log(),
            end: log.metadata().unwrap().len(),
            damaged: None,
        };
        builder.build_with(run_entries).unwrap().0
    }

    fn open_index(&self) -> Result<(ChunkIndex, CatalogContent), Unfit> {
        ChunkIndex::open(&self.index(), &File::open(self.log()).unwrap(), &media())
    }
}

/// A catalog of these archives, and what it must answer.
fn write_catalog(world: &World, archives: &[(&str, Vec<Digest>)]) -> Model {
    MediaCatalog::overwrite(&world.state, &media()).unwrap();
    append(world, 2, archives)
}

fn append(world: &World, first_file: u64, archives: &[(&str, Vec<Digest>)]) -> Model {
    let mut catalog = MediaCatalog::load_for_append(&world.state, &media()).unwrap();
    let mut model = Model::new();
    for (number, (store, digests)) in archives.iter().enumerate() {
        let file = first_file + 2 * number as u64;
        catalog.register_chunk_archive(file, Uuid::new_v4(), store, digests).unwrap();
        let name = format!("host/h/2024-01-02T03:04:{number:02}Z");
        catalog.register_snapshot(file + 1, Uuid::new_v4(), store, &name).unwrap();
        model.extend(digests.iter().map(|digest| ((store.to_string(), *digest), file)));
    }
    catalog.commit().unwrap();
    model
}

fn numbered(number: u32) -> Digest {
    Digest::of(&number.to_le_bytes())
}

/// Several blocks in two datastores.
fn example(world: &World) -> Model {
    let of = |range: std::ops::Range<u32>| range.map(numbered).collect::<Vec<_>>();
    write_catalog(
        world,
        &[("a", of(0..250)), ("b", of(100..180)), ("a", of(200..300)), ("empty", Vec::new())],
    )
}

/// Everything that the model knows, and nothing else.
fn assert_answers(catalog: &MediaCatalog, model: &Model, unknown: &[Digest]) {
    for ((store, digest), file) in model {
        assert_eq!(catalog.chunk(store, digest).unwrap(), Some(*file), "{store} {digest}");
    }
    let stores: Vec<&String> = catalog.content().stores().keys().collect();
    for store in &stores {
        for digest in unknown {
            if !model.contains_key(&(store.to_string(), *digest)) {
                assert_eq!(catalog.chunk(store, digest).unwrap(), None, "{store} {digest}");
            }
        }
    }
    let mut listed = Model::new();
    for store in stores {
        catalog
            .each_chunk(store, &mut |digest, file| {
                assert!(listed.insert((store.clone(), *digest), file).is_none(), "told twice");
            })
            .unwrap();
    }
    assert_eq!(&listed, model);
}

fn unknown() -> Vec<Digest> {
    let mut unknown: Vec<Digest> = (0..400).map(numbered).collect();
    unknown.extend([Digest([0; 32]), Digest([0xff; 32])]);
    unknown
}

#[test]
fn an_index_answers_as_the_log_does() {
    let world = World::new();
    let model = example(&world);
    assert!(!world.index().exists(), "a short log needs none");
    assert_answers(&MediaCatalog::load(&world.state, &media()).unwrap(), &model, &unknown());
    let built = world.load();
    assert_answers(&built, &model, &unknown());
    let (index, content) = world.open_index().unwrap();
    assert_eq!(index.covered_bytes(), fs::metadata(world.log()).unwrap().len());
    assert_eq!(index.places.blocks, 8);
    assert_eq!(content.stores().keys().collect::<Vec<_>>(), ["a", "b", "empty"]);
    assert_eq!(content.snapshot("b", "host/h/2024-01-02T03:04:01Z"), Some(5));
    // Loading again takes it as it is.
    let build = index.build();
    assert_answers(&world.load(), &model, &unknown());
    assert_eq!(world.open_index().unwrap().0.build(), build);
}

/// Digests from a small set of beginnings, so that neighbours share first bytes and blocks do, too.
fn any_digest() -> impl Strategy<Value = Digest> {
    (0u8..3, 0u8..2, any::<u16>()).prop_map(|(first, ninth, last)| {
        let mut digest = [first; 32];
        digest[8] = ninth;
        digest[30..].copy_from_slice(&(last % 500).to_be_bytes());
        Digest(digest)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever part of a log an index covers, and however the digests are spread: the answers are
    /// those of a plain map.
    #[test]
    fn any_catalog_answers_as_a_map_does(
        archives in prop::collection::vec(
            (prop::sample::select(vec!["a", "b", "c"]), prop::collection::vec(any_digest(), 0..260)),
            1..7,
        ),
        covered in 0usize..7,
        run_entries in 1usize..400,
        others in prop::collection::vec(any_digest(), 50),
    ) {
        let world = World::new();
        let covered = covered.min(archives.len());
        let mut model = write_catalog(&world, &archives[..covered]);
        world.build(run_entries);
        model.extend(append(&world, 100, &archives[covered..]));
        let catalog = MediaCatalog::load(&world.state, &media()).unwrap();
        prop_assert!(catalog.content().recent_chunks() as usize
            == archives[covered..].iter().map(|(_, digests)| digests.len()).sum::<usize>());
        assert_answers(&catalog, &model, &others);
    }
}

/// A hostile catalog whose digests all begin alike: the fence says nothing, and no look-up reads more
/// blocks than halving needs.
#[test]
fn digests_that_begin_alike_are_found_by_halving() {
    let world = World::new();
    let digests: Vec<Digest> = (0..5000u32)
        .map(|number| {
            let mut digest = [7; 32];
            digest[28..].copy_from_slice(&number.to_be_bytes());
            Digest(digest)
        })
        .collect();
    let model = write_catalog(&world, &[("a", digests)]);
    let catalog = world.load();
    let index = world.open_index().unwrap().0;
    assert_eq!(index.places.blocks, 100);
    assert!(index.fence.iter().all(|start| *start == index.fence[0]));
    assert_answers(&catalog, &model, &[Digest([7; 32]), Digest([6; 32]), Digest([8; 32])]);
}

/// A day in the life: the log grows, the index stays, and what came later counts.
#[test]
fn records_behind_the_index_replace_those_in_it() {
    let world = World::new();
    let mut model = example(&world);
    world.load();
    let again: Vec<Digest> = (50..60).map(numbered).collect();
    model.extend(append(&world, 50, &[("a", again), ("new", vec![numbered(1)])]));
    let catalog = MediaCatalog::load(&world.state, &media()).unwrap();
    assert_eq!(catalog.content().recent_chunks(), 11, "the rest is in the index");
    assert_answers(&catalog, &model, &unknown());
    assert_eq!(catalog.content().snapshot("new", "host/h/2024-01-02T03:04:01Z"), Some(53));
}

#[test]
fn chunks_leave_memory_when_they_are_many_or_the_tape_goes() {
    let world = World::new();
    let mut model = example(&world);
    let mut catalog = MediaCatalog::open_with(&world.state, &media(), true, 0).unwrap();
    let more: Vec<Digest> = (1000..1010).map(numbered).collect();
    catalog.register_chunk_archive(50, Uuid::new_v4(), "a", &more).unwrap();
    model.extend(more.iter().map(|digest| (("a".to_string(), *digest), 50)));
    assert_answers(&catalog, &model, &unknown());
    catalog.settle();
    assert_eq!(catalog.content().recent_chunks(), 10, "not before it is committed");
    catalog.commit().unwrap();
    catalog.settle();
    assert_eq!(catalog.content().recent_chunks(), 0);
    assert_answers(&catalog, &model, &unknown());
    catalog.register_snapshot(60, Uuid::new_v4(), "a", "host/h/2024-01-02T03:04:59Z").unwrap();
    catalog.commit().unwrap();
    assert_answers(&MediaCatalog::load(&world.state, &media()).unwrap(), &model, &unknown());
}

/// Each byte of an index wrong, each length too short, and some too long: the index is refused when it
/// is opened or asked, and the catalog's answers are right all the same.
#[test]
fn every_damage_is_noticed_and_no_answer_is_wrong() {
    let world = World::new();
    let model = example(&world);
    world.load();
    let whole = fs::read(world.index()).unwrap();
    let blocks_at = world.open_index().unwrap().0.places.blocks_at as usize;
    assert_eq!(blocks_at, BLOCK_BYTES);
    // An unread byte can't make a wrong answer, so every read must find every flip.
    let is_sound = |world: &World| {
        world.open_index().is_ok_and(|(index, content)| {
            content.stores().keys().all(|store| index.each(store, 0, &mut |_, _| {}).is_ok())
        })
    };
    assert!(is_sound(&world));
    let file = File::options().write(true).open(world.index()).unwrap();
    for (at, byte) in whole.iter().enumerate() {
        for mask in [0x01, 0x80, 0xff] {
            file.write_all_at(&[byte ^ mask], at as u64).unwrap();
            assert!(!is_sound(&world), "byte {at}, mask {mask:02x}");
        }
        file.write_all_at(&[*byte], at as u64).unwrap();
    }
    for length in (0..whole.len()).step_by(7).chain([whole.len() - 1, whole.len() + 1]) {
        let mut other = whole.clone();
        other.resize(length, 0);
        fs::write(world.index(), other).unwrap();
        assert!(world.open_index().is_err(), "length {length}");
    }
    // Blocks that are whole but in the wrong place.
    let mut swapped = whole.clone();
    let (first, second) = swapped[blocks_at..].split_at_mut(BLOCK_BYTES);
    first.swap_with_slice(&mut second[..BLOCK_BYTES]);
    fs::write(world.index(), swapped).unwrap();
    assert!(!is_sound(&world));
    // And through the door: a flip in each part, found while the catalog is open or when it is opened.
    for open_first in [false, true] {
        for at in (0..whole.len()).step_by(331) {
            fs::write(world.index(), &whole).unwrap();
            let before = open_first.then(|| world.load());
            let file = File::options().write(true).open(world.index()).unwrap();
            file.write_all_at(&[whole[at] ^ 0x10], at as u64).unwrap();
            let catalog = before.unwrap_or_else(|| world.load());
            assert_answers(&catalog, &model, &unknown());
            assert_answers(&world.load(), &model, &unknown());
        }
    }
}

/// A whole block of another making of the same index: right number, right check value, wrong making.
#[test]
fn blocks_of_another_making_are_refused() {
    let world = World::new();
    example(&world);
    world.load();
    let older = fs::read(world.index()).unwrap();
    fs::remove_file(world.index()).unwrap();
    world.load();
    let mut mixed = fs::read(world.index()).unwrap();
    mixed[BLOCK_BYTES..2 * BLOCK_BYTES].copy_from_slice(&older[BLOCK_BYTES..2 * BLOCK_BYTES]);
    fs::write(world.index(), mixed).unwrap();
    let index = world.open_index().unwrap().0;
    assert_eq!(index.each("a", 0, &mut |_, _| {}), Err(Unfit));
}

#[test]
fn an_index_of_another_log_is_not_believed() {
    let world = World::new();
    let log = world.log();
    let refused = |world: &World| world.open_index().is_err();
    let fresh = |world: &World| {
        example(world);
        world.load();
        assert!(!refused(world));
        fs::read(world.index()).unwrap()
    };
    // Begun anew by this program: the index goes with it.
    let old = fresh(&world);
    MediaCatalog::overwrite(&world.state, &media()).unwrap();
    assert!(!world.index().exists());
    // And if it came back, it would be refused.
    fs::write(world.index(), &old).unwrap();
    assert!(refused(&world));
    assert_answers(&world.load(), &Model::new(), &unknown());
    // Destroyed, found to be unrelated, or put aside.
    fresh(&world);
    MediaCatalog::destroy(&world.state, &media().label.uuid).unwrap();
    assert!(!world.index().exists());
    // Replaced by somebody else, with the same bytes under another inode.
    fresh(&world);
    let copy = log.with_extension("copy");
    fs::copy(&log, &copy).unwrap();
    fs::rename(&copy, &log).unwrap();
    assert!(refused(&world));
    // Changed in place.
    fresh(&world);
    File::options().write(true).open(&log).unwrap().write_all_at(b"C", 0x73).unwrap();
    assert!(refused(&world), "the time of change");
    // Shorter than what is covered.
    fresh(&world);
    let len = fs::metadata(&log).unwrap().len();
    File::options().write(true).open(&log).unwrap().set_len(len - 1).unwrap();
    assert!(refused(&world));
    // Longer, but with another end or beginning.
    for at in [0x60, len - 30] {
        fresh(&world);
        let file = File::options().write(true).open(&log).unwrap();
        let mut byte = [0];
        File::open(&log).unwrap().read_exact_at(&mut byte, at).unwrap();
        file.write_all_at(&[byte[0] ^ 1], at).unwrap();
        file.write_all_at(b"L", len).unwrap();
        assert!(refused(&world), "{at}");
    }
    // Of another tape.
    fresh(&world);
    let mut other = media();
    other.label.uuid = Uuid::new_v4();
    let file = File::open(&log).unwrap();
    assert!(ChunkIndex::open(&world.index(), &file, &other).is_err());
    // The same tape, which the inventory now has in another set: the log says what is wrong.
    let mut moved = media();
    moved.media_set_label.as_mut().unwrap().uuid = Uuid::new_v4();
    let error = MediaCatalog::load(&world.state, &moved).unwrap_err();
    assert!(error.is_damaged() && error.to_string().contains("unexpected media set"), "{error}");
}

/// A torn commit behind the index is left out for reading, and cut off for writing; the index stays.
#[test]
fn a_torn_tail_behind_an_index_is_cut_off() {
    let world = World::new();
    let model = example(&world);
    world.load();
    let build = world.open_index().unwrap().0.build();
    let whole = fs::read(world.log()).unwrap();
    let mut tail = Vec::new();
    let uuid = Uuid::new_v4();
    let start = crate::media::catalog::record::Record::ArchiveStart {
        file_number: 90,
        uuid,
        store: "a".into(),
    };
    start.encode(&mut tail).unwrap();
    tail.push(b'C');
    tail.extend([9; 32]);
    for cut in 1..=tail.len() {
        let mut torn = whole.clone();
        torn.extend(&tail[..cut]);
        File::options().write(true).open(world.log()).unwrap().write_all_at(&torn, 0).unwrap();
        for tail_bytes_max in [0, 1 << 20] {
            let read =
                MediaCatalog::open_with(&world.state, &media(), false, tail_bytes_max).unwrap();
            assert_answers(&read, &model, &unknown());
            assert_eq!(read.chunk("a", &Digest([9; 32])).unwrap(), None);
        }
        let append = MediaCatalog::load_for_append(&world.state, &media()).unwrap();
        assert_answers(&append, &model, &unknown());
        assert_eq!(fs::read(world.log()).unwrap(), whole, "{cut}");
    }
    // Cut back to what was covered: the time of change is another, so it was made anew, and rightly.
    assert_answers(&world.load(), &model, &unknown());
    assert_ne!(world.open_index().unwrap().0.build(), build);
}

/// Killed at any place: what is left under the temporary names is never an index, and does not stand
/// in the way of the next.
#[test]
fn what_a_killed_process_left_is_used_up() {
    let world = World::new();
    let model = example(&world);
    world.load();
    let whole = fs::read(world.index()).unwrap();
    let temp = world.index().with_extension("tmp");
    let runs = world.index().with_extension("runs");
    for length in (0..=whole.len()).step_by(997) {
        fs::remove_file(world.index()).unwrap();
        fs::write(&temp, &whole[..length]).unwrap();
        fs::write(&runs, b"a run").unwrap();
        assert_answers(&MediaCatalog::load(&world.state, &media()).unwrap(), &model, &unknown());
        world.build(20);
        assert!(!temp.exists() && !runs.exists(), "{length}");
        assert_answers(&world.load(), &model, &unknown());
    }
}

/// Several at once: they take turns, all have an index, and nobody changes one that is in use.
#[test]
fn processes_that_make_the_same_index_take_turns() {
    let world = World::new();
    let model = example(&world);
    for _ in 0..20 {
        let _ = fs::remove_file(world.index());
        std::thread::scope(|scope| {
            // Each thread has its own descriptors, and `flock` is about those: as good as processes.
            for _ in 0..6 {
                scope.spawn(|| {
                    let catalog = world.load();
                    for _ in 0..3 {
                        assert_answers(&catalog, &model, &unknown());
                    }
                });
            }
        });
        assert!(world.open_index().is_ok());
        let left: Vec<_> =
            fs::read_dir(world.index().parent().unwrap()).unwrap().map(|e| e.unwrap()).collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }
}

/// No room or right for an index is no reason to fail.
#[test]
fn a_catalog_without_index_answers_from_memory() {
    let world = World::new();
    let model = example(&world);
    // A file where the folder belongs: nobody can write there, not even root.
    fs::write(world.index().parent().unwrap(), b"").unwrap();
    assert_answers(&world.load(), &model, &unknown());
    let mut catalog = MediaCatalog::open_with(&world.state, &media(), true, 0).unwrap();
    catalog.register_chunk_archive(80, Uuid::new_v4(), "a", &[numbered(7)]).unwrap();
    catalog.commit().unwrap();
    catalog.settle();
    assert_eq!(catalog.chunk("a", &numbered(7)).unwrap(), Some(80));
}

/// An index that breaks while it is asked and can't be made anew: the log is read into memory. If the
/// log is another meanwhile, there is an error and no answer.
#[test]
fn a_broken_index_that_cannot_be_made_anew_is_replaced_by_memory() {
    for replaced in [false, true] {
        let world = World::new();
        let model = example(&world);
        let catalog = world.load();
        let open = File::options().write(true).open(world.index()).unwrap();
        let length = open.metadata().unwrap().len();
        open.write_all_at(&vec![0; length as usize], 0).unwrap();
        let folder = world.index().parent().unwrap().to_path_buf();
        fs::rename(&folder, folder.with_extension("away")).unwrap();
        fs::write(&folder, b"").unwrap();
        if replaced {
            let log = world.log();
            fs::remove_file(&log).unwrap();
            fs::write(&log, vec![0; 20_000]).unwrap();
            let error = catalog.chunk("a", &numbered(7)).unwrap_err().to_string();
            assert!(error.contains("replaced while it was in use"), "{error}");
        } else {
            assert_answers(&catalog, &model, &unknown());
        }
        assert!(world.folder.path().exists());
    }
}

/// Listing snapshots looks at no chunk: an index whose blocks are all gone is good enough.
#[test]
fn snapshots_are_listed_without_reading_chunks() {
    let world = World::new();
    example(&world);
    world.load();
    let blocks_at = world.open_index().unwrap().0.places.blocks_at;
    let damaged = fs::read(world.index()).unwrap()[blocks_at as usize] ^ 1;
    let file = File::options().write(true).open(world.index()).unwrap();
    file.write_all_at(&[damaged], blocks_at).unwrap();
    let list = snapshot_list(&world.state, &media()).unwrap();
    assert_eq!(list.len(), 4);
    assert_eq!(list[1], ("b".to_string(), "host/h/2024-01-02T03:04:01Z".to_string()));
    // It was read from the index indeed: nobody made it anew.
    assert_eq!(world.open_index().unwrap().0.each("a", 0, &mut |_, _| {}), Err(Unfit));
}

/// The catalogs that the reference wrote, through an index.
#[test]
fn golden_catalogs_answer_from_an_index() {
    let Some(golden) = crate::testing::golden() else { return };
    let world = World::new();
    let text = fs::read_to_string(golden.join("tape/state/inventory.json")).unwrap();
    fs::write(world.state.inventory_file(), text).unwrap();
    let inventory = crate::media::Inventory::load(&world.state).unwrap();
    for entry in inventory.entries() {
        let uuid = entry.id.label.uuid;
        fs::copy(golden.join(format!("tape/state/{uuid}.log")), world.state.catalog_file(&uuid))
            .unwrap();
        let catalog = MediaCatalog::open_with(&world.state, &entry.id, false, 0).unwrap();
        assert!(world.state.catalog_index_file(&uuid).exists());
        assert_eq!(catalog.content().recent_chunks(), 0);
        let dump = golden.join(format!("tape/catalog-{uuid}.dump.jsonl"));
        crate::testing::assert_catalog_equals_dump(&catalog, &dump);
    }
}

proptest! {
    /// Any bytes behind a right header of any numbers: refused or harmless, never a panic.
    #[test]
    fn hostile_indexes_are_survived(
        numbers in prop::collection::vec(prop_oneof![any::<u64>(), 0u64..2000], 4),
        tail in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let world = World::new();
        example(&world);
        world.load();
        let bytes = fs::read(world.index()).unwrap();
        let mut header = Header::decode(bytes.first_chunk().unwrap()).unwrap();
        header.covered_bytes = numbers[0].into();
        header.head_bytes = numbers[1].into();
        header.chunks = numbers[2].into();
        header.stores_bytes = numbers[3].into();
        let mut hostile = zerocopy::IntoBytes::as_bytes(&header.encode()).to_vec();
        hostile.extend(tail);
        fs::write(world.index(), hostile).unwrap();
        prop_assert!(world.open_index().is_err());
        let _ = layout::decode_stores(&bytes[numbers[1].min(100) as usize..], numbers[2]);
    }
}

/// The worked example of `docs/formats/catalog-index.md`.
#[test]
fn the_layout_is_the_published_one() {
    let world = World::new();
    write_catalog(&world, &[("vmstore1", vec![Digest(std::array::from_fn(|i| i as u8))])]);
    world.load();
    let bytes = fs::read(world.index()).unwrap();
    assert_eq!(bytes.len(), 2048 + 2048 + 4 + 17);
    assert_eq!(&bytes[..12], b"CAPCHIDX\x01\0\0\0");
    assert_eq!(bytes[16..32], *media().label.uuid.as_bytes());
    let log = fs::read(world.log()).unwrap();
    assert_eq!(bytes[72..80], (log.len() as u64).to_le_bytes());
    // The log without its magic and its chunk.
    let head: Vec<u8> = log[8..115].iter().chain(&log[148..]).copied().collect();
    assert_eq!(bytes[112..120], (head.len() as u64).to_le_bytes());
    assert_eq!(bytes[152..152 + head.len()], head);
    assert!(bytes[152 + head.len()..2048].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[2052..2064], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[2064..2096], std::array::from_fn::<u8, 32, _>(|i| i as u8));
    assert_eq!(bytes[2096..2104], 2u64.to_le_bytes());
    assert!(bytes[2104..4096].iter().all(|byte| *byte == 0));
    assert_eq!(bytes[4096..4100], [3, 2, 1, 0]);
    assert_eq!(&bytes[4100..], b"\x08vmstore1\x01\0\0\0\0\0\0\0");
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[32..48]);
    crc.update(&bytes[2052..4096]);
    assert_eq!(bytes[2048..2052], crc.finalize().to_le_bytes());
}

proptest! {
    #[test]
    fn a_guess_changes_nothing(
        mut values in prop::collection::vec(0u32..50, 0..60),
        guess in 0usize..80,
        wanted in 0u32..52,
    ) {
        values.sort_unstable();
        let expected = values.partition_point(|value| *value < wanted);
        prop_assert_eq!(partition_near(&values, guess, |value| value < wanted), expected);
    }
}
