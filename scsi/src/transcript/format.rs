//! The text of a transcript (`docs/formats/transcript.md`).
//!
//! | line | meaning |
//! |---|---|
//! | `capstan-transcript: 1` | first line that is neither empty nor a comment |
//! | `KEY: TEXT` | about the device, before the first command; unknown keys are ignored |
//! | `> cdb BYTES` | a command |
//! | `> data BYTES`, `< data BYTES` | data to and from the device, in pieces |
//! | `< status XX [sense BYTES]` | its end, by the device |
//! | `< timeout SECONDS`, `< failed TEXT` | its end, without an answer |
//!
//! `BYTES` are hexadecimal pairs (`1a 08`, `1a08`), text (`"IBM     "`, no escapes) and repetitions of one byte
//! (`00*24`). `#` begins a comment, except within text and behind `failed` and keys.

use std::fmt::Write as _;
use std::str::FromStr;

use super::{BYTES_MAX, End, Exchange, Transcript, TranscriptError};

const MAGIC: &str = "capstan-transcript";
const VERSION: &str = "1";
/// Bytes of data in a line that is written.
const LINE_BYTES: usize = 16;

impl FromStr for Transcript {
    type Err = TranscriptError;

    fn from_str(text: &str) -> Result<Transcript, TranscriptError> {
        let mut reader = Reader::default();
        for (line, content) in (1usize..).zip(text.lines()) {
            reader.line(content).map_err(|reason| TranscriptError { line, reason })?;
        }
        reader.finish().map_err(|reason| TranscriptError { line: text.lines().count(), reason })
    }
}

impl Transcript {
    /// Reads the bytes of a file.
    ///
    /// # Errors
    ///
    /// If they are no UTF-8 or no transcript.
    pub fn parse(bytes: &[u8]) -> Result<Transcript, TranscriptError> {
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = bytes.get(..error.valid_up_to()).unwrap_or(&[]);
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            TranscriptError { line, reason: "not text (UTF-8)".to_string() }
        })?;
        text.parse()
    }

    /// The text, which is read back to the same transcript.
    pub fn to_text(&self) -> String {
        let mut text = format!("{MAGIC}: {VERSION}\n");
        let keys = [
            ("vendor", self.vendor.as_str()),
            ("product", &self.product),
            ("revision", &self.revision),
            ("origin", &self.origin),
            ("masked", if self.is_masked { "yes" } else { "" }),
        ];
        for (key, value) in keys.into_iter().filter(|(_, value)| !value.is_empty()) {
            let _ = writeln!(text, "{key}: {}", one_line(value));
        }
        for exchange in &self.exchanges {
            let name = exchange.cdb.first().and_then(|code| crate::command::opcode::name(*code));
            let comment = name.map(|name| format!("  # {name}")).unwrap_or_default();
            let _ = writeln!(text, "\n> cdb {}{comment}", hex(&exchange.cdb));
            write_data(&mut text, '>', &exchange.data_out);
            write_data(&mut text, '<', &exchange.data_in);
            let _ = match &exchange.end {
                End::Status { status, sense } if sense.is_empty() => {
                    writeln!(text, "< status {status:02x}")
                }
                End::Status { status, sense } => {
                    let words = crate::Sense::parse(sense)
                        .map(|sense| format!("  # {sense}"))
                        .unwrap_or_default();
                    writeln!(text, "< status {status:02x} sense {}{words}", hex(sense))
                }
                End::Timeout { seconds } => writeln!(text, "< timeout {seconds}"),
                End::Failed { reason } => writeln!(text, "< failed {}", one_line(reason)),
            };
        }
        text
    }
}

