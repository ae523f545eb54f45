//! How fast a drive writes and reads, beside a plain file of the same bytes.
//!
//! `cargo run --release -p vtl --example throughput [FOLDER]`

#![expect(clippy::print_stdout, reason = "printing is what the program is for")]

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use scsi::{Data, Transport};
use vtl::{Library, Options};

const BLOCK: usize = 256 * 1024;
const BLOCKS: usize = 4096;
/// A filemark, synchronised, after so many blocks: as a backup closes its archives.
const BLOCKS_PER_FILE: usize = 2048;
const TIMEOUT: Duration = Duration::from_secs(60);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let parent = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = parent.join(format!("capstan-throughput-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let result = measure(&dir);
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(dir: &std::path::Path) -> Result<()> {
    // Not compressible, so that no layer below can cheat.
    let mut data = vec![0u8; 64 * BLOCK];
    File::open("/dev/urandom")?.read_exact(&mut data)?;
    let options = Options { capacity_bytes: Some(4 << 30), ..Options::default() };
    let library = Library::create(&dir.join("library"), &options)?;
    let mut changer = library.changer()?;
    settle(&mut changer)?;
    send(&mut changer, &[0xa5, 0, 0, 0, 4, 0, 1, 0, 0, 0, 0, 0], Data::None)?;
    let mut drive = library.drive(0)?;
    settle(&mut drive)?;
    let [_, a, b, c] = (BLOCK as u32).to_be_bytes();
    for round in 1..=3 {
        let plain = dir.join("plain");
        let start = Instant::now();
        let mut file = File::create(&plain)?;
        for block in data.chunks(BLOCK).cycle().take(BLOCKS) {
            file.write_all(block)?;
        }
        let cached = start.elapsed();
        file.sync_data()?;
        let synced = start.elapsed();
        drop(file);
        std::fs::remove_file(&plain)?;

        send(&mut drive, &[1, 0, 0, 0, 0, 0], Data::None)?;
        let start = Instant::now();
        let mut syncing = Duration::ZERO;
        for (number, block) in data.chunks(BLOCK).cycle().take(BLOCKS).enumerate() {
            send(&mut drive, &[0x0a, 0, a, b, c, 0], Data::Out(block))?;
            if number % BLOCKS_PER_FILE == BLOCKS_PER_FILE - 1 {
                let sync = Instant::now();
                send(&mut drive, &[0x10, 0, 0, 0, 1, 0], Data::None)?;
                syncing += sync.elapsed();
            }
        }
        let written = start.elapsed();

        send(&mut drive, &[1, 0, 0, 0, 0, 0], Data::None)?;
        let mut buffer = vec![0u8; BLOCK];
        let start = Instant::now();
        for number in 0..BLOCKS {
            send(&mut drive, &[0x08, 2, a, b, c, 0], Data::In(&mut buffer))?;
            if number % BLOCKS_PER_FILE == BLOCKS_PER_FILE - 1 {
                drive.execute(&[0x08, 2, a, b, c, 0], Data::In(&mut buffer), TIMEOUT)?;
            }
        }
        let read = start.elapsed();
        println!(
            "round {round}: plain file {} MB/s, synchronised {} MB/s; tape write {} MB/s \
             (without waiting for the disk {}), tape read {} MB/s",
            speed(cached),
            speed(synced),
            speed(written),
            speed(written - syncing),
            speed(read)
        );
    }
    Ok(())
}

fn speed(time: Duration) -> u64 {
    ((BLOCK * BLOCKS) as f64 / 1e6 / time.as_secs_f64()) as u64
}

fn settle(unit: &mut impl Transport) -> Result<()> {
    while let Some(sense) = unit.execute(&[0; 6], Data::None, TIMEOUT)?.sense {
        if !sense.is_unit_attention() {
            break;
        }
    }
    Ok(())
}

fn send(unit: &mut impl Transport, cdb: &[u8], data: Data<'_>) -> Result<()> {
    unit.execute(cdb, data, TIMEOUT)?.into_result(cdb)?;
    Ok(())
}
