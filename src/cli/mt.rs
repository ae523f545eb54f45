//! `capstan mt …`: a drive, one command at a time, as users of `mt` and `pmt` know it.
//!
//! The commands do what they say and nothing else: no option of the drive is changed, no label is
//! written. The drive's lock is taken all the same, so that no command gets between a job and its tape.
//! What they do to the tape is in `pbs_tape::operations::mt`.

mod encryption;
mod target;
mod text;

use std::sync::Arc;

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use datastore::Progress;
use pbs_tape::drive::{BLOCK_BYTES_MAX, Drive, OptionChanges, Options, Position};
use pbs_tape::operations::mt::{self, Motion};
use pbs_tape::operations::{alerts, erase};
use pbs_tape::station::DriveStation;
use serde::Serialize;

use super::Outcome;
use super::confirm::confirm;
use super::tape::{drive::print_scan, medium, station};
use crate::config::{Places, Tape};
use crate::device::Devices;
use crate::output::{OutputArgs, OutputFormat, table};
use crate::progress::Bar;
use target::TargetArgs;

/// Largest count that the kernel's tape driver takes, and with it every script.
const COUNT_MAX: i64 = 2_147_483_647;

/// A tape drive, one command at a time, as with mt
///
/// The commands mean the tape in the drive, where it stands. Those that move it print nothing as text, and
/// as JSON where it stands then.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan mt -f /dev/sg3 status\n  \
    capstan mt -f vtl:/srv/vtl#drive0 fsf 2\n  TAPE=/dev/sg3 capstan mt rewind")]
pub struct MtArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Form of the output
    #[arg(long, value_enum, default_value_t, global = true, value_name = "FORMAT")]
    output_format: OutputFormat,
    #[command(subcommand)]
    command: MtCommand,
}

#[derive(Debug, Args)]
struct Count {
    /// How many
    #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=COUNT_MAX))]
    count: u32,
}

