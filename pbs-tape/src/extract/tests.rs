//! Files out of a set: whole, in part, damaged, locked with a key, and with how little reading.

use std::collections::BTreeMap;
use std::path::Path;

use client::session::RestoreSession;
use datastore::progress::Silent;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::{Datastore, Namespace, SnapshotPath};
use pxar::catalog::{Kind, Sink};
use pxar::{Encoder, Metadata};

use super::*;
use crate::device::model::{ModelLibrary, Record};
use crate::operations::label::barcode_label;
use crate::testing::{World, allow_chunk, library, noise};
use crate::write::{TapeBackupOptions, run_backup};

const SNAPSHOT: &str = "main:host/a/2023-11-14T22:13:20Z";

type Tree = BTreeMap<&'static str, Vec<u8>>;

/// Directories of one level with files, and one of two levels.
fn tree() -> Tree {
    Tree::from([
        ("etc/empty", Vec::new()),
        ("etc/fstab", b"a line\n".to_vec()),
        ("etc/passwd", noise(1, 3000)),
        ("home/big", noise(2, 1_000_000)),
        ("home/other", noise(3, 400_000)),
        ("home/user/deep", noise(4, 150_000)),
        ("home/user/mail", noise(5, 150_000)),
        ("zero", noise(6, 200_000)),
    ])
}

/// The entries of a tree into an archive and the catalog of names; `home/zlink` is a further name of `home/big`.
fn encode<W: Write, P: Write>(tree: &Tree, encoder: &mut Encoder<W, P>, catalog: &mut impl Sink) {
    let mut open: Vec<&str> = Vec::new();
    let mut big = None;
    for (path, content) in tree {
        let mut parts: Vec<&str> = path.split('/').collect();
        let name = parts.pop().unwrap();
        while !parts.starts_with(&open) {
            if open == ["home"] {
                encoder.add_hardlink(b"zlink", b"home/big", big.unwrap()).unwrap();
                catalog.add(b"zlink", Kind::Hardlink).unwrap();
            }
            open.pop();
            encoder.leave_directory().unwrap();
            catalog.end_directory().unwrap();
        }
        for part in &parts[open.len()..] {
            let metadata = Metadata::directory(0o751);
            encoder.enter_directory(part.as_bytes(), &metadata).unwrap();
            catalog.start_directory(part.as_bytes()).unwrap();
            open.push(part);
        }
        let metadata = Metadata::regular(0o640);
        let size = content.len() as u64;
        let added = encoder.add_file(name.as_bytes(), &metadata, size, &mut &content[..]).unwrap();
        catalog.add(name.as_bytes(), Kind::File { size, mtime: 0 }).unwrap();
        if *path == "home/big" {
            big = Some(added);
        }
    }
    assert!(open.is_empty(), "the last one lies at the top");
}

#[derive(Clone, Copy, PartialEq)]
enum Shape {
    Unified,
    Split,
}

/// What a set is made of.
struct Made {
    shape: Shape,
    names: bool,
    key: Option<Arc<CryptConfig>>,
    chunk_bytes: usize,
}

impl Default for Made {
    fn default() -> Made {
        Made { shape: Shape::Unified, names: true, key: None, chunk_bytes: 100_000 }
    }
}

struct Set {
    world: World,
    library: ModelLibrary,
    tapes: Vec<String>,
    made: Made,
}

fn add(
    store: &Arc<Datastore>,
    made: &Made,
    writer: &SnapshotWriter,
    data: &[u8],
) -> Vec<(u64, Digest)> {
    let key = made.key.as_deref();
    let chunks = data.chunks(made.chunk_bytes);
    chunks
        .map(|chunk| {
            let digest = key.map_or_else(|| Digest::of(chunk), |key| key.digest(chunk));
            allow_chunk(store, &digest);
            let blob = DataBlob::encode(chunk, key, false).unwrap();
            writer.insert_chunk(&digest, &blob, chunk.len() as u64).unwrap();
            (chunk.len() as u64, digest)
        })
        .collect()
}

