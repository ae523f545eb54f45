//! The names in a snapshot's catalog.

use std::sync::Arc;

use client::local::LocalRestore;
use client::random::RandomAccess;
use client::session::RestoreSession;
use datastore::hierarchy::parse_qualified_name;
use datastore::{CryptMode, Datastore};
use pxar::accessor::ReadAt;

use super::{GroupFile, Learned};
use crate::error::{Error, Result};

/// Catalog of names in a snapshot.
pub(crate) const NAMES_CATALOG: &str = "catalog.pcat1.didx";

/// Paths with the letters of their types: an archive's stored name, `/`, the path in it.
pub type Names = Vec<(Vec<u8>, u8)>;

/// All names of a catalog but those of the archives themselves.
pub fn of_catalog(catalog: impl ReadAt) -> Result<Names> {
    let wrong =
        |e: pxar::Error| Error::Archive { archive: NAMES_CATALOG.into(), reason: e.to_string() };
    let catalog = pxar::catalog::Reader::open(catalog).map_err(wrong)?;
    let mut names = Names::new();
    catalog
        .walk(&catalog.root(), &mut |found| {
            let path = found.path.strip_prefix(b"/").unwrap_or(found.path);
            if path.contains(&b'/') {
                names.push((path.to_vec(), found.entry.kind.letter()));
            }
            Ok(true)
        })
        .map_err(wrong)?;
    Ok(names)
}

/// What the snapshot `[ns/…/]type/id/time` of a datastore has to tell. Names of a catalog that `known` has are not read again.
pub fn in_datastore(
    store: &Arc<Datastore>,
    snapshot: &str,
    known: Option<&GroupFile>,
) -> Result<Learned> {
    let failed = |e: client::Error| Error::Archive {
        archive: format!("{NAMES_CATALOG} of {snapshot}"),
        reason: e.to_string(),
    };
    let (namespace, path) = parse_qualified_name(snapshot)?;
    let session = LocalRestore::open(store, &namespace, &path).map_err(failed)?;
    let Some(info) = session.manifest().file(NAMES_CATALOG) else {
        return Ok(Learned::NoCatalog);
    };
    if info.crypt_mode == CryptMode::Encrypt {
        return Ok(Learned::Encrypted);
    }
    let csum = info.csum;
    if known.is_some_and(|known| known.knows(&csum)) {
        return Ok(Learned::Names(csum, None));
    }
    let index = session.index(NAMES_CATALOG).map_err(failed)?;
    let session: Arc<dyn RestoreSession> = Arc::new(session);
    let names = of_catalog(RandomAccess::new(&session, index, None))?;
    Ok(Learned::Names(csum, Some(names)))
}