/// Text as the rest of a line: nothing in it may end the line, and blanks around it are not kept.
fn one_line(text: &str) -> String {
    text.replace(char::is_control, " ").trim().to_string()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// Data in lines of 16 bytes, with what of it is text beside it; lines of one byte only become one.
fn write_data(text: &mut String, direction: char, data: &[u8]) {
    let mut rest = data;
    while let Some(byte) = rest.first() {
        let run = rest.iter().take_while(|other| *other == byte).count();
        let taken = if run >= LINE_BYTES {
            let _ = writeln!(text, "{direction} data {byte:02x}*{run}");
            run
        } else {
            let line = rest.get(..LINE_BYTES).unwrap_or(rest);
            let is_text = |byte: &u8| byte.is_ascii_graphic() || *byte == b' ';
            let readable: String = line
                .iter()
                .map(|byte| if is_text(byte) { char::from(*byte) } else { '.' })
                .collect();
            let _ = writeln!(text, "{direction} data {}  # {readable}", hex(line));
            line.len()
        };
        rest = rest.get(taken..).unwrap_or(&[]);
    }
}

#[derive(Default)]
struct Reader {
    transcript: Transcript,
    has_magic: bool,
    open: Option<Open>,
    bytes: usize,
}

/// A command whose end has not been read.
#[derive(Default)]
struct Open {
    cdb: Vec<u8>,
    data_out: Vec<u8>,
    data_in: Vec<u8>,
}

impl Reader {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix('>') {
            self.magic()?;
            return self.host_line(rest.trim_start());
        }
        if let Some(rest) = line.strip_prefix('<') {
            self.magic()?;
            return self.device_line(rest.trim_start());
        }
        let Some((key, value)) = line.split_once(':') else {
            return Err("neither '> …' nor '< …' nor 'KEY: TEXT'".to_string());
        };
        // Whatever control character it holds would not come back from a line that is written.
        let value = one_line(value);
        let value = value.as_str();
        if !self.has_magic {
            return match (key, value) {
                (MAGIC, VERSION) => {
                    self.has_magic = true;
                    Ok(())
                }
                (MAGIC, other) => {
                    Err(format!("version {other} of the format; this program reads {VERSION}"))
                }
                _ => self.magic(),
            };
        }
        if self.open.is_some() || !self.transcript.exchanges.is_empty() {
            return Err(format!("'{}:' stands behind a command", short(key)));
        }
        let transcript = &mut self.transcript;
        match key {
            "vendor" => transcript.vendor = value.to_string(),
            "product" => transcript.product = value.to_string(),
            "revision" => transcript.revision = value.to_string(),
            "origin" => transcript.origin = value.to_string(),
            "masked" => transcript.is_masked = value == "yes",
            _ => {}
        }
        Ok(())
    }

    fn magic(&self) -> Result<(), String> {
        if self.has_magic {
            return Ok(());
        }
        Err(format!("no transcript: '{MAGIC}: {VERSION}' must come first"))
    }

    fn host_line(&mut self, rest: &str) -> Result<(), String> {
        if let Some(rest) = word(rest, "cdb") {
            if self.open.is_some() {
                return Err("the command before has no end ('< status …')".to_string());
            }
            let cdb = self.read(rest)?;
            if !matches!(cdb.len(), 6 | 10 | 12 | 16) {
                return Err(format!("a command of {} bytes; 6, 10, 12 or 16 needed", cdb.len()));
            }
            self.open = Some(Open { cdb, ..Open::default() });
            return Ok(());
        }
        let Some(rest) = word(rest, "data") else {
            return Err("'> cdb BYTES' or '> data BYTES' needed".to_string());
        };
        let data = self.read(rest)?;
        self.open()?.data_out.extend(data);
        Ok(())
    }

    fn device_line(&mut self, rest: &str) -> Result<(), String> {
        if let Some(rest) = word(rest, "data") {
            let data = self.read(rest)?;
            self.open()?.data_in.extend(data);
            return Ok(());
        }
        let end = if let Some(rest) = word(rest, "status") {
            let (status, rest) = rest.split_at_checked(2).unwrap_or((rest, ""));
            let status = match self.read(status)?.as_slice() {
                [status] => *status,
                _ => return Err("'< status XX' needs one byte".to_string()),
            };
            let rest = rest.trim_start();
            let sense = match word(rest, "sense") {
                Some(sense) => self.read(sense)?,
                None if rest.is_empty() || rest.starts_with('#') => Vec::new(),
                None => return Err(format!("'{}' behind the status", short(rest))),
            };
            End::Status { status, sense }
        } else if let Some(rest) = word(rest, "timeout") {
            let number = rest.split('#').next().unwrap_or("").trim();
            let seconds = number.parse().map_err(|_| "'< timeout SECONDS' needed".to_string())?;
            End::Timeout { seconds }
        } else if let Some(rest) = word(rest, "failed") {
            self.count(rest.len())?;
            End::Failed { reason: one_line(rest) }
        } else {
            return Err("'< data', '< status', '< timeout' or '< failed' needed".to_string());
        };
        self.open()?;
        if let Some(Open { cdb, data_out, data_in }) = self.open.take() {
            self.transcript.exchanges.push(Exchange { cdb, data_out, data_in, end });
        }
        Ok(())
    }

    fn open(&mut self) -> Result<&mut Open, String> {
        self.open.as_mut().ok_or_else(|| "there is no command before ('> cdb …')".to_string())
    }

    /// Counts bytes that are kept, before they are.
    fn count(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if self.bytes > BYTES_MAX {
            return Err(format!("more than {} MiB of data", BYTES_MAX >> 20));
        }
        Ok(())
    }

    fn read(&mut self, text: &str) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        let mut rest = text.trim_start();
        while let Some(first) = rest.chars().next() {
            if first == '#' {
                break;
            }
            if let Some(quoted) = rest.strip_prefix('"') {
                let Some((piece, behind)) = quoted.split_once('"') else {
                    return Err("the text's second '\"' is missing".to_string());
                };
                self.count(piece.len())?;
                bytes.extend_from_slice(piece.as_bytes());
                rest = behind.trim_start();
                continue;
            }
            let pair = rest.get(..2).filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
            let Some(byte) = pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()) else {
                return Err(format!("'{}' is no byte in hexadecimal", short(rest)));
            };
            rest = rest.get(2..).unwrap_or("");
            let mut times = 1;
            if let Some(behind) = rest.strip_prefix('*') {
                let digits = behind.bytes().take_while(u8::is_ascii_digit).count();
                let (number, behind) = behind.split_at(digits);
                times = number.parse().map_err(|_| format!("'*{number}' is no count"))?;
                rest = behind;
            }
            self.count(times)?;
            bytes.resize(bytes.len().saturating_add(times), byte);
            rest = rest.trim_start();
        }
        Ok(bytes)
    }

    fn finish(mut self) -> Result<Transcript, String> {
        self.magic()?;
        match self.open.take() {
            Some(_) => Err("the last command has no end ('< status …')".to_string()),
            None => Ok(self.transcript),
        }
    }
}

/// What stands behind `name`, if the text begins with that word.
fn word<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let rest = text.strip_prefix(name)?;
    (rest.is_empty() || rest.starts_with(char::is_whitespace)).then(|| rest.trim_start())
}

/// The beginning of foreign text, for a message.
fn short(text: &str) -> String {
    text.chars().take(16).map(|c| if c.is_control() { '?' } else { c }).collect()
}
