//! `capstan vtl …`

mod cartridge;
mod create;
mod dump;
mod fault;
mod list;
mod serve;
mod station;

use anyhow::Result;
use clap::Subcommand;

use super::Outcome;

/// Emulated tape libraries: drives, robot and cartridges in a folder
#[derive(Debug, Subcommand)]
pub enum VtlCommand {
    Create(create::CreateArgs),
    List(list::ListArgs),
    #[command(subcommand)]
    Cartridge(cartridge::CartridgeCommand),
    #[command(subcommand)]
    Fault(fault::FaultCommand),
    Serve(serve::ServeArgs),
    #[command(subcommand)]
    Station(station::StationCommand),
}

pub fn run(command: &VtlCommand) -> Result<Outcome> {
    match command {
        VtlCommand::Create(args) => create::run(args),
        VtlCommand::List(args) => list::run(args),
        VtlCommand::Cartridge(command) => cartridge::run(command),
        VtlCommand::Fault(command) => fault::run(command),
        VtlCommand::Serve(args) => serve::run(args),
        VtlCommand::Station(command) => station::run(command),
    }
}
