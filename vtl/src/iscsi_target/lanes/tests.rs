//! The lanes through their door. Time is not needed: where a thread would wait, it is asked what it would get.

use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use scsi::iscsi::frame::Reader;
use scsi::iscsi::pdu::{Attributes, NO_TAG, NopIn, Response};

use super::super::limits::{COMMANDS_MAX, IMMEDIATE_MAX, SOLICITED_BYTES_MAX};
use super::*;

const DRIVE: usize = 1;
const OTHER: usize = 2;
/// Numbers go round within each test.
const FIRST: u32 = 0xffff_fffe;
const HOUR: Duration = Duration::from_secs(3600);

/// Lanes whose management is a number, and an outbox whose peer is asked for the window.
struct World {
    lanes: Lanes<u32>,
    outbox: Outbox,
    peer: Reader<TcpStream>,
    next_cmd_sn: u32,
}

impl World {
    fn new() -> World {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = Arc::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
        let (peer, _) = listener.accept().unwrap();
        let outbox = Outbox::new(&socket, 1);
        let lanes = Lanes::new(3, FIRST);
        lanes.announce(&outbox);
        World { lanes, outbox, peer: Reader::new(peer, 1024), next_cmd_sn: FIRST }
    }

    /// ExpCmdSN, and how many commands the peer may send.
    fn window(&mut self) -> (u32, u32) {
        let nop = |counters| {
            Response::NopIn(NopIn { lun: 0, task_tag: NO_TAG, transfer_tag: 1, counters })
        };
        self.outbox.send(nop, &[]);
        let header = self.peer.header().unwrap().unwrap();
        let counters = Response::parse(&header).unwrap().counters();
        (counters.exp_cmd_sn, counters.max_cmd_sn.wrapping_add(1).wrapping_sub(counters.exp_cmd_sn))
    }

    /// A command of the window with its number taken, or one for immediate delivery.
    fn command(&mut self, tag: u32, is_immediate: bool) -> ScsiCommand {
        let cmd_sn = self.next_cmd_sn;
        assert_eq!(self.lanes.turn(cmd_sn, is_immediate, &self.outbox), Turn::Take);
        if !is_immediate {
            self.next_cmd_sn = cmd_sn.wrapping_add(1);
        }
        ScsiCommand {
            is_immediate,
            is_final: true,
            is_read: false,
            is_write: false,
            attributes: Attributes::Simple,
            lun: DRIVE as u64,
            task_tag: tag,
            expected_bytes: 0,
            cmd_sn,
            exp_stat_sn: 0,
            cdb: [0; 16],
        }
    }

    fn enter_as(&mut self, lane: usize, tag: u32, is_immediate: bool, is_short: bool) -> Place {
        let command = self.command(tag, is_immediate);
        let ready = Ready { is_short, ..Ready::of(command.clone()) };
        self.lanes.enter(lane, &command, 0, Some(ready), &self.outbox)
    }

    /// A long command, whole.
    fn enter(&mut self, tag: u32) -> Place {
        self.enter_as(DRIVE, tag, false, false)
    }

    /// A command with so much data to come.
    fn enter_with_data(&mut self, lane: usize, tag: u32, charge: u64) -> ScsiCommand {
        let command = self.command(tag, false);
        let place = self.lanes.enter(lane, &command, charge, None, &self.outbox);
        assert!(matches!(place, Place::Queued));
        command
    }

    /// What the lane's thread would do now; nothing if it would wait.
    fn begun(&self, lane: usize) -> Option<Work<u32>> {
        self.lanes.state().lanes[lane].start()
    }

    fn begun_tag(&self, lane: usize) -> Option<u32> {
        match self.begun(lane)? {
            Work::Command(ready) => Some(ready.command.task_tag),
            Work::Manage(_) => panic!("management"),
        }
    }

    /// The running command is over. Gives whether its answer is wanted.
    fn end(&self, lane: usize) -> (bool, Aftermath) {
        let is_wanted = self.lanes.conclude(lane, Duration::ZERO, &self.outbox);
        (is_wanted, self.lanes.finish(lane, Buffer::default()))
    }
}

fn ask(task_tag: u32) -> Ask {
    Ask {
        lun: 1,
        task_tag,
        transfer_tag: 7,
        counters: Default::default(),
        r2t_sn: 0,
        offset: 0,
        desired_bytes: 512,
    }
}

fn tags(asks: &[Ask]) -> Vec<u32> {
    asks.iter().map(|ask| ask.task_tag).collect()
}

