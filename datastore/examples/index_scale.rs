//! What an index of an image costs: to write, to read, to check, and to find a range in it.
//!
//! ```text
//! cargo run --release -p datastore --example index_scale -- FOLDER CHUNKS
//! ```
//!
//! Prints seconds and the memory that was used at most, as JSON. Four million chunks are 16 TiB.

#![allow(clippy::print_stdout, reason = "an example prints what it measured")]

use std::path::Path;
use std::time::Instant;

use datastore::Digest;
use datastore::index::fixed::CHUNK_SIZE;
use datastore::index::{FixedIndex, Index};
use datastore::storage::RealStorage;

/// Most memory that this process had, in KiB.
fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse().ok()).unwrap_or_default()
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().ok_or("a folder is missing")?;
    let chunks: u64 = args.next().ok_or("the number of chunks is missing")?.parse()?;
    let path = Path::new(&folder).join("scale.img.fidx");
    if !path.exists() {
        // In a process of its own, so that its memory is not that of reading.
        let digests = (0..chunks).map(|number| Digest::of(&number.to_le_bytes())).collect();
        let start = Instant::now();
        let index = FixedIndex::new([7; 16], 0, chunks * CHUNK_SIZE, digests)?;
        std::fs::write(&path, index.encode())?;
        let write_s = start.elapsed().as_secs_f64();
        println!("{{\"write_s\": {write_s:.6}, \"write_rss_mib\": {}}}", peak_kib() / 1024);
        return Ok(());
    }
    let storage = RealStorage::new(Path::new(&folder))?;
    let start = Instant::now();
    let index = Index::load(&storage, &path)?;
    let open_s = start.elapsed().as_secs_f64();
    let start = Instant::now();
    let is_right = index.compute_csum() == index.header().csum;
    let csum_s = start.elapsed().as_secs_f64();
    // A mebibyte in the middle: which chunks hold it.
    let start = Instant::now();
    let from = index.content_size() / 2 - (1 << 19);
    let first = index.position_of(from).ok_or("no such place")?;
    let last = index.position_of(from + (1 << 20) - 1).ok_or("no such place")?;
    let found = (first..=last).filter_map(|position| index.entry(position)).count();
    let range_s = start.elapsed().as_secs_f64();
    if !is_right || found == 0 {
        return Err("the index is not what was written".into());
    }
    let rss = peak_kib() / 1024;
    println!(
        "{{\"open_s\": {open_s:.6}, \"csum_s\": {csum_s:.6}, \"range_s\": {range_s:.9}, \"rss_mib\": {rss}}}"
    );
    Ok(())
}