/// A snapshot with files, an image and a small file.
fn snapshot(store: &Arc<Datastore>, made: &Made) {
    let path = SnapshotPath::new("host/a".parse().unwrap(), 1_700_000_000).unwrap();
    let group = GroupWriter::open(store, &Namespace::root(), path.group(), "root@pam").unwrap();
    let writer = SnapshotWriter::begin_backup(&group, path.time()).unwrap();
    let mode = if made.key.is_some() { CryptMode::Encrypt } else { CryptMode::None };
    let mut manifest = Manifest::new(&path);
    let mut streams: Vec<(&str, Vec<u8>)> = Vec::new();
    let mut names = Vec::new();
    let mut catalog = pxar::catalog::Writer::new(&mut names).unwrap();
    let (mut archive, mut payload) = (Vec::new(), Vec::new());
    let root = Metadata::directory(0o755);
    if made.shape == Shape::Split {
        catalog.start_archive(b"root.mpxar.didx").unwrap();
        let mut encoder = Encoder::split(&mut archive, &mut payload, None, &root).unwrap();
        encode(&tree(), &mut encoder, &mut catalog);
        encoder.finish().unwrap();
        streams.push(("root.mpxar.didx", archive));
        streams.push(("root.ppxar.didx", payload));
    } else {
        catalog.start_archive(b"root.pxar.didx").unwrap();
        let mut encoder = Encoder::new(&mut archive, &root).unwrap();
        encode(&tree(), &mut encoder, &mut catalog);
        encoder.finish().unwrap();
        streams.push(("root.pxar.didx", archive));
    }
    catalog.end_archive().unwrap();
    catalog.finish().unwrap();
    if made.names {
        streams.push((NAMES_CATALOG, names));
    }
    streams.push(("disk.didx", noise(77, 500_000)));
    for (name, data) in streams {
        let entries = add(store, made, &writer, &data);
        manifest.add(writer.add_dynamic_index(name, &entries, mode).unwrap()).unwrap();
    }
    let conf = DataBlob::encode(b"configuration", made.key.as_deref(), true).unwrap();
    manifest.add(writer.add_blob("etc.conf.blob", &conf, mode).unwrap()).unwrap();
    if let Some(key) = &made.key {
        manifest.sign(key).unwrap();
    }
    writer.finish(manifest).unwrap();
}

impl Set {
    /// The snapshot and two others, on three tapes at least.
    fn new(made: Made) -> Set {
        let world = World::new();
        let store = world.store("source");
        snapshot(&store, &made);
        for (number, name) in ["b", "c"].into_iter().enumerate() {
            let data: Vec<Vec<u8>> =
                (0..8).map(|n| noise(1000 + 100 * number as u64 + n, 600_000)).collect();
            crate::testing::add_snapshot(&store, "", name, 1_700_000_100, &data);
        }
        let mut library = library(6, 26, 8);
        barcode_label(&world.state, &mut library, Some("p1"), &Silent).unwrap();
        let options = TapeBackupOptions::new("main");
        let pool = PoolConfig::new("p1");
        let report =
            run_backup(&world.state, &store, pool, &mut library, &options, &Silent).unwrap();
        assert!(report.tapes.len() >= 3, "{:?}", report.tapes);
        // From here on there is no datastore.
        std::fs::remove_dir_all(world.folder.path().join("source")).unwrap();
        Set { world, library, tapes: report.tapes, made }
    }

    fn open(&mut self) -> Extraction<'_> {
        let options = ExtractOptions {
            wait: MediaWait::NONE,
            spool_folder: self.world.folder.path().to_path_buf(),
            spool_bytes_max: 8 << 20,
        };
        let (state, library) = (&self.world.state, &mut self.library);
        Extraction::open(state, library, &[PoolConfig::new("p1")], SNAPSHOT, &options, &Silent)
            .unwrap()
    }

    fn wanted(&self, archive: &str, patterns: &[&str]) -> Wanted {
        Wanted {
            archive: archive.into(),
            patterns: patterns.iter().map(|pattern| (*pattern).to_owned()).collect(),
            range: None,
            key: self.made.key.clone(),
        }
    }

    /// What comes out for these patterns: the files with their content, and the report.
    fn extract(&mut self, patterns: &[&str]) -> (BTreeMap<String, Vec<u8>>, ExtractReport) {
        let wanted = self.wanted("root.pxar", patterns);
        let target = tempfile::tempdir_in(self.world.folder.path()).unwrap();
        let path = target.path().join("out");
        let options = pxar::extract::Options { ownership: false, ..Default::default() };
        let folder = ExtractTarget::Folder { path: &path, options };
        let report = self.open().run(&wanted, folder).unwrap();
        (files_in(&path, ""), report)
    }
}