#[test]
fn a_lane_carries_out_one_command_after_the_other() {
    let mut world = World::new();
    assert!(matches!(world.enter(10), Place::NeedsThread));
    assert!(matches!(world.enter(11), Place::Queued));
    assert!(matches!(world.enter_as(OTHER, 20, false, false), Place::NeedsThread));
    assert_eq!(world.begun_tag(DRIVE), Some(10));
    assert_eq!(world.begun_tag(DRIVE), None, "10 is not over");
    assert_eq!(world.begun_tag(OTHER), Some(20), "another unit does not wait for it");
    assert!(world.end(DRIVE).0);
    assert_eq!(world.begun_tag(DRIVE), Some(11));
}

#[test]
fn what_comes_behind_a_command_waits_for_its_data() {
    let mut world = World::new();
    let first = world.enter_with_data(DRIVE, 10, 512);
    assert!(matches!(world.enter_as(DRIVE, 11, false, true), Place::Queued));
    assert_eq!(world.begun_tag(DRIVE), None);
    let place = world.lanes.complete(DRIVE, Ready::of(first));
    assert!(matches!(place, Place::NeedsThread));
    assert_eq!(world.begun_tag(DRIVE), Some(10));
    world.end(DRIVE);
    assert_eq!(world.begun_tag(DRIVE), Some(11));
}

#[test]
fn a_short_command_at_an_idle_lane_goes_to_the_reader() {
    let mut world = World::new();
    assert!(matches!(world.enter_as(DRIVE, 10, false, true), Place::Here(_)));
    // While the reader is at it, the lane is not idle.
    assert!(matches!(world.enter_as(DRIVE, 11, false, true), Place::Queued));
    world.end(DRIVE);
    assert_eq!(world.begun_tag(DRIVE), Some(11));
    assert!(world.lanes.conclude(DRIVE, HOUR, &world.outbox));
    world.lanes.finish(DRIVE, Buffer::default());
    // After a slow command the lane's thread is asked.
    assert!(matches!(world.enter_as(DRIVE, 12, false, true), Place::NeedsThread));
    assert_eq!(world.begun_tag(DRIVE), Some(12));
}

#[test]
fn a_tag_is_free_when_its_command_was_answered() {
    let mut world = World::new();
    world.enter(10);
    assert!(matches!(world.enter_as(OTHER, 10, false, false), Place::TagInUse));
    assert_eq!(world.begun_tag(DRIVE), Some(10));
    assert!(world.lanes.conclude(DRIVE, Duration::ZERO, &world.outbox));
    assert!(world.lanes.is_open(10), "its answer is not sent yet");
    world.lanes.finish(DRIVE, Buffer::default());
    assert!(!world.lanes.is_open(10));
    assert!(matches!(world.enter(10), Place::Queued));
}

#[test]
fn the_window_closes_with_open_commands_and_opens_when_they_are_carried_out() {
    let mut world = World::new();
    assert_eq!(world.window(), (FIRST, COMMANDS_MAX));
    for tag in 0..COMMANDS_MAX {
        world.enter(tag);
    }
    let next = FIRST.wrapping_add(COMMANDS_MAX);
    assert_eq!(world.window(), (next, 0));
    assert_eq!(world.lanes.turn(next, false, &world.outbox), Turn::Ignore);
    assert_eq!(world.begun_tag(DRIVE), Some(0));
    assert_eq!(world.window(), (next, 0), "it is begun, not over");
    assert!(world.lanes.conclude(DRIVE, Duration::ZERO, &world.outbox));
    assert_eq!(world.window(), (next, 1));
    assert_eq!(world.lanes.turn(next, false, &world.outbox), Turn::Take);
}

#[test]
fn a_gap_is_told_from_numbers_outside_the_window() {
    let mut world = World::new();
    world.enter(10);
    let expected = FIRST.wrapping_add(1);
    let turn = |cmd_sn| world.lanes.turn(cmd_sn, false, &world.outbox);
    assert_eq!(turn(FIRST), Turn::Ignore, "it came already");
    assert_eq!(turn(expected.wrapping_add(1)), Turn::Gap);
    let last = expected.wrapping_add(COMMANDS_MAX - 2);
    assert_eq!(turn(last), Turn::Gap);
    assert_eq!(turn(last.wrapping_add(1)), Turn::Ignore);
    assert_eq!(turn(expected), Turn::Take);
}

