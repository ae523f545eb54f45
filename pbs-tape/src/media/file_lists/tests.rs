use std::collections::{BTreeMap, BTreeSet};

use datastore::Digest;
use proptest::prelude::*;

use super::group_file::merge;
use super::*;
use crate::testing::World;

fn group() -> Group {
    Group { store: "main".into(), name: "ns/a/host/elsa".into() }
}

fn names(of: &[&str]) -> Names {
    of.iter().map(|name| (name.as_bytes().to_vec(), b'f')).collect()
}

/// Stands for the digest of a catalog with these names.
fn catalog(of: &[&str]) -> Digest {
    Digest::of(format!("{of:?}").as_bytes())
}

fn learned(of: &[&str]) -> Learned {
    Learned::Names(catalog(of), Some(names(of)))
}

/// The paths of each snapshot, as the file tells them.
fn told(file: &GroupFile) -> BTreeMap<i64, BTreeSet<String>> {
    let mut told: BTreeMap<i64, BTreeSet<String>> = BTreeMap::new();
    for time in file.times() {
        let of_time = told.entry(time).or_default();
        if let Some(List::Number(list)) = file.list_of(time) {
            file.each(&mut |path| {
                if path.is_in(list) {
                    let is_new = of_time.insert(String::from_utf8(path.name.clone()).unwrap());
                    assert!(is_new, "told twice");
                }
                Ok(())
            })
            .unwrap();
        }
    }
    told
}

#[test]
fn what_was_learnt_is_told() {
    let world = World::new();
    let lists = FileLists::of(&world.state);
    assert!(lists.load(&group()).is_none());
    let first = ["root.pxar.didx/etc/fstab", "root.pxar.didx/etc/hosts", "root.pxar.didx/a"];
    let second = ["root.pxar.didx/etc/hosts", "root.pxar.didx/new"];
    lists
        .learn(&group(), BTreeMap::from([(10, learned(&first)), (11, Learned::Encrypted)]))
        .unwrap();
    lists
        .learn(&group(), BTreeMap::from([(20, learned(&second)), (21, Learned::NoCatalog)]))
        .unwrap();
    // Its names are known already.
    let again = Learned::Names(catalog(&first), None);
    lists.learn(&group(), BTreeMap::from([(30, again)])).unwrap();
    let file = lists.load(&group()).unwrap();
    assert_eq!(file.list_of(11), Some(List::Encrypted));
    assert_eq!(file.list_of(21), Some(List::NoCatalog));
    assert_eq!(file.list_of(40), None);
    assert!(file.knows(&catalog(&first)) && !file.knows(&catalog(&["other"])));
    let set = |of: &[&str]| of.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
    let told = told(&file);
    assert_eq!(told[&10], set(&first));
    assert_eq!(told[&20], set(&second));
    assert_eq!(told[&30], set(&first));
    assert!(told[&11].is_empty());
    // Another group does not see it, and a file under the wrong name is not believed.
    let other = Group { store: "main".into(), name: "host/other".into() };
    assert!(lists.load(&other).is_none());
    std::fs::rename(lists.path(&group()), lists.path(&other)).unwrap();
    assert!(lists.load(&other).is_none());
}

/// A year of snapshots takes little more room than one.
#[test]
fn equal_catalogs_are_kept_once() {
    let many: Vec<String> =
        (0..20_000).map(|n| format!("root.pxar.didx/dir{}/f{n}", n % 7)).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut file = merge(None, &group(), BTreeMap::from([(0, learned(&many))])).unwrap();
    let world = World::new();
    let path = world.folder.path().join("one");
    file.store(&path).unwrap();
    let once = std::fs::metadata(&path).unwrap().len();
    for time in 1..50 {
        let mut changed = many.clone();
        let new = format!("root.pxar.didx/new{time}");
        changed.push(&new);
        let same = Learned::Names(catalog(&many), None);
        let learned = BTreeMap::from([(2 * time, learned(&changed)), (2 * time + 1, same)]);
        file = merge(Some(file), &group(), learned).unwrap();
    }
    file.store(&path).unwrap();
    let all = std::fs::metadata(&path).unwrap().len();
    assert!(all < 2 * once, "100 snapshots take {all} bytes, one {once}");
    assert_eq!(told(&file).len(), 99);
}

