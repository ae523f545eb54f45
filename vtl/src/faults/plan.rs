//! Rules of faults and their text form, one rule a line (`docs/formats/vtl-faults.md`):
//!
//! ```text
//! TIMES UNITS COMMANDS [CONDITION …] -> EFFECT [ARGUMENT …]
//! ```
//!
//! Reading is total: any text gives a plan or an error that names the line. A plan's text reads back
//! as the same plan.

use std::fmt;
use std::str::FromStr;

use scsi::{Sense, SenseKey};

use super::command::Commands;
use super::error::PlanError;
use crate::element::ElementKind;
use crate::unit::name::Unit;

/// Most rules of a plan: each command looks at all of them.
const RULES_MAX: usize = 10_000;

/// Which units a rule is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Units {
    /// Every unit.
    Any,
    /// Every drive.
    Drives,
    /// One unit.
    One(Unit),
}

impl Units {
    pub(super) fn contains(self, unit: Unit) -> bool {
        match self {
            Units::Any => true,
            Units::Drives => matches!(unit, Unit::Drive(_)),
            Units::One(one) => one == unit,
        }
    }
}

/// Conditions that must all hold for a command to meet a rule.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct When {
    /// So many commands that meet the other conditions are let through first.
    pub after: u64,
    /// Of the rest only each so-many-th.
    pub every: Option<u64>,
    /// Of the rest one in so many, decided by the plan's seed.
    pub chance: Option<u64>,
    /// The command begins at this object of the tape, or a READ or WRITE of several blocks passes it.
    pub object: Option<u64>,
    /// The command begins in this file of the tape.
    pub file: Option<u32>,
    /// So many data bytes or more lie on the tape before the position.
    pub bytes: Option<u64>,
    /// This cartridge is in the drive, or is the one that is moved.
    pub barcode: Option<String>,
    /// The move comes from such an element.
    pub from: Option<ElementKind>,
    /// The move goes to such an element.
    pub to: Option<ElementKind>,
}

/// What becomes of a command whose answer is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lost {
    /// It reached the unit and was carried out.
    Reply,
    /// It never reached the unit.
    Command,
}

/// What goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// READ: the block can't be read and is passed (3/11/00). Other commands: the tape can't be
    /// positioned (3/3B/00).
    Unreadable,
    /// The block is not written (3/0C/00).
    WriteError,
    /// The command is not carried out and answered with this.
    Sense(Sense),
    /// Buffered blocks did not reach the tape: everything since the last synchronisation is gone.
    /// The command is not carried out and answered with this as a deferred error.
    Deferred(Sense),
    /// The unit loses power. A drive loses its buffer, its settings and the position. This command and
    /// the `down` next ones get no answer, then the unit attention 29/00 waits.
    PowerLoss {
        /// Further commands without an answer.
        down: u32,
    },
    /// The unit is reset: settings and position are lost, recorded data is not (6/29/02).
    Reset,
    /// The drive forgets its encryption keys (6/2A/11).
    KeyLost,
    /// The unit attention that waits is never told.
    DropAttention,
    /// Status BUSY.
    Busy,
    /// Status RESERVATION CONFLICT.
    Conflict,
    /// Status TASK SET FULL.
    QueueFull,
    /// The way to the unit fails.
    Lost(Lost),
    /// The command says that so many bytes fewer moved than did.
    Residual(u64),
    /// A short block is told although SILI was set.
    IncorrectLength,
    /// The command is carried out, and the drive says that it wants to be cleaned (1/00/17,
    /// TapeAlert 21); `required`: that it must be (TapeAlert 20).
    Cleaning {
        /// Required, not only requested.
        required: bool,
    },
    /// The command succeeds only after so many more tries, which the statistics count: as writing for a WRITE, else as reading.
    Retries(u32),
    /// The unit raises a TapeAlert flag, 1 to 64.
    Alert(u32),
    /// Somebody moves the write-protect tab of the cartridge in the drive.
    Protect,
    /// Early warning comes here: the tape is shorter than it should be.
    EarlyWarning,
    /// The tape ends here without a warning.
    EndOfTape,
    /// The robot can't move (4/15/01); the cartridge stays where it is.
    Stuck,
    /// The robot stops on its way (4/15/01) and keeps the cartridge in its gripper.
    Gripper,
    /// READ ELEMENT STATUS: the label of a cartridge is read wrongly, or not at all.
    Label {
        /// The cartridge.
        barcode: String,
        /// What is read.
        read: Option<String>,
    },
    /// The command takes so many milliseconds longer.
    Slow {
        /// Milliseconds.
        delay_ms: u64,
    },
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultRule {
    /// How often; `None` for always.
    pub times: Option<u64>,
    /// Which units.
    pub units: Units,
    /// Which commands.
    pub commands: Commands,
    /// Under which conditions.
    pub when: When,
    /// What happens.
    pub effect: Effect,
}

