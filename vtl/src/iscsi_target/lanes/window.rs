//! Which messages are taken: the numbers of commands and how many may be open (RFC 7143 §4.2.2.1).
//!
//! On one connection numbers come in order, so a missing one never comes. A command keeps its place until it
//! was carried out or ended; commands for immediate delivery have places of their own, so that a host with a
//! full window can still end what fills it.

use scsi::iscsi::serial::Serial;

use super::Turn;
use crate::iscsi_target::limits::{COMMANDS_MAX, IMMEDIATE_MAX};
use crate::iscsi_target::outbox::Outbox;

pub struct Window {
    expected: Serial,
    /// Commands in the window that are open.
    open: u32,
    /// Commands for immediate delivery that are open.
    open_immediate: u32,
}

impl Window {
    /// The first command has the number `first`.
    pub fn new(first: u32) -> Window {
        Window { expected: Serial(first), open: 0, open_immediate: 0 }
    }

    /// Looks at the number of a message that is not for immediate delivery.
    pub fn turn(&mut self, cmd_sn: u32, outbox: &Outbox) -> Turn {
        let number = Serial(cmd_sn);
        if number == self.expected && self.open < COMMANDS_MAX {
            self.expected = self.expected.next();
            self.announce(outbox);
            return Turn::Take;
        }
        let is_in_window = self.expected.is_before(number) && number.is_before(self.behind());
        if is_in_window { Turn::Gap } else { Turn::Ignore }
    }

    /// A command takes a place. `false`: there is none for immediate delivery.
    pub fn take(&mut self, is_immediate: bool, outbox: &Outbox) -> bool {
        if is_immediate {
            let has_room = self.open_immediate < IMMEDIATE_MAX;
            self.open_immediate += u32::from(has_room);
            return has_room;
        }
        self.open += 1;
        self.announce(outbox);
        true
    }

    /// A command's place is free.
    pub fn free(&mut self, is_immediate: bool) {
        let count = if is_immediate { &mut self.open_immediate } else { &mut self.open };
        *count = count.saturating_sub(1);
    }

    /// Tells the outbox the window as it is now.
    pub fn announce(&self, outbox: &Outbox) {
        let last = Serial(self.behind().0.wrapping_sub(1));
        outbox.set_window(self.expected, last);
    }

    /// The number behind the last one that is taken.
    fn behind(&self) -> Serial {
        self.expected.plus(COMMANDS_MAX.saturating_sub(self.open))
    }
}
