//! A device that answers from a transcript.
//!
//! A command is answered with the next exchange that has the same CDB, so that a robot whose state changes
//! in the transcript changes in the same order. If there is none, the last one before is given once more: questions
//! may be asked again. A command that never was recorded fails, and the message says so; it is not refused as
//! a device would refuse it, because a transcript knows nothing of what its device would have said.

use std::time::Duration;

use super::record::reply_of;
use super::{End, Transcript};
use crate::transport::{Data, Error, Reply, Transport};

/// Plays a transcript.
#[derive(Debug)]
pub struct Replay {
    name: String,
    transcript: Transcript,
    next: usize,
}

impl Replay {
    /// `name` stands for the device in messages.
    pub fn new(name: impl Into<String>, transcript: Transcript) -> Replay {
        Replay { name: name.into(), transcript, next: 0 }
    }

    fn find(&mut self, cdb: &[u8]) -> Option<usize> {
        let exchanges = &self.transcript.exchanges;
        let ahead = (self.next..exchanges.len())
            .find(|index| exchanges.get(*index).is_some_and(|exchange| exchange.cdb == cdb));
        if let Some(index) = ahead {
            self.next = index + 1;
            return ahead;
        }
        let behind = exchanges.get(..self.next).unwrap_or(&[]);
        behind.iter().rposition(|exchange| exchange.cdb == cdb)
    }
}

impl Transport for Replay {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        let found = self.find(cdb).and_then(|index| self.transcript.exchanges.get(index));
        let Some(exchange) = found else {
            let hex: Vec<_> = cdb.iter().map(|byte| format!("{byte:02x}")).collect();
            return Err(Error::Transport {
                device: self.name.clone(),
                reason: format!("the transcript has no answer to the command {}", hex.join(" ")),
            });
        };
        let transferred = match data {
            Data::In(buffer) => {
                let length = exchange.data_in.len().min(buffer.len());
                for (to, from) in buffer.iter_mut().zip(&exchange.data_in) {
                    *to = *from;
                }
                length
            }
            Data::Out(sent) => sent.len(),
            Data::None => 0,
        };
        match (&exchange.end, reply_of(&exchange.end, transferred)) {
            (_, Some(reply)) => Ok(reply),
            (End::Failed { reason }, None) => {
                Err(Error::Transport { device: self.name.clone(), reason: reason.clone() })
            }
            (_, None) => {
                let opcode = cdb.first().copied().unwrap_or(0);
                Err(Error::Timeout { opcode, timeout })
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }
}
