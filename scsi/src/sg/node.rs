//! Which device nodes are taken, and what to do about one that is not.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{Gid, Group, Uid, User};

/// Major device number of SCSI generic nodes.
const MAJOR_SG: u64 = 21;
/// Major device number of the kernel's tape driver.
const MAJOR_ST: u64 = 9;
/// Major device number of the kernel's changer driver.
const MAJOR_CH: u64 = 86;

/// Opens a SCSI generic node or a link to one. The error tells what to do.
pub(super) fn open(path: &Path) -> Result<File, String> {
    let refuse = |error: io::Error| why_not(path, &error);
    let metadata = std::fs::metadata(path).map_err(refuse)?;
    check(metadata.file_type().is_char_device(), metadata.rdev())
        .map_err(|reason| reason.explain(Path::new("/sys")))?;
    let file = open_read_write(path).map_err(refuse)?;
    // The node may have been replaced since it was looked at.
    let opened = file.metadata().map_err(refuse)?;
    check(opened.file_type().is_char_device(), opened.rdev())
        .map_err(|reason| reason.explain(Path::new("/sys")))?;
    // With O_NONBLOCK SG_IO itself would not wait in some drivers.
    let waiting = fcntl(&file, FcntlArg::F_GETFL)
        .map(|flags| OFlag::from_bits_retain(flags) & !OFlag::O_NONBLOCK)
        .and_then(|flags| fcntl(&file, FcntlArg::F_SETFL(flags)));
    waiting.map_err(|error| refuse(error.into()))?;
    Ok(file)
}

/// Opens without waiting: otherwise opening waits for whoever holds the device exclusively.
pub(crate) fn open_read_write(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).custom_flags(libc::O_NONBLOCK).open(path)
}

/// Why a node is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum WrongNode {
    NoDevice,
    KernelDriver { major: u64, minor: u64 },
    OtherDriver { major: u64 },
}

fn check(is_char_device: bool, device: u64) -> Result<(), WrongNode> {
    let (major, minor) = (nix::sys::stat::major(device), nix::sys::stat::minor(device));
    match major {
        _ if !is_char_device => Err(WrongNode::NoDevice),
        MAJOR_SG => Ok(()),
        MAJOR_ST | MAJOR_CH => Err(WrongNode::KernelDriver { major, minor }),
        major => Err(WrongNode::OtherDriver { major }),
    }
}

impl WrongNode {
    /// What to do, with the right node where the kernel tells it.
    fn explain(self, sys: &Path) -> String {
        match self {
            WrongNode::NoDevice => {
                "is no character device; name a SCSI generic node such as /dev/sg0".to_string()
            }
            WrongNode::OtherDriver { major } => format!(
                "is a device of another driver (major number {major}, SCSI generic has {MAJOR_SG}); \
                 name a SCSI generic node such as /dev/sg0"
            ),
            WrongNode::KernelDriver { major, minor } => {
                let generic = generic_of(sys, major, minor);
                let which = match &generic {
                    Some(node) => format!("that is {}", node.display()),
                    None => {
                        "'tape drive scan' lists them (is the kernel module 'sg' loaded?)".into()
                    }
                };
                if major == MAJOR_CH {
                    format!(
                        "is a node of the kernel's changer driver; use the changer's SCSI generic \
                         node: {which}"
                    )
                } else {
                    format!(
                        "is a node of the kernel's tape driver, which keeps its own idea of the tape's \
                         position; use the drive's SCSI generic node: {which}"
                    )
                }
            }
        }
    }
}

/// The SCSI generic node of the same device.
fn generic_of(sys: &Path, major: u64, minor: u64) -> Option<PathBuf> {
    let folder = sys.join(format!("dev/char/{major}:{minor}/device/scsi_generic"));
    let entry = std::fs::read_dir(folder).ok()?.flatten().next()?;
    Some(Path::new("/dev").join(entry.file_name()))
}

/// Why a node cannot be opened, and what to do.
pub(crate) fn why_not(path: &Path, error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::ENOENT) => {
            "no such device; 'tape drive scan' and 'tape changer scan' list those of this machine"
                .to_string()
        }
        Some(libc::EACCES) => match std::fs::metadata(path) {
            Ok(metadata) => no_permission(
                &owner_name(metadata.uid()),
                &group_name(metadata.gid()),
                metadata.mode(),
            ),
            Err(_) => "permission denied; run as root".to_string(),
        },
        // Not the node's mode, which would be EACCES.
        Some(libc::EPERM) => "the system does not allow this process to use the device; in a \
             container or service, allow it (character devices with major number 21)"
            .to_string(),
        Some(libc::ENXIO | libc::ENODEV) => {
            "the node is there but the device is not; is it switched on and connected?".to_string()
        }
        Some(libc::EBUSY) => "another program holds the device exclusively; 'fuser -v' with the \
             node's name tells which"
            .to_string(),
        _ => error.to_string(),
    }
}

/// Who may open a node, and how to become one of them.
fn no_permission(owner: &str, group: &str, mode: u32) -> String {
    let belongs = format!(
        "permission denied: the node belongs to {owner}:{group} with mode {:04o}",
        mode & 0o7777
    );
    let is_for_group = mode & 0o060 == 0o060;
    if is_for_group && group != "root" {
        format!(
            "{belongs}; join the group (usermod -aG {group} USER, then log in again) or run as root"
        )
    } else {
        format!("{belongs}; run as {owner}")
    }
}

fn owner_name(uid: u32) -> String {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    user.map_or_else(|| uid.to_string(), |user| user.name)
}

fn group_name(gid: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
    group.map_or_else(|| gid.to_string(), |group| group.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_generic_nodes() {
        let device = |major, minor| nix::sys::stat::makedev(major, minor);
        assert_eq!(check(true, device(21, 3)), Ok(()));
        assert_eq!(check(false, device(21, 3)), Err(WrongNode::NoDevice));
        let wrong = WrongNode::KernelDriver { major: 9, minor: 128 };
        assert_eq!(check(true, device(9, 128)), Err(wrong));
        let sys = tempfile::tempdir().unwrap();
        assert!(wrong.explain(sys.path()).contains("'tape drive scan'"));
        std::fs::create_dir_all(sys.path().join("dev/char/9:128/device/scsi_generic/sg4")).unwrap();
        assert!(wrong.explain(sys.path()).contains("that is /dev/sg4"));
        let changer = check(true, device(86, 0)).unwrap_err();
        assert!(changer.explain(sys.path()).contains("changer driver"));
    }

    #[test]
    fn opening_what_is_no_device() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = open(file.path()).unwrap_err();
        assert!(error.contains("no character device"), "{error}");
        let error = open(Path::new("/dev/null")).unwrap_err();
        assert!(error.contains("another driver (major number 1"), "{error}");
        let error = open(Path::new("/dev/does-not-exist")).unwrap_err();
        assert!(error.contains("no such device"), "{error}");
    }

    #[test]
    fn without_permission_the_way_in_is_told() {
        let text = no_permission("root", "tape", 0o20660);
        assert!(text.contains("root:tape with mode 0660"), "{text}");
        assert!(text.contains("usermod -aG tape USER"), "{text}");
        // A group that may not write, or that nobody should join, is no way in.
        for (group, mode) in [("tape", 0o640), ("root", 0o660)] {
            let text = no_permission("root", group, mode);
            assert!(text.contains("run as root") && !text.contains("usermod"), "{text}");
        }
        let text = why_not(Path::new("/dev/sg0"), &io::Error::from_raw_os_error(libc::EPERM));
        assert!(text.contains("container"), "{text}");
    }
}
