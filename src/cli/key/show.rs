//! `capstan key show`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use datastore::key::Kdf;
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::Places;
use crate::keys;
use crate::output::{OutputArgs, table};

/// Show what a key file says without opening it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan key show /root/backup-key.json")]
pub struct ShowArgs {
    /// The key file [default: the default key]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Serialize)]
struct Shown {
    path: String,
    fingerprint: String,
    kdf: &'static str,
    created: String,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

pub fn run(places: &Places, args: &ShowArgs) -> Result<Outcome> {
    let path = super::existing_key_path(places, args.file.as_deref())?;
    let key = keys::read(&path)?;
    let shown = Shown {
        path: path.display().to_string(),
        fingerprint: super::fingerprint(&key),
        kdf: match key.kdf {
            None => "none",
            Some(Kdf::Scrypt { .. }) => "scrypt",
            Some(Kdf::Pbkdf2 { .. }) => "pbkdf2",
        },
        created: key.created,
        modified: key.modified,
        hint: key.hint,
    };
    args.output.print(&shown, |shown| {
        let mut rows = vec![
            vec!["path".to_owned(), shown.path.clone()],
            vec!["fingerprint".to_owned(), shown.fingerprint.clone()],
            vec!["kdf".to_owned(), shown.kdf.to_owned()],
            vec!["created".to_owned(), shown.created.clone()],
            vec!["modified".to_owned(), shown.modified.clone()],
        ];
        if let Some(hint) = &shown.hint {
            rows.push(vec!["hint".to_owned(), hint.clone()]);
        }
        table(&["", ""], rows).trim_start().to_owned()
    })?;
    Ok(Outcome::Complete)
}
