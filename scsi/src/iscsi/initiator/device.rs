//! A logical unit of a target, over a session that comes back after it was lost.
//!
//! # Why a lost connection can't hurt a tape
//!
//! After a reconnect the target may be another process, the drive may have been reset, another host may
//! have moved the tape or changed it. Does the device tell? A new I_T nexus makes most devices establish a
//! unit attention (SAM-5 §5.14), but not all do, and a session that reinstates an old one may come without.
//! So this transport does not rely on it: the first command after a reconnect is *not sent*. It is answered
//! with CHECK CONDITION, UNIT ATTENTION, I_T NEXUS LOSS OCCURRED (6/29/07), as a device would. What the
//! code above does on a unit attention is then what happens on a lost connection: a tape drive's position is
//! lost, reading and writing are refused until the tape was rewound and its labels read again
//! (`pbs_tape::drive`). Unit attentions of the device's own follow behind it and are passed on too.
//!
//! INQUIRY and REPORT LUNS are carried, as they never report unit attentions; REQUEST SENSE is answered
//! with the condition, which takes it away (SPC-4 §6.39).
//!
//! The command that ran when the connection was lost ends with [`Error::Transport`]: nobody knows whether
//! the device did it. It is not sent again.
//!
//! # Sessions that rest
//!
//! A target may ask with NOP-In whether the initiator lives, and close the session if it gets no answer in
//! some seconds, while a tape job waits minutes for a robot. So a thread answers while no command runs. And
//! before a command is sent on a session that rested, NOP-Out asks whether the target lives: a connection
//! that died is found before the command rather than under it.

use std::io::ErrorKind;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::command::Failure;
use super::login::{Goal, LoggedIn, login, random_isid};
use super::session::Session;
use super::{Options, Portal, questions, socket};
use crate::address::Address;
use crate::command::inquiry::Inquiry;
use crate::command::opcode;
use crate::iscsi::Error as Protocol;
use crate::iscsi::pdu::{Isid, LoginStatus};
use crate::{Data, Error, Reply, Sense, Status, Transport};

/// How often a resting session is looked after.
const ATTEND_EVERY: Duration = Duration::from_secs(2);
/// After so much rest the target is asked for a sign of life before a command.
const PING_AFTER: Duration = Duration::from_secs(10);
/// After so much rest what arrived is looked at before a command.
const LOOK_AFTER: Duration = Duration::from_millis(500);
/// Redirections that are followed, one behind the other.
const MOVES_MAX: usize = 4;
const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);
/// INQUIRY's qualifier "no such unit here" (SPC-4 table 174).
const QUALIFIER_NO_UNIT: u8 = 0b011;

type Shared = Arc<Mutex<Option<Box<Session>>>>;

/// A logical unit of an iSCSI target.
pub struct IscsiDevice {
    name: String,
    portal: Portal,
    target: String,
    lun: u64,
    options: Options,
    isid: Isid,
    session: Shared,
    keeper: Option<Keeper>,
    /// What the next command is answered with.
    attention: Option<Sense>,
}

impl std::fmt::Debug for IscsiDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IscsiDevice")
            .field("name", &self.name)
            .field("isid", &self.isid)
            .field("attention", &self.attention)
            .finish_non_exhaustive()
    }
}

/// The thread that looks after a resting session.
struct Keeper {
    stop: mpsc::Sender<()>,
    thread: JoinHandle<()>,
}

impl IscsiDevice {
    /// Connects, logs in and looks whether the unit is there.
    ///
    /// # Errors
    ///
    /// [`Error::Open`] that says what happened to whom and what to do.
    pub fn open(
        portal: &Portal,
        target: &str,
        lun: u64,
        options: &Options,
    ) -> Result<IscsiDevice, Error> {
        let address = Address::Iscsi {
            host: portal.host.clone(),
            port: portal.port,
            target: target.to_string(),
            lun,
        };
        let name = address.to_string();
        let refuse = |reason: String| Error::Open { device: name.clone(), reason };
        let isid = random_isid().map_err(|error| refuse(error.to_string()))?;
        let session =
            connect(portal, Goal { options, target: Some(target), isid }).map_err(refuse)?;
        let session: Shared = Arc::new(Mutex::new(Some(session)));
        let keeper = Keeper::start(&session).map_err(|error| Error::Open {
            device: name.clone(),
            reason: format!("no thread can be started: {error}"),
        })?;
        let mut device = IscsiDevice {
            name,
            portal: portal.clone(),
            target: target.to_string(),
            lun,
            options: options.clone(),
            isid,
            session,
            keeper: Some(keeper),
            attention: None,
        };
        device.check_unit()?;
        Ok(device)
    }

