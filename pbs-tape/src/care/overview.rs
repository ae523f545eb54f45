//! The last word about each cartridge, for lists of many: only the end of each history is read.
//!
//! Nothing rests on it. What can't be read is as good as not there.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::history::History;
use super::record::Record;
use super::verdict::Verdict;
use crate::media::StateDir;

/// The last record of each known cartridge.
#[derive(Debug, Clone, Default)]
pub struct Overview {
    by_uuid: BTreeMap<Uuid, Record>,
}

impl Overview {
    /// Reads the ends of all histories of cartridges.
    pub fn load(state: &StateDir) -> Overview {
        let mut overview = Overview::default();
        let Ok(folder) = std::fs::read_dir(state.care_media_folder()) else { return overview };
        for file in folder.flatten() {
            let Ok(Some(record)) = History::last_of(&file.path()) else { continue };
            let Some(uuid) = record.uuid else { continue };
            // A label may have been copied to another cartridge: what was seen last counts.
            match overview.by_uuid.get(&uuid) {
                Some(known) if known.time > record.time => {}
                _ => {
                    overview.by_uuid.insert(uuid, record);
                }
            }
        }
        overview
    }

    /// The last record of the cartridge with this label.
    pub fn get(&self, media: &Uuid) -> Option<&Record> {
        self.by_uuid.get(media)
    }

    /// What is to be done about it, with the reason; `None` if there is nothing to be done.
    pub fn concern(&self, media: &Uuid) -> Option<(Verdict, Option<&str>)> {
        let record = self.get(media).filter(|record| record.verdict != Verdict::Good)?;
        Some((record.verdict, record.reason.as_deref()))
    }

    /// True if a drive said that it is written once only.
    pub fn is_worm(&self, media: &Uuid) -> bool {
        self.get(media).is_some_and(|record| record.worm)
    }
}
