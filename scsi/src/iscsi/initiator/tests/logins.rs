//! Logins that work, that are refused, that lead elsewhere and that never end.

use super::*;
use crate::Status;
use crate::iscsi::chap::Credentials;
use crate::iscsi::parameters::DigestWish;

fn ours() -> Credentials {
    Credentials::new("backup", "initiator-secret")
}

fn theirs() -> Credentials {
    Credentials::new("library", "target-secret-1")
}

fn with(credentials: Option<Credentials>, target_credentials: Option<Credentials>) -> Options {
    Options { credentials, target_credentials, ..options() }
}

fn refused(target: &Target, options: &Options) -> String {
    let error = target.open(options).unwrap_err();
    assert!(matches!(error, crate::Error::Open { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("iscsi://127.0.0.1:{}/{TARGET}/1: ", target.portal.port)),
        "{text}"
    );
    text
}

#[test]
fn chap_one_way_and_both_ways() {
    for (mutual, offered) in [(false, "CHAP,None"), (true, "CHAP")] {
        let target = Target::play(move |listener| {
            let mut peer = Peer::accept(&listener);
            let chap = TargetChap::new(ours(), Some(theirs())).unwrap();
            let first = peer.log_in(&Wishes::default(), Some(chap));
            assert_eq!(first.get("AuthMethod"), Some(offered));
            assert_eq!(first.get("TargetName"), Some(TARGET));
            assert_eq!(first.get("SessionType"), Some("Normal"));
            assert_eq!(first.get("InitiatorName"), Some("iqn.2026-01.test:initiator"));
            peer.answer_inquiry();
            let (command, _) = peer.receive_command();
            peer.send_good(&command);
            peer.answer_logout();
        });
        let mut device = target.open(&with(Some(ours()), mutual.then(theirs))).unwrap();
        assert_eq!(ready(&mut device).unwrap().status, Status::Good);
        drop(device);
        target.join();
    }
}

#[test]
fn a_wrong_password_is_told_with_the_user_but_not_the_password() {
    let target = Target::play(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.log_in(&Wishes::default(), Some(TargetChap::new(ours(), None).unwrap()));
    });
    let options = with(Some(Credentials::new("backup", "guessed-wrong")), None);
    let text = refused(&target, &options);
    assert!(text.contains("user 'backup'") && !text.contains("guessed-wrong"), "{text}");
    target.join();
}

#[test]
fn an_impostor_is_refused() {
    let target = Target::play(|listener| {
        let mut peer = Peer::accept(&listener);
        let (request, _) = peer.receive_login();
        let mut text = Text::new();
        text.push("AuthMethod", "CHAP");
        peer.send_login(request.transit, LoginStatus::SUCCESS, &text);
        let mut chap =
            TargetChap::new(ours(), Some(Credentials::new("library", "a guess"))).unwrap();
        let (request, text) = peer.receive_login();
        let asked = chap.challenge(&text).unwrap();
        peer.send_login(request.transit, LoginStatus::SUCCESS, &asked);
        let (request, text) = peer.receive_login();
        let shown = chap.check(&text).unwrap();
        peer.send_login(request.transit, LoginStatus::SUCCESS, &shown);
        // The initiator does not even begin to negotiate.
        assert!(!matches!(peer.reader.header(), Ok(Some(_))));
    });
    let text = refused(&target, &with(Some(ours()), Some(theirs())));
    assert!(text.contains("impostor"), "{text}");
    target.join();
}

#[test]
fn a_target_can_t_talk_its_way_around_showing_who_it_is() {
    for answer in ["None", ""] {
        let target = Target::play(move |listener| {
            let mut peer = Peer::accept(&listener);
            let (request, _) = peer.receive_login();
            let mut text = Text::new();
            if !answer.is_empty() {
                text.push("AuthMethod", answer);
            }
            // Straight on to the next stage.
            let next = Some(Stage::Operational);
            peer.send_login(Transit { next, ..request.transit }, LoginStatus::SUCCESS, &text);
            assert!(!matches!(peer.reader.header(), Ok(Some(_))));
        });
        let text = refused(&target, &with(Some(ours()), Some(theirs())));
        assert!(text.contains("CHAP: "), "{text}");
        target.join();
    }
}

