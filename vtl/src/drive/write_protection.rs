//! What keeps a tape from being written: its tab, its format, its being WORM, and what hosts set (SSC-5 §4.2.14,
//! §4.2.15).
//!
//! | protection | set by | lasts | sense |
//! |---|---|---|---|
//! | tab | the operator | until he opens it | 7/27/00 |
//! | persistent (PERSWP) | page 10h | with the cartridge, until a host takes it back | 7/27/04 |
//! | associated (ASOCWP) | page 10h | until the cartridge is unloaded | 7/27/03 |
//! | software (SWP) | page 10h | with the drive, until it is reset | 7/27/02 |
//! | a format that this drive only reads | | | 7/30/05 |
//! | WORM | | for ever: appending only | 7/30/0C |
//! | append-only mode | page 10h/01h | with the drive, until it is reset | 7/27/06 |
//!
//! In append-only mode a host may ask for exactly one exception with ALLOW OVERWRITE: the place where the tape
//! stands, or FORMAT MEDIUM. It ends as soon as the tape stands anywhere else.

use scsi::{Sense, SenseKey};

use super::{Drive, Medium, alert, threaded};
use crate::cartridge::{Cartridge, Fault, Purpose};
use crate::generation::Access;
use crate::unit::{Command, Done};

/// 7/27/02.
const BY_SOFTWARE: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0x02);
/// 7/27/03.
const ASSOCIATED: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0x03);
/// 7/27/04.
const PERSISTENT: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0x04);
/// 7/27/06, CONDITIONAL WRITE PROTECT: append-only mode.
const APPEND_ONLY: Sense = Sense::new(SenseKey::DataProtect, 0x27, 0x06);
/// 7/30/05: this drive only reads that format.
const READ_ONLY_FORMAT: Sense = Sense::new(SenseKey::DataProtect, 0x30, 0x05);
/// 5/20/0C, ILLEGAL COMMAND WHEN NOT IN APPEND-ONLY MODE.
const NOT_APPEND_ONLY: Sense = Sense::new(SenseKey::IllegalRequest, 0x20, 0x0c);
/// 5/3B/00, SEQUENTIAL POSITIONING ERROR: the host is wrong about where the tape stands.
const ELSEWHERE: Sense = Sense::new(SenseKey::IllegalRequest, 0x3b, 0x00);

/// The exception from append-only mode that a host asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Overwrite {
    /// None.
    #[default]
    Refused,
    /// At this place.
    At { partition: u8, object: u64 },
    /// FORMAT MEDIUM and SET CAPACITY.
    Format,
}

impl Drive {
    /// The protection that is in force for the loaded cartridge as a whole.
    fn protection(&self) -> Option<Sense> {
        let Medium::Threaded(cartridge) = &self.medium else { return None };
        let state = &cartridge.state;
        let record = &self.record;
        if state.write_protected {
            Some(Sense::WRITE_PROTECTED)
        } else if self.generation().access(state.generation) != Access::ReadWrite {
            Some(READ_ONLY_FORMAT)
        } else if state.persistently_protected {
            Some(PERSISTENT)
        } else if record.protected_until_unload {
            Some(ASSOCIATED)
        } else if record.protected_by_software {
            Some(BY_SOFTWARE)
        } else {
            None
        }
    }

    /// True if nothing may be written to the loaded cartridge.
    pub(super) fn is_write_protected(&self) -> bool {
        self.protection().is_some()
    }

    /// Called after each command: an exception from append-only mode ends where the tape is moved.
    pub(super) fn settle_overwrite(&mut self) {
        let still = match self.overwrite {
            Overwrite::Refused => return,
            Overwrite::At { partition, object } => {
                (partition, object) == (self.record.partition, self.record.position)
            }
            Overwrite::Format => (0, 0) == (self.record.partition, self.record.position),
        };
        if !still || !matches!(self.medium, Medium::Threaded(_)) {
            self.overwrite = Overwrite::Refused;
        }
    }
}

/// Checks that the medium may be written at all.
fn check_medium(drive: &mut Drive) -> Done {
    threaded(&mut drive.medium)?;
    let Some(sense) = drive.protection() else { return Ok(()) };
    if sense == Sense::WRITE_PROTECTED {
        drive.raise_alert(alert::WRITE_PROTECT);
    }
    Err(sense.into())
}

/// True if writing at `position` destroys nothing but filemarks directly before the end of data.
fn appends(cartridge: &mut Cartridge, position: u64) -> Result<bool, Fault> {
    let objects = cartridge.log.objects();
    let marks = u64::from(cartridge.log.files() - cartridge.log.file_at(position)?);
    Ok(position >= objects || objects - position == marks)
}

/// Checks that the medium may be written at the position.
pub(super) fn check_writable(drive: &mut Drive) -> Done {
    check_medium(drive)?;
    let (partition, position) = (drive.record.partition, drive.record.position);
    let cartridge = threaded(&mut drive.medium)?;
    let is_worm = cartridge.state.purpose == Purpose::Worm;
    if !(is_worm || drive.record.append_only) || appends(cartridge, position)? {
        return Ok(());
    }
    if is_worm {
        drive.raise_alert(alert::WORM_OVERWRITE);
        return Err(Sense::WORM_OVERWRITE.into());
    }
    if drive.overwrite == (Overwrite::At { partition, object: position }) {
        return Ok(());
    }
    Err(APPEND_ONLY.into())
}

/// Checks that everything on the medium may go.
pub(super) fn check_formattable(drive: &mut Drive) -> Done {
    refuse_worm(drive)?;
    check_medium(drive)?;
    let is_blank = threaded(&mut drive.medium)?.recorded().iter().all(|bytes| *bytes == 0);
    if drive.record.append_only && !is_blank && drive.overwrite != Overwrite::Format {
        return Err(APPEND_ONLY.into());
    }
    Ok(())
}

/// A WORM tape is never erased, wherever it stands.
pub(super) fn refuse_worm(drive: &mut Drive) -> Done {
    if threaded(&mut drive.medium)?.state.purpose == Purpose::Worm {
        drive.raise_alert(alert::WORM_OVERWRITE);
        return Err(Sense::WORM_OVERWRITE.into());
    }
    Ok(())
}

/// ALLOW OVERWRITE: nothing (0), the place where the tape stands and which the host must name (1), FORMAT
/// MEDIUM (2).
pub(super) fn allow_overwrite(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    threaded(&mut drive.medium)?;
    drive.overwrite = Overwrite::Refused;
    if !drive.record.append_only {
        return Err(NOT_APPEND_ONLY.into());
    }
    let here = (drive.record.partition, drive.record.position);
    drive.overwrite = match command.byte(2) & 0x0f {
        0 => Overwrite::Refused,
        1 => {
            let (partition, object) = (command.byte(3), command.number(4, 8));
            if (partition, object) != here {
                return Err(ELSEWHERE.into());
            }
            Overwrite::At { partition, object }
        }
        2 if here == (0, 0) => Overwrite::Format,
        2 => return Err(Sense::NOT_AT_BEGINNING.into()),
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    Ok(())
}
