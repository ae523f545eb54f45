//! `capstan tape changer …`: the configuration, what is where, and moves by the names of the configuration.

mod moves;

use anyhow::{Context, Result, bail};
use changer::{Changer, EntryKind};
use clap::{Args, Subcommand};
use scsi::Connect as _;

use super::configured;
use crate::cli::Outcome;
use crate::cli::robot::Robot;
use crate::config::{ChangerConfig, Places, Tape, check_name};
use crate::device::Devices;
use crate::output::{OutputArgs, table};

/// Media changers: configure, look, find, move
#[derive(Debug, Subcommand)]
pub enum ChangerCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Update(UpdateArgs),
    Remove(RemoveArgs),
    Scan(ScanArgs),
    Status(StatusArgs),
    Inventory(moves::InventoryArgs),
    Load(moves::LoadArgs),
    Unload(moves::UnloadArgs),
    Transfer(moves::TransferArgs),
    Export(moves::ExportArgs),
    Import(moves::ImportArgs),
    Clean(moves::CleanArgs),
    PutBack(moves::PutBackArgs),
    Lock(moves::LockArgs),
    Unlock(moves::UnlockArgs),
}

/// Configure a changer
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  capstan tape changer create lib --path /dev/tape/by-id/scsi-…\n  \
                        capstan tape changer create lib --path vtl:/srv/vtl#changer"
)]
pub struct CreateArgs {
    /// Its name
    name: String,
    /// Its address: /dev/sgN, /dev/tape/by-id/…, vtl:DIR#changer
    #[arg(long, value_name = "ADDRESS")]
    path: String,
    /// Numbers of slots, besides the library's own, to hand cartridges in and out
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    export_slots: Vec<u64>,
    /// The library cannot take a cartridge out of a drive that has not ejected it
    #[arg(long)]
    eject_before_unload: bool,
}

/// List the configured changers
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer list")]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Show a changer's configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer show lib")]
pub struct ShowArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Change a changer's configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer update lib --export-slots 23,24")]
pub struct UpdateArgs {
    /// Its name
    name: String,
    /// New address
    #[arg(long, value_name = "ADDRESS")]
    path: Option<String>,
    /// New list of export slots
    #[arg(long, value_delimiter = ',', value_name = "N,…")]
    export_slots: Option<Vec<u64>>,
    /// Whether drives must eject first
    #[arg(long, value_name = "BOOL")]
    eject_before_unload: Option<bool>,
}

/// Remove a changer from the configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer remove lib")]
pub struct RemoveArgs {
    /// Its name
    name: String,
}

/// Find the changers of this machine
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer scan")]
pub struct ScanArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Show what is in a library's drives and slots
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape changer status lib")]
pub struct StatusArgs {
    /// Its name [default: the only one configured]
    name: Option<String>,
    /// The last answer will do, if there is one: the library is not asked then
    #[arg(long)]
    cache: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, command: &ChangerCommand) -> Result<Outcome> {
    match command {
        ChangerCommand::Create(args) => create(places, args),
        ChangerCommand::List(args) => {
            let tape: Tape = places.load()?;
            let listed = configured::list(&tape.changer);
            args.output.print(&listed, |listed| {
                let rows = listed.iter().map(|l| vec![l.name.to_owned(), l.config.path.clone()]);
                table(&["name", "path"], rows)
            })?;
            Ok(Outcome::Complete)
        }
        ChangerCommand::Show(args) => show(places, args),
        ChangerCommand::Update(args) => update(places, args),
        ChangerCommand::Remove(args) => remove(places, args),
        ChangerCommand::Scan(args) => {
            super::drive::print_scan(scsi::discover::Kind::Changer, args.output)
        }
        ChangerCommand::Status(args) => status(places, args),
        ChangerCommand::Inventory(args) => moves::inventory(places, args),
        ChangerCommand::Load(args) => moves::load(places, args),
        ChangerCommand::Unload(args) => moves::unload(places, args),
        ChangerCommand::Transfer(args) => moves::transfer(places, args),
        ChangerCommand::Export(args) => moves::export(places, args),
        ChangerCommand::Import(args) => moves::import(places, args),
        ChangerCommand::Clean(args) => moves::clean(places, args),
        ChangerCommand::PutBack(args) => moves::put_back(places, args),
        ChangerCommand::Lock(args) => moves::lock(places, args),
        ChangerCommand::Unlock(args) => moves::unlock(places, args),
    }
}

