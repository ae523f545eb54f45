//! Which namespace goes where: `store=NAME[,source=NS][,target=NS][,max-depth=N]`.
//!
//! A rule takes what lies in its source namespace, down to its depth, and puts it at the same place below its target. Several rules
//! may fit one namespace; then it goes to several.

use std::str::FromStr;

use datastore::Namespace;

use crate::error::{Error, Result};

/// How deep a rule reaches below its source if it does not say: as deep as namespaces can be.
const DEPTH_DEFAULT: usize = 7;

/// One rule for the namespaces of one source datastore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceMap {
    /// Datastore, as on tape.
    pub store: String,
    /// What it takes.
    pub source: Namespace,
    /// Where that goes.
    pub target: Namespace,
    /// Levels below `source` that it reaches.
    pub max_depth: usize,
}

impl FromStr for NamespaceMap {
    type Err = Error;

    fn from_str(text: &str) -> Result<NamespaceMap> {
        let bad = |reason: String| Error::BadArgument {
            what: "namespace mapping",
            value: text.to_owned(),
            reason,
        };
        let form = || bad("write store=NAME[,source=NS][,target=NS][,max-depth=N]".into());
        let (mut store, mut source, mut target, mut max_depth) = (None, None, None, None);
        for part in text.split(',') {
            let (key, value) = part.trim().split_once('=').ok_or_else(form)?;
            let namespace = || value.parse().map_err(|e: datastore::Error| bad(e.to_string()));
            let is_repeated = match key {
                "store" if !value.is_empty() => store.replace(value.to_owned()).is_some(),
                "source" => source.replace(namespace()?).is_some(),
                "target" => target.replace(namespace()?).is_some(),
                "max-depth" => {
                    let depth: usize = value.parse().map_err(|_| form())?;
                    if depth > DEPTH_DEFAULT {
                        return Err(bad(format!("max-depth is at most {DEPTH_DEFAULT}")));
                    }
                    max_depth.replace(depth).is_some()
                }
                _ => return Err(form()),
            };
            if is_repeated {
                return Err(bad(format!("{key} is given twice")));
            }
        }
        Ok(NamespaceMap {
            store: store.ok_or_else(form)?,
            source: source.unwrap_or_default(),
            target: target.unwrap_or_default(),
            max_depth: max_depth.unwrap_or(DEPTH_DEFAULT),
        })
    }
}

impl NamespaceMap {
    /// Where a namespace goes; `None` if the rule does not reach it.
    ///
    /// # Errors
    ///
    /// If it would lie deeper than namespaces can.
    pub fn apply(&self, namespace: &Namespace) -> Option<Result<Namespace>> {
        let below = namespace.strip_prefix(&self.source)?;
        if below.len() > self.max_depth {
            return None;
        }
        let placed = below.iter().try_fold(self.target.clone(), |outer, name| outer.child(name));
        Some(placed.map_err(Error::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_parsed() {
        let map: NamespaceMap = "store=main,source=a/b,target=x,max-depth=2".parse().unwrap();
        assert_eq!(map.store, "main");
        assert_eq!((map.source.to_string(), map.target.to_string()), ("a/b".into(), "x".into()));
        assert_eq!(map.max_depth, 2);
        let map: NamespaceMap = "store=main".parse().unwrap();
        assert!(map.source.is_root() && map.target.is_root());
        assert_eq!(map.max_depth, 7);
        for bad in [
            "",
            "main",
            "store=",
            "source=a",
            "store=main,source=../x",
            "store=main,max-depth=8",
            "store=main,max-depth=-1",
            "store=main,depth=1",
            "store=main,store=main",
            "store=main,source=a,source=b",
        ] {
            let error = bad.parse::<NamespaceMap>().unwrap_err().to_string();
            assert!(error.contains("namespace mapping"), "{bad}: {error}");
        }
    }

    #[test]
    fn a_rule_moves_what_it_reaches() {
        for (rule, namespace, expected) in [
            ("store=m", "", Some("")),
            ("store=m", "a/b", Some("a/b")),
            ("store=m,target=x", "a/b", Some("x/a/b")),
            ("store=m,source=a", "a/b", Some("b")),
            ("store=m,source=a,target=x/y", "a", Some("x/y")),
            ("store=m,source=a,target=x/y", "a/b/c", Some("x/y/b/c")),
            ("store=m,source=a", "", None),
            ("store=m,source=a", "ab", None),
            ("store=m,source=a/b", "a", None),
            ("store=m,max-depth=0", "", Some("")),
            ("store=m,max-depth=0", "a", None),
            ("store=m,source=a,max-depth=1", "a/b", Some("b")),
            ("store=m,source=a,max-depth=1", "a/b/c", None),
        ] {
            let map: NamespaceMap = rule.parse().unwrap();
            let found = map.apply(&namespace.parse().unwrap());
            let found = found.map(|placed| placed.unwrap().to_string());
            assert_eq!(found.as_deref(), expected, "{rule} {namespace}");
        }
        let deep: NamespaceMap = "store=m,target=1/2/3/4/5/6/7".parse().unwrap();
        assert!(deep.apply(&"a".parse().unwrap()).unwrap().is_err());
    }
}
