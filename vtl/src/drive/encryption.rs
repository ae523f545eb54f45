//! Whose encryption parameters are in force: scopes, locks, what clears a key (SSC-5 §4.2.22).
//!
//! A host's scope is *public* until it sets parameters. With *local* ones it has its own; *all* makes them
//! those of every host that has none of its own. So for each host at most one set is in force, and
//! the others are told when it changes (6/2A/11).
//!
//! **A key lives in the memory of the process that has the drive open, and nowhere else.** It is wiped
//! when it is replaced, when the drive is reset or closed, and with CKOD when the tape is demounted. It is
//! never written to the drive's state file, although position and settings are: keys on the disk beside the
//! cartridges that they open would protect nothing, and a real drive forgets its key when it is
//! switched off. So the last program that closes a drive takes the key with it, as a power cycle would.

use std::collections::BTreeMap;
use std::io;

use scsi::Sense;
use scsi::command::security::{
    AssociatedData, AssociatedKind, DecryptionMode, EncryptionMode, KEY_FORMAT_PLAIN, RawReads,
    Scope, SetEncryption,
};

use super::cipher::{Key, Unsealed};
use crate::cartridge::{IV_BYTES, KEY_BYTES, Seal, TAG_BYTES};
use crate::encryption_control::EncryptionControl;
use crate::unit::{Nexus, Stop};

/// Index of the one algorithm.
pub(super) const ALGORITHM: u8 = 1;
/// Most bytes of unauthenticated key-associated data.
pub(super) const UNAUTHENTICATED_BYTES_MAX: u16 = 32;
/// Most bytes of authenticated key-associated data.
pub(super) const AUTHENTICATED_BYTES_MAX: u16 = 12;
/// Most bytes of a host's nonce.
const NONCE_BYTES_MAX: usize = 12;
/// So many keys may be tried that do not fit the tape.
const WRONG_KEYS_MAX: u8 = 10;

/// One set of parameters.
#[derive(Debug)]
pub(super) struct Parameters {
    pub encryption: EncryptionMode,
    pub decryption: DecryptionMode,
    key: Option<Key>,
    pub associated: Vec<AssociatedData>,
    pub raw_allowed: bool,
    clear_on_demount: bool,
    /// The key instance counter when they were set.
    pub instance: u32,
    /// The key was counted among those that do not fit.
    is_counted_wrong: bool,
}

/// A set of parameters as one host sees it.
pub(super) struct InForce<'a> {
    /// The host's scope.
    pub scope: Scope,
    /// Where the key comes from.
    pub key_scope: Scope,
    /// `None`: off.
    pub parameters: Option<&'a Parameters>,
}

/// All parameters of a drive.
#[derive(Debug, Default)]
pub(super) struct Encryption {
    /// What hosts share, and who set it.
    all: Option<(Nexus, Parameters)>,
    local: BTreeMap<Nexus, Parameters>,
    /// Key instance that a host locked itself to.
    locked: BTreeMap<Nexus, u32>,
    /// What the library has set, if it is in charge.
    library: Option<Option<Parameters>>,
    instance: u32,
    wrong_keys: u8,
    /// Takes a block while it is encrypted.
    sealed: Vec<u8>,
}

/// True if the modes that a host asks for work with a key.
fn needs_key(set: &SetEncryption) -> bool {
    set.encryption != EncryptionMode::Off
        || matches!(set.decryption, DecryptionMode::Decrypt | DecryptionMode::Mixed)
}

impl Parameters {
    /// What a host asks for, checked against what this drive can do.
    fn from_host(set: &SetEncryption, instance: u32) -> Result<Parameters, Stop> {
        let wrong = Stop::from(Sense::INVALID_FIELD_IN_PARAMETERS);
        let needs_key = needs_key(set);
        // No supplemental keys, no blocks that hosts encrypted themselves, no reservations to lose.
        let is_unknown = set.supplemental
            || set.check_external > 1
            || set.clear_on_preempt
            || set.clear_on_reservation_loss
            || set.encryption == EncryptionMode::External
            || set.key_format != KEY_FORMAT_PLAIN;
        if is_unknown || (needs_key && set.algorithm != ALGORITHM) {
            return Err(wrong);
        }
        let key = match (needs_key, set.key.as_slice()) {
            // Programs in the field turn encryption off with a key of zeros in the page, and drives
            // ignore it.
            (false, bytes) if bytes.is_empty() || bytes.len() == KEY_BYTES => None,
            (true, bytes) => Some(Key::new(bytes).map_err(Stop::Host)?.ok_or(wrong)?),
            (false, _) => return Err(wrong),
        };
        check_associated(&set.associated, key.is_some())?;
        Ok(Parameters {
            encryption: set.encryption,
            decryption: set.decryption,
            key,
            associated: set.associated.clone(),
            raw_allowed: set.raw_reads != RawReads::Forbidden,
            clear_on_demount: set.clear_on_demount,
            instance,
            is_counted_wrong: false,
        })
    }

