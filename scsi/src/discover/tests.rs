//! Scans of a machine that is a folder.

use std::os::unix::fs::symlink;

use super::*;

struct Machine {
    _dir: tempfile::TempDir,
    roots: Roots,
}

impl Machine {
    fn new() -> Machine {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let roots = Roots { sys: at("sys"), dev: at("dev"), udev: at("udev"), proc: at("proc") };
        fs::create_dir_all(roots.sys.join("class/scsi_device")).unwrap();
        fs::create_dir_all(roots.dev.join("tape/by-id")).unwrap();
        Machine { _dir: dir, roots }
    }

    /// Folder of the device that has the node `sg{number}`.
    fn device(&self, number: u32) -> PathBuf {
        self.roots.sys.join(format!("class/scsi_device/0:0:{number}:0/device"))
    }

    fn add(&self, number: u32, kind: &str, vendor: &str, serial: Option<&[u8]>) {
        let device = self.device(number);
        let generic = device.join(format!("scsi_generic/sg{number}"));
        fs::create_dir_all(&generic).unwrap();
        fs::write(generic.join("dev"), format!("21:{number}\n")).unwrap();
        fs::write(device.join("type"), format!("{kind}\n")).unwrap();
        fs::write(device.join("state"), "running\n").unwrap();
        fs::write(device.join("vendor"), format!("{vendor:<8}\n")).unwrap();
        fs::write(device.join("model"), "ULT3580-TD8     \n").unwrap();
        if let Some(serial) = serial {
            fs::write(device.join("vpd_pg80"), inquiry::build_vpd(1, 0x80, serial)).unwrap();
        }
        fs::write(self.roots.dev.join(format!("sg{number}")), "").unwrap();
    }

    fn link(&self, name: &str, number: u32) {
        let link = self.roots.dev.join("tape/by-id").join(name);
        symlink(self.roots.dev.join(format!("sg{number}")), link).unwrap();
    }

    /// A process that has a node open.
    fn process(&self, id: u32, name: &str, node: &str) {
        let process = self.roots.proc.join(id.to_string());
        fs::create_dir_all(process.join("fd")).unwrap();
        fs::write(process.join("comm"), format!("{name}\n")).unwrap();
        symlink(self.roots.dev.join(node), process.join("fd/3")).unwrap();
    }

    fn scan(&self) -> Vec<Found> {
        scan(&self.roots).unwrap()
    }

    /// What is wrong with the only device.
    fn reason(&self) -> Option<String> {
        let [one] = self.scan().try_into().unwrap();
        assert_eq!(one.usable, one.reason.is_none());
        one.reason
    }
}

#[test]
fn drives_and_changers_with_and_without_links() {
    let machine = Machine::new();
    machine.add(10, "8", "STK", Some(b"CHANGER1\0\0"));
    machine.add(3, "1", "IBM", Some(b"  1013000042"));
    machine.add(2, "1", "HP", None);
    machine.add(0, "0", "ATA", Some(b"DISK"));
    machine.link("scsi-3500104f000aabbcc-sg", 3);
    machine.link("scsi-1013000042-sg", 3);
    machine.link("scsi-350011", 10);

    let found = machine.scan();
    let by_id = machine.roots.dev.join("tape/by-id");
    let seen: Vec<_> = found
        .iter()
        .map(|one| {
            (one.kind, one.path.clone(), one.vendor.as_str(), one.serial.as_deref(), one.minor)
        })
        .collect();
    assert_eq!(
        seen,
        [
            (Kind::Tape, machine.roots.dev.join("sg2"), "HP", None, Some(2)),
            (Kind::Tape, by_id.join("scsi-1013000042-sg"), "IBM", Some("1013000042"), Some(3)),
            (Kind::Changer, by_id.join("scsi-350011"), "STK", Some("CHANGER1"), Some(10)),
        ]
    );
    assert_eq!((found[1].major, found[1].model.as_str()), (Some(21), "ULT3580-TD8"));
    assert_eq!(found[1].scsi_address, "0:0:3:0");
    assert!(found.iter().all(|one| one.usable), "{found:?}");

    let identify = |path: PathBuf| identify(&found, &path).and_then(|one| one.minor);
    assert_eq!(identify(by_id.join("scsi-3500104f000aabbcc-sg")), Some(3));
    assert_eq!(identify(machine.roots.dev.join("sg10")), Some(10));
    assert_eq!(identify(machine.roots.dev.join("sg0")), None);
    assert_eq!(identify("/dev/null".into()), None);
}

