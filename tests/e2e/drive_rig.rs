//! A drive with a library behind it, for tests of commands that mean the tape in the drive.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::world::World;

/// A library `lib` whose first drive is `lib-0`, with blank tapes CAP001L8 to CAP003L8.
pub struct DriveRig {
    /// Where the commands run.
    pub world: World,
    /// The library's folder.
    pub library: PathBuf,
}

impl DriveRig {
    /// All tapes in their slots.
    pub fn new() -> DriveRig {
        let world = World::new();
        let library = world.create_library("lib", 3);
        DriveRig { world, library }
    }

    /// CAP001L8 in the drive.
    pub fn loaded() -> DriveRig {
        let rig = DriveRig::new();
        rig.load("CAP001L8");
        rig
    }

    /// The address of `drive0`, `drive1` or `changer`.
    pub fn vtl(&self, unit: &str) -> String {
        format!("vtl:{}#{unit}", self.library.display())
    }

    /// Makes a cartridge.
    pub fn add(&self, barcode: &str) {
        self.world.run(args!["vtl", "cartridge", "add", self.library, barcode]);
    }

    /// Brings a tape into the drive.
    pub fn load(&self, barcode: &str) {
        self.world.run(self.world.tape(args!["load-media", barcode]));
    }

    /// From now on the library fails so.
    pub fn faults(&self, rules: &[&str]) {
        let mut set = args!["vtl", "fault", "set", self.library];
        set.extend(rules.iter().map(OsString::from));
        self.world.run(set);
    }

    /// A `tape` command that must fail with these words.
    #[track_caller]
    pub fn tape_fails(&self, arguments: Vec<OsString>, words: &[&str]) {
        self.world.fails(self.world.tape(arguments), words);
    }

    /// An `mt` command for the drive's address.
    pub fn mt(&self, arguments: Vec<OsString>) -> Vec<OsString> {
        [args!["mt", "-f", self.vtl("drive0")], arguments].concat()
    }

    /// File and block where the tape stands after an `mt` command.
    pub fn place(&self, arguments: Vec<OsString>) -> (u64, u64) {
        let place = self.world.json(self.mt(arguments));
        (place["file-number"].as_u64().unwrap(), place["block-number"].as_u64().unwrap())
    }
}
