//! The drive's command table, and the commands too small for a file of their own.

use scsi::Sense;
use scsi::command::opcode::*;

use super::{
    Drive, Medium, access_order, attributes, capacity, density, echo, log_pages, medium,
    mode_pages, motion, security, threaded, timestamp, transfer, verify, work, write_protection,
};
use crate::faults::{Context, Effect};
use crate::generation::BLOCK_BYTES_MAX;
use crate::home::Home;
use crate::unit::reservation::{self, Reservations};
use crate::unit::table::{command, reserve_in, reserve_out};
use crate::unit::{self, Attentions, Command, Done, Entry, LogicalUnit, Nexus, Stop, opcodes};

/// Largest logical object identifier that READ BLOCK LIMITS with MLOI tells: what LOCATE(16) and
/// the index can address.
const OBJECT_MAX: u64 = (1 << 40) - 1;

const COMMANDS: &[Entry<Drive>] = &[
    command!(TEST_UNIT_READY, [0, 0, 0, 0, 0], test_unit_ready),
    command!(REWIND, [0x01, 0, 0, 0, 0], work::rewind),
    command!(REQUEST_SENSE, [0x01, 0, 0, 0xff, 0], request_sense),
    command!(FORMAT_MEDIUM, [0x03, 0x0f, 0xff, 0xff, 0], work::format),
    command!(READ_BLOCK_LIMITS, [0x01, 0, 0, 0, 0], read_block_limits),
    command!(READ_6, [0x03, 0xff, 0xff, 0xff, 0], transfer::read),
    command!(WRITE_6, [0x01, 0xff, 0xff, 0xff, 0], transfer::write),
    command!(SET_CAPACITY, [0x01, 0, 0xff, 0xff, 0], capacity::set),
    command!(WRITE_FILEMARKS_6, [0x03, 0xff, 0xff, 0xff, 0], transfer::write_filemarks),
    command!(SPACE_6, [0x0f, 0xff, 0xff, 0xff, 0], work::space),
    command!(INQUIRY, [0x01, 0xff, 0xff, 0xff, 0], inquiry),
    command!(VERIFY_6, [0x05, 0xff, 0xff, 0xff, 0], verify::verify),
    command!(MODE_SELECT_6, [0x11, 0, 0, 0xff, 0], mode_pages::select),
    command!(RESERVE_6, [0, 0, 0, 0, 0], reservation::reserve),
    command!(RELEASE_6, [0, 0, 0, 0, 0], reservation::release),
    command!(ERASE_6, [0x03, 0, 0, 0, 0], work::erase),
    command!(MODE_SENSE_6, [0x08, 0xff, 0xff, 0xff, 0], mode_pages::sense),
    command!(LOAD_UNLOAD, [0x01, 0, 0, 0x0f, 0], medium::load_unload),
    command!(SEND_DIAGNOSTIC, [0x17, 0, 0, 0, 0], send_diagnostic),
    command!(PREVENT_ALLOW_MEDIUM_REMOVAL, [0, 0, 0, 0x03, 0], medium::prevent_allow),
    command!(LOCATE_10, [0x07, 0, 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0], work::locate_10),
    command!(READ_POSITION, [0x1f, 0, 0, 0, 0, 0, 0xff, 0xff, 0], motion::read_position),
    command!(WRITE_BUFFER, [0x1f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0], echo::write),
    command!(READ_BUFFER, [0x1f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0], echo::read),
    command!(REPORT_DENSITY_SUPPORT, [0x03, 0, 0, 0, 0, 0, 0xff, 0xff, 0], density::report),
    command!(LOG_SELECT, [0x03, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0], log_pages::select),
    command!(LOG_SENSE, [0, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0], log_pages::sense),
    command!(MODE_SELECT_10, [0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0], mode_pages::select),
    command!(RESERVE_10, [0, 0, 0, 0, 0, 0, 0, 0, 0], reservation::reserve),
    command!(RELEASE_10, [0, 0, 0, 0, 0, 0, 0, 0, 0], reservation::release),
    command!(MODE_SENSE_10, [0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0], mode_pages::sense),
    reserve_in!(0x00),
    reserve_in!(0x01),
    reserve_in!(0x02),
    reserve_in!(0x03),
    reserve_out!(0x00),
    reserve_out!(0x01),
    reserve_out!(0x02),
    reserve_out!(0x03),
    reserve_out!(0x04),
    reserve_out!(0x05),
    reserve_out!(0x06),
    command!(
        ALLOW_OVERWRITE,
        [0, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        write_protection::allow_overwrite
    ),
    command!(
        READ_ATTRIBUTE,
        [0x1f, 0, 0, 0, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0],
        attributes::read
    ),
    command!(
        WRITE_ATTRIBUTE,
        [0x01, 0, 0, 0, 0xff, 0, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
        attributes::write
    ),
    command!(
        SPACE_16,
        [0x0f, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        work::space
    ),
    command!(
        LOCATE_16,
        [0x3b, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        work::locate_16
    ),
    command!(REPORT_LUNS, [0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], report_luns),
    command!(
        SECURITY_PROTOCOL_IN,
        [0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
        security::protocol_in
    ),
    command!(
        MAINTENANCE_IN,
        action 0x0c,
        [0x0c, 0x87, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0],
        report_opcodes
    ),
    command!(
        MAINTENANCE_IN,
        action 0x0d,
        [0x0d, 0x80, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
        report_task_functions
    ),
    command!(
        MAINTENANCE_IN,
        action 0x0f,
        [0x0f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
        timestamp::report
    ),
    command!(
        MAINTENANCE_IN,
        action 0x1d,
        [0x9d, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x07, 0],
        access_order::receive
    ),
    command!(
        MAINTENANCE_OUT,
        action 0x0f,
        [0x0f, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
        timestamp::set
    ),
    command!(
        MAINTENANCE_OUT,
        action 0x1d,
        [0x1d, 0x07, 0x07, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
        access_order::generate
    ),
    command!(
        SECURITY_PROTOCOL_OUT,
        [0xff, 0xff, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0],
        security::protocol_out
    ),
];

impl LogicalUnit for Drive {
    const COMMANDS: &'static [Entry<Drive>] = COMMANDS;

    fn refresh(&mut self) -> Done {
        self.follow_robot()?;
        self.finish_what_is_over()?;
        self.follow_encryption_control()
    }

    fn meet_work(&mut self, opcode: u8) -> Done {
        self.meet_work(opcode)
    }

    fn settle(&mut self) -> Done {
        self.settle_record()
    }

    fn attentions(&mut self) -> &mut Attentions {
        &mut self.attentions
    }

    fn reservations(&mut self) -> &mut Reservations {
        &mut self.reservations
    }

    fn nexus_established(&mut self, nexus: Nexus) -> Done {
        self.host_came(nexus);
        Ok(())
    }

    fn nexus_lost(&mut self, nexus: Nexus) -> Done {
        self.host_went(nexus);
        self.settle_record()
    }

    fn reset(&mut self) -> Done {
        self.reset_unit();
        self.settle_record()
    }

    fn descriptor_sense(&self) -> bool {
        self.record.descriptor_sense
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn fault_context(&mut self, cdb: &[u8]) -> Result<Context, Stop> {
        self.describe_command(cdb)
    }

    fn suffer(&mut self, effect: &Effect, command: &mut Command<'_, '_>) -> Done {
        self.let_happen(effect, command)
    }

    fn is_down(&mut self) -> bool {
        let is_down = self.down > 0;
        self.down = self.down.saturating_sub(1);
        is_down
    }
}

fn test_unit_ready(drive: &mut Drive, _: &mut Command<'_, '_>) -> Done {
    threaded(&mut drive.medium).map(|_| ())
}

fn request_sense(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let otherwise = match &drive.medium {
        _ if drive.work.is_some() => drive.work_sense().unwrap_or(Sense::NONE),
        Medium::Threaded(_) => Sense::NONE,
        Medium::Refused(sense) => *sense,
        Medium::Empty | Medium::Unloaded => Sense::MEDIUM_NOT_PRESENT,
    };
    unit::request_sense(&mut drive.attentions, command, otherwise);
    Ok(())
}

fn read_block_limits(_: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    if command.byte(1) & 0x01 != 0 {
        let reply = [&[0; 12][..], &OBJECT_MAX.to_be_bytes()].concat();
        command.reply(&reply, u64::MAX);
    } else {
        let [_, high, middle, low] = BLOCK_BYTES_MAX.to_be_bytes();
        command.reply(&[0, high, middle, low, 0, 1], u64::MAX);
    }
    Ok(())
}

fn inquiry(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    drive.identity.inquiry(command)
}

fn send_diagnostic(_: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    // Only the self-test, which passes.
    if command.number(3, 2) != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    Ok(())
}

fn report_luns(_: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    unit::report_luns(command, &[0])
}

fn report_task_functions(_: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    opcodes::report_task_functions(command)
}

fn report_opcodes(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    let has_order = access_order::has_order(drive.generation());
    let has = |entry: &Entry<Drive>| {
        has_order
            || !matches!(entry.opcode, MAINTENANCE_IN | MAINTENANCE_OUT)
            || entry.service_action != Some(access_order::SERVICE_ACTION)
    };
    opcodes::report(COMMANDS, has, command)
}
