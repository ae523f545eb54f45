//! From an address to an open device: the one place that knows every kind.

use anyhow::{Context, Result};
use scsi::retry::Retrying;
use scsi::{Address, Connect, Error, Transport};

/// Opens hardware and emulated libraries.
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
        Address::Iscsi { .. } => Err(Error::Open {
            device: address.to_string(),
            reason: "this version does not speak iSCSI itself; log in with the system's \
                         initiator and use the /dev/sg* device that appears"
                .into(),
        }),
    }
}
