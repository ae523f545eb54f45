//! Logical block protection: a check value with each block between this program and the drive.
//!
//! # What it is for
//!
//! Between a block's own checksum in this program's memory and the drive's codes on the tape lie buffers, a host
//! adapter, cables. A bit that flips there is recorded as if it were meant. With a check value made here and
//! verified by the drive before it records the block, and the other way round, it is found at once and
//! not at the restore.
//!
//! # Why it can be on by default
//!
//! * It is used where the drive says that it can (VPD page B5h), CRC-32C where there is a choice: the processor has an
//!   instruction for it.
//! * It is a matter between this handle and the drive. The tape is the same with and without it.
//! * It is set at opening and read again; a drive that refuses it, or does something else, is used
//!   without. It is taken back when the handle is dropped, since other programs would get blocks that are four
//!   bytes too long.
//! * A drive forgets it when it is reset. So after each unit attention it is set again before the next block.
//! * Another program of this machine may take it away without a word: the drive sees one host. Blocks
//!   would be recorded with their check value as if it were data. So each synchronisation asks whether it
//!   is still on, before what was written counts as written.
//!
//! Each block is copied once more, so that its value can stand behind it. Copy and value were measured (a block of
//! 256 KiB that is in the cache; `what_a_protected_block_costs` in the tests prints it): 13 µs with CRC-32C, 590 µs with the
//! Reed-Solomon CRC, which has no instruction and is used where a drive offers nothing else (LTO-5 and LTO-6, 160 MB/s: 1600 µs
//! a block).

use scsi::command::inquiry;
use scsi::command::mode::{self, Parameters, Size};
use scsi::command::protection::{
    CHECK_BYTES, Method, PAGE, Protection, SUBPAGE, VPD_PROTECTION, parse_support,
};

use super::{Drive, Error, Result};

const ASKING: &str = "asking for block protection";
const SETTING: &str = "setting block protection";
/// Unit attentions that a command given when nobody can be told may meet.
const ATTEMPTS: u32 = 4;

/// What a handle knows of block protection.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// What it set, if it did.
    method: Option<Method>,
    /// Something happened to the drive since: it may be off.
    is_unsure: bool,
    /// Takes a block and its value.
    staged: Vec<u8>,
}

impl Drive {
    /// How blocks are protected on their way, if they are.
    pub fn block_protection(&self) -> Option<Method> {
        self.protection.method
    }

    /// For the status: whether it is on, and what the drive offers.
    pub(super) fn protection_text(&mut self) -> Option<String> {
        let support = inquiry::request_vpd(&mut self.transport, VPD_PROTECTION).ok()?;
        let offered: Vec<String> = parse_support(&support).iter().map(Method::to_string).collect();
        if offered.is_empty() {
            return None;
        }
        let in_force = self.protection_in_force().ok()??;
        Some(match in_force.method {
            Some(method) => format!("on ({method})"),
            None => format!("off (the drive offers {})", offered.join(", ")),
        })
    }

    /// Bytes that a block on its way is longer.
    pub(super) fn check_bytes(&self) -> usize {
        if self.protection.method.is_some() { CHECK_BYTES } else { 0 }
    }

    /// While opening: on, where the drive can.
    pub(super) fn protect(&mut self) -> Result<()> {
        self.protection.method = None;
        let support = inquiry::request_vpd(&mut self.transport, VPD_PROTECTION);
        let offered = match support {
            Ok(body) => parse_support(&body),
            Err(error) if is_no(&error) => Vec::new(),
            Err(error) => return Err(self.fail(ASKING, error)),
        };
        let Some(method) = offered.into_iter().max() else { return Ok(()) };
        let wanted = Protection::full(method);
        let Some((before, size)) = self.protection_page()? else { return Ok(()) };
        // It may be on before it is known to be: a handle that fails from here on takes it back.
        self.protection.method = Some(method);
        let is_set = self.select_protection(&before, size, wanted)?
            && self.protection_in_force()? == Some(wanted);
        if !is_set {
            self.protection.method = None;
            self.select_protection(&before, size, Protection::default())?;
        }
        self.protection.is_unsure = false;
        Ok(())
    }

    /// Something happened to the drive that may have ended protection.
    pub(super) fn protection_may_be_lost(&mut self) {
        self.protection.is_unsure = true;
    }

