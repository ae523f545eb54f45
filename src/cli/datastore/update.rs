//! `capstan datastore update`

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};
use datastore::chunk_store::SyncLevel;
use datastore::gc;

use crate::cli::Outcome;
use crate::config::{Datastores, Places};
use crate::repository;

/// Change the settings of a datastore
///
/// 'capstan datastore list --output-format json-pretty' shows those that are not the defaults.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  capstan datastore update archive --verify-new true\n  \
                  capstan datastore update archive --comment 'all of building 2' --delete gc-atime-cutoff")]
pub struct UpdateArgs {
    /// A name from the configuration, or the folder
    store: String,
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
    /// Verify each backup as soon as it is finished
    #[arg(long, value_name = "true|false")]
    verify_new: Option<bool>,
    /// When chunks become durable [default: filesystem]
    #[arg(long, value_enum, value_name = "LEVEL")]
    sync_level: Option<LevelArg>,
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
    VerifyNew,
    SyncLevel,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LevelArg {
    /// Whenever the system likes: a power cut may damage finished backups
    None,
    /// Each when it is stored
    File,
    /// All at once, before a backup counts as finished
    Filesystem,
}

pub fn run(places: &Places, args: &UpdateArgs) -> Result<Outcome> {
    if let Some(dir) = &args.lock_dir
        && !dir.is_absolute()
    {
        bail!("the lock folder '{}' must be an absolute path", dir.display());
    }
    let is_idle = args.comment.is_none()
        && args.lock_dir.is_none()
        && args.gc_atime_cutoff.is_none()
        && args.gc_atime_safety_check.is_none()
        && args.verify_new.is_none()
        && args.sync_level.is_none()
        && args.delete.is_empty();
    if is_idle {
        bail!("nothing to change: 'capstan datastore update --help' shows the settings");
    }
    places.change(|section: &mut Datastores| {
        let name = repository::configured_name(section, &args.store)?;
        let Some(config) = section.datastore.get_mut(&name) else {
            bail!("there is no datastore named '{name}' in the configuration");
        };
        for setting in &args.delete {
            match setting {
                Setting::Comment => config.comment = None,
                Setting::LockDir => config.lock_dir = None,
                Setting::GcAtimeCutoff => config.gc_atime_cutoff = None,
                Setting::GcAtimeSafetyCheck => config.gc_atime_safety_check = None,
                Setting::VerifyNew => config.verify_new = None,
                Setting::SyncLevel => config.sync_level = None,
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
        config.verify_new = args.verify_new.or(config.verify_new);
        let level = args.sync_level.map(|level| match level {
            LevelArg::None => SyncLevel::None,
            LevelArg::File => SyncLevel::File,
            LevelArg::Filesystem => SyncLevel::Filesystem,
        });
        config.sync_level = level.or(config.sync_level);
        Ok(())
    })?;
    Ok(Outcome::Complete)
}
