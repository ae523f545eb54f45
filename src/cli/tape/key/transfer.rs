//! Tape keys to and from copies, paper and cartridges. Each is opened once before it is taken in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use datastore::key::paper::Document;
use pbs_tape::operations::restore_key::{KeyOutcome, restore_key};

use super::{KdfArg, ask, new_passphrase, store};
use crate::cli::Outcome;
use crate::cli::key::{PaperArg, read_text};
use crate::cli::tape::station::{self, DriveArg};
use crate::config::{Places, Tape};
use crate::keys::{self, Which};
use crate::output::{OutputArgs, OutputFormat, print};
use crate::progress::{Bar, say};

/// Take a key from a copy, a paper key or a QR code
///
/// The key is opened once, to prove that it can be. One that no passphrase locks gets one.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    capstan tape key import /media/usb/tape-key.json\n  \
    zbarimg --raw --quiet scan.png | capstan tape key import -")]
pub struct ImportArgs {
    /// What holds the key; - is the standard input
    source: PathBuf,
    /// File whose first line is the passphrase of the copy
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Lock it under a new passphrase [default: as it is]
    #[arg(long, value_enum)]
    kdf: Option<KdfArg>,
    /// What reminds you of the new passphrase
    #[arg(long, requires = "kdf")]
    hint: Option<String>,
    /// File whose first line is the new passphrase
    #[arg(long, value_name = "FILE")]
    new_password_file: Option<PathBuf>,
    /// Put it in the place of the same key that is here
    #[arg(long)]
    force: bool,
}

/// Copy a key, as its passphrase locks it, to another place
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape key export 0e:ab:d4:46 /media/usb/tape-key.json")]
pub struct ExportArgs {
    /// Its fingerprint, or the beginning of it
    fingerprint: String,
    /// The new file, which must not exist, or - for the standard output
    target: PathBuf,
}

/// Print a key for the cupboard, as text and QR codes
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    capstan tape key paperkey 0e:ab:d4:46 --output-format html > tape-key.html")]
pub struct PaperkeyArgs {
    /// Its fingerprint, or the beginning of it
    fingerprint: String,
    /// First line: what the key is of
    #[arg(long)]
    subject: Option<String>,
    /// Form of the paper
    #[arg(long, value_enum, default_value_t = PaperArg::Text, value_name = "FORMAT")]
    output_format: PaperArg,
}

/// Take the key of the cartridge in the drive from it
///
/// It is locked with the passphrase that it had when the cartridge joined its media set.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape key restore --drive lto0")]
pub struct RestoreArgs {
    #[command(flatten)]
    drive: DriveArg,
    /// File whose first line is the passphrase
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// If the key is here, give it the passphrase that it has on the cartridge
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn import(places: &Places, args: &ImportArgs) -> Result<Outcome> {
    let cannot = || format!("cannot import {}", args.source.display());
    let document = Document::parse(&read_text(&args.source)?).with_context(cannot)?;
    let Document::Key(file) = document else {
        bail!("{} is a private key, which is none for tapes", args.source.display());
    };
    let name = file.fingerprint.map(|one| one.to_string()).unwrap_or_default();
    let mut asked = || ask(args.password_file.as_deref(), &name, file.hint.as_deref());
    let key = file.unlock(&mut asked).with_context(cannot)?;
    // A key that lies open must not get on tape like that.
    let kdf = args.kdf.or((!file.is_locked()).then_some(KdfArg::Scrypt));
    let file = match kdf {
        None => file,
        Some(kdf) => {
            let new = new_passphrase(Which::NewTapeKey, args.new_password_file.as_deref())?;
            file.relock(&key, kdf.kind(), &new, args.hint.clone())?
        }
    };
    let taken = store(places).insert(&key, file, args.force)?;
    say(&format!("tape key {taken} is here"));
    Ok(Outcome::Complete)
}

pub fn export(places: &Places, args: &ExportArgs) -> Result<Outcome> {
    let store = store(places);
    let file = store.config(store.find(&args.fingerprint)?)?;
    if args.target == Path::new("-") {
        print(&file.to_json()?)?;
    } else {
        file.save_new(&keys::storage()?, &std::path::absolute(&args.target)?)?;
    }
    Ok(Outcome::Complete)
}

pub fn paperkey(places: &Places, args: &PaperkeyArgs) -> Result<Outcome> {
    let store = store(places);
    let file = store.config(store.find(&args.fingerprint)?)?;
    let paper = Document::Key(file);
    print(&paper.print(args.subject.as_deref(), args.output_format.format())?)?;
    Ok(Outcome::Complete)
}

pub fn restore(places: &Places, args: &RestoreArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let bar = Arc::new(Bar::bytes("key"));
    let mut station = station::open(&state, &tape, args.drive.drive.as_deref(), &bar)?;
    let file = args.password_file.as_deref();
    let mut asked = |fingerprint: &str, hint: Option<&str>| ask(file, fingerprint, hint);
    let taken = restore_key(&state, &mut station, args.force, &mut asked, &*bar)?;
    if args.output.output_format == OutputFormat::Text {
        bar.line(&format!(
            "tape key {} {}",
            taken.fingerprint,
            match taken.outcome {
                KeyOutcome::Restored => "is here",
                KeyOutcome::MadeUsable => "can be used again, with the passphrase that it has here",
                KeyOutcome::Present => "was here already, and stays as it is",
                KeyOutcome::Replaced => "has the passphrase that it has on the cartridge",
            }
        ));
    }
    args.output.print(&taken, |_| String::new())?;
    Ok(Outcome::Complete)
}
