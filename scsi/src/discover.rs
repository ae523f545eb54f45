//! Which tape drives and media changers this machine has.
//!
//! Only sysfs and the links in `/dev/tape/by-id` are read, and where the kernel has not kept a serial
//! number the device is asked by INQUIRY. No other command is sent: a TEST UNIT READY would take another
//! program's unit attention away, and most commands block on a drive that somebody is using.
//!
//! udev is not needed. Where its links exist the stable one is used, else the plain node is named:
//! the links to a drive's SCSI generic node come from a rule that many systems lack.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};
use serde::Serialize;

use crate::command::inquiry;
use crate::sg::SgDevice;

/// Kind of a device found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Tape drive.
    Tape,
    /// Media changer.
    Changer,
}

/// A tape drive or media changer of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Found {
    /// What it is.
    pub kind: Kind,
    /// How to name it: the stable link if there is one, else the node.
    pub path: PathBuf,
    /// The SCSI generic node itself, `/dev/sgN`. Its number may change at the next start.
    pub node: PathBuf,
    /// Vendor.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Serial number, if the kernel has read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Major device number.
    pub major: u32,
    /// Minor device number.
    pub minor: u32,
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Roots {
    /// Mount point of sysfs.
    pub sys: PathBuf,
    /// Folder of the device nodes.
    pub dev: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots { sys: "/sys".into(), dev: "/dev".into() }
    }
}

/// All tape drives and changers, drives first, in the order of their numbers.
///
/// Devices that vanish while this runs are left out.
///
/// # Errors
///
/// If the list of SCSI generic devices exists but can't be read. A machine without such devices has
/// no list and gives an empty result.
pub fn scan(roots: &Roots) -> std::io::Result<Vec<Found>> {
    let class = roots.sys.join("class/scsi_generic");
    let entries = match fs::read_dir(&class) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let links = stable_links(&roots.dev);
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if let Some(one) = look_at(roots, &entry.path(), &name, &links) {
            found.push(one);
        }
    }
    found.sort_by_key(|one| (one.kind, one.minor));
    Ok(found)
}

fn look_at(roots: &Roots, entry: &Path, name: &str, links: &[(PathBuf, PathBuf)]) -> Option<Found> {
    let device = entry.join("device");
    let kind = match attribute(&device, "type")?.as_str() {
        "1" => Kind::Tape,
        "8" => Kind::Changer,
        _ => return None,
    };
    let numbers = attribute(entry, "dev")?;
    let (major_number, minor_number) = numbers.split_once(':')?;
    let node = roots.dev.join(name);
    let serial = fs::read(device.join("vpd_pg80"))
        .ok()
        .and_then(|page| inquiry::serial(inquiry::parse_vpd(inquiry::VPD_SERIAL, &page).ok()?))
        .or_else(|| ask_serial(&node));
    let path = best_link(links, &node, serial.as_deref()).unwrap_or_else(|| node.clone());
    Some(Found {
        kind,
        path,
        node,
        vendor: attribute(&device, "vendor").unwrap_or_default(),
        model: attribute(&device, "model").unwrap_or_default(),
        serial,
        major: major_number.parse().ok()?,
        minor: minor_number.parse().ok()?,
    })
}

/// The serial number by INQUIRY, for kernels and devices that leave it out of sysfs. Without the right to
/// open the node there is none.
fn ask_serial(node: &Path) -> Option<String> {
    let mut device = SgDevice::open(node).ok()?;
    inquiry::serial(&inquiry::request_vpd(&mut device, inquiry::VPD_SERIAL).ok()?)
}

/// Which of the devices found `path` leads to, be it the node, any link to it, or another node with the
/// same numbers.
pub fn identify<'a>(found: &'a [Found], path: &Path) -> Option<&'a Found> {
    let numbers = fs::metadata(path)
        .ok()
        .filter(|metadata| metadata.file_type().is_char_device())
        .map(|metadata| (major(metadata.rdev()), minor(metadata.rdev())));
    let real = fs::canonicalize(path).ok()?;
    found.iter().find(|one| {
        numbers == Some((one.major.into(), one.minor.into()))
            || fs::canonicalize(&one.node).is_ok_and(|node| node == real)
    })
}

