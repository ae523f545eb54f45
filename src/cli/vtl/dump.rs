//! `capstan vtl cartridge dump`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use vtl::Library;
use vtl::cartridge::ObjectKind;

use crate::cli::Outcome;
use crate::output::{OutputArgs, table};
use crate::progress::Bar;

/// Tell what lies on a cartridge: blocks and filemarks, where, and how they begin
///
/// Like objects in a row are one line. Every object is read; damage is named, and what lies behind it
/// is told too.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl cartridge dump /srv/vtl CAP001L8")]
pub struct DumpArgs {
    /// The library's folder
    dir: PathBuf,
    /// Bar code of the cartridge, which must not be in a drive
    barcode: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(args: &DumpArgs) -> Result<Outcome> {
    let bar = Bar::bytes("dump");
    let report = Library::open(&args.dir)?.dump_cartridge(&args.barcode, &bar)?;
    drop(bar);
    let is_damaged =
        report.partitions.iter().flat_map(|one| &one.runs).any(|run| run.damage.is_some());
    args.output.print(&report, |report| {
        let rows = report.partitions.iter().flat_map(|partition| {
            partition.runs.iter().map(|run| {
                let kind = match (run.kind, run.encrypted) {
                    (ObjectKind::Filemark, _) => "filemark",
                    (ObjectKind::Block, true) => "encrypted block",
                    (ObjectKind::Block, false) => "block",
                };
                vec![
                    partition.partition.to_string(),
                    run.object.to_string(),
                    run.count.to_string(),
                    kind.to_owned(),
                    run.file.to_string(),
                    run.length.to_string(),
                    run.offset.to_string(),
                    run.damage.clone().unwrap_or_else(|| run.begins_with.clone()),
                ]
            })
        });
        let head = ["part", "object", "count", "kind", "file", "bytes", "offset", "begins with"];
        table(&head, rows)
    })?;
    Ok(if is_damaged { Outcome::Incomplete } else { Outcome::Complete })
}