fn files_in(folder: &Path, prefix: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files.extend(files_in(&entry.path(), &format!("{name}/")));
        } else {
            files.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    files
}

/// Files of the tree whose path is below one of these, without the hardlink.
fn expected(below: &[&str]) -> BTreeMap<String, Vec<u8>> {
    let all = tree().into_iter();
    all.filter(|(path, _)| below.iter().any(|start| path.starts_with(start)))
        .map(|(path, content)| (path.to_owned(), content))
        .collect()
}

#[test]
fn what_patterns_select_comes_out_whatever_the_archive_is_like() {
    let shapes = [(Shape::Unified, true), (Shape::Unified, false), (Shape::Split, false)];
    for (shape, names) in shapes {
        let mut set = Set::new(Made { shape, names, ..Made::default() });
        for (patterns, wanted) in [
            (&["/etc/fstab"][..], &["etc/fstab"][..]),
            (&["/home/user"], &["home/user/"]),
            (&["/etc", "/zero"], &["etc/", "zero"]),
            (&["**/mail"], &["home/user/mail"]),
            (&["*st*"], &["etc/fstab"]),
            (&["/home", "!/home/user", "!/home/zlink"], &["home/big", "home/other"]),
        ] {
            let (files, report) = set.extract(patterns);
            assert!(files == expected(wanted), "{patterns:?}: {:?}", files.keys());
            assert!(report.lost.is_empty(), "{report:?}");
            assert_eq!(report.tapes.len(), 1, "all of it is on the first tape: {report:?}");
        }
        // Everything, with its further name.
        let (mut files, _) = set.extract(&[]);
        assert_eq!(files.remove("home/zlink").unwrap(), tree()["home/big"]);
        assert_eq!(files, expected(&[""]));
        // The further name alone is a file.
        let (files, _) = set.extract(&["/home/zlink"]);
        assert_eq!(files.keys().collect::<Vec<_>>(), ["home/zlink"]);
        assert_eq!(files["home/zlink"], tree()["home/big"]);
    }
}

#[test]
fn what_is_not_there_is_said_before_anything_is_made() {
    let mut set = Set::new(Made::default());
    let target = set.world.folder.path().join("none");
    let folder = || ExtractTarget::Folder { path: &target, options: Default::default() };
    let wanted = set.wanted("root.pxar", &["/etc/shadow"]);
    let refused = set.open().run(&wanted, folder()).unwrap_err();
    assert!(refused.to_string().contains("matches"), "{refused}");
    let wanted = set.wanted("other.pxar", &[]);
    let refused = set.open().run(&wanted, folder()).unwrap_err();
    assert!(refused.to_string().contains("root.pxar.didx"), "{refused}");
    let wanted = set.wanted("disk", &["/etc"]);
    assert!(set.open().run(&wanted, folder()).is_err());
    assert!(!target.exists());
}

#[test]
fn an_encrypted_snapshot_opens_with_its_key_only() {
    let key = Arc::new(CryptConfig::new([7; 32]).unwrap());
    let mut set = Set::new(Made { key: Some(key), ..Made::default() });
    assert_eq!(set.extract(&["**/deep"]).0, expected(&["home/user/deep"]));
    let target = set.world.folder.path().join("none");
    let other = Arc::new(CryptConfig::new([8; 32]).unwrap());
    for key in [None, Some(other)] {
        let wanted = Wanted { key, ..set.wanted("root.pxar", &["/etc"]) };
        let folder = ExtractTarget::Folder { path: &target, options: Default::default() };
        assert!(set.open().run(&wanted, folder).is_err());
    }
    assert!(!target.exists());
}

