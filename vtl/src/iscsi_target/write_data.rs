//! The data of a command on its way from the initiator (RFC 7143 §4.2.5.2, §11.7, §11.8): with the
//! command, unasked behind it, then one R2T after the other.
//!
//! Data arrives in order and goes straight from the socket into the buffer that the unit will take it
//! from. What is out of order or too much breaks the protocol.

use scsi::iscsi::parameters::Parameters;
use scsi::iscsi::pdu::{DataOut, NO_TAG, ScsiCommand};

/// Bytes with room for more: room once made is used again without clearing it.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

impl Buffer {
    /// What was put into it.
    pub fn filled(&self) -> &[u8] {
        self.bytes.get(..self.filled).unwrap_or_default()
    }

    /// The first `length` bytes, whoever wrote them.
    pub fn first(&self, length: usize) -> &[u8] {
        self.bytes.get(..length).unwrap_or_default()
    }

    /// Room for `length` bytes from the start; nothing counts as filled.
    pub fn room(&mut self, length: usize) -> &mut [u8] {
        self.filled = 0;
        self.ensure(length);
        self.bytes.get_mut(..length).unwrap_or_default()
    }

    /// Room for `length` more bytes, which count as filled.
    pub fn append(&mut self, length: usize) -> &mut [u8] {
        let start = self.filled;
        self.filled += length;
        let end = self.filled;
        self.ensure(end);
        self.bytes.get_mut(start..end).unwrap_or_default()
    }

    fn ensure(&mut self, length: usize) {
        if self.bytes.len() < length {
            self.bytes.resize(length, 0);
        }
    }

    /// How much memory it holds.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Nothing is in it any more.
    pub fn clear(&mut self) {
        self.filled = 0;
    }
}

/// What to do next for a command's data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More arrives without being asked for.
    Wait,
    /// Ask for this part.
    Ask {
        /// Where it begins.
        offset: u32,
        /// Its length.
        length: u32,
        /// Number of the R2T.
        r2t_sn: u32,
    },
    /// All is here.
    Complete,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Data sent unasked, up to this offset.
    Unsolicited { end: u32 },
    /// Everything unasked has come; an R2T is due.
    Due,
    /// The part that was asked for, up to this offset.
    Solicited { end: u32 },
}

/// The data of one command that was not complete with the command itself.
#[derive(Debug)]
pub struct WriteData {
    expected: u32,
    burst: u32,
    phase: Phase,
    r2ts: u32,
    /// What arrived.
    pub buffer: Buffer,
}

/// Data that breaks the protocol: which rule.
pub type Breach = &'static str;

impl WriteData {
    /// Of a command whose immediate data is in `buffer`.
    pub fn begin(
        command: &ScsiCommand,
        agreed: &Parameters,
        buffer: Buffer,
    ) -> Result<WriteData, Breach> {
        let immediate = buffer.filled().len() as u32;
        let unsolicited_end = command.expected_bytes.min(agreed.first_burst_bytes_max);
        if immediate > 0 && !agreed.immediate_data {
            return Err("immediate data that was not agreed on");
        }
        if immediate > unsolicited_end {
            return Err("more data with the command than agreed on");
        }
        let phase = if command.is_final {
            Phase::Due
        } else if agreed.initial_r2t {
            return Err("data without R2T, which was not agreed on");
        } else {
            Phase::Unsolicited { end: unsolicited_end }
        };
        Ok(WriteData {
            expected: command.expected_bytes,
            burst: agreed.burst_bytes_max.max(1),
            phase,
            r2ts: 0,
            buffer,
        })
    }

    fn received(&self) -> u32 {
        self.buffer.filled().len() as u32
    }

    /// How many R2Ts there were.
    pub fn r2ts(&self) -> u32 {
        self.r2ts
    }

    /// What to do now. An R2T that is to be sent counts as sent.
    pub fn next(&mut self) -> Next {
        match self.phase {
            Phase::Unsolicited { .. } | Phase::Solicited { .. } => Next::Wait,
            Phase::Due if self.received() >= self.expected => Next::Complete,
            Phase::Due => {
                let offset = self.received();
                let length = self.burst.min(self.expected - offset);
                self.phase = Phase::Solicited { end: offset + length };
                let r2t_sn = self.r2ts;
                self.r2ts += 1;
                Next::Ask { offset, length, r2t_sn }
            }
        }
    }

