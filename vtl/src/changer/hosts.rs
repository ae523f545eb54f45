//! What the changer keeps for each host, and how hosts learn what an operator did.
//!
//! What waits for this machine is in `robot.json`, for whichever of its programs asks next. Sessions
//! live in the process that serves them: it counts what it has told them of the operator's doings
//! against the counts in `robot.json`. A session that locks the import/export station holds a shared
//! lock on a file, so the station is free again when the serving process dies.

use std::collections::BTreeSet;
use std::fs::File;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use scsi::Sense;

use super::Changer;
use crate::durable;
use crate::error::{Error, Result};
use crate::home::Home;
use crate::home::boot_id;
use crate::robot::OperatorEvents;
use crate::unit::{Attentions, Nexus};

/// The import/export station locked by sessions of this process.
#[derive(Debug)]
pub(crate) struct StationLock {
    _file: Flock<File>,
}

impl StationLock {
    /// Locks the station; several processes may.
    fn take(home: &Home) -> Result<StationLock> {
        let path = home.dir().join("station.lock");
        let file = durable::open_lock_file(&path)?;
        // Operators try the lock only while they hold the robot, and so does the caller: nobody
        // waits here for longer than a look.
        Flock::lock(file, FlockArg::LockShared)
            .map(|file| StationLock { _file: file })
            .map_err(|(_, errno)| Error::Io { path, source: errno.into() })
    }

    /// True if sessions of some process have locked the station.
    pub fn is_held(home: &Home) -> Result<bool> {
        let path = home.dir().join("station.lock");
        let file = durable::open_lock_file(&path)?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_) => Ok(false),
            Err((_, Errno::EWOULDBLOCK)) => Ok(true),
            Err((_, errno)) => Err(Error::Io { path, source: errno.into() }),
        }
    }
}

/// Hosts other than this machine.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    /// What of the operator's doings they were told. `None`: there was no session yet.
    told: Option<OperatorEvents>,
    /// Those that lock the station.
    preventing: BTreeSet<Nexus>,
    lock: Option<StationLock>,
}

impl Changer {
    /// Takes over what waits for hosts in the shared state.
    pub(super) fn collect_attentions(&mut self) -> Result<()> {
        // A new plan of faults is noticed with the counter.
        self.home.robot_changes()?;
        let mut robot = self.robot()?;
        let boot = format!("{:016x}", boot_id());
        let waiting = &mut robot.state.attentions;
        let events = waiting.events;
        let mut local = Vec::new();
        if waiting.power_on_told != boot {
            local.push(Sense::POWER_ON);
            waiting.power_on_told = boot;
        }
        if std::mem::take(&mut waiting.station_accessed) {
            local.push(Sense::STATION_ACCESSED);
        }
        if std::mem::take(&mut waiting.inventory_changed) {
            local.push(Sense::MEDIUM_CHANGED);
        }
        robot.commit()?;
        for sense in local {
            self.attentions.raise_for(Nexus::LOCAL, sense);
        }
        if let Some(told) = self.sessions.told.replace(events) {
            if told.station != events.station {
                self.attentions.raise(Sense::STATION_ACCESSED, Some(Nexus::LOCAL));
            }
            if told.inventory != events.inventory {
                self.attentions.raise(Sense::MEDIUM_CHANGED, Some(Nexus::LOCAL));
            }
        }
        Ok(())
    }

    /// Puts what this machine was not told yet back into the shared state: the next program of it
    /// may be another process.
    pub(super) fn return_attentions(&mut self) -> Result<()> {
        let waits = |sense| self.attentions.waits(Nexus::LOCAL, sense);
        let station = waits(&Sense::STATION_ACCESSED);
        let inventory = waits(&Sense::MEDIUM_CHANGED);
        let power_on = waits(&Sense::POWER_ON);
        if !(station || inventory || power_on) {
            return Ok(());
        }
        let mut robot = self.robot()?;
        let waiting = &mut robot.state.attentions;
        waiting.station_accessed |= station;
        waiting.inventory_changed |= inventory;
        if power_on {
            waiting.power_on_told.clear();
        }
        robot.commit()?;
        for sense in [Sense::STATION_ACCESSED, Sense::MEDIUM_CHANGED, Sense::POWER_ON] {
            self.attentions.withdraw_from(Nexus::LOCAL, &sense);
        }
        Ok(())
    }

    /// A session begins. It knows nothing yet, so it is told only what happens from here on.
    pub(super) fn host_came(&mut self, nexus: Nexus) -> Result<()> {
        self.collect_attentions()?;
        self.return_attentions()?;
        self.attentions.attach(nexus, [Sense::POWER_ON]);
        Ok(())
    }

    /// A session ended.
    pub(super) fn host_went(&mut self, nexus: Nexus) {
        self.attentions.detach(nexus);
        self.reservations.nexus_lost(nexus);
        self.release_station(nexus);
    }

    /// Locks or unlocks the import/export station for a host.
    pub(super) fn prevent_removal(&mut self, nexus: Nexus, prevent: bool) -> Result<()> {
        let mut robot = self.robot()?;
        if nexus == Nexus::LOCAL {
            robot.state.station_locked = prevent;
            return robot.commit();
        }
        if prevent {
            if self.sessions.lock.is_none() {
                self.sessions.lock = Some(StationLock::take(&self.home)?);
            }
            self.sessions.preventing.insert(nexus);
        } else {
            self.release_station(nexus);
        }
        Ok(())
    }

    fn release_station(&mut self, nexus: Nexus) {
        self.sessions.preventing.remove(&nexus);
        if self.sessions.preventing.is_empty() {
            self.sessions.lock = None;
        }
    }

    /// LOGICAL UNIT RESET: the station is free and every host is told.
    pub(super) fn reset_unit(&mut self) -> Result<()> {
        self.sessions.preventing.clear();
        self.sessions.lock = None;
        let mut robot = self.robot()?;
        robot.state.station_locked = false;
        robot.commit()?;
        self.reservations.reset();
        self.attentions.raise(Attentions::RESET, None);
        Ok(())
    }
}
