//! What a drive tells about itself and its cartridge: `tape cartridge-memory|volume-statistics|alert-flags`,
//! and texts that several commands share.

use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use pbs_tape::drive::Drive;
use pbs_tape::operations::alerts;
use pbs_tape::operations::erase::FormatPlan;

use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, table};
use crate::progress::Bar;

/// Show the memory of the cartridge in a drive
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape cartridge-memory --drive lto0")]
pub struct CartridgeMemoryArgs {
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// Show what the cartridge in a drive has gone through, and how full it is
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape volume-statistics --drive lto0")]
pub struct VolumeStatisticsArgs {
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// Show a drive's TapeAlert flags: what they mean and what to do
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape alert-flags --drive lto0")]
pub struct AlertFlagsArgs {
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// Locks and opens the drive, and runs `what` with it.
fn with_drive<T>(
    places: &Places,
    drive: &DriveArg,
    what: impl FnOnce(&mut Drive) -> pbs_tape::drive::Result<T>,
) -> Result<T> {
    let tape: Tape = places.load()?;
    let bar = Arc::new(Bar::bytes("tape"));
    let state = station::state(places)?;
    let station = station::open(&state, &tape, drive.drive.as_deref(), &bar)?;
    Ok(what(&mut station.open_drive()?)?)
}

pub fn cartridge_memory(places: &Places, args: &CartridgeMemoryArgs) -> Result<Outcome> {
    let memory = with_drive(places, &args.drive, Drive::cartridge_memory)?;
    args.output.print(&memory, |memory| {
        let rows = memory
            .iter()
            .map(|one| vec![format!("{:04x}h", one.id), one.name.clone(), one.value.clone()]);
        table(&["id", "name", "value"], rows)
    })?;
    Ok(Outcome::Complete)
}

pub fn volume_statistics(places: &Places, args: &VolumeStatisticsArgs) -> Result<Outcome> {
    let statistics = with_drive(places, &args.drive, Drive::volume_statistics)?;
    args.output.print_fields(&statistics)?;
    Ok(Outcome::Complete)
}

pub fn alert_flags(places: &Places, args: &AlertFlagsArgs) -> Result<Outcome> {
    let alerts = with_drive(places, &args.drive, alerts::alert_flags)?;
    args.output.print(&alerts, |alerts| {
        if alerts.flags.is_empty() {
            return format!("drive {}: no flag is raised", alerts.drive);
        }
        let rows = alerts.flags.iter().map(|flag| {
            vec![
                flag.number.to_string(),
                flag.name.clone(),
                flag.severity.unwrap_or_default().to_owned(),
                flag.meaning.clone(),
                flag.action.clone(),
            ]
        });
        table(&["flag", "name", "severity", "meaning", "what to do"], rows)
    })?;
    Ok(Outcome::Complete)
}

/// What formatting would do, for people.
pub fn format_plan_text(plan: &FormatPlan) -> String {
    let what = match (&plan.label_text, &plan.unreadable) {
        (Some(label), _) => {
            let pool =
                plan.pool.as_ref().map(|pool| format!(" of pool {pool}")).unwrap_or_default();
            match plan.media_set_uuid {
                Some(set) => {
                    format!("tape {label}{pool}, which media set {set} needs to be restored whole,")
                }
                None => format!("tape {label}{pool}"),
            }
        }
        (None, Some(reason)) => {
            format!("a tape whose label can't be read ({reason}), perhaps another program's,")
        }
        (None, None) => "a tape that is blank already".to_owned(),
    };
    let how = if plan.fast { "" } else { "; all of it is overwritten, which takes hours" };
    format!("drive {}: {what} is made blank, and everything on it is lost{how}", plan.drive)
}
