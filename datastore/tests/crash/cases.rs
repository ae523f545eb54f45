//! The operations that are interrupted.

use std::collections::BTreeSet;
use std::sync::{Arc, LazyLock};

use datastore::check::{self, Repair, repair::Repairer};
use datastore::chunk_store::SyncLevel;
use datastore::key::KdfKind;
use datastore::progress::Silent;
use datastore::verify::{self, Verifier};
use datastore::{Datastore, Digest, Error, KeyConfig, Namespace, gc, prune};

use crate::world::{Name, Snapshots, World, back_up, content, name, noise, put_back};

type Run = Box<dyn Fn(&Arc<Datastore>) -> Result<(), Error> + Sync>;

/// An operation, and the world that it works in.
pub struct Case {
    pub title: &'static str,
    pub sync_level: SyncLevel,
    /// Snapshots that are there before.
    pub before: Snapshots,
    /// Further preparations.
    pub prepare: Box<dyn Fn(&World) + Sync>,
    pub run: Run,
    /// The same operation once more, after a crash in its middle.
    pub again: Run,
    /// Snapshots that the operation makes.
    pub makes: Snapshots,
    /// Snapshots that it removes.
    pub removes: BTreeSet<Name>,
    /// Snapshots that the preparations damaged: they must be there, and nothing is expected of their
    /// content.
    pub damaged: BTreeSet<Name>,
}

pub const OLD: &str = "host/elsa/2024-01-01T00:00:00Z";
pub const NEW: &str = "host/elsa/2024-01-02T00:00:00Z";
pub const NEXT: &str = "host/elsa/2024-01-03T00:00:00Z";
pub const LATER: &str = "host/elsa/2024-01-04T00:00:00Z";
pub const OTHER: &str = "host/other/2024-01-01T00:00:00Z";
pub const ALONE: &str = "vm/100/2024-01-01T00:00:00Z";
pub const DEEP: &str = "ct/7/2024-01-01T00:00:00Z";

/// What every world holds.
fn usual() -> Snapshots {
    Snapshots::from([
        (name("", OLD), content(0)),
        (name("", NEW), content(1)),
        (name("", ALONE), content(6)),
        (name("a/b", DEEP), content(8)),
    ])
}

impl Case {
    fn new(
        title: &'static str,
        run: impl Fn(&Arc<Datastore>) -> Result<(), Error> + Clone + Sync + 'static,
    ) -> Case {
        Case {
            title,
            sync_level: SyncLevel::Filesystem,
            before: usual(),
            prepare: Box::new(|_| {}),
            run: Box::new(run.clone()),
            again: Box::new(run),
            makes: Snapshots::new(),
            removes: BTreeSet::new(),
            damaged: BTreeSet::new(),
        }
    }

    fn makes(mut self, snapshot: Name, number: u64) -> Case {
        self.makes.insert(snapshot, content(number));
        self
    }

    fn removes(mut self, names: &[Name]) -> Case {
        self.removes.extend(names.iter().cloned());
        self
    }

    fn again(
        mut self,
        again: impl Fn(&Arc<Datastore>) -> Result<(), Error> + Sync + 'static,
    ) -> Case {
        self.again = Box::new(again);
        self
    }

    fn prepared(mut self, prepare: impl Fn(&World) + Sync + 'static) -> Case {
        self.prepare = Box::new(prepare);
        self
    }

    /// A world in which everything that is there is finished and durable.
    pub fn world(&self) -> World {
        let world = World::new(self.sync_level);
        let store = world.store();
        for (name, content) in &self.before {
            store.create_namespace(&name.0, true).unwrap();
            back_up(&store, name, content).unwrap();
        }
        (self.prepare)(&world);
        world.fs.checkpoint();
        world
    }

    /// Snapshots that may be there afterwards.
    pub fn possible(&self) -> Snapshots {
        let both = self.before.iter().chain(&self.makes);
        both.map(|(name, content)| (name.clone(), content.clone())).collect()
    }
}

/// Done already is done: what a crash kept is not an error the second time.
fn or_missing(result: Result<(), Error>) -> Result<(), Error> {
    result.or_else(|error| if error.is_missing() { Ok(()) } else { Err(error) })
}

fn back_up_number(
    snapshot: &'static str,
    number: u64,
) -> impl Fn(&Arc<Datastore>) -> Result<(), Error> + Clone {
    move |store| back_up(store, &name("", snapshot), &content(number))
}

fn verify_everything(store: &Arc<Datastore>) -> Result<(), Error> {
    let record = Some(verify::TaskName { upid: "UPID:elsa".into() });
    let options = verify::Options { keys: Vec::new(), threads: 1, record };
    let mut verifier = Verifier::new(store, &options, &Silent);
    for (namespace, snapshot) in crate::world::finished(store)? {
        verifier.snapshot(&namespace, &snapshot)?;
    }
    Ok(())
}

