//! `capstan tape media …`: what is known of cartridges. What an operator says about them, and takes out
//! and brings in, is in `media/handling.rs`.

mod handling;
mod statistics;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use pbs_tape::care::Verdict;
use pbs_tape::media::MediaStatus;
use pbs_tape::media::listing::{
    ContentFilter, MediaFilter, MediaListEntry, PlaceFilter, media_content, media_list,
    media_set_list,
};
use uuid::Uuid;

use super::{pool, station};
use crate::cli::Outcome;
use crate::config::{Places, Tape};
use crate::output::{OutputArgs, bytes, table};
use crate::progress::Bar;

/// Cartridges and what is on them
#[derive(Debug, Subcommand)]
pub enum MediaCommand {
    List(ListArgs),
    Content(ContentArgs),
    Sets(SetsArgs),
    Statistics(statistics::StatisticsArgs),
    Move(handling::MoveArgs),
    Vault(handling::VaultArgs),
    SetStatus(handling::SetStatusArgs),
    Destroy(handling::DestroyArgs),
    Export(handling::ExportArgs),
    Import(handling::ImportArgs),
}

/// List the known cartridges
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape media list --pool daily\n  \
                        capstan tape media list --location vault --expired true")]
pub struct ListArgs {
    /// Only those of this pool
    #[arg(long, value_name = "POOL")]
    pool: Option<String>,
    /// Only those of this status
    #[arg(long, value_enum, value_name = "STATUS")]
    status: Option<Status>,
    /// Only those there: online, vault, offline, online-CHANGER, vault-NAME
    #[arg(long, value_name = "WHERE")]
    location: Option<PlaceFilter>,
    /// Only those whose data may be overwritten, or only the others
    #[arg(long, value_name = "BOOL")]
    expired: Option<bool>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A status that a cartridge may have.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Status {
    Writable,
    Full,
    Damaged,
    Retired,
    Unknown,
}

impl From<Status> for MediaStatus {
    fn from(status: Status) -> MediaStatus {
        match status {
            Status::Writable => MediaStatus::Writable,
            Status::Full => MediaStatus::Full,
            Status::Damaged => MediaStatus::Damaged,
            Status::Retired => MediaStatus::Retired,
            Status::Unknown => MediaStatus::Unknown,
        }
    }
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
        MediaCommand::List(args) => list(places, args),
        MediaCommand::Content(args) => content(places, args),
        MediaCommand::Sets(args) => sets(places, args),
        MediaCommand::Statistics(args) => statistics::run(places, args),
        MediaCommand::Move(args) => handling::move_one(places, args),
        MediaCommand::Vault(args) => handling::vault(places, args),
        MediaCommand::SetStatus(args) => handling::set_status(places, args),
        MediaCommand::Destroy(args) => handling::destroy(places, args),
        MediaCommand::Export(args) => handling::export(places, args),
        MediaCommand::Import(args) => handling::import(places, args),
    }
}

fn list(places: &Places, args: &ListArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let filter = MediaFilter {
        pool: args.pool.clone(),
        status: args.status.map(MediaStatus::from),
        place: args.location.clone(),
        expired: args.expired,
    };
    let now = datastore::time::now();
    let (list, odd) = media_list(&station::state(places)?, &pool::all(&tape)?, &filter, now)?;
    args.output.print(&list, |list| list_table(list))?;
    let bar = Bar::bytes("list");
    for line in &odd {
        bar.warn(line);
    }
    Ok(if odd.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}

fn list_table(list: &[MediaListEntry]) -> String {
    let mut sorted: Vec<_> = list.iter().collect();
    sorted.sort_by(|a, b| (&a.label_text, a.uuid).cmp(&(&b.label_text, b.uuid)));
    let rows = sorted.into_iter().map(|media| {
        let text = |value: &Option<String>| value.clone().unwrap_or_default();
        let status = status_words(&media.status, media.expired, media.verdict);
        let location = match &media.element {
            Some(element) => format!("{} ({element})", media.location),
            None => media.location.clone(),
        };
        vec![
            media.label_text.clone(),
            text(&media.pool),
            text(&media.media_set_name),
            media.seq_nr.map(|nr| nr.to_string()).unwrap_or_default(),
            status,
            location,
            if media.catalog { "yes" } else { "no" }.to_owned(),
            media.bytes_used.map(bytes).unwrap_or_default(),
            media.media_set_uuid.map(|uuid| uuid.to_string()).unwrap_or_default(),
        ]
    });
    let header = [
        "label-text",
        "pool",
        "media-set",
        "seq-nr",
        "status",
        "location",
        "catalog",
        "used",
        "media-set-uuid",
    ];
    table(&header, rows)
}

/// Status of a cartridge, with what is to be done about it.
pub fn status_words(status: &MediaStatus, expired: bool, verdict: Option<Verdict>) -> String {
    let status = if expired { "expired".to_owned() } else { status.to_string() };
    match verdict {
        Some(verdict) => format!("{status}, {verdict}"),
        None => status,
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
    let (content, odd) = media_content(&station::state(places)?, &pool::all(&tape)?, &filter)?;
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
    for line in &odd {
        bar.warn(line);
    }
    Ok(if odd.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
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
