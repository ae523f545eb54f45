//! Messages on a stream (RFC 7143 §11.1, §13.1): header, additional segments, digests, data, padding.
//!
//! | part | bytes |
//! |---|--:|
//! | header | 48 |
//! | additional header segments | as the header says, a multiple of 4 |
//! | header digest, if agreed on | 4, CRC32C of all before, least significant byte first |
//! | data | as the header says |
//! | padding | up to a multiple of 4 |
//! | data digest, if agreed on and there is data | 4, CRC32C of data and padding |
//!
//! [`Reader`] allocates one small buffer once. A data segment goes straight from the stream into the
//! caller's buffer; the call that fetches its end also fetches what follows, so that a large message and
//! the next header cost few system calls. A message that announces more data than the limit is an error
//! before anything of it is read. [`Writer`] hands headers, data and digests of several messages to the
//! stream in one vectored call and copies no data.
//!
//! A time-out of the stream between two messages, and inside a header, loses nothing: the next call goes
//! on. Inside data it ends the use of the reader, because whoever owns the buffer has gone.

use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};

use super::pdu::{DATA_BYTES_MAX, HEADER_BYTES, Header};
use super::{Error, Result};

/// Which parts of a message carry a CRC32C.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Digests {
    /// Header with additional segments.
    pub header: bool,
    /// Data with padding.
    pub data: bool,
}

const DIGEST_BYTES: usize = 4;
/// Room for a header with the longest additional segments, and then some of what follows it.
const AHEAD_BYTES: usize = 2048;
const _: () = assert!(AHEAD_BYTES > HEADER_BYTES + 1020 + DIGEST_BYTES);

const fn padding(length: usize) -> usize {
    length.wrapping_neg() % 4
}

/// The receiving half of a connection.
pub struct Reader<R> {
    stream: R,
    digests: Digests,
    data_bytes_max: usize,
    /// What was read but not used lies at `start..end`.
    ahead: Box<[u8; AHEAD_BYTES]>,
    start: usize,
    end: usize,
    /// Bytes of the present message's data that were not read yet.
    pending_bytes: usize,
    is_broken: bool,
}

impl<R> std::fmt::Debug for Reader<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("digests", &self.digests)
            .field("data_bytes_max", &self.data_bytes_max)
            .field("pending_bytes", &self.pending_bytes)
            .finish_non_exhaustive()
    }
}

impl<R: Read> Reader<R> {
    /// Reads from `stream`, without digests, messages of at most `data_bytes_max` bytes of data.
    pub fn new(stream: R, data_bytes_max: usize) -> Reader<R> {
        Reader {
            stream,
            digests: Digests::default(),
            data_bytes_max,
            ahead: Box::new([0; AHEAD_BYTES]),
            start: 0,
            end: 0,
            pending_bytes: 0,
            is_broken: false,
        }
    }

    /// What was agreed on, from the next message on.
    pub fn set_limits(&mut self, digests: Digests, data_bytes_max: usize) {
        self.digests = digests;
        self.data_bytes_max = data_bytes_max;
    }

    /// The stream.
    pub fn stream(&self) -> &R {
        &self.stream
    }

    /// The stream, to change its time-outs. Reading from it would lose messages.
    pub fn stream_mut(&mut self) -> &mut R {
        &mut self.stream
    }

    /// True if something of the next message is here already.
    pub fn has_buffered(&self) -> bool {
        self.end > self.start
    }

    /// The next message's header; data of the message before that was not read is skipped. `None`: the
    /// other side closed the connection between two messages.
    ///
    /// # Errors
    ///
    /// [`Error::DataTooLong`], [`Error::HeaderDigest`], [`Error::CutOff`], and [`Error::Io`] from the stream;
    /// after a time-out ([`Error::is_timeout`]) call again.
    pub fn header(&mut self) -> Result<Option<Header>> {
        if self.is_broken {
            return Err(Error::CutOff);
        }
        self.skip()?;
        if !self.fill(HEADER_BYTES, true)? {
            return Ok(None);
        }
        let Some(bytes) = self.buffered().first_chunk::<HEADER_BYTES>() else {
            return Err(Error::CutOff);
        };
        let header = Header::from_bytes(*bytes);
        let covered = HEADER_BYTES + header.additional_bytes();
        let whole = covered + if self.digests.header { DIGEST_BYTES } else { 0 };
        self.fill(whole, false)?;
        if self.digests.header {
            let computed = crc32c::crc32c(self.buffered().get(..covered).unwrap_or(&[]));
            let sent = digest_at(self.buffered(), covered);
            if sent != computed {
                self.is_broken = true;
                return Err(Error::HeaderDigest { sent, computed });
            }
        }
        if header.data_bytes() > self.data_bytes_max {
            self.is_broken = true;
            return Err(Error::DataTooLong {
                opcode: header.opcode(),
                length: header.data_bytes(),
                limit: self.data_bytes_max,
            });
        }
        self.start += whole;
        self.pending_bytes = header.data_bytes();
        Ok(Some(header))
    }

