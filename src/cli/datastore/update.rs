//! `capstan datastore update`

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use datastore::gc;

use crate::cli::Outcome;
use crate::config::{Datastores, Places};

/// Change the settings of a datastore
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  capstan datastore update archive --comment 'all of building 2' --delete gc-atime-cutoff"
)]
pub struct UpdateArgs {
    /// Name in the configuration
    name: String,
    /// Free text
    #[arg(long)]
    comment: Option<String>,
    /// Folder for lock files: the reference's, if it serves the same store
    #[arg(long, value_name = "DIR")]
    lock_dir: Option<PathBuf>,
    /// Minutes for which garbage collection keeps what nothing needs
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(gc::CUTOFF_MINUTES_MAX)))]
    gc_atime_cutoff: Option<u32>,
    /// Whether garbage collection tests that the file system keeps times of access
    #[arg(long, value_name = "true|false")]
    gc_atime_safety_check: Option<bool>,
    /// Give a setting its default; may be repeated
    #[arg(long, value_enum, value_name = "SETTING")]
    delete: Vec<Setting>,
}

/// A setting that has a default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Setting {
    Comment,
    LockDir,
    GcAtimeCutoff,
    GcAtimeSafetyCheck,
}

pub fn run(places: &Places, args: &UpdateArgs) -> Result<Outcome> {
    if let Some(dir) = &args.lock_dir
        && !dir.is_absolute()
    {
        bail!("the lock folder '{}' must be an absolute path", dir.display());
    }
    places.change(|section: &mut Datastores| {
        let Some(config) = section.datastore.get_mut(&args.name) else {
            bail!("there is no datastore named '{}' in the configuration", args.name);
        };
        for setting in &args.delete {
            match setting {
                Setting::Comment => config.comment = None,
                Setting::LockDir => config.lock_dir = None,
                Setting::GcAtimeCutoff => config.gc_atime_cutoff = None,
                Setting::GcAtimeSafetyCheck => config.gc_atime_safety_check = None,
            }
        }
        if args.comment.is_some() {
            config.comment.clone_from(&args.comment);
        }
        if args.lock_dir.is_some() {
            config.lock_dir.clone_from(&args.lock_dir);
        }
        config.gc_atime_cutoff = args.gc_atime_cutoff.or(config.gc_atime_cutoff);
        config.gc_atime_safety_check = args.gc_atime_safety_check.or(config.gc_atime_safety_check);
        Ok(())
    })?;
    Ok(Outcome::Complete)
}
