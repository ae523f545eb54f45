//! `capstan key change-passphrase`

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use datastore::storage::RealStorage;

use super::KdfArg;
use crate::cli::Outcome;
use crate::config::Places;
use crate::keys::{self, Which};
use crate::progress::Bar;

const AFTER_HELP: &str = "\
The old passphrase comes from CAPSTAN_ENCRYPTION_PASSWORD, the new one from
CAPSTAN_NEW_ENCRYPTION_PASSWORD (each also with _FILE), or both from the terminal.

Example:
  capstan key change-passphrase /root/backup-key.json --hint 'the new one'";

/// Lock a key with another passphrase
///
/// The key stays the same, and so do the backups made with it. Copies of the file, on paper too,
/// keep the old passphrase.
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct ChangeArgs {
    /// The key file [default: the default key]
    file: Option<PathBuf>,
    /// How the new passphrase locks the key
    #[arg(long, value_enum, default_value_t = KdfArg::Scrypt)]
    kdf: KdfArg,
    /// What reminds you of the new passphrase; the old hint goes
    #[arg(long)]
    hint: Option<String>,
}

pub fn run(places: &Places, args: &ChangeArgs) -> Result<Outcome> {
    let path = super::existing_key_path(places, args.file.as_deref())?;
    // The file behind a link is what changes; the link stays.
    let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
    let old = keys::read(&path)?;
    let key = keys::unlock(&old, &path)?;
    let passphrase = args.kdf.choose_passphrase(Which::NewKey)?;
    let new = old.relock(&key, args.kdf.kind(), &passphrase, args.hint.clone())?;
    // Whom the file belongs to, it belongs to afterwards.
    let storage =
        RealStorage::new(&path).with_context(|| format!("cannot look at {}", path.display()))?;
    new.save_over(&storage, &path)?;
    Bar::bytes("key").line(&format!(
        "key {} in {} has a new passphrase; copies made before keep the old one",
        super::fingerprint(&new),
        path.display()
    ));
    Ok(Outcome::Complete)
}
