//! Where the selection goes: a folder, or a tar stream.
//!
//! For a folder the selection is written as an archive of its own, from front to back, into the code that restores
//! archives ([`pxar::extract`]): owners, attributes, links and the safety of the target are its matter. A file of which a chunk is
//! lacking is left out and named; it is known before its first byte is written, because all chunks were proved when they
//! came.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use datastore::Progress;
use pxar::accessor::{Accessor, Entry};
use pxar::encoder::LinkOffset;
use pxar::{Encoder, EntryKind, Metadata};

use super::select::{Lost, Node, TapeArchive, failed};
use crate::error::{Error, Result};

/// What was written.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub entries: u64,
    pub content_bytes: u64,
    pub lost: Vec<Lost>,
}

/// Entries that can be written, one after the other.
pub(crate) struct Source<'a> {
    pub archive: &'a TapeArchive,
    pub accessor: &'a Accessor,
    pub nodes: &'a [Node],
    pub name: &'a str,
}

impl Source<'_> {
    /// The content of a file, if all of it is there.
    fn content(&self, file: &Entry) -> std::result::Result<pxar::accessor::FileContent, String> {
        if let Some(reason) = self.archive.lacking(self.accessor, file) {
            return Err(reason);
        }
        self.accessor.content(file).map_err(|e| e.to_string())
    }

    /// Into a folder.
    pub fn to_folder(
        &self,
        target: &Path,
        options: &pxar::extract::Options,
        progress: &dyn Progress,
    ) -> Result<Written> {
        let (reader, writer) = io::pipe().map_err(|e| Error::io(target, e))?;
        let monitor = Monitor(progress);
        // All that is in the stream is wanted.
        let options = pxar::extract::Options { patterns: Default::default(), ..options.clone() };
        std::thread::scope(|threads| {
            let encoding = threads.spawn(move || {
                let mut output = BufWriter::with_capacity(1 << 20, writer);
                let written = self.encode(&mut output)?;
                output.flush().map_err(|e| failed(self.name, e))?;
                Ok::<_, Error>(written)
            });
            let extracted = pxar::extract::extract(
                BufReader::with_capacity(1 << 20, reader),
                None,
                target,
                &options,
                &monitor,
            );
            let written = encoding.join().unwrap_or(Err(Error::StreamMisuse("by a dead thread")));
            if progress.is_aborted() {
                return Err(Error::Aborted);
            }
            // What ended the reader is the cause of what ended the writer.
            let summary = extracted.map_err(|e| failed(self.name, e))?;
            let mut written = written?;
            written.entries = summary.entries();
            written.content_bytes = summary.content_bytes;
            if summary.failed > 0 {
                let reason = format!("{} entries could not be made there", summary.failed);
                written.lost.push(Lost::new(target.as_os_str().as_bytes(), reason));
            }
            Ok(written)
        })
    }

    fn encode(&self, output: impl Write) -> Result<Written> {
        let mut written = Written::default();
        let wrong = |e: pxar::Error| failed(self.name, e);
        let root = self
            .nodes
            .first()
            .map_or_else(|| Metadata::directory(0o755), |node| node.entry.metadata.clone());
        let mut encoder = Encoder::new(output, &root).map_err(wrong)?;
        let mut open: Vec<&[u8]> = Vec::new();
        let mut links: BTreeMap<u64, (LinkOffset, &[u8])> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| !node.path.is_empty()) {
            while open.last().is_some_and(|directory| !is_below(&node.path, directory)) {
                open.pop();
                encoder.leave_directory().map_err(wrong)?;
            }
            let (name, metadata) = (&node.entry.name, &node.entry.metadata);
            let added = match (&node.entry.kind, &node.source) {
                (EntryKind::Directory, _) => {
                    open.push(&node.path);
                    encoder.enter_directory(name, metadata)
                }
                (_, Some(source)) => match (links.get(&source.offset), self.content(source)) {
                    (Some((offset, path)), _) => encoder.add_hardlink(name, path, *offset),
                    (None, Ok(mut content)) => {
                        let size = pxar::accessor::ReadAt::size(&content);
                        let added = encoder.add_file(name, &source.metadata, size, &mut content);
                        added.map(|offset| {
                            let relative = node.path.get(1..).unwrap_or_default();
                            links.insert(source.offset, (offset, relative));
                        })
                    }
                    (None, Err(reason)) => {
                        written.lost.push(Lost::new(&node.path, reason));
                        Ok(())
                    }
                },
                (EntryKind::Symlink { target }, _) => encoder.add_symlink(name, metadata, target),
                (EntryKind::Device { major, minor }, _) => {
                    encoder.add_device(name, metadata, *major, *minor)
                }
                (EntryKind::Fifo, _) => encoder.add_fifo(name, metadata),
                (EntryKind::Socket, _) => encoder.add_socket(name, metadata),
                _ => Ok(()),
            };
            added.map_err(wrong)?;
        }
        for _ in open {
            encoder.leave_directory().map_err(wrong)?;
        }
        encoder.finish().map_err(wrong)?;
        Ok(written)
    }

    /// As a tar stream. Access control lists and inode flags have no place in it.
    pub fn to_tar(&self, output: &mut dyn Write, progress: &dyn Progress) -> Result<Written> {
        let mut written = Written::default();
        let mut tar = tar::Builder::new(BufWriter::with_capacity(1 << 20, output));
        let mut links: BTreeMap<u64, &[u8]> = BTreeMap::new();
        for node in self.nodes.iter().filter(|node| !node.path.is_empty()) {
            if progress.is_aborted() {
                return Err(Error::Aborted);
            }
            let added = self.add_to_tar(&mut tar, node, &mut links, &mut written);
            added.map_err(|e| Error::io("the standard output", e))?;
        }
        let ended = tar.into_inner().and_then(|mut output| output.flush());
        ended.map_err(|e| Error::io("the standard output", e))?;
        Ok(written)
    }

    fn add_to_tar<'n>(
        &self,
        tar: &mut tar::Builder<impl Write>,
        node: &'n Node,
        links: &mut BTreeMap<u64, &'n [u8]>,
        written: &mut Written,
    ) -> io::Result<()> {
        let relative = node.path.get(1..).unwrap_or_default();
        let path = Path::new(OsStr::from_bytes(relative));
        let metadata = node.source.as_ref().map_or(&node.entry.metadata, |file| &file.metadata);
        let mut header = tar_header(metadata);
        let mut content = None;
        match (&node.entry.kind, &node.source) {
            (EntryKind::Directory, _) => header.set_entry_type(tar::EntryType::Directory),
            (_, Some(source)) => match (links.get(&source.offset), self.content(source)) {
                (Some(target), _) => {
                    header.set_entry_type(tar::EntryType::Link);
                    written.entries += 1;
                    return tar.append_link(
                        &mut header,
                        path,
                        Path::new(OsStr::from_bytes(target)),
                    );
                }
                (None, Ok(found)) => {
                    header.set_size(pxar::accessor::ReadAt::size(&found));
                    links.insert(source.offset, relative);
                    content = Some(found);
                }
                (None, Err(reason)) => {
                    written.lost.push(Lost::new(&node.path, reason));
                    return Ok(());
                }
            },
            (EntryKind::Symlink { target }, _) => {
                header.set_entry_type(tar::EntryType::Symlink);
                written.entries += 1;
                return tar.append_link(&mut header, path, Path::new(OsStr::from_bytes(target)));
            }
            (EntryKind::Device { major, minor }, _) => {
                let is_block = metadata.file_type() == Some(pxar::metadata::FileType::BlockDevice);
                let (block, char) = (tar::EntryType::Block, tar::EntryType::Char);
                header.set_entry_type(if is_block { block } else { char });
                header.set_device_major(u32::try_from(*major).unwrap_or(u32::MAX))?;
                header.set_device_minor(u32::try_from(*minor).unwrap_or(u32::MAX))?;
            }
            (EntryKind::Fifo, _) => header.set_entry_type(tar::EntryType::Fifo),
            // Sockets have no place in a tar archive, and nobody misses them.
            _ => return Ok(()),
        }
        let names = metadata.xattrs.iter().map(|one| (one.name.as_slice(), one.value.as_slice()));
        let fcaps = metadata.fcaps.as_deref().map(|caps| (&b"security.capability"[..], caps));
        let attributes: Vec<(String, &[u8])> = names
            .chain(fcaps)
            .map(|(name, value)| (format!("SCHILY.xattr.{}", String::from_utf8_lossy(name)), value))
            .collect();
        if !attributes.is_empty() {
            tar.append_pax_extensions(attributes.iter().map(|(name, value)| (&**name, *value)))?;
        }
        written.entries += 1;
        match content {
            Some(content) => {
                written.content_bytes += pxar::accessor::ReadAt::size(&content);
                tar.append_data(&mut header, path, BufReader::with_capacity(1 << 20, content))
            }
            None => tar.append_data(&mut header, path, io::empty().take(0)),
        }
    }
}

fn tar_header(metadata: &Metadata) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(metadata.permissions());
    header.set_uid(metadata.uid.into());
    header.set_gid(metadata.gid.into());
    header.set_mtime(u64::try_from(metadata.mtime.secs).unwrap_or(0));
    header.set_size(0);
    header
}

/// Whether a path lies in a directory.
fn is_below(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&b'/'))
}

struct Monitor<'a>(&'a dyn Progress);

impl pxar::Monitor for Monitor<'_> {
    fn warning(&self, warning: &pxar::Warning) {
        self.0.warn(&warning.to_string());
    }

    fn is_aborted(&self) -> bool {
        self.0.is_aborted()
    }
}
