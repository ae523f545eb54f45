//! What goes to the standard output: text for people, JSON for programs.

use std::io::{self, Write};

use anyhow::{Context, Result};
use clap::ValueEnum;
use serde::Serialize;

/// Form of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// A table for people.
    #[default]
    Text,
    /// JSON on one line.
    Json,
    /// JSON with indentation.
    JsonPretty,
}

/// The option that everything that lists has.
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct OutputArgs {
    /// Form of the output
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output_format: OutputFormat,
}

impl OutputArgs {
    /// Prints `value` as JSON, or what `text` makes of it.
    pub fn print<T: Serialize + ?Sized>(
        self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<()> {
        let output = match self.output_format {
            OutputFormat::Text => text(value),
            OutputFormat::Json => serde_json::to_string(value).context("cannot write JSON")?,
            OutputFormat::JsonPretty => {
                serde_json::to_string_pretty(value).context("cannot write JSON")?
            }
        };
        print(&output)
    }

    /// Prints a record field by field, whatever fields there are.
    pub fn print_fields<T: Serialize>(self, record: &T) -> Result<()> {
        self.print(record, |record| {
            let value = serde_json::to_value(record).unwrap_or_default();
            let rows = value.as_object().into_iter().flatten().map(|(key, value)| {
                let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                vec![key.clone(), text]
            });
            table(&["", ""], rows).trim_start().to_owned()
        })
    }
}

/// Writes text to the standard output and ends the last line. A reader that has seen enough is no
/// failure.
pub fn print(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    let written = if text.is_empty() || text.ends_with('\n') {
        stdout.write_all(text.as_bytes())
    } else {
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.write_all(b"\n"))
    };
    match written.and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}

/// A table without lines: what a person reads and `awk` understands.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    table.set_content_arrangement(comfy_table::ContentArrangement::Disabled);
    table.set_header(header.to_vec());
    for row in rows {
        table.add_row(row.into_iter().map(printable));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    let mut text = String::new();
    for line in table.lines() {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The beginning of a text of any length, for a column that is there for an overview.
pub fn short(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    match text.char_indices().nth(CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.split_at(end).0),
        None => text.to_owned(),
    }
}

/// Text of somebody else for a terminal: what would move its cursor, or begin another line of a table,
/// is shown as `?`.
fn printable(text: String) -> String {
    text.replace(char::is_control, "?")
}

/// A number of bytes for people: `1.50 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut value = count as f64;
    let mut name = "B";
    for unit in UNITS {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        name = unit;
    }
    if name == "B" { format!("{count} B") } else { format!("{value:.2} {name}") }
}

/// Parses a size: a number with an optional unit `K`, `M`, `G`, `T` (powers of 1024; `KiB` and the
/// like are the same, `KB` is a power of 1000).
pub fn parse_size(text: &str) -> Result<u64, String> {
    let digits = text.chars().take_while(|c| c.is_ascii_digit() || *c == '.').count();
    let (number, unit) = text.split_at(digits);
    let number: f64 = number.parse().map_err(|_| format!("'{text}' is not a size, e.g. 12T"))?;
    let factor: f64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kib" => 1024.0,
        "m" | "mib" => 1_048_576.0,
        "g" | "gib" => 1_073_741_824.0,
        "t" | "tib" => 1_099_511_627_776.0,
        "kb" => 1e3,
        "mb" => 1e6,
        "gb" => 1e9,
        "tb" => 1e12,
        _ => return Err(format!("'{unit}' is not a unit of size; K, M, G and T are")),
    };
    let bytes = number * factor;
    if !(0.0..9e18).contains(&bytes) {
        return Err(format!("'{text}' is out of range"));
    }
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_and_parsed() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.50 KiB");
        assert_eq!(bytes(u64::MAX), "16.00 EiB");
        assert_eq!(parse_size("1024").unwrap(), 1024);
        assert_eq!(parse_size("1.5K").unwrap(), 1536);
        assert_eq!(parse_size("12TB").unwrap(), 12_000_000_000_000);
        assert_eq!(parse_size("64MiB").unwrap(), 64 << 20);
        for bad in ["", "K", "1X", "-1", "1e99T", "99999999T"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tables_have_no_trailing_blanks() {
        let text = table(&["name", "size"], [vec!["a".into(), String::new()]]);
        assert_eq!(text, "name  size\na\n");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(short("ü"), "ü");
        assert_eq!(short(&"ü".repeat(80)), "ü".repeat(80));
        assert_eq!(short(&"ü".repeat(81)), format!("{}…", "ü".repeat(80)));
    }

    #[test]
    fn a_cell_cannot_write_on_the_terminal() {
        let text = table(&["comment"], [vec!["\u{1b}[2Jgone\r\nnext ü".into()]]);
        assert_eq!(text, "comment\n?[2Jgone??next ü\n");
    }
}
