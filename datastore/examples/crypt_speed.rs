//! How fast chunks are encrypted on one core: `CryptConfig` on 4 MiB into a buffer that is there,
//! and whole blobs with their allocation and CRC. `benches/crypt.py` holds it against
//! `openssl speed`; by hand:
//!
//! ```text
//! cargo run --release -p datastore --example crypt_speed
//! ```
//!
//! Prints bytes a second of this thread's processor time, the clock of `openssl speed` too, as JSON
//! on one line. What other programs do meanwhile counts little that way.

#![allow(clippy::print_stdout, reason = "an example prints what it measured")]

use std::hint::black_box;
use std::time::Duration;

use datastore::blob::Encoder;
use datastore::crypt::{IV_LEN, random};
use datastore::{CryptConfig, Digest};
use nix::time::{ClockId, clock_gettime};

const CHUNK_BYTES: usize = 4 << 20;
/// Long enough to be exact, short enough to be repeated in turn with the other program.
const ROUND: Duration = Duration::from_secs(1);

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Bytes a second of `run`, which goes through one chunk a call.
fn speed(mut run: impl FnMut() -> Result<()>) -> Result<u64> {
    let now = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from);
    run()?;
    let (start, mut chunks) = (now()?, 0);
    loop {
        for _ in 0..16 {
            run()?;
            chunks += 1;
        }
        let took = now()? - start;
        if took >= ROUND {
            return Ok(((chunks * CHUNK_BYTES) as f64 / took.as_secs_f64()) as u64);
        }
    }
}

fn main() -> Result<()> {
    let key = CryptConfig::new(random::<32>()?)?;
    let block = random::<4096>()?;
    let plain: Vec<u8> = block.iter().copied().cycle().take(CHUNK_BYTES).collect();
    let mut cipher = vec![1; CHUNK_BYTES];
    let mut back = vec![1; CHUNK_BYTES];

    let encrypt = speed(|| {
        // What a blob costs besides: a vector of its own.
        let iv = random::<IV_LEN>()?;
        black_box(key.encrypt(&iv, black_box(&plain), &mut cipher)?);
        Ok(())
    })?;
    let iv = random::<IV_LEN>()?;
    let tag = key.encrypt(&iv, &plain, &mut cipher)?;
    let decrypt = speed(|| {
        let genuine = key.decrypt(&iv, &tag, black_box(&cipher), &mut back)?;
        if genuine { Ok(()) } else { Err("what was encrypted does not decrypt".into()) }
    })?;
    assert!(back == plain, "what was decrypted is not what was encrypted");
    let mut encoder = Encoder::new()?;
    let blob_encode = speed(|| {
        black_box(encoder.encode(black_box(&plain), Some(&key), false)?);
        Ok(())
    })?;
    let blob = encoder.encode(&plain, Some(&key), false)?;
    let digest: Digest = key.digest(&plain);
    let blob_decode = speed(|| {
        let content = blob.decode(Some(&key), CHUNK_BYTES, &"blob")?;
        black_box(content);
        Ok(())
    })?;
    assert!(blob.decode_chunk(Some(&key), &digest, CHUNK_BYTES)? == plain);
    println!(
        "{{\"encrypt\": {encrypt}, \"decrypt\": {decrypt}, \"blob-encode\": {blob_encode}, \
         \"blob-decode\": {blob_decode}}}"
    );
    Ok(())
}
