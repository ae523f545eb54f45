//! The TapeAlert flags of a drive, each with what it means and what to do about it.

use scsi::command::tape_alert::{FLAGS, Severity, TapeAlerts};
use serde::Serialize;

use crate::drive::{Drive, Result};

/// A flag that is raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alert {
    /// Number, 1 to 64.
    pub number: u8,
    /// Name; `FLAG_N` for one without.
    pub name: String,
    /// `information`, `warning` or `critical` (T10); absent for a flag without name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<&'static str>,
    /// What it means.
    pub meaning: String,
    /// What to do.
    pub action: String,
    /// Jobs refuse to write while it is raised.
    pub refuses_jobs: bool,
}

/// All flags that are raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Alerts {
    /// The drive as the user named it.
    pub drive: String,
    /// The 64 bits as hexadecimal digits, flag 1 first (as in log page 12h).
    pub raw: String,
    /// Names joined by ` | `, `(empty)` if there is none.
    pub names: String,
    /// One entry a flag.
    pub flags: Vec<Alert>,
}

/// Asks a drive for its flags. Works without a tape.
///
/// Drives without log page 12h clear the flags when they are read: what comes back is then all that
/// anybody will see of them.
pub fn alert_flags(drive: &mut Drive) -> Result<Alerts> {
    let alerts = drive.tape_alerts()?;
    Ok(explain(drive.name(), alerts))
}

fn explain(drive: &str, alerts: TapeAlerts) -> Alerts {
    Alerts {
        drive: drive.into(),
        raw: format!("{:016x}", alerts.bits()),
        names: alerts.to_string(),
        flags: (1..=64).filter(|number| alerts.contains(*number)).map(alert).collect(),
    }
}

/// What a flag, 1 to 64, means and what to do about it.
pub fn alert(number: u8) -> Alert {
    match FLAGS.iter().find(|flag| flag.number == number) {
        Some(flag) => Alert {
            number,
            name: flag.name.into(),
            severity: Some(match flag.severity {
                Severity::Information => "information",
                Severity::Warning => "warning",
                Severity::Critical => "critical",
            }),
            meaning: flag.meaning.into(),
            action: action(number).into(),
            refuses_jobs: flag.refuse,
        },
        None => Alert {
            number,
            name: format!("FLAG_{number}"),
            severity: None,
            meaning: "reserved by the standard".into(),
            action: action(number).into(),
            refuses_jobs: false,
        },
    }
}

/// What an operator does about a flag.
fn action(number: u8) -> &'static str {
    match number {
        1 | 2 => "clean the drive; if it comes again, copy the tape's data to another one",
        3 => "clean the drive and try again; with another tape too, the drive needs service",
        4 => "copy what can be read to another tape, and take this one out of use",
        5 | 6 => {
            "clean the drive, then try another tape: it shows whether tape or drive is at fault"
        }
        7 | 19 => "copy the data to a new tape and take this one out of use",
        8 => "use LTO data cartridges only",
        9 => "move the cartridge's write protection tab, or load another tape",
        10 => {
            "unlock the drive ('capstan mt unlock') or end the program that locked it, then eject"
        }
        11 => "nothing; wait until cleaning has ended",
        12 => "load a tape of a generation that the drive handles",
        13 => "eject the cartridge and look at it; do not use it again",
        14 => "do not try to eject; call service",
        15 => "copy the data to another tape; the cartridge works but is slow to load",
        16 => "load the tape again and check what was last written",
        17 => "load a newer tape to write",
        18 | 51 => "read the whole tape once ('capstan tape scan') to rebuild its directory",
        20 => "clean the drive now ('capstan tape clean')",
        21 => "clean the drive soon ('capstan tape clean')",
        22 => "replace the cleaning cartridge, then clean again",
        23 => "use a cleaning cartridge that fits the drive",
        24 => "wind the tape once ('capstan mt retension')",
        25 | 32 => "check cables, terminators and host adapter",
        26 | 27 | 28 | 35 | 36 | 37 => "check the drive's surroundings, fans and power",
        29 => "have the drive serviced as its manual says",
        30 => "reset the drive; if it comes again, call service",
        31 => "switch the drive off and on; if it comes again, call service",
        33 => "eject the tape, load it again and repeat the job",
        34 => "load the firmware again, with the right file",
        38 => "replace the drive before it fails",
        39 => "run the drive's diagnostics as its manual says",
        40 => {
            "check the link between drive and loader; if it comes again, call the loader's service"
        }
        41 => "take the stray cartridge out of the loader",
        42 | 44 => "restart the loader; if it comes again, call its service",
        43 => "close the loader's door",
        45 => "put the magazine into the loader",
        46 => "have the loader serviced before it fails",
        47 | 48 => "check the key manager and the way to it",
        49 => "nothing now; replace the tape if capacity matters",
        50 => "nothing; the statistics begin anew",
        52 | 53 => "copy the data to another tape, and take this one out of use",
        54 => "the tape may be degaussed or of another kind; do not use it",
        55 => "eject and look at the cartridge; try another tape",
        56 => "do not pull; call service",
        57 => "check the connection between drive and library",
        58 => "update the firmware or restart the drive",
        59 => "do not trust the tape: somebody may have tampered with it",
        60 => "load another tape: this one cannot be overwritten",
        61 => "check the encryption settings of drive, library and key manager",
        _ => "see the drive's manual",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flag_that_has_a_name_has_an_action() {
        for flag in FLAGS {
            assert_ne!(action(flag.number), "see the drive's manual", "{}", flag.name);
        }
        // The reserved ones have none.
        for number in 62..=64 {
            assert!(FLAGS.iter().all(|flag| flag.number != number));
        }
    }

    #[test]
    fn flags_are_explained_in_their_order() {
        let alerts = explain("lto0", TapeAlerts::EMPTY.with(20).with(4).with(64));
        assert_eq!(alerts.names, "MEDIA | CLEAN_NOW | FLAG_64");
        assert_eq!(alerts.raw, "1000100000000001");
        let seen: Vec<_> = alerts
            .flags
            .iter()
            .map(|flag| (flag.number, flag.severity, flag.refuses_jobs))
            .collect();
        let critical = Some("critical");
        assert_eq!(seen, [(4, critical, true), (20, critical, false), (64, None, false)]);
        assert!(alerts.flags[1].action.contains("tape clean"));
        assert_eq!(explain("lto0", TapeAlerts::EMPTY).flags, []);
    }
}
