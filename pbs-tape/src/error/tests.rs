//! Every message says about what it is, what happened, and what to do.

use std::io;

use super::*;

/// One error of each variant, and the object that its message must name. Left out are those that carry
/// another crate's error, which has such a test itself.
fn all() -> Vec<(Error, &'static str)> {
    let text = || "object".to_string();
    let reason = text;
    let id = Uuid::nil();
    let path = || PathBuf::from("/state/object");
    let mut all = vec![
        (Error::NotLabelled { drive: text() }, "object"),
        (Error::NotBlank { drive: text() }, "object"),
        (Error::Archive { archive: text(), reason: "too short".into() }, "object"),
        (Error::TapeFull.placed(), "T01"),
        (Error::Block { block: 7, fault: BlockFault::Empty }.placed(), "T01"),
        (Error::UnexpectedEndOfData { blocks: 7 }.placed(), "T01"),
        (Error::NoEndMarker { blocks: 7 }.placed(), "T01"),
        (Error::StreamMisuse("after its end").placed(), "T01"),
        (Error::StrayFilemark.placed(), "T01"),
        (Error::Malformed { what: "header", reason: "too short".into() }.placed(), "T01"),
        (Error::UnexpectedContent { expected: "label", found: "catalog" }.placed(), "T01"),
        (Error::UnknownContent { magic: [7; 8] }.placed(), "T01"),
        (
            Error::LabelUnreadable { drive: text(), source: Box::new(Error::StrayFilemark) },
            "object",
        ),
        (Error::CatalogDamaged { path: path(), offset: 7, reason: "short".into() }, "object"),
        (Error::CatalogOrder { tape: text(), reason: "twice".into() }, "object"),
        (Error::CatalogMissing { tape: text() }, "object"),
        (Error::CatalogExists { tape: text() }, "object"),
        (Error::InventoryDamaged { path: path(), reason: "short".into() }, "object"),
        (Error::UnknownTape { tape: text() }, "object"),
        (
            Error::CleaningCartridgesUsedUp { drive: text(), cartridges: vec!["CLN001L8".into()] },
            "object",
        ),
        (Error::NoStatistics { what: "tape", name: text() }, "object"),
        (Error::AmbiguousLabel { label_text: text(), tapes: vec![id, id] }, "object"),
        (
            Error::MediaNeeded {
                label_text: text(),
                set: id,
                pool: "p1".into(),
                number: 1,
                tapes: Some(2),
            },
            "object",
        ),
        (Error::LabelTextInUse { label_text: text(), uuid: id }, "object"),
        (Error::InvalidName { what: "pool", value: text(), reason: "too short" }, "object"),
        (Error::MediaSetInconsistent { set: id, reason: "two of them".into() }, "00000000-"),
        (Error::MediaSetUnusable { reason: reason() }, "object"),
        (Error::UnknownMediaSet { set: id }, "00000000-"),
        (Error::NoUsableMedia { pool: text(), hint: String::new() }, "object"),
        (Error::Locked { what: text(), path: path(), waited_s: 7, holder: None }, "object"),
        (
            Error::WrongTape {
                drive: text(),
                wanted: "T01".into(),
                wanted_uuid: id,
                found: "T02".into(),
                found_uuid: id,
            },
            "object",
        ),
        (
            Error::LoadFailed {
                label_text: text(),
                drive: text(),
                reason: "no".into(),
                believed: None,
            },
            "object",
        ),
        (Error::DriveTwice { first: text(), second: "lto1".into() }, "object"),
        (Error::WrongMediaSet { tape: text(), reason: "no label".into() }, "object"),
        (Error::UnreachedTape { tape: text() }, "object"),
        (Error::UnknownKey { fingerprint: text() }, "object"),
        (Error::KeyExists { fingerprint: text() }, "object"),
        (Error::KeyChanged { fingerprint: text() }, "object"),
        (Error::KeyWithoutPassphrase { fingerprint: text() }, "object"),
        (Error::NoKeyOnTape { tape: text(), is_encrypted: true }, "object"),
        (Error::NoKeyOnTape { tape: text(), is_encrypted: false }, "object"),
        (Error::KeysDamaged { path: path(), reason: "short".into() }, "object"),
        (
            Error::KeyMissing {
                tape: "T01".into(),
                fingerprint: text(),
                hint: Some("the usual".into()),
                is_on_tape: true,
                drive: "lto0".into(),
            },
            "object",
        ),
        (
            Error::RescueKeyMissing {
                tape: "T01".into(),
                fingerprint: text(),
                hint: Some("the usual".into()),
                reason: "wrong passphrase".into(),
            },
            "object",
        ),
        (Error::LabelReadBack { tape: text(), reason: "text".into() }, "object"),
        (Error::CriticalAlerts { tape: text(), alerts: "media life".into() }, "object"),
        (Error::DoesNotFit { what: "chunk".into(), tape: text() }, "object"),
        (Error::BadAppendPosition { tape: text(), file: 1 }, "object"),
        (
            Error::UnreadableChunk {
                snapshot: text(),
                archive: "root.pxar.didx".into(),
                digest: "00".into(),
                reason: "gone".into(),
            },
            "object",
        ),
        (Error::FeedEnded { snapshot: text(), missing: 7 }, "object"),
        (Error::MissingChunks { snapshot: text(), missing: 7, first: "00".into() }, "object"),
        (Error::VerificationFailed { set: id, findings: 7, first: "a block".into() }, "00000000-"),
        (Error::NotAllVerified { set: id, first: "T02 was not there".into() }, "00000000-"),
        (Error::BenchmarkRefused { tape: text(), reason: "it is needed".into() }, "object"),
        (Error::BenchmarkReadBack { tape: text(), block: 7 }, "object"),
        (Error::Aborted, "aborted"),
    ];
    for kind in [
        io::ErrorKind::StorageFull,
        io::ErrorKind::PermissionDenied,
        io::ErrorKind::NotFound,
        io::ErrorKind::Other,
    ] {
        all.push((Error::io("/state/object", kind.into()), "object"));
    }
    all
}