    fn check_unit(&mut self) -> Result<(), Error> {
        let is_there = match Inquiry::request(self) {
            Ok(inquiry) => inquiry.qualifier != QUALIFIER_NO_UNIT,
            Err(error) if error.sense().is_some_and(|sense| *sense == Sense::NO_SUCH_UNIT) => false,
            Err(error) => return Err(error),
        };
        if is_there {
            return Ok(());
        }
        let there =
            match self.lock().as_mut().map(|session| questions::report_luns(session, &self.name)) {
                Some(Ok(luns)) => {
                    let luns: Vec<String> = luns.iter().map(u64::to_string).collect();
                    format!("it has {}", luns.join(", "))
                }
                _ => format!("'capstan iscsi discover {}' lists what it has", self.portal),
            };
        let reason = format!("the target has no logical unit {}; {there}", self.lun);
        Err(Error::Open { device: self.name.clone(), reason })
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<Session>>> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn not_carried(&self, reason: String) -> Error {
        Error::NotCarried { device: self.name.clone(), reason }
    }

    /// Sees to an open session that showed life not long ago. True if it is a new one.
    fn ready(&self, session: &mut Option<Box<Session>>) -> Result<bool, Error> {
        if let Some(open) = session {
            let is_alive = match open.idle() {
                rest if rest > PING_AFTER => open.attend().and_then(|()| open.ping()).is_ok(),
                rest if rest > LOOK_AFTER => open.attend().is_ok(),
                _ => true,
            };
            if is_alive && !open.is_leaving() {
                return Ok(false);
            }
        }
        if let Some(old) = session.take().filter(|old| old.is_leaving()) {
            old.log_out(LOGOUT_TIMEOUT);
        }
        let goal = Goal { options: &self.options, target: Some(&self.target), isid: self.isid };
        let fresh = connect(&self.portal, goal)
            .map_err(|reason| self.not_carried(format!("the connection was lost, and {reason}")))?;
        *session = Some(fresh);
        Ok(true)
    }

    /// Answers `cdb` with the pending condition, if it is a command that reports one.
    fn report(&mut self, cdb: &[u8], data: &mut Data<'_>) -> Option<Reply> {
        let sense = self.attention?;
        match cdb.first() {
            Some(&(opcode::INQUIRY | opcode::REPORT_LUNS)) => None,
            Some(&opcode::REQUEST_SENSE) => {
                self.attention = None;
                let bytes = sense.to_fixed();
                let mut transferred = 0;
                if let Data::In(buffer) = data {
                    transferred = bytes.len().min(buffer.len());
                    for (to, from) in buffer.iter_mut().zip(bytes) {
                        *to = from;
                    }
                }
                Some(Reply { status: Status::Good, transferred, sense: None })
            }
            _ => {
                self.attention = None;
                Some(Reply { status: Status::CheckCondition, transferred: 0, sense: Some(sense) })
            }
        }
    }
}

impl Transport for IscsiDevice {
    fn execute(&mut self, cdb: &[u8], data: Data<'_>, timeout: Duration) -> Result<Reply, Error> {
        let mut data = data;
        let shared = Arc::clone(&self.session);
        let mut session = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if self.ready(&mut session)? {
            self.attention = Some(Sense::NEXUS_LOSS);
        }
        let Some(open) = session.as_mut() else {
            return Err(self.not_carried("there is no session".to_string()));
        };
        self.attention = self.attention.or(open.take_attention());
        if let Some(reply) = self.report(cdb, &mut data) {
            return Ok(reply);
        }
        let failure = match open.execute(self.lun, cdb, data, timeout) {
            Ok(reply) => return Ok(reply),
            Err(failure) => failure,
        };
        match failure {
            Failure::NotSent(error) => {
                *session = None;
                Err(self.not_carried(error.to_string()))
            }
            Failure::Lost(error) => {
                *session = None;
                Err(Error::Transport {
                    device: self.name.clone(),
                    reason: format!("{error}; whether the device did what it was told is unknown"),
                })
            }
            Failure::Target(code) => Err(Error::Transport {
                device: self.name.clone(),
                reason: format!(
                    "the target could not carry the command out (response {code:02x}h)"
                ),
            }),
            Failure::Timeout { is_session_sound } => {
                if !is_session_sound {
                    *session = None;
                }
                Err(Error::Timeout { opcode: cdb.first().copied().unwrap_or(0), timeout })
            }
        }
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for IscsiDevice {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.take() {
            keeper.stop();
        }
        if let Some(session) = self.lock().take() {
            session.log_out(LOGOUT_TIMEOUT);
        }
    }
}

impl Keeper {
    fn start(session: &Shared) -> std::io::Result<Keeper> {
        let (stop, stopped) = mpsc::channel();
        let session = Arc::downgrade(session);
        let thread = std::thread::Builder::new().name("iscsi-keeper".into()).spawn(move || {
            while stopped.recv_timeout(ATTEND_EVERY) == Err(RecvTimeoutError::Timeout) {
                let Some(shared) = session.upgrade() else { return };
                // Locked: a command runs, and answers by itself.
                let Ok(mut session) = shared.try_lock() else { continue };
                if session.as_mut().is_some_and(|open| open.attend().is_err()) {
                    *session = None;
                }
            }
        })?;
        Ok(Keeper { stop, thread })
    }

