//! Which changer loads a drive, and as which of its drives: found by the serial number, so that nobody has to count.
//!
//! A number that the user gives is kept, even if the serial number says otherwise, because a library may be wrong about
//! its drives; but it is told, because a wrong number means that the wrong tape is written. What cannot be found out
//! is never a reason to fail: the drive may be configured while its library is switched off.

use anyhow::Result;
use changer::{Changer, DriveMatch, serial_number};
use scsi::Connect as _;

use super::station::find_changer;
use crate::config::Tape;
use crate::device::Devices;
use crate::progress::say;

/// Where a drive is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The changer that loads it.
    pub changer: Option<String>,
    /// Which of its drives it is, from 0.
    pub number: u64,
}

/// Where the drive at `path` is. `changer` and `number` are what the user says; an empty `changer` is none.
pub fn place(tape: &Tape, path: &str, changer: Option<&str>, number: Option<u64>) -> Result<Place> {
    if changer == Some("") || (changer.is_none() && tape.changer.is_empty()) {
        return Ok(Place::default());
    }
    let serial = serial_of(path);
    if let Some(changer) = changer {
        let number = number_in(tape, changer, serial.as_deref(), number);
        return Ok(Place { changer: Some(changer.to_owned()), number });
    }
    let Some(serial) = serial else { return Ok(Place::default()) };
    let mut found = Vec::new();
    for name in tape.changer.keys() {
        match ask(tape, name, &serial) {
            Ok(DriveMatch::Drive(number)) => found.push((name.clone(), number)),
            Ok(_) => {}
            Err(error) => say(&format!("warning: changer '{name}' was not asked: {error:#}")),
        }
    }
    let place = match found.as_slice() {
        [(name, number)] => {
            say(&format!(
                "by its serial number {serial} it is drive {number} of changer '{name}'; --changer '' if it is not to \
                 be loaded by it"
            ));
            Place { changer: Some(name.clone()), number: *number }
        }
        _ => Place::default(),
    };
    Ok(place)
}

/// The drive's number in the changer that the user names.
fn number_in(tape: &Tape, changer: &str, serial: Option<&str>, given: Option<u64>) -> u64 {
    let assumed = || match given {
        Some(given) => given,
        None => {
            say(&format!(
                "warning: which of the drives of changer '{changer}' it is cannot be told by its serial number; drive \
                 0 is assumed, --changer-drivenum sets it"
            ));
            0
        }
    };
    let Some(serial) = serial else { return assumed() };
    match (ask(tape, changer, serial), given) {
        (Ok(DriveMatch::Drive(number)), None) => {
            say(&format!(
                "by its serial number {serial} it is drive {number} of changer '{changer}'"
            ));
            number
        }
        (Ok(DriveMatch::Drive(number)), Some(given)) if number != given => {
            say(&format!(
                "warning: changer '{changer}' reports the serial number {serial} of its drive {number}, not of {given}; \
                 with the wrong number the wrong tape is loaded"
            ));
            given
        }
        (Ok(DriveMatch::None), Some(given)) => {
            say(&format!(
                "warning: changer '{changer}' reports no drive with the serial number {serial}; with the wrong changer \
                 the wrong tape is loaded"
            ));
            given
        }
        (Ok(_), _) => assumed(),
        (Err(error), _) => {
            say(&format!("warning: changer '{changer}' was not asked: {error:#}"));
            assumed()
        }
    }
}

/// The serial number of the drive itself.
fn serial_of(path: &str) -> Option<String> {
    let address = path.parse().ok()?;
    let mut transport = Devices.connect(&address).ok()?;
    serial_number(&mut transport).ok()?
}

/// What one changer says about a drive with this serial number.
fn ask(tape: &Tape, name: &str, serial: &str) -> Result<DriveMatch> {
    let config = find_changer(tape, name)?;
    let status = Changer::open(Devices.connect(&config.address)?)?.status()?;
    Ok(status.match_drive(serial))
}
