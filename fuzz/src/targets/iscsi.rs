//! Any bytes on an iSCSI connection are messages or an error: read with a limit, parsed for both sides, built
//! again to the same message, their text parsed and negotiated. The first byte chooses digests.

use scsi::iscsi::chap::{Credentials, InitiatorChap, TargetChap};
use scsi::iscsi::frame::{Digests, Outgoing, Reader, Writer};
use scsi::iscsi::negotiation::Negotiation;
use scsi::iscsi::parameters::Wishes;
use scsi::iscsi::pdu::{Header, Reject, Request, Response, ScsiResponse};
use scsi::iscsi::text::Text;

const DATA_BYTES_MAX: usize = 8192;

/// See the module.
pub fn run(data: &[u8]) {
    let Some((flags, stream)) = data.split_first() else { return };
    let digests = Digests { header: flags & 1 != 0, data: flags & 2 != 0 };
    let mut reader = Reader::new(stream, DATA_BYTES_MAX);
    reader.set_limits(digests, DATA_BYTES_MAX);
    while let Ok(Some(header)) = reader.header() {
        assert!(header.data_bytes() <= DATA_BYTES_MAX);
        if flags & 4 != 0 && header.is_final() {
            continue;
        }
        let Ok(segment) = reader.data() else { continue };
        assert_eq!(segment.len(), header.data_bytes());
        message(&header, &segment, digests);
    }
    // Text is also read whole: few random streams come so far.
    text(stream);
}

fn message(header: &Header, segment: &[u8], digests: Digests) {
    let built = match (Request::parse(header), Response::parse(header)) {
        (Ok(request), Err(_)) => {
            let built = request.build();
            assert_eq!(Request::parse(&built).unwrap(), request);
            built
        }
        (Err(_), Ok(response)) => {
            let _ = (response.counters(), response.has_status());
            let built = response.build();
            assert_eq!(Response::parse(&built).unwrap(), response);
            built
        }
        (Ok(_), Ok(_)) => panic!("a message of both directions: {header:?}"),
        (Err(_), Err(_)) => return,
    };
    let mut writer = Writer::new(Vec::new());
    writer.set_digests(digests);
    writer.send(&[Outgoing::new(built, segment)]).unwrap();
    let bytes = writer.stream().clone();
    let mut again = Reader::new(&bytes[..], DATA_BYTES_MAX);
    again.set_limits(digests, DATA_BYTES_MAX);
    assert_eq!(again.header().unwrap().unwrap().opcode(), header.opcode());
    assert_eq!(again.data().unwrap(), segment);
    assert!(again.header().unwrap().is_none());

    let sense = ScsiResponse::sense_in(segment);
    assert!(sense.len() <= segment.len());
    let _ = scsi::Sense::parse(sense);
    let _ = Reject::refused(segment);
    text(segment);
}

fn text(bytes: &[u8]) {
    let Ok(text) = Text::parse(bytes) else { return };
    assert_eq!(Text::parse(&text.to_bytes()).unwrap(), text);
    for is_discovery in [false, true] {
        let mut answers = Text::new();
        // As a responder, and as one who has proposed.
        for proposes in [false, true] {
            let mut negotiation = Negotiation::new(Wishes::default(), is_discovery);
            if proposes {
                negotiation.propose(&mut Text::new());
            }
            let sound = text
                .iter()
                .all(|(key, value)| negotiation.receive(key, value, &mut answers).is_ok());
            if sound && let Ok(agreed) = negotiation.finish() {
                assert!(agreed.first_burst_bytes_max <= agreed.burst_bytes_max);
                assert!(agreed.send_data_bytes_max >= 512);
            }
        }
    }
    let credentials = |name: &str, secret: &str| Credentials::new(name, secret);
    let (ours, theirs) = (credentials("a", "our secret"), credentials("b", "their secret"));
    let mut initiator = InitiatorChap::new(ours.clone(), Some(theirs.clone())).unwrap();
    let _ = initiator.respond(&text);
    assert!(initiator.verify(&text).is_err(), "a target got in without the secret");
    let mut target = TargetChap::new(ours, Some(theirs)).unwrap();
    let _ = target.challenge(&text);
    assert!(target.check(&text).is_err(), "an initiator got in without the secret");
}
