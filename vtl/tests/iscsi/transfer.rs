//! The ways in which data travels: with the command, unasked, asked for; cut into small messages; and data
//! that breaks the rules.

use scsi::iscsi::parameters::Wishes;
use scsi::iscsi::pdu::{NO_TAG, RejectReason, Residual, Response};

use super::client::{CHANGER, DRIVE, MIB, Raw, World, move_medium, pattern, world, write_6};

fn session(world: &World, wishes: &Wishes) -> Raw {
    let mut raw = Raw::connect(world.target.address());
    raw.login(world.target.name(), wishes).unwrap();
    raw.settle(CHANGER);
    raw.command(CHANGER, &move_medium(1024, 256), 0);
    raw.settle(DRIVE);
    raw
}

fn small() -> Wishes {
    Wishes {
        recv_data_bytes_max: 4096,
        burst_bytes_max: 10_000,
        first_burst_bytes_max: 6000,
        ..Wishes::default()
    }
}

/// Sends data unasked and as asked for, in messages of at most `step` bytes.
fn write_in_pieces(raw: &mut Raw, data: &[u8], immediate: usize, unsolicited: usize, step: usize) {
    let mut command = raw.command_request(DRIVE, &write_6(data.len()));
    command.is_write = true;
    command.expected_bytes = data.len() as u32;
    command.is_final = unsolicited == 0;
    let tag = command.task_tag;
    raw.send(command, &data[..immediate]);
    let send = |raw: &mut Raw, transfer_tag, from: usize, to: usize| {
        let mut at = from;
        while at < to {
            let end = to.min(at + step);
            raw.data_out(tag, transfer_tag, at as u32, (&data[at..end], end == to));
            at = end;
        }
    };
    send(raw, NO_TAG, immediate, immediate + unsolicited);
    let mut received = immediate + unsolicited;
    let mut r2ts = 0;
    while received < data.len() {
        let Some((Response::ReadyToTransfer(r2t), _)) = raw.receive() else { panic!() };
        assert_eq!((r2t.task_tag, r2t.r2t_sn, r2t.offset as usize), (tag, r2ts, received));
        assert_eq!(r2t.lun, DRIVE);
        assert!(r2t.desired_bytes <= raw.agreed.burst_bytes_max && r2t.desired_bytes > 0);
        let end = received + r2t.desired_bytes as usize;
        send(raw, r2t.transfer_tag, received, end);
        received = end;
        r2ts += 1;
    }
    let answer = raw.answer(tag);
    assert_eq!((answer.status, answer.sense, answer.residual), (0, None, Residual::None));
}

#[test]
fn every_way_of_sending_writes_the_same_block() {
    let world = world();
    let cases = [
        (false, true, 4000, 2000),
        (false, true, 4000, 0),
        (false, true, 0, 6000),
        (false, true, 0, 0),
        (true, true, 6000, 0),
        (true, false, 0, 0),
        (false, false, 0, 6000),
    ];
    let data = pattern(7, 35_001);
    for (index, (initial_r2t, immediate_data, immediate, unsolicited)) in
        cases.into_iter().enumerate()
    {
        let wishes = Wishes { initial_r2t, immediate_data, ..small() };
        let mut raw = session(&world, &wishes);
        write_in_pieces(&mut raw, &data, immediate, unsolicited, 1500);
        // Behind it on the same unit, in order.
        assert_eq!(raw.position(), index as u64 + 1);
    }
    let mut raw = session(&world, &small());
    raw.rewind();
    for _ in cases {
        let read = raw.read_block(40_000);
        assert!(read.data == data);
        assert_eq!(read.residual, Residual::Underflow(4999));
    }
}

#[test]
fn the_largest_block_goes_both_ways() {
    let world = world();
    let mut raw = session(&world, &Wishes::default());
    let data = pattern(9, 8 * MIB);
    write_in_pieces(&mut raw, &data, MIB, 0, MIB);
    raw.rewind();
    assert!(raw.read_block(8 * MIB).data == data);
    // A host that names more than a command can move is refused without harm.
    let mut command = raw.command_request(DRIVE, &write_6(100));
    command.is_write = true;
    command.expected_bytes = u32::MAX;
    let tag = command.task_tag;
    raw.send(command, &data[..100]);
    let answer = raw.answer(tag);
    assert_eq!(answer.code(), (5, 0x24, 0));
    raw.data_out(tag, NO_TAG, 100, (&data[..100], true));
    assert_eq!(raw.position(), 1);
}

#[test]
fn commands_wait_for_the_data_of_those_before_them_and_other_units_do_not() {
    let world = world();
    let mut raw = session(&world, &Wishes { initial_r2t: true, immediate_data: false, ..small() });
    let data = pattern(3, 9000);
    let mut command = raw.command_request(DRIVE, &write_6(9000));
    command.is_write = true;
    command.expected_bytes = 9000;
    let write = command.task_tag;
    raw.send(command, &[]);
    let Some((Response::ReadyToTransfer(r2t), _)) = raw.receive() else { panic!() };
    let position = raw.begin(DRIVE, &[0x34, 0x06, 0, 0, 0, 0, 0, 0, 0, 0], 32);
    // The changer answers meanwhile.
    raw.good(CHANGER, &[0; 6]);
    raw.data_out(write, r2t.transfer_tag, 0, (&data[..4096], false));
    raw.data_out(write, r2t.transfer_tag, 4096, (&data[4096..], true));
    assert_eq!(raw.answer(write).status, 0);
    assert_eq!(raw.answer(position).data[8..16], 1u64.to_be_bytes());
}