impl Error {
    fn placed(self) -> Error {
        Err::<(), _>(self).on_tape("T01", 7).unwrap_err()
    }
}

/// Compiles only as long as it knows every variant: a new one belongs into [`all`], or to those whose reason
/// is written where they are made.
fn is_listed(error: &Error) -> bool {
    match error {
        Error::Drive(_)
        | Error::Changer(_)
        | Error::Datastore(_)
        | Error::BadArgument { .. }
        | Error::Unsupported(_)
        | Error::Partial { .. } => false,
        Error::OnTape { .. }
        | Error::Archive { .. }
        | Error::LabelUnreadable { .. }
        | Error::Io { .. }
        | Error::TapeFull
        | Error::Block { .. }
        | Error::UnexpectedEndOfData { .. }
        | Error::NoEndMarker { .. }
        | Error::StreamMisuse(_)
        | Error::StrayFilemark
        | Error::Malformed { .. }
        | Error::UnexpectedContent { .. }
        | Error::UnknownContent { .. }
        | Error::CatalogDamaged { .. }
        | Error::CatalogOrder { .. }
        | Error::CatalogMissing { .. }
        | Error::CatalogExists { .. }
        | Error::InventoryDamaged { .. }
        | Error::UnknownTape { .. }
        | Error::NoStatistics { .. }
        | Error::CleaningCartridgesUsedUp { .. }
        | Error::AmbiguousLabel { .. }
        | Error::MediaNeeded { .. }
        | Error::LabelTextInUse { .. }
        | Error::InvalidName { .. }
        | Error::MediaSetInconsistent { .. }
        | Error::MediaSetUnusable { .. }
        | Error::UnknownMediaSet { .. }
        | Error::NoUsableMedia { .. }
        | Error::Locked { .. }
        | Error::NotLabelled { .. }
        | Error::NotBlank { .. }
        | Error::WrongTape { .. }
        | Error::LoadFailed { .. }
        | Error::DriveTwice { .. }
        | Error::WrongMediaSet { .. }
        | Error::RescueKeyMissing { .. }
        | Error::UnreachedTape { .. }
        | Error::UnknownKey { .. }
        | Error::KeyExists { .. }
        | Error::KeyChanged { .. }
        | Error::KeyWithoutPassphrase { .. }
        | Error::KeyMissing { .. }
        | Error::NoKeyOnTape { .. }
        | Error::KeysDamaged { .. }
        | Error::LabelReadBack { .. }
        | Error::CriticalAlerts { .. }
        | Error::DoesNotFit { .. }
        | Error::BadAppendPosition { .. }
        | Error::UnreadableChunk { .. }
        | Error::BenchmarkRefused { .. }
        | Error::BenchmarkReadBack { .. }
        | Error::FeedEnded { .. }
        | Error::MissingChunks { .. }
        | Error::VerificationFailed { .. }
        | Error::NotAllVerified { .. }
        | Error::Aborted => true,
    }
}

#[test]
fn every_message_names_its_object_and_the_next_step() {
    for (error, object) in all() {
        let text = error.to_string();
        println!("{text}");
        assert!(is_listed(&error) && text.contains(object), "{text}");
        let (what, next) = text.rsplit_once([';', ',']).unwrap_or((&text, ""));
        assert!(!what.is_empty() && next.len() > 8, "no next step: {text}");
        assert!(!text.ends_with('.') && !text.contains("  ") && !text.contains("; ;"), "{text}");
    }
}
