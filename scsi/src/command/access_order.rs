//! Recommended access order (SSC-5 §7.8, §7.6): a drive is given parts of a tape and tells in which order
//! they are reached with the least winding.
//!
//! | step | command | service action |
//! |---|---|---|
//! | limits | MAINTENANCE IN | 1Dh with UDS_LIMITS 80h |
//! | generate | MAINTENANCE OUT | 1Dh |
//! | receive | MAINTENANCE IN | 1Dh |
//!
//! | limits | off | size |
//! |---|--:|--:|
//! | most segments | 0 | 2 |
//! | most bytes of a segment's descriptor | 2 | 2 |
//!
//! | list to the drive | off | size | | list from the drive | off | size |
//! |---|--:|--:|---|---|--:|--:|
//! | reserved | 0 | 4 | | process bits 2–0, status bits 2–0 | 0 | 2 |
//! | length of the rest | 4 | 4 | | reserved | 2 | 2 |
//! | segments | 8 | | | length of the rest | 4 | 4 |
//! | | | | | segments in the order to read | 8 | |
//!
//! | segment | off | size |
//! |---|--:|--:|
//! | length of the rest, 001Eh | 0 | 2 |
//! | reserved | 2 | 3 |
//! | name, as the host likes | 5 | 10 |
//! | partition | 15 | 1 |
//! | first object | 16 | 8 |
//! | last object | 24 | 8 |
//!
//! Drives may append geometry to a segment (52 bytes in all); the length field tells.

use super::fields::Fields;
use super::{Cdb, fetch, opcode, put, timeout};
use crate::transport::{Error, Transport};

/// Service action of all three commands.
pub const SERVICE_ACTION: u8 = 0x1d;
/// In byte 1 beside the service action: limits are asked for.
pub const LIMITS: u8 = 0x80;
/// Process of GENERATE: reorder.
pub const REORDER: u8 = 2;
/// Bytes of a segment without geometry.
pub const SEGMENT_BYTES: usize = 32;
/// Bytes before the segments.
pub const HEADER_BYTES: usize = 8;

const NAME_BYTES: usize = 10;
/// With geometry.
const SEGMENT_BYTES_MAX: usize = 52;

/// How much a drive takes at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OrderLimits {
    /// Most segments.
    pub segments_max: u16,
    /// Most bytes of a segment's descriptor.
    pub descriptor_bytes_max: u16,
}

/// A part of the tape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Comes back unchanged.
    pub name: [u8; NAME_BYTES],
    /// Partition.
    pub partition: u8,
    /// First logical object.
    pub first: u64,
    /// Last logical object.
    pub last: u64,
}

/// The command that asks for the limits.
pub const fn limits_cdb() -> Cdb {
    let action = LIMITS | SERVICE_ACTION;
    Cdb::new([opcode::MAINTENANCE_IN, action, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0])
}

/// The command that brings a list of `length` bytes.
pub const fn generate_cdb(length: u32) -> Cdb {
    let [a, b, c, d] = length.to_be_bytes();
    Cdb::new([opcode::MAINTENANCE_OUT, SERVICE_ACTION, REORDER, 0, 0, 0, a, b, c, d, 0, 0])
}

/// The command that fetches the ordered list, from its begin.
pub const fn receive_cdb(allocation: u32) -> Cdb {
    let [a, b, c, d] = allocation.to_be_bytes();
    Cdb::new([opcode::MAINTENANCE_IN, SERVICE_ACTION, 0, 0, 0, 0, a, b, c, d, 0, 0])
}

/// Bytes to fetch an ordered list of so many segments with.
pub const fn receive_bytes(segments: usize) -> u32 {
    let bytes = HEADER_BYTES + segments * SEGMENT_BYTES_MAX;
    if bytes > u32::MAX as usize { u32::MAX } else { bytes as u32 }
}

impl OrderLimits {
    /// Asks a drive.
    pub fn request(transport: &mut dyn Transport) -> Result<OrderLimits, Error> {
        OrderLimits::parse(&fetch(transport, &limits_cdb(), 4, timeout::SHORT)?)
    }

    /// Decodes the reply.
    pub fn parse(bytes: &[u8]) -> Result<OrderLimits, Error> {
        let fields = Fields::new(opcode::MAINTENANCE_IN, "limits of the access order", bytes);
        Ok(OrderLimits { segments_max: fields.u16(0)?, descriptor_bytes_max: fields.u16(2)? })
    }

    /// The reply as a drive sends it.
    pub fn build(&self) -> [u8; 4] {
        let [a, b] = self.segments_max.to_be_bytes();
        let [c, d] = self.descriptor_bytes_max.to_be_bytes();
        [a, b, c, d]
    }
}

