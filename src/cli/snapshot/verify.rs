//! `capstan snapshot verify`

use anyhow::{Result, bail};
use clap::Args;
use datastore::verify::{Observer, Verifier};

use crate::cli::Outcome;
use crate::cli::place::SnapshotArgs;
use crate::cli::verification::{Reports, VerificationArgs, report_table};
use crate::config::Places;
use crate::output::OutputArgs;
use crate::progress::Bar;

/// Read one snapshot and check that nothing is missing or damaged
///
/// As 'capstan datastore verify' does it for all.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan snapshot verify host/elsa --repository archive")]
pub struct VerifyArgs {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    #[command(flatten)]
    verification: VerificationArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &VerifyArgs) -> Result<Outcome> {
    let (repository, namespace, snapshot) = args.snapshot.open(places)?;
    let store = &repository.store;
    if store.snapshot_info(&namespace, snapshot.clone())?.is_none() {
        bail!("there is no snapshot {snapshot}");
    }
    let bar = Bar::bytes("verify");
    let options = args.verification.options(places, &repository.name, &bar)?;
    let mut reports = Reports::new(&bar, args.output);
    reports.begin(&namespace, &snapshot);
    reports.done(Verifier::new(store, &options, &bar).snapshot(&namespace, &snapshot)?);
    let reports = reports.list;
    let warnings = bar.warnings();
    drop(bar);
    args.output.print(&reports, |reports| report_table(reports))?;
    if reports.iter().any(|report| !report.ok) {
        bail!("snapshot {snapshot} failed verification");
    }
    // Somebody who names one snapshot wants to know that it was looked at.
    let skipped = reports.iter().any(|report| report.skipped.is_some());
    Ok(if skipped || warnings > 0 { Outcome::Incomplete } else { Outcome::Complete })
}
