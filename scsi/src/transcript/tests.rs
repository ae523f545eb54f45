use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::command::element::{
    DriveIdentifier, Element, ElementType, Page, StatusRequest, build_status, parse_status,
};
use crate::command::inquiry::{self, Inquiry};
use crate::sense::Sense;
use crate::testing::{Answer, Script};
use crate::transport::{Data, Error, Transport};

const SMALL: &str = r#"
# A robot that was described by its owner.
capstan-transcript: 1
vendor: ACME
product: Loader: 8   # the colon and this are part of it
colour: grey

> cdb 12 00 00 0024 00           # INQUIRY
< data 08 80 05 02 1f 00*3       # flags
< data "ACME    " "Loader # 8      " "1.00"
< status 00

> cdb 15 10 00 00 04 00
> data 00*4
< status 02 sense 70 00 05 00*4 0a 00*4 24 00*5
> cdb 00*6
< timeout 60
> cdb 00*6
< failed the cable # was pulled
"#;

#[test]
fn the_worked_example() {
    let transcript: Transcript = SMALL.parse().unwrap();
    assert_eq!(transcript.vendor, "ACME");
    assert_eq!(transcript.product, "Loader: 8   # the colon and this are part of it");
    let [inquiry, select, timeout, failed] = &transcript.exchanges[..] else { panic!() };
    assert_eq!(inquiry.cdb, &*Inquiry::cdb(36));
    assert_eq!(inquiry.data_in.len(), 36);
    assert_eq!(Inquiry::parse(&inquiry.data_in).unwrap().product, "Loader # 8");
    assert_eq!(select.data_out, [0; 4]);
    let End::Status { status: 2, sense } = &select.end else { panic!("{select:?}") };
    assert_eq!(Sense::parse(sense), Some(Sense::INVALID_FIELD_IN_CDB));
    assert_eq!(timeout.end, End::Timeout { seconds: 60 });
    assert_eq!(failed.end, End::Failed { reason: "the cable # was pulled".to_string() });
    assert_eq!(transcript.to_text().parse::<Transcript>().unwrap(), transcript);
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (text, line, part) in [
        ("", 0, "must come first"),
        ("vendor: X", 1, "must come first"),
        ("capstan-transcript: 2", 1, "version 2"),
        ("capstan-transcript: 1\n\n> cdb 12 00", 3, "2 bytes"),
        ("capstan-transcript: 1\n> cdb 00*6\n< status", 3, "one byte"),
        ("capstan-transcript: 1\n> cdb 00*6\n< status 00 later", 3, "behind the status"),
        ("capstan-transcript: 1\n> cdb 00*6\n", 2, "no end"),
        ("capstan-transcript: 1\n> cdb 00*6\n> cdb 00*6", 3, "no end"),
        ("capstan-transcript: 1\n< data 00", 2, "no command before"),
        ("capstan-transcript: 1\n> cdb 00*6\n< data 0x", 3, "hexadecimal"),
        ("capstan-transcript: 1\n> cdb 00*6\n< data \"a", 3, "missing"),
        ("capstan-transcript: 1\n> cdb 00*6\n< data 00*", 3, "count"),
        ("capstan-transcript: 1\n> cdb 00*6\n< data 00*99999999999", 3, "64 MiB"),
        ("capstan-transcript: 1\n> cdb 00*6\n< timeout soon", 3, "SECONDS"),
        ("capstan-transcript: 1\n> cdb 00*6\n< status 00\nvendor: X", 4, "behind a command"),
        ("capstan-transcript: 1\nhello", 2, "neither"),
    ] {
        let error = text.parse::<Transcript>().unwrap_err();
        assert!(error.line == line && error.reason.contains(part), "{text:?}: {error}");
    }
    assert_eq!(Transcript::parse(b"capstan-transcript: 1\n\xff").unwrap_err().line, 2);
}

