//! Every command sequence of the drive against a script, and the same operations on an emulated drive.

mod access_order;
mod adopt;
mod data;
mod emulated;
mod encryption;
mod medium;
mod opening;
mod options;
mod position;
mod protection;
mod sense_table;
mod usage;

use std::sync::Mutex;

use scsi::command::attribute::Attribute;
use scsi::command::block::{read_cdb, write_cdb, write_filemarks_cdb};
use scsi::command::log::LogPage;
use scsi::command::medium::{erase_cdb, format_cdb, load_cdb};
use scsi::command::mode::{
    BlockDescriptor, MediumConfiguration, Parameters, Size, select_cdb, sense_cdb,
};
use scsi::command::operations::CommandTimeouts;
use scsi::command::position::{
    Destination, LongPosition, SpaceUnit, locate_cdb, rewind_cdb, space_cdb,
};
use scsi::command::protection::VPD_PROTECTION;
use scsi::command::security::EncryptionStatus;
use scsi::command::unit::{request_sense_cdb, test_unit_ready_cdb};
use scsi::command::{Cdb, attribute};
use scsi::testing::{Answer, Script};
use scsi::{SenseKey, Status as DeviceStatus};

use super::*;

const BLOCK: u32 = 4096;

/// Never sleeps, but still repeats.
const HASTE: Patience = Patience {
    poll_interval: Duration::ZERO,
    ready_within: Duration::from_secs(60),
    calibrated_within: Duration::from_secs(120),
    no_medium_within: Duration::ZERO,
    formatted_within: Duration::from_secs(60),
    erased_within: Duration::from_secs(60),
};

#[derive(Default)]
struct Watcher {
    is_aborted: bool,
    notes: Mutex<Vec<String>>,
}

impl Progress for Watcher {
    fn is_aborted(&self) -> bool {
        self.is_aborted
    }

    fn note(&self, text: &str) {
        self.notes.lock().unwrap().push(text.to_string());
    }
}

fn drive_inquiry() -> Inquiry {
    Inquiry {
        qualifier: 0,
        kind: inquiry::TYPE_TAPE,
        removable: true,
        version: 5,
        vendor: "IBM".into(),
        product: "ULT3580-TD8".into(),
        revision: "K4K1".into(),
    }
}

fn open() -> (Script, Drive) {
    let mut script = Script::new();
    script.expect_in(&Inquiry::cdb(36), &drive_inquiry().build());
    script.expect_check(&CommandTimeouts::cdb(), Sense::INVALID_OPCODE);
    let mut drive = Drive::open(Box::new(script.device())).unwrap();
    drive.set_patience(HASTE);
    (script, drive)
}

/// An open drive whose position is known.
fn open_at(file: u64, object: u64) -> (Script, Drive) {
    let (mut script, mut drive) = open();
    expect_position(&mut script, file, object);
    assert_eq!(drive.position().unwrap(), Position { file, object });
    (script, drive)
}

/// A drive without logical block protection.
fn expect_no_protection(script: &mut Script) {
    script.expect_check(&inquiry::vpd_cdb(VPD_PROTECTION, 0xfc), Sense::INVALID_FIELD_IN_CDB);
}

/// A drive without tape data encryption.
fn expect_no_encryption(script: &mut Script) {
    script.expect_check(&EncryptionStatus::cdb(), Sense::INVALID_OPCODE);
}

fn expect_position(script: &mut Script, file: u64, object: u64) {
    let position = LongPosition { file, object, ..Default::default() };
    script.expect_in(&LongPosition::cdb(), &position.build());
}

fn marks(count: i64) -> Cdb {
    space_cdb(SpaceUnit::Filemarks, count)
}

fn blocks(count: i64) -> Cdb {
    space_cdb(SpaceUnit::Blocks, count)
}

fn end_of_data() -> Cdb {
    space_cdb(SpaceUnit::EndOfData, 0)
}

fn file(number: u64) -> Cdb {
    locate_cdb(Destination::File(number))
}

/// Mode parameters of a loaded LTO-8 tape.
fn parameters(block_bytes: u32, buffered_mode: u8, compressing: bool) -> Parameters {
    let mut parameters = Parameters {
        medium_type: 0x88,
        device_specific: 0,
        descriptor: Some(BlockDescriptor { density: 0x5e, blocks: 0, block_bytes }),
        pages: Compression {
            enabled: compressing,
            capable: true,
            decompression: true,
            report_exception: 0,
            compression_algorithm: 1,
            decompression_algorithm: 1,
        }
        .build()
        .to_vec(),
    };
    parameters.set_buffered_mode(buffered_mode);
    parameters
}
