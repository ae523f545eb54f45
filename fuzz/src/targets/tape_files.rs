//! Whatever is on a tape, its readers come to an end, with what is there or an error, and need no more memory than
//! there is data. What they call a chunk lies on the tape; what comes behind damage is a part of it.

use std::io::{Read, sink};
use std::path::Path;

use pbs_tape::format::block::blocks_for_stream;
use pbs_tape::format::catalog_archive::read_catalog_archive;
use pbs_tape::format::chunk_archive::ChunkArchiveReader;
use pbs_tape::format::label::{Labels, read_labels};
use pbs_tape::format::snapshot_archive::{read_snapshot_archive_header, read_snapshot_files};
use pbs_tape::format::{BLOCK_BYTES, ContentHeader, ContentKind, Opened, StreamReader};
use pbs_tape::media::MediaId;
use pbs_tape::media::catalog::check_catalog_stream;

use crate::tape::InputTape;

/// See the module.
pub fn run(data: &[u8]) {
    let mut tape = InputTape::new(data);
    let bytes_max = tape.objects() * BLOCK_BYTES;
    let media = labels(&mut InputTape::new(data));
    loop {
        match StreamReader::open(&mut tape) {
            Ok(Opened::EndOfData) => return,
            Ok(Opened::Filemark) => continue,
            Ok(Opened::File(stream)) => file(stream, media.as_ref(), bytes_max),
            Err(_) => {}
        }
        // As a drive does it, because nobody knows how far a reader came.
        if !tape.next_file() {
            return;
        }
    }
}

fn labels(tape: &mut InputTape<'_>) -> Option<MediaId> {
    let Labels { media, media_set } = read_labels(tape).ok()??;
    Some(MediaId { label: media, media_set_label: media_set.map(|on_tape| on_tape.label) })
}

fn file(mut stream: StreamReader<'_>, media: Option<&MediaId>, bytes_max: usize) {
    let Ok(header) = ContentHeader::read(&mut stream) else { return };
    if header.kind == ContentKind::ChunkArchiveV1_1 {
        chunks(&mut stream, &header, bytes_max);
    } else if header.kind.is_snapshot_archive() {
        snapshot(&mut stream, &header, bytes_max as u64);
    } else if header.kind.is_catalog_archive() {
        let Ok(_) = read_catalog_archive(&mut stream, &header) else { return };
        if let Some(media) = media {
            let _ = check_catalog_stream(&mut stream, Path::new("from-tape"), media);
        }
    } else {
        let _ = stream.skip_to_end();
    }
    assert!(u64::from(stream.blocks()) <= blocks_for_stream(bytes_max as u64));
}

fn chunks(stream: &mut StreamReader<'_>, header: &ContentHeader, bytes_max: usize) {
    let Ok(mut archive) = ChunkArchiveReader::new(stream, header) else { return };
    let (mut blob, mut damage) = (Vec::new(), Vec::new());
    let (mut bytes, mut count) = (0, 0);
    while let Ok(Some(_)) = archive.next_chunk_behind_damage(&mut blob, &mut damage) {
        // An entry has a head.
        count += 1;
        bytes += blob.len() + 1;
        assert!(bytes <= bytes_max, "{count} chunks have more bytes than the tape");
    }
    assert!(blob.capacity() <= 2 * bytes_max + (1 << 20));
    assert!(damage.len() <= bytes_max / 8);
}

fn snapshot(stream: &mut StreamReader<'_>, header: &ContentHeader, bytes_max: u64) {
    if read_snapshot_archive_header(stream, header).is_err() {
        return;
    }
    let mut left = bytes_max;
    let read = read_snapshot_files(stream, |_, _, size, content: &mut dyn Read| {
        // The length is only a claim until the content was read.
        let Ok(got) = std::io::copy(content, &mut sink()) else { return Ok(()) };
        assert!(got <= size && got <= left);
        left -= got;
        Ok(())
    });
    if read.is_ok() {
        assert!(stream.is_incomplete().is_ok());
    }
}
