//! The groups of a job, dealt to its streams.
//!
//! * **Whole groups.** A group is one stream's at a time, so the snapshots of a group stay in their order, and what they share is
//!   written once.
//! * **Nobody idles.** A stream takes the next group when it wants one. It takes groups ahead, so that its drive is fed over their ends, but
//!   the fewer the less there is left, so that the last groups are shared.
//! * **Nothing is lost with a stream.** A group counts as safe only when the stream has committed all of it. What a stream that failed had taken and not
//!   committed is dealt again. A stream learns that there is no more to come only when no other one could
//!   still give something back.

use std::collections::VecDeque;
use std::sync::Mutex;

use datastore::{BackupGroup, Namespace};

use crate::chunk_workers::lock;

/// A group as the streams get it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DealtGroup {
    /// Its place in the job.
    pub number: usize,
    /// Its namespace.
    pub namespace: Namespace,
    /// The group.
    pub group: BackupGroup,
}

/// What a stream that wants a group gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Dealt {
    /// This one.
    Group(DealtGroup),
    /// None now: it has enough, or others may still give some back.
    NoneNow,
    /// There will be none any more.
    Over,
}

#[derive(Debug, Default)]
struct Hand {
    /// Taken and not done.
    in_work: Vec<DealtGroup>,
    /// Done, and not committed yet.
    uncommitted: Vec<DealtGroup>,
    /// It begins with the job and has not taken anything yet: its first group is kept for it.
    is_expected: bool,
    has_left: bool,
}

impl Hand {
    fn is_empty(&self) -> bool {
        self.in_work.is_empty() && self.uncommitted.is_empty()
    }
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<DealtGroup>,
    hands: Vec<Hand>,
    done: usize,
    has_returned: bool,
}

/// The groups of a job.
#[derive(Debug)]
pub struct GroupQueue {
    total: usize,
    state: Mutex<State>,
}

impl GroupQueue {
    /// All groups in their order, for so many streams.
    pub fn new(
        groups: impl IntoIterator<Item = (Namespace, BackupGroup)>,
        streams: usize,
    ) -> GroupQueue {
        let numbered = groups.into_iter().enumerate();
        let waiting: VecDeque<DealtGroup> = numbered
            .map(|(number, (namespace, group))| DealtGroup { number, namespace, group })
            .collect();
        let hands = (0..streams).map(|_| Hand::default()).collect();
        let total = waiting.len();
        GroupQueue {
            total,
            state: Mutex::new(State { waiting, hands, done: 0, has_returned: false }),
        }
    }

    /// How many groups there are.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Groups that no stream has.
    pub fn waiting(&self) -> usize {
        lock(&self.state).waiting.len()
    }

    /// True once a stream has given something back.
    pub fn has_returned(&self) -> bool {
        lock(&self.state).has_returned
    }

    /// A stream will begin with the job: one group is kept for it, however late its thread is.
    pub fn expect(&self, stream: usize) {
        if let Some(hand) = lock(&self.state).hands.get_mut(stream) {
            hand.is_expected = true;
        }
    }

    /// Deals a stream its next group.
    pub fn take(&self, stream: usize) -> Dealt {
        let mut state = lock(&self.state);
        if state.hands.get(stream).is_none_or(|hand| hand.has_left) {
            return Dealt::Over;
        }
        if state.waiting.is_empty() {
            return if state.others_have_none(stream) { Dealt::Over } else { Dealt::NoneNow };
        }
        let present = state.hands.iter().filter(|hand| !hand.has_left).count();
        let ahead = match present {
            0 | 1 => usize::MAX,
            _ => (state.waiting.len() / (2 * present)).max(2),
        };
        let State { waiting, hands, .. } = &mut *state;
        let expected = hands.iter().filter(|hand| hand.is_expected).count();
        let Some(hand) = hands.get_mut(stream) else { return Dealt::Over };
        let is_first = std::mem::take(&mut hand.is_expected);
        if !is_first && (hand.in_work.len() >= ahead || waiting.len() <= expected) {
            return Dealt::NoneNow;
        }
        match waiting.pop_front() {
            Some(group) => {
                hand.in_work.push(group.clone());
                Dealt::Group(group)
            }
            None => Dealt::NoneNow,
        }
    }

    /// True if there is nothing for this stream, and nobody who could give anything back.
    pub fn is_over(&self, stream: usize) -> bool {
        let state = lock(&self.state);
        state.waiting.is_empty() && state.others_have_none(stream)
    }

    /// All snapshots of a group were dealt with. How many groups are done now.
    pub fn done(&self, stream: usize, number: usize) -> usize {
        let mut state = lock(&self.state);
        let State { hands, done, .. } = &mut *state;
        if let Some(hand) = hands.get_mut(stream)
            && let Some(at) = hand.in_work.iter().position(|group| group.number == number)
        {
            let group = hand.in_work.remove(at);
            hand.uncommitted.push(group);
            *done += 1;
        }
        *done
    }

