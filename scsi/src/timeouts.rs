//! Time-outs as the device itself recommends them, where those are longer than ours.
//!
//! The time-outs in [`crate::command::timeout`] cover what makers have published so far. A newer drive or a
//! slower robot may need longer, and a host that gives up early costs a position or a job. So a device is
//! asked once, when it is opened, and each command then gets the longer of both times; never a shorter one.
//!
//! # Why asking changes nothing else
//!
//! * A device that does not answer the question (an old one, or one that lists no time-outs) is used with our
//!   times, and was asked one harmless question. Those that say they are older than SPC-3, which brought the
//!   command, are not asked at all.
//! * A unit attention or a deferred error that was waiting meets the question instead of the command it
//!   would have met, and the device forgets it by telling. It must not get lost: it may say that another tape
//!   is in the drive. So it is kept here and answers the next command, which then is not sent to the device,
//!   just as the device would have done. Commands that a device answers in spite of a unit attention
//!   (SAM-5 §5.14.1) pass.
//! * A caller that allows less than [`timeout::SHORT`] wants an answer soon or none, and gets what it asks for.

use std::collections::VecDeque;
use std::time::Duration;

use crate::command::inquiry::Inquiry;
use crate::command::operations::CommandTimeouts;
use crate::command::{opcode, timeout};
use crate::sense::Sense;
use crate::transport::{Data, Error, Reply, Status, Transport};

/// The version in INQUIRY data that claims SPC-3.
const VERSION_SPC3: u8 = 5;
/// More conditions one after the other are those of a device gone mad.
const CONDITIONS_MAX: usize = 8;

/// A logical unit whose commands get the time that it recommends for them.
pub struct Timeouts {
    inner: Box<dyn Transport>,
    recommended: CommandTimeouts,
    /// Conditions that met the question and belong to later commands, oldest first.
    owed: VecDeque<Sense>,
}

impl Timeouts {
    /// Asks the device once, unless it is too old to know the question.
    pub fn learn(mut inner: Box<dyn Transport>, inquiry: &Inquiry) -> Timeouts {
        let mut owed = VecDeque::new();
        let mut recommended = CommandTimeouts::default();
        while inquiry.version >= VERSION_SPC3 && owed.len() < CONDITIONS_MAX {
            match CommandTimeouts::request(&mut inner) {
                Ok(told) => {
                    recommended = told;
                    break;
                }
                Err(error) => match error.sense() {
                    Some(sense) if sense.deferred || sense.is_unit_attention() => {
                        owed.push_back(*sense);
                    }
                    _ => break,
                },
            }
        }
        Timeouts { inner, recommended, owed }
    }

    /// What the device told.
    pub fn recommended(&self) -> &CommandTimeouts {
        &self.recommended
    }

    fn at_least(&self, cdb: &[u8], ours: Duration) -> Duration {
        if ours < timeout::SHORT {
            return ours;
        }
        self.recommended.recommended(cdb).map_or(ours, |theirs| theirs.max(ours))
    }

    /// Answers a command with the oldest condition that is owed, if it is one that a device would answer so.
    fn pay(&mut self, cdb: &[u8], data: &mut Data<'_>) -> Option<Reply> {
        match cdb.first() {
            Some(&opcode::INQUIRY | &opcode::REPORT_LUNS) => None,
            // REQUEST SENSE tells the condition as data.
            Some(&opcode::REQUEST_SENSE) => {
                let bytes = self.owed.pop_front()?.to_fixed();
                let transferred = match data {
                    Data::In(buffer) => {
                        for (to, from) in buffer.iter_mut().zip(&bytes) {
                            *to = *from;
                        }
                        buffer.len().min(bytes.len())
                    }
                    Data::None | Data::Out(_) => 0,
                };
                Some(Reply { status: Status::Good, transferred, sense: None })
            }
            _ => {
                let sense = Some(self.owed.pop_front()?);
                Some(Reply { status: Status::CheckCondition, transferred: 0, sense })
            }
        }
    }
}

impl Transport for Timeouts {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        let mut data = data;
        if let Some(reply) = self.pay(cdb, &mut data) {
            return Ok(reply);
        }
        let timeout = self.at_least(cdb, timeout);
        self.inner.execute(cdb, data, timeout)
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SenseKey;
    use crate::command::position::rewind_cdb;
    use crate::command::unit::{request_sense, request_sense_cdb, test_unit_ready_cdb};
    use crate::command::{log::LogPage, send};
    use crate::testing::{Answer, Script};

    fn inquiry(version: u8) -> Inquiry {
        Inquiry {
            qualifier: 0,
            kind: 1,
            removable: true,
            version,
            vendor: "ACME".into(),
            product: "TAPE".into(),
            revision: "1".into(),
        }
    }

