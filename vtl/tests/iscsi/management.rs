//! Task management, within a session and across sessions.

use std::time::Duration;

use scsi::iscsi::parameters::Wishes;
use scsi::iscsi::pdu::{Response, TaskFunction, TaskResult};

use super::client::{
    CHANGER, DRIVE, Raw, World, move_medium, pattern, timed_world, world, write_6,
};

/// A session whose writes wait for data, with the drive loaded.
fn waiting_session(world: &World, number: u8) -> (Raw, u32) {
    let mut raw = Raw::connect(world.target.address());
    raw.isid[5] = number;
    raw.login(world.target.name(), &Wishes { immediate_data: false, ..Wishes::default() }).unwrap();
    raw.settle(CHANGER);
    raw.settle(DRIVE);
    let mut command = raw.command_request(DRIVE, &write_6(5000));
    command.is_write = true;
    command.expected_bytes = 5000;
    let tag = command.task_tag;
    raw.send(command, &[]);
    let Some((Response::ReadyToTransfer(_), _)) = raw.receive() else { panic!() };
    (raw, tag)
}

#[test]
fn an_aborted_task_has_no_answer_and_what_waited_behind_it_goes_on() {
    let world = world();
    world.loaded_session(9);
    let (mut raw, write) = waiting_session(&world, 1);
    let behind = raw.begin(DRIVE, &[0; 6], 0);
    let tag = raw.management_request(TaskFunction::AbortTask, DRIVE, write);
    // Both answers come, in either order; none for the write.
    let (mut managed, mut answered) = (false, false);
    while !(managed && answered) {
        match raw.receive().unwrap().0 {
            Response::TaskManagement(response) => {
                assert_eq!((response.task_tag, response.result), (tag, TaskResult::Complete));
                managed = true;
            }
            Response::Command(response) => {
                assert_eq!((response.task_tag, response.status), (behind, 0));
                answered = true;
            }
            other => panic!("{other:?}"),
        }
    }
    // Data that is still on its way is passed over.
    raw.data_out(write, 1, 0, (&pattern(1, 5000), true));
    assert_eq!(raw.position(), 0);
    assert_eq!(raw.manage(TaskFunction::AbortTask, DRIVE, write), TaskResult::NoTask);
    assert_eq!(raw.max_cmd_sn.wrapping_sub(raw.cmd_sn) + 1, 64, "the window is whole again");
}

#[test]
fn functions_that_make_no_sense_say_so() {
    let world = world();
    let mut raw = world.session(1);
    for (function, lun, result) in [
        (TaskFunction::AbortTaskSet, 9, TaskResult::NoUnit),
        (TaskFunction::LogicalUnitReset, 9, TaskResult::NoUnit),
        (TaskFunction::ClearTaskSet, u64::MAX, TaskResult::NoUnit),
        (TaskFunction::AbortTaskSet, DRIVE, TaskResult::Complete),
        (TaskFunction::ClearAca, DRIVE, TaskResult::NotSupported),
        (TaskFunction::TaskReassign, DRIVE, TaskResult::ReassignNotSupported),
        (TaskFunction::Other(99), DRIVE, TaskResult::NotSupported),
    ] {
        assert_eq!(raw.manage(function, lun, 0xffff_ffff), result, "{function:?} {lun}");
    }
}

#[test]
fn aborting_a_set_leaves_other_sessions_alone() {
    let world = world();
    world.loaded_session(9);
    let (mut a, _) = waiting_session(&world, 1);
    let (mut b, write_b) = waiting_session(&world, 2);
    assert_eq!(a.manage(TaskFunction::AbortTaskSet, DRIVE, 0xffff_ffff), TaskResult::Complete);
    a.good(DRIVE, &[0; 6]);
    let data = pattern(2, 5000);
    b.data_out(write_b, 1, 0, (&data, true));
    assert_eq!(b.answer(write_b).status, 0);
}

#[test]
fn clearing_a_set_tells_those_whose_tasks_it_ended() {
    let world = world();
    world.loaded_session(9);
    let mut idle = world.session(3);
    idle.settle(DRIVE);
    let (mut a, _) = waiting_session(&world, 1);
    let (mut b, write_b) = waiting_session(&world, 2);
    assert_eq!(a.manage(TaskFunction::ClearTaskSet, DRIVE, 0xffff_ffff), TaskResult::Complete);
    a.good(DRIVE, &[0; 6]);
    b.data_out(write_b, 1, 0, (&pattern(2, 5000), true));
    b.fails(DRIVE, &[0; 6], (6, 0x2f, 0));
    b.good(DRIVE, &[0; 6]);
    idle.good(DRIVE, &[0; 6]);
    assert_eq!(a.position(), 0);
}

