//! What catalogs of many chunks cost: to index, to open, to ask, and in memory. `make bench-catalog`
//! runs it.
//!
//! ```text
//! catalog_scale make FOLDER TAPES CHUNKS       a set of so many tapes with so many chunks each
//! catalog_scale open FOLDER                    opens all catalogs; makes indexes that are not fresh
//! catalog_scale ask FOLDER LOOKUPS             opens them, then asks for known and unknown chunks
//! catalog_scale content FOLDER TAPES SNAPSHOTS a state folder for 'tape media content'; 10 tapes a set
//! catalog_scale files FOLDER PATHS             lists of so many files for each snapshot in it, most of them the same
//! catalog_scale find FOLDER PATTERN            looks for files in them
//! ```
//!
//! Prints what it measured as JSON. Digests are numbers stirred, so that nothing has to be kept.

#![allow(clippy::print_stdout, reason = "an example prints what it measured")]

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Instant;

use datastore::Digest;
use pbs_tape::format::label::{MediaLabel, MediaSetLabel};
use pbs_tape::media::file_lists::{FileLists, Group, Learned, Names};
use pbs_tape::media::find_files::{FilePattern, find_files};
use pbs_tape::media::listing::{ContentFilter, media_content};
use pbs_tape::media::set::SetCatalogs;
use pbs_tape::media::{Inventory, MediaCatalog, MediaId, StateDir};
use uuid::Uuid;

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const STORE: &str = "main";
const ARCHIVE_CHUNKS: u64 = 2000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["make", folder, tapes, chunks] => make(folder, tapes.parse()?, chunks.parse()?),
        ["open", folder] => open(folder).map(|_| ()),
        ["ask", folder, lookups] => ask(folder, lookups.parse()?),
        ["content", folder, tapes, snapshots] => {
            content(folder, tapes.parse()?, snapshots.parse()?)
        }
        ["files", folder, paths] => files(folder, paths.parse()?),
        ["find", folder, pattern] => find(folder, pattern),
        _ => Err("usage: catalog_scale make FOLDER TAPES CHUNKS | open FOLDER | \
                  ask FOLDER LOOKUPS | content FOLDER TAPES SNAPSHOTS | files FOLDER PATHS | \
                  find FOLDER PATTERN"
            .into()),
    }
}

/// Most memory that this process had, in MiB.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or_default() / 1024
}

