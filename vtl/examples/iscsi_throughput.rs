//! How fast a drive behind an iSCSI target writes and reads with the project's initiator: the emulated
//! library of this crate, or any other target.
//!
//! `cargo run --release -p vtl --example iscsi_throughput FOLDER`
//! `cargo run --release -p vtl --example iscsi_throughput 127.0.0.1:3260 TARGET LUN CHANGER FROM TO`, which
//! first has the changer at that unit number move a tape from element FROM to the drive TO

#![expect(clippy::print_stdout, reason = "printing is what the program is for")]

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use scsi::iscsi::initiator::{IscsiDevice, Options, Portal};
use scsi::{Data, Transport};
use vtl::Library;
use vtl::iscsi_target::{Target, TargetOptions};

const BLOCK: usize = 256 * 1024;
const BLOCKS: usize = 4096;
const TIMEOUT: Duration = Duration::from_secs(60);

const INITIATOR: &str = "iqn.2026-01.test:throughput";

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [portal, target, lun, changer, from, to] => {
            let portal = portal.parse()?;
            let options = Options::new(INITIATOR.parse()?);
            let mut changer = IscsiDevice::open(&portal, target, changer.parse()?, &options)?;
            settle(&mut changer)?;
            let ([a, b], [c, d]) =
                (from.parse::<u16>()?.to_be_bytes(), to.parse::<u16>()?.to_be_bytes());
            send(&mut changer, &[0xa5, 0, 0, 0, a, b, c, d, 0, 0, 0, 0], Data::None)?;
            measure(&portal, target, lun.parse()?)
        }
        [folder] => own(Path::new(folder)),
        _ => Err("give a folder, or ADDRESS:PORT TARGET LUN CHANGER FROM TO".into()),
    }
}

/// Against this crate's target.
fn own(parent: &Path) -> Result<()> {
    let dir = parent.join(format!("capstan-iscsi-{}", std::process::id()));
    let options = vtl::Options { capacity_bytes: Some(4 << 30), ..vtl::Options::default() };
    let library = Library::create(&dir, &options)?;
    let mut changer = library.changer()?;
    settle(&mut changer)?;
    send(&mut changer, &[0xa5, 0, 0, 0, 4, 0, 1, 0, 0, 0, 0, 0], Data::None)?;
    let listen = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let options = TargetOptions { listen, ..TargetOptions::default() };
    let target = Target::start(&library, options, Arc::new(|_| {}))?;
    let portal = target.address().to_string().parse()?;
    let result = measure(&portal, target.name(), 1);
    target.stop()?;
    std::fs::remove_dir_all(&dir)?;
    result
}

fn measure(portal: &Portal, target: &str, lun: u64) -> Result<()> {
    let options = Options::new(INITIATOR.parse()?);
    let mut drive = IscsiDevice::open(portal, target, lun, &options)?;
    settle(&mut drive)?;
    // Not compressible, so that no layer below can cheat.
    let mut data = vec![0u8; 64 * BLOCK];
    File::open("/dev/urandom")?.read_exact(&mut data)?;
    let [_, a, b, c] = (BLOCK as u32).to_be_bytes();
    for round in 1..=5 {
        send(&mut drive, &[1, 0, 0, 0, 0, 0], Data::None)?;
        let start = Instant::now();
        for block in data.chunks(BLOCK).cycle().take(BLOCKS) {
            send(&mut drive, &[0x0a, 0, a, b, c, 0], Data::Out(block))?;
        }
        let written = start.elapsed();
        send(&mut drive, &[0x10, 0, 0, 0, 1, 0], Data::None)?;
        send(&mut drive, &[1, 0, 0, 0, 0, 0], Data::None)?;
        let mut buffer = vec![0u8; BLOCK];
        let start = Instant::now();
        for _ in 0..BLOCKS {
            send(&mut drive, &[0x08, 0, a, b, c, 0], Data::In(&mut buffer))?;
        }
        let read = start.elapsed();
        println!("round {round}: write {} MB/s, read {} MB/s", speed(written), speed(read));
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
