//! The changer's command table, and the commands too small for a file of their own.

use scsi::Sense;
use scsi::command::opcode::*;

use super::{Changer, Trouble, element_status, exchange, moves};
use crate::element::{ElementKind, KINDS, address_of};
use crate::faults::{Context, Effect};
use crate::home::Home;
use crate::robot::{count_of, element_at};
use crate::timing;
use crate::unit::mode_pages::{self, ModePages, PageCode, Values};
use crate::unit::reservation::{self, Reservations};
use crate::unit::table::{command, reserve_in, reserve_out};
use crate::unit::{
    self, Attentions, Command, Done, Entry, LogicalUnit, Nexus, Stop, log_pages, opcodes,
};

const COMMANDS: &[Entry<Changer>] = &[
    command!(TEST_UNIT_READY, [0, 0, 0, 0, 0], test_unit_ready),
    command!(REQUEST_SENSE, [0x01, 0, 0, 0xff, 0], request_sense),
    command!(INITIALIZE_ELEMENT_STATUS, [0, 0, 0, 0, 0], initialize),
    command!(INQUIRY, [0x01, 0xff, 0xff, 0xff, 0], inquiry),
    command!(MODE_SELECT_6, [0x11, 0, 0, 0xff, 0], mode_select),
    command!(RESERVE_6, [0, 0, 0, 0, 0], reservation::reserve),
    command!(RELEASE_6, [0, 0, 0, 0, 0], reservation::release),
    command!(MODE_SENSE_6, [0x08, 0xff, 0xff, 0xff, 0], mode_sense),
    command!(SEND_DIAGNOSTIC, [0x17, 0, 0, 0, 0], send_diagnostic),
    command!(PREVENT_ALLOW_MEDIUM_REMOVAL, [0, 0, 0, 0x03, 0], prevent_allow),
    command!(POSITION_TO_ELEMENT, [0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0], position_to_element),
    command!(
        INITIALIZE_ELEMENT_STATUS_WITH_RANGE,
        [0x03, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0],
        initialize_range
    ),
    command!(LOG_SENSE, [0, 0xff, 0xff, 0, 0xff, 0xff, 0xff, 0xff, 0], log_sense),
    command!(MODE_SELECT_10, [0x11, 0, 0, 0, 0, 0, 0xff, 0xff, 0], mode_select),
    command!(RESERVE_10, [0, 0, 0, 0, 0, 0, 0, 0, 0], reservation::reserve),
    command!(RELEASE_10, [0, 0, 0, 0, 0, 0, 0, 0, 0], reservation::release),
    command!(MODE_SENSE_10, [0x18, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0], mode_sense),
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
    command!(REPORT_LUNS, [0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0], report_luns),
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
        MOVE_MEDIUM,
        [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0x01, 0],
        moves::move_medium
    ),
    command!(
        EXCHANGE_MEDIUM,
        [0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x03, 0],
        exchange::exchange_medium
    ),
    command!(
        READ_ELEMENT_STATUS,
        [0x1f, 0xff, 0xff, 0xff, 0xff, 0x03, 0xff, 0xff, 0xff, 0, 0],
        element_status::read
    ),
    command!(
        INITIALIZE_ELEMENT_STATUS_WITH_RANGE_VENDOR,
        [0x03, 0xff, 0xff, 0, 0, 0xff, 0xff, 0, 0],
        initialize_range
    ),
];

impl LogicalUnit for Changer {
    const COMMANDS: &'static [Entry<Changer>] = COMMANDS;

    fn refresh(&mut self) -> Done {
        self.trouble = Trouble::default();
        self.collect_attentions().map_err(Stop::from)
    }

    fn settle(&mut self) -> Done {
        self.return_attentions().map_err(Stop::from)
    }

    fn attentions(&mut self) -> &mut Attentions {
        &mut self.attentions
    }

    fn reservations(&mut self) -> &mut Reservations {
        &mut self.reservations
    }

    fn nexus_established(&mut self, nexus: Nexus) -> Done {
        self.host_came(nexus).map_err(Stop::from)
    }

    fn nexus_lost(&mut self, nexus: Nexus) -> Done {
        self.host_went(nexus);
        Ok(())
    }

    fn reset(&mut self) -> Done {
        self.reset_unit().map_err(Stop::from)
    }

    fn home(&self) -> &Home {
        &self.home
    }

    fn fault_context(&mut self, cdb: &[u8]) -> Result<Context, Stop> {
        self.describe_command(cdb)
    }

    fn suffer(&mut self, effect: &Effect, _: &mut Command<'_, '_>) -> Done {
        self.let_happen(effect)
    }

    fn is_down(&mut self) -> bool {
        let is_down = self.down > 0;
        self.down = self.down.saturating_sub(1);
        is_down
    }
}

fn test_unit_ready(_: &mut Changer, _: &mut Command<'_, '_>) -> Done {
    Ok(())
}

fn request_sense(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    unit::request_sense(&mut changer.attentions, command, Sense::NONE);
    Ok(())
}