    fn blank_seal(&self) -> Seal {
        let associated = |kind| {
            AssociatedData::find(&self.associated, kind).map(<[u8]>::to_vec).unwrap_or_default()
        };
        Seal {
            raw_allowed: self.raw_allowed,
            key_name: [0; 8],
            iv: [0; IV_BYTES],
            tag: [0; TAG_BYTES],
            unauthenticated: associated(AssociatedKind::Unauthenticated),
            authenticated: associated(AssociatedKind::Authenticated),
            nonce: associated(AssociatedKind::Nonce),
        }
    }

    /// True if they read a block with this seal.
    pub fn read(&self, seal: &Seal) -> bool {
        match self.decryption {
            DecryptionMode::Off => false,
            DecryptionMode::Raw => seal.raw_allowed,
            DecryptionMode::Decrypt | DecryptionMode::Mixed => {
                self.key.as_ref().is_some_and(|key| key.sealed(seal))
            }
        }
    }
}

/// Each kind at most once, ascending, within its limit, and only with a key.
fn check_associated(associated: &[AssociatedData], has_key: bool) -> Result<(), Stop> {
    let rank = |one: &AssociatedData| match one.kind {
        AssociatedKind::Unauthenticated => Some((0, usize::from(UNAUTHENTICATED_BYTES_MAX))),
        AssociatedKind::Authenticated => Some((1, usize::from(AUTHENTICATED_BYTES_MAX))),
        AssociatedKind::Nonce => Some((2, NONCE_BYTES_MAX)),
        AssociatedKind::Metadata | AssociatedKind::Other(_) => None,
    };
    let ranks: Option<Vec<(u8, usize)>> = associated.iter().map(rank).collect();
    let is_right = ranks.is_some_and(|ranks| {
        ranks.is_sorted_by(|one, next| one.0 < next.0)
            && ranks.iter().zip(associated).all(|((_, most), one)| one.data.len() <= *most)
    });
    if is_right && (has_key || associated.is_empty()) {
        return Ok(());
    }
    Err(Sense::INVALID_FIELD_IN_PARAMETERS.into())
}

impl Encryption {
    /// Looks who is in charge. True if that, or what the library set, changed: every host is to be told.
    pub fn follow(&mut self, control: &EncryptionControl) -> io::Result<bool> {
        let key = match control {
            EncryptionControl::Hosts => return Ok(self.library.take().is_some()),
            EncryptionControl::Library { key } => key.as_deref(),
        };
        let is_same = match (&self.library, key) {
            (Some(Some(parameters)), Some(bytes)) => {
                parameters.key.as_ref().is_some_and(|key| key.is(bytes))
            }
            (Some(None), None) => true,
            _ => false,
        };
        if is_same {
            return Ok(false);
        }
        // What hosts had set is gone for good.
        self.forget_keys();
        let key = match key {
            Some(bytes) => Key::new(bytes)?,
            None => None,
        };
        self.library = Some(key.map(|key| Parameters {
            encryption: EncryptionMode::Encrypt,
            decryption: DecryptionMode::Mixed,
            key: Some(key),
            associated: Vec::new(),
            raw_allowed: false,
            clear_on_demount: false,
            instance: self.instance,
            is_counted_wrong: false,
        }));
        Ok(true)
    }

    /// A library is in charge.
    pub fn is_library_managed(&self) -> bool {
        self.library.is_some()
    }

