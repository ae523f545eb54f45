//! `capstan mtx …`: a changer by slot numbers, with the words of `mtx`.
//!
//! `--mtx-format` prints what `mtx` prints, for scripts that read it.

use anyhow::{Result, bail};
use changer::Step;
use clap::{Args, Subcommand};

use super::Outcome;
use super::robot::{Operation, Robot, Which};
use crate::config::Places;
use crate::output::{OutputArgs, OutputFormat, print};

/// Control a media changer by slot numbers, with the words of mtx
///
/// The changer is the one at the address -f, the configured one --changer, the one that the environment variable CHANGER
/// names (address or name), that of the drive in CAPSTAN_TAPE_DRIVE, or the only one configured.
#[derive(Debug, Args)]
pub struct MtxArgs {
    /// The changer's address: /dev/sgN, /dev/tape/by-id/…, vtl:DIR#changer
    #[arg(short = 'f', long = "device", global = true, value_name = "ADDRESS")]
    device: Option<String>,
    /// The changer's configured name
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "device")]
    changer: Option<String>,
    /// Form of the output
    #[arg(long, value_enum, default_value_t, global = true, value_name = "FORMAT")]
    output_format: OutputFormat,
    /// Print what mtx prints
    #[arg(long, global = true, conflicts_with = "output_format")]
    mtx_format: bool,
    #[command(subcommand)]
    command: MtxCommand,
}

/// See [`MtxArgs`].
#[derive(Debug, Subcommand)]
enum MtxCommand {
    Status(StatusArgs),
    Inventory(InventoryArgs),
    Inquiry(InquiryArgs),
    Scan(ScanArgs),
    Load(LoadArgs),
    Unload(UnloadArgs),
    Transfer(TransferArgs),
    First(FirstArgs),
    Last(LastArgs),
    Next(NextArgs),
    Previous(PreviousArgs),
    Import(ImportArgs),
    Export(ExportArgs),
    Position(PositionArgs),
    Exchange(ExchangeArgs),
}

/// Show what is in drives and slots
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan mtx -f /dev/sg5 status\n  \
                        capstan mtx -f /dev/sg5 status --mtx-format")]
struct StatusArgs {}

/// Have the library look at its slots again
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan mtx inventory\n  capstan mtx inventory 3 8")]
struct InventoryArgs {
    /// Only the slots from this one …
    #[arg(value_name = "FIRST", requires = "last")]
    first: Option<u64>,
    /// … to this one
    #[arg(value_name = "LAST")]
    last: Option<u64>,
}

/// Show what the changer is
#[derive(Debug, Args)]
#[command(visible_alias = "inquire", after_help = "Example:\n  capstan mtx -f /dev/sg5 inquiry")]
struct InquiryArgs {}

/// Find the changers of this machine
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan mtx scan")]
struct ScanArgs {}

/// Load the cartridge of a slot into a drive
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan mtx -f /dev/sg5 load 3\n  \
                        capstan mtx --changer lib load 3 1")]
struct LoadArgs {
    /// Number of the slot, from 1
    slot: u64,
    /// Number of the drive, from 0
    #[arg(default_value_t = 0)]
    drive: u64,
}

/// Put the cartridge of a drive into a slot
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan mtx -f /dev/sg5 unload\n  \
                        capstan mtx -f /dev/sg5 unload 3 1")]
struct UnloadArgs {
    /// Number of the slot, from 1 [default: the one it came from, else a free one]
    slot: Option<u64>,
    /// Number of the drive, from 0
    #[arg(default_value_t = 0)]
    drive: u64,
}

/// Move a cartridge from one slot to another
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan mtx -f /dev/sg5 transfer 3 17")]
struct TransferArgs {
    /// Number of the slot that it is in
    from: u64,
    /// Number of an empty slot
    to: u64,
}

/// Load the first cartridge into a drive
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan mtx first")]
struct FirstArgs {
    /// Number of the drive, from 0
    #[arg(default_value_t = 0)]
    drive: u64,
}

/// Load the last cartridge into a drive
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan mtx last")]
struct LastArgs {
    /// Number of the drive, from 0
    #[arg(default_value_t = 0)]
    drive: u64,
}

/// Put the cartridge of a drive back and load the one of the next slot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan mtx next")]
struct NextArgs {
    /// Number of the drive, from 0
    #[arg(default_value_t = 0)]
    drive: u64,
}

/// Put the cartridge of a drive back and load the one of the slot before
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan mtx previous")]
struct PreviousArgs {
    /// Number of the drive, from 0
    #[arg(default_value_t = 0)]
    drive: u64,
}

/// Bring cartridges from the import/export slots to storage slots
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan mtx import\n  capstan mtx import 17 3")]
struct ImportArgs {
    /// Number of the import/export slot [default: all]
    slot: Option<u64>,
    /// Number of an empty storage slot [default: the first]
    to: Option<u64>,
}

/// Bring the cartridge of a slot to the first empty import/export slot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan mtx export 3")]
struct ExportArgs {
    /// Number of the slot that it is in
    slot: u64,
}

/// Send the robot before a slot; some libraries open their import/export slots for that
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan mtx -f /dev/sg5 position 17")]
struct PositionArgs {
    /// Number of the slot, from 1
    slot: u64,
}

