//! `capstan key …`

mod create;
mod master;
mod paperkey;
mod passphrase;
mod recover;
mod show;
mod transfer;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use datastore::key::KdfKind;
use datastore::{CryptConfig, KeyConfig};

pub use paperkey::PaperArg;

use super::Outcome;
use crate::config::Places;
use crate::keys::{self, Passphrase, Which};
use crate::progress::Bar;

/// Make, change, copy, print and recover encryption keys
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    Create(create::CreateArgs),
    Show(show::ShowArgs),
    ChangePassphrase(passphrase::ChangeArgs),
    Import(transfer::ImportArgs),
    Export(transfer::ExportArgs),
    Paperkey(paperkey::PaperkeyArgs),
    CreateMasterKey(master::CreateMasterArgs),
    ImportMasterPubkey(master::ImportMasterArgs),
    ShowMasterPubkey(master::ShowMasterArgs),
    Recover(recover::RecoverArgs),
}

pub fn run(places: &Places, command: &KeyCommand) -> Result<Outcome> {
    match command {
        KeyCommand::Create(args) => create::run(places, args),
        KeyCommand::Show(args) => show::run(places, args),
        KeyCommand::ChangePassphrase(args) => passphrase::run(places, args),
        KeyCommand::Import(args) => transfer::import(places, args),
        KeyCommand::Export(args) => transfer::export(places, args),
        KeyCommand::Paperkey(args) => paperkey::run(places, args),
        KeyCommand::CreateMasterKey(args) => master::create(args),
        KeyCommand::ImportMasterPubkey(args) => master::import(places, args),
        KeyCommand::ShowMasterPubkey(args) => master::show(places, args),
        KeyCommand::Recover(args) => recover::run(places, args),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KdfArg {
    /// Passphrase, memory-hard derivation
    Scrypt,
    /// Passphrase, for machines with little memory
    Pbkdf2,
    /// No passphrase: the file is the key
    None,
}

impl KdfArg {
    fn kind(self) -> KdfKind {
        match self {
            KdfArg::Scrypt => KdfKind::Scrypt,
            KdfArg::Pbkdf2 => KdfKind::Pbkdf2,
            KdfArg::None => KdfKind::None,
        }
    }

    /// The passphrase that this kind needs: none, or a chosen one.
    fn choose_passphrase(self, which: Which) -> Result<Passphrase> {
        match self {
            KdfArg::None => Ok(Passphrase::default()),
            _ => which.choose("New passphrase: "),
        }
    }
}

/// How a copy of a key is locked, if not as it was.
#[derive(Debug, Args)]
struct LockArgs {
    /// Lock the copy under a new passphrase, or with 'none' under no one [default: as it is]
    #[arg(long, value_enum)]
    kdf: Option<KdfArg>,
    /// What reminds you of the new passphrase
    #[arg(long, requires = "kdf")]
    hint: Option<String>,
}

impl LockArgs {
    /// The key file as asked for. `key` is what is in it.
    fn apply(&self, file: KeyConfig, key: &CryptConfig) -> Result<KeyConfig> {
        let Some(kdf) = self.kdf else { return Ok(file) };
        let passphrase = kdf.choose_passphrase(Which::NewKey)?;
        Ok(file.relock(key, kdf.kind(), &passphrase, self.hint.clone())?)
    }
}

/// The file named, or the default key; absolute.
fn key_path(places: &Places, named: Option<&Path>) -> Result<PathBuf> {
    let path = named.map_or_else(|| keys::default_key(places), Path::to_path_buf);
    Ok(std::path::absolute(path)?)
}

/// The same, of a key that must be there.
fn existing_key_path(places: &Places, named: Option<&Path>) -> Result<PathBuf> {
    let path = key_path(places, named)?;
    if named.is_none() && !keys::is_there(&path)? {
        bail!(
            "there is no default key ({}); name the key file, or make a key with 'capstan key \
             create'",
            path.display()
        );
    }
    Ok(path)
}

/// Writes a new key file to the place named or to that of the default key, and says so. What is
/// there is never overwritten.
fn save_new(places: &Places, named: Option<&Path>, file: &KeyConfig) -> Result<()> {
    let path = key_path(places, named)?;
    if named.is_none() {
        std::fs::create_dir_all(&places.config)
            .with_context(|| format!("cannot create {}", places.config.display()))?;
    }
    file.save_new(&keys::storage()?, &path)?;
    let bar = Bar::bytes("key");
    bar.line(&format!("key {} is in {}", fingerprint(file), path.display()));
    if named.is_none() {
        bar.line(
            "it is the default key: backups with this configuration are encrypted with it, unless \
             they are told otherwise",
        );
    }
    Ok(())
}

fn fingerprint(key: &KeyConfig) -> String {
    key.fingerprint.map_or_else(|| "unknown".to_owned(), |fingerprint| fingerprint.to_string())
}

/// Reads a file that holds a key in one form or another.
pub fn read_text(path: &Path) -> Result<zeroize::Zeroizing<String>> {
    use std::io::Read;
    /// Room for a paper key with its pictures.
    const BYTES_MAX: u64 = 4 << 20;
    let mut text = zeroize::Zeroizing::new(String::new());
    let mut read = |input: &mut dyn Read| input.take(BYTES_MAX).read_to_string(&mut text);
    if path == Path::new("-") {
        read(&mut std::io::stdin().lock()).context("cannot read the standard input")?;
    } else {
        std::fs::File::open(path)
            .and_then(|mut file| read(&mut file))
            .with_context(|| format!("cannot read {}", path.display()))?;
    }
    Ok(text)
}
