//! SECURITY PROTOCOL IN and OUT: the pages of tape data encryption (SSC-5 §8.5).
//!
//! What a set of parameters means is in `encryption`, the pages' bytes are in `scsi::command::security`.
//! Every drive here is an LTO-4 or newer and has them; older cartridges hold plain blocks only.

use scsi::Sense;
use scsi::command::security::{
    AES_256_GCM_128, Ability, Algorithm, AssociatedData, AssociatedKind, BlockEncryption,
    DecryptionMode, EncryptionCapabilities, EncryptionMode, EncryptionStatus, ExternalControl,
    HostControl, ManagementCapabilities, NextBlockStatus, PAGE_CAPABILITIES, PAGE_IN_LIST,
    PAGE_KEY_FORMATS, PAGE_MANAGEMENT, PAGE_NEXT_BLOCK, PAGE_OUT_LIST, PAGE_SET, PAGE_STATUS,
    PROTOCOL_INFORMATION, PROTOCOL_TAPE_DATA_ENCRYPTION, ParametersControl, RawReadDefault,
    SetEncryption, key_formats, page_list, protocols,
};

use super::encryption::{ALGORITHM, AUTHENTICATED_BYTES_MAX, UNAUTHENTICATED_BYTES_MAX};
use super::{Drive, Medium, threaded};
use crate::cartridge::{KEY_BYTES, Object, Seal};
use crate::generation::Generation;
use crate::unit::{Command, Done, Nexus, Stop};

/// The host may send unauthenticated, authenticated data and a nonce, which the drive records (NONCE_C 11b).
const ASSOCIATED_RULES: u8 = 0x30;

/// Cartridges that can hold encrypted blocks: LTO-4 and newer.
pub(super) fn can_encrypt(format: Generation) -> bool {
    format >= Generation::Lto4
}

impl Drive {
    /// Follows who is in charge of encryption, and tells the hosts.
    pub(super) fn follow_encryption_control(&mut self) -> Done {
        let control = self.home.encryption_control();
        if self.encryption.follow(&control).map_err(Stop::Host)? {
            self.attentions.raise(Sense::ENCRYPTION_CHANGED_ELSEWHERE, None);
        }
        Ok(())
    }

    fn capabilities(&self) -> EncryptionCapabilities {
        let is_managed = self.encryption.is_library_managed();
        let ability = if is_managed { Ability::ExternalControl } else { Ability::Hardware };
        let valid_for_volume = match &self.medium {
            Medium::Threaded(cartridge) => can_encrypt(cartridge.state.generation),
            _ => false,
        };
        EncryptionCapabilities {
            external_control: if is_managed {
                ExternalControl::Present
            } else {
                ExternalControl::Absent
            },
            host_control: if is_managed { HostControl::Prevented } else { HostControl::Allowed },
            algorithms: vec![Algorithm {
                index: ALGORITHM,
                valid_for_volume,
                authenticates: true,
                distinguishes: true,
                decrypt: ability,
                encrypt: ability,
                associated_rules: ASSOCIATED_RULES,
                unauthenticated_bytes_max: UNAUTHENTICATED_BYTES_MAX,
                authenticated_bytes_max: AUTHENTICATED_BYTES_MAX,
                key_bytes: KEY_BYTES as u16,
                raw_read: RawReadDefault::Allowed,
                remembers_encryption_mode: true,
                code: AES_256_GCM_128,
            }],
        }
    }

    fn encryption_status(&self, nexus: Nexus) -> EncryptionStatus {
        let in_force = self.encryption.in_force(nexus);
        let mut status = match in_force.parameters {
            Some(parameters) => {
                let mut status = EncryptionStatus::of(parameters.encryption, parameters.decryption);
                status.associated = parameters.associated.clone();
                status.raw_read_disabled = !parameters.raw_allowed;
                status
            }
            None => EncryptionStatus::of(EncryptionMode::Off, DecryptionMode::Off),
        };
        status.scope = in_force.scope;
        status.key_scope = in_force.key_scope;
        status.algorithm = if status.is_off() { 0 } else { ALGORITHM };
        status.key_instance = self.encryption.instance(nexus);
        status.control = if self.encryption.is_library_managed() {
            ParametersControl::Library
        } else {
            ParametersControl::Hosts
        };
        status.volume_has_encrypted = match &self.medium {
            Medium::Threaded(cartridge) => cartridge.state.has_encrypted(),
            _ => false,
        };
        status
    }

