//! Which of the tapes that are needed comes into the drive next: any that can be had.
//!
//! What is in the drive already comes first, then what the robot has, in the order in which the caller would like them, and a person is asked
//! only when nothing else is left; whichever of the needed tapes is brought is taken. A tape counts as the one that its label says,
//! by its media UUID, and must be the member of the set that the inventory knows.
//!
//! A tape that can't be had is told, given up, and never asked for again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use uuid::Uuid;

use super::{Job, RestoreReport, check_set, is_about_one_tape};
use crate::device::TapeDevice;
use crate::error::{Error, Result};
use crate::keys::give_key_for;
use crate::loader::{MediaLoader, believed, check_abort, labels_in, pause};
use crate::media::{Location, MediaId, Reach};

/// The tapes of a set, one after the other.
pub(super) struct Supply<'a> {
    job: &'a Job<'a>,
    loader: &'a mut dyn MediaLoader,
    /// The tape that was read last: it has to go before another can come.
    in_drive: Option<Uuid>,
    given_up: BTreeSet<Uuid>,
    /// Those that failed and may come all the same: tried again when there is no other.
    doubtful: BTreeSet<Uuid>,
}

/// A needed tape in the drive, behind its labels.
pub(super) struct Loaded {
    pub id: MediaId,
    pub device: Box<dyn TapeDevice>,
}

/// What became of a try.
enum Tried {
    Loaded(Loaded),
    /// It is another set's, and no other try would change that.
    NotOfSet(Uuid, Error),
}

