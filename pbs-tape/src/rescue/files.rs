//! Files out of the snapshots of a rescue, whether all of a snapshot is there or not.
//!
//! What a snapshot is made of is read by the code of [`mod@crate::extract`], from the datastore instead of tapes. A file
//! of which a chunk is lacking is left out and named; in an image what is lacking is zeros, and named. So a snapshot that can't
//! appear in the datastore still gives what is left of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use client::restore::check_key;
use datastore::hierarchy::{ArchiveKind, MANIFEST_NAME};
use datastore::manifest::FileInfo;
use datastore::{CryptConfig, CryptMode, Progress};
use pxar::exclude::{Effect, PatternList};
use serde::Serialize;

use super::folder::RescueFolder;
use super::held::{Facts, Held};
use crate::error::{Error, IoResultExt, Result};
use crate::extract::output::{Source, Written};
use crate::extract::select::{Guide, Lost, TapeArchive, is_selected};
use crate::extract::snapshot::TapeSnapshot;
use crate::extract::spool::{NothingToFetch, Spool};
use crate::extract::{image, is_files, payload_of};
use crate::loader::check_abort;
use crate::media::file_lists::NAMES_CATALOG;
use crate::media::find::SnapshotPattern;
use crate::restore::unpack::read_manifest;

/// Bytes of an image that are worked on at once.
const BATCH_BYTES_MAX: u64 = 1 << 30;

/// Which files are taken out of which snapshots.
pub struct FilesOptions {
    /// The snapshots; empty: all that were found.
    pub snapshots: Vec<SnapshotPattern>,
    /// What is wanted: paths in archives of files, or `/NAME` for an image or a small file. The last match decides.
    pub patterns: Vec<String>,
    /// Keys of snapshots that were encrypted before they got on tape.
    pub keys: Vec<Arc<CryptConfig>>,
    /// How files are made. Its patterns are not used.
    pub extract: pxar::extract::Options,
}

/// What was taken out of an archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct RescuedFiles {
    /// `store:snapshot`.
    pub snapshot: String,
    /// Name of the archive as it was given at backup.
    pub archive: String,
    /// Where it went.
    pub folder: PathBuf,
    /// Entries that were made.
    pub entries: u64,
    /// Bytes of content.
    pub content_bytes: u64,
    /// What was wanted and is not there.
    pub lost: Vec<Lost>,
}

/// Takes files out of snapshots, into the folder's `files`. Those that are there already are replaced.
pub fn extract_files(
    folder: &mut RescueFolder,
    options: &FilesOptions,
    progress: &dyn Progress,
) -> Result<Vec<RescuedFiles>> {
    let held = Held::load(folder)?;
    let patterns =
        PatternList::parse(&options.patterns, Effect::Include).map_err(|e| Error::BadArgument {
            what: "pattern",
            value: options.patterns.join(" "),
            reason: e.to_string(),
        })?;
    let mut all = Vec::new();
    for facts in held.iter() {
        let chosen = &options.snapshots;
        if !chosen.is_empty()
            && !chosen.iter().any(|pattern| pattern.matches(&facts.store, &facts.snapshot))
        {
            continue;
        }
        let snapshot = Opened::open(folder, &held, facts)?;
        for info in &facts.files {
            check_abort(progress)?;
            let given = info.filename.rsplit_once('.').map_or(&*info.filename, |(given, _)| given);
            let target = folder.files().join(&facts.store).join(&facts.snapshot).join(given);
            let written = match snapshot.archive(info, given, &patterns, options, &target, progress)
            {
                Ok(None) => continue,
                Ok(Some(written)) => written,
                Err(error) if error.is_aborted() => return Err(error),
                Err(error) => Written {
                    lost: vec![Lost { path: "/".into(), reason: error.to_string() }],
                    ..Written::default()
                },
            };
            let Written { entries, content_bytes, lost } = written;
            for lost in &lost {
                progress.warn(&format!("{} {given}: {}: {}", facts.name(), lost.path, lost.reason));
            }
            let (snapshot, archive) = (facts.name(), given.to_string());
            let folder = target;
            all.push(RescuedFiles { snapshot, archive, folder, entries, content_bytes, lost });
        }
    }
    Ok(all)
}

