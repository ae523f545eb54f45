//! The library's robot as a SCSI device server (SMC-3).
//!
//! It keeps nothing in memory but what belongs to hosts (`hosts`): every command reads `robot.json` under
//! its lock, so any number of processes may each have their own [`Changer`].

mod commands;
mod element_status;
mod exchange;
mod faults;
mod hosts;
mod moves;

use std::sync::Arc;
use std::time::Duration;

use crate::abort::Abort;
use crate::clock::Timing;
use crate::config::LibraryConfig;
use crate::drive::slots::Drives;
use crate::drive::{DriveRecord, RecordFile};
use crate::error::Result;
use crate::home::Home;
use crate::identity::{REVISION, library_serial, world_wide_name};
use crate::robot::Robot;
use crate::unit::inquiry::Identity;
use crate::unit::name::Unit;
use crate::unit::reservation::Reservations;
use crate::unit::{Attentions, Nexus};
use faults::Trouble;
use hosts::Sessions;

pub(crate) use hosts::StationLock;
pub(crate) use moves::note_load;

/// The changer of one process.
pub(crate) struct Changer {
    home: Arc<Home>,
    drives: Arc<Drives>,
    identity: Identity,
    attentions: Attentions,
    sessions: Sessions,
    reservations: Reservations,
    /// What goes wrong during the present command.
    trouble: Trouble,
    /// Commands that the changer, without power, leaves without an answer.
    down: u32,
    /// When the last command ended, in the lane of whoever sent it.
    left_at: Duration,
    /// How the present command is told to end its wait.
    abort: Arc<Abort>,
}

/// Serial number, product text and world wide name of a library's changer.
pub(crate) fn identity(config: &LibraryConfig) -> Identity {
    let texts = config.personality.changer(config.generation);
    Identity {
        device_type: 0x08,
        vendor: texts.vendor,
        product: texts.product,
        revision: REVISION,
        serial: library_serial(config),
        name: world_wide_name(config.id, 0),
        bar_code_reader: true,
        extra_pages: Vec::new(),
    }
}

impl Changer {
    /// The changer of a library.
    pub fn new(home: &Arc<Home>, drives: &Arc<Drives>) -> Result<Changer> {
        let config = home.config();
        let identity = identity(config);
        let mut attentions = Attentions::default();
        attentions.attach(Nexus::LOCAL, []);
        let reservations = Reservations::open(home.dir().join("changer-reservations.json"))?;
        Ok(Changer {
            home: Arc::clone(home),
            drives: Arc::clone(drives),
            identity,
            attentions,
            sessions: Sessions::default(),
            reservations,
            trouble: Trouble::default(),
            down: 0,
            left_at: Duration::ZERO,
            abort: Arc::default(),
        })
    }

    /// A command begins: not before the last one ended.
    pub fn meet(&self) {
        self.home.clock().reach(self.left_at);
    }

    /// A command ended.
    pub fn part(&mut self) {
        if self.home.clock().timing() == Timing::Virtual {
            self.left_at = self.home.clock().now();
        }
    }

    /// From now on it is this that ends the wait of a command.
    pub(crate) fn listen_to(&mut self, abort: &Arc<Abort>) {
        self.abort = Arc::clone(abort);
    }

    fn robot(&self) -> Result<Robot> {
        Robot::lock(&self.home)
    }

    /// What a drive remembers of the load with this number; `None` if it does not know it yet.
    fn drive_record(&self, number: u16, load: u64) -> Option<DriveRecord> {
        RecordFile::peek(&self.home.drive_folder(number)).filter(|record| record.load == load)
    }

    fn unit(&self) -> Unit {
        Unit::Changer
    }
}