#[test]
fn immediate_commands_are_outside_the_window_and_few() {
    let mut world = World::new();
    for tag in 0..COMMANDS_MAX {
        world.enter(tag);
    }
    let full = world.window();
    for tag in 100..100 + IMMEDIATE_MAX {
        assert!(matches!(
            world.enter_as(OTHER, tag, true, false),
            Place::NeedsThread | Place::Queued
        ));
    }
    assert!(matches!(world.enter_as(OTHER, 99, true, false), Place::TooMany));
    assert!(!world.lanes.is_open(99));
    assert_eq!(world.window(), full);
    assert_eq!(world.begun_tag(OTHER), Some(100));
    world.end(OTHER);
    assert_eq!(world.window(), full, "its place was not one of the window");
    assert!(matches!(world.enter_as(OTHER, 99, true, false), Place::Queued));
}

#[test]
fn aborting_a_command_that_waits_removes_it_and_frees_its_place() {
    let mut world = World::new();
    world.enter(10);
    world.enter(11);
    assert_eq!(world.begun_tag(DRIVE), Some(10));
    let before = world.window().1;
    let (ending, asks, behind) = world.lanes.abort(11, 90, &world.outbox);
    assert_eq!((ending, asks.len()), (Ending::Removed, 0));
    assert!(matches!(behind, Some((DRIVE, Place::Queued))));
    assert_eq!(world.window().1, before + 1);
    let (is_wanted, aftermath) = world.end(DRIVE);
    assert!(is_wanted && aftermath.waiters.is_empty());
    assert_eq!(world.begun_tag(DRIVE), None);
    assert_eq!(world.lanes.abort(11, 91, &world.outbox).0, Ending::Unknown);
}

#[test]
fn aborting_a_running_command_takes_its_answer_and_is_told_when_it_is_over() {
    let mut world = World::new();
    world.enter(10);
    let Some(Work::Command(ready)) = world.begun(DRIVE) else { panic!("nothing to do") };
    assert_eq!(world.lanes.abort(10, 90, &world.outbox).0, Ending::Awaited);
    assert_eq!(world.lanes.abort(10, 91, &world.outbox).0, Ending::Awaited);
    assert!(!ready.abort.sleep(HOUR), "its wait ends");
    let (is_wanted, aftermath) = world.end(DRIVE);
    assert!(!is_wanted);
    assert_eq!(aftermath.waiters, [90, 91]);
    assert_eq!(world.window().1, COMMANDS_MAX);
}

#[test]
fn what_waited_behind_an_aborted_head_has_its_turn() {
    let mut world = World::new();
    world.enter_with_data(DRIVE, 10, 512);
    assert!(matches!(world.enter_as(DRIVE, 11, false, true), Place::Queued));
    let (ending, _, behind) = world.lanes.abort(10, 90, &world.outbox);
    assert_eq!(ending, Ending::Removed);
    let Some((DRIVE, Place::Here(ready))) = behind else { panic!("11 was forgotten") };
    assert_eq!(ready.command.task_tag, 11);
}

#[test]
fn aborting_a_lane_ends_all_its_commands_and_leaves_management_and_other_lanes() {
    let mut world = World::new();
    world.enter(10);
    assert_eq!(world.begun_tag(DRIVE), Some(10));
    world.enter(11);
    world.enter_with_data(DRIVE, 12, 512);
    world.lanes.manage(DRIVE, 5);
    world.enter_as(OTHER, 20, false, false);
    let (ending, _) = world.lanes.abort_lane(DRIVE, Some(90), &world.outbox);
    assert_eq!(ending, Ending::Awaited);
    assert!(!world.lanes.is_open(11) && !world.lanes.is_open(12) && world.lanes.is_open(20));
    let (is_wanted, aftermath) = world.end(DRIVE);
    assert!(!is_wanted);
    assert_eq!(aftermath.waiters, [90]);
    assert!(matches!(world.begun(DRIVE), Some(Work::Manage(5))));
    assert!(world.begun(DRIVE).is_none());
    assert_eq!(world.lanes.abort_lane(DRIVE, None, &world.outbox).0, Ending::Unknown);
    assert_eq!(world.lanes.abort_lane(OTHER, None, &world.outbox).0, Ending::Removed);
    assert_eq!(world.window().1, COMMANDS_MAX);
}

#[test]
fn management_goes_before_what_waits() {
    let mut world = World::new();
    world.enter(10);
    world.enter(11);
    assert_eq!(world.begun_tag(DRIVE), Some(10));
    assert!(matches!(world.lanes.manage(DRIVE, 5), Place::Queued));
    assert!(world.begun(DRIVE).is_none(), "it waits for what is being carried out");
    world.end(DRIVE);
    assert!(matches!(world.begun(DRIVE), Some(Work::Manage(5))));
    assert_eq!(world.begun_tag(DRIVE), Some(11));
}

