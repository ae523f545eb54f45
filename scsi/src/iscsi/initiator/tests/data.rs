//! Data of commands: unasked, on request, towards us, more and less than expected.

use super::*;
use crate::Status;
use crate::iscsi::parameters::DigestWish;
use crate::iscsi::pdu::{AsyncEvent, Asynchronous, NopIn};

const WRITE: [u8; 6] = [0x0a, 0, 0, 0x10, 0, 0];
const READ: [u8; 6] = [0x08, 0, 0, 0x10, 0, 0];

/// Limits small enough that every way of sending is seen.
fn small() -> Wishes {
    Wishes {
        recv_data_bytes_max: 512,
        burst_bytes_max: 1536,
        first_burst_bytes_max: 1024,
        ..Wishes::default()
    }
}

/// Takes Data-Out messages of one sequence from `offset` on.
fn take_sequence(peer: &mut Peer, transfer_tag: u32, mut offset: usize, to: &mut Vec<u8>) {
    for data_sn in 0.. {
        let (request, data) = peer.receive();
        let Request::DataOut(message) = request else { panic!("no data: {request:?}") };
        assert_eq!((message.data_sn, message.transfer_tag), (data_sn, transfer_tag));
        assert_eq!(message.offset as usize, offset);
        assert!(data.len() <= 512);
        offset += data.len();
        to.extend_from_slice(&data);
        if message.is_final {
            return;
        }
    }
}

#[test]
fn data_is_sent_unasked_and_on_request_as_agreed() {
    // (immediate data, initial R2T) and what comes with the command and behind it.
    for (immediate_data, initial_r2t, with, unasked) in [
        (true, false, 512, 1024),
        (true, true, 512, 512),
        (false, false, 0, 1024),
        (false, true, 0, 0),
    ] {
        let target = Target::play(move |listener| {
            let wishes = Wishes { immediate_data, initial_r2t, ..small() };
            let mut peer = Peer::opened(&listener, &wishes);
            let (command, mut data) = peer.receive_command();
            assert!(command.is_write && !command.is_read);
            assert_eq!((command.lun, command.expected_bytes), (1, 3000));
            assert_eq!(data.len(), with);
            assert_eq!(command.is_final, with == unasked);
            if !command.is_final {
                take_sequence(&mut peer, NO_TAG, with, &mut data);
            }
            assert_eq!(data.len(), unasked);
            // A burst, and the rest.
            let mut r2t_sn = 0;
            while data.len() < 3000 {
                let (offset, desired) = (data.len(), (3000 - data.len()).min(1536));
                peer.send_r2t(&command, r2t_sn, offset as u32, desired as u32);
                take_sequence(&mut peer, 0x1000 + r2t_sn, offset, &mut data);
                assert_eq!(data.len(), offset + desired);
                r2t_sn += 1;
            }
            assert_eq!(data, pattern(3000));
            peer.send_good(&command);
            peer.answer_logout();
        });
        let mut device = target.open(&options()).unwrap();
        let reply = device.execute(&WRITE, Data::Out(&pattern(3000)), LONG).unwrap();
        assert_eq!((reply.status, reply.transferred), (Status::Good, 3000));
        drop(device);
        target.join();
    }
}

#[test]
fn a_short_write_is_one_message() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &small());
        let (command, data) = peer.receive_command();
        assert!(command.is_final);
        assert_eq!(data, [1, 2, 3]);
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    assert_eq!(device.execute(&WRITE, Data::Out(&[1, 2, 3]), LONG).unwrap().transferred, 3);
    drop(device);
    target.join();
}

#[test]
fn a_write_that_the_target_ends_early_moved_only_what_was_sent() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &small());
        let (command, mut data) = peer.receive_command();
        take_sequence(&mut peer, NO_TAG, 512, &mut data);
        peer.send_end(&command, 2, Residual::None, Some(Sense::VOLUME_OVERFLOW));
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    let reply = device.execute(&WRITE, Data::Out(&pattern(3000)), LONG).unwrap();
    assert_eq!((reply.status, reply.transferred), (Status::CheckCondition, 1024));
    assert_eq!(reply.sense, Some(Sense::VOLUME_OVERFLOW));
    drop(device);
    target.join();
}