/// The address as the configuration keeps it; fails unless a changer answers there.
fn check_address(path: &str) -> Result<String> {
    let address = crate::device::absolute(path)?;
    Changer::open(Devices.connect(&address)?)
        .with_context(|| format!("{path} cannot be used as a changer"))?;
    Ok(address.to_string())
}

fn create(places: &Places, args: &CreateArgs) -> Result<Outcome> {
    check_name("changer", &args.name, 3)?;
    let path = check_address(&args.path)?;
    places.change(|tape: &mut Tape| {
        configured::check_new("changer", &tape.changer, &args.name)?;
        if let Some((other, _)) = tape.changer.iter().find(|(_, c)| c.path == path) {
            bail!("changer '{other}' has this address already");
        }
        tape.changer.insert(
            args.name.clone(),
            ChangerConfig {
                path,
                export_slots: args.export_slots.clone(),
                eject_before_unload: args.eject_before_unload,
            },
        );
        Ok(())
    })?;
    Ok(Outcome::Complete)
}

fn show(places: &Places, args: &ShowArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let listed = configured::find("changer", &tape.changer, &args.name)?;
    args.output.print(&listed, |listed| {
        let slots: Vec<_> = listed.config.export_slots.iter().map(u64::to_string).collect();
        let rows = [
            ("name", listed.name.to_owned()),
            ("path", listed.config.path.clone()),
            ("export-slots", slots.join(",")),
            ("eject-before-unload", listed.config.eject_before_unload.to_string()),
        ];
        table(&["", ""], rows.map(|(k, v)| vec![k.to_owned(), v])).trim_start().to_owned()
    })?;
    Ok(Outcome::Complete)
}

fn update(places: &Places, args: &UpdateArgs) -> Result<Outcome> {
    let path = args.path.as_deref().map(check_address).transpose()?;
    places.change(|tape: &mut Tape| {
        let config = configured::find_mut("changer", &mut tape.changer, &args.name)?;
        if let Some(path) = path {
            config.path = path;
        }
        if let Some(slots) = &args.export_slots {
            config.export_slots.clone_from(slots);
        }
        if let Some(eject) = args.eject_before_unload {
            config.eject_before_unload = eject;
        }
        Ok(())
    })?;
    Ok(Outcome::Complete)
}

fn remove(places: &Places, args: &RemoveArgs) -> Result<Outcome> {
    places.change(|tape: &mut Tape| {
        let user = tape.drive.iter().find(|(_, d)| d.changer.as_deref() == Some(&args.name));
        if let Some((drive, _)) = user {
            bail!("drive '{drive}' uses changer '{}'; change that first", args.name);
        }
        configured::remove("changer", &mut tape.changer, &args.name)
    })?;
    Ok(Outcome::Complete)
}

fn status(places: &Places, args: &StatusArgs) -> Result<Outcome> {
    let status = Robot::named(places, args.name.as_deref())?.status(args.cache)?;
    args.output.print(&status.entries(), |entries| {
        let rows = entries.iter().map(|entry| {
            let kind = match entry.entry_kind {
                EntryKind::Drive => "drive",
                EntryKind::Slot => "slot",
                EntryKind::ImportExport => "import-export",
            };
            let content = match entry.label_text.as_deref() {
                None => "",
                Some("") => "--FULL--",
                Some(text) => text,
            };
            let from = entry.loaded_slot.map(|slot| format!("from slot {slot}"));
            vec![
                kind.to_owned(),
                entry.entry_id.to_string(),
                content.to_owned(),
                from.unwrap_or_default(),
            ]
        });
        table(&["entry", "id", "label-text", ""], rows)
    })?;
    Ok(Outcome::Complete)
}