#[test]
fn refusals_say_what_to_do() {
    for (status, part) in [
        (LoginStatus::AUTHENTICATION_FAILED, "none are configured"),
        (LoginStatus::NOT_AUTHORIZED, "initiator name 'iqn.2026-01.test:initiator'"),
        (LoginStatus::NOT_FOUND, "'capstan iscsi discover 127.0.0.1:"),
        (LoginStatus::OUT_OF_RESOURCES, "out of resources (login status 0302h)"),
    ] {
        let target = Target::play(move |listener| {
            let mut peer = Peer::accept(&listener);
            let (request, _) = peer.receive_login();
            peer.send_login(request.transit, status, &Text::new());
        });
        let text = refused(&target, &options());
        assert!(text.contains(part), "{text}");
        target.join();
    }
}

#[test]
fn a_target_that_wants_chap_of_somebody_without() {
    let target = Target::play(|listener| {
        let mut peer = Peer::accept(&listener);
        let (request, _) = peer.receive_login();
        let mut text = Text::new();
        text.push("AuthMethod", "Reject");
        peer.send_login(Transit { next: None, ..request.transit }, LoginStatus::SUCCESS, &text);
    });
    let text = refused(&target, &options());
    assert!(text.contains("wants a user and a password"), "{text}");
    target.join();
}

#[test]
fn a_redirection_is_followed_but_not_for_ever() {
    let elsewhere = Target::play(|listener| {
        let mut peer = Peer::opened(&listener, &Wishes::default());
        peer.answer_logout();
    });
    let address = format!("127.0.0.1:{},1", elsewhere.portal.port);
    let target = Target::play(move |listener| {
        let mut peer = Peer::accept(&listener);
        let (request, _) = peer.receive_login();
        let mut text = Text::new();
        text.push("TargetAddress", address);
        peer.send_login(request.transit, LoginStatus::MOVED_TEMPORARILY, &text);
    });
    drop(target.open(&options()).unwrap());
    target.join();
    elsewhere.join();

    let target = Target::play(|listener| {
        let address = format!("127.0.0.1:{}", listener.local_addr().unwrap().port());
        for _ in 0..5 {
            let mut peer = Peer::accept(&listener);
            let (request, _) = peer.receive_login();
            let mut text = Text::new();
            text.push("TargetAddress", address.clone());
            peer.send_login(request.transit, LoginStatus::MOVED_PERMANENTLY, &text);
        }
    });
    let text = refused(&target, &options());
    assert!(text.contains("again and again"), "{text}");
    target.join();
}

#[test]
fn text_in_several_parts_and_proposals_of_the_target() {
    let target = Target::play(|listener| {
        let mut peer = Peer::accept(&listener);
        let (request, _) = peer.receive_login();
        // The answer in two parts.
        let mut text = Text::new();
        text.push("TargetAlias", "in parts");
        let continued = Transit { next: None, is_continued: true, ..request.transit };
        peer.send_login(continued, LoginStatus::SUCCESS, &text);
        let (more, nothing) = peer.receive_login();
        assert!(nothing.is_empty() && more.transit.next.is_none());
        let mut text = Text::new();
        text.push("AuthMethod", "None");
        peer.send_login(request.transit, LoginStatus::SUCCESS, &text);

        let (_, text) = peer.receive_login();
        let mut negotiation = Negotiation::new(Wishes::default(), false);
        let mut answers = Text::new();
        for (key, value) in text.iter() {
            negotiation.receive(key, value, &mut answers).unwrap();
        }
        // And a question of its own, for which it stays in the stage.
        answers.push("X-org.example.speed", "11");
        answers.push("MaxRecvDataSegmentLength", "4096");
        peer.send_login(Peer::at_operational(None), LoginStatus::SUCCESS, &answers);
        let (_, text) = peer.receive_login();
        assert_eq!(text.get("X-org.example.speed"), Some("NotUnderstood"));
        assert_eq!(text.iter().count(), 1);
        peer.send_login(
            Peer::at_operational(Some(Stage::FullFeature)),
            LoginStatus::SUCCESS,
            &Text::new(),
        );
        peer.answer_inquiry();
        let (command, data) = peer.receive_command();
        assert_eq!(data.len(), 4096, "what the target declared holds");
        for _ in 0..2 {
            peer.receive();
        }
        peer.send_good(&command);
        peer.answer_logout();
    });
    let mut device = target.open(&options()).unwrap();
    device.execute(&[0x0a, 0, 0, 0x30, 0, 0], Data::Out(&[0; 12288]), LONG).unwrap();
    drop(device);
    target.join();
}