    /// REWIND may take 1000 s, LOG SENSE 300 s, TEST UNIT READY 5 s.
    fn reply() -> Vec<u8> {
        let one = |code: u8, seconds: u32| {
            let mut bytes = vec![code, 0, 0, 0, 0, 2, 0, 6, 0, 10, 0, 0, 0, 0, 0, 0];
            bytes.extend(seconds.to_be_bytes());
            bytes
        };
        [vec![0, 0, 0, 60], one(0x01, 1000), one(0x4d, 300), one(0x00, 5)].concat()
    }

    fn learn(script: &Script) -> Timeouts {
        Timeouts::learn(Box::new(script.device()), &inquiry(6))
    }

    #[test]
    fn the_longer_time_counts_and_a_hurry_is_respected() {
        let mut script = Script::new();
        script.expect_in(&CommandTimeouts::cdb(), &reply());
        let mut unit = learn(&script);
        let mut given = |cdb: &[u8], ours: u64| {
            script.expect_good(cdb);
            let sent = unit.execute(cdb, Data::None, Duration::from_secs(ours)).unwrap();
            assert_eq!(sent.status, Status::Good);
            script.last_timeout().unwrap().as_secs()
        };
        assert_eq!(given(&rewind_cdb(false), 900), 1000);
        assert_eq!(given(&rewind_cdb(false), 2000), 2000, "never shorter");
        assert_eq!(given(&test_unit_ready_cdb(), 60), 60);
        assert_eq!(given(&LogPage::cdb(0x17, 0, 4), 60), 300);
        assert_eq!(given(&LogPage::cdb(0x11, 0, 4), 1), 1, "who hurries waits no longer");
        assert_eq!(given(&[0x34, 6, 0, 0, 0, 0, 0, 0, 0, 0], 60), 60, "not told of");
    }

    #[test]
    fn who_does_not_know_the_question_is_asked_once_and_used_with_our_times() {
        for answer in [
            Answer::Check(Sense::INVALID_OPCODE),
            Answer::Check(Sense::INVALID_FIELD_IN_CDB),
            Answer::Check(Sense::BECOMING_READY),
            Answer::Bytes(vec![0, 0, 0, 9, 1]),
            Answer::Bytes(vec![]),
            Answer::Status(Status::Busy),
            Answer::Broken,
            Answer::TimedOut,
        ] {
            let mut script = Script::new();
            script.expect(&CommandTimeouts::cdb(), answer.clone());
            let mut unit = learn(&script);
            assert!(unit.recommended().is_empty(), "{answer:?}");
            script.expect_good(&rewind_cdb(false));
            send(&mut unit, &rewind_cdb(false), Duration::from_secs(900)).unwrap();
            assert_eq!(script.last_timeout(), Some(Duration::from_secs(900)));
        }
    }

    #[test]
    fn an_old_device_is_not_asked() {
        let script = Script::new();
        let unit = Timeouts::learn(Box::new(script.device()), &inquiry(4));
        assert!(unit.recommended().is_empty());
    }

    /// What the question met belongs to the commands that follow, in its order, and none of those is sent.
    #[test]
    fn conditions_that_met_the_question_answer_the_next_commands() {
        let deferred = Sense::new(SenseKey::MediumError, 0x0c, 0x00).as_deferred();
        let mut script = Script::new();
        for sense in [Sense::POWER_ON, Sense::MEDIUM_CHANGED, deferred] {
            script.expect_check(&CommandTimeouts::cdb(), sense);
        }
        script.expect_in(&CommandTimeouts::cdb(), &reply());
        let mut unit = learn(&script);
        assert!(!unit.recommended().is_empty());
        // A device answers INQUIRY in spite of a unit attention.
        script.expect_in(&Inquiry::cdb(36), &inquiry(6).build());
        assert_eq!(Inquiry::request(&mut unit).unwrap(), inquiry(6));
        let error = send(&mut unit, &rewind_cdb(false), timeout::REWIND).unwrap_err();
        assert_eq!(error.sense(), Some(&Sense::POWER_ON));
        assert_eq!(request_sense(&mut unit).unwrap().code(), Sense::MEDIUM_CHANGED.code());
        let error = send(&mut unit, &test_unit_ready_cdb(), timeout::READY).unwrap_err();
        assert_eq!(error.sense(), Some(&deferred));
        // From here on it is the device that answers.
        script.expect_in(&request_sense_cdb(), &Sense::new(SenseKey::NoSense, 0, 0).to_fixed());
        assert_eq!(request_sense(&mut unit).unwrap().code(), (0, 0, 0));
    }

    #[test]
    fn a_device_that_has_no_end_of_conditions_is_left_alone() {
        let mut script = Script::new();
        for _ in 0..CONDITIONS_MAX {
            script.expect_check(&CommandTimeouts::cdb(), Sense::POWER_ON);
        }
        assert!(learn(&script).recommended().is_empty());
    }
}