#[test]
fn a_command_that_is_put_back_is_the_next_of_its_lane() {
    let mut world = World::new();
    let Place::Here(ready) = world.enter_as(DRIVE, 10, false, true) else { panic!("not here") };
    world.enter_as(DRIVE, 11, false, true);
    assert!(matches!(world.lanes.put_back(DRIVE, ready), Place::NeedsThread));
    assert_eq!(world.window().1, COMMANDS_MAX - 2, "it is still open");
    assert_eq!(world.begun_tag(DRIVE), Some(10));
    world.end(DRIVE);
    assert_eq!(world.begun_tag(DRIVE), Some(11));
}

#[test]
fn a_command_that_was_aborted_is_not_put_back() {
    let mut world = World::new();
    let Place::Here(ready) = world.enter_as(DRIVE, 10, false, true) else { panic!("not here") };
    assert_eq!(world.lanes.abort(10, 90, &world.outbox).0, Ending::Awaited);
    assert!(matches!(world.lanes.put_back(DRIVE, ready), Place::Gone));
    let (is_wanted, aftermath) = world.end(DRIVE);
    assert!(!is_wanted);
    assert_eq!(aftermath.waiters, [90]);
    assert_eq!(world.begun_tag(DRIVE), None);
}

#[test]
fn data_is_asked_for_within_the_budget_in_the_order_of_arrival() {
    let mut world = World::new();
    let first = world.enter_with_data(DRIVE, 10, SOLICITED_BYTES_MAX);
    world.enter_with_data(OTHER, 11, 512);
    world.enter_with_data(OTHER, 12, SOLICITED_BYTES_MAX);
    assert!(world.lanes.may_ask(&ask(10)));
    assert!(!world.lanes.may_ask(&ask(11)));
    assert!(!world.lanes.may_ask(&ask(12)));
    world.lanes.complete(DRIVE, Ready::of(first));
    assert_eq!(world.begun_tag(DRIVE), Some(10));
    let (_, aftermath) = world.end(DRIVE);
    assert_eq!(tags(&aftermath.asks), [11], "12 does not fit beside it");
    assert!(world.lanes.may_ask(&ask(11)), "its next parts are asked for at once");
    // An abort gives room back as an end does.
    let (ending, asks, _) = world.lanes.abort(11, 90, &world.outbox);
    assert_eq!((ending, tags(&asks)), (Ending::Removed, vec![12]));
}

#[test]
fn an_aborted_command_that_waited_for_room_is_not_asked_for_data() {
    let mut world = World::new();
    world.enter_with_data(DRIVE, 10, SOLICITED_BYTES_MAX);
    world.enter_with_data(OTHER, 11, 512);
    assert!(!world.lanes.may_ask(&ask(11)));
    assert_eq!(world.lanes.abort(11, 90, &world.outbox).0, Ending::Removed);
    let (ending, asks) = world.lanes.abort_lane(DRIVE, None, &world.outbox);
    assert_eq!((ending, asks.len()), (Ending::Removed, 0));
    // All room is back.
    world.enter_with_data(DRIVE, 12, SOLICITED_BYTES_MAX);
    assert!(world.lanes.may_ask(&ask(12)));
}

#[test]
fn data_of_a_command_that_was_ended_goes_nowhere() {
    let mut world = World::new();
    let command = world.enter_with_data(DRIVE, 10, 512);
    assert_eq!(world.lanes.abort(10, 90, &world.outbox).0, Ending::Removed);
    let mut buffer = Buffer::default();
    buffer.append(512);
    let ready = Ready { buffer, ..Ready::of(command) };
    assert!(matches!(world.lanes.complete(DRIVE, ready), Place::Gone));
    assert!(world.begun(DRIVE).is_none());
    assert!(world.lanes.buffer().capacity() >= 512, "the buffer is kept for the next command");
}

#[test]
fn closing_begins_nothing_more_and_ends_waits() {
    let mut world = World::new();
    world.enter(10);
    world.enter(11);
    let Some(Work::Command(running)) = world.lanes.next(DRIVE) else { panic!("nothing to do") };
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| world.lanes.next(OTHER).is_none());
        world.lanes.close();
        assert!(waiting.join().unwrap(), "a thread that waits is told");
    });
    assert!(!running.abort.sleep(HOUR));
    assert!(world.lanes.next(DRIVE).is_none());
    assert!(world.end(DRIVE).0, "what was being carried out may still be answered");
}
