//! `capstan vtl fault …`

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use vtl::Library;
use vtl::faults::{FaultPlan, FaultProfile};

use crate::cli::Outcome;
use crate::output::{OutputArgs, table};
use crate::progress::Bar;

/// Faults on demand: what goes wrong in an emulated library
#[derive(Debug, Subcommand)]
pub enum FaultCommand {
    Set(SetArgs),
    List(ListArgs),
    Clear(ClearArgs),
}

/// Set a plan of faults, for every program that uses the library
///
/// A rule says how often, which unit, which command, under which conditions, and what happens. The
/// words are in docs/formats/vtl-faults.md. A plan that is there is replaced; counting starts anew.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan vtl fault set /srv/vtl 'once drive0 write object=1200 \
                        -> write-error' '2x changer move -> stuck'"
)]
pub struct SetArgs {
    /// The library's folder
    dir: PathBuf,
    /// Rules, each as one argument
    #[arg(value_name = "RULE")]
    rules: Vec<String>,
    /// Read rules from a file; - reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Make a random plan; the same seed makes the same plan
    #[arg(long, value_name = "N", conflicts_with_all = ["rules", "file"])]
    seed: Option<u64>,
}

/// List the faults that are set and how often each took effect
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl fault list /srv/vtl")]
pub struct ListArgs {
    /// The library's folder
    dir: PathBuf,
    #[command(flatten)]
    output: OutputArgs,
}

/// Take all faults away
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  capstan vtl fault clear /srv/vtl")]
pub struct ClearArgs {
    /// The library's folder
    dir: PathBuf,
}

pub fn run(command: &FaultCommand) -> Result<Outcome> {
    match command {
        FaultCommand::Set(args) => set(args),
        FaultCommand::List(args) => list(args),
        FaultCommand::Clear(args) => {
            Library::open(&args.dir)?.clear_stored_faults()?;
            Ok(Outcome::Complete)
        }
    }
}

fn set(args: &SetArgs) -> Result<Outcome> {
    let library = Library::open(&args.dir)?;
    let plan = match args.seed {
        Some(seed) => {
            let profile = FaultProfile { rules_max: 4, objects: 1000, commands: 1000 };
            FaultPlan::from_seed(seed, &profile)
        }
        None => {
            let mut text = match &args.file {
                Some(file) => read(file)?,
                None => String::new(),
            };
            for rule in &args.rules {
                text.push('\n');
                text.push_str(rule);
            }
            text.parse()?
        }
    };
    if plan.rules.is_empty() {
        bail!("no rule is given; name rules, a --file or a --seed, or use 'vtl fault clear'");
    }
    library.store_faults(&plan)?;
    let bar = Bar::bytes("fault");
    for rule in &plan.rules {
        bar.line(&rule.to_string());
    }
    Ok(Outcome::Complete)
}

fn read(file: &Path) -> Result<String> {
    if file.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("standard input")?;
        return Ok(text);
    }
    fs::read_to_string(file).with_context(|| file.display().to_string())
}

fn list(args: &ListArgs) -> Result<Outcome> {
    let rules = Library::open(&args.dir)?.stored_faults()?;
    args.output.print(&rules, |rules| {
        let rows = rules.iter().map(|rule| {
            let state = if rule.is_used_up { "used up" } else { "waits" };
            vec![rule.fired.to_string(), rule.met.to_string(), state.into(), rule.rule.clone()]
        });
        table(&["fired", "met", "state", "rule"], rows)
    })?;
    Ok(Outcome::Complete)
}