    /// What is in force for a host.
    pub fn in_force(&self, nexus: Nexus) -> InForce<'_> {
        if let Some(library) = &self.library {
            let key_scope = if library.is_some() { Scope::All } else { Scope::Public };
            return InForce { scope: Scope::Public, key_scope, parameters: library.as_ref() };
        }
        if let Some(own) = self.local.get(&nexus) {
            let scope = Scope::Local;
            return InForce { scope, key_scope: scope, parameters: Some(own) };
        }
        match &self.all {
            Some((owner, shared)) => {
                let scope = if *owner == nexus { Scope::All } else { Scope::Public };
                InForce { scope, key_scope: Scope::All, parameters: Some(shared) }
            }
            None => InForce { scope: Scope::Public, key_scope: Scope::Public, parameters: None },
        }
    }

    fn parameters_mut(&mut self, nexus: Nexus) -> Option<&mut Parameters> {
        if let Some(library) = &mut self.library {
            return library.as_mut();
        }
        if self.local.contains_key(&nexus) {
            return self.local.get_mut(&nexus);
        }
        self.all.as_mut().map(|(_, shared)| shared)
    }

    /// The key instance counter that a host sees.
    pub fn instance(&self, nexus: Nexus) -> u32 {
        self.in_force(nexus).parameters.map_or(self.instance, |parameters| parameters.instance)
    }

    /// True if a host without parameters of its own would notice a change of the shared ones.
    pub fn shares(&self, nexus: Nexus) -> bool {
        !self.local.contains_key(&nexus)
    }

    /// Takes what a host asks for. True if the shared parameters changed, so that the other hosts must
    /// be told.
    pub fn set(&mut self, nexus: Nexus, set: &SetEncryption) -> Result<bool, Stop> {
        if self.is_library_managed() {
            return Err(Sense::ENCRYPTION_PREVENTED.into());
        }
        if needs_key(set) && self.wrong_keys >= WRONG_KEYS_MAX {
            return Err(Sense::KEY_FAIL_LIMIT.into());
        }
        let instance = self.instance.wrapping_add(1);
        let owned = self.all.as_ref().is_some_and(|(owner, _)| *owner == nexus);
        let is_shared_changed = match set.scope {
            // Everything else in the page is ignored.
            Scope::Public => {
                self.local.remove(&nexus);
                if owned {
                    self.all = None;
                }
                owned
            }
            Scope::Local => {
                let parameters = Parameters::from_host(set, instance)?;
                self.local.insert(nexus, parameters);
                if owned {
                    self.all = None;
                }
                owned
            }
            Scope::All => {
                let parameters = Parameters::from_host(set, instance)?;
                self.local.remove(&nexus);
                self.all = Some((nexus, parameters));
                true
            }
        };
        self.instance = instance;
        if set.lock {
            self.locked.insert(nexus, self.instance(nexus));
        } else {
            self.locked.remove(&nexus);
        }
        Ok(is_shared_changed)
    }

    /// A host that locked itself to parameters reads and writes with no others.
    pub fn check_lock(&self, nexus: Nexus) -> Result<(), Sense> {
        match self.locked.get(&nexus) {
            Some(instance) if *instance != self.instance(nexus) => Err(Sense::LOCKED_KEY_CHANGED),
            _ => Ok(()),
        }
    }

    /// A host's session ended: what was its own goes, what it shared stays.
    pub fn nexus_lost(&mut self, nexus: Nexus) {
        self.local.remove(&nexus);
        self.locked.remove(&nexus);
    }

    /// The tape left the heads.
    pub fn demounted(&mut self) {
        self.wrong_keys = 0;
        self.local.retain(|_, parameters| !parameters.clear_on_demount);
        if self.all.as_ref().is_some_and(|(_, shared)| shared.clear_on_demount) {
            self.all = None;
        }
    }

    /// Reset: as after power on.
    pub fn forget_keys(&mut self) {
        let (instance, library) = (self.instance.wrapping_add(1), self.library.take());
        *self = Encryption { instance, library, ..Encryption::default() };
    }

    /// How a host's reads are decrypted.
    pub fn decryption(&self, nexus: Nexus) -> DecryptionMode {
        self.in_force(nexus).parameters.map_or(DecryptionMode::Off, |one| one.decryption)
    }

    /// Decrypts a block in its place.
    pub fn unseal(&mut self, nexus: Nexus, data: &mut [u8], seal: &Seal) -> Result<(), Stop> {
        let wrong_keys = self.wrong_keys;
        let Some(parameters) = self.parameters_mut(nexus) else {
            return Err(Sense::NO_KEY.into());
        };
        let Some(key) = &parameters.key else { return Err(Sense::NO_KEY.into()) };
        match key.unseal(data, seal).map_err(Stop::Host)? {
            Unsealed::Plain => Ok(()),
            Unsealed::Changed => Err(Sense::ENCRYPTED_BLOCK_CHANGED.into()),
            Unsealed::WrongKey => {
                if !parameters.is_counted_wrong {
                    parameters.is_counted_wrong = true;
                    self.wrong_keys = wrong_keys.saturating_add(1);
                }
                Err(Sense::WRONG_KEY.into())
            }
        }
    }

    /// A block as it is to be recorded for a host, and its seal: `data` itself and nothing if it is
    /// not to be encrypted.
    pub fn seal<'a>(
        &'a mut self,
        nexus: Nexus,
        data: &'a [u8],
    ) -> Result<(&'a [u8], Vec<u8>), Stop> {
        let mut sealed = std::mem::take(&mut self.sealed);
        let seal = match self.parameters_mut(nexus) {
            Some(parameters) if parameters.encryption == EncryptionMode::Encrypt => {
                let mut seal = parameters.blank_seal();
                let Some(key) = &mut parameters.key else { return Err(Sense::NO_KEY.into()) };
                key.seal(data, &mut sealed, &mut seal).map_err(Stop::Host)?;
                seal.encode()
            }
            _ => Vec::new(),
        };
        self.sealed = sealed;
        Ok(if seal.is_empty() { (data, seal) } else { (&self.sealed, seal) })
    }

    /// True if blocks of a host are encrypted.
    pub fn encrypts(&self, nexus: Nexus) -> bool {
        self.in_force(nexus).parameters.is_some_and(|one| one.encryption != EncryptionMode::Off)
    }
}
