//! Labels, inventory and catalogs: `tape label|barcode-label|read-label|format|inventory|catalog|scan`.

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use pbs_tape::operations;
use pbs_tape::operations::catalog::CatalogOptions;
use pbs_tape::operations::inventory::InventoryOptions;

use super::medium;
use super::pool;
use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, OutputFormat, table};
use crate::progress::Bar;

/// Label the blank cartridge in a drive
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan tape label --drive lto0 --label-text DAILY01 --pool daily"
)]
pub struct LabelArgs {
    /// Text of the label; with a changer it must be the bar code
    #[arg(long, value_name = "TEXT")]
    label_text: String,
    /// Pool that it is for [default: any]
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    #[command(flatten)]
    drive: DriveArg,
}

/// Label all blank cartridges of a library with their bar codes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape barcode-label --drive lto0 --pool daily")]
pub struct BarcodeLabelArgs {
    /// Pool that they are for [default: any]
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// Read the labels of the cartridge in a drive
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape read-label --drive lto0 --inventorize")]
pub struct ReadLabelArgs {
    /// Take it into the inventory
    #[arg(long)]
    inventorize: bool,
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// Make the cartridge in a drive blank; everything on it is lost
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape format --drive lto0 --label-text CAP001L8")]
pub struct FormatArgs {
    /// Only if the cartridge has this label
    #[arg(long, value_name = "TEXT")]
    label_text: Option<String>,
    /// Format a cartridge without naming it
    #[arg(long, conflicts_with = "label_text")]
    any: bool,
    /// Leave the old data physically in place
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL")]
    fast: bool,
    /// Only print what would be lost
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// List the cartridges of a library, and take them into the inventory
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape inventory --drive lto0 --read-labels --catalog")]
pub struct InventoryArgs {
    /// Load cartridges with unknown bar codes and read their labels
    #[arg(long)]
    read_labels: bool,
    /// Load all cartridges and read their labels
    #[arg(long)]
    read_all_labels: bool,
    /// Also restore the catalogs that the cartridges carry
    #[arg(long)]
    catalog: bool,
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// Rebuild the catalog of the cartridge in a drive
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape catalog --drive lto0 --scan")]
pub struct CatalogArgs {
    /// Replace a catalog that is there
    #[arg(long)]
    force: bool,
    /// Read the whole cartridge instead of the catalogs on it
    #[arg(long)]
    scan: bool,
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// List every file on the cartridge in a drive
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape scan --drive lto0")]
pub struct ScanArgs {
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// A pool that is named must be configured: a typing error would hide the cartridges from it.
fn check_pool(tape: &Tape, pool: Option<&str>) -> Result<()> {
    match pool {
        Some(pool) => pool::find(tape, pool).map(|_| ()),
        None => Ok(()),
    }
}

pub fn label(places: &Places, args: &LabelArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    check_pool(&tape, args.pool.as_deref())?;
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("label"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let labelled = operations::label::label(
        &state,
        &mut station,
        &args.label_text,
        args.pool.as_deref(),
        &*bar,
    )?;
    bar.line(&format!("labelled {} ({})", labelled.label_text, labelled.uuid));
    Ok(Outcome::Complete)
}

pub fn barcode_label(places: &Places, args: &BarcodeLabelArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    check_pool(&tape, args.pool.as_deref())?;
    let state = station::state(places)?;
    let bar = Arc::new(Bar::quiet("label"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let pool = args.pool.as_deref();
    let report = operations::label::barcode_label(&state, &mut station, pool, &*bar)?;
    args.output.print(&report, |report| {
        let labelled = report.labelled.iter().map(|l| (&l.label_text, "labelled", ""));
        let skipped = report.skipped.iter().map(|(t, reason)| (t, "skipped", reason.as_str()));
        let failed = report.failed.iter().map(|(t, reason)| (t, "failed", reason.as_str()));
        let rows = labelled
            .chain(skipped)
            .chain(failed)
            .map(|(text, what, why)| vec![text.clone(), what.to_owned(), why.to_owned()]);
        table(&["label-text", "result", "reason"], rows)
    })?;
    Ok(if report.failed.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

pub fn read_label(places: &Places, args: &ReadLabelArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("read"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let label = operations::read_label::read_label(&state, &mut station, args.inventorize, &*bar)?;
    args.output.print(&label, |label| {
        let number = |value: Option<i64>| value.and_then(datastore::time::to_utc_text);
        let rows = [
            ("label-text", Some(label.label_text.clone())),
            ("uuid", Some(label.uuid.to_string())),
            ("ctime", number(Some(label.ctime))),
            ("pool", label.pool.clone()),
            ("media-set-uuid", label.media_set_uuid.map(|uuid| uuid.to_string())),
            ("media-set-ctime", number(label.media_set_ctime)),
            ("seq-nr", label.seq_nr.map(|nr| nr.to_string())),
        ];
        let rows = rows.into_iter().filter_map(|(k, v)| Some(vec![k.to_owned(), v?]));
        table(&["", ""], rows).trim_start().to_owned()
    })?;
    Ok(Outcome::Complete)
}

pub fn format(places: &Places, args: &FormatArgs) -> Result<Outcome> {
    if args.label_text.is_none() && !args.any {
        bail!("which cartridge? Give --label-text, or --any for whatever is in the drive");
    }
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("format"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let expected = args.label_text.as_deref();
    if args.dry_run {
        let plan = operations::erase::plan(&mut station, expected, args.fast, &*bar)?;
        args.output.print(&plan, medium::format_plan_text)?;
        return Ok(Outcome::Complete);
    }
    let formatted = operations::erase::format(&state, &mut station, expected, args.fast, &*bar)?;
    if args.output.output_format == OutputFormat::Text {
        let was = formatted.label_text.as_deref().unwrap_or("a cartridge without label");
        bar.line(&format!("{was} is blank now"));
    } else {
        args.output.print(&formatted, |_| String::new())?;
    }
    Ok(Outcome::Complete)
}

pub fn inventory(places: &Places, args: &InventoryArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("inventory"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let options = InventoryOptions {
        read_labels: args.read_labels,
        read_all_labels: args.read_all_labels,
        catalog: args.catalog,
        changers: station::changer_names(&tape),
    };
    let report = operations::inventory::inventory(&state, &mut station, &options, &*bar)?;
    let format = args.output.output_format;
    args.output.print(&report, |report| {
        let rows = report.media.iter().map(|media| {
            let uuid = media.uuid.map(|uuid| uuid.to_string()).unwrap_or_else(|| "unknown".into());
            vec![media.label_text.clone(), uuid]
        });
        table(&["label-text", "uuid"], rows)
    })?;
    if format == OutputFormat::Text {
        for (text, reason) in &report.failed {
            bar.warn(&format!("{text}: {reason}"));
        }
    }
    Ok(if report.failed.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

pub fn catalog(places: &Places, args: &CatalogArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("catalog"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let options = CatalogOptions { force: args.force, scan: args.scan };
    let report = operations::catalog::catalog(&state, &mut station, options, &*bar)?;
    args.output.print(&report, |report| {
        let mut text = match report.media_set_uuid {
            None => format!("{} is in no media set: nothing to catalog\n", report.label_text),
            Some(set) => format!("{}, media set {set}\n", report.label_text),
        };
        for uuid in &report.restored {
            text.push_str(&format!("catalog of {uuid} restored\n"));
        }
        for damage in &report.damage {
            text.push_str(&format!("damaged: {damage}\n"));
        }
        text
    })?;
    Ok(if report.damage.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

pub fn scan(places: &Places, args: &ScanArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("scan"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let files = operations::scan::scan(&mut station, &*bar, |_| {})?;
    args.output.print(&files, |files| {
        let rows = files.iter().map(|file| {
            let state = match (&file.error, file.incomplete, file.end_marker) {
                (Some(error), _, _) => error.clone(),
                (None, true, _) => "incomplete".to_owned(),
                (None, false, false) => "no end marker".to_owned(),
                (None, false, true) => String::new(),
            };
            let header = file.header.as_ref().map(ToString::to_string).unwrap_or_default();
            vec![file.file.to_string(), file.kind.clone(), file.blocks.to_string(), header, state]
        });
        table(&["file", "kind", "blocks", "header", ""], rows)
    })?;
    let whole = files.iter().all(|file| file.error.is_none());
    Ok(if whole { Outcome::Complete } else { Outcome::Incomplete })
}
