//! REPORT SUPPORTED OPERATION CODES (SPC-4 §6.35): for each command how long the device itself says it may
//! take.
//!
//! Reply to "all commands, with time-outs": length\[4\] (bytes behind itself), then one descriptor a command:
//! {operation code, reserved, service action\[2\], reserved, flags (CTDP 02h, SERVACTV 01h), CDB length\[2\]},
//! followed where CTDP is set by a command time-outs descriptor {length\[2\] (000Ah), reserved, command
//! specific, nominal processing time-out\[4\], recommended time-out\[4\]}, in seconds, 0 = not told.

use std::time::Duration;

use super::fields::Fields;
use super::{Cdb, fetch, opcode, timeout};
use crate::transport::{Error, Transport};

const SERVICE_ACTION: u8 = 0x0c;
/// Return command time-outs descriptors.
const RCTD: u8 = 0x80;
const ALLOCATION: u32 = 0x4000;
const HEADER: usize = 4;
const DESCRIPTOR: usize = 8;
const HAS_TIMEOUTS: u8 = 0x02;
const HAS_SERVICE_ACTION: u8 = 0x01;
/// What a command time-outs descriptor has behind its length.
const TIMEOUTS_REST: usize = 10;

/// What one device recommends for one command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommandTimeout {
    /// First byte of the CDB.
    pub opcode: u8,
    /// Service action, for commands that have some.
    pub service_action: Option<u16>,
    /// How long a host should wait before it takes the command for lost, in seconds; never 0.
    pub recommended_s: u32,
}

/// What a device recommends. Commands that it does not tell of are not in it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CommandTimeouts {
    commands: Vec<CommandTimeout>,
}

impl CommandTimeouts {
    /// More is not believed of any device: the longest published time-out, a long erase, is 46 hours.
    pub const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

    /// All commands with their time-outs.
    pub const fn cdb() -> Cdb {
        let [a, b, c, d] = ALLOCATION.to_be_bytes();
        Cdb::new([opcode::MAINTENANCE_IN, SERVICE_ACTION, RCTD, 0, 0, 0, a, b, c, d, 0, 0])
    }

    /// Decodes the reply. Bytes behind the announced length are ignored.
    pub fn parse(bytes: &[u8]) -> Result<CommandTimeouts, Error> {
        let fields = Fields::new(opcode::MAINTENANCE_IN, "supported operation codes", bytes);
        let announced = fields.u32(0)? as usize;
        if announced > bytes.len().saturating_sub(HEADER) {
            let there = bytes.len().saturating_sub(HEADER);
            return Err(
                fields.malformed(format_args!("{announced} bytes announced, {there} there"))
            );
        }
        let fields = fields.cut(HEADER, announced);
        let end = HEADER + announced;
        let mut commands = Vec::new();
        let mut at = HEADER;
        while at < end {
            let flags = fields.u8(at + 5)?;
            let code = fields.u8(at)?;
            let action = fields.u16(at + 2)?;
            fields.slice(at, DESCRIPTOR)?;
            at += DESCRIPTOR;
            if flags & HAS_TIMEOUTS == 0 {
                continue;
            }
            let rest = usize::from(fields.u16(at)?);
            if rest < TIMEOUTS_REST {
                let reason = format_args!("time-outs of {rest} bytes instead of {TIMEOUTS_REST}");
                return Err(fields.malformed(reason));
            }
            let recommended_s = fields.u32(at + 8)?;
            fields.slice(at, 2 + rest)?;
            at += 2 + rest;
            if recommended_s != 0 {
                let has_action = flags & HAS_SERVICE_ACTION != 0;
                let service_action = has_action.then_some(action);
                commands.push(CommandTimeout { opcode: code, service_action, recommended_s });
            }
        }
        Ok(CommandTimeouts { commands })
    }

    /// Asks a device.
    pub fn request(transport: &mut dyn Transport) -> Result<CommandTimeouts, Error> {
        let cdb = CommandTimeouts::cdb();
        CommandTimeouts::parse(&fetch(transport, &cdb, ALLOCATION as usize, timeout::SHORT)?)
    }

    /// True if the device told of no command.
    pub fn is_empty(&self) -> bool {
        self.commands.is_empty()
    }

