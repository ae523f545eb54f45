//! Several sessions: what they see of each other, and what becomes of them.

use std::thread;
use std::time::Duration;

use scsi::Data;
use scsi::Transport;
use scsi::iscsi::pdu::Response;
use vtl::iscsi_target::Event;

use super::client::{CHANGER, DRIVE, MIB, Raw, World, move_medium, pattern, world, write_6};

#[test]
fn sessions_are_told_what_others_do() {
    let world = world();
    let mut a = world.loaded_session(1);
    let mut b = world.session(2);
    b.settle(CHANGER);
    b.settle(DRIVE);
    // A new cartridge: both are told.
    a.good(CHANGER, &move_medium(256, 1024));
    b.fails(DRIVE, &[0; 6], (2, 0x3a, 0));
    a.good(CHANGER, &move_medium(1025, 256));
    b.fails(DRIVE, &[0; 6], (6, 0x28, 0));
    b.good(DRIVE, &[0; 6]);
    a.settle(DRIVE);
    // Mode parameters: the other one only.
    let list = [0, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 2, 0];
    assert_eq!(a.command_out(DRIVE, &[0x15, 0x10, 0, 0, 12, 0], &list).status, 0);
    b.fails(DRIVE, &[0; 6], (6, 0x2a, 1));
    a.good(DRIVE, &[0; 6]);
    // The operator at the station.
    world.library.insert_cartridge("CAP900L8", None).unwrap();
    for raw in [&mut a, &mut b] {
        raw.fails(CHANGER, &[0; 6], (6, 0x28, 1));
        raw.good(CHANGER, &[0; 6]);
    }
}

#[test]
fn a_program_of_this_machine_and_a_session_share_the_drive() {
    let world = world();
    let mut raw = world.loaded_session(1);
    raw.write_block(b"from afar");
    let mut local = world.library.drive(0).unwrap();
    let minute = Duration::from_secs(60);
    while local.execute(&[0; 6], Data::None, minute).unwrap().sense.is_some() {}
    local.execute(&[1, 0, 0, 0, 0, 0], Data::None, minute).unwrap();
    let mut buffer = [0; 9];
    local.execute(&[8, 0, 0, 0, 9, 0], Data::In(&mut buffer), minute).unwrap();
    assert_eq!(&buffer, b"from afar");
}

#[test]
fn a_host_that_logs_in_again_takes_the_place_of_its_old_session() {
    let world = world();
    let mut old = world.loaded_session(1);
    old.good(DRIVE, &[0x1e, 0, 0, 0, 1, 0]);
    let mut other = world.session(2);
    other.settle(DRIVE);
    let mut new = world.session(1);
    assert!(old.receive().is_none(), "the old session goes on");
    // A new nexus: it is told so, and what the old one wanted is forgotten.
    new.fails(DRIVE, &[0; 6], (6, 0x29, 0));
    other.good(DRIVE, &[0x1b, 0, 0, 0, 0, 0]);
    let events = world.events.lock().unwrap();
    let began = events.iter().filter(|event| matches!(event, Event::SessionBegan { .. }));
    assert_eq!(began.count(), 3);
}

#[test]
fn a_session_that_dies_in_a_write_leaves_the_last_whole_block() {
    let world = world();
    let mut raw = world.loaded_session(1);
    let data = pattern(1, MIB);
    for part in [0, 1, 1000, MIB / 2, MIB - 1] {
        raw.write_block(&data);
        let before = raw.position();
        let mut command = raw.command_request(DRIVE, &write_6(MIB));
        command.is_write = true;
        command.expected_bytes = MIB as u32;
        use scsi::iscsi::frame::Outgoing;
        use scsi::iscsi::pdu::Request;
        use std::io::Write;
        let message = Outgoing::new(Request::from(command).build(), &data);
        let stream = raw.writer.stream_mut();
        stream.write_all(message.header().as_bytes()).unwrap();
        stream.write_all(&data[..part]).unwrap();
        drop(raw);
        raw = world.session(1);
        raw.settle(DRIVE);
        assert_eq!(raw.position(), before, "{part}");
    }
    raw.rewind();
    for _ in 0..5 {
        assert!(raw.read_block(MIB).data == data);
    }
    assert_eq!(raw.read_block(MIB).code(), (8, 0, 5));
}

#[test]
fn sixty_four_sessions_at_once() {
    let world = world();
    world.loaded_session(200);
    thread::scope(|scope| {
        for number in 0..64 {
            let world = &world;
            scope.spawn(move || {
                let mut raw = world.session(number);
                raw.settle(CHANGER);
                raw.settle(DRIVE);
                for round in 0..20u64 {
                    let block = pattern(u64::from(number) << 32 | round, 4000);
                    raw.write_block(&block);
                    let inquiry = raw.command(DRIVE, &[0x12, 0, 0, 0, 36, 0], 36);
                    assert_eq!(inquiry.data.len(), 36);
                }
            });
        }
    });
    let mut raw = world.session(201);
    raw.settle(DRIVE);
    assert_eq!(raw.position(), 64 * 20);
    raw.rewind();
    for _ in 0..64 * 20 {
        assert_eq!(raw.read_block(4000).data.len(), 4000);
    }
}

