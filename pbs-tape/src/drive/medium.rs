//! The tape as a whole: loading, ejecting, formatting, erasing, and what kind of tape it is.

use std::time::{Duration, Instant};

use datastore::Progress;
use scsi::command::density::Density;
use scsi::command::mode::{self, MediumConfiguration};
use scsi::command::{self, Cdb, attribute, medium, opcode, timeout, unit};
use scsi::{Sense, transport};

use super::{Drive, Error, Result, Trust};

/// What kind of tape is in the drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MediumKind {
    /// Recording format; [`Density::UNKNOWN`] if the drive does not tell.
    pub density: Density,
    /// Written once, never overwritten.
    pub worm: bool,
    /// Write protected.
    pub write_protected: bool,
}

const FORMATTING: &str = "formatting the tape";
const ERASING: &str = "erasing the tape";
const KIND: &str = "reading the kind of tape";

impl Drive {
    /// Threads the cartridge that is in the drive. The tape's position is unknown afterwards.
    pub fn load(&mut self) -> Result<()> {
        self.medium_command("loading the tape", &medium::load_cdb(true, false), timeout::LOAD)
    }

    /// Winds the tape to its end and back to even its tension. LTO tapes need none, and most of their
    /// drives take this for a plain load.
    pub fn retension(&mut self) -> Result<()> {
        const DOING: &str = "retensioning the tape";
        match self.medium_command(DOING, &medium::retension_cdb(), timeout::POSITION) {
            Err(Error::Scsi { drive, source, .. }) => match source.sense().copied() {
                Some(sense) if sense.is_unsupported() => Err(Error::Unsupported {
                    drive,
                    what: "retensioning (which LTO tapes do not need)",
                    sense,
                }),
                _ => Err(Error::Scsi { drive, doing: DOING, source }),
            },
            other => other,
        }
    }

    /// Rewinds and ejects the tape. A key that this handle set leaves the drive before the tape does: many drives take no
    /// such command without a tape.
    pub fn eject(&mut self) -> Result<()> {
        self.remove_key_quietly();
        let cdb = medium::load_cdb(false, false);
        self.medium_command("ejecting the tape", &cdb, timeout::LOAD)?;
        self.trust = Trust::Lost;
        Ok(())
    }

    /// Locks the tape in the drive or frees it. Not every drive and library obeys.
    pub fn prevent_removal(&mut self, prevent: bool) -> Result<()> {
        unit::prevent_removal(&mut self.transport, prevent)
            .map_err(|error| self.fail("locking the tape", error))
    }

    fn medium_command(&mut self, doing: &'static str, cdb: &Cdb, limit: Duration) -> Result<()> {
        command::send(&mut self.transport, cdb, limit).map_err(|error| self.fail(doing, error))?;
        self.trust = self.trust.after_failure();
        Ok(())
    }

