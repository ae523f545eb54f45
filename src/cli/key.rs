//! `capstan key …`

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use datastore::KeyConfig;
use datastore::key::{Kdf, KdfKind};
use serde::Serialize;

use super::Outcome;
use crate::keys;
use crate::output::{OutputArgs, table};
use crate::progress::Bar;

/// Make and look at encryption keys
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    Create(CreateArgs),
    Show(ShowArgs),
}

/// Make a new random key
///
/// Whoever loses the key loses every backup made with it: keep a copy elsewhere.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan key create /root/backup-key.json --hint 'the usual'")]
pub struct CreateArgs {
    /// The new key file; an existing one is never overwritten
    file: PathBuf,
    /// How the passphrase locks the key
    #[arg(long, value_enum, default_value_t = KdfArg::Scrypt)]
    kdf: KdfArg,
    /// What reminds you of the passphrase
    #[arg(long)]
    hint: Option<String>,
}

/// Show what a key file says without opening it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan key show /root/backup-key.json")]
pub struct ShowArgs {
    /// The key file
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum KdfArg {
    /// Passphrase, memory-hard derivation
    Scrypt,
    /// Passphrase, for machines with little memory
    Pbkdf2,
    /// No passphrase: the file is the key
    None,
}

pub fn run(command: &KeyCommand) -> Result<Outcome> {
    match command {
        KeyCommand::Create(args) => create(args),
        KeyCommand::Show(args) => show(args),
    }
}

fn create(args: &CreateArgs) -> Result<Outcome> {
    let kind = match args.kdf {
        KdfArg::Scrypt => KdfKind::Scrypt,
        KdfArg::Pbkdf2 => KdfKind::Pbkdf2,
        KdfArg::None => KdfKind::None,
    };
    let path = std::path::absolute(&args.file)?;
    let passphrase = match kind {
        KdfKind::None => Vec::new(),
        _ => keys::new_passphrase()?,
    };
    let key = KeyConfig::generate(kind, &passphrase, args.hint.clone())?;
    key.save_new(&keys::storage()?, &path)?;
    Bar::bytes("key").line(&format!("key {} is in {}", fingerprint(&key), path.display()));
    Ok(Outcome::Complete)
}

fn fingerprint(key: &KeyConfig) -> String {
    key.fingerprint.map_or_else(|| "unknown".to_owned(), |fingerprint| fingerprint.to_string())
}

#[derive(Serialize)]
struct Shown {
    fingerprint: String,
    kdf: &'static str,
    created: String,
    modified: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

fn show(args: &ShowArgs) -> Result<Outcome> {
    let key = keys::read(&std::path::absolute(&args.file)?)?;
    let shown = Shown {
        fingerprint: fingerprint(&key),
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
