//! `capstan backup`

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use client::backup::{self, Options};
use client::local::LocalBackup;
use client::session::BackupSession as _;
use client::source::Source;
use datastore::lock::turnstile::Wait;
use datastore::{BackupGroup, BackupType, CryptMode, Namespace, SnapshotPath};
use pxar::create::FileSystems;
use serde::Serialize;

use super::wait::WaitArgs;
use super::{Outcome, verification};
use crate::config::Places;
use crate::output::{OutputArgs, OutputFormat, bytes};
use crate::progress::Bar;
use crate::{history, keys, repository};

const AFTER_HELP: &str = "\
Sources: NAME.pxar:DIR is a folder, NAME.img:FILE a disk image or block device,
NAME.conf:FILE (or .json, .log, .key) a small file.

Examples:
  capstan backup root.pxar:/ --repository /srv/archive
  capstan backup disk.img:/dev/vg/vm1 vm.conf:/etc/vm1.conf --repository archive \\
      --backup-type vm --backup-id 100 --keyfile key.json";

/// Back up folders, disk images and small files into one snapshot
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct BackupArgs {
    /// What to back up
    #[arg(required = true, value_name = "NAME.EXT:PATH")]
    sources: Vec<String>,
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: String,
    /// Namespace in the datastore, e.g. site/servers
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// What the backup is of
    #[arg(long, value_enum, default_value_t = TypeArg::Host, value_name = "TYPE")]
    backup_type: TypeArg,
    /// Which machine it is [default: the host's name]
    #[arg(long, value_name = "ID")]
    backup_id: Option<String>,
    /// Time of the snapshot: seconds since 1970, or 2024-05-01T10:00:00Z [default: now]
    #[arg(long, value_name = "TIME")]
    backup_time: Option<String>,
    /// Owner of a new backup group [default: you@pam]
    #[arg(long, value_name = "USER@REALM")]
    owner: Option<String>,
    /// Key to encrypt or sign with [default: encryption-key.json in the folder of the
    /// configuration, if it is there]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// What the key does [default: encrypt if there is a key, none if not]
    #[arg(long, value_enum, value_name = "MODE")]
    crypt_mode: Option<ModeArg>,
    /// Master key (PEM) that the snapshot carries a copy of the key for [default:
    /// master-public.pem in the folder of the configuration, if it is there]
    #[arg(long, value_name = "FILE")]
    master_pubkey_file: Option<PathBuf>,
    /// Leave out what matches; may be repeated, the last match decides, '!' includes again
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    /// Also enter the file systems mounted below the folders
    #[arg(long)]
    all_file_systems: bool,
    /// Also enter the file system that holds this path; may be repeated
    #[arg(long, value_name = "PATH", conflicts_with = "all_file_systems")]
    include_dev: Vec<PathBuf>,
    /// Leave out lost+found folders
    #[arg(long)]
    skip_lost_and_found: bool,
    /// Average chunk size of folders in KiB: a power of two from 64 to 4096
    #[arg(long, default_value_t = 4096, value_name = "KIB")]
    chunk_size: usize,
    /// Store without compression
    #[arg(long)]
    no_compression: bool,
    /// Worker threads [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum TypeArg {
    /// The files of a machine
    Host,
    /// A virtual machine
    Vm,
    /// A container
    Ct,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    /// Encrypt and sign
    Encrypt,
    /// Only sign
    SignOnly,
    /// Neither
    None,
}

/// What is printed at the end.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Report {
    snapshot: String,
    ns: String,
    entries: u64,
    archive_bytes: u64,
    chunks_stored: u64,
    chunks_duplicate: u64,
    stored_bytes: u64,
    skipped: u64,
    changed_files: u64,
    duration_s: f64,
}

