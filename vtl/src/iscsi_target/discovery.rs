//! What the target says when it is asked for targets (RFC 7143 §13.3, appendix C).

use std::net::SocketAddr;

use scsi::iscsi::name::Name;
use scsi::iscsi::text::{NOT_UNDERSTOOD, REJECT, Text};

/// Portal group of the only portal.
pub const PORTAL_GROUP: u16 = 1;

/// The target as one connection sees it.
#[derive(Debug, Clone)]
pub struct Directory {
    /// Its name.
    pub name: Name,
    /// The address at which this connection reached it.
    pub address: SocketAddr,
}

impl Directory {
    /// Answers a text request. A normal session may ask for its own target only.
    pub fn answer(&self, asked: &Text, is_discovery: bool) -> Text {
        let mut answer = Text::new();
        for (key, value) in asked.iter() {
            match key {
                "SendTargets" => self.send_targets(value, is_discovery, &mut answer),
                // Said once, at the login.
                "MaxRecvDataSegmentLength" => {
                    answer.push(key, REJECT);
                }
                _ if value == NOT_UNDERSTOOD => {}
                _ => {
                    answer.push(key, NOT_UNDERSTOOD);
                }
            }
        }
        answer
    }

    fn send_targets(&self, wanted: &str, is_discovery: bool, answer: &mut Text) {
        let is_this = wanted.parse::<Name>().is_ok_and(|name| name == self.name);
        match (wanted, is_discovery) {
            ("All", true) | ("", false) => {}
            ("All", false) | ("", true) => {
                answer.push("SendTargets", REJECT);
                return;
            }
            _ if is_this => {}
            // No such target: nothing to tell.
            _ => return,
        }
        answer.push("TargetName", self.name.as_str());
        answer.push("TargetAddress", format!("{},{PORTAL_GROUP}", self.address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_asks_for_what() {
        let directory = Directory {
            name: "iqn.2026-01.test:lib".parse().unwrap(),
            address: "[::1]:3261".parse().unwrap(),
        };
        for (wanted, is_discovery, answer) in [
            ("All", true, "TargetName=iqn.2026-01.test:lib\0TargetAddress=[::1]:3261,1\0"),
            (
                "iqn.2026-01.Test:lib",
                true,
                "TargetName=iqn.2026-01.test:lib\0TargetAddress=[::1]:3261,1\0",
            ),
            ("iqn.2026-01.test:other", true, ""),
            ("", true, "SendTargets=Reject\0"),
            ("", false, "TargetName=iqn.2026-01.test:lib\0TargetAddress=[::1]:3261,1\0"),
            ("All", false, "SendTargets=Reject\0"),
        ] {
            let mut asked = Text::new();
            asked.push("SendTargets", wanted);
            let bytes = directory.answer(&asked, is_discovery).to_bytes();
            assert_eq!(String::from_utf8(bytes).unwrap(), answer, "{wanted} {is_discovery}");
        }
        let mut asked = Text::new();
        asked.push("X-strange", "1").push("X-ours", "NotUnderstood");
        assert_eq!(directory.answer(&asked, true).to_bytes(), b"X-strange=NotUnderstood\0");
    }
}
