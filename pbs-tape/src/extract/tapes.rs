//! The tapes of a set as a source of single chunks.
//!
//! A request for chunks is served tape by tape, the tape that is in the drive first, then those that the robot has, then
//! those that a person has to bring; on a tape from file to file upwards. The format does not tell where on the tape a file lies, so
//! there is nothing to ask a drive's access order about. What was learnt of a tape is kept: where its
//! files begin, and how long chunks are.
//!
//! Every chunk is proved here, before it goes to the spool: by its checksum and, if it is plain or its key is at hand,
//! by its digest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datastore::{CryptConfig, Digest, Progress};
use serde::Serialize;
use uuid::Uuid;

use super::archive_search::{ArchiveSearch, Experience, Found};
use super::file_blocks::FileBlocks;
use super::spool::{Fetch, Spool};
use crate::device::TapeDevice;
use crate::error::{Error, Result, ResultExt};
use crate::format::BLOCK_BYTES;
use crate::loader::{MediaLoader, MediaWait, check_abort, request_media};
use crate::media::catalog::archive_lists;
use crate::media::set::SetCatalogs;
use crate::media::{Inventory, StateDir};
use crate::restore::{check_set, is_about_one_tape};
use crate::verify::chunk::{parse, prove};

/// Lists of archives that are kept in memory; about 64 KiB each.
const LISTS_MAX: usize = 256;

/// What was read of a tape.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct TapeUse {
    /// Label text.
    pub label_text: String,
    /// Media UUID.
    pub uuid: Uuid,
    /// Times that it was loaded.
    pub loads: u64,
    /// Bytes of the blocks that were read, without labels.
    pub bytes_read: u64,
    /// Times that the drive was sent to another place.
    pub locates: u64,
    /// Chunks that came from it.
    pub chunks: u64,
}

/// Tapes of one set.
pub(super) struct Tapes<'a> {
    pub state: &'a StateDir,
    pub loader: &'a mut dyn MediaLoader,
    pub inventory: Inventory,
    pub set: Uuid,
    pub members: Vec<Uuid>,
    pub catalogs: SetCatalogs,
    pub store: String,
    pub keys: Vec<Arc<CryptConfig>>,
    pub wait: MediaWait,
    pub progress: &'a dyn Progress,
    pub uses: Vec<TapeUse>,
    /// What could not be read.
    pub damage: Vec<String>,
    pub loaded: Option<(Uuid, Box<dyn TapeDevice>)>,
    pub starts: BTreeMap<(Uuid, u64), u64>,
    pub lists: BTreeMap<(Uuid, u64), Vec<Digest>>,
    pub experience: Experience,
}

type Wanted = BTreeMap<Uuid, BTreeMap<u64, BTreeSet<Digest>>>;