#[test]
fn what_is_on_no_tape_any_more_is_removed() {
    let world = World::new();
    let lists = FileLists::of(&world.state);
    let (one, two) = ("2023-11-14T22:13:20Z", "2023-11-14T22:15:00Z");
    let time = 1_700_000_000;
    let group = Group { store: "main".into(), name: "host/a".into() };
    let other = Group { store: "main".into(), name: "host/b".into() };
    for group in [&group, &other] {
        let both = BTreeMap::from([
            (time, learned(&["x.pxar.didx/old", "x.pxar.didx/both"])),
            (time + 100, learned(&["x.pxar.didx/both", "x.pxar.didx/new"])),
        ]);
        lists.learn(group, both).unwrap();
    }
    let name = |group: &Group, time: &str| (group.store.clone(), format!("{}/{time}", group.name));
    let all = BTreeSet::from([name(&group, one), name(&group, two), name(&other, one)]);
    lists.collect(&all).unwrap();
    assert_eq!(told(&lists.load(&group).unwrap()).len(), 2);
    let left = told(&lists.load(&other).unwrap());
    assert_eq!(left.len(), 1);
    assert_eq!(left[&time].len(), 2);
    lists.collect(&BTreeSet::from([name(&group, two)])).unwrap();
    assert!(lists.load(&other).is_none());
    let file = lists.load(&group).unwrap();
    let mut paths = Vec::new();
    file.each(&mut |path| {
        paths.push(String::from_utf8(path.name.clone()).unwrap());
        Ok(())
    })
    .unwrap();
    assert_eq!(paths, ["x.pxar.didx/both", "x.pxar.didx/new"]);
    lists.collect(&BTreeSet::new()).unwrap();
    assert!(lists.load(&group).is_none());
    assert_eq!(std::fs::read_dir(world.state.file_lists_folder()).unwrap().count(), 0);
}

/// Whatever happens to a file of the cache, it is not there then; and learning makes it anew.
#[test]
fn a_damaged_list_is_none_and_is_made_anew() {
    let world = World::new();
    let lists = FileLists::of(&world.state);
    let paths = ["root.pxar.didx/etc/fstab", "root.pxar.didx/etc/hosts"];
    let path = lists.path(&group());
    lists.learn(&group(), BTreeMap::from([(10, learned(&paths))])).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x20;
        std::fs::write(&path, &changed).unwrap();
        assert!(lists.load(&group()).is_none(), "byte {at}");
        std::fs::write(&path, &bytes[..at]).unwrap();
        assert!(lists.load(&group()).is_none(), "cut at {at}");
    }
    lists.learn(&group(), BTreeMap::from([(20, learned(&paths[..1]))])).unwrap();
    let told = told(&lists.load(&group()).unwrap());
    assert_eq!(told.keys().copied().collect::<Vec<_>>(), [20]);
}

proptest! {
    /// Any lists, learnt in any portions and with any of them removed again, are told as they are.
    #[test]
    fn any_lists_come_back(
        snapshots in prop::collection::vec(
            (prop::collection::btree_set("[abc/]{0,6}", 0..8), any::<bool>()), 1..12),
        portion in 1usize..4,
    ) {
        let mut file = None;
        let mut expected = BTreeMap::new();
        for (number, part) in snapshots.chunks(portion).enumerate() {
            let mut now = BTreeMap::new();
            for (place, (paths, is_removed)) in part.iter().enumerate() {
                let time = (number * portion + place) as i64;
                let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
                now.insert(time, learned(&paths));
                let paths: BTreeSet<String> = paths.iter().map(ToString::to_string).collect();
                expected.insert(time, (paths, *is_removed));
            }
            file = Some(merge(file, &group(), now).unwrap());
        }
        let file = file.unwrap();
        let all = expected.iter().map(|(time, (paths, _))| (*time, paths.clone())).collect();
        prop_assert_eq!(&told(&file), &all);
        let left = file.without(&|time| expected[&time].1).unwrap();
        let world = World::new();
        let path = world.folder.path().join("list");
        left.store(&path).unwrap();
        let left = GroupFile::load(&path, &group()).unwrap();
        let kept = expected.iter().filter(|(_, (_, is_removed))| !is_removed);
        let kept = kept.map(|(time, (paths, _))| (*time, paths.clone())).collect();
        prop_assert_eq!(told(&left), kept);
    }

    /// Whatever bytes there are, they are a list or an error.
    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = body;
        bytes.extend(openssl::sha::sha256(&bytes.clone()));
        if let Ok(file) = GroupFile::decode(&bytes) {
            let _ = file.each(&mut |_| Ok(()));
        }
        // Behind a right head: the blocks.
        let world = World::new();
        let path = world.folder.path().join("list");
        let file = merge(None, &group(), BTreeMap::from([(1, learned(&["a/b"]))])).unwrap();
        file.store(&path).unwrap();
        let mut whole = std::fs::read(&path).unwrap();
        whole.truncate(whole.len() - 32);
        let block = datastore::DataBlob::encode(&bytes, None, true).unwrap();
        whole.extend((block.encoded_len() as u32).to_le_bytes());
        whole.extend(block.as_bytes());
        whole.extend(openssl::sha::sha256(&whole.clone()));
        let file = GroupFile::decode(&whole).unwrap();
        let _ = file.each(&mut |_| Ok(()));
    }
}
