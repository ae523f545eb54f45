//! The login of a session (RFC 7143 §6, §11.12, §11.13): who the initiator is, that it knows the secret
//! if there is one, and what both sides agree on.
//!
//! Nothing of the library is touched before the initiator has shown who it is. A step that breaks a
//! rule is answered with a status that says which, and ends the connection.

use std::net::TcpStream;
use std::sync::Arc;

use scsi::iscsi::chap::{self, Credentials, TargetChap};
use scsi::iscsi::frame::Reader;
use scsi::iscsi::name::Name;
use scsi::iscsi::negotiation::Negotiation;
use scsi::iscsi::parameters::{Parameters, Wishes};
use scsi::iscsi::pdu::{
    Isid, LoginRequest, LoginResponse, LoginStatus, Request, Response, Stage, Transit,
};
use scsi::iscsi::serial::Serial;
use scsi::iscsi::text::{Collector, NONE, Text};

use super::discovery::PORTAL_GROUP;
use super::limits::{COMMANDS_MAX, LOGIN_STEPS_MAX, TEXT_BYTES_MAX};
use super::outbox::Outbox;
use super::registry::Port;
use super::stream::Incoming;

/// What the target asks of whoever logs in.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The target's name.
    pub name: Name,
    /// What the initiator must know, and what it may ask the target to know.
    pub chap: Option<(Credentials, Option<Credentials>)>,
    /// Parameters.
    pub wishes: Wishes,
}

/// A login that succeeded.
pub struct LoggedIn<A> {
    pub port: Port,
    pub agreed: Parameters,
    pub outbox: Outbox,
    /// Number of the first command.
    pub cmd_sn: u32,
    /// What was made for the session; `None` for a discovery session.
    pub admission: Option<A>,
}

/// A login that did not.
#[derive(Debug)]
pub struct Refusal {
    /// What the initiator was told, if it could be told anything.
    pub status: Option<LoginStatus>,
    /// Why.
    pub reason: String,
}

fn refuse(status: LoginStatus, reason: impl Into<String>) -> Refusal {
    Refusal { status: Some(status), reason: reason.into() }
}

impl From<scsi::iscsi::Error> for Refusal {
    fn from(error: scsi::iscsi::Error) -> Refusal {
        Refusal { status: None, reason: error.to_string() }
    }
}

/// How far the initiator is in showing who it is.
enum Proof {
    /// Nothing was said yet.
    Open,
    /// CHAP was chosen.
    Chosen(TargetChap),
    /// A challenge was sent.
    Challenged(TargetChap),
    /// Shown, or not asked for.
    Given,
}

/// Who logs in, from the first text.
struct Identity {
    name: Name,
    is_discovery: bool,
}

struct Login<'t> {
    terms: &'t Terms,
    isid: Isid,
    identity: Option<Identity>,
    proof: Proof,
    stage: Option<Stage>,
    negotiation: Option<Negotiation>,
    has_declared: bool,
}