/// Every operation that changes a store.
pub fn all() -> Vec<Case> {
    let root = Namespace::root;
    let elsa = || name("", OLD).1.group().clone();
    let mut cases = vec![
        Case::new("backup to a new group", |store| {
            back_up(store, &name("", "host/new/2024-01-01T00:00:00Z"), &content(20))
        })
        .makes(name("", "host/new/2024-01-01T00:00:00Z"), 20)
        .again(|store| back_up(store, &name("", "host/new/2024-01-01T00:00:01Z"), &content(20))),
        Case::new("backup with new content", back_up_number(NEXT, 20))
            .makes(name("", NEXT), 20)
            .again(back_up_number("host/elsa/2024-01-03T00:00:01Z", 20)),
        Case::new("repeated backup", back_up_number(NEXT, 1))
            .makes(name("", NEXT), 1)
            .again(back_up_number("host/elsa/2024-01-03T00:00:01Z", 1)),
        // Without a base snapshot every chunk is offered to the store again.
        Case::new("backup that replaces longer chunks", back_up_number(OTHER, 1))
            .prepared(store_uncompressed)
            .makes(name("", OTHER), 1)
            .again(back_up_number("host/other/2024-01-01T00:00:01Z", 1)),
        Case::new("backup that is given up", |store| {
            let mut broken = content(30);
            // An archive without chunks is refused, after everything before it was written. An
            // interrupted attempt leaves a folder, which the next one at the same time does not take over.
            broken.insert("zzz.pxar.didx".into(), Vec::new());
            match back_up(store, &name("", NEXT), &broken) {
                Err(Error::Refused { .. } | Error::Exists { .. }) => Ok(()),
                other => other,
            }
        }),
        Case::new("restore from elsewhere", |store| {
            put_back(store, &name("", "host/elsa/2023-01-01T00:00:00Z"), &content(40))
        })
        .makes(name("", "host/elsa/2023-01-01T00:00:00Z"), 40)
        .again(|store| {
            let result = put_back(store, &name("", "host/elsa/2023-01-01T00:00:00Z"), &content(40));
            result.or_else(|e| if matches!(e, Error::Exists { .. }) { Ok(()) } else { Err(e) })
        }),
        Case::new("new namespace", |store| {
            store.create_namespace(&"a/new/deeper".parse().unwrap(), true)
        }),
        Case::new("verify", verify_everything),
        Case {
            damaged: [name("", ALONE)].into(),
            ..Case::new("verify that finds damage", verify_everything).prepared(|world| {
                let store = world.store();
                let digest = Digest::of(&content(6)["disk.img.fidx"][0]);
                world.fs.corrupt(&store.chunks().path(&digest), |bytes| bytes[20] ^= 1);
            })
        },
        Case::new("forget", move |store| {
            or_missing(store.forget_snapshot(&root(), &name("", OLD).1).map(|_| ()))
        })
        .removes(&[name("", OLD)]),
        Case::new("forget the last one of a group", move |store| {
            or_missing(store.forget_snapshot(&root(), &name("", ALONE).1).map(|_| ()))
        })
        .removes(&[name("", ALONE)]),
        Case::new("remove a group", move |store| {
            or_missing(store.forget_group(&root(), &elsa(), &Silent).map(|_| ()))
        })
        .prepared(|world| {
            world
                .store()
                .set_group_notes(&Namespace::root(), name("", OLD).1.group(), "x")
                .unwrap();
        })
        .removes(&[name("", OLD), name("", NEW)]),
        Case::new("remove a namespace", |store| {
            let groups = datastore::namespace::RemoveGroups::Yes;
            or_missing(store.remove_namespace(&"a".parse().unwrap(), groups, &Silent).map(|_| ()))
        })
        .removes(&[name("a/b", DEEP)]),
        Case::new("notes", move |store| store.set_notes(&root(), &name("", OLD).1, "kept")),
        Case::new("protection", move |store| store.set_protected(&root(), &name("", OLD).1, true)),
        Case::new("no protection", move |store| {
            store.set_protected(&root(), &name("", OLD).1, false)
        })
        .prepared(|world| {
            world.store().set_protected(&Namespace::root(), &name("", OLD).1, true).unwrap();
        }),
        Case::new("owner", move |store| {
            store.set_owner(&root(), name("", ALONE).1.group(), "elsa@pbs")
        }),
        Case::new("group notes", move |store| store.set_group_notes(&root(), &elsa(), "the cat")),
    ];
    cases.extend([
        Case::new("garbage collection", |store| collect(store, "")).prepared(with_garbage),
        Case::new("garbage collection in parts", |store| collect(store, "parts"))
            .prepared(with_garbage),
        Case::new("collection that tries times of access", |store| collect(store, "check"))
            .prepared(with_garbage)
            .again(|store| collect(store, "")),
        Case {
            damaged: [name("", ALONE)].into(),
            ..Case::new("check and repair", repair).prepared(with_disorder)
        },
        Case::new("collection after a removal", |store| {
            or_missing(store.forget_snapshot(&Namespace::root(), &name("", OLD).1).map(|_| ()))?;
            collect(store, "")
        })
        .prepared(|world| world.fs.set_atime("", 0))
        .removes(&[name("", OLD)]),
        Case::new("prune", |store| {
            let group = name("", OLD).1.group().clone();
            let keep = prune::KeepOptions { last: 1, ..Default::default() };
            let zone = jiff::tz::TimeZone::UTC;
            let plan = prune::plan_group(store, &Namespace::root(), &group, &keep, &zone, &mut ())?;
            prune::execute(store, &plan, &Silent).map(|_| ())
        })
        .removes(&[name("", OLD)]),
        Case::new("new passphrase of a key", |store| {
            let storage = &**store.storage();
            let path = store.base().join(".key.json");
            let key = KeyConfig::load(storage, &path)?;
            assert!(key == KEYS.0 || key == KEYS.1, "neither the old key nor the new one");
            KEYS.1.save_over(storage, &path)
        })
        .prepared(|world| {
            let path = world.base().canonicalize().unwrap().join(".key.json");
            KEYS.0.save_new(&world.fs, &path).unwrap();
        }),
    ]);
    let file_level = [Case::new("backup, chunk by chunk", back_up_number(NEXT, 20))
        .makes(name("", NEXT), 20)
        .again(back_up_number("host/elsa/2024-01-03T00:00:01Z", 20))];
    cases.extend(file_level.map(|case| Case { sync_level: SyncLevel::File, ..case }));
    cases
}

