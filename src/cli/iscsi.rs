//! `capstan iscsi …`

mod discover;

use anyhow::Result;
use clap::Subcommand;

use super::Outcome;
use crate::config::Places;

/// Drives and libraries of iSCSI targets
#[derive(Debug, Subcommand)]
pub enum IscsiCommand {
    Discover(discover::DiscoverArgs),
}

pub fn run(places: &Places, command: &IscsiCommand) -> Result<Outcome> {
    match command {
        IscsiCommand::Discover(args) => discover::run(places, args),
    }
}
