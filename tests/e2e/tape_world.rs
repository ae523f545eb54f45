//! An emulated tape library in a [`World`], and a datastore that was written to its cartridges.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::listing::{Entry, assert_same_entries, list};
use crate::round_trip::source;
use crate::tree::{bytes, one_of_everything, write};
use crate::world::{World, read, text};

/// What a cartridge takes here: about 8 MiB before early warning.
pub const CAPACITY: &str = "12M";

impl World {
    /// Makes an emulated library and configures its robot as `NAME` and its first drive as
    /// `NAME-0`. Returns its folder.
    pub fn create_library(&self, name: &str, cartridges: u16) -> PathBuf {
        let dir = self.fast(format!("{name}.vtl"));
        let mut create = args!["vtl", "create", dir, "--capacity", CAPACITY];
        create.extend(args!["--drives", "2", "--slots", "12", "--import-export", "6"]);
        create.extend(args!["--cartridges", cartridges.to_string()]);
        self.run(create);
        self.configure_library(name, &dir);
        dir
    }

    /// Configures a library that is there.
    pub fn configure_library(&self, name: &str, dir: &Path) {
        let address = |unit: &str| format!("vtl:{}#{unit}", dir.display());
        self.run(args!["tape", "changer", "create", name, "--path", address("changer")]);
        let drive = format!("{name}-0");
        self.run(args![
            "tape",
            "drive",
            "create",
            drive,
            "--path",
            address("drive0"),
            "--changer",
            name
        ]);
    }

    /// A `tape` command with the drive `lib-0`.
    pub fn tape(&self, arguments: Vec<OsString>) -> Vec<OsString> {
        [args!["tape"], arguments, args!["--drive", "lib-0"]].concat()
    }

    /// Contents of all cartridges as JSON.
    pub fn media_content(&self) -> Value {
        self.json(args!["tape", "media", "content"])
    }

    /// The snapshots of a namespace and those in it, without what a verification or the way to
    /// tape and back may change.
    pub fn snapshots(&self, store: &str) -> Vec<String> {
        let namespaces = self.json(args!["namespace", "list", "--repository", store]);
        let mut snapshots = Vec::new();
        for namespace in namespaces.as_array().unwrap() {
            let ns = text(&namespace["ns"]);
            let listed = self.json(args!["snapshot", "list", "--repository", store, "--ns", ns]);
            for snapshot in listed.as_array().unwrap() {
                let name = format!(
                    "{}/{}/{}",
                    text(&snapshot["backup-type"]),
                    text(&snapshot["backup-id"]),
                    snapshot["backup-time"]
                );
                // The manifest is a result shorter after a restore.
                let mut files = snapshot["files"].clone();
                for file in files.as_array_mut().unwrap() {
                    if file["filename"] == "index.json.blob" {
                        file["size"] = Value::Null;
                    }
                }
                snapshots.push(format!("{ns}:{name}: {files}"));
            }
        }
        snapshots
    }
}

/// One snapshot of the rig.
struct Made {
    ns: &'static str,
    snapshot: &'static str,
    tree: Vec<Entry>,
    keyed: bool,
}

/// A datastore `source` with snapshots of all kinds, a library `lib` and a pool `pool`.
pub struct Rig {
    pub world: World,
    /// The library's folder.
    pub library: PathBuf,
    key: PathBuf,
    image: Vec<u8>,
    made: Vec<Made>,
}

pub const ALPHA_1: &str = "host/alpha/2024-05-01T10:00:00Z";
pub const ALPHA_2: &str = "host/alpha/2024-05-02T10:00:00Z";
pub const DISK: &str = "vm/100/2024-05-01T11:00:00Z";
pub const SECRET: &str = "ct/7/2024-05-01T12:00:00Z";
pub const SIGNED: &str = "host/alpha/2024-05-01T13:00:00Z";

impl Rig {
    /// Makes the first backups and labels the cartridges; nothing is on tape yet.
    pub fn new() -> Rig {
        let world = World::new();
        world.create_store("source");
        let library = world.create_library("lib", 8);
        let mut create = args!["tape", "pool", "create", "pool", "--drive", "lib-0"];
        create.extend(args!["--template", "set %id%"]);
        world.run(create);
        let labelled = world.json(world.tape(args!["barcode-label", "--pool", "pool"]));
        assert_eq!(labelled["labelled"].as_array().map(Vec::len), Some(8), "{labelled}");

        let key = world.disk("key.json");
        world.run(args!["key", "create", key, "--kdf", "none"]);
        for ns in ["site", "site/inner"] {
            world.run(args!["namespace", "create", ns, "--repository", "source"]);
        }
        one_of_everything(&world.disk("alpha"));
        write(world.disk("secret/file"), bytes(31, 5_000_000));
        write(world.disk("secret/other"), "a line\n");
        write(world.disk("small/file"), "signed");
        let mut image = bytes(32, 5_000_000);
        image.extend(vec![0; 5_000_000]);
        image.extend(b"the end");
        write(world.disk("disk.img"), &image);

        let mut rig = Rig { world, library, key, image, made: Vec::new() };
        rig.back_up("", ALPHA_1, "alpha", None);
        rig.back_up("site", SECRET, "secret", Some("encrypt"));
        rig.back_up("site/inner", SIGNED, "small", Some("sign-only"));
        let disk = source("disk.img", &rig.world.disk("disk.img"));
        let mut backup = args!["backup", disk, "--repository", "source", "--backup-type", "vm"];
        backup.extend(args!["--backup-id", "100", "--backup-time", "2024-05-01T11:00:00Z"]);
        rig.world.run(backup);
        rig
    }

