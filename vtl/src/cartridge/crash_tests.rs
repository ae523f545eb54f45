//! Damage to a log and its index, everywhere.
//!
//! A log of a few small objects is cut, blanked and flipped at every byte. Whatever happens to it,
//! opening does not panic, an object either reads as it was written or is reported damaged at its
//! own number, and what a later record's header proves to have been durable is never silently
//! dropped.

use std::fs;
use std::path::Path;

use super::log::ObjectLog;
use super::object::{Fault, Object};

const ID: u64 = 0x1234_5678_9abc_def0;

/// `None` is a filemark.
type Content = Option<Vec<u8>>;

fn block(seed: u8, length: usize) -> Content {
    Some((0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect())
}

fn contents() -> Vec<Content> {
    vec![
        block(1, 100),
        block(2, 64),
        None,
        block(3, 1),
        block(4, 200),
        None,
        None,
        block(5, 127),
        block(6, 129),
    ]
}

/// Two of the blocks are encrypted ones, with a seal behind their data.
fn seal(content: &Content) -> &'static [u8] {
    match content {
        Some(data) if [200, 127].contains(&data.len()) => &[0x5e; 70],
        _ => &[],
    }
}

fn append(log: &mut ObjectLog, content: &Content) {
    match content {
        Some(data) => log.append_block(data, seal(content)).unwrap(),
        None => log.append_filemarks(1).unwrap(),
    }
}

/// What an object reads as: its fingerprint, or damaged.
type Seen = Result<String, ()>;

/// Short, so that a failing assertion can be read.
fn print(content: &Content) -> String {
    match content {
        Some(data) => format!("{} bytes {:08x}", data.len(), crate::durable::crc64(&[data]) as u32),
        None => "mark".into(),
    }
}

/// Objects up to this number are flushed before the rest is written.
const FLUSHED: usize = 6;

struct Image {
    log: Vec<u8>,
    index: Vec<u8>,
    /// Offset of each object's header, and the end.
    offsets: Vec<u64>,
}

fn paths(folder: &Path) -> (std::path::PathBuf, std::path::PathBuf) {
    (folder.join("partition0.log"), folder.join("partition0.index"))
}

/// Writes the objects; `clean` closes the log, otherwise the program just stops.
fn write(folder: &Path, clean: bool) -> Image {
    ObjectLog::create(folder, 0, ID).unwrap();
    let mut log = ObjectLog::open(folder, 0, ID).unwrap();
    let mut offsets = Vec::new();
    for (number, content) in contents().iter().enumerate() {
        offsets.push(log.end);
        append(&mut log, content);
        if number + 1 == FLUSHED {
            log.flush().unwrap();
        }
    }
    offsets.push(log.end);
    if clean {
        log.checkpoint().unwrap();
    }
    let (log_path, index_path) = paths(folder);
    Image { log: fs::read(log_path).unwrap(), index: fs::read(index_path).unwrap(), offsets }
}

/// Opens what is given and reads everything: per object its content, or `Err` if it is damaged.
fn read_all(folder: &Path, log: &[u8], index: Option<&[u8]>) -> Vec<Seen> {
    let (log_path, index_path) = paths(folder);
    // New files: some file systems flush one that was cut to nothing and written again.
    let _ = fs::remove_file(&log_path);
    let _ = fs::remove_file(&index_path);
    fs::write(log_path, log).unwrap();
    if let Some(index) = index {
        fs::write(index_path, index).unwrap();
    }
    let mut log = ObjectLog::open(folder, 0, ID).unwrap();
    let objects = (0..log.objects()).map(|object| read_one(&mut log, object)).collect();
    // The end of data agrees with the objects, whatever was lost.
    assert_eq!(log.file_at(log.objects()).unwrap(), log.files());
    let end = log.objects();
    append(&mut log, &block(9, 50));
    assert_eq!(read_one(&mut log, end), Ok(print(&block(9, 50))));
    objects
}

fn read_one(log: &mut ObjectLog, object: u64) -> Seen {
    let mut buffer = vec![0; 4096];
    match log.read(object, &mut buffer) {
        Ok(Object::Filemark) => Ok(print(&None)),
        Ok(Object::Block(length)) => {
            buffer.truncate(length as usize);
            Ok(print(&Some(buffer)))
        }
        Err(Fault::Damaged { object: reported, .. }) => {
            assert_eq!(reported, object);
            Err(())
        }
        Err(Fault::Host(error)) => panic!("{error}"),
    }
}