#[test]
fn images_come_whole_and_by_range_through_a_small_spool() {
    let mut set = Set::new(Made::default());
    let image = noise(77, 500_000);
    for range in [None, Some(0..500_000), Some(99_999..100_001), Some(250_000..499_999), Some(7..7)]
    {
        let mut out = Vec::new();
        let wanted = Wanted { range: range.clone(), ..set.wanted("disk", &[]) };
        let mut extraction = set.open();
        // Two chunks at a time.
        Arc::get_mut(&mut extraction.snapshot).unwrap().spool =
            Spool::new(Path::new("/tmp"), 450_000).unwrap();
        let report = extraction.run(&wanted, ExtractTarget::Stream(&mut out)).unwrap();
        let range = range.unwrap_or(0..500_000);
        assert!(out == image[range.start as usize..range.end as usize], "{range:?}");
        assert!(report.lost.is_empty());
    }
    let mut out = Vec::new();
    let wanted = set.wanted("etc.conf", &[]);
    set.open().run(&wanted, ExtractTarget::Stream(&mut out)).unwrap();
    assert_eq!(out, b"configuration");
    let wanted = Wanted { range: Some(0..500_001), ..set.wanted("disk", &[]) };
    assert!(set.open().run(&wanted, ExtractTarget::Stream(&mut Vec::new())).is_err());
    // A selection that does not fit is refused, and says so.
    let wanted = set.wanted("root.pxar", &["/home"]);
    let mut extraction = set.open();
    Arc::get_mut(&mut extraction.snapshot).unwrap().spool =
        Spool::new(Path::new("/tmp"), 450_000).unwrap();
    let refused = extraction.run(&wanted, ExtractTarget::Stream(&mut Vec::new())).unwrap_err();
    assert!(refused.to_string().contains("spool"), "{refused}");
}

#[test]
fn a_tar_stream_holds_the_same_files() {
    let mut set = Set::new(Made::default());
    let mut out = Vec::new();
    let wanted = set.wanted("root.pxar", &["/home"]);
    let report = set.open().run(&wanted, ExtractTarget::Stream(&mut out)).unwrap();
    let mut files = BTreeMap::new();
    let mut links = Vec::new();
    let mut archive = tar::Archive::new(&out[..]);
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().to_str().unwrap().trim_end_matches('/').to_owned();
        match entry.header().entry_type() {
            tar::EntryType::Regular => {
                assert_eq!(entry.header().mode().unwrap() & 0o7777, 0o640);
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut entry, &mut content).unwrap();
                files.insert(path, content);
            }
            tar::EntryType::Link => {
                let target = entry.link_name().unwrap().unwrap().into_owned();
                links.push((path, target.to_str().unwrap().to_owned()));
            }
            kind => assert_eq!(kind, tar::EntryType::Directory, "{path}"),
        }
    }
    assert_eq!(files, expected(&["home/"]));
    assert_eq!(links, [("home/zlink".to_owned(), "home/big".to_owned())]);
    // home, home/user, four files, a link
    assert_eq!(report.entries, 7);
}

/// Each block of the tape damaged in turn: what is lost is named, and all the rest comes.
#[test]
fn damage_costs_the_files_in_it_which_are_named() {
    let mut set = Set::new(Made::default());
    let tape = set.tapes[0].clone();
    let sound = set.library.medium(&tape);
    let mut whole = 0;
    let mut partial = 0;
    for number in 0..sound.records.len() {
        let mut damaged = sound.clone();
        let Record::Block(block) = &damaged.records[number] else { continue };
        let mut bytes = block.to_vec();
        // In the middle of what the block holds.
        bytes[100_000] ^= 0x55;
        damaged.records[number] = Record::Block(bytes.into());
        *set.library.tapes[&tape].lock().unwrap() = damaged;
        let wanted = set.wanted("root.pxar", &["/etc", "/home/big", "/home/other", "/zero"]);
        let target = tempfile::tempdir_in(set.world.folder.path()).unwrap();
        let path = target.path().join("out");
        let options = pxar::extract::Options { ownership: false, ..Default::default() };
        let folder = ExtractTarget::Folder { path: &path, options };
        // The labels, the snapshot archive or the root may be hit; nothing comes then, and that is said.
        let options = ExtractOptions {
            wait: MediaWait::NONE,
            spool_folder: set.world.folder.path().to_path_buf(),
            spool_bytes_max: 8 << 20,
        };
        let (state, library) = (&set.world.state, &mut set.library);
        let pools = [PoolConfig::new("p1")];
        let Ok(open) = Extraction::open(state, library, &pools, SNAPSHOT, &options, &Silent) else {
            continue;
        };
        let Ok(report) = open.run(&wanted, folder) else { continue };
        let files = files_in(&path, "");
        let all = expected(&["etc/", "home/big", "home/other", "zero"]);
        assert!(files.iter().all(|(path, content)| all[path] == *content), "a wrong file");
        if files.len() == all.len() {
            assert!(report.lost.is_empty(), "{report:?}");
            whole += 1;
        } else {
            assert!(!report.lost.is_empty(), "block {number}: {:?}", files.keys());
            partial += 1;
        }
    }
    assert!(whole >= 5 && partial >= 5, "{whole} whole, {partial} partial");
}

