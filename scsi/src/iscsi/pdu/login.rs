//! Login Request and Response (RFC 7143 §11.12, §11.13).
//!
//! Byte 1 of both: transit 80h, continue 40h, current stage in bits 3–2, next stage in bits 1–0.
//! Request: 2, 3 highest and lowest version; 8–13 ISID; 14 TSIH; 20 connection; 24 CmdSN; 28 ExpStatSN.
//! Response: 2, 3 highest and active version; 8–13 ISID; 14 TSIH; 24 counters; 36, 37 status class and
//! detail.

use super::{Counters, Header, opcode};
use crate::iscsi::{Error, Result};

/// Initiator session identifier (§11.12.5): six bytes by which a target tells the sessions of an initiator
/// apart.
pub type Isid = [u8; 6];

/// Stage of a login (§11.12.3). The number 2 is reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Who is it.
    Security,
    /// Operational parameters.
    Operational,
    /// The session is open.
    FullFeature,
}

impl Stage {
    fn from_bits(bits: u8, what: &'static str) -> Result<Stage> {
        match bits & 0x03 {
            0 => Ok(Stage::Security),
            1 => Ok(Stage::Operational),
            3 => Ok(Stage::FullFeature),
            _ => Err(Error::malformed(what, "stage 2, which is reserved")),
        }
    }

    fn to_bits(self) -> u8 {
        match self {
            Stage::Security => 0,
            Stage::Operational => 1,
            Stage::FullFeature => 3,
        }
    }
}

/// Where a login stands and where its sender wants to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transit {
    /// The present stage: security or operational.
    pub current: Stage,
    /// The stage that the sender is ready to go to, a later one. `None`: not ready.
    pub next: Option<Stage>,
    /// More text of the same step follows; never together with a next stage.
    pub is_continued: bool,
}

const TRANSIT: u8 = 0x80;
const CONTINUE: u8 = 0x40;

impl Transit {
    fn parse(flags: u8, what: &'static str) -> Result<Transit> {
        let current = Stage::from_bits(flags >> 2, what)?;
        // Without the transit bit the next stage means nothing.
        let next = match flags & TRANSIT {
            0 => None,
            _ => Some(Stage::from_bits(flags, what)?),
        };
        let is_continued = flags & CONTINUE != 0;
        if current == Stage::FullFeature {
            return Err(Error::malformed(what, "a login in the full feature phase"));
        }
        if next.is_some_and(|next| next <= current) {
            return Err(Error::malformed(what, "the next stage is not a later one"));
        }
        if next.is_some() && is_continued {
            return Err(Error::malformed(
                what,
                "it goes to the next stage with text still to come",
            ));
        }
        Ok(Transit { current, next, is_continued })
    }

    fn flags(self) -> u8 {
        let mut flags = self.current.to_bits() << 2;
        if let Some(next) = self.next {
            flags |= TRANSIT | next.to_bits();
        }
        if self.is_continued {
            flags |= CONTINUE;
        }
        flags
    }
}

/// Login Request. Its data segment is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginRequest {
    /// Stages.
    pub transit: Transit,
    /// Highest version that the initiator speaks; this RFC is version 0.
    pub version_max: u8,
    /// Lowest version that the initiator speaks.
    pub version_min: u8,
    /// Which session of the initiator.
    pub isid: Isid,
    /// The target's handle of an existing session, 0 for a new one.
    pub tsih: u16,
    /// Task tag, the same through a login.
    pub task_tag: u32,
    /// Which connection of the session.
    pub connection: u16,
    /// Number of the first command of the session, the same through a login.
    pub cmd_sn: u32,
    /// Next status that the initiator expects.
    pub exp_stat_sn: u32,
}

impl LoginRequest {
    pub(super) fn parse(header: &Header) -> Result<LoginRequest> {
        const WHAT: &str = "Login Request";
        header.must_be(opcode::LOGIN_REQUEST, WHAT)?;
        Ok(LoginRequest {
            transit: Transit::parse(header.u8(1), WHAT)?,
            version_max: header.u8(2),
            version_min: header.u8(3),
            isid: header.array(8),
            tsih: header.u16(14),
            task_tag: header.task_tag(),
            connection: header.u16(20),
            cmd_sn: header.u32(24),
            exp_stat_sn: header.u32(28),
        })
    }

    pub(super) fn build(&self) -> Header {
        // A login is always for immediate delivery.
        Header::new(opcode::LOGIN_REQUEST, self.transit.flags())
            .immediate(true)
            .put(2, &[self.version_max, self.version_min])
            .put(8, &self.isid)
            .put(14, &self.tsih.to_be_bytes())
            .put_u32(16, self.task_tag)
            .put(20, &self.connection.to_be_bytes())
            .put_u32(24, self.cmd_sn)
            .put_u32(28, self.exp_stat_sn)
    }
}

/// Outcome of a login step, class and detail (§11.13.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoginStatus {
    /// 0 success, 1 redirection, 2 the initiator's error, 3 the target's.
    pub class: u8,
    /// Why.
    pub detail: u8,
}