#[test]
fn a_budget_bounds_what_is_asked_for_ahead_and_all_of_it_arrives() {
    let world = world();
    let mut raw = session(&world, &Wishes { immediate_data: false, ..Wishes::default() });
    // Ten blocks of 8 MiB: more than may wait at the target.
    let data = pattern(4, 8 * MIB);
    let mut tags = Vec::new();
    for _ in 0..10 {
        let mut command = raw.command_request(DRIVE, &write_6(data.len()));
        command.is_write = true;
        command.expected_bytes = data.len() as u32;
        tags.push(command.task_tag);
        raw.send(command, &[]);
    }
    let mut open = 0;
    let mut most = 0;
    let mut ended = Vec::new();
    while ended.len() < tags.len() {
        match raw.receive().unwrap().0 {
            Response::ReadyToTransfer(r2t) => {
                if r2t.r2t_sn == 0 {
                    open += 1;
                    most = open.max(most);
                }
                let (from, to) = (r2t.offset as usize, (r2t.offset + r2t.desired_bytes) as usize);
                raw.data_out(r2t.task_tag, r2t.transfer_tag, r2t.offset, (&data[from..to], true));
            }
            Response::Command(response) => {
                assert_eq!(response.status, 0);
                assert_eq!(response.exp_data_sn, 8);
                open -= 1;
                ended.push(response.task_tag);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ended, tags);
    assert!((1..=4).contains(&most), "{most} at once");
    assert_eq!(raw.position(), 10);
}

/// Data that breaks the protocol: told, and the session is over. The tape has whole blocks only.
///
/// The last two cases send more than the target reads: it closes at the first wrong byte, so sending the rest may
/// fail, and what it said before may be lost with the connection (unread bytes make a closing peer's TCP reset it).
#[test]
fn wrong_data_ends_the_session_and_writes_nothing() {
    let world = world();
    let data = pattern(5, 9000);
    type Wrong = fn(&mut Raw, &[u8], u32, u32);
    let cases: [(&str, Wrong); 6] = [
        ("out of order", |raw, data, tag, r2t| raw.data_out(tag, r2t, 100, (&data[..100], false))),
        ("for another R2T", |raw, data, tag, r2t| {
            raw.data_out(tag, r2t ^ 1, 0, (&data[..100], false));
        }),
        ("unasked", |raw, data, tag, _| raw.data_out(tag, NO_TAG, 0, (&data[..100], false))),
        ("less than asked for", |raw, data, tag, r2t| {
            raw.data_out(tag, r2t, 0, (&data[..100], true));
        }),
        ("more than asked for", |raw, data, tag, r2t| {
            raw.data_out(tag, r2t, 0, (data, false));
            let rest = raw.data_out_message(tag, r2t, data.len() as u32, true);
            let _ = raw.send_to_closing(rest, &data[..100]);
        }),
        ("longer than the target takes", |raw, _, tag, r2t| {
            let message = raw.data_out_message(tag, r2t, 0, true);
            let _ = raw.send_to_closing(message, &vec![0; 2 * MIB]);
        }),
    ];
    for (what, wrong) in cases {
        let mut raw = session(&world, &Wishes { immediate_data: false, ..Wishes::default() });
        let before = raw.position();
        let mut command = raw.command_request(DRIVE, &write_6(9000));
        command.is_write = true;
        command.expected_bytes = 9000;
        let tag = command.task_tag;
        raw.send(command, &[]);
        let Some((Response::ReadyToTransfer(r2t), _)) = raw.receive() else { panic!() };
        wrong(&mut raw, &data, tag, r2t.transfer_tag);
        match raw.receive() {
            Some((Response::Reject(reject), _)) => {
                assert_eq!(reject.reason, RejectReason::Protocol, "{what}");
                assert!(raw.receive().is_none(), "{what}");
            }
            None => assert!(
                ["more than asked for", "longer than the target takes"].contains(&what),
                "{what}: closed without a word"
            ),
            other => panic!("{what}: {other:?}"),
        }
        let mut raw = session(&world, &Wishes::default());
        assert_eq!(raw.position(), before, "{what}");
        raw.write_block(&data);
    }
}

#[test]
fn damaged_data_is_not_written() {
    use scsi::iscsi::frame::Outgoing;
    use scsi::iscsi::parameters::DigestWish;
    use scsi::iscsi::pdu::Request;
    use std::io::Write;

    let world = world();
    let wishes = Wishes {
        header_digest: DigestWish::Required,
        data_digest: DigestWish::Required,
        ..Wishes::default()
    };
    for damaged_header in [false, true] {
        let mut raw = session(&world, &wishes);
        let data = pattern(5, 9000);
        let mut command = raw.command_request(DRIVE, &write_6(9000));
        command.is_write = true;
        command.expected_bytes = 9000;
        let mut bytes = Vec::new();
        let mut writer = scsi::iscsi::frame::Writer::new(&mut bytes);
        writer.set_digests(raw.agreed.digests);
        writer.send(&[Outgoing::new(Request::from(command).build(), &data)]).unwrap();
        bytes[if damaged_header { 20 } else { 5000 }] ^= 1;
        raw.writer.stream_mut().write_all(&bytes).unwrap();
        if !damaged_header {
            let Some((Response::Reject(reject), _)) = raw.receive() else { panic!() };
            assert_eq!(reject.reason, RejectReason::DataDigest);
        }
        assert!(raw.receive().is_none());
        assert_eq!(session(&world, &wishes).position(), 0);
    }
}
