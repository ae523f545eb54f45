//! `capstan snapshot files`

use anyhow::{Result, bail};
use clap::Args;
use datastore::snapshot::reader::load_manifest;
use serde::Serialize;

use super::list::{ListedFile, files_of};
use crate::cli::Outcome;
use crate::cli::place::SnapshotArgs;
use crate::config::Places;
use crate::output::{OutputArgs, bytes, table};

/// List the files of a snapshot
///
/// Its archives, its manifest, and the log of the backup if there is one.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan snapshot files host/elsa --repository archive")]
pub struct FilesArgs {
    #[command(flatten)]
    snapshot: SnapshotArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    file: ListedFile,
    /// As the manifest has it.
    #[serde(skip_serializing_if = "Option::is_none")]
    csum: Option<String>,
}

pub fn run(places: &Places, args: &FilesArgs) -> Result<Outcome> {
    let (repository, namespace, snapshot) = args.snapshot.open(places)?;
    let store = &repository.store;
    let manifest = load_manifest(store, &namespace, &snapshot)?;
    let Some(info) = store.snapshot_info(&namespace, snapshot.clone())? else {
        bail!("there is no snapshot {snapshot}");
    };
    let files = files_of(store, &namespace, &manifest, &info).into_iter().map(|file| {
        let csum = manifest.file(&file.filename).map(|file| file.csum.to_string());
        Listed { file, csum }
    });
    let files: Vec<Listed> = files.collect();
    args.output.print(&files, |files| {
        let rows = files.iter().map(|Listed { file, csum }| {
            vec![
                file.filename.clone(),
                file.size.map(bytes).unwrap_or_default(),
                file.crypt_mode.map(|mode| mode.to_string()).unwrap_or_default(),
                csum.clone().unwrap_or_default(),
            ]
        });
        table(&["filename", "size", "crypt-mode", "csum"], rows)
    })?;
    Ok(Outcome::Complete)
}
