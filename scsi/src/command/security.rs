//! Tape data encryption (SSC-5 §8.5) through SECURITY PROTOCOL IN and OUT (SPC-4 §6.40, §6.41).
//!
//! Two pages of security protocol 20h: the state of encryption, and turning it off.
//!
//! | data encryption status (IN 0020h) | off | size |
//! |---|--:|--:|
//! | page code 0020h | 0 | 2 |
//! | page length | 2 | 2 |
//! | scope | 4 | 1 |
//! | encryption mode: 0 off, 1 external, 2 encrypt | 5 | 1 |
//! | decryption mode: 0 off, 1 raw, 2 decrypt, 3 mixed | 6 | 1 |
//! | algorithm index and more | 7 | 17 |
//!
//! | set data encryption (OUT 0010h), without a key | off | size |
//! |---|--:|--:|
//! | page code 0010h | 0 | 2 |
//! | page length 16 | 2 | 2 |
//! | scope 40h: all I_T nexus | 4 | 1 |
//! | flags | 5 | 1 |
//! | encryption mode | 6 | 1 |
//! | decryption mode | 7 | 1 |
//! | algorithm index, key format, reserved, key length 0 | 8 | 12 |

use super::fields::Fields;
use super::{Cdb, fetch, opcode, put, timeout};
use crate::transport::{Error, Transport};

/// Security protocol of tape data encryption.
const TAPE_DATA_ENCRYPTION: u8 = 0x20;
const PAGE_SET: u16 = 0x0010;
const PAGE_STATUS: u16 = 0x0020;
/// More is refused by some drives.
const ALLOCATION: u32 = 8192;
/// Some drives announce more than they send; so much must be there.
const STATUS_BYTES: usize = 24;
const SCOPE_ALL_NEXUS: u8 = 0x40;
const SET_BYTES: u8 = 20;

/// SECURITY PROTOCOL IN for a page of tape data encryption; the allocation length counts bytes.
pub const fn protocol_in_cdb(page: u16, allocation: u32) -> Cdb {
    let [high, low] = page.to_be_bytes();
    let [a, b, c, d] = allocation.to_be_bytes();
    let (code, protocol) = (opcode::SECURITY_PROTOCOL_IN, TAPE_DATA_ENCRYPTION);
    Cdb::new([code, protocol, high, low, 0, 0, a, b, c, d, 0, 0])
}

/// SECURITY PROTOCOL OUT for a page of tape data encryption of `length` bytes.
pub const fn protocol_out_cdb(page: u16, length: u32) -> Cdb {
    let [high, low] = page.to_be_bytes();
    let [a, b, c, d] = length.to_be_bytes();
    let (code, protocol) = (opcode::SECURITY_PROTOCOL_OUT, TAPE_DATA_ENCRYPTION);
    Cdb::new([code, protocol, high, low, 0, 0, a, b, c, d, 0, 0])
}

/// What a drive does with the blocks that it writes and reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncryptionStatus {
    /// 0 off, 1 external, 2 encrypt.
    pub encryption_mode: u8,
    /// 0 off, 1 raw, 2 decrypt, 3 mixed.
    pub decryption_mode: u8,
}

impl EncryptionStatus {
    /// Blocks are written and read as they are.
    pub const OFF: EncryptionStatus = EncryptionStatus { encryption_mode: 0, decryption_mode: 0 };

    /// The command that [`EncryptionStatus::request`] sends.
    pub const fn cdb() -> Cdb {
        protocol_in_cdb(PAGE_STATUS, ALLOCATION)
    }

    /// Asks a drive. Many fail without a medium.
    pub fn request(transport: &mut dyn Transport) -> Result<EncryptionStatus, Error> {
        let reply =
            fetch(transport, &EncryptionStatus::cdb(), ALLOCATION as usize, timeout::SHORT)?;
        EncryptionStatus::parse(&reply)
    }

