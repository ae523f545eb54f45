//! Which datastore gets what: `[SOURCE=]TARGET[,…]`, and in which namespaces of it.

use std::collections::BTreeMap;

use datastore::Namespace;

use super::SharedStore;
use super::namespaces::NamespaceMap;
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
    namespaces: Vec<NamespaceMap>,
}

impl StoreMap {
    /// Everything goes to one datastore.
    pub fn all_to(name: &str, store: SharedStore) -> StoreMap {
        let target = Target { name: name.to_string(), store };
        StoreMap { default: Some(target), ..StoreMap::default() }
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

    /// Restores only namespaces that one of these rules reaches, and puts them where it says.
    pub fn with_namespaces(mut self, maps: Vec<NamespaceMap>) -> Result<StoreMap> {
        for (at, map) in maps.iter().enumerate() {
            let bad = |reason: String| Error::BadArgument {
                what: "namespace mapping",
                value: format!("store={},source={}", map.store, map.source),
                reason,
            };
            if self.target(&map.store).is_none() {
                return Err(bad(format!("datastore {} is not mapped to any target", map.store)));
            }
            let is_same =
                |other: &NamespaceMap| (&other.store, &other.source) == (&map.store, &map.source);
            if maps.iter().take(at).any(is_same) {
                return Err(bad("it is given twice".into()));
            }
        }
        self.namespaces = maps;
        Ok(self)
    }

    /// True if only chosen namespaces are restored.
    pub fn has_namespaces(&self) -> bool {
        !self.namespaces.is_empty()
    }

    /// The namespaces of the target that a namespace of a source datastore goes to, each once. None: it is not restored.
    pub fn namespaces_for(&self, source: &str, namespace: &Namespace) -> Result<Vec<Namespace>> {
        if self.namespaces.is_empty() {
            return Ok(vec![namespace.clone()]);
        }
        let mut found = Vec::new();
        let maps = self.namespaces.iter().filter(|map| map.store == source);
        for placed in maps.filter_map(|map| map.apply(namespace)) {
            let placed = placed?;
            if !found.contains(&placed) {
                found.push(placed);
            }
        }
        Ok(found)
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