#[test]
fn a_login_that_never_ends_is_given_up() {
    let target = Target::play(|listener| {
        let mut peer = Peer::accept(&listener);
        while let Ok(Some(header)) = peer.reader.header() {
            let Ok(Request::Login(request)) = Request::parse(&header) else { panic!("no login") };
            peer.reader.skip().unwrap();
            let stay = Transit { next: None, ..request.transit };
            peer.send_login(stay, LoginStatus::SUCCESS, &Text::new());
        }
    });
    let text = refused(&target, &options());
    assert!(text.contains("does not come to an end"), "{text}");
    target.join();
}

#[test]
fn a_port_where_something_else_listens() {
    let target = Target::play(|listener| {
        let (mut stream, _) = listener.accept().unwrap();
        std::io::Write::write_all(&mut stream, b"220 mail.example.org ESMTP\r\n").unwrap();
        // Until the initiator has seen enough.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    });
    let text =
        refused(&target, &Options { answer_timeout: Duration::from_millis(200), ..options() });
    assert!(text.contains("does it speak iSCSI"), "{text}");
    target.join();
}

#[test]
fn a_required_digest_that_the_target_lacks() {
    let target = Target::play(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.log_in(&Wishes { data_digest: DigestWish::Never, ..Wishes::default() }, None);
    });
    let wishes = Wishes { data_digest: DigestWish::Required, ..Wishes::default() };
    let text = refused(&target, &Options { wishes, ..options() });
    assert!(text.contains("DataDigest"), "{text}");
    target.join();
}

#[test]
fn a_missing_unit_is_told_with_those_that_are_there() {
    let target = Target::play(|listener| {
        let mut peer = Peer::accept(&listener);
        peer.log_in(&Wishes::default(), None);
        let (command, _) = peer.receive_command();
        // Qualifier 011b, type 1Fh: no unit here (SPC-4 §6.6.2).
        let mut nothing = [0; 36];
        (nothing[0], nothing[4]) = (0x7f, 31);
        peer.send_data(&command, 0, 0, &nothing, Some((0, Residual::None)));
        let (command, _) = peer.receive_command();
        assert_eq!((command.cdb[0], command.lun), (opcode::REPORT_LUNS, 0));
        let list = crate::command::unit::build_report_luns(&[0, 2, 3]);
        let residual = Residual::between(command.expected_bytes, list.len() as u64);
        peer.send_data(&command, 0, 0, &list, Some((0, residual)));
        peer.answer_logout();
    });
    let text = refused(&target, &options());
    assert!(text.contains("no logical unit 1; it has 0, 2, 3"), "{text}");
    target.join();
}

#[test]
fn discovery_lists_targets_in_several_messages() {
    let target = Target::play(|listener| {
        let mut peer = Peer::accept(&listener);
        let (request, first) = peer.receive_login();
        assert_eq!(first.get("SessionType"), Some("Discovery"));
        assert_eq!(first.get("TargetName"), None);
        let mut text = Text::new();
        text.push("AuthMethod", "None");
        peer.send_login(request.transit, LoginStatus::SUCCESS, &text);
        let (request, text) = peer.receive_login();
        let mut negotiation = Negotiation::new(Wishes::default(), true);
        let mut answers = Text::new();
        for (key, value) in text.iter() {
            negotiation.receive(key, value, &mut answers).unwrap();
        }
        peer.send_login(request.transit, LoginStatus::SUCCESS, &answers);
        for (part, transfer_tag) in
            [("TargetName=iqn.2026-01.test:a\0Target", 5), ("Name=iqn.2026-01.test:b\0", NO_TAG)]
        {
            let (request, data) = peer.receive();
            let Request::Text(request) = request else { panic!("no text: {request:?}") };
            assert_eq!(request.cmd_sn, peer.exp_cmd_sn);
            peer.exp_cmd_sn += 1;
            let is_first = transfer_tag != NO_TAG;
            assert_eq!(data.as_slice(), if is_first { &b"SendTargets=All\0"[..] } else { &[] });
            assert_eq!(request.transfer_tag, if is_first { NO_TAG } else { 5 });
            let response = crate::iscsi::pdu::TextResponse {
                is_final: !is_first,
                is_continued: is_first,
                lun: 0,
                task_tag: request.task_tag,
                transfer_tag,
                counters: peer.counters(),
            };
            peer.send(response, part.as_bytes());
        }
        peer.answer_logout();
    });
    let found = crate::iscsi::initiator::discover(&target.portal, &options()).unwrap();
    let names: Vec<&str> = found.iter().map(|target| target.name.as_str()).collect();
    assert_eq!(names, ["iqn.2026-01.test:a", "iqn.2026-01.test:b"]);
    target.join();
}