/// SplitMix64: neighbours have nothing in common.
fn stir(number: u64) -> u64 {
    let mut value = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

fn digest(tape: u64, chunk: u64) -> Digest {
    let mut bytes = [0; 32];
    for (part, piece) in bytes.chunks_exact_mut(8).enumerate() {
        let seed = (tape << 48) ^ (chunk << 2) ^ part as u64;
        piece.copy_from_slice(&stir(stir(seed)).to_le_bytes());
    }
    Digest(bytes)
}

/// A tape of a set of so many.
fn media(tape: u64, set_tapes: u64) -> MediaId {
    let label = MediaLabel {
        ctime: 1_700_000_000,
        label_text: format!("T{tape:05}L9"),
        pool: None,
        uuid: Uuid::from_u128(0x7f42_c4dd_9626_4d89 << 64 | u128::from(tape)),
    };
    let set = MediaSetLabel {
        ctime: 1_700_000_000,
        encryption_key_fingerprint: None,
        pool: "scale".into(),
        seq_nr: tape % set_tapes,
        uuid: Uuid::from_u128(0x9da3_7a55_aac7_4deb << 64 | u128::from(tape / set_tapes)),
    };
    MediaId { label, media_set_label: Some(set) }
}

fn time_text(epoch: u64) -> Result<String> {
    Ok(datastore::time::to_utc_text(epoch as i64).ok_or("no such time")?)
}

fn make(folder: &str, tapes: u64, chunks: u64) -> Result<()> {
    let state = StateDir::open(folder)?;
    let mut inventory = Inventory::load(&state)?;
    for tape in 0..tapes {
        let id = media(tape, tapes);
        inventory.store(id.clone(), false)?;
        let mut catalog = MediaCatalog::create_temporary(&state, &id)?;
        let mut file = 2;
        for first in (0..chunks).step_by(ARCHIVE_CHUNKS as usize) {
            let digests: Vec<Digest> = (first..chunks.min(first + ARCHIVE_CHUNKS))
                .map(|chunk| digest(tape, chunk))
                .collect();
            catalog.register_chunk_archive(file, Uuid::new_v4(), STORE, &digests)?;
            let name = format!("host/h{tape}/{}", time_text(file)?);
            catalog.register_snapshot(file + 1, Uuid::new_v4(), STORE, &name)?;
            file += 2;
            catalog.commit_if_large()?;
        }
        catalog.publish()?;
    }
    Ok(())
}

fn open(folder: &str) -> Result<SetCatalogs> {
    let state = StateDir::open(folder)?;
    let inventory = Inventory::load(&state)?;
    let start = Instant::now();
    let set = inventory.media_sets().into_keys().next().ok_or("there is no media set")?;
    let catalogs = SetCatalogs::load(&state, &inventory, &inventory.media_set(&set)?)?;
    let open_s = start.elapsed().as_secs_f64();
    println!(
        "{{\"catalogs\": {}, \"open_s\": {open_s:.4}, \"peak_mib\": {}}}",
        catalogs.iter().count(),
        peak_mib()
    );
    Ok(catalogs)
}

fn ask(folder: &str, lookups: u64) -> Result<()> {
    let catalogs = open(folder)?;
    let tapes = catalogs.iter().count() as u64;
    let mut chunks = 0;
    let all: Vec<&MediaCatalog> = catalogs.iter().collect();
    let first = all.first().ok_or("there is no catalog")?;
    first.each_chunk(STORE, &mut |_, _| chunks += 1)?;
    for (what, is_known) in [("hit", true), ("miss", false)] {
        let start = Instant::now();
        let mut found = 0;
        for (number, catalog) in (0..lookups).zip(all.iter().cycle()) {
            let chunk = stir(number) % chunks;
            let tape = if is_known { number % tapes } else { tapes + 1 };
            found += u64::from(catalog.chunk(STORE, &digest(tape, chunk))?.is_some());
        }
        let lookup_ns = start.elapsed().as_nanos() as f64 / lookups as f64;
        if found != if is_known { lookups } else { 0 } {
            return Err(format!("{what}: {found} of {lookups} were found").into());
        }
        println!(
            "{{\"asked\": \"{what}\", \"lookup_ns\": {lookup_ns:.0}, \"peak_mib\": {}}}",
            peak_mib()
        );
    }
    Ok(())
}

fn content(folder: &str, tapes: u64, snapshots: u64) -> Result<()> {
    let state = StateDir::open(folder)?;
    let mut inventory = Inventory::load(&state)?;
    for tape in 0..tapes {
        let id = media(tape, 10);
        inventory.store(id.clone(), false)?;
        let mut catalog = MediaCatalog::create_temporary(&state, &id)?;
        for number in 0..snapshots {
            let file = 2 * (number + 1);
            let chunk = [digest(tape, number)];
            catalog.register_chunk_archive(file, Uuid::new_v4(), STORE, &chunk)?;
            let time = time_text(tape * snapshots + number)?;
            let name = format!("host/h{}/{time}", number % 10);
            catalog.register_snapshot(file + 1, Uuid::new_v4(), STORE, &name)?;
        }
        catalog.publish()?;
    }
    Ok(())
}

fn files(folder: &str, paths: u64) -> Result<()> {
    /// Lists that are learnt at once.
    const PORTION: usize = 20;
    let state = StateDir::open(folder)?;
    let (content, _) = media_content(&state, &[], &ContentFilter::default())?;
    let mut groups: BTreeMap<Group, Vec<i64>> = BTreeMap::new();
    for one in content {
        let (group, time) = Group::of(&one.store, &one.snapshot)?;
        groups.entry(group).or_default().push(time);
    }
    for (group, times) in groups {
        for portion in times.chunks(PORTION) {
            let learned = portion.iter().map(|time| {
                let name = |what: String| (format!("root.pxar.didx/{what}").into_bytes(), b'f');
                let mut names: Names = (0..paths)
                    .map(|n| name(format!("srv/data/{:03}/{:x}.doc", n % 500, stir(n))))
                    .collect();
                names.push(name(format!("var/log/{time}.log")));
                (*time, Learned::Names(digest(u64::MAX, *time as u64), Some(names)))
            });
            FileLists::of(&state).learn(&group, learned.collect())?;
        }
    }
    Ok(())
}

fn find(folder: &str, pattern: &str) -> Result<()> {
    let state = StateDir::open(folder)?;
    let start = Instant::now();
    let patterns = [FilePattern::parse(pattern)?];
    let search = find_files(&state, &[], &patterns, &[], &ContentFilter::default())?;
    let find_s = start.elapsed().as_secs_f64();
    println!(
        "{{\"files\": {}, \"places\": {}, \"not_searched\": {}, \"find_s\": {find_s:.3}, \"peak_mib\": {}}}",
        search.found.len(),
        search.found.iter().map(|file| file.snapshots.len()).sum::<usize>(),
        search.not_searched.len(),
        peak_mib()
    );
    Ok(())
}
