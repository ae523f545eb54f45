//! `capstan datastore …`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use datastore::datastore::Options;
use datastore::verify::{self, SnapshotReport, Verifier};
use datastore::{Datastore, Namespace, hierarchy};
use serde::Serialize;

use super::Outcome;
use crate::config::{DatastoreConfig, Datastores, Places};
use crate::output::{OutputArgs, OutputFormat, bytes, table};
use crate::progress::Bar;
use crate::{keys, output, repository};

/// Make, list and check datastores
#[derive(Debug, Subcommand)]
pub enum DatastoreCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Verify(VerifyArgs),
}

/// Make a datastore in an empty folder and give it a name
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore create archive /srv/archive")]
pub struct CreateArgs {
    /// Name in the configuration
    name: String,
    /// Its folder, which is made if it is missing
    dir: PathBuf,
    /// The folder holds a datastore already: only give it the name
    #[arg(long)]
    reuse_datastore: bool,
    /// Free text
    #[arg(long)]
    comment: Option<String>,
}

/// List the datastores of the configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore list --output-format json")]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Show what a datastore holds
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore show /srv/archive")]
pub struct ShowArgs {
    /// A folder, or a name from the configuration
    store: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Read every snapshot and check that nothing is missing or damaged
///
/// Each file is held against its manifest and each chunk against its digest. Encrypted content is
/// proved with the keys given, and without them as far as its checksum. The result is recorded in
/// the snapshots, and damaged chunks are set aside so that the next backup writes them anew.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan datastore verify archive --keyfile key.json")]
pub struct VerifyArgs {
    /// A folder, or a name from the configuration
    store: String,
    /// Only this namespace and those in it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// A key; may be repeated
    #[arg(long, value_name = "FILE")]
    keyfile: Vec<PathBuf>,
    /// Change nothing in the datastore
    #[arg(long)]
    no_record: bool,
    /// Reading threads [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, command: &DatastoreCommand) -> Result<Outcome> {
    match command {
        DatastoreCommand::Create(args) => create(places, args),
        DatastoreCommand::List(args) => list(places, args),
        DatastoreCommand::Show(args) => show(places, args),
        DatastoreCommand::Verify(args) => verify(places, args),
    }
}

fn create(places: &Places, args: &CreateArgs) -> Result<Outcome> {
    hierarchy::check_datastore_name(&args.name)?;
    let bar = Bar::bytes("create");
    let path = places.change(|section: &mut Datastores| {
        if section.datastore.contains_key(&args.name) {
            bail!("there is a datastore named '{}' already", args.name);
        }
        let absolute = std::path::absolute(&args.dir)
            .with_context(|| format!("cannot use {}", args.dir.display()))?;
        for (name, other) in &section.datastore {
            let other = other.path.canonicalize().unwrap_or_else(|_| other.path.clone());
            let ours = absolute.canonicalize().unwrap_or_else(|_| absolute.clone());
            if ours.starts_with(&other) || other.starts_with(&ours) {
                bail!(
                    "{} and datastore '{name}' in {} lie inside each other",
                    ours.display(),
                    other.display()
                );
            }
        }
        let options = Options::default();
        let store = if args.reuse_datastore {
            Datastore::open(&absolute, &options)?
        } else {
            Datastore::create(&absolute, &options)?
        };
        let path = store.base().to_path_buf();
        let config =
            DatastoreConfig { path: path.clone(), comment: args.comment.clone(), lock_dir: None };
        section.datastore.insert(args.name.clone(), config);
        Ok(path)
    })?;
    bar.line(&format!("datastore '{}' is in {}", args.name, path.display()));
    Ok(Outcome::Complete)
}

#[derive(Serialize)]
struct Listed {
    name: String,
    path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
}

fn list(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let section: Datastores = places.load()?;
    let listed: Vec<Listed> = section
        .datastore
        .into_iter()
        .map(|(name, config)| Listed { name, path: config.path, comment: config.comment })
        .collect();
    args.output.print(&listed, |listed| {
        table(
            &["name", "path", "comment"],
            listed.iter().map(|l| {
                let comment = l.comment.clone().unwrap_or_default();
                vec![l.name.clone(), l.path.display().to_string(), comment]
            }),
        )
    })?;
    Ok(Outcome::Complete)
}

#[derive(Default, Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    name: String,
    path: PathBuf,
    namespaces: u64,
    groups: u64,
    snapshots: u64,
    unfinished: u64,
    protected: u64,
    total: u64,
    used: u64,
    avail: u64,
}

