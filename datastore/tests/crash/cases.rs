//! The operations that are interrupted.

use std::collections::BTreeSet;
use std::sync::Arc;

use datastore::chunk_store::SyncLevel;
use datastore::progress::Silent;
use datastore::verify::{self, Verifier};
use datastore::{Datastore, Digest, Error, Namespace};

use crate::world::{Name, Snapshots, World, back_up, content, name, put_back};

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
    let file_level = [Case::new("backup, chunk by chunk", back_up_number(NEXT, 20))
        .makes(name("", NEXT), 20)
        .again(back_up_number("host/elsa/2024-01-03T00:00:01Z", 20))];
    cases.extend(file_level.map(|case| Case { sync_level: SyncLevel::File, ..case }));
    cases
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
