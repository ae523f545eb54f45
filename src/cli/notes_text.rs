//! Notes as an argument.

use std::io::Read;

use anyhow::{Context, Result, bail};

/// What an argument with notes means.
pub const NOTES_HELP: &str =
    "The notes; the first line is shown in listings. '' removes them, - reads the standard input";

/// Longest notes that are read from the standard input, in bytes.
const NOTES_BYTES_MAX: u64 = 1 << 20;

/// The notes that an argument stands for.
pub fn given(argument: &str) -> Result<String> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    std::io::stdin()
        .take(NOTES_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .context("cannot read notes from the standard input")?;
    if text.len() as u64 > NOTES_BYTES_MAX {
        bail!("notes have at most {NOTES_BYTES_MAX} bytes");
    }
    // The end of the last line is that of the input, not of the notes.
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(text)
}
