//! Reservations of a logical unit: which host may use it (SPC-4 §5.13; RESERVE and RELEASE of
//! SPC-2).
//!
//! Hosts register a key, a registered host reserves, the others meet RESERVATION CONFLICT at the
//! commands that [`access`] names. Registrations outlive sessions, because a [`Nexus`] stands for the
//! initiator port; the older RESERVE ends with its session. As this unit lives longer than the programs
//! that serve it, registrations are written down with each change ([`store`]): a new program finds
//! them, a restart of the machine keeps them only if a host asked for that (APTPL).
//!
//! Each process that serves a changer keeps its own list. The programs of this machine are one host, so
//! only sessions of *another* serving process would be missed; a drive belongs to one process anyway.

mod access;
mod store;

use std::collections::BTreeMap;
use std::path::PathBuf;

use scsi::Sense;
use scsi::command::reservation::{
    self, Held, InAction, Kind, OUT_BYTES, OutAction, OutParameters, Registration,
};

use super::{Command, Done, LogicalUnit, Nexus, Stop};
use crate::error::Result;

pub(crate) use access::Access;

/// Registrations were removed by PREEMPT while the reservation stayed (6/2A/05).
const REGISTRATIONS_PREEMPTED: Sense = attention(0x05);
/// A reservation for registrants was released (6/2A/04).
const RESERVATIONS_RELEASED: Sense = attention(0x04);
/// All was removed by CLEAR (6/2A/03).
const RESERVATIONS_PREEMPTED: Sense = attention(0x03);
/// RELEASE names another type than the reservation has (5/26/04).
const INVALID_RELEASE: Sense = Sense::new(scsi::SenseKey::IllegalRequest, 0x26, 0x04);

const fn attention(ascq: u8) -> Sense {
    Sense::new(scsi::SenseKey::UnitAttention, 0x2a, ascq)
}

/// The persistent reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hold {
    /// Who reserved. With the types for all registrants every one of them holds it.
    by: Nexus,
    kind: Kind,
}

/// All reservations of one unit.
#[derive(Debug)]
pub(crate) struct Reservations {
    path: PathBuf,
    state: State,
    /// The host that sent RESERVE.
    exclusive: Option<Nexus>,
}

/// What is written down.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct State {
    /// Goes up with each change of registrations.
    generation: u32,
    survives_power_loss: bool,
    keys: BTreeMap<Nexus, u64>,
    hold: Option<Hold>,
}

/// Conditions to be told to hosts.
type News = Vec<(Nexus, Sense)>;

impl Reservations {
    /// The reservations written down at `path`, as far as they still hold.
    pub fn open(path: PathBuf) -> Result<Reservations> {
        let state = store::read(&path)?;
        Ok(Reservations { path, state, exclusive: None })
    }

    /// A session ended: RESERVE ends with it, registrations stay.
    pub fn nexus_lost(&mut self, nexus: Nexus) {
        if self.exclusive == Some(nexus) {
            self.exclusive = None;
        }
    }

    /// The unit was reset: RESERVE ends, registrations stay.
    pub fn reset(&mut self) {
        self.exclusive = None;
    }

    /// True if the reservations of other hosts forbid `nexus` a command with these needs.
    pub fn conflict(&self, nexus: Nexus, access: Access) -> bool {
        if let Some(holder) = self.exclusive {
            return holder != nexus && access.conflicts_with_reserve();
        }
        let Some(hold) = self.state.hold else { return false };
        let admitted = hold.by == nexus
            || (hold.kind.is_for_registrants() && self.state.keys.contains_key(&nexus));
        !admitted && access.conflicts_with(hold.kind)
    }

    /// RESERVE(6) and (10). A registered host has by its registration what RESERVE would give it
    /// (SPC-4 §5.13.3: compatible reservation handling).
    fn reserve(&mut self, nexus: Nexus) -> Done {
        if !self.state.keys.is_empty() {
            let registered = self.state.keys.contains_key(&nexus);
            return if registered { Ok(()) } else { Err(Stop::Conflict) };
        }
        match self.exclusive {
            Some(holder) if holder != nexus => Err(Stop::Conflict),
            _ => {
                self.exclusive = Some(nexus);
                Ok(())
            }
        }
    }

    /// RELEASE(6) and (10): of no effect for who has not reserved.
    fn release(&mut self, nexus: Nexus) {
        self.nexus_lost(nexus);
    }
}

/// PERSISTENT RESERVE OUT.
impl State {
    fn key_of(&self, nexus: Nexus) -> Option<u64> {
        self.keys.get(&nexus).copied()
    }

    fn changed(&mut self) {
        self.generation = self.generation.wrapping_add(1);
    }

    fn is_holder(&self, nexus: Nexus) -> bool {
        self.hold.is_some_and(|hold| {
            if hold.kind.is_for_all_registrants() {
                self.keys.contains_key(&nexus)
            } else {
                hold.by == nexus
            }
        })
    }

