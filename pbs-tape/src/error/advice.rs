//! The next step after what a reader of tape files found, or the system said about a file.

use std::io::ErrorKind;

use super::Error;

/// What to do about a file of a tape that is not what it should be. Errors of drive and robot, and those
/// about other objects, say it themselves.
pub(super) fn on_tape(source: &Error) -> &'static str {
    match source {
        Error::Block { .. } | Error::Malformed { .. } => {
            "; try another drive: if it reads the same, this file is lost, and those before and behind it are not"
        }
        Error::UnexpectedEndOfData { .. } | Error::NoEndMarker { .. } => {
            "; what lies before it is whole, and the next job writes again what this file was to hold"
        }
        Error::StrayFilemark | Error::UnexpectedContent { .. } => {
            "; 'tape scan' shows what the tape holds"
        }
        Error::UnknownContent { .. } => {
            "; another program or a newer version wrote it: 'tape scan' shows what else the tape holds"
        }
        _ => "",
    }
}

/// What to do about a file of the state folder that the system refused.
pub(super) fn about_file(source: &std::io::Error) -> &'static str {
    match source.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "; make room there, then run it again",
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
            "; run it as the user who owns the state folder, and see that it can be written to"
        }
        ErrorKind::NotFound => "; is the state folder the right one, and whole?",
        _ => "; see to the disk that it is on (dmesg), then run it again",
    }
}

/// What reminds of a key's passphrase, in brackets.
pub(super) fn hint(hint: Option<&str>) -> String {
    hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default()
}

/// How a key comes back.
pub(super) fn missing_key(is_on_tape: bool, drive: &str) -> String {
    match is_on_tape {
        true => format!(
            "'tape key restore --drive {drive}' with this tape in the drive takes it from the tape, with its passphrase; \
             'tape key import' takes it from a copy"
        ),
        false => "'tape key import' takes it from a copy or from paper".to_string(),
    }
}
