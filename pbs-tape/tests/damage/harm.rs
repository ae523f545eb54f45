//! The damage that a seed makes, and whom it costs something.
//!
//! What no check of the format covers is not damaged: the times in content headers, the UUID in those of labels and catalogs, owners, modes and times of the
//! files in a snapshot archive and its table for random access, UUID and time of an index, padding and name lengths in
//! the records of a catalog.

use std::collections::BTreeSet;

use crate::common::noise;
use crate::map::{BLOCK, File, HEADER, Kind, Map, PAYLOAD, Place, find};
use crate::world::Copy;

/// Damage that was made.
pub struct Harm {
    pub kind: &'static str,
    pub text: String,
    /// Snapshots that are lost with it.
    pub must: BTreeSet<String>,
    /// Snapshots that may be called damaged. Where damage goes on behind its place, as where a length is wrong, more
    /// may be lost than what was there.
    pub may: BTreeSet<String>,
    /// It is in a label.
    pub is_of_label: bool,
    /// A restore may bring back what is called damaged: only the header of an index is wrong.
    pub may_be_restored: bool,
    /// It is no more than what an interrupted job leaves, so it may be told as a difference.
    pub may_be_difference: bool,
}

impl Harm {
    fn new(text: String, must: BTreeSet<String>, may: BTreeSet<String>) -> Harm {
        Harm {
            kind: "",
            text,
            must,
            may,
            is_of_label: false,
            may_be_restored: false,
            may_be_difference: false,
        }
    }
}

/// Magic of a dynamic index, SHA-256 of its name.
const INDEX: [u8; 8] = [0x1c, 0x91, 0x4e, 0xa5, 0x19, 0xba, 0xb3, 0xcd];
/// Bytes of its header.
const INDEX_HEADER: usize = 4096;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((value ^ (value >> 31)) % limit.max(1) as u64) as usize
    }

    fn bit(&mut self) -> u8 {
        1 << self.below(8)
    }
}

#[derive(Default)]
struct Loss {
    copies: BTreeSet<Place>,
    archives: BTreeSet<(usize, usize)>,
}

impl Loss {
    fn add(&mut self, (copies, archives): (BTreeSet<Place>, BTreeSet<(usize, usize)>)) {
        self.copies.extend(copies);
        self.archives.extend(archives);
    }

    /// A block that can't be read or is refused. With the first of a file goes the whole file.
    fn block(&mut self, map: &Map, tape: usize, file: usize, block: usize) {
        match (block, &map.tapes[tape][file].kind) {
            (0, _) => self.add(map.all_of(tape, file)),
            // Nothing of a catalog is needed.
            (_, Kind::Catalog) => {}
            (block, _) => {
                self.add(map.overlapping(tape, file, block * PAYLOAD, (block + 1) * PAYLOAD))
            }
        }
    }

    fn tape(&mut self, map: &Map, tape: usize) {
        for file in 0..map.tapes[tape].len() {
            self.add(map.all_of(tape, file));
        }
    }

    fn snapshots(&self, map: &Map) -> BTreeSet<String> {
        map.lost(&self.copies, &self.archives)
    }
}

/// Places in a stream that no check covers.
fn is_free(file: &File, at: usize) -> bool {
    // The time in the content header.
    if (32..40).contains(&at) {
        return true;
    }
    let stream = &file.stream;
    let mut free: Vec<(usize, usize)> = Vec::new();
    match &file.kind {
        Kind::Snapshot(_) => {
            let entry = 0xd595_6474_e588_acef_u64.to_le_bytes();
            let mut from = 0;
            while let Some(found) = find(stream, &entry, from) {
                free.push((found + 16, found + 56));
                from = found + 1;
            }
            if let Some(table) = find(stream, &0x2fec_4fa6_42d5_731d_u64.to_le_bytes(), 0) {
                free.push((table + 16, stream.len()));
            }
            // A dynamic index: magic, UUID, time.
            if let Some(index) = find(stream, &INDEX, 0) {
                free.push((index + 8, index + 32));
            }
        }
        Kind::Catalog => {
            let mut from = 0;
            while let Some(name) = find(stream, b"main", from) {
                free.push((name.saturating_sub(7), name));
                from = name + 1;
            }
        }
        Kind::Label | Kind::Chunks(_) => {}
    }
    // No catalog names labels and catalogs.
    if matches!(file.kind, Kind::Label | Kind::Catalog) {
        free.push((16, 32));
    }
    free.iter().any(|(from, to)| (*from..*to).contains(&at))
}

