//! Units of an iSCSI target that nobody here wrote (`tgt`), through the program: discovery, users and passwords,
//! and what is said when something is wrong. Without `tgtd` these tests do nothing and say so.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::world::World;

const TARGET: &str = "iqn.2026-01.test.tgt:library";
const USER: &str = "backup:initiator-secret";
const TARGET_USER: &str = "library:target-secret-1";

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
    fn start(world: &World, variables: &[(&str, &str)]) -> Option<Tgt> {
        let dir = world.fast("tgt");
        let mut command = script();
        command.arg("start").arg(&dir).arg("20").envs(variables.iter().copied());
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

fn configure(world: &World, text: &str) {
    fs::create_dir_all(&world.config).unwrap();
    let path = world.config.join("iscsi.toml");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_stranger_s_target_is_discovered_and_used() {
    let world = World::new();
    let Some(tgt) = Tgt::start(&world, &[]) else { return };
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
fn users_and_passwords_of_both_directions() {
    let world = World::new();
    let Some(tgt) = Tgt::start(&world, &[("TGT_CHAP", USER), ("TGT_CHAP_OUT", TARGET_USER)]) else {
        return;
    };
    let create = |name: &str| args!["tape", "drive", "create", name, "--path", tgt.unit(1)];
    let works = |name: &str| {
        world.run(create(name));
        world.run(args!["tape", "drive", "remove", name]);
    };
    world.fails(create("none"), &["none are configured", "iscsi.toml"]);

    let section = |user: &str, password: &str, rest: &str| {
        format!("[target.'{TARGET}']\nuser = '{user}'\npassword = '{password}'\n{rest}")
    };
    configure(&world, &section("backup", "not the secret", ""));
    let run = world.fails(create("wrong"), &["does not accept the user 'backup'"]);
    assert!(!run.stderr().contains("not the secret"), "{run}");

    configure(&world, &section("backup", "initiator-secret", ""));
    works("one-way");
    let mutual = "target-user = 'library'\ntarget-password = 'target-secret-1'\n";
    configure(&world, &section("backup", "initiator-secret", mutual));
    works("both-ways");
    let impostor = "target-user = 'library'\ntarget-password = 'another secret'\n";
    configure(&world, &section("backup", "initiator-secret", impostor));
    world.fails(create("impostor"), &["impostor"]);
    let digests = "header-digest = 'required'\ndata-digest = 'required'\n";
    configure(&world, &section("backup", "initiator-secret", digests));
    // tgt is set up without them, and required means required.
    world.fails(create("digests"), &["HeaderDigest"]);
}

#[test]
fn portals_that_are_none() {
    let world = World::new();
    let free = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap();
    world.fails(args!["iscsi", "discover", free.to_string()], &["refuses connections"]);
    world.fails(args!["iscsi", "discover", "a b"], &["is no portal", "HOST or HOST:PORT"]);
}
