//! Bounds on what a peer may ask for.

use std::time::Duration;

/// Sessions at once.
pub const SESSIONS_MAX: usize = 128;
/// Connections at once, those included that are still logging in.
pub const CONNECTIONS_MAX: usize = SESSIONS_MAX + 64;
/// A login that takes longer is ended.
pub const LOGIN_TIME: Duration = Duration::from_secs(15);
/// Requests of one login.
pub const LOGIN_STEPS_MAX: u32 = 32;
/// Text of one login step or text request, in bytes.
pub const TEXT_BYTES_MAX: usize = 64 << 10;
/// Commands that a session may have open: the width of the CmdSN window.
pub const COMMANDS_MAX: u32 = 64;
/// Commands for immediate delivery beyond that.
pub const IMMEDIATE_MAX: u32 = 8;
/// Largest data segment that the target takes in one message, in bytes.
pub const SEGMENT_BYTES_MAX: u32 = 1 << 20;
/// Largest data of one command, in bytes: all that READ(6) and WRITE(6) can name.
pub const TRANSFER_BYTES_MAX: u32 = 16 << 20;
/// Data of commands that a session is asked to send ahead of their turn, in bytes.
pub const SOLICITED_BYTES_MAX: u64 = 32 << 20;
/// Buffers that a session keeps for its next commands, in bytes.
pub const SPARE_BYTES_MAX: usize = 16 << 20;
/// How many of them.
pub const SPARE_MAX: usize = 8;
/// Messages of a session that are refused before it is ended.
pub const REJECTS_MAX: u32 = 16;
/// A peer that takes nothing for so long is gone.
pub const SEND_STALL: Duration = Duration::from_secs(60);
/// How long a login waits for the session whose place it takes.
pub const REINSTATEMENT_TIME: Duration = Duration::from_secs(60);
/// A command that took longer is followed by the unit's own thread.
pub const QUICK: Duration = Duration::from_millis(20);
