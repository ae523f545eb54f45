//! Handles through which programs of this process reach the units.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use scsi::{Data, Reply, Status, Transport};

use super::attachment::Attachment;
use super::shared::Shared;
use crate::abort::Abort;
use crate::changer::Changer;
use crate::clock::Lane;
use crate::error::{self, Error};
use crate::unit::name::Unit;
use crate::unit::{self, Command, Failure, LogicalUnit, Nexus, Outcome};

/// The address of a unit as users write it.
pub(super) fn name(dir: &Path, unit: Unit) -> String {
    match unit {
        Unit::Drive(number) => format!("vtl:{}#drive{number}", dir.display()),
        Unit::Changer => format!("vtl:{}#changer", dir.display()),
    }
}

/// An open drive. Dropping the last handle of the process closes the drive; the tape stays where it
/// is.
pub struct DriveUnit {
    shared: Arc<Shared>,
    number: u16,
    nexus: Nexus,
    name: String,
    lane: Option<Lane>,
    /// The session that it belongs to, if it is not this machine's.
    _session: Option<Arc<Attachment>>,
}

/// An open changer.
pub struct ChangerUnit {
    shared: Arc<Shared>,
    nexus: Nexus,
    name: String,
    lane: Option<Lane>,
    /// The session that it belongs to, if it is not this machine's.
    _session: Option<Arc<Attachment>>,
}

/// How a command ended, with all that a transport of its own has to tell the host.
#[derive(Debug)]
pub(crate) struct Ended {
    pub status: Status,
    /// Bytes that moved.
    pub transferred: usize,
    /// Bytes that would have moved with room, or data, for all of them.
    pub wanted: u64,
    /// Sense data in the format that the host chose, or empty.
    pub sense: Vec<u8>,
}

/// Carries out a command and keeps what [`Reply`] has no place for.
fn run<U: LogicalUnit>(unit: &mut U, mut command: Command<'_, '_>) -> Result<Ended, Failure> {
    let reply = unit::execute(unit, &mut command)?;
    let sense = reply.sense.map_or(Vec::new(), |sense| {
        if unit.descriptor_sense() { sense.to_descriptor() } else { sense.to_fixed().to_vec() }
    });
    let wanted = command.wanted();
    Ok(Ended { status: reply.status, transferred: reply.transferred, wanted, sense })
}

/// Lets something happen in the lane of a handle.
fn in_lane<R>(lane: Option<&Lane>, work: impl FnOnce() -> R) -> R {
    match lane {
        Some(lane) => lane.run(work),
        None => work(),
    }
}

/// A unit whose files cannot be opened.
fn unopened(error: Error) -> Failure {
    Failure::Host(io::Error::other(error))
}

/// A failure of the host's file system has no sense data: it is the way to the device that failed.
fn deliver(outcome: Outcome, name: &str) -> Result<Reply, scsi::Error> {
    outcome.map_err(|failure| match failure {
        Failure::Host(source) => scsi::Error::Io { device: name.to_owned(), source },
        Failure::NoAnswer => scsi::Error::Transport {
            device: name.to_owned(),
            reason: "the device does not answer".into(),
        },
    })
}

impl DriveUnit {
    pub(super) fn open(
        shared: &Arc<Shared>,
        dir: &Path,
        number: u16,
        nexus: Nexus,
        session: Option<Arc<Attachment>>,
    ) -> error::Result<DriveUnit> {
        shared.drives().attach(number)?;
        let name = name(dir, Unit::Drive(number));
        Ok(DriveUnit {
            shared: Arc::clone(shared),
            number,
            nexus,
            name,
            lane: None,
            _session: session,
        })
    }
}

impl DriveUnit {
    /// Commands of this handle take their time in a lane from here on.
    #[must_use]
    pub fn in_lane(mut self, lane: &Lane) -> DriveUnit {
        self.lane = Some(lane.clone());
        self
    }

    /// Carries out a command from any thread. Without `wait` it is not begun, and the answer is `None`,
    /// while another one keeps the drive busy. `abort` ends its wait for the tape.
    pub(crate) fn run(
        &self,
        cdb: &[u8],
        data: Data<'_>,
        wait: bool,
        abort: &Arc<Abort>,
    ) -> Result<Option<Ended>, Failure> {
        let drives = self.shared.drives();
        let slot =
            if wait { drives.slot(self.number).map(Some) } else { drives.try_slot(self.number) };
        let Some(mut slot) = slot.map_err(unopened)? else { return Ok(None) };
        let closed = || Failure::Host(io::Error::other("the drive was closed"));
        let drive = slot.drive_mut().ok_or_else(closed)?;
        drive.listen_to(abort);
        let ended = run(drive, Command::new(self.nexus, cdb, data));
        drive.listen_to(&Arc::default());
        ended.map(Some)
    }
}

impl Drop for DriveUnit {
    fn drop(&mut self) {
        self.shared.drives().detach(self.number);
    }
}

impl Transport for DriveUnit {
    fn execute(
        &mut self,
        cdb: &[u8],
        data: Data<'_>,
        _timeout: Duration,
    ) -> Result<Reply, scsi::Error> {
        let failed = |reason: String| scsi::Error::Transport { device: self.name.clone(), reason };
        let mut slot =
            self.shared.drives().slot(self.number).map_err(|error| failed(error.to_string()))?;
        let clock = self.shared.home().clock();
        let outcome = in_lane(self.lane.as_ref(), || {
            slot.meet(clock);
            let drive = slot.drive_mut().ok_or_else(|| failed("the drive was closed".into()))?;
            let outcome = unit::execute(drive, &mut Command::new(self.nexus, cdb, data));
            slot.part(clock);
            Ok(outcome)
        })?;
        deliver(outcome, &self.name)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl ChangerUnit {
    pub(super) fn new(
        shared: &Arc<Shared>,
        dir: &Path,
        nexus: Nexus,
        session: Option<Arc<Attachment>>,
    ) -> ChangerUnit {
        let name = name(dir, Unit::Changer);
        ChangerUnit { shared: Arc::clone(shared), nexus, name, lane: None, _session: session }
    }
}

impl ChangerUnit {
    /// Commands of this handle take their time in a lane from here on.
    #[must_use]
    pub fn in_lane(mut self, lane: &Lane) -> ChangerUnit {
        self.lane = Some(lane.clone());
        self
    }

    /// Carries out a command from any thread. `abort` ends its wait for the robot.
    pub(crate) fn run(
        &self,
        cdb: &[u8],
        data: Data<'_>,
        abort: &Arc<Abort>,
    ) -> Result<Ended, Failure> {
        let command = Command::new(self.nexus, cdb, data);
        let with = |changer: &mut Changer| {
            changer.listen_to(abort);
            let ended = run(changer, command);
            changer.listen_to(&Arc::default());
            ended
        };
        self.shared.with_changer(with).map_err(unopened)?
    }
}

impl Transport for ChangerUnit {
    fn execute(
        &mut self,
        cdb: &[u8],
        data: Data<'_>,
        _timeout: Duration,
    ) -> Result<Reply, scsi::Error> {
        let mut command = Command::new(self.nexus, cdb, data);
        let done = in_lane(self.lane.as_ref(), || {
            self.shared.with_changer(|changer| {
                changer.meet();
                let outcome = unit::execute(changer, &mut command);
                changer.part();
                outcome
            })
        });
        let outcome = done.map_err(|error| scsi::Error::Transport {
            device: self.name.clone(),
            reason: error.to_string(),
        })?;
        deliver(outcome, &self.name)
    }

    fn name(&self) -> &str {
        &self.name
    }
}
