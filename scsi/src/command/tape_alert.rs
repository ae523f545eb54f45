//! TapeAlert: 64 flags by which a drive tells that something needs attention (SSC-5 §8.3.5, annex A).
//!
//! Two log pages carry them. Page 12h has one parameter of 8 bytes in which flag 1 is the most
//! significant bit of the first byte; reading it clears nothing. Page 2Eh has one parameter for each
//! flag, whose code is the flag's number and whose value's bit 0 is its state; reading it clears the
//! flags. Media changers have only 2Eh, with meanings of their own, so the names here are not for them.

use std::fmt;

use super::log::{LogPage, PAGE_TAPE_ALERT, PAGE_TAPE_ALERT_RESPONSE, Parameter};
use super::opcode;
use crate::transport::{Error, Transport};

/// How bad a flag is, according to T10.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// For information.
    Information,
    /// Something should be done soon.
    Warning,
    /// Data is at risk, or the drive or tape cannot be used.
    Critical,
}

/// One of the flags that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag {
    /// Number, 1 to 64.
    pub number: u8,
    /// Name.
    pub name: &'static str,
    /// Severity according to T10.
    pub severity: Severity,
    /// A tape or drive that shows this flag must not be written to.
    pub refuse: bool,
    /// What it means, in a few words.
    pub meaning: &'static str,
}

use Severity::{Critical, Information, Warning};

const fn flag(
    number: u8,
    name: &'static str,
    severity: Severity,
    refuse: bool,
    meaning: &'static str,
) -> Flag {
    Flag { number, name, severity, refuse, meaning }
}

