//! Back-hitches of an LTO-9 drive behind slow disks, with and without the buffer: the table of `make bench-feed`.
//!
//! ```text
//! feed_model [GB]      how much is written in each run [default: 1000]
//! ```

#[path = "../tests/feed_model/model.rs"]
mod model;

use std::io::Write;

use model::{Disk, run};
use pbs_tape::write::BufferSize;

const GIB: u64 = 1 << 30;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let gb: u64 = std::env::args().nth(1).map_or(Ok(1_000), |text| text.parse())?;
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "{:<36}{:<12}{:>10}{:>18}{:>12}",
        "disk", "buffer", "MB/s", "back-hitches/TB", "held MiB"
    )?;
    for disk in Disk::ALL {
        let sizes = [
            ("none", None),
            ("1 GiB", Some(BufferSize::Fixed(GIB))),
            ("to 4 GiB", Some(BufferSize::UpTo(4 * GIB))),
            ("to 16 GiB", Some(BufferSize::UpTo(16 * GIB))),
        ];
        for (name, size) in sizes {
            let outcome = run(disk, size, gb);
            writeln!(
                out,
                "{:<36}{name:<12}{:>10.1}{:>18.1}{:>12}",
                disk.name,
                outcome.mb_per_s(),
                outcome.back_hitches_per_tb(),
                outcome.peak_bytes >> 20
            )?;
        }
    }
    Ok(())
}
