//! Units of an iSCSI target that nobody here wrote (`tgt`), through the program: discovery, use, and what is said
//! when something is wrong. Without `tgtd` these tests do nothing and say so.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::world::World;

const TARGET: &str = "iqn.2026-01.test.tgt:library";

/// A running tgt; stopped when dropped.
struct Tgt {
    dir: PathBuf,
    /// `HOST:PORT`.
    portal: String,
}

fn script() -> Command {
    Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/rigs/tgt-library.sh"))
}

impl Tgt {
    fn start(world: &World) -> Option<Tgt> {
        let dir = world.fast("tgt");
        let mut command = script();
        command.arg("start").arg(&dir).arg("20");
        // tgtd inherits the standard error and keeps it open.
        let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().unwrap();
        if output.status.code() == Some(3) {
            eprintln!("skipped: tgtd is not installed (package tgt)");
            return None;
        }
        assert!(output.status.success(), "{output:?}");
        let address = String::from_utf8(output.stdout).unwrap();
        let portal = address.trim().strip_prefix("iscsi://").unwrap();
        let portal = portal.strip_suffix(&format!("/{TARGET}")).unwrap().to_string();
        Some(Tgt { dir, portal })
    }

    fn unit(&self, lun: u64) -> String {
        format!("iscsi://{}/{TARGET}/{lun}", self.portal)
    }
}

impl Drop for Tgt {
    fn drop(&mut self) {
        let _ = script().arg("stop").arg(&self.dir).stderr(Stdio::null()).status();
    }
}

#[test]
fn a_stranger_s_target_is_discovered_and_used() {
    let world = World::new();
    let Some(tgt) = Tgt::start(&world) else { return };
    let found = world.json(args!["iscsi", "discover", tgt.portal]);
    let [target] = found.as_array().unwrap().as_slice() else { panic!("{found}") };
    assert_eq!(target["target"], TARGET);
    let units = target["units"].as_array().unwrap();
    let unit = |lun: u64| units.iter().find(|unit| unit["lun"] == lun).unwrap();
    for (lun, kind, serial) in
        [(1, "tape", "DRIVE00001"), (2, "tape", "DRIVE00002"), (3, "changer", "CHANGER00")]
    {
        assert_eq!(unit(lun)["kind"], kind);
        assert_eq!(unit(lun)["serial"], serial);
        assert_eq!(unit(lun)["address"], tgt.unit(lun));
    }
    world.run(args!["iscsi", "discover", tgt.portal]).says_on_stdout(&[
        "kind",
        &tgt.unit(1),
        "VIRTUAL-TAPE",
    ]);
    // The name of this host is made once.
    let name = fs::read_to_string(world.state.join("iscsi-initiator-name")).unwrap();
    world.run(args!["tape", "drive", "create", "lto", "--path", tgt.unit(1)]);
    assert_eq!(fs::read_to_string(world.state.join("iscsi-initiator-name")).unwrap(), name);

    let create = |address: &str| args!["tape", "drive", "create", "other", "--path", address];
    world.fails(create(&tgt.unit(9)), &["no logical unit 9; it has 0, 1, 2, 3"]);
    world.fails(create(&tgt.unit(3)), &[&tgt.unit(3), "cannot be used as a tape drive"]);
    let missing = format!("iscsi://{}/iqn.2026-01.test:missing/1", tgt.portal);
    world.fails(create(&missing), &["no such target", "capstan iscsi discover"]);
}

#[test]
fn portals_that_are_none() {
    let world = World::new();
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    world.fails(args!["iscsi", "discover", free.to_string()], &["refuses connections"]);
    world.fails(args!["iscsi", "discover", "a b"], &["is no portal", "HOST or HOST:PORT"]);
}
