//! Streams blocks to or from a tape, as fast as the way to the drive takes them: what `make bench` times.
//!
//! ```text
//! tape_stream move CHANGER FROM TO     MOVE MEDIUM between two element addresses
//! tape_stream write DRIVE FILE         the file in blocks of 256 KiB from the tape's beginning, then a filemark, synchronised
//! tape_stream fill DRIVE BLOCKS        so many blocks, always the same one, then a filemark, synchronised: what the drive alone costs
//! tape_stream read DRIVE               the tape from its beginning to the first filemark
//! ```
//!
//! Addresses are those of the program. Nothing but the commands of the stream is sent, so that any drive will do.

use std::error::Error;
use std::fs::File;
use std::io::Read;
use std::time::Duration;

use scsi::iscsi::initiator::{IscsiDevice, Options, Portal};
use scsi::{Address, Data, Reply, Status, Transport};

const BLOCK: usize = 256 * 1024;
const LIMIT: Duration = Duration::from_secs(120);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["move", changer, from, to] => {
            move_medium(&mut *open(changer)?, from.parse()?, to.parse()?)
        }
        ["write", drive, file] => write(&mut *open(drive)?, File::open(file)?),
        ["fill", drive, blocks] => fill(&mut *open(drive)?, blocks.parse()?),
        ["read", drive] => read(&mut *open(drive)?),
        _ => Err("usage: tape_stream move CHANGER FROM TO | write DRIVE FILE | fill DRIVE BLOCKS | read DRIVE".into()),
    }
}

/// Opens the unit and takes its unit attentions.
fn open(address: &str) -> Result<Box<dyn Transport>> {
    let mut unit: Box<dyn Transport> = match address.parse()? {
        Address::Sg(path) => Box::new(scsi::sg::SgDevice::open(&path)?),
        Address::Vtl { dir, unit } => vtl::open_unit(&dir, unit)?,
        Address::Iscsi { host, port, target, lun } => {
            let options = Options::new("iqn.2026-01.org.capstan:tape-stream".parse()?);
            Box::new(IscsiDevice::open(&Portal { host, port }, &target, lun, &options)?)
        }
    };
    for _ in 0..100 {
        match unit.execute(&[0; 6], Data::None, LIMIT)?.sense {
            Some(sense) if sense.is_unit_attention() => {}
            Some(sense) if sense.is_becoming_ready() => {
                std::thread::sleep(Duration::from_millis(20))
            }
            _ => break,
        }
    }
    Ok(unit)
}

fn send(unit: &mut dyn Transport, cdb: &[u8], data: Data<'_>) -> Result<usize> {
    Ok(unit.execute(cdb, data, LIMIT)?.into_result(cdb)?)
}

fn move_medium(changer: &mut dyn Transport, from: u16, to: u16) -> Result<()> {
    let ([f1, f2], [t1, t2]) = (from.to_be_bytes(), to.to_be_bytes());
    send(changer, &[0xa5, 0, 0, 0, f1, f2, t1, t2, 0, 0, 0, 0], Data::None)?;
    Ok(())
}

fn write(drive: &mut dyn Transport, mut file: File) -> Result<()> {
    send(drive, &[0x01, 0, 0, 0, 0, 0], Data::None)?;
    let mut block = vec![0; BLOCK];
    loop {
        let mut filled = 0;
        while filled < BLOCK {
            match file.read(&mut block[filled..])? {
                0 => break,
                length => filled += length,
            }
        }
        if filled == 0 {
            break;
        }
        let [_, a, b, c] = (filled as u32).to_be_bytes();
        send(drive, &[0x0a, 0, a, b, c, 0], Data::Out(&block[..filled]))?;
    }
    send(drive, &[0x10, 0, 0, 0, 1, 0], Data::None)?;
    Ok(())
}

fn fill(drive: &mut dyn Transport, blocks: u64) -> Result<()> {
    send(drive, &[0x01, 0, 0, 0, 0, 0], Data::None)?;
    let block: Vec<u8> = (0..BLOCK).map(|at| (at * at / 251) as u8).collect();
    let [_, a, b, c] = (BLOCK as u32).to_be_bytes();
    for _ in 0..blocks {
        send(drive, &[0x0a, 0, a, b, c, 0], Data::Out(&block))?;
    }
    send(drive, &[0x10, 0, 0, 0, 1, 0], Data::None)?;
    Ok(())
}

fn read(drive: &mut dyn Transport) -> Result<()> {
    send(drive, &[0x01, 0, 0, 0, 0, 0], Data::None)?;
    let mut block = vec![0; BLOCK];
    let [_, a, b, c] = (BLOCK as u32).to_be_bytes();
    let cdb = [0x08, 0, a, b, c, 0];
    loop {
        match drive.execute(&cdb, Data::In(&mut block), LIMIT)? {
            Reply { status: Status::Good, transferred: BLOCK, .. } => {}
            Reply { sense: Some(sense), .. } if sense.is_filemark() => return Ok(()),
            reply => return Err(format!("READ ended with {reply:?}").into()),
        }
    }
}
