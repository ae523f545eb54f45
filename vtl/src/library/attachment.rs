//! A nexus while it exists: from the first unit that learns of it to the last that forgets it.
//!
//! Every handle of a session holds it, so what a host set for itself goes when nobody can speak for the host any more.

use std::sync::Arc;

use super::shared::Shared;
use crate::error::{Error, Result};
use crate::unit::{LogicalUnit, Nexus};

/// The nexus while it exists. It keeps every drive open.
pub(super) struct Attachment {
    shared: Arc<Shared>,
    nexus: Nexus,
    /// Drives from 0 that have been opened for it.
    drives: u16,
    changer: bool,
}

impl Attachment {
    /// Tells all units of a host that was not there before.
    pub fn new(shared: &Arc<Shared>, port_name: &str, drives: u16) -> Result<Attachment> {
        let nexus = Nexus::of_port(port_name);
        if !shared.sessions().insert(nexus) {
            return Err(Error::UnitBusy { unit: format!("session of {port_name}") });
        }
        let mut attachment =
            Attachment { shared: Arc::clone(shared), nexus, drives: 0, changer: false };
        // From here on dropping it takes everything back.
        for number in 0..drives {
            shared.drives().attach(number)?;
            attachment.drives += 1;
            shared.on_drive(number, |drive| drive.nexus_established(nexus))?;
        }
        attachment.changer = true;
        shared.on_changer(|changer| changer.nexus_established(nexus))?;
        Ok(attachment)
    }

    /// The library of this process.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The host.
    pub fn nexus(&self) -> Nexus {
        self.nexus
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        // Nobody is left to be told of a failure: units hold what a nexus set in memory, and writing
        // the rest down is tried again by the next command.
        if self.changer {
            let _ = self.shared.on_changer(|changer| changer.nexus_lost(self.nexus));
        }
        for number in 0..self.drives {
            let _ = self.shared.on_drive(number, |drive| drive.nexus_lost(self.nexus));
            self.shared.drives().detach(number);
        }
        self.shared.sessions().remove(&self.nexus);
    }
}