fn written() -> Vec<Seen> {
    contents().iter().map(|content| Ok(print(content))).collect()
}

/// End of an object's data, where a cut no longer touches it.
fn data_end(image: &Image, object: usize) -> u64 {
    let content = &contents()[object];
    let length = content.as_ref().map_or(0, Vec::len) + seal(content).len();
    image.offsets[object] + 64 + length as u64
}

#[test]
fn a_log_cut_anywhere_opens_with_what_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    for clean in [false, true] {
        let scratch = tempfile::tempdir().unwrap();
        let image = write(scratch.path(), clean);
        for cut in 0..=image.log.len() {
            let log = &image.log[..cut];
            let whole = (0..contents().len())
                .take_while(|object| data_end(&image, *object) <= cut as u64)
                .count();
            let found = read_all(folder.path(), log, None);
            assert_eq!(found, written()[..whole], "cut at {cut}, no index");
            let found = read_all(folder.path(), log, Some(&image.index));
            if clean {
                // The index knows what was there: nothing is dropped, the rest is damage.
                assert_eq!(found.len(), contents().len(), "cut at {cut}");
                assert_eq!(found[..whole], written()[..whole], "cut at {cut}");
                assert!(found[whole..].iter().all(Result::is_err), "cut at {cut}");
            } else {
                assert_eq!(found, written()[..whole], "cut at {cut}, stopped");
            }
        }
    }
}

/// The object whose header or data a byte of the log belongs to; `None` for padding and log header.
fn owner(image: &Image, byte: usize) -> Option<usize> {
    let object = image.offsets.iter().rposition(|offset| *offset <= byte as u64)?;
    (object < contents().len() && (byte as u64) < data_end(image, object)).then_some(object)
}

#[test]
fn a_flipped_byte_costs_one_object() {
    let folder = tempfile::tempdir().unwrap();
    for clean in [false, true] {
        let scratch = tempfile::tempdir().unwrap();
        let image = write(scratch.path(), clean);
        // Every byte of the harder case; a log that was closed differs only in what its index knows.
        for byte in (0..image.log.len()).step_by(if clean { 5 } else { 1 }) {
            let mut log = image.log.clone();
            log[byte] ^= 0x41;
            for index in [None, Some(&image.index[..])] {
                let found = read_all(folder.path(), &log, index);
                let context = format!("byte {byte}, clean {clean}, index {}", index.is_some());
                let Some(hit) = owner(&image, byte) else {
                    assert_eq!(found, written(), "{context}");
                    continue;
                };
                assert_eq!(found[..hit], written()[..hit], "{context}");
                if hit < FLUSHED || (clean && index.is_some()) {
                    assert_eq!(found[hit], Err(()), "{context}");
                    assert_eq!(found[hit + 1..], written()[hit + 1..], "{context}");
                } else {
                    // Nothing tells that it was ever durable: the tape ends there.
                    assert_eq!(found.len(), hit, "{context}");
                }
            }
        }
    }
}

#[test]
fn several_lost_headers_keep_file_numbers_behind_them() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let image = write(scratch.path(), false);
    // Objects 1 to 4 with the filemark among them, as a lost disk block.
    let mut log = image.log.clone();
    log[image.offsets[1] as usize..image.offsets[5] as usize].fill(0);
    let found = read_all(folder.path(), &log, None);
    let expected: Vec<_> = written()
        .into_iter()
        .enumerate()
        .map(|(object, content)| if (1..5).contains(&object) { Err(()) } else { content })
        .collect();
    assert_eq!(found, expected);
    let mut log = ObjectLog::open(folder.path(), 0, ID).unwrap();
    assert_eq!((log.file_at(5).unwrap(), log.file_at(8).unwrap()), (1, 3));
    assert_eq!(log.position_of_file(3).unwrap(), Some(7));
}

#[test]
fn a_damaged_index_heals_from_the_log() {
    let folder = tempfile::tempdir().unwrap();
    for clean in [false, true] {
        let scratch = tempfile::tempdir().unwrap();
        let image = write(scratch.path(), clean);
        for byte in 0..image.index.len() {
            let mut index = image.index.clone();
            index[byte] ^= 0x41;
            assert_eq!(read_all(folder.path(), &image.log, Some(&index)), written(), "byte {byte}");
        }
        for cut in 0..image.index.len() {
            let found = read_all(folder.path(), &image.log, Some(&image.index[..cut]));
            assert_eq!(found, written(), "cut at {cut}");
        }
    }
}

