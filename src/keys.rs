//! Keys as the command line gives them: which file, which passphrase.
//!
//! A passphrase comes from the environment (the variable itself, or a file that `…_FILE` names) or
//! from the terminal, never from the arguments, which every user of the machine can read. It is
//! asked for only when it is needed: that a key is the wrong one shows before.

use std::fs::File;
use std::io::{IsTerminal, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use datastore::key::master::MasterPublicKey;
use datastore::storage::RealStorage;
use datastore::{CryptConfig, CryptMode, KeyConfig, Manifest};
use zeroize::Zeroizing;

use crate::config::Places;

/// A passphrase, wiped from memory when it is no longer needed.
pub type Passphrase = Zeroizing<Vec<u8>>;

/// Longest file with a passphrase.
const PASSPHRASE_FILE_BYTES_MAX: u64 = 4096;

/// Which passphrase is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// That of the key at hand.
    Key,
    /// The one that a key gets.
    NewKey,
    /// That of a master key's private half.
    MasterKey,
    /// That of a tape key at hand, or of one that is made.
    TapeKey,
    /// The one that a tape key gets.
    NewTapeKey,
}

impl Which {
    /// Variable that holds it; with `_FILE` behind it, the one that names a file.
    fn variable(self) -> &'static str {
        match self {
            Which::Key => "CAPSTAN_ENCRYPTION_PASSWORD",
            Which::NewKey => "CAPSTAN_NEW_ENCRYPTION_PASSWORD",
            Which::MasterKey => "CAPSTAN_MASTER_KEY_PASSWORD",
            Which::TapeKey => "CAPSTAN_TAPE_KEY_PASSWORD",
            Which::NewTapeKey => "CAPSTAN_NEW_TAPE_KEY_PASSWORD",
        }
    }

    /// The passphrase, if the environment has it.
    fn in_environment(self) -> Result<Option<Passphrase>> {
        let variable = self.variable();
        if let Some(value) = std::env::var_os(variable) {
            return Ok(Some(Zeroizing::new(value.into_vec())));
        }
        let Some(path) = std::env::var_os(format!("{variable}_FILE")) else { return Ok(None) };
        first_line_of(Path::new(&path)).with_context(|| format!("{variable}_FILE")).map(Some)
    }

    /// True if it can be had without asking a person.
    fn is_at_hand(self) -> bool {
        matches!(self.in_environment(), Ok(Some(_)))
    }

    /// The passphrase from the environment or the terminal.
    pub fn get(self, prompt: &str) -> Result<Passphrase> {
        match self.in_environment()? {
            Some(passphrase) => Ok(passphrase),
            None => self.ask(prompt),
        }
    }

    fn ask(self, prompt: &str) -> Result<Passphrase> {
        if !std::io::stdin().is_terminal() {
            bail!(
                "a passphrase is needed: set {variable} or {variable}_FILE, or run on a terminal \
                 to be asked",
                variable = self.variable()
            );
        }
        Ok(Zeroizing::new(rpassword::prompt_password(prompt)?.into_bytes()))
    }

    /// A passphrase for something new, typed twice on a terminal.
    pub fn choose(self, prompt: &str) -> Result<Passphrase> {
        let first = match self.in_environment()? {
            Some(passphrase) => passphrase,
            None => {
                let first = self.ask(prompt)?;
                if first != self.ask("The same again: ")? {
                    bail!("the two passphrases differ; nothing was written");
                }
                first
            }
        };
        datastore::key::check_passphrase(&first)?;
        Ok(first)
    }
}

/// The passphrase in a file: its first line. An editor ends that, `printf` may not.
pub fn first_line_of(path: &Path) -> Result<Passphrase> {
    let mut text = Zeroizing::new(Vec::with_capacity(PASSPHRASE_FILE_BYTES_MAX as usize));
    File::open(path)
        .and_then(|file| file.take(PASSPHRASE_FILE_BYTES_MAX).read_to_end(&mut text))
        .with_context(|| format!("cannot read {}", path.display()))?;
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    text.truncate(end);
    if text.last() == Some(&b'\r') {
        text.pop();
    }
    Ok(text)
}

/// Gives a passphrase to a library that asks for one, and its errors in the library's terms.
pub fn asking(which: Which, prompt: String) -> impl FnMut() -> datastore::Result<Vec<u8>> {
    move || {
        let asked = which.get(&prompt).map(|mut passphrase| std::mem::take(&mut *passphrase));
        asked.map_err(|e| datastore::Error::Key { reason: format!("{e:#}") })
    }
}

/// The key that is used where no other one is named.
pub fn default_key(places: &Places) -> PathBuf {
    places.config.join("encryption-key.json")
}

/// The master public key that is used where no other one is named.
pub fn default_master_key(places: &Places) -> PathBuf {
    places.config.join("master-public.pem")
}

/// The storage for files outside a datastore.
pub fn storage() -> Result<RealStorage> {
    RealStorage::new(Path::new("/")).context("cannot look at /")
}

/// Reads a key file without opening it.
pub fn read(path: &Path) -> Result<KeyConfig> {
    KeyConfig::load(&storage()?, path)
        .with_context(|| format!("cannot use key file {}", path.display()))
}

