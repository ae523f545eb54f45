//! `capstan tape pool …`

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use pbs_tape::keys::KeyStore;
use pbs_tape::media::pool::TapeOrigin;
use pbs_tape::media::pool_status::{Expires, PoolStatus, pool_status};
use pbs_tape::media::{PoolConfig as Pool, Reach};

use super::configured::{self, Listed};
use super::media::status_words;
use super::{key, station};
use crate::cli::Outcome;
use crate::config::{Places, PoolConfig, Tape, check_name};
use crate::output::{OutputArgs, bytes, table};

/// Media pools: cartridges for one purpose
#[derive(Debug, Subcommand)]
pub enum PoolCommand {
    Create(CreateArgs),
    List(ListArgs),
    Show(ShowArgs),
    Update(UpdateArgs),
    Remove(RemoveArgs),
    Status(StatusArgs),
}

/// What a pool does; the options of create and update.
#[derive(Debug, Args)]
struct Policy {
    /// The drive that its jobs use unless told otherwise
    #[arg(long, value_name = "NAME")]
    drive: Option<String>,
    /// When a new media set begins: continue (only when it must), always, or a calendar event such as
    /// 'mon 3:00' or monthly
    #[arg(long, value_name = "POLICY")]
    allocation: Option<String>,
    /// How long media sets are kept: keep, overwrite, or a time span such as '2 weeks'
    #[arg(long, value_name = "POLICY")]
    retention: Option<String>,
    /// Names of media sets: strftime of their start, %id% is their UUID
    #[arg(long, value_name = "TEMPLATE")]
    template: Option<String>,
    /// The key that drives encrypt its media sets with ('capstan tape key list'), or none; another one begins a new set
    #[arg(long, value_name = "KEY")]
    encrypt: Option<String>,
    /// Free text
    #[arg(long)]
    comment: Option<String>,
}

/// Make a pool
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape pool create daily --drive lto0")]
pub struct CreateArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    policy: Policy,
}

/// List the pools
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape pool list")]
pub struct ListArgs {
    #[command(flatten)]
    output: OutputArgs,
}

/// Show a pool's configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape pool show daily")]
pub struct ShowArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    output: OutputArgs,
}

/// Change a pool's configuration
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape pool update daily --retention '4 weeks'")]
pub struct UpdateArgs {
    /// Its name
    name: String,
    #[command(flatten)]
    policy: Policy,
}

/// Remove a pool from the configuration; its cartridges are left as they are
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape pool remove daily")]
pub struct RemoveArgs {
    /// Its name
    name: String,
}

/// Show what a pool will do next: which cartridge comes, which become free when
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan tape pool status\n  \
                        capstan tape pool status daily --at 2030-12-24T21:00")]
pub struct StatusArgs {
    /// Its name [default: all pools in short]
    name: Option<String>,
    /// The moment that the next job is expected at, local time [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<DateTime>,
    #[command(flatten)]
    output: OutputArgs,
}

/// A pool as jobs need it.
pub fn to_pool(name: &str, config: &PoolConfig) -> Result<Pool> {
    let mut pool = Pool::new(name);
    if let Some(allocation) = &config.allocation {
        pool.allocation = allocation.parse()?;
    }
    if let Some(retention) = &config.retention {
        pool.retention = retention.parse()?;
    }
    pool.encrypt.clone_from(&config.encrypt);
    pool.template.clone_from(&config.template);
    pool.comment.clone_from(&config.comment);
    pool.check()?;
    Ok(pool)
}

/// All pools as jobs need them.
pub fn all(tape: &Tape) -> Result<Vec<Pool>> {
    tape.pool.iter().map(|(name, config)| to_pool(name, config)).collect()
}

/// One pool, and the drive that it names.
pub fn find(tape: &Tape, name: &str) -> Result<(Pool, Option<String>)> {
    let config = tape.pool.get(name).with_context(|| {
        format!("there is no pool '{name}'; 'capstan tape pool list' shows the names")
    })?;
    Ok((to_pool(name, config)?, config.drive.clone()))
}