/// Rules in the order in which a command meets them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FaultPlan {
    /// Decides the rules with `chance`.
    pub seed: u64,
    /// The rules.
    pub rules: Vec<FaultRule>,
}

impl From<FaultRule> for FaultPlan {
    fn from(rule: FaultRule) -> FaultPlan {
        FaultPlan { seed: 0, rules: vec![rule] }
    }
}

impl FromStr for FaultPlan {
    type Err = PlanError;

    fn from_str(text: &str) -> Result<FaultPlan, PlanError> {
        let mut plan = FaultPlan::default();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or_default().trim();
            let at = |error: PlanError| PlanError { line: number + 1, ..error };
            if line.is_empty() {
                continue;
            }
            if let Some(seed) = line.strip_prefix("seed ") {
                plan.seed = parse_number("seed", seed.trim()).map_err(at)?;
                continue;
            }
            if plan.rules.len() >= RULES_MAX {
                return Err(at(PlanError::new(format!("more than {RULES_MAX} rules"))));
            }
            plan.rules.push(line.parse().map_err(at)?);
        }
        Ok(plan)
    }
}

impl fmt::Display for FaultPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.seed != 0 {
            writeln!(f, "seed {}", self.seed)?;
        }
        for rule in &self.rules {
            writeln!(f, "{rule}")?;
        }
        Ok(())
    }
}

impl FromStr for FaultRule {
    type Err = PlanError;

    fn from_str(line: &str) -> Result<FaultRule, PlanError> {
        let Some((condition, effect)) = line.split_once("->") else {
            return Err(PlanError::new(
                "a rule is TIMES UNITS COMMANDS [CONDITION …] -> EFFECT".into(),
            ));
        };
        let mut words = condition.split_whitespace();
        let mut next = |what: &str| {
            words.next().ok_or_else(|| PlanError::new(format!("{what} is missing before '->'")))
        };
        let times = parse_times(next("how often (once, 3x, always)")?)?;
        let units = parse_units(next("the unit (any, drives, drive0, changer)")?)?;
        let commands = next("the command (any, read, write …)")?.parse()?;
        let mut when = When::default();
        for word in words {
            parse_condition(&mut when, word)?;
        }
        let effect = parse_effect(&effect.split_whitespace().collect::<Vec<_>>())?;
        Ok(FaultRule { times, units, commands, when, effect })
    }
}

