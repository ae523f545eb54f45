//! `capstan iscsi discover`

use anyhow::Result;
use clap::Args;
use scsi::Address;
use scsi::command::inquiry::{TYPE_CHANGER, TYPE_TAPE};
use scsi::iscsi::initiator::{self, FoundTarget, FoundUnit, Portal};
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::Places;
use crate::iscsi::options;
use crate::output::{OutputArgs, table};
use crate::progress::say;

const AFTER_HELP: &str = "\
What stands under 'address' is what every command takes that wants a device. Users and passwords belong into
iscsi.toml in the configuration's folder.

Example:
  capstan iscsi discover 10.0.0.7
  capstan tape drive create lto --path iscsi://10.0.0.7/iqn.2026-01.org.example:library/1";

/// List the targets of a portal and the units of each
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct DiscoverArgs {
    /// Where targets listen; the port is 3260 unless another is given
    #[arg(value_name = "HOST[:PORT]")]
    portal: String,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Target {
    target: String,
    portals: Vec<String>,
    units: Vec<Unit>,
    /// Why there are no units.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Unit {
    lun: u64,
    kind: String,
    vendor: String,
    model: String,
    revision: String,
    serial: Option<String>,
    address: String,
}

pub fn run(places: &Places, args: &DiscoverArgs) -> Result<Outcome> {
    let portal: Portal = args.portal.parse()?;
    let found = initiator::discover(&portal, &options(Some(places), &portal, None)?)?;
    let mut targets = Vec::new();
    for target in &found {
        targets.push(ask(places, &portal, target)?);
    }
    if targets.is_empty() {
        say(&format!("{portal} shows no target to this host; is it allowed to use one there?"));
    }
    let mut outcome = Outcome::Complete;
    for error in targets.iter().filter_map(|target| target.error.as_ref()) {
        say(error);
        outcome = Outcome::Incomplete;
    }
    args.output.print(&targets, |targets| {
        let rows = targets.iter().flat_map(|target| &target.units).map(|unit| {
            vec![
                unit.kind.clone(),
                unit.vendor.clone(),
                unit.model.clone(),
                unit.serial.clone().unwrap_or_else(|| "-".into()),
                unit.address.clone(),
            ]
        });
        table(&["kind", "vendor", "model", "serial", "address"], rows)
    })?;
    Ok(outcome)
}

/// The units of a target: by the portal that was asked, which is known to be reached, else by those that it
/// names itself.
fn ask(places: &Places, asked: &Portal, found: &FoundTarget) -> Result<Target> {
    let mut target = Target {
        target: found.name.clone(),
        portals: found.portals.iter().map(Portal::to_string).collect(),
        units: Vec::new(),
        error: None,
    };
    let others = found.portals.iter().filter(|portal| *portal != asked);
    for portal in std::iter::once(asked).chain(others) {
        let options = options(Some(places), portal, Some(&found.name))?;
        match initiator::units(portal, &found.name, &options) {
            Ok(units) => {
                target.error = None;
                target.units =
                    units.into_iter().map(|unit| shown(portal, &found.name, unit)).collect();
                break;
            }
            Err(error) => {
                target.error.get_or_insert(error.to_string());
            }
        }
    }
    Ok(target)
}

fn shown(portal: &Portal, target: &str, unit: FoundUnit) -> Unit {
    let address = Address::Iscsi {
        host: portal.host.clone(),
        port: portal.port,
        target: target.to_string(),
        lun: unit.lun,
    };
    Unit {
        lun: unit.lun,
        kind: kind(unit.inquiry.kind),
        vendor: unit.inquiry.vendor,
        model: unit.inquiry.product,
        revision: unit.inquiry.revision,
        serial: unit.serial,
        address: address.to_string(),
    }
}

/// Peripheral device type (SPC-4 table 175) in a word.
fn kind(code: u8) -> String {
    match code {
        0x00 => "disk".into(),
        TYPE_TAPE => "tape".into(),
        0x05 => "optical".into(),
        TYPE_CHANGER => "changer".into(),
        0x0c => "controller".into(),
        0x0d => "enclosure".into(),
        other => format!("type-{other:02x}h"),
    }
}
