//! `capstan tape drive …`

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use pbs_tape::care::CleanPolicy;
use pbs_tape::drive::Drive;
use scsi::Connect as _;
use scsi::discover::{Kind, Roots};

use super::configured::{self, Listed};
use super::{care, matching, station};
use crate::cli::Outcome;
use crate::config::{DriveConfig, Places, Tape, check_name};
use crate::device::Devices;
use crate::output::{OutputArgs, table};

/// Tape drives: configure, look, find
#[derive(Debug, Subcommand)]
pub enum DriveCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Update(UpdateArgs),
    Remove(RemoveArgs),
    Scan(ScanArgs),
    Status(station::StatusArgs),
    Statistics(care::DriveStatisticsArgs),
}

/// Configure a drive
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    capstan tape drive create lto0 --path /dev/tape/by-id/scsi-…-sg --changer lib\n  \
    capstan tape drive create lto0 --path vtl:/srv/vtl#drive0 --changer lib")]
pub struct CreateArgs {
    /// Its name
    name: String,
    /// Its address: /dev/sgN, /dev/tape/by-id/…-sg, vtl:DIR#drive0
    #[arg(long, value_name = "ADDRESS")]
    path: String,
    /// The changer that loads it; empty for none [default: the one that reports its serial number]
    #[arg(long, value_name = "NAME")]
    changer: Option<String>,
    /// Which of the changer's drives it is, from 0 [default: the one with its serial number]
    #[arg(long, value_name = "N", requires = "changer")]
    changer_drivenum: Option<u64>,
    /// Whether jobs clean it when it asks: between two tapes, with its library's cleaning cartridge [default: auto]
    #[arg(long, value_enum, value_name = "WHEN")]
    clean: Option<Clean>,
}

/// When a drive is cleaned.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Clean {
    /// When it asks for it
    Auto,
    /// Only by 'tape clean'
    Never,
}

impl From<Clean> for CleanPolicy {
    fn from(clean: Clean) -> CleanPolicy {
        match clean {
            Clean::Auto => CleanPolicy::Auto,
            Clean::Never => CleanPolicy::Never,
        }
    }
}

/// List the configured drives
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape drive list")]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Show a drive's configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape drive show lto0")]
pub struct ShowArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Change a drive's configuration
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan tape drive update lto0 --changer lib --changer-drivenum 1"
)]
pub struct UpdateArgs {
    /// Its name
    name: String,
    /// New address
    #[arg(long, value_name = "ADDRESS")]
    path: Option<String>,
    /// New changer; empty for none
    #[arg(long, value_name = "NAME")]
    changer: Option<String>,
    /// Which of the changer's drives it is, from 0
    #[arg(long, value_name = "N")]
    changer_drivenum: Option<u64>,
    /// Whether jobs clean it when it asks
    #[arg(long, value_enum, value_name = "WHEN")]
    clean: Option<Clean>,
}

/// Remove a drive from the configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape drive remove lto0")]
pub struct RemoveArgs {
    /// Its name
    name: String,
}

/// Find the drives of this machine
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape drive scan")]
pub struct ScanArgs {
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, command: &DriveCommand) -> Result<Outcome> {
    match command {
        DriveCommand::Create(args) => create(places, args),
        DriveCommand::List(args) => {
            let tape: Tape = places.load()?;
            let listed = configured::list(&tape.drive);
            args.output.print(&listed, |listed| table_of(listed))?;
            Ok(Outcome::Complete)
        }
        DriveCommand::Show(args) => {
            let tape: Tape = places.load()?;
            let listed = configured::find("drive", &tape.drive, &args.name)?;
            args.output.print(&listed, |listed| table_of(std::slice::from_ref(listed)))?;
            Ok(Outcome::Complete)
        }
        DriveCommand::Update(args) => update(places, args),
        DriveCommand::Remove(args) => {
            places.change(|tape: &mut Tape| {
                configured::remove("drive", &mut tape.drive, &args.name)
            })?;
            Ok(Outcome::Complete)
        }
        DriveCommand::Scan(args) => print_scan(Kind::Tape, args.output),
        DriveCommand::Status(args) => station::status(places, args),
        DriveCommand::Statistics(args) => care::drive_statistics(places, args),
    }
}