    /// Fills `buffer` with the present message's data, all of it.
    ///
    /// # Errors
    ///
    /// [`Error::DataDigest`], behind which the next message can be read; `buffer` then holds what
    /// arrived. [`Error::Malformed`] if `buffer` has another length than the data.
    pub fn data_into(&mut self, buffer: &mut [u8]) -> Result<()> {
        if buffer.len() != self.pending_bytes {
            return Err(Error::malformed(
                "data segment",
                format!("{} bytes where {} are expected", self.pending_bytes, buffer.len()),
            ));
        }
        if buffer.is_empty() {
            return Ok(());
        }
        // Whatever interrupts this leaves the stream in the middle of a message.
        self.is_broken = true;
        self.pending_bytes = 0;
        self.read_exactly(buffer)?;
        let digest = self.digests.data.then(|| crc32c::crc32c(buffer));
        self.end_of_data(buffer.len(), digest)
    }

    /// The present message's data, appended to `to`, which is never more than the limit.
    pub fn data_onto(&mut self, to: &mut Vec<u8>) -> Result<()> {
        let old = to.len();
        to.resize(old + self.pending_bytes, 0);
        self.data_into(to.get_mut(old..).unwrap_or(&mut []))
    }

    /// The present message's data.
    pub fn data(&mut self) -> Result<Vec<u8>> {
        let mut data = Vec::new();
        self.data_onto(&mut data)?;
        Ok(data)
    }

    /// Reads past the present message's data, if it was not read. Its digest does not matter then.
    pub fn skip(&mut self) -> Result<()> {
        if self.pending_bytes == 0 {
            return Ok(());
        }
        let mut left = std::mem::take(&mut self.pending_bytes);
        let length = left;
        self.is_broken = true;
        let mut bin = [0u8; 4096];
        while left > 0 {
            let step = left.min(bin.len());
            self.read_exactly(bin.get_mut(..step).unwrap_or(&mut []))?;
            left -= step;
        }
        self.end_of_data(length, None)
    }

    /// Padding and digest behind `length` bytes of data with this CRC, which is checked if given.
    fn end_of_data(&mut self, length: usize, crc: Option<u32>) -> Result<()> {
        let pad = padding(length);
        let tail = pad + if self.digests.data { DIGEST_BYTES } else { 0 };
        self.fill(tail, false)?;
        let padding = self.buffered().get(..pad).unwrap_or(&[]);
        let computed = crc.map(|crc| crc32c::crc32c_append(crc, padding));
        let sent = digest_at(self.buffered(), pad);
        self.start += tail;
        self.is_broken = false;
        match computed {
            Some(computed) if computed != sent => Err(Error::DataDigest { sent, computed }),
            _ => Ok(()),
        }
    }

    fn buffered(&self) -> &[u8] {
        self.ahead.get(self.start..self.end).unwrap_or(&[])
    }