    /// Backs up a folder of the world as the archive `root.pxar`.
    fn back_up(
        &mut self,
        ns: &'static str,
        snapshot: &'static str,
        name: &str,
        mode: Option<&str>,
    ) {
        let tree = self.world.disk(name);
        let mut parts = snapshot.splitn(3, '/');
        let mut part = || parts.next().unwrap();
        let mut backup = args!["backup", source("root.pxar", &tree), "--repository", "source"];
        backup.extend(args!["--ns", ns, "--chunk-size", "256"]);
        backup.extend(args![
            "--backup-type",
            part(),
            "--backup-id",
            part(),
            "--backup-time",
            part()
        ]);
        if let Some(mode) = mode {
            backup.extend(args!["--keyfile", self.key, "--crypt-mode", mode]);
        }
        self.world.run(backup);
        let keyed = mode.is_some();
        self.made.push(Made { ns, snapshot, tree: list(&tree), keyed });
    }

    /// One snapshot more, which shares most of its chunks with the first.
    pub fn change_and_back_up(&mut self) {
        write(self.world.disk("alpha/new-file"), bytes(33, 700_000));
        std::fs::remove_file(self.world.disk("alpha/docs/one-byte")).unwrap();
        self.back_up("", ALPHA_2, "alpha", None);
    }

    /// Writes what is missing to tape and returns the job's report.
    pub fn to_tape(&self) -> Value {
        self.world.json(self.world.tape(args!["backup", "source", "pool"]))
    }

    /// Loses the datastore.
    pub fn throw_source_away(&self) {
        std::fs::remove_dir_all(self.world.fast("source")).unwrap();
    }

    /// Fails unless `store` verifies and gives every one of the snapshots back as it was made.
    #[track_caller]
    pub fn check_restored(&self, store: &str) {
        let verified = self.world.json(args!["datastore", "verify", store, "--keyfile", self.key]);
        let verified = verified.as_array().unwrap();
        assert_eq!(verified.len(), self.made.len() + 1, "{verified:?}");
        for made in &self.made {
            self.check_tree(store, made.ns, made.snapshot);
        }
        let run = self.world.run(args!["restore", DISK, "disk.img", "-", "--repository", store]);
        assert!(run.output.stdout == self.image, "the image differs");
    }

    /// Fails unless one snapshot of a folder comes back as it was made.
    #[track_caller]
    pub fn check_tree(&self, store: &str, ns: &str, snapshot: &str) {
        let made = self.made.iter().find(|m| m.ns == ns && m.snapshot == snapshot).unwrap();
        let folder = format!("from-{store}-{ns}-{snapshot}").replace('/', "-");
        let target = self.world.disk(folder);
        let mut restore = args!["restore", snapshot, "root.pxar", target];
        restore.extend(args!["--repository", store, "--ns", ns]);
        if made.keyed {
            restore.extend(args!["--keyfile", self.key]);
        }
        self.world.run(restore);
        assert_same_entries(&made.tree, &list(&target));
    }

    /// Exports all cartridges that have data into a folder, each with its bar code as the name.
    pub fn export_all(&self, out: &Path) -> Vec<String> {
        self.world.attempt(self.world.tape(args!["unload"]));
        let media = self.world.json(args!["tape", "media", "list"]);
        let used = media.as_array().unwrap().iter().filter(|m| m.get("media-set-uuid").is_some());
        let mut labels: Vec<String> = used.map(|m| text(&m["label-text"])).collect();
        labels.sort();
        for label in &labels {
            self.world.run(args![
                "vtl",
                "cartridge",
                "export",
                self.library,
                label,
                out.join(label)
            ]);
        }
        labels
    }

    /// Path of the key that the encrypted and the signed snapshot were made with.
    pub fn key(&self) -> &Path {
        &self.key
    }
}

/// The media set of a job's report.
pub fn media_set(report: &Value) -> String {
    text(&report["media-set-uuid"])
}

/// Names of the files in a folder with their content's size, sorted.
pub fn sizes(folder: &Path) -> Vec<(String, usize)> {
    let mut sizes: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (entry.file_name().to_string_lossy().into_owned(), read(entry.path()).len())
        })
        .collect();
    sizes.sort();
    sizes
}