impl fmt::Display for FaultRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.times {
            None => f.write_str("always")?,
            Some(1) => f.write_str("once")?,
            Some(times) => write!(f, "{times}x")?,
        }
        match self.units {
            Units::Any => f.write_str(" any")?,
            Units::Drives => f.write_str(" drives")?,
            Units::One(Unit::Changer) => f.write_str(" changer")?,
            Units::One(Unit::Drive(number)) => write!(f, " drive{number}")?,
        }
        write!(f, " {}", self.commands)?;
        let When { after, every, chance, object, file, bytes, barcode, from, to } = &self.when;
        if *after > 0 {
            write!(f, " after={after}")?;
        }
        if let Some(every) = every {
            write!(f, " every={every}")?;
        }
        if let Some(chance) = chance {
            write!(f, " chance=1/{chance}")?;
        }
        if let Some(object) = object {
            write!(f, " object={object}")?;
        }
        if let Some(file) = file {
            write!(f, " file={file}")?;
        }
        if let Some(bytes) = bytes {
            write!(f, " bytes={bytes}")?;
        }
        if let Some(barcode) = barcode {
            write!(f, " barcode={barcode}")?;
        }
        if let Some(from) = from {
            write!(f, " from={}", element_word(*from))?;
        }
        if let Some(to) = to {
            write!(f, " to={}", element_word(*to))?;
        }
        write!(f, " -> {}", self.effect)
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sense = |sense: &Sense| {
            format!("{:x}/{:02x}/{:02x}", sense.key.to_byte(), sense.asc, sense.ascq)
        };
        match self {
            Effect::Unreadable => f.write_str("unreadable"),
            Effect::WriteError => f.write_str("write-error"),
            Effect::Sense(told) => write!(f, "sense {}", sense(told)),
            Effect::Deferred(told) => write!(f, "deferred {}", sense(told)),
            Effect::PowerLoss { down: 0 } => f.write_str("power-loss"),
            Effect::PowerLoss { down } => write!(f, "power-loss down={down}"),
            Effect::Reset => f.write_str("reset"),
            Effect::KeyLost => f.write_str("key-lost"),
            Effect::DropAttention => f.write_str("drop-attention"),
            Effect::Busy => f.write_str("busy"),
            Effect::Conflict => f.write_str("conflict"),
            Effect::QueueFull => f.write_str("queue-full"),
            Effect::Lost(Lost::Reply) => f.write_str("lost-reply"),
            Effect::Lost(Lost::Command) => f.write_str("lost-command"),
            Effect::Residual(bytes) => write!(f, "residual {bytes}"),
            Effect::IncorrectLength => f.write_str("incorrect-length"),
            Effect::Cleaning { required: false } => f.write_str("cleaning requested"),
            Effect::Cleaning { required: true } => f.write_str("cleaning required"),
            Effect::Retries(retries) => write!(f, "retries {retries}"),
            Effect::Alert(flag) => write!(f, "alert {flag}"),
            Effect::Protect => f.write_str("protect"),
            Effect::EarlyWarning => f.write_str("early-warning"),
            Effect::EndOfTape => f.write_str("end-of-tape"),
            Effect::Stuck => f.write_str("stuck"),
            Effect::Gripper => f.write_str("gripper"),
            Effect::Label { barcode, read: None } => write!(f, "label {barcode}"),
            Effect::Label { barcode, read: Some(read) } => write!(f, "label {barcode} {read}"),
            Effect::Slow { delay_ms } => write!(f, "slow {delay_ms}ms"),
        }
    }
}

fn parse_number(what: &str, text: &str) -> Result<u64, PlanError> {
    text.parse().map_err(|_| PlanError::new(format!("{what} '{text}' is no number")))
}

fn parse_times(word: &str) -> Result<Option<u64>, PlanError> {
    match word {
        "once" => Ok(Some(1)),
        "always" => Ok(None),
        _ => match word.strip_suffix('x').and_then(|times| times.parse().ok()) {
            Some(times) if times > 0 => Ok(Some(times)),
            _ => Err(PlanError::new(format!("'{word}' is neither once nor always nor 2x, 3x …"))),
        },
    }
}

fn parse_units(word: &str) -> Result<Units, PlanError> {
    match word {
        "any" => Ok(Units::Any),
        "drives" => Ok(Units::Drives),
        "changer" => Ok(Units::One(Unit::Changer)),
        _ => match word.strip_prefix("drive").and_then(|number| number.parse().ok()) {
            Some(number) => Ok(Units::One(Unit::Drive(number))),
            None => Err(PlanError::new(format!(
                "'{word}' is no unit; known are any, drives, changer, drive0, drive1 …"
            ))),
        },
    }
}

const ELEMENTS: [(&str, ElementKind); 4] = [
    ("gripper", ElementKind::Transport),
    ("slot", ElementKind::Slot),
    ("import-export", ElementKind::ImportExport),
    ("drive", ElementKind::Drive),
];

