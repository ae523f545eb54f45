//! One block on its way between host and log: decrypted and encrypted as the host's parameters say, with the
//! check value of logical block protection where the host asked for one. The value is checked before
//! anything else happens to a block from the host, and made last for a block to it.
//!
//! What a host must not see never reaches its buffer: a block that may be encrypted is read into the
//! drive's own memory first, and copied only when it is known what it is. Where the cartridge's memory says
//! that no encrypted block lies this far, blocks go straight to the host.

use scsi::Sense;
use scsi::command::protection::{CHECK_BYTES, Protection};
use scsi::command::security::DecryptionMode;

use super::{Drive, security, threaded};
use crate::cartridge::{Fault, Object, Seal};
use crate::unit::{Nexus, Stop};

/// Why a block was not delivered.
pub(super) enum Refusal {
    /// The log could not give it.
    Fault(Fault),
    /// The drive does not: the tape stays before it.
    Stop(Stop),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        Refusal::Fault(fault)
    }
}

impl From<Sense> for Refusal {
    fn from(sense: Sense) -> Refusal {
        Refusal::Stop(sense.into())
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Refusal {
        Refusal::Stop(stop)
    }
}

/// Memory for one block, kept between commands.
#[derive(Debug, Default)]
pub(super) struct Staging {
    data: Vec<u8>,
    seal: Vec<u8>,
}

/// Reads the object at the drive's position as `nexus` is to see it. Of a block, as much as fits goes to
/// `buffer`; the reply tells its whole length.
pub(super) fn read(drive: &mut Drive, nexus: Nexus, buffer: &mut [u8]) -> Result<Object, Refusal> {
    drive.encryption.check_lock(nexus)?;
    let decryption = drive.encryption.decryption(nexus);
    let position = drive.record.position;
    let check = drive.hosts.protection(nexus);
    let check = if check.reads { check.method } else { None };
    let Drive { medium, staging, .. } = drive;
    let cartridge = threaded(medium)?;
    let may_be_sealed = cartridge.first_encrypted().is_some_and(|first| position >= first);
    if !may_be_sealed && decryption != DecryptionMode::Decrypt && check.is_none() {
        let object = cartridge.log.read_sealed(position, buffer, &mut staging.seal)?;
        if staging.seal.is_empty() {
            return Ok(object);
        }
        // The memory was wrong about it: what was read is not for the host.
        buffer.fill(0);
    }
    let Object::Block(length) = cartridge.log.kind(position)? else {
        return Ok(cartridge.log.read(position, &mut [])?);
    };
    staging.data.resize(length as usize, 0);
    cartridge.log.read_sealed(position, &mut staging.data, &mut staging.seal)?;
    open(drive, nexus, decryption)?;
    if let Some(method) = check {
        let value = method.check(&drive.staging.data);
        drive.staging.data.extend_from_slice(&value);
    }
    let staged = &drive.staging.data;
    let sent = staged.len().min(buffer.len());
    if let (Some(to), Some(from)) = (buffer.get_mut(..sent), staged.get(..sent)) {
        to.copy_from_slice(from);
    }
    // A block has at most 16 MiB, and its seal some hundred bytes.
    Ok(Object::Block(staged.len() as u32))
}

/// Turns the staged block into what the host is to see.
fn open(drive: &mut Drive, nexus: Nexus, decryption: DecryptionMode) -> Result<(), Stop> {
    let Drive { staging, encryption, .. } = drive;
    if staging.seal.is_empty() {
        return match decryption {
            DecryptionMode::Decrypt => Err(Sense::NOT_ENCRYPTED.into()),
            _ => Ok(()),
        };
    }
    let seal = Seal::decode(&staging.seal).ok_or(Sense::DECRYPTION_FAILED)?;
    match decryption {
        DecryptionMode::Off => Err(Sense::NO_KEY.into()),
        DecryptionMode::Raw if !seal.raw_allowed => Err(Sense::NOT_RAW_READABLE.into()),
        DecryptionMode::Raw => {
            staging.data.extend_from_slice(&staging.seal);
            Ok(())
        }
        DecryptionMode::Decrypt | DecryptionMode::Mixed => {
            encryption.unseal(nexus, &mut staging.data, &seal)
        }
    }
}

/// By how much a block is longer on its way to a host.
pub(super) fn check_bytes(protection: Protection) -> u32 {
    if protection.reads { CHECK_BYTES as u32 } else { 0 }
}

/// The data of a block that a host sent: without its check value, which is verified here.
pub(super) fn received(protection: Protection, block: &[u8]) -> Result<&[u8], Sense> {
    match protection.method {
        Some(method) if protection.writes => {
            method.verified(block).ok_or(Sense::PROTECTION_CHECK_FAILED)
        }
        _ => Ok(block),
    }
}

/// Records a block of `nexus` behind what is on the tape.
pub(super) fn append(drive: &mut Drive, nexus: Nexus, data: &[u8]) -> Result<(), Stop> {
    let Drive { medium, encryption, .. } = drive;
    let cartridge = threaded(medium)?;
    let (data, seal) = encryption.seal(nexus, data)?;
    Ok(cartridge.append_block(data, &seal)?)
}

/// Refuses a write that the host's encryption parameters do not allow on this tape.
pub(super) fn check_encryption(drive: &mut Drive, nexus: Nexus) -> Result<(), Stop> {
    drive.encryption.check_lock(nexus)?;
    let format = threaded(&mut drive.medium)?.state.generation;
    if drive.encryption.encrypts(nexus) && !security::can_encrypt(format) {
        return Err(Sense::ENCRYPTION_NOT_USABLE.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use scsi::command::security::SetEncryption;
    use scsi::{Data, Transport};

    use super::*;
    use crate::cartridge::{Cartridge, IV_BYTES, TAG_BYTES};
    use crate::drive::cipher::Key;
    use crate::{Library, Options};

    const SECONDS: Duration = Duration::from_secs(1);

    /// A block whose record is whole but whose seal is not what the drive wrote.
    fn read_with(seal_of: impl Fn(Seal) -> Vec<u8>) -> Option<Sense> {
        let dir = tempfile::tempdir().unwrap();
        let library = Library::create(dir.path(), &Options::default()).unwrap();
        let key = [7; 32];
        let mut seal = Seal {
            raw_allowed: true,
            key_name: [0; 8],
            iv: [0; IV_BYTES],
            tag: [0; TAG_BYTES],
            unauthenticated: Vec::new(),
            authenticated: Vec::new(),
            nonce: Vec::new(),
        };
        let mut data = Vec::new();
        Key::new(&key).unwrap().unwrap().seal(&[1; 100], &mut data, &mut seal).unwrap();
        let mut cartridge = Cartridge::open(&dir.path().join("cartridges/CAP001L8")).unwrap();
        cartridge.append_block(&data, &seal_of(seal)).unwrap();
        cartridge.close().unwrap();
        let mut changer = library.changer().unwrap();
        let moved = [0xa5, 0, 0, 0, 0x04, 0x00, 0x01, 0x00, 0, 0, 0, 0];
        while changer.execute(&moved, Data::None, SECONDS).unwrap().sense.is_some() {}
        let mut drive = library.drive(0).unwrap();
        while drive.execute(&[0; 6], Data::None, SECONDS).unwrap().sense.is_some() {}
        SetEncryption::mixed(1, &key).send(&mut drive).unwrap();
        let mut buffer = [0xee; 100];
        let read = [0x08, 0x02, 0, 0, 100, 0];
        let reply = drive.execute(&read, Data::In(&mut buffer), SECONDS).unwrap();
        let expected = if reply.sense.is_none() { 1 } else { 0xee };
        assert!(buffer.iter().all(|byte| *byte == expected));
        reply.sense.map(|sense| Sense { information: None, ..sense })
    }

    #[test]
    fn a_seal_that_was_changed_is_told_and_nothing_is_delivered() {
        assert_eq!(read_with(|seal| seal.encode()), None);
        let changed = read_with(|mut seal| {
            seal.tag[3] ^= 0x40;
            seal.encode()
        });
        assert_eq!(changed, Some(Sense::ENCRYPTED_BLOCK_CHANGED));
        let unknown = read_with(|seal| {
            let mut bytes = seal.encode();
            bytes[0] = 2;
            bytes
        });
        assert_eq!(unknown, Some(Sense::DECRYPTION_FAILED));
    }
}