#[test]
fn a_plan_names_the_tapes_and_extracts_nothing() {
    let mut set = Set::new(Made::default());
    let tape = set.tapes[0].clone();
    let wanted = set.wanted("root.pxar", &["/home/big"]);
    let mut open = set.open();
    assert_eq!(open.manifest().files().len(), 4);
    let plan = open.plan(&wanted).unwrap();
    assert_eq!(plan.content_bytes, 1_000_000);
    assert!((1_000_000..1_300_000).contains(&plan.chunk_bytes), "{plan:?}");
    let tapes: Vec<(&str, u64)> =
        plan.tapes.iter().map(|tape| (&*tape.label_text, tape.chunks)).collect();
    assert!(matches!(tapes[..], [(text, 10..=12)] if text == tape), "{tapes:?}");
    // What a plan read serves the run.
    assert!(open.snapshot.index("root.pxar.didx").is_ok());
    let mut out = Vec::new();
    open.run(&wanted, ExtractTarget::Stream(&mut out)).unwrap();
    assert!(out.len() > 1_000_000);
}

/// The names in a snapshot, for the lists of files: plain ones may be kept, known ones are not read, encrypted ones need the key.
#[test]
fn the_names_in_a_snapshot_are_told_with_what_may_be_done_with_them() {
    let paths = |names: Names| -> Vec<String> {
        names.into_iter().map(|(name, _)| String::from_utf8(name).unwrap()).collect()
    };
    let mut set = Set::new(Made::default());
    let Ok(NamesOnTape::Plain(catalog, names)) = set.open().names(None, &|_| false) else {
        panic!("plain names are read");
    };
    let names = paths(names);
    for path in tree().keys() {
        assert!(names.contains(&format!("root.pxar.didx/{path}")), "{path}: {names:?}");
    }
    assert!(names.contains(&"root.pxar.didx/home".to_string()));
    let mut extraction = set.open();
    let known = extraction.names(None, &|known| *known == catalog).unwrap();
    assert!(matches!(known, NamesOnTape::Known(known) if known == catalog));
    assert_eq!(extraction.tapes.uses[0].chunks, 0, "nothing is read for it");
    let mut set = Set::new(Made { names: false, ..Made::default() });
    assert!(matches!(set.open().names(None, &|_| false), Ok(NamesOnTape::NoCatalog)));

    let key = Arc::new(CryptConfig::new([7; 32]).unwrap());
    let mut set = Set::new(Made { key: Some(Arc::clone(&key)), ..Made::default() });
    let names = set.open().names(None, &|_| false);
    assert!(matches!(names, Ok(NamesOnTape::Encrypted(None))));
    let Ok(NamesOnTape::Encrypted(Some(names))) = set.open().names(Some(key), &|_| true) else {
        panic!("the key opens them");
    };
    assert_eq!(paths(names).len(), tree().len() + 4, "with directories and the further name");
    let other = Arc::new(CryptConfig::new([8; 32]).unwrap());
    assert!(set.open().names(Some(other), &|_| false).is_err());
}
