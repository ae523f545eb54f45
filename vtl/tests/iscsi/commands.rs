//! Commands over the wire: units, residuals, sense data, messages that need no unit.

use scsi::iscsi::pdu::{
    LogoutReason, LogoutRequest, LogoutResult, NO_TAG, NopOut, RejectReason, Residual, Response,
    Snack, TextRequest,
};
use scsi::iscsi::text::Text;

use super::client::{CHANGER, DRIVE, pattern, read_6, world, write_6};

#[test]
fn the_changer_is_unit_0_and_the_drives_follow() {
    let world = world();
    let mut raw = world.session(1);
    for (lun, kind) in [(CHANGER, 0x08), (DRIVE, 0x01), (2, 0x01), (3, 0x7f), (300, 0x7f)] {
        let inquiry = raw.command(lun, &[0x12, 0, 0, 0, 36, 0], 36);
        assert_eq!((inquiry.status, inquiry.data[0], inquiry.data.len()), (0, kind, 36), "{lun}");
        // REPORT LUNS leaves the attention of the new session where it is.
        let luns = raw.command(lun, &[0xa0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0], 4096);
        assert_eq!(luns.data.len(), 8 + 3 * 8, "{lun}");
        assert_eq!(luns.data[..4], [0, 0, 0, 24]);
        assert_eq!(
            luns.data[8..],
            [[0, 0], [0, 1], [0, 2]].map(|lun| [lun[0], lun[1], 0, 0, 0, 0, 0, 0]).concat()
        );
        assert_eq!(luns.residual, Residual::Underflow(4096 - 32));
    }
    raw.fails(3, &[0; 6], (5, 0x25, 0));
    let sense = raw.command(3, &[3, 0, 0, 0, 18, 0], 18);
    assert_eq!((sense.data[2], sense.data[12]), (5, 0x25));
    for lun in [CHANGER, DRIVE, 2] {
        raw.fails(lun, &[0; 6], (6, 0x29, 0));
    }
    let units = world.target.units();
    assert_eq!(units.iter().map(|unit| unit.lun).collect::<Vec<_>>(), [0, 1, 2]);
    let page = raw.command(2, &[0x12, 1, 0x80, 0, 64, 0], 64);
    assert_eq!(&page.data[4..], units[2].serial.as_bytes());
}

#[test]
fn residuals_count_both_ways() {
    let world = world();
    let mut raw = world.loaded_session(1);
    let block = pattern(1, 1000);
    raw.write_block(&block);
    // More data than the CDB takes, and less.
    let long = raw.command_out(DRIVE, &write_6(1000), &pattern(2, 1500));
    assert_eq!((long.status, long.residual), (0, Residual::Underflow(500)));
    let short = raw.command_out(DRIVE, &write_6(1000), &pattern(2, 600));
    assert_eq!((short.code(), short.residual), ((0xb, 0x4b, 0), Residual::Overflow(400)));
    assert_eq!(raw.position(), 2);
    raw.rewind();
    // A longer request than the block, with SILI: underflow.
    let read = raw.read_block(4096);
    assert_eq!((read.status, &read.data, read.residual), (0, &block, Residual::Underflow(3096)));
    // A smaller buffer at the host than the CDB says: overflow, and the block is passed.
    let read = raw.command(DRIVE, &read_6(1000), 400);
    assert_eq!((read.data.len(), read.residual), (400, Residual::Overflow(600)));
    assert_eq!(read.data, pattern(2, 1500)[..400]);
    // No data phase at all.
    raw.rewind();
    let read = raw.command(DRIVE, &read_6(1000), 0);
    assert_eq!((read.data.len(), read.residual), (0, Residual::Overflow(1000)));
    // End of data: sense data, no data, everything expected is residual.
    raw.good(DRIVE, &[0x11, 3, 0, 0, 0, 0]);
    let read = raw.read_block(512);
    assert_eq!((read.code(), read.residual), ((8, 0, 5), Residual::Underflow(512)));
    // Data and sense data together: a block longer than asked for, without SILI.
    raw.rewind();
    let read = raw.command(DRIVE, &[0x08, 0, 0, 0, 100, 0], 100);
    let sense = read.sense.unwrap();
    assert!(sense.incorrect_length);
    assert_eq!((sense.information, &read.data[..]), (Some(-900), &block[..100]));
}