/// The inventory is always known. A cartridge in the gripper is put back where it came from, or into
/// the first free slot.
fn initialize(changer: &mut Changer, _: &mut Command<'_, '_>) -> Done {
    moves::empty_gripper(changer)?;
    take_inventory(changer, u32::MAX);
    Ok(())
}

fn initialize_range(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    let use_range = command.byte(1) & 0x01 != 0;
    let first = command.number(2, 2) as u16;
    if use_range && element_at(changer.home.config(), first).is_none() {
        return Err(Sense::INVALID_ELEMENT.into());
    }
    moves::empty_gripper(changer)?;
    take_inventory(changer, if use_range { command.number(6, 2) as u32 } else { u32::MAX });
    Ok(())
}

/// The robot drives past the places, at most `most` of them.
fn take_inventory(changer: &Changer, most: u32) {
    let config = changer.home.config();
    let places: u32 = KINDS.into_iter().map(|kind| u32::from(count_of(config, kind))).sum();
    changer.home.clock().pass(timing::inventory(places.min(most)), &changer.abort);
}

fn inquiry(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    changer.identity.inquiry(command)
}

fn send_diagnostic(_: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    if command.number(3, 2) != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    Ok(())
}

/// PREVENT locks the import/export station against the operator; the robot may still use it.
fn prevent_allow(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    let locked = match command.byte(4) & 0x03 {
        0 => false,
        1 => true,
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    changer.prevent_removal(command.nexus, locked)?;
    Ok(())
}

fn position_to_element(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    let config = changer.home.config();
    moves::check_transport(config, command.number(2, 2) as u16)?;
    match element_at(config, command.number(4, 2) as u16) {
        Some(_) => Ok(()),
        None => Err(Sense::INVALID_ELEMENT.into()),
    }
}

fn report_luns(_: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    unit::report_luns(command, &[0])
}

fn report_task_functions(_: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    opcodes::report_task_functions(command)
}

fn report_opcodes(_: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    opcodes::report(COMMANDS, |_| true, command)
}

const TEMPERATURE: u8 = 0x0d;
const TAPE_ALERT: u8 = 0x2e;

fn log_sense(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    let mut robot = changer.robot()?;
    let alerts = robot.state.alerts;
    log_pages::sense(command, &[TEMPERATURE, TAPE_ALERT], |page| match page {
        TEMPERATURE => Some(log_pages::temperature()),
        _ => Some(log_pages::tape_alert(alerts)),
    })?;
    if command.byte(2) & 0x3f == TAPE_ALERT && command.transferred() >= log_pages::TAPE_ALERT_BYTES
    {
        robot.state.alerts = 0;
        robot.commit()?;
    }
    Ok(())
}

const INFORMATIONAL_EXCEPTIONS: PageCode = (0x1c, 0);
const ELEMENT_ADDRESS_ASSIGNMENT: PageCode = (0x1d, 0);
const TRANSPORT_GEOMETRY: PageCode = (0x1e, 0);
const DEVICE_CAPABILITIES: PageCode = (0x1f, 0);
const PAGES: &[PageCode] = &[
    INFORMATIONAL_EXCEPTIONS,
    ELEMENT_ADDRESS_ASSIGNMENT,
    TRANSPORT_GEOMETRY,
    DEVICE_CAPABILITIES,
];

/// SMC-3 §7.3.
impl ModePages for Changer {
    fn header(&self) -> [u8; 2] {
        [0, 0]
    }

    fn block_descriptor(&self) -> Option<[u8; 8]> {
        None
    }

    fn codes(&self) -> &'static [PageCode] {
        PAGES
    }

    fn page(&self, code: PageCode, values: Values) -> Vec<u8> {
        let mut body = match code {
            INFORMATIONAL_EXCEPTIONS => vec![0x08, 0x03, 0, 0, 0, 0, 0, 0, 0, 0],
            ELEMENT_ADDRESS_ASSIGNMENT => {
                let config = self.home.config();
                let kinds = [
                    ElementKind::Transport,
                    ElementKind::Slot,
                    ElementKind::ImportExport,
                    ElementKind::Drive,
                ];
                let mut body: Vec<u8> = kinds
                    .into_iter()
                    .flat_map(|kind| {
                        [address_of(kind, 0).to_be_bytes(), count_of(config, kind).to_be_bytes()]
                            .concat()
                    })
                    .collect();
                body.extend([0, 0]);
                body
            }
            TRANSPORT_GEOMETRY => vec![0, 0],
            _ => {
                // Slots, import/export and drives store; everything moves and is exchanged from
                // each of them to each of them.
                const STORES: u8 = 0x0e;
                let from_each = [0, STORES, STORES, STORES];
                [&[STORES, 0][..], &from_each, &[0; 4], &from_each, &[0; 4]].concat()
            }
        };
        if values == Values::Changeable {
            body.fill(0);
        }
        body
    }
}

fn mode_sense(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    mode_pages::sense(changer, command)
}

/// Nothing can be changed: a list with the current values is accepted.
fn mode_select(changer: &mut Changer, command: &mut Command<'_, '_>) -> Done {
    mode_pages::select(changer, command).map(|_| ())
}
