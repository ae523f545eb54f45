//! `capstan snapshot files`

use anyhow::Result;
use clap::Args;
use datastore::snapshot::reader::load_manifest;

use crate::cli::Outcome;
use crate::cli::place::PlaceArgs;
use crate::config::Places;
use crate::output::{OutputArgs, bytes, table};
use crate::repository;

/// List the archives of a snapshot
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan snapshot files host/elsa --repository archive")]
pub struct FilesArgs {
    /// Snapshot, or group for its newest
    snapshot: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, args: &FilesArgs) -> Result<Outcome> {
    let (repository, namespace) = args.place.open(places)?;
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
