//! `capstan snapshot …`

use anyhow::Result;
use clap::{Args, Subcommand};
use datastore::datastore::SnapshotInfo;
use datastore::hierarchy::MANIFEST_NAME;
use datastore::manifest::{FileInfo, VerifyState};
use datastore::snapshot::reader::load_manifest;
use datastore::{BackupGroup, CryptMode, Datastore, Manifest, Namespace};
use serde::Serialize;

use super::Outcome;
use crate::config::Places;
use crate::output::{OutputArgs, bytes, table};
use crate::progress::Bar;
use crate::repository;

/// List snapshots and what they hold
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    List(ListArgs),
    Files(FilesArgs),
}

/// List snapshots
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan snapshot list --repository archive\n  \
                        capstan snapshot list host/elsa --repository archive --output-format json")]
pub struct ListArgs {
    /// Only this group (type/id)
    group: Option<String>,
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: String,
    /// Namespace in the datastore
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// List the archives of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan snapshot files host/elsa --repository archive")]
pub struct FilesArgs {
    /// Snapshot, or group for its newest
    snapshot: String,
    /// Datastore: a folder, or a name from the configuration
    #[arg(long, env = "CAPSTAN_REPOSITORY", hide_env = true, value_name = "REPO")]
    repository: String,
    /// Namespace in the datastore
    #[arg(long, default_value = "", hide_default_value = true, value_name = "NS")]
    ns: String,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, command: &SnapshotCommand) -> Result<Outcome> {
    match command {
        SnapshotCommand::List(args) => list(places, args),
        SnapshotCommand::Files(args) => files(places, args),
    }
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
struct ListedFile {
    filename: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    crypt_mode: Option<CryptMode>,
}

impl ListedFile {
    fn of(file: &FileInfo) -> ListedFile {
        ListedFile {
            filename: file.filename.clone(),
            size: Some(file.size),
            crypt_mode: Some(file.crypt_mode),
        }
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
        match load_manifest(store, namespace, &info.path) {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                bar.warn(&error.to_string());
                None
            }
        }
    } else {
        None
    };
    let group = info.path.group();
    Listed {
        backup_type: group.backup_type().to_string(),
        backup_id: group.id().to_owned(),
        backup_time: info.path.time(),
        files: match &manifest {
            Some(manifest) => list_of_files(manifest, &info),
            None => info
                .files
                .iter()
                .map(|name| ListedFile { filename: name.clone(), size: None, crypt_mode: None })
                .collect(),
        },
        size: manifest.as_ref().map(|m| m.files().iter().map(|file| file.size).sum()),
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

/// The manifest's files, and what else of the snapshot lies in its folder.
fn list_of_files(manifest: &Manifest, info: &SnapshotInfo) -> Vec<ListedFile> {
    let mut files: Vec<ListedFile> = manifest.files().iter().map(ListedFile::of).collect();
    for name in &info.files {
        if manifest.file(name).is_none() {
            let crypt_mode = (name == MANIFEST_NAME).then_some(CryptMode::None);
            files.push(ListedFile { filename: name.clone(), size: None, crypt_mode });
        }
    }
    files
}

fn list(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let namespace: Namespace = args.ns.parse()?;
    let repository = repository::open(places, &args.repository)?;
    let store = &repository.store;
    let groups: Vec<BackupGroup> = match &args.group {
        Some(group) => vec![group.parse()?],
        None => store.groups(&namespace)?,
    };
    let bar = Bar::bytes("list");
    let mut odd = Vec::new();
    let mut listed = Vec::new();
    for group in groups {
        let owner = store.owner(&namespace, &group).ok();
        for info in store.snapshots(&namespace, &group, &mut odd)? {
            listed.push(describe(store, &namespace, owner.clone(), info, &bar));
        }
    }
    for line in &odd {
        bar.warn(line);
    }
    args.output.print(&listed, |listed| {
        let rows = listed.iter().map(|snapshot| {
            let size = match (snapshot.finished, snapshot.size) {
                (false, _) => "unfinished".to_owned(),
                (true, Some(size)) => bytes(size),
                (true, None) => "unreadable".to_owned(),
            };
            let files = snapshot.files.iter().filter(|file| file.filename != MANIFEST_NAME);
            let files: Vec<&str> = files
                .map(|file| file.filename.rsplit_once('.').map_or("", |(given, _)| given))
                .collect();
            let owner = snapshot.owner.clone().unwrap_or_default();
            let comment = snapshot.comment.clone().unwrap_or_default();
            vec![snapshot.name.clone(), size, owner, files.join(" "), comment]
        });
        table(&["snapshot", "size", "owner", "files", "comment"], rows)
    })?;
    Ok(if bar.warnings() == 0 { Outcome::Complete } else { Outcome::Incomplete })
}

fn files(places: &Places, args: &FilesArgs) -> Result<Outcome> {
    let namespace: Namespace = args.ns.parse()?;
    let repository = repository::open(places, &args.repository)?;
    let snapshot = repository::find_snapshot(&repository.store, &namespace, &args.snapshot)?;
    let manifest = load_manifest(&repository.store, &namespace, &snapshot)?;
    args.output.print(manifest.files(), |files| {
        let rows = files.iter().map(|file| {
            vec![
                file.filename.clone(),
                bytes(file.size),
                file.crypt_mode.to_string(),
                file.csum.to_string(),
            ]
        });
        table(&["filename", "size", "crypt-mode", "csum"], rows)
    })?;
    Ok(Outcome::Complete)
}
