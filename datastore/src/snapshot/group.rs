//! The right to write to a backup group, and what a group consists of beside its snapshots.
//!
//! A group belongs to whoever made it. A group that lost its owner file belongs to nobody: nobody
//! can back up to it until an owner is set, or the next one to come would get all that is in it.

use std::io;
use std::sync::Arc;

use crate::datastore::{Datastore, FILE_MODE};
use crate::error::{Error, Result};
use crate::hierarchy::{BackupGroup, Namespace, OWNER_NAME, is_safe_id};
use crate::lock::Guard;
use crate::storage::replace_file;

/// The right to write to a group: its folder is there, it has an owner, and it is locked.
///
/// Several snapshots of one group may be written under one of these.
pub struct GroupWriter {
    store: Arc<Datastore>,
    namespace: Namespace,
    group: BackupGroup,
    /// Taken when the writer is dropped.
    guard: Option<Guard>,
}

impl GroupWriter {
    /// Makes the group's folder if it is missing, locks it, and gives a new group its owner. An
    /// existing group must have an owner, and that must be `owner` ([`Datastore::is_owner`]).
    pub fn open(
        store: &Arc<Datastore>,
        namespace: &Namespace,
        group: &BackupGroup,
        owner: &str,
    ) -> Result<Arc<GroupWriter>> {
        check_owner(owner)?;
        store.require_namespace(namespace)?;
        // Whoever may not write because another process collects garbage is refused before he has
        // made a folder. The writers of snapshots take it for as long as they live.
        let _process_guard = store.process_lock().try_shared()?;
        let guard = store.locks().group(namespace, group)?;
        let dir = store.group_dir(namespace, group);
        if let Some(type_dir) = dir.parent() {
            store.make_dir(type_dir)?;
        }
        store.make_dir(&dir)?;
        // What a crash between folder and owner left behind holds nothing and is taken for new.
        let owner_path = dir.join(OWNER_NAME);
        let has_no_owner = match store.storage().meta(&owner_path) {
            Ok(_) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(Error::io("look at", &owner_path, error)),
        };
        let is_new = has_no_owner && store.snapshots(namespace, group, &mut ())?.is_empty();
        if !is_new {
            // Before the writer exists: what belongs to somebody else must not be tidied up by it.
            if has_no_owner {
                return Err(Error::Refused {
                    reason: format!(
                        "backup group {group} has lost its owner, so nobody can back up to it; \
                         'capstan group change-owner' gives it one"
                    ),
                });
            }
            let found = store.owner(namespace, group)?;
            if !Datastore::is_owner(&found, owner) {
                return Err(Error::Refused {
                    reason: format!("backup group {group} belongs to {found}, not to {owner}"),
                });
            }
        }
        // From here on a failure removes an empty group again.
        let writer = GroupWriter {
            store: Arc::clone(store),
            namespace: namespace.clone(),
            group: group.clone(),
            guard: Some(guard),
        };
        if is_new {
            let line = format!("{owner}\n");
            let content = [line.as_bytes()];
            replace_file(&**store.storage(), &owner_path, &content, FILE_MODE, store.durability())?;
        }
        Ok(Arc::new(writer))
    }

    /// The store.
    pub fn store(&self) -> &Arc<Datastore> {
        &self.store
    }

    /// The namespace that the group is in.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The group.
    pub fn group(&self) -> &BackupGroup {
        &self.group
    }

    fn remove_if_empty(&self) -> bool {
        let snapshots = self.store.snapshots(&self.namespace, &self.group, &mut ());
        if !snapshots.is_ok_and(|snapshots| snapshots.is_empty()) {
            return false;
        }
        let dir = self.store.group_dir(&self.namespace, &self.group);
        let storage = self.store.storage();
        // A plain removal of the folder fails if anything else lies in it, and then the owner
        // stays too: only what a new group consists of is removed.
        let alone = storage
            .list(&dir)
            .is_ok_and(|entries| entries.iter().all(|e| e.name.as_deref() == Some(OWNER_NAME)));
        if !alone {
            return false;
        }
        // A failure may have come before the owner was written: without it the folder can go too.
        let owner = storage.remove_file(&dir.join(OWNER_NAME));
        owner.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
            && storage.remove_dir(&dir).is_ok()
    }
}

impl Drop for GroupWriter {
    fn drop(&mut self) {
        let removed = self.remove_if_empty();
        if let Some(guard) = self.guard.take()
            && removed
        {
            guard.remove();
        }
    }
}

pub(crate) fn check_owner(owner: &str) -> Result<()> {
    let (user, realm) = owner.split_once('@').unwrap_or((owner, ""));
    let (realm, token) = realm.split_once('!').unwrap_or((realm, "token"));
    let plain = |text: &str| {
        !text.is_empty()
            && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/')
    };
    if plain(user) && is_safe_id(realm) && is_safe_id(token) {
        return Ok(());
    }
    Err(Error::InvalidName {
        kind: "owner",
        name: owner.to_owned(),
        rule: "it has the form user@realm or user@realm!token",
    })
}
