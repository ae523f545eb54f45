//! Reading big-endian fields out of a reply so that a missing one becomes an error naming it.

use crate::transport::Error;

/// A reply, or a part of one, that is being picked apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    opcode: u8,
    what: &'static str,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    /// `bytes` are `what` in the reply to `opcode`.
    pub(super) fn new(opcode: u8, what: &'static str, bytes: &'a [u8]) -> Fields<'a> {
        Fields { opcode, what, bytes }
    }

    /// An error about this part of the reply.
    pub(super) fn malformed(&self, reason: impl std::fmt::Display) -> Error {
        Error::Malformed { opcode: self.opcode, reason: format!("{}: {reason}", self.what) }
    }

    /// `length` bytes from `offset`.
    pub(super) fn slice(&self, offset: usize, length: usize) -> Result<&'a [u8], Error> {
        offset.checked_add(length).and_then(|end| self.bytes.get(offset..end)).ok_or_else(|| {
            self.malformed(format_args!(
                "cut off: {length} bytes wanted at byte {offset}, {} there",
                self.bytes.len()
            ))
        })
    }

    /// Everything from `offset`, nothing if that is behind the end.
    pub(super) fn from(&self, offset: usize) -> &'a [u8] {
        self.bytes.get(offset..).unwrap_or(&[])
    }

    fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.slice(offset, N)?);
        Ok(array)
    }

    pub(super) fn u8(&self, offset: usize) -> Result<u8, Error> {
        self.array::<1>(offset).map(|[byte]| byte)
    }

    pub(super) fn u16(&self, offset: usize) -> Result<u16, Error> {
        self.array(offset).map(u16::from_be_bytes)
    }

    pub(super) fn u24(&self, offset: usize) -> Result<u32, Error> {
        self.array(offset).map(|[a, b, c]| u32::from_be_bytes([0, a, b, c]))
    }

    pub(super) fn u32(&self, offset: usize) -> Result<u32, Error> {
        self.array(offset).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&self, offset: usize) -> Result<u64, Error> {
        self.array(offset).map(u64::from_be_bytes)
    }

    /// The part cut to `length` bytes behind `header`, for replies that are longer than they say.
    pub(super) fn cut(&self, header: usize, length: usize) -> Fields<'a> {
        let end = header.saturating_add(length).min(self.bytes.len());
        Fields { bytes: self.bytes.get(..end).unwrap_or(self.bytes), ..*self }
    }
}

/// Text of a fixed-length field: up to the first NUL, without blanks around it; bytes that are no
/// ASCII become `?`, since they may end up in file names and terminals.
pub(crate) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    let kept = field.get(..end).unwrap_or(field);
    let text: String = kept
        .iter()
        .map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { char::from(*byte) } else { '?' })
        .collect();
    text.trim().to_string()
}

/// `text` as a blank-padded field of `N` bytes, cut if it is longer.
pub(crate) fn padded<const N: usize>(text: &str) -> [u8; N] {
    let mut field = [b' '; N];
    for (to, from) in field.iter_mut().zip(text.bytes()) {
        *to = from;
    }
    field
}

/// The low 24 bits as three bytes.
pub(super) const fn be24(value: u32) -> [u8; 3] {
    let [_, a, b, c] = value.to_be_bytes();
    [a, b, c]
}