    /// Has at least `wanted` bytes buffered, at most [`AHEAD_BYTES`]. `false` if the stream ended with none
    /// of them there and that is allowed.
    fn fill(&mut self, wanted: usize, may_end: bool) -> Result<bool> {
        if self.start + wanted > AHEAD_BYTES {
            self.ahead.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        while self.end - self.start < wanted {
            if self.start == self.end {
                (self.start, self.end) = (0, 0);
            }
            let room = self.ahead.get_mut(self.end..).unwrap_or(&mut []);
            match self.stream.read(room) {
                Ok(0) if may_end && self.start == self.end => return Ok(false),
                Ok(0) => return Err(Error::CutOff),
                Ok(read) => self.end += read,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }

    /// Fills `buffer` from what was read ahead and from the stream, reading ahead again.
    fn read_exactly(&mut self, buffer: &mut [u8]) -> Result<()> {
        let ready = self.buffered().len().min(buffer.len());
        let (first, mut rest) = buffer.split_at_mut(ready);
        first.copy_from_slice(self.buffered().get(..ready).unwrap_or(&[]));
        self.start += ready;
        while !rest.is_empty() {
            // Nothing is buffered any more.
            (self.start, self.end) = (0, 0);
            let mut parts = [IoSliceMut::new(rest), IoSliceMut::new(&mut self.ahead[..])];
            let read = match self.stream.read_vectored(&mut parts) {
                Ok(0) => return Err(Error::CutOff),
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.into()),
            };
            let here = read.min(rest.len());
            self.end = read - here;
            rest = rest.get_mut(here..).unwrap_or(&mut []);
        }
        Ok(())
    }
}

fn digest_at(bytes: &[u8], at: usize) -> u32 {
    let digest = bytes.get(at..).and_then(<[u8]>::first_chunk::<DIGEST_BYTES>);
    digest.copied().map_or(0, u32::from_le_bytes)
}

/// A message to send: a header and its data.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    header: Header,
    data: &'a [u8],
}

impl<'a> Outgoing<'a> {
    /// `header` with its data; the length goes into the header. More than [`DATA_BYTES_MAX`] bytes can't
    /// be announced and are cut.
    pub fn new(mut header: Header, data: &'a [u8]) -> Outgoing<'a> {
        let data = data.get(..DATA_BYTES_MAX).unwrap_or(data);
        header.set_data_bytes(data.len());
        Outgoing { header, data }
    }

    /// `header` without data.
    pub fn bare(header: Header) -> Outgoing<'static> {
        Outgoing::new(header, &[])
    }

    /// The header as it will be sent.
    pub fn header(&self) -> &Header {
        &self.header
    }
}

/// What goes around the data of a message.
struct Envelope {
    head: [u8; HEADER_BYTES + DIGEST_BYTES],
    head_bytes: usize,
    tail: [u8; 3 + DIGEST_BYTES],
    tail_bytes: usize,
}

impl Envelope {
    fn of(message: &Outgoing<'_>, digests: Digests) -> Envelope {
        let mut head = [0; HEADER_BYTES + DIGEST_BYTES];
        let (header, header_digest) = head.split_at_mut(HEADER_BYTES);
        header.copy_from_slice(message.header.as_bytes());
        if digests.header {
            header_digest.copy_from_slice(&crc32c::crc32c(header).to_le_bytes());
        }
        let head_bytes = HEADER_BYTES + if digests.header { DIGEST_BYTES } else { 0 };
        let mut tail = [0; 3 + DIGEST_BYTES];
        let pad = padding(message.data.len());
        let mut tail_bytes = pad;
        if digests.data && !message.data.is_empty() {
            let crc = crc32c::crc32c(message.data);
            let (padding, behind) = tail.split_at_mut(pad);
            let crc = crc32c::crc32c_append(crc, padding);
            if let Some(to) = behind.first_chunk_mut() {
                *to = crc.to_le_bytes();
            }
            tail_bytes += DIGEST_BYTES;
        }
        Envelope { head, head_bytes, tail, tail_bytes }
    }
}

/// The sending half of a connection.
pub struct Writer<W> {
    stream: W,
    digests: Digests,
}

impl<W> std::fmt::Debug for Writer<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writer").field("digests", &self.digests).finish_non_exhaustive()
    }
}

impl<W: Write> Writer<W> {
    /// Writes to `stream`, without digests.
    pub fn new(stream: W) -> Writer<W> {
        Writer { stream, digests: Digests::default() }
    }

    /// What was agreed on, from the next message on.
    pub fn set_digests(&mut self, digests: Digests) {
        self.digests = digests;
    }

    /// The stream.
    pub fn stream(&self) -> &W {
        &self.stream
    }

    /// The stream, to change its time-outs.
    pub fn stream_mut(&mut self) -> &mut W {
        &mut self.stream
    }

