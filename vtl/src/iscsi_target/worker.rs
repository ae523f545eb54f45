//! How the commands of a session are carried out, and by which thread.

use std::time::Instant;

use scsi::Data;
use scsi::command::opcode;

use super::lanes::{Place, Ready, Work};
use super::management::Management;
use super::registry::Registry;
use super::session::Session;
use super::units::{self, Outcome, Units};
use crate::library::HostSession;

/// The nexus of a session to the units, which ends with this value.
pub struct Nexus {
    pub host: HostSession,
    pub units: Units,
}

/// What a session's own threads work with.
#[derive(Clone, Copy)]
pub struct Worker<'s> {
    pub session: &'s Session,
    pub nexus: &'s Nexus,
    pub registry: &'s Registry,
}

/// Commands that a drive ends at once or within a block's time. What moves tape is not among them.
fn is_short(code: u8) -> bool {
    matches!(
        code,
        opcode::TEST_UNIT_READY
            | opcode::REQUEST_SENSE
            | opcode::READ_BLOCK_LIMITS
            | opcode::READ_6
            | opcode::WRITE_6
            | opcode::INQUIRY
            | opcode::MODE_SENSE_6
            | opcode::MODE_SENSE_10
            | opcode::READ_POSITION
            | opcode::LOG_SENSE
            | opcode::REPORT_LUNS
    )
}

impl Worker<'_> {
    /// The lane of a logical unit; the last one is for numbers without a unit.
    pub fn lane_of(&self, lun: u64) -> usize {
        let units = self.nexus.units.count();
        usize::try_from(lun).map_or(units, |lun| lun.min(units))
    }

    /// True if the reading thread may carry out a command. The robot may be waiting for another process.
    pub fn may_carry_out(&self, lun: u64, code: u8) -> bool {
        lun != units::LUN_CHANGER && is_short(code)
    }

    /// Does what a lane holds until the session is over.
    pub fn work(&self, lane: usize) {
        while let Some(work) = self.session.lanes.next(lane) {
            match work {
                Work::Command(ready) => {
                    self.carry_out(lane, ready, true);
                }
                Work::Manage(management) => self.manage(lane, management),
            }
        }
    }

    /// Does a management function's part in a lane; the last part answers.
    fn manage(&self, lane: usize, management: Management) {
        let unit = u64::try_from(lane).ok().and_then(|lun| self.nexus.units.unit(lun));
        let Some(verdict) = management.carry_out(&self.nexus.host, unit) else { return };
        self.session.answer_management(verdict.task_tag, verdict.result);
        if verdict.ends_sessions {
            self.registry.sessions().iter().for_each(|session| session.close());
        }
    }

    /// Carries a command out and sends its end. Without `wait` it may come back with its lane's need
    /// for a thread.
    pub fn carry_out(&self, lane: usize, mut ready: Ready, wait: bool) -> Option<Place> {
        let Session { lanes, outbox, agreed, .. } = self.session;
        let command = &ready.command;
        let cdb = command.cdb;
        let cdb = cdb.get(..opcode::cdb_bytes(cdb[0])).unwrap_or(&cdb);
        let expected = command.expected_bytes as usize;
        let began = Instant::now();
        let ended = match ready.refusal {
            Some(sense) => Outcome::Ended(units::refused(sense)),
            None => {
                let data = match (command.is_read, command.is_write) {
                    _ if expected == 0 => Data::None,
                    (true, _) => Data::In(ready.buffer.room(expected)),
                    (_, true) => Data::Out(ready.buffer.filled()),
                    _ => Data::None,
                };
                self.nexus.units.run(command.lun, cdb, data, wait, &ready.abort)
            }
        };
        let ended = match ended {
            Outcome::Ended(ended) => Some(ended),
            Outcome::Silence => None,
            Outcome::Busy => {
                let place = lanes.put_back(lane, ready);
                if matches!(place, Place::Gone) {
                    lanes.conclude(lane, began.elapsed(), outbox);
                    self.session.send_aftermath(lanes.finish(lane, Default::default()));
                }
                return Some(place);
            }
        };
        let is_wanted = lanes.conclude(lane, began.elapsed(), outbox);
        if let Some(ended) = ended.filter(|_| is_wanted) {
            let sent =
                if command.is_read && ready.refusal.is_none() { ended.transferred } else { 0 };
            let (tag, expected) = (command.task_tag, command.expected_bytes);
            let data = ready.buffer.first(sent);
            outbox.end_command(agreed, tag, &ended, data, expected, ready.r2ts);
        }
        self.session.send_aftermath(lanes.finish(lane, ready.buffer));
        None
    }
}