/// A snapshot whose small files were read.
struct Opened(Arc<TapeSnapshot>);

impl Opened {
    fn open(folder: &mut RescueFolder, held: &Held, facts: &Facts) -> Result<Opened> {
        let target = folder.target(&facts.store)?;
        let (namespace, path) = facts.path()?;
        let own = match facts.is_published {
            true => target.store.snapshot_dir(&namespace, &path),
            false => held.folder_of(facts),
        };
        let read = |name: &str| {
            let path = own.join(name);
            fs::read(&path).at(path)
        };
        let manifest = read_manifest(&mut read(MANIFEST_NAME)?.as_slice(), &facts.name())?;
        let mut files = BTreeMap::new();
        for info in manifest.files() {
            files.insert(info.filename.clone(), read(&info.filename)?);
        }
        let spool = Spool::over(target.store, BATCH_BYTES_MAX);
        Ok(Opened(Arc::new(TapeSnapshot { snapshot: path, manifest, files, spool })))
    }

    /// What is wanted of one archive; `None` if that is nothing.
    fn archive(
        &self,
        info: &FileInfo,
        given: &str,
        patterns: &PatternList,
        options: &FilesOptions,
        target: &Path,
        progress: &dyn Progress,
    ) -> Result<Option<Written>> {
        let name = info.filename.as_str();
        let is_wanted = |path: &str| is_selected(patterns, path.as_bytes(), false, false);
        let is_part = name == NAMES_CATALOG || name.ends_with(".ppxar.didx");
        if is_part || (!is_files(name) && !is_wanted(&format!("/{given}"))) {
            return Ok(None);
        }
        let wanted = self.0.manifest.key_fingerprint()?;
        let key = options.keys.iter().find(|key| Some(key.fingerprint()) == wanted).cloned();
        let wrong =
            |e: client::Error| Error::Archive { archive: name.into(), reason: e.to_string() };
        check_key(&*self.0, Some(info), key.as_deref()).map_err(wrong)?;
        let key = key.filter(|_| info.crypt_mode == CryptMode::Encrypt);
        if is_files(name) {
            return self.files(name, key, patterns, options, target, progress);
        }
        let folder = target.parent().unwrap_or(target);
        let sink = image::Sink::File(image::NewFile::create(folder, given, true)?);
        if ArchiveKind::of(name) == Some(ArchiveKind::Blob) {
            return image::blob(&self.0, name, key.as_deref(), sink).map(Some);
        }
        image::range(&self.0, &mut NothingToFetch, name, key, None, sink, progress).map(Some)
    }

    fn files(
        &self,
        name: &str,
        key: Option<Arc<CryptConfig>>,
        patterns: &PatternList,
        options: &FilesOptions,
        target: &Path,
        progress: &dyn Progress,
    ) -> Result<Option<Written>> {
        let payload = payload_of(&self.0.manifest, name)?;
        let archive = TapeArchive::open(&self.0, name, payload, key)?;
        let accessor = archive.accessor()?;
        let guide = Guide::of_paths(&options.patterns);
        let mut selected = archive.select(&accessor, patterns, guide, &mut |_| Ok(()))?;
        if selected.nodes.iter().all(|node| node.path.is_empty()) && selected.lost.is_empty() {
            return Ok(None);
        }
        fs::create_dir_all(target).at(target)?;
        let source =
            Source { archive: &archive, accessor: &accessor, nodes: &selected.nodes, name };
        let mut written = source.to_folder(target, &options.extract, progress)?;
        written.lost.append(&mut selected.lost);
        Ok(Some(written))
    }
}
