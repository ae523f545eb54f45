//! Ways to a library, and libraries that come and go with a test.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use scsi::iscsi::initiator::{IscsiDevice, Options, Portal};
use scsi::iscsi::parameters::DigestWish;
use scsi::{Address, Transport};
use vtl::iscsi_target::{Target, TargetOptions};

/// Opens a unit by its address, without anything between the suite and the transport.
pub fn open(address: &str) -> Box<dyn Transport> {
    match address.parse().unwrap() {
        Address::Sg(path) => Box::new(scsi::sg::SgDevice::open(&path).unwrap()),
        Address::Vtl { dir, unit } => vtl::open_unit(&dir, unit).unwrap(),
        Address::Iscsi { host, port, target, lun } => {
            let options = Options::new("iqn.2026-01.org.capstan:conformance".parse().unwrap());
            let portal = Portal { host, port };
            Box::new(IscsiDevice::open(&portal, &target, lun, &options).unwrap())
        }
    }
}

/// An emulated library with two drives, eight slots and four cartridges.
pub struct EmulatedLibrary {
    pub dir: tempfile::TempDir,
}

impl EmulatedLibrary {
    pub fn new() -> EmulatedLibrary {
        let dir = tempfile::tempdir().unwrap();
        let options =
            vtl::Options { drives: 2, slots: 8, cartridges: 4, ..vtl::Options::default() };
        vtl::Library::create(dir.path(), &options).unwrap();
        EmulatedLibrary { dir }
    }

    /// The address of a unit in this process.
    pub fn address(&self, unit: &str) -> String {
        format!("vtl:{}#{unit}", self.dir.path().display())
    }

    /// Serves it on a free port of this machine.
    pub fn serve(&self, digests: DigestWish) -> Target {
        let options = TargetOptions {
            listen: ([127, 0, 0, 1], 0).into(),
            digests,
            ..TargetOptions::default()
        };
        let library = vtl::Library::open(self.dir.path()).unwrap();
        Target::start(&library, options, Arc::new(|_| {})).unwrap()
    }
}

/// The address of a logical unit of a target.
pub fn unit(target: &Target, lun: u64) -> String {
    format!("iscsi://{}/{}/{lun}", target.address(), target.name())
}

/// `tests/rigs/tgt-library.sh`, stopped when it is dropped.
pub struct TgtLibrary {
    dir: tempfile::TempDir,
    address: String,
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/rigs/tgt-library.sh")
}

impl TgtLibrary {
    /// `None` if the program is not installed.
    pub fn start() -> Option<TgtLibrary> {
        const NOT_INSTALLED: i32 = 3;
        let dir = tempfile::tempdir().unwrap();
        // The daemon keeps what it inherits, so its output goes to its own file.
        let started = Command::new(script()).arg("start").arg(dir.path()).output().unwrap();
        if started.status.code() == Some(NOT_INSTALLED) {
            return None;
        }
        let errors = String::from_utf8_lossy(&started.stderr);
        assert!(started.status.success(), "tgt did not start: {errors}");
        let address = String::from_utf8(started.stdout).unwrap().trim().to_owned();
        Some(TgtLibrary { dir, address })
    }

    /// The address of a logical unit.
    pub fn unit(&self, lun: u64) -> String {
        format!("{}/{lun}", self.address)
    }
}

impl Drop for TgtLibrary {
    fn drop(&mut self) {
        let _ = Command::new(script()).arg("stop").arg(self.dir.path()).output();
    }
}
