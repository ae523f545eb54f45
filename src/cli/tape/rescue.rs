//! `capstan tape rescue`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use changer::{Changer, DriveMatch, serial_number};
use clap::Args;
use datastore::key::paper::Document;
use pbs_tape::keys::KeyStore;
use pbs_tape::media::StateDir;
use pbs_tape::media::find::SnapshotPattern;
use pbs_tape::rescue::{
    FilesOptions, Purpose, RescueFolder, RescueKeys, RescueOptions, RescueReport,
    RescueSnapshotReport, SnapshotState, TapeState, extract_files, run_rescue,
};
use pbs_tape::station::{ChangerConfig, DriveConfig, DriveStation, lock_name};
use scsi::{Address, Connect as _};

use super::{key, station};
use crate::cli::Outcome;
use crate::cli::key::read_text;
use crate::cli::verification::keys_at_hand;
use crate::config::Places;
use crate::device::Devices;
use crate::output::{OutputArgs, OutputFormat, bytes, table};
use crate::progress::{Bar, say};
use crate::repository;

/// How often is looked for the next cartridge.
const RETRY_EVERY: Duration = Duration::from_secs(5);

const AFTER_HELP: &str = "\
DIR becomes, or goes on to be, the folder of a rescue: DIR/datastore/NAME is a datastore for each that is on the cartridges;
what is needed to go on later lies in DIR/.rescue. Nothing is ever written on a cartridge.

Examples:
  capstan tape rescue /srv/rescue --drive /dev/sg3 --list
  capstan tape rescue /srv/rescue --drive /dev/sg3 --changer /dev/sg4
  capstan tape rescue /srv/rescue --drive iscsi://vault/iqn.2026-01.org.example:lib/1 --wait --snapshots host/elsa
  capstan tape rescue /srv/rescue --drive /dev/sg3 --password-file /root/tape-password";

/// Rescue whatever can be read from cartridges, with no configuration, inventory or catalog
///
/// Reads the cartridge in the drive, or with --changer all that are in the library, in whatever order they come: of several
/// media sets, with damaged, blank and foreign ones among them. What is damaged is named and passed over. A snapshot appears
/// in the datastore when all of it was read. Run it again for the next cartridge, or after an interruption: it goes on.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RescueArgs {
    /// Empty folder, or one that a rescue was begun in
    dir: PathBuf,
    /// Address of the drive: /dev/sgN, iscsi://HOST/TARGET/LUN or vtl:DIR#drive0
    #[arg(long, value_name = "ADDRESS")]
    drive: String,
    /// Address of the changer that feeds it; all its cartridges are read
    #[arg(long, value_name = "ADDRESS")]
    changer: Option<String>,
    /// Which of the changer's drives it is, from 0 [default: the one with its serial number]
    #[arg(long, value_name = "N", requires = "changer")]
    changer_drivenum: Option<u64>,
    /// List what is on the cartridges and store nothing; takes minutes a cartridge
    #[arg(long)]
    list: bool,
    /// With --list: read every chunk, for cartridges whose catalogs are missing; takes hours a cartridge
    #[arg(long, requires = "list")]
    scan: bool,
    /// Only snapshots that fit, as in 'tape find': host/elsa, '2024-05-*', main:vm/100; may be repeated
    #[arg(long, value_name = "PATTERN", num_args = 1.., value_parser = SnapshotPattern::parse)]
    snapshots: Vec<SnapshotPattern>,
    /// Take files out of these snapshots, whole or not, to DIR/files: paths or globs as in 'tape extract'; /NAME is an image
    #[arg(long, value_name = "PATTERN", num_args = 1.., conflicts_with = "list")]
    files: Vec<String>,
    /// With --files: the key that a snapshot was encrypted with before it got on tape; may be repeated [default: the default
    /// key, if it opens without a question]
    #[arg(long, value_name = "FILE", requires = "files")]
    keyfile: Vec<PathBuf>,
    /// Ask for the next cartridge and go on when it is in the drive, until nothing is lacking
    #[arg(long, conflicts_with = "changer")]
    wait: bool,
    /// Read also what was read before
    #[arg(long)]
    again: bool,
    /// File whose first line is the passphrase of the key that encrypted cartridges, or the paper key, need
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Key for encrypted cartridges: a paper key, a copy of a key, or a QR code's text; - is the standard input
    #[arg(long, value_name = "FILE")]
    paper_key: Option<PathBuf>,
    /// Owner of the backup groups [default: you@pam]
    #[arg(long, value_name = "USER@REALM")]
    owner: Option<String>,
    /// Threads that check and store chunks [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &RescueArgs) -> Result<Outcome> {
    let mut folder = RescueFolder::open(&args.dir)?;
    let bar = Arc::new(Bar::bytes("tape rescue"));
    let mut keys = keys(places, args)?;
    let options = RescueOptions {
        purpose: match (args.list, args.scan) {
            (true, false) => Purpose::List,
            (true, true) => Purpose::Scan,
            (false, _) => Purpose::Rescue,
        },
        snapshots: args.snapshots.clone(),
        owner: match &args.owner {
            Some(owner) => owner.clone(),
            None => repository::caller()?,
        },
        again: args.again,
        wait: args.wait.then_some(RETRY_EVERY),
        writers: crate::cli::threads(args.threads),
    };
    let config = drive_config(args)?;
    // Jobs of this machine, should it have any, lock the drive in its state folder.
    let of_this_machine = places.state.join("tape");
    let _lock = match of_this_machine.is_dir() {
        true => Some(
            StateDir::open(&of_this_machine)?
                .lock_drive(&lock_name(&config.address), station::LOCK_WAIT)?,
        ),
        false => None,
    };
    let progress: Arc<dyn datastore::Progress> = Arc::clone(&bar) as Arc<dyn datastore::Progress>;
    let state = folder.state().clone();
    let mut station =
        DriveStation::open(&state, config, Arc::new(Devices), progress, station::LOCK_WAIT)?;
    let ended = run_rescue(&mut folder, &mut station, &mut keys, &options, &*bar);
    let mut report = ended.with_context(|| {
        format!(
            "the rescue ended early; what was read is in {}, and the same command goes on",
            folder.path().display()
        )
    })?;
    if !args.files.is_empty() {
        let options = FilesOptions {
            snapshots: args.snapshots.clone(),
            patterns: args.files.clone(),
            keys: keys_at_hand(places, &args.keyfile, &bar)?,
            extract: pxar::extract::Options {
                allow_existing_dirs: true,
                overwrite_files: true,
                overwrite_symlinks: true,
                overwrite_hardlinks: true,
                on_error: pxar::extract::OnError::Continue,
                ..pxar::extract::Options::default()
            },
        };
        report.extracted = extract_files(&mut folder, &options, &*bar)?;
    }
    args.output.print(&report, snapshots_text)?;
    if args.output.output_format == OutputFormat::Text {
        tell(&bar, &report, &folder, args.list);
    }
    let has_all_files = report.extracted.iter().all(|archive| archive.lost.is_empty());
    Ok(if report.is_complete() && has_all_files { Outcome::Complete } else { Outcome::Incomplete })
}