impl<'a> Supply<'a> {
    pub fn new(job: &'a Job<'a>, loader: &'a mut dyn MediaLoader) -> Supply<'a> {
        Supply { job, loader, in_drive: None, given_up: BTreeSet::new(), doubtful: BTreeSet::new() }
    }

    /// True if a tape that was needed could not be had.
    pub fn has_given_up(&self) -> bool {
        !self.given_up.is_empty()
    }

    /// Brings one of the tapes into the drive; the first ones are liked best. `None`: none of them is to be had, which the report says.
    pub fn next(&mut self, needed: &[Uuid], report: &mut RestoreReport) -> Result<Option<Loaded>> {
        let start = Instant::now();
        let mut needed: Vec<MediaId> = needed
            .iter()
            .filter(|media| !self.given_up.contains(*media))
            .map(|media| self.job.inventory.require(media).map(|entry| entry.id.clone()))
            .collect::<Result<_>>()?;
        let wait = self.job.options.wait;
        let mut told: Option<Vec<String>> = None;
        if self.is_stand_alone()
            && self
                .in_drive
                .take_if(|media| needed.iter().all(|id| id.label.uuid != *media))
                .is_some()
        {
            match self.loader.unload(None) {
                // Whoever brings the next tape sees that this one is still there.
                Err(e) if is_about_one_tape(&e) => self.job.progress.warn(&e.to_string()),
                unloaded => unloaded?,
            }
            if !wait.is_none() {
                // The drive itself waits for a tape for a while; whoever is to bring one must know which before that.
                self.ask_for(&needed, &[]);
            }
        }
        while !needed.is_empty() {
            let mut reasons: BTreeMap<Uuid, Error> = BTreeMap::new();
            for id in self.in_order(&needed)? {
                check_abort(self.job.progress)?;
                match self.load(&id, &needed) {
                    Ok(Tried::Loaded(loaded)) => {
                        report.tapes.push(loaded.id.label.label_text.clone());
                        return Ok(Some(loaded));
                    }
                    Ok(Tried::NotOfSet(media, e)) => {
                        self.given_up.insert(media);
                        report.damaged(self.job.progress, &e);
                    }
                    Err(e) if !is_about_one_tape(&e) => return Err(e),
                    // A robot can be asked for each tape by itself.
                    Err(e) if wait.is_none() && !self.is_stand_alone() => {
                        self.given_up.insert(id.label.uuid);
                        report.damaged(self.job.progress, &e);
                    }
                    Err(e) => {
                        self.doubtful.insert(id.label.uuid);
                        reasons.insert(id.label.uuid, e);
                    }
                }
                if self.is_stand_alone() {
                    // There is one tape to look at, whichever was asked for.
                    break;
                }
            }
            needed.retain(|id| !self.given_up.contains(&id.label.uuid));
            if wait.give_up_after.is_some_and(|limit| start.elapsed() >= limit) {
                for id in needed.drain(..) {
                    self.given_up.insert(id.label.uuid);
                    let reason = reasons.remove(&id.label.uuid).unwrap_or_else(|| {
                        let (label_text, drive) =
                            (id.label.label_text.clone(), self.loader.drive_name().to_string());
                        Error::LoadFailed {
                            label_text,
                            drive,
                            reason: "it is not in it".into(),
                            believed: self.believed(&id),
                        }
                    });
                    report.damaged(self.job.progress, &reason);
                }
                return Ok(None);
            }
            let reasons: Vec<String> = reasons.values().map(Error::to_string).collect();
            if told.as_ref() != Some(&reasons) {
                self.ask_for(&needed, &reasons);
                told = Some(reasons);
            }
            pause(wait.retry_every, self.job.progress)?;
        }
        Ok(None)
    }

    fn is_stand_alone(&self) -> bool {
        !matches!(self.loader.reach(), Reach::Changer(_))
    }

    /// Those that are worth a try now, best first. With a wait these are the ones that are there.
    fn in_order(&mut self, needed: &[MediaId]) -> Result<Vec<MediaId>> {
        let mut order = needed.to_vec();
        if self.is_stand_alone() {
            order.sort_by_key(|id| self.in_drive != Some(id.label.uuid));
            return Ok(order);
        }
        let in_drive = self.loader.loaded_bar_code().unwrap_or_default();
        let online = match self.loader.online_label_texts() {
            Err(e) if e.is_aborted() => return Err(e),
            // A robot that does not answer says more about itself when it is to load a tape.
            texts => texts.unwrap_or_default(),
        };
        let is_online =
            |id: &MediaId| online.as_ref().is_none_or(|texts| texts.contains(&id.label.label_text));
        if self.job.options.wait.give_up_after.is_none() && online.is_some() {
            order.retain(is_online);
        }
        order.sort_by_key(|id| {
            let is_in_drive = Some(&id.label.label_text) == in_drive.as_ref();
            (self.doubtful.contains(&id.label.uuid), !is_in_drive, !is_online(id))
        });
        Ok(order)
    }

    /// Loads a tape; in a drive without a robot whichever of the needed ones is in it.
    fn load(&mut self, wanted: &MediaId, needed: &[MediaId]) -> Result<Tried> {
        if self.in_drive.is_some_and(|media| media != wanted.label.uuid) {
            self.in_drive = None;
            self.loader.unload(None)?;
        }
        let progress = self.job.progress;
        let drive = self.loader.drive_name().to_string();
        let mut device = self.loader.load(&wanted.label.label_text, progress).map_err(|e| {
            if e.is_aborted() {
                return e;
            }
            let (label_text, drive) = (wanted.label.label_text.clone(), drive.clone());
            let believed = self.believed(wanted);
            Error::LoadFailed { label_text, drive, reason: e.to_string(), believed }
        })?;
        check_abort(progress)?;
        let labels =
            labels_in(&mut *device, &drive)?.ok_or(Error::NotLabelled { drive: drive.clone() })?;
        let found = needed.iter().find(|id| id.label.uuid == labels.media.uuid);
        let Some(id) = found.cloned() else {
            return Err(Error::WrongTape {
                drive,
                wanted: wanted.label.label_text.clone(),
                wanted_uuid: wanted.label.uuid,
                found: labels.media.label_text,
                found_uuid: labels.media.uuid,
            });
        };
        let media = id.label.uuid;
        self.in_drive = Some(media);
        let set_label = labels.media_set.as_ref().map(|found| found.label.clone());
        if let Err(e) = check_set(&id, set_label, &self.job.options.media_set) {
            return Ok(Tried::NotOfSet(media, e));
        }
        // A key that is not here is not waited for: all tapes of a set have one.
        give_key_for(&labels, &mut *device, self.loader.keys(), &drive)?;
        progress.note(&format!("found media label {} ({media})", id.label.label_text));
        Ok(Tried::Loaded(Loaded { id, device }))
    }

    fn believed(&self, id: &MediaId) -> Option<String> {
        believed(self.job.inventory.get(&id.label.uuid).map(|entry| entry.location()))
    }

    fn ask_for(&self, needed: &[MediaId], reasons: &[String]) {
        let progress = self.job.progress;
        for reason in reasons {
            progress.warn(reason);
        }
        let texts: Vec<String> = needed
            .iter()
            .map(|id| {
                let text = id.label.label_text.clone();
                // Where it was in a library, it is not any more.
                match self.job.inventory.get(&id.label.uuid).map(|entry| entry.location()) {
                    None | Some(Location::Online(_)) => text,
                    Some(place) => format!("{text} ({place})"),
                }
            })
            .collect();
        let into = match self.loader.reach() {
            Reach::Changer(changer) => format!("changer {changer}"),
            _ => format!("drive {}", self.loader.drive_name()),
        };
        progress
            .note(&format!("please insert any of these tapes into {into}: {}", texts.join(", ")));
    }
}
