//! `capstan vtl …`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use vtl::{ElementKind, Generation, ImportOptions, Library, Options, Personality};

use super::Outcome;
use crate::output::{OutputArgs, bytes, parse_size, table};
use crate::progress::Bar;

/// Emulated tape libraries: drives, robot and cartridges in a folder
#[derive(Debug, Subcommand)]
pub enum VtlCommand {
    Create(CreateArgs),
    List(ListArgs),
    #[command(subcommand)]
    Cartridge(CartridgeCommand),
}

/// Make an emulated library in an empty folder
///
/// Its drives have the addresses vtl:DIR#drive0, vtl:DIR#drive1 …, its robot vtl:DIR#changer.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl create /srv/vtl --drives 2 --slots 8 \
                        --import-export 1 --cartridges 6 --generation lto8 --capacity 1G")]
pub struct CreateArgs {
    /// The library's folder
    dir: PathBuf,
    /// Drives
    #[arg(long, default_value_t = 1, value_name = "N")]
    drives: u16,
    /// Storage slots
    #[arg(long, default_value_t = 24, value_name = "N")]
    slots: u16,
    /// Import/export slots
    #[arg(long, default_value_t = 2, value_name = "N")]
    import_export: u16,
    /// Blank cartridges to begin with
    #[arg(long, default_value_t = 10, value_name = "N")]
    cartridges: u16,
    /// First characters of their bar codes
    #[arg(long, default_value = "CAP", value_name = "TEXT")]
    barcode_prefix: String,
    /// Generation of drives and cartridges
    #[arg(long, value_enum, default_value_t = GenerationArg::Lto8)]
    generation: GenerationArg,
    /// Capacity of a cartridge, e.g. 64M or 2T [default: that of the generation]
    #[arg(long, value_parser = parse_size, value_name = "SIZE")]
    capacity: Option<u64>,
    /// Make cartridges that record once
    #[arg(long)]
    worm: bool,
    /// Whose vendor and product texts drives and robot show
    #[arg(long, value_enum, default_value_t = PersonalityArg::Capstan)]
    personality: PersonalityArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum PersonalityArg {
    Capstan,
    Ibm,
    Hpe,
    Quantum,
}

impl From<PersonalityArg> for Personality {
    fn from(personality: PersonalityArg) -> Personality {
        match personality {
            PersonalityArg::Capstan => Personality::Capstan,
            PersonalityArg::Ibm => Personality::Ibm,
            PersonalityArg::Hpe => Personality::Hpe,
            PersonalityArg::Quantum => Personality::Quantum,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum GenerationArg {
    Lto4,
    Lto5,
    Lto6,
    Lto7,
    Lto8,
    Lto9,
    Lto10,
}

impl From<GenerationArg> for Generation {
    fn from(generation: GenerationArg) -> Generation {
        match generation {
            GenerationArg::Lto4 => Generation::Lto4,
            GenerationArg::Lto5 => Generation::Lto5,
            GenerationArg::Lto6 => Generation::Lto6,
            GenerationArg::Lto7 => Generation::Lto7,
            GenerationArg::Lto8 => Generation::Lto8,
            GenerationArg::Lto9 => Generation::Lto9,
            GenerationArg::Lto10 => Generation::Lto10,
        }
    }
}

/// List drives, slots and the cartridges in them
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl list /srv/vtl --output-format json")]
pub struct ListArgs {
    /// The library's folder
    dir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// Cartridges of an emulated library
#[derive(Debug, Subcommand)]
pub enum CartridgeCommand {
    Export(ExportArgs),
    Import(ImportArgs),
    Add(AddArgs),
    Protect(ProtectArgs),
    Check(CheckArgs),
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

pub fn run(command: &VtlCommand) -> Result<Outcome> {
    match command {
        VtlCommand::Create(args) => create(args),
        VtlCommand::List(args) => list(args),
        VtlCommand::Cartridge(CartridgeCommand::Export(args)) => export(args),
        VtlCommand::Cartridge(CartridgeCommand::Import(args)) => import(args),
        VtlCommand::Cartridge(CartridgeCommand::Add(args)) => {
            let library = Library::open(&args.dir)?;
            library.add_cartridge(&args.barcode, args.capacity)?;
            if args.write_protected {
                library.set_write_protected(&args.barcode, true)?;
            }
            Ok(Outcome::Complete)
        }
        VtlCommand::Cartridge(CartridgeCommand::Protect(args)) => {
            Library::open(&args.dir)?.set_write_protected(&args.barcode, !args.off)?;
            Ok(Outcome::Complete)
        }
        VtlCommand::Cartridge(CartridgeCommand::Check(args)) => check(args),
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

fn create(args: &CreateArgs) -> Result<Outcome> {
    let options = Options {
        drives: args.drives,
        slots: args.slots,
        import_export: args.import_export,
        cartridges: args.cartridges,
        barcode_prefix: args.barcode_prefix.clone(),
        generation: args.generation.into(),
        capacity_bytes: args.capacity,
        worm: args.worm,
        personality: args.personality.into(),
    };
    let library = Library::create(&args.dir, &options)?;
    let dir = library.dir().display();
    Bar::bytes("create").line(&format!(
        "drives: vtl:{dir}#drive0 to #drive{}; changer: vtl:{dir}#changer",
        library.drives().saturating_sub(1)
    ));
    Ok(Outcome::Complete)
}

fn list(args: &ListArgs) -> Result<Outcome> {
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
        table(&["element", "number", "barcode", "used", "capacity"], rows)
    })?;
    Ok(Outcome::Complete)
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
            text.push_str(&format!("object {} is damaged: {}\n", object.object, object.reason));
        }
        if report.log_header_damaged {
            text.push_str("the header of its log is damaged\n");
        }
        text
    })?;
    Ok(if sound { Outcome::Complete } else { Outcome::Incomplete })
}
