//! `capstan vtl cartridge …`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use vtl::{ImportOptions, Library};

use crate::cli::Outcome;
use crate::output::{OutputArgs, bytes, parse_size};
use crate::progress::Bar;

/// Cartridges of an emulated library
#[derive(Debug, Subcommand)]
pub enum CartridgeCommand {
    Export(ExportArgs),
    Import(ImportArgs),
    Add(AddArgs),
    Protect(ProtectArgs),
    Check(CheckArgs),
    Dump(super::dump::DumpArgs),
}

/// Write a cartridge as plain files: 00000.blocks, 00001.blocks … and index.json
///
/// Each .blocks file is one tape file, its records back to back.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl cartridge export /srv/vtl CAP001L8 ./CAP001L8")]
pub struct ExportArgs {
    /// The library's folder
    dir: PathBuf,
    /// Bar code of the cartridge, which must not be in a drive
    barcode: String,
    /// A new or empty folder
    out: PathBuf,
}

/// Write plain files to a cartridge: the reverse of export
///
/// Without an index.json, records are 256 KiB and a filemark follows each file. A cartridge that
/// the library does not have is made.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl cartridge import /srv/vtl CAP001L8 ./CAP001L8")]
pub struct ImportArgs {
    /// The library's folder
    dir: PathBuf,
    /// Bar code of the cartridge
    barcode: String,
    /// Folder with the files
    input: PathBuf,
    /// Overwrite a cartridge that is not blank
    #[arg(long)]
    force: bool,
    /// Capacity of a cartridge that is made
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    capacity: Option<u64>,
}

/// Make a blank cartridge in the first free slot
///
/// The last two characters of its bar code say what it is: L4 to L9 and LA data cartridges of LTO-4 to
/// LTO-10, M8 type M of LTO-8 drives, PA the premium cartridge of LTO-10, LU LV LW LX LY LZ LH cartridges
/// that record once. CLN at the beginning makes a cleaning cartridge.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl cartridge add /srv/vtl CAP100L8 --capacity 2G")]
pub struct AddArgs {
    /// The library's folder
    dir: PathBuf,
    /// Its bar code
    barcode: String,
    /// Its capacity [default: the library's]
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    capacity: Option<u64>,
    /// With its write-protect tab closed
    #[arg(long)]
    write_protected: bool,
}

/// Close the write-protect tab of a cartridge, or open it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl cartridge protect /srv/vtl CAP001L8\n  \
                        capstan vtl cartridge protect /srv/vtl CAP001L8 --off")]
pub struct ProtectArgs {
    /// The library's folder
    dir: PathBuf,
    /// Bar code of the cartridge, which must not be in a drive
    barcode: String,
    /// Make it writable again
    #[arg(long)]
    off: bool,
}

/// Read everything on a cartridge and check each record
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl cartridge check /srv/vtl CAP001L8")]
pub struct CheckArgs {
    /// The library's folder
    dir: PathBuf,
    /// Bar code of the cartridge, which must not be in a drive
    barcode: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(command: &CartridgeCommand) -> Result<Outcome> {
    match command {
        CartridgeCommand::Export(args) => export(args),
        CartridgeCommand::Import(args) => import(args),
        CartridgeCommand::Add(args) => {
            let library = Library::open(&args.dir)?;
            library.add_cartridge(&args.barcode, args.capacity)?;
            if args.write_protected {
                library.set_write_protected(&args.barcode, true)?;
            }
            Ok(Outcome::Complete)
        }
        CartridgeCommand::Protect(args) => {
            Library::open(&args.dir)?.set_write_protected(&args.barcode, !args.off)?;
            Ok(Outcome::Complete)
        }
        CartridgeCommand::Check(args) => check(args),
        CartridgeCommand::Dump(args) => super::dump::run(args),
    }
}

impl vtl::Progress for Bar {
    fn total(&self, bytes: u64) {
        self.set_total(bytes);
    }

    fn advance(&self, bytes: u64) {
        self.add_bytes(bytes);
    }

    fn is_aborted(&self) -> bool {
        self.is_interrupted()
    }
}

fn export(args: &ExportArgs) -> Result<Outcome> {
    let bar = Bar::bytes("export");
    let report = Library::open(&args.dir)?.export_cartridge(&args.barcode, &args.out, &bar)?;
    bar.line(&format!(
        "{}: {} files, {} records, {}",
        args.barcode,
        report.files,
        report.blocks,
        bytes(report.bytes)
    ));
    Ok(Outcome::Complete)
}

fn import(args: &ImportArgs) -> Result<Outcome> {
    let bar = Bar::bytes("import");
    let options = ImportOptions { force: args.force, capacity_bytes: args.capacity };
    let library = Library::open(&args.dir)?;
    let report = library.import_cartridge(&args.barcode, &args.input, &options, &bar)?;
    bar.line(&format!(
        "{}: {} files, {} records, {}",
        args.barcode,
        report.files,
        report.blocks,
        bytes(report.bytes)
    ));
    Ok(Outcome::Complete)
}

fn check(args: &CheckArgs) -> Result<Outcome> {
    let bar = Bar::bytes("check");
    let report = Library::open(&args.dir)?.check_cartridge(&args.barcode, &bar)?;
    let sound = report.damaged.is_empty() && !report.log_header_damaged;
    drop(bar);
    args.output.print(&report, |report| {
        let mut text = format!(
            "{}: {} records, {} filemarks, {}\n",
            report.barcode,
            report.blocks,
            report.filemarks,
            bytes(report.bytes)
        );
        for object in &report.damaged {
            let partition = match object.partition {
                0 => String::new(),
                number => format!("partition {number}, "),
            };
            let (number, reason) = (object.object, &object.reason);
            text.push_str(&format!("{partition}object {number} is damaged: {reason}\n"));
        }
        if report.log_header_damaged {
            text.push_str("the header of its log is damaged\n");
        }
        text
    })?;
    Ok(if sound { Outcome::Complete } else { Outcome::Incomplete })
}