#[derive(Debug, Subcommand)]
enum MtCommand {
    /// Go to the beginning of the tape
    #[command(after_help = "Example:\n  capstan mt rewind")]
    Rewind,
    /// Go to the first block of a file
    #[command(visible_alias = "seekfile", after_help = "Example:\n  capstan mt asf 2")]
    Asf {
        /// Number of the file, from 0
        #[arg(value_parser = clap::value_parser!(u32).range(0..=COUNT_MAX))]
        file: u32,
    },
    /// Go forward over filemarks: to the first block of a later file
    #[command(after_help = "Example:\n  capstan mt fsf 1")]
    Fsf(Count),
    /// Go back over filemarks: to the end of an earlier file, before its filemark
    #[command(after_help = "Example:\n  capstan mt bsf 1")]
    Bsf(Count),
    /// Go forward over filemarks and back over the last: to the end of a file
    #[command(after_help = "Example:\n  capstan mt fsfm 1")]
    Fsfm(Count),
    /// Go back over filemarks and forward over the last: to the first block of a file
    #[command(after_help = "Example:\n  capstan mt bsfm 1")]
    Bsfm(Count),
    /// Go forward over blocks of this file
    #[command(after_help = "Example:\n  capstan mt fsr 10")]
    Fsr(Count),
    /// Go back over blocks of this file
    #[command(after_help = "Example:\n  capstan mt bsr 10")]
    Bsr(Count),
    /// Go to the end of the recorded data
    #[command(visible_alias = "seod", after_help = "Example:\n  capstan mt eod")]
    Eod,
    /// Go to a block, counted over the whole tape with its filemarks
    #[command(after_help = "Example:\n  capstan mt seek 1234")]
    Seek {
        /// Its number, from 0, as 'tell' prints it
        block: u64,
    },
    /// Print where the tape stands
    #[command(after_help = "Example:\n  capstan mt tell")]
    Tell,
    /// Write filemarks; what is behind them is lost
    #[command(visible_alias = "eof", after_help = "Example:\n  capstan mt weof 1")]
    Weof {
        /// How many
        #[arg(default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=255))]
        count: u32,
        /// Write even if data follows, which is lost then
        #[arg(long)]
        yes: bool,
    },
    /// Erase from here to the end of the tape
    #[command(after_help = "Example:\n  capstan mt erase --dry-run")]
    Erase(DestroyArgs),
    /// Make the whole tape blank
    #[command(after_help = "Example:\n  capstan mt format --yes")]
    Format(DestroyArgs),
    /// Thread the cartridge that lies in the drive
    #[command(after_help = "Example:\n  capstan mt load")]
    Load,
    /// Rewind and eject the tape
    #[command(visible_aliases = ["offline", "rewoffl"], alias = "unload",
              after_help = "Example:\n  capstan mt eject")]
    Eject,
    /// Wind the tape to its end and back
    #[command(after_help = "Example:\n  capstan mt retension")]
    Retension,
    /// Lock the tape in the drive
    #[command(after_help = "Example:\n  capstan mt lock")]
    Lock,
    /// Let the tape out of the drive again
    #[command(after_help = "Example:\n  capstan mt unlock")]
    Unlock,
    /// Show or change the drive's options
    Options(OptionsArgs),
    /// Show or set compression
    #[command(after_help = "Example:\n  capstan mt compression off")]
    Compression {
        /// What to set
        switch: Option<Switch>,
    },
    /// Set the block length
    #[command(after_help = "Example:\n  capstan mt setblk 0")]
    Setblk {
        /// In bytes; 0 for blocks of any length
        #[arg(value_parser = clap::value_parser!(u32).range(0..=i64::from(BLOCK_BYTES_MAX)))]
        bytes: u32,
    },
    /// List the recording formats that the drive handles
    #[command(visible_alias = "densities", after_help = "Example:\n  capstan mt density --loaded")]
    Density {
        /// Only those that fit the loaded tape
        #[arg(long)]
        loaded: bool,
    },
    /// Show the state of the drive and of the tape in it
    #[command(after_help = "Example:\n  capstan mt status --mt")]
    Status {
        /// In the words of mt
        #[arg(long)]
        mt: bool,
    },
    /// Show the cartridge memory: id|name|value
    #[command(after_help = "Example:\n  capstan mt cartridge-memory")]
    CartridgeMemory,
    /// Show the drive's TapeAlert flags
    #[command(after_help = "Example:\n  capstan mt tape-alert-flags")]
    TapeAlertFlags,
    /// Show what the tape has gone through
    #[command(after_help = "Example:\n  capstan mt volume-statistics")]
    VolumeStatistics,
    /// List the drives of this machine, and what is wrong with those that can't be used
    #[command(after_help = "Example:\n  capstan mt scan")]
    Scan,
    #[command(subcommand)]
    Encryption(encryption::EncryptionCommand),
    /// Ask the drive for sense data: what it has to say unasked
    #[command(after_help = "Example:\n  capstan mt sense")]
    Sense,
}

#[derive(Debug, Args)]
struct DestroyArgs {
    /// Leave the old data physically in place; false overwrites all of it, which takes hours
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "BOOL",
          num_args = 0..=1, default_missing_value = "true")]
    fast: bool,
    /// Do it without asking
    #[arg(long)]
    yes: bool,
    /// Only print what would be done
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan mt options\n  \
                        capstan mt options --compression false --blocksize 65536\n  \
                        capstan mt options --defaults")]
struct OptionsArgs {
    /// Whether the drive compresses
    #[arg(long, value_name = "BOOL")]
    compression: Option<bool>,
    /// Block length in bytes; 0 for blocks of any length
    #[arg(long, value_name = "BYTES",
          value_parser = clap::value_parser!(u32).range(0..=i64::from(BLOCK_BYTES_MAX)))]
    blocksize: Option<u32>,
    /// 0: each write waits for the tape; 1: it returns when the data is in the drive's buffer
    #[arg(long, visible_alias = "buffer_mode", value_name = "0|1",
          value_parser = clap::value_parser!(u8).range(0..=1))]
    buffer_mode: Option<u8>,
    /// What this program writes and reads with: compression, blocks of any length, buffer
    #[arg(long, conflicts_with_all = ["compression", "blocksize", "buffer_mode"])]
    defaults: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Switch {
    #[value(alias = "1")]
    On,
    #[value(alias = "0")]
    Off,
}

