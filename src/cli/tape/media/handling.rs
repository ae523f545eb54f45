//! What an operator says about cartridges, and what goes out of and into a library:
//! `tape media move|vault|set-status|destroy|export|import`.

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use pbs_tape::media::{Location, MediaStatus};
use pbs_tape::operations::export::{ExportResult, Exported, Imported, export_set, import_all};
use pbs_tape::operations::file_lists::forget_files;
use pbs_tape::operations::media::{self, Moved};
use uuid::Uuid;

use crate::cli::Outcome;
use crate::cli::robot::Robot;
use crate::cli::tape::station;
use crate::config::Places;
use crate::output::{OutputArgs, OutputFormat, table};
use crate::progress::Bar;

/// Which cartridge.
#[derive(Debug, Args)]
struct Which {
    /// Label text or UUID of the cartridge
    tape: String,
    /// Which one of several with this label text
    #[arg(long, value_name = "UUID")]
    uuid: Option<Uuid>,
}

impl Which {
    fn find(&self, places: &Places) -> Result<Uuid> {
        Ok(media::find(&station::state(places)?, &self.tape, self.uuid.as_ref())?)
    }
}

/// Where to.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct Target {
    /// To the vault of this name: no job will ask for it there
    #[arg(long, value_name = "NAME")]
    vault: Option<String>,
    /// To the shelf, from where somebody can bring it
    #[arg(long)]
    offline: bool,
}

/// Record where a cartridge was brought
///
/// A cartridge that a library holds becomes online again as soon as that library is asked.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape media move CAP001L8 --vault bank\n  \
                        capstan tape media move CAP001L8 --offline")]
pub struct MoveArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    output: OutputArgs,
}

/// Record that all cartridges of a media set were brought to a vault
///
/// All of them at once, or none. A media set that a job uses is refused.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan tape media vault 9da37a55-aac7-4deb-91c6-482b3b675f30 --vault bank --dry-run"
)]
pub struct VaultArgs {
    /// UUID of the media set; 'tape media sets' shows it
    media_set: Uuid,
    #[command(flatten)]
    target: Target,
    /// Only print what would be recorded
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Record that a cartridge is full, damaged or retired, or take that back
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape media set-status CAP001L8 damaged\n  \
                        capstan tape media set-status CAP001L8 clear")]
pub struct SetStatusArgs {
    #[command(flatten)]
    which: Which,
    /// What it is
    #[arg(value_enum)]
    status: Decision,
}

/// What can be said about a cartridge.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Decision {
    /// It takes no more data
    Full,
    /// It is broken: it is never written on again, and its media set is not continued
    Damaged,
    /// It is not to be used any more, as for damaged
    Retired,
    /// Nothing: what may be done with it follows from its label and its pool
    Clear,
}

/// Forget a cartridge that is gone; nothing is written on it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape media destroy CAP001L8")]
pub struct DestroyArgs {
    #[command(flatten)]
    which: Which,
    /// Also if it holds data of a media set
    #[arg(long)]
    force: bool,
}

/// Bring all cartridges of a media set to the import/export slots
///
/// If the slots are too few, take out what is there and run it again.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan tape media export 9da37a55-aac7-4deb-91c6-482b3b675f30"
)]
pub struct ExportArgs {
    /// UUID of the media set; 'tape media sets' shows it
    media_set: Uuid,
    /// The library [default: the only one configured]
    #[arg(long, value_name = "NAME")]
    changer: Option<String>,
    /// Only print what would be moved
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArgs,
}