    fn next_block(&mut self, nexus: Nexus) -> Result<NextBlockStatus, Stop> {
        let object = self.record.position;
        let log = &mut threaded(&mut self.medium)?.log;
        let mut status = NextBlockStatus {
            object,
            encryption: Some(BlockEncryption::NotABlock),
            algorithm: 0,
            is_external: false,
            raw_read_disabled: false,
            associated: Vec::new(),
        };
        if object >= log.objects() {
            return Ok(status);
        }
        let Object::Block(length) = log.kind(object)? else { return Ok(status) };
        if !log.is_sealed(object)? {
            status.encryption = Some(BlockEncryption::Plain);
            return Ok(status);
        }
        let (mut data, mut seal) = (vec![0; length as usize], Vec::new());
        log.read_sealed(object, &mut data, &mut seal)?;
        let Some(seal) = Seal::decode(&seal) else {
            status.encryption = Some(BlockEncryption::UnknownAlgorithm);
            return Ok(status);
        };
        let in_force = self.encryption.in_force(nexus).parameters;
        let is_readable = in_force.is_some_and(|parameters| parameters.read(&seal));
        status.encryption = Some(if is_readable {
            BlockEncryption::Readable
        } else {
            BlockEncryption::NotReadable
        });
        status.algorithm = ALGORITHM;
        status.raw_read_disabled = !seal.raw_allowed;
        let parts = [
            (AssociatedKind::Unauthenticated, seal.unauthenticated),
            (AssociatedKind::Authenticated, seal.authenticated),
            (AssociatedKind::Nonce, seal.nonce),
        ];
        status.associated = parts
            .into_iter()
            .filter(|(_, data)| !data.is_empty())
            .map(|(kind, data)| AssociatedData { kind, data })
            .collect();
        Ok(status)
    }
}

/// Lengths count bytes here, not units of 512.
fn check(command: &Command<'_, '_>) -> Done {
    if command.byte(4) & 0x80 != 0 {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    Ok(())
}

/// SECURITY PROTOCOL IN.
pub(super) fn protocol_in(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    check(command)?;
    let (protocol, page) = (command.byte(1), command.number(2, 2) as u16);
    let nexus = command.nexus;
    let reply = match (protocol, page) {
        (PROTOCOL_INFORMATION, PAGE_IN_LIST) => {
            protocols(&[PROTOCOL_INFORMATION, PROTOCOL_TAPE_DATA_ENCRYPTION])
        }
        (PROTOCOL_TAPE_DATA_ENCRYPTION, page) => match page {
            PAGE_IN_LIST => page_list(
                page,
                &[
                    PAGE_IN_LIST,
                    PAGE_OUT_LIST,
                    PAGE_CAPABILITIES,
                    PAGE_KEY_FORMATS,
                    PAGE_MANAGEMENT,
                    PAGE_STATUS,
                    PAGE_NEXT_BLOCK,
                ],
            ),
            PAGE_OUT_LIST => page_list(page, &[PAGE_SET]),
            PAGE_CAPABILITIES => drive.capabilities().build(),
            PAGE_KEY_FORMATS => key_formats(),
            PAGE_MANAGEMENT => management().build(),
            PAGE_STATUS => drive.encryption_status(nexus).build(),
            PAGE_NEXT_BLOCK => drive.next_block(nexus)?.build(),
            _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
        },
        _ => return Err(Sense::INVALID_FIELD_IN_CDB.into()),
    };
    command.reply(&reply, command.number(6, 4));
    Ok(())
}

fn management() -> ManagementCapabilities {
    ManagementCapabilities {
        lock: true,
        clear_on_demount: true,
        clear_on_preempt: false,
        clear_on_reservation_loss: false,
        all_scope: true,
        local_scope: true,
        public_scope: true,
    }
}

/// SECURITY PROTOCOL OUT. Everything is checked before anything changes.
pub(super) fn protocol_out(drive: &mut Drive, command: &mut Command<'_, '_>) -> Done {
    check(command)?;
    let (protocol, page) = (command.byte(1), command.number(2, 2) as u16);
    if (protocol, page) != (PROTOCOL_TAPE_DATA_ENCRYPTION, PAGE_SET) {
        return Err(Sense::INVALID_FIELD_IN_CDB.into());
    }
    if drive.encryption.is_library_managed() {
        return Err(Sense::ENCRYPTION_PREVENTED.into());
    }
    let length = usize::try_from(command.number(6, 4)).unwrap_or(usize::MAX);
    if length == 0 {
        return Ok(());
    }
    let list = command.parameters(length)?;
    if list.len() < SET_BYTES_MIN {
        return Err(Sense::PARAMETER_LIST_LENGTH.into());
    }
    let set = SetEncryption::parse(list).map_err(|_| Sense::INVALID_FIELD_IN_PARAMETERS)?;
    let nexus = command.nexus;
    if drive.encryption.set(nexus, &set)? {
        let sharing: Vec<Nexus> = drive
            .hosts
            .all()
            .filter(|other| *other != nexus && drive.encryption.shares(*other))
            .collect();
        for other in sharing {
            drive.attentions.raise_for(other, Sense::ENCRYPTION_CHANGED);
        }
    }
    Ok(())
}

/// A page up to the length of its key.
const SET_BYTES_MIN: usize = 20;
