//! `capstan tape media …`

use anyhow::Result;
use clap::{Args, Subcommand};
use pbs_tape::media::listing::{ContentFilter, media_content, media_set_list};
use uuid::Uuid;

use super::{pool, station};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, table};
use crate::progress::Bar;

/// Cartridges and what is on them
#[derive(Debug, Subcommand)]
pub enum MediaCommand {
    List(ListArgs),
    Content(ContentArgs),
    Sets(SetsArgs),
}

/// List the known cartridges
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape media list --pool daily")]
pub struct ListArgs {
    /// Only those of this pool
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// List the snapshots on cartridges
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape media content --label-text CAP001L8")]
pub struct ContentArgs {
    /// Only media sets of this pool
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Only this cartridge
    #[arg(long, value_name = "TEXT")]
    label_text: Option<String>,
    /// Only this cartridge, by its UUID
    #[arg(long, value_name = "UUID")]
    media: Option<Uuid>,
    /// Only this media set
    #[arg(long, value_name = "UUID")]
    media_set: Option<Uuid>,
    /// Only backups of this type
    #[arg(long, value_name = "TYPE")]
    backup_type: Option<String>,
    /// Only backups with this id
    #[arg(long, value_name = "ID")]
    backup_id: Option<String>,
    #[command(flatten)]
    output: OutputArgs,
}

/// List the known media sets
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape media sets")]
pub struct SetsArgs {
    #[command(flatten)]
    output: OutputArgs,
}

pub fn run(places: &Places, command: &MediaCommand) -> Result<Outcome> {
    match command {
        MediaCommand::List(args) => pool::print_media(places, args.pool.as_deref(), args.output),
        MediaCommand::Content(args) => content(places, args),
        MediaCommand::Sets(args) => sets(places, args),
    }
}

fn content(places: &Places, args: &ContentArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let filter = ContentFilter {
        pool: args.pool.clone(),
        label_text: args.label_text.clone(),
        media: args.media,
        media_set: args.media_set,
        backup_type: args.backup_type.clone(),
        backup_id: args.backup_id.clone(),
    };
    let (content, without_catalog) =
        media_content(&station::state(places)?, &pool::all(&tape)?, &filter)?;
    args.output.print(&content, |content| {
        let rows = content.iter().map(|entry| {
            vec![
                entry.label_text.clone(),
                entry.pool.clone(),
                entry.media_set_name.clone(),
                entry.seq_nr.to_string(),
                format!("{}:{}", entry.store, entry.snapshot),
            ]
        });
        table(&["label-text", "pool", "media-set", "seq-nr", "snapshot"], rows)
    })?;
    let bar = Bar::bytes("content");
    for tape in &without_catalog {
        bar.warn(&format!(
            "cartridge {tape} has no catalog here; 'capstan tape catalog' makes one"
        ));
    }
    Ok(if without_catalog.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

fn sets(places: &Places, args: &SetsArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let sets = media_set_list(&station::state(places)?, &pool::all(&tape)?)?;
    args.output.print(&sets, |sets| {
        let rows = sets.iter().map(|set| {
            vec![set.media_set_uuid.to_string(), set.pool.clone(), set.media_set_name.clone()]
        });
        table(&["media-set-uuid", "pool", "media-set"], rows)
    })?;
    Ok(Outcome::Complete)
}