#[test]
fn a_unit_reset_is_told_to_every_host_of_that_unit() {
    let world = world();
    world.loaded_session(9);
    let (mut a, _) = waiting_session(&world, 1);
    let (mut b, write_b) = waiting_session(&world, 2);
    a.good(CHANGER, &[0; 6]);
    assert_eq!(a.manage(TaskFunction::LogicalUnitReset, DRIVE, 0xffff_ffff), TaskResult::Complete);
    for raw in [&mut a, &mut b] {
        raw.fails(DRIVE, &[0; 6], (6, 0x29, 3));
        raw.good(DRIVE, &[0; 6]);
        raw.good(CHANGER, &[0; 6]);
    }
    b.data_out(write_b, 1, 0, (&pattern(2, 5000), true));
    assert_eq!(b.position(), 0);
}

#[test]
fn a_target_reset_is_told_on_every_unit_and_a_cold_one_ends_the_sessions() {
    let world = world();
    world.loaded_session(9);
    let mut a = world.session(1);
    let mut b = world.session(2);
    for raw in [&mut a, &mut b] {
        [0, 1, 2].into_iter().for_each(|lun| raw.settle(lun));
    }
    assert_eq!(a.manage(TaskFunction::TargetWarmReset, 0, 0xffff_ffff), TaskResult::Complete);
    for raw in [&mut a, &mut b] {
        for (lun, then) in [(0, (0, 0, 0)), (1, (0, 0, 0)), (2, (2, 0x3a, 0))] {
            raw.fails(lun, &[0; 6], (6, 0x29, 3));
            assert_eq!(raw.command(lun, &[0; 6], 0).code(), then);
        }
    }
    assert_eq!(a.manage(TaskFunction::TargetColdReset, 0, 0xffff_ffff), TaskResult::Complete);
    assert!(a.receive().is_none());
    assert!(b.receive().is_none());
    world.session(1).fails(DRIVE, &[0; 6], (6, 0x29, 0));
}

/// What a robot takes for a move at least, on the library's clock.
const MOVE: Duration = Duration::from_secs(15);
/// ERASE with LONG: hours on the machine's clock, and longer than the initiator waits for any answer.
const ERASE_LONG: [u8; 6] = [0x19, 0x01, 0, 0, 0, 0];

/// Begins a long erasure and ends it with `function`: what TEST UNIT READY says then. A task may be ended before it
/// began, so it is tried until one had.
fn cut_short(raw: &mut Raw, function: TaskFunction) -> (u8, u8, u8) {
    for _ in 0..1000 {
        let erase = raw.begin(DRIVE, &ERASE_LONG, 0);
        let referenced = if function == TaskFunction::AbortTask { erase } else { 0xffff_ffff };
        assert_eq!(raw.manage(function, DRIVE, referenced), TaskResult::Complete);
        let mut code = raw.command(DRIVE, &[0; 6], 0).code();
        if code == (6, 0x29, 3) {
            code = raw.command(DRIVE, &[0; 6], 0).code();
        }
        if code != (0, 0, 0) {
            return code;
        }
    }
    panic!("the erasure never began")
}

#[test]
fn a_task_that_waits_for_a_motion_ends_at_once_and_the_motion_goes_on() {
    for function in [
        TaskFunction::AbortTask,
        TaskFunction::AbortTaskSet,
        TaskFunction::ClearTaskSet,
        TaskFunction::LogicalUnitReset,
        TaskFunction::TargetWarmReset,
    ] {
        let world = timed_world();
        let mut raw = world.session(1);
        raw.settle(CHANGER);
        raw.settle(DRIVE);
        assert_eq!(cut_short(&mut raw, function), (2, 0x04, 0x07), "{function:?}");
        // Nobody else's command is taken for the one that was ended.
        let mut other = world.session(2);
        other.settle(CHANGER);
        assert_eq!(other.command(DRIVE, &[0; 6], 0).code().0, 6, "{function:?}");
        other.fails(DRIVE, &[0; 6], (2, 0x04, 0x07));
    }
}

#[test]
fn an_aborted_move_is_at_its_end() {
    let world = timed_world();
    let mut raw = world.session(1);
    raw.settle(CHANGER);
    let began = world.library.clock().now();
    // Slot 3 is full, so that nothing is moved by asking whether slot 5 is empty.
    let mut code = (5, 0x3b, 0x0e);
    for _ in 0..1000 {
        let tag = raw.begin(CHANGER, &move_medium(1025, 1028), 0);
        assert_eq!(raw.manage(TaskFunction::AbortTask, CHANGER, tag), TaskResult::Complete);
        code = raw.command(CHANGER, &move_medium(1028, 1026), 0).code();
        if code != (5, 0x3b, 0x0e) {
            break;
        }
    }
    assert_eq!(code, (5, 0x3b, 0x0d), "slot 5 has the cartridge");
    assert!(world.library.clock().now() - began < MOVE, "the robot was waited for");
}

#[test]
fn a_target_stops_while_a_drive_is_at_work_for_hours() {
    let world = timed_world();
    let mut raw = world.session(1);
    raw.settle(DRIVE);
    raw.begin(DRIVE, &ERASE_LONG, 0);
    world.target.stop().unwrap();
}
