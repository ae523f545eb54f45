//! `capstan tape changer inventory|load|unload|transfer|export|import|clean|put-back|lock|unlock`

use anyhow::Result;
use clap::Args;

use crate::cli::Outcome;
use crate::cli::robot::{Done, Operation, Robot, Which};
use crate::config::Places;
use crate::output::print;

/// Have a library look at its slots again
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape changer inventory lib\n  \
                        capstan tape changer inventory lib --slots 3-8")]
pub struct InventoryArgs {
    /// Its name [default: the only one configured]
    name: Option<String>,
    /// Only these slots
    #[arg(long, value_name = "FIRST-LAST", value_parser = parse_slots)]
    slots: Option<(u64, u64)>,
}

/// Load a cartridge into a drive
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape changer load lib --slot 3\n  \
                        capstan tape changer load lib --label-text CAP001L8 --drivenum 1")]
pub struct LoadArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
    #[command(flatten)]
    tape: TapeArgs,
    /// Number of the drive, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    drivenum: u64,
}

/// Which cartridge.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct TapeArgs {
    /// The cartridge in this slot
    #[arg(long, value_name = "N")]
    slot: Option<u64>,
    /// The cartridge with this bar code
    #[arg(long, value_name = "TEXT")]
    label_text: Option<String>,
}

impl TapeArgs {
    fn which(&self) -> Which {
        match (self.slot, &self.label_text) {
            (Some(slot), _) => Which::Slot(slot),
            (None, label) => Which::Label(label.clone().unwrap_or_default()),
        }
    }
}

/// Put the cartridge of a drive into a slot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer unload lib --drivenum 1")]
pub struct UnloadArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
    /// Number of the drive, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    drivenum: u64,
    /// Number of the slot [default: the one it came from, else a free one]
    #[arg(long, value_name = "N")]
    slot: Option<u64>,
}

/// Move a cartridge from one slot to another
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer transfer lib --from 3 --to 17")]
pub struct TransferArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
    /// Number of the slot that it is in
    #[arg(long, value_name = "N")]
    from: u64,
    /// Number of an empty slot
    #[arg(long, value_name = "N")]
    to: u64,
}

/// Bring a cartridge to the first empty import/export slot
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape changer export lib --label-text CAP001L8\n  \
                        capstan tape changer export lib --slot 3")]
pub struct ExportArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
    #[command(flatten)]
    tape: TapeArgs,
    /// Number of the drive whose cartridge may be taken out for that, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    drivenum: u64,
}

/// Bring cartridges from the import/export slots to storage slots
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape changer import lib\n  \
                        capstan tape changer import lib --slot 17 --to 3")]
pub struct ImportArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
    /// Number of the import/export slot [default: all]
    #[arg(long, value_name = "N")]
    slot: Option<u64>,
    /// Number of an empty storage slot [default: the first]
    #[arg(long, value_name = "N", requires = "slot")]
    to: Option<u64>,
}

/// Clean a drive with a cleaning cartridge of the library
///
/// The cartridge is the first one in a storage slot whose bar code begins with CLN. It goes back there.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer clean lib --drivenum 1")]
pub struct CleanArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
    /// Number of the drive, from 0
    #[arg(long, value_name = "N", default_value_t = 0)]
    drivenum: u64,
}

/// Put a cartridge that was left in the robot's arm into a slot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer put-back lib")]
pub struct PutBackArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
    /// Number of an empty slot [default: the one it came from, else a free one]
    #[arg(long, value_name = "N")]
    slot: Option<u64>,
}

/// Lock the import/export station against hands
///
/// Not every library obeys.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer lock lib")]
pub struct LockArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
}

/// Unlock the import/export station
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer unlock lib")]
pub struct UnlockArgs {
    /// The changer's name [default: the only one configured]
    name: Option<String>,
}

fn parse_slots(text: &str) -> Result<(u64, u64), String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        text.trim().parse().map_err(|_| format!("'{text}' is no slot number; write 3 or 3-8"))
    };
    Ok((number(first)?, number(last)?))
}

pub fn inventory(places: &Places, args: &InventoryArgs) -> Result<Outcome> {
    Robot::named(places, args.name.as_deref())?.inventory(args.slots)?;
    Ok(Outcome::Complete)
}

pub fn load(places: &Places, args: &LoadArgs) -> Result<Outcome> {
    let operation = Operation::Load { tape: args.tape.which(), drive: args.drivenum };
    perform(places, args.name.as_deref(), &operation)
}

pub fn unload(places: &Places, args: &UnloadArgs) -> Result<Outcome> {
    let operation = Operation::Unload { drive: args.drivenum, slot: args.slot };
    perform(places, args.name.as_deref(), &operation)
}

pub fn transfer(places: &Places, args: &TransferArgs) -> Result<Outcome> {
    let operation = Operation::Transfer { from: args.from, to: args.to };
    perform(places, args.name.as_deref(), &operation)
}

pub fn export(places: &Places, args: &ExportArgs) -> Result<Outcome> {
    let operation = Operation::Export { tape: args.tape.which(), drive: args.drivenum };
    perform(places, args.name.as_deref(), &operation)
}

pub fn import(places: &Places, args: &ImportArgs) -> Result<Outcome> {
    let operation = Operation::Import { slot: args.slot, to: args.to };
    perform(places, args.name.as_deref(), &operation)
}

pub fn clean(places: &Places, args: &CleanArgs) -> Result<Outcome> {
    perform(places, args.name.as_deref(), &Operation::Clean { drive: args.drivenum })
}

pub fn put_back(places: &Places, args: &PutBackArgs) -> Result<Outcome> {
    perform(places, args.name.as_deref(), &Operation::PutBack { slot: args.slot })
}

pub fn lock(places: &Places, args: &LockArgs) -> Result<Outcome> {
    perform(places, args.name.as_deref(), &Operation::Lock { lock: true })
}

pub fn unlock(places: &Places, args: &UnlockArgs) -> Result<Outcome> {
    perform(places, args.name.as_deref(), &Operation::Lock { lock: false })
}

fn perform(places: &Places, name: Option<&str>, operation: &Operation) -> Result<Outcome> {
    let mut outcome = Outcome::Complete;
    for done in Robot::named(places, name)?.run(operation)? {
        print(&done.to_string())?;
        if let Done::Cleaned { still_requested: true, .. } = done {
            outcome = Outcome::Incomplete;
        }
    }
    Ok(outcome)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_slots() {
        assert_eq!(parse_slots("3"), Ok((3, 3)));
        assert_eq!(parse_slots("3-8"), Ok((3, 8)));
        assert!(parse_slots("3-").is_err() && parse_slots("x").is_err());
    }
}
