//! Configuration files and where they and the state lie.
//!
//! Configuration is TOML, one file a subject, edited by hand or by commands. A command changes a
//! file under a lock and replaces it whole, so that two commands at once lose nothing and a crash
//! leaves the old file or the new one.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use datastore::chunk_store::SyncLevel;
use nix::fcntl::{Flock, FlockArg};
use pbs_tape::care::CleanPolicy;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The two folders of an instance.
#[derive(Debug, Clone)]
pub struct Places {
    /// Configuration files.
    pub config: PathBuf,
    /// What the program keeps: inventories, catalogs, locks.
    pub state: PathBuf,
}

impl Places {
    /// The folders given, those that `CAPSTAN_CONFIG` and `CAPSTAN_STATE` name, or the defaults: those
    /// of the system for root, the user's otherwise.
    pub fn find(config: Option<PathBuf>, state: Option<PathBuf>) -> Result<Places> {
        let variable = |name: &str| std::env::var_os(name).filter(|folder| !folder.is_empty());
        let config = config.or_else(|| variable("CAPSTAN_CONFIG").map(PathBuf::from));
        let state = state.or_else(|| variable("CAPSTAN_STATE").map(PathBuf::from));
        let is_root = nix::unistd::geteuid().is_root();
        let user_folder = |variable: &str, fallback: &str| -> Result<PathBuf> {
            if let Some(folder) = std::env::var_os(variable).filter(|folder| !folder.is_empty()) {
                return Ok(PathBuf::from(folder).join("capstan"));
            }
            let home = std::env::var_os("HOME")
                .context("HOME is not set; give --config and --state instead")?;
            Ok(PathBuf::from(home).join(fallback).join("capstan"))
        };
        let config = match config {
            Some(folder) => folder,
            None if is_root => "/etc/capstan".into(),
            None => user_folder("XDG_CONFIG_HOME", ".config")?,
        };
        let state = match state {
            Some(folder) => folder,
            None if is_root => "/var/lib/capstan".into(),
            None => user_folder("XDG_STATE_HOME", ".local/state")?,
        };
        Ok(Places { config, state })
    }

    /// Reads a configuration file; a missing one is the default.
    pub fn load<T: Section>(&self) -> Result<T> {
        let path = self.config.join(T::FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(T::default()),
            Err(error) => {
                return Err(error).with_context(|| format!("cannot read {}", path.display()));
            }
        };
        toml::from_str(&text).with_context(|| format!("{} is not valid", path.display()))
    }

    /// Changes a configuration file. Nothing is written if `change` fails.
    pub fn change<T: Section, R>(&self, change: impl FnOnce(&mut T) -> Result<R>) -> Result<R> {
        fs::create_dir_all(&self.config)
            .with_context(|| format!("cannot create {}", self.config.display()))?;
        let _lock = self.lock(T::FILE)?;
        let mut section: T = self.load()?;
        let result = change(&mut section)?;
        let text = toml::to_string_pretty(&section).context("cannot write the configuration")?;
        replace(&self.config.join(T::FILE), text.as_bytes())?;
        Ok(result)
    }

    fn lock(&self, name: &str) -> Result<Flock<File>> {
        let path = self.config.join(format!(".{name}.lck"));
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        // A change takes no time; whoever holds the lock lets go at once.
        Flock::lock(file, FlockArg::LockExclusive)
            .map_err(|(_, errno)| io::Error::from(errno))
            .with_context(|| format!("cannot lock {}", path.display()))
    }
}

/// One configuration file.
pub trait Section: Serialize + DeserializeOwned + Default {
    /// Its name.
    const FILE: &'static str;
}

fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let temp = path.with_extension(format!("tmp_{}", std::process::id()));
    let write = || -> io::Result<()> {
        let mut file = File::create(&temp)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temp, path)?;
        match path.parent() {
            Some(folder) => File::open(folder)?.sync_all(),
            None => Ok(()),
        }
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// `datastore.toml`: names for datastores.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Datastores {
    /// By name.
    #[serde(default)]
    pub datastore: BTreeMap<String, DatastoreConfig>,
}