#[test]
fn sense_data_has_the_format_that_the_host_chose() {
    let world = world();
    let mut raw = world.loaded_session(1);
    let list = [0, 0, 0x10, 0, 0x0a, 0x0a, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let set = raw.command_out(DRIVE, &[0x15, 0x10, 0, 0, 16, 0], &list);
    assert_eq!((set.status, set.sense), (0, None));
    let tag = raw.begin(DRIVE, &[0x11, 3, 0, 0, 0, 0xff], 0);
    raw.answer(tag);
    raw.begin(DRIVE, &read_6(10), 10);
    let (_, segment) = raw.receive().unwrap();
    assert_eq!(segment[2], 0x72, "descriptor format");
}

#[test]
fn a_stream_of_commands_is_carried_out_in_order() {
    let world = world();
    let mut raw = world.loaded_session(1);
    let window = raw.max_cmd_sn.wrapping_sub(raw.cmd_sn) + 1;
    assert!(window >= 32, "{window}");
    let blocks: Vec<_> = (0..30).map(|number| pattern(number, 3000)).collect();
    let tags: Vec<_> =
        blocks.iter().map(|block| raw.begin_write(DRIVE, &write_6(3000), block)).collect();
    let rewind = raw.begin(DRIVE, &[1, 0, 0, 0, 0, 0], 0);
    for tag in tags {
        assert_eq!(raw.answer(tag).status, 0);
    }
    assert_eq!(raw.answer(rewind).status, 0);
    let tags: Vec<_> = blocks.iter().map(|_| raw.begin(DRIVE, &read_6(3000), 3000)).collect();
    for (tag, block) in tags.into_iter().zip(&blocks) {
        assert!(raw.answer(tag).data == *block);
    }
}

#[test]
fn commands_beyond_the_window_or_behind_it_are_as_if_not_sent() {
    let world = world();
    let mut raw = world.session(1);
    raw.settle(DRIVE);
    let mut old = raw.command_request(DRIVE, &[0; 6]);
    raw.cmd_sn = old.cmd_sn;
    old.cmd_sn = old.cmd_sn.wrapping_sub(1);
    raw.send(old.clone(), &[]);
    old.cmd_sn = raw.max_cmd_sn.wrapping_add(1);
    raw.send(old, &[]);
    raw.fails(DRIVE, &[0; 6], (2, 0x3a, 0));
}

#[test]
fn pings_are_echoed_and_texts_answered() {
    let world = world();
    let mut raw = world.session(1);
    let nop = |task_tag, is_immediate, cmd_sn| NopOut {
        is_immediate,
        lun: 0,
        task_tag,
        transfer_tag: NO_TAG,
        cmd_sn,
        exp_stat_sn: 0,
    };
    // One that wants no answer is none of the next message's business.
    raw.send(nop(NO_TAG, true, raw.cmd_sn), b"quiet");
    raw.send(nop(77, true, raw.cmd_sn), b"are you there");
    let (Response::NopIn(answer), data) = raw.receive().unwrap() else { panic!() };
    assert_eq!(
        (answer.task_tag, answer.transfer_tag, &data[..]),
        (77, NO_TAG, &b"are you there"[..])
    );
    raw.send(nop(78, false, raw.cmd_sn), b"");
    raw.cmd_sn = raw.cmd_sn.wrapping_add(1);
    assert!(matches!(raw.receive().unwrap().0, Response::NopIn(_)));
    let mut text = Text::new();
    text.push("SendTargets", "").push("X-odd", "1");
    let request = TextRequest {
        is_immediate: false,
        is_final: true,
        is_continued: false,
        lun: 0,
        task_tag: 79,
        transfer_tag: NO_TAG,
        cmd_sn: raw.cmd_sn,
        exp_stat_sn: 0,
    };
    raw.cmd_sn = raw.cmd_sn.wrapping_add(1);
    raw.send(request, &text.to_bytes());
    let (Response::Text(answer), data) = raw.receive().unwrap() else { panic!() };
    assert!(answer.is_final && answer.transfer_tag == NO_TAG);
    let text = Text::parse(&data).unwrap();
    assert_eq!(text.get("TargetName"), Some(world.target.name()));
    assert_eq!(text.get("TargetAddress"), Some(&*format!("{},1", world.target.address())));
    assert_eq!(text.get("X-odd"), Some("NotUnderstood"));
    raw.settle(DRIVE);
}

#[test]
fn a_logout_waits_for_what_runs_and_closes() {
    let world = world();
    let mut raw = world.loaded_session(1);
    let block = pattern(3, 5000);
    let write = raw.begin_write(DRIVE, &write_6(5000), &block);
    let marks = raw.begin(DRIVE, &[0x10, 0, 0, 0, 1, 0], 0);
    assert_eq!(raw.answer(write).status, 0);
    assert_eq!(raw.answer(marks).status, 0);
    let logout = |reason, task_tag, cmd_sn| LogoutRequest {
        is_immediate: false,
        reason,
        task_tag,
        connection: 1,
        cmd_sn,
        exp_stat_sn: 0,
    };
    raw.send(logout(LogoutReason::RemoveForRecovery, 90, raw.cmd_sn), &[]);
    let Some((Response::Logout(answer), _)) = raw.receive() else { panic!() };
    assert_eq!(answer.result, LogoutResult::RecoveryNotSupported);
    raw.send(logout(LogoutReason::CloseSession, 91, raw.cmd_sn.wrapping_add(1)), &[]);
    let Some((Response::Logout(answer), _)) = raw.receive() else { panic!() };
    assert_eq!((answer.result, answer.task_tag), (LogoutResult::Closed, 91));
    assert!(raw.receive().is_none());
    let mut raw = world.session(1);
    raw.settle(DRIVE);
    assert_eq!(raw.position(), 2);
}

#[test]
fn what_the_target_does_not_know_is_rejected_and_the_session_goes_on() {
    let world = world();
    let mut raw = world.session(1);
    let snack = Snack {
        kind: 1,
        lun: 0,
        task_tag: NO_TAG,
        snack_tag: NO_TAG,
        exp_stat_sn: 0,
        first: 0,
        count: 0,
    };
    raw.send(snack, &[]);
    let Some((Response::Reject(reject), refused)) = raw.receive() else { panic!() };
    assert_eq!((reject.reason, refused.len()), (RejectReason::SnackReject, 48));
    let mut header = [0; 48];
    header[0] = 0x1c;
    use std::io::Write;
    raw.writer.stream_mut().write_all(&header).unwrap();
    let Some((Response::Reject(reject), _)) = raw.receive() else { panic!() };
    assert_eq!(reject.reason, RejectReason::CommandNotSupported);
    raw.settle(DRIVE);
    // Too many of them end it.
    for _ in 0..16 {
        if raw.writer.stream_mut().write_all(&header).is_err() {
            break;
        }
    }
    while raw.receive().is_some() {}
}
