//! What changers, drives and pools have in common: each is an entry of `tape.toml` with a name, and
//! is listed, found and removed the same way.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use serde::Serialize;

/// An entry as it is listed.
#[derive(Serialize)]
pub struct Listed<'a, C> {
    pub name: &'a str,
    #[serde(flatten)]
    pub config: &'a C,
}

/// All entries, in the order of their names.
pub fn list<C>(entries: &BTreeMap<String, C>) -> Vec<Listed<'_, C>> {
    entries.iter().map(|(name, config)| Listed { name, config }).collect()
}

/// The entry `name`; `kind` is what it is called.
pub fn find<'a, C>(
    kind: &str,
    entries: &'a BTreeMap<String, C>,
    name: &str,
) -> Result<Listed<'a, C>> {
    let (name, config) = entries.get_key_value(name).with_context(|| missing(kind, name))?;
    Ok(Listed { name, config })
}

/// The entry `name`, to be changed.
pub fn find_mut<'a, C>(
    kind: &str,
    entries: &'a mut BTreeMap<String, C>,
    name: &str,
) -> Result<&'a mut C> {
    entries.get_mut(name).with_context(|| missing(kind, name))
}

/// Takes the entry `name` away.
pub fn remove<C>(kind: &str, entries: &mut BTreeMap<String, C>, name: &str) -> Result<()> {
    entries.remove(name).map(|_| ()).with_context(|| missing(kind, name))
}

/// Fails if there is an entry `name`.
pub fn check_new<C>(kind: &str, entries: &BTreeMap<String, C>, name: &str) -> Result<()> {
    if entries.contains_key(name) {
        bail!("there is a {kind} '{name}' already");
    }
    Ok(())
}

fn missing(kind: &str, name: &str) -> String {
    format!("there is no {kind} '{name}'")
}
