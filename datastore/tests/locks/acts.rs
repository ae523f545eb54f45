//! The operations of the table, and the places where each can be held.

use std::fmt;
use std::path::Path;
use std::str::FromStr;
use std::sync::{Arc, Mutex};

use datastore::chunk_store::CHUNKS_DIR;
use datastore::hierarchy::MANIFEST_NAME;
use datastore::index::Index;
use datastore::progress::{Progress, Silent};
use datastore::prune::{self, KeepOptions};
use datastore::snapshot::reader::load_manifest;
use datastore::testing::{Action, Gate, StopStorage, When};
use datastore::verify::{self, Verifier};
use datastore::{Datastore, Digest, Error, Namespace, SnapshotReader, gc};

use jiff::tz::TimeZone;

use crate::world::{self, DEAD, contents, path};

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An index is read, without any lock.
    ReadIndex,
    /// An index is written; always part of a backup.
    CreateIndex,
    /// A collection is marking.
    GcMark,
    /// A collection is sweeping.
    GcSweep,
    /// A manifest is changed.
    UpdateManifest,
    /// A snapshot is removed.
    Forget,
    /// The group `host/a` is pruned: `a3`, its newest, is kept.
    Prune,
    /// A backup is made.
    Backup,
    /// A snapshot is verified.
    Verify,
    /// A snapshot is read.
    Read,
    /// A manifest is read, without any lock.
    ReadManifest,
}

/// An operation on a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Act {
    pub kind: Kind,
    /// The snapshot, where there is one; a prune is held when it removes this one.
    pub on: &'static str,
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It did what it should.
    Done,
    /// A verification left the snapshot out.
    Skipped(String),
    /// A prune ended well, but with a warning.
    Warned(String),
    /// Refused: somebody holds a lock. Trying again later may help.
    Locked(String),
    /// What it works on is not there.
    Missing(String),
    /// It failed otherwise.
    Failed(String),
}

/// Reads an index.
pub const fn ri(on: &'static str) -> Act {
    Act { kind: Kind::ReadIndex, on }
}

/// Makes an index, in a backup.
pub const fn ci(on: &'static str) -> Act {
    Act { kind: Kind::CreateIndex, on }
}

/// Collects garbage, held while it marks.
pub const fn gm() -> Act {
    Act { kind: Kind::GcMark, on: "-" }
}

/// Collects garbage, held while it sweeps.
pub const fn gs() -> Act {
    Act { kind: Kind::GcSweep, on: "-" }
}

/// Changes a manifest.
pub const fn um(on: &'static str) -> Act {
    Act { kind: Kind::UpdateManifest, on }
}

/// Removes a snapshot.
pub const fn fo(on: &'static str) -> Act {
    Act { kind: Kind::Forget, on }
}

/// Prunes group `host/a`, held at the removal of a snapshot.
pub const fn pr(on: &'static str) -> Act {
    Act { kind: Kind::Prune, on }
}

/// Backs up.
pub const fn bk(on: &'static str) -> Act {
    Act { kind: Kind::Backup, on }
}

/// Verifies a snapshot.
pub const fn ve(on: &'static str) -> Act {
    Act { kind: Kind::Verify, on }
}

/// Reads a snapshot.
pub const fn ra(on: &'static str) -> Act {
    Act { kind: Kind::Read, on }
}

/// Reads a manifest.
pub const fn rm(on: &'static str) -> Act {
    Act { kind: Kind::ReadManifest, on }
}

/// Where an operation is held.
pub struct Place {
    /// For people.
    pub name: &'static str,
    at: At,
}

enum At {
    /// At an operation on the storage whose path fits.
    Storage(&'static [Action], When, fn(&Act, &Datastore, &Path) -> bool),
    /// Where [`Act::run`] calls `pause` for this time, counted from 0.
    Pause(usize),
}

fn in_snapshot(act: &Act, store: &Datastore, path: &Path) -> bool {
    path.starts_with(store.snapshot_dir(&Namespace::root(), &world::path(act.on)))
}

fn index_file(act: &Act, store: &Datastore, path: &Path) -> bool {
    in_snapshot(act, store, path) && path.ends_with("data.didx")
}

fn manifest_file(act: &Act, store: &Datastore, path: &Path) -> bool {
    in_snapshot(act, store, path) && path.ends_with(MANIFEST_NAME)
}

fn any_index(_act: &Act, _store: &Datastore, path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "didx" || extension == "fidx")
}

fn in_chunks(_act: &Act, store: &Datastore, path: &Path) -> bool {
    path.starts_with(store.base().join(CHUNKS_DIR))
}

fn folder_of_dead(_act: &Act, store: &Datastore, path: &Path) -> bool {
    store.chunks().path(&Digest::of(DEAD.as_bytes())).parent() == Some(path)
}

