//! Makes a datastore of a given shape, for measurements: some snapshots of one archive, which all name
//! the same chunks.
//!
//!     make_store DIR CHUNKS SNAPSHOTS [CHUNK_BYTES]

#![allow(clippy::print_stdout, reason = "a program")]

use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use datastore::datastore::Options;
use datastore::snapshot::{GroupWriter, SnapshotWriter};
use datastore::{CryptMode, DataBlob, Datastore, Digest, Manifest, Namespace, SnapshotPath};

/// The first snapshot's time; each of the others is an hour later.
const START: i64 = 1_700_000_000;

/// Content that cannot be compressed and differs for each number.
fn content(number: u64, len: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(len + 32);
    let mut block = 0u64;
    while content.len() < len {
        let seed = [number.to_le_bytes(), block.to_le_bytes()].concat();
        content.extend_from_slice(Digest::of(&seed).as_bytes());
        block += 1;
    }
    content.truncate(len);
    content
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let number = |position: usize, default: u64| {
        args.get(position).map_or(Ok(default), |text| text.parse::<u64>())
    };
    let Some(dir) = args.first() else {
        return Err("make_store DIR CHUNKS SNAPSHOTS [CHUNK_BYTES]".into());
    };
    let (chunks, snapshots, len) = (number(1, 262_144)?, number(2, 4)?, number(3, 4096)?);
    let dir = Path::new(dir);
    let store = if dir.join(".chunks").is_dir() {
        Datastore::open(dir, &Options::default())?
    } else {
        Datastore::create(dir, &Options::default())?
    };
    let group = "host/shape".parse()?;
    let group = GroupWriter::open(&store, &Namespace::root(), &group, "root@pam")?;
    for snapshot in 0..snapshots {
        let path = SnapshotPath::new(group.group().clone(), START + 3600 * snapshot as i64)?;
        let writer = SnapshotWriter::begin_backup(&group, path.time())?;
        let next = AtomicU64::new(0);
        let insert = || -> datastore::Result<Vec<(u64, Digest)>> {
            let mut mine = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= chunks {
                    return Ok(mine);
                }
                let content = content(number, len as usize);
                let digest = Digest::of(&content);
                let blob = DataBlob::encode(&content, None, false)?;
                writer.insert_chunk(&digest, &blob, len)?;
                mine.push((number, digest));
            }
        };
        let parts = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(insert)).collect();
            threads.into_iter().map(|thread| thread.join()).collect::<Vec<_>>()
        });
        let mut all = Vec::new();
        for part in parts {
            all.extend(part.map_err(|_| "a thread panicked")??);
        }
        all.sort_unstable();
        let entries: Vec<(u64, Digest)> =
            all.into_iter().map(|(_, digest)| (len, digest)).collect();
        let mut manifest = Manifest::new(&path);
        manifest.add(writer.add_dynamic_index("root.pxar.didx", &entries, CryptMode::None)?)?;
        writer.finish(manifest)?;
        println!("{path}: {chunks} chunks of {len} bytes");
    }
    Ok(())
}