pub fn run(places: &Places, args: &BackupArgs) -> Result<Outcome> {
    let sources: Vec<Source> = args.sources.iter().map(|s| s.parse()).collect::<Result<_, _>>()?;
    let (options, key_note) = options(places, args)?;
    // Before anything is created: a mistake in the arguments must leave no trace.
    backup::check(&sources, &options)?;
    let snapshot = snapshot(args)?;
    let namespace: Namespace = args.ns.parse()?;
    let owner = match &args.owner {
        Some(owner) => owner.clone(),
        None => repository::caller()?,
    };
    let repository = repository::open(places, &args.repository)?;
    let bar = Bar::bytes("backup");
    if let Some(note) = key_note {
        bar.tell(&note);
    }
    let started = Instant::now();
    let wait = Wait::new(args.wait.wait, &bar);
    let turnstile = repository.store.locks().turnstile();
    let is_busy = &client::Error::is_retryable;
    let (session, snapshot) = turnstile.writer(&wait, is_busy, &mut || {
        // Whoever waits begins later, and with --backup-time at the time given.
        let time =
            if args.backup_time.is_none() { datastore::time::now() } else { snapshot.time() };
        let snapshot = SnapshotPath::new(snapshot.group().clone(), time)?;
        let session = LocalBackup::begin(&repository.store, &namespace, &snapshot, &owner)?;
        Ok((session, snapshot))
    })?;
    if let Some(base) = session.base() {
        bar.doing(&format!("since {base}"));
    }
    let (manifest, summary) = backup::run(&session, &sources, &options, &bar)
        .context("the backup failed; no snapshot was made")?;
    let stats = manifest.chunk_upload_stats().unwrap_or_default();
    let report = Report {
        snapshot: snapshot.to_string(),
        ns: namespace.to_string(),
        entries: summary.entries,
        archive_bytes: summary.archive_bytes,
        chunks_stored: stats.count - stats.duplicates,
        chunks_duplicate: stats.duplicates + session.reused_chunks(),
        stored_bytes: session.new_bytes(),
        skipped: summary.skipped,
        changed_files: summary.changed_files,
        duration_s: started.elapsed().as_secs_f64(),
    };
    if args.output.output_format == OutputFormat::Text {
        bar.line(&format!(
            "{} entries, {} read, {} in {} new chunks stored, {:.1} s ({}/s)",
            report.entries,
            bytes(report.archive_bytes),
            bytes(report.stored_bytes),
            report.chunks_stored,
            report.duration_s,
            bytes((report.archive_bytes as f64 / report.duration_s.max(0.001)) as u64),
        ));
    }
    if report.skipped > 0 {
        bar.warn(&format!(
            "{} entries could not be read and are not in the snapshot; see above",
            report.skipped
        ));
    }
    if report.changed_files > 0 {
        bar.warn(&format!(
            "{} files changed while they were read; see above, and back up from a file system \
             snapshot to avoid it",
            report.changed_files
        ));
    }
    drop(bar);
    args.output.print(&report, |report| report.snapshot.clone())?;
    // For the estimate of 'datastore status'; no reason to fail.
    let _ = history::sample(places, &repository);
    // Its lock is exclusive, and a verification needs it shared.
    drop(session);
    if repository.config.verify_new == Some(true) {
        let threads = super::threads(args.threads);
        verification::verify_new(&repository, &namespace, &snapshot, options.key, threads)?;
    }
    Ok(if summary.is_complete() { Outcome::Complete } else { Outcome::Incomplete })
}

/// The options, and what a person should know of the key.
fn options(places: &Places, args: &BackupArgs) -> Result<(Options, Option<String>)> {
    let mode = args.crypt_mode.map(|mode| match mode {
        ModeArg::Encrypt => CryptMode::Encrypt,
        ModeArg::SignOnly => CryptMode::SignOnly,
        ModeArg::None => CryptMode::None,
    });
    let (crypt_mode, key) = keys::for_backup(places, args.keyfile.as_deref(), mode)?;
    let master = match (&key, &args.master_pubkey_file) {
        (None, Some(_)) => bail!(
            "--master-pubkey-file is for the key of a backup, and this backup has none; give \
             --keyfile too"
        ),
        (None, None) => None,
        (Some(_), named) => keys::master_for_backup(places, named.as_deref())?,
    };
    let encrypted_key = match (&key, &master) {
        (Some(key), Some(master)) => Some(master.key_blob(&key.key, &key.file.created)?),
        _ => None,
    };
    let key_note = match (&key, &master) {
        (Some(key), master) if key.is_default || master.is_some() => {
            let default = if key.is_default { "default " } else { "" };
            let mut note =
                format!("{crypt_mode} with {default}key {}", key.key.fingerprint().short());
            if let Some(master) = master {
                let master = master.fingerprint()?;
                note.push_str(&format!(", which master key {} opens too", master.short()));
            }
            Some(note)
        }
        _ => None,
    };
    let mut archive = pxar::create::Options {
        skip_lost_and_found: args.skip_lost_and_found,
        excludes: pxar::exclude::PatternList::parse(&args.exclude, pxar::exclude::Effect::Exclude)?,
        ..pxar::create::Options::default()
    };
    if args.all_file_systems {
        archive.file_systems = FileSystems::All;
    } else if !args.include_dev.is_empty() {
        let number = |path: &PathBuf| {
            pxar::create::device_number(path)
                .with_context(|| format!("cannot look at {}", path.display()))
        };
        archive.file_systems =
            FileSystems::Also(args.include_dev.iter().map(number).collect::<Result<_>>()?);
    }
    if !args.chunk_size.is_power_of_two() || !(64..=4096).contains(&args.chunk_size) {
        bail!("--chunk-size {} is not a power of two from 64 to 4096", args.chunk_size);
    }
    let options = Options {
        key: key.map(|key| key.key),
        crypt_mode,
        encrypted_key,
        compress: !args.no_compression,
        chunk_bytes_avg: args.chunk_size << 10,
        workers: super::threads(args.threads),
        archive,
    };
    Ok((options, key_note))
}

fn snapshot(args: &BackupArgs) -> Result<SnapshotPath> {
    let ty = match args.backup_type {
        TypeArg::Host => BackupType::Host,
        TypeArg::Vm => BackupType::Vm,
        TypeArg::Ct => BackupType::Ct,
    };
    let id = match &args.backup_id {
        Some(id) => id.clone(),
        None => nix::unistd::gethostname()?
            .into_string()
            .ok()
            .context("the host's name is not text; give --backup-id")?,
    };
    let time = match &args.backup_time {
        None => datastore::time::now(),
        Some(text) => {
            text.parse().ok().or_else(|| datastore::time::from_text(text)).with_context(|| {
                format!("'{text}' is no time: give seconds since 1970 or 2024-05-01T10:00:00Z")
            })?
        }
    };
    Ok(SnapshotPath::new(BackupGroup::new(ty, id)?, time)?)
}