/// Not there: tell what to do instead of exchanging two cartridges
#[derive(Debug, Args)]
#[command(after_help = "Instead:\n  capstan mtx transfer 3 9\n  capstan mtx transfer 5 3\n  \
                        capstan mtx transfer 9 5")]
struct ExchangeArgs {
    /// Numbers of the slots
    #[arg(trailing_var_arg = true, value_name = "SLOT")]
    slots: Vec<String>,
}

pub fn run(places: &Places, args: &MtxArgs) -> Result<Outcome> {
    let robot = || choose(places, args);
    let output = OutputArgs { output_format: args.output_format };
    match &args.command {
        MtxCommand::Scan(_) => {
            return super::tape::drive::print_scan(scsi::discover::Kind::Changer, output);
        }
        MtxCommand::Exchange(_) => bail!(
            "exchange is not offered: most libraries do not know the command, and with those that do a failure \
             leaves two cartridges out of place. Use three transfers by way of an empty slot"
        ),
        MtxCommand::Status(_) => show(&robot()?, args.mtx_format, output)?,
        MtxCommand::Inventory(InventoryArgs { first, last }) => {
            drop(robot()?.inventory(first.zip(*last))?);
        }
        MtxCommand::Position(PositionArgs { slot }) => robot()?.position(*slot)?,
        MtxCommand::Inquiry(_) => show_inquiry(&robot()?, args.mtx_format, output)?,
        MtxCommand::Load(LoadArgs { slot, drive }) => {
            let operation = Operation::Load { tape: Which::Slot(*slot), drive: *drive };
            perform(&robot()?, &operation, args.mtx_format)?;
        }
        MtxCommand::Unload(UnloadArgs { slot, drive }) => {
            let operation = Operation::Unload { drive: *drive, slot: *slot };
            perform(&robot()?, &operation, args.mtx_format)?;
        }
        MtxCommand::Transfer(TransferArgs { from, to }) => {
            let operation = Operation::Transfer { from: *from, to: *to };
            perform(&robot()?, &operation, args.mtx_format)?;
        }
        MtxCommand::First(FirstArgs { drive }) => step(&robot()?, Step::First, *drive, args)?,
        MtxCommand::Last(LastArgs { drive }) => step(&robot()?, Step::Last, *drive, args)?,
        MtxCommand::Next(NextArgs { drive }) => step(&robot()?, Step::Next, *drive, args)?,
        MtxCommand::Previous(PreviousArgs { drive }) => {
            step(&robot()?, Step::Previous, *drive, args)?;
        }
        MtxCommand::Import(ImportArgs { slot, to }) => {
            perform(&robot()?, &Operation::Import { slot: *slot, to: *to }, args.mtx_format)?;
        }
        MtxCommand::Export(ExportArgs { slot }) => {
            let operation = Operation::Export { tape: Which::Slot(*slot), drive: 0 };
            perform(&robot()?, &operation, args.mtx_format)?;
        }
    }
    Ok(Outcome::Complete)
}

/// Which changer: see [`MtxArgs`].
fn choose(places: &Places, args: &MtxArgs) -> Result<Robot> {
    if let Some(address) = &args.device {
        return Robot::at(places, address);
    }
    if args.changer.is_some() {
        return Robot::named(places, args.changer.as_deref());
    }
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    if let Some(changer) = variable("CHANGER") {
        let is_address = changer.contains(['/', ':']);
        return if is_address {
            Robot::at(places, &changer)
        } else {
            Robot::named(places, Some(&changer))
        };
    }
    match variable("CAPSTAN_TAPE_DRIVE") {
        Some(drive) => Robot::of_drive(places, &drive),
        None => Robot::named(places, None),
    }
}

fn show(robot: &Robot, mtx_format: bool, output: OutputArgs) -> Result<()> {
    let status = robot.status(false)?;
    if mtx_format {
        return print(&status.to_mtx_text(&robot.address().to_string()));
    }
    output.print(&status, changer::Status::to_text)
}

fn show_inquiry(robot: &Robot, mtx_format: bool, output: OutputArgs) -> Result<()> {
    let inquiry = robot.open()?.inquiry()?;
    if mtx_format {
        return print(&format!(
            "Product Type: Medium Changer\nVendor ID: '{:<8}'\nProduct ID: '{:<16}'\nRevision: '{:<4}'\n\
             Attached Changer API: No\n",
            inquiry.vendor, inquiry.product, inquiry.revision
        ));
    }
    let value = serde_json::json!({
        "vendor": inquiry.vendor,
        "product": inquiry.product,
        "revision": inquiry.revision,
    });
    output.print(&value, |_| format!("{} {} {}", inquiry.vendor, inquiry.product, inquiry.revision))
}

fn step(robot: &Robot, step: Step, drive: u64, args: &MtxArgs) -> Result<()> {
    perform(robot, &Operation::Step { step, drive }, args.mtx_format)
}

fn perform(robot: &Robot, operation: &Operation, mtx_format: bool) -> Result<()> {
    for done in robot.run(operation)? {
        if mtx_format {
            // What mtx has no words for it does without a word.
            if let Some(text) = done.to_mtx_text() {
                print(&text)?;
            }
        } else {
            print(&done.to_string())?;
        }
    }
    Ok(())
}