/// The keys that are at hand, and whom to ask for the passphrase of one that a cartridge carries.
fn keys(places: &Places, args: &RescueArgs) -> Result<RescueKeys> {
    let file = args.password_file.clone();
    let mut at_hand = Vec::new();
    if let Some(source) = &args.paper_key {
        let cannot = || format!("cannot use the key in {}", source.display());
        let Document::Key(config) = Document::parse(&read_text(source)?).with_context(cannot)?
        else {
            bail!("{} is a private key, which is none for tapes", source.display());
        };
        let name = config.fingerprint.map(|one| one.to_string()).unwrap_or_default();
        let mut ask = || key::ask(file.as_deref(), &name, config.hint.as_deref());
        at_hand.push(config.unlock(&mut ask).with_context(cannot)?);
    }
    let store = Some(KeyStore::at(&places.config));
    let ask = move |name: &str, hint: Option<&str>| key::ask(file.as_deref(), name, hint);
    Ok(RescueKeys::new(at_hand, store, Box::new(ask)))
}

/// The drive as it was named, and the changer that feeds it.
fn drive_config(args: &RescueArgs) -> Result<DriveConfig> {
    let address: Address = args.drive.parse()?;
    let changer = args.changer.as_deref().map(str::parse::<Address>).transpose()?;
    let changer_drive = match (&changer, args.changer_drivenum) {
        (Some(changer), None) => drive_number(&address, changer)?,
        (_, given) => given.unwrap_or_default(),
    };
    let changer = changer.map(|address| ChangerConfig {
        // A name and no address: files in the folder of the rescue are called after it.
        name: "library".to_owned(),
        address,
        export_slots: Vec::new(),
        eject_before_unload: true,
    });
    Ok(DriveConfig { name: address.to_string(), address, changer, changer_drive })
}

/// Which drive of the changer it is, by its serial number. A changer with one drive has no other.
fn drive_number(drive: &Address, changer: &Address) -> Result<u64> {
    let status = Changer::open(Devices.connect(changer)?)?.status()?;
    let serial = serial_number(&mut Devices.connect(drive)?)?;
    let found = serial.as_deref().map(|serial| status.match_drive(serial));
    if let Some(DriveMatch::Drive(number)) = found {
        return Ok(number);
    }
    if status.numbered_drives().count() == 1 {
        return Ok(0);
    }
    bail!(
        "which drive of changer {changer} is {drive}? its serial number does not tell; give --changer-drivenum"
    )
}

fn snapshots_text(report: &RescueReport) -> String {
    let rows = report.snapshots.iter().map(|one| {
        vec![
            one.store.clone(),
            one.ns.clone(),
            one.snapshot.clone(),
            one.files.len().to_string(),
            bytes(one.size),
            one.tape.clone(),
            state_text(one),
        ]
    });
    table(&["store", "ns", "snapshot", "files", "size", "tape", "state"], rows)
}