/// Carries a login through. `admit` makes what a normal session needs, and gives it with the session's
/// handle; it is asked last.
pub fn login<A>(
    terms: &Terms,
    reader: &mut Reader<Incoming>,
    socket: &Arc<TcpStream>,
    admit: impl FnOnce(&Port, u16) -> Result<(A, u16), LoginStatus>,
) -> Result<LoggedIn<A>, Refusal> {
    let mut login = Login {
        terms,
        isid: Isid::default(),
        identity: None,
        proof: Proof::Open,
        stage: None,
        negotiation: None,
        has_declared: false,
    };
    let mut collector = Collector::new(TEXT_BYTES_MAX);
    let mut begun: Option<(Outbox, LoginRequest)> = None;
    for _ in 0..LOGIN_STEPS_MAX {
        let Some(header) = reader.header()? else {
            return Err(Refusal { status: None, reason: "the connection was closed".into() });
        };
        let Request::Login(request) = Request::parse(&header)? else {
            let reason = format!("a message of type {:02x}h during the login", header.opcode());
            return Err(Refusal { status: None, reason });
        };
        let data = reader.data()?;
        let (outbox, first) = begun.get_or_insert_with(|| {
            let outbox = Outbox::new(socket, request.exp_stat_sn);
            let first = Serial(request.cmd_sn);
            outbox.set_window(first, Serial(first.plus(COMMANDS_MAX).0.wrapping_sub(1)));
            login.isid = request.isid;
            (outbox, request.clone())
        });
        let step = login.check(&request, first).and_then(|()| {
            let text = collector.push(&data, request.transit.is_continued);
            text.map_err(|error| refuse(LoginStatus::INITIATOR_ERROR, error.to_string()))
        });
        let step = step.and_then(|text| match text {
            // More of this text is to come.
            None => Ok((Text::new(), None)),
            Some(text) => login.step(&request, &text),
        });
        let answer = |tsih, next, status| LoginResponse {
            transit: Transit { current: request.transit.current, next, is_continued: false },
            version_max: 0,
            version_active: 0,
            isid: request.isid,
            tsih,
            task_tag: request.task_tag,
            counters: Default::default(),
            status,
        };
        let send = |outbox: &Outbox, response: LoginResponse, text: &Text| {
            let response =
                |counters| Response::Login(LoginResponse { counters, ..response.clone() });
            outbox.send(response, &text.to_bytes());
        };
        let (text, next) = match step {
            Ok(step) => step,
            Err(refusal) => {
                let status = refusal.status.unwrap_or(LoginStatus::TARGET_ERROR);
                send(outbox, answer(request.tsih, None, status), &Text::new());
                return Err(refusal);
            }
        };
        if next != Some(Stage::FullFeature) {
            send(outbox, answer(request.tsih, next, LoginStatus::SUCCESS), &text);
            continue;
        }
        let (cmd_sn, tsih) = (first.cmd_sn, first.tsih);
        let ended = login.finish().and_then(|(port, is_discovery, agreed)| {
            if is_discovery {
                // A discovery session is never named again; any handle but 0 does.
                return Ok((port, agreed, None, 1));
            }
            let (admission, tsih) = admit(&port, tsih)
                .map_err(|status| refuse(status, format!("{}: {status}", port.name)))?;
            Ok((port, agreed, Some(admission), tsih))
        });
        let Some((outbox, _)) = begun else { break };
        return match ended {
            Ok((port, agreed, admission, tsih)) => {
                send(&outbox, answer(tsih, next, LoginStatus::SUCCESS), &text);
                outbox.set_digests(agreed.digests);
                Ok(LoggedIn { port, agreed, outbox, cmd_sn, admission })
            }
            Err(refusal) => {
                let status = refusal.status.unwrap_or(LoginStatus::TARGET_ERROR);
                send(&outbox, answer(tsih, None, status), &Text::new());
                Err(refusal)
            }
        };
    }
    Err(Refusal { status: None, reason: "the login took too many steps".into() })
}

