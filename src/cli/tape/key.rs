//! `capstan tape key …`: the keys of pools whose sets are encrypted by the drive.
//!
//! Passphrases come from a file, the environment or the terminal, never from the arguments.

mod transfer;

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use datastore::Fingerprint;
use datastore::key::KdfKind;
use pbs_tape::keys::{KeyInfo, KeyStore};
use pbs_tape::media::Inventory;
use serde::Serialize;

use super::station;
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::keys::{Passphrase, Which, first_line_of};
use crate::output::{OutputArgs, table};
use crate::progress::say;

/// Keys that drives encrypt cartridges with
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    ChangePassphrase(ChangeArgs),
    Remove(RemoveArgs),
    Import(transfer::ImportArgs),
    Export(transfer::ExportArgs),
    Paperkey(transfer::PaperkeyArgs),
    Restore(transfer::RestoreArgs),
}

/// How a passphrase locks a tape key. There is no 'none': the locked key gets on every cartridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum KdfArg {
    /// Memory-hard derivation
    Scrypt,
    /// For machines with little memory
    Pbkdf2,
}

impl KdfArg {
    fn kind(self) -> KdfKind {
        match self {
            KdfArg::Scrypt => KdfKind::Scrypt,
            KdfArg::Pbkdf2 => KdfKind::Pbkdf2,
        }
    }
}

/// Make a new random key
///
/// It is locked with a passphrase, and in that form written to every cartridge of the pools that use it: cartridges and
/// passphrase are all that it takes to read them. Print it as well ('capstan tape key paperkey').
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape key create --hint 'the one in the safe'")]
pub struct CreateArgs {
    /// How the passphrase locks the key
    #[arg(long, value_enum, default_value_t = KdfArg::Scrypt)]
    kdf: KdfArg,
    /// What reminds you of the passphrase; everybody who has a cartridge can read it
    #[arg(long)]
    hint: Option<String>,
    /// File whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

/// List the keys, and what needs them
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape key list")]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Show what is known of a key without opening it
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape key show 0e:ab:d4:46")]
pub struct ShowArgs {
    /// Its fingerprint, or the beginning of it
    fingerprint: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Lock a key with another passphrase
///
/// Cartridges, papers and copies made before keep the old one.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan tape key change-passphrase 0e:ab:d4:46 --hint 'the new one'"
)]
pub struct ChangeArgs {
    /// Its fingerprint, or the beginning of it
    fingerprint: String,
    /// How the new passphrase locks the key
    #[arg(long, value_enum, default_value_t = KdfArg::Scrypt)]
    kdf: KdfArg,
    /// What reminds you of the new passphrase; the old hint goes
    #[arg(long)]
    hint: Option<String>,
    /// File whose first line is the old passphrase
    #[arg(long, value_name = "FILE", conflicts_with = "force")]
    password_file: Option<PathBuf>,
    /// File whose first line is the new passphrase
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// Do not ask for the old passphrase: the key that lies on this machine for jobs will do
    #[arg(long)]
    force: bool,
}

/// Remove a key from this machine
///
/// Refused while a pool uses it or cartridges in the inventory were written with it. What was written with a key that is
/// nowhere any more is lost; it is still on the cartridges, locked with its passphrase.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape key remove 0e:ab:d4:46")]
pub struct RemoveArgs {
    /// Its fingerprint, or the beginning of it
    fingerprint: String,
    /// Remove it although something needs it
    #[arg(long)]
    force: bool,
}

pub fn run(places: &Places, command: &KeyCommand) -> Result<Outcome> {
    match command {
        KeyCommand::Create(args) => create(places, args),
        KeyCommand::List(args) => list(places, args),
        KeyCommand::Show(args) => show(places, args),
        KeyCommand::ChangePassphrase(args) => change(places, args),
        KeyCommand::Remove(args) => remove(places, args),
        KeyCommand::Import(args) => transfer::import(places, args),
        KeyCommand::Export(args) => transfer::export(places, args),
        KeyCommand::Paperkey(args) => transfer::paperkey(places, args),
        KeyCommand::Restore(args) => transfer::restore(places, args),
    }
}

/// Where the tape keys lie: beside the configuration, which is what people keep copies of.
pub fn store(places: &Places) -> KeyStore {
    KeyStore::at(&places.config)
}

/// A passphrase from the file named, the environment or the terminal.
fn passphrase(which: Which, file: Option<&Path>, prompt: &str) -> Result<Passphrase> {
    match file {
        Some(file) => first_line_of(file),
        None => which.get(prompt),
    }
}

/// The same of one that locks something new, typed twice on a terminal.
fn new_passphrase(which: Which, file: Option<&Path>) -> Result<Passphrase> {
    match file {
        Some(file) => {
            let passphrase = first_line_of(file)?;
            datastore::key::check_passphrase(&passphrase)?;
            Ok(passphrase)
        }
        None => which.choose("New passphrase: "),
    }
}

/// As a library asks for a passphrase, with its errors in the library's terms.
fn as_asked(asked: Result<Passphrase>) -> datastore::Result<Vec<u8>> {
    asked
        .map(|mut passphrase| std::mem::take(&mut *passphrase))
        .map_err(|e| datastore::Error::Key { reason: format!("{e:#}") })
}

