//! What happens when it does not go well: lost connections, time-outs, a target that wants us to leave.

use super::*;
use crate::iscsi::pdu::{
    AsyncEvent, Asynchronous, NopIn, Reject, RejectReason, TaskFunction, TaskManagementRequest,
    TaskManagementResponse, TaskResult,
};
use crate::{Error, Status};

const SHORT: Duration = Duration::from_millis(80);
const WRITE: [u8; 6] = [0x0a, 0, 0, 4, 0, 0];

fn receive_management(peer: &mut Peer) -> TaskManagementRequest {
    match peer.receive() {
        (Request::TaskManagement(request), _) => {
            assert!(request.is_immediate);
            request
        }
        (other, _) => panic!("no task management: {other:?}"),
    }
}

fn answer_management(peer: &mut Peer, request: &TaskManagementRequest, result: TaskResult) {
    let response =
        TaskManagementResponse { result, task_tag: request.task_tag, counters: peer.counters() };
    peer.send(response, &[]);
}

#[test]
fn a_lost_connection_is_told_and_never_bridged_silently() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        let isid = peer.isid;
        let (command, _) = peer.receive_command();
        assert_eq!(command.cdb[0], 0x0a);
        drop(peer);
        // The next session takes the place of the lost one.
        let mut peer = Peer::accept(&listener);
        peer.log_in(&Wishes::default(), None);
        assert_eq!(peer.isid, isid);
        // INQUIRY comes through; the WRITE before and the TEST UNIT READY that was told the loss don't.
        peer.answer_inquiry();
        let (command, _) = peer.receive_command();
        assert_eq!(command.cdb[0], 0x00);
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    let error = device.execute(&WRITE, Data::Out(&[0; 4]), LONG).unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error}");
    let error = error.to_string();
    assert!(error.contains("unknown") && error.contains(TARGET), "{error}");

    crate::command::inquiry::Inquiry::request(&mut device).unwrap();
    let told = ready(&mut device).unwrap();
    assert_eq!((told.status, told.transferred), (Status::CheckCondition, 0));
    assert_eq!(told.sense, Some(Sense::NEXUS_LOSS));
    assert!(told.sense.unwrap().is_unit_attention());
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    drop(device);
    target.join();
}

#[test]
fn request_sense_takes_the_condition_of_a_lost_connection() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        peer.receive_command();
        drop(peer);
        let mut peer = Peer::accept(&listener);
        peer.log_in(&Wishes::default(), None);
        let (command, _) = peer.receive_command();
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    ready(&mut device).unwrap_err();
    assert_eq!(crate::command::unit::request_sense(&mut device).unwrap(), Sense::NEXUS_LOSS);
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    drop(device);
    target.join();
}

#[test]
fn a_target_that_does_not_come_back_is_told_and_tried_again() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        peer.receive_command();
        drop((peer, listener));
    });
    let mut device = target.open(&options()).unwrap();
    ready(&mut device).unwrap_err();
    target.join();
    for _ in 0..2 {
        let error = ready(&mut device).unwrap_err();
        assert!(matches!(error, Error::NotCarried { .. }), "{error}");
        assert!(error.to_string().contains("refuses connections"), "{error}");
    }
}

