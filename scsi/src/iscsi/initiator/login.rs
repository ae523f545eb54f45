//! From a TCP connection to a session (RFC 7143 §6.3, §7): who is it, what do we agree on.
//!
//! A login is bounded in every direction: each step has its time, a text its length, and the number of steps
//! a limit, so that a target that never comes to an end is an error.

use std::time::Instant;

use super::session::Session;
use super::socket::Half;
use super::{Options, Portal, PortalError};
use crate::iscsi::chap::{self, InitiatorChap};
use crate::iscsi::frame::{Outgoing, Reader, Writer};
use crate::iscsi::negotiation::Negotiation;
use crate::iscsi::parameters::LOGIN_DATA_BYTES_MAX;
use crate::iscsi::pdu::{Isid, LoginRequest, LoginResponse, Request, Response, Stage, Transit};
use crate::iscsi::serial::Serial;
use crate::iscsi::text::{Collector, NONE, REJECT, Text};
use crate::iscsi::{Error, Result};

/// Steps after which a login is given up.
const STEPS_MAX: usize = 32;
/// Longest text of one step.
const TEXT_BYTES_MAX: usize = 65_536;
/// Number of the first command of a session.
const FIRST_CMD_SN: u32 = 1;
const TASK_TAG: u32 = 0;

/// What is logged in to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Goal<'a> {
    pub options: &'a Options,
    /// The target; without one a discovery session.
    pub target: Option<&'a str>,
    /// The same for a session that takes the place of a lost one: the target then ends what is left of
    /// that (session reinstatement, RFC 7143 §6.3.5).
    pub isid: Isid,
}

/// How a login ended that did not fail.
#[derive(Debug)]
pub(super) enum LoggedIn {
    /// The session is open.
    Open(Box<Session>),
    /// The target is elsewhere.
    Moved(Portal),
}

/// A fresh session identifier of the random kind (RFC 7143 §11.12.5: type 10b).
pub(super) fn random_isid() -> Result<Isid> {
    let mut isid = [0; 6];
    getrandom::fill(&mut isid).map_err(|error| Error::Random { reason: error.to_string() })?;
    let [first, ..] = &mut isid;
    *first = 0x80;
    Ok(isid)
}

struct Login<'a> {
    goal: Goal<'a>,
    reader: Reader<Half>,
    writer: Writer<Half>,
    exp_stat_sn: Serial,
    steps: usize,
}

/// Logs in over a new connection.
pub(super) fn login(goal: Goal<'_>, input: Half, output: Half) -> Result<LoggedIn> {
    let reader = Reader::new(input, LOGIN_DATA_BYTES_MAX);
    let writer = Writer::new(output);
    let login = Login { goal, reader, writer, exp_stat_sn: Serial(0), steps: 0 };
    login.run()
}

