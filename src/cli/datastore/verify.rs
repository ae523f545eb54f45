//! `capstan datastore verify`

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, bail};
use clap::Args;
use datastore::verify::{self, SnapshotReport, Verifier};
use datastore::{Namespace, hierarchy};

use crate::cli::{self, Outcome};
use crate::config::Places;
use crate::output::{OutputArgs, OutputFormat, table};
use crate::progress::Bar;
use crate::{keys, output, repository};

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

pub fn run(places: &Places, args: &VerifyArgs) -> Result<Outcome> {
    let repository = repository::open(places, &args.store)?;
    let store = &repository.store;
    let namespace: Namespace = args.ns.parse()?;
    let keys = args.keyfile.iter().map(|path| keys::load(path).map(Arc::new));
    let options = verify::Options {
        keys: keys.collect::<Result<_>>()?,
        threads: cli::threads(args.threads),
        record: match args.no_record {
            true => None,
            false => Some(verify::TaskName { upid: cli::task_name("verify", &repository.name)? }),
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