/// All flags that have a name, ascending. The ones about loaders (40 to 46) are obsolete in newer standards, and
/// old drives still raise them; 62 to 64 are reserved.
pub const FLAGS: &[Flag] = &[
    flag(1, "READ_WARNING", Warning, false, "reading is difficult and slow"),
    flag(2, "WRITE_WARNING", Warning, false, "writing is difficult, capacity is lost"),
    flag(3, "HARD_ERROR", Warning, false, "unrecoverable read, write or position error"),
    flag(4, "MEDIA", Critical, true, "the cartridge is faulty"),
    flag(5, "READ_FAILURE", Critical, true, "cannot read: drive or tape"),
    flag(6, "WRITE_FAILURE", Critical, true, "cannot write: drive or tape"),
    flag(7, "MEDIA_LIFE", Warning, false, "the cartridge has reached the end of its life"),
    flag(8, "NOT_DATA_GRADE", Warning, false, "the cartridge is not data grade"),
    flag(9, "WRITE_PROTECT", Critical, true, "write to a protected cartridge"),
    flag(10, "NO_REMOVAL", Information, false, "eject while removal is prevented"),
    flag(11, "CLEANING_MEDIA", Information, false, "cleaning cartridge in the drive"),
    flag(12, "UNSUPPORTED_FORMAT", Information, false, "the cartridge's format is unsupported"),
    flag(
        13,
        "RECOVERABLE_MECHANICAL_CARTRIDGE_FAILURE",
        Critical,
        false,
        "mechanical failure of the cartridge, it can be ejected",
    ),
    flag(
        14,
        "UNRECOVERABLE_SNAPPED_TAPE",
        Critical,
        true,
        "the tape is cut, the cartridge cannot be ejected",
    ),
    flag(
        15,
        "MEMORY_CHIP_IN_CARTRIDGE_FAILURE",
        Warning,
        false,
        "the cartridge memory is unusable",
    ),
    flag(16, "FORCED_EJECT", Critical, true, "ejected during access"),
    flag(17, "READ_ONLY_FORMAT", Warning, false, "old generation, this drive only reads it"),
    flag(18, "TAPE_DIRECTORY_CORRUPTED", Warning, false, "directory lost, positioning is slow"),
    flag(19, "NEARING_MEDIA_LIFE", Information, false, "the cartridge's life is nearly used up"),
    flag(20, "CLEAN_NOW", Critical, false, "clean the drive immediately"),
    flag(21, "CLEAN_PERIODIC", Warning, false, "routine cleaning is due"),
    flag(22, "EXPIRED_CLEANING_MEDIA", Critical, true, "the cleaning cartridge is used up"),
    flag(23, "INVALID_CLEANING_TAPE", Critical, true, "wrong cleaning cartridge"),
    flag(24, "RETENSION_REQUEST", Warning, false, "the tape needs retensioning"),
    flag(25, "HOST_CHANNEL_FAILURE", Warning, false, "a host port or channel fails"),
    flag(26, "COOLING_FAN_FAILURE", Warning, false, "the fan fails"),
    flag(27, "POWER_SUPPLY_FAILURE", Warning, false, "a power supply fails"),
    flag(28, "POWER_CONSUMPTION", Warning, false, "power consumption is out of range"),
    flag(29, "DRIVE_MAINTENANCE", Warning, false, "preventive maintenance is due"),
    flag(30, "HARDWARE_A", Critical, true, "hardware fault, reset needed"),
    flag(31, "HARDWARE_B", Critical, true, "hardware fault, power cycle needed"),
    flag(32, "INTERFACE", Warning, false, "problem of the host interface"),
    flag(33, "EJECT_MEDIA", Critical, true, "eject the tape and try again"),
    flag(34, "DOWNLOAD_FAULT", Warning, false, "firmware update failed"),
    flag(35, "DRIVE_HUMIDITY", Warning, false, "humidity is out of range"),
    flag(36, "DRIVE_TEMPERATURE", Warning, false, "temperature is out of range"),
    flag(37, "DRIVE_VOLTAGE", Warning, false, "voltage is out of range"),
    flag(38, "PREDICTIVE_FAILURE", Critical, true, "the drive will fail soon"),
    flag(39, "DIAGNOSTICS_REQUIRED", Warning, false, "run the drive's diagnostics"),
    flag(40, "LOADER_HARDWARE_A", Critical, false, "the loader's mechanics or link fail"),
    flag(41, "LOADER_STRAY_TAPE", Critical, true, "stray tape in the loader"),
    flag(42, "LOADER_HARDWARE", Warning, false, "loader mechanics"),
    flag(43, "LOADER_DOOR", Critical, false, "the loader's door is open"),
    flag(44, "LOADER_HARDWARE_C", Critical, false, "hardware fault of the loader"),
    flag(45, "LOADER_MAGAZINE", Critical, true, "the loader's magazine is missing"),
    flag(46, "LOADER_PREDICTIVE_FAILURE", Warning, false, "the loader will fail soon"),
    flag(
        47,
        "EXTERNAL_ENCRYPTION_COMMUNICATION_FAILURE",
        Warning,
        false,
        "the way to the key manager fails",
    ),
    flag(48, "KEY_MANAGER_ERROR", Warning, false, "the key manager reports an error"),
    flag(49, "DIMINISHED_NATIVE_CAPACITY", Warning, false, "the tape holds less than it should"),
    flag(50, "LOST_STATISTICS", Warning, false, "the tape's statistics are lost"),
    flag(
        51,
        "TAPE_DIRECTORY_INVALID_AT_UNLOAD",
        Warning,
        false,
        "directory invalid, read the whole tape to rebuild it",
    ),
    flag(52, "TAPE_SYSTEM_AREA_WRITE_FAILURE", Critical, true, "cannot write the system area"),
    flag(53, "TAPE_SYSTEM_AREA_READ_FAILURE", Critical, true, "cannot read the system area"),
    flag(54, "NO_START_OF_DATA", Critical, true, "start of the data not found"),
    flag(55, "LOADING_FAILURE", Critical, true, "the cartridge cannot be loaded"),
    flag(56, "UNRECOVERABLE_UNLOAD_FAILURE", Critical, true, "the cartridge cannot be unloaded"),
    flag(57, "AUTOMATION_INTERFACE_FAILURE", Critical, true, "interface to the library fails"),
    flag(58, "FIRMWARE_FAILURE", Warning, false, "firmware fault"),
    flag(59, "WORM_INTEGRITY_CHECK_FAILED", Warning, false, "WORM integrity check failed"),
    flag(60, "WORM_OVERWRITE_ATTEMPTED", Warning, false, "write over WORM data refused"),
    flag(61, "ENCRYPTION_POLICY_VIOLATION", Warning, false, "encryption policy violated"),
];

/// The set of flags a drive shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TapeAlerts(u64);

impl TapeAlerts {
    /// No flag.
    pub const EMPTY: TapeAlerts = TapeAlerts(0);

    const fn mask(number: u8) -> u64 {
        match number {
            1..=64 => 1 << (64 - number),
            _ => 0,
        }
    }

    /// From the 8 bytes of page 12h, where flag 1 is the most significant bit.
    pub const fn from_bits(bits: u64) -> TapeAlerts {
        TapeAlerts(bits)
    }

    /// The 8 bytes of page 12h as a number.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// With flag `number` (1 to 64) set.
    pub const fn with(self, number: u8) -> TapeAlerts {
        TapeAlerts(self.0 | TapeAlerts::mask(number))
    }

    /// True if flag `number` is set.
    pub const fn contains(self, number: u8) -> bool {
        self.0 & TapeAlerts::mask(number) != 0
    }

    /// True if no flag is set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Flags of both sets.
    pub const fn union(self, other: TapeAlerts) -> TapeAlerts {
        TapeAlerts(self.0 | other.0)
    }

