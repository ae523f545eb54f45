//! `capstan key import` and `capstan key export`
//!
//! Both open the key once before they write: a copy that cannot be opened shows on the day it is
//! made and not on the day it is needed.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use datastore::key::master::MasterKey;
use datastore::key::paper::Document;

use super::LockArgs;
use crate::cli::Outcome;
use crate::config::Places;
use crate::keys::{self, Which};
use crate::output::print;
use crate::progress::Bar;

const IMPORT_HELP: &str = "\
SOURCE may be a key file, a paper key as text or HTML, or what a QR code of one holds. A master
private key on paper becomes a .pem file again.

Examples:
  capstan key import /media/usb/backup-key.json
  zbarimg --raw --quiet scan.png | capstan key import - /root/backup-key.json";

const EXPORT_HELP: &str = "\
Examples:
  capstan key export /media/usb/backup-key.json
  capstan key export /mnt/safe/key.json --keyfile /root/backup-key.json --kdf none";

/// Take a key from a copy, a paper key or a QR code
///
/// The key is opened once, to prove that it can be.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_HELP)]
pub struct ImportArgs {
    /// What holds the key; - is the standard input
    source: PathBuf,
    /// The new key file; an existing one is never overwritten [default: the default key]
    file: Option<PathBuf>,
    #[command(flatten)]
    lock: LockArgs,
}

/// Copy a key to another place
///
/// The key is opened once, to prove that it can be.
#[derive(Debug, Args)]
#[command(after_help = EXPORT_HELP)]
pub struct ExportArgs {
    /// The new file, which must not exist, or - for the standard output
    target: PathBuf,
    /// The key file [default: the default key]
    #[arg(long, value_name = "FILE")]
    keyfile: Option<PathBuf>,
    #[command(flatten)]
    lock: LockArgs,
}

pub fn import(places: &Places, args: &ImportArgs) -> Result<Outcome> {
    let text = super::read_text(&args.source)?;
    let found = Document::parse(&text)
        .with_context(|| format!("cannot import {}", args.source.display()))?;
    match found {
        Document::Key(file) => {
            let key = keys::unlock(&file, &args.source)?;
            let mut file = args.lock.apply(file, &key)?;
            // Old files do not name their key; the new one does.
            file.fingerprint = Some(key.fingerprint());
            super::save_new(places, args.file.as_deref(), &file)?;
        }
        Document::PrivateKey(pem) => {
            let Some(path) = &args.file else {
                bail!("this is a private key: name the file for it, e.g. master-private.pem");
            };
            if args.lock.kdf.is_some() {
                bail!("this is a private key, which keeps its passphrase; leave --kdf out");
            }
            let path = std::path::absolute(path)?;
            let prompt = "Passphrase of the private key: ".to_owned();
            MasterKey::from_pem(
                pem.to_pem().as_bytes(),
                &mut keys::asking(Which::MasterKey, prompt),
            )
            .with_context(|| format!("cannot import {}", args.source.display()))?;
            pem.save_new(&keys::storage()?, &path)?;
            Bar::bytes("key").line(&format!("the private key is in {}", path.display()));
        }
    }
    Ok(Outcome::Complete)
}

pub fn export(places: &Places, args: &ExportArgs) -> Result<Outcome> {
    let path = super::existing_key_path(places, args.keyfile.as_deref())?;
    let file = keys::read(&path)?;
    let key = keys::unlock(&file, &path)?;
    let file = args.lock.apply(file, &key)?;
    if args.target == Path::new("-") {
        print(&file.to_json()?)?;
    } else {
        super::save_new(places, Some(&args.target), &file)?;
    }
    Ok(Outcome::Complete)
}