pub fn run(places: &Places, args: &MtArgs) -> Result<Outcome> {
    let output = OutputArgs { output_format: args.output_format };
    if matches!(args.command, MtCommand::Scan) {
        return print_scan(scsi::discover::Kind::Tape, output);
    }
    let tape: Tape = places.load()?;
    let config = args.target.find(&tape)?;
    let bar = Arc::new(Bar::bytes("mt"));
    let progress: Arc<dyn Progress> = Arc::clone(&bar) as Arc<dyn Progress>;
    let state = station::state(places)?;
    let mut station =
        DriveStation::open(&state, config, Arc::new(Devices), progress, args.target.wait)?;
    if let MtCommand::Format(destroy) = &args.command {
        return format(&state, &mut station, destroy, output, &bar);
    }
    let mut drive = station.open_drive()?;
    if !matches!(args.command, MtCommand::Sense) {
        // What is pending happened before this process began (`pbs_tape::drive::adopt`). Over iSCSI it is
        // always something: each process is a new session.
        drive.is_ready()?;
    }
    command(&mut drive, &args.command, output, &bar)?;
    Ok(Outcome::Complete)
}

/// Runs a command that needs no more than the drive.
fn command(drive: &mut Drive, command: &MtCommand, output: OutputArgs, bar: &Bar) -> Result<()> {
    let mut go = |motion| -> Result<()> {
        let position = mt::move_tape(drive, motion, bar)?;
        print_place(&position, output)
    };
    match command {
        MtCommand::Rewind => go(Motion::Rewind),
        MtCommand::Asf { file } => go(Motion::File((*file).into())),
        MtCommand::Fsf(Count { count }) => go(Motion::ForwardFiles(*count)),
        MtCommand::Bsf(Count { count }) => go(Motion::BackFiles(*count)),
        MtCommand::Fsfm(Count { count }) => go(Motion::ForwardToFileEnd(*count)),
        MtCommand::Bsfm(Count { count }) => go(Motion::BackToFileStart(*count)),
        MtCommand::Fsr(Count { count }) => go(Motion::ForwardBlocks(*count)),
        MtCommand::Bsr(Count { count }) => go(Motion::BackBlocks(*count)),
        MtCommand::Eod => go(Motion::EndOfData),
        MtCommand::Seek { block } => go(Motion::Object(*block)),
        MtCommand::Tell => output.print(&mt::here(drive, bar)?, |place| {
            format!("At block {} (file {}).", place.object, place.file)
        }),
        MtCommand::Weof { count, yes } => {
            print_place(&mt::write_marks(drive, *count, *yes, bar)?, output)
        }
        MtCommand::Erase(args) => erase_from_here(drive, args, output, bar),
        MtCommand::Load => {
            drive.load()?;
            Ok(drive.wait_ready(false, bar)?)
        }
        MtCommand::Eject => Ok(drive.eject()?),
        MtCommand::Retension => Ok(drive.retension()?),
        MtCommand::Lock => Ok(drive.prevent_removal(true)?),
        MtCommand::Unlock => Ok(drive.prevent_removal(false)?),
        MtCommand::Options(args) => {
            let changes = if args.defaults {
                Options::DEFAULTS
            } else {
                OptionChanges {
                    compression: args.compression,
                    blocksize: args.blocksize,
                    buffer_mode: args.buffer_mode,
                }
            };
            change_options(drive, &changes, output)
        }
        MtCommand::Compression { switch } => {
            let compression = switch.map(|switch| matches!(switch, Switch::On));
            change_options(
                drive,
                &OptionChanges { compression, ..OptionChanges::default() },
                output,
            )
        }
        MtCommand::Setblk { bytes } => {
            let blocksize = Some(*bytes);
            change_options(drive, &OptionChanges { blocksize, ..OptionChanges::default() }, output)
        }
        MtCommand::Density { loaded } => print_densities(drive, *loaded, output),
        MtCommand::Status { mt } => {
            // Pending unit attentions are taken off, so that the status tells where the tape is. What
            // makes that impossible shows in the status.
            let _ = drive.adopt_position();
            let status = drive.status()?;
            if *mt { output.print(&status, text::mt_status) } else { output.print_fields(&status) }
        }
        MtCommand::CartridgeMemory => output.print(&drive.cartridge_memory()?, |list| {
            let lines = list.iter().map(|one| format!("{}|{}|{}\n", one.id, one.name, one.value));
            lines.collect()
        }),
        MtCommand::TapeAlertFlags => {
            output.print(&alerts::alert_flags(drive)?, |alerts| alerts.names.clone())
        }
        MtCommand::VolumeStatistics => output.print_fields(&drive.volume_statistics()?),
        MtCommand::Encryption(command) => encryption::run(drive, command, output),
        MtCommand::Sense => print_sense(drive, output),
        // Handled by the caller: they need more than an open drive, or none.
        MtCommand::Format(_) | MtCommand::Scan => Ok(()),
    }
}

