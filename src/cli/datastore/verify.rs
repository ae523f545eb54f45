//! `capstan datastore verify`

use anyhow::{Result, bail};
use clap::Args;
use datastore::scope::Scope;
use datastore::verify::{self, Selection, SkipVerified};

use crate::cli::Outcome;
use crate::cli::verification::{Reports, VerificationArgs, report_table};
use crate::config::Places;
use crate::output::{OutputArgs, OutputFormat};
use crate::progress::Bar;
use crate::{output, repository};

/// Read every snapshot and check that nothing is missing or damaged
///
/// Each file is held against its manifest and each chunk against its digest. Encrypted content is
/// proved with the keys given or the default key, and without one as far as its checksum. The result is recorded in
/// the snapshots, and damaged chunks are set aside so that the next backup writes them anew.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan datastore verify archive --keyfile key.json\n  \
                        capstan datastore verify archive --outdated-after 30")]
pub struct VerifyArgs {
    /// A folder, or a name from the configuration
    store: String,
    /// Only this namespace and those in it
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    /// How many levels of namespaces deeper; 0 is that of --ns alone [default: all]
    #[arg(long, value_name = "N")]
    max_depth: Option<usize>,
    /// Only this group (type/id)
    #[arg(long, value_name = "GROUP")]
    group: Option<String>,
    /// Leave out snapshots that were verified before, whatever came out
    #[arg(long, alias = "skip-verified")]
    ignore_verified: bool,
    /// Leave out snapshots that were verified in the last so many days
    #[arg(long, value_name = "DAYS")]
    outdated_after: Option<u64>,
    #[command(flatten)]
    verification: VerificationArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &VerifyArgs) -> Result<Outcome> {
    let selection = Selection {
        scope: Scope { namespace: args.ns.parse()?, depth: args.max_depth },
        group: args.group.as_deref().map(str::parse).transpose()?,
    };
    let skip = match (args.outdated_after, args.ignore_verified) {
        (Some(days), _) => SkipVerified::Within { days },
        (None, true) => SkipVerified::Ever,
        (None, false) => SkipVerified::No,
    };
    let repository = repository::open(places, &args.store)?;
    let bar = Bar::bytes("verify");
    let options = args.verification.options(places, &repository.name, &bar)?;
    let mut odd = Vec::new();
    let mut reports = Reports::new(&bar, args.output);
    let store = &repository.store;
    let summary = verify::run(store, &selection, skip, &options, &bar, &mut odd, &mut reports)?;
    let reports = reports.list;
    for line in odd.iter().cloned().chain(summary.unlisted.iter().map(ToString::to_string)) {
        bar.warn(&line);
    }
    let warnings = bar.warnings();
    drop(bar);
    args.output.print(&reports, |reports| report_table(reports))?;
    if args.output.output_format == OutputFormat::Text {
        output::print(&format!(
            "{} snapshots, {} skipped, {} chunks, {} snapshots failed",
            summary.snapshots, summary.skipped, summary.chunks, summary.failed
        ))?;
    }
    if summary.failed > 0 {
        bail!("{} of {} snapshots failed verification", summary.failed, summary.snapshots);
    }
    if !summary.is_ok() {
        bail!(
            "{} folders could not be listed; their snapshots were not verified",
            summary.unlisted.len()
        );
    }
    Ok(if warnings == 0 { Outcome::Complete } else { Outcome::Incomplete })
}