/// What the target sends, and what is to be reported: bytes and their number.
#[test]
fn what_arrives_is_reported_and_no_more() {
    type Script = fn(&mut Peer, &ScsiCommand);
    let cases: [(&str, Script, Status, usize); 7] = [
        (
            "several messages, status in the last",
            |peer, command| {
                peer.send_data(command, 0, 0, &pattern(1024)[..512], None);
                peer.send_data(command, 1, 512, &pattern(1024)[512..], Some((0, Residual::None)));
            },
            Status::Good,
            1024,
        ),
        (
            "a shorter block: status with underflow",
            |peer, command| {
                peer.send_data(command, 0, 0, &pattern(100), Some((0, Residual::Underflow(924))));
            },
            Status::Good,
            100,
        ),
        (
            "a shorter block: sense with underflow",
            |peer, command| {
                peer.send_data(command, 0, 0, &pattern(100), None);
                peer.send_end(command, 2, Residual::Underflow(924), Some(Sense::FILEMARK));
            },
            Status::CheckCondition,
            100,
        ),
        (
            "a longer block: overflow",
            |peer, command| {
                peer.send_data(command, 0, 0, &pattern(1024), None);
                peer.send_end(command, 2, Residual::Overflow(976), Some(Sense::FILEMARK));
            },
            Status::CheckCondition,
            1024,
        ),
        (
            "nothing, and no residual told",
            |peer, command| peer.send_end(command, 2, Residual::None, Some(Sense::END_OF_DATA)),
            Status::CheckCondition,
            0,
        ),
        (
            "more than counts",
            |peer, command| {
                peer.send_data(command, 0, 0, &pattern(1024), None);
                peer.send_end(command, 2, Residual::Underflow(1000), Some(Sense::FILEMARK));
            },
            Status::CheckCondition,
            24,
        ),
        (
            "a residual beyond everything",
            |peer, command| peer.send_end(command, 0, Residual::Underflow(u32::MAX), None),
            Status::Good,
            0,
        ),
    ];
    for (name, script, status, moved) in cases {
        let target = Target::play(move |listener| {
            let mut peer = Peer::opened(&listener, &Wishes::default());
            let (command, _) = peer.receive_command();
            assert!(command.is_read && !command.is_write && command.is_final);
            assert_eq!(command.expected_bytes, 1024);
            script(&mut peer, &command);
            peer.answer_logout();
        });
        let mut device = target.open(&options()).unwrap();
        let mut buffer = [0xee; 1024];
        let reply = device.execute(&READ, Data::In(&mut buffer), LONG).unwrap();
        assert_eq!((reply.status, reply.transferred), (status, moved), "{name}");
        assert_eq!(buffer[..moved], pattern(1024)[..moved], "{name}");
        assert_eq!(reply.sense.is_some(), status == Status::CheckCondition, "{name}");
        drop(device);
        target.join();
    }
}

#[test]
fn data_out_of_order_or_beyond_the_buffer_ends_the_session() {
    type Script = fn(&mut Peer, &ScsiCommand);
    let cases: [(&str, Script); 4] = [
        ("a number left out", |peer, command| peer.send_data(command, 1, 0, &[1], None)),
        ("a gap", |peer, command| peer.send_data(command, 0, 512, &[1], None)),
        ("more than asked for", |peer, command| peer.send_data(command, 0, 0, &[1; 1025], None)),
        ("a request for data of a read", |peer, command| peer.send_r2t(command, 0, 0, 512)),
    ];
    for (name, script) in cases {
        let target = Target::play(move |listener| {
            let mut peer = Peer::opened(&listener, &Wishes::default());
            let (command, _) = peer.receive_command();
            script(&mut peer, &command);
            // The initiator leaves without a word.
            assert!(!matches!(peer.reader.header(), Ok(Some(_))));
        });
        let mut device = target.open(&options()).unwrap();
        let error = device.execute(&READ, Data::In(&mut [0; 1024]), LONG).unwrap_err();
        assert!(matches!(error, crate::Error::Transport { .. }), "{name}: {error}");
        assert!(error.to_string().contains("unknown"), "{name}: {error}");
        drop(device);
        target.join();
    }
}

#[test]
fn requests_for_data_that_is_not_there_end_the_session() {
    for (r2t_sn, offset, desired) in
        [(0, 0, 3001), (0, 3000, 1), (1, 0, 10), (0, 0, 0), (0, u32::MAX, u32::MAX)]
    {
        let target = Target::play(move |listener| {
            let mut peer = Peer::opened(
                &listener,
                &Wishes { immediate_data: false, initial_r2t: true, ..small() },
            );
            let (command, _) = peer.receive_command();
            peer.send_r2t(&command, r2t_sn, offset, desired);
            assert!(!matches!(peer.reader.header(), Ok(Some(_))));
        });
        let mut device = target.open(&options()).unwrap();
        let error = device.execute(&WRITE, Data::Out(&pattern(3000)), LONG).unwrap_err();
        assert!(error.to_string().contains("R2T"), "{error}");
        drop(device);
        target.join();
    }
}

#[test]
fn questions_of_the_target_are_answered_in_the_middle_of_a_command() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        let (command, _) = peer.receive_command();
        let question = |peer: &Peer, transfer_tag| NopIn {
            lun: 1,
            task_tag: NO_TAG,
            transfer_tag,
            counters: peer.counters(),
        };
        // One that wants no answer, one that does.
        peer.send(question(&peer, NO_TAG), &[]);
        peer.send(question(&peer, 0x77), &[]);
        let (answer, _) = peer.receive();
        let Request::NopOut(answer) = answer else { panic!("no answer: {answer:?}") };
        assert_eq!((answer.task_tag, answer.transfer_tag, answer.lun), (NO_TAG, 0x77, 1));
        assert!(answer.is_immediate);
        // Its number is that of the next command, which it does not use up.
        assert_eq!(answer.cmd_sn, peer.exp_cmd_sn);
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    drop(device);
    target.join();
}

