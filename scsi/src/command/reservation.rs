//! Persistent reservations (SPC-4 §5.13, §6.15, §6.16): a host's exclusive right to a unit that
//! outlives its session.
//!
//! PERSISTENT RESERVE IN `5E aa 00 00 00 00 00 LL LL 00`: aa service action, L allocation length.
//! Reply of READ KEYS: generation\[4\], length\[4\], keys of 8 bytes. READ RESERVATION: generation\[4\],
//! length\[4\] (0 or 16), key\[8\], 4 obsolete, reserved, scope and type, 2 obsolete. REPORT CAPABILITIES:
//! length\[2\] = 8, flags {CRH 10h, SIP_C 08h, ATP_C 04h, PTPL_C 01h}, flags {TMV 80h, PTPL_A 01h}, type
//! mask\[2\], 2 reserved. READ FULL STATUS: generation\[4\], length\[4\], then per registration key\[8\],
//! 4 reserved, flags {ALL_TG_PT 02h, R_HOLDER 01h}, scope and type, 4 reserved, relative port\[2\], length
//! of the transport identifier\[4\], transport identifier.
//!
//! PERSISTENT RESERVE OUT `5F aa st 00 00 LL LL LL LL 00`: st scope (high) and type (low). Parameters,
//! 24 bytes: key\[8\], service action key\[8\], 4 obsolete, flags {SPEC_I_PT 08h, ALL_TG_PT 04h, APTPL 01h},
//! 3 reserved.

use super::fields::Fields;
use super::{Cdb, fetch, opcode, put, timeout};
use crate::transport::{Error, Transport};

/// Bytes of the parameters of PERSISTENT RESERVE OUT.
pub const OUT_BYTES: usize = 24;

/// What PERSISTENT RESERVE IN asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum InAction {
    ReadKeys = 0,
    ReadReservation = 1,
    ReportCapabilities = 2,
    ReadFullStatus = 3,
}

impl InAction {
    /// From byte 1 of the CDB.
    pub const fn from_byte(byte: u8) -> Option<InAction> {
        Some(match byte & 0x1f {
            0 => InAction::ReadKeys,
            1 => InAction::ReadReservation,
            2 => InAction::ReportCapabilities,
            3 => InAction::ReadFullStatus,
            _ => return None,
        })
    }
}

/// What PERSISTENT RESERVE OUT does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum OutAction {
    Register = 0,
    Reserve = 1,
    Release = 2,
    Clear = 3,
    Preempt = 4,
    PreemptAndAbort = 5,
    RegisterAndIgnoreExistingKey = 6,
}

impl OutAction {
    /// From byte 1 of the CDB. REGISTER AND MOVE is not known here.
    pub const fn from_byte(byte: u8) -> Option<OutAction> {
        Some(match byte & 0x1f {
            0 => OutAction::Register,
            1 => OutAction::Reserve,
            2 => OutAction::Release,
            3 => OutAction::Clear,
            4 => OutAction::Preempt,
            5 => OutAction::PreemptAndAbort,
            6 => OutAction::RegisterAndIgnoreExistingKey,
            _ => return None,
        })
    }
}

/// Type of a persistent reservation (SPC-4 table 71).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Kind {
    WriteExclusive = 1,
    ExclusiveAccess = 3,
    WriteExclusiveRegistrantsOnly = 5,
    ExclusiveAccessRegistrantsOnly = 6,
    WriteExclusiveAllRegistrants = 7,
    ExclusiveAccessAllRegistrants = 8,
}

impl Kind {
    /// All types.
    pub const ALL: [Kind; 6] = [
        Kind::WriteExclusive,
        Kind::ExclusiveAccess,
        Kind::WriteExclusiveRegistrantsOnly,
        Kind::ExclusiveAccessRegistrantsOnly,
        Kind::WriteExclusiveAllRegistrants,
        Kind::ExclusiveAccessAllRegistrants,
    ];

