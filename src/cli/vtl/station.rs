//! `capstan vtl station …`: the operator's hands at an emulated library.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use vtl::{ByHand, ElementKind, Library};

use crate::cli::Outcome;
use crate::output::parse_size;
use crate::progress::Bar;

/// The operator's hands: the import/export station's door, cartridges in and out
#[derive(Debug, Subcommand)]
pub enum StationCommand {
    Open(DoorArgs),
    Close(CloseArgs),
    Insert(InsertArgs),
    Remove(RemoveArgs),
}

/// Open the import/export station: the robot can't use it until it is closed
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl station open /srv/vtl")]
pub struct DoorArgs {
    /// The library's folder
    dir: PathBuf,
}

/// Close the import/export station: every host is told that it was used
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl station close /srv/vtl")]
pub struct CloseArgs {
    /// The library's folder
    dir: PathBuf,
}

/// Put a cartridge in by hand: one from the shelf, or a new, blank one
///
/// Without a place it goes into the first free import/export slot. Programs may use or serve the library meanwhile.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan vtl station insert /srv/vtl CAP001L8\n  \
                        capstan vtl station insert /srv/vtl CAP001L8 --drive 0")]
pub struct InsertArgs {
    /// The library's folder
    dir: PathBuf,
    /// Bar code of the cartridge
    barcode: String,
    /// Into this import/export slot, from 1
    #[arg(long, value_name = "N", group = "place")]
    import_export: Option<u16>,
    /// Into this storage slot, from 1
    #[arg(long, value_name = "N", group = "place")]
    slot: Option<u16>,
    /// Into this drive, from 0
    #[arg(long, value_name = "N", group = "place")]
    drive: Option<u16>,
    /// Capacity of a cartridge that is made [default: the library's]
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    capacity: Option<u64>,
}

/// Take a cartridge out by hand and put it on the shelf, with all that is on it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl station remove /srv/vtl CAP001L8")]
pub struct RemoveArgs {
    /// The library's folder
    dir: PathBuf,
    /// Bar code of the cartridge; one in a drive must have been ejected
    barcode: String,
}

pub fn run(command: &StationCommand) -> Result<Outcome> {
    match command {
        StationCommand::Open(args) => Library::open(&args.dir)?.open_station()?,
        StationCommand::Close(args) => Library::open(&args.dir)?.close_station()?,
        StationCommand::Insert(args) => insert(args)?,
        StationCommand::Remove(args) => Library::open(&args.dir)?.take_out(&args.barcode)?,
    }
    Ok(Outcome::Complete)
}

fn insert(args: &InsertArgs) -> Result<()> {
    let place = match (args.import_export, args.slot, args.drive) {
        (Some(number), ..) => ByHand::StationSlot(number),
        (_, Some(number), _) => ByHand::Slot(number),
        (.., Some(number)) => ByHand::Drive(number),
        _ => ByHand::Station,
    };
    let library = Library::open(&args.dir)?;
    let (kind, number) = library.put_in(&args.barcode, place, args.capacity)?;
    let kind = match kind {
        ElementKind::Drive => "drive",
        ElementKind::Slot => "slot",
        ElementKind::ImportExport => "import/export slot",
        ElementKind::Transport => "gripper",
    };
    Bar::bytes("insert").line(&format!("{} is in {kind} {number}", args.barcode));
    Ok(())
}
