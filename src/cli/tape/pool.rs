//! `capstan tape pool …`

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use pbs_tape::media::PoolConfig as Pool;
use pbs_tape::media::listing::{MediaFilter, media_list};

use super::configured::{self, Listed};
use super::station;
use crate::cli::Outcome;
use crate::config::{Places, PoolConfig, Tape, check_name};
use crate::output::{OutputArgs, bytes, table};
use crate::progress::Bar;

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

/// Show the cartridges of a pool
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan tape pool status daily")]
pub struct StatusArgs {
    /// Its name
    name: String,
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
    pool.template.clone_from(&config.template);
    pool.comment.clone_from(&config.comment);
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
        PoolCommand::Status(args) => {
            let tape: Tape = places.load()?;
            find(&tape, &args.name)?;
            print_media(places, Some(&args.name), args.output)
        }
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
            config.comment.clone().unwrap_or_default(),
        ]
    });
    table(&["name", "drive", "allocation", "retention", "template", "comment"], rows)
}

fn apply(tape: &mut Tape, name: &str, policy: &Policy) -> Result<()> {
    if let Some(drive) = &policy.drive
        && !tape.drive.contains_key(drive)
    {
        bail!("there is no drive '{drive}'; 'capstan tape drive list' shows the names");
    }
    let config = tape.pool.entry(name.to_owned()).or_default();
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
        apply(tape, &args.name, &args.policy)
    })?;
    Ok(Outcome::Complete)
}

fn update(places: &Places, args: &UpdateArgs) -> Result<Outcome> {
    places.change(|tape: &mut Tape| {
        configured::find("pool", &tape.pool, &args.name)?;
        apply(tape, &args.name, &args.policy)
    })?;
    Ok(Outcome::Complete)
}

/// Lists cartridges as a job would see them.
pub fn print_media(places: &Places, pool: Option<&str>, output: OutputArgs) -> Result<Outcome> {
    let tape: Tape = places.load()?;
    let state = station::state(places)?;
    let now = datastore::time::now();
    let filter = MediaFilter { pool: pool.map(str::to_owned), ..MediaFilter::default() };
    let (list, odd) = media_list(&state, &all(&tape)?, &filter, now)?;
    output.print(&list, |list| {
        let mut sorted: Vec<_> = list.iter().collect();
        sorted.sort_by(|a, b| a.label_text.cmp(&b.label_text));
        let rows = sorted.into_iter().map(|media| {
            let text = |value: &Option<String>| value.clone().unwrap_or_default();
            vec![
                media.label_text.clone(),
                text(&media.pool),
                text(&media.media_set_name),
                media.seq_nr.map(|nr| nr.to_string()).unwrap_or_default(),
                serde_json::to_value(media.status)
                    .ok()
                    .and_then(|status| status.as_str().map(str::to_owned))
                    .unwrap_or_default(),
                media.location.clone(),
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
    })?;
    let bar = Bar::bytes("list");
    for line in &odd {
        bar.warn(line);
    }
    Ok(if odd.is_empty() { Outcome::Complete } else { Outcome::Incomplete })
}
