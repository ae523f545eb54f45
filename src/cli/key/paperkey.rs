//! `capstan key paperkey`

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use datastore::key::paper::{Document, Format};

use crate::cli::Outcome;
use crate::config::Places;
use crate::output::print;

const AFTER_HELP: &str = "\
'capstan key import' reads it back, as text or from the QR code. Print it and look at the paper:
a terminal or a file is no safe place for it.

Examples:
  capstan key paperkey --subject 'archive' --output-format html > key.html
  capstan key paperkey master-private.pem | lp";

/// Print a key for the cupboard, as text and QR codes
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct PaperkeyArgs {
    /// A key file, or a master private key (PEM) [default: the default key]
    file: Option<PathBuf>,
    /// First line: what the key is of
    #[arg(long)]
    subject: Option<String>,
    /// Form of the paper
    #[arg(long, value_enum, default_value_t = PaperArg::Text, value_name = "FORMAT")]
    output_format: PaperArg,
}

/// Form of a key on paper.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum PaperArg {
    /// Text with QR codes of block characters
    Text,
    /// A page for a browser
    Html,
}

impl PaperArg {
    /// The same in the library's terms.
    pub fn format(self) -> Format {
        match self {
            PaperArg::Text => Format::Text,
            PaperArg::Html => Format::Html,
        }
    }
}

pub fn run(places: &Places, args: &PaperkeyArgs) -> Result<Outcome> {
    let path = super::existing_key_path(places, args.file.as_deref())?;
    let cannot = || format!("cannot print {}", path.display());
    let document = Document::parse(&super::read_text(&path)?).with_context(cannot)?;
    let format = args.output_format.format();
    print(&document.print(args.subject.as_deref(), format).with_context(cannot)?)?;
    Ok(Outcome::Complete)
}
