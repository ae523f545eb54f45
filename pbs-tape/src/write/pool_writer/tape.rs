//! Getting a tape that can be written on: chosen, identified, labelled, with its key in the drive and the catalogs of its
//! predecessors on it.
//!
//! Nothing is written on a tape before its labels were compared with the inventory, and a set label is only written over
//! where the pool may do that.

use std::sync::Arc;
use std::time::Instant;

use uuid::Uuid;

use super::{LoadedTape, PoolWriter};
use crate::drive::{DriveKey, Encryption};
use crate::error::{Error, Result, ResultExt};
use crate::format::label::{
    FIRST_DATA_FILE, MEDIA_SET_LABEL_FILE, MediaSetLabel, write_media_set_label,
};
use crate::keys::PoolKey;
use crate::loader::{check_abort, request_media_to_write};
use crate::media::pool::TapeOrigin;
use crate::media::{MediaCatalog, MediaId, MediaStatus};
use crate::write::identify::{SetLabel, compare_set_label, is_without_catalogs};
use crate::write::streams::job_set::Left;

/// From this sequence number on, a set is so long that losing one tape of it hurts.
const LARGE_SET_SEQ_NR: u64 = 20;
/// Tapes that turn out to be something else are replaced so many times.
const SURPRISES_MAX: usize = 100;

