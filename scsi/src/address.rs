//! The one form in which a user names a device.
//!
//! | form | device |
//! |---|---|
//! | `/dev/sg3`, `/dev/tape/by-id/…-sg` | SCSI generic node of this machine |
//! | `iscsi://host[:port]/target-name/lun` | logical unit of an iSCSI target |
//! | `vtl:DIR#drive0`, `vtl:DIR#changer` | unit of an emulated library in folder DIR |
//!
//! What is parsed is printed in the same form again. Whether the device exists is found out when it is
//! opened, not here.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use thiserror::Error as ThisError;

/// TCP port of iSCSI targets if the address names none.
pub const ISCSI_PORT: u16 = 3260;

/// A device as the user names it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// `/dev/sgN` or a link to it.
    Sg(PathBuf),
    /// `iscsi://host[:port]/target-iqn/lun`.
    Iscsi {
        /// Host name or address; an IPv6 address without its brackets.
        host: String,
        /// TCP port.
        port: u16,
        /// Target name.
        target: String,
        /// Logical unit number.
        lun: u64,
    },
    /// `vtl:DIR#drive0` or `vtl:DIR#changer`.
    Vtl {
        /// The library's folder.
        dir: PathBuf,
        /// Which unit of it.
        unit: VtlUnit,
    },
}

/// A unit of an emulated library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VtlUnit {
    /// Drive number, from 0.
    Drive(u16),
    /// The robot.
    Changer,
}

/// Why a text is no device address.
#[derive(Debug, Clone, PartialEq, Eq, ThisError)]
#[error(
    "'{text}' is no device address: {reason}; write /dev/…, iscsi://HOST[:PORT]/TARGET/LUN, \
     vtl:DIR#driveN or vtl:DIR#changer"
)]
pub struct AddressError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
}

const ISCSI: &str = "iscsi://";
const VTL: &str = "vtl:";

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Address, AddressError> {
        let parsed = if let Some(rest) = text.strip_prefix(ISCSI) {
            parse_iscsi(rest)
        } else if let Some(rest) = text.strip_prefix(VTL) {
            parse_vtl(rest)
        } else {
            parse_path(text)
        };
        parsed.map_err(|reason| AddressError { text: text.to_string(), reason })
    }
}

fn parse_path(text: &str) -> Result<Address, String> {
    if text.is_empty() {
        return Err("it is empty".to_string());
    }
    if text.contains('\0') {
        return Err("it contains a NUL character".to_string());
    }
    if let Some((scheme, _)) = text.split_once("://") {
        return Err(format!("'{scheme}://' is not supported"));
    }
    if !text.starts_with('/') {
        return Err("a device node needs its whole path".to_string());
    }
    if text.ends_with('/') {
        return Err("a folder is no device".to_string());
    }
    Ok(Address::Sg(PathBuf::from(text)))
}

fn parse_vtl(rest: &str) -> Result<Address, String> {
    // The folder's name may itself contain '#': the last one counts.
    let Some((dir, unit)) = rest.rsplit_once('#') else {
        return Err("'#driveN' or '#changer' is missing behind the folder".to_string());
    };
    if dir.is_empty() {
        return Err("the library's folder is missing".to_string());
    }
    if dir.contains('\0') {
        return Err("it contains a NUL character".to_string());
    }
    let unit = match unit.strip_prefix("drive") {
        Some(number) => VtlUnit::Drive(
            decimal(number).ok_or_else(|| format!("'{number}' is no drive number (0 to 65535)"))?,
        ),
        None if unit == "changer" => VtlUnit::Changer,
        None => return Err(format!("'#{unit}' is neither '#driveN' nor '#changer'")),
    };
    Ok(Address::Vtl { dir: PathBuf::from(dir), unit })
}

fn parse_iscsi(rest: &str) -> Result<Address, String> {
    let mut parts = rest.splitn(3, '/');
    let (Some(portal), Some(target), Some(lun)) = (parts.next(), parts.next(), parts.next()) else {
        return Err("HOST/TARGET/LUN is needed".to_string());
    };
    let (host, port) = parse_portal(portal)?;
    // RFC 7143 §4.2.7: iqn., eui. or naa. names of visible characters.
    let is_named = ["iqn.", "eui.", "naa."].iter().any(|kind| {
        target.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(kind)) && target.len() > 4
    });
    if !is_named || target.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(format!("'{target}' is no target name (iqn.…, eui.… or naa.…)"));
    }
    let lun = decimal(lun).ok_or_else(|| format!("'{lun}' is no logical unit number (0, 1, …)"))?;
    Ok(Address::Iscsi { host, port, target: target.to_string(), lun })
}