/// Bring all cartridges in the import/export slots into the library
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape media import")]
pub struct ImportArgs {
    /// The library [default: the only one configured]
    #[arg(long, value_name = "NAME")]
    changer: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

fn moved_table(moved: &[Moved]) -> String {
    let rows = moved
        .iter()
        .map(|one| vec![one.label_text.clone(), one.from.to_string(), one.to.to_string()]);
    table(&["label-text", "from", "to"], rows)
}

/// What was in a library when that was asked last may be there still.
fn warn_online(moved: &[Moved], bar: &Bar) {
    for one in moved {
        if let Location::Online(changer) = &one.from {
            bar.warn(&format!(
                "{} was in library {changer} when that was asked last; if it is still there, the \
                 next inventory says so again",
                one.label_text
            ));
        }
    }
}

fn warn_unknown(seq_nrs: &[usize], bar: &Bar) {
    for seq_nr in seq_nrs {
        bar.warn(&format!(
            "the cartridge with sequence number {seq_nr} of the media set is not in the inventory"
        ));
    }
}

pub fn move_one(places: &Places, args: &MoveArgs) -> Result<Outcome> {
    let tape = args.which.find(places)?;
    let moved = media::set_location(&station::state(places)?, &tape, args.target.vault.as_deref())?;
    args.output.print(&moved, |moved| moved_table(std::slice::from_ref(moved)))?;
    warn_online(std::slice::from_ref(&moved), &Bar::bytes("move"));
    Ok(Outcome::Complete)
}

pub fn vault(places: &Places, args: &VaultArgs) -> Result<Outcome> {
    let state = station::state(places)?;
    let vault = args.target.vault.as_deref();
    let report = media::move_set(&state, &args.media_set, vault, args.dry_run)?;
    args.output.print(&report, |report| moved_table(&report.moved))?;
    let bar = Bar::bytes("vault");
    warn_online(&report.moved, &bar);
    warn_unknown(&report.unknown, &bar);
    Ok(if report.unknown.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

pub fn set_status(places: &Places, args: &SetStatusArgs) -> Result<Outcome> {
    let tape = args.which.find(places)?;
    let status = match args.status {
        Decision::Full => Some(MediaStatus::Full),
        Decision::Damaged => Some(MediaStatus::Damaged),
        Decision::Retired => Some(MediaStatus::Retired),
        Decision::Clear => None,
    };
    media::set_status(&station::state(places)?, &tape, status)?;
    Ok(Outcome::Complete)
}

pub fn destroy(places: &Places, args: &DestroyArgs) -> Result<Outcome> {
    let tape = args.which.find(places)?;
    let state = station::state(places)?;
    media::destroy(&state, &tape, args.force)?;
    forget_files(&state)?;
    Ok(Outcome::Complete)
}

pub fn export(places: &Places, args: &ExportArgs) -> Result<Outcome> {
    let state = station::state(places)?;
    let robot = Robot::named(places, args.changer.as_deref())?;
    let bar = Bar::bytes("export");
    let report =
        robot.lend(|library| export_set(&state, &args.media_set, library, args.dry_run, &bar))?;
    args.output.print(&report, |report| exported_table(&report.tapes))?;
    let waiting = report.tapes.iter().filter(|one| one.result == ExportResult::NoFreeSlot).count();
    if waiting > 0 {
        bar.warn(&format!(
            "{waiting} cartridges find no free import/export slot; take out what is there and run it again"
        ));
    }
    warn_unknown(&report.unknown, &bar);
    Ok(if report.is_complete() { Outcome::Complete } else { Outcome::Incomplete })
}

fn exported_table(report: &[Exported]) -> String {
    let rows = report.iter().map(|one| {
        let what = match (one.result, one.slot) {
            (ExportResult::Exported, Some(slot)) => format!("moved to import/export slot {slot}"),
            (ExportResult::Ready, Some(slot)) => format!("in import/export slot {slot} already"),
            (ExportResult::WouldExport, _) => "would be moved".to_owned(),
            (ExportResult::NoFreeSlot, _) => "no free import/export slot".to_owned(),
            (ExportResult::NotOnline, _) => "not in this library".to_owned(),
            (_, _) => one.reason.clone().unwrap_or_default(),
        };
        vec![one.label_text.clone(), one.seq_nr.to_string(), what]
    });
    table(&["label-text", "seq-nr", "result"], rows)
}

pub fn import(places: &Places, args: &ImportArgs) -> Result<Outcome> {
    let state = station::state(places)?;
    let robot = Robot::named(places, args.changer.as_deref())?;
    let bar = Bar::bytes("import");
    let report = robot.lend(|library| import_all(&state, library, &bar))?;
    if report.is_empty() && args.output.output_format == OutputFormat::Text {
        bar.line("nothing is in the import/export slots");
    } else {
        args.output.print(&report, |report| imported_table(report))?;
    }
    if report.iter().any(|one| one.slot.is_some() && one.uuid.is_none()) {
        bar.tell("'capstan tape inventory --read-labels' makes unknown cartridges known");
    }
    let stayed = report.iter().filter(|one| one.slot.is_none()).count();
    if stayed > 0 {
        bail!("{stayed} cartridges stay in the import/export slots: no storage slot is free");
    }
    Ok(Outcome::Complete)
}

fn imported_table(report: &[Imported]) -> String {
    let rows = report.iter().map(|one| {
        vec![
            one.label_text.clone().unwrap_or_else(|| "(no bar code)".to_owned()),
            one.uuid.map(|uuid| uuid.to_string()).unwrap_or_else(|| "unknown".to_owned()),
            one.slot.map(|slot| format!("slot {slot}")).unwrap_or_else(|| "stays".to_owned()),
        ]
    });
    table(&["label-text", "uuid", "to"], rows)
}