    /// From the low four bits of `byte`.
    pub fn from_byte(byte: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == byte & 0x0f)
    }

    /// True if other hosts may still read.
    pub const fn lets_others_read(self) -> bool {
        matches!(
            self,
            Kind::WriteExclusive
                | Kind::WriteExclusiveRegistrantsOnly
                | Kind::WriteExclusiveAllRegistrants
        )
    }

    /// True if all registered hosts have full access.
    pub const fn is_for_registrants(self) -> bool {
        !matches!(self, Kind::WriteExclusive | Kind::ExclusiveAccess)
    }

    /// True if every registered host holds it.
    pub const fn is_for_all_registrants(self) -> bool {
        matches!(self, Kind::WriteExclusiveAllRegistrants | Kind::ExclusiveAccessAllRegistrants)
    }
}

/// Parameters of PERSISTENT RESERVE OUT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OutParameters {
    /// The key under which the host is registered.
    pub key: u64,
    /// The new key, or the key of the hosts to preempt.
    pub action_key: u64,
    /// SPEC_I_PT: a list of initiator ports follows.
    pub lists_ports: bool,
    /// ALL_TG_PT: for all ports of the target.
    pub all_target_ports: bool,
    /// APTPL: registrations and reservation survive a loss of power.
    pub survives_power_loss: bool,
}

impl OutParameters {
    /// The bytes.
    pub fn build(&self) -> [u8; OUT_BYTES] {
        let mut bytes = [0; OUT_BYTES];
        bytes[..8].copy_from_slice(&self.key.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.action_key.to_be_bytes());
        bytes[20] = u8::from(self.lists_ports) << 3
            | u8::from(self.all_target_ports) << 2
            | u8::from(self.survives_power_loss);
        bytes
    }

    /// Decodes the first 24 bytes of `bytes`.
    pub fn parse(bytes: &[u8]) -> Result<OutParameters, Error> {
        let fields = Fields::new(opcode::PERSISTENT_RESERVE_OUT, "parameters", bytes);
        let flags = fields.u8(20)?;
        fields.slice(0, OUT_BYTES)?;
        Ok(OutParameters {
            key: fields.u64(0)?,
            action_key: fields.u64(8)?,
            lists_ports: flags & 0x08 != 0,
            all_target_ports: flags & 0x04 != 0,
            survives_power_loss: flags & 0x01 != 0,
        })
    }
}

/// Who holds a unit, as READ RESERVATION tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// The holder's key; 0 if all registrants hold it.
    pub key: u64,
    /// The type byte as sent: an unknown type is kept.
    pub kind: u8,
}

/// One registration of READ FULL STATUS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The key.
    pub key: u64,
    /// R_HOLDER, and the type byte.
    pub holds: Option<u8>,
    /// Relative target port.
    pub target_port: u16,
    /// TransportID of the initiator port.
    pub transport_id: Vec<u8>,
}

/// PERSISTENT RESERVE IN.
pub const fn in_cdb(action: InAction, allocation: u16) -> Cdb {
    let [high, low] = allocation.to_be_bytes();
    Cdb::new([opcode::PERSISTENT_RESERVE_IN, action as u8, 0, 0, 0, 0, 0, high, low, 0])
}

/// PERSISTENT RESERVE OUT; `kind` counts for RESERVE, RELEASE and the two PREEMPTs.
pub fn out_cdb(action: OutAction, kind: Option<Kind>) -> Cdb {
    let kind = kind.map_or(0, |kind| kind as u8);
    let code = opcode::PERSISTENT_RESERVE_OUT;
    Cdb::new([code, action as u8, kind, 0, 0, 0, 0, 0, OUT_BYTES as u8, 0])
}

fn with_generation(generation: u32, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    [&generation.to_be_bytes()[..], &length, body].concat()
}

/// Reply of READ KEYS.
pub fn build_keys(generation: u32, keys: impl IntoIterator<Item = u64>) -> Vec<u8> {
    let keys: Vec<u8> = keys.into_iter().flat_map(u64::to_be_bytes).collect();
    with_generation(generation, &keys)
}