/// As `mt`, says nothing to people about a motion that worked.
fn print_place(position: &Position, output: OutputArgs) -> Result<()> {
    match output.output_format {
        OutputFormat::Text => Ok(()),
        _ => output.print(position, |_| String::new()),
    }
}

fn change_options(drive: &mut Drive, changes: &OptionChanges, output: OutputArgs) -> Result<()> {
    let options = if changes.is_empty() { drive.options()? } else { drive.set_options(changes)? };
    output.print_fields(&options)
}

fn erase_from_here(
    drive: &mut Drive,
    args: &DestroyArgs,
    output: OutputArgs,
    bar: &Bar,
) -> Result<()> {
    let plan = mt::plan_erase(drive, args.fast, bar)?;
    let told = |plan: &mt::ErasePlan| {
        let place = format!("block {} (file {})", plan.from.object, plan.from.file);
        let how = if plan.fast { "at once" } else { "by overwriting, which takes hours" };
        if plan.nothing_follows {
            format!("drive {}: nothing is recorded behind {place}", plan.drive)
        } else {
            format!(
                "drive {}: everything from {place} to the end of the tape is erased {how}",
                plan.drive
            )
        }
    };
    if args.dry_run {
        return output.print(&plan, told);
    }
    confirm(&told(&plan), args.yes)?;
    print_place(&mt::erase(drive, &plan, bar)?, output)
}

/// The same as `tape format`: a tape that is made blank is also forgotten.
fn format(
    state: &pbs_tape::media::StateDir,
    station: &mut DriveStation,
    args: &DestroyArgs,
    output: OutputArgs,
    bar: &Bar,
) -> Result<Outcome> {
    let plan = erase::plan(station, None, args.fast, bar)?;
    if args.dry_run {
        output.print(&plan, medium::format_plan_text)?;
        return Ok(Outcome::Complete);
    }
    confirm(&medium::format_plan_text(&plan), args.yes)?;
    let formatted = erase::format(state, station, plan.label_text.as_deref(), args.fast, bar)?;
    output.print(&formatted, |formatted| {
        let was = formatted.label_text.as_deref().unwrap_or("the tape");
        format!("{was} is blank now")
    })?;
    Ok(Outcome::Complete)
}

/// A recording format as it is listed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct ListedDensity {
    code: u8,
    name: String,
    writable: bool,
    default: bool,
    capacity_mb: u32,
    description: String,
}

fn print_densities(drive: &mut Drive, loaded: bool, output: OutputArgs) -> Result<()> {
    let list: Vec<ListedDensity> = drive
        .densities(loaded)?
        .into_iter()
        .map(|one| ListedDensity {
            code: one.primary.0,
            name: one.primary.to_string(),
            writable: one.writable,
            default: one.is_default,
            capacity_mb: one.capacity_mb,
            description: one.description,
        })
        .collect();
    if list.is_empty() {
        bail!("drive {} names no recording format", drive.name());
    }
    output.print(&list, |list| {
        let rows = list.iter().map(|one| {
            let access = if one.writable { "read, write" } else { "read" };
            vec![
                format!("{:#04x}", one.code),
                one.name.clone(),
                access.to_owned(),
                one.capacity_mb.to_string(),
                one.description.clone(),
            ]
        });
        table(&["code", "name", "access", "capacity-mb", "description"], rows)
    })
}

/// Sense data as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct PrintedSense {
    key: u8,
    asc: u8,
    ascq: u8,
    deferred: bool,
    text: String,
}

fn print_sense(drive: &mut Drive, output: OutputArgs) -> Result<()> {
    let sense = drive.sense()?;
    let (key, asc, ascq) = sense.code();
    let printed =
        PrintedSense { key, asc, ascq, deferred: sense.deferred, text: sense.to_string() };
    output.print(&printed, |printed| printed.text.clone())
}
