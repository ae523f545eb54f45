//! `capstan vtl list`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use vtl::{ElementKind, Library};

use crate::cli::Outcome;
use crate::output::{OutputArgs, bytes, table};

/// List drives, slots and the cartridges in them, and what was taken out by hand
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl list /srv/vtl --output-format json")]
pub struct ListArgs {
    /// The library's folder
    dir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: &ListArgs) -> Result<Outcome> {
    let listing = Library::open(&args.dir)?.list()?;
    args.output.print(&listing, |listing| {
        let rows = listing.elements.iter().map(|element| {
            let kind = match element.kind {
                ElementKind::Drive => "drive",
                ElementKind::Slot => "slot",
                ElementKind::ImportExport => "import-export",
                ElementKind::Transport => "transport",
            };
            let size = |size: Option<u64>| size.map(bytes).unwrap_or_default();
            vec![
                kind.to_owned(),
                element.number.to_string(),
                element.barcode.clone().unwrap_or_else(|| "-".into()),
                size(element.used_bytes),
                size(element.capacity_bytes),
            ]
        });
        let shelf = listing
            .shelf
            .iter()
            .map(|barcode| vec!["shelf".to_owned(), "-".into(), barcode.clone(), String::new()]);
        let rows: Vec<Vec<String>> = rows.chain(shelf).collect();
        let mut text = table(&["element", "number", "barcode", "used", "capacity"], rows);
        if listing.station_open {
            text.push_str("the import/export station is open\n");
        }
        text
    })?;
    Ok(Outcome::Complete)
}
