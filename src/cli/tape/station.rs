//! The drive that a command uses: found in the configuration, locked, opened. And the commands that
//! do nothing but move or look: `tape load-media|unload|status`.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use pbs_tape::care::CleanPolicy;
use pbs_tape::loader::MediaLoader as _;
use pbs_tape::media::StateDir;
use pbs_tape::station::{ChangerConfig, DriveConfig, DriveStation};
use scsi::Address;

use super::key;
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::device::Devices;
use crate::output::OutputArgs;
use crate::progress::Bar;

/// How long a command waits for another one that uses the drive.
pub const LOCK_WAIT: Duration = Duration::from_secs(10);

/// The option that every command with a drive has.
#[derive(Debug, Clone, Args)]
pub struct DriveArg {
    /// The drive [default: the only one configured]
    #[arg(long, env = "CAPSTAN_TAPE_DRIVE", hide_env = true, value_name = "NAME")]
    pub drive: Option<String>,
}

/// The folder of inventory, catalogs and locks.
pub fn state(places: &Places) -> Result<StateDir> {
    Ok(StateDir::open(places.state.join("tape"))?.with_keys(key::store(places)))
}

/// Finds the drive's configuration: the one named, or the only one.
pub fn find_drive(tape: &Tape, name: Option<&str>) -> Result<DriveConfig> {
    let name = match name {
        Some(name) => name,
        None => match tape.drive.keys().collect::<Vec<_>>().as_slice() {
            [] => bail!("no drive is configured; 'capstan tape drive create' makes one"),
            [only] => only.as_str(),
            several => bail!("which drive? give --drive with one of: {}", join(several)),
        },
    };
    let drive = tape.drive.get(name).with_context(|| {
        format!("there is no drive '{name}'; 'capstan tape drive list' shows the names")
    })?;
    let changer = match &drive.changer {
        None => None,
        Some(changer) => Some(find_changer(tape, changer)?),
    };
    Ok(DriveConfig {
        name: name.to_owned(),
        address: drive.path.parse::<Address>()?,
        changer,
        changer_drive: drive.changer_drivenum,
    })
}

/// Finds a changer's configuration.
pub fn find_changer(tape: &Tape, name: &str) -> Result<ChangerConfig> {
    let config = tape.changer.get(name).with_context(|| {
        format!("there is no changer '{name}'; 'capstan tape changer list' shows the names")
    })?;
    Ok(ChangerConfig {
        name: name.to_owned(),
        address: config.path.parse::<Address>()?,
        export_slots: config.export_slots.clone(),
        eject_before_unload: config.eject_before_unload,
    })
}

fn join(names: &[&String]) -> String {
    names.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
}

/// Names of all changers.
pub fn changer_names(tape: &Tape) -> Vec<String> {
    tape.changer.keys().cloned().collect()
}

/// Locks and opens the drive for an operation.
pub fn open(
    state: &StateDir,
    tape: &Tape,
    name: Option<&str>,
    bar: &Arc<Bar>,
) -> Result<DriveStation> {
    let config = find_drive(tape, name)?;
    let progress: Arc<dyn datastore::Progress> = Arc::clone(bar) as Arc<dyn datastore::Progress>;
    let station = DriveStation::open(state, config, Arc::new(Devices), progress, LOCK_WAIT)?;
    Ok(cleaned_as_configured(tape, station))
}

fn cleaned_as_configured(tape: &Tape, station: DriveStation) -> DriveStation {
    let config = tape.drive.get(&station.config().name);
    let clean = config.map_or(CleanPolicy::default(), |config| config.clean);
    station.with_cleaning(clean)
}

