//! Which tape drives and media changers this machine has, and what keeps one from being used.
//!
//! Only sysfs, udev's database, `/proc` and the device nodes themselves are looked at, and where nobody has
//! kept a serial number the device is asked by INQUIRY. No other command is sent: a TEST UNIT READY would
//! take another program's unit attention away, and most commands block on a drive that somebody is using.
//!
//! The kernel's list of SCSI devices is walked, not that of SCSI generic nodes: a device that has no such
//! node is the one whose owner needs to be told most ([`obstacle`]).
//!
//! udev is not needed. What sysfs lacks (the serial number, on some kernels) is taken from its database;
//! where its links exist the stable one is used, else the plain node is named: the links to a drive's SCSI
//! generic node come from a rule that many systems lack.

mod obstacle;
mod udev;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};
use serde::Serialize;

use crate::command::inquiry;
use crate::sg::SgDevice;
use udev::Properties;

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
    /// How to name it: the stable link if there is one, else the node; its SCSI address `host:channel:id:lun`
    /// if it has no node.
    pub path: PathBuf,
    /// The SCSI generic node itself, `/dev/sgN`. Its number may change at the next start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<PathBuf>,
    /// Vendor.
    pub vendor: String,
    /// Model.
    pub model: String,
    /// Serial number, if anybody knows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Major device number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub major: Option<u32>,
    /// Minor device number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor: Option<u32>,
    /// Where the kernel has it: `host:channel:id:lun`.
    pub scsi_address: String,
    /// Nodes of the kernel's own drivers for the same device (`/dev/st0`, `/dev/nst0`, `/dev/sch0`), for
    /// information.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub kernel_nodes: Vec<PathBuf>,
    /// It can be used now by whoever asks.
    pub usable: bool,
    /// What keeps it from being used, and what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Where to look.
#[derive(Debug, Clone)]
pub struct Roots {
    /// Mount point of sysfs.
    pub sys: PathBuf,
    /// Folder of the device nodes.
    pub dev: PathBuf,
    /// udev's folder.
    pub udev: PathBuf,
    /// Mount point of procfs.
    pub proc: PathBuf,
}

impl Default for Roots {
    fn default() -> Roots {
        Roots {
            sys: "/sys".into(),
            dev: "/dev".into(),
            udev: "/run/udev".into(),
            proc: "/proc".into(),
        }
    }
}

/// All tape drives and changers, drives first, in the order of their numbers; those without a node last.
///
/// Devices that vanish while this runs are left out.
///
/// # Errors
///
/// If the list of SCSI devices exists but can't be read. A machine without SCSI has no list and gives an
/// empty result.
pub fn scan(roots: &Roots) -> std::io::Result<Vec<Found>> {
    let class = roots.sys.join("class/scsi_device");
    let entries = match fs::read_dir(&class) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let links = stable_links(&roots.dev);
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(address) = entry.file_name().into_string() else { continue };
        if let Some(one) = look_at(roots, &entry.path().join("device"), address, &links) {
            found.push(one);
        }
    }
    found.sort_by_key(|one| (one.kind, one.minor.is_none(), one.minor, one.scsi_address.clone()));
    Ok(found)
}

/// A SCSI generic node as the kernel describes it.
struct Generic {
    node: PathBuf,
    major: u32,
    minor: u32,
}

impl Generic {
    /// The node of the device in this folder of sysfs.
    fn of(roots: &Roots, device: &Path) -> Option<Generic> {
        let entry = fs::read_dir(device.join("scsi_generic")).ok()?.flatten().next()?;
        let numbers = attribute(&entry.path(), "dev")?;
        let (major, minor) = numbers.split_once(':')?;
        Some(Generic {
            node: roots.dev.join(entry.file_name()),
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
        })
    }
}

fn look_at(
    roots: &Roots,
    device: &Path,
    scsi_address: String,
    links: &[(PathBuf, PathBuf)],
) -> Option<Found> {
    let kind = match attribute(device, "type")?.as_str() {
        "1" => Kind::Tape,
        "8" => Kind::Changer,
        _ => return None,
    };
    let generic = Generic::of(roots, device);
    let kernel_nodes = kernel_nodes(roots, device, kind);
    let reason = obstacle::find(roots, device, generic.as_ref(), &kernel_nodes);
    let properties = generic
        .as_ref()
        .map(|generic| Properties::read(&roots.udev, generic.major, generic.minor))
        .unwrap_or_default();
    let serial = fs::read(device.join("vpd_pg80"))
        .ok()
        .and_then(|page| inquiry::serial(inquiry::parse_vpd(inquiry::VPD_SERIAL, &page).ok()?))
        .or_else(|| properties.get("ID_SCSI_SERIAL"))
        // A device that can't be used is not asked either.
        .or_else(|| ask_serial(&generic.as_ref().filter(|_| reason.is_none())?.node));
    let path = match &generic {
        None => PathBuf::from(&scsi_address),
        Some(generic) => {
            let link = best_link(links, &generic.node, serial.as_deref());
            link.unwrap_or_else(|| generic.node.clone())
        }
    };
    let text = |name: &str, property| {
        attribute(device, name).filter(|text| !text.is_empty()).or_else(|| properties.get(property))
    };
    Some(Found {
        kind,
        path,
        vendor: text("vendor", "ID_VENDOR").unwrap_or_default(),
        model: text("model", "ID_MODEL").unwrap_or_default(),
        serial,
        major: generic.as_ref().map(|generic| generic.major),
        minor: generic.as_ref().map(|generic| generic.minor),
        node: generic.map(|generic| generic.node),
        scsi_address,
        kernel_nodes,
        usable: reason.is_none(),
        reason,
    })
}

/// The nodes of the kernel's tape or changer driver that a person would recognise: of a drive's eight
/// nodes (four modes, rewinding or not) those of the first mode.
fn kernel_nodes(roots: &Roots, device: &Path, kind: Kind) -> Vec<PathBuf> {
    let class = match kind {
        Kind::Tape => "scsi_tape",
        Kind::Changer => "scsi_changer",
    };
    let Ok(entries) = fs::read_dir(device.join(class)) else { return Vec::new() };
    let mut nodes: Vec<PathBuf> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(|c: char| c.is_ascii_digit()))
        .map(|name| roots.dev.join(name))
        .collect();
    nodes.sort_by_key(|node| (node.as_os_str().len(), node.clone()));
    nodes
}

/// The serial number by INQUIRY, for kernels and devices that leave it out of sysfs.
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
        let own = one.major.zip(one.minor).map(|(major, minor)| (major.into(), minor.into()));
        (numbers.is_some() && numbers == own)
            || one
                .node
                .as_ref()
                .is_some_and(|node| fs::canonicalize(node).is_ok_and(|node| node == real))
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
mod tests;