/// A sysfs attribute without the blanks around it.
fn attribute(folder: &Path, name: &str) -> Option<String> {
    let bytes = fs::read(folder.join(name)).ok()?;
    Some(
        String::from_utf8_lossy(&bytes)
            .trim_matches(|c: char| c == '\0' || c.is_whitespace())
            .into(),
    )
}

/// The links below `tape/by-id` with the nodes they lead to, by name.
fn stable_links(dev: &Path) -> Vec<(PathBuf, PathBuf)> {
    let Ok(entries) = fs::read_dir(dev.join("tape/by-id")) else { return Vec::new() };
    let mut links: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let link = entry.path();
            let target = fs::canonicalize(&link).ok()?;
            Some((link, target))
        })
        .collect();
    links.sort();
    links
}

/// Several links may lead to a node (by serial, by world-wide name): the one with the serial number
/// is what people recognise, the shortest of those is the plainest.
fn best_link(links: &[(PathBuf, PathBuf)], node: &Path, serial: Option<&str>) -> Option<PathBuf> {
    let node = fs::canonicalize(node).ok()?;
    let lacks_serial = |link: &Path| {
        let name = link.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        !serial.is_some_and(|serial| name.contains(serial))
    };
    links
        .iter()
        .filter(|(_, target)| *target == node)
        .map(|(link, _)| link)
        .min_by_key(|link| (lacks_serial(link), link.as_os_str().len(), (*link).clone()))
        .cloned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    struct Machine {
        _dir: tempfile::TempDir,
        roots: Roots,
    }

    impl Machine {
        fn new() -> Machine {
            let dir = tempfile::tempdir().unwrap();
            let roots = Roots { sys: dir.path().join("sys"), dev: dir.path().join("dev") };
            fs::create_dir_all(roots.sys.join("class/scsi_generic")).unwrap();
            fs::create_dir_all(roots.dev.join("tape/by-id")).unwrap();
            Machine { _dir: dir, roots }
        }

        fn add(&self, number: u32, kind: &str, vendor: &str, serial: Option<&[u8]>) {
            let entry = self.roots.sys.join(format!("class/scsi_generic/sg{number}"));
            let device = entry.join("device");
            fs::create_dir_all(&device).unwrap();
            fs::write(entry.join("dev"), format!("21:{number}\n")).unwrap();
            fs::write(device.join("type"), format!("{kind}\n")).unwrap();
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

        let found = scan(&machine.roots).unwrap();
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
                (Kind::Tape, machine.roots.dev.join("sg2"), "HP", None, 2),
                (Kind::Tape, by_id.join("scsi-1013000042-sg"), "IBM", Some("1013000042"), 3),
                (Kind::Changer, by_id.join("scsi-350011"), "STK", Some("CHANGER1"), 10),
            ]
        );
        assert_eq!((found[1].major, found[1].model.as_str()), (21, "ULT3580-TD8"));

        let identify = |path: PathBuf| identify(&found, &path).map(|one| one.minor);
        assert_eq!(identify(by_id.join("scsi-3500104f000aabbcc-sg")), Some(3));
        assert_eq!(identify(machine.roots.dev.join("sg10")), Some(10));
        assert_eq!(identify(machine.roots.dev.join("sg0")), None);
        assert_eq!(identify("/dev/null".into()), None);
    }

    #[test]
    fn broken_entries_are_left_out() {
        let machine = Machine::new();
        machine.add(1, "1", "IBM", Some(b"A"));
        fs::write(machine.roots.sys.join("class/scsi_generic/sg1/dev"), "21").unwrap();
        fs::create_dir(machine.roots.sys.join("class/scsi_generic/sg7")).unwrap();
        machine.link("dangling", 99);
        assert_eq!(scan(&machine.roots).unwrap(), []);
    }

    #[test]
    fn a_machine_without_scsi_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let roots = Roots { sys: dir.path().join("sys"), dev: dir.path().join("dev") };
        assert_eq!(scan(&roots).unwrap(), []);
    }
}