/// Found by the fuzz target: a vertical tab in a key's text was read and not written.
#[test]
fn control_characters_in_keys_are_blanks() {
    let transcript: Transcript = "capstan-transcript: 1\nvendor: A\u{b}B\n".parse().unwrap();
    assert_eq!(transcript.vendor, "A B");
    assert_eq!(transcript.to_text().parse::<Transcript>().unwrap(), transcript);
}

#[test]
fn what_is_recorded_is_played() {
    let mut script = Script::new();
    script.expect_in(&Inquiry::cdb(36), b"short");
    script.expect(&[0; 6], Answer::Broken);
    script.expect(&[1; 6], Answer::BytesAndCheck(vec![7; 3], Sense::POWER_ON));
    script.expect_out(&[2; 6], &[9; 40]);
    let mut recorder = Recorder::new(script.device());
    let kept = recorder.transcript();
    let play = |device: &mut dyn Transport| {
        let mut buffer = [0xaa; 36];
        let mut seen = Vec::new();
        let second = Duration::from_secs(1);
        let reply = device.execute(&Inquiry::cdb(36), Data::In(&mut buffer), second).unwrap();
        seen.push(format!("{reply:?} {buffer:?}"));
        seen.push(format!("{}", device.execute(&[0; 6], Data::None, second).is_err()));
        let reply = device.execute(&[1; 6], Data::In(&mut buffer), second).unwrap();
        seen.push(format!("{reply:?} {buffer:?}"));
        let reply = device.execute(&[2; 6], Data::Out(&[9; 40]), second).unwrap();
        seen.push(format!("{reply:?}"));
        seen
    };
    let live = play(&mut recorder);
    let transcript = kept.lock().unwrap().clone();
    assert_eq!(transcript.exchanges.len(), 4);
    assert_eq!(transcript.exchanges[3].data_out, [9; 40]);
    let text = transcript.to_text();
    let mut replay = Replay::new("robot", text.parse().unwrap());
    assert_eq!(play(&mut replay), live);
}

#[test]
fn questions_are_answered_in_order_and_again() {
    let text = "capstan-transcript: 1\n> cdb 00*6\n< status 02 sense 70 00 06 00*4 0a 00*10\n\
                > cdb 00*6\n< status 00\n";
    let mut replay = Replay::new("robot", text.parse().unwrap());
    let mut ask = |cdb: &[u8]| replay.execute(cdb, Data::None, Duration::from_secs(1));
    let status = |reply: Result<crate::Reply, Error>| reply.unwrap().status.to_byte();
    assert_eq!(status(ask(&[0; 6])), 2);
    assert_eq!(status(ask(&[0; 6])), 0);
    assert_eq!(status(ask(&[0; 6])), 0);
    let error = ask(&[1; 6]).unwrap_err().to_string();
    assert!(error.contains("no answer to the command 01 01"), "{error}");
}

