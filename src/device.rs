//! From an address to an open device: the one place that knows every kind.

use std::sync::OnceLock;

use anyhow::{Context, Result};
use scsi::iscsi::initiator::{IscsiDevice, Portal};
use scsi::retry::Retrying;
use scsi::{Address, Connect, Error, Transport};

use crate::config::Places;

/// The folders of this process, which has one pair of them: iSCSI needs users, passwords and the name of
/// this host from there.
static PLACES: OnceLock<Places> = OnceLock::new();

/// Tells where the configuration lies. What comes first counts.
pub fn set_places(places: &Places) {
    PLACES.get_or_init(|| places.clone());
}

/// Opens hardware, emulated libraries and units of iSCSI targets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Devices;

/// Parses an address for the configuration: a folder in it becomes absolute, because later commands
/// may run elsewhere.
pub fn absolute(text: &str) -> Result<Address> {
    let mut address: Address = text.parse()?;
    if let Address::Vtl { dir, .. } = &mut address {
        *dir = dir.canonicalize().with_context(|| format!("cannot open {}", dir.display()))?;
    }
    Ok(address)
}

impl Connect for Devices {
    /// Whatever the way: what a busy device or adapter certainly did not do is asked for again.
    fn connect(&self, address: &Address) -> std::result::Result<Box<dyn Transport>, Error> {
        Ok(Box::new(Retrying::new(open(address)?)))
    }
}

fn open(address: &Address) -> std::result::Result<Box<dyn Transport>, Error> {
    match address {
        Address::Sg(path) => Ok(Box::new(scsi::sg::SgDevice::open(path)?)),
        Address::Vtl { dir, unit } => vtl::open_unit(dir, *unit),
        Address::Iscsi { host, port, target, lun } => {
            let portal = Portal { host: host.clone(), port: *port };
            let options =
                crate::iscsi::options(PLACES.get(), &portal, Some(target)).map_err(|error| {
                    Error::Open { device: address.to_string(), reason: format!("{error:#}") }
                })?;
            Ok(Box::new(IscsiDevice::open(&portal, target, *lun, &options)?))
        }
    }
}