/// Damages a copy.
pub fn harm(copy: &Copy<'_>, seed: u64) -> Harm {
    let map = &copy.world.map;
    let mut random = Random(seed);
    let tape = random.below(map.tapes.len());
    let kind = random.below(KINDS.len());
    let (name, make) = KINDS[kind];
    let mut made = make(copy, map, tape, &mut random);
    made.kind = name;
    made.text = format!("{name}, tape {}: {}", copy.world.tapes[tape], made.text);
    made
}

type Make = fn(&Copy<'_>, &Map, usize, &mut Random) -> Harm;

const KINDS: [(&str, Make); 14] = [
    ("unreadable block", unreadable),
    ("unreadable block somewhere", unreadable_anywhere),
    ("unreadable blocks in a row", unreadable_row),
    ("flipped bit", flip_anywhere),
    ("flipped bit of data", flip_data),
    ("flipped bit in a block header", flip_block_header),
    ("flipped bit in the head of a file", flip_head),
    ("flipped bit in an entry header", flip_entry),
    ("flipped bit behind the content", flip_padding),
    ("block gone", block_gone),
    ("block twice", block_twice),
    ("blocks exchanged", exchanged),
    ("another block", replaced),
    ("tape cut", cut),
];

fn exact(map: &Map, text: String, loss: &Loss) -> Harm {
    let must = loss.snapshots(map);
    Harm::new(text, must.clone(), must)
}

fn is_label(map: &Map, tape: usize, file: usize) -> bool {
    matches!(map.tapes[tape][file].kind, Kind::Label)
}

/// As [`exact`] where the damage is a block that is lost.
fn lost_block(map: &Map, tape: usize, file: usize, block: usize, text: String) -> Harm {
    let mut loss = Loss::default();
    if is_label(map, tape, file) {
        loss.tape(map, tape);
    } else {
        loss.block(map, tape, file, block);
    }
    Harm { is_of_label: is_label(map, tape, file), ..exact(map, text, &loss) }
}

fn any_block(map: &Map, tape: usize, random: &mut Random) -> (usize, usize) {
    let file = random.below(map.tapes[tape].len());
    (file, random.below(map.tapes[tape][file].blocks))
}

/// A block of a file of chunks, of which there is most.
fn chunk_block(map: &Map, tape: usize, random: &mut Random) -> (usize, usize) {
    let files = &map.tapes[tape];
    let of_chunks: Vec<usize> =
        (0..files.len()).filter(|file| matches!(files[*file].kind, Kind::Chunks(_))).collect();
    let file = of_chunks[random.below(of_chunks.len())];
    (file, random.below(files[file].blocks))
}

fn unreadable_block(
    copy: &Copy<'_>,
    map: &Map,
    tape: usize,
    (file, block): (usize, usize),
    random: &mut Random,
) -> Harm {
    let log = copy.log(tape);
    let record = &log.records[map.tapes[tape][file].record + block];
    let at = random.below(record.data.len());
    log.flip_in_file(record.data_at + at, random.bit());
    lost_block(map, tape, file, block, format!("file {file}, block {block}, byte {at}"))
}

fn unreadable(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let place = chunk_block(map, tape, random);
    unreadable_block(copy, map, tape, place, random)
}

fn unreadable_anywhere(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let place = any_block(map, tape, random);
    unreadable_block(copy, map, tape, place, random)
}

fn unreadable_row(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, first) = chunk_block(map, tape, random);
    let count = (2 + random.below(3)).min(map.tapes[tape][file].blocks - first);
    let mut loss = Loss::default();
    for block in first..first + count {
        unreadable_block(copy, map, tape, (file, block), random);
        loss.block(map, tape, file, block);
    }
    exact(map, format!("file {file}, {count} blocks from {first}"), &loss)
}

/// Flips a bit of a stream so that the drive does not notice, and says where.
fn flip(copy: &Copy<'_>, map: &Map, tape: usize, file: usize, at: usize, mask: u8) {
    let mut log = copy.log(tape);
    let record = map.tapes[tape][file].record + at / PAYLOAD;
    log.records[record].change()[HEADER + at % PAYLOAD] ^= mask;
    log.write();
}

