//! What the commands that verify have in common.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use datastore::verify::{Observer, Options, SnapshotReport, TaskName, Verifier};
use datastore::{CryptConfig, Namespace, SnapshotPath, hierarchy};

use crate::config::Places;
use crate::keys::{self, VerificationKey};
use crate::output::{OutputArgs, OutputFormat, table};
use crate::progress::Bar;
use crate::repository::Repository;

/// How to verify.
#[derive(Debug, Args)]
pub struct VerificationArgs {
    /// A key that proves the content of what was encrypted with it; may be repeated [default: the
    /// default key, if it opens without a question]
    #[arg(long, value_name = "FILE")]
    keyfile: Vec<PathBuf>,
    /// Change nothing in the datastore
    #[arg(long)]
    no_record: bool,
    /// Reading threads [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

impl VerificationArgs {
    /// The options of a run over the datastore of that name. What there is to say about the default
    /// key is said on the bar.
    pub fn options(&self, places: &Places, store_name: &str, bar: &Bar) -> Result<Options> {
        let keys = keys_at_hand(places, &self.keyfile, bar)?;
        Ok(Options {
            keys,
            threads: super::threads(self.threads),
            record: match self.no_record {
                true => None,
                false => Some(TaskName { upid: super::task_name("verify", store_name)? }),
            },
        })
    }
}

/// The keys of a verification: those in the files named, else the default key if it opens without a
/// question. What there is to say about that one is said on the bar.
pub fn keys_at_hand(
    places: &Places,
    named: &[PathBuf],
    bar: &Bar,
) -> Result<Vec<Arc<CryptConfig>>> {
    let named = named.iter().map(|path| keys::load(path).map(Arc::new));
    let mut keys: Vec<Arc<CryptConfig>> = named.collect::<Result<_>>()?;
    if keys.is_empty() {
        match keys::for_verification(places) {
            VerificationKey::None => {}
            VerificationKey::Open(key) => keys.push(key),
            VerificationKey::Locked(note) => bar.tell(&note),
            VerificationKey::Unusable(error) => {
                bar.warn(&format!("{error:#}; encrypted content is proved as far as its checksums"))
            }
        }
    }
    Ok(keys)
}

/// Verifies a snapshot that was just made (`verify-new` of a datastore). Fails if it is not sound.
pub fn verify_new(
    repository: &Repository,
    namespace: &Namespace,
    snapshot: &SnapshotPath,
    key: Option<Arc<CryptConfig>>,
    threads: usize,
) -> Result<()> {
    let upid = super::task_name("verify", &repository.name)?;
    let keys = key.into_iter().collect();
    let options = Options { keys, threads, record: Some(TaskName { upid }) };
    let bar = Bar::bytes("verify");
    let report = Verifier::new(&repository.store, &options, &bar)
        .snapshot(namespace, snapshot)
        .context("the snapshot was made, but not verified")?;
    for error in &report.errors {
        bar.warn(&format!("{report}: {error}"));
    }
    if let Some(reason) = &report.skipped {
        bail!("the snapshot was made, but not verified: {reason}");
    }
    if !report.ok {
        bail!("the snapshot was made, but failed verification");
    }
    Ok(())
}

/// Shows a run while it goes on and keeps its results.
pub struct Reports<'a> {
    bar: &'a Bar,
    /// Damage is told at once; programs get it with the result.
    tell: bool,
    /// In the order of the run.
    pub list: Vec<SnapshotReport>,
}

impl<'a> Reports<'a> {
    /// No results yet.
    pub fn new(bar: &'a Bar, output: OutputArgs) -> Reports<'a> {
        Reports { bar, tell: output.output_format == OutputFormat::Text, list: Vec::new() }
    }
}

impl Observer for Reports<'_> {
    fn begin(&mut self, namespace: &Namespace, snapshot: &SnapshotPath) {
        self.bar.doing(&hierarchy::qualified_name(namespace, snapshot));
    }

    fn done(&mut self, report: SnapshotReport) {
        for error in report.errors.iter().filter(|_| self.tell) {
            self.bar.warn(&format!("{report}: {error}"));
        }
        self.list.push(report);
    }
}

/// The results as a table.
pub fn report_table(reports: &[SnapshotReport]) -> String {
    let rows = reports.iter().map(|report| {
        let state = match (&report.skipped, report.ok, report.error_count) {
            (Some(reason), ..) => format!("skipped: {reason}"),
            (None, true, _) => "ok".to_owned(),
            (None, false, 1) => "failed: 1 error".to_owned(),
            (None, false, count) => format!("failed: {count} errors"),
        };
        let ns = if report.ns.is_empty() { "/" } else { &report.ns };
        vec![ns.to_owned(), report.snapshot.clone(), state]
    });
    table(&["ns", "snapshot", "result"], rows)
}