/// Drives' identifiers with a whole serial number in one reply and its first ten characters in another, the
/// number itself in pages 80h and 83h.
#[test]
fn masks_are_consistent_and_leave_nothing_of_the_names() {
    const SERIAL: &str = "1013000042AB";
    let drive = |serial: &str| Element {
        full: true,
        tag: Some("CAP001L8".into()),
        identifier: Some(DriveIdentifier { serial: Some(serial.into()), ..Default::default() }),
        ..Element::empty(256)
    };
    let cleaning = Element { full: true, tag: Some("CLN007L1".into()), ..Element::empty(257) };
    let request = StatusRequest {
        kind: Some(ElementType::Drive),
        tags: true,
        identifiers: true,
        current: false,
        first: 0,
        count: 1000,
        allocation: 0xffff,
    };
    let reply = |serial| {
        let elements = vec![drive(serial), cleaning.clone()];
        build_status(&[Page { kind: ElementType::Drive, elements }], true, true)
    };
    // The builder keeps ten characters; the maker's own bytes behind may hold the rest.
    let mut own = reply("1013000042");
    own.extend_from_slice(SERIAL.as_bytes());
    let serial = inquiry::build_vpd(8, 0x80, SERIAL.as_bytes());
    let mut identification = vec![2, 1, 0, 20];
    identification.extend_from_slice(b"ACME    1013000042AB");
    identification.extend_from_slice(&[1, 3, 0, 8, 0x50, 1, 2, 3, 4, 5, 6, 7]);
    let identification = inquiry::build_vpd(8, 0x83, &identification);
    let exchange = |cdb: &[u8], data_in: Vec<u8>| Exchange {
        cdb: cdb.to_vec(),
        data_out: Vec::new(),
        data_in,
        end: End::Status { status: 0, sense: Vec::new() },
    };
    let mut transcript = Transcript {
        exchanges: vec![
            exchange(&request.cdb(), own),
            exchange(&inquiry::vpd_cdb(0x80, 0xfc), serial),
            exchange(&inquiry::vpd_cdb(0x83, 0xfc), identification),
        ],
        ..Transcript::default()
    };
    let before = transcript.clone();
    transcript.mask();
    assert!(transcript.is_masked);
    for (masked, plain) in transcript.exchanges.iter().zip(&before.exchanges) {
        assert_eq!(masked.data_in.len(), plain.data_in.len());
        for name in [&b"1013000042"[..], b"CAP001", b"CLN007", &[0x50, 1, 2, 3]] {
            assert!(!masked.data_in.windows(name.len()).any(|window| window == name), "{name:?}");
        }
    }
    let elements = &parse_status(&transcript.exchanges[0].data_in).unwrap().pages[0].elements;
    assert_eq!(elements[0].tag.as_deref(), Some("V00001L8"));
    assert_eq!(elements[1].tag.as_deref(), Some("CLNV02L1"));
    let short = elements[0].identifier.as_ref().and_then(|one| one.serial.clone()).unwrap();
    let page = &transcript.exchanges[1].data_in;
    let whole = inquiry::serial(inquiry::parse_vpd(0x80, page).unwrap()).unwrap();
    assert_eq!((short.len(), whole.len()), (10, 12));
    assert!(whole.starts_with(&short), "{whole} {short}");
}

fn transcripts() -> impl Strategy<Value = Transcript> {
    let bytes = || proptest::collection::vec(prop_oneof![Just(0u8), any::<u8>()], 0..80);
    let end = prop_oneof![
        (any::<u8>(), bytes()).prop_map(|(status, sense)| End::Status { status, sense }),
        any::<u64>().prop_map(|seconds| End::Timeout { seconds }),
        "[a-z#:\"]{0,12}".prop_map(|reason| End::Failed { reason }),
    ];
    let cdb = prop_oneof![Just(6usize), Just(10), Just(12), Just(16)]
        .prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length));
    let exchange = (cdb, bytes(), bytes(), end)
        .prop_map(|(cdb, data_out, data_in, end)| Exchange { cdb, data_out, data_in, end });
    ("[A-Za-z#:]{0,8}", any::<bool>(), proptest::collection::vec(exchange, 0..5)).prop_map(
        |(vendor, is_masked, exchanges)| Transcript {
            vendor,
            is_masked,
            exchanges,
            ..Transcript::default()
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read(transcript in transcripts()) {
        prop_assert_eq!(transcript.to_text().parse::<Transcript>().unwrap(), transcript);
    }

    #[test]
    fn any_text_is_read_without_panic(text in "(capstan-transcript: 1\n)?([><#]? ?(cdb|data|status|sense)? ?[0-9a-f* \"]{0,20}\n){0,8}") {
        let _ = text.parse::<Transcript>();
    }

    #[test]
    fn masking_never_fails_and_changes_no_length(mut transcript in transcripts()) {
        let lengths: Vec<_> = transcript.exchanges.iter().map(|one| one.data_in.len()).collect();
        transcript.mask();
        let after: Vec<_> = transcript.exchanges.iter().map(|one| one.data_in.len()).collect();
        prop_assert_eq!(lengths, after);
    }
}