/// What a flipped bit of a stream costs.
fn cost(map: &Map, tape: usize, file: usize, at: usize, text: String) -> Harm {
    let whole = &map.tapes[tape][file];
    let mut must = Loss::default();
    let mut may = Loss::default();
    may.add(map.all_of(tape, file));
    match &whole.kind {
        Kind::Label => {
            may.tape(map, tape);
            let may = may.snapshots(map);
            return Harm { is_of_label: true, ..Harm::new(text, BTreeSet::new(), may) };
        }
        Kind::Catalog => may = Loss::default(),
        // The UUID, the part number and what is reserved: nobody needs them.
        _ if (16..32).contains(&at) || (44..48).contains(&at) => may = Loss::default(),
        Kind::Snapshot(_) => {
            let index = find(&whole.stream, &INDEX, 0).unwrap();
            // Its checksum says something of what is restored; what is reserved does not.
            if (index + 32..index + INDEX_HEADER).contains(&at) {
                let may = may.snapshots(map);
                return Harm { may_be_restored: true, ..Harm::new(text, BTreeSet::new(), may) };
            }
            must.add(map.all_of(tape, file));
        }
        Kind::Chunks(entries) => {
            match entries.iter().find(|entry| (entry.start..entry.end).contains(&at)) {
                // The head of the file: its store, its kind.
                None if entries.first().is_none_or(|entry| at < entry.start) => {
                    must.add(map.all_of(tape, file))
                }
                // A chunk that the end of the tape has cut.
                None => may = Loss::default(),
                Some(entry) => {
                    must.add(map.overlapping(tape, file, at, at + 1));
                    let is_length = (entry.start + 40..entry.start + 48).contains(&at);
                    if !is_length {
                        may = Loss { copies: must.copies.clone(), archives: must.archives.clone() };
                    }
                }
            }
        }
    }
    let (must, may) = (must.snapshots(map), may.snapshots(map));
    Harm::new(text, must, may)
}

fn flip_at(
    copy: &Copy<'_>,
    map: &Map,
    tape: usize,
    file: usize,
    at: usize,
    random: &mut Random,
) -> Harm {
    // A UUID may be written in either case.
    let is_hex = map.tapes[tape][file].stream[at].is_ascii_alphabetic();
    let mask = match random.bit() {
        0x20 if is_hex => 0x40,
        mask => mask,
    };
    flip(copy, map, tape, file, at, mask);
    cost(map, tape, file, at, format!("file {file}, byte {at} of its content, mask {mask:02x}"))
}

/// A place that something covers.
fn covered(file: &File, from: usize, to: usize, random: &mut Random) -> usize {
    loop {
        let at = from + random.below(to - from);
        if !is_free(file, at) && !is_in_cut(file, at) {
            return at;
        }
    }
}

/// In the entry that the end of the tape has cut, which nobody misses.
fn is_in_cut(file: &File, at: usize) -> bool {
    match &file.kind {
        Kind::Chunks(entries) => entries.last().is_some_and(|entry| at >= entry.end),
        _ => false,
    }
}

fn flip_anywhere(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let file = random.below(map.tapes[tape].len());
    let whole = &map.tapes[tape][file];
    let at = covered(whole, 0, whole.stream.len(), random);
    flip_at(copy, map, tape, file, at, random)
}

fn flip_data(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, _) = chunk_block(map, tape, random);
    let whole = &map.tapes[tape][file];
    let at = covered(whole, 0, whole.stream.len(), random);
    flip_at(copy, map, tape, file, at, random)
}

fn flip_head(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let file = random.below(map.tapes[tape].len());
    let whole = &map.tapes[tape][file];
    let at = covered(whole, 0, whole.stream.len().min(200), random);
    flip_at(copy, map, tape, file, at, random)
}

fn flip_entry(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, _) = chunk_block(map, tape, random);
    let Kind::Chunks(entries) = &map.tapes[tape][file].kind else { panic!("no chunks") };
    if entries.is_empty() {
        return flip_head(copy, map, tape, random);
    }
    let at = entries[random.below(entries.len())].start + random.below(48);
    flip_at(copy, map, tape, file, at, random)
}

/// Behind the end of a file's content nothing is needed.
fn flip_padding(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let file = 2 + random.below(map.tapes[tape].len() - 2);
    let whole = &map.tapes[tape][file];
    let used = whole.stream.len() - (whole.blocks - 1) * PAYLOAD;
    let at = HEADER + used + random.below(PAYLOAD - used);
    let mut log = copy.log(tape);
    log.records[whole.record + whole.blocks - 1].change()[at] ^= random.bit();
    log.write();
    exact(map, format!("file {file}, byte {at} of its last block"), &Loss::default())
}