    /// All that the stream wrote is on tape and in the catalogs.
    pub fn committed(&self, stream: usize) {
        if let Some(hand) = lock(&self.state).hands.get_mut(stream) {
            hand.uncommitted.clear();
        }
    }

    /// The stream has ended. What it had taken and not committed is dealt again; how many groups that is.
    pub fn leave(&self, stream: usize) -> usize {
        let mut state = lock(&self.state);
        let State { waiting, hands, done, has_returned } = &mut *state;
        let Some(hand) = hands.get_mut(stream) else { return 0 };
        hand.has_left = true;
        hand.is_expected = false;
        let mut back = std::mem::take(&mut hand.uncommitted);
        *done -= back.len().min(*done);
        back.append(&mut hand.in_work);
        back.sort_by_key(|group| group.number);
        let count = back.len();
        *has_returned |= count > 0;
        for group in back.into_iter().rev() {
            waiting.push_front(group);
        }
        count
    }
}

impl State {
    fn others_have_none(&self, stream: usize) -> bool {
        let mut others = self.hands.iter().enumerate().filter(|(number, _)| *number != stream);
        others.all(|(_, hand)| hand.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(groups: usize, streams: usize) -> GroupQueue {
        let names = (0..groups).map(|n| format!("host/g{n:02}").parse().unwrap());
        GroupQueue::new(names.map(|group| (Namespace::root(), group)), streams)
    }

    fn numbers(queue: &GroupQueue, stream: usize) -> Vec<usize> {
        let mut taken = Vec::new();
        while let Dealt::Group(group) = queue.take(stream) {
            taken.push(group.number);
        }
        taken
    }

    #[test]
    fn one_stream_has_all_at_once() {
        let queue = queue(5, 1);
        assert_eq!(numbers(&queue, 0), [0, 1, 2, 3, 4]);
        assert_eq!(queue.take(0), Dealt::Over);
    }

    #[test]
    fn the_fewer_are_left_the_fewer_are_taken_ahead() {
        let queue = queue(20, 2);
        let first = numbers(&queue, 0);
        assert_eq!(first, [0, 1, 2, 3]);
        assert_eq!(numbers(&queue, 1), [4, 5, 6]);
        // As long as it has so many it gets no more; each that is done makes room.
        assert_eq!(queue.take(0), Dealt::NoneNow);
        for (number, next) in [(0, None), (1, Some(7)), (2, Some(8)), (3, None), (7, Some(9))] {
            queue.done(0, number);
            match next {
                None => assert_eq!(queue.take(0), Dealt::NoneNow),
                Some(next) => assert_eq!(numbers(&queue, 0), [next]),
            }
        }
    }

    #[test]
    fn a_stream_that_is_late_finds_a_group() {
        let queue = queue(4, 3);
        (0..3).for_each(|stream| queue.expect(stream));
        assert_eq!((numbers(&queue, 0), numbers(&queue, 0)), (vec![0, 1], vec![]));
        queue.done(0, 0);
        queue.done(0, 1);
        assert_eq!((queue.take(0), numbers(&queue, 2)), (Dealt::NoneNow, vec![2]));
        // One that will not come at all.
        queue.leave(1);
        assert_eq!(numbers(&queue, 0), [3]);
    }

    #[test]
    fn what_a_stream_did_not_commit_is_dealt_again_in_order() {
        let queue = queue(4, 2);
        assert_eq!((numbers(&queue, 0), numbers(&queue, 1)), (vec![0, 1], vec![2, 3]));
        assert_eq!(queue.done(0, 0), 1);
        queue.committed(0);
        assert_eq!(queue.done(0, 1), 2);
        assert_eq!((queue.done(1, 2), queue.done(1, 3)), (3, 4));
        queue.committed(1);
        // Group 1 was written and not committed: the other one must wait for it.
        assert_eq!((queue.take(1), queue.is_over(1)), (Dealt::NoneNow, false));
        assert_eq!((queue.leave(0), queue.waiting()), (1, 1));
        assert_eq!(numbers(&queue, 1), [1]);
        assert_eq!(queue.done(1, 1), 4);
        assert_eq!((queue.take(1), queue.take(0)), (Dealt::Over, Dealt::Over));
    }

    #[test]
    fn it_is_over_when_nobody_could_give_anything_back() {
        let queue = queue(2, 3);
        assert_eq!((numbers(&queue, 0), numbers(&queue, 1)), (vec![0, 1], vec![]));
        // Nobody but stream 0 has anything, so it need not wait for anybody.
        assert_eq!((queue.take(0), queue.take(1)), (Dealt::Over, Dealt::NoneNow));
        queue.done(0, 0);
        queue.done(0, 1);
        assert!(!queue.is_over(2));
        queue.committed(0);
        assert!(queue.is_over(2) && queue.is_over(1) && queue.is_over(0));
    }
}