    /// Decodes the page. The scope is not looked at: some devices report another than was set.
    pub fn parse(bytes: &[u8]) -> Result<EncryptionStatus, Error> {
        let fields =
            Fields::new(opcode::SECURITY_PROTOCOL_IN, "data encryption status page", bytes);
        let page = fields.u16(0)?;
        if page != PAGE_STATUS {
            return Err(Error::Malformed {
                opcode: opcode::SECURITY_PROTOCOL_IN,
                reason: format!("page {page:04x}h instead of {PAGE_STATUS:04x}h"),
            });
        }
        fields.slice(0, STATUS_BYTES)?;
        Ok(EncryptionStatus { encryption_mode: fields.u8(5)?, decryption_mode: fields.u8(6)? })
    }

    /// The page as a device sends it.
    pub fn build(&self) -> [u8; STATUS_BYTES] {
        let mut page = [0; STATUS_BYTES];
        let [high, low] = PAGE_STATUS.to_be_bytes();
        page[0] = high;
        page[1] = low;
        page[3] = (STATUS_BYTES - 4) as u8;
        page[5] = self.encryption_mode;
        page[6] = self.decryption_mode;
        page
    }
}

/// The command that [`clear_encryption`] sends.
pub const fn clear_encryption_cdb() -> Cdb {
    protocol_out_cdb(PAGE_SET, SET_BYTES as u32)
}

/// The page that turns encryption and decryption off for every host, and removes the key.
pub const fn clear_encryption_page() -> [u8; SET_BYTES as usize] {
    let [high, low] = PAGE_SET.to_be_bytes();
    let mut page = [0; SET_BYTES as usize];
    page[0] = high;
    page[1] = low;
    page[3] = SET_BYTES - 4;
    page[4] = SCOPE_ALL_NEXUS;
    page
}

/// Turns encryption and decryption off. Whether the drive obeyed is told by its status.
pub fn clear_encryption(transport: &mut dyn Transport) -> Result<(), Error> {
    put(transport, &clear_encryption_cdb(), &clear_encryption_page(), timeout::SHORT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Sense;
    use crate::testing::Script;

    #[test]
    fn bytes_are_those_of_the_standard() {
        assert_eq!(&*EncryptionStatus::cdb(), &[0xa2, 0x20, 0, 0x20, 0, 0, 0, 0, 0x20, 0, 0, 0]);
        assert_eq!(&*clear_encryption_cdb(), &[0xb5, 0x20, 0, 0x10, 0, 0, 0, 0, 0, 20, 0, 0]);
        assert_eq!(
            clear_encryption_page(),
            [0, 0x10, 0, 16, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        );
    }

    #[test]
    fn the_status_is_read_although_it_announces_more() {
        let on = EncryptionStatus { encryption_mode: 2, decryption_mode: 3 };
        let mut page = on.build();
        assert_eq!(EncryptionStatus::parse(&page).unwrap(), on);
        page[3] = 0x20;
        assert_eq!(EncryptionStatus::parse(&page).unwrap(), on);
        for length in 0..page.len() {
            assert!(EncryptionStatus::parse(&page[..length]).is_err(), "{length}");
        }
        page[1] = 0x10;
        assert!(EncryptionStatus::parse(&page).is_err(), "another page");
    }

    #[test]
    fn commands_are_sent() {
        let mut script = Script::new();
        script.expect_in(&EncryptionStatus::cdb(), &EncryptionStatus::OFF.build());
        script.expect_out(&clear_encryption_cdb(), &clear_encryption_page());
        script.expect_check(&EncryptionStatus::cdb(), Sense::INVALID_OPCODE);
        let mut device = script.device();
        assert_eq!(EncryptionStatus::request(&mut device).unwrap(), EncryptionStatus::OFF);
        clear_encryption(&mut device).unwrap();
        let error = EncryptionStatus::request(&mut device).unwrap_err();
        assert!(error.sense().is_some_and(|sense| sense.is_unsupported()));
    }
}