fn state_text(one: &RescueSnapshotReport) -> String {
    let state = match one.state {
        SnapshotState::Rescued => "rescued",
        SnapshotState::Complete => "complete",
        SnapshotState::Incomplete => "incomplete",
        SnapshotState::Damaged => "damaged",
    };
    let mut text = state.to_owned();
    if one.missing_chunks > 0 {
        let of = one.chunks.map(|chunks| format!(" of {chunks}")).unwrap_or_default();
        text.push_str(&format!(": {}{of} chunks lacking", one.missing_chunks));
        let tapes: Vec<&str> = one.lacking.iter().map(|lacking| lacking.tape.as_str()).collect();
        if !tapes.is_empty() {
            text.push_str(&format!(", on {}", tapes.join(", ")));
        }
        if one.unknown_chunks > 0 {
            text.push_str(&format!(", {} on no tape that is known", one.unknown_chunks));
        }
    }
    if let Some(reason) = &one.reason {
        text.push_str(&format!(": {reason}"));
    }
    text
}

/// What was seen, what is lacking, and what to do next.
fn tell(bar: &Bar, report: &RescueReport, folder: &RescueFolder, is_list: bool) {
    for tape in &report.tapes {
        let place = tape.seq_nr.map(|seq_nr| format!(", tape {} of its set", seq_nr + 1));
        let reason = match tape.reason.as_str() {
            "" => String::new(),
            reason => format!(": {reason}"),
        };
        let name = match (tape.label_text.as_str(), tape.uuid) {
            ("", Some(uuid)) => uuid.to_string(),
            ("", None) => "without label".to_owned(),
            (text, _) => text.to_owned(),
        };
        let state = match tape.state {
            TapeState::Read => "read",
            TapeState::Damaged => "read; some of it is damaged",
            TapeState::Partly => "not read to its end",
            TapeState::Locked => "not read: its key is lacking",
            TapeState::Unused => "labelled, with nothing on it",
            TapeState::Blank => "blank",
            TapeState::Foreign => "not of this format",
            TapeState::NotLoaded => "could not be loaded or read",
            TapeState::NotSeen => "not seen yet, known from another cartridge",
        };
        bar.line(&format!("cartridge {name}{}: {state}{reason}", place.unwrap_or_default()));
    }
    for set in &report.sets {
        if !set.missing.is_empty() {
            let missing: Vec<String> =
                set.missing.iter().map(|place| (place + 1).to_string()).collect();
            bar.warn(&format!(
                "media set {} of pool {}: tape {} was not seen yet",
                set.uuid,
                set.pool,
                missing.join(", ")
            ));
        }
        if !set.has_end {
            bar.warn(&format!(
                "media set {} of pool {}: there may be a cartridge behind {}, which does not end like the last of a set",
                set.uuid,
                set.pool,
                set.tapes.last().map_or("those that are known", String::as_str)
            ));
        }
    }
    for damage in &report.damage {
        let whose =
            damage.snapshot.as_ref().map(|name| format!(", snapshot {name}")).unwrap_or_default();
        bar.warn(&format!(
            "cartridge {}, file {}{whose}: {} damages, the first: {}",
            damage.tape,
            damage.file,
            damage.count,
            damage.reasons.first().map_or("unknown", String::as_str)
        ));
    }
    let count = |state| report.snapshots.iter().filter(|one| one.state == state).count();
    bar.line(&format!(
        "{} snapshots: {} rescued, {} complete on the cartridges seen, {} incomplete, {} damaged; {} chunks, {} stored in {:.1} s",
        report.snapshots.len(),
        count(SnapshotState::Rescued),
        count(SnapshotState::Complete),
        count(SnapshotState::Incomplete),
        count(SnapshotState::Damaged),
        report.chunks,
        bytes(report.chunk_bytes),
        report.duration.as_secs_f64(),
    ));
    if !is_list {
        for store in stores(report) {
            bar.line(&format!("datastore {store} is in {}", folder.store_path(&store).display()));
        }
    }
    for archive in &report.extracted {
        bar.line(&format!(
            "{} {}: {} entries, {} in {}; {} could not be had",
            archive.snapshot,
            archive.archive,
            archive.entries,
            bytes(archive.content_bytes),
            archive.folder.display(),
            archive.lost.len()
        ));
    }
    if !report.has_all_chosen() {
        say("run the same command with the cartridges that are lacking, in any order; it goes on");
    }
}

/// The datastores that something was rescued into.
fn stores(report: &RescueReport) -> Vec<String> {
    let rescued = report.snapshots.iter().filter(|one| one.state == SnapshotState::Rescued);
    let mut stores: Vec<String> = rescued.map(|one| one.store.clone()).collect();
    stores.dedup();
    stores
}
