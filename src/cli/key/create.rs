//! `capstan key create`

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use datastore::KeyConfig;

use super::KdfArg;
use crate::cli::Outcome;
use crate::config::Places;
use crate::keys::Which;

const AFTER_HELP: &str = "\
Examples:
  capstan key create --hint 'the usual'
  capstan key create /root/backup-key.json --kdf none";

/// Make a new random key
///
/// Whoever loses the key loses every backup made with it: keep a copy elsewhere ('capstan key
/// paperkey', 'capstan key create-master-key').
#[derive(Debug, Args)]
#[command(after_help = AFTER_HELP)]
pub struct CreateArgs {
    /// The new key file; an existing one is never overwritten [default: the default key,
    /// encryption-key.json in the folder of the configuration]
    file: Option<PathBuf>,
    /// How the passphrase locks the key
    #[arg(long, value_enum, default_value_t = KdfArg::Scrypt)]
    kdf: KdfArg,
    /// What reminds you of the passphrase
    #[arg(long)]
    hint: Option<String>,
}

pub fn run(places: &Places, args: &CreateArgs) -> Result<Outcome> {
    let passphrase = args.kdf.choose_passphrase(Which::Key)?;
    let key = KeyConfig::generate(args.kdf.kind(), &passphrase, args.hint.clone())?;
    super::save_new(places, args.file.as_deref(), &key)?;
    Ok(Outcome::Complete)
}
