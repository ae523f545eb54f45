//! What a drive keeps for each host, from the begin of its session to its end.
//!
//! This machine's part outlives its programs (`driveN/state`); a session's part is gone with the
//! session, also when the program that serves it is killed.

use std::collections::BTreeMap;

use scsi::Sense;
use scsi::command::protection::Protection;

use super::write_protection::Overwrite;
use super::{Drive, DriveRecord, Medium};
use crate::unit::{Attentions, Nexus};

/// One host's part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct HostState {
    /// PREVENT ALLOW MEDIUM REMOVAL is in force for it. The cartridge stays as long as one host
    /// wants it (SPC-4 §6.17).
    pub prevents_removal: bool,
    /// The check values that travel with its blocks. Lost with the session and on reset.
    pub protection: Protection,
    /// What it sent with WRITE BUFFER to get it back.
    pub echo: Vec<u8>,
}

/// REWIND ON RESET 01b (SSC-5 §8.5.6).
const REWIND: u8 = 1;

/// All hosts that the drive knows.
#[derive(Debug, Default)]
pub(super) struct Hosts(BTreeMap<Nexus, HostState>);

impl Hosts {
    /// Only this machine, as the drive's record has it.
    pub fn new(record: &DriveRecord) -> Hosts {
        let local = HostState { prevents_removal: record.prevented, ..HostState::default() };
        Hosts(BTreeMap::from([(Nexus::LOCAL, local)]))
    }

    /// A host's part.
    pub fn of(&mut self, nexus: Nexus) -> &mut HostState {
        self.0.entry(nexus).or_default()
    }

    /// The block protection that is in force for a host.
    pub fn protection(&self, nexus: Nexus) -> Protection {
        self.0.get(&nexus).map_or(Protection::default(), |host| host.protection)
    }

    /// Block protection is off for every host, and nobody's buffer holds anything.
    pub fn forget_protection(&mut self) {
        for host in self.0.values_mut() {
            host.protection = Protection::default();
            host.echo.clear();
        }
    }

    /// True if a host wants the cartridge to stay.
    pub fn prevent_removal(&self) -> bool {
        self.0.values().any(|host| host.prevents_removal)
    }

    /// Every host.
    pub fn all(&self) -> impl Iterator<Item = Nexus> {
        self.0.keys().copied()
    }

    /// The cartridge is gone: nobody prevents its removal any more.
    pub fn allow_removal(&mut self) {
        self.0.values_mut().for_each(|host| host.prevents_removal = false);
    }

    /// Notes in the record what other processes must know.
    pub fn note(&self, record: &mut DriveRecord) {
        let prevents = |local: bool| {
            self.0
                .iter()
                .any(|(nexus, host)| (*nexus == Nexus::LOCAL) == local && host.prevents_removal)
        };
        record.prevented = prevents(true);
        record.prevented_by_session = prevents(false);
    }
}

impl Drive {
    /// A session begins.
    pub(super) fn host_came(&mut self, nexus: Nexus) {
        self.hosts.of(nexus);
        self.attentions.attach(nexus, [Sense::POWER_ON]);
    }

    /// A session ended.
    pub(super) fn host_went(&mut self, nexus: Nexus) {
        self.hosts.0.remove(&nexus);
        self.reservations.nexus_lost(nexus);
        self.attentions.detach(nexus);
        self.encryption.nexus_lost(nexus);
    }

    /// LOGICAL UNIT RESET (SAM-5 §6.3.3): settings are as after power on, nobody prevents removal,
    /// every host is told. Data stays as it is, and the tape where it is, unless REWIND ON RESET wants it at its
    /// beginning.
    pub(super) fn reset_unit(&mut self) {
        let kept = self.record.clone();
        let (mut partition, mut position) = (kept.partition, kept.position);
        if kept.rewind_on_reset == REWIND
            && let Medium::Threaded(cartridge) = &mut self.medium
        {
            cartridge.select_partition(0);
            (partition, position) = (0, 0);
        }
        self.record = DriveRecord {
            load: kept.load,
            position,
            partition,
            unloaded: kept.unloaded,
            timestamp_set: kept.timestamp_set,
            timestamp_zero_ms: kept.timestamp_zero_ms,
            alerts: kept.alerts,
            written_bytes: kept.written_bytes,
            read_bytes: kept.read_bytes,
            write_errors: kept.write_errors,
            read_errors: kept.read_errors,
            write_retries: kept.write_retries,
            read_retries: kept.read_retries,
            // A reset cleans no heads.
            cleaning_wanted: kept.cleaning_wanted,
            cleaning_needed: kept.cleaning_needed,
            ..DriveRecord::power_on()
        };
        self.hosts.allow_removal();
        self.reservations.reset();
        self.encryption.forget_keys();
        self.hosts.forget_protection();
        self.overwrite = Overwrite::Refused;
        self.attentions.raise(Attentions::RESET, None);
    }
}
