//! A device that answers from a script, for tests of code that sends commands.
//!
//! The script is a list of expected CDBs with their answers. A command that differs from the next one
//! expected fails the test at once and shows both; a script that was not played to its end fails it
//! when it is dropped, so that a missing command is noticed too.

#![allow(clippy::panic, reason = "failing the test is what this module is for")]

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::sense::Sense;
use crate::transport::{Data, Error, Reply, Status, Transport};

/// How a scripted command is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// GOOD without data; data sent is taken whole.
    Good,
    /// GOOD with these bytes (cut to the buffer).
    Bytes(Vec<u8>),
    /// CHECK CONDITION with this sense, and nothing moved.
    Check(Sense),
    /// CHECK CONDITION with this sense after these bytes moved to the host.
    BytesAndCheck(Vec<u8>, Sense),
    /// Another status.
    Status(Status),
    /// The way to the device breaks.
    Broken,
    /// The command does not leave the host.
    NotCarried,
    /// The device does not answer in time.
    TimedOut,
}

#[derive(Debug)]
struct Step {
    cdb: Vec<u8>,
    out: Option<Vec<u8>>,
    answer: Answer,
}

/// A command as it arrived, and how long it was allowed to take.
#[derive(Debug)]
struct Sent {
    cdb: Vec<u8>,
    timeout: Duration,
}

/// A scripted device.
#[derive(Debug)]
pub struct Script {
    steps: Arc<Mutex<VecDeque<Step>>>,
    sent: Arc<Mutex<Vec<Sent>>>,
    is_checked_on_drop: bool,
}

impl Default for Script {
    fn default() -> Script {
        Script::new()
    }
}

impl Script {
    /// An empty script.
    pub fn new() -> Script {
        Script { steps: Arc::default(), sent: Arc::default(), is_checked_on_drop: true }
    }

    /// The device to hand to the code under test; this end stays to add steps and to check that all
    /// were played.
    pub fn device(&self) -> Script {
        Script {
            steps: Arc::clone(&self.steps),
            sent: Arc::clone(&self.sent),
            is_checked_on_drop: false,
        }
    }

    fn push(&mut self, cdb: &[u8], out: Option<&[u8]>, answer: Answer) -> &mut Script {
        let step = Step { cdb: cdb.to_vec(), out: out.map(<[u8]>::to_vec), answer };
        self.lock().push_back(step);
        self
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Step>> {
        self.steps.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn sent(&self) -> std::sync::MutexGuard<'_, Vec<Sent>> {
        self.sent.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Expects `cdb` and gives this answer, whatever data is sent.
    pub fn expect(&mut self, cdb: &[u8], answer: Answer) -> &mut Script {
        self.push(cdb, None, answer)
    }

    /// Expects `cdb` and answers GOOD.
    pub fn expect_good(&mut self, cdb: &[u8]) -> &mut Script {
        self.push(cdb, None, Answer::Good)
    }

    /// Expects `cdb` and answers with `bytes`.
    pub fn expect_in(&mut self, cdb: &[u8], bytes: &[u8]) -> &mut Script {
        self.push(cdb, None, Answer::Bytes(bytes.to_vec()))
    }

    /// Expects `cdb` with exactly these bytes and answers GOOD.
    pub fn expect_out(&mut self, cdb: &[u8], bytes: &[u8]) -> &mut Script {
        self.push(cdb, Some(bytes), Answer::Good)
    }

    /// Expects `cdb` and answers CHECK CONDITION.
    pub fn expect_check(&mut self, cdb: &[u8], sense: Sense) -> &mut Script {
        self.push(cdb, None, Answer::Check(sense))
    }

    /// Takes the first `count` steps away.
    pub fn skip(&mut self, count: usize) -> &mut Script {
        let mut steps = self.lock();
        let count = count.min(steps.len());
        drop(steps.drain(..count));
        drop(steps);
        self
    }

    /// Moves all steps of `other` behind those of this script.
    pub fn append(&mut self, other: &mut Script) -> &mut Script {
        let mut moved = std::mem::take(&mut *other.lock());
        self.lock().append(&mut moved);
        self
    }

    /// How long the last command was allowed to take.
    pub fn last_timeout(&self) -> Option<Duration> {
        self.sent().last().map(|one| one.timeout)
    }

    /// How long each command with this CDB was allowed to take, in the order sent.
    pub fn timeouts_of(&self, cdb: &[u8]) -> Vec<Duration> {
        self.sent().iter().filter(|one| one.cdb == cdb).map(|one| one.timeout).collect()
    }

    /// How many steps have not been played.
    pub fn remaining(&self) -> usize {
        self.lock().len()
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

impl Transport for Script {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        self.sent().push(Sent { cdb: cdb.to_vec(), timeout });
        let step = self.lock().pop_front();
        let Some(step) = step else {
            panic!("command [{}] after the end of the script", hex(cdb));
        };
        assert!(step.cdb == cdb, "expected command [{}], got [{}]", hex(&step.cdb), hex(cdb));
        if let Some(expected) = &step.out {
            match &data {
                Data::Out(sent) => assert!(
                    sent == expected,
                    "command [{}]: expected data [{}], got [{}]",
                    hex(cdb),
                    hex(expected),
                    hex(sent)
                ),
                _ => panic!("command [{}]: expected data, none was sent", hex(cdb)),
            }
        }
        let reply = |status, transferred, sense| Ok(Reply { status, transferred, sense });
        let sent = match &data {
            Data::Out(sent) => sent.len(),
            _ => 0,
        };
        let fill = |bytes: &[u8]| match data {
            Data::In(buffer) => {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                length
            }
            _ => panic!("command [{}]: the script has data, the caller takes none", hex(cdb)),
        };
        match step.answer {
            Answer::Good => reply(Status::Good, sent, None),
            Answer::Bytes(bytes) => reply(Status::Good, fill(&bytes), None),
            Answer::Check(sense) => reply(Status::CheckCondition, 0, Some(sense)),
            Answer::BytesAndCheck(bytes, sense) => {
                reply(Status::CheckCondition, fill(&bytes), Some(sense))
            }
            Answer::Status(status) => reply(status, 0, None),
            Answer::Broken => Err(Error::Transport {
                device: self.name().to_string(),
                reason: "scripted failure".to_string(),
            }),
            Answer::NotCarried => Err(Error::NotCarried {
                device: self.name().to_string(),
                reason: "scripted refusal".to_string(),
            }),
            Answer::TimedOut => {
                Err(Error::Timeout { opcode: cdb.first().copied().unwrap_or(0), timeout })
            }
        }
    }

    fn name(&self) -> &str {
        "script"
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        if self.is_checked_on_drop && !std::thread::panicking() {
            let left: Vec<String> = self.lock().iter().map(|step| hex(&step.cdb)).collect();
            assert!(left.is_empty(), "commands never sent: {left:?}");
        }
    }
}
