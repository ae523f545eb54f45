//! How fast cut points are found, beside SHA-256 of the same bytes, on one core and in turn.
//!
//! ```text
//! cargo run --release -p datastore --example chunker_speed
//! ```

#![allow(clippy::print_stdout, reason = "an example prints what it measured")]

use std::hint::black_box;
use std::time::Instant;

use datastore::Digest;
use datastore::chunker::{AVG_ARCHIVE, AVG_CATALOG, Chunker};

const BYTES: usize = 128 << 20;
const ROUNDS: usize = 9;

fn random(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut data = Vec::with_capacity(bytes);
    while data.len() < bytes {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        data.extend_from_slice(&state.to_le_bytes());
    }
    data
}

fn text(bytes: usize) -> Vec<u8> {
    let words = ["tape ", "drive ", "library ", "the ", "of ", "chunk ", "datastore\n", "and "];
    let mut data = Vec::with_capacity(bytes + 16);
    for byte in random(bytes / 4) {
        data.extend_from_slice(words[usize::from(byte & 7)].as_bytes());
    }
    data.resize(bytes, b'x');
    data
}

/// Cuts as a backup does: the bytes of a chunk arrive piece by piece.
fn cut(data: &[u8], avg: usize) -> usize {
    let Ok(mut chunker) = Chunker::new(avg) else { return 0 };
    let (mut start, mut arrived, mut chunks) = (0, 0, 0);
    while arrived < data.len() {
        arrived = (arrived + (1 << 20)).min(data.len());
        while let Some(len) = chunker.scan(&data[start..arrived]) {
            start += len;
            chunks += 1;
        }
    }
    chunks
}

fn speed<T>(work: impl FnOnce() -> T) -> f64 {
    let start = Instant::now();
    black_box(work());
    BYTES as f64 / start.elapsed().as_secs_f64() / 1e6
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    println!(
        "{:<8}{:>10}{:>14}{:>14}{:>22}",
        "data", "average", "chunker MB/s", "SHA-256 MB/s", "time, chunker/SHA-256"
    );
    for (name, data) in [("random", random(BYTES)), ("text", text(BYTES)), ("zero", vec![0; BYTES])]
    {
        for avg in [AVG_ARCHIVE, AVG_CATALOG] {
            let (mut chunker, mut sha, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
            for _ in 0..ROUNDS {
                let found = speed(|| cut(&data, avg));
                let hashed = speed(|| Digest::of(&data));
                chunker.push(found);
                sha.push(hashed);
                ratios.push(hashed / found);
            }
            let ratio = median(&mut ratios);
            println!(
                "{name:<8}{:>7}KiB{:>14.0}{:>14.0}{:>10.2} ({:.2} to {:.2})",
                avg >> 10,
                median(&mut chunker),
                median(&mut sha),
                ratio,
                ratios[0],
                ratios[ROUNDS - 1],
            );
        }
    }
}
