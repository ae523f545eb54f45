//! How fast chunks are encoded, by what is in them.
//!
//! ```text
//! cargo run --release -p datastore --example encode_speed [FILE…]
//! ```

#![allow(clippy::print_stdout, reason = "an example prints what it measured")]

use std::time::Instant;

use datastore::blob::Encoder;
use datastore::chunker::AVG_ARCHIVE;

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

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut inputs = vec![("random".to_owned(), random(64 << 20))];
    for path in std::env::args().skip(1) {
        let content = std::fs::read(&path)?;
        inputs.push((path, content));
    }
    let mut encoder = Encoder::new()?;
    for (name, data) in inputs {
        for compress in [true, false] {
            let mut speeds = Vec::new();
            let mut stored = 0;
            for _ in 0..7 {
                let start = Instant::now();
                stored = 0;
                for chunk in data.chunks(AVG_ARCHIVE) {
                    stored += encoder.encode(chunk, None, compress)?.encoded_len();
                }
                speeds.push(data.len() as f64 / start.elapsed().as_secs_f64() / 1e6);
            }
            speeds.sort_by(f64::total_cmp);
            let asked = if compress { "compress" } else { "store" };
            println!("{name}: {asked} {:.0} MB/s, {} -> {stored} bytes", speeds[3], data.len());
        }
    }
    Ok(())
}