/// Opens a key; a passphrase comes from the environment or from the terminal.
pub fn unlock(file: &KeyConfig, path: &Path) -> Result<CryptConfig> {
    let mut prompt = format!("Passphrase of key {}", path.display());
    if let Some(hint) = &file.hint {
        prompt.push_str(&format!(" (hint: {hint})"));
    }
    file.unlock(&mut asking(Which::Key, format!("{prompt}: ")))
        .with_context(|| format!("cannot use key file {}", path.display()))
}

/// Reads a key file and opens it.
pub fn load(path: &Path) -> Result<CryptConfig> {
    unlock(&read(path)?, path)
}

/// A key that makes backups.
pub struct BackupKey {
    /// The key file.
    pub file: KeyConfig,
    /// The key in it.
    pub key: Arc<CryptConfig>,
    /// True if nobody named it.
    pub is_default: bool,
}

/// The key of a backup and what it does: the one named, else the default key if there is one and
/// the mode is not 'none'. A key without a mode encrypts.
pub fn for_backup(
    places: &Places,
    keyfile: Option<&Path>,
    mode: Option<CryptMode>,
) -> Result<(CryptMode, Option<BackupKey>)> {
    if mode == Some(CryptMode::None) {
        if keyfile.is_some() {
            bail!("mode 'none' takes no key; leave --keyfile out");
        }
        return Ok((CryptMode::None, None));
    }
    let default = default_key(places);
    let path = match keyfile {
        Some(path) => path,
        None if is_there(&default)? => &default,
        None => match mode {
            None => return Ok((CryptMode::None, None)),
            Some(mode) => bail!(
                "mode '{mode}' needs a key: --keyfile FILE, or a default key ('capstan key \
                 create' makes one)"
            ),
        },
    };
    let file = read(path)?;
    let key = Arc::new(unlock(&file, path)?);
    let key = BackupKey { file, key, is_default: keyfile.is_none() };
    Ok((mode.unwrap_or(CryptMode::Encrypt), Some(key)))
}

/// The key to read a snapshot with: the one named, else the default key if the snapshot was made
/// with it. That a key is not the snapshot's shows before a passphrase is asked for.
pub fn for_snapshot(
    places: &Places,
    keyfile: Option<&Path>,
    manifest: &Manifest,
    what: &str,
) -> Result<Option<Arc<CryptConfig>>> {
    let wanted = manifest.key_fingerprint()?;
    if let Some(path) = keyfile {
        let file = read(path)?;
        if let (Some(wanted), Some(given)) = (wanted, file.fingerprint)
            && wanted != given
        {
            let what = what.to_owned();
            return Err(datastore::Error::WrongKey { what, wanted, given })
                .with_context(|| format!("cannot use key file {}", path.display()));
        }
        return Ok(Some(Arc::new(unlock(&file, path)?)));
    }
    let path = default_key(places);
    if wanted.is_none() || !is_there(&path)? {
        return Ok(None);
    }
    let file = read(&path)?;
    if file.fingerprint != wanted {
        return Ok(None);
    }
    // A signature alone is worth checking, but nobody is bothered with a passphrase for it.
    let is_needed = manifest.files().iter().any(|file| file.crypt_mode == CryptMode::Encrypt);
    if !is_needed && file.is_locked() && !Which::Key.is_at_hand() {
        return Ok(None);
    }
    Ok(Some(Arc::new(unlock(&file, &path)?)))
}

/// The default key for a verification, which can go on without it: checksums prove that what is
/// stored is what was written, the key proves that it is what was backed up. So nobody is asked for a
/// passphrase, and a key that cannot be opened is a note or a warning to show and no failure.
pub fn for_verification(places: &Places) -> VerificationKey {
    let path = default_key(places);
    let found = is_there(&path).and_then(|is_there| match is_there {
        true => read(&path).map(Some),
        false => Ok(None),
    });
    let file = match found {
        Ok(Some(file)) => file,
        Ok(None) => return VerificationKey::None,
        Err(error) => return VerificationKey::Unusable(error),
    };
    if file.is_locked() && !Which::Key.is_at_hand() {
        return VerificationKey::Locked(format!(
            "the default key {} has a passphrase and {variable} is not set: encrypted content is \
             proved as far as its checksums",
            path.display(),
            variable = Which::Key.variable()
        ));
    }
    match unlock(&file, &path) {
        Ok(key) => VerificationKey::Open(Arc::new(key)),
        Err(error) => VerificationKey::Unusable(error),
    }
}

/// See [`for_verification`].
pub enum VerificationKey {
    /// There is no default key.
    None,
    /// It is open.
    Open(Arc<CryptConfig>),
    /// Nobody is there to open it; a note that says so.
    Locked(String),
    /// It cannot be used.
    Unusable(anyhow::Error),
}

/// The master key for a backup: the one named, else the default one if there is one.
pub fn master_for_backup(places: &Places, named: Option<&Path>) -> Result<Option<MasterPublicKey>> {
    let default = default_master_key(places);
    let path = match named {
        Some(path) => path,
        None if is_there(&default)? => &default,
        None => return Ok(None),
    };
    read_master_public(path).map(Some)
}

/// Reads a master public key.
pub fn read_master_public(path: &Path) -> Result<MasterPublicKey> {
    MasterPublicKey::load(&storage()?, path)
        .with_context(|| format!("cannot use master key {}", path.display()))
}

/// Whether a name is taken. One that cannot be looked at, or a link that leads nowhere, is not "no
/// key": a backup that is meant to be encrypted must not become a plain one because of it.
pub fn is_there(path: &Path) -> Result<bool> {
    match path.symlink_metadata() {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}