    /// Sends messages, one behind the other.
    ///
    /// # Errors
    ///
    /// From the stream. Part of a message may have been sent then: nothing more can be sent.
    pub fn send(&mut self, messages: &[Outgoing<'_>]) -> Result<()> {
        let envelopes: Vec<Envelope> =
            messages.iter().map(|message| Envelope::of(message, self.digests)).collect();
        let mut parts = Vec::with_capacity(messages.len() * 3);
        for (message, envelope) in messages.iter().zip(&envelopes) {
            let head = envelope.head.get(..envelope.head_bytes).unwrap_or(&[]);
            let tail = envelope.tail.get(..envelope.tail_bytes).unwrap_or(&[]);
            let all = [head, message.data, tail];
            parts.extend(all.into_iter().filter(|part| !part.is_empty()).map(IoSlice::new));
        }
        let mut left = &mut parts[..];
        while !left.is_empty() {
            match self.stream.write_vectored(left) {
                Ok(0) => return Err(std::io::Error::from(ErrorKind::WriteZero).into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.stream.flush()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;
    use crate::iscsi::pdu::{NO_TAG, NopOut, Request};

    fn nop() -> Header {
        Request::NopOut(NopOut {
            is_immediate: true,
            lun: 0,
            task_tag: 7,
            transfer_tag: NO_TAG,
            cmd_sn: 1,
            exp_stat_sn: 2,
        })
        .build()
    }

    fn written(digests: Digests, data: &[&[u8]]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new());
        writer.set_digests(digests);
        let messages: Vec<Outgoing<'_>> =
            data.iter().map(|data| Outgoing::new(nop(), data)).collect();
        writer.send(&messages).unwrap();
        writer.stream
    }

    /// Gives the bytes in pieces of the given lengths, a time-out between every two.
    struct Pieces {
        bytes: VecDeque<u8>,
        lengths: Vec<usize>,
        turn: usize,
        times_out: bool,
    }

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            self.turn += 1;
            if self.times_out && self.turn.is_multiple_of(2) {
                return Err(ErrorKind::WouldBlock.into());
            }
            let length = self.lengths[self.turn % self.lengths.len()];
            let length = length.min(buffer.len()).min(self.bytes.len());
            for (to, from) in buffer.iter_mut().zip(self.bytes.drain(..length)) {
                *to = from;
            }
            Ok(length)
        }
    }

    #[test]
    fn the_bytes_of_a_message_with_digests() {
        // RFC 3720 B.4: CRC32C of 32 zeros is AA 36 91 8A on the wire.
        assert_eq!(crc32c::crc32c(&[0; 32]).to_le_bytes(), [0xaa, 0x36, 0x91, 0x8a]);
        let bytes = written(Digests { header: true, data: true }, &[b"abcde"]);
        assert_eq!(bytes.len(), 48 + 4 + 5 + 3 + 4);
        assert_eq!(bytes[5..8], [0, 0, 5]);
        assert_eq!(bytes[48..52], crc32c::crc32c(&bytes[..48]).to_le_bytes());
        assert_eq!(&bytes[52..60], b"abcde\0\0\0");
        assert_eq!(bytes[60..], crc32c::crc32c(b"abcde\0\0\0").to_le_bytes());
        // Without data there is no data digest.
        assert_eq!(written(Digests { header: false, data: true }, &[b""]).len(), 48);
    }

    #[test]
    fn a_message_that_announces_too_much_is_refused_unread() {
        let bytes = written(Digests::default(), &[&[0; 4097]]);
        let mut reader = Reader::new(&bytes[..], 4096);
        let error = reader.header().unwrap_err();
        assert!(
            matches!(error, Error::DataTooLong { opcode: 0, length: 4097, limit: 4096 }),
            "{error}"
        );
        assert!(matches!(reader.header(), Err(Error::CutOff)));
    }

    #[test]
    fn every_cut_is_an_error_but_the_one_between_messages() {
        let bytes = written(Digests { header: true, data: true }, &[b"abcde", b""]);
        for cut in 0..=bytes.len() {
            let mut reader = Reader::new(&bytes[..cut], 8192);
            reader.set_limits(Digests { header: true, data: true }, 8192);
            let mut read = || -> Result<usize> {
                let mut messages = 0;
                while reader.header()?.is_some() {
                    reader.data()?;
                    messages += 1;
                }
                Ok(messages)
            };
            let outcome = read();
            match cut {
                0 => assert!(matches!(outcome, Ok(0))),
                64 => assert!(matches!(outcome, Ok(1))),
                116 => assert!(matches!(outcome, Ok(2))),
                _ => assert!(matches!(outcome, Err(Error::CutOff)), "{cut}: {outcome:?}"),
            }
        }
    }

    #[test]
    fn any_flipped_bit_under_digests_is_noticed_and_damaged_data_loses_only_itself() {
        let digests = Digests { header: true, data: true };
        let sound = written(digests, &[b"abcde", b"next"]);
        for bit in 0..64 * 8 {
            let mut bytes = sound.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut reader = Reader::new(&bytes[..], 8192);
            reader.set_limits(digests, 8192);
            match reader.header() {
                Ok(Some(_)) => {
                    assert!(bit >= 52 * 8);
                    assert!(matches!(reader.data(), Err(Error::DataDigest { .. })), "bit {bit}");
                    reader.header().unwrap().unwrap();
                    assert_eq!(reader.data().unwrap(), b"next");
                }
                // A changed length may point behind the end.
                Err(Error::HeaderDigest { .. } | Error::CutOff) => assert!(bit < 52 * 8),
                other => panic!("bit {bit}: {other:?}"),
            }
        }
    }

    #[test]
    fn additional_segments_are_read_past() {
        let mut bytes = written(Digests::default(), &[b"data"]);
        bytes[4] = 255;
        let behind = bytes.split_off(48);
        bytes.extend_from_slice(&[0xee; 1020]);
        bytes.extend_from_slice(&behind);
        let mut reader = Reader::new(&bytes[..], 8192);
        assert_eq!(reader.header().unwrap().unwrap().additional_bytes(), 1020);
        assert_eq!(reader.data().unwrap(), b"data");
        assert!(reader.header().unwrap().is_none());
    }

    #[test]
    fn data_of_another_length_than_the_buffer_is_refused() {
        let bytes = written(Digests::default(), &[b"abcde"]);
        let mut reader = Reader::new(&bytes[..], 8192);
        reader.header().unwrap();
        assert!(reader.data_into(&mut [0; 4]).is_err());
        let mut buffer = [0; 5];
        reader.data_into(&mut buffer).unwrap();
        assert_eq!(&buffer, b"abcde");
    }

    proptest! {
        #[test]
        fn messages_come_back_however_the_stream_is_cut(
            data in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6000), 1..4),
            lengths in prop::collection::vec(1usize..5000, 1..6),
            skipped in 0usize..4,
            header: bool,
            digest: bool,
        ) {
            let digests = Digests { header, data: digest };
            let slices: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
            let bytes = written(digests, &slices).into();
            let pieces = Pieces { bytes, lengths, turn: 0, times_out: false };
            let mut reader = Reader::new(pieces, 6000);
            reader.set_limits(digests, 6000);
            for (number, data) in data.iter().enumerate() {
                let read = reader.header().unwrap().unwrap();
                prop_assert_eq!(read.data_bytes(), data.len());
                if number != skipped {
                    prop_assert_eq!(&reader.data().unwrap(), data);
                }
            }
            prop_assert!(reader.header().unwrap().is_none());
        }

        #[test]
        fn a_timeout_in_a_header_loses_nothing(lengths in prop::collection::vec(1usize..60, 1..5)) {
            let bytes = written(Digests { header: true, data: true }, &[b"", b""]).into();
            let mut reader = Reader::new(Pieces { bytes, lengths, turn: 0, times_out: true }, 6000);
            reader.set_limits(Digests { header: true, data: true }, 6000);
            let mut headers = 0;
            loop {
                match reader.header() {
                    Ok(None) => break,
                    Ok(Some(header)) => {
                        prop_assert_eq!(header, nop());
                        headers += 1;
                    }
                    Err(error) => prop_assert!(error.is_timeout(), "{}", error),
                }
            }
            prop_assert_eq!(headers, 2);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..4000), header: bool, data: bool) {
            let mut reader = Reader::new(&bytes[..], 1024);
            reader.set_limits(Digests { header, data }, 1024);
            while let Ok(Some(_)) = reader.header() {
                if reader.data().is_err() {
                    break;
                }
            }
        }
    }
}
