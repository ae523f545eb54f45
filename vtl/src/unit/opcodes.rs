//! REPORT SUPPORTED OPERATION CODES (SPC-4 §6.35), from the unit's command table; REPORT SUPPORTED TASK
//! MANAGEMENT FUNCTIONS (SPC-4 §6.36).

use scsi::Sense;
use scsi::command::opcode;

use super::{Command, Done, Entry};

/// Most time commands may take, in seconds: what hosts should wait. The long ones are those that
/// move tape from end to end.
fn timeouts_s(code: u8) -> (u32, u32) {
    match code {
        opcode::ERASE_6 => (60, 166_380),
        opcode::FORMAT_MEDIUM | opcode::SET_CAPACITY => (60, 3_840),
        opcode::LOCATE_10 | opcode::LOCATE_16 | opcode::SPACE_6 | opcode::SPACE_16 => (60, 2_940),
        opcode::READ_6 | opcode::VERIFY_6 => (60, 2_340),
        opcode::WRITE_6 | opcode::WRITE_FILEMARKS_6 => (60, 1_740),
        opcode::REWIND => (60, 780),
        opcode::LOAD_UNLOAD => (60, 1_020),
        opcode::MOVE_MEDIUM | opcode::EXCHANGE_MEDIUM => (60, 2_700),
        opcode::INITIALIZE_ELEMENT_STATUS | opcode::INITIALIZE_ELEMENT_STATUS_WITH_RANGE => {
            (60, 1_800)
        }
        _ => (1, 60),
    }
}

fn timeout_descriptor(code: u8) -> Vec<u8> {
    let (nominal, recommended) = timeouts_s(code);
    [&[0x00, 0x0a, 0x00, 0x00][..], &nominal.to_be_bytes(), &recommended.to_be_bytes()].concat()
}

/// ABORT TASK, ABORT TASK SET, CLEAR TASK SET, LOGICAL UNIT RESET (SPC-4 table 289): what the iSCSI target
/// does. Resets of the whole target have no bit.
const TASK_FUNCTIONS: u8 = 0x80 | 0x40 | 0x10 | 0x08;
const RETURN_EXTENDED: u8 = 0x80;

/// REPORT SUPPORTED TASK MANAGEMENT FUNCTIONS. The extended reply has no time-outs to tell.
pub(crate) fn report_task_functions(command: &mut Command<'_, '_>) -> Done {
    let allocation = command.number(6, 4);
    if allocation < 4 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    let mut reply = [0; 16];
    let extended = command.byte(2) & RETURN_EXTENDED != 0;
    let rest = if extended { 12 } else { 0 };
    [reply[0], reply[3]] = [TASK_FUNCTIONS, rest];
    command.reply(reply.get(..4 + usize::from(rest)).unwrap_or_default(), allocation);
    Ok(())
}

/// Answers the command for those entries of a table that the unit `has`.
pub(crate) fn report<U>(
    table: &'static [Entry<U>],
    has: impl Fn(&Entry<U>) -> bool,
    command: &mut Command<'_, '_>,
) -> Done {
    let table: Vec<&Entry<U>> = table.iter().filter(|entry| has(entry)).collect();
    let options = command.byte(2);
    let with_timeouts = options & 0x80 != 0;
    let code = command.byte(3);
    let action = command.number(4, 2) as u16;
    let allocation = command.number(6, 4);
    let reply = match options & 0x07 {
        0 => all(&table, with_timeouts),
        option @ 1..=3 => {
            let of_code = || table.iter().copied().filter(move |entry| entry.opcode == code);
            let has_actions = of_code().any(|entry| entry.service_action.is_some());
            // A question that does not fit the command (SPC-4 table 273).
            if (option == 1 && has_actions)
                || (option == 2 && !has_actions && of_code().count() > 0)
            {
                return Err(Sense::INVALID_FIELD_IN_CDB.into());
            }
            one(
                of_code().find(|entry| entry.service_action.is_none_or(|known| known == action)),
                with_timeouts,
            )
        }
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    command.reply(&reply, allocation);
    Ok(())
}

fn all<U>(table: &[&Entry<U>], with_timeouts: bool) -> Vec<u8> {
    let body: Vec<u8> = table
        .iter()
        .flat_map(|entry| {
            let [action_high, action_low] = entry.service_action.unwrap_or(0).to_be_bytes();
            let flags = u8::from(entry.service_action.is_some()) | u8::from(with_timeouts) << 1;
            let length = entry.usage.len() as u8;
            let mut descriptor =
                vec![entry.opcode, 0, action_high, action_low, 0, flags, 0, length];
            if with_timeouts {
                descriptor.extend(timeout_descriptor(entry.opcode));
            }
            descriptor
        })
        .collect();
    [&(body.len() as u32).to_be_bytes()[..], &body].concat()
}

fn one<U>(entry: Option<&Entry<U>>, with_timeouts: bool) -> Vec<u8> {
    let Some(entry) = entry else { return vec![0x00, 0x01, 0x00, 0x00] };
    let mut reply = vec![0x00, 0x03 | u8::from(with_timeouts) << 7];
    reply.extend((entry.usage.len() as u16).to_be_bytes());
    reply.extend(entry.usage);
    if with_timeouts {
        reply.extend(timeout_descriptor(entry.opcode));
    }
    reply
}
