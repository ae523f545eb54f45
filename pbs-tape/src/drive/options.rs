//! Options of the drive that last beyond a command: compression, block length, buffering.
//!
//! A drive may take a MODE SELECT and do something else: round a value, or ignore a bit that it cannot
//! change. So what was set is read again and compared, and a difference is an error. A job that writes
//! with a block length that it did not ask for would make a tape that nobody expects.

use scsi::command::mode::{self, Compression, Parameters, Size};
use serde::Serialize;

use super::{Drive, Error, Result};

/// Longest fixed block in bytes that LTO drives take.
pub const BLOCK_BYTES_MAX: u32 = 0x80_0000;

const READING: &str = "reading options";
const SETTING: &str = "setting options";

/// Options as the drive has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Options {
    /// The drive compresses what is written.
    pub compression: bool,
    /// Block length in bytes, 0 = variable.
    pub blocksize: u32,
    /// 0 = each WRITE waits for the tape, 1 = it returns when the data is in the drive's buffer.
    pub buffer_mode: u8,
}

impl Options {
    /// How this house writes and reads, and how a drive should be left.
    pub const DEFAULTS: OptionChanges =
        OptionChanges { compression: Some(true), blocksize: Some(0), buffer_mode: Some(1) };
}

/// Options to change; `None` leaves one as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OptionChanges {
    /// Whether the drive compresses.
    pub compression: Option<bool>,
    /// Block length in bytes, 0 = variable, at most [`BLOCK_BYTES_MAX`].
    pub blocksize: Option<u32>,
    /// 0 or 1.
    pub buffer_mode: Option<u8>,
}

impl OptionChanges {
    /// True if nothing is to be changed.
    pub fn is_empty(&self) -> bool {
        *self == OptionChanges::default()
    }
}

impl Drive {
    /// Asks the drive for its options. Works without a tape.
    pub fn options(&mut self) -> Result<Options> {
        let (parameters, _) = self.sense_options(READING)?;
        Ok(read(&parameters))
    }

    /// Changes options and makes sure that the drive took them. What it has afterwards.
    ///
    /// # Errors
    ///
    /// [`Error::Invalid`] for a value that no drive takes; [`Error::OptionRefused`] if the drive refuses
    /// one or says afterwards that it has another.
    pub fn set_options(&mut self, changes: &OptionChanges) -> Result<Options> {
        self.check_options(changes)?;
        let (mut parameters, size) = self.sense_options(SETTING)?;
        let had = read(&parameters);
        parameters.pages = match (changes.compression, Compression::parse(&parameters)) {
            (Some(enabled), Ok(mut page)) if page.capable || page.enabled == enabled => {
                page.enabled = enabled;
                page.build().to_vec()
            }
            (Some(enabled), _) if enabled != had.compression => {
                return Err(self.refused("compression", enabled, had.compression));
            }
            _ => Vec::new(),
        };
        if let (Some(bytes), Some(descriptor)) = (changes.blocksize, parameters.descriptor.as_mut())
        {
            descriptor.block_bytes = bytes;
        }
        if let Some(mode) = changes.buffer_mode {
            parameters.set_buffered_mode(mode);
        }
        // Write protection is not for the host to set.
        parameters.device_specific &= 0x7f;
        mode::select(&mut self.transport, size, &parameters).map_err(|error| {
            match error.sense() {
                Some(sense) if sense.is_unsupported() => Error::OptionRefused {
                    drive: self.name().to_string(),
                    option: "the options asked for",
                    wanted: "these values".into(),
                    has: format!("refused them: {sense}"),
                },
                _ => self.fail(SETTING, error),
            }
        })?;
        let has = self.options()?;
        if let Some(wanted) = changes.compression.filter(|wanted| *wanted != has.compression) {
            return Err(self.refused("compression", wanted, has.compression));
        }
        if let Some(wanted) = changes.blocksize.filter(|wanted| *wanted != has.blocksize) {
            return Err(self.refused("blocksize", wanted, has.blocksize));
        }
        if let Some(wanted) = changes.buffer_mode.filter(|wanted| *wanted != has.buffer_mode) {
            return Err(self.refused("buffer-mode", wanted, has.buffer_mode));
        }
        Ok(has)
    }

    fn check_options(&self, changes: &OptionChanges) -> Result<()> {
        let invalid =
            |reason: String| Err(Error::Invalid { drive: self.name().to_string(), reason });
        if let Some(bytes) = changes.blocksize.filter(|bytes| *bytes > BLOCK_BYTES_MAX) {
            return invalid(format!(
                "a block length of {bytes} bytes is too much, at most {BLOCK_BYTES_MAX}"
            ));
        }
        if let Some(mode) = changes.buffer_mode.filter(|mode| *mode > 1) {
            return invalid(format!("there is no buffer mode {mode}; 0 is without buffer, 1 with"));
        }
        Ok(())
    }

    fn refused(
        &self,
        option: &'static str,
        wanted: impl ToString,
        has: impl std::fmt::Display,
    ) -> Error {
        Error::OptionRefused {
            drive: self.name().to_string(),
            option,
            wanted: wanted.to_string(),
            has: format!("has {has}"),
        }
    }

    /// The compression page, or only header and descriptor from a drive that does not compress.
    fn sense_options(&mut self, doing: &'static str) -> Result<(Parameters, Size)> {
        match mode::sense(&mut self.transport, mode::PAGE_COMPRESSION, 0) {
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                mode::sense(&mut self.transport, mode::PAGE_NONE, 0)
            }
            other => other,
        }
        .map_err(|error| self.fail(doing, error))
    }
}

fn read(parameters: &Parameters) -> Options {
    Options {
        compression: Compression::parse(parameters).is_ok_and(|page| page.enabled),
        blocksize: parameters.descriptor.map_or(0, |descriptor| descriptor.block_bytes),
        buffer_mode: parameters.buffered_mode(),
    }
}