    /// The same news for all registered hosts but one.
    fn tell(&self, sense: Sense, except: Nexus) -> News {
        let others = self.keys.keys().filter(|nexus| **nexus != except);
        others.map(|nexus| (*nexus, sense)).collect()
    }

    /// Does what a host asks, or refuses without any change.
    fn apply(
        &mut self,
        nexus: Nexus,
        action: OutAction,
        kind: Option<Kind>,
        parameters: &OutParameters,
    ) -> std::result::Result<News, Stop> {
        let registered = self.key_of(nexus);
        match action {
            OutAction::Register | OutAction::RegisterAndIgnoreExistingKey => {
                if action == OutAction::Register && registered.unwrap_or(0) != parameters.key {
                    return Err(Stop::Conflict);
                }
                return Ok(self.register(nexus, parameters));
            }
            _ if registered != Some(parameters.key) => return Err(Stop::Conflict),
            _ => {}
        }
        let kind = || kind.ok_or(Sense::INVALID_FIELD_IN_CDB);
        match action {
            OutAction::Reserve => {
                let kind = kind()?;
                match self.hold {
                    None => self.hold = Some(Hold { by: nexus, kind }),
                    Some(hold) if self.is_holder(nexus) && hold.kind == kind => {}
                    Some(_) => return Err(Stop::Conflict),
                }
                Ok(News::new())
            }
            OutAction::Release => {
                let kind = kind()?;
                if !self.is_holder(nexus) {
                    return Ok(News::new());
                }
                if self.hold.is_some_and(|hold| hold.kind != kind) {
                    return Err(INVALID_RELEASE.into());
                }
                self.hold = None;
                let told = kind.is_for_registrants();
                Ok(if told { self.tell(RESERVATIONS_RELEASED, nexus) } else { News::new() })
            }
            OutAction::Clear => {
                let news = self.tell(RESERVATIONS_PREEMPTED, nexus);
                self.keys.clear();
                self.hold = None;
                self.changed();
                Ok(news)
            }
            OutAction::Preempt | OutAction::PreemptAndAbort => {
                // Commands are executed one by one, so there is never one to abort.
                self.preempt(nexus, kind(), parameters.action_key)
            }
            OutAction::Register | OutAction::RegisterAndIgnoreExistingKey => Ok(News::new()),
        }
    }

    fn register(&mut self, nexus: Nexus, parameters: &OutParameters) -> News {
        let mut news = News::new();
        if parameters.action_key != 0 {
            self.keys.insert(nexus, parameters.action_key);
        } else if self.keys.remove(&nexus).is_none() {
            // Nothing was there and nothing is.
            return news;
        } else if let Some(hold) = self.hold {
            self.settle_holder();
            if self.hold.is_none() && hold.kind.is_for_registrants() {
                news = self.tell(RESERVATIONS_RELEASED, nexus);
            }
        }
        self.survives_power_loss = parameters.survives_power_loss;
        self.changed();
        news
    }

    /// After a registration went: who leaves takes its reservation along; one of all registrants
    /// stays for the others.
    fn settle_holder(&mut self) {
        let Some(hold) = &mut self.hold else { return };
        if self.keys.contains_key(&hold.by) {
            return;
        }
        match self.keys.keys().next() {
            Some(other) if hold.kind.is_for_all_registrants() => hold.by = *other,
            _ => self.hold = None,
        }
    }

    /// PREEMPT (SPC-4 §5.13.11.4): removes registrations with the key, and takes the reservation over if
    /// one of them held it.
    fn preempt(
        &mut self,
        nexus: Nexus,
        kind: std::result::Result<Kind, Sense>,
        victim: u64,
    ) -> std::result::Result<News, Stop> {
        let hold = self.hold;
        let of_all = hold.is_some_and(|hold| hold.kind.is_for_all_registrants());
        let takes_over = match hold {
            None => false,
            Some(_) if of_all => victim == 0,
            Some(hold) => self.key_of(hold.by) == Some(victim),
        };
        if victim == 0 && !of_all {
            return Err(Sense::INVALID_FIELD_IN_PARAMETERS.into());
        }
        let everybody = takes_over && of_all;
        let victims: Vec<Nexus> = self
            .keys
            .iter()
            .filter(|(_, key)| everybody || **key == victim)
            .map(|(victim, _)| *victim)
            .collect();
        if victims.is_empty() {
            return Err(Stop::Conflict);
        }
        let new = if takes_over { Some(Hold { by: nexus, kind: kind? }) } else { hold };
        let mut news = News::new();
        for victim in victims.into_iter().filter(|victim| *victim != nexus) {
            self.keys.remove(&victim);
            news.push((victim, REGISTRATIONS_PREEMPTED));
        }
        if takes_over
            && let (Some(old), Some(new)) = (hold, new)
            && old.kind != new.kind
            && old.kind.is_for_registrants()
        {
            news.extend(self.tell(RESERVATIONS_RELEASED, nexus));
        }
        self.hold = new;
        self.settle_holder();
        self.changed();
        Ok(news)
    }

