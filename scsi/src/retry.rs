//! Repeating, over any transport, the commands that the device certainly did not do.
//!
//! A tape has no addresses: a WRITE, a SPACE or a move of the robot that is sent twice does the thing
//! twice, and nothing afterwards shows it. So the rule is not "what looks transient" but "what cannot have
//! happened":
//!
//! | what came back | repeated |
//! |---|---|
//! | BUSY, TASK SET FULL | every command: the device refused it without looking at it (SAM-5 §5.3.1) |
//! | [`Error::NotCarried`] | every command: it never left this host |
//! | RESERVATION CONFLICT | none: it ends when the other host says so, not by asking |
//! | CHECK CONDITION | none: it is an answer. A unit attention in particular must reach the caller, who may have to find out which tape this is |
//! | [`Error::Transport`] | only INQUIRY and REPORT LUNS |
//! | [`Error::Timeout`] | none: the device may still be at it |
//!
//! Why only INQUIRY and REPORT LUNS where the way failed underway, although most other questions change
//! nothing either: the reply that was lost may have carried a unit attention, which is gone once it was
//! sent. The repeated question would then be answered by a drive that holds another tape, and nobody
//! would know. Those two never report one (SAM-5 §5.14).
//!
//! Between tries the time doubles from [`Backoff::first`] to [`Backoff::longest`], and after
//! [`Backoff::total`] the last answer is passed on as it is.

use std::time::Duration;

use crate::command::opcode;
use crate::transport::{Data, Error, Reply, Transport};

/// How long and how often is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Time before the first repetition.
    pub first: Duration,
    /// Longest time between two tries.
    pub longest: Duration,
    /// After so much waiting in all, the last answer counts.
    pub total: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff {
            first: Duration::from_millis(50),
            longest: Duration::from_secs(2),
            total: Duration::from_secs(20),
        }
    }
}

/// A transport that repeats what the one below did not do.
pub struct Retrying<T> {
    inner: T,
    backoff: Backoff,
    wait: Box<dyn FnMut(Duration) + Send>,
}

impl<T: std::fmt::Debug> std::fmt::Debug for Retrying<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Retrying")
            .field("inner", &self.inner)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl<T: Transport> Retrying<T> {
    /// Repeats over `inner` with the usual times.
    pub fn new(inner: T) -> Retrying<T> {
        Retrying::with_backoff(inner, Backoff::default())
    }

    /// Repeats over `inner` with these times.
    pub fn with_backoff(inner: T, backoff: Backoff) -> Retrying<T> {
        Retrying { inner, backoff, wait: Box::new(std::thread::sleep) }
    }
}

/// True if the command that ended so was certainly not done, or may be done twice.
fn may_repeat(cdb: &[u8], outcome: &Result<Reply, Error>) -> bool {
    match outcome {
        Ok(reply) => reply.status.is_try_again(),
        Err(Error::NotCarried { .. }) => true,
        Err(Error::Transport { .. }) => {
            matches!(cdb.first(), Some(&(opcode::INQUIRY | opcode::REPORT_LUNS)))
        }
        Err(_) => false,
    }
}

impl<T: Transport> Transport for Retrying<T> {
    fn execute(
        &mut self,
        cdb: &[u8],
        mut data: Data<'_>,
        timeout: Duration,
    ) -> Result<Reply, Error> {
        let mut waited = Duration::ZERO;
        let mut next = self.backoff.first;
        loop {
            let again = match &mut data {
                Data::None => Data::None,
                Data::In(buffer) => Data::In(buffer),
                Data::Out(bytes) => Data::Out(bytes),
            };
            let outcome = self.inner.execute(cdb, again, timeout);
            if !may_repeat(cdb, &outcome) || waited >= self.backoff.total {
                return outcome;
            }
            let pause = next.min(self.backoff.total - waited);
            (self.wait)(pause);
            waited += pause;
            next = (next * 2).min(self.backoff.longest);
        }
    }