/// Locks and opens several drives for one operation.
pub fn open_all(
    state: &StateDir,
    tape: &Tape,
    names: &[Option<String>],
    bar: &Arc<Bar>,
) -> Result<Vec<DriveStation>> {
    let configs = names.iter().map(|name| find_drive(tape, name.as_deref()));
    let configs = configs.collect::<Result<Vec<_>>>()?;
    let progress: Arc<dyn datastore::Progress> = Arc::clone(bar) as Arc<dyn datastore::Progress>;
    let connect: Arc<dyn scsi::Connect> = Arc::new(Devices);
    let all = pbs_tape::station::open_all(state, configs, &connect, &progress, LOCK_WAIT)?;
    Ok(all.into_iter().map(|station| cleaned_as_configured(tape, station)).collect())
}

/// Load a cartridge by its bar code
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape load-media CAP001L8 --drive lto0")]
pub struct LoadArgs {
    /// Bar code
    label_text: String,
    #[command(flatten)]
    drive: DriveArg,
}

/// Eject the cartridge and put it back into a slot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape unload --drive lto0")]
pub struct UnloadArgs {
    /// Number of the slot to put it into [default: the one it came from, else a free one]
    #[arg(long, value_name = "N")]
    target_slot: Option<u64>,
    #[command(flatten)]
    drive: DriveArg,
}

/// Show the state of a drive and of the cartridge in it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape status --drive lto0 --output-format json")]
pub struct StatusArgs {
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

/// Clean a drive with its library's cleaning cartridge
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape clean --drive lto0\n  \
                        capstan tape clean --cartridge CLN001L8")]
pub struct CleanArgs {
    /// Bar code of the cleaning cartridge, even if it is known to be used up [default: one that is not]
    #[arg(long, value_name = "LABEL")]
    cartridge: Option<String>,
    #[command(flatten)]
    drive: DriveArg,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn clean(places: &Places, args: &CleanArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let bar = Arc::new(Bar::bytes("clean"));
    let station = open(&state(places)?, &tape, args.drive.drive.as_deref(), &bar)?;
    let cleaned = pbs_tape::operations::clean::clean(&station, args.cartridge.as_deref(), &*bar)?;
    args.output.print(&cleaned, |cleaned| {
        format!(
            "drive {} was cleaned with {}, which is in slot {} again{}",
            cleaned.drive,
            cleaned.label_text,
            cleaned.slot,
            cleaned
                .cleanings_left
                .map_or(String::new(), |left| format!(" and has {left} uses left"))
        )
    })?;
    if cleaned.still_requested {
        bar.warn(&format!(
            "drive {} still asks to be cleaned; is {} used up?",
            cleaned.drive, cleaned.label_text
        ));
        return Ok(Outcome::Incomplete);
    }
    Ok(Outcome::Complete)
}

pub fn load(places: &Places, args: &LoadArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let bar = Arc::new(Bar::bytes("load"));
    let mut station = open(&state(places)?, &tape, args.drive.drive.as_deref(), &bar)?;
    if station.config().changer.is_none() {
        bail!("drive '{}' has no changer; put the cartridge in by hand", station.config().name);
    }
    drop(station.load(&args.label_text, &*bar)?);
    Ok(Outcome::Complete)
}

pub fn unload(places: &Places, args: &UnloadArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let bar = Arc::new(Bar::bytes("unload"));
    let mut station = open(&state(places)?, &tape, args.drive.drive.as_deref(), &bar)?;
    match args.target_slot {
        None => station.unload(None)?,
        Some(slot) => {
            let drive = station.config().changer_drive;
            if station.config().changer.as_ref().is_some_and(|c| c.eject_before_unload) {
                station.open_drive()?.eject()?;
            }
            station.open_changer()?.unload(drive, Some(slot))?;
        }
    }
    Ok(Outcome::Complete)
}

pub fn status(places: &Places, args: &StatusArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let bar = Arc::new(Bar::bytes("status"));
    let station = open(&state(places)?, &tape, args.drive.drive.as_deref(), &bar)?;
    let mut drive = station.open_drive()?;
    // Pending unit attentions are taken off, so that the status tells where the tape is. What makes that
    // impossible shows in the status.
    let _ = drive.adopt_position();
    let status = drive.status()?;
    args.output.print_fields(&status)?;
    Ok(Outcome::Complete)
}
