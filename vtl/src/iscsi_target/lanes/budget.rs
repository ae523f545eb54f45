//! How much data a session may be asked for ahead of its turn, and the buffers that it keeps.
//!
//! Commands are let in in the order of their arrival, so each one depends only on those before it and none
//! waits in a circle. One that is larger than the whole budget is let in alone.

use std::collections::VecDeque;

use super::Ask;
use crate::iscsi_target::limits::{SOLICITED_BYTES_MAX, SPARE_BYTES_MAX, SPARE_MAX};
use crate::iscsi_target::write_data::Buffer;

#[derive(Default)]
pub struct Budget {
    charged: u64,
    waiting: VecDeque<Waiting>,
}

/// A command that is not let in yet.
struct Waiting {
    tag: u32,
    charge: u64,
    ask: Option<Ask>,
}

/// A command that was let in.
#[derive(Debug)]
pub struct LetIn {
    pub tag: u32,
    pub charge: u64,
    /// The R2T that waited for that.
    pub ask: Option<Ask>,
}

impl Budget {
    /// Lets a command in, or notes that it waits. Gives what it was charged.
    pub fn admit(&mut self, tag: u32, charge: u64) -> u64 {
        if charge == 0 {
            return 0;
        }
        if self.waiting.is_empty() && self.fits(charge) {
            self.charged += charge;
            return charge;
        }
        self.waiting.push_back(Waiting { tag, charge, ask: None });
        0
    }

    /// True if an R2T of a command may be sent; else it is kept until the command is let in.
    pub fn may_ask(&mut self, ask: &Ask) -> bool {
        match self.waiting.iter_mut().find(|waiting| waiting.tag == ask.task_tag) {
            Some(waiting) => {
                waiting.ask = Some(ask.clone());
                false
            }
            None => true,
        }
    }

    /// Gives room back.
    pub fn release(&mut self, charge: u64) {
        self.charged = self.charged.saturating_sub(charge);
    }

    /// Lets in who waits first, if there is room now.
    pub fn let_in(&mut self) -> Option<LetIn> {
        let first = self.waiting.front()?;
        if !self.fits(first.charge) {
            return None;
        }
        let Waiting { tag, charge, ask } = self.waiting.pop_front()?;
        self.charged += charge;
        Some(LetIn { tag, charge, ask })
    }

    /// A command waits no longer.
    pub fn forget(&mut self, tag: u32) {
        self.waiting.retain(|waiting| waiting.tag != tag);
    }

    /// Nobody waits any longer.
    pub fn close(&mut self) {
        self.waiting.clear();
    }

    fn fits(&self, charge: u64) -> bool {
        self.charged == 0 || self.charged.saturating_add(charge) <= SOLICITED_BYTES_MAX
    }
}

/// Buffers for the next commands.
#[derive(Default)]
pub struct Spare(Vec<Buffer>);

impl Spare {
    pub fn take(&mut self) -> Buffer {
        self.0.pop().unwrap_or_default()
    }

    /// Keeps a buffer if there are not too many and they are not too large.
    pub fn keep(&mut self, mut buffer: Buffer) {
        let kept: usize = self.0.iter().map(Buffer::capacity).sum();
        if self.0.len() < SPARE_MAX && kept + buffer.capacity() <= SPARE_BYTES_MAX {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_larger_than_the_budget_is_let_in_alone() {
        let mut budget = Budget::default();
        assert_eq!(budget.admit(1, SOLICITED_BYTES_MAX + 1), SOLICITED_BYTES_MAX + 1);
        assert_eq!(budget.admit(2, 1), 0);
        assert!(budget.let_in().is_none());
        budget.release(SOLICITED_BYTES_MAX + 1);
        assert_eq!(budget.let_in().map(|next| (next.tag, next.charge)), Some((2, 1)));
    }

    #[test]
    fn a_small_command_does_not_overtake_a_large_one() {
        let mut budget = Budget::default();
        assert_eq!(budget.admit(1, 1), 1);
        assert_eq!(budget.admit(2, SOLICITED_BYTES_MAX), 0);
        assert_eq!(budget.admit(3, 1), 0, "there is room, but it came later");
        assert!(budget.let_in().is_none());
        budget.forget(2);
        assert_eq!(budget.let_in().map(|next| next.tag), Some(3));
        assert!(budget.let_in().is_none());
    }

    #[test]
    fn spare_buffers_are_few_and_not_too_large() {
        let mut spare = Spare::default();
        for _ in 0..SPARE_MAX + 3 {
            let mut buffer = Buffer::default();
            buffer.append(100);
            spare.keep(buffer);
        }
        assert_eq!(spare.0.len(), SPARE_MAX);
        let mut spare = Spare::default();
        let mut large = Buffer::default();
        large.append(SPARE_BYTES_MAX + 1);
        spare.keep(large);
        assert_eq!(spare.take().capacity(), 0);
        let mut small = Buffer::default();
        small.append(10);
        spare.keep(small);
        let again = spare.take();
        assert!(again.filled().is_empty() && again.capacity() >= 10);
    }
}