    /// The set flags that have a name, ascending.
    pub fn named(self) -> impl Iterator<Item = &'static Flag> {
        FLAGS.iter().filter(move |flag| self.contains(flag.number))
    }

    /// True if a tape in this drive must not be written to.
    pub fn is_critical(self) -> bool {
        self.named().any(|flag| flag.refuse)
    }

    /// True if the cartridge is at or near the end of its life.
    pub fn is_media_life(self) -> bool {
        self.contains(7) || self.contains(19)
    }

    /// True if the drive asks for cleaning.
    pub fn is_cleaning_request(self) -> bool {
        self.contains(20) || self.contains(21)
    }

    /// From page 12h or 2Eh.
    pub fn parse(page: &LogPage) -> Result<TapeAlerts, Error> {
        if page.page == PAGE_TAPE_ALERT {
            let numbers = page.parameters.iter().filter_map(|one| {
                let number =
                    u8::try_from(one.code).ok().filter(|number| (1..=64).contains(number))?;
                (one.value.first()? & 0x01 != 0).then_some(number)
            });
            return Ok(numbers.fold(TapeAlerts::EMPTY, TapeAlerts::with));
        }
        let value = page.parameter(0).map(|one| one.value.as_slice()).unwrap_or(&[]);
        value.try_into().map(u64::from_be_bytes).map(TapeAlerts).map_err(|_| Error::Malformed {
            opcode: opcode::LOG_SENSE,
            reason: format!("TapeAlert response: {} bytes of flags instead of 8", value.len()),
        })
    }

    /// Page 12h of a drive that shows these flags.
    pub fn build_response(self) -> LogPage {
        let value = self.0.to_be_bytes().to_vec();
        LogPage {
            page: PAGE_TAPE_ALERT_RESPONSE,
            subpage: 0,
            parameters: vec![Parameter { code: 0, control: 0x03, value }],
        }
    }

    /// Page 2Eh of a drive that shows these flags.
    pub fn build(self) -> LogPage {
        let parameters = (1..=64u8)
            .map(|number| Parameter {
                code: number.into(),
                control: 0x03,
                value: vec![u8::from(self.contains(number))],
            })
            .collect();
        LogPage { page: PAGE_TAPE_ALERT, subpage: 0, parameters }
    }

    /// Asks a drive: page 12h, and 2Eh where that is not known. Reading 2Eh clears the flags in the
    /// drive, so what comes back must be kept.
    pub fn request(transport: &mut dyn Transport) -> Result<TapeAlerts, Error> {
        let page = match LogPage::request(transport, PAGE_TAPE_ALERT_RESPONSE) {
            Err(error) if error.sense().is_some_and(|sense| sense.is_unsupported()) => {
                LogPage::request(transport, PAGE_TAPE_ALERT)?
            }
            other => other?,
        };
        TapeAlerts::parse(&page)
    }
}

