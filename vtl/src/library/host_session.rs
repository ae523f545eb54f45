//! Hosts other than this machine.
//!
//! A [`HostSession`] is one initiator port with a session to all units of the library: each unit has
//! told it nothing yet, and forgets what it set for itself when the session ends. It ends when the
//! value and all handles from it are gone.

use std::path::PathBuf;
use std::sync::Arc;

use scsi::Sense;

use super::Library;
use super::attachment::Attachment;
use super::handle::{ChangerUnit, DriveUnit};
use super::shared::Shared;
use crate::error::Result;
use crate::unit::name::Unit;
use crate::unit::{LogicalUnit, Nexus};

/// A session of a host that is not this machine.
#[derive(Clone)]
pub struct HostSession {
    attachment: Arc<Attachment>,
    dir: PathBuf,
}

impl Library {
    /// A session of the host whose initiator port has this name (for iSCSI `NAME,i,0xISID`). Its
    /// first command to each unit meets unit attention 29/00.
    ///
    /// # Errors
    ///
    /// [`crate::Error::UnitBusy`] if another process has a drive open, or if the port has a session
    /// already.
    pub fn host_session(&self, port_name: &str) -> Result<HostSession> {
        let attachment = Attachment::new(&self.shared, port_name, self.drives())?;
        Ok(HostSession { attachment: Arc::new(attachment), dir: self.dir.clone() })
    }
}

impl HostSession {
    /// A handle to a drive, numbered from 0.
    pub fn drive(&self, number: u16) -> Result<DriveUnit> {
        let attachment = Some(Arc::clone(&self.attachment));
        DriveUnit::open(
            self.attachment.shared(),
            &self.dir,
            number,
            self.attachment.nexus(),
            attachment,
        )
    }

    /// A handle to the changer.
    pub fn changer(&self) -> ChangerUnit {
        let attachment = Some(Arc::clone(&self.attachment));
        ChangerUnit::new(self.attachment.shared(), &self.dir, self.attachment.nexus(), attachment)
    }

    /// A way to tell the host something, which does not keep the session.
    pub(crate) fn reference(&self) -> HostReference {
        HostReference {
            shared: Arc::clone(self.attachment.shared()),
            nexus: self.attachment.nexus(),
        }
    }

    /// LOGICAL UNIT RESET (SAM-5 §7.7). It waits for the command that the unit is executing.
    pub fn reset(&self, unit: impl Into<Unit>) -> Result<()> {
        let shared = self.attachment.shared();
        match unit.into() {
            Unit::Drive(number) => shared.on_drive(number, LogicalUnit::reset),
            Unit::Changer => shared.on_changer(LogicalUnit::reset),
        }
    }
}

/// A host by its nexus, whether it has a session or not.
#[derive(Clone)]
pub(crate) struct HostReference {
    shared: Arc<Shared>,
    nexus: Nexus,
}

impl HostReference {
    /// Tells the host, if it has a session, what another one did to a unit. It waits for the unit as a
    /// command would.
    pub fn attend(&self, unit: Unit, sense: Sense) -> Result<()> {
        let nexus = self.nexus;
        match unit {
            Unit::Drive(number) => self.shared.on_drive(number, |drive| {
                drive.attentions().raise_for(nexus, sense);
                Ok(())
            }),
            Unit::Changer => self.shared.on_changer(|changer| {
                changer.attentions().raise_for(nexus, sense);
                Ok(())
            }),
        }
    }
}