impl PoolWriter<'_> {
    /// Makes sure that a writable tape of the set is in the drive, at its end of data.
    pub fn load_writable(&mut self) -> Result<()> {
        check_abort(self.progress)?;
        let reach = self.loader.reach();
        // The common case must not wait while another stream loads a tape.
        if self.loaded.is_some() && self.set.may_go_on(self.stream, &reach)? {
            return Ok(());
        }
        let set = Arc::clone(&self.set);
        let turn = set.turn(self.progress)?;
        for _ in 0..SURPRISES_MAX {
            check_abort(self.progress)?;
            let (id, origin, before) = set.allocate(&turn, self.stream, &reach)?;
            let media = id.label.uuid;
            if self.loaded.as_ref().is_some_and(|loaded| loaded.media == media) {
                return Ok(());
            }
            let text = id.label.label_text.clone();
            match origin {
                TapeOrigin::Current => {}
                origin => self.progress.note(&format!(
                    "allocated new writable media '{text}' ({})",
                    match origin {
                        TapeOrigin::Expired => "its data is no longer protected",
                        TapeOrigin::Free => "from the scratch pool",
                        _ => "empty",
                    }
                )),
            }
            let began = Instant::now();
            let is_change = !self.used.is_empty();
            // Until its label was read or written nobody knows that the tape has one, unless its catalog lists
            // data: then it was read before.
            self.left = if self.lists_data_of(&media) { Left::Failed } else { Left::Unlabelled };
            let loaded = self.put_away().and_then(|()| self.load(id));
            let is_loaded = match loaded {
                Ok(is_loaded) => is_loaded,
                Err(error) => {
                    // Alone, the next job tries it again. Beside others, they go on without it, or, if it may have got
                    // its label, with it: decided before anybody else's turn, or they would pass it over.
                    if self.set.is_shared() {
                        if origin != TapeOrigin::Current && !self.label_begun {
                            self.left = Left::Failed;
                            set.give_back(&turn, self.stream, before)?;
                        } else if self.left == Left::Unlabelled {
                            if let Err(error) = self.take_out() {
                                self.progress.warn(&format!(
                                    "tape {text} can't be taken out for another drive: {error}"
                                ));
                            }
                            set.leave(self.stream, Left::Unlabelled);
                        }
                    }
                    return Err(error);
                }
            };
            if is_change {
                self.times.changes.count += u64::from(is_loaded);
                self.times.changes.time += began.elapsed();
            }
            if is_loaded {
                return Ok(());
            }
        }
        Err(Error::NoUsableMedia {
            pool: self.set.pool_name().to_string(),
            hint: " (all tapes tried belong to other media sets)".into(),
        })
    }

    /// Loads and prepares one tape. False: it is not what the inventory thought.
    fn load(&mut self, id: MediaId) -> Result<bool> {
        self.label_begun = false;
        let Some(set_label) = id.assigned_set().cloned() else {
            return Err(Error::WrongMediaSet {
                tape: id.label.label_text,
                reason: "it is in no media set".into(),
            });
        };
        let (mut device, labels) =
            request_media_to_write(self.loader, &id.label, self.wait, self.progress)?;
        let media = id.label.uuid;
        // Not every drive can tell its alerts; that is no reason to refuse it.
        let alerts = device.critical_alerts().unwrap_or_default();
        if !alerts.is_empty() {
            self.decide(&media, MediaStatus::Damaged)?;
            return Err(Error::CriticalAlerts {
                tape: id.label.label_text,
                alerts: alerts.join(", "),
            });
        }
        let compared = compare_set_label(&labels, &set_label, &id)?;
        if !matches!(compared, SetLabel::Same) && self.lists_data_of(&media) {
            // This job, and those before it, left snapshots and chunks out on the word of that
            // catalog. What goes on is for an operator to decide.
            return Err(Error::WrongMediaSet {
                tape: id.label.label_text,
                reason: "its catalog lists data, but its label says that it is not in this set"
                    .into(),
            });
        }
        let is_new = match compared {
            SetLabel::Same => false,
            SetLabel::Missing => true,
            // Why the tape was chosen does not count, only the label on it: an earlier job may have
            // taken it into the set without ever seeing it.
            SetLabel::Other(found)
                if device.is_worm()?
                    || !self.set.with_pool(|pool| pool.may_overwrite(&found, self.now())) =>
            {
                if device.is_worm()? {
                    // It is not chosen again because its time is over.
                    self.set.with_pool(|pool| pool.note_worm(media));
                }
                self.learn_surprise(&id, found)?;
                self.loader.unload(Some(device))?;
                return Ok(false);
            }
            SetLabel::Other(_) => true,
        };
        let drive_key = self.drive_key(&id, &set_label)?;
        if let Some(key) = &drive_key {
            // That a drive can't encrypt shows before anything is written.
            device.set_key(key)?;
        }
        let state = self.set.state().clone();
        let catalog = if is_new {
            self.progress.note("writing new media set label");
            device.move_to_file(MEDIA_SET_LABEL_FILE)?;
            let file = device.file_number()?;
            if file != MEDIA_SET_LABEL_FILE {
                return Err(Error::BadAppendPosition { tape: id.label.label_text, file });
            }
            device.encryption_off()?;
            self.label_begun = true;
            let key_config = self.set.key().map(PoolKey::label_config);
            let written = write_media_set_label(&mut *device, &set_label, key_config);
            if written.as_ref().is_err_and(|e| matches!(e.cause(), Error::TapeFull)) {
                // It takes nothing at all. The next job must not be stopped by it again.
                self.decide(&media, MediaStatus::Damaged)?;
            }
            written.on_tape(&id.label.label_text, MEDIA_SET_LABEL_FILE)?;
            device.sync()?;
            if let Some(key) = &drive_key {
                device.set_key(key)?;
            }
            device.set_cartridge_labels(Some(&id.label.label_text), Some(&set_label.pool))?;
            MediaCatalog::overwrite(&state, &id)?
        } else {
            MediaCatalog::load_for_append(&state, &id)?
        };
        let encryption = if drive_key.is_some() { Encryption::On } else { Encryption::Off };
        device.assert_encryption(encryption)?;
        let is_unused = is_new || is_without_catalogs(&mut *device, &catalog, &set_label)?;
        self.left = Left::Failed;
        self.known.set_own_tape(set_label.seq_nr);
        self.known.catalogs_mut().insert(catalog);
        // Only for pacing; a drive that does not tell gets all it takes.
        let slowest_bytes_per_s = device.slowest_bytes_per_s().unwrap_or_default();
        self.loaded = Some(LoadedTape {
            media,
            label_text: id.label.label_text.clone(),
            device,
            slowest_bytes_per_s,
            uncommitted_bytes: 0,
            is_fresh: is_unused,
            is_nearly_full: false,
        });
        self.used.push(id.label.label_text);
        if is_unused {
            if set_label.seq_nr >= LARGE_SET_SEQ_NR {
                self.progress.warn(&format!(
                    "large media set: this is tape number {}; think of a new set",
                    set_label.seq_nr + 1
                ));
            }
            self.append_predecessors(&set_label)?;
        }
        self.move_to_end()?;
        Ok(true)
    }

    /// The key that the drive needs for this set, which must be the pool's.
    fn drive_key(&self, id: &MediaId, set_label: &MediaSetLabel) -> Result<Option<DriveKey>> {
        let wanted = set_label.encryption_key_fingerprint.as_deref();
        if wanted != self.set.key().map(PoolKey::fingerprint) {
            return Err(Error::WrongMediaSet {
                tape: id.label.label_text.clone(),
                reason: "its set is encrypted differently from what the pool asks for now".into(),
            });
        }
        self.set.key().map(|key| key.for_set(&set_label.uuid)).transpose()
    }

    /// True if the catalog of this tape knows of snapshots or chunks.
    fn lists_data_of(&self, media: &Uuid) -> bool {
        let mut catalogs = self.known.catalogs_mut();
        let catalog = catalogs.get_mut(media);
        catalog.is_some_and(|catalog| !catalog.content().stores().is_empty())
    }

    /// The tape is in a set that the inventory did not know. It is not ours to overwrite.
    fn learn_surprise(&mut self, id: &MediaId, found: MediaSetLabel) -> Result<()> {
        self.progress.warn(&format!(
            "tape {} is in media set {} of pool {}, which the inventory did not know: it is not \
             overwritten, and recorded as what it is",
            id.label.label_text, found.uuid, found.pool
        ));
        let found = MediaId { label: id.label.clone(), media_set_label: Some(found) };
        MediaCatalog::destroy_unrelated(self.set.state(), &found)?;
        self.set.forget_member(self.stream, found)
    }

    fn move_to_end(&mut self) -> Result<()> {
        let tape = self.tape()?;
        let file = tape.device.move_to_end_for_append()?;
        if file < FIRST_DATA_FILE {
            return Err(Error::BadAppendPosition { tape: tape.label_text.clone(), file });
        }
        Ok(())
    }

    /// The catalogs of all earlier tapes, first thing on a new one.
    fn append_predecessors(&mut self, set_label: &MediaSetLabel) -> Result<()> {
        let members = self.set.with_pool(|pool| pool.current_set().members().to_vec());
        for (seq_nr, member) in members.iter().enumerate().take(set_label.seq_nr as usize) {
            let Some(media) = member else {
                return Err(Error::MediaSetInconsistent {
                    set: set_label.uuid,
                    reason: format!("the tape with sequence number {seq_nr} is unknown"),
                });
            };
            self.progress.note(&format!("write catalog for previous media: {media}"));
            if !self.append_catalog_of(*media, set_label.uuid, seq_nr as u64)? {
                // A tape that ends so early must not stop every job to come: the next one takes
                // another.
                self.set_full()?;
                let tape = self.tape()?.label_text.clone();
                return Err(Error::DoesNotFit {
                    what: format!("the media catalog of tape {media}"),
                    tape,
                });
            }
        }
        Ok(())
    }
}
