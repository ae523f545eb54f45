//! Which datastore gets what: `[SOURCE=]TARGET[,…]`.

use std::collections::BTreeMap;

use super::SharedStore;
use crate::error::{Error, Result};

/// A datastore that is restored into.
#[derive(Clone)]
pub struct Target {
    /// Its name, for messages.
    pub name: String,
    /// The store.
    pub store: SharedStore,
}

/// Source names, as on tape, to targets; at most one target takes all the rest.
#[derive(Clone, Default)]
pub struct StoreMap {
    default: Option<Target>,
    by_source: BTreeMap<String, Target>,
}

impl StoreMap {
    /// Everything goes to one datastore.
    pub fn all_to(name: &str, store: SharedStore) -> StoreMap {
        let target = Target { name: name.to_string(), store };
        StoreMap { default: Some(target), by_source: BTreeMap::new() }
    }

    /// Parses the text; `open` finds the datastore that a target names.
    pub fn parse(text: &str, open: &dyn Fn(&str) -> Result<SharedStore>) -> Result<StoreMap> {
        let bad = |reason: &str| Error::BadArgument {
            what: "datastore mapping",
            value: text.to_string(),
            reason: reason.to_string(),
        };
        let mut map = StoreMap::default();
        let mut opened: BTreeMap<String, SharedStore> = BTreeMap::new();
        for part in text.split(',').map(str::trim) {
            let (source, name) = match part.split_once('=') {
                Some((source, name)) => (Some(source), name),
                None => (None, part),
            };
            if name.is_empty() || source.is_some_and(str::is_empty) {
                return Err(bad("write [SOURCE=]TARGET[,…]"));
            }
            let store = match opened.get(name) {
                Some(store) => store.clone(),
                None => open(name)?,
            };
            opened.insert(name.to_string(), store.clone());
            let target = Target { name: name.to_string(), store };
            let replaced = match source {
                Some(source) => map.by_source.insert(source.to_string(), target).is_some(),
                None => map.default.replace(target).is_some(),
            };
            if replaced {
                return Err(bad("two targets are given for the same source"));
            }
        }
        Ok(map)
    }

    /// Where the data of a source datastore goes; `None`: nowhere.
    pub fn target(&self, source: &str) -> Option<&Target> {
        self.by_source.get(source).or(self.default.as_ref())
    }

    /// All targets, each once.
    pub fn targets(&self) -> Vec<&Target> {
        let mut targets: Vec<&Target> = Vec::new();
        for target in self.by_source.values().chain(&self.default) {
            if !targets.iter().any(|known| known.name == target.name) {
                targets.push(target);
            }
        }
        targets
    }
}