    /// Checks a Data-Out of `length` bytes and gives the room for its data. `transfer_tag` is that of the
    /// R2Ts of this command.
    pub fn take(
        &mut self,
        message: &DataOut,
        length: usize,
        transfer_tag: u32,
    ) -> Result<&mut [u8], Breach> {
        let (end, tag) = match self.phase {
            Phase::Unsolicited { end } => (end, NO_TAG),
            Phase::Solicited { end } => (end, transfer_tag),
            Phase::Due => return Err("data that was not asked for"),
        };
        let solicited = matches!(self.phase, Phase::Solicited { .. });
        if message.transfer_tag != tag {
            return Err("data for another R2T");
        }
        if message.offset != self.received() {
            return Err("data out of order");
        }
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        if length > end - self.received() {
            return Err("more data than asked for or agreed on");
        }
        if message.is_final {
            if solicited && self.received() + length != end {
                return Err("less data than asked for");
            }
            self.phase = Phase::Due;
        }
        Ok(self.buffer.append(length as usize))
    }
}

#[cfg(test)]
mod tests {
    use scsi::iscsi::pdu::Attributes;

    use super::*;

    fn command(expected_bytes: u32, is_final: bool) -> ScsiCommand {
        ScsiCommand {
            is_immediate: false,
            is_final,
            is_read: false,
            is_write: true,
            attributes: Attributes::Simple,
            lun: 1,
            task_tag: 7,
            expected_bytes,
            cmd_sn: 1,
            exp_stat_sn: 1,
            cdb: [0; 16],
        }
    }

    fn agreed(initial_r2t: bool) -> Parameters {
        Parameters {
            initial_r2t,
            first_burst_bytes_max: 30,
            burst_bytes_max: 40,
            ..Parameters::default()
        }
    }

    fn immediate(length: usize) -> Buffer {
        let mut buffer = Buffer::default();
        buffer.append(length).fill(1);
        buffer
    }

    fn out(transfer_tag: u32, offset: u32, is_final: bool) -> DataOut {
        DataOut { is_final, lun: 1, task_tag: 7, transfer_tag, exp_stat_sn: 1, data_sn: 0, offset }
    }

    #[test]
    fn immediate_then_unasked_then_asked_for() {
        let mut data =
            WriteData::begin(&command(100, false), &agreed(false), immediate(10)).unwrap();
        assert_eq!(data.next(), Next::Wait);
        data.take(&out(NO_TAG, 10, false), 5, 9).unwrap().fill(2);
        data.take(&out(NO_TAG, 15, true), 15, 9).unwrap().fill(3);
        assert_eq!(data.next(), Next::Ask { offset: 30, length: 40, r2t_sn: 0 });
        assert_eq!(data.next(), Next::Wait);
        data.take(&out(9, 30, false), 20, 9).unwrap().fill(4);
        data.take(&out(9, 50, true), 20, 9).unwrap().fill(5);
        assert_eq!(data.next(), Next::Ask { offset: 70, length: 30, r2t_sn: 1 });
        data.take(&out(9, 70, true), 30, 9).unwrap().fill(6);
        assert_eq!(data.next(), Next::Complete);
        let runs = [(1, 10), (2, 5), (3, 15), (4, 20), (5, 20), (6, 30)];
        let whole: Vec<u8> = runs.iter().flat_map(|(byte, count)| vec![*byte; *count]).collect();
        assert_eq!(data.buffer.filled(), whole);
        assert_eq!(data.r2ts(), 2);
    }

    #[test]
    fn breaches_are_told() {
        let begin = |bytes, is_final, initial_r2t, with: usize| {
            WriteData::begin(&command(bytes, is_final), &agreed(initial_r2t), immediate(with))
        };
        assert!(begin(100, false, true, 0).is_err());
        assert!(begin(100, true, true, 31).is_err());
        assert!(begin(20, true, true, 21).is_err());
        let silent = Parameters { immediate_data: false, ..agreed(true) };
        assert!(WriteData::begin(&command(100, true), &silent, immediate(1)).is_err());

        let mut data = begin(100, false, false, 10).unwrap();
        assert!(data.take(&out(NO_TAG, 11, true), 5, 9).is_err());
        assert!(data.take(&out(9, 10, true), 5, 9).is_err());
        assert!(data.take(&out(NO_TAG, 10, true), 21, 9).is_err());
        assert!(data.take(&out(NO_TAG, 10, true), 20, 9).is_ok());
        assert!(data.take(&out(NO_TAG, 30, true), 1, 9).is_err());
        let Next::Ask { .. } = data.next() else { panic!("no R2T") };
        assert!(data.take(&out(8, 30, false), 1, 9).is_err());
        assert!(data.take(&out(9, 30, true), 39, 9).is_err());
        assert!(data.take(&out(9, 30, true), 41, 9).is_err());
        assert!(data.take(&out(9, 30, true), 40, 9).is_ok());
    }

    #[test]
    fn a_buffer_is_used_again_without_what_was_in_it() {
        let mut buffer = immediate(8);
        assert_eq!(buffer.room(4).len(), 4);
        assert!(buffer.filled().is_empty());
        assert_eq!(buffer.room(100).len(), 100);
        buffer.append(3).fill(9);
        assert_eq!(buffer.filled(), [9; 3]);
    }
}