pub fn run(places: &Places, command: &PoolCommand) -> Result<Outcome> {
    match command {
        PoolCommand::Create(args) => create(places, args),
        PoolCommand::List(args) => {
            let tape: Tape = places.load()?;
            let listed = configured::list(&tape.pool);
            args.output.print(&listed, |listed| table_of(listed))?;
            Ok(Outcome::Complete)
        }
        PoolCommand::Show(args) => {
            let tape: Tape = places.load()?;
            let listed = configured::find("pool", &tape.pool, &args.name)?;
            args.output.print(&listed, |listed| table_of(std::slice::from_ref(listed)))?;
            Ok(Outcome::Complete)
        }
        PoolCommand::Update(args) => update(places, args),
        PoolCommand::Remove(args) => {
            places
                .change(|tape: &mut Tape| configured::remove("pool", &mut tape.pool, &args.name))?;
            Ok(Outcome::Complete)
        }
        PoolCommand::Status(args) => status(places, args),
    }
}

fn table_of(listed: &[Listed<'_, PoolConfig>]) -> String {
    let rows = listed.iter().map(|pool| {
        let config = pool.config;
        vec![
            pool.name.to_owned(),
            config.drive.clone().unwrap_or_default(),
            config.allocation.clone().unwrap_or_else(|| "continue".into()),
            config.retention.clone().unwrap_or_else(|| "keep".into()),
            config.template.clone().unwrap_or_default(),
            config.encrypt.as_deref().map(|key| key.chars().take(23).collect()).unwrap_or_default(),
            config.comment.clone().unwrap_or_default(),
        ]
    });
    table(&["name", "drive", "allocation", "retention", "template", "encrypt", "comment"], rows)
}

fn apply(tape: &mut Tape, keys: &KeyStore, name: &str, policy: &Policy) -> Result<()> {
    if let Some(drive) = &policy.drive
        && !tape.drive.contains_key(drive)
    {
        bail!("there is no drive '{drive}'; 'capstan tape drive list' shows the names");
    }
    let encrypt = match policy.encrypt.as_deref() {
        None => None,
        Some("none") => Some(None),
        Some(key) => Some(Some(keys.find(key)?.to_string())),
    };
    let config = tape.pool.entry(name.to_owned()).or_default();
    if let Some(encrypt) = encrypt {
        config.encrypt = encrypt;
    }
    let options = [
        (&policy.drive, &mut config.drive),
        (&policy.allocation, &mut config.allocation),
        (&policy.retention, &mut config.retention),
        (&policy.template, &mut config.template),
        (&policy.comment, &mut config.comment),
    ];
    for (given, kept) in options {
        if given.is_some() {
            kept.clone_from(given);
        }
    }
    // What cannot be used later is refused now.
    to_pool(name, config)?;
    Ok(())
}

fn create(places: &Places, args: &CreateArgs) -> Result<Outcome> {
    check_name("pool", &args.name, 2)?;
    places.change(|tape: &mut Tape| {
        configured::check_new("pool", &tape.pool, &args.name)?;
        apply(tape, &key::store(places), &args.name, &args.policy)
    })?;
    Ok(Outcome::Complete)
}

fn update(places: &Places, args: &UpdateArgs) -> Result<Outcome> {
    places.change(|tape: &mut Tape| {
        configured::find("pool", &tape.pool, &args.name)?;
        apply(tape, &key::store(places), &args.name, &args.policy)
    })?;
    Ok(Outcome::Complete)
}

fn status(places: &Places, args: &StatusArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let at = match args.at {
        Some(at) => at.to_zoned(TimeZone::system()).context("--at is out of range")?.timestamp(),
        None => Timestamp::now(),
    };
    let one = |name: &str| -> Result<PoolStatus> {
        let (pool, drive) = find(&tape, name)?;
        Ok(pool_status(&state, &pool, reach(&tape, drive.as_deref()), at.as_second())?)
    };
    match &args.name {
        Some(name) => args.output.print(&one(name)?, status_text)?,
        None => {
            let all: Vec<PoolStatus> =
                tape.pool.keys().map(|name| one(name)).collect::<Result<_>>()?;
            args.output.print(&all, |all| summary(all))?;
        }
    }
    Ok(Outcome::Complete)
}

/// Which cartridges a job of a pool can get at: those of its drive, or of the only one. Without a drive,
/// all that are in no vault.
fn reach(tape: &Tape, drive: Option<&str>) -> Reach {
    match station::find_drive(tape, drive).map(|drive| drive.changer) {
        Ok(Some(changer)) => Reach::Changer(changer.name),
        Ok(None) => Reach::StandAlone,
        Err(_) => Reach::Anywhere,
    }
}

fn summary(pools: &[PoolStatus]) -> String {
    let rows = pools.iter().map(|pool| {
        let counts = &pool.tapes;
        let free = counts.empty + counts.expired;
        vec![
            pool.name.clone(),
            pool.next_media_label.clone().unwrap_or_else(|| "none".to_owned()),
            pool.media_set_name.clone().unwrap_or_else(|| "a new one".to_owned()),
            free.to_string(),
            (counts.writable + counts.full).to_string(),
            (counts.damaged + counts.retired).to_string(),
            counts.to_replace.to_string(),
            bytes(pool.bytes_used),
        ]
    });
    table(
        &["pool", "next", "media-set", "free", "in use", "out of use", "to replace", "used"],
        rows,
    )
}

fn local_time(moment: i64) -> String {
    let Ok(time) = Timestamp::from_second(moment) else { return moment.to_string() };
    time.to_zoned(TimeZone::system()).strftime("%a %Y-%m-%d %H:%M").to_string()
}

fn status_text(pool: &PoolStatus) -> String {
    let mut text = format!(
        "pool {}: allocation {}, retention {}\n",
        pool.name, pool.allocation, pool.retention
    );
    text.push_str(&match (&pool.media_set_name, &pool.media_set_uuid, &pool.new_media_set) {
        (Some(name), Some(uuid), _) => {
            format!("the next job goes on with media set {name} ({uuid})\n")
        }
        (_, _, Some(reason)) => format!("the next job begins a new media set: {reason}\n"),
        _ => "the next job begins the first media set\n".to_owned(),
    });
    text.push_str(&match (&pool.next_media_label, pool.next_media_origin, &pool.no_media) {
        (Some(label), Some(origin), _) => {
            format!("the next cartridge is {label}: {}\n", words(origin))
        }
        (_, _, Some(reason)) => format!("{reason}\n"),
        _ => String::new(),
    });
    let counts = &pool.tapes;
    text.push_str(&format!(
        "{} empty, {} being written, {} full, {} expired, {} damaged, {} retired; {} used\n",
        counts.empty,
        counts.writable,
        counts.full,
        counts.expired,
        counts.damaged,
        counts.retired,
        bytes(pool.bytes_used),
    ));
    if counts.to_replace > 0 {
        text.push_str(&format!(
            "{} due to be replaced; 'capstan tape media statistics' says why\n",
            counts.to_replace
        ));
    }
    let rows = pool.media.iter().map(|media| {
        let expires = match media.expires {
            None => String::new(),
            Some(Expires::At(moment)) => local_time(moment),
            Some(Expires::AfterNextSet) => "after the next set".to_owned(),
            Some(Expires::Never) => "never".to_owned(),
        };
        let status = status_words(&media.status, media.expired, media.verdict);
        vec![
            media.label_text.clone(),
            status,
            media.location.clone(),
            expires,
            media.bytes_used.map(bytes).unwrap_or_default(),
            media.seq_nr.map(|nr| nr.to_string()).unwrap_or_default(),
            media.media_set_uuid.map(|uuid| uuid.to_string()).unwrap_or_default(),
        ]
    });
    let header =
        ["label-text", "status", "location", "expires", "used", "seq-nr", "media-set-uuid"];
    if !pool.media.is_empty() {
        text.push('\n');
        text.push_str(&table(&header, rows));
    }
    text
}

fn words(origin: TapeOrigin) -> &'static str {
    match origin {
        TapeOrigin::Current => "the last of the media set, which takes more",
        TapeOrigin::Empty => "it is empty",
        TapeOrigin::Expired => "its data has expired and is overwritten",
        TapeOrigin::Free => "it is empty and of no pool yet",
    }
}
