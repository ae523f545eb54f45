//! Operational parameters (RFC 7143 §13): what a side wants, and what both agreed on. How they come to agree is in
//! [`negotiation`](super::negotiation).

use super::frame::Digests;
use super::text::NONE;

/// Name of the digest (§13.1).
pub(super) const CRC32C: &str = "CRC32C";

/// Data segment of a message that a side takes before it declared anything, and during a login.
pub const LOGIN_DATA_BYTES_MAX: usize = 8192;

/// What a side thinks of a digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DigestWish {
    /// None, whatever the other side wants.
    #[default]
    Never,
    /// Only if the other side wants none otherwise.
    Allowed,
    /// If the other side has it.
    Preferred,
    /// No session without.
    Required,
}

impl DigestWish {
    /// What is proposed or taken, the best first.
    pub(super) fn list(self) -> &'static [&'static str] {
        match self {
            DigestWish::Never => &[NONE],
            DigestWish::Allowed => &[NONE, CRC32C],
            DigestWish::Preferred => &[CRC32C, NONE],
            DigestWish::Required => &[CRC32C],
        }
    }
}

/// What this side wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wishes {
    /// Digest of headers.
    pub header_digest: DigestWish,
    /// Digest of data.
    pub data_digest: DigestWish,
    /// Longest data segment that this side takes in one message, in bytes.
    pub recv_data_bytes_max: u32,
    /// Longest sequence of data for one R2T, or of Data-In, in bytes.
    pub burst_bytes_max: u32,
    /// Longest data sent without being asked, in bytes.
    pub first_burst_bytes_max: u32,
    /// This side insists on R2T before data other than immediate data.
    pub initial_r2t: bool,
    /// This side wants or takes data with the command.
    pub immediate_data: bool,
    /// R2Ts of one command that may be open at once.
    pub outstanding_r2t_max: u16,
    /// Seconds to wait before coming back after a lost connection.
    pub time2wait_s: u16,
    /// Seconds for which tasks of a lost connection are kept.
    pub time2retain_s: u16,
}

impl Default for Wishes {
    /// Few large messages, data unasked: fastest for tape, where each command moves one large block.
    fn default() -> Wishes {
        Wishes {
            header_digest: DigestWish::Allowed,
            data_digest: DigestWish::Allowed,
            recv_data_bytes_max: 1 << 20,
            burst_bytes_max: 1 << 20,
            first_burst_bytes_max: 1 << 20,
            initial_r2t: false,
            immediate_data: true,
            outstanding_r2t_max: 8,
            time2wait_s: 0,
            time2retain_s: 0,
        }
    }
}

/// What was agreed on; the default is what holds before any negotiation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// Digests.
    pub digests: Digests,
    /// Longest data segment that this side declared.
    pub recv_data_bytes_max: u32,
    /// Longest data segment that the other side takes.
    pub send_data_bytes_max: u32,
    /// Longest sequence of data for one R2T, or of Data-In.
    pub burst_bytes_max: u32,
    /// Longest data sent without being asked, immediate data included; at most a burst.
    pub first_burst_bytes_max: u32,
    /// No Data-Out without R2T.
    pub initial_r2t: bool,
    /// Data may come with the command.
    pub immediate_data: bool,
    /// R2Ts of one command that may be open at once.
    pub outstanding_r2t_max: u16,
    /// Seconds to wait before coming back.
    pub time2wait_s: u16,
    /// Seconds for which tasks are kept.
    pub time2retain_s: u16,
}

impl Default for Parameters {
    fn default() -> Parameters {
        Parameters {
            digests: Digests::default(),
            recv_data_bytes_max: LOGIN_DATA_BYTES_MAX as u32,
            send_data_bytes_max: LOGIN_DATA_BYTES_MAX as u32,
            burst_bytes_max: 262_144,
            first_burst_bytes_max: 65_536,
            initial_r2t: true,
            immediate_data: true,
            outstanding_r2t_max: 1,
            time2wait_s: 2,
            time2retain_s: 20,
        }
    }
}