fn show(places: &Places, args: &ShowArgs) -> Result<Outcome> {
    let repository = repository::open(places, &args.store)?;
    let store = &repository.store;
    let mut shown = Shown {
        name: repository.name.clone(),
        path: store.base().to_path_buf(),
        ..Shown::default()
    };
    let mut odd = Vec::new();
    for namespace in store.namespaces(&Namespace::root(), None, &mut odd)? {
        shown.namespaces += 1;
        for group in store.groups(&namespace)? {
            shown.groups += 1;
            for info in store.snapshots(&namespace, &group, &mut odd)? {
                if info.finished {
                    shown.snapshots += 1;
                } else {
                    shown.unfinished += 1;
                }
                shown.protected += u64::from(info.protected);
            }
        }
    }
    let space = nix::sys::statvfs::statvfs(store.base())
        .with_context(|| format!("cannot ask for the space of {}", store.base().display()))?;
    let unit = space.fragment_size();
    shown.total = space.blocks() * unit;
    shown.avail = space.blocks_available() * unit;
    shown.used = (space.blocks() - space.blocks_free()) * unit;
    args.output.print(&shown, |s| {
        table(
            &["", ""],
            [
                ("name", s.name.clone()),
                ("path", s.path.display().to_string()),
                ("namespaces", s.namespaces.to_string()),
                ("groups", s.groups.to_string()),
                ("snapshots", s.snapshots.to_string()),
                ("unfinished", s.unfinished.to_string()),
                ("protected", s.protected.to_string()),
                ("disk total", bytes(s.total)),
                ("disk used", bytes(s.used)),
                ("disk available", bytes(s.avail)),
            ]
            .map(|(key, value)| vec![key.to_owned(), value]),
        )
        .trim_start()
        .to_owned()
    })?;
    let bar = Bar::bytes("show");
    for line in &odd {
        bar.warn(line);
    }
    Ok(if odd.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

fn verify(places: &Places, args: &VerifyArgs) -> Result<Outcome> {
    let repository = repository::open(places, &args.store)?;
    let store = &repository.store;
    let namespace: Namespace = args.ns.parse()?;
    let keys = args.keyfile.iter().map(|path| keys::load(path).map(Arc::new));
    let options = verify::Options {
        keys: keys.collect::<Result<_>>()?,
        threads: super::threads(args.threads),
        record: match args.no_record {
            true => None,
            false => Some(verify::TaskName { upid: super::task_name("verify", &repository.name)? }),
        },
    };
    let bar = Bar::bytes("verify");
    let mut odd = Vec::new();
    let mut work = Vec::new();
    let mut unlisted = Vec::new();
    for namespace in store.namespaces(&namespace, None, &mut odd)? {
        let groups = store.groups(&namespace).unwrap_or_else(|error| {
            unlisted.push(error.to_string());
            Vec::new()
        });
        for group in groups {
            match store.snapshots(&namespace, &group, &mut odd) {
                Ok(snapshots) => work
                    .extend(snapshots.into_iter().rev().map(|info| (namespace.clone(), info.path))),
                Err(error) => unlisted.push(error.to_string()),
            }
        }
    }
    // Groups of all namespaces as one list, each with its newest snapshot first.
    work.sort_by(|left, right| left.1.group().cmp(right.1.group()));
    let mut verifier = Verifier::new(store, &options, &bar);
    let mut reports: Vec<SnapshotReport> = Vec::with_capacity(work.len());
    for (namespace, snapshot) in &work {
        bar.doing(&snapshot.to_string());
        let report = verifier.snapshot(namespace, snapshot)?;
        if args.output.output_format == OutputFormat::Text {
            for error in &report.errors {
                bar.warn(&format!("{}: {error}", hierarchy::qualified_name(namespace, snapshot)));
            }
        }
        reports.push(report);
    }
    for line in &odd {
        bar.warn(line);
    }
    for line in &unlisted {
        bar.warn(line);
    }
    let failed = reports.iter().filter(|report| !report.ok).count();
    let chunks = verifier.verified_chunks();
    drop(bar);
    args.output.print(&reports, |reports| {
        let rows = reports.iter().map(|report| {
            let state = match (&report.skipped, report.ok) {
                (Some(reason), _) => format!("skipped: {reason}"),
                (None, true) => "ok".to_owned(),
                (None, false) => format!("failed: {} errors", report.errors.len()),
            };
            let ns = if report.ns.is_empty() { "/" } else { &report.ns };
            vec![ns.to_owned(), report.snapshot.clone(), state]
        });
        table(&["ns", "snapshot", "result"], rows)
    })?;
    if args.output.output_format == OutputFormat::Text {
        output::print(&format!(
            "{} snapshots, {chunks} chunks, {failed} snapshots failed",
            reports.len()
        ))?;
    }
    if failed > 0 {
        bail!("{failed} of {} snapshots failed verification", reports.len());
    }
    if !unlisted.is_empty() {
        bail!("{} folders could not be listed; their snapshots were not verified", unlisted.len());
    }
    Ok(if odd.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}
