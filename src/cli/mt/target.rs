//! Which drive an `mt` command means.
//!
//! By address, by configured name, by the variables that `mt` users know, or the only drive there is. An
//! address of a configured drive is that drive: its name is used, and its lock excludes jobs either way.

use std::time::Duration;

use anyhow::{Result, bail};
use clap::Args;
use pbs_tape::station::{DriveConfig, lock_name};

use crate::cli::tape::station::find_drive;
use crate::config::Tape;

/// The options by which a drive is named.
#[derive(Debug, Args)]
pub struct TargetArgs {
    /// Address of the drive: /dev/sgN, /dev/tape/by-id/…-sg, iscsi://…, vtl:DIR#drive0
    #[arg(short = 'f', long = "device", global = true, value_name = "ADDRESS")]
    pub device: Option<String>,
    /// Name of a configured drive [default: CAPSTAN_TAPE_DRIVE, then the address in TAPE, then the only
    /// drive configured]
    #[arg(long, global = true, value_name = "NAME", conflicts_with = "device")]
    pub drive: Option<String>,
    /// How long to wait for a job that uses the drive (30s, 5m, 2h)
    #[arg(long, global = true, value_name = "TIME", value_parser = super::super::wait::parse_duration,
          default_value = "10s", hide_default_value = true)]
    pub wait: Duration,
}

impl TargetArgs {
    /// The drive that is meant.
    pub fn find(&self, tape: &Tape) -> Result<DriveConfig> {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        if let Some(address) = &self.device {
            return at_address(tape, address);
        }
        if let Some(name) = self.drive.clone().or_else(|| variable("CAPSTAN_TAPE_DRIVE")) {
            return find_drive(tape, Some(&name));
        }
        if let Some(address) = variable("TAPE") {
            return at_address(tape, &address);
        }
        if tape.drive.is_empty() {
            bail!(
                "which drive? give its address with -f; 'capstan mt scan' lists those of this machine, \
                 'capstan tape drive create' gives one a name"
            );
        }
        find_drive(tape, None)
    }
}

fn at_address(tape: &Tape, text: &str) -> Result<DriveConfig> {
    let address = crate::device::absolute(text)?;
    let lock = lock_name(&address);
    for name in tape.drive.keys() {
        // A drive whose entry makes no sense is not the one that is meant.
        if let Ok(config) = find_drive(tape, Some(name))
            && lock_name(&config.address) == lock
        {
            return Ok(config);
        }
    }
    Ok(DriveConfig { name: address.to_string(), address, changer: None, changer_drive: 0 })
}