/// Generation and keys.
pub fn parse_keys(bytes: &[u8]) -> Result<(u32, Vec<u64>), Error> {
    let fields = Fields::new(opcode::PERSISTENT_RESERVE_IN, "keys", bytes);
    let length = fields.u32(4)? as usize;
    let (keys, _) = fields.slice(8, length)?.as_chunks::<8>();
    Ok((fields.u32(0)?, keys.iter().map(|key| u64::from_be_bytes(*key)).collect()))
}

/// Reply of READ RESERVATION.
pub fn build_reservation(generation: u32, held: Option<Held>) -> Vec<u8> {
    let body = held.map_or(Vec::new(), |held| {
        let mut body = held.key.to_be_bytes().to_vec();
        body.extend([0, 0, 0, 0, 0, held.kind, 0, 0]);
        body
    });
    with_generation(generation, &body)
}

/// Generation and holder.
pub fn parse_reservation(bytes: &[u8]) -> Result<(u32, Option<Held>), Error> {
    let fields = Fields::new(opcode::PERSISTENT_RESERVE_IN, "reservation", bytes);
    let held = match fields.u32(4)? {
        0 => None,
        _ => Some(Held { key: fields.u64(8)?, kind: fields.u8(21)? }),
    };
    Ok((fields.u32(0)?, held))
}

/// Reply of REPORT CAPABILITIES: RESERVE and RELEASE work beside (CRH), registrations can survive a loss
/// of power, and do so now if `survives_power_loss`; all six types.
pub fn build_capabilities(survives_power_loss: bool) -> [u8; 8] {
    const CRH: u8 = 0x10;
    const PTPL_C: u8 = 0x01;
    const TMV: u8 = 0x80;
    [0, 8, CRH | PTPL_C, TMV | u8::from(survives_power_loss), 0xea, 0x01, 0, 0]
}

/// Reply of READ FULL STATUS.
pub fn build_full_status(generation: u32, registrations: &[Registration]) -> Vec<u8> {
    let body: Vec<u8> = registrations
        .iter()
        .flat_map(|one| {
            let mut bytes = one.key.to_be_bytes().to_vec();
            bytes.extend([0; 4]);
            bytes.extend([u8::from(one.holds.is_some()), one.holds.unwrap_or(0)]);
            bytes.extend([0; 4]);
            bytes.extend(one.target_port.to_be_bytes());
            bytes.extend((one.transport_id.len() as u32).to_be_bytes());
            bytes.extend(&one.transport_id);
            bytes
        })
        .collect();
    with_generation(generation, &body)
}

/// Generation and registrations.
pub fn parse_full_status(bytes: &[u8]) -> Result<(u32, Vec<Registration>), Error> {
    let fields = Fields::new(opcode::PERSISTENT_RESERVE_IN, "full status", bytes);
    let length = fields.u32(4)? as usize;
    let mut rest = fields.slice(8, length)?;
    let mut registrations = Vec::new();
    // Each round consumes at least the 24 bytes of a descriptor's head.
    while !rest.is_empty() {
        let one = Fields::new(opcode::PERSISTENT_RESERVE_IN, "registration", rest);
        let holds = one.u8(12)? & 0x01 != 0;
        let id_length = one.u32(20)? as usize;
        registrations.push(Registration {
            key: one.u64(0)?,
            holds: if holds { Some(one.u8(13)?) } else { None },
            target_port: one.u16(18)?,
            transport_id: one.slice(24, id_length)?.to_vec(),
        });
        rest = one.from(24 + id_length);
    }
    Ok((fields.u32(0)?, registrations))
}

/// TransportID of an iSCSI initiator port named `NAME,i,0xISID` (SPC-4 §7.6.4.6), NUL-terminated and
/// padded to a multiple of four, at least 20 bytes behind the head.
pub fn iscsi_transport_id(port_name: &str) -> Vec<u8> {
    const ISCSI_WITH_SESSION: u8 = 0x45;
    let mut name = port_name.as_bytes().to_vec();
    name.push(0);
    name.resize(name.len().next_multiple_of(4).max(20), 0);
    let mut id = vec![ISCSI_WITH_SESSION, 0];
    id.extend(u16::try_from(name.len()).unwrap_or(u16::MAX).to_be_bytes());
    id.extend(name);
    id
}