    fn name(&self) -> &str {
        self.inner.name()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::testing::{Answer, Script};
    use crate::{Sense, Status};

    const WRITE: [u8; 6] = [opcode::WRITE_6, 0, 0, 0, 4, 0];
    const MOVE: [u8; 12] = [opcode::MOVE_MEDIUM, 0, 0, 0, 0, 1, 0, 2, 0, 0, 0, 0];
    const INQUIRY: [u8; 6] = [opcode::INQUIRY, 0, 0, 0, 36, 0];

    /// A transport over the script that notes its pauses instead of sleeping.
    fn over(script: &Script) -> (Retrying<Script>, Arc<Mutex<Vec<u64>>>) {
        let pauses = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&pauses);
        let mut retrying = Retrying::new(script.device());
        retrying.wait = Box::new(move |pause| noted.lock().unwrap().push(pause.as_millis() as u64));
        (retrying, pauses)
    }

    fn send(retrying: &mut Retrying<Script>, cdb: &[u8]) -> Result<Reply, Error> {
        retrying.execute(cdb, Data::None, Duration::from_secs(1))
    }

    #[test]
    fn what_the_device_refused_unseen_is_sent_again() {
        let mut script = Script::new();
        for status in [Status::Busy, Status::TaskSetFull, Status::Busy] {
            script.expect(&WRITE, Answer::Status(status));
        }
        script.expect_out(&WRITE, b"data");
        let (mut retrying, pauses) = over(&script);
        let reply = retrying.execute(&WRITE, Data::Out(b"data"), Duration::from_secs(1)).unwrap();
        assert_eq!((reply.status, reply.transferred), (Status::Good, 4));
        assert_eq!(*pauses.lock().unwrap(), [50, 100, 200]);
    }

    #[test]
    fn what_never_left_is_sent_again() {
        let mut script = Script::new();
        script.expect(&MOVE, Answer::NotCarried).expect_good(&MOVE);
        let (mut retrying, pauses) = over(&script);
        assert_eq!(send(&mut retrying, &MOVE).unwrap().status, Status::Good);
        assert_eq!(pauses.lock().unwrap().len(), 1);
    }

    #[test]
    fn answers_and_doubtful_ends_are_passed_on_at_once() {
        for answer in [
            Answer::Broken,
            Answer::TimedOut,
            Answer::Status(Status::ReservationConflict),
            Answer::Status(Status::Other(0x40)),
            Answer::Check(Sense::POWER_ON),
            Answer::Check(Sense::BECOMING_READY),
        ] {
            for cdb in [&WRITE[..], &MOVE[..], &[0; 6]] {
                let mut script = Script::new();
                script.expect(cdb, answer.clone());
                let (mut retrying, pauses) = over(&script);
                let _ = send(&mut retrying, cdb);
                assert!(pauses.lock().unwrap().is_empty(), "{answer:?}");
            }
        }
    }

    #[test]
    fn only_questions_without_unit_attentions_survive_a_broken_way() {
        let mut script = Script::new();
        script.expect(&INQUIRY, Answer::Broken).expect_in(&INQUIRY, &[1, 2, 3]);
        let (mut retrying, _) = over(&script);
        let mut buffer = [0; 36];
        let reply =
            retrying.execute(&INQUIRY, Data::In(&mut buffer), Duration::from_secs(1)).unwrap();
        assert_eq!((reply.transferred, buffer[2]), (3, 3));
        // The device may still work on a command that took too long.
        let mut script = Script::new();
        script.expect(&INQUIRY, Answer::TimedOut);
        let (mut retrying, _) = over(&script);
        assert!(matches!(send(&mut retrying, &INQUIRY), Err(Error::Timeout { .. })));
    }

    #[test]
    fn a_device_that_stays_busy_is_given_up() {
        let mut script = Script::new();
        let tries = 7 + 9;
        for _ in 0..tries {
            script.expect(&WRITE, Answer::Status(Status::Busy));
        }
        let (mut retrying, pauses) = over(&script);
        assert_eq!(send(&mut retrying, &WRITE).unwrap().status, Status::Busy);
        let pauses = pauses.lock().unwrap();
        assert_eq!(pauses.iter().sum::<u64>(), 20_000);
        assert_eq!(pauses[..7], [50, 100, 200, 400, 800, 1600, 2000]);
    }
}