/// Names joined by ` | `, `(empty)` without a flag. Flags without a name appear by number.
impl fmt::Display for TapeAlerts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("(empty)");
        }
        let mut separator = "";
        for number in (1..=64).filter(|number| self.contains(*number)) {
            f.write_str(separator)?;
            match FLAGS.iter().find(|flag| flag.number == number) {
                Some(flag) => f.write_str(flag.name)?,
                None => write!(f, "FLAG_{number}")?,
            }
            separator = " | ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sense;
    use crate::testing::Script;

    #[test]
    fn flag_one_is_the_most_significant_bit() {
        let bytes = [0x12, 0, 0, 0x0c, 0, 0, 3, 8, 0x80, 0, 0, 0, 0, 0, 0, 0x01];
        let page = LogPage::parse(PAGE_TAPE_ALERT_RESPONSE, &bytes).unwrap();
        let alerts = TapeAlerts::parse(&page).unwrap();
        assert!(alerts.contains(1) && alerts.contains(64) && !alerts.contains(2));
        assert_eq!(alerts.to_string(), "READ_WARNING | FLAG_64");
        assert_eq!(alerts.build_response().build(), bytes);
        assert!(!alerts.is_critical());
        assert_eq!(TapeAlerts::EMPTY.to_string(), "(empty)");
    }

    #[test]
    fn old_page_with_fewer_parameters() {
        let mut page = TapeAlerts::EMPTY.with(4).with(21).build();
        assert_eq!(page.build()[..4], [0x2e, 0, 0x01, 0x40]);
        page.parameters.truncate(30);
        page.parameters.push(Parameter { code: 0x1234, control: 3, value: vec![1] });
        let alerts = TapeAlerts::parse(&page).unwrap();
        assert_eq!(alerts.to_string(), "MEDIA | CLEAN_PERIODIC");
        assert!(alerts.is_critical() && alerts.is_cleaning_request() && !alerts.is_media_life());
    }

    #[test]
    fn falls_back_to_the_clearing_page() {
        let mut script = Script::new();
        script.expect_check(&LogPage::cdb(0x12, 0, 0x4000), Sense::INVALID_FIELD_IN_CDB);
        let page = TapeAlerts::EMPTY.with(7).build().build();
        script.expect_in(&LogPage::cdb(0x2e, 0, 0x4000), &page);
        assert!(TapeAlerts::request(&mut script).unwrap().is_media_life());
    }

    #[test]
    fn cut_response_is_an_error() {
        let mut page = TapeAlerts::EMPTY.build_response();
        page.parameters[0].value.pop();
        assert!(TapeAlerts::parse(&page).is_err());
        assert!(FLAGS.windows(2).all(|pair| pair[0].number < pair[1].number));
    }

    /// Number, severity (! = refuse) and name of each flag, as docs and other programs have them.
    const TABLE: &str = "
        1 W READ_WARNING
        2 W WRITE_WARNING
        3 W HARD_ERROR
        4 C! MEDIA
        5 C! READ_FAILURE
        6 C! WRITE_FAILURE
        7 W MEDIA_LIFE
        8 W NOT_DATA_GRADE
        9 C! WRITE_PROTECT
        10 I NO_REMOVAL
        11 I CLEANING_MEDIA
        12 I UNSUPPORTED_FORMAT
        13 C RECOVERABLE_MECHANICAL_CARTRIDGE_FAILURE
        14 C! UNRECOVERABLE_SNAPPED_TAPE
        15 W MEMORY_CHIP_IN_CARTRIDGE_FAILURE
        16 C! FORCED_EJECT
        17 W READ_ONLY_FORMAT
        18 W TAPE_DIRECTORY_CORRUPTED
        19 I NEARING_MEDIA_LIFE
        20 C CLEAN_NOW
        21 W CLEAN_PERIODIC
        22 C! EXPIRED_CLEANING_MEDIA
        23 C! INVALID_CLEANING_TAPE
        24 W RETENSION_REQUEST
        25 W HOST_CHANNEL_FAILURE
        26 W COOLING_FAN_FAILURE
        27 W POWER_SUPPLY_FAILURE
        28 W POWER_CONSUMPTION
        29 W DRIVE_MAINTENANCE
        30 C! HARDWARE_A
        31 C! HARDWARE_B
        32 W INTERFACE
        33 C! EJECT_MEDIA
        34 W DOWNLOAD_FAULT
        35 W DRIVE_HUMIDITY
        36 W DRIVE_TEMPERATURE
        37 W DRIVE_VOLTAGE
        38 C! PREDICTIVE_FAILURE
        39 W DIAGNOSTICS_REQUIRED
        40 C LOADER_HARDWARE_A
        41 C! LOADER_STRAY_TAPE
        42 W LOADER_HARDWARE
        43 C LOADER_DOOR
        44 C LOADER_HARDWARE_C
        45 C! LOADER_MAGAZINE
        46 W LOADER_PREDICTIVE_FAILURE
        47 W EXTERNAL_ENCRYPTION_COMMUNICATION_FAILURE
        48 W KEY_MANAGER_ERROR
        49 W DIMINISHED_NATIVE_CAPACITY
        50 W LOST_STATISTICS
        51 W TAPE_DIRECTORY_INVALID_AT_UNLOAD
        52 C! TAPE_SYSTEM_AREA_WRITE_FAILURE
        53 C! TAPE_SYSTEM_AREA_READ_FAILURE
        54 C! NO_START_OF_DATA
        55 C! LOADING_FAILURE
        56 C! UNRECOVERABLE_UNLOAD_FAILURE
        57 C! AUTOMATION_INTERFACE_FAILURE
        58 W FIRMWARE_FAILURE
        59 W WORM_INTEGRITY_CHECK_FAILED
        60 W WORM_OVERWRITE_ATTEMPTED
        61 W ENCRYPTION_POLICY_VIOLATION
    ";

    #[test]
    fn the_table_of_flags_is_complete() {
        let found: Vec<String> = FLAGS
            .iter()
            .map(|flag| {
                let severity = match flag.severity {
                    Information => "I",
                    Warning => "W",
                    Critical => "C",
                };
                let refuse = if flag.refuse { "!" } else { "" };
                format!("{} {severity}{refuse} {}", flag.number, flag.name)
            })
            .collect();
        let expected: Vec<&str> = TABLE.trim().lines().map(str::trim).collect();
        assert_eq!(found, expected);
        assert_eq!(found.len(), 61);
        // No two mean the same.
        let mut meanings: Vec<&str> = FLAGS.iter().map(|flag| flag.meaning).collect();
        meanings.sort_unstable();
        meanings.dedup();
        assert_eq!(meanings.len(), FLAGS.len());
    }
}