#[test]
fn a_connection_that_died_while_nothing_ran_loses_no_command() {
    let target = Target::play(|listener| {
        drop(Peer::opened(&listener, &Wishes::default()));
        let mut peer = Peer::accept(&listener);
        peer.log_in(&Wishes::default(), None);
        let (command, data) = peer.receive_command();
        assert_eq!(
            (command.cdb, data.len()),
            ([0x0a, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 4)
        );
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    // Until the look that is taken after a rest.
    std::thread::sleep(Duration::from_millis(700));
    let told = device.execute(&WRITE, Data::Out(&[0; 4]), LONG).unwrap();
    assert_eq!(told.sense, Some(Sense::NEXUS_LOSS));
    assert_eq!(device.execute(&WRITE, Data::Out(&[0; 4]), LONG).unwrap().transferred, 4);
    drop(device);
    target.join();
}

#[test]
fn a_command_without_an_end_is_aborted() {
    for result in [TaskResult::Complete, TaskResult::NoTask] {
        let target = Target::play(move |listener| {
            let mut peer = Peer::opened(&listener, &Wishes::default());
            let (command, _) = peer.receive_command();
            let request = receive_management(&mut peer);
            assert_eq!(request.function, TaskFunction::AbortTask);
            assert_eq!(request.referenced_tag, command.task_tag);
            assert_eq!((request.ref_cmd_sn, request.lun), (command.cmd_sn, 1));
            answer_management(&mut peer, &request, result);
            // The session goes on, and no second WRITE was sent.
            let (command, _) = peer.receive_command();
            assert_eq!(command.cdb[0], 0x00);
            peer.send_good(&command);
            peer.answer_logout();
        });
        let mut device = target.open(&options()).unwrap();
        let error = device.execute(&WRITE, Data::Out(&[0; 4]), SHORT).unwrap_err();
        assert!(matches!(error, Error::Timeout { opcode: 0x0a, timeout: SHORT }), "{error}");
        assert_eq!(ready(&mut device).unwrap().status, Status::Good);
        drop(device);
        target.join();
    }
}

#[test]
fn an_end_that_arrives_before_the_abort_is_done_counts() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        let (command, _) = peer.receive_command();
        let request = receive_management(&mut peer);
        peer.send_data(&command, 0, 0, &pattern(100), Some((0, Residual::None)));
        answer_management(&mut peer, &request, TaskResult::NoTask);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    let mut buffer = [0; 100];
    let reply = device.execute(&[0x08, 0, 0, 0, 100, 0], Data::In(&mut buffer), SHORT).unwrap();
    assert_eq!((reply.transferred, &buffer[..]), (100, &pattern(100)[..]));
    drop(device);
    target.join();
}

#[test]
fn a_refused_abort_becomes_a_reset_of_the_unit() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        peer.receive_command();
        let request = receive_management(&mut peer);
        answer_management(&mut peer, &request, TaskResult::NotSupported);
        let request = receive_management(&mut peer);
        assert_eq!(
            (request.function, request.referenced_tag),
            (TaskFunction::LogicalUnitReset, NO_TAG)
        );
        answer_management(&mut peer, &request, TaskResult::Complete);
        let (command, _) = peer.receive_command();
        peer.send_end(&command, 2, Residual::None, Some(Sense::POWER_ON));
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    assert!(matches!(device.execute(&[0; 6], Data::None, SHORT), Err(Error::Timeout { .. })));
    assert_eq!(ready(&mut device).unwrap().sense, Some(Sense::POWER_ON));
    drop(device);
    target.join();
}

#[test]
fn a_target_that_answers_nothing_loses_the_session() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        peer.receive_command();
        receive_management(&mut peer);
        receive_management(&mut peer);
        assert!(matches!(peer.reader.header(), Ok(None)), "the connection is closed");
        let mut peer = Peer::accept(&listener);
        peer.log_in(&Wishes::default(), None);
        let (command, _) = peer.receive_command();
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device =
        target.open(&Options { answer_timeout: Duration::from_millis(300), ..options() }).unwrap();
    assert!(matches!(device.execute(&[0; 6], Data::None, SHORT), Err(Error::Timeout { .. })));
    assert_eq!(ready(&mut device).unwrap().sense, Some(Sense::NEXUS_LOSS));
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    drop(device);
    target.join();
}