fn element_word(kind: ElementKind) -> &'static str {
    ELEMENTS.iter().find(|(_, known)| *known == kind).map_or("slot", |(word, _)| word)
}

fn parse_element(word: &str) -> Result<ElementKind, PlanError> {
    ELEMENTS.iter().find(|(known, _)| *known == word).map(|(_, kind)| *kind).ok_or_else(|| {
        PlanError::new(format!(
            "'{word}' is no kind of element; known are slot, drive, import-export, gripper"
        ))
    })
}

fn parse_condition(when: &mut When, word: &str) -> Result<(), PlanError> {
    let Some((name, value)) = word.split_once('=') else {
        return Err(PlanError::new(format!("'{word}' is no condition (NAME=VALUE)")));
    };
    let counted = |what: &str, value: &str| match parse_number(what, value)? {
        0 => Err(PlanError::new(format!("{what} must be at least 1"))),
        number => Ok(number),
    };
    match name {
        "after" => when.after = parse_number(name, value)?,
        "every" => when.every = Some(counted(name, value)?),
        "chance" => {
            when.chance = Some(counted(name, value.strip_prefix("1/").unwrap_or(value))?);
        }
        "object" => when.object = Some(parse_number(name, value)?),
        "file" => {
            let file = u32::try_from(parse_number(name, value)?);
            when.file =
                Some(file.map_err(|_| PlanError::new(format!("file {value} is too large")))?);
        }
        "bytes" => when.bytes = Some(parse_number(name, value)?),
        "barcode" if !value.is_empty() => when.barcode = Some(value.to_owned()),
        "from" => when.from = Some(parse_element(value)?),
        "to" => when.to = Some(parse_element(value)?),
        _ => {
            return Err(PlanError::new(format!(
                "'{word}' is no condition; known are after, every, chance, object, file, bytes, \
                 barcode, from, to"
            )));
        }
    }
    Ok(())
}

fn parse_sense(word: &str) -> Result<Sense, PlanError> {
    let wrong = || PlanError::new(format!("'{word}' is no sense (KEY/ASC/ASCQ in hex, 3/11/00)"));
    let parts: Vec<u8> = word
        .split('/')
        .map(|part| u8::from_str_radix(part, 16))
        .collect::<Result<_, _>>()
        .map_err(|_| wrong())?;
    match parts[..] {
        [key, asc, ascq] if key <= 0x0f => Ok(Sense::new(SenseKey::from_byte(key), asc, ascq)),
        _ => Err(wrong()),
    }
}

fn parse_effect(words: &[&str]) -> Result<Effect, PlanError> {
    Ok(match *words {
        ["unreadable"] => Effect::Unreadable,
        ["write-error"] => Effect::WriteError,
        ["sense", sense] => Effect::Sense(parse_sense(sense)?),
        ["deferred"] => Effect::Deferred(Sense::WRITE_ERROR),
        ["deferred", sense] => Effect::Deferred(parse_sense(sense)?),
        ["power-loss"] => Effect::PowerLoss { down: 0 },
        ["power-loss", down] => {
            let down = parse_number("down", down.strip_prefix("down=").unwrap_or(down))?;
            Effect::PowerLoss { down: u32::try_from(down).unwrap_or(u32::MAX) }
        }
        ["reset"] => Effect::Reset,
        ["key-lost"] => Effect::KeyLost,
        ["drop-attention"] => Effect::DropAttention,
        ["busy"] => Effect::Busy,
        ["conflict"] => Effect::Conflict,
        ["queue-full"] => Effect::QueueFull,
        ["lost-reply"] => Effect::Lost(Lost::Reply),
        ["lost-command"] => Effect::Lost(Lost::Command),
        ["residual", bytes] => Effect::Residual(parse_number("residual", bytes)?),
        ["incorrect-length"] => Effect::IncorrectLength,
        ["cleaning", "requested"] => Effect::Cleaning { required: false },
        ["cleaning", "required"] => Effect::Cleaning { required: true },
        ["retries", retries] => {
            let retries = u32::try_from(parse_number("retries", retries)?);
            Effect::Retries(retries.map_err(|_| PlanError::new("so many retries are not".into()))?)
        }
        ["alert", flag] => match parse_number("alert", flag)? {
            flag @ 1..=64 => Effect::Alert(flag as u32),
            _ => return Err(PlanError::new("TapeAlert flags are 1 to 64".into())),
        },
        ["protect"] => Effect::Protect,
        ["early-warning"] => Effect::EarlyWarning,
        ["end-of-tape"] => Effect::EndOfTape,
        ["stuck"] => Effect::Stuck,
        ["gripper"] => Effect::Gripper,
        ["label", barcode] => Effect::Label { barcode: barcode.to_owned(), read: None },
        ["label", barcode, read] => {
            Effect::Label { barcode: barcode.to_owned(), read: Some(read.to_owned()) }
        }
        ["slow", time] => Effect::Slow { delay_ms: parse_delay(time)? },
        _ => {
            return Err(PlanError::new(format!(
                "'{}' is no effect; docs/formats/vtl-faults.md lists them",
                words.join(" ")
            )));
        }
    })
}