/// `HOST[:PORT]` of an iSCSI portal; an IPv6 address has brackets, which are not kept.
pub(crate) fn parse_portal(portal: &str) -> Result<(String, u16), String> {
    let (host, port) = match portal.strip_prefix('[') {
        Some(bracketed) => {
            let Some((host, port)) = bracketed.split_once(']') else {
                return Err("the bracket of the IPv6 address is not closed".to_string());
            };
            match port.strip_prefix(':') {
                None if port.is_empty() => (host, None),
                None => return Err(format!("'{port}' behind the host is no port")),
                Some(port) => (host, Some(port)),
            }
        }
        None => match portal.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err("an IPv6 address needs brackets".to_string());
            }
            Some((host, port)) => (host, Some(port)),
            None => (portal, None),
        },
    };
    let is_host = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '%');
    if host.is_empty() || !host.chars().all(is_host) {
        return Err(format!("'{host}' is no host name or address"));
    }
    let port = match port {
        None => ISCSI_PORT,
        Some(port) => decimal::<u16>(port)
            .filter(|port| *port != 0)
            .ok_or_else(|| format!("'{port}' is no port (1 to 65535)"))?,
    };
    Ok((host.to_string(), port))
}

/// A number of digits only, without the signs and leading zeros that `parse` lets pass.
fn decimal<T: FromStr>(text: &str) -> Option<T> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.is_empty()
        && (text == "0" || !text.starts_with('0'));
    is_plain.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Sg(path) => write!(f, "{}", path.display()),
            Address::Iscsi { host, port, target, lun } => {
                f.write_str(ISCSI)?;
                if host.contains(':') {
                    write!(f, "[{host}]")?;
                } else {
                    f.write_str(host)?;
                }
                if *port != ISCSI_PORT {
                    write!(f, ":{port}")?;
                }
                write!(f, "/{target}/{lun}")
            }
            Address::Vtl { dir, unit } => write!(f, "{VTL}{}#{unit}", dir.display()),
        }
    }
}

impl fmt::Display for VtlUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VtlUnit::Drive(number) => write!(f, "drive{number}"),
            VtlUnit::Changer => f.write_str("changer"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Address {
        text.parse().unwrap()
    }

    #[test]
    fn every_form() {
        assert_eq!(parse("/dev/sg3"), Address::Sg("/dev/sg3".into()));
        assert_eq!(
            parse("vtl:/srv/my#lib#drive12"),
            Address::Vtl { dir: "/srv/my#lib".into(), unit: VtlUnit::Drive(12) }
        );
        assert_eq!(
            parse("vtl:lib#changer"),
            Address::Vtl { dir: "lib".into(), unit: VtlUnit::Changer }
        );
        assert_eq!(
            parse("iscsi://tape.example.org/iqn.2026-01.org.example:lib/2"),
            Address::Iscsi {
                host: "tape.example.org".into(),
                port: 3260,
                target: "iqn.2026-01.org.example:lib".into(),
                lun: 2
            }
        );
    }

    #[test]
    fn printed_as_written() {
        for text in [
            "/dev/tape/by-id/scsi-1013000042-sg",
            "iscsi://10.0.0.7:3261/iqn.2026-01.org.example:lib/0",
            "iscsi://[fe80::1%eth0]/eui.02004567A425678D/1",
            "vtl:/srv/lib#changer",
            "vtl:lib#drive0",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (text, part) in [
            ("", "empty"),
            ("sg3", "whole path"),
            ("/dev/", "folder"),
            ("http://x/y", "'http://' is not supported"),
            ("vtl:/srv/lib", "'#driveN' or '#changer' is missing"),
            ("vtl:#changer", "folder is missing"),
            ("vtl:/l#drive", "'' is no drive number"),
            ("vtl:/l#drive-1", "'-1' is no drive number"),
            ("vtl:/l#drive00", "'00' is no drive number"),
            ("vtl:/l#robot", "'#robot' is neither"),
            ("iscsi://host/iqn.x", "HOST/TARGET/LUN"),
            ("iscsi:///iqn.x/0", "no host name"),
            ("iscsi://h:99999/iqn.x/0", "'99999' is no port"),
            ("iscsi://fe80::1/iqn.x/0", "brackets"),
            ("iscsi://[fe80::1/iqn.x/0", "not closed"),
            ("iscsi://h/lib/0", "'lib' is no target name"),
            ("iscsi://h/iqn./0", "no target name"),
            ("iscsi://h/iqn.x/x", "'x' is no logical unit"),
            ("iscsi://h/iqn.x/1/2", "'1/2' is no logical unit"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
            assert!(error.contains("vtl:DIR#driveN"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn whatever_parses_prints_to_the_same_address(text in ".{0,40}|(iscsi://|vtl:|/)[a-z0-9./:#\\[\\]-]{0,40}") {
            if let Ok(address) = text.parse::<Address>() {
                prop_assert_eq!(address.to_string().parse::<Address>(), Ok(address));
            }
        }
    }
}