    /// Recording format, WORM and write protection of the tape in the drive.
    pub fn medium_kind(&mut self) -> Result<MediumKind> {
        let page = mode::PAGE_MEDIUM_CONFIGURATION;
        let sensed = mode::sense(&mut self.transport, page, 0);
        match sensed {
            Ok((parameters, _)) => {
                let worm = MediumConfiguration::parse(&parameters).is_ok_and(|page| page.worm);
                Ok(MediumKind {
                    density: Density(parameters.descriptor.map_or(0, |one| one.density)),
                    worm: worm || parameters.medium_type_is_worm(),
                    write_protected: parameters.write_protected(),
                })
            }
            // A drive without the page knows no WORM tapes by it; the medium type may still tell.
            // Its density is not used: what it does with FORMAT MEDIUM is anybody's guess.
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                let (parameters, _) = mode::sense(&mut self.transport, mode::PAGE_NONE, 0)
                    .map_err(|error| self.fail(KIND, error))?;
                Ok(MediumKind {
                    density: Density::UNKNOWN,
                    worm: parameters.medium_type_is_worm(),
                    write_protected: parameters.write_protected(),
                })
            }
            Err(error) => Err(self.fail(KIND, error)),
        }
    }

    /// Makes the tape blank: `fast` only so that nothing can be read any more by normal means, else by
    /// wiping all of it, which takes hours. Leaves the tape at its beginning, and the application's
    /// entries in the cartridge memory removed.
    ///
    /// A WORM tape without data is blank already; one with data is [`Error::Worm`].
    pub fn format(&mut self, fast: bool, progress: &dyn Progress) -> Result<()> {
        let kind = self.medium_kind()?;
        if kind.worm {
            self.rewind()?;
            self.space_to_end_of_data()?;
            if self.position()?.object != 0 {
                return Err(Error::Worm {
                    drive: self.name().to_string(),
                    reason: "it holds data and cannot be formatted".to_string(),
                });
            }
            return Ok(());
        }
        self.rewind()?;
        if kind.density.formats_quickly() {
            self.format_medium(false, progress)?;
            if !fast {
                self.erase_long(progress)?;
            }
        } else if kind.density.needs_media_optimisation() {
            // From LTO-9 on FORMAT MEDIUM repeats the optimisation of up to two hours; setting the end
            // of data at the beginning is all that is needed.
            if fast {
                self.erase_short()?;
            } else {
                self.format_medium(true, progress)?;
                self.erase_long(progress)?;
            }
        } else if fast {
            self.erase_short()?;
        } else {
            self.erase_long(progress)?;
        }
        self.rewind()?;
        self.clear_application_attributes();
        Ok(())
    }

    pub(super) fn format_medium(&mut self, immediate: bool, progress: &dyn Progress) -> Result<()> {
        let cdb = medium::format_cdb(immediate);
        match command::send(&mut self.transport, &cdb, timeout::FORMAT) {
            Ok(()) => {}
            // Emulators and odd drives without FORMAT MEDIUM: the end of data at the beginning does it.
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                return self.erase_short();
            }
            Err(error) => return Err(self.fail(FORMATTING, error)),
        }
        if immediate {
            self.wait_operation(FORMATTING, &cdb, self.patience.formatted_within, progress)?;
        }
        self.rewind()
    }

    /// Sets the end of data here, or wipes the tape from here to its end.
    pub fn erase(&mut self, fast: bool, progress: &dyn Progress) -> Result<()> {
        self.require_position(ERASING)?;
        if fast { self.erase_short() } else { self.erase_long(progress) }
    }

    fn erase_short(&mut self) -> Result<()> {
        self.medium_command(ERASING, &medium::erase_cdb(false, false), timeout::ERASE_SHORT)
    }

    /// Long erase in the background with polling: no time-out of a host adapter survives the days it
    /// may take. Drives that know no immediate erase are waited for in one command.
    fn erase_long(&mut self, progress: &dyn Progress) -> Result<()> {
        let cdb = medium::erase_cdb(true, true);
        match command::send(&mut self.transport, &cdb, timeout::ERASE_SHORT) {
            Ok(()) => {
                self.wait_operation(ERASING, &cdb, self.patience.erased_within, progress)?;
            }
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                let cdb = medium::erase_cdb(true, false);
                self.medium_command(ERASING, &cdb, timeout::ERASE_LONG)?;
            }
            Err(error) => return Err(self.fail(ERASING, error)),
        }
        self.trust = self.trust.after_failure();
        Ok(())
    }

    /// Waits for the end of the operation that `cdb` began in the background, at least `limit` and as long as
    /// the drive recommends. An abort ends the waiting, not the operation: drives cannot be stopped underway.
    ///
    /// Drives tell in one of two ways that they are still at it: TEST UNIT READY says so (2/04/04,
    /// 2/04/07), or it is GOOD and only REQUEST SENSE says so (0/00/16, 18, 19, 1A). Whoever asks only the
    /// first takes a drive of the second kind for done, and gives it a rewind that will not end for hours.
    /// What failed in the background comes as a deferred error in either.
    fn wait_operation(
        &mut self,
        doing: &'static str,
        cdb: &Cdb,
        limit: Duration,
        progress: &dyn Progress,
    ) -> Result<()> {
        const NOTE_EVERY_PERCENT: u32 = 5;
        let recommended = self.transport.recommended().recommended(cdb);
        let limit = recommended.map_or(limit, |recommended| recommended.max(limit));
        let start = Instant::now();
        let mut noted_percent = 0;
        loop {
            let ready = unit::test_unit_ready(&mut self.transport);
            let mut last = match &ready {
                Ok(()) => None,
                Err(error) => error.sense().copied(),
            };
            if let Err(error) = ready
                && !last.is_some_and(|sense| is_running(&sense))
            {
                return Err(self.fail(doing, error));
            }
            // Some drives tell how far they are with the refusal, others when they are asked.
            if last.is_none_or(|sense| sense.progress.is_none())
                && let Some(told) = self.take_sense()
            {
                if told.deferred || told.is_unit_attention() {
                    let opcode = opcode::REQUEST_SENSE;
                    return Err(self.fail(doing, transport::Error::Check { opcode, sense: told }));
                }
                if is_running(&told) && (last.is_none() || told.progress.is_some()) {
                    last = Some(told);
                }
            }
            let Some(sense) = last else { return Ok(()) };
            if start.elapsed() >= limit {
                let drive = self.name().to_string();
                return Err(Error::NotReadyInTime { drive, waited: start.elapsed(), last });
            }
            let percent = u32::from(sense.progress.unwrap_or(0)) * 100 / 65536;
            if percent >= noted_percent + NOTE_EVERY_PERCENT {
                noted_percent = percent;
                progress.note(&format!("drive {}: {doing}: {percent} %", self.name()));
            }
            self.pause(doing, progress)?;
        }
    }

    /// Removes what applications wrote into the cartridge memory. Not all drives can.
    fn clear_application_attributes(&mut self) {
        for id in [
            attribute::APPLICATION_VENDOR,
            attribute::APPLICATION_NAME,
            attribute::APPLICATION_VERSION,
            attribute::USER_LABEL,
            attribute::MEDIA_POOL,
        ] {
            if let Some(empty) = attribute::Attribute::host_text(id, "") {
                let _ = self.write_attribute(&empty);
            }
        }
    }
}

/// An operation goes on in the background.
fn is_running(sense: &Sense) -> bool {
    !sense.deferred && (sense.is_operation_in_progress() || sense.is_becoming_ready())
}