/// An overwrite in the middle, after which a power cut keeps any part of the new log, with the old
/// bytes behind it and in any one lost place: only a prefix of the new tape may appear.
#[test]
fn two_histories_never_mix() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let old = write(scratch.path(), true);
    let cut = 4;
    let mut log = ObjectLog::open(scratch.path(), 0, ID).unwrap();
    log.truncate(cut).unwrap();
    let (log_path, index_path) = paths(scratch.path());
    // What is durable of the index at this moment is the lowered checkpoint.
    let index = fs::read(&index_path).unwrap();
    let mut new_contents = contents()[..cut as usize].to_vec();
    for seed in 20..26 {
        // The same sizes as before, so that old headers lie where new ones belong.
        let length = contents()[seed - 20 + cut as usize - 4 + 3].as_ref().map_or(0, Vec::len);
        let content = if length == 0 { None } else { block(seed as u8, length) };
        append(&mut log, &content);
        new_contents.push(content);
    }
    drop(log);
    let new = fs::read(&log_path).unwrap();
    let expected: Vec<Seen> = new_contents.iter().map(|content| Ok(print(content))).collect();
    for kept in (old.offsets[cut as usize] as usize..=new.len()).step_by(8) {
        let mut mixed = new[..kept].to_vec();
        if kept < old.log.len() {
            mixed.extend_from_slice(&old.log[kept..]);
        }
        for index in [Some(&index[..]), None] {
            let found = read_all(folder.path(), &mixed, index);
            let whole = found.len().min(expected.len());
            if index.is_some() {
                assert!(found.len() >= cut as usize && found.len() <= expected.len());
                assert_eq!(found[..], expected[..found.len()], "kept {kept}");
            } else if found[..whole] != expected[..whole] {
                // Without the index the old tape may come back, with the record that was half
                // written over reported as damaged, but nothing of the new one behind it.
                let old_or_damaged = |(seen, old): (&Seen, &Seen)| seen.is_err() || seen == old;
                assert!(found.iter().zip(&written()).all(old_or_damaged), "kept {kept}: {found:?}");
                assert!(found.len() <= contents().len());
            }
        }
    }
    // One lost place in the new part, old bytes shining through.
    for hole in (old.offsets[cut as usize] as usize..new.len()).step_by(64) {
        let mut mixed = new.clone();
        let end = (hole + 64).min(mixed.len());
        for (at, byte) in mixed.iter_mut().enumerate().take(end).skip(hole) {
            *byte = old.log.get(at).copied().unwrap_or(0);
        }
        let found = read_all(folder.path(), &mixed, Some(&index));
        assert_eq!(found[..], expected[..found.len()], "hole at {hole}");
        assert!(found.len() >= cut as usize);
    }
}

#[test]
fn a_log_within_a_log_is_data() {
    let inner = tempfile::tempdir().unwrap();
    let image = write(inner.path(), true);
    let outer = tempfile::tempdir().unwrap();
    ObjectLog::create(outer.path(), 0, ID).unwrap();
    let mut log = ObjectLog::open(outer.path(), 0, ID).unwrap();
    log.append_block(b"first", &[]).unwrap();
    // The same cartridge id, aligned like the real thing.
    log.append_block(&image.log, &[]).unwrap();
    log.append_block(b"last", &[]).unwrap();
    let hit = log.index.get(1).unwrap().offset as usize;
    log.flush().unwrap();
    log.append_filemarks(1).unwrap();
    drop(log);
    let mut bytes = fs::read(paths(outer.path()).0).unwrap();
    bytes[hit + 20] ^= 1;
    let found = read_all(outer.path(), &bytes, None);
    let text = |text: &[u8]| Ok(print(&Some(text.to_vec())));
    assert_eq!(found, [text(b"first"), Err(()), text(b"last"), Ok(print(&None))]);
}

#[test]
fn what_was_flushed_survives_lost_writes_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let image = write(scratch.path(), false);
    // Each unflushed record in turn keeps its header and loses its data.
    for object in FLUSHED..contents().len() {
        if contents()[object].is_none() {
            continue;
        }
        let mut log = image.log.clone();
        let start = image.offsets[object] as usize + 64;
        log[start..data_end(&image, object) as usize].fill(0);
        for index in [None, Some(&image.index[..])] {
            let found = read_all(folder.path(), &log, index);
            assert_eq!(found, written()[..object], "object {object}");
        }
    }
}
