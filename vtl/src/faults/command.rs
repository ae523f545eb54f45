//! The words for commands in a fault plan.

use std::fmt;
use std::str::FromStr;

use scsi::command::opcode;

use super::error::PlanError;

/// A kind of command, as a fault plan names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the words say it; codes are in the table below")]
pub enum CommandKind {
    Ready,
    Rewind,
    RequestSense,
    Format,
    Read,
    Write,
    Filemarks,
    Space,
    Inquiry,
    ModeSelect,
    ModeSense,
    Erase,
    Load,
    Unload,
    Prevent,
    Locate,
    Position,
    Density,
    Log,
    Attribute,
    Security,
    Move,
    Inventory,
    Initialize,
    Other,
}

use CommandKind::*;

/// Words, in the order in which they are documented.
const WORDS: &[(&str, CommandKind)] = &[
    ("ready", Ready),
    ("rewind", Rewind),
    ("sense", RequestSense),
    ("format", Format),
    ("read", Read),
    ("write", Write),
    ("filemarks", Filemarks),
    ("space", Space),
    ("inquiry", Inquiry),
    ("mode-select", ModeSelect),
    ("mode-sense", ModeSense),
    ("erase", Erase),
    ("load", Load),
    ("unload", Unload),
    ("prevent", Prevent),
    ("locate", Locate),
    ("position", Position),
    ("density", Density),
    ("log", Log),
    ("attribute", Attribute),
    ("security", Security),
    ("move", Move),
    ("inventory", Inventory),
    ("initialize", Initialize),
    ("other", Other),
];

impl CommandKind {
    /// The kind of a CDB, sent to a changer or to a drive.
    pub fn of(cdb: &[u8], is_changer: bool) -> CommandKind {
        let byte = |index: usize| cdb.get(index).copied().unwrap_or(0);
        match byte(0) {
            opcode::TEST_UNIT_READY => Ready,
            opcode::REWIND => Rewind,
            opcode::REQUEST_SENSE => RequestSense,
            opcode::FORMAT_MEDIUM => Format,
            opcode::READ_6 => Read,
            opcode::WRITE_6 => Write,
            opcode::WRITE_FILEMARKS_6 => Filemarks,
            opcode::SPACE_6 | opcode::SPACE_16 => Space,
            opcode::INQUIRY => Inquiry,
            opcode::MODE_SELECT_6 | opcode::MODE_SELECT_10 => ModeSelect,
            opcode::MODE_SENSE_6 | opcode::MODE_SENSE_10 => ModeSense,
            opcode::ERASE_6 => Erase,
            opcode::LOAD_UNLOAD if byte(4) & 0x01 != 0 => Load,
            opcode::LOAD_UNLOAD => Unload,
            opcode::PREVENT_ALLOW_MEDIUM_REMOVAL => Prevent,
            opcode::LOCATE_10 if is_changer => Other,
            opcode::LOCATE_10 | opcode::LOCATE_16 => Locate,
            opcode::READ_POSITION => Position,
            opcode::REPORT_DENSITY_SUPPORT => Density,
            opcode::LOG_SELECT | opcode::LOG_SENSE => Log,
            opcode::READ_ATTRIBUTE | opcode::WRITE_ATTRIBUTE => Attribute,
            opcode::SECURITY_PROTOCOL_IN | opcode::SECURITY_PROTOCOL_OUT => Security,
            opcode::MOVE_MEDIUM | opcode::EXCHANGE_MEDIUM => Move,
            opcode::READ_ELEMENT_STATUS => Inventory,
            opcode::INITIALIZE_ELEMENT_STATUS
            | opcode::INITIALIZE_ELEMENT_STATUS_WITH_RANGE
            | opcode::INITIALIZE_ELEMENT_STATUS_WITH_RANGE_VENDOR => Initialize,
            _ => Other,
        }
    }

    fn word(self) -> &'static str {
        WORDS.iter().find(|(_, kind)| *kind == self).map_or("other", |(word, _)| word)
    }
}

/// Which commands a rule is about. None listed: all but INQUIRY, REPORT LUNS and REQUEST SENSE, with
/// which a host finds out what happened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Commands(pub Vec<CommandKind>);

impl Commands {
    /// True if the rule is about this kind.
    pub fn contains(&self, kind: CommandKind, code: u8) -> bool {
        if self.0.is_empty() {
            !matches!(kind, Inquiry | RequestSense) && code != opcode::REPORT_LUNS
        } else {
            self.0.contains(&kind)
        }
    }
}

impl From<CommandKind> for Commands {
    fn from(kind: CommandKind) -> Commands {
        Commands(vec![kind])
    }
}

impl fmt::Display for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("any");
        }
        let words: Vec<&str> = self.0.iter().map(|kind| kind.word()).collect();
        f.write_str(&words.join("+"))
    }
}

impl FromStr for Commands {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<Commands, PlanError> {
        if text == "any" {
            return Ok(Commands::default());
        }
        let kind = |word: &str| {
            WORDS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind).ok_or_else(|| {
                let words: Vec<&str> = WORDS.iter().map(|(word, _)| *word).collect();
                PlanError::new(format!(
                    "'{word}' is no command; known are any, {}",
                    words.join(", ")
                ))
            })
        };
        Ok(Commands(text.split('+').map(kind).collect::<Result<_, _>>()?))
    }
}
