//! The backup job: every finished snapshot that the media set lacks goes to tape.
//!
//! Here is found what there is, and the set is opened; what is done with each drive is in `stream` and `streams`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use datastore::{BackupGroup, Datastore, Namespace, Progress};

use super::filters::passes;
use super::options::TapeBackupOptions;
use super::report::TapeBackupReport;
use super::streams::StreamsJob;
use super::streams::job_set::JobSet;
use crate::error::{Error, Result};
use crate::loader::MediaLoader;
use crate::media::{Inventory, MediaPool, PoolConfig, Reach, StateDir};

/// Runs a backup job on one drive, which must be locked by the caller.
///
/// Snapshots that can't be read, or that lack a chunk or have a damaged one, are reported and do not
/// end the job; everything else does, after what is already safely on tape was recorded.
pub fn run_backup(
    state: &StateDir,
    store: &Arc<Datastore>,
    pool: PoolConfig,
    loader: &mut dyn MediaLoader,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
) -> Result<TapeBackupReport> {
    run_backup_on(state, store, pool, &mut [loader], options, progress)
}

/// Runs a backup job on several drives at once, which must be locked by the caller.
///
/// As [`run_backup`]; and what ends one drive's part does not end the others': they do what it had left, and its error is in the
/// report. The job fails when all have failed.
pub fn run_backup_on(
    state: &StateDir,
    store: &Arc<Datastore>,
    pool: PoolConfig,
    loaders: &mut [&mut dyn MediaLoader],
    options: &TapeBackupOptions,
    progress: &dyn Progress,
) -> Result<TapeBackupReport> {
    let start = Instant::now();
    let [first, ..] = loaders else { return Err(Error::Unsupported("no drive was given".into())) };
    let reach = first.reach();
    let mut online = Online::new();
    for loader in loaders.iter_mut() {
        look_online(&mut **loader, &mut online)?;
    }
    note_online(state, online, options)?;
    let groups = find_groups(store, options, progress)?;
    let pool = MediaPool::open_for_writing(state, pool, reach)?;
    let keys = loaders.first().and_then(|loader| loader.keys());
    let set = JobSet::begin(pool, keys, options.force_media_set, loaders.len(), progress)?;
    let job = StreamsJob::new(store, options, progress, set, groups);
    let mut report = job.run(loaders)?;
    report.duration = start.elapsed();
    Ok(report)
}

/// Label texts of the tapes in each library.
pub(super) type Online = BTreeMap<String, Vec<String>>;

/// Asks the library of a drive, once.
pub(super) fn look_online(loader: &mut dyn MediaLoader, online: &mut Online) -> Result<()> {
    if let Reach::Changer(changer) = loader.reach()
        && !online.contains_key(&changer)
        && let Some(texts) = loader.online_label_texts()?
    {
        online.insert(changer, texts);
    }
    Ok(())
}

/// Records which tapes the libraries have.
pub(super) fn note_online(
    state: &StateDir,
    online: Online,
    options: &TapeBackupOptions,
) -> Result<()> {
    if !online.is_empty() {
        let mut configured = options.changers.clone();
        configured.extend(online.keys().filter(|name| !options.changers.contains(name)).cloned());
        Inventory::load(state)?.update_online(&online, &configured)?;
    }
    Ok(())
}

/// The groups that a job with these options goes over, in its order.
pub(crate) fn find_groups(
    store: &Datastore,
    options: &TapeBackupOptions,
    progress: &dyn Progress,
) -> Result<Vec<(Namespace, BackupGroup)>> {
    let mut odd: Vec<String> = Vec::new();
    let namespaces = store.namespaces(&options.namespace, options.max_depth, &mut odd)?;
    for text in odd {
        progress.warn(&text);
    }
    let mut groups = Vec::new();
    for namespace in namespaces {
        for group in store.groups(&namespace)? {
            groups.push((namespace.clone(), group));
        }
    }
    let total = groups.len();
    // Stable: groups of the same name stay in the order of their namespaces, parents first.
    groups.sort_by(|(_, a), (_, b)| a.cmp(b));
    groups.retain(|(_, group)| passes(&options.group_filters, group));
    progress.note(&format!("found {} groups (out of {total} total)", groups.len()));
    Ok(groups)
}
