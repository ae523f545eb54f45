//! `capstan mt encryption …`: the drive's own encryption, for programs that write the tape themselves.
//!
//! A key comes from a file, the standard input or the terminal, never from the arguments, which every user of
//! the machine can read, and is wiped from memory afterwards.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use pbs_tape::drive::{Drive, DriveKey};
use zeroize::Zeroizing;

use crate::output::OutputArgs;

/// Longest file with a key: 64 digits, and a line or two that describe it.
const KEY_FILE_BYTES_MAX: u64 = 4096;
const KEY_BYTES: usize = 32;

/// Show the drive's own encryption, or switch it
#[derive(Debug, Subcommand)]
pub enum EncryptionCommand {
    /// Show what the drive does with blocks, and who decides that
    #[command(after_help = "Example:\n  capstan mt encryption status")]
    Status,
    Set(SetArgs),
    /// Take the key out: blocks are written and read as they are
    #[command(after_help = "Example:\n  capstan mt encryption clear")]
    Clear,
}

/// Give the drive a key: what is written from here on is encrypted, both kinds of blocks are read
///
/// The key stays in the drive for the programs that follow, until it is cleared, the drive loses power, or a job of
/// Capstan uses the tape: that removes it first. Whoever loses the key loses what was written with it.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \\n' > tape.key\n  \
    capstan mt encryption set --key-file tape.key")]
pub struct SetArgs {
    /// File with the key: 64 hexadecimal digits in its first line, or 32 bytes; - reads standard input [default: asked
    /// for on the terminal]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

pub fn run(drive: &mut Drive, command: &EncryptionCommand, output: OutputArgs) -> Result<()> {
    // Before the drive is asked anything: a key that is none changes nothing.
    let key = match command {
        EncryptionCommand::Set(args) => Some(key(args.key_file.as_deref())?),
        EncryptionCommand::Status | EncryptionCommand::Clear => None,
    };
    // Takes off what is pending; that there is no tape is no matter here.
    let _ = drive.adopt_position();
    match key {
        Some(key) => {
            drive.set_key(&key)?;
            drive.leave_key();
        }
        None if matches!(command, EncryptionCommand::Clear) => {
            drive.encryption_off()?;
            if drive.is_encryption_managed() {
                bail!(
                    "drive {}: its library manages encryption; switch it off there",
                    drive.name()
                );
            }
        }
        None => {}
    }
    output.print_fields(&drive.encryption_report()?)
}

fn key(file: Option<&Path>) -> Result<DriveKey> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(KEY_FILE_BYTES_MAX as usize));
    let (name, read) = match file {
        Some(path) if path.as_os_str() == "-" => {
            let read = std::io::stdin().take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes);
            ("standard input".to_owned(), read)
        }
        Some(path) => {
            let file = File::open(path);
            let read = file.and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_end(&mut bytes));
            (path.display().to_string(), read)
        }
        None if std::io::stdin().is_terminal() => {
            let typed = rpassword::prompt_password("Key (64 hexadecimal digits): ")?;
            bytes = Zeroizing::new(typed.into_bytes());
            ("what was typed".to_owned(), Ok(bytes.len()))
        }
        None => bail!(
            "a key is needed: name its file with --key-file, or run on a terminal to be asked"
        ),
    };
    read.with_context(|| format!("cannot read the key from {name}"))?;
    parse(&bytes)
        .map(DriveKey::new)
        .with_context(|| format!("{name} holds no key: 64 hexadecimal digits or 32 bytes are one"))
}

/// 32 bytes as they are, or the digits of the first line.
fn parse(bytes: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    if bytes.len() == KEY_BYTES {
        key.copy_from_slice(bytes);
        return Some(key);
    }
    let line = bytes.split(|byte| *byte == b'\n').next()?.trim_ascii();
    if line.len() != 2 * KEY_BYTES {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|one| u8::try_from(one).ok());
    for (to, pair) in key.iter_mut().zip(line.chunks_exact(2)) {
        if let [high, low] = pair {
            *to = digit(*high)? << 4 | digit(*low)?;
        }
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_64_digits_or_32_bytes_and_nothing_else() {
        let digits = "0f".repeat(32);
        let expected = Some(Zeroizing::new([0x0f; 32]));
        for text in [
            digits.clone(),
            format!("{digits}\n"),
            format!(" {}\r\nmonday's key\n", digits.to_uppercase()),
        ] {
            assert_eq!(parse(text.as_bytes()), expected, "{text:?}");
        }
        assert_eq!(parse(&[7; 32]), Some(Zeroizing::new([7; 32])));
        for bad in [&b""[..], b"\n", &[7; 31], &[7; 33], &digits.as_bytes()[1..]] {
            assert_eq!(parse(bad), None);
        }
        assert_eq!(parse("0g".repeat(32).as_bytes()), None);
    }
}