#[allow(missing_docs)]
impl LoginStatus {
    pub const SUCCESS: LoginStatus = LoginStatus::new(0, 0);
    pub const MOVED_TEMPORARILY: LoginStatus = LoginStatus::new(1, 1);
    pub const MOVED_PERMANENTLY: LoginStatus = LoginStatus::new(1, 2);
    pub const INITIATOR_ERROR: LoginStatus = LoginStatus::new(2, 0);
    pub const AUTHENTICATION_FAILED: LoginStatus = LoginStatus::new(2, 1);
    pub const NOT_AUTHORIZED: LoginStatus = LoginStatus::new(2, 2);
    pub const NOT_FOUND: LoginStatus = LoginStatus::new(2, 3);
    pub const TARGET_REMOVED: LoginStatus = LoginStatus::new(2, 4);
    pub const UNSUPPORTED_VERSION: LoginStatus = LoginStatus::new(2, 5);
    pub const TOO_MANY_CONNECTIONS: LoginStatus = LoginStatus::new(2, 6);
    pub const MISSING_PARAMETER: LoginStatus = LoginStatus::new(2, 7);
    pub const CANNOT_INCLUDE: LoginStatus = LoginStatus::new(2, 8);
    pub const SESSION_TYPE: LoginStatus = LoginStatus::new(2, 9);
    pub const NO_SESSION: LoginStatus = LoginStatus::new(2, 10);
    pub const INVALID_DURING_LOGIN: LoginStatus = LoginStatus::new(2, 11);
    pub const TARGET_ERROR: LoginStatus = LoginStatus::new(3, 0);
    pub const SERVICE_UNAVAILABLE: LoginStatus = LoginStatus::new(3, 1);
    pub const OUT_OF_RESOURCES: LoginStatus = LoginStatus::new(3, 2);

    const fn new(class: u8, detail: u8) -> LoginStatus {
        LoginStatus { class, detail }
    }
}

impl LoginStatus {
    /// The step worked.
    pub fn is_success(self) -> bool {
        self.class == 0
    }

    /// The target is elsewhere; TargetAddress tells where.
    pub fn is_redirection(self) -> bool {
        self.class == 1
    }
}

impl std::fmt::Display for LoginStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match (self.class, self.detail) {
            (0, _) => "success",
            (1, 1) => "the target moved for now",
            (1, 2) => "the target moved for good",
            (2, 0) => "the target takes the login for wrong",
            (2, 1) => "authentication failed",
            (2, 2) => "this initiator may not use the target",
            (2, 3) => "there is no such target",
            (2, 4) => "the target was removed",
            (2, 5) => "no common version of iSCSI",
            (2, 6) => "too many connections",
            (2, 7) => "a parameter is missing",
            (2, 8) => "the connection can't join that session",
            (2, 9) => "this type of session is not supported",
            (2, 10) => "there is no such session",
            (2, 11) => "a message that does not belong into a login",
            (3, 0) => "the target failed",
            (3, 1) => "the service is not available now",
            (3, 2) => "the target is out of resources",
            _ => "unknown reason",
        };
        write!(f, "{text} (login status {:02x}{:02x}h)", self.class, self.detail)
    }
}

/// Login Response. Its data segment is text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginResponse {
    /// Stages. With a status other than success they mean nothing.
    pub transit: Transit,
    /// Highest version that the target speaks.
    pub version_max: u8,
    /// Version in use.
    pub version_active: u8,
    /// As in the request.
    pub isid: Isid,
    /// The target's handle of the session, not 0 in the last response.
    pub tsih: u16,
    /// Task tag of the request.
    pub task_tag: u32,
    /// The target's numbers.
    pub counters: Counters,
    /// Outcome.
    pub status: LoginStatus,
}

impl LoginResponse {
    pub(super) fn parse(header: &Header) -> Result<LoginResponse> {
        const WHAT: &str = "Login Response";
        header.must_be(opcode::LOGIN_RESPONSE, WHAT)?;
        let status = LoginStatus::new(header.u8(36), header.u8(37));
        let transit = match Transit::parse(header.u8(1), WHAT) {
            // Why a login failed must not be lost over its flags.
            Err(_) if !status.is_success() => {
                Transit { current: Stage::Security, next: None, is_continued: false }
            }
            other => other?,
        };
        Ok(LoginResponse {
            transit,
            version_max: header.u8(2),
            version_active: header.u8(3),
            isid: header.array(8),
            tsih: header.u16(14),
            task_tag: header.task_tag(),
            counters: Counters::parse(header),
            status,
        })
    }

    pub(super) fn build(&self) -> Header {
        let header = Header::new(opcode::LOGIN_RESPONSE, self.transit.flags())
            .put(2, &[self.version_max, self.version_active])
            .put(8, &self.isid)
            .put(14, &self.tsih.to_be_bytes())
            .put_u32(16, self.task_tag)
            .put(36, &[self.status.class, self.status.detail]);
        self.counters.put(header)
    }
}