/// Asks for the passphrase of a key whose fingerprint and hint are known.
pub fn ask(
    file: Option<&Path>,
    fingerprint: &str,
    hint: Option<&str>,
) -> datastore::Result<Vec<u8>> {
    let hint = hint.map(|hint| format!(" (hint: {hint})")).unwrap_or_default();
    let prompt = format!("Passphrase of tape key {fingerprint}{hint}: ");
    as_asked(passphrase(Which::TapeKey, file, &prompt))
}

fn create(places: &Places, args: &CreateArgs) -> Result<Outcome> {
    let passphrase = new_passphrase(Which::TapeKey, args.password_file.as_deref())?;
    let made = store(places).create(args.kdf.kind(), &passphrase, args.hint.clone())?;
    say(&format!(
        "tape key {made} is made; 'capstan tape pool create NAME --encrypt {}' uses it, 'capstan tape key paperkey {}' prints it",
        made.short(),
        made.short()
    ));
    Ok(Outcome::Complete)
}

/// A key and what needs it.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Shown {
    #[serde(flatten)]
    info: KeyInfo,
    /// Pools that write with it.
    pools: Vec<String>,
    /// Label texts of the cartridges in the inventory that were written with it.
    media: Vec<String>,
}

fn shown(places: &Places, keys: Vec<KeyInfo>) -> Result<Vec<Shown>> {
    let tape: Tape = places.load()?;
    let inventory = Inventory::load(&station::state(places)?)?;
    let with_uses = keys.into_iter().map(|info| {
        let name = info.fingerprint.to_string();
        let pools = tape.pool.iter().filter(|(_, pool)| pool.encrypt.as_deref() == Some(&name));
        let media = inventory.entries().filter(|entry| {
            let set = entry.id.assigned_set();
            set.and_then(|set| set.encryption_key_fingerprint.as_deref()) == Some(&name)
        });
        let mut media: Vec<String> = media.map(|entry| entry.id.label.label_text.clone()).collect();
        media.sort();
        Shown { pools: pools.map(|(pool, _)| pool.clone()).collect(), media, info }
    });
    Ok(with_uses.collect())
}

fn list(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let keys = shown(places, store(places).list()?)?;
    args.output.print(&keys, |keys| {
        let rows = keys.iter().map(|key| {
            vec![
                key.info.fingerprint.short(),
                key.info.kdf.unwrap_or_default().to_owned(),
                key.info.hint.clone().unwrap_or_default(),
                if key.info.usable { "yes" } else { "no" }.to_owned(),
                key.pools.join(" "),
                key.media.len().to_string(),
            ]
        });
        table(&["fingerprint", "kdf", "hint", "usable", "pools", "cartridges"], rows)
    })?;
    Ok(Outcome::Complete)
}

fn show(places: &Places, args: &ShowArgs) -> Result<Outcome> {
    let store = store(places);
    let info = store.info(store.find(&args.fingerprint)?)?;
    for key in shown(places, vec![info])? {
        args.output.print_fields(&key)?;
    }
    Ok(Outcome::Complete)
}

fn change(places: &Places, args: &ChangeArgs) -> Result<Outcome> {
    let store = store(places);
    let key = store.find(&args.fingerprint)?;
    let hint = store.info(key)?.hint;
    let file = args.password_file.as_deref();
    // The old one first, as people expect it: it is asked for once and used below.
    let old = match args.force {
        true => None,
        false => Some(ask(file, &key.to_string(), hint.as_deref())?),
    };
    let old = old.map(Passphrase::new);
    let new = new_passphrase(Which::NewTapeKey, args.new_password_file.as_deref())?;
    let mut give = || Ok(old.as_ref().map(|old| old.to_vec()).unwrap_or_default());
    let old: Option<&mut dyn FnMut() -> datastore::Result<Vec<u8>>> = match &old {
        Some(_) => Some(&mut give),
        None => None,
    };
    store.change_passphrase(key, old, args.kdf.kind(), &new, args.hint.clone())?;
    say(&format!(
        "tape key {} has a new passphrase; cartridges written before, papers and copies keep the old one",
        key.short()
    ));
    Ok(Outcome::Complete)
}

fn remove(places: &Places, args: &RemoveArgs) -> Result<Outcome> {
    let store = store(places);
    let key: Fingerprint = store.find(&args.fingerprint)?;
    let used = shown(places, vec![store.info(key)?])?;
    let needs = |kind: &str, names: &[String]| match names {
        [] => None,
        names => Some(format!("{kind} {}", names.join(", "))),
    };
    let by: Vec<String> = used
        .iter()
        .flat_map(|key| [needs("pool", &key.pools), needs("cartridges", &key.media)])
        .flatten()
        .collect();
    if !by.is_empty() && !args.force {
        bail!(
            "tape key {} is needed by {}; --force removes it all the same",
            key.short(),
            by.join(" and ")
        );
    }
    store.remove(key)?;
    say(&format!("tape key {key} is removed from this machine"));
    Ok(Outcome::Complete)
}