fn table_of(listed: &[Listed<'_, DriveConfig>]) -> String {
    let rows = listed.iter().map(|drive| {
        let changer = drive.config.changer.clone();
        let number = changer.as_ref().map(|_| drive.config.changer_drivenum.to_string());
        vec![
            drive.name.to_owned(),
            drive.config.path.clone(),
            changer.unwrap_or_default(),
            number.unwrap_or_default(),
        ]
    });
    table(&["name", "path", "changer", "changer-drivenum"], rows)
}

/// The address as the configuration keeps it; fails unless a drive answers there.
fn check_address(path: &str) -> Result<String> {
    let address = crate::device::absolute(path)?;
    Drive::open(Devices.connect(&address)?)
        .with_context(|| format!("{path} cannot be used as a tape drive"))?;
    Ok(address.to_string())
}

fn check_changer(tape: &Tape, name: &str) -> Result<()> {
    if !tape.changer.contains_key(name) {
        bail!("there is no changer '{name}'; 'capstan tape changer create' makes one");
    }
    Ok(())
}

fn create(places: &Places, args: &CreateArgs) -> Result<Outcome> {
    check_name("drive", &args.name, 3)?;
    let path = check_address(&args.path)?;
    let tape: Tape = places.load()?;
    if let Some(changer) = args.changer.as_deref().filter(|changer| !changer.is_empty()) {
        check_changer(&tape, changer)?;
    }
    let place = matching::place(&tape, &path, args.changer.as_deref(), args.changer_drivenum)?;
    places.change(|tape: &mut Tape| {
        configured::check_new("drive", &tape.drive, &args.name)?;
        if let Some((other, _)) = tape.drive.iter().find(|(_, d)| d.path == path) {
            bail!("drive '{other}' has this address already");
        }
        if let Some(changer) = &place.changer {
            check_changer(tape, changer)?;
        }
        tape.drive.insert(
            args.name.clone(),
            DriveConfig {
                path,
                changer: place.changer,
                changer_drivenum: place.number,
                clean: args.clean.map(CleanPolicy::from).unwrap_or_default(),
            },
        );
        Ok(())
    })?;
    Ok(Outcome::Complete)
}

fn update(places: &Places, args: &UpdateArgs) -> Result<Outcome> {
    let path = args.path.as_deref().map(check_address).transpose()?;
    let tape: Tape = places.load()?;
    let known = configured::find("drive", &tape.drive, &args.name)?.config;
    let changer = args.changer.as_deref().or(known.changer.as_deref()).unwrap_or("");
    if !changer.is_empty() {
        check_changer(&tape, changer)?;
    }
    // In the same changer it keeps its number, unless it is another drive now.
    let is_there = args.changer.is_none() && path.is_none();
    let number = args.changer_drivenum.or(is_there.then_some(known.changer_drivenum));
    let path = path.unwrap_or_else(|| known.path.clone());
    let place = matching::place(&tape, &path, Some(changer), number)?;
    places.change(|tape: &mut Tape| {
        let drive = configured::find_mut("drive", &mut tape.drive, &args.name)?;
        drive.path = path;
        drive.changer = place.changer;
        drive.changer_drivenum = place.number;
        if let Some(clean) = args.clean {
            drive.clean = clean.into();
        }
        Ok(())
    })?;
    Ok(Outcome::Complete)
}

/// Lists the hardware of one kind.
pub fn print_scan(kind: Kind, output: OutputArgs) -> Result<Outcome> {
    let found: Vec<_> = scsi::discover::scan(&Roots::default())
        .context("cannot look for SCSI devices")?
        .into_iter()
        .filter(|device| device.kind == kind)
        .collect();
    output.print(&found, |found| {
        let rows = found.iter().map(|device| {
            let nodes = device.kernel_nodes.iter().map(|node| node.display().to_string());
            vec![
                device.path.display().to_string(),
                device.vendor.clone(),
                device.model.clone(),
                device.serial.clone().unwrap_or_default(),
                nodes.collect::<Vec<_>>().join(" "),
                device.reason.clone().unwrap_or_else(|| "usable".to_owned()),
            ]
        });
        table(&["path", "vendor", "model", "serial", "kernel", "state"], rows)
    })?;
    Ok(Outcome::Complete)
}