#[test]
fn a_lost_status_and_a_stranger_s_answer_end_the_session() {
    type Script = fn(&mut Peer, &ScsiCommand);
    let cases: [(&str, Script); 4] = [
        ("status number", |peer, command| {
            peer.stat_sn += 1;
            peer.send_good(command);
        }),
        ("not expected", |peer, command| {
            let other = ScsiCommand { task_tag: command.task_tag ^ 0x100, ..command.clone() };
            peer.send_good(&other);
        }),
        ("rejects type 01h with reason 04h", |peer, command| {
            let reject =
                Reject { reason: RejectReason::Protocol, counters: peer.counters(), data_sn: 0 };
            let refused = Request::from(command.clone()).build();
            peer.send(reject, refused.as_bytes());
        }),
        ("closed the connection", |peer, _| {
            let notice = Asynchronous {
                event: AsyncEvent::SessionDropped,
                vendor_code: 0,
                lun: 0,
                counters: peer.counters(),
                parameters: [0; 3],
            };
            peer.send(notice, &[]);
        }),
    ];
    for (part, script) in cases {
        let target = Target::play(move |listener| {
            let mut peer = Peer::opened(&listener, &Wishes::default());
            let (command, _) = peer.receive_command();
            script(&mut peer, &command);
            assert!(!matches!(peer.reader.header(), Ok(Some(_))));
        });
        let mut device = target.open(&options()).unwrap();
        let error = ready(&mut device).unwrap_err().to_string();
        assert!(error.contains(part), "{part}: {error}");
        drop(device);
        target.join();
    }
}

#[test]
fn a_target_that_could_not_carry_a_command_out_is_no_status() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        let (command, _) = peer.receive_command();
        let message = ScsiResponse {
            response: ServiceResponse::TargetFailure,
            status: 0,
            task_tag: command.task_tag,
            snack_tag: 0,
            counters: peer.counters(),
            exp_data_sn: 0,
            residual: Residual::None,
        };
        peer.send(message, &[]);
        let (command, _) = peer.receive_command();
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    assert!(matches!(ready(&mut device), Err(Error::Transport { .. })));
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    drop(device);
    target.join();
}

#[test]
fn a_target_that_asks_for_a_logout_gets_it_after_the_command() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        let (command, _) = peer.receive_command();
        let notice = Asynchronous {
            event: AsyncEvent::LogoutRequested,
            vendor_code: 0,
            lun: 0,
            counters: peer.counters(),
            parameters: [0, 0, 5],
        };
        peer.send(notice, &[]);
        peer.send_good(&command);
        peer.answer_logout();
        let mut peer = Peer::accept(&listener);
        peer.log_in(&Wishes::default(), None);
        let (command, _) = peer.receive_command();
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    assert_eq!(ready(&mut device).unwrap().sense, Some(Sense::NEXUS_LOSS));
    assert_eq!(ready(&mut device).unwrap().status, Status::Good);
    drop(device);
    target.join();
}

#[test]
fn a_resting_session_answers_the_target() {
    let target = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        let question =
            NopIn { lun: 0, task_tag: NO_TAG, transfer_tag: 9, counters: peer.counters() };
        peer.send(question, &[]);
        // No command runs: the answer comes from the thread that looks after the session.
        let (answer, _) = peer.receive();
        assert!(matches!(answer, Request::NopOut(answer) if answer.transfer_tag == 9));
        peer.answer_logout();
    });
    let device = target.open(&options()).unwrap();
    // Longer than the thread rests.
    std::thread::sleep(Duration::from_millis(2600));
    drop(device);
    target.join();
}

#[test]
fn leaving_does_not_wait_for_a_target_that_says_nothing() {
    let (told, tell) = std::sync::mpsc::channel();
    let target = Target::play(move |listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        assert!(matches!(peer.receive().0, Request::Logout(_)));
        // Nothing is answered; the initiator closes by itself.
        assert!(matches!(peer.reader.header(), Ok(None)));
        told.send(()).unwrap();
    });
    drop(target.open(&options()).unwrap());
    tell.recv_timeout(LONG).unwrap();
    target.join();
}
