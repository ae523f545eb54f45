//! The library's robot as a SCSI device server (SMC-3).
//!
//! It keeps nothing in memory but the attentions that wait: every command reads `robot.json` under
//! its lock, so any number of processes may each have their own [`Changer`].

mod commands;
mod element_status;
mod moves;

use std::sync::Arc;

use scsi::Sense;

use crate::drive::slots::Drives;
use crate::drive::{DriveRecord, RecordFile, boot_id};
use crate::error::Result;
use crate::home::Home;
use crate::identity::{REVISION, library_serial, world_wide_name};
use crate::robot::Robot;
use crate::unit::inquiry::Identity;
use crate::unit::name::Unit;
use crate::unit::{Attentions, Nexus};

/// The changer of one process.
pub(crate) struct Changer {
    home: Arc<Home>,
    drives: Arc<Drives>,
    identity: Identity,
    attentions: Attentions,
}

impl Changer {
    /// The changer of a library.
    pub fn new(home: &Arc<Home>, drives: &Arc<Drives>) -> Changer {
        let config = home.config();
        let texts = config.personality.changer(config.generation);
        let identity = Identity {
            device_type: 0x08,
            vendor: texts.vendor,
            product: texts.product,
            revision: REVISION,
            serial: library_serial(config),
            name: world_wide_name(config.id, 0),
            bar_code_reader: true,
            extra_pages: Vec::new(),
        };
        let mut attentions = Attentions::default();
        attentions.attach(Nexus::LOCAL, []);
        Changer { home: Arc::clone(home), drives: Arc::clone(drives), identity, attentions }
    }

    fn robot(&self) -> Result<Robot> {
        Robot::lock(&self.home)
    }

    /// Takes over what waits for this machine in the shared state.
    fn collect_attentions(&mut self) -> Result<()> {
        let mut robot = self.robot()?;
        let boot = format!("{:016x}", boot_id());
        let waiting = &mut robot.state.attentions;
        let mut found = Vec::new();
        if waiting.power_on_told != boot {
            found.push(Sense::POWER_ON);
            waiting.power_on_told = boot;
        }
        if std::mem::take(&mut waiting.station_accessed) {
            found.push(Sense::STATION_ACCESSED);
        }
        if std::mem::take(&mut waiting.inventory_changed) {
            found.push(Sense::MEDIUM_CHANGED);
        }
        robot.commit()?;
        for sense in found {
            self.attentions.raise(sense, None);
        }
        Ok(())
    }

    /// What a drive remembers of the load with this number; `None` if it does not know it yet.
    fn drive_record(&self, number: u16, load: u64) -> Option<DriveRecord> {
        RecordFile::peek(&self.home.drive_folder(number)).filter(|record| record.load == load)
    }

    fn unit(&self) -> Unit {
        Unit::Changer
    }
}
