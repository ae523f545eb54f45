//! Which targets a portal has (SendTargets, RFC 7143 Appendix C), and which units a target has.

use std::time::Duration;

use super::device::connect;
use super::login::{Goal, parse_target_address, random_isid};
use super::{Options, Portal, questions};
use crate::Error;
use crate::command::inquiry::{self, Inquiry};
use crate::iscsi::text::Text;

const LOGOUT_TIMEOUT: Duration = Duration::from_secs(2);
/// Qualifier of a unit that is not there, whatever REPORT LUNS said.
const QUALIFIER_NO_UNIT: u8 = 0b011;

/// A target and where it listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundTarget {
    /// Its name.
    pub name: String,
    /// Where it listens; the portal that was asked, if it names none.
    pub portals: Vec<Portal>,
}

/// A logical unit of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundUnit {
    /// Its number.
    pub lun: u64,
    /// What it is.
    pub inquiry: Inquiry,
    /// Its serial number (VPD page 80h), if it has one.
    pub serial: Option<String>,
}

/// Asks a portal for its targets.
///
/// # Errors
///
/// [`Error::Open`] that says what happened and what to do.
pub fn discover(portal: &Portal, options: &Options) -> Result<Vec<FoundTarget>, Error> {
    let refuse = |reason: String| Error::Open { device: portal.to_string(), reason };
    let isid = random_isid().map_err(|error| refuse(error.to_string()))?;
    let mut session = connect(portal, Goal { options, target: None, isid }).map_err(refuse)?;
    let mut question = Text::new();
    question.push("SendTargets", "All");
    let answer = session
        .exchange(&question)
        .map_err(|error| refuse(format!("it does not list its targets: {error}")))?;
    session.log_out(LOGOUT_TIMEOUT);
    parse_targets(&answer, portal).map_err(|error| refuse(error.to_string()))
}

/// TargetName, and behind each the TargetAddress lines that belong to it.
fn parse_targets(answer: &Text, asked: &Portal) -> crate::iscsi::Result<Vec<FoundTarget>> {
    let mut targets: Vec<FoundTarget> = Vec::new();
    for (key, value) in answer.iter() {
        match key {
            "TargetName" => {
                targets.push(FoundTarget { name: value.to_string(), portals: Vec::new() });
            }
            "TargetAddress" => {
                let portal = parse_target_address(value)?;
                if let Some(target) = targets.last_mut() {
                    target.portals.push(portal);
                }
            }
            _ => {}
        }
    }
    for target in targets.iter_mut().filter(|target| target.portals.is_empty()) {
        target.portals.push(asked.clone());
    }
    Ok(targets)
}

/// Asks a target for its logical units. Changes nothing in them: INQUIRY and REPORT LUNS take no unit
/// attention away.
///
/// # Errors
///
/// [`Error::Open`] if there is no session; else as the commands.
pub fn units(portal: &Portal, target: &str, options: &Options) -> Result<Vec<FoundUnit>, Error> {
    let device = format!("iscsi://{portal}/{target}");
    let refuse = |reason: String| Error::Open { device: device.clone(), reason };
    let isid = random_isid().map_err(|error| refuse(error.to_string()))?;
    let mut session =
        connect(portal, Goal { options, target: Some(target), isid }).map_err(refuse)?;
    let mut found = Vec::new();
    for lun in questions::report_luns(&mut session, &device)? {
        let mut unit = questions::Unit { session: &mut session, lun, name: &device };
        let inquiry = Inquiry::request(&mut unit)?;
        if inquiry.qualifier == QUALIFIER_NO_UNIT {
            continue;
        }
        // Not every unit has the page.
        let page = inquiry::request_vpd(&mut unit, inquiry::VPD_SERIAL).ok();
        let serial = page.and_then(|page| inquiry::serial(&page));
        found.push(FoundUnit { lun, inquiry, serial });
    }
    session.log_out(LOGOUT_TIMEOUT);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_with_their_addresses() {
        let asked: Portal = "library.example.org".parse().unwrap();
        let answer = Text::parse(
            b"TargetName=iqn.2026-01.test:a\0TargetAddress=10.0.0.7:3261,1\0TargetAddress=[fe80::1]:3260,2\0\
              TargetName=iqn.2026-01.test:b\0",
        )
        .unwrap();
        let targets = parse_targets(&answer, &asked).unwrap();
        let shown: Vec<String> = targets
            .iter()
            .map(|target| {
                let portals: Vec<String> = target.portals.iter().map(Portal::to_string).collect();
                format!("{} {}", target.name, portals.join(" "))
            })
            .collect();
        assert_eq!(
            shown,
            [
                "iqn.2026-01.test:a 10.0.0.7:3261 [fe80::1]",
                "iqn.2026-01.test:b library.example.org"
            ]
        );
        let bad = Text::parse(b"TargetName=iqn.2026-01.test:a\0TargetAddress=?:x\0").unwrap();
        assert!(parse_targets(&bad, &asked).is_err());
    }
}
