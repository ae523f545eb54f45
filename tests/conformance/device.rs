//! A device under test: sends raw CDBs, and says in words what was not as it should be.
//!
//! The suite builds its bytes itself and compares sense codes by number: it must not share a mistake with
//! the typed commands that the product sends.

use std::time::{Duration, Instant};

use scsi::{Data, Reply, Status, Transport};

/// What a check found: nothing to complain of, or what differs.
pub type Verdict = Result<(), String>;

/// One check: its name is a sentence that holds for a device that follows the standards.
pub type Check = (&'static str, fn(&mut Device) -> Verdict);

/// Fails the check unless the condition holds.
#[macro_export]
macro_rules! want {
    ($condition:expr, $($words:tt)+) => {
        if !$condition {
            return Err(format!($($words)+));
        }
    };
}

/// Key, ASC, ASCQ.
pub type Code = (u8, u8, u8);

pub const FILEMARK: Code = (0, 0x00, 0x01);
pub const BEGINNING: Code = (0, 0x00, 0x04);
pub const END_OF_DATA: Code = (8, 0x00, 0x05);
pub const INVALID_OPCODE: Code = (5, 0x20, 0x00);
pub const INVALID_ELEMENT: Code = (5, 0x21, 0x01);
pub const INVALID_FIELD: Code = (5, 0x24, 0x00);

/// What bytes that no device sent look like.
const CANARY: u8 = 0xe5;
const LIMIT: Duration = Duration::from_secs(60);

/// A logical unit and how much the way to it takes at once.
pub struct Device {
    transport: Box<dyn Transport>,
    transfer_bytes_max: usize,
}

/// A command's end.
pub struct Answer {
    reply: Reply,
    /// What arrived.
    pub data: Vec<u8>,
    /// Bytes of the buffer behind what arrived that were changed all the same.
    stale: usize,
}

impl Answer {
    /// True if it ended with GOOD.
    pub fn is_good(&self) -> bool {
        self.reply.status == Status::Good
    }

    /// GOOD, with exactly this many bytes.
    pub fn good(self, length: usize) -> Result<Vec<u8>, String> {
        let data = self.good_any()?;
        want!(data.len() == length, "{} bytes came, not {length}", data.len());
        Ok(data)
    }

    /// GOOD, with whatever came.
    pub fn good_any(self) -> Result<Vec<u8>, String> {
        want!(self.reply.status == Status::Good, "ended with {}", words(&self.reply));
        want!(self.stale == 0, "{} bytes behind the end of the data were changed", self.stale);
        Ok(self.data)
    }

    /// CHECK CONDITION with this code.
    pub fn fails(self, code: Code) -> Result<Failure, String> {
        let found = self.fails_any()?;
        want!(found.code == code, "sense {}, not {}", text(found.code), text(code));
        Ok(found)
    }

    /// CHECK CONDITION with any code.
    pub fn fails_any(self) -> Result<Failure, String> {
        let Some(sense) = self.reply.sense.filter(|_| self.reply.status == Status::CheckCondition)
        else {
            return Err(format!("ended with {}, CHECK CONDITION was due", words(&self.reply)));
        };
        want!(self.stale == 0, "{} bytes behind the end of the data were changed", self.stale);
        Ok(Failure {
            code: (sense.key.to_byte(), sense.asc, sense.ascq),
            information: sense.information,
            filemark: sense.filemark,
            end_of_medium: sense.end_of_medium,
            incorrect_length: sense.incorrect_length,
            data: self.data,
        })
    }
}

/// The sense data of a command that ended with CHECK CONDITION, and the data that came before it.
#[derive(Debug)]
pub struct Failure {
    pub code: Code,
    pub information: Option<i64>,
    pub filemark: bool,
    pub end_of_medium: bool,
    pub incorrect_length: bool,
    pub data: Vec<u8>,
}

fn text((key, asc, ascq): Code) -> String {
    format!("{key:X}/{asc:02X}/{ascq:02X}")
}

fn words(reply: &Reply) -> String {
    match &reply.sense {
        Some(sense) => format!("{:?}, {sense}", reply.status),
        None => format!("{:?}", reply.status),
    }
}

impl Device {
    pub fn new(transport: Box<dyn Transport>, transfer_bytes_max: usize) -> Device {
        Device { transport, transfer_bytes_max }
    }

    /// The largest block that the way to the unit takes, in bytes.
    pub fn transfer_bytes_max(&self) -> usize {
        self.transfer_bytes_max
    }

    fn execute(&mut self, cdb: &[u8], data: Data<'_>) -> Result<Reply, String> {
        self.transport.execute(cdb, data, LIMIT).map_err(|error| format!("[{cdb:02x?}]: {error}"))
    }

    /// A command without data.
    pub fn send(&mut self, cdb: &[u8]) -> Result<Answer, String> {
        let reply = self.execute(cdb, Data::None)?;
        Ok(Answer { reply, data: Vec::new(), stale: 0 })
    }

    /// A command without data that must end with GOOD.
    pub fn good(&mut self, cdb: &[u8]) -> Verdict {
        self.send(cdb)?.good(0).map(drop).map_err(|error| format!("[{cdb:02x?}]: {error}"))
    }

    /// A command with this much room for the reply.
    pub fn fetch(&mut self, cdb: &[u8], room: usize) -> Result<Answer, String> {
        let mut buffer = vec![CANARY; room];
        let reply = self.execute(cdb, Data::In(&mut buffer))?;
        want!(
            reply.transferred <= room,
            "{} bytes counted in a buffer of {room}",
            reply.transferred
        );
        let stale = buffer[reply.transferred..].iter().filter(|byte| **byte != CANARY).count();
        buffer.truncate(reply.transferred);
        Ok(Answer { reply, data: buffer, stale })
    }

    /// A command with these bytes.
    pub fn put(&mut self, cdb: &[u8], bytes: &[u8]) -> Result<Answer, String> {
        let reply = self.execute(cdb, Data::Out(bytes))?;
        Ok(Answer { reply, data: Vec::new(), stale: 0 })
    }

    /// Takes unit attentions and waits while the unit becomes ready.
    pub fn settle(&mut self) -> Verdict {
        let start = Instant::now();
        let mut attentions = 0;
        loop {
            let answer = self.send(&[0; 6])?;
            let Some(sense) = answer.reply.sense else { return Ok(()) };
            if sense.is_unit_attention() {
                attentions += 1;
                want!(attentions < 16, "unit attentions without end, the last {sense}");
            } else if !sense.is_becoming_ready() {
                return Ok(());
            } else {
                want!(start.elapsed() < LIMIT, "still becoming ready after {} s", LIMIT.as_secs());
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Content that tells blocks apart.
pub fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 24) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}