impl Segment {
    fn parse(fields: &Fields<'_>, at: usize) -> Result<Segment, Error> {
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(fields.slice(at + 5, NAME_BYTES)?);
        Ok(Segment {
            name,
            partition: fields.u8(at + 15)?,
            first: fields.u64(at + 16)?,
            last: fields.u64(at + 24)?,
        })
    }

    fn build(&self) -> Vec<u8> {
        let mut bytes = vec![0, (SEGMENT_BYTES - 2) as u8, 0, 0, 0];
        bytes.extend(self.name);
        bytes.push(self.partition);
        bytes.extend(self.first.to_be_bytes());
        bytes.extend(self.last.to_be_bytes());
        bytes
    }
}

/// A list of segments: as a host sends it, and as a drive sends it back.
pub fn build_list(segments: &[Segment]) -> Vec<u8> {
    let body: Vec<u8> = segments.iter().flat_map(Segment::build).collect();
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&[0; 4][..], &length.to_be_bytes(), &body].concat()
}

/// Decodes a list in either direction. It must be whole.
pub fn parse_list(bytes: &[u8]) -> Result<Vec<Segment>, Error> {
    let fields = Fields::new(opcode::MAINTENANCE_IN, "list of segments", bytes);
    let length = usize::try_from(fields.u32(4)?).unwrap_or(usize::MAX);
    fields.slice(HEADER_BYTES, length)?;
    let fields = fields.cut(HEADER_BYTES, length);
    let mut segments = Vec::new();
    let mut at = HEADER_BYTES;
    while !fields.from(at).is_empty() {
        let rest = usize::from(fields.u16(at)?);
        if rest < SEGMENT_BYTES - 2 {
            return Err(fields.malformed(format_args!("a segment of {rest} bytes")));
        }
        segments.push(Segment::parse(&fields, at)?);
        at += 2 + rest;
    }
    Ok(segments)
}

/// Gives a drive segments to order.
pub fn generate(transport: &mut dyn Transport, segments: &[Segment]) -> Result<(), Error> {
    let list = build_list(segments);
    let cdb = generate_cdb(u32::try_from(list.len()).unwrap_or(u32::MAX));
    put(transport, &cdb, &list, timeout::POSITION)
}

/// Fetches the ordered list of so many segments.
pub fn receive(transport: &mut dyn Transport, segments: usize) -> Result<Vec<Segment>, Error> {
    let allocation = receive_bytes(segments);
    let reply = fetch(transport, &receive_cdb(allocation), allocation as usize, timeout::POSITION)?;
    parse_list(&reply)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bytes_are_those_of_the_facts() {
        assert_eq!(&*limits_cdb(), &[0xa3, 0x9d, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0]);
        assert_eq!(&*generate_cdb(72), &[0xa4, 0x1d, 2, 0, 0, 0, 0, 0, 0, 72, 0, 0]);
        assert_eq!(&*receive_cdb(112), &[0xa3, 0x1d, 0, 0, 0, 0, 0, 0, 0, 112, 0, 0]);
        let limits = OrderLimits { segments_max: 2700, descriptor_bytes_max: 32 };
        assert_eq!(limits.build(), [0x0a, 0x8c, 0, 32]);
        assert_eq!(OrderLimits::parse(&limits.build()).unwrap(), limits);
        let segment = Segment { name: *b"0000000007", partition: 1, first: 2, last: 0x0300 };
        let list = build_list(&[segment]);
        assert_eq!(list.len(), 40);
        assert_eq!(list[..13], [0, 0, 0, 0, 0, 0, 0, 32, 0, 0x1e, 0, 0, 0]);
        assert_eq!(list[13..23], *b"0000000007");
        assert_eq!(list[23..], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 3, 0]);
        assert_eq!(parse_list(&list).unwrap(), [segment]);
        for length in 0..list.len() {
            assert!(parse_list(&list[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn geometry_behind_a_segment_is_passed() {
        let one = Segment { name: *b"0000000001", partition: 0, first: 5, last: 9 };
        let two = Segment { name: *b"0000000002", first: 1, last: 2, ..one };
        let mut list = vec![2, 1, 0, 0, 0, 0, 0, 104];
        for segment in [one, two] {
            let mut bytes = segment.build();
            bytes[1] = 50;
            bytes.resize(52, 0xee);
            list.extend(bytes);
        }
        assert_eq!(parse_list(&list).unwrap(), [one, two]);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_fail(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(segments) = parse_list(&bytes) {
                prop_assert!(segments.len() <= bytes.len() / SEGMENT_BYTES);
            }
            let _ = OrderLimits::parse(&bytes);
        }
    }
}