impl Tapes<'_> {
    /// Does something with a tape in the drive.
    pub fn with_tape<T>(
        &mut self,
        media: &Uuid,
        work: impl FnOnce(&mut dyn TapeDevice) -> Result<T>,
    ) -> Result<T> {
        self.load(media)?;
        match &mut self.loaded {
            Some((_, device)) => work(&mut **device),
            None => Err(Error::StreamMisuse("without a tape")),
        }
    }

    fn load(&mut self, media: &Uuid) -> Result<()> {
        if self.loaded.as_ref().is_some_and(|(loaded, _)| loaded == media) {
            return Ok(());
        }
        if self.loaded.take().is_some() {
            self.loader.unload(None)?;
        }
        let id = self.inventory.require(media)?.id.clone();
        let (device, labels) = request_media(self.loader, &id.label, self.wait, self.progress)?;
        check_set(&id, labels.media_set.map(|found| found.label), &self.set)?;
        self.loaded = Some((*media, device));
        self.used(media)?.loads += 1;
        Ok(())
    }

    /// The count of a tape.
    pub fn used(&mut self, media: &Uuid) -> Result<&mut TapeUse> {
        let place = match self.uses.iter().position(|tape| tape.uuid == *media) {
            Some(place) => place,
            None => {
                let label_text = self.inventory.require(media)?.id.label.label_text.clone();
                let (loads, bytes_read, locates, chunks) = (0, 0, 0, 0);
                let uuid = *media;
                self.uses.push(TapeUse { label_text, uuid, loads, bytes_read, locates, chunks });
                self.uses.len() - 1
            }
        };
        self.uses.get_mut(place).ok_or(Error::StreamMisuse("without a tape"))
    }

    /// On which tape and in which file each of these chunks is; with them, those that no catalog knows.
    pub fn places(&self, digests: &BTreeSet<Digest>) -> Result<(Wanted, Vec<Digest>)> {
        let mut wanted = Wanted::new();
        let mut unknown = Vec::new();
        for digest in digests {
            match self.catalogs.find_chunk(&self.store, digest)? {
                Some((media, file)) => {
                    let files = wanted.entry(media).or_default();
                    files.entry(file).or_default().insert(*digest);
                }
                None => unknown.push(*digest),
            }
        }
        Ok((wanted, unknown))
    }

    /// Tapes in the order in which they are to be had.
    fn order(&mut self, wanted: &Wanted) -> Vec<Uuid> {
        let online = self.loader.online_label_texts().ok().flatten().unwrap_or_default();
        let inventory = &self.inventory;
        let is_online = |media: &Uuid| {
            let text = inventory.get(media).map(|entry| &entry.id.label.label_text);
            text.is_some_and(|text| online.contains(text))
        };
        let loaded = self.loaded.as_ref().map(|(media, _)| *media);
        let mut order: Vec<Uuid> =
            self.members.iter().filter(|media| wanted.contains_key(*media)).copied().collect();
        order.sort_by_key(|media| (loaded != Some(*media), !is_online(media)));
        order
    }

    fn load_lists(&mut self, media: &Uuid, files: &BTreeSet<u64>) -> Result<()> {
        let lacking: BTreeSet<u64> = files
            .iter()
            .filter(|file| !self.lists.contains_key(&(*media, **file)))
            .copied()
            .collect();
        if lacking.is_empty() {
            return Ok(());
        }
        if self.lists.len() + lacking.len() > LISTS_MAX {
            self.lists.clear();
        }
        let id = self.inventory.require(media)?.id.clone();
        // A catalog that is not there is a search from the beginning.
        let lists = archive_lists(self.state, &id, files).unwrap_or_default();
        self.lists.extend(lists.into_iter().map(|(file, list)| ((*media, file), list)));
        Ok(())
    }

    fn fetch_from(
        &mut self,
        media: &Uuid,
        file: u64,
        digests: &BTreeSet<Digest>,
        spool: &Spool,
    ) -> Result<()> {
        let label_text = self.inventory.require(media)?.id.label.label_text.clone();
        self.progress.note(&format!("Tape {label_text}, file {file}: {} chunks", digests.len()));
        let mut first_object = self.starts.get(&(*media, file)).copied();
        let mut taken = 0;
        let list = self.lists.get(&(*media, file)).map(Vec::as_slice).unwrap_or_default();
        let Some((_, device)) = &mut self.loaded else {
            return Err(Error::StreamMisuse("without a tape"));
        };
        let (keys, progress) = (&self.keys, self.progress);
        let mut effort = (0, 0);
        let result = FileBlocks::open(&mut **device, file, &mut first_object)
            .and_then(|blocks| ArchiveSearch::new(blocks, list, &self.store, self.experience))
            .and_then(|mut search| {
                let fetched = search.fetch(digests, &mut |found| {
                    check_abort(progress)?;
                    let (digest, blob) = match found {
                        Found::Blob(digest, blob) => (digest, blob),
                        Found::Damaged(digest, error) => {
                            let error = Err::<(), _>(error).on_tape(&label_text, file);
                            let reason = error.err().map(|e| e.to_string()).unwrap_or_default();
                            progress.warn(&format!("chunk {digest}: {reason}"));
                            spool.fail(&digest, reason);
                            return Ok(false);
                        }
                    };
                    let proved = parse(&digest, blob)
                        .and_then(|blob| prove(&digest, &blob, keys).map(|_| blob));
                    let Ok(blob) = proved else { return Ok(false) };
                    spool.put(&digest, &blob)?;
                    progress.advance_bytes(blob.encoded_len());
                    taken += 1;
                    Ok(true)
                });
                effort = search.effort();
                fetched.map(|()| search.experience())
            });
        if let Some(object) = first_object {
            self.starts.insert((*media, file), object);
        }
        match result {
            Ok(experience) => self.experience = experience,
            Err(e) if is_about_one_tape(&e) && !matches!(e, Error::BadArgument { .. }) => {
                let error = Err::<(), _>(e).on_tape(&label_text, file);
                let reason = error.err().map(|e| e.to_string()).unwrap_or_default();
                self.progress.warn(&reason);
                for digest in digests.iter().filter(|digest| !spool.is_settled(digest)) {
                    spool.fail(digest, reason.clone());
                }
                self.damage.push(reason);
            }
            Err(e) => return Err(e),
        }
        let used = self.used(media)?;
        used.bytes_read += effort.0 * BLOCK_BYTES as u64;
        used.locates += effort.1;
        used.chunks += taken;
        Ok(())
    }
}

impl Fetch for Tapes<'_> {
    fn fetch(&mut self, spool: &Spool, digests: &BTreeSet<Digest>) -> Result<()> {
        let open: BTreeSet<Digest> =
            digests.iter().filter(|digest| !spool.is_settled(digest)).copied().collect();
        let (mut wanted, unknown) = self.places(&open)?;
        for digest in unknown {
            spool.fail(&digest, format!("no catalog of the media set knows chunk {digest}"));
        }
        for media in self.order(&wanted) {
            let Some(files) = wanted.remove(&media) else { continue };
            let numbers: BTreeSet<u64> = files.keys().copied().collect();
            match self.load(&media).and_then(|()| self.load_lists(&media, &numbers)) {
                Ok(()) => {}
                Err(e) if is_about_one_tape(&e) => {
                    self.progress.warn(&e.to_string());
                    self.damage.push(e.to_string());
                    for digest in files.values().flatten() {
                        spool.fail(digest, e.to_string());
                    }
                    continue;
                }
                Err(e) => return Err(e),
            }
            for (file, digests) in files {
                check_abort(self.progress)?;
                self.fetch_from(&media, file, &digests, spool)?;
            }
        }
        // Tapes that are in the catalogs but not in the set any more.
        for digest in wanted.values().flat_map(BTreeMap::values).flatten() {
            spool.fail(digest, "its tape is not in the media set any more".into());
        }
        Ok(())
    }
}