    /// Before a block goes on its way: sets protection again if it may have been lost.
    pub(super) fn confirm_protection(&mut self) -> Result<()> {
        let Some(method) = self.protection.method.filter(|_| self.protection.is_unsure) else {
            return Ok(());
        };
        let wanted = Protection::full(method);
        if self.protection_in_force()? != Some(wanted) {
            if let Some((before, size)) = self.protection_page()? {
                self.select_protection(&before, size, wanted)?;
            }
            if self.protection_in_force()? != Some(wanted) {
                return Err(self.protection_lost());
            }
        }
        self.protection.is_unsure = false;
        Ok(())
    }

    /// After a synchronisation: what was written was written under protection only if it is still on.
    pub(super) fn require_protection(&mut self) -> Result<()> {
        let Some(method) = self.protection.method else { return Ok(()) };
        if self.protection_in_force()? == Some(Protection::full(method)) {
            return Ok(());
        }
        self.trust = self.trust.after_failure();
        Err(self.protection_lost())
    }

    fn protection_lost(&self) -> Error {
        Error::ProtectionLost { drive: self.name().to_string() }
    }

    /// Takes back what this handle set. Nobody can be told of a failure.
    pub(super) fn unprotect_quietly(&mut self) {
        if self.protection.method.take().is_none() {
            return;
        }
        for _ in 0..ATTEMPTS {
            let sensed = mode::sense(&mut self.transport, PAGE, SUBPAGE);
            let selected = sensed.and_then(|(mut parameters, size)| {
                parameters.pages = Protection::default().build().to_vec();
                parameters.device_specific &= 0x7f;
                mode::select(&mut self.transport, size, &parameters)
            });
            match selected {
                // It costs the command that meets it, no more.
                Err(error) if error.sense().is_some_and(|sense| sense.is_unit_attention()) => {}
                _ => return,
            }
        }
    }

    fn protection_page(&mut self) -> Result<Option<(Parameters, Size)>> {
        match mode::sense(&mut self.transport, PAGE, SUBPAGE) {
            Ok(found) => Ok(Some(found)),
            Err(error) if is_no(&error) => Ok(None),
            Err(error) => Err(self.fail(ASKING, error)),
        }
    }

    fn protection_in_force(&mut self) -> Result<Option<Protection>> {
        let page = self.protection_page()?;
        Ok(page.and_then(|(parameters, _)| Protection::parse(&parameters).ok()))
    }

    /// False if the drive refuses.
    fn select_protection(
        &mut self,
        before: &Parameters,
        size: Size,
        wanted: Protection,
    ) -> Result<bool> {
        let mut parameters = before.clone();
        parameters.pages = wanted.build().to_vec();
        parameters.device_specific &= 0x7f;
        match mode::select(&mut self.transport, size, &parameters) {
            Ok(()) => Ok(true),
            Err(error) if is_no(&error) => Ok(false),
            Err(error) => Err(self.fail(SETTING, error)),
        }
    }

    /// A block and its check value, ready to go; taken back with [`Drive::unstage`].
    pub(super) fn stage_block(&mut self, method: Method, data: &[u8]) -> Vec<u8> {
        let mut staged = std::mem::take(&mut self.protection.staged);
        staged.clear();
        staged.extend_from_slice(data);
        staged.extend_from_slice(&method.check(data));
        staged
    }

    /// Room for a block of `length` bytes and its check value.
    pub(super) fn stage_room(&mut self, length: usize) -> Vec<u8> {
        let mut staged = std::mem::take(&mut self.protection.staged);
        staged.resize(length.saturating_add(CHECK_BYTES), 0);
        staged
    }

    /// Gives the memory back for the next block.
    pub(super) fn unstage(&mut self, staged: Vec<u8>) {
        self.protection.staged = staged;
    }

    /// The tape stands behind a block whose check value was wrong.
    pub(super) fn check_value_wrong(&mut self, method: Method) -> Error {
        let behind = self.position().ok().map(|position| position.object);
        Error::BlockCheckFailed {
            drive: self.name().to_string(),
            block: behind.and_then(|object| object.checked_sub(1)),
            method,
        }
    }
}

/// The drive does not know of it, or does not want to.
fn is_no(error: &scsi::Error) -> bool {
    error.sense().is_some_and(|sense| sense.is_refusal())
        || matches!(error, scsi::Error::Malformed { .. })
}
