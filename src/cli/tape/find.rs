//! `capstan tape find`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use pbs_tape::extract::ExtractOptions;
use pbs_tape::loader::MediaWait;
use pbs_tape::media::StateDir;
use pbs_tape::media::find::{SnapshotPattern, find_snapshots};
use pbs_tape::media::find_files::{FilePattern, FileSearch, Unsearched, find_files};
use pbs_tape::media::listing::ContentFilter;
use pbs_tape::operations::file_lists::{NamesRead, TapeNames};

use super::pool;
use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::keys;
use crate::output::{OutputArgs, table};
use crate::progress::{Bar, say};

const AFTER_HELP: &str = "\
A PATTERN is a glob over STORE/[ns/A/ns/B/]TYPE/ID/TIME. It may leave out the beginning, and finds all that is below what it fits: a
datastore, a namespace, a group. With --file it says in which snapshots to look.

Examples:
  capstan tape find host/elsa
  capstan tape find '2024-05-*' --pool offsite
  capstan tape find 'archive:vm/*' 'ns/site/**/elsa'
  capstan tape find --file /etc/fstab
  capstan tape find host/elsa --file '*.conf' --file 'home/*/notes'
  capstan tape find host/elsa --file /etc/fstab --read-tapes --drive lto0";

/// Find snapshots on cartridges by their names, or files in them
///
/// Answers from catalogs and lists of files on this machine; no cartridge is loaded, unless --read-tapes is given.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct FindArgs {
    /// Which snapshots
    #[arg(value_name = "PATTERN", required_unless_present = "files", value_parser = SnapshotPattern::parse)]
    patterns: Vec<SnapshotPattern>,
    /// Which files: a glob over the path in the archive; it may leave out the beginning
    #[arg(long = "file", value_name = "PATTERN", value_parser = FilePattern::parse)]
    files: Vec<FilePattern>,
    /// Only media sets of this pool
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Read the names of snapshots that are not known yet from their cartridges first, and keep them for the next time (those of encrypted
    /// snapshots are not kept)
    #[arg(long, requires = "files")]
    read_tapes: bool,
    #[command(flatten)]
    drive: DriveArg,
    /// Key of encrypted snapshots [default: the default key, if it is that one]
    #[arg(long, value_name = "FILE", requires = "read_tapes")]
    keyfile: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &FindArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let filter = ContentFilter { pool: args.pool.clone(), ..ContentFilter::default() };
    if !args.files.is_empty() {
        return run_files(places, &tape, args, &filter);
    }
    let (found, without_catalog) =
        find_snapshots(&station::state(places)?, &pool::all(&tape)?, &args.patterns, &filter)?;
    args.output.print(&found, |found| {
        let rows = found.iter().map(|found| {
            let content = &found.content;
            vec![
                format!("{}:{}", content.store, content.snapshot),
                content.label_text.clone(),
                found.location.clone(),
                content.pool.clone(),
                content.media_set_name.clone(),
                content.seq_nr.to_string(),
            ]
        });
        table(&["snapshot", "label-text", "location", "pool", "media-set", "seq-nr"], rows)
    })?;
    tell_without_catalog(&without_catalog);
    if found.is_empty() {
        bail!("no snapshot in the catalogs fits");
    }
    Ok(if without_catalog.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

fn tell_without_catalog(tapes: &[String]) {
    for tape in tapes {
        say(&format!(
            "warning: cartridge {tape} has no catalog here; 'capstan tape catalog' makes one"
        ));
    }
}

fn run_files(
    places: &Places,
    tape: &Tape,
    args: &FindArgs,
    filter: &ContentFilter,
) -> Result<Outcome> {
    let state = station::state(places)?;
    let search = || {
        let pools = pool::all(tape)?;
        anyhow::Ok(find_files(&state, &pools, &args.files, &args.patterns, filter)?)
    };
    let mut search_result = search()?;
    let mut is_unread = false;
    if args.read_tapes && search_result.is_incomplete() {
        let read = read_tapes(places, tape, args, &state, &search_result)?;
        is_unread = !read.failed.is_empty();
        for (snapshot, reason) in &read.failed {
            say(&format!("warning: the names in {snapshot} could not be read: {reason}"));
        }
        search_result = search()?;
        search_result.not_searched.retain(|one| !read.searched.contains(&one.snapshot));
        search_result.add(read.found);
    }
    args.output.print(&search_result, files_text)?;
    tell_unsearched(&search_result);
    if search_result.found.is_empty() {
        bail!("no file in the snapshots that were looked through fits");
    }
    let is_complete = !is_unread && !search_result.is_incomplete();
    Ok(if is_complete { Outcome::Complete } else { Outcome::Incomplete })
}

fn files_text(search: &FileSearch) -> String {
    let rows = search.found.iter().flat_map(|file| {
        file.snapshots.iter().map(|place| {
            let content = &place.content;
            vec![
                file.path.clone(),
                file.kind.to_string(),
                file.archive.clone(),
                format!("{}:{}", content.store, content.snapshot),
                content.label_text.clone(),
                place.location.clone(),
                content.media_set_name.clone(),
            ]
        })
    });
    let header = ["path", "", "archive", "snapshot", "label-text", "location", "media-set"];
    table(&header, rows)
}

fn tell_unsearched(search: &FileSearch) {
    tell_without_catalog(&search.without_catalog);
    let of = |reason| search.not_searched.iter().filter(move |one| one.reason == reason);
    for one in of(Unsearched::Encrypted) {
        let name = &one.snapshot;
        say(&format!(
            "not searched: {name} is encrypted; --read-tapes looks through it with its key"
        ));
    }
    for one in of(Unsearched::Unknown) {
        let name = &one.snapshot;
        say(&format!("not searched: the names in {name} are not known; --read-tapes reads them"));
    }
    match of(Unsearched::NoCatalog).count() {
        0 => {}
        count => say(&format!(
            "{count} snapshots have no catalog of names: images, or archives in two parts"
        )),
    }
}

fn read_tapes(
    places: &Places,
    tape: &Tape,
    args: &FindArgs,
    state: &StateDir,
    search: &FileSearch,
) -> Result<NamesRead> {
    const SPOOL_BYTES_MAX: u64 = 16 << 30;
    let bar = Arc::new(Bar::bytes("tape find"));
    let mut station = station::open(state, tape, args.drive.drive.as_deref(), &bar)?;
    let options = ExtractOptions {
        wait: MediaWait::NONE,
        spool_folder: std::env::temp_dir(),
        spool_bytes_max: SPOOL_BYTES_MAX,
    };
    let pools = pool::all(tape)?;
    let names = TapeNames { state, pools: &pools, options: &options, files: &args.files };
    let key = |manifest: &datastore::Manifest| {
        let what = "a snapshot on tape";
        match keys::for_snapshot(places, args.keyfile.as_deref(), manifest, what) {
            Ok(key) => key,
            Err(error) => {
                say(&format!("warning: {error:#}"));
                None
            }
        }
    };
    Ok(names.read(&mut station, &search.not_searched, &key, &*bar)?)
}