impl Login<'_> {
    /// What every request of a login must keep to.
    fn check(&mut self, request: &LoginRequest, first: &LoginRequest) -> Result<(), Refusal> {
        if request.version_min > 0 {
            return Err(refuse(LoginStatus::UNSUPPORTED_VERSION, "a version later than 0"));
        }
        if request.isid != first.isid
            || request.tsih != first.tsih
            || request.task_tag != first.task_tag
        {
            return Err(refuse(LoginStatus::INITIATOR_ERROR, "a request of another login"));
        }
        if self.stage.is_some_and(|stage| stage != request.transit.current) {
            return Err(refuse(LoginStatus::INITIATOR_ERROR, "a request of another stage"));
        }
        self.stage = Some(request.transit.current);
        Ok(())
    }

    /// One step with its whole text: the answer, and the stage to go to.
    fn step(
        &mut self,
        request: &LoginRequest,
        text: &Text,
    ) -> Result<(Text, Option<Stage>), Refusal> {
        let mut answer = Text::new();
        if self.identity.is_none() {
            let identity = self.identify(text)?;
            if !identity.is_discovery {
                answer.push("TargetPortalGroupTag", PORTAL_GROUP.to_string());
            }
            let wishes = self.terms.wishes.clone();
            self.negotiation = Some(Negotiation::new(wishes, identity.is_discovery));
            self.identity = Some(identity);
        }
        if request.transit.current == Stage::Security {
            self.prove(text, &mut answer)?;
        }
        if matches!(self.proof, Proof::Open) && self.terms.chap.is_none() {
            self.proof = Proof::Given;
        }
        let is_proven = matches!(self.proof, Proof::Given);
        if request.transit.current == Stage::Operational && !is_proven {
            let reason = "it must authenticate with CHAP before anything else";
            return Err(refuse(LoginStatus::AUTHENTICATION_FAILED, reason));
        }
        self.negotiate(request.transit.current, text, &mut answer)?;
        let next = request.transit.next.filter(|_| is_proven);
        if next.is_some() {
            self.stage = next;
        }
        Ok((answer, next))
    }

    fn identify(&self, text: &Text) -> Result<Identity, Refusal> {
        let missing = |key| refuse(LoginStatus::MISSING_PARAMETER, format!("{key} is missing"));
        let name = text.get("InitiatorName").ok_or_else(|| missing("InitiatorName"))?;
        let name = name
            .parse::<Name>()
            .map_err(|error| refuse(LoginStatus::INITIATOR_ERROR, error.to_string()))?;
        let is_discovery = match text.get("SessionType") {
            Some("Discovery") => true,
            None | Some("Normal") => false,
            Some(_) => return Err(refuse(LoginStatus::SESSION_TYPE, "an unknown type of session")),
        };
        if !is_discovery {
            let target = text.get("TargetName").ok_or_else(|| missing("TargetName"))?;
            if target.parse::<Name>().ok().as_ref() != Some(&self.terms.name) {
                let reason = format!("{name} asks for the target '{}'", target.escape_debug());
                return Err(refuse(LoginStatus::NOT_FOUND, reason));
            }
        }
        Ok(Identity { name, is_discovery })
    }

    /// Keys of the security stage.
    fn prove(&mut self, text: &Text, answer: &mut Text) -> Result<(), Refusal> {
        let failed = |reason: String| refuse(LoginStatus::AUTHENTICATION_FAILED, reason);
        if let Some(offered) = text.get("AuthMethod") {
            if !matches!(self.proof, Proof::Open) {
                return Err(refuse(LoginStatus::INITIATOR_ERROR, "AuthMethod came twice"));
            }
            let wanted = if self.terms.chap.is_some() { chap::METHOD } else { NONE };
            if !offered.split(',').any(|method| method == wanted) {
                let offered = offered.escape_debug();
                return Err(failed(format!("it offers AuthMethod {offered}, not {wanted}")));
            }
            answer.push("AuthMethod", wanted);
            self.proof = match self.terms.chap.clone() {
                None => Proof::Given,
                Some((theirs, ours)) => Proof::Chosen(
                    TargetChap::new(theirs, ours).map_err(|error| failed(error.to_string()))?,
                ),
            };
        }
        let said = |error: scsi::iscsi::Error| failed(error.to_string());
        let proof = std::mem::replace(&mut self.proof, Proof::Open);
        let (proof, said) = match proof {
            Proof::Chosen(mut chap) if text.get("CHAP_A").is_some() => {
                let challenge = chap.challenge(text).map_err(said)?;
                (Proof::Challenged(chap), challenge)
            }
            Proof::Challenged(mut chap) if text.get("CHAP_R").is_some() => {
                (Proof::Given, chap.check(text).map_err(said)?)
            }
            other => (other, Text::new()),
        };
        self.proof = proof;
        said.iter().for_each(|(key, value)| {
            answer.push(key, value);
        });
        Ok(())
    }

    fn negotiate(&mut self, stage: Stage, text: &Text, answer: &mut Text) -> Result<(), Refusal> {
        let Some(negotiation) = &mut self.negotiation else { return Ok(()) };
        if stage == Stage::Operational && !self.has_declared {
            self.has_declared = true;
            negotiation.declare(answer);
        }
        let of_security = |key: &str| key == "AuthMethod" || key.starts_with("CHAP_");
        for (key, value) in text.iter().filter(|(key, _)| !of_security(key)) {
            negotiation
                .receive(key, value, answer)
                .map_err(|error| refuse(LoginStatus::INITIATOR_ERROR, error.to_string()))?;
        }
        Ok(())
    }

    /// Everything was said.
    fn finish(&mut self) -> Result<(Port, bool, Parameters), Refusal> {
        let (Some(identity), Some(negotiation)) = (self.identity.take(), self.negotiation.take())
        else {
            return Err(refuse(LoginStatus::INITIATOR_ERROR, "it did not say who it is"));
        };
        let agreed = negotiation
            .finish()
            .map_err(|error| refuse(LoginStatus::INITIATOR_ERROR, error.to_string()))?;
        let port = Port { name: identity.name, isid: self.isid };
        Ok((port, identity.is_discovery, agreed))
    }
}