fn flip_block_header(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, block) = match random.below(2) {
        0 => any_block(map, tape, random),
        _ => chunk_block(map, tape, random),
    };
    let whole = &map.tapes[tape][file];
    let (at, mask) = (random.below(HEADER), random.bit());
    let mut log = copy.log(tape);
    log.records[whole.record + block].change()[at] ^= mask;
    log.write();
    let text = format!("file {file}, block {block}, byte {at}, mask {mask:02x}");
    let mut may = Loss::default();
    may.add(map.all_of(tape, file));
    let is_last = block + 1 == whole.blocks;
    let must = match at {
        // Magic and number: the block is refused.
        0..8 | 12..16 => return lost_block(map, tape, file, block, text),
        // Flags that nobody knows cost nothing; the end marker moves the end of the file.
        8 if mask > 2 || (mask == 2 && !is_last) => return exact(map, text, &Loss::default()),
        // Its length: what is lost is at the end of the block or behind it. Where the file ends, all that may be lost
        // is what ends there.
        _ => {
            let mut must = Loss::default();
            let is_needed = matches!(whole.kind, Kind::Snapshot(_));
            if is_needed && at == 8 {
                must.add(map.all_of(tape, file));
            }
            must
        }
    };
    if is_label(map, tape, file) {
        may.tape(map, tape);
    }
    let (must, may) = (must.snapshots(map), may.snapshots(map));
    Harm { is_of_label: is_label(map, tape, file), ..Harm::new(text, must, may) }
}

fn block_gone(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, block) = chunk_block(map, tape, random);
    let whole = &map.tapes[tape][file];
    let mut log = copy.log(tape);
    log.records.remove(whole.record + block);
    log.write();
    let mut must = Loss::default();
    must.block(map, tape, file, block);
    let mut may = Loss { copies: must.copies.clone(), archives: must.archives.clone() };
    // Its number makes the block behind the gap one that does not belong there.
    if block + 1 < whole.blocks {
        may.block(map, tape, file, block + 1);
    }
    let (must, may) = (must.snapshots(map), may.snapshots(map));
    let text = format!("file {file}, block {block} of {}", whole.blocks);
    Harm::new(text, must, may)
}

fn block_twice(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, block) = chunk_block(map, tape, random);
    let whole = &map.tapes[tape][file];
    let mut log = copy.log(tape);
    let again = log.records[whole.record + block].clone();
    log.records.insert(whole.record + block, again);
    log.write();
    // What was being read when the second one came is given up. Behind the block that ends a file nothing is read.
    let mut may = Loss::default();
    match block + 1 == whole.blocks {
        true => may.block(map, tape, file, block),
        false => {
            may.add(map.overlapping(tape, file, (block + 1) * PAYLOAD, (block + 1) * PAYLOAD + 1))
        }
    }
    let text = format!("file {file}, block {block} of {}", whole.blocks);
    Harm::new(text, BTreeSet::new(), may.snapshots(map))
}

fn exchanged(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, block) = chunk_block(map, tape, random);
    let (other, other_block) = loop {
        let other = any_block(map, tape, random);
        if other != (file, block) && !is_label(map, tape, other.0) {
            break other;
        }
    };
    let mut log = copy.log(tape);
    let (one, two) =
        (map.tapes[tape][file].record + block, map.tapes[tape][other].record + other_block);
    let (first, second) = (log.records[one].data.clone(), log.records[two].data.clone());
    *log.records[one].change() = second;
    *log.records[two].change() = first;
    log.write();
    // A block that has the right number there may hold whole chunks, which are as good there as elsewhere.
    let mut may = Loss::default();
    may.add(map.all_of(tape, file));
    may.add(map.all_of(tape, other));
    let text = format!("file {file}, block {block} and file {other}, block {other_block}");
    Harm::new(text, BTreeSet::new(), may.snapshots(map))
}

fn replaced(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, block) = any_block(map, tape, random);
    let length = match random.below(3) {
        0 => 1 + random.below(BLOCK - 1),
        _ => BLOCK,
    };
    let mut log = copy.log(tape);
    let data = log.records[map.tapes[tape][file].record + block].change();
    if length < BLOCK {
        data.truncate(length);
    } else {
        *data = noise(random.below(1 << 20) as u64, BLOCK);
    }
    log.write();
    lost_block(map, tape, file, block, format!("file {file}, block {block}, {length} bytes"))
}

/// The recorded data ends earlier.
fn cut(copy: &Copy<'_>, map: &Map, tape: usize, random: &mut Random) -> Harm {
    let (file, block) = {
        let file = 2 + random.below(map.tapes[tape].len() - 2);
        (file, random.below(map.tapes[tape][file].blocks))
    };
    let mut log = copy.log(tape);
    log.records.truncate(map.tapes[tape][file].record + block);
    log.write();
    let mut loss = Loss::default();
    for behind in file + 1..map.tapes[tape].len() {
        loss.add(map.all_of(tape, behind));
    }
    if block == 0 {
        loss.add(map.all_of(tape, file));
    } else {
        loss.add(map.overlapping(tape, file, block * PAYLOAD, usize::MAX));
    }
    let may_be_difference = block == 0 && file + 1 == map.tapes[tape].len();
    Harm { may_be_difference, ..exact(map, format!("file {file}, from block {block} on"), &loss) }
}