impl Login<'_> {
    fn run(mut self) -> Result<LoggedIn> {
        if let Some(portal) = self.security()? {
            return Ok(LoggedIn::Moved(portal));
        }
        let mut negotiation =
            Negotiation::new(self.goal.options.wishes.clone(), self.goal.target.is_none());
        let mut text = Text::new();
        negotiation.propose(&mut text);
        let forward = Transit {
            current: Stage::Operational,
            next: Some(Stage::FullFeature),
            is_continued: false,
        };
        let response = loop {
            let (response, answers) = match self.step(forward, &text)? {
                Step::Done(response, answers) => (response, answers),
                Step::Moved(portal) => return Ok(LoggedIn::Moved(portal)),
            };
            text = Text::new();
            for (key, value) in answers.iter() {
                negotiation.receive(key, value, &mut text)?;
            }
            match response.transit.next {
                Some(Stage::FullFeature) => break response,
                Some(_) => return Err(out_of_order("it went back to another stage")),
                None => {}
            }
        };
        let parameters = negotiation.finish()?;
        self.reader.set_limits(parameters.digests, parameters.recv_data_bytes_max as usize);
        self.writer.set_digests(parameters.digests);
        Ok(LoggedIn::Open(Box::new(Session::new(
            self.reader,
            self.writer,
            parameters,
            Serial(FIRST_CMD_SN),
            self.exp_stat_sn,
            response.counters,
            self.goal.options.answer_timeout,
        ))))
    }

    /// The security stage, until the target goes on to the operational one.
    fn security(&mut self) -> Result<Option<Portal>> {
        let options = self.goal.options;
        let mut chap = match &options.credentials {
            Some(ours) => {
                Some(InitiatorChap::new(ours.clone(), options.target_credentials.clone())?)
            }
            None if options.target_credentials.is_some() => {
                return Err(Error::authentication(
                    "the target is to show who it is, but there is no user and password for this host; \
                     CHAP needs both",
                ));
            }
            None => None,
        };
        let mut text = Text::new();
        text.push("InitiatorName", options.initiator_name.as_str());
        match self.goal.target {
            Some(target) => {
                text.push("SessionType", "Normal");
                text.push("TargetName", target);
            }
            None => {
                text.push("SessionType", "Discovery");
            }
        }
        // With credentials of both directions nothing but CHAP will do.
        let must_authenticate = options.target_credentials.is_some();
        let methods = match (&chap, must_authenticate) {
            (None, _) => NONE.to_string(),
            (Some(_), true) => chap::METHOD.to_string(),
            (Some(_), false) => format!("{},{NONE}", chap::METHOD),
        };
        text.push("AuthMethod", methods);

        let stay = Transit { current: Stage::Security, next: None, is_continued: false };
        let forward = Transit { next: Some(Stage::Operational), ..stay };
        let mut transit = if chap.is_some() { stay } else { forward };
        let mut is_responded = false;
        loop {
            let (response, answers) = match self.step(transit, &text)? {
                Step::Done(response, answers) => (response, answers),
                Step::Moved(portal) => return Ok(Some(portal)),
            };
            text = Text::new();
            if let Some(method) = answers.get("AuthMethod") {
                match (&chap, method) {
                    (Some(chap), chap::METHOD) => text = chap.offer(),
                    (_, NONE) if !must_authenticate => transit = forward,
                    (None, chap::METHOD | REJECT) => {
                        return Err(Error::authentication(
                            "the target wants a user and a password, and none are configured for it",
                        ));
                    }
                    (_, other) => {
                        return Err(Error::authentication(format!(
                            "the target answers with the method '{other}', which was not offered"
                        )));
                    }
                }
            } else if answers.get("CHAP_A").is_some()
                && let Some(chap) = &mut chap
            {
                text = chap.respond(&answers)?;
                is_responded = true;
                transit = forward;
            }
            match response.transit.next {
                Some(Stage::Operational) => {
                    if must_authenticate && let Some(chap) = &chap {
                        if !is_responded {
                            return Err(Error::authentication(
                                "the target did not ask who this host is",
                            ));
                        }
                        chap.verify(&answers)?;
                    }
                    return Ok(None);
                }
                Some(_) => return Err(out_of_order("it skipped the stage that was asked for")),
                None => {}
            }
        }
    }

    /// Sends one step and collects its answer.
    fn step(&mut self, transit: Transit, text: &Text) -> Result<Step> {
        let deadline = Instant::now() + self.goal.options.answer_timeout;
        self.reader.stream_mut().arm(deadline)?;
        self.writer.stream_mut().arm(deadline)?;
        self.send(transit, &text.to_bytes())?;
        let mut collector = Collector::new(TEXT_BYTES_MAX);
        loop {
            let response = self.receive()?;
            if !response.status.is_success() && !response.status.is_redirection() {
                return Err(Error::Refused { status: response.status });
            }
            let data = self.reader.data()?;
            if let Some(answers) = collector.push(&data, response.transit.is_continued)? {
                if response.status.is_redirection() {
                    return moved(&response, &answers);
                }
                if response.transit.current != transit.current {
                    return Err(out_of_order("it is in another stage"));
                }
                return Ok(Step::Done(response, answers));
            }
            self.send(Transit { next: None, ..transit }, &[])?;
        }
    }

    fn send(&mut self, transit: Transit, data: &[u8]) -> Result<()> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return Err(out_of_order("it does not come to an end"));
        }
        let request = Request::from(LoginRequest {
            transit,
            version_max: 0,
            version_min: 0,
            isid: self.goal.isid,
            tsih: 0,
            task_tag: TASK_TAG,
            connection: 0,
            cmd_sn: FIRST_CMD_SN,
            exp_stat_sn: self.exp_stat_sn.0,
        });
        self.writer.send(&[Outgoing::new(request.build(), data)])
    }

    fn receive(&mut self) -> Result<LoginResponse> {
        let header = self.reader.header()?.ok_or(Error::Closed)?;
        let Response::Login(response) = Response::parse(&header)? else {
            return Err(out_of_order(format!(
                "a message of type {:02x}h came instead",
                header.opcode()
            )));
        };
        self.exp_stat_sn = Serial(response.counters.stat_sn).next();
        Ok(response)
    }
}

enum Step {
    Done(LoginResponse, Text),
    Moved(Portal),
}

fn out_of_order(reason: impl Into<String>) -> Error {
    Error::malformed("Login Response", reason)
}

/// Where a redirection leads (TargetAddress, RFC 7143 §13.8).
fn moved(response: &LoginResponse, answers: &Text) -> Result<Step> {
    let address = answers.get("TargetAddress").ok_or(Error::Refused { status: response.status })?;
    parse_target_address(address).map(Step::Moved)
}

/// `HOST[:PORT][,GROUP]`.
pub(super) fn parse_target_address(address: &str) -> Result<Portal> {
    let portal = address.split_once(',').map_or(address, |(portal, _)| portal);
    portal.parse().map_err(|error: PortalError| {
        Error::malformed("TargetAddress", format!("'{address}': {}", error.reason))
    })
}