/// The folder of all groups; that of the store is listed for other reasons, too.
fn folder_of_groups(_act: &Act, store: &Datastore, path: &Path) -> bool {
    path == store.base().join("host")
}

impl Kind {
    const ALL: [Kind; 11] = [
        Kind::ReadIndex,
        Kind::CreateIndex,
        Kind::GcMark,
        Kind::GcSweep,
        Kind::UpdateManifest,
        Kind::Forget,
        Kind::Prune,
        Kind::Backup,
        Kind::Verify,
        Kind::Read,
        Kind::ReadManifest,
    ];

    /// The one whose debug name this is.
    pub fn named(name: &str) -> Kind {
        *Kind::ALL.iter().find(|kind| format!("{kind:?}") == name).unwrap()
    }

    /// Every place where the operation is held.
    pub fn places(self) -> &'static [Place] {
        use Action::{Create, List, Open, OpenDir, RemoveFile, Rename};
        use When::{After, Before};
        const fn at(
            name: &'static str,
            actions: &'static [Action],
            when: When,
            fits: fn(&Act, &Datastore, &Path) -> bool,
        ) -> Place {
            Place { name, at: At::Storage(actions, when, fits) }
        }
        const fn pause(name: &'static str, count: usize) -> Place {
            Place { name, at: At::Pause(count) }
        }
        const PLACES: &[(Kind, &[Place])] = &[
            (Kind::ReadIndex, &[at("index opened", &[Open], After, index_file)]),
            (Kind::ReadManifest, &[at("manifest opened", &[Open], After, manifest_file)]),
            (Kind::Read, &[pause("snapshot opened", 0)]),
            (Kind::Verify, &[at("before a chunk", &[Open], Before, in_chunks)]),
            (
                Kind::UpdateManifest,
                &[
                    at("manifest loaded", &[Create], Before, in_snapshot),
                    at("before the rename", &[Rename], Before, manifest_file),
                ],
            ),
            (
                Kind::Forget,
                &[
                    at("before the first unlink", &[RemoveFile], Before, in_snapshot),
                    at("after the first unlink", &[RemoveFile], After, in_snapshot),
                ],
            ),
            (Kind::Prune, &[at("before the first unlink", &[RemoveFile], Before, in_snapshot)]),
            (
                Kind::CreateIndex,
                &[at("before the rename of the index", &[Rename], Before, index_file)],
            ),
            (
                Kind::Backup,
                &[
                    pause("begun", 0),
                    pause("after the first chunk", 1),
                    pause("after the third chunk", 3),
                    at("before the rename of the manifest", &[Rename], Before, manifest_file),
                ],
            ),
            (
                Kind::GcMark,
                &[
                    at("before the first listing", &[List], Before, folder_of_groups),
                    at("before the first index", &[Open], Before, any_index),
                ],
            ),
            (
                Kind::GcSweep,
                &[
                    at("before the first folder of chunks", &[List, OpenDir], Before, in_chunks),
                    at("before the decision about a chunk", &[List], After, folder_of_dead),
                ],
            ),
        ];
        PLACES.iter().find(|(kind, _)| *kind == self).map(|(_, places)| *places).unwrap()
    }
}

impl Act {
    /// Sets a gate where the operation is to be held. Returns the gate, and after how many calls of
    /// `pause` it is to be passed.
    pub fn arm(self, place: usize, store: &Arc<Datastore>, stops: &StopStorage) -> Held {
        let place = &self.kind.places()[place];
        match place.at {
            At::Pause(count) => Held { gate: Gate::new(count), pauses: true },
            At::Storage(actions, when, fits) => {
                let gate = Gate::new(0);
                for action in actions {
                    let store = Arc::downgrade(store);
                    stops.stop_with(&gate, *action, when, move |path| {
                        store.upgrade().is_some_and(|store| fits(&self, &store, path))
                    });
                }
                Held { gate, pauses: false }
            }
        }
    }