impl Section for Datastores {
    const FILE: &'static str = "datastore.toml";
}

impl Datastores {
    /// A datastore whose folder is `path`, lies in it or around it.
    ///
    /// Stores must not lie inside each other: collecting garbage in the outer one would read the
    /// indexes of the inner one and still remove its chunks, or the other way round.
    pub fn nested_with(&self, path: &Path) -> Option<(&str, &Path)> {
        let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        let ours = real(path);
        let others = self.datastore.iter().map(|(name, config)| (name.as_str(), &*config.path));
        others.into_iter().find(|(_, other)| {
            let other = real(other);
            ours.starts_with(&other) || other.starts_with(&ours)
        })
    }

    /// Fails if the folder of the datastore `name` lies inside that of another one, or around it.
    /// Garbage collection and destruction ask this before they begin.
    pub fn check_not_nested(&self, name: &str) -> Result<()> {
        let Some(config) = self.datastore.get(name) else { return Ok(()) };
        let others = Datastores {
            datastore: self.datastore.clone().into_iter().filter(|(n, _)| n != name).collect(),
        };
        if let Some((other, path)) = others.nested_with(&config.path) {
            bail!(
                "the folders of datastores '{name}' ({}) and '{other}' ({}) lie inside each other; \
                 remove one of them from the configuration",
                config.path.display(),
                path.display()
            );
        }
        Ok(())
    }
}

/// One datastore.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DatastoreConfig {
    /// Its folder.
    pub path: PathBuf,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Folder for lock files, if not the one in the store. A host on which the reference serves
    /// the same store names the reference's folder here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock_dir: Option<PathBuf>,
    /// When chunks become durable: `none`, `file` or `filesystem`, which is the default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sync_level: Option<SyncLevel>,
    /// Minutes for which garbage collection keeps what nothing needs, 1 to 2880.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gc_atime_cutoff: Option<u32>,
    /// `false`: garbage collection trusts that the file system keeps times of access.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gc_atime_safety_check: Option<bool>,
    /// `true`: each backup is verified as soon as it is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify_new: Option<bool>,
    /// Set while the datastore is being destroyed: nothing else may use it any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance_mode: Option<MaintenanceMode>,
}

/// Why a datastore must not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MaintenanceMode {
    /// It is being destroyed with all it holds.
    Delete,
}

/// `tape.toml`: changers, drives and media pools.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tape {
    /// Changers by name.
    #[serde(default)]
    pub changer: BTreeMap<String, ChangerConfig>,
    /// Drives by name.
    #[serde(default)]
    pub drive: BTreeMap<String, DriveConfig>,
    /// Media pools by name.
    #[serde(default)]
    pub pool: BTreeMap<String, PoolConfig>,
    /// How drives are fed.
    #[serde(default, skip_serializing_if = "FeedConfig::is_default")]
    pub feed: FeedConfig,
}

impl Section for Tape {
    const FILE: &'static str = "tape.toml";
}

/// One media changer.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct ChangerConfig {
    /// Its address.
    pub path: String,
    /// Slots, besides the library's own, that are used to hand cartridges in and out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub export_slots: Vec<u64>,
    /// The drive must eject before the robot takes a cartridge out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub eject_before_unload: bool,
}

/// One drive.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct DriveConfig {
    /// Its address.
    pub path: String,
    /// The changer that loads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changer: Option<String>,
    /// Which of the changer's drives it is, from 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub changer_drivenum: u64,
    /// `never`: it is not cleaned by itself when it asks.
    #[serde(default, skip_serializing_if = "is_auto")]
    pub clean: CleanPolicy,
}

fn is_auto(clean: &CleanPolicy) -> bool {
    *clean == CleanPolicy::Auto
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// How drives are fed, for all jobs that are not told otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct FeedConfig {
    /// Memory between disk and drive, as `4G`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub buffer: Option<String>,
    /// Threads that read chunks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub readers: Option<usize>,
}

