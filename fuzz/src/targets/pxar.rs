//! An archive of any bytes is read to an end or refused, front to back and by random access, and
//! what is handed out keeps to the promises of the readers.

use std::io::Read;
use std::sync::Arc;

use pxar::accessor::{Entry, ReadAt};
use pxar::decoder::Event;
use pxar::{Accessor, Decoder, EntryKind};

/// Random access can be asked for the same bytes again and again; a run looks at so many entries.
const ENTRIES_MAX: usize = 2000;

struct Bytes(Arc<[u8]>);

impl ReadAt for Bytes {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<usize> {
        self.0.read_at(buffer, offset)
    }

    fn size(&self) -> u64 {
        self.0.len() as u64
    }
}

/// See the module. With an odd first byte the rest is a split archive: its length in the next two
/// bytes, then its metadata, then its payload.
pub fn run(data: &[u8]) {
    let Some((&kind, rest)) = data.split_first() else { return };
    if kind % 2 == 0 {
        read(&mut Decoder::new(rest));
        if let Ok(archive) = Accessor::open(Bytes(rest.into())) {
            walk(&archive);
        }
        return;
    }
    let Some((len, rest)) = rest.split_at_checked(2) else { return };
    let len = usize::from(u16::from_le_bytes([len[0], len[1]])).min(rest.len());
    let (archive, payload) = rest.split_at(len);
    read(&mut Decoder::split(archive, payload));
    if let Ok(archive) = Accessor::open_split(Bytes(archive.into()), Bytes(payload.into())) {
        walk(&archive);
    }
}

fn read<R: Read, P: Read>(decoder: &mut Result<Decoder<R, P>, pxar::Error>) {
    let Ok(decoder) = decoder else { return };
    let mut depth = 0_u64;
    while let Ok(Some(event)) = decoder.next_event() {
        match event {
            Event::LeaveDirectory => {
                assert!(depth > 0, "more directories were left than entered");
                depth -= 1;
            }
            Event::Entry(entry) => {
                let path = decoder.path();
                assert!(path.is_empty() || path.starts_with(b"/"));
                assert!(
                    !path.split(|byte| *byte == b'/').any(|name| name == b".." || name == b".")
                );
                depth += u64::from(matches!(entry.kind, EntryKind::Directory));
                if decoder.has_contents() {
                    // Half of them; the others are skipped by the decoder.
                    if entry.offset % 2 == 0 {
                        let _ = std::io::copy(&mut decoder.content(), &mut std::io::sink());
                    }
                }
            }
        }
    }
    assert!(
        decoder.next_event().map_or(true, |event| event.is_none()),
        "there is more after the end"
    );
}

fn walk(archive: &Accessor) {
    let _ = archive.prelude();
    let Ok(root) = archive.root() else { return };
    let mut open = vec![root];
    let mut seen = 0;
    while let Some(directory) = open.pop() {
        for entry in directory.entries() {
            seen += 1;
            if seen > ENTRIES_MAX {
                return;
            }
            let Ok(entry) = entry else { continue };
            look(archive, &entry);
            if matches!(entry.kind, EntryKind::Directory)
                && let Ok(inner) = archive.open_directory(&entry)
            {
                open.push(inner);
            }
        }
    }
}

fn look(archive: &Accessor, entry: &Entry) {
    assert!(!entry.name.contains(&b'/') && !entry.name.is_empty() && entry.name != b"..");
    let _ = archive.follow_hardlink(entry);
    if let Ok(mut content) = archive.content(entry) {
        let mut buffer = [0; 512];
        for _ in 0..8 {
            if !matches!(content.read(&mut buffer), Ok(count) if count > 0) {
                break;
            }
        }
    }
}