/// A key under an old and a new passphrase.
static KEYS: LazyLock<(KeyConfig, KeyConfig)> = LazyLock::new(|| {
    let old = KeyConfig::generate(KdfKind::None, b"", None).unwrap();
    let new = KeyConfig { hint: Some("none at all".into()), ..old.clone() };
    (old, new)
});

/// Repairs everything that can be, but for the chunk folders that this file system does not show.
fn repair(store: &Arc<Datastore>) -> Result<(), Error> {
    let mut repairs = Vec::new();
    check::find(store, &check::Options::default(), &Silent, &mut |finding| {
        let repair = finding.repair().filter(|r| !matches!(r, Repair::CreateChunkFolder { .. }));
        repairs.extend(repair.cloned());
    })?;
    let repairer = Repairer::begin(store)?;
    for repair in &repairs {
        repairer.apply(repair)?;
    }
    Ok(())
}

/// A chunk in the wrong folder, old temporary files, and what an interrupted backup leaves.
fn with_disorder(world: &World) {
    let store = world.store();
    let storage = &**store.storage();
    let digest = Digest::of(&content(6)["disk.img.fidx"][0]);
    let wrong = store.chunks().dir().join("0123").join(digest.to_string());
    storage.rename(&store.chunks().path(&digest), &wrong).unwrap();
    let dir = store.snapshot_dir(&Namespace::root(), &name("", OLD).1);
    drop(storage.create_new(&dir.join("root.pxar.tmp_didx"), 0o644).unwrap());
    let unfinished = dir.with_file_name("2024-01-01T12:00:00Z");
    storage.create_dir(&unfinished, 0o755).unwrap();
    drop(storage.create_new(&unfinished.join("x.blob"), 0o644).unwrap());
    world.fs.set_times("tmp_", 0);
    world.fs.set_times("12:00:00Z", 0);
}

fn collect(store: &Arc<Datastore>, how: &str) -> Result<(), Error> {
    let options = gc::Options {
        upid: None,
        cutoff_minutes: 1,
        atime_safety_check: how == "check",
        threads: 1,
        marks_bytes_max: if how == "parts" { 300 } else { 1 << 20 },
    };
    gc::collect(store, &options, &Silent).map(|_| ())
}

/// Chunks that nobody needs, old ones and new ones, and everything else old.
fn with_garbage(world: &World) {
    let store = world.store();
    let garbage = |number: u64| noise(number + 50_000, 300);
    for number in 0..6 {
        if number == 3 {
            world.fs.set_atime("", 0);
        }
        let blob = datastore::DataBlob::encode(&garbage(number), None, true).unwrap();
        store.chunks().insert(&Digest::of(&garbage(number)), &blob).unwrap();
    }
}

/// Another program stored the chunks of the newest snapshot without compressing them.
fn store_uncompressed(world: &World) {
    let store = world.store();
    for piece in content(1).values().flatten() {
        let path = store.chunks().path(&Digest::of(piece));
        let plain = datastore::DataBlob::encode(piece, None, false).unwrap();
        world.fs.corrupt(&path, |bytes| *bytes = plain.as_bytes().to_vec());
    }
}
