//! What `--repository` and STORE arguments mean.
//!
//! A folder (`/srv/archive`, `./x`), a name from the configuration, or a server in the form
//! `[[auth-id@]host[:port]:]store`, which this version does not reach yet.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use datastore::datastore::Options;
use datastore::{BackupGroup, Datastore, Namespace, SnapshotPath};

use crate::config::{DatastoreConfig, Datastores, MaintenanceMode, Places};

/// A datastore and what it is called.
pub struct Repository {
    /// The store.
    pub store: Arc<Datastore>,
    /// Its name: the configured one, or the last part of its folder.
    pub name: String,
    /// True if the configuration knows it, so that its name stands for no other store.
    pub configured: bool,
    /// Its settings; the defaults for a folder that the configuration does not know.
    pub config: DatastoreConfig,
}

/// Opens the datastore that `text` names.
pub fn open(places: &Places, text: &str) -> Result<Repository> {
    if text.is_empty() {
        bail!("no datastore is named: the argument, --repository or CAPSTAN_REPOSITORY is empty");
    }
    if is_folder(text) {
        let path = PathBuf::from(text);
        // A folder that is configured keeps its name and its settings.
        let mut section = places.load::<Datastores>()?;
        if let Some(name) = name_of_folder(&section, &path)
            && let Some(config) = section.datastore.remove(&name)
        {
            return open_configured(name, config);
        }
        let canonical = path.canonicalize().unwrap_or_else(|_| path.clone());
        let name = canonical.file_name().map_or_else(String::new, |n| n.to_string_lossy().into());
        let store = Datastore::open(&path, &Options::default())?;
        let config = DatastoreConfig::default();
        return Ok(Repository { store, name, configured: false, config });
    }
    if text.contains(':') || text.contains('@') {
        bail!(
            "'{text}' names a datastore on a server; this version reaches only datastores on this \
             machine: give a folder (/srv/archive, ./x) or the name of a configured datastore"
        );
    }
    match places.load::<Datastores>()?.datastore.remove(text) {
        Some(config) => open_configured(text.to_owned(), config),
        None => bail!(
            "there is no datastore named '{text}' in the configuration; 'capstan datastore list' \
             shows the names, and a folder is written with a slash: ./{text}"
        ),
    }
}

fn is_folder(text: &str) -> bool {
    text.contains('/') && !text.split('/').next().unwrap_or("").contains(':')
        || text == "."
        || text == ".."
}

/// The name of the datastore in a folder, if the configuration knows it. The folder itself may be gone.
fn name_of_folder(section: &Datastores, folder: &Path) -> Option<String> {
    let real = |path: &Path| path.canonicalize().or_else(|_| std::path::absolute(path)).ok();
    let wanted = real(folder)?;
    let mut all = section.datastore.iter();
    let (name, _) = all.find(|(_, config)| real(&config.path).as_ref() == Some(&wanted))?;
    Some(name.clone())
}

/// The name of a datastore that the configuration must know, given by name or by folder.
pub fn configured_name(section: &Datastores, text: &str) -> Result<String> {
    if section.datastore.contains_key(text) {
        return Ok(text.to_owned());
    }
    if !is_folder(text) {
        bail!("there is no datastore named '{text}' in the configuration");
    }
    name_of_folder(section, Path::new(text)).with_context(|| {
        format!(
            "the configuration has no datastore in {text}; 'capstan datastore create NAME {text} \
             --reuse-datastore' gives it a name"
        )
    })
}

fn open_configured(name: String, config: DatastoreConfig) -> Result<Repository> {
    if config.maintenance_mode == Some(MaintenanceMode::Delete) {
        bail!(
            "datastore '{name}' is being destroyed; 'capstan datastore remove {name} \
             --destroy-data --yes' goes on with it"
        );
    }
    open_for_removal(&name, config)
}

/// Opens a datastore of the configuration, even one whose destruction was begun.
pub fn open_for_removal(name: &str, config: DatastoreConfig) -> Result<Repository> {
    let options = Options {
        lock_dir: config.lock_dir.clone(),
        sync_level: config.sync_level.unwrap_or_default(),
    };
    let store = Datastore::open(&config.path, &options)
        .with_context(|| format!("cannot open datastore '{name}'"))?;
    Ok(Repository { store, name: name.to_owned(), configured: true, config })
}

/// A snapshot by its full name, or the newest finished one of a group.
pub fn find_snapshot(store: &Datastore, namespace: &Namespace, text: &str) -> Result<SnapshotPath> {
    store.require_namespace(namespace)?;
    if text.matches('/').count() != 1 {
        return Ok(text.parse()?);
    }
    let group: BackupGroup = text.parse()?;
    let snapshots = store.snapshots(namespace, &group, &mut ())?;
    let newest = snapshots.into_iter().rev().find(|info| info.finished);
    Ok(newest.with_context(|| format!("group {group} has no finished snapshot"))?.path)
}

/// The caller as the owner of backups: `user@pam`.
pub fn caller() -> Result<String> {
    let uid = nix::unistd::geteuid();
    let user = nix::unistd::User::from_uid(uid)?
        .with_context(|| format!("user {uid} has no name; give --owner"))?;
    Ok(format!("{}@pam", user.name))
}