    /// The reply of PERSISTENT RESERVE IN.
    fn reply(&self, action: InAction) -> Vec<u8> {
        match action {
            InAction::ReadKeys => {
                reservation::build_keys(self.generation, self.keys.values().copied())
            }
            InAction::ReadReservation => {
                let held = self.hold.map(|hold| {
                    let of_all = hold.kind.is_for_all_registrants();
                    let key = if of_all { 0 } else { self.key_of(hold.by).unwrap_or(0) };
                    Held { key, kind: hold.kind as u8 }
                });
                reservation::build_reservation(self.generation, held)
            }
            InAction::ReportCapabilities => {
                reservation::build_capabilities(self.survives_power_loss).to_vec()
            }
            InAction::ReadFullStatus => {
                let registrations: Vec<Registration> = self
                    .keys
                    .iter()
                    .map(|(nexus, key)| Registration {
                        key: *key,
                        holds: self
                            .hold
                            .filter(|_| self.is_holder(*nexus))
                            .map(|hold| hold.kind as u8),
                        target_port: 1,
                        transport_id: transport_id(*nexus),
                    })
                    .collect();
                reservation::build_full_status(self.generation, &registrations)
            }
        }
    }
}

/// How READ FULL STATUS names a host. This machine has no port: "no specific protocol" (SPC-4 table
/// 436).
fn transport_id(nexus: Nexus) -> Vec<u8> {
    const NO_SPECIFIC_PROTOCOL: u8 = 0x0f;
    match nexus.port_name() {
        Some(name) => reservation::iscsi_transport_id(&name),
        None => {
            let mut id = vec![0; 24];
            if let [first, ..] = id.as_mut_slice() {
                *first = NO_SPECIFIC_PROTOCOL;
            }
            id
        }
    }
}

/// RESERVE(6) and (10): the whole unit, for the sender.
pub(crate) fn reserve<U: LogicalUnit>(unit: &mut U, command: &mut Command<'_, '_>) -> Done {
    refuse_parts(command)?;
    unit.reservations().reserve(command.nexus)
}

/// RELEASE(6) and (10).
pub(crate) fn release<U: LogicalUnit>(unit: &mut U, command: &mut Command<'_, '_>) -> Done {
    refuse_parts(command)?;
    unit.reservations().release(command.nexus);
    Ok(())
}

/// Reservations of elements, of extents and for third parties are obsolete.
fn refuse_parts(command: &Command<'_, '_>) -> Done {
    let rest: u64 = match command.cdb().len() {
        6 => command.number(1, 4),
        _ => command.number(1, 8),
    };
    if rest == 0 { Ok(()) } else { Err(Sense::INVALID_FIELD_IN_CDB.into()) }
}

/// PERSISTENT RESERVE IN.
pub(crate) fn read<U: LogicalUnit>(unit: &mut U, command: &mut Command<'_, '_>) -> Done {
    let action = InAction::from_byte(command.byte(1)).ok_or(Sense::INVALID_FIELD_IN_CDB)?;
    let reply = unit.reservations().state.reply(action);
    command.reply(&reply, command.number(7, 2));
    Ok(())
}

/// PERSISTENT RESERVE OUT. The change is durable when the command ends.
pub(crate) fn write<U: LogicalUnit>(unit: &mut U, command: &mut Command<'_, '_>) -> Done {
    let action = OutAction::from_byte(command.byte(1)).ok_or(Sense::INVALID_FIELD_IN_CDB)?;
    let scope = command.byte(2) >> 4;
    if scope != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let length = command.number(5, 4) as usize;
    if length != OUT_BYTES {
        return Err(Sense::PARAMETER_LIST_LENGTH.into());
    }
    let parameters = OutParameters::parse(command.parameters(length)?)
        .map_err(|_| Sense::PARAMETER_LIST_LENGTH)?;
    if parameters.lists_ports || parameters.all_target_ports {
        // Neither capability is reported.
        return Err(Sense::INVALID_FIELD_IN_PARAMETERS.into());
    }
    let kind = Kind::from_byte(command.byte(2));
    let nexus = command.nexus;
    let reservations = unit.reservations();
    if reservations.exclusive.is_some_and(|holder| holder != nexus) {
        return Err(Stop::Conflict);
    }
    let mut state = reservations.state.clone();
    let news = state.apply(nexus, action, kind, &parameters)?;
    if state != reservations.state {
        store::write(&reservations.path, &state)?;
        reservations.state = state;
    }
    for (nexus, sense) in news {
        unit.attentions().raise_for(nexus, sense);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
