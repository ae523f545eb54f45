//! `capstan tape restore`

use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use pbs_tape::loader::{MediaLoader, MediaWait};
use pbs_tape::media::StateDir;
use pbs_tape::restore::{
    NamespaceMap, Needed, RestoreOptions, RestorePlan, StoreMap, plan_restore, run_restore,
};
use uuid::Uuid;

use super::station::{self, DriveArg};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, OutputFormat, bytes, table};
use crate::progress::Bar;
use crate::repository;

/// Restore a media set, or chosen snapshots of it, into a datastore
///
/// Snapshots that the datastore has already are left as they are. A restore that was ended goes on with the same command and reads
/// only what is lacking. Cartridges are taken in the order in which they can be had.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    capstan tape restore 9da37a55-aac7-4deb-91c6-482b3b675f30 archive --drive lto0\n  \
    capstan tape restore 9da37a55-… archive --drive lto0 --snapshots archive:host/elsa/2024-05-01T10:00:00Z\n  \
    capstan tape restore 9da37a55-… archive --dry-run\n  \
    capstan tape restore 9da37a55-… a=archive --namespaces store=a,source=site,target=old/site")]
pub struct RestoreArgs {
    /// UUID of the media set
    media_set: Uuid,
    /// Datastore, or SOURCE=TARGET,… for sets with several
    store: String,
    /// Only these snapshots: store:[ns/a/ns/b/]type/id/time
    #[arg(long, num_args = 1.., value_name = "SNAPSHOT")]
    snapshots: Vec<String>,
    /// Only these namespaces, and where they go: store=NAME[,source=NS][,target=NS][,max-depth=N]; the root where NS is left out
    #[arg(long, value_name = "RULE")]
    namespaces: Vec<NamespaceMap>,
    /// Print which cartridges are needed and what would go where, and restore nothing; no cartridge is loaded
    #[arg(long)]
    dry_run: bool,
    /// With --dry-run and --snapshots or --namespaces: load the cartridges with the snapshots' lists of chunks, as far as they can be
    /// had now, to tell exactly what is needed of the others
    #[arg(long, requires = "dry_run")]
    read_tapes: bool,
    #[command(flatten)]
    drive: DriveArg,
    /// Owner of new backup groups [default: you@pam]
    #[arg(long, value_name = "USER@REALM")]
    owner: Option<String>,
    /// Wait for a cartridge that has to be brought, instead of failing
    #[arg(long)]
    wait: bool,
    /// Threads that check and store chunks [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &RestoreArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let open = |name: &str| {
        repository::open(places, name).map(|repository| repository.store).map_err(|error| {
            pbs_tape::Error::BadArgument {
                what: "datastore",
                value: name.to_owned(),
                reason: format!("{error:#}"),
            }
        })
    };
    let options = RestoreOptions {
        media_set: args.media_set,
        stores: StoreMap::parse(&args.store, &open)?.with_namespaces(args.namespaces.clone())?,
        snapshots: args.snapshots.clone(),
        owner: match &args.owner {
            Some(owner) => owner.clone(),
            None => repository::caller()?,
        },
        wait: if args.wait { MediaWait::FOREVER } else { MediaWait::NONE },
        writers: crate::cli::threads(args.threads),
    };
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("tape restore"));
    if args.dry_run {
        return dry_run(&state, &tape, args, &options, &bar);
    }
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let report = run_restore(&state, &mut station, &options, &*bar)
        .with_context(|| format!("the restore of media set {} failed", args.media_set))?;
    if args.output.output_format == OutputFormat::Text {
        let seconds = report.duration.as_secs_f64();
        for (snapshot, reason) in &report.snapshots_skipped {
            bar.line(&format!("skipped {snapshot}: {reason}"));
        }
        bar.line(&format!(
            "{} snapshots restored, {} skipped, {} failed; {} chunks, {} from {} in {seconds:.1} s",
            report.snapshots_restored.len(),
            report.snapshots_skipped.len(),
            report.snapshots_failed.len(),
            report.chunks,
            bytes(report.chunk_bytes),
            report.tapes.join(" "),
        ));
    }
    args.output.print(&report, |report| {
        report.snapshots_restored.iter().map(|name| format!("{name}\n")).collect()
    })?;
    let complete = report.snapshots_failed.is_empty() && report.damage.is_empty();
    Ok(if complete { Outcome::Complete } else { Outcome::Incomplete })
}

fn dry_run(
    state: &StateDir,
    tape: &Tape,
    args: &RestoreArgs,
    options: &RestoreOptions,
    bar: &Arc<Bar>,
) -> Result<Outcome> {
    let mut station = match args.read_tapes {
        true => Some(station::open(state, tape, args.drive.drive.as_deref(), bar)?),
        false => None,
    };
    let loader = station.as_mut().map(|station| station as &mut dyn MediaLoader);
    let plan = plan_restore(state, loader, options, &**bar)
        .with_context(|| format!("cannot plan the restore of media set {}", args.media_set))?;
    args.output.print(&plan, plan_text)?;
    Ok(if plan.snapshots_failed.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

fn plan_text(plan: &RestorePlan) -> String {
    let or_unknown = |count: Option<u64>| count.map_or("?".into(), |count| count.to_string());
    let tapes = plan.tapes.iter().map(|tape| {
        let needed = match tape.needed {
            Needed::Yes => "yes",
            Needed::Perhaps => "perhaps",
        };
        vec![
            tape.label_text.clone(),
            tape.uuid.to_string(),
            tape.seq_nr.to_string(),
            tape.location.clone(),
            tape.element.clone().unwrap_or_default(),
            needed.into(),
            tape.snapshots.to_string(),
            or_unknown(tape.chunks),
            tape.bytes.map_or("?".into(), bytes),
        ]
    });
    let header = [
        "label-text",
        "uuid",
        "seq-nr",
        "location",
        "element",
        "needed",
        "snapshots",
        "chunks",
        "at most",
    ];
    let mut text = match plan.tapes.is_empty() {
        true => "no cartridge is needed\n".to_string(),
        false => table(&header, tapes),
    };
    let snapshots = plan.snapshots.iter().map(|one| {
        let namespaces: Vec<&str> = one
            .namespaces
            .iter()
            .map(|namespace| if namespace.is_empty() { "(root)" } else { namespace })
            .collect();
        let place = format!("{}: {}", one.target, namespaces.join(", "));
        vec![one.snapshot.clone(), place, one.label_text.clone()]
    });
    if !plan.snapshots.is_empty() {
        text.push('\n');
        text.push_str(&table(&["snapshot", "goes to", "label-text"], snapshots));
    }
    for (what, left_out) in
        [("skipped", &plan.snapshots_skipped), ("not to be restored:", &plan.snapshots_failed)]
    {
        for (name, reason) in left_out {
            text.push_str(&format!("{what} {name}: {reason}\n"));
        }
    }
    for reason in &plan.unknown {
        text.push_str(&format!("not known: {reason}\n"));
    }
    if !plan.exact {
        text.push_str("what is needed of some cartridges is not known before others were read\n");
    }
    text
}