#[test]
fn a_closed_window_is_waited_for() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        let (command, _) = peer.receive_command();
        let closed = Counters { max_cmd_sn: peer.exp_cmd_sn - 1, ..peer.counters() };
        // MaxCmdSN never goes back, so the window is used up first.
        let mut commands = vec![command];
        for _ in 0..7 {
            let message = ScsiResponse {
                response: ServiceResponse::Completed,
                status: 0,
                task_tag: commands.last().unwrap().task_tag,
                snack_tag: 0,
                counters: Counters { stat_sn: peer.stat_sn, ..closed },
                exp_data_sn: 0,
                residual: Residual::None,
            };
            peer.send(message, &[]);
            commands.push(peer.receive_command().0);
        }
        let last = commands.last().unwrap().clone();
        let message = ScsiResponse {
            response: ServiceResponse::Completed,
            status: 0,
            task_tag: last.task_tag,
            snack_tag: 0,
            counters: Counters { stat_sn: peer.stat_sn, ..closed },
            exp_data_sn: 0,
            residual: Residual::None,
        };
        peer.send(message, &[]);
        peer.reader.stream().set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        assert!(
            peer.reader.header().unwrap_err().is_timeout(),
            "a command in spite of a closed window"
        );
        peer.reader.stream().set_read_timeout(Some(LONG)).unwrap();
        let opened =
            NopIn { lun: 0, task_tag: NO_TAG, transfer_tag: NO_TAG, counters: peer.counters() };
        peer.send(opened, &[]);
        let (command, _) = peer.receive_command();
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    for _ in 0..9 {
        ready(&mut device).unwrap();
    }
    drop(device);
    target.join();
}

#[test]
fn digests_are_used_if_agreed_on_and_damaged_data_is_no_data() {
    let wishes = || Wishes {
        header_digest: DigestWish::Required,
        data_digest: DigestWish::Required,
        ..Wishes::default()
    };
    let target = Target::play(move |listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        assert!(peer.parameters.digests.header && peer.parameters.digests.data);
        let (command, data) = peer.receive_command();
        assert_eq!(data, pattern(1001));
        peer.send_good(&command);
        let (command, _) = peer.receive_command();
        peer.send_data(&command, 0, 0, &pattern(777), Some((0, Residual::Underflow(23))));
        let (command, _) = peer.receive_command();
        // The same, damaged on the way.
        let mut digests = peer.parameters.digests;
        digests.data = false;
        peer.writer.set_digests(digests);
        let mut bytes = pattern(64);
        bytes.extend_from_slice(&(crc32c::crc32c(&bytes) ^ 1).to_le_bytes());
        let message = DataIn {
            is_final: true,
            is_acknowledged: false,
            status: Some(DataInStatus { status: 0, residual: Residual::None }),
            lun: 0,
            task_tag: command.task_tag,
            transfer_tag: NO_TAG,
            counters: peer.counters(),
            data_sn: 0,
            offset: 0,
        };
        let raw = raw_message(Response::from(message), 64, &bytes);
        std::io::Write::write_all(peer.writer.stream_mut(), &raw).unwrap();
        assert!(!matches!(peer.reader.header(), Ok(Some(_))));
    });
    let mut device = target.open(&Options { wishes: wishes(), ..options() }).unwrap();
    assert_eq!(device.execute(&WRITE, Data::Out(&pattern(1001)), LONG).unwrap().transferred, 1001);
    let mut buffer = [0; 800];
    assert_eq!(device.execute(&READ, Data::In(&mut buffer), LONG).unwrap().transferred, 777);
    assert_eq!(buffer[..777], pattern(777));
    let error = device.execute(&READ, Data::In(&mut [0; 64]), LONG).unwrap_err().to_string();
    assert!(error.contains("data arrived damaged"), "{error}");
    drop(device);
    target.join();
}

/// A message with a header digest and whatever stands behind it.
fn raw_message(response: Response, data_bytes: usize, behind: &[u8]) -> Vec<u8> {
    let mut header = response.build();
    header.set_data_bytes(data_bytes);
    let mut raw = header.as_bytes().to_vec();
    raw.extend_from_slice(&crc32c::crc32c(header.as_bytes()).to_le_bytes());
    raw.extend_from_slice(behind);
    raw
}

#[test]
fn a_condition_told_outside_a_command_is_reported_by_the_next_one() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        let (command, _) = peer.receive_command();
        let notice = Asynchronous {
            event: AsyncEvent::Scsi,
            vendor_code: 0,
            lun: 1,
            counters: peer.counters(),
            parameters: [0; 3],
        };
        peer.send(notice, &ScsiResponse::segment_of(&Sense::MEDIUM_CHANGED.to_fixed()));
        peer.send_good(&command);
        let (command, _) = peer.receive_command();
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    let told = ready(&mut device).unwrap();
    assert_eq!((told.status, told.sense), (Status::CheckCondition, Some(Sense::MEDIUM_CHANGED)));
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    drop(device);
    target.join();
}
