//! `capstan key create-master-key`, `import-master-pubkey` and `show-master-pubkey`

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use datastore::key::master::{BITS_DEFAULT, MasterKey};
use serde::Serialize;

use crate::cli::Outcome;
use crate::config::Places;
use crate::keys::{self, Which};
use crate::output::{OutputArgs, table};
use crate::progress::Bar;

const CREATE_HELP: &str = "\
The passphrase of the private half comes from CAPSTAN_MASTER_KEY_PASSWORD (or the file that
CAPSTAN_MASTER_KEY_PASSWORD_FILE names), or from the terminal.

Example:
  capstan key create-master-key /mnt/safe
  capstan key import-master-pubkey /mnt/safe/master-public.pem";

/// Make a master key: an RSA pair that opens the keys of all backups
///
/// Writes master-private.pem, which belongs into a safe, and master-public.pem, which backups need.
#[derive(Debug, Args)]
#[command(after_help = CREATE_HELP)]
pub struct CreateMasterArgs {
    /// Folder for the two files; existing ones are never overwritten
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Bits of the key
    #[arg(long, default_value_t = BITS_DEFAULT)]
    bits: u32,
}

/// Let all backups carry their key, encrypted for this master key
///
/// From then on each backup that has a key also holds a copy of it, which only the private half
/// of the master key opens ('capstan key recover').
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan key import-master-pubkey /mnt/safe/master-public.pem")]
pub struct ImportMasterArgs {
    /// The public half (PEM)
    file: PathBuf,
    /// Take the place of another master key
    #[arg(long)]
    replace: bool,
}

/// Show the master key that backups carry their key for
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan key show-master-pubkey")]
pub struct ShowMasterArgs {
    /// The public half (PEM) [default: the imported one]
    file: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn create(args: &CreateMasterArgs) -> Result<Outcome> {
    let dir = std::path::absolute(&args.dir)?;
    let (private, public) = (dir.join("master-private.pem"), dir.join("master-public.pem"));
    // Before anybody chooses a passphrase and waits.
    for path in [&private, &public] {
        if path.symlink_metadata().is_ok() {
            bail!("{} exists; an existing key is never overwritten", path.display());
        }
    }
    let passphrase = Which::MasterKey.choose("Passphrase of the master key: ")?;
    let key = MasterKey::generate(args.bits)?;
    let storage = keys::storage()?;
    // The private half first: a public half alone would encrypt what nobody can open.
    key.save_new(&storage, &private, &passphrase)?;
    key.public()?.save_new(&storage, &public)?;
    let bar = Bar::bytes("key");
    bar.line(&format!("private half: {}; keep it apart from the backups", private.display()));
    bar.line(&format!(
        "public half: {}; 'capstan key import-master-pubkey' lets backups use it",
        public.display()
    ));
    Ok(Outcome::Complete)
}

pub fn import(places: &Places, args: &ImportMasterArgs) -> Result<Outcome> {
    let new = keys::read_master_public(&std::path::absolute(&args.file)?)?;
    let path = std::path::absolute(keys::default_master_key(places))?;
    std::fs::create_dir_all(&places.config)
        .with_context(|| format!("cannot create {}", places.config.display()))?;
    let storage = keys::storage()?;
    if args.replace {
        new.save_over(&storage, &path)?;
    } else if path.symlink_metadata().is_err() {
        new.save_new(&storage, &path)?;
    } else if keys::read_master_public(&path)?.fingerprint()? != new.fingerprint()? {
        bail!(
            "another master key is in {}; --replace takes its place. Backups made so far keep the \
             copy of their key for the old one",
            path.display()
        );
    }
    Bar::bytes("key").line(&format!(
        "backups that have a key carry it for master key {} from now on",
        new.fingerprint()?.short()
    ));
    Ok(Outcome::Complete)
}

#[derive(Serialize)]
struct Shown {
    path: String,
    fingerprint: String,
    bits: u32,
    pem: String,
}

pub fn show(places: &Places, args: &ShowMasterArgs) -> Result<Outcome> {
    let path = args.file.clone().unwrap_or_else(|| keys::default_master_key(places));
    let path = std::path::absolute(path)?;
    if args.file.is_none() && !keys::is_there(&path)? {
        bail!(
            "no master key is imported ({}); 'capstan key import-master-pubkey' does that",
            path.display()
        );
    }
    let key = keys::read_master_public(&path)?;
    let shown = Shown {
        path: path.display().to_string(),
        fingerprint: key.fingerprint()?.to_string(),
        bits: key.bits(),
        pem: String::from_utf8(key.to_pem()?).context("PEM is text")?,
    };
    args.output.print(&shown, |shown| {
        let rows = vec![
            vec!["path".to_owned(), shown.path.clone()],
            vec!["fingerprint".to_owned(), shown.fingerprint.clone()],
            vec!["bits".to_owned(), shown.bits.to_string()],
        ];
        format!("{}\n{}", table(&["", ""], rows).trim_start(), shown.pem)
    })?;
    Ok(Outcome::Complete)
}
