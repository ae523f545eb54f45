//! Which cartridge a benchmark may write over, and what it leaves behind.
//!
//! Why nobody's data is lost:
//!
//! * the cartridge is named by who asks, and its bar code or label must be that name. Nothing is chosen;
//! * it must be blank, or have a readable label and belong to no media set: neither by what is on it nor by what the inventory
//!   knows. A member of a set is refused whether it has expired or not: `tape format` is who forgets a member with all that hangs on it. So is a tape
//!   with anything else on it, one that an operator retired or called damaged, a write-protected one, and WORM, which one write would use up;
//! * a labelled one is forgotten before its first block is written over ([`erase::format`], under the lock of its pool), so that no
//!   job counts on it meanwhile. At the end it is blank again, or gets a new label with the same text and pool. A benchmark that is
//!   killed leaves a cartridge that nobody knows and that says so when its label is read.
//!
//! All checks are done by [`look`], which changes nothing on the tape, and again before the first block is written.

use std::sync::Arc;
use std::time::Duration;

use datastore::{Datastore, Progress};
use serde::Serialize;
use uuid::Uuid;

use super::drive::{self, DriveFigures};
use super::together::{self, FeedSettings, TogetherReport};
use super::{Clock, seconds};
use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::loader::{MediaLoader, labels_in};
use crate::media::{Inventory, MediaStatus, StateDir};
use crate::operations::{erase, label, media_id};
use crate::write::BufferSize;

/// What is measured on a cartridge.
#[derive(Clone)]
pub struct DriveOptions {
    /// So many bytes are written and read.
    pub bytes: u64,
    /// A datastore to feed the drive from.
    pub store: Option<Arc<Datastore>>,
    /// Threads that read it; `None` finds out.
    pub readers: Option<usize>,
    /// Memory between it and the drive.
    pub buffer: BufferSize,
}

/// What a benchmark would write over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct CartridgePlan {
    /// The drive's name.
    pub drive: String,
    /// The cartridge.
    pub label_text: String,
    /// There is nothing on it.
    pub is_blank: bool,
    /// Its UUID, if it has a label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uuid: Option<Uuid>,
    /// The pool that its label names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool: Option<String>,
    /// How long it took to load it.
    #[serde(serialize_with = "seconds", rename = "load-seconds")]
    pub load: Duration,
}

/// Loads the cartridge and tells what is on it; changes nothing on it.
///
/// # Errors
///
/// [`Error::BenchmarkRefused`] if it must not be written over.
pub fn look(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    label_text: &str,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<CartridgePlan> {
    let began = clock.now();
    let mut device = loader.load(label_text, progress)?;
    let load = clock.now().saturating_sub(began);
    let plan = check(state, loader, &mut *device, label_text)?;
    Ok(CartridgePlan { load, ..plan })
}

fn check(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    device: &mut dyn TapeDevice,
    label_text: &str,
) -> Result<CartridgePlan> {
    let refused = |reason: String| Error::BenchmarkRefused { tape: label_text.to_string(), reason };
    let inventory = Inventory::load(state)?;
    let known = inventory.find_by_label_text(label_text)?;
    let labels = labels_in(device, loader.drive_name())?;
    let mut plan = CartridgePlan {
        drive: loader.drive_name().to_string(),
        label_text: label_text.to_string(),
        is_blank: labels.is_none(),
        uuid: None,
        pool: None,
        load: Duration::ZERO,
    };
    match labels {
        None => {
            if let Some(known) = known {
                return Err(refused(format!(
                    "it is blank, and the inventory knows a labelled one of that name ({}); 'capstan tape media destroy' forgets that",
                    known.id.label.uuid
                )));
            }
        }
        Some(labels) => {
            let id = media_id(&labels);
            let label = &id.label;
            if label.label_text != label_text {
                return Err(refused(format!("its label says {}", label.label_text)));
            }
            let entry = inventory.get(&label.uuid).or(known);
            let known_set = entry.and_then(|entry| entry.id.assigned_set());
            if let Some(set) = id.assigned_set().or(known_set) {
                return Err(refused(format!(
                    "it belongs to media set {}; if nobody needs that any more, 'capstan tape format' makes it blank",
                    set.uuid
                )));
            }
            if let Some(status @ (MediaStatus::Damaged | MediaStatus::Retired)) =
                entry.and_then(|entry| entry.status)
            {
                return Err(refused(format!("its status is {status}")));
            }
            plan.uuid = Some(label.uuid);
            plan.pool = id.pool().map(str::to_string);
        }
    }
    device.require_erasable()?;
    Ok(plan)
}

/// Measures the drive with the cartridge that [`look`] told of, and with a datastore that is read into it. All on the cartridge is lost; it is left
/// blank, or with a new label of the same text and pool, in the drive.
pub fn run_on_cartridge(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    plan: &CartridgePlan,
    options: &DriveOptions,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<(DriveFigures, Option<TogetherReport>)> {
    let now = {
        let mut device = loader.open(progress)?;
        check(state, loader, &mut *device, &plan.label_text)?
    };
    if (now.uuid, now.is_blank) != (plan.uuid, plan.is_blank) {
        let reason = "another cartridge is in the drive now".to_string();
        return Err(Error::BenchmarkRefused { tape: plan.label_text.clone(), reason });
    }
    if !plan.is_blank {
        erase::format(state, loader, Some(&plan.label_text), true, progress)?;
    }
    let mut device = loader.open(progress)?;
    let measured = measure(&mut *device, &plan.label_text, options, clock, progress);
    let left = leave(state, loader, device, plan, progress);
    if let (Err(_), Err(left)) = (&measured, &left) {
        progress.warn(&format!("tape {} is left with noise on it: {left}", plan.label_text));
    }
    let (mut figures, together) = measured?;
    left?;
    figures.drive = plan.drive.clone();
    figures.load = plan.load;
    Ok((figures, together))
}

fn measure(
    device: &mut dyn TapeDevice,
    label_text: &str,
    options: &DriveOptions,
    clock: &dyn Clock,
    progress: &dyn Progress,
) -> Result<(DriveFigures, Option<TogetherReport>)> {
    device.encryption_off()?;
    let seed = Uuid::new_v4().as_u64_pair().0;
    let figures = drive::measure(device, label_text, options.bytes, seed, clock, progress)?;
    let Some(store) = &options.store else { return Ok((figures, None)) };
    let settings = FeedSettings { readers: options.readers, buffer: options.buffer };
    let together = together::measure(device, store, settings, options.bytes, clock, progress)?;
    Ok((figures, Some(together)))
}

/// Leaves the cartridge as it was found, but for its UUID.
fn leave(
    state: &StateDir,
    loader: &mut dyn MediaLoader,
    mut device: Box<dyn TapeDevice>,
    plan: &CartridgePlan,
    progress: &dyn Progress,
) -> Result<()> {
    device.rewind()?;
    device.format(true)?;
    drop(device);
    if !plan.is_blank {
        label::label(state, loader, &plan.label_text, plan.pool.as_deref(), progress)?;
    }
    Ok(())
}
