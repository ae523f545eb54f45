//! `capstan changer …`: what a library answers, recorded and played.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use changer::{Status, survey};
use clap::{Args, Subcommand};
use scsi::Connect as _;
use scsi::transcript::Transcript;

use super::Outcome;
use crate::device::Devices;
use crate::output::{OutputArgs, print};
use crate::progress::say;

/// What a media changer answers: record it, look at a record
#[derive(Debug, Subcommand)]
pub enum ChangerCommand {
    Record(RecordArgs),
    Replay(ReplayArgs),
}

/// Write down what a changer answers to all that Capstan asks; nothing is moved
///
/// The file is text. With --mask it holds no bar code and no serial number that Capstan recognises; look through it
/// before you send it to somebody.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan changer record /dev/sg5 robot.txt --mask\n  \
                        capstan changer record vtl:/srv/vtl#changer robot.txt")]
pub struct RecordArgs {
    /// The changer's address: /dev/sgN, /dev/tape/by-id/…, vtl:DIR#changer
    address: String,
    /// The file to write; it must not exist
    file: PathBuf,
    /// Replace bar codes and serial numbers
    #[arg(long)]
    mask: bool,
}

/// Show what Capstan makes of a recorded changer
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan changer replay robot.txt")]
pub struct ReplayArgs {
    /// The file
    file: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(command: &ChangerCommand) -> Result<Outcome> {
    match command {
        ChangerCommand::Record(args) => record(args),
        ChangerCommand::Replay(args) => replay(args),
    }
}

fn record(args: &RecordArgs) -> Result<Outcome> {
    let address = crate::device::absolute(&args.address)?;
    // Before the robot is asked: what cannot be kept need not be recorded.
    let mut file = std::fs::File::create_new(&args.file)
        .with_context(|| format!("cannot create {}", args.file.display()))?;
    let mut write = || -> Result<survey::Survey> {
        let mut taken = survey::record(Devices.connect(&address)?)?;
        if args.mask {
            taken.transcript.mask();
        }
        std::io::Write::write_all(&mut file, taken.transcript.to_text().as_bytes())
            .and_then(|()| file.sync_all())
            .with_context(|| format!("cannot write {}", args.file.display()))?;
        Ok(taken)
    };
    let taken = match write() {
        Ok(taken) => taken,
        Err(error) => {
            let _ = std::fs::remove_file(&args.file);
            return Err(error);
        }
    };
    print(&format!(
        "recorded {} commands of {} {} to {}",
        taken.transcript.exchanges.len(),
        taken.transcript.vendor,
        taken.transcript.product,
        args.file.display()
    ))?;
    match taken.status {
        Ok(status) => {
            tell(&status);
            Ok(Outcome::Complete)
        }
        // The record is what was wanted; that the library could not be understood is why.
        Err(error) => {
            say(&format!("capstan: {error}"));
            Ok(Outcome::Incomplete)
        }
    }
}

fn replay(args: &ReplayArgs) -> Result<Outcome> {
    let path = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| format!("cannot read {path}"))?;
    let transcript = match Transcript::parse(&bytes) {
        Ok(transcript) => transcript,
        Err(error) => bail!("{path} is no transcript of a device: {error}"),
    };
    let about: Vec<_> =
        [transcript.vendor.as_str(), &transcript.product, &transcript.revision, &transcript.origin]
            .into_iter()
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
            .collect();
    let status = survey::replay(&path.to_string(), transcript)?;
    args.output.print(&status, |status| {
        let about = about.join(", ").replace(char::is_control, "?");
        format!("{about}\n\n{}", status.to_text())
    })?;
    tell(&status);
    Ok(Outcome::Complete)
}

fn tell(status: &Status) {
    for warning in &status.warnings {
        say(&format!("warning: {warning}"));
    }
    for note in &status.notes {
        say(&format!("note: {note}"));
    }
}