#[test]
fn a_peer_that_does_not_read_stops_nobody_else() {
    let world = world();
    let mut writer = world.loaded_session(1);
    let block = pattern(6, MIB);
    for _ in 0..60 {
        writer.write_block(&block);
    }
    writer.rewind();
    // It asks for far more than sockets hold, and takes nothing.
    let mut slow = world.session(2);
    slow.settle(DRIVE);
    let tags: Vec<_> =
        (0..40).map(|_| slow.begin(DRIVE, &super::client::read_6(MIB), MIB as u32)).collect();
    thread::sleep(Duration::from_millis(300));
    // Neither another session, nor its own other unit's state, waits for it.
    writer.good(DRIVE, &[0x11, 3, 0, 0, 0, 0]);
    writer.write_block(&block);
    writer.good(CHANGER, &[0; 6]);
    // When it reads at last, everything is there, as of then.
    for tag in tags {
        let answer = slow.answer(tag);
        assert!(answer.data == block || answer.code() == (8, 0, 5), "{:?}", answer.sense);
    }
}

/// Sends a REWIND that takes long, and waits until the drive is at it. Gives its tag.
fn long_rewind(world: &World, raw: &mut Raw) -> u32 {
    let plan = "once drive0 rewind -> slow 2500ms".parse().unwrap();
    world.library.store_faults(&plan).unwrap();
    let tag = raw.begin(DRIVE, &[1, 0, 0, 0, 0, 0], 0);
    while world.library.stored_faults().unwrap()[0].fired == 0 {
        thread::sleep(Duration::from_millis(5));
    }
    tag
}

#[test]
fn a_long_command_holds_up_neither_pings_nor_other_units_nor_an_abort() {
    let world = world();
    let mut a = world.loaded_session(1);
    let mut b = world.session(2);
    b.settle(DRIVE);
    b.settle(CHANGER);
    let rewind = long_rewind(&world, &mut a);
    let ready = a.begin(DRIVE, &[0; 6], 0);
    let ready_b = b.begin(DRIVE, &[0; 6], 0);
    for raw in [&mut a, &mut b] {
        ping(raw);
        raw.good(CHANGER, &[0; 6]);
        raw.fails(2, &[0; 6], (6, 0x29, 0));
    }
    // It is carried out all the same; its answer is not sent, and the function is answered behind it.
    let abort = a.management_request(scsi::iscsi::pdu::TaskFunction::AbortTask, DRIVE, rewind);
    ping(&mut a);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match a.receive().unwrap().0 {
            Response::TaskManagement(response) => seen.push(response.task_tag),
            Response::Command(response) => seen.push(response.task_tag),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(seen, [abort, ready]);
    assert_eq!(b.answer(ready_b).status, 0);
}

#[track_caller]
fn ping(raw: &mut Raw) {
    let nop = scsi::iscsi::pdu::NopOut {
        is_immediate: true,
        lun: 0,
        task_tag: 0xabcd,
        transfer_tag: 0xffff_ffff,
        cmd_sn: raw.cmd_sn,
        exp_stat_sn: raw.exp_stat_sn,
    };
    raw.send(nop, b"ping");
    let (Response::NopIn(_), data) = raw.receive().unwrap() else { panic!() };
    assert_eq!(data, b"ping");
}

#[test]
fn stopping_ends_sessions_cleanly_and_keeps_what_was_written() {
    let world = world();
    let mut raw = world.loaded_session(1);
    let blocks: Vec<_> = (0..50).map(|number| pattern(number, 5000)).collect();
    for block in &blocks {
        raw.write_block(block);
    }
    let rewind = long_rewind(&world, &mut raw);
    let stopping = thread::spawn(move || world.target.stop().map(|()| (world.library, world.dir)));
    assert_eq!(raw.answer(rewind).status, 0, "what was begun is answered");
    let (library, _dir) = stopping.join().unwrap().unwrap();
    assert!(raw.receive().is_none());
    // The drive is free, and the tape whole.
    let mut drive = library.drive(0).unwrap();
    let minute = Duration::from_secs(60);
    while drive.execute(&[0; 6], Data::None, minute).unwrap().sense.is_some() {}
    for block in blocks {
        let mut buffer = vec![0; 5000];
        drive.execute(&[8, 0, 0, 0x13, 0x88, 0], Data::In(&mut buffer), minute).unwrap();
        assert!(buffer == block);
    }
}