    /// What the device recommends for a command, at most [`CommandTimeouts::LONGEST`].
    pub fn recommended(&self, cdb: &[u8]) -> Option<Duration> {
        let code = *cdb.first()?;
        // All commands with service actions that this crate builds have them in byte 1 (SPC-4 §4.2.5).
        let action = u16::from(cdb.get(1).copied().unwrap_or(0) & 0x1f);
        let fits = |one: &&CommandTimeout| {
            one.opcode == code && one.service_action.is_none_or(|known| known == action)
        };
        let seconds = self.commands.iter().filter(fits).map(|one| one.recommended_s).max()?;
        Some(Duration::from_secs(seconds.into()).min(CommandTimeouts::LONGEST))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn descriptor(code: u8, action: Option<u16>, recommended_s: Option<u32>) -> Vec<u8> {
        let [high, low] = action.unwrap_or(0).to_be_bytes();
        let flags = u8::from(action.is_some()) | u8::from(recommended_s.is_some()) << 1;
        let mut bytes = vec![code, 0, high, low, 0, flags, 0, 6];
        if let Some(seconds) = recommended_s {
            bytes.extend([0, 0x0a, 0, 0, 0, 0, 0, 1]);
            bytes.extend(seconds.to_be_bytes());
        }
        bytes
    }

    fn reply(descriptors: &[Vec<u8>]) -> Vec<u8> {
        let body = descriptors.concat();
        [&(body.len() as u32).to_be_bytes()[..], &body].concat()
    }

    #[test]
    fn the_command_asks_for_everything_with_time_outs() {
        let expected = [0xa3, 0x0c, 0x80, 0, 0, 0, 0, 0, 0x40, 0, 0, 0];
        assert_eq!(&*CommandTimeouts::cdb(), &expected);
    }

    #[test]
    fn a_command_has_the_time_out_of_its_code_and_service_action() {
        let bytes = reply(&[
            descriptor(0x08, None, Some(2340)),
            descriptor(0x0a, None, Some(0)),
            descriptor(0x12, None, None),
            descriptor(0xa3, Some(0x0c), Some(90)),
            descriptor(0xa3, Some(0x1d), Some(4000)),
            descriptor(0x19, None, Some(u32::MAX)),
        ]);
        let timeouts = CommandTimeouts::parse(&[bytes, vec![0xee; 40]].concat()).unwrap();
        let seconds = |cdb: &[u8]| timeouts.recommended(cdb).map(|one| one.as_secs());
        assert_eq!(seconds(&[0x08, 2, 0, 0, 0, 0]), Some(2340));
        assert_eq!(seconds(&[0x0a, 0, 0, 0, 0, 0]), None, "0 is not told");
        assert_eq!(seconds(&[0x12, 0, 0, 0, 0, 0]), None);
        assert_eq!(seconds(&[0xa3, 0x0c]), Some(90));
        // The upper bits of the byte are flags of the command.
        assert_eq!(seconds(&[0xa3, 0x9d]), Some(4000));
        assert_eq!(seconds(&[0xa3, 0x05]), None);
        assert_eq!(seconds(&[0x19]), Some(CommandTimeouts::LONGEST.as_secs()));
        assert_eq!(seconds(&[]), None);
        assert!(CommandTimeouts::parse(&[0; 4]).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            length in 0u8..200,
        ) {
            let _ = CommandTimeouts::parse(&bytes);
            let _ = CommandTimeouts::parse(&[vec![0, 0, 0, length], bytes].concat());
        }
    }

    #[test]
    fn a_reply_that_is_cut_anywhere_is_an_error() {
        let whole = reply(&[descriptor(8, None, Some(9)), descriptor(0xa3, Some(5), Some(1))]);
        assert!(CommandTimeouts::parse(&whole).is_ok());
        for length in 0..whole.len() {
            assert!(CommandTimeouts::parse(&whole[..length]).is_err(), "{length} bytes");
        }
        // Descriptors that reach behind the list, and ones that are too short.
        for (place, value) in [(3, whole.len() as u8 - 5), (13, 9), (13, 0xff)] {
            let mut bytes = whole.clone();
            bytes[place] = value;
            assert!(CommandTimeouts::parse(&bytes).is_err(), "byte {place}");
        }
    }
}