    /// Does it to the end. `who` is a letter that goes into the notes of a changed manifest.
    pub fn run(self, store: &Arc<Datastore>, who: char, pause: &mut dyn FnMut()) -> Outcome {
        let root = Namespace::root();
        let done = match self.kind {
            Kind::ReadIndex => read_index(store, self.on),
            Kind::CreateIndex | Kind::Backup => {
                world::back_up(store, self.on, pause).map(|_| Outcome::Done)
            }
            Kind::GcMark | Kind::GcSweep => collect(store).map(|_| Outcome::Done),
            Kind::UpdateManifest => store
                .update_manifest(&root, &path(self.on), &mut |manifest| {
                    let notes = format!("{}{who}", manifest.notes().unwrap_or_default());
                    manifest.unprotected.insert("notes".into(), notes.into());
                    Ok(())
                })
                .map(|_| Outcome::Done),
            Kind::Forget => store.forget_snapshot(&root, &path(self.on)).map(|_| Outcome::Done),
            Kind::Prune => prune(store),
            Kind::Verify => verify(store, self.on),
            Kind::Read => SnapshotReader::open(store, &root, &path(self.on)).and_then(|reader| {
                pause();
                world::read_all(&reader, self.on).map(|_| Outcome::Done)
            }),
            Kind::ReadManifest => load_manifest(store, &root, &path(self.on)).map(|manifest| {
                assert_eq!(manifest.files().len(), 3);
                Outcome::Done
            }),
        };
        done.unwrap_or_else(Outcome::of)
    }
}

/// A gate at which an operation is held.
pub struct Held {
    pub gate: Arc<Gate>,
    pauses: bool,
}

impl Held {
    /// What the operation calls where it can pause.
    pub fn pause(&self) {
        if self.pauses {
            self.gate.pass();
        }
    }
}

fn read_index(store: &Datastore, name: &str) -> Result<Outcome, Error> {
    let file = store.snapshot_dir(&Namespace::root(), &path(name)).join("data.didx");
    let index = Index::load(&**store.storage(), &file)?;
    let wanted: Vec<Digest> = contents(name).iter().map(|c| Digest::of(c.as_bytes())).collect();
    assert_eq!(index.digests().collect::<Vec<_>>(), wanted);
    Ok(Outcome::Done)
}

/// Collects garbage.
pub fn collect(store: &Arc<Datastore>) -> Result<gc::Status, Error> {
    // The check of times of access sleeps; `races` has it. With one thread all of it stands still when
    // it is held.
    let options = gc::Options { atime_safety_check: false, threads: 1, ..gc::Options::default() };
    gc::collect(store, &options, &Silent)
}

#[derive(Default)]
struct Warnings(Mutex<Vec<String>>);

impl Progress for Warnings {
    fn warn(&self, text: &str) {
        self.0.lock().unwrap().push(text.to_owned());
    }
}

/// Keeps the newest snapshot of `host/a`.
fn prune(store: &Arc<Datastore>) -> Result<Outcome, Error> {
    let keep = KeepOptions { last: 1, ..KeepOptions::default() };
    let (root, group) = (Namespace::root(), world::group("a1"));
    let plan = prune::plan_group(store, &root, &group, &keep, &TimeZone::UTC, &mut ())?;
    let warnings = Warnings::default();
    prune::execute(store, &plan, &warnings)?;
    let warnings = warnings.0.into_inner().unwrap();
    Ok(if warnings.is_empty() { Outcome::Done } else { Outcome::Warned(warnings.join("; ")) })
}

fn verify(store: &Arc<Datastore>, name: &str) -> Result<Outcome, Error> {
    let record = Some(verify::TaskName { upid: "UPID:x".into() });
    let options = verify::Options { keys: Vec::new(), threads: 1, record };
    let mut verifier = Verifier::new(store, &options, &Silent);
    let report = verifier.snapshot(&Namespace::root(), &path(name))?;
    Ok(match report.skipped {
        Some(reason) => Outcome::Skipped(reason),
        None if report.ok => Outcome::Done,
        None => Outcome::Failed(report.errors.join("; ")),
    })
}

impl Outcome {
    fn of(error: Error) -> Outcome {
        let text = error.to_string();
        if error.is_retryable() {
            Outcome::Locked(text)
        } else if error.is_missing() {
            Outcome::Missing(text)
        } else {
            Outcome::Failed(text)
        }
    }
}

/// One line, for the way from one process to another.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, text) = match self {
            Outcome::Done => ("done", ""),
            Outcome::Skipped(text) => ("skipped", text.as_str()),
            Outcome::Warned(text) => ("warned", text.as_str()),
            Outcome::Locked(text) => ("locked", text.as_str()),
            Outcome::Missing(text) => ("missing", text.as_str()),
            Outcome::Failed(text) => ("failed", text.as_str()),
        };
        write!(f, "{name}:{}", text.replace('\n', " "))
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(line: &str) -> Result<Outcome, String> {
        let (name, text) = line.split_once(':').ok_or(line)?;
        let text = text.to_owned();
        Ok(match name {
            "done" => Outcome::Done,
            "skipped" => Outcome::Skipped(text),
            "warned" => Outcome::Warned(text),
            "locked" => Outcome::Locked(text),
            "missing" => Outcome::Missing(text),
            "failed" => Outcome::Failed(text),
            _ => return Err(line.to_owned()),
        })
    }
}