/// `1500ms`, or seconds.
fn parse_delay(text: &str) -> Result<u64, PlanError> {
    if let Some(text) = text.strip_suffix("ms") {
        return parse_number("time", text);
    }
    let seconds = parse_number("time", text.strip_suffix('s').unwrap_or(text))?;
    Ok(seconds.saturating_mul(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLES: &str = "\
seed 7
once drive0 write object=1200 -> write-error
always drives read object=17 barcode=CAP001L8 -> unreadable
3x changer move after=2 from=slot to=drive -> stuck
once changer move -> gripper
once drive1 write bytes=1000000 -> power-loss down=4
once any any chance=1/100 -> lost-reply
always any any every=50 -> busy
once drive0 read+space+locate file=3 -> sense 4/44/00
once drive0 filemarks -> deferred 3/0c/00
always changer inventory -> label CAP001L8 CAP999L8
once changer inventory -> label CAP002L8
once drive0 read -> residual 512
once drive0 read -> incorrect-length
once drive0 write -> cleaning required
once drive0 write -> retries 12
once drive0 write -> alert 3
once drive0 write -> key-lost
once drive0 write -> slow 1500ms
";

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let plan: FaultPlan = EXAMPLES.parse().unwrap();
        assert_eq!(plan.rules.len(), 18);
        assert_eq!(plan.to_string(), EXAMPLES);
        assert_eq!(plan.to_string().parse::<FaultPlan>().unwrap(), plan);
    }

    #[test]
    fn a_wrong_line_is_named() {
        for (text, part) in [
            ("once drive0 write", "TIMES UNITS"),
            ("once drive0 -> busy", "command"),
            ("twice drive0 write -> busy", "twice"),
            ("0x drive0 write -> busy", "0x"),
            ("once drivex write -> busy", "drivex"),
            ("once drive0 print -> busy", "print"),
            ("once drive0 write object=x -> busy", "object"),
            ("once drive0 write chance=0 -> busy", "at least 1"),
            ("once drive0 write colour=red -> busy", "colour"),
            ("once drive0 write -> explode", "explode"),
            ("once drive0 write -> sense 3/11", "3/11"),
            ("once drive0 write -> sense 13/11/00", "13/11/00"),
            ("once drive0 write -> alert 65", "1 to 64"),
            ("once changer inventory -> label", "no effect"),
        ] {
            let error = format!("# first\n{text}").parse::<FaultPlan>().unwrap_err();
            assert_eq!(error.line, 2, "{text}");
            assert!(error.to_string().contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_a_plan_or_an_error(text in ".{0,200}") {
            if let Ok(plan) = text.parse::<FaultPlan>() {
                let again: FaultPlan = plan.to_string().parse().unwrap();
                proptest::prop_assert_eq!(again, plan);
            }
        }
    }
}