impl FeedConfig {
    fn is_default(&self) -> bool {
        *self == FeedConfig::default()
    }
}

/// One media pool.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct PoolConfig {
    /// The drive that its jobs use unless told otherwise.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drive: Option<String>,
    /// When a new media set is begun.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<String>,
    /// How long a media set is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<String>,
    /// Fingerprint of the key that drives encrypt its media sets with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encrypt: Option<String>,
    /// How media sets are named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Free text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
}

/// Checks a name of a changer, drive or pool.
pub fn check_name(kind: &str, name: &str, len_min: usize) -> Result<()> {
    if !datastore::hierarchy::is_safe_id(name) || !(len_min..=32).contains(&name.len()) {
        bail!(
            "invalid {kind} name '{name}': {len_min} to 32 letters, digits, '.', '_' and '-', the \
             first no '.' or '-'"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_change_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { config: dir.path().join("c"), state: dir.path().join("s") };
        assert!(places.load::<Datastores>().unwrap().datastore.is_empty());
        let config = DatastoreConfig { path: "/x".into(), ..DatastoreConfig::default() };
        places
            .change(|section: &mut Datastores| {
                section.datastore.insert("one".into(), config.clone());
                Ok(())
            })
            .unwrap();
        let failed = places.change(|section: &mut Datastores| -> Result<()> {
            section.datastore.clear();
            bail!("no")
        });
        assert!(failed.is_err());
        let section = places.load::<Datastores>().unwrap();
        assert_eq!(section.datastore["one"].path, Path::new("/x"));
    }

    #[test]
    fn datastores_must_not_lie_inside_each_other() {
        let mut section = Datastores::default();
        for (name, path) in [("one", "/a/b"), ("two", "/a/bc"), ("three", "/x")] {
            let config = DatastoreConfig { path: path.into(), ..DatastoreConfig::default() };
            section.datastore.insert(name.into(), config);
        }
        for name in ["one", "two", "three", "unknown"] {
            section.check_not_nested(name).unwrap();
        }
        for (path, name) in [("/a/b", "one"), ("/a/b/c", "one"), ("/x/y/z", "three")] {
            assert_eq!(section.nested_with(Path::new(path)).unwrap().0, name, "{path}");
        }
        assert!(section.nested_with(Path::new("/a")).is_some());
        assert!(section.nested_with(Path::new("/a/d")).is_none());
        section.datastore.get_mut("three").unwrap().path = "/a".into();
        for name in ["one", "two", "three"] {
            let error = section.check_not_nested(name).unwrap_err().to_string();
            assert!(error.contains("three"), "{error}");
        }
    }

    #[test]
    fn the_tuning_of_a_datastore_has_the_names_of_the_documentation() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { config: dir.path().into(), state: dir.path().into() };
        let write = |tuning: &str| {
            let text = format!("[datastore.one]\npath = '/x'\n{tuning}\n");
            fs::write(dir.path().join("datastore.toml"), text).unwrap();
        };
        write("sync-level = 'file'\ngc-atime-cutoff = 90\ngc-atime-safety-check = false");
        let one = places.load::<Datastores>().unwrap().datastore["one"].clone();
        assert_eq!(one.sync_level, Some(SyncLevel::File));
        assert_eq!(one.gc_atime_cutoff, Some(90));
        assert_eq!(one.gc_atime_safety_check, Some(false));
        write("sync-level = 'sometimes'");
        let error = format!("{:#}", places.load::<Datastores>().unwrap_err());
        assert!(error.contains("filesystem"), "{error}");
    }

    #[test]
    fn a_typing_error_in_a_file_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places { config: dir.path().into(), state: dir.path().into() };
        fs::write(dir.path().join("datastore.toml"), "[datastore.x]\npth = '/x'\n").unwrap();
        let error = format!("{:#}", places.load::<Datastores>().unwrap_err());
        assert!(error.contains("datastore.toml") && error.contains("pth"), "{error}");
    }
}