#[test]
fn what_sysfs_lacks_udev_knows() {
    let machine = Machine::new();
    machine.add(2, "1", "", None);
    fs::create_dir_all(machine.roots.udev.join("data")).unwrap();
    let data = "S:tape/by-id/scsi-X\nE:ID_SCSI_SERIAL=HU1234\nE:ID_VENDOR=HP\nE:EMPTY=\n\u{fffd}";
    fs::write(machine.roots.udev.join("data/c21:2"), data).unwrap();
    let [one] = machine.scan().try_into().unwrap();
    assert_eq!((one.serial.as_deref(), one.vendor.as_str()), (Some("HU1234"), "HP"));
    // The kernel's own word counts more.
    machine.add(2, "1", "IBM", Some(b"1013000042"));
    let [one] = machine.scan().try_into().unwrap();
    assert_eq!((one.serial.as_deref(), one.vendor.as_str()), (Some("1013000042"), "IBM"));
}

#[test]
fn the_kernels_own_nodes_are_shown() {
    let machine = Machine::new();
    machine.add(3, "1", "IBM", Some(b"A"));
    machine.add(4, "8", "STK", Some(b"B"));
    for name in ["st0", "st0a", "nst0", "nst0m"] {
        fs::create_dir_all(machine.device(3).join("scsi_tape").join(name)).unwrap();
    }
    fs::create_dir_all(machine.device(4).join("scsi_changer/sch0")).unwrap();
    let found = machine.scan();
    let dev = |name: &str| machine.roots.dev.join(name);
    assert_eq!(found[0].kernel_nodes, [dev("st0"), dev("nst0")]);
    assert_eq!(found[1].kernel_nodes, [dev("sch0")]);
}

#[test]
fn each_obstacle_is_told_with_the_way_around_it() {
    let machine = Machine::new();
    machine.add(3, "1", "IBM", Some(b"A"));
    fs::create_dir_all(machine.device(3).join("scsi_tape/nst0")).unwrap();
    assert_eq!(machine.reason(), None);

    // Somebody else's process, be it through the kernel's tape driver or not. Our own does not count.
    machine.process(std::process::id(), "capstan", "sg3");
    assert_eq!(machine.reason(), None);
    for (id, name, node) in [(71, "tar", "nst0a"), (72, "backup", "sg3")] {
        machine.process(id, name, node);
        let reason = machine.reason().unwrap();
        assert!(reason.contains(&format!("process {id} ({name})")), "{reason}");
        assert!(reason.contains(node), "{reason}");
        fs::remove_dir_all(machine.roots.proc.join(id.to_string())).unwrap();
    }
    machine.process(73, "tar", "nst01");
    assert_eq!(machine.reason(), None, "another drive's node");

    let node = machine.roots.dev.join("sg3");
    fs::remove_file(&node).unwrap();
    // A folder is what root, too, can't open for writing.
    fs::create_dir(&node).unwrap();
    assert!(machine.reason().is_some());
    fs::remove_dir(&node).unwrap();
    let reason = machine.reason().unwrap();
    assert!(reason.contains("sg3 is missing") && reason.contains("container"), "{reason}");

    fs::remove_dir_all(machine.device(3).join("scsi_generic")).unwrap();
    let [one] = machine.scan().try_into().unwrap();
    assert!(!one.usable && one.reason.unwrap().contains("modprobe sg"));
    assert_eq!((one.path, one.node), (PathBuf::from("0:0:3:0"), None));

    fs::write(machine.device(3).join("state"), "offline\n").unwrap();
    let reason = machine.reason().unwrap();
    assert!(reason.contains("state 'offline'") && reason.contains("echo running"), "{reason}");
}

#[test]
fn broken_entries_are_left_out() {
    let machine = Machine::new();
    machine.add(1, "1", "IBM", Some(b"A"));
    fs::remove_file(machine.device(1).join("type")).unwrap();
    fs::create_dir(machine.roots.sys.join("class/scsi_device/0:0:7:0")).unwrap();
    machine.link("dangling", 99);
    assert_eq!(machine.scan(), []);
    // A node without numbers is none.
    machine.add(2, "1", "IBM", Some(b"A"));
    fs::write(machine.device(2).join("scsi_generic/sg2/dev"), "21").unwrap();
    assert!(machine.reason().unwrap().contains("no SCSI generic node"));
}

#[test]
fn a_machine_without_scsi_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let roots = Roots { sys: at("sys"), dev: at("dev"), udev: at("udev"), proc: at("proc") };
    assert_eq!(scan(&roots).unwrap(), []);
}
