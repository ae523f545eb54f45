//! Which snapshots on which tapes fit a pattern, by the catalogs alone: no tape is loaded.
//!
//! A snapshot on tape has the path `/store/[ns/a/ns/b/]type/id/time`. A pattern is a glob of the kind that
//! selects files of an archive ([`pxar::exclude`]): it may leave out the beginning of the path, and it finds what
//! is below what it fits. So `elsa`, `host/elsa` and `ns/site/**/elsa` find all snapshots of a group `elsa`,
//! `2024-05-*` those of a month, `archive` all of a datastore. `store:…` is taken, too, as listings print it.

use pxar::exclude::{Effect, Pattern};
use serde::Serialize;

use super::inventory::Inventory;
use super::listing::{ContentFilter, MediaContentEntry, media_content};
use super::policy::PoolConfig;
use super::state::StateDir;
use crate::error::{Error, Result};

/// A snapshot on tape, and where that tape is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FoundSnapshot {
    /// What `media content` says of it.
    #[serde(flatten)]
    pub content: MediaContentEntry,
    /// Where the tape with its archive is: `offline`, `online-CHANGER` or `vault-NAME`.
    pub location: String,
}

/// Selects snapshots on tape.
#[derive(Debug, Clone)]
pub struct SnapshotPattern {
    /// As given, and with the first colon as the end of a datastore's name.
    forms: Vec<Pattern>,
}

impl SnapshotPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<SnapshotPattern> {
        let bad =
            |reason: String| Error::BadArgument { what: "pattern", value: text.to_owned(), reason };
        if text.starts_with('!') {
            return Err(bad("it can only say what is looked for, not what is left out".into()));
        }
        let mut texts = vec![text.to_owned()];
        // The times of snapshots have colons as well, but behind a slash if there is one.
        if let Some((store, rest)) = text.split_once(':')
            && !store.contains('/')
        {
            texts.push(format!("{store}/{rest}"));
        }
        let forms = texts
            .iter()
            .map(|form| Pattern::parse(form.as_bytes(), Effect::Include))
            .collect::<Result<_, _>>()
            .map_err(|e| bad(e.to_string()))?;
        Ok(SnapshotPattern { forms })
    }

    /// True if it fits the snapshot, or a group, namespace or datastore that the snapshot is in.
    pub fn matches(&self, store: &str, snapshot: &str) -> bool {
        let path = format!("/{store}/{snapshot}");
        let ends = path.match_indices('/').map(|(at, _)| at).skip(1).chain([path.len()]);
        ends.filter_map(|end| Some((path.get(..end)?, end < path.len()))).any(
            |(part, is_folder)| {
                self.forms.iter().any(|form| form.matches(part.as_bytes(), is_folder))
            },
        )
    }
}

/// The snapshots on tape that fit any of the patterns: by datastore and name, those of the newest media set first.
/// With them, the label texts of tapes that have no catalog.
pub fn find_snapshots(
    state: &StateDir,
    pools: &[PoolConfig],
    patterns: &[SnapshotPattern],
    filter: &ContentFilter,
) -> Result<(Vec<FoundSnapshot>, Vec<String>)> {
    let (content, without_catalog) = media_content(state, pools, filter)?;
    let inventory = Inventory::load(state)?;
    let mut found: Vec<FoundSnapshot> = content
        .into_iter()
        .filter(|entry| {
            patterns.iter().any(|pattern| pattern.matches(&entry.store, &entry.snapshot))
        })
        .filter_map(|content| {
            let location = inventory.get(&content.uuid)?.location().to_string();
            Some(FoundSnapshot { content, location })
        })
        .collect();
    found.sort_by(|FoundSnapshot { content: a, .. }, FoundSnapshot { content: b, .. }| {
        (&a.store, &a.snapshot, b.media_set_ctime, a.seq_nr, &a.label_text).cmp(&(
            &b.store,
            &b.snapshot,
            a.media_set_ctime,
            b.seq_nr,
            &b.label_text,
        ))
    });
    Ok((found, without_catalog))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_snapshots_and_what_they_are_in() {
        const ALL: [(&str, &str); 4] = [
            ("archive", "host/elsa/2024-05-01T10:00:00Z"),
            ("archive", "ns/site/ns/inner/host/elsa/2024-06-01T10:00:00Z"),
            ("archive", "vm/100/2024-05-01T11:00:00Z"),
            ("other", "vm/100/2024-05-02T11:00:00Z"),
        ];
        for (pattern, wanted) in [
            ("elsa", &[0, 1][..]),
            ("host/elsa", &[0, 1]),
            ("host", &[0, 1]),
            ("vm/*", &[2, 3]),
            ("vm/1?0", &[2, 3]),
            ("2024-05-*", &[0, 2, 3]),
            ("2024-05-01T10:00:00Z", &[0]),
            ("elsa/2024-06-01T10:00:00Z", &[1]),
            ("ns/site", &[1]),
            ("ns/site/**/elsa", &[1]),
            ("archive", &[0, 1, 2]),
            ("archive:vm/100", &[2]),
            ("other:vm/100/2024-05-02T11:00:00Z", &[3]),
            ("archive:ns/site/ns/inner/host/elsa", &[1]),
            ("archive:host/elsa", &[0]),
            ("arch*/**/elsa", &[0, 1]),
            ("els", &[]),
            ("100/2024", &[]),
            ("*", &[0, 1, 2, 3]),
        ] {
            let parsed = SnapshotPattern::parse(pattern).unwrap();
            let found: Vec<usize> = (0..ALL.len())
                .filter(|number| parsed.matches(ALL[*number].0, ALL[*number].1))
                .collect();
            assert_eq!(found, wanted, "{pattern}");
        }
        for wrong in ["", "!elsa", "host/["] {
            let error = SnapshotPattern::parse(wrong).unwrap_err().to_string();
            assert!(error.contains("pattern"), "{wrong}: {error}");
        }
    }
}
