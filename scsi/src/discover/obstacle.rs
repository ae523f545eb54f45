//! What keeps a device from being used, in the order in which a person would have to solve it.
//!
//! | obstacle | how it is seen |
//! |---|---|
//! | the kernel gave the device up | `state` of the device in sysfs is not `running` |
//! | no SCSI generic node | no `scsi_generic` folder: the module `sg` is not loaded |
//! | the node is not in this `/dev` | a container, or udev has not run |
//! | no rights, held exclusively, not allowed here | opening it fails |
//! | another program has it open | `/proc/PID/fd` leads to one of its nodes, of `sg`, `st` or `ch` |
//!
//! Opening a SCSI generic node sends nothing to the device. Whose descriptors may not be looked at (other
//! users' processes) is not seen here; the drive will then show it.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Generic, Roots, attribute};
use crate::sg::node;

/// Why the device can't be used and what to do; `None` if nothing stands in the way.
pub(super) fn find(
    roots: &Roots,
    device: &Path,
    generic: Option<&Generic>,
    kernel_nodes: &[PathBuf],
) -> Option<String> {
    if let Some(state) = attribute(device, "state").filter(|state| state != "running") {
        return Some(format!(
            "the kernel has given the device up (state '{state}'); check power and cable, then \
             'echo running > {}'",
            device.join("state").display()
        ));
    }
    let Some(generic) = generic else {
        return Some(
            "it has no SCSI generic node; load the kernel module 'sg' (modprobe sg)".to_string(),
        );
    };
    if !generic.node.exists() {
        return Some(format!(
            "{} is missing although the kernel has the device; pass it into the container, or let \
             udev make it (udevadm trigger)",
            generic.node.display()
        ));
    }
    // Our own nodes may be open elsewhere, so this comes before anything is opened here.
    if let Some(user) = user_of(roots, &generic.node, kernel_nodes) {
        return Some(user);
    }
    match node::open_read_write(&generic.node) {
        Ok(_) => None,
        Err(error) => Some(node::why_not(&generic.node, &error)),
    }
}

/// The first other process that has one of the nodes open.
fn user_of(roots: &Roots, generic: &Path, kernel_nodes: &[PathBuf]) -> Option<String> {
    let own = std::process::id().to_string();
    for process in fs::read_dir(&roots.proc).ok()?.flatten() {
        let Ok(id) = process.file_name().into_string() else { continue };
        if id == own || !id.bytes().all(|byte| byte.is_ascii_digit()) {
            continue;
        }
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let is_kernel = kernel_nodes.iter().any(|node| is_of(&target, node));
            if target != generic && !is_kernel {
                continue;
            }
            let name = attribute(&process.path(), "comm").unwrap_or_default();
            let name: String = name.chars().filter(|c| !c.is_control()).collect();
            return Some(format!(
                "in use: process {id} ({name}) has {} open; end it first",
                target.display()
            ));
        }
    }
    None
}

/// True if `target` is the kernel driver's node or another mode of it (`/dev/nst0` and `/dev/nst0a`).
fn is_of(target: &Path, node: &Path) -> bool {
    let (Some(target), Some(node)) = (target.to_str(), node.to_str()) else { return false };
    target.strip_prefix(node).is_some_and(|mode| matches!(mode, "" | "l" | "m" | "a"))
}
