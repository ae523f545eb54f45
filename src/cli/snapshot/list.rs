//! `capstan snapshot list`

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;
use clap::Args;
use datastore::datastore::SnapshotInfo;
use datastore::hierarchy::MANIFEST_NAME;
use datastore::manifest::{VerifyResult, VerifyState};
use datastore::snapshot::reader::load_manifest;
use datastore::{BackupGroup, CryptMode, Datastore, Manifest, Namespace};
use serde::Serialize;

use crate::cli::Outcome;
use crate::cli::place::PlaceArgs;
use crate::config::Places;
use crate::output::{OutputArgs, bytes, short, table};
use crate::progress::Bar;

/// List snapshots
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan snapshot list --repository archive\n  \
                        capstan snapshot list host/elsa --repository archive --output-format json")]
pub struct ListArgs {
    /// Only this group (type/id)
    group: Option<String>,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

/// A snapshot with the reference's field names.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Listed {
    backup_type: String,
    backup_id: String,
    backup_time: i64,
    files: Vec<ListedFile>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    verification: Option<VerifyState>,
    protected: bool,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    finished: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ListedFile {
    pub(super) filename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) crypt_mode: Option<CryptMode>,
}

impl ListedFile {
    fn bare(name: &str) -> ListedFile {
        ListedFile { filename: name.to_owned(), size: None, crypt_mode: None }
    }
}

fn describe(
    store: &Datastore,
    namespace: &Namespace,
    owner: Option<String>,
    info: SnapshotInfo,
    bar: &Bar,
) -> Listed {
    let manifest = if info.finished {
        load_manifest(store, namespace, &info.path)
            .inspect_err(|error| bar.warn(&error.to_string()))
            .ok()
    } else {
        None
    };
    let group = info.path.group();
    let files = match &manifest {
        Some(manifest) => files_of(store, namespace, manifest, &info),
        None => info.files.iter().map(|name| ListedFile::bare(name)).collect(),
    };
    Listed {
        backup_type: group.backup_type().to_string(),
        backup_id: group.id().to_owned(),
        backup_time: info.path.time(),
        size: manifest.is_some().then(|| files.iter().filter_map(|file| file.size).sum()),
        files,
        owner,
        comment: manifest
            .as_ref()
            .and_then(|m| m.notes().and_then(|notes| notes.lines().next()).map(str::to_owned)),
        fingerprint: manifest
            .as_ref()
            .and_then(|m| m.key_fingerprint().ok().flatten())
            .map(|fingerprint| fingerprint.to_string()),
        verification: manifest.as_ref().and_then(Manifest::verify_state),
        protected: info.protected,
        name: info.path.to_string(),
        finished: info.finished,
    }
}

/// The manifest's files, the manifest itself, and what else of the snapshot lies in its folder.
pub(super) fn files_of(
    store: &Datastore,
    namespace: &Namespace,
    manifest: &Manifest,
    info: &SnapshotInfo,
) -> Vec<ListedFile> {
    let mut files: Vec<ListedFile> = manifest
        .files()
        .iter()
        .map(|file| ListedFile {
            filename: file.filename.clone(),
            size: Some(file.size),
            crypt_mode: Some(file.crypt_mode),
        })
        .collect();
    let path = store.snapshot_dir(namespace, &info.path).join(MANIFEST_NAME);
    let signed = manifest.signature().is_some();
    files.push(ListedFile {
        filename: MANIFEST_NAME.to_owned(),
        size: store.storage().meta(&path).ok().map(|meta| meta.len),
        crypt_mode: Some(if signed { CryptMode::SignOnly } else { CryptMode::None }),
    });
    let others = info
        .files
        .iter()
        .filter(|name| name.as_str() != MANIFEST_NAME && manifest.file(name).is_none());
    files.extend(others.map(|name| ListedFile::bare(name)));
    files
}

/// What there is of the groups, in their order. Each snapshot costs a look at its folder and at its
/// manifest, so several threads take one group after the other.
fn list_groups(
    store: &Datastore,
    namespace: &Namespace,
    groups: &[BackupGroup],
    bar: &Bar,
) -> Result<Vec<Listed>> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<(usize, Vec<Listed>)>> {
        let mut done = Vec::new();
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(group) = groups.get(number) else { return Ok(done) };
            let owner = store.owner(namespace, group).ok();
            let mut odd = Vec::new();
            let snapshots = store.snapshots(namespace, group, &mut odd)?;
            odd.iter().for_each(|line| bar.warn(line));
            let describe = |info| describe(store, namespace, owner.clone(), info, bar);
            done.push((number, snapshots.into_iter().map(describe).collect()));
        }
    };
    let threads = crate::cli::threads(None).min(groups.len()).max(1);
    let mut listed = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut listed = work()?;
        for other in others {
            let theirs = other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            listed.append(&mut theirs?);
        }
        anyhow::Ok(listed)
    })?;
    listed.sort_by_key(|(number, _)| *number);
    Ok(listed.into_iter().flat_map(|(_, listed)| listed).collect())
}

pub fn run(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let (repository, namespace) = args.place.open(places)?;
    let store = &repository.store;
    let groups: Vec<BackupGroup> = match &args.group {
        Some(group) => vec![group.parse()?],
        None => store.groups(&namespace)?,
    };
    let bar = Bar::bytes("list");
    let listed = list_groups(store, &namespace, &groups, &bar)?;
    args.output.print(&listed, |listed| {
        let rows = listed.iter().map(|snapshot| {
            let size = match (snapshot.finished, snapshot.size) {
                (false, _) => "unfinished".to_owned(),
                (true, Some(size)) => bytes(size),
                (true, None) => "unreadable".to_owned(),
            };
            let protected = if snapshot.protected { "yes" } else { "" };
            let files = snapshot.files.iter().filter(|file| file.filename != MANIFEST_NAME);
            let files: Vec<&str> = files
                .map(|file| file.filename.rsplit_once('.').map_or("", |(given, _)| given))
                .collect();
            let owner = snapshot.owner.clone().unwrap_or_default();
            let comment = snapshot.comment.as_deref().map(short).unwrap_or_default();
            let name = snapshot.name.clone();
            let verified = match snapshot.verification.as_ref().map(|verified| &verified.state) {
                None => "",
                Some(VerifyResult::Ok) => "ok",
                Some(VerifyResult::Failed) => "failed",
            };
            vec![
                name,
                size,
                owner,
                verified.to_owned(),
                protected.to_owned(),
                files.join(" "),
                comment,
            ]
        });
        table(&["snapshot", "size", "owner", "verified", "protected", "files", "comment"], rows)
    })?;
    Ok(if bar.warnings() == 0 { Outcome::Complete } else { Outcome::Incomplete })
}
