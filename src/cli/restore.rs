//! `capstan restore`

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use clap::Args;
use client::local::LocalRestore;
use client::restore::{self, Options, Target};
use client::session::RestoreSession;

use super::Outcome;
use super::file_options::FileOptionsArgs;
use super::place::SnapshotArgs;
use crate::config::Places;
use crate::keys;
use crate::output::bytes;
use crate::progress::Bar;

const AFTER_HELP: &str = "\
SNAPSHOT is type/id/time, or type/id for the newest. ARCHIVE is the name given at backup.
TARGET is a folder for a .pxar, a file or block device for the rest, or - for the standard output.

Examples:
  capstan restore host/elsa root.pxar /mnt/new --repository archive
  capstan restore vm/100/2024-05-01T10:00:00Z disk.img /dev/vg/vm1 --overwrite --repository archive
  capstan restore host/elsa root.pxar /tmp/x --pattern '/etc/**' --repository archive";

/// Restore an archive of a snapshot
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct RestoreArgs {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    /// Archive in it
    archive: String,
    /// Folder, file, or - for the standard output
    target: String,
    /// Key that the snapshot was made with [default: the default key, if it is that one]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    /// Only what matches; may be repeated, the last match decides, '!' leaves out again
    #[arg(long, value_name = "PATTERN")]
    pattern: Vec<String>,
    #[command(flatten)]
    files: FileOptionsArgs,
    /// Go on when a device cannot be made
    #[arg(long)]
    ignore_extract_device_errors: bool,
    /// Go on after entries that cannot be restored, and say so at the end
    #[arg(long)]
    keep_going: bool,
    /// Worker threads [default: one a processor]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

pub fn run(places: &Places, args: &RestoreArgs) -> Result<Outcome> {
    let (repository, namespace, snapshot) = args.snapshot.open(places)?;
    let session: Arc<dyn RestoreSession> =
        Arc::new(LocalRestore::open(&repository.store, &namespace, &snapshot)?);
    let what = format!("snapshot {snapshot}");
    let key = keys::for_snapshot(places, args.keyfile.as_deref(), session.manifest(), &what)?;
    let patterns =
        pxar::exclude::PatternList::parse(&args.pattern, pxar::exclude::Effect::Include)?;
    let to_stream = args.target == "-";
    if to_stream && !args.pattern.is_empty() {
        bail!("--pattern selects files for a folder; the standard output gets the whole archive");
    }
    let options = Options {
        key,
        workers: super::threads(args.threads),
        overwrite: args.files.overwrite,
        archive: pxar::extract::Options {
            patterns,
            ignore_device_errors: args.ignore_extract_device_errors,
            on_error: if args.keep_going {
                pxar::extract::OnError::Continue
            } else {
                pxar::extract::OnError::Abort
            },
            ..args.files.options()
        },
    };
    let bar = Bar::quiet("restore");
    let started = Instant::now();
    let mut stdout = std::io::stdout().lock();
    let path = PathBuf::from(&args.target);
    let target = if to_stream { Target::Stream(&mut stdout) } else { Target::Path(&path) };
    let summary = restore::run(&session, &args.archive, target, &options, &bar)
        .with_context(|| format!("cannot restore {} of {snapshot}", args.archive))?;
    let seconds = started.elapsed().as_secs_f64();
    bar.line(&format!(
        "{snapshot} {}: {} entries, {} restored, {seconds:.1} s",
        args.archive,
        summary.entries,
        bytes(summary.content_bytes)
    ));
    if summary.failed > 0 {
        bar.warn(&format!("{} entries could not be restored; see above", summary.failed));
        return Ok(Outcome::Incomplete);
    }
    Ok(Outcome::Complete)
}