    fn stop(self) {
        drop(self.stop);
        // A panic of the thread has been reported by itself.
        let _ = self.thread.join();
    }
}

/// Connects and logs in, following redirections. The error says what happened, in words that go on behind
/// a name.
pub(super) fn connect(portal: &Portal, goal: Goal<'_>) -> Result<Box<Session>, String> {
    let mut portal = portal.clone();
    for _ in 0..=MOVES_MAX {
        let (input, output) = socket::connect(&portal, goal.options.connect_timeout)
            .map_err(|error| no_connection(&portal, &error, goal.options.connect_timeout))?;
        match login(goal, input, output).map_err(|error| no_login(&portal, goal, &error))? {
            LoggedIn::Open(session) => return Ok(session),
            LoggedIn::Moved(to) => portal = to,
        }
    }
    Err(format!("{portal} sends us on to another address again and again"))
}

fn no_connection(portal: &Portal, error: &std::io::Error, timeout: Duration) -> String {
    let what = match error.kind() {
        ErrorKind::ConnectionRefused => {
            "refuses connections; does an iSCSI target run there, and on this port?".to_string()
        }
        ErrorKind::TimedOut | ErrorKind::WouldBlock => format!(
            "does not answer within {} s; is the host up, and does a firewall let us through?",
            timeout.as_secs()
        ),
        ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
            format!("can't be reached from here: {error}")
        }
        _ => format!("can't be connected to: {error}"),
    };
    format!("{portal} {what}")
}

fn no_login(portal: &Portal, goal: Goal<'_>, error: &Protocol) -> String {
    let target =
        goal.target.map_or_else(|| "discovery".to_string(), |target| format!("target '{target}'"));
    let initiator = &goal.options.initiator_name;
    let what = match error {
        Protocol::Refused { status: LoginStatus::AUTHENTICATION_FAILED } => {
            match &goal.options.credentials {
                Some(ours) => format!(
                    "it does not accept the user '{}' with this password; check both, and that they are meant \
                     for this target",
                    ours.name()
                ),
                None => {
                    "it wants a user and a password, and none are configured for it in iscsi.toml"
                        .to_string()
                }
            }
        }
        Protocol::Refused { status: LoginStatus::NOT_AUTHORIZED } => format!(
            "it does not let this host in; allow the initiator name '{initiator}' there, or configure the user \
             that it wants"
        ),
        Protocol::Refused { status: LoginStatus::NOT_FOUND } => {
            format!("it has no such target; 'capstan iscsi discover {portal}' lists those it has")
        }
        Protocol::Closed | Protocol::CutOff => {
            "it closed the connection during the login; does it speak iSCSI, and let this host in?"
                .to_string()
        }
        error if error.is_timeout() => format!(
            "no answer to the login within {} s; does it speak iSCSI?",
            goal.options.answer_timeout.as_secs()
        ),
        other => other.to_string(),
    };
    format!("{portal}, {target}: {what}")
}