/// The keys that are registered with a unit.
pub fn request_keys(transport: &mut dyn Transport) -> Result<(u32, Vec<u64>), Error> {
    const ALLOCATION: u16 = 8 + 8 * 512;
    let cdb = in_cdb(InAction::ReadKeys, ALLOCATION);
    parse_keys(&fetch(transport, &cdb, ALLOCATION.into(), timeout::SHORT)?)
}

/// Who holds a unit.
pub fn request_reservation(transport: &mut dyn Transport) -> Result<(u32, Option<Held>), Error> {
    const ALLOCATION: u16 = 24;
    let cdb = in_cdb(InAction::ReadReservation, ALLOCATION);
    parse_reservation(&fetch(transport, &cdb, ALLOCATION.into(), timeout::SHORT)?)
}

/// PERSISTENT RESERVE OUT.
pub fn send_out(
    transport: &mut dyn Transport,
    action: OutAction,
    kind: Option<Kind>,
    parameters: &OutParameters,
) -> Result<(), Error> {
    put(transport, &out_cdb(action, kind), &parameters.build(), timeout::SHORT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_parameters_to_the_byte() {
        assert_eq!(*in_cdb(InAction::ReadFullStatus, 0x200), [0x5e, 3, 0, 0, 0, 0, 0, 2, 0, 0]);
        let cdb = out_cdb(OutAction::Preempt, Some(Kind::ExclusiveAccessRegistrantsOnly));
        assert_eq!(*cdb, [0x5f, 4, 6, 0, 0, 0, 0, 0, 24, 0]);
        let parameters = OutParameters {
            key: 0x0102_0304_0506_0708,
            action_key: 9,
            survives_power_loss: true,
            ..OutParameters::default()
        };
        let bytes = parameters.build();
        assert_eq!(bytes[..8], [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(bytes[8..], [0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(OutParameters::parse(&bytes).unwrap(), parameters);
        assert!(OutParameters::parse(&bytes[..23]).is_err());
    }

    #[test]
    fn replies_come_back() {
        let bytes = build_keys(7, [1, 2]);
        assert_eq!(bytes[..9], [0, 0, 0, 7, 0, 0, 0, 16, 0]);
        assert_eq!(parse_keys(&bytes).unwrap(), (7, vec![1, 2]));
        assert!(parse_keys(&bytes[..20]).is_err());
        let held = Held { key: 5, kind: 3 };
        for held in [None, Some(held)] {
            let bytes = build_reservation(7, held);
            assert_eq!(parse_reservation(&bytes).unwrap(), (7, held));
        }
        let registrations = [
            Registration {
                key: 5,
                holds: Some(6),
                target_port: 1,
                transport_id: iscsi_transport_id("iqn.a,i,0x1"),
            },
            Registration { key: 6, holds: None, target_port: 1, transport_id: vec![0x0f; 24] },
        ];
        let bytes = build_full_status(7, &registrations);
        assert_eq!(parse_full_status(&bytes).unwrap(), (7, registrations.to_vec()));
        for cut in 8..bytes.len() {
            assert!(parse_full_status(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn transport_identifiers_are_padded() {
        let id = iscsi_transport_id("iqn.a,i,0x1");
        assert_eq!(id[..4], [0x45, 0, 0, 20]);
        assert_eq!(id.len(), 24);
        assert_eq!(iscsi_transport_id(&"n".repeat(24)).len(), 4 + 28);
    }

    #[test]
    fn types_say_who_may_do_what() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_byte(kind as u8 | 0x10), Some(kind));
        }
        assert_eq!(Kind::from_byte(2), None);
        assert!(Kind::WriteExclusive.lets_others_read());
        assert!(!Kind::ExclusiveAccessAllRegistrants.lets_others_read());
        assert!(!Kind::ExclusiveAccess.is_for_registrants());
    }
}
